//! The store: one SQLite file or one PostgreSQL database.
//!
//! Two ends. [`JournalWriter`] is the only thing that writes events and, in the same transaction, the
//! read models that must agree with them; the journal actor owns it. [`Store`] is everything else, and
//! cheap to clone. Functions that return what belongs to somebody take the [`Caller`] first.
//!
//! On SQLite there is one writer at a time: the journal's own connection and the store's single write
//! connection take turns by an in-process gate, so that "database is locked" cannot happen; readers
//! have a pool of their own and wait for nobody.
//!
//! [`Caller`]: crate::auth::Caller

use std::sync::Arc;

use sea_orm::{ConnectionTrait as _, DatabaseBackend, prelude::Uuid};
use tokio::sync::{Mutex, OwnedMutexGuard};

mod connection;
mod entity;
pub mod error;
pub mod executions;
mod file_lock;
mod health;
pub mod journal;
pub mod logs;
pub mod marker;
pub mod metrics;
pub mod open;
pub mod paging;
mod pools;
pub mod revoked;
pub mod schema;
pub mod snapshot;
#[cfg(test)]
mod suite;
pub mod test_runs;
mod text;
pub mod users;
pub mod workflows;

pub use error::StoreError;
pub use executions::{Claimed, ExecutionFilter};
pub use journal::{
    Append, AppendError, CommittedEvent, IdempotencyKey, JournalWriter, NewExecution, PendingEvent,
    ReadModel,
};
pub use open::{DatabaseUrl, StoreOptions, Synchronous};
pub use schema::{MigrateCommand, MigrationStatus, migrate};
pub use snapshot::Snapshot;
pub use users::User;
pub use workflows::{NewVersion, NewWorkflow, StoredVersion};

use connection::{Connection, Transaction};
use error::Result;
use health::Health;

/// The readable and writable rest of the database. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    read: Connection,
    write: Connection,
    /// Present on SQLite: whoever holds it may write.
    gate: Option<Gate>,
    epoch: String,
    health: Health,
}

/// One writer at a time.
type Gate = Arc<Mutex<()>>;

/// A connection that may write, for as long as this lives.
struct Writer<'a> {
    connection: &'a Connection,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl std::ops::Deref for Writer<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Store {
    /// Identity of the journal: a restored or recreated database has another.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.0.epoch
    }

    /// `sqlite` or `postgresql`.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        match self.0.read.get_database_backend() {
            DatabaseBackend::Postgres => "postgresql",
            _ => "sqlite",
        }
    }

    /// Asks the database for a sign of life, and whether it took the newest writes.
    ///
    /// # Errors
    /// When it gives none, or did not.
    pub async fn ping(&self) -> Result<()> {
        self.0.read.ping().await?;
        self.0.health.trouble().map_or(Ok(()), Err)
    }

    /// Waits until another server has the database, which ends this one's right to it.
    pub async fn taken_over(&self) {
        self.0.health.taken_over().await;
    }

    /// Ends every connection of this store and of its clones. The journal writer has its own.
    pub async fn close(self) {
        for connection in [&self.0.read, &self.0.write] {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "a database connection did not close");
            }
        }
    }

    fn read(&self) -> &Connection {
        &self.0.read
    }

    /// A transaction whose reads all see the database as of one moment.
    async fn moment(&self) -> Result<Transaction> {
        Ok(self.0.read.moment().await?)
    }

    /// For a server whose database another one has this does not come: it ends.
    async fn write(&self) -> Writer<'_> {
        if self.0.health.is_taken_over() {
            std::future::pending::<()>().await;
        }
        let turn = match &self.0.gate {
            Some(gate) => Some(Arc::clone(gate).lock_owned().await),
            None => None,
        };
        Writer {
            connection: &self.0.write,
            _turn: turn,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("backend", &self.backend_name())
            .field("epoch", &self.0.epoch)
            .finish()
    }
}

/// Makes an identifier that sorts after the earlier ones.
fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// A number as the databases count. One beyond that, which only a client can bring, is the largest.
fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
