//! The execution pauses: nothing more begins.

use limelight_protocol::{EventBody, ExecutionStatus, NodeStatus, event::Steered};

use super::{Action, Rejection, decide::Deciding};

impl Deciding<'_> {
    pub(super) fn pause(&mut self, by: String) -> Result<(), Rejection> {
        self.expect_live()?;
        if self.run.status == ExecutionStatus::Paused {
            return Err(Rejection::new(
                "already_paused",
                "the execution is paused already",
            ));
        }
        self.emit(None, EventBody::WorkflowPaused(Steered { by }));
        self.stop_attempts(|status| status == NodeStatus::Queued);
        Ok(())
    }

    /// Stops the active attempts of nodes with such a status.
    pub(super) fn stop_attempts(&mut self, which: impl Fn(NodeStatus) -> bool) {
        for node in 0..self.run.nodes.len() {
            if which(self.status(node))
                && let Some(attempt) = self.run.active_attempt(node)
            {
                self.act(Action::Stop { node, attempt });
            }
        }
    }
}
