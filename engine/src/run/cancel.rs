//! The execution is called off.

use limelight_protocol::{
    EventBody, NodeStatus,
    event::{Attempted, Steered},
};

use super::{Rejection, decide::Deciding};

impl Deciding<'_> {
    pub(super) fn cancel(&mut self, by: String) -> Result<(), Rejection> {
        if self.run.is_finished() {
            self.expect_live()?;
        }
        self.stop_attempts(|status| matches!(status, NodeStatus::Queued | NodeStatus::Running));
        for node in 0..self.run.nodes.len() {
            if !self.status(node).is_terminal() {
                let attempt = self.run.nodes[node].attempt_count;
                self.emit(Some(node), EventBody::NodeCancelled(Attempted { attempt }));
            }
        }
        self.emit(None, EventBody::WorkflowCancelled(Steered { by }));
        Ok(())
    }
}
