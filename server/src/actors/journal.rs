//! Journal: the only writer of events.
//!
//! - Messages: [`Write`], an append and where to answer. Everything that waits goes into one
//!   transaction (group commit), together with its read models; then the hub is told once.
//! - When it fails: a fresh one goes on with the same writer. Appends that waited are not
//!   committed, and whoever sent them hears that.
//! - At rest it makes sure once a second that the connection is fit.
//! - Never: answers or publishes before the commit; lets one bad append fail its neighbours.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Release},
    },
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture,
};
use limelight_protocol::{ExecutionId, Stream};
use tokio::sync::{Mutex, oneshot};

use super::{
    hub::{Hub, Publish},
    supervisor::{Handle, Lease, Supervised},
};
use crate::{
    store::{Append, AppendError, CommittedEvent, JournalWriter, ReadModel, Store, StoreError},
    telemetry::{Metrics, events::CommitFailed},
};

/// Most events in one transaction.
const BATCH_EVENTS: usize = 4096;

/// How often a journal that is to close looks whether its last commit is done.
const CLOSE_POLL: Duration = Duration::from_millis(5);

/// How often the connection is looked after.
const TEND_EVERY: Duration = Duration::from_secs(1);

/// How long an append is tried again: an outage of the database that is shorter costs no execution its
/// running attempts.
const PATIENCE: Duration = Duration::from_secs(600);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What an append came to.
pub type Appended = Result<Vec<Arc<CommittedEvent>>, AppendError>;

/// What every value of the journal actor works with.
#[derive(Clone)]
pub struct JournalParts {
    /// The writer; it outlives the actor.
    pub writer: Arc<Mutex<JournalWriter>>,
    /// Where to read how far the journal is.
    pub store: Store,
    /// Told of every commit.
    pub hub: Handle<Hub>,
    /// Newest committed position.
    pub head: Arc<AtomicU64>,
    /// Where commits are counted.
    pub metrics: Metrics,
}

/// The journal.
pub struct Journal {
    lease: Lease,
    parts: JournalParts,
    waiting: Vec<Write>,
    committing: bool,
}

impl Journal {
    /// A journal with nothing waiting.
    #[must_use]
    pub const fn new(lease: Lease, parts: JournalParts) -> Self {
        Self {
            lease,
            parts,
            waiting: Vec::new(),
            committing: false,
        }
    }

    /// Reads how far the journal is. A value that failed, and a connection that broke, may have
    /// committed what nobody was told of; the hub then sends followers to the store.
    fn read_head(&self, ctx: &mut Context<Self>) {
        let store = self.parts.store.clone();
        let read = async move { store.head().await }.into_actor(self);
        ctx.spawn(read.map(|head, journal, _| match head {
            Ok(head) => {
                journal.parts.head.fetch_max(head, Release);
            }
            Err(error) => tracing::warn!(%error, "the journal's head cannot be read"),
        }));
    }

    fn commit(&mut self, ctx: &mut Context<Self>) {
        if self.committing || self.waiting.is_empty() {
            return;
        }
        self.committing = true;
        let count = batch_len(self.waiting.iter().map(|write| write.append.events.len()));
        let batch: Vec<Write> = self.waiting.drain(..count).collect();
        let size = batch.iter().map(|write| write.append.events.len()).sum();
        let (appends, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|write| (write.append, write.answer))
            .unzip();
        let writer = Arc::clone(&self.parts.writer);
        let began = Instant::now();
        let commit = async move { writer.lock().await.commit(appends).await };
        ctx.spawn(commit.into_actor(self).map(move |results, journal, ctx| {
            journal.committing = false;
            if results
                .iter()
                .any(|result| matches!(result, Err(AppendError::Store(_))))
            {
                journal.read_head(ctx);
            }
            journal.committed(results, answers, size, began);
            journal.commit(ctx);
        }));
    }

