//! One follower's way through a topic: from its cursor through the store to the live tail.

use std::{sync::Arc, time::Instant};

use futures_util::stream::{self, Stream};

use super::{Bus, Subscription, Tail};
use crate::{
    auth::Caller,
    store::{CommittedEvent, Store, StoreError},
};
use limelight_protocol::{Stream as EventStream, Topic};

/// Most events in an item.
const ITEM_EVENTS: u64 = 128;
/// About the most bytes in an item: events are added until it is reached.
const ITEM_BYTES: usize = 32 * 1024;

/// Follows a topic: subscribes first, then reads what is missing from the store, then goes live,
/// and back to the store whenever the tail has moved on without it. Gives every event after its
/// cursor once, in order.
#[derive(Debug)]
pub struct Feed {
    store: Store,
    caller: Caller,
    subscription: Subscription,
    cursor: u64,
    complete_to: u64,
    from_store: bool,
}

/// What a feed gives.
#[derive(Debug)]
pub enum FeedItem {
    /// The next events.
    Events {
        /// Oldest first, at least one.
        events: Vec<Arc<CommittedEvent>>,
        /// When the oldest was published; none when they come from the store.
        published: Option<Instant>,
    },
    /// The follower was too slow for the tail; what it misses follows from the store.
    Lagged {
        /// Last position given.
        from: u64,
        /// Newest position there is.
        to: u64,
    },
    /// The store could not be read; the feed has ended.
    Failed(StoreError),
}

impl Feed {
    /// Subscribes; [`Feed::after`] says from where.
    #[must_use]
    pub fn subscribe(bus: &Bus, store: Store, caller: Caller, topic: Topic) -> Self {
        let subscription = bus.subscribe(topic);
        Self {
            store,
            caller,
            subscription,
            cursor: 0,
            complete_to: 0,
            from_store: true,
        }
    }

    /// The topic.
    #[must_use]
    pub const fn topic(&self) -> &Topic {
        self.subscription.topic()
    }

    /// Gives what follows `position`.
    pub const fn after(&mut self, position: u64) {
        self.cursor = position;
        self.from_store = true;
    }

    /// The newest position there is: of the journal, or of the topic's own stream.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn head(&self) -> Result<u64, StoreError> {
        match self.topic() {
            Topic::Log(execution, node) => self.store.last_log_seq(*execution, node).await,
            Topic::Metrics => self.store.last_sample_seq().await,
            _ => self.store.head().await,
        }
    }

    async fn read_store(&self) -> Result<Vec<Arc<CommittedEvent>>, StoreError> {
        match self.topic() {
            Topic::Log(execution, node) => {
                let stream = EventStream::Log(*execution, node.clone());
                self.store
                    .read_stream(&self.caller, &stream, self.cursor, ITEM_EVENTS)
                    .await
            }
            Topic::Metrics => {
                let stream = EventStream::Metrics;
                self.store
                    .read_stream(&self.caller, &stream, self.cursor, ITEM_EVENTS)
                    .await
            }
            topic => {
                self.store
                    .read_topic(&self.caller, topic, self.cursor, ITEM_EVENTS)
                    .await
            }
        }
    }

    /// The next item; waits for it.
    pub async fn next(&mut self) -> FeedItem {
        loop {
            if self.from_store {
                // What left the tail before the read began is in the store by then.
                let evicted_to = self.subscription.evicted_to();
                let mut events = match self.read_store().await {
                    Ok(events) => events,
                    Err(error) => return FeedItem::Failed(error),
                };
                let at_the_end = (events.len() as u64) < ITEM_EVENTS;
                let fitting = how_many_fit(&events);
                if at_the_end && fitting == events.len() {
                    self.from_store = false;
                    self.complete_to = evicted_to;
                }
                events.truncate(fitting);
                if let Some(last) = events.last() {
                    self.advance(last.position);
                    return FeedItem::Events {
                        events,
                        published: None,
                    };
                }
            } else {
                match self.subscription.read(
                    self.cursor,
                    self.complete_to,
                    ITEM_EVENTS as usize,
                    ITEM_BYTES,
                ) {
                    Tail::Events { events, published } => {
                        if let Some(last) = events.last() {
                            self.advance(last.position);
                        }
                        return FeedItem::Events {
                            events,
                            published: Some(published),
                        };
                    }
                    Tail::Empty => self.subscription.changed().await,
                    Tail::Behind { newest } => {
                        self.from_store = true;
                        return FeedItem::Lagged {
                            from: self.cursor,
                            to: newest,
                        };
                    }
                }
            }
        }
    }

    fn advance(&mut self, position: u64) {
        self.cursor = position;
        self.complete_to = self.complete_to.max(position);
    }

    /// The items as a stream; it ends after [`FeedItem::Failed`].
    pub fn into_stream(self) -> impl Stream<Item = FeedItem> {
        stream::unfold(Some(self), |feed| async {
            let mut feed = feed?;
            let item = feed.next().await;
            let ended = matches!(item, FeedItem::Failed(_));
            Some((item, (!ended).then_some(feed)))
        })
    }
}

/// How many of these make an item of about [`ITEM_BYTES`]; one at least, where there is one.
fn how_many_fit(events: &[Arc<CommittedEvent>]) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Arc<CommittedEvent>| {
        let fits = bytes < ITEM_BYTES;
        bytes += event.wire.len();
        fits
    };
    events.iter().take_while(fits).count()
}
