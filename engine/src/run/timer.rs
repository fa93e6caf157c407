//! A timer is due.

use limelight_protocol::{NodeStatus, execution::NodeError};
use serde_json::Map;

use super::{Action, Rejection, Timer, TimerPurpose, decide::Deciding};

impl Deciding<'_> {
    pub(super) fn timer_fired(&mut self, timer: Timer) -> Result<(), Rejection> {
        let Timer {
            node,
            attempt,
            purpose,
            ..
        } = timer;
        if node >= self.run.nodes.len() {
            let detail = format!("there is no node at place {node}");
            return Err(Rejection::new("unknown_node", detail));
        }
        if !self.run.timers_of(node).any(|standing| standing == timer) || self.run.is_finished() {
            return Err(self.stale(node, attempt));
        }
        match purpose {
            TimerPurpose::Wake => self.complete(node, Map::new(), Vec::new(), None),
            TimerPurpose::Timeout => self.time_out(node, attempt),
            // Resuming looks at all that became due during the pause.
            TimerPurpose::Retry if !self.is_running() => {}
            TimerPurpose::Retry => self.begin(node),
        }
        Ok(())
    }

    fn time_out(&mut self, node: usize, attempt: u32) {
        if self.status(node) == NodeStatus::Running {
            self.act(Action::Stop { node, attempt });
        }
        let timeout_s = self.run.definition.nodes()[node].timeout_s;
        let error = NodeError {
            code: "timeout".to_owned(),
            message: format!("took longer than {} s", timeout_s.unwrap_or_default()),
        };
        self.fail(node, error, true);
    }
}
