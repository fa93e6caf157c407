//! One performance of a definition, as a state machine.

mod approve;
mod begin;
mod cancel;
mod command;
mod complete;
mod context;
mod decide;
mod evolve;
mod fail;
pub mod invariant;
mod pause;
mod progress;
mod recover;
mod replay;
mod resume;
mod retry_node;
mod settle;
mod start;
mod timer;

use std::{collections::BTreeSet, sync::Arc};

use limelight_protocol::{
    EventBody, ExecutionId, ExecutionStatus, NodeId, NodeState, NodeStatus, Timestamp,
    event::{SkipReason, WorkflowStarted},
};
use serde_json::{Map, Value};

pub use self::{
    command::{
        Action, Command, Decision, NewEvent, Rejection, Rendered, RenderedCommand, RenderedHttp,
        Timer, TimerPurpose,
    },
    replay::ReplayError,
};
use crate::definition::{Definition, OnFailure, Work};

/// The state of one execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    definition: Arc<Definition>,
    id: Option<ExecutionId>,
    status: ExecutionStatus,
    started: Option<WorkflowStarted>,
    started_at: Option<Timestamp>,
    params: Map<String, Value>,
    nodes: Vec<NodeState>,
    books: Vec<Book>,
    /// Nodes that may begin: pending, all needs met, no pause before a retry.
    ready: BTreeSet<usize>,
    /// Nodes that have not ended.
    remaining: usize,
    /// Nodes that failed and may not.
    fatal: usize,
    /// `params` as templates see them.
    template_params: minijinja::Value,
}

/// What a run keeps of a node beside what everybody sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Book {
    /// Needs that are not met.
    unmet: usize,
    /// Failed attempts that count against the retry policy.
    failures: u32,
    /// Attempts in a row that were interrupted.
    interruptions: u32,
}

impl Book {
    /// Somebody wants the node tried again: earlier failures do not count.
    const fn begin_afresh(&mut self) {
        self.failures = 0;
        self.interruptions = 0;
    }
}

impl Run {
    /// A run that has not begun.
    #[must_use]
    pub fn new(definition: Arc<Definition>) -> Self {
        let nodes = definition.nodes();
        Self {
            id: None,
            status: ExecutionStatus::Pending,
            started: None,
            started_at: None,
            params: Map::new(),
            nodes: nodes
                .iter()
                .map(|node| NodeState::new(node.id.clone()))
                .collect(),
            books: nodes
                .iter()
                .map(|node| Book {
                    unmet: node.needs.len(),
                    ..Book::default()
                })
                .collect(),
            ready: BTreeSet::new(),
            remaining: nodes.len(),
            fatal: 0,
            template_params: minijinja::Value::UNDEFINED,
            definition,
        }
    }

    /// Tells it who it is, so that templates may say `execution.id`.
    #[must_use]
    pub fn with_id(self, id: ExecutionId) -> Self {
        Self {
            id: Some(id),
            ..self
        }
    }

