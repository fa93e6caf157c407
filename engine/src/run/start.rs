//! The execution begins.

use limelight_protocol::{EventBody, ExecutionStatus, event::WorkflowStarted};

use super::{Rejection, decide::Deciding};

impl Deciding<'_> {
    pub(super) fn start(&mut self, started: WorkflowStarted) -> Result<(), Rejection> {
        if self.run.status != ExecutionStatus::Pending {
            return Err(Rejection::new(
                "already_started",
                "the execution has begun already",
            ));
        }
        let total_nodes = u32::try_from(self.run.nodes.len()).unwrap_or(u32::MAX);
        let started = WorkflowStarted {
            total_nodes,
            ..started
        };
        self.emit(None, EventBody::WorkflowStarted(started));
        Ok(())
    }
}