    fn committed(
        &self,
        results: Vec<Appended>,
        answers: Vec<oneshot::Sender<Appended>>,
        size: usize,
        began: Instant,
    ) {
        let failed = |result: &Appended| match result {
            Err(AppendError::Store(error)) => Some(error.to_string()),
            _ => None,
        };
        if let Some(error) = results.iter().find_map(failed) {
            self.parts.metrics.emit(CommitFailed {
                events: size,
                error: &error,
            });
        }
        let mut events: Vec<_> = results.iter().flatten().flatten().cloned().collect();
        // Those of an append that was committed earlier stand before the others.
        events.sort_by_key(|event| event.position);
        if let Some(last) = events.last() {
            self.parts
                .metrics
                .observe_commit(events.len(), began.elapsed());
            self.parts.head.fetch_max(last.position, Release);
        }
        for run in events.chunk_by(|one, next| one.position + 1 == next.position) {
            // A batch that the hub has no room for is noticed there and read from the store.
            let _ = self.parts.hub.try_send(Publish(run.to_vec()));
        }
        for (result, answer) in results.into_iter().zip(answers) {
            // Nobody waiting any more is nobody to answer; the events are committed all the same.
            let _ = answer.send(result);
        }
    }
}

impl Supervised for Journal {
    const KIND: &'static str = "journal";
}

impl Actor for Journal {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.read_head(ctx);
        ctx.run_interval(TEND_EVERY, |journal, ctx| {
            let writer = Arc::clone(&journal.parts.writer);
            let tend = async move {
                // Else it is at work, or looked after already.
                if let Ok(mut writer) = writer.try_lock() {
                    writer.tend().await;
                }
            };
            ctx.spawn(tend.into_actor(journal));
        });
    }
}

/// An append, and where to say what came of it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Write {
    append: Arc<Append>,
    answer: oneshot::Sender<Appended>,
}

/// Commits what waits. Behind everything that was in the mailbox when it was sent.
#[derive(Message)]
#[rtype(result = "()")]
struct Commit;

impl Handler<Write> for Journal {
    type Result = ();

    fn handle(&mut self, write: Write, ctx: &mut Self::Context) {
        self.lease.beat();
        if self.waiting.is_empty() && !self.committing {
            self.lease.sent_to_self();
            ctx.notify(Commit);
        }
        self.waiting.push(write);
    }
}

impl Handler<Commit> for Journal {
    type Result = ();

    fn handle(&mut self, _: Commit, ctx: &mut Self::Context) {
        self.lease.beat();
        self.commit(ctx);
    }
}

/// Waits until everything sent before is committed, then closes the writer and ends the actor.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close;

impl Handler<Close> for Journal {
    type Result = ();

    fn handle(&mut self, _: Close, ctx: &mut Self::Context) {
        self.lease.beat();
        if self.committing || !self.waiting.is_empty() {
            self.lease.sent_to_self();
            self.commit(ctx);
            // The commit's completion is polled before this comes round again.
            ctx.notify_later(Close, CLOSE_POLL);
            return;
        }
        let writer = Arc::clone(&self.parts.writer);
        let close = async move { writer.lock().await.close().await };
        ctx.wait(close.into_actor(self).map(|(), journal, ctx| {
            journal.lease.finish();
            ctx.stop();
        }));
    }
}

/// How many of the appends that wait, given by their numbers of events, are committed together: as many
/// as fit, and at least one.
pub(crate) fn batch_len(waiting: impl IntoIterator<Item = usize>) -> usize {
    let mut events = 0;
    let fits = waiting.into_iter().take_while(|count| {
        let first = events == 0;
        events += count;
        first || events <= BATCH_EVENTS
    });
    fits.count()
}

/// What to do about an append that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Send the same one again after this time. It is committed once, however often it is sent.
    After(Duration),
    /// Answer with the error.
    GiveUp,
}

