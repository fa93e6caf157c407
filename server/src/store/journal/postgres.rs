//! The journal on PostgreSQL: one call of the function `journal_commit` is one transaction and one
//! round trip. What goes in and comes out is said where the migration defines the function.

use limelight_protocol::NodeId;
use sea_orm::{
    prelude::Uuid,
    sqlx::{
        self, Executor as _, PgConnection, Postgres, Row as _,
        postgres::{PgArguments, PgConnectOptions, PgRow},
        query::Query,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Outcome, Prepared, Refusal, models::Models, wire::EXECUTION};
use crate::store::{
    bigint,
    error::{Result, StoreError},
    open::{Synchronous, connect_postgres},
    text,
};

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
    Refused(Vec<Refused>),
}

#[derive(Deserialize)]
struct Refused {
    i: usize,
    fenced: bool,
    expected: u64,
}

/// Positions of the events that stand where these would, and are the same; as `jsonb` says what is the
/// same, which writes numbers in its own way.
const POSITIONS_OF: &str = "
    SELECT e.position FROM event e
    JOIN jsonb_to_recordset($1::jsonb) AS a(o bigint, k text, t bigint, n text, d jsonb)
      ON e.seq = $2 + a.o - 1
    WHERE e.stream_kind = $3 AND e.stream_id = $4
      AND e.kind = a.k AND e.timestamp = a.t AND e.node_id IS NOT DISTINCT FROM a.n AND e.data = a.d
      AND ($5::text IS NULL OR EXISTS (
          SELECT 1 FROM execution x WHERE x.id = $4 AND x.fence = 1 AND x.owner = $5
          AND x.idempotency_key IS NOT DISTINCT FROM $6))
    ORDER BY e.seq";

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
        journal.connection = Some(connect_postgres(&journal.options, &journal.place).await?);
        Ok(journal)
    }

    pub(super) async fn write(&mut self, appends: &[&Prepared]) -> Result<Outcome> {
        let batch = text::clean_json(batch_json(appends)?);
        let query = sqlx::query("SELECT journal_commit($1::jsonb)::text").bind(batch);
        let rows = self.rows(query).await?;
        let answer: &str = match rows.first() {
            Some(row) => row.try_get(0).map_err(|error| StoreError::from(&error))?,
            None => return Err(StoreError::corrupt("journal_commit gave no answer")),
        };
        match serde_json::from_str(answer).map_err(StoreError::corrupt)? {
            Answer::Position(head) => Ok(Outcome::Written { head }),
            Answer::Refused(refused) => Ok(Outcome::Refused(
                refused
                    .into_iter()
                    .map(
                        |Refused {
                             i,
                             fenced,
                             expected,
                         }| {
                            let refusal = if fenced {
                                Refusal::Fenced
                            } else {
                                Refusal::Misplaced { expected }
                            };
                            (i, refusal)
                        },
                    )
                    .collect(),
            )),
        }
    }

    pub(super) async fn positions_of(&mut self, one: &Prepared) -> Result<Vec<u64>> {
        let events = serde_json::to_string(&event_rows(one)).map_err(StoreError::corrupt)?;
        let creation = one.creation();
        let key = creation.and_then(|new| new.idempotency_key.as_deref());
        let query = sqlx::query(POSITIONS_OF)
            .bind(text::clean_json(events))
            .bind(bigint(one.append.first_seq))
            .bind(one.stream.kind)
            .bind(one.stream.id)
            .bind(creation.map(|new| new.owner.clone()))
            .bind(key.map(|key| text::clean(key).into_owned()));
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| match row.try_get::<i64, _>(0) {
                Ok(position) => Ok(position as u64),
                Err(error) => Err(StoreError::from(&error)),
            })
            .collect()
    }

    /// Runs a query on the connection, made anew where there is none.
    async fn rows(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<Vec<PgRow>> {
        // Taken out, so that a connection that fails, or a caller that gives up half way, leaves none.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect_postgres(&self.options, &self.place)
                .await
                .map_err(|error| StoreError::Lost(error.to_string()))?,
        };
        let result = connection
            .fetch_all(query)
            .await
            .map_err(|error| StoreError::from(&error));
        if !matches!(result, Err(StoreError::Lost(_))) {
            self.connection = Some(connection);
        }
        result
    }
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
                creates: one.creation().is_some(),
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
            n: event.node_id.as_ref().map(NodeId::as_str),
            d: data,
        })
        .collect()
}
