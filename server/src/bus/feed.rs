//! One follower's way through a topic: from its cursor through the store to the live tail.

use std::{sync::Arc, time::Instant};

use futures_util::stream::{self, Stream};
use limelight_protocol::Topic;
use tokio::sync::Semaphore;

use super::{Bus, Mark, Pace, Pages, Subscription, Tail};
use crate::{
    auth::Caller,
    store::{CommittedEvent, Store, StoreError},
};

/// Most events in an item.
const ITEM_EVENTS: usize = 128;

/// Follows a topic: subscribes first, then reads what is missing from the store, then goes live,
/// and back to the store whenever the tail has moved on without it. Gives every event after its
/// cursor once, in order.
#[derive(Debug)]
pub struct Feed {
    subscription: Subscription,
    pages: Pages,
    pace: Pace,
    room: Arc<Semaphore>,
    cursor: u64,
    mark: Mark,
    from_store: bool,
}

/// What a feed gives.
#[derive(Debug)]
pub enum FeedItem {
    /// The next events.
    Events {
        /// Oldest first, at least one; a portion of them at most.
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
    /// The store holds something that cannot be read; the feed has ended.
    Failed(StoreError),
}

impl Feed {
    /// Subscribes; [`Feed::after`] says from where.
    #[must_use]
    pub fn subscribe(bus: &Bus, store: Store, caller: Caller, topic: Topic) -> Self {
        let reads = bus.reads().clone();
        Self {
            subscription: bus.subscribe(topic.clone()),
            pages: Pages::new(reads, store, caller, topic),
            pace: Pace::default(),
            room: Arc::new(Semaphore::new(1)),
            cursor: 0,
            mark: Mark::default(),
            from_store: true,
        }
    }

    /// Takes a permit of `room` for each page that is on its way, as others of the same viewer do.
    #[must_use]
    pub fn sharing(mut self, room: Arc<Semaphore>) -> Self {
        self.room = room;
        self
    }

    /// Gives what follows `position`.
    pub const fn after(&mut self, position: u64) {
        self.cursor = position;
        self.from_store = true;
    }

    /// The next item; waits for it, also while the store is away. May be dropped and called again.
    pub async fn next(&mut self) -> FeedItem {
        loop {
            if !self.from_store {
                match self.subscription.read(
                    self.cursor,
                    &self.mark,
                    ITEM_EVENTS,
                    self.pace.portion(),
                ) {
                    Tail::Events { events, published } => {
                        self.advance(&events);
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
                    Tail::Hole => self.from_store = true,
                }
                continue;
            }
            // What was published before the read begins is in the store by then.
            let mark = self.subscription.mark();
            let page = {
                let _place = self.room.acquire().await;
                // In a box: a feed mostly waits for the tail, and should be small then.
                Box::pin(self.pages.after(self.cursor, self.pace.portion())).await
            };
            let events = match page {
                Ok(page) => {
                    if page.last {
                        self.from_store = false;
                        self.mark = mark;
                    }
                    page.events
                }
                Err(error) => return FeedItem::Failed(error),
            };
            if !events.is_empty() {
                self.advance(&events);
                return FeedItem::Events {
                    events,
                    published: None,
                };
            }
        }
    }

    fn advance(&mut self, events: &[Arc<CommittedEvent>]) {
        if let Some(last) = events.last() {
            self.cursor = last.position;
            self.mark.saw(last.position);
        }
        let bytes = events.iter().map(|event| event.wire.len()).sum();
        self.pace.took(bytes);
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
