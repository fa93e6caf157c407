//! One text of a table for both databases.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DatabaseBackend},
};

/// Runs `text` after putting in the words in which the two databases differ:
///
/// | written | SQLite | PostgreSQL | |
/// |---|---|---|---|
/// | `{id}` | `BLOB` | `uuid` | 16 bytes; both order them by byte, so UUIDv7 sorts by age |
/// | `{json}` | `TEXT` | `jsonb` | |
/// | `{name}` | `TEXT` | `text COLLATE "C"` | both order them by byte |
/// | `{rowid}` | `INTEGER` | `bigint` | as a primary key the table itself is ordered by it |
/// | `{clustered}` | `WITHOUT ROWID` | | the table itself is ordered by its primary key |
///
/// Everything else both understand. Times are milliseconds since the Unix epoch, as `BIGINT`.
pub async fn run(manager: &SchemaManager<'_>, text: &str) -> Result<(), DbErr> {
    let words = match manager.get_database_backend() {
        DatabaseBackend::Postgres => [
            ("{id}", "uuid"),
            ("{json}", "jsonb"),
            ("{name}", "text COLLATE \"C\""),
            ("{rowid}", "bigint"),
            ("{clustered}", ""),
        ],
        _ => [
            ("{id}", "BLOB"),
            ("{json}", "TEXT"),
            ("{name}", "TEXT"),
            ("{rowid}", "INTEGER"),
            ("{clustered}", "WITHOUT ROWID"),
        ],
    };
    let sql = words
        .into_iter()
        .fold(text.to_owned(), |sql, (written, meant)| {
            sql.replace(written, meant)
        });
    manager.get_connection().execute_unprepared(&sql).await?;
    Ok(())
}

/// Declares `Migration` of the module it stands in: what goes up and what takes it back.
macro_rules! step {
    (up: $up:expr, down: $down:expr $(,)?) => {
        use sea_orm_migration::prelude::*;

        #[derive(DeriveMigrationName)]
        pub struct Migration;

        // async_trait needs the signatures as the trait writes them.
        #[allow(elided_lifetimes_in_paths)]
        #[async_trait::async_trait]
        impl MigrationTrait for Migration {
            async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                crate::ddl::run(manager, $up).await
            }

            async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                crate::ddl::run(manager, $down).await
            }

            fn use_transaction(&self) -> Option<bool> {
                Some(true)
            }
        }
    };
}

pub(crate) use step;
