//! Pools whose every call has a time limit, so that a database that hangs is noticed.
//!
//! PostgreSQL ends a statement by itself after [`STATEMENT_LIMIT`]; [`CALL_LIMIT`] is for one that does
//! not even do that. A call that is given up leaves its connection to the pool, which makes sure that it
//! is fit before it is used again.

use std::{future::Future, time::Duration};

use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction,
    DbErr, ExecResult, IsolationLevel, QueryResult, Statement, TransactionTrait,
    prelude::async_trait,
};

/// Longest time a statement may take on PostgreSQL.
pub const STATEMENT_LIMIT: Duration = Duration::from_secs(10);

/// Longest time a call may take. Longer than [`STATEMENT_LIMIT`], and than SQLite waits for a lock.
pub const CALL_LIMIT: Duration = Duration::from_secs(12);

/// A pool of connections.
pub struct Connection(DatabaseConnection);

/// A transaction; dropped, it is rolled back.
pub struct Transaction(DatabaseTransaction);

impl Connection {
    pub const fn new(pool: DatabaseConnection) -> Self {
        Self(pool)
    }

    pub async fn begin(&self) -> Result<Transaction, DbErr> {
        limited(self.0.begin()).await.map(Transaction)
    }

    /// A transaction whose reads all see the database as of one moment.
    pub async fn moment(&self) -> Result<Transaction, DbErr> {
        // A SQLite transaction is that anyway.
        let isolation = match self.0.get_database_backend() {
            DatabaseBackend::Postgres => Some(IsolationLevel::RepeatableRead),
            _ => None,
        };
        let begin = self.0.begin_with_config(isolation, None);
        limited(begin).await.map(Transaction)
    }

    pub async fn ping(&self) -> Result<(), DbErr> {
        limited(self.0.ping()).await
    }

    pub async fn close(&self) -> Result<(), DbErr> {
        limited(self.0.clone().close()).await
    }
}

impl Transaction {
    pub async fn commit(self) -> Result<(), DbErr> {
        limited(self.0.commit()).await
    }
}

async fn limited<T>(call: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    let late = DbErr::ConnectionAcquire(ConnAcquireErr::Timeout);
    tokio::time::timeout(CALL_LIMIT, call)
        .await
        .unwrap_or(Err(late))
}

macro_rules! limit_calls {
    ($type:ty) => {
        #[async_trait::async_trait]
        impl ConnectionTrait for $type {
            fn get_database_backend(&self) -> DatabaseBackend {
                self.0.get_database_backend()
            }

            async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
                limited(self.0.execute_raw(statement)).await
            }

            async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
                limited(self.0.execute_unprepared(sql)).await
            }

            async fn query_one_raw(
                &self,
                statement: Statement,
            ) -> Result<Option<QueryResult>, DbErr> {
                limited(self.0.query_one_raw(statement)).await
            }

            async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
                limited(self.0.query_all_raw(statement)).await
            }
        }
    };
}

limit_calls!(Connection);
limit_calls!(Transaction);
