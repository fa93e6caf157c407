//! A running attempt says how far it is.

use limelight_protocol::{EventBody, NodeStatus, event::Progress};

use super::{Rejection, decide::Deciding};

impl Deciding<'_> {
    pub(super) fn progress(
        &mut self,
        node: usize,
        attempt: u32,
        progress: f64,
        message: Option<String>,
    ) -> Result<(), Rejection> {
        self.expect(node, attempt, NodeStatus::Running)?;
        if progress.is_nan() {
            return Err(Rejection::new("bad_progress", "progress is not a number"));
        }
        let progress = Progress {
            attempt,
            progress: progress.clamp(0.0, 100.0),
            message,
        };
        self.emit(Some(node), EventBody::NodeProgress(progress));
        Ok(())
    }
}
