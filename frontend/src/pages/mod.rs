//! One file per page.

pub mod actors;
pub mod execution;
pub mod executions;
pub mod host_panel;
pub mod overview;
pub mod sign_in;
pub mod test_run;
pub mod tests;
pub mod workflow;
pub mod workflows;
