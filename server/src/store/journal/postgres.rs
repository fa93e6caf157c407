//! The journal on PostgreSQL: one call of the function `journal_commit` is one transaction and one
//! round trip. What goes in and comes out is said where the migration defines the function.

use limelight_protocol::NodeId;
use sea_orm::{
    prelude::Uuid,
    sqlx::{
        self, Connection as _, Executor as _, PgConnection, Postgres, Row as _,
        postgres::{PgArguments, PgConnectOptions, PgRow},
        query::Query,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Outcome, Prepared, Refusal, models::Models, wire::EXECUTION};
use crate::store::{
    bigint,
    connection::{CALL_LIMIT, STATEMENT_LIMIT},
    error::{Result, StoreError},
    file_lock::{PATIENCE, TRY_EVERY},
    open::Synchronous,
    pools::connect_postgres,
    text,
};

/// The connection while there is one, how to make another, and the lock that lives in it.
///
/// The lock is a session's advisory lock, so that it ends with the connection, however that ends, and is
/// kept for as long as this process keeps the connection. It says which process is the database's server,
/// and is no lease on an execution: those are fenced by numbers.
#[derive(Debug)]
pub struct PostgresJournal {
    connection: Option<PgConnection>,
    options: PgConnectOptions,
    place: String,
    /// The backend processes of this one that may have the lock.
    backends: Vec<Backend>,
    closed: bool,
}

/// A backend process of PostgreSQL; its start tells it from another with the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Backend {
    pid: i32,
    started: String,
}

/// One lock for each schema of each database.
const KEY: &str = "hashtextextended('limelight server of ' || coalesce(current_schema(), ''), 0)";

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
          AND x.idempotency_key IS NOT DISTINCT FROM $6
          AND x.idempotency_fingerprint IS NOT DISTINCT FROM $7))
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
        let limit = STATEMENT_LIMIT.as_millis().to_string();
        let settings = [
            ("synchronous_commit", commit),
            ("statement_timeout", &limit),
        ];
        let mut journal = Self {
            connection: None,
            options: options.options(settings),
            place,
            backends: Vec::new(),
            closed: false,
        };
        let mut connection = connect_postgres(&journal.options, &journal.place).await?;
        journal.lock(&mut connection).await?;
        journal.connection = Some(connection);
        Ok(journal)
    }

    pub async fn close(&mut self) {
        self.closed = true;
        if let Some(connection) = self.connection.take() {
            // Whether it hears the goodbye or not, it is gone.
            let _ = tokio::time::timeout(CALL_LIMIT, connection.close()).await;
        }
    }

    /// Takes the lock. A backend of this very process whose connection broke may still have it, not
    /// knowing that nobody listens any more; it is ended. Any other is another server.
    async fn lock(&mut self, connection: &mut PgConnection) -> Result<()> {
        let patience = tokio::time::Instant::now() + PATIENCE;
        let own = limited(this_backend(connection)).await?;
        // Noted before it asks: if the answer gets lost, it may have the lock all the same.
        self.backends.push(own.clone());
        loop {
            if limited(try_lock(connection)).await? {
                self.backends = vec![own];
                return Ok(());
            }
            let holder = limited(holder(connection)).await?;
            if let Some(holder) = holder.filter(|holder| self.backends.contains(holder)) {
                let end = sqlx::query("SELECT pg_terminate_backend($1)").bind(holder.pid);
                limited(end.execute(&mut *connection)).await?;
            }
            if tokio::time::Instant::now() >= patience {
                return Err(StoreError::InUse(self.place.clone()));
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// Finds out whether the connection is there, and makes another where it is not.
    pub(super) async fn probe(&mut self) -> Result<()> {
        self.rows(sqlx::query("SELECT 1")).await.map(drop)
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
        let key = creation.and_then(|new| new.idempotency_key.as_ref());
        let query = sqlx::query(POSITIONS_OF)
            .bind(text::clean_json(events))
            .bind(bigint(one.append.first_seq))
            .bind(one.stream.kind)
            .bind(one.stream.id)
            .bind(creation.map(|new| new.owner.clone()))
            .bind(key.map(|key| text::clean(&key.key).into_owned()))
            .bind(key.map(|key| text::clean(&key.fingerprint).into_owned()));
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
        if self.closed {
            return Err(StoreError::Lost("the journal is closed".into()));
        }
        // Taken out, so that a connection that fails, or a caller that gives up half way, leaves none.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connected = connect_postgres(&self.options, &self.place).await;
                let mut connection =
                    connected.map_err(|error| StoreError::Lost(error.to_string()))?;
                self.lock(&mut connection).await?;
                connection
            }
        };
        let result = limited(connection.fetch_all(query)).await;
        // A session that may not write may have been told so when it began, and keeps to that for ever.
        if !matches!(result, Err(StoreError::Lost(_) | StoreError::Full(_))) {
            self.connection = Some(connection);
        }
        result
    }
}

async fn this_backend(connection: &mut PgConnection) -> sqlx::Result<Backend> {
    let sql = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    let row = connection.fetch_one(sql).await?;
    Ok(Backend {
        pid: row.try_get(0)?,
        started: row.try_get(1)?,
    })
}

async fn try_lock(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let sql = format!("SELECT pg_try_advisory_lock({KEY})");
    let row = connection.fetch_one(sqlx::AssertSqlSafe(sql)).await?;
    row.try_get(0)
}

/// Who has the lock.
async fn holder(connection: &mut PgConnection) -> sqlx::Result<Option<Backend>> {
    let sql = format!(
        "SELECT a.pid, a.backend_start::text FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND (l.classid::bigint << 32 | l.objid::bigint) = {KEY}"
    );
    let Some(row) = connection.fetch_optional(sqlx::AssertSqlSafe(sql)).await? else {
        return Ok(None);
    };
    Ok(Some(Backend {
        pid: row.try_get(0)?,
        started: row.try_get(1)?,
    }))
}

/// A call that is answered in time, or not at all.
async fn limited<T>(call: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(result) => result.map_err(|error| StoreError::from(&error)),
        Err(_) => Err(StoreError::Lost("it does not answer".into())),
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
