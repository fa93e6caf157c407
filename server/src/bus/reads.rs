//! Reads of the store for those who watch.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use limelight_protocol::Topic;
use tokio::sync::{Semaphore, oneshot};

use crate::{
    auth::Caller,
    store::{CommittedEvent, Store, StoreError},
};

/// Reads for viewers at a time: a part of the store's connections, so that however many viewers
/// catch up, everybody else finds one.
const READS_AT_ONCE: usize = 2;
/// How long one read may take; it is then given up, and its connection with it.
const LONGEST_READ: Duration = Duration::from_secs(30);
/// Pauses before a store that does not answer is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Most events in a page.
const PAGE_EVENTS: u64 = 128;
/// Events of the first page, before it is known how large they are.
const FIRST_PAGE_EVENTS: u64 = 16;

/// Does the reads. Cheap to clone; clones share the turns.
///
/// A read is a task of its own: it waits for a turn, reads, gives connection and turn back, and only
/// then offers what it found. A viewer that sleeps, or goes away, in the middle holds nothing up.
#[derive(Clone, Debug)]
pub struct Reads(Arc<Semaphore>);

impl Default for Reads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READS_AT_ONCE)))
    }
}

impl Reads {
    /// Begins what `read` makes and waits for what it finds. Dropping the future leaves a read that has
    /// begun to end by itself; one that still waits for its turn never begins.
    ///
    /// # Errors
    /// Those of `read`; [`StoreError::Lost`] when it takes too long or breaks off.
    pub fn run<T, F, R>(
        &self,
        read: R,
    ) -> impl Future<Output = Result<T, StoreError>> + use<T, F, R>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
        R: FnOnce() -> F + Send + 'static,
    {
        let (mut offer, offered) = oneshot::channel();
        let turns = Arc::clone(&self.0);
        tokio::spawn(async move {
            let turn = tokio::select! {
                biased;
                () = offer.closed() => return,
                turn = turns.acquire_owned() => turn,
            };
            // Made no sooner, and in a box: a read is large, and a thousand may wait for their turn.
            let found = tokio::time::timeout(LONGEST_READ, Box::pin(read())).await;
            drop(turn);
            let late = |_| Err(StoreError::Lost("a read took too long".into()));
            // Nobody listens when the viewer has gone.
            let _ = offer.send(found.unwrap_or_else(late));
        });
        offered.map(|offered| {
            let broken = |_| Err(StoreError::Lost("a read broke off".into()));
            offered.unwrap_or_else(broken)
        })
    }

    /// Performs what `read` makes, again and again while the store is away: who watches is told of
    /// what they missed, not of why.
    ///
    /// # Errors
    /// When the store holds what cannot be read.
    pub async fn persist<T, F>(
        &self,
        topic: &Topic,
        read: impl Fn() -> F + Clone + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.run(read.clone()).await {
                Err(error) if !matches!(error, StoreError::Corrupt(_)) => {
                    tracing::warn!(%topic, %error, "a viewer waits for the store");
                }
                told => return told,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Some events that follow each other.
#[derive(Debug)]
pub struct Page {
    /// Oldest first; about as many as asked for, and one at least where there is one.
    pub events: Vec<Arc<CommittedEvent>>,
    /// Whether these were the last when they were read.
    pub last: bool,
}

/// A topic in the store, page by page.
#[derive(Debug)]
pub struct Pages {
    reads: Reads,
    store: Store,
    caller: Caller,
    topic: Topic,
    /// Bytes of an event on average; 0 before there was one.
    average: usize,
}

impl Pages {
    /// Reads `topic`.
    #[must_use]
    pub const fn new(reads: Reads, store: Store, caller: Caller, topic: Topic) -> Self {
        Self {
            reads,
            store,
            caller,
            topic,
            average: 0,
        }
    }

    /// The page of about `most` bytes, as the JSON of its events counts, after a position of the
    /// journal or of the topic's own stream. Waits while the store is away.
    ///
    /// # Errors
    /// When the store holds what cannot be read.
    pub async fn after(&mut self, position: u64, most: usize) -> Result<Page, StoreError> {
        let likely = most.checked_div(self.average);
        let limit = likely.map_or(FIRST_PAGE_EVENTS, |events| events as u64 + 1);
        let limit = limit.min(PAGE_EVENTS);
        let (store, caller, topic) = (self.store.clone(), self.caller.clone(), self.topic.clone());
        let read = move || {
            let (store, caller, topic) = (store.clone(), caller.clone(), topic.clone());
            async move {
                let mut events = store.read_topic(&caller, &topic, position, limit).await?;
                let found = events.len();
                events.truncate(how_many_fit(&events, most));
                let last = (found as u64) < limit && events.len() == found;
                Ok(Page { events, last })
            }
        };
        let page = self.reads.persist(&self.topic, read).await?;
        let bytes: usize = page.events.iter().map(|event| event.wire.len()).sum();
        if let Some(average) = bytes.checked_div(page.events.len()) {
            self.average = average;
        }
        Ok(page)
    }
}

/// How many of these it takes to reach `most` bytes.
fn how_many_fit(events: &[Arc<CommittedEvent>], most: usize) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Arc<CommittedEvent>| {
        let fits = bytes < most;
        bytes += event.wire.len();
        fits
    };
    events.iter().take_while(fits).count()
}
