//! What an event does to the state. Together with [`super::replay`] the only place that changes it.

use limelight_protocol::{
    EventBody, ExecutionStatus, NodeId, NodeState, NodeStatus, Timestamp,
    event::{Retrying, WorkflowStarted},
};

use super::{ReplayError, Run, context, fail::INTERRUPTED};
use crate::definition::OnFailure;

impl Run {
    /// Takes in an event that was decided earlier.
    ///
    /// # Errors
    /// When it cannot have happened in this state, which is then unchanged.
    pub fn evolve(
        &mut self,
        node: Option<&NodeId>,
        body: &EventBody,
        at: Timestamp,
    ) -> Result<(), ReplayError> {
        let node = self.check(node, body)?;
        self.apply(node, body, at);
        Ok(())
    }

    /// The same for an event known to be lawful.
    pub(super) fn apply(&mut self, node: Option<usize>, body: &EventBody, at: Timestamp) {
        if let Some(node) = node {
            self.apply_to_node(node, body, at);
            return;
        }
        match body {
            EventBody::WorkflowStarted(started) => self.apply_start(started, at),
            EventBody::WorkflowPaused(_) => self.status = ExecutionStatus::Paused,
            EventBody::WorkflowResumed(_) => self.status = ExecutionStatus::Running,
            EventBody::WorkflowCompleted(_) => self.status = ExecutionStatus::Completed,
            EventBody::WorkflowFailed(_) => self.status = ExecutionStatus::Failed,
            EventBody::WorkflowCancelled(_) => self.status = ExecutionStatus::Cancelled,
            _ => {}
        }
    }

    fn apply_start(&mut self, started: &WorkflowStarted, at: Timestamp) {
        self.status = ExecutionStatus::Running;
        self.started_at = Some(at);
        self.params.clone_from(&started.params);
        self.template_params = context::params(&self.definition, &self.params);
        self.started = Some(started.clone());
        let books = self.books.iter().enumerate();
        self.ready = books
            .filter(|(_, book)| book.unmet == 0)
            .map(|(node, _)| node)
            .collect();
    }

    fn apply_to_node(&mut self, node: usize, body: &EventBody, at: Timestamp) {
        let ended_before = self.nodes[node].status.is_terminal();
        if ended_before {
            self.uncount(node);
        }
        self.nodes[node].apply(body, at);
        match body {
            EventBody::NodeRetrying(retrying) if retrying.by.is_some() => {
                self.start_over(node, retrying);
            }
            EventBody::NodeRetrying(retrying) => {
                let book = &mut self.books[node];
                let error = retrying.error.as_ref();
                if error.is_some_and(|error| error.code == INTERRUPTED) {
                    book.interruptions += 1;
                } else {
                    book.failures += 1;
                    book.interruptions = 0;
                }
            }
            _ => {}
        }
        if self.nodes[node].status != NodeStatus::Pending {
            self.ready.remove(&node);
        }
        if self.nodes[node].status.is_terminal() {
            self.count(node);
            if self.satisfies(node) {
                self.satisfy_dependents(node);
            }
        }
    }

    /// A node has ended.
    fn count(&mut self, node: usize) {
        self.remaining -= 1;
        self.fatal += usize::from(self.is_fatal(node));
    }

    /// A node that had ended no longer has.
    fn uncount(&mut self, node: usize) {
        self.remaining += 1;
        self.fatal -= usize::from(self.is_fatal(node));
    }

    pub(super) fn is_fatal(&self, node: usize) -> bool {
        self.nodes[node].status == NodeStatus::Failed && self.on_failure(node) == OnFailure::Fail
    }

    fn satisfy_dependents(&mut self, node: usize) {
        // The definition is shared; holding it keeps the borrow of `self` apart.
        let definition = self.definition.clone();
        for &dependent in definition.dependents(node) {
            let book = &mut self.books[dependent];
            book.unmet = book.unmet.saturating_sub(1);
            if book.unmet == 0 && self.nodes[dependent].status == NodeStatus::Pending {
                self.ready.insert(dependent);
            }
        }
    }

    /// Somebody asked for another try of `node`: it and what was reset have their budgets afresh,
    /// and whatever depends on it waits for it again.
    fn start_over(&mut self, node: usize, retrying: &Retrying) {
        self.books[node].begin_afresh();
        for id in &retrying.reset {
            let Some(place) = self.definition.index_of(id) else {
                continue;
            };
            if self.nodes[place].status.is_terminal() {
                self.uncount(place);
            }
            self.nodes[place] = NodeState {
                attempt_count: self.nodes[place].attempt_count,
                ..NodeState::new(id.clone())
            };
            self.books[place].begin_afresh();
        }
        for dependent in self.transitive_dependents(node) {
            let needs = &self.definition.nodes()[dependent].needs;
            let unmet = needs.iter().filter(|&&need| !self.satisfies(need)).count();
            self.books[dependent].unmet = unmet;
            self.ready.remove(&dependent);
        }
    }
}
