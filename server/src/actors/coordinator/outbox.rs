//! What a coordinator has decided and not yet given to the journal.

use std::{collections::BTreeSet, sync::Arc};

use limelight_engine::{Action, NewEvent, Node, Rejection, Run};
use limelight_protocol::{
    EventBody, Execution, NodeId, NodeStatus, Stream, Timestamp, workflow::NodeKind,
};

use super::Answer;
use crate::{
    store::{Append, IdempotencyKey, NewExecution, PendingEvent, ReadModel},
    telemetry::{
        Metrics,
        events::{ExecutionEnded, NodeEnded},
    },
};

/// Decisions in order, and the execution's row as they leave it.
pub struct Outbox {
    /// Without node states: it is cloned with every commit, and the run has them.
    execution: Execution,
    /// `None` until the first commit gives it.
    fence: Option<u64>,
    begin: Option<NewRow>,
    events: Vec<PendingEvent>,
    changed: BTreeSet<usize>,
    actions: Vec<Action>,
    answers: Vec<Waiting>,
    facts: Facts,
}

/// Who waits for a commit.
pub struct Waiting {
    /// Where to answer.
    pub answer: Answer,
    /// Why nothing was decided for it, as things then stand.
    pub refused: Option<Rejection>,
}

/// What is kept of a new execution beside what everybody sees of it.
pub struct NewRow {
    /// Who coordinates it.
    pub owner: Arc<str>,
    /// Of the request that starts it.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// What goes to the journal together, and what follows from its commit.
pub struct Batch {
    /// None when nothing happened, so that there is nothing to wait for.
    pub append: Option<Append>,
    /// To perform after the commit.
    pub actions: Vec<Action>,
    /// To give after the commit.
    pub answers: Vec<Waiting>,
    /// The execution as it stands after the commit, without node states.
    pub execution: Execution,
    /// To count after the commit.
    pub facts: Facts,
}

/// What is logged and counted of a batch.
#[derive(Default)]
pub struct Facts {
    nodes: Vec<EndedNode>,
    ended: bool,
}

struct EndedNode {
    id: NodeId,
    kind: NodeKind,
    status: NodeStatus,
    duration_s: f64,
}

impl Facts {
    /// Logs and counts.
    pub fn emit(&self, execution: &Execution, metrics: &Metrics) {
        for EndedNode {
            id,
            kind,
            status,
            duration_s,
        } in &self.nodes
        {
            metrics.emit(NodeEnded {
                execution_id: execution.id,
                node_id: id,
                kind: *kind,
                status: *status,
                duration_s: *duration_s,
            });
        }
        if self.ended {
            metrics.emit(ExecutionEnded {
                execution_id: execution.id,
                workflow: &execution.workflow_name,
                status: execution.status,
                duration_s: execution.duration_s.unwrap_or_default(),
            });
        }
    }
}

fn ended_node(node: &Node, status: NodeStatus, duration_s: f64) -> EndedNode {
    EndedNode {
        id: node.id.clone(),
        kind: node.work.kind(),
        status,
        duration_s,
    }
}

impl Outbox {
    /// For an execution that is not in the store yet.
    pub fn fresh(execution: Box<Execution>, row: NewRow) -> Self {
        Self {
            begin: Some(row),
            ..Self::new(*execution, None)
        }
    }

    /// For an execution that was loaded.
    pub fn resumed(execution: Execution, fence: u64) -> Self {
        Self::new(execution, Some(fence))
    }

    fn new(execution: Execution, fence: Option<u64>) -> Self {
        Self {
            execution,
            fence,
            begin: None,
            events: Vec::new(),
            changed: BTreeSet::new(),
            actions: Vec::new(),
            answers: Vec::new(),
            facts: Facts::default(),
        }
    }

    /// Whether everything decided has been taken.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.actions.is_empty() && self.answers.is_empty()
    }

