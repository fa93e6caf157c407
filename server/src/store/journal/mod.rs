//! The journal: appends in, committed events out.
//!
//! A batch is one transaction. First every append is checked under the lock of the journal's head: does
//! its fence hold, does it continue its stream? Those that do not are refused alone and the rest is
//! written: events with consecutive positions, then the read models, each row once however many
//! appends changed it, then the head. When the database refuses a batch of several, each is tried
//! alone, so that only the faulty one fails.
//!
//! An append that is sent again, because nobody knows what became of it the first time, is committed
//! once: one whose fence holds and whose stream ends with exactly its events already is answered with
//! them, and nothing is written.
//!
//! It never notifies anybody: what was committed is returned, and the journal actor passes it on.

use std::sync::Arc;

use bytestring::ByteString;
use limelight_protocol::{
    EventBody, EventType, Execution, ExecutionId, NodeId, Stream, Timestamp, WorkflowId,
    testing::{CaseResult, TestRun},
};
use serde_json::value::RawValue;

mod models;
pub(super) mod postgres;
pub(super) mod read;
pub(super) mod sqlite;
pub(super) mod wire;

use self::{postgres::PostgresJournal, sqlite::SqliteJournal};
use super::{
    StoreError,
    health::{self, Health},
    marker::Marker,
    text,
};
use wire::{Parts, StreamKey};

/// Events that belong together: all of them are committed, or none.
#[derive(Clone, Debug)]
pub struct Append {
    /// The stream they continue.
    pub stream: Stream,
    /// The workflow they concern.
    pub workflow_id: Option<WorkflowId>,
    /// The execution they concern.
    pub execution_id: Option<ExecutionId>,
    /// `seq` of the first of them.
    pub first_seq: u64,
    /// The events.
    pub events: Vec<PendingEvent>,
    /// The owner's fencing number. Required with [`ReadModel::Execution`]; where it is given, the
    /// append is refused unless it is the execution's newest.
    pub fence: Option<u64>,
    /// What must change together with them.
    pub read_model: ReadModel,
}

/// An event before its commit.
#[derive(Clone, Debug)]
pub struct PendingEvent {
    /// The node concerned.
    pub node_id: Option<NodeId>,
    /// When it was decided.
    pub timestamp: Timestamp,
    /// What happened.
    pub body: EventBody,
}

/// What an append changes besides the journal.
#[derive(Clone, Debug)]
pub enum ReadModel {
    /// Nothing.
    None,
    /// A new execution; its fence becomes 1.
    NewExecution(Box<NewExecution>),
    /// An execution that goes on.
    Execution {
        /// The execution after the events; `node_states` holds the changed nodes only.
        execution: Box<Execution>,
        /// For each of those nodes its place in the definition, from 0.
        changed_nodes: Vec<usize>,
    },
    /// A test run after the events.
    TestRun {
        /// The run; `cases` is not looked at.
        run: Box<TestRun>,
        /// Cases that ended, in order.
        new_cases: Vec<CaseResult>,
    },
}

/// An execution that begins.
#[derive(Clone, Debug)]
pub struct NewExecution {
    /// The execution after the events, with every node in definition order.
    pub execution: Execution,
    /// Who coordinates it.
    pub owner: String,
    /// Of the request that starts it.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// What makes a request that is sent twice one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Unique over all executions; the caller puts the scope in.
    pub key: String,
    /// Of what is asked for: another request has another.
    pub fingerprint: String,
}

/// A fact: committed, in its place, and serialised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedEvent {
    /// Place in the journal; the `seq` for streams outside it.
    pub position: u64,
    /// The stream.
    pub stream: Stream,
    /// Place in the stream.
    pub seq: u64,
    /// What happened.
    pub kind: EventType,
    /// The workflow concerned.
    pub workflow_id: Option<WorkflowId>,
    /// The execution concerned.
    pub execution_id: Option<ExecutionId>,
    /// The JSON of [`limelight_protocol::Event`], made once for all viewers.
    pub wire: ByteString,
}

/// Why an append was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another owner has taken the execution over.
    #[error("another owner has taken the execution over")]
    Fenced,
    /// It does not continue its stream, or something unique exists already.
    #[error("the append does not fit: {0}")]
    Conflict(String),
    /// The database failed. Whether the append was committed is known only for errors other than
    /// [`StoreError::Lost`]: then it was not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AppendError {
    /// The error of a batch of one: a clash is that append's own.
    fn of_one(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(why) => Self::Conflict(why),
            // Whatever this process owned, the other server owns now.
            StoreError::InUse(_) => Self::Fenced,
            other => Self::Store(other),
        }
    }
}

