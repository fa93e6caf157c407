//! The tables as sea-orm sees them. Private to the store: nothing else may know a column.
//!
//! Identifiers are `Uuid`: 16 bytes in SQLite (`BLOB`), `uuid` in PostgreSQL. Times are milliseconds
//! since the Unix epoch.

pub mod event;
pub mod execution;
pub mod journal_head;
pub mod metric_rollup;
pub mod metric_sample;
pub mod node_log;
pub mod node_state;
pub mod revoked_token;
pub mod test_case;
pub mod test_run;
pub mod user;
pub mod workflow;
pub mod workflow_version;
