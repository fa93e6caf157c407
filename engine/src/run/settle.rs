//! After every command: begin what may begin, end what has ended.

use limelight_protocol::{EventBody, NodeStatus, event::Ended};

use super::decide::Deciding;

impl Deciding<'_> {
    pub(super) fn settle(&mut self) {
        // Beginning a node can make others ready (a skip by condition) or take them away.
        while self.is_running()
            && let Some(&node) = self.run.ready.first()
        {
            self.begin(node);
        }
        let live = self.expect_live().is_ok();
        if live && self.run.remaining == 0 {
            self.end();
        }
    }

    fn end(&mut self) {
        let began = self.run.started_at;
        let nodes = self.run.nodes.iter();
        let failed_nodes = nodes
            .filter(|state| state.status == NodeStatus::Failed)
            .map(|state| state.node_id.clone())
            .collect();
        let ended = Ended {
            duration_s: began.map_or(0.0, |began| self.now.since_s(began).max(0.0)),
            failed_nodes,
        };
        let body = if self.run.fatal > 0 {
            EventBody::WorkflowFailed(ended)
        } else {
            EventBody::WorkflowCompleted(ended)
        };
        self.emit(None, body);
    }
}
