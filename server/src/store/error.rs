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
    /// A row that this version cannot read.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
    /// The connection broke; what was under way may or may not have been committed.
    #[error("the connection to the database was lost: {0}")]
    Lost(String),
    /// The database refused.
    #[error("the database failed: {0}")]
    Database(String),
}

impl StoreError {
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
            // Class 57P is "the server goes away": shut down, crashed, not yet up.
            sqlx::Error::Database(inner)
                if inner.code().is_some_and(|code| code.starts_with("57P")) =>
            {
                Self::Lost(one_line(inner))
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
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => Self::Conflict(one_line(&error)),
            _ => Self::Database(one_line(&error)),
        }
    }
}
