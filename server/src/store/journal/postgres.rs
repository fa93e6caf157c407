//! The journal on PostgreSQL: one call of the function `journal_commit` is one transaction and one
//! round trip. What goes in and comes out is said where the migration defines the function.

use std::time::Duration;

use sea_orm::{
    prelude::Uuid,
    sqlx::{
        self, Connection as _, Executor as _, PgConnection, Row as _, postgres::PgConnectOptions,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{AppendError, Outcome, Prepared, misplaced, models::Models, wire::EXECUTION};
use crate::store::{
    error::{Result, StoreError, one_line},
    open::Synchronous,
    text,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The connection, while there is one, and how to make another.
#[derive(Debug)]
pub struct PostgresJournal {
    connection: Option<PgConnection>,
    options: PgConnectOptions,
    place: String,
}

#[derive(Serialize)]
struct Batch<'a> {
    appends: Vec<AppendRow<'a>>,
    #[serde(flatten)]
    models: Models<'a>,
}

#[derive(Serialize)]
struct AppendRow<'a> {
    i: usize,
    stream_kind: i16,
    stream_id: Uuid,
    first_seq: u64,
    count: u64,
    offset: u64,
    fence: Option<u64>,
    creates: bool,
    workflow_id: Option<Uuid>,
    execution_id: Option<Uuid>,
    events: Vec<EventRow<'a>>,
}

#[derive(Serialize)]
struct EventRow<'a> {
    /// Counts from 1 in the append.
    o: usize,
    k: &'static str,
    t: i64,
    n: Option<&'a str>,
    d: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Position(u64),
    Refused(Vec<Refusal>),
}

#[derive(Deserialize)]
struct Refusal {
    i: usize,
    fenced: bool,
    expected: u64,
}

impl PostgresJournal {
    pub async fn connect(
        options: PgConnectOptions,
        synchronous: Synchronous,
        place: String,
    ) -> Result<Self> {
        let commit = match synchronous {
            Synchronous::Full => "on",
            Synchronous::Normal | Synchronous::Off => "off",
        };
        let mut journal = Self {
            connection: None,
            options: options.options([("synchronous_commit", commit)]),
            place,
        };
        let connection = journal.connected().await?;
        journal.connection = Some(connection);
        Ok(journal)
    }

    async fn connected(&self) -> Result<PgConnection> {
        let unreachable = |reason| StoreError::Unreachable {
            place: self.place.clone(),
            reason,
        };
        let connecting = PgConnection::connect_with(&self.options);
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(result) => result.map_err(|error| unreachable(one_line(&error))),
            Err(_) => Err(unreachable("it does not answer".into())),
        }
    }

    pub(super) async fn write(&mut self, appends: &[&Prepared]) -> Result<Outcome> {
        let batch = text::clean_json(batch_json(appends)?);
        // Taken out, so that a connection that fails, or a caller that gives up half way, leaves none.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self
                .connected()
                .await
                .map_err(|error| StoreError::Lost(error.to_string()))?,
        };
        let query = sqlx::query("SELECT journal_commit($1::jsonb)::text").bind(batch);
        let row = match connection.fetch_one(query).await {
            Ok(row) => row,
            Err(error) => {
                let error = StoreError::from(&error);
                if !matches!(error, StoreError::Lost(_)) {
                    self.connection = Some(connection);
                }
                return Err(error);
            }
        };
        self.connection = Some(connection);
        let answer: &str = row.try_get(0).map_err(|error| StoreError::from(&error))?;
        match serde_json::from_str(answer).map_err(StoreError::corrupt)? {
            Answer::Position(head) => Ok(Outcome::Written { head }),
            Answer::Refused(refusals) => Ok(Outcome::Refused(
                refusals
                    .into_iter()
                    .map(|refusal| (refusal.i, error_of(&refusal, appends)))
                    .collect(),
            )),
        }
    }
}

fn error_of(refusal: &Refusal, appends: &[&Prepared]) -> AppendError {
    if refusal.fenced {
        return AppendError::Fenced;
    }
    let append = &appends[refusal.i].append;
    misplaced(&append.stream, append.first_seq, refusal.expected)
}

fn batch_json(appends: &[&Prepared]) -> Result<String> {
    let mut offset = 0;
    let rows = appends
        .iter()
        .enumerate()
        .map(|(i, one)| {
            let row = AppendRow {
                i,
                stream_kind: one.stream.kind,
                stream_id: one.stream.id,
                first_seq: one.append.first_seq,
                count: one.count(),
                offset,
                fence: one.append.fence.filter(|_| one.stream.kind == EXECUTION),
                creates: one.creates(),
                workflow_id: one.append.workflow_id.map(|id| id.0),
                execution_id: one.append.execution_id.map(|id| id.0),
                events: event_rows(one),
            };
            offset += row.count;
            row
        })
        .collect();
    let batch = Batch {
        appends: rows,
        models: Models::of(appends),
    };
    serde_json::to_string(&batch).map_err(StoreError::corrupt)
}

fn event_rows(one: &Prepared) -> Vec<EventRow<'_>> {
    let events = one.append.events.iter().zip(&one.data);
    events
        .zip(1..)
        .map(|((event, data), o)| EventRow {
            o,
            k: event.body.kind().as_str(),
            t: event.timestamp.0,
            n: event.node_id.as_ref().map(|node| node.as_str()),
            d: data,
        })
        .collect()
}