/// The events of one append, or why there are none.
pub type AppendResult = Result<Vec<Arc<CommittedEvent>>, AppendError>;

/// The only writer of events. It has the lock that makes this process the database's only server.
#[derive(Debug)]
pub struct JournalWriter {
    backend: Backend,
    marker: Option<Marker>,
    health: Health,
}

#[derive(Debug)]
enum Backend {
    Sqlite(SqliteJournal),
    Postgres(Box<PostgresJournal>),
}

/// An append with its events' data in JSON.
struct Prepared {
    append: Arc<Append>,
    stream: StreamKey,
    data: Vec<Box<RawValue>>,
}

/// What became of a batch.
enum Outcome {
    /// Everything was written after this position.
    Written { head: u64 },
    /// Nothing was written, because of these appends of the batch.
    Refused(Vec<(usize, Refusal)>),
}

/// Why an append is not written as things stand.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// Its fence does not hold.
    Fenced,
    /// Its stream goes on at another `seq`.
    Misplaced { expected: u64 },
}

impl JournalWriter {
    pub(super) const fn sqlite(journal: SqliteJournal, health: Health) -> Self {
        Self::new(Backend::Sqlite(journal), health)
    }

    pub(super) fn postgres(journal: PostgresJournal, health: Health) -> Self {
        Self::new(Backend::Postgres(Box::new(journal)), health)
    }

    const fn new(backend: Backend, health: Health) -> Self {
        Self {
            backend,
            marker: None,
            health,
        }
    }

    /// From now on the marker is kept up with the journal.
    pub(super) fn mark(&mut self, marker: Marker) {
        self.marker = Some(marker);
    }

    /// Ends the connection and gives the lock back; what is sent later is not committed.
    pub async fn close(&mut self) {
        match &mut self.backend {
            Backend::Sqlite(journal) => journal.close(),
            Backend::Postgres(journal) => journal.close().await,
        }
    }

    /// To be called about once a second while nothing is committed: finds out whether the connection, and
    /// with it the lock, is still there, and whether a database that failed to take the newest write
    /// takes one again.
    pub async fn tend(&mut self) {
        let tended = match &mut self.backend {
            Backend::Sqlite(journal) if self.health.is_troubled(health::Path::Journal) => {
                journal.probe().await
            }
            Backend::Sqlite(_) => return,
            Backend::Postgres(journal) => journal.probe().await,
        };
        self.note(&tended);
    }

    fn note<T>(&self, result: &Result<T, StoreError>) {
        if matches!(result, Err(StoreError::InUse(_))) {
            self.health.take_over();
        }
        self.health.note(health::Path::Journal, result);
    }

    /// Commits a batch in one transaction and tells for each append, in order, what became of it.
    ///
    /// On SQLite the calling thread is blocked meanwhile, for as long as SQLite waits for a lock at most.
    /// A lost PostgreSQL connection fails the batch; the next one connects anew.
    pub async fn commit(
        &mut self,
        batch: impl IntoIterator<Item = impl Into<Arc<Append>>>,
    ) -> Vec<AppendResult> {
        let appends = batch.into_iter().map(Into::into);
        let prepared: Vec<Result<Prepared, AppendError>> = appends.map(Prepared::new).collect();
        let mut results: Vec<Option<AppendResult>> = prepared
            .iter()
            .map(|one| one.as_ref().err().map(|error| Err(error.clone())))
            .collect();
        let mut pending: Vec<(usize, &Prepared)> = prepared
            .iter()
            .enumerate()
            .filter_map(|(index, one)| one.as_ref().ok().map(|one| (index, one)))
            .collect();
        let mut alone = Vec::new();
        let mut repeated = Vec::new();
        while !pending.is_empty() {
            let appends: Vec<&Prepared> = pending.iter().map(|(_, one)| *one).collect();
            match self.write(&appends).await {
                Ok(Outcome::Written { head }) => {
                    let count: u64 = pending.iter().map(|(_, one)| one.count()).sum();
                    if let Some(marker) = &mut self.marker {
                        marker.advance(head + count);
                    }
                    let mut positions = head + 1..;
                    for (index, one) in pending.drain(..) {
                        results[index] = Some(Ok(one.committed(positions.by_ref())));
                    }
                }
                Ok(Outcome::Refused(refused)) => {
                    for (at, refusal) in refused {
                        let (index, one) = pending[at];
                        results[index] = Some(Err(refusal.error(one)));
                        if refusal.leaves_open_whether_committed(one) {
                            repeated.push((index, one));
                        }
                    }
                    pending.retain(|(index, _)| results[*index].is_none());
                }
                Err(error) if pending.len() > 1 && !error.stops_all() => {
                    tracing::warn!(%error, appends = pending.len(), "a batch failed; trying each append alone");
                    alone = pending.split_off(1);
                    alone.reverse();
                }
                Err(error) => {
                    // Those that were to follow alone would fail as well.
                    if error.stops_all() {
                        pending.append(&mut alone);
                    }
                    for (index, _) in pending.drain(..) {
                        results[index] = Some(Err(AppendError::of_one(error.clone())));
                    }
                }
            }
            if pending.is_empty() {
                pending.extend(alone.pop());
            }
        }
        // At last, so that an append which is twice in the batch finds itself.
        for (index, one) in repeated {
            match self.positions_of(one).await {
                Ok(Some(positions)) => results[index] = Some(Ok(one.committed(positions))),
                Ok(None) => {}
                Err(error) => results[index] = Some(Err(AppendError::of_one(error))),
            }
        }
        results.into_iter().flatten().collect()
    }

