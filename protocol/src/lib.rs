//! Wire types of Limelight: everything that crosses HTTP, the WebSocket or the journal.
//!
//! The server, the dashboard (wasm) and the command line share this crate, so that a change of the
//! wire is a change of a type. It never does I/O, reads no clock and makes no identifiers.

pub mod actor;
pub mod auth;
pub mod error;
pub mod event;
pub mod execution;
pub mod host;
pub mod id;
pub mod rest;
pub mod testing;
pub mod time;
pub mod topic;
pub mod workflow;
pub mod ws;

pub use error::Problem;
pub use event::{Event, EventBody, EventType};
pub use execution::{Execution, ExecutionStatus, ExecutionSummary, NodeState, NodeStatus};
pub use id::{ExecutionId, NodeId, TestRunId, UserId, WorkflowId};
pub use time::Timestamp;
pub use topic::{Cursor, Stream, Topic};
