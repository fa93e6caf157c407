//! The actors: one file each.
//!
//! Every actor is started by [`supervisor::supervise`] from a factory, reports [`vitals::Vitals`],
//! and reloads its state from the store when it is started afresh. A panic in one stops no other.

pub mod attempt;
pub mod coordinator;
pub mod coordinators;
pub mod host_collector;
pub mod hub;
pub mod journal;
mod keys;
pub mod supervisor;
pub mod test_runner;
pub mod test_runs;
#[cfg(test)]
mod tests;
pub mod vitals;
