//! Opening a database: where it is, how safe it writes, and its schema.

use std::{path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use limelight_migration::Migrator;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, EntityTrait, Set, SqlxPostgresConnector,
    SqlxSqliteConnector,
    prelude::Uuid,
    sea_query::OnConflict,
    sqlx::{
        ConnectOptions, Connection as _, PgConnection,
        postgres::{PgConnectOptions, PgPoolOptions},
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};
use sea_orm_migration::MigratorTrait;
use tokio::sync::Mutex;

use crate::config::Config;

use super::{
    Gate, Inner, JournalWriter, Store,
    entity::journal_head,
    error::{Result, StoreError, one_line},
    journal::{postgres::PostgresJournal, sqlite::SqliteJournal},
    new_id,
};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits for a lock another process holds.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 8;

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file; it and its folder are made if missing.
    Sqlite(PathBuf),
    /// `postgres://user:password@host:port/database`.
    Postgres(String),
}

impl DatabaseUrl {
    /// Which database it is, without the password.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(url) => match PgConnectOptions::from_str(url) {
                Ok(options) => format!(
                    "postgresql://{}@{}:{}/{}",
                    options.get_username(),
                    options.get_host(),
                    options.get_port(),
                    options.get_database().unwrap_or_default()
                ),
                Err(_) => "postgresql".into(),
            },
        }
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place())
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        let path = text
            .strip_prefix("sqlite://")
            .or_else(|| text.strip_prefix("sqlite:"))
            // Options such as `?mode=rwc`, as other programs write them, are ours to choose.
            .map(|path| path.split_once('?').map_or(path, |(path, _)| path))
            .filter(|path| !path.is_empty());
        path.map(|path| Self::Sqlite(path.into())).ok_or_else(|| {
            "a database URL begins with sqlite:PATH, postgres:// or postgresql://".into()
        })
    }
}

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// The disk: a committed event survives a power cut.
    #[default]
    Full,
    /// The operating system: a power cut may take the last commits, in order.
    Normal,
    /// Nothing: for tests and benchmarks.
    Off,
}

/// Where the database is and how it is written.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Where it is.
    pub url: DatabaseUrl,
    /// What a commit waits for.
    pub synchronous: Synchronous,
}

impl From<&Config> for StoreOptions {
    fn from(config: &Config) -> Self {
        Self {
            url: config.database.clone(),
            synchronous: config.synchronous,
        }
    }
}

impl Store {
    /// Opens the database, makes it where it is a file that is missing, and brings its schema up to
    /// date.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`], [`StoreError::Unwritable`] and [`StoreError::NewerSchema`] say in
    /// one line what an operator can mend.
    pub async fn open(options: StoreOptions) -> Result<(Self, JournalWriter)> {
        let pools = Pools::connect(&options).await?;
        refuse_newer_schema(&pools.write).await?;
        Migrator::up(&pools.write, None).await?;
        let epoch = ensure_head(&pools.write).await?;
        let (gate, journal) = match &options.url {
            DatabaseUrl::Sqlite(path) => {
                let gate: Gate = Arc::new(Mutex::new(()));
                let journal = SqliteJournal::open(path, options.synchronous, Arc::clone(&gate))?;
                (Some(gate), JournalWriter::sqlite(journal))
            }
            DatabaseUrl::Postgres(url) => {
                let journal = PostgresJournal::connect(
                    postgres_options(url)?,
                    options.synchronous,
                    options.url.place(),
                )
                .await?;
                (None, JournalWriter::postgres(journal))
            }
        };
        let store = Self(Arc::new(Inner {
            read: pools.read,
            write: pools.write,
            gate,
            epoch,
        }));
        Ok((store, journal))
    }
}

/// What `limelight migrate` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrateCommand {
    /// Applies every step that is missing.
    Up,
    /// Takes the newest steps back.
    Down {
        /// How many.
        steps: u32,
    },
    /// Changes nothing.
    Status,
}

/// A step of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its name.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// Migrates the database and tells how it stands afterwards, oldest step first.
///
/// # Errors
/// As [`Store::open`]; and when a step fails, which leaves the schema as it was before that step.
pub async fn migrate(
    options: StoreOptions,
    command: MigrateCommand,
) -> Result<Vec<MigrationStatus>> {
    let pools = Pools::connect(&options).await?;
    refuse_newer_schema(&pools.write).await?;
    match command {
        MigrateCommand::Up => Migrator::up(&pools.write, None).await?,
        MigrateCommand::Down { steps } => Migrator::down(&pools.write, Some(steps)).await?,
        MigrateCommand::Status => {}
    }
    let applied = applied_steps(&pools.write).await?;
    let status = Migrator::migrations()
        .iter()
        .map(|step| MigrationStatus {
            name: step.name().to_owned(),
            applied: applied.iter().any(|name| name == step.name()),
        })
        .collect();
    pools.read.close().await?;
    pools.write.close().await?;
    Ok(status)
}