    /// Adds a decision. `run` is as the decision left it.
    pub fn push(&mut self, run: &Run, events: Vec<NewEvent>, actions: Vec<Action>, now: Timestamp) {
        for NewEvent { node, body } in events {
            self.note(run, node, &body, now);
            let node_id = node.map(|node| run.definition().nodes()[node].id.clone());
            self.events.push(PendingEvent {
                node_id,
                timestamp: now,
                body,
            });
        }
        self.actions.extend(actions);
    }

    /// Whom to answer once everything pushed until now is committed.
    pub fn answer(&mut self, answer: Option<Answer>) {
        self.wait(answer, None);
    }

    /// Whom to refuse once everything pushed until now is committed.
    pub fn refuse(&mut self, answer: Option<Answer>, rejection: Rejection) {
        self.wait(answer, Some(rejection));
    }

    fn wait(&mut self, answer: Option<Answer>, refused: Option<Rejection>) {
        let waiting = answer.map(|answer| Waiting { answer, refused });
        self.answers.extend(waiting);
    }

    /// Takes all who wait for what was not taken.
    pub fn take_answers(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.answers)
    }

    fn note(&mut self, run: &Run, node: Option<usize>, body: &EventBody, now: Timestamp) {
        let Some(node) = node else {
            self.execution.apply_body(None, body, now);
            self.facts.ended = self.execution.status.is_terminal();
            return;
        };
        self.changed.insert(node);
        let definition = &run.definition().nodes()[node];
        match body {
            EventBody::NodeStarted(_) => {
                if let Some(phase) = &definition.phase {
                    self.execution.current_phase = Some(phase.clone());
                }
            }
            EventBody::NodeRetrying(retrying) => {
                let index = |id| run.definition().index_of(id);
                self.changed.extend(retrying.reset.iter().filter_map(index));
            }
            EventBody::NodeCompleted(done) => {
                self.facts.nodes.push(ended_node(
                    definition,
                    NodeStatus::Completed,
                    done.duration_s,
                ));
            }
            EventBody::NodeFailed(failed) => {
                self.facts.nodes.push(ended_node(
                    definition,
                    NodeStatus::Failed,
                    failed.duration_s,
                ));
            }
            _ => {}
        }
    }

    /// Takes all decisions as one batch; `None` when there are none.
    pub fn take(&mut self, run: &Run) -> Option<Batch> {
        if self.is_empty() {
            return None;
        }
        self.execution.completed_nodes = run.completed_nodes();
        let first_seq = self.execution.seq + 1;
        self.execution.seq += self.events.len() as u64;
        let events = std::mem::take(&mut self.events);
        // A row that is yet to be made has no fencing number to check.
        let fence = self.fence;
        let append = (!events.is_empty()).then(|| Append {
            stream: Stream::Execution(self.execution.id),
            workflow_id: Some(self.execution.workflow_id),
            execution_id: Some(self.execution.id),
            first_seq,
            events,
            fence,
            read_model: self.read_model(run),
        });
        Some(Batch {
            append,
            actions: std::mem::take(&mut self.actions),
            answers: std::mem::take(&mut self.answers),
            execution: self.execution.clone(),
            facts: std::mem::take(&mut self.facts),
        })
    }

    fn read_model(&mut self, run: &Run) -> ReadModel {
        let changed: Vec<usize> = std::mem::take(&mut self.changed).into_iter().collect();
        if let Some(NewRow {
            owner,
            idempotency_key,
        }) = self.begin.take()
        {
            // A new execution is its first owner's, with the first fencing number.
            self.fence = Some(1);
            let execution = Execution {
                node_states: run.node_states().to_vec(),
                ..self.execution.clone()
            };
            let owner = owner.to_string();
            return ReadModel::NewExecution(Box::new(NewExecution {
                execution,
                owner,
                idempotency_key,
            }));
        }
        let states = changed
            .iter()
            .map(|&node| run.node_state(node).clone())
            .collect();
        let execution = Box::new(Execution {
            node_states: states,
            ..self.execution.clone()
        });
        ReadModel::Execution {
            execution,
            changed_nodes: changed,
        }
    }
}
