//! Harness of the end-to-end tests: the real binary, and what talks to it.
//!
//! Nothing in here looks inside the server: it starts the program as a user would, and speaks HTTP
//! and WebSocket to it. Waiting is for events, up to [`DEADLINE`], which only a hang ever reaches.

pub mod api;
pub mod browser;
pub mod gate;
pub mod process;
pub mod prometheus;
pub mod raw;
pub mod server;
pub mod sse;
pub mod ws;

use std::{future::Future, time::Duration};

use anyhow::{Context, Result};

pub use api::{Api, Reply};
pub use browser::Browser;
pub use gate::Gate;
pub use prometheus::Prometheus;
pub use raw::Raw;
pub use server::{Database, Server};
pub use sse::Sse;
pub use ws::{RawSocket, WsClient};

/// How long a test waits for something that must come. Generous: the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Waits for `future` up to [`DEADLINE`].
///
/// # Errors
/// When it takes longer; the message says `what` was awaited.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(DEADLINE, future)
        .await
        .with_context(|| format!("waited {} s for {what}", DEADLINE.as_secs()))
}

/// Asks `question` again and again until it answers, up to [`DEADLINE`]: for what tells nobody when
/// it changes, such as the table of processes.
///
/// # Errors
/// When it never answers, or when asking fails.
pub async fn eventually<T, F>(what: &str, mut question: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    within(what, async {
        loop {
            if let Some(answer) = question().await? {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await?
}

/// Makes a test of a store-backed behaviour run on SQLite and on PostgreSQL: `sqlite::NAME` and
/// `postgres::NAME` for each function named.
#[macro_export]
macro_rules! on_every_database {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() -> ::anyhow::Result<()> {
                super::$name($crate::Database::sqlite()).await
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() -> ::anyhow::Result<()> {
                super::$name($crate::Database::postgres()).await
            })+
        }
    };
}