impl Retry {
    /// The rule. `elapsed` is since the append was first sent. What the database would refuse again is
    /// not tried again.
    pub(crate) fn of(error: &AppendError, elapsed: Duration) -> Self {
        match error {
            AppendError::Store(error) if error.is_transient() && elapsed < PATIENCE => {
                // As long as it has taken so far: the pauses double.
                Self::After(elapsed.clamp(FIRST_PAUSE, LONGEST_PAUSE))
            }
            _ => Self::GiveUp,
        }
    }
}

/// Appends through the journal actor and waits for the commit. While the journal is restarted or
/// the database is away the same append is sent again, so that neither costs an execution its
/// running attempts.
///
/// # Errors
/// Why it was not committed. After a [`AppendError::Store`] that is transient only the store knows
/// whether it was; the same append sent again finds out.
pub async fn append(
    journal: Handle<Journal>,
    append: Append,
) -> Result<Vec<Arc<CommittedEvent>>, AppendError> {
    let append = Arc::new(append);
    let began = tokio::time::Instant::now();
    loop {
        let error = match try_append(&journal, &append).await {
            Ok(events) => return Ok(events),
            Err(error) => error,
        };
        match Retry::of(&error, began.elapsed()) {
            Retry::After(pause) => tokio::time::sleep(pause).await,
            Retry::GiveUp => return Err(error),
        }
    }
}

/// Whether an execution has begun, once whatever was sent to the journal before is committed or will
/// never be.
///
/// # Errors
/// When the database fails.
pub async fn has_begun(journal: Handle<Journal>, id: ExecutionId) -> Result<bool, StoreError> {
    // It has its turn behind all that was sent before, writes nothing, and fits only where nothing is.
    let probe = Append {
        stream: Stream::Execution(id),
        workflow_id: None,
        execution_id: None,
        first_seq: 1,
        events: Vec::new(),
        fence: None,
        read_model: ReadModel::None,
    };
    match append(journal, probe).await {
        Ok(_) => Ok(false),
        Err(AppendError::Conflict(_)) => Ok(true),
        Err(AppendError::Store(error)) => Err(error),
        Err(error @ AppendError::Fenced) => Err(StoreError::Lost(error.to_string())),
    }
}

async fn try_append(journal: &Handle<Journal>, append: &Arc<Append>) -> Appended {
    let lost = || AppendError::Store(StoreError::Lost("the journal is being restarted".into()));
    let (answer, answered) = oneshot::channel();
    let write = Write {
        append: Arc::clone(append),
        answer,
    };
    journal.send(write).await.map_err(|_| lost())?;
    answered.await.map_err(|_| lost())?
}

/// Makes the actor panic, for tests of what follows.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "()")]
pub struct Crash;

#[cfg(test)]
impl Handler<Crash> for Journal {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Self::Context) {
        panic!("as asked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_with_longer_and_longer_pauses_and_nothing_else_is() {
        let lost = AppendError::Store(StoreError::Lost("x".into()));
        let mut elapsed = Duration::ZERO;
        let mut pauses = Vec::new();
        while let Retry::After(pause) = Retry::of(&lost, elapsed) {
            pauses.push(pause);
            elapsed += pause;
        }
        assert!(pauses.is_sorted() && elapsed >= PATIENCE, "{pauses:?}");
        assert_eq!(pauses[..3], [50, 50, 100].map(Duration::from_millis));
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        for error in [
            AppendError::Fenced,
            AppendError::Conflict("x".into()),
            AppendError::Store(StoreError::Database("too large".into())),
            AppendError::Store(StoreError::Corrupt("x".into())),
        ] {
            assert_eq!(Retry::of(&error, Duration::ZERO), Retry::GiveUp, "{error}");
        }
    }

    #[test]
    fn a_batch_takes_what_fits_and_at_least_one() {
        assert_eq!(batch_len([]), 0);
        assert_eq!(batch_len([BATCH_EVENTS + 1, 1]), 1);
        assert_eq!(batch_len([1, BATCH_EVENTS, 1]), 1);
        assert_eq!(batch_len([1, BATCH_EVENTS - 1, 1]), 2);
    }
}
