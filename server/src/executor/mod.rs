//! Performs one attempt of a node: a program or an HTTP request.
//!
//! Takes rendered work and gives an outcome; what it has to say meanwhile goes out as [`Report`]s.
//! It knows nothing of actors, the store or the engine's state, never retries, and never outlives
//! the future it runs in: dropping that future ends the attempt and every process it started.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use limelight_protocol::{ExecutionId, NodeId, TestRunId, event::LogSource, execution::NodeError};
use serde_json::{Map, Value};

pub mod at_work;
mod child;
mod command;
mod directive;
mod family;
mod gathered;
mod http;
mod lines;
pub mod orphans;
mod output;
mod processes;
mod report_file;
pub mod slots;
mod stop;

pub use command::run_command;
pub use http::{HttpJob, http_client, run_http};
pub use limelight_engine::definition::{Body as HttpBody, Program};
pub use stop::{StopReason, StopSignal, Stopper};

/// Environment variable that carries [`Context::server_mark`]; orphans are found by it.
pub const SERVER_MARK_VARIABLE: &str = "LIMELIGHT_SERVER_MARK";

/// A program to run.
#[derive(Clone, Debug)]
pub struct CommandJob {
    /// What to run.
    pub program: Program,
    /// Variables for it, beside the few it inherits.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub working_dir: PathBuf,
    /// Whether `::progress` and its like on standard output are obeyed.
    pub read_commands: bool,
    /// What it runs for.
    pub context: Context,
    /// How much of its output is kept.
    pub limits: OutputLimits,
    /// How long it has to end by itself once it is asked to, before it is killed.
    pub grace: Duration,
}

/// What a program is told of where it runs, as `LIMELIGHT_…` variables.
#[derive(Clone, Debug)]
pub struct Context {
    /// What it runs for.
    pub purpose: Purpose,
    /// Marks all processes of one data folder's server, through its restarts, so that
    /// [`orphans::kill_orphans`] finds those a killed server left.
    pub server_mark: String,
}

/// What a program runs for.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// An attempt at a node.
    Attempt {
        /// The execution.
        execution_id: ExecutionId,
        /// The node.
        node_id: NodeId,
        /// Which attempt: 1, 2, 3, ...
        attempt: u32,
    },
    /// A run of a test suite.
    TestRun(TestRunId),
}

impl Context {
    fn variables(&self) -> Vec<(&'static str, String)> {
        let server_mark = family::with_inherited(SERVER_MARK_VARIABLE, &self.server_mark);
        let mut variables = vec![(SERVER_MARK_VARIABLE, server_mark)];
        match &self.purpose {
            Purpose::Attempt {
                execution_id,
                node_id,
                attempt,
            } => variables.extend([
                ("LIMELIGHT_EXECUTION_ID", execution_id.to_string()),
                ("LIMELIGHT_NODE_ID", node_id.to_string()),
                ("LIMELIGHT_ATTEMPT", attempt.to_string()),
                (
                    "LIMELIGHT_IDEMPOTENCY_KEY",
                    idempotency_key(*execution_id, node_id),
                ),
            ]),
            Purpose::TestRun(id) => variables.push(("LIMELIGHT_TEST_RUN_ID", id.to_string())),
        }
        variables
    }
}

/// The same for every attempt at a node, and for no other node: what an attempt did outside can be
/// known again by the next.
#[must_use]
pub fn idempotency_key(execution: ExecutionId, node: &NodeId) -> String {
    format!("{execution}/{node}")
}

/// How much of a program's output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Longest line, in bytes; what is beyond is cut.
    pub max_line_bytes: usize,
    /// All log lines of the attempt; what is beyond is dropped and counted.
    pub max_log_lines: usize,
    /// All log lines of the attempt with their line ends, in bytes; what is beyond is dropped and
    /// counted.
    pub max_log_bytes: usize,
    /// Outputs and artifacts together, in bytes of JSON; beyond, the attempt fails.
    pub max_outputs_bytes: usize,
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self {
            max_line_bytes: 16 << 10,
            max_log_lines: 100_000,
            max_log_bytes: 16 << 20,
            max_outputs_bytes: MAX_OUTPUTS_BYTES,
        }
    }
}

/// Outputs and artifacts of an attempt together, in bytes of JSON.
const MAX_OUTPUTS_BYTES: usize = 256 << 10;

/// Longest message of a progress, in bytes; what is beyond is cut.
const MAX_MESSAGE_BYTES: usize = 1 << 10;

/// Longest path of an artifact, in bytes.
const MAX_PATH_BYTES: usize = 4 << 10;

/// What an attempt says while it runs.
///
/// Sent on a bounded channel. While that is full the attempt waits, and so does its program: keep
/// receiving until the attempt's future ends. A closed channel discards what is said.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A line of output.
    Log {
        /// Where it was written.
        source: LogSource,
        /// Its text, without line end and NUL.
        line: String,
    },
    /// How far it is.
    Progress {
        /// From 0 to 100.
        progress: f64,
        /// What it is doing.
        message: Option<String>,
    },
    /// Said once in the end, when the log did not hold all: how much is missing.
    Dropped {
        /// How many lines.
        lines: u64,
        /// How many bytes, line ends included.
        bytes: u64,
    },
}

/// What an attempt gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Success {
    /// By name.
    pub outputs: Map<String, Value>,
    /// Files it named.
    pub artifacts: Vec<String>,
    /// How good it says its result is, from 0 to 1.
    pub quality: Option<f64>,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For clients.
    pub error: NodeError,
    /// Whether another attempt may fare better.
    pub retryable: bool,
}

impl Failure {
    pub(crate) fn passing(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message.into(), true)
    }

    pub(crate) fn lasting(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message.into(), false)
    }

    fn new(code: &str, message: String, retryable: bool) -> Self {
        let code = code.to_owned();
        Self {
            error: NodeError { code, message },
            retryable,
        }
    }
}
