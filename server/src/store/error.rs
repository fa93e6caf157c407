//! What can go wrong with the store.

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

/// Shorthand of this module.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why the store did not do what was asked. Every message is one line and free of secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or not to us.
    #[error("cannot reach the database {place}: {reason}")]
    Unreachable {
        /// Which, without the password.
        place: String,
        /// Why.
        reason: String,
    },
    /// The SQLite file or its folder cannot be written.
    #[error("cannot write the database {path}: {reason}")]
    Unwritable {
        /// The file or folder.
        path: String,
        /// Why.
        reason: String,
    },
    /// Another server has the lock of this database.
    #[error("the database {0} is in use by another server")]
    InUse(String),
    /// A newer version of Limelight has migrated this database.
    #[error("the database has a newer schema than this version of limelight knows (step {0})")]
    NewerSchema(String),
    /// Another workflow has the name.
    #[error("a workflow named {0:?} exists already")]
    NameTaken(String),
    /// What is asked does not fit how things stand.
    #[error("{0}")]
    Conflict(String),
    /// A list's cursor that no list gave out.
    #[error("the cursor is not one that this list gave out")]
    InvalidCursor,
    /// A search for more than is searched for.
    #[error("a search takes at most {0} bytes")]
    SearchTooLong(usize),
    /// A row that this version cannot read.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
    /// The connection broke; what was under way may or may not have been committed.
    #[error("the connection to the database was lost: {0}")]
    Lost(String),
    /// Others hold what the write needs; nothing was committed.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The database has no room, memory or permission for the write just now.
    #[error("the database cannot be written just now: {0}")]
    Full(String),
    /// The database refused, and would refuse the same again.
    #[error("the database failed: {0}")]
    Database(String),
}

impl StoreError {
    /// Whether the same call may succeed later, with nothing changed but the database's state.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Lost(_) | Self::Busy(_) | Self::Full(_) | Self::Unreachable { .. }
        )
    }

    /// Whether another call would fail as well, whatever it is.
    pub(super) const fn stops_all(&self) -> bool {
        matches!(
            self,
            Self::Lost(_) | Self::Busy(_) | Self::Unreachable { .. } | Self::InUse(_)
        )
    }

    pub(super) fn corrupt(error: impl std::fmt::Display) -> Self {
        Self::Corrupt(one_line(&error))
    }
}

/// The text of an error without line breaks.
pub(super) fn one_line(error: &impl std::fmt::Display) -> String {
    error
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::corrupt(error)
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(detail)) = error.sql_err() {
            return Self::Conflict(one_line(&detail));
        }
        match &error {
            DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner)) => Self::from(inner.as_ref()),
            DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => Self::Lost(one_line(&error)),
            DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. } => Self::corrupt(error),
            _ => Self::Database(one_line(&error)),
        }
    }
}

impl From<&sqlx::Error> for StoreError {
    fn from(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(inner) if inner.is_unique_violation() => {
                Self::Conflict(one_line(inner))
            }
            sqlx::Error::Database(inner) => {
                let code = inner.code().unwrap_or_default();
                // SQLSTATE has five characters; SQLite's codes are numbers of at most four digits.
                let kind = match code.parse() {
                    Ok(code) if code < 10_000 => of_sqlite(code),
                    _ => of_postgres(&code),
                };
                kind(one_line(inner))
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::WorkerCrashed => Self::Lost(one_line(error)),
            _ => Self::Database(one_line(error)),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error() {
            Some(inner) if inner.code == rusqlite::ErrorCode::ConstraintViolation => {
                Self::Conflict(one_line(&error))
            }
            Some(inner) => of_sqlite(inner.extended_code)(one_line(&error)),
            None => Self::Database(one_line(&error)),
        }
    }
}

/// What an SQLSTATE means; see "PostgreSQL Error Codes" in its manual.
fn of_postgres(code: &str) -> fn(String) -> StoreError {
    match code {
        // The server goes away: shut down, crashed, not yet up; the connection or session ended.
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" => StoreError::Lost,
        // Cancelled by its time limit; a lock not had in time; lost against another transaction.
        "57014" | "55P03" | "40001" | "40P01" => StoreError::Busy,
        // Read-only, as a standby is.
        "25006" => StoreError::Full,
        _ if code.starts_with("08") => StoreError::Lost,
        // Out of disk, memory or connections; errors of the system beneath.
        _ if code.starts_with("53") || code.starts_with("58") => StoreError::Full,
        _ => StoreError::Database,
    }
}

/// What SQLite's code means; the low byte says the kind. See "Result and Error Codes" in its manual.
fn of_sqlite(code: i32) -> fn(String) -> StoreError {
    match code & 0xff {
        // BUSY, LOCKED, INTERRUPT, PROTOCOL (too much contention on the write-ahead log).
        5 | 6 | 9 | 15 => StoreError::Busy,
        // PERM, NOMEM, READONLY, IOERR, FULL, CANTOPEN.
        3 | 7 | 8 | 10 | 13 | 14 => StoreError::Full,
        _ => StoreError::Database,
    }
}
