//! Database schema of Limelight, the same on SQLite and PostgreSQL.
//!
//! Each step is one file, can be taken back, and runs in a transaction: a server killed while it
//! migrates finds the schema as it was. A step that has been released is never edited; a change is a
//! new step.

use sea_orm_migration::prelude::*;

mod ddl;
mod m0001_user;
mod m0002_workflow;
mod m0003_execution;
mod m0004_journal;
mod m0005_node_log;
mod m0006_metric;
mod m0007_test_run;
mod m0008_journal_commit;
mod m0009_idempotency_fingerprint;
mod m0010_node_log_blocks;
mod m0011_revoked_token;

/// Every step, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_user::Migration),
            Box::new(m0002_workflow::Migration),
            Box::new(m0003_execution::Migration),
            Box::new(m0004_journal::Migration),
            Box::new(m0005_node_log::Migration),
            Box::new(m0006_metric::Migration),
            Box::new(m0007_test_run::Migration),
            Box::new(m0008_journal_commit::Migration),
            Box::new(m0009_idempotency_fingerprint::Migration),
            Box::new(m0010_node_log_blocks::Migration),
            Box::new(m0011_revoked_token::Migration),
        ]
    }
}
