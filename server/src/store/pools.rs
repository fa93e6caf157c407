//! Connections: how they are made, and that they are fit.

use std::{path::Path, str::FromStr, time::Duration};

use sea_orm::{
    DatabaseConnection, SqlxPostgresConnector, SqlxSqliteConnector,
    sqlx::{
        self, ConnectOptions, Connection as _, Executor as _, PgConnection, SqliteConnection,
        postgres::{PgConnectOptions, PgPoolOptions},
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};

use super::{
    DatabaseUrl, StoreOptions, Synchronous,
    connection::{Connection, STATEMENT_LIMIT},
    error::{Result, StoreError, one_line},
    file_lock,
};

/// How long a connection may take to come about.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits for a lock another process holds.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 8;

/// The pools of a store.
pub struct Pools {
    pub read: Connection,
    pub write: Connection,
}

impl Pools {
    pub async fn connect(options: &StoreOptions) -> Result<Self> {
        match &options.url {
            DatabaseUrl::Sqlite(path) => {
                let write = sqlite_writer(path, options.synchronous).await?;
                let reading = sqlite_options(path).pragma("query_only", "ON");
                let read = SqlitePoolOptions::new()
                    .max_connections(SQLITE_READERS)
                    .acquire_timeout(CONNECT_TIMEOUT)
                    .connect_lazy_with(reading);
                let read = SqlxSqliteConnector::from_sqlx_sqlite_pool(read);
                Ok(Self {
                    read: Connection::new(read),
                    write: Connection::new(write),
                })
            }
            DatabaseUrl::Postgres(url) => {
                let limit = STATEMENT_LIMIT.as_millis().to_string();
                let connect = postgres_options(url)?.options([("statement_timeout", limit)]);
                let pool = postgres_pool(POSTGRES_CONNECTIONS).connect_lazy_with(connect);
                let pool = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
                Ok(Self {
                    read: Connection::new(pool.clone()),
                    write: Connection::new(pool),
                })
            }
        }
    }
}

/// A connection for changes of the schema, which take as long as they take.
pub async fn for_schema(options: &StoreOptions) -> Result<DatabaseConnection> {
    match &options.url {
        DatabaseUrl::Sqlite(path) => {
            file_lock::make(path)?;
            sqlite_writer(path, options.synchronous).await
        }
        DatabaseUrl::Postgres(url) => {
            let connect = postgres_options(url)?;
            // A pool tries again until its time is up; whoever starts a server wants to know now.
            drop(connect_postgres(&connect, &options.url.place()).await?);
            let pool = postgres_pool(1).connect_lazy_with(connect);
            Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
        }
    }
}

fn postgres_pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECT_TIMEOUT)
        .after_release(|connection, _| {
            Box::pin(async move { Ok(may_write(connection).await? && is_fit(connection)) })
        })
}

/// Whether a session may write. One that was told at its beginning that it may not keeps to that, whatever
/// its database says later; it is closed, and a new one hears what holds now. Asking also waits for a
/// rollback that is still on its way.
async fn may_write(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let asked = sqlx::query_scalar("SELECT current_setting('transaction_read_only') = 'off'");
    asked.fetch_one(connection).await
}

fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .disable_statement_logging()
}

async fn sqlite_writer(path: &Path, synchronous: Synchronous) -> Result<DatabaseConnection> {
    let unwritable = |reason: String| StoreError::Unwritable {
        path: path.display().to_string(),
        reason,
    };
    let writing = sqlite_options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
            Synchronous::Off => SqliteSynchronous::Off,
        });
    // A pool tries again until its time is up; whoever starts a server wants to know now.
    let mut first = SqliteConnection::connect_with(&writing)
        .await
        .map_err(|error| unwritable(one_line(&error)))?;
    ensure_writable(&mut first)
        .await
        .map_err(|error| unwritable(one_line(&error)))?;
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .after_connect(|connection, _| Box::pin(ensure_writable(connection)))
        .after_release(|connection, _| {
            Box::pin(async move {
                // A rollback may still be on its way.
                connection.ping().await?;
                Ok(is_fit(connection))
            })
        })
        .connect_lazy_with(writing);
    drop(first.close().await);
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// SQLite opens a file that it may not write without a word, and never writes by that connection even
/// when the file may be written again; only a write tells.
async fn ensure_writable(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    connection.execute("BEGIN IMMEDIATE; ROLLBACK;").await?;
    Ok(())
}

/// Whether a connection that comes back may be used again. A transaction whose end failed may still be
/// open, and whoever came next would find himself inside it; such a connection is closed, which ends the
/// transaction for certain, and a new one takes its place.
fn is_fit<C: sqlx::Connection>(connection: &mut C) -> bool {
    !connection.is_in_transaction()
}

/// How to connect to the database that `url` names.
pub fn postgres_options(url: &str) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::Unreachable {
        place: "postgresql".into(),
        reason: one_line(&error),
    })?;
    Ok(options
        .application_name("limelight")
        .disable_statement_logging())
}

/// One connection, not of a pool.
pub async fn connect_postgres(options: &PgConnectOptions, place: &str) -> Result<PgConnection> {
    let unreachable = |reason| StoreError::Unreachable {
        place: place.to_owned(),
        reason,
    };
    let connecting = PgConnection::connect_with(options);
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(result) => result.map_err(|error| unreachable(one_line(&error))),
        Err(_) => Err(unreachable("it does not answer".into())),
    }
}
