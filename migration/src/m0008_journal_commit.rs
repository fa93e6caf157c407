//! A batch of the journal in one round trip, on PostgreSQL. SQLite lives in the process and needs
//! no such thing.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DatabaseBackend},
};

#[derive(DeriveMigrationName)]
pub struct Migration;

impl Migration {
    async fn on_postgres(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
        if manager.get_database_backend() == DatabaseBackend::Postgres {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

// async_trait needs the signatures as the trait writes them.
#[allow(elided_lifetimes_in_paths)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Self::on_postgres(manager, include_str!("m0008_journal_commit.sql")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Self::on_postgres(manager, "DROP FUNCTION journal_commit(jsonb);").await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