async fn applied_steps(connection: &DatabaseConnection) -> Result<Vec<String>> {
    Migrator::install(connection).await?;
    let rows = Migrator::get_migration_models(connection).await?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}

async fn refuse_newer_schema(connection: &DatabaseConnection) -> Result<()> {
    let known = Migrator::migrations();
    let unknown = applied_steps(connection)
        .await?
        .into_iter()
        .find(|applied| known.iter().all(|step| step.name() != applied));
    unknown.map_or(Ok(()), |name| Err(StoreError::NewerSchema(name)))
}

async fn ensure_head(connection: &DatabaseConnection) -> Result<String> {
    let fresh = journal_head::ActiveModel {
        id: Set(1),
        epoch: Set(new_id().simple().to_string()),
        position: Set(0),
    };
    journal_head::Entity::insert(fresh)
        .on_conflict(
            OnConflict::column(journal_head::Column::Id)
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(connection)
        .await?;
    let head = journal_head::Entity::find_by_id(1).one(connection).await?;
    head.map(|head| head.epoch)
        .ok_or_else(|| StoreError::corrupt("the journal has no head"))
}

struct Pools {
    read: DatabaseConnection,
    write: DatabaseConnection,
}

impl Pools {
    async fn connect(options: &StoreOptions) -> Result<Self> {
        match &options.url {
            DatabaseUrl::Sqlite(path) => Self::sqlite(path, options.synchronous).await,
            DatabaseUrl::Postgres(url) => {
                let connect = postgres_options(url)?;
                // A pool tries again until its time is up; whoever starts a server wants to know now.
                let probe = connect_postgres(&connect, &options.url.place()).await?;
                drop(probe);
                let pool = PgPoolOptions::new()
                    .max_connections(POSTGRES_CONNECTIONS)
                    .acquire_timeout(CONNECT_TIMEOUT)
                    .connect_lazy_with(connect);
                let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
                Ok(Self {
                    read: connection.clone(),
                    write: connection,
                })
            }
        }
    }

    async fn sqlite(path: &std::path::Path, synchronous: Synchronous) -> Result<Self> {
        let unwritable = |reason: String| StoreError::Unwritable {
            path: path.display().to_string(),
            reason,
        };
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            std::fs::create_dir_all(folder).map_err(|error| unwritable(one_line(&error)))?;
        }
        let common = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .disable_statement_logging();
        let writing = common
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match synchronous {
                Synchronous::Full => SqliteSynchronous::Full,
                Synchronous::Normal => SqliteSynchronous::Normal,
                Synchronous::Off => SqliteSynchronous::Off,
            });
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_with(writing)
            .await
            .map_err(|error| unwritable(one_line(&error)))?;
        let write = SqlxSqliteConnector::from_sqlx_sqlite_pool(write);
        // SQLite opens a file that it may not write without a word; only a write tells.
        write
            .execute_unprepared("BEGIN IMMEDIATE; ROLLBACK;")
            .await
            .map_err(|error| unwritable(one_line(&error)))?;
        let read = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(common.pragma("query_only", "ON"));
        let read = SqlxSqliteConnector::from_sqlx_sqlite_pool(read);
        Ok(Self { read, write })
    }
}

fn postgres_options(url: &str) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::Unreachable {
        place: "postgresql".into(),
        reason: one_line(&error),
    })?;
    Ok(options
        .application_name("limelight")
        .disable_statement_logging())
}

/// One connection, not of a pool.
pub(super) async fn connect_postgres(
    options: &PgConnectOptions,
    place: &str,
) -> Result<PgConnection> {
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

/// The 16 bytes of an identifier, as SQLite keeps them.
pub(super) fn blob(id: &Uuid) -> &[u8] {
    id.as_bytes().as_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_is_a_file_or_a_server_and_never_shows_its_password() {
        for text in [
            "sqlite:data/l.db",
            "sqlite://data/l.db",
            "sqlite://data/l.db?mode=rwc",
        ] {
            assert_eq!(text.parse(), Ok(DatabaseUrl::Sqlite("data/l.db".into())));
        }
        let server: DatabaseUrl = "postgres://ann:secret@db:5433/limelight".parse().unwrap();
        assert_eq!(format!("{server:?}"), "postgresql://ann@db:5433/limelight");
        for text in ["", "sqlite:", "mysql://x", "data/l.db"] {
            assert!(text.parse::<DatabaseUrl>().is_err(), "{text:?} was taken");
        }
    }
}
