//! The server restarted under a live execution.

use limelight_protocol::{NodeStatus, execution::NodeError};

use super::{Action, decide::Deciding, fail::INTERRUPTED};

impl Deciding<'_> {
    pub(super) fn recover(&mut self) {
        if self.expect_live().is_err() {
            return;
        }
        let nodes = 0..self.run.nodes.len();
        let running: std::collections::BTreeSet<_> = nodes
            .filter(|&node| self.status(node) == NodeStatus::Running)
            .collect();
        // What stood before: timers that are set for what begins now set themselves.
        let standing = self.run.pending_timers();
        if self.is_running() {
            self.ask_for_slots();
        }
        for timer in standing {
            if !running.contains(&timer.node) {
                self.act(Action::SetTimer(timer));
            }
        }
        for node in running {
            let error = NodeError {
                code: INTERRUPTED.to_owned(),
                message: "the server went down while this attempt was running".to_owned(),
            };
            self.interrupt(node, error);
        }
    }
}
