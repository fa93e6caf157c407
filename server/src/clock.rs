//! The one place that reads the wall clock and the random source for decisions.

use limelight_protocol::Timestamp;

/// This instant, to the millisecond.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(chrono::Utc::now().timestamp_millis())
}

/// A random number in [0, 1), for retry jitter.
#[must_use]
pub fn jitter() -> f64 {
    rand::random()
}
