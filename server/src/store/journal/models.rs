//! The rows of the read models that a batch changes, each row once.
//!
//! Field names are column names: PostgreSQL takes these rows as JSON.

use std::collections::{BTreeMap, HashMap};

use limelight_protocol::{
    Execution, NodeState, NodeStatus,
    event::SkipReason,
    execution::WaitReason,
    testing::{CaseResult, CaseStatus, TestRun, TestRunStatus},
};
use sea_orm::prelude::Uuid;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{NewExecution, Prepared, ReadModel};

/// A row of `execution`. Owner, fence and key are set on creation only.
#[derive(Serialize)]
pub struct ExecutionRow<'a> {
    pub id: Uuid,
    pub workflow_id: Uuid,
    pub workflow_name: &'a str,
    pub workflow_version: u32,
    pub name: Option<&'a str>,
    pub labels: &'a BTreeMap<String, String>,
    pub status: &'static str,
    pub params: &'a Map<String, Value>,
    pub completed_nodes: u32,
    pub total_nodes: u32,
    pub current_phase: Option<&'a str>,
    pub started_at: Option<i64>,
    pub completed_at: Option<i64>,
    pub duration_s: Option<f64>,
    pub started_by: &'a str,
    pub seq: u64,
    pub owner: Option<&'a str>,
    pub fence: u64,
    pub idempotency_key: Option<&'a str>,
    pub idempotency_fingerprint: Option<&'a str>,
}

/// A row of `node_state`.
#[derive(Serialize)]
pub struct NodeRow<'a> {
    pub execution_id: Uuid,
    pub node_id: &'a str,
    pub item: &'static str,
    pub ordinal: usize,
    pub status: NodeStatus,
    pub attempt_count: u32,
    pub progress: Option<f64>,
    pub message: Option<&'a str>,
    pub started_at: Option<i64>,
    pub completed_at: Option<i64>,
    pub duration_s: Option<f64>,
    pub outputs: &'a Map<String, Value>,
    pub artifacts: &'a [String],
    pub quality: Option<f64>,
    pub error_code: Option<&'a str>,
    pub error_message: Option<&'a str>,
    pub waiting_for: Option<WaitReason>,
    pub due_at: Option<i64>,
    pub skip_reason: Option<SkipReason>,
}

/// A row of `test_run`.
#[derive(Serialize)]
pub struct TestRunRow<'a> {
    pub id: Uuid,
    pub suite: &'a str,
    pub status: TestRunStatus,
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
    pub started_at: i64,
    pub completed_at: Option<i64>,
    pub duration_s: Option<f64>,
    pub error: Option<&'a str>,
    pub started_by: &'a str,
    pub seq: u64,
}

/// A row of `test_case`; `ordinal` counts from 1 among the new cases of its run.
#[derive(Serialize)]
pub struct TestCaseRow<'a> {
    pub test_run_id: Uuid,
    pub ordinal: usize,
    pub name: &'a str,
    pub status: CaseStatus,
    pub duration_s: Option<f64>,
    pub message: Option<&'a str>,
}

/// Everything a batch does to the read models.
#[derive(Default, Serialize)]
pub struct Models<'a> {
    pub created: Vec<ExecutionRow<'a>>,
    pub changed: Vec<ExecutionRow<'a>>,
    pub nodes: Vec<NodeRow<'a>>,
    pub test_runs: Vec<TestRunRow<'a>>,
    pub test_cases: Vec<TestCaseRow<'a>>,
}

/// Where a row that an earlier append of the batch wrote is to be found.
#[derive(Default)]
struct Places<'a> {
    created: HashMap<Uuid, usize>,
    changed: HashMap<Uuid, usize>,
    nodes: HashMap<(Uuid, &'a str), usize>,
    test_runs: HashMap<Uuid, usize>,
    test_cases: HashMap<Uuid, usize>,
}

