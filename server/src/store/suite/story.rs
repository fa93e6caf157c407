//! A small vocabulary for executions that begin and go on.

use std::collections::BTreeMap;

use limelight_protocol::{
    EventBody, Execution, ExecutionId, ExecutionStatus, NodeId, NodeState, Stream, TestRunId,
    Timestamp, WorkflowId,
    event::{Attempted, Ended, NodeCompleted, WorkflowStarted},
    testing::{CaseResult, CaseStatus, TestRun, TestRunStatus},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::store::{Append, IdempotencyKey, NewExecution, PendingEvent, ReadModel};

pub const NOW: Timestamp = Timestamp(1_795_255_200_123);

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub fn event(node_id: Option<&str>, body: EventBody) -> PendingEvent {
    PendingEvent {
        node_id: node_id.map(node),
        timestamp: NOW,
        body,
    }
}

pub fn started(node_id: &str) -> PendingEvent {
    event(
        Some(node_id),
        EventBody::NodeStarted(Attempted { attempt: 1 }),
    )
}

pub fn completed(node_id: &str, output: Value) -> PendingEvent {
    let done = NodeCompleted {
        attempt: 1,
        outputs: [("out".to_owned(), output)].into_iter().collect(),
        artifacts: vec!["report.txt".into()],
        quality: Some(0.93),
        duration_s: 1.5,
    };
    event(Some(node_id), EventBody::NodeCompleted(done))
}

pub fn ended() -> PendingEvent {
    let ended = Ended {
        duration_s: 2.5,
        failed_nodes: Vec::new(),
    };
    event(None, EventBody::WorkflowCompleted(ended))
}

/// An execution as its coordinator knows it.
pub struct Story {
    pub execution: Execution,
    pub fence: u64,
}

impl Story {
    /// One of `workflow` with these nodes, in this order.
    pub fn of(workflow: WorkflowId, nodes: &[&str]) -> Self {
        let id = ExecutionId(Uuid::now_v7());
        let execution = Execution {
            id,
            execution_id: id,
            workflow_id: workflow,
            workflow_name: "release".into(),
            workflow_version: 1,
            name: Some("Nightly 50%".into()),
            labels: BTreeMap::from([("team".into(), "a".into())]),
            status: ExecutionStatus::Pending,
            params: json!({"version": "1.2"}).as_object().unwrap().clone(),
            completed_nodes: 0,
            total_nodes: nodes.len() as u32,
            current_phase: None,
            started_at: None,
            completed_at: None,
            duration_s: None,
            started_by: "tester".into(),
            seq: 0,
            node_states: nodes
                .iter()
                .map(|name| NodeState::new(node(name)))
                .collect(),
        };
        Self {
            execution,
            fence: 1,
        }
    }

    pub fn new(nodes: &[&str]) -> Self {
        Self::of(WorkflowId(Uuid::now_v7()), nodes)
    }

    pub fn stream(&self) -> Stream {
        Stream::Execution(self.execution.id)
    }

    fn tell(&mut self, events: Vec<PendingEvent>) -> Append {
        let first_seq = self.execution.seq + 1;
        for event in &events {
            let node = event.node_id.as_ref();
            self.execution
                .apply_body(node, &event.body, event.timestamp);
        }
        self.execution.seq += events.len() as u64;
        Append {
            stream: self.stream(),
            workflow_id: Some(self.execution.workflow_id),
            execution_id: Some(self.execution.id),
            first_seq,
            events,
            fence: None,
            read_model: ReadModel::None,
        }
    }

    pub fn begin(&mut self) -> Append {
        self.begin_with_key(None)
    }

    pub fn begin_with_key(&mut self, key: Option<&str>) -> Append {
        let body = EventBody::WorkflowStarted(WorkflowStarted {
            workflow_name: self.execution.workflow_name.clone(),
            workflow_version: 1,
            params: self.execution.params.clone(),
            name: self.execution.name.clone(),
            labels: self.execution.labels.clone(),
            by: "tester".into(),
            total_nodes: self.execution.total_nodes,
        });
        let append = self.tell(vec![event(None, body)]);
        Append {
            read_model: ReadModel::NewExecution(Box::new(NewExecution {
                execution: self.execution.clone(),
                owner: "server-1".into(),
                idempotency_key: key.map(|key| IdempotencyKey {
                    key: key.to_owned(),
                    fingerprint: "of the request".into(),
                }),
            })),
            ..append
        }
    }

    pub fn go_on(&mut self, events: Vec<PendingEvent>) -> Append {
        let named: Vec<NodeId> = events.iter().filter_map(|e| e.node_id.clone()).collect();
        let append = self.tell(events);
        let changed_nodes: Vec<usize> = (0..self.execution.node_states.len())
            .filter(|at| named.contains(&self.execution.node_states[*at].node_id))
            .collect();
        let node_states = changed_nodes
            .iter()
            .map(|at| self.execution.node_states[*at].clone())
            .collect();
        Append {
            fence: Some(self.fence),
            read_model: ReadModel::Execution {
                execution: Box::new(Execution {
                    node_states,
                    ..self.execution.clone()
                }),
                changed_nodes,
            },
            ..append
        }
    }
}

pub fn test_run() -> TestRun {
    TestRun {
        id: TestRunId(Uuid::now_v7()),
        suite: "unit".into(),
        status: TestRunStatus::Running,
        counts: limelight_protocol::testing::CaseCounts::default(),
        started_at: NOW,
        completed_at: None,
        duration_s: None,
        error: None,
        started_by: "tester".into(),
        seq: 0,
        cases: Vec::new(),
    }
}

/// Ends cases of a run.
pub fn cases(run: &mut TestRun, names: &[&str]) -> Append {
    let new_cases: Vec<CaseResult> = names
        .iter()
        .map(|name| CaseResult {
            name: (*name).into(),
            status: CaseStatus::Passed,
            duration_s: Some(0.25),
            message: None,
        })
        .collect();
    let first_seq = run.seq + 1;
    run.seq += new_cases.len() as u64;
    run.counts.passed += new_cases.len() as u32;
    let events = new_cases
        .iter()
        .map(|case| event(None, EventBody::TestCase(case.clone())))
        .collect();
    run.cases.extend(new_cases.clone());
    Append {
        stream: Stream::TestRun(run.id),
        workflow_id: None,
        execution_id: None,
        first_seq,
        events,
        fence: None,
        read_model: ReadModel::TestRun {
            run: Box::new(run.clone()),
            new_cases,
        },
    }
}
