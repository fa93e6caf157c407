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
        // A pause has withdrawn the requests for slots already.
        let queued = self.is_running();
        self.stop_attempts(|status| {
            status == NodeStatus::Running || queued && status == NodeStatus::Queued
        });
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
