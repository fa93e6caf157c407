//! Opening a database: where it is and how safe it writes.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use sea_orm::{
    ColumnTrait as _, EntityTrait, QueryFilter as _, Set,
    prelude::Uuid,
    sea_query::{Expr, OnConflict},
    sqlx::postgres::PgConnectOptions,
};

use crate::config::Config;

use super::{
    Gate, Inner, JournalWriter, Store,
    connection::Connection,
    entity::journal_head,
    error::{Result, StoreError, one_line},
    file_lock::FileLock,
    health::Health,
    journal::{postgres::PostgresJournal, sqlite::SqliteJournal},
    marker::Marker,
    new_id,
    pools::{Pools, postgres_options},
    schema,
};

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
        // SQLite would read these as a URI or as no file, and open another than the one that is locked.
        if path.is_some_and(|path| path.starts_with("file:") || path.starts_with(':')) {
            return Err("a SQLite database is named by its path: sqlite:PATH".into());
        }
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
    /// Opens the database as its only server: takes its lock, makes it where it is a file that is
    /// missing, and brings its schema up to date. The lock is the writer's.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Unreachable`], [`StoreError::Unwritable`] and
    /// [`StoreError::NewerSchema`] say in one line what an operator can mend.
    pub async fn open(options: StoreOptions) -> Result<(Self, JournalWriter)> {
        Self::open_with(options, None).await
    }

    /// As [`Self::open`]. The file `marker` tells whether the database was put back from a copy, which
    /// gives it another epoch; see [`super::marker`].
    ///
    /// # Errors
    /// As [`Self::open`], and when the file cannot be written.
    pub async fn open_marked(
        options: StoreOptions,
        marker: &Path,
    ) -> Result<(Self, JournalWriter)> {
        Self::open_with(options, Some(marker)).await
    }

    async fn open_with(
        options: StoreOptions,
        marker: Option<&Path>,
    ) -> Result<(Self, JournalWriter)> {
        let (gate, health) = (Gate::default(), Health::default());
        // Before anything is touched: it has the lock.
        let mut journal = journal(&options, &gate, &health).await?;
        schema::update(&options).await?;
        let pools = Pools::connect(&options).await?;
        let mut head = ensure_head(&pools.write).await?;
        if let Some(path) = marker {
            journal.mark(check_marker(&pools.write, &mut head, path).await?);
        }
        let gate = matches!(options.url, DatabaseUrl::Sqlite(_)).then_some(gate);
        let store = Self(Arc::new(Inner {
            read: pools.read,
            write: pools.write,
            gate,
            epoch: head.epoch,
            health,
        }));
        Ok((store, journal))
    }

    /// Opens the database beside a server that may be at work on it, for what does not concern the
    /// journal. Only where its schema is not up to date must no server be at work.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_beside(options: StoreOptions) -> Result<Self> {
        let connection = super::pools::for_schema(&options).await?;
        let current = schema::is_current(&connection).await?;
        connection.close().await?;
        if !current {
            let (store, mut journal) = Self::open(options.clone()).await?;
            journal.close().await;
            store.close().await;
        }
        let pools = Pools::connect(&options).await?;
        Ok(Self(Arc::new(Inner {
            epoch: ensure_head(&pools.write).await?.epoch,
            read: pools.read,
            write: pools.write,
            // Another process has the other writer; SQLite's own lock is between them.
            gate: None,
            health: Health::default(),
        })))
    }
}

/// The journal's writer, which has the lock that makes this process the database's only server.
pub(super) async fn journal(
    options: &StoreOptions,
    gate: &Gate,
    health: &Health,
) -> Result<JournalWriter> {
    match &options.url {
        DatabaseUrl::Sqlite(path) => {
            let lock = FileLock::take(path).await?;
            let gate = Arc::clone(gate);
            let journal = SqliteJournal::open(path, options.synchronous, gate, lock)?;
            Ok(JournalWriter::sqlite(journal, health.clone()))
        }
        DatabaseUrl::Postgres(url) => {
            let place = options.url.place();
            let connect = postgres_options(url)?;
            let journal = PostgresJournal::connect(connect, options.synchronous, place).await?;
            Ok(JournalWriter::postgres(journal, health.clone()))
        }
    }
}

/// A writer beside a server at work, for tests of what the server then does.
#[cfg(test)]
pub(crate) fn sqlite_writer_beside(path: &Path) -> JournalWriter {
    let folder = tempfile::tempdir().unwrap();
    let lock = FileLock::of(std::fs::File::create(folder.path().join("lock")).unwrap());
    let journal = SqliteJournal::open(path, Synchronous::Off, Gate::default(), lock).unwrap();
    JournalWriter::sqlite(journal, Health::default())
}

async fn ensure_head(connection: &Connection) -> Result<journal_head::Model> {
    let fresh = journal_head::ActiveModel {
        id: Set(1),
        epoch: Set(new_epoch()),
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
    head.ok_or_else(|| StoreError::corrupt("the journal has no head"))
}

fn new_epoch() -> String {
    new_id().simple().to_string()
}

/// Gives the journal another epoch where the marker contradicts it.
///
/// What carries the mark of an earlier epoch is left alone: it may belong to a server that has the
/// original of the copy, or whose data folder this was.
async fn check_marker(
    connection: &Connection,
    head: &mut journal_head::Model,
    path: &Path,
) -> Result<Marker> {
    let unwritable = |error: std::io::Error| StoreError::Unwritable {
        path: path.display().to_string(),
        reason: one_line(&error),
    };
    let (mut marker, marked) = Marker::open(path).map_err(unwritable)?;
    if marked.contradicts(&head.epoch, head.position as u64) {
        let epoch = new_epoch();
        journal_head::Entity::update_many()
            .col_expr(journal_head::Column::Epoch, Expr::value(epoch.clone()))
            .filter(journal_head::Column::Id.eq(1))
            .exec(connection)
            .await?;
        tracing::warn!(
            database = %head.epoch, position = head.position, ?marked, %epoch,
            "the database is not as this server left it, as when it was put back from a copy: \
             the journal has a new epoch, and clients begin anew"
        );
        head.epoch = epoch;
    }
    marker
        .begin(&head.epoch, head.position as u64)
        .map_err(unwritable)?;
    Ok(marker)
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