    async fn write(&mut self, appends: &[&Prepared]) -> Result<Outcome, StoreError> {
        let written = match &mut self.backend {
            Backend::Sqlite(journal) => journal.write(appends).await,
            Backend::Postgres(journal) => journal.write(appends).await,
        };
        self.note(&written);
        written
    }

    /// Where the events of an append stand if they are committed: the same events at the same `seq`s,
    /// and of one that makes an execution, made by the same owner under the same key, and nobody else's
    /// since.
    async fn positions_of(&mut self, one: &Prepared) -> Result<Option<Vec<u64>>, StoreError> {
        let positions = match &mut self.backend {
            Backend::Sqlite(journal) => journal.positions_of(one).await?,
            Backend::Postgres(journal) => journal.positions_of(one).await?,
        };
        Ok((positions.len() as u64 == one.count()).then_some(positions))
    }
}

impl Prepared {
    fn new(append: Arc<Append>) -> Result<Self, AppendError> {
        let Some(stream) = StreamKey::of(&append.stream) else {
            let why = format!("{} is kept outside the journal", append.stream);
            return Err(AppendError::Conflict(why));
        };
        if append.fence.is_none() && matches!(append.read_model, ReadModel::Execution { .. }) {
            return Err(AppendError::Fenced);
        }
        let data = append
            .events
            .iter()
            .map(|event| {
                let raw = event.body.to_raw()?;
                RawValue::from_string(text::clean_json(String::from(Box::<str>::from(raw))))
            })
            .collect::<Result<_, _>>()
            .map_err(StoreError::corrupt)?;
        Ok(Self {
            append,
            stream,
            data,
        })
    }

    /// Number of events.
    fn count(&self) -> u64 {
        self.data.len() as u64
    }

    /// The execution that this append makes, where it makes one.
    fn creation(&self) -> Option<&NewExecution> {
        match &self.append.read_model {
            ReadModel::NewExecution(new) => Some(new),
            _ => None,
        }
    }

    /// The events as committed at these positions.
    fn committed(&self, positions: impl IntoIterator<Item = u64>) -> Vec<Arc<CommittedEvent>> {
        // The events come first: the positions may be for several appends.
        let events = self.append.events.iter().zip(&self.data);
        events
            .zip(self.append.first_seq..)
            .zip(positions)
            .map(|(((event, data), seq), position)| {
                Arc::new(CommittedEvent::new(&Parts {
                    position,
                    stream: &self.append.stream,
                    seq,
                    kind: event.body.kind(),
                    timestamp: event.timestamp,
                    workflow_id: self.append.workflow_id,
                    execution_id: self.append.execution_id,
                    node_id: event.node_id.as_ref().map(NodeId::as_str),
                    data: data.get(),
                }))
            })
            .collect()
    }
}

impl Refusal {
    fn error(self, one: &Prepared) -> AppendError {
        match self {
            Self::Fenced => AppendError::Fenced,
            // It has begun already, and if not as this owner's, then another has taken it over.
            Self::Misplaced { .. } if one.creation().is_some() => AppendError::Fenced,
            Self::Misplaced { expected } => {
                let Append {
                    stream, first_seq, ..
                } = &*one.append;
                AppendError::Conflict(format!(
                    "{stream} goes on at {expected}, not at {first_seq}"
                ))
            }
        }
    }

    /// Whether the stream goes on where it would after this append.
    fn leaves_open_whether_committed(self, one: &Prepared) -> bool {
        match self {
            Self::Fenced => false,
            Self::Misplaced { expected } => {
                one.count() > 0 && one.append.first_seq.checked_add(one.count()) == Some(expected)
            }
        }
    }
}
