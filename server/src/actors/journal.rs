//! Journal: the only writer of events.
//!
//! - Messages: [`Write`], an append and where to answer. Everything that waits goes into one
//!   transaction (group commit), together with its read models; then the hub is told once.
//! - When it fails: a fresh one goes on with the same writer. Appends that waited are not
//!   committed, and whoever sent them hears that.
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
use tokio::sync::{Mutex, oneshot};

use super::{
    hub::{Hub, Publish},
    supervisor::{Handle, Lease, Supervised},
};
use crate::{
    store::{Append, AppendError, CommittedEvent, JournalWriter, Store, StoreError},
    telemetry::{Metrics, events::CommitFailed},
};

/// Most events in one transaction.
const BATCH_EVENTS: usize = 4096;

/// How often a journal that is to close looks whether its last commit is done.
const CLOSE_POLL: Duration = Duration::from_millis(5);

/// How long an append is tried again.
const PATIENCE: Duration = Duration::from_secs(60);
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

    fn next_batch(&mut self) -> Vec<Write> {
        let mut events = 0;
        let fits = self.waiting.iter().take_while(|write| {
            let first = events == 0;
            events += write.append.events.len();
            first || events <= BATCH_EVENTS
        });
        let count = fits.count();
        self.waiting.drain(..count).collect()
    }

    fn commit(&mut self, ctx: &mut Context<Self>) {
        if self.committing || self.waiting.is_empty() {
            return;
        }
        self.committing = true;
        let batch = self.next_batch();
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
        let events: Vec<_> = results.iter().flatten().flatten().cloned().collect();
        if let Some(last) = events.last() {
            self.parts
                .metrics
                .observe_commit(events.len(), began.elapsed());
            self.parts.head.fetch_max(last.position, Release);
            // A batch that the hub has no room for is noticed there and read from the store.
            let _ = self.parts.hub.try_send(Publish(events));
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

/// Waits until everything sent before is committed, then ends the actor.
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
        self.lease.finish();
        ctx.stop();
    }
}

/// Appends through the journal actor and waits for the commit. While the journal is restarted or
/// the database is away the same append is tried again, so that neither costs an execution its
/// running attempts.
///
/// # Errors
/// Why it was not committed. After [`AppendError::Store`], and after a [`AppendError::Conflict`]
/// that may be with itself, only the store knows whether it was.
pub async fn append(
    journal: Handle<Journal>,
    append: Append,
) -> Result<Vec<Arc<CommittedEvent>>, AppendError> {
    let append = Arc::new(append);
    let patience = tokio::time::Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match try_append(&journal, &append).await {
            Err(error @ AppendError::Store(_)) => error,
            told => return told,
        };
        if tokio::time::Instant::now() + pause >= patience {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
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
