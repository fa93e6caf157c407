//! Test suites and their runs.

use serde::{Deserialize, Serialize};

use crate::{TestRunId, Timestamp};

/// How a suite's output is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SuiteFormat {
    /// `cargo test`: `test a::b ... ok`.
    Libtest,
    /// `cargo nextest run`: `PASS [   0.010s] crate test`.
    Nextest,
    /// `pytest -v`: `path::test PASSED`.
    Pytest,
    /// Test Anything Protocol: `ok 1 - name`.
    Tap,
}

/// A configured suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Suite {
    /// Its name, unique.
    pub name: String,
    /// What it tests.
    #[serde(default)]
    pub description: String,
    /// Program and arguments; no shell.
    pub command: Vec<String>,
    /// Working folder; the server's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// How its output is read.
    pub format: SuiteFormat,
    /// Ends a run that takes longer, seconds.
    pub timeout_s: f64,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TestRunStatus {
    /// Cases come in.
    Running,
    /// Every case passed and the command exited with 0.
    Passed,
    /// A case failed, or the command did.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// The server stopped while it ran.
    Interrupted,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CaseStatus {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It was not run.
    Skipped,
}

/// Of `test:case`: a case that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CaseResult {
    /// Its name, as the suite prints it.
    pub name: String,
    /// How it ended.
    pub status: CaseStatus,
    /// How long it took, seconds, where the suite says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// What the suite printed about a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Of `test:started`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestRunStarted {
    /// The run.
    pub test_run_id: TestRunId,
    /// Name of the suite.
    pub suite: String,
    /// Who started it.
    pub by: String,
}

/// Of `test:finished`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestRunFinished {
    /// The run.
    pub test_run_id: TestRunId,
    /// How it ended.
    pub status: TestRunStatus,
    /// Cases by outcome.
    pub counts: CaseCounts,
    /// From start to end, seconds.
    pub duration_s: f64,
    /// What went wrong apart from cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Cases by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CaseCounts {
    /// Passed.
    pub passed: u32,
    /// Failed.
    pub failed: u32,
    /// Skipped.
    pub skipped: u32,
}

impl CaseCounts {
    /// Counts one more.
    pub const fn add(&mut self, status: CaseStatus) {
        match status {
            CaseStatus::Passed => self.passed += 1,
            CaseStatus::Failed => self.failed += 1,
            CaseStatus::Skipped => self.skipped += 1,
        }
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.passed + self.failed + self.skipped
    }
}

/// A run of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestRun {
    /// Its identifier.
    pub id: TestRunId,
    /// Name of the suite.
    pub suite: String,
    /// Where it stands.
    pub status: TestRunStatus,
    /// Cases by outcome so far.
    pub counts: CaseCounts,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// From start to end, seconds.
    pub duration_s: Option<f64>,
    /// What went wrong apart from cases.
    pub error: Option<String>,
    /// Who started it.
    pub started_by: String,
    /// Events in its stream so far.
    pub seq: u64,
    /// Its cases in the order they ended. Empty in lists.
    #[serde(default)]
    pub cases: Vec<CaseResult>,
}

impl TestRun {
    /// A run that begins `at`, with nothing recorded yet.
    #[must_use]
    pub const fn begun(id: TestRunId, suite: String, by: String, at: Timestamp) -> Self {
        Self {
            id,
            suite,
            status: TestRunStatus::Running,
            counts: CaseCounts {
                passed: 0,
                failed: 0,
                skipped: 0,
            },
            started_at: at,
            completed_at: None,
            duration_s: None,
            error: None,
            started_by: by,
            seq: 0,
            cases: Vec::new(),
        }
    }
}

/// Body of `POST /api/dashboard/testing/run-suite` and `POST /api/testing/runs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RunSuite {
    /// Name of the suite.
    #[cfg_attr(feature = "openapi", schema(example = "unit"))]
    pub suite: String,
}
