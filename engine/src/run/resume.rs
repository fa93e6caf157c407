//! The execution goes on after a pause.

use limelight_protocol::{EventBody, ExecutionStatus, NodeStatus, event::Steered};

use super::{Action, Rejection, decide::Deciding};

impl Deciding<'_> {
    pub(super) fn resume(&mut self, by: String) -> Result<(), Rejection> {
        if self.run.status != ExecutionStatus::Paused {
            self.expect_live()?;
            return Err(Rejection::new("not_paused", "the execution is not paused"));
        }
        self.emit(None, EventBody::WorkflowResumed(Steered { by }));
        self.ask_for_slots();
        for node in 0..self.run.nodes.len() {
            if self.run.is_pausing(node) {
                self.go_on_when_due(node);
            }
        }
        Ok(())
    }

    /// Asks again for the slots of all queued attempts.
    pub(super) fn ask_for_slots(&mut self) {
        for node in 0..self.run.nodes.len() {
            if self.status(node) == NodeStatus::Queued
                && let Some(attempt) = self.run.active_attempt(node)
            {
                self.act(Action::AcquireSlot { node, attempt });
            }
        }
    }
}