impl<'a> Models<'a> {
    pub fn of(appends: &[&'a Prepared]) -> Self {
        let mut models = Self::default();
        let mut places = Places::default();
        for one in appends {
            match &one.append.read_model {
                ReadModel::None => {}
                ReadModel::NewExecution(new) => models.create(new, &mut places),
                ReadModel::Execution {
                    execution,
                    changed_nodes,
                } => {
                    models.change(execution, &mut places);
                    for (state, ordinal) in execution.node_states.iter().zip(changed_nodes) {
                        models.node(execution.id.0, *ordinal, state, &mut places);
                    }
                }
                ReadModel::TestRun { run, new_cases } => {
                    models.test_run(run, new_cases, &mut places);
                }
            }
        }
        models
    }

    fn create(&mut self, new: &'a NewExecution, places: &mut Places<'a>) {
        let row = ExecutionRow {
            owner: Some(&new.owner),
            fence: 1,
            idempotency_key: new.idempotency_key.as_ref().map(|key| key.key.as_str()),
            idempotency_fingerprint: (new.idempotency_key.as_ref())
                .map(|key| key.fingerprint.as_str()),
            ..execution_row(&new.execution)
        };
        places.created.insert(row.id, self.created.len());
        self.created.push(row);
        for (ordinal, state) in new.execution.node_states.iter().enumerate() {
            self.node(new.execution.id.0, ordinal, state, places);
        }
    }

    fn change(&mut self, execution: &'a Execution, places: &mut Places<'a>) {
        let row = execution_row(execution);
        if let Some(&at) = places.created.get(&row.id) {
            let created = &mut self.created[at];
            *created = ExecutionRow {
                owner: created.owner,
                fence: created.fence,
                idempotency_key: created.idempotency_key,
                idempotency_fingerprint: created.idempotency_fingerprint,
                ..row
            };
        } else {
            put(&mut self.changed, &mut places.changed, row.id, row);
        }
    }

    fn node(
        &mut self,
        execution: Uuid,
        ordinal: usize,
        state: &'a NodeState,
        places: &mut Places<'a>,
    ) {
        let row = NodeRow {
            execution_id: execution,
            node_id: state.node_id.as_str(),
            item: "",
            ordinal,
            status: state.status,
            attempt_count: state.attempt_count,
            progress: state.progress,
            message: state.message.as_deref(),
            started_at: state.started_at.map(|at| at.0),
            completed_at: state.completed_at.map(|at| at.0),
            duration_s: state.duration_s,
            outputs: &state.outputs,
            artifacts: &state.artifacts,
            quality: state.quality,
            error_code: state.error.as_ref().map(|error| error.code.as_str()),
            error_message: state.error.as_ref().map(|error| error.message.as_str()),
            waiting_for: state.waiting_for,
            due_at: state.due_at.map(|at| at.0),
            skip_reason: state.skip_reason,
        };
        let key = (execution, row.node_id);
        put(&mut self.nodes, &mut places.nodes, key, row);
    }

    fn test_run(&mut self, run: &'a TestRun, cases: &'a [CaseResult], places: &mut Places<'a>) {
        let row = TestRunRow {
            id: run.id.0,
            suite: &run.suite,
            status: run.status,
            passed: run.counts.passed,
            failed: run.counts.failed,
            skipped: run.counts.skipped,
            started_at: run.started_at.0,
            completed_at: run.completed_at.map(|at| at.0),
            duration_s: run.duration_s,
            error: run.error.as_deref(),
            started_by: &run.started_by,
            seq: run.seq,
        };
        put(&mut self.test_runs, &mut places.test_runs, row.id, row);
        let ordinal = places.test_cases.entry(run.id.0).or_default();
        for case in cases {
            *ordinal += 1;
            self.test_cases.push(TestCaseRow {
                test_run_id: run.id.0,
                ordinal: *ordinal,
                name: &case.name,
                status: case.status,
                duration_s: case.duration_s,
                message: case.message.as_deref(),
            });
        }
    }
}

/// Adds a row, or puts it in the place of the earlier one with the same key.
fn put<K: std::hash::Hash + Eq, R>(
    rows: &mut Vec<R>,
    places: &mut HashMap<K, usize>,
    key: K,
    row: R,
) {
    let at = *places.entry(key).or_insert(rows.len());
    if at == rows.len() {
        rows.push(row);
    } else {
        rows[at] = row;
    }
}

fn execution_row(execution: &Execution) -> ExecutionRow<'_> {
    ExecutionRow {
        id: execution.id.0,
        workflow_id: execution.workflow_id.0,
        workflow_name: &execution.workflow_name,
        workflow_version: execution.workflow_version,
        name: execution.name.as_deref(),
        labels: &execution.labels,
        status: execution.status.as_str(),
        params: &execution.params,
        completed_nodes: execution.completed_nodes,
        total_nodes: execution.total_nodes,
        current_phase: execution.current_phase.as_deref(),
        started_at: execution.started_at.map(|at| at.0),
        completed_at: execution.completed_at.map(|at| at.0),
        duration_s: execution.duration_s,
        started_by: &execution.started_by,
        seq: execution.seq,
        owner: None,
        fence: 0,
        idempotency_key: None,
        idempotency_fingerprint: None,
    }
}