    /// The run that these events, in their order, made. It equals the one that decided them.
    ///
    /// # Errors
    /// When they are not the events of one run of `definition`, from the first on.
    pub fn restore<'a>(
        definition: Arc<Definition>,
        events: impl IntoIterator<Item = (Option<&'a NodeId>, &'a EventBody, Timestamp)>,
    ) -> Result<Self, ReplayError> {
        let mut run = Self::new(definition);
        for (node, body, at) in events {
            run.evolve(node, body, at)?;
        }
        Ok(run)
    }

    /// Where the execution stands.
    #[must_use]
    pub const fn status(&self) -> ExecutionStatus {
        self.status
    }

    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.status.is_terminal()
    }

    /// Where a node stands.
    ///
    /// # Panics
    /// When there is no node at that place.
    #[must_use]
    pub fn node_state(&self, node: usize) -> &NodeState {
        &self.nodes[node]
    }

    /// Where every node stands, in definition order.
    #[must_use]
    pub fn node_states(&self) -> &[NodeState] {
        &self.nodes
    }

    /// How many nodes have ended, however.
    #[must_use]
    pub fn completed_nodes(&self) -> u32 {
        u32::try_from(self.nodes.len() - self.remaining).unwrap_or(u32::MAX)
    }

    /// Parameters; empty before it begins.
    #[must_use]
    pub const fn params(&self) -> &Map<String, Value> {
        &self.params
    }

    /// When it began.
    #[must_use]
    pub const fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// What it performs.
    #[must_use]
    pub const fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// The attempt of a node that is under way or asks for a slot.
    ///
    /// # Panics
    /// When there is no node at that place.
    #[must_use]
    pub fn active_attempt(&self, node: usize) -> Option<u32> {
        let state = &self.nodes[node];
        match state.status {
            NodeStatus::Queued => Some(state.attempt_count + 1),
            NodeStatus::Running | NodeStatus::Waiting => Some(state.attempt_count),
            _ => None,
        }
    }

    /// Every timer that stands, told from the state alone.
    #[must_use]
    pub fn pending_timers(&self) -> Vec<Timer> {
        if self.is_finished() {
            return Vec::new();
        }
        (0..self.nodes.len())
            .flat_map(|node| self.timers_of(node))
            .collect()
    }

    fn timers_of(&self, node: usize) -> impl Iterator<Item = Timer> + use<> {
        let state = &self.nodes[node];
        let timer = |purpose, at| Timer {
            node,
            attempt: state.attempt_count,
            purpose,
            at,
        };
        let under_way = matches!(state.status, NodeStatus::Running | NodeStatus::Waiting);
        let deadline = under_way
            .then(|| self.deadline(node))
            .flatten()
            .map(|at| timer(TimerPurpose::Timeout, at));
        let purpose = if self.is_pausing(node) {
            Some(TimerPurpose::Retry)
        } else if self.is_sleeping(node) {
            Some(TimerPurpose::Wake)
        } else {
            None
        };
        let due = purpose.and_then(|purpose| Some(timer(purpose, state.due_at?)));
        deadline.into_iter().chain(due)
    }

    /// When the newest attempt has taken too long.
    fn deadline(&self, node: usize) -> Option<Timestamp> {
        let node_spec = &self.definition.nodes()[node];
        // A noop is over as soon as it has begun.
        let timeout_s = node_spec
            .timeout_s
            .filter(|_| node_spec.work != Work::Noop)?;
        Some(self.nodes[node].started_at?.plus_s(timeout_s))
    }

    /// Whether it pauses before its next attempt.
    fn is_pausing(&self, node: usize) -> bool {
        let state = &self.nodes[node];
        state.status == NodeStatus::Pending && state.due_at.is_some()
    }

    fn is_sleeping(&self, node: usize) -> bool {
        use limelight_protocol::execution::WaitReason;
        let state = &self.nodes[node];
        state.status == NodeStatus::Waiting && state.waiting_for == Some(WaitReason::Sleep)
    }

    fn on_failure(&self, node: usize) -> OnFailure {
        self.definition.nodes()[node].on_failure
    }

    /// Whether what needs this node may begin, as far as this node goes.
    fn satisfies(&self, node: usize) -> bool {
        let state = &self.nodes[node];
        match state.status {
            NodeStatus::Completed => true,
            NodeStatus::Failed => self.on_failure(node) == OnFailure::Continue,
            NodeStatus::Skipped => state.skip_reason == Some(SkipReason::Condition),
            _ => false,
        }
    }

    /// Whether what needs this node cannot run because of it.
    fn blocks(&self, node: usize) -> bool {
        matches!(
            self.nodes[node].status,
            NodeStatus::Failed | NodeStatus::Skipped
        ) && !self.satisfies(node)
    }

    /// Every node that needs this one, directly or through others.
    fn transitive_dependents(&self, node: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = vec![node];
        while let Some(place) = open.pop() {
            for &dependent in self.definition.dependents(place) {
                if found.insert(dependent) {
                    open.push(dependent);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
