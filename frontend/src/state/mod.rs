//! What the page knows, folded from snapshots and events. No DOM: all of it is tested natively.

pub mod actors;
pub mod event_log;
pub mod execution;
pub mod executions;
pub mod host;
pub mod log;
pub mod params;
pub mod remote;
pub mod test_run;
