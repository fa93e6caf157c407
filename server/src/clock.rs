//! The one place that reads the clocks and the random source for decisions.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use limelight_protocol::Timestamp;

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A moment, by both clocks: what happened is dated by the wall clock, which somebody may set; what
/// is waited for is measured by the other one, which only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the wall clock.
    pub at: Timestamp,
    /// Since the process began.
    pub uptime: Duration,
}

/// This instant, to the millisecond.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(chrono::Utc::now().timestamp_millis())
}

/// This instant, by both clocks.
#[must_use]
pub fn moment() -> Moment {
    Moment {
        at: now(),
        uptime: BEGAN.elapsed(),
    }
}

/// A random number in [0, 1), for retry jitter.
#[must_use]
pub fn jitter() -> f64 {
    rand::random()
}
