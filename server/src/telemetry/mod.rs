//! What the server says of itself: logs on stderr, numbers for Prometheus.
//!
//! Numbers alone are recorded by the methods of [`Metrics`]; what operators also want to read in
//! the log is an event of [`events`], which does both. Labels hold only values from small fixed
//! sets (routes, kinds, statuses, mounts), never ids or names that users choose.

mod actors;
pub mod events;
mod host;
mod log;
mod metrics;
mod process;
mod register;

pub use events::TelemetryEvent;
pub use log::init_tracing;
pub use metrics::Metrics;
