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
use tokio_stream::wrappers::IntervalStream;

use super::{
    Feed, FeedItem,
    snapshot::{self, Snapshot},
};
use crate::{
    auth::Caller,
    services::Services,
    store::{CommittedEvent, StoreError},
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
    /// Whether to say first how things stand.
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
    /// It cannot be followed any more.
    Failed(StoreError),
}

/// Follows a topic.
pub fn follow(
    services: Arc<Services>,
    caller: Caller,
    request: Request,
) -> BoxStream<'static, Told> {
    if request.topic == Topic::Actors {
        return follow_actors(services);
    }
    let opening = async move { open(&services, caller, request).await };
    let told = |opened: Result<(Vec<Told>, Feed), StoreError>| match opened {
        Ok((opening, feed)) => {
            let rest = feed.into_stream().map(|item| match item {
                FeedItem::Events { events, published } => Told::Events { events, published },
                FeedItem::Lagged { from, to } => Told::Lagged { from, to },
                FeedItem::Failed(error) => Told::Failed(error),
            });
            stream::iter(opening).chain(rest).boxed()
        }
        Err(error) => stream::iter([Told::Failed(error)]).boxed(),
    };
    stream::once(opening).flat_map(told).boxed()
}

/// Subscribes first; whatever is read after that, nothing can fall between.
async fn open(
    services: &Services,
    caller: Caller,
    request: Request,
) -> Result<(Vec<Told>, Feed), StoreError> {
    let Request {
        topic,
        after,
        snapshot,
    } = request;
    let Services {
        store,
        bus,
        supervision,
        ..
    } = services;
    let mut feed = Feed::subscribe(bus, store.clone(), caller.clone(), topic.clone());
    let head = feed.head().await?;
    // A position beyond the journal's end is from a journal that was since put back.
    let known = |cursor: &Cursor| cursor.epoch == store.epoch() && cursor.position <= head;
    let gap = after.as_ref().is_some_and(|cursor| !known(cursor));
    let snapshot = if snapshot || gap {
        Some(snapshot::read(store, &supervision.registry, &caller, &topic).await?)
    } else {
        None
    };
    let recovered = after.is_some() && !gap;
    let position = match (&after, &snapshot) {
        (Some(cursor), _) if !gap => cursor.position,
        (_, Some(snapshot)) => snapshot.position,
        (_, None) => head,
    };
    feed.after(position);
    let mut opening = vec![Told::Subscribed {
        position,
        recovered,
    }];
    if gap {
        opening.push(Told::Gap(GapReason::Epoch));
    }
    opening.extend(snapshot.map(Told::Snapshot));
    Ok((opening, feed))
}

fn follow_actors(services: Arc<Services>) -> BoxStream<'static, Told> {
    let subscribed = Told::Subscribed {
        position: 0,
        recovered: false,
    };
    let ticks = IntervalStream::new(tokio::time::interval(ACTORS_EVERY));
    let snapshots = ticks.map(move |_| {
        match serde_json::value::to_raw_value(&services.supervision.registry.tree()) {
            Ok(data) => Told::Snapshot(Snapshot { position: 0, data }),
            Err(error) => Told::Failed(error.into()),
        }
    });
    stream::iter([subscribed]).chain(snapshots).boxed()
}
