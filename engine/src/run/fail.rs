//! An attempt failed: another follows, or the node is given up.

use std::collections::BTreeSet;

use limelight_protocol::{
    EventBody, NodeStatus, Timestamp,
    event::{NodeFailed, Retrying, SkipReason, Skipped},
    execution::NodeError,
};

use super::{Run, TimerPurpose, decide::Deciding};
use crate::{definition::RetryPolicy, retry};

/// Code of the error of an attempt that was cut off through no fault of its own.
pub(super) const INTERRUPTED: &str = "interrupted";

/// After this many interruptions in a row the node is given up: it may be what ends the server.
const MOST_INTERRUPTIONS: u32 = 10;
/// So many interruptions in a row are followed by another attempt at once.
const FREE_INTERRUPTIONS: u32 = 2;
/// Longest pause after an interruption, seconds.
const LONGEST_PAUSE_S: f64 = 60.0;

impl Deciding<'_> {
    pub(super) fn fail(&mut self, node: usize, error: NodeError, retryable: bool) {
        if error.code == INTERRUPTED {
            self.interrupt(node, error);
            return;
        }
        let failures = self.run.books[node].failures + 1;
        match self.run.definition.nodes()[node].retry {
            RetryPolicy::Backoff(backoff) if retryable && failures < backoff.max_attempts => {
                let pause_s = retry::pause_s(&backoff, failures, self.jitter);
                self.retry(node, error, self.now.plus_s(pause_s));
            }
            _ => {
                let duration_s = self.duration_s(node);
                self.give_up(node, error, duration_s);
            }
        }
    }

    /// The attempt was cut off: that does not count against its policy. A node that is cut off again
    /// and again pauses between its attempts, so that the server can be used meanwhile, and is given
    /// up in the end.
    pub(super) fn interrupt(&mut self, node: usize, error: NodeError) {
        let interruptions = self.run.books[node].interruptions + 1;
        let again = matches!(
            self.run.definition.nodes()[node].retry,
            RetryPolicy::Backoff(_)
        );
        if again && interruptions < MOST_INTERRUPTIONS {
            let pause_s = pause_after_s(interruptions);
            self.retry(node, error, self.now.plus_s(pause_s));
            return;
        }
        let error = if again {
            let NodeError { code, message } = error;
            let message = format!("{message}; so were the {MOST_INTERRUPTIONS} attempts up to it");
            NodeError { code, message }
        } else {
            error
        };
        let duration_s = self.duration_s(node);
        self.give_up(node, error, duration_s);
    }

    fn retry(&mut self, node: usize, error: NodeError, at: Timestamp) {
        let retrying = Retrying {
            attempt: self.run.nodes[node].attempt_count,
            error: Some(error),
            at,
            by: None,
            reset: Vec::new(),
        };
        self.emit(Some(node), EventBody::NodeRetrying(retrying));
        self.go_on_when_due(node);
    }

    /// A node that pauses before its next attempt: the pause may be over already. While the
    /// execution is paused nothing is done: resuming looks at all of them.
    pub(super) fn go_on_when_due(&mut self, node: usize) {
        let Some(at) = self.run.nodes[node].due_at else {
            return;
        };
        if at > self.now {
            self.set_timer(node, TimerPurpose::Retry, at);
        } else if self.is_running() {
            self.begin(node);
        }
    }

    /// The node has failed for good.
    pub(super) fn give_up(&mut self, node: usize, error: NodeError, duration_s: f64) {
        let failed = NodeFailed {
            attempt: self.run.nodes[node].attempt_count,
            error,
            duration_s,
        };
        self.emit(Some(node), EventBody::NodeFailed(failed));
        if self.run.blocks(node) {
            self.skip_dependents(node);
        }
    }

    fn skip_dependents(&mut self, node: usize) {
        // What is skipped for another failure has everything below it skipped already, so each edge
        // is gone along once however many nodes fail.
        let fresh =
            |run: &Run, place: usize| run.nodes[place].skip_reason != Some(SkipReason::Upstream);
        let mut found = BTreeSet::new();
        let mut open = vec![node];
        while let Some(place) = open.pop() {
            for &dependent in self.run.definition.dependents(place) {
                if fresh(self.run, dependent) && found.insert(dependent) {
                    open.push(dependent);
                }
            }
        }
        for dependent in found {
            if self.status(dependent) == NodeStatus::Pending {
                let reason = SkipReason::Upstream;
                self.emit(Some(dependent), EventBody::NodeSkipped(Skipped { reason }));
            }
        }
    }
}

/// Seconds to wait after so many interruptions in a row: none at first, then 1, 2, 4, ...
fn pause_after_s(interruptions: u32) -> f64 {
    match interruptions.checked_sub(FREE_INTERRUPTIONS + 1) {
        None => 0.0,
        Some(further) => {
            f64::from(1_u32.checked_shl(further).unwrap_or(u32::MAX)).min(LONGEST_PAUSE_S)
        }
    }
}
