//! An attempt succeeded.

use limelight_protocol::{EventBody, event::NodeCompleted};
use serde_json::{Map, Value};

use super::decide::Deciding;

impl Deciding<'_> {
    pub(super) fn complete(
        &mut self,
        node: usize,
        outputs: Map<String, Value>,
        artifacts: Vec<String>,
        quality: Option<f64>,
    ) {
        let done = NodeCompleted {
            attempt: self.run.nodes[node].attempt_count,
            outputs,
            artifacts,
            // A number that JSON cannot hold would make the event unreadable.
            quality: quality
                .filter(|quality| !quality.is_nan())
                .map(|quality| quality.clamp(0.0, 1.0)),
            duration_s: self.duration_s(node),
        };
        self.emit(Some(node), EventBody::NodeCompleted(done));
    }
}
