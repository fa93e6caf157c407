//! What a follower of a topic is told, from the opening on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use limelight_protocol::{Cursor, Topic, ws::GapReason};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::IntervalStream;

use super::{Feed, FeedItem, PAGES_PER_VIEWER};
use crate::{
    auth::Caller,
    services::Services,
    store::{CommittedEvent, Snapshot, StoreError},
};

/// How often a follower of `actors` is told how things stand.
const ACTORS_EVERY: Duration = Duration::from_secs(1);

/// What somebody wants to follow.
#[derive(Clone, Debug)]
pub struct Request {
    /// The topic.
    pub topic: Topic,
    /// Go on after this; from now when absent.
    pub after: Option<Cursor>,
    /// Whether to say first how things stand, where there is nothing to go on after.
    pub snapshot: bool,
}

/// What a follower is told, in this order: `Subscribed`, perhaps `Gap`, perhaps `Snapshot`, then
/// `Events` and `Lagged` without end, or `Failed` as the last.
pub enum Told {
    /// It is followed from here on.
    Subscribed {
        /// Events after this follow.
        position: u64,
        /// Whether everything after the follower's cursor follows.
        recovered: bool,
    },
    /// The cursor is of no use here.
    Gap(GapReason),
    /// How things stand.
    Snapshot(Snapshot),
    /// The next events.
    Events {
        /// Oldest first, at least one.
        events: Vec<Arc<CommittedEvent>>,
        /// When the oldest was published; none when they come from the store.
        published: Option<Instant>,
    },
    /// The follower was too slow; what it misses follows.
    Lagged {
        /// Last position told.
        from: u64,
        /// Newest position there is.
        to: u64,
    },
    /// The store holds something of it that cannot be read; it cannot be followed any more.
    Failed(StoreError),
}

/// Follows a topic. A page on its way to the follower takes one permit of `room`, and an opening takes
/// [`PAGES_PER_VIEWER`] until it is told, since nobody knows how large a snapshot is.
pub fn follow(
    services: Arc<Services>,
    caller: Caller,
    request: Request,
    room: Arc<Semaphore>,
) -> BoxStream<'static, Told> {
    if request.topic == Topic::Actors {
        return follow_actors(services);
    }
    // In a box of its own, which is gone when it is done: there are many who then wait for long.
    let opening = Box::pin(async move { open(&services, caller, request, room).await });
    let told = |opened: Result<Opened, StoreError>| match opened {
        Ok(Opened { told, feed, place }) => {
            let rest = feed.into_stream().map(|item| match item {
                FeedItem::Events { events, published } => Told::Events { events, published },
                FeedItem::Lagged { from, to } => Told::Lagged { from, to },
                FeedItem::Failed(error) => Told::Failed(error),
            });
            let opening = stream::iter(told).inspect(move |_| {
                let _ = &place;
            });
            opening.chain(rest).boxed()
        }
        Err(error) => stream::iter([Told::Failed(error)]).boxed(),
    };
    stream::once(opening).flat_map(told).boxed()
}

/// What the store says to an opening.
struct Found {
    gap: bool,
    head: u64,
    snapshot: Option<Snapshot>,
}

/// What a follower is told first, and what follows.
struct Opened {
    told: Vec<Told>,
    feed: Feed,
    /// Kept until `told` is told.
    place: Option<OwnedSemaphorePermit>,
}

/// Subscribes first; whatever is read after that, nothing can fall between.
async fn open(
    services: &Services,
    caller: Caller,
    request: Request,
    room: Arc<Semaphore>,
) -> Result<Opened, StoreError> {
    let Request {
        topic,
        after,
        snapshot: wanted,
    } = request;
    let Services { store, bus, .. } = services;
    let feed = Feed::subscribe(bus, store.clone(), caller.clone(), topic.clone());
    let mut feed = feed.sharing(Arc::clone(&room));
    let asked = (store.clone(), caller, topic.clone(), after.clone());
    let read = move || {
        let (store, caller, topic, after) = asked.clone();
        async move {
            let head = store.head_of(&topic).await?;
            // A position beyond the journal's end is from a journal that was since put back.
            let known = |cursor: &Cursor| cursor.epoch == store.epoch() && cursor.position <= head;
            let gap = after.as_ref().is_some_and(|cursor| !known(cursor));
            let snapshot = if gap || (wanted && after.is_none()) {
                Some(store.snapshot(&caller, &topic).await?)
            } else {
                None
            };
            Ok(Found {
                gap,
                head,
                snapshot,
            })
        }
    };
    // The room of a viewer is never closed.
    let place = room.acquire_many_owned(PAGES_PER_VIEWER).await.ok();
    let Found {
        gap,
        head,
        snapshot,
    } = bus.reads().persist(&topic, read).await?;
    let recovered = after.is_some() && !gap;
    let position = match (&after, &snapshot) {
        (Some(cursor), None) => cursor.position,
        (_, Some(snapshot)) => snapshot.position,
        (None, None) => head,
    };
    feed.after(position);
    let mut told = vec![Told::Subscribed {
        position,
        recovered,
    }];
    if gap {
        told.push(Told::Gap(GapReason::Epoch));
    }
    told.extend(snapshot.map(Told::Snapshot));
    Ok(Opened { told, feed, place })
}

fn follow_actors(services: Arc<Services>) -> BoxStream<'static, Told> {
    let subscribed = Told::Subscribed {
        position: 0,
        recovered: false,
    };
    let mut ticks = interval(ACTORS_EVERY);
    // Whoever slept through some of them is told how things stand now, once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let snapshots =
        IntervalStream::new(ticks).map(move |_| {
            match serde_json::value::to_raw_value(&services.supervision.registry.tree()) {
                Ok(data) => Told::Snapshot(Snapshot { position: 0, data }),
                Err(error) => Told::Failed(error.into()),
            }
        });
    stream::iter([subscribed]).chain(snapshots).boxed()
}
