//! Short tails of the followed topics, shared by all their followers.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
    time::Instant,
};

use limelight_protocol::{Stream, Topic};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::store::CommittedEvent;

/// A tail holds no more than this of its topic; older events are read from the store.
const TAIL_EVENTS: usize = 1024;
const TAIL_BYTES: usize = 256 * 1024;

/// The followed topics. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Bus(Arc<Mutex<Topics>>);

#[derive(Debug, Default)]
struct Topics {
    by_topic: HashMap<Topic, TopicTail>,
    /// Newest journal position published.
    position: u64,
}

/// An event, and when it was published.
type Published = (Instant, Arc<CommittedEvent>);

#[derive(Debug, Default)]
struct TopicTail {
    events: VecDeque<Published>,
    bytes: usize,
    /// Newest event that was published but is not in `events` any more; 0 for none.
    evicted_to: u64,
    newest: u64,
    followers: Vec<Weak<Notify>>,
}

/// What a tail holds after a follower's place.
#[derive(Debug)]
pub enum Tail {
    /// What follows.
    Events {
        /// Oldest first, at least one.
        events: Vec<Arc<CommittedEvent>>,
        /// When the oldest was published.
        published: Instant,
    },
    /// Nothing new.
    Empty,
    /// Some of what follows is only in the store.
    Behind {
        /// Newest event of the topic.
        newest: u64,
    },
}

/// A follower's tie to a topic. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    bus: Bus,
    topic: Topic,
    wake: Arc<Notify>,
}

impl Bus {
    /// Follows a topic from now on.
    #[must_use]
    pub fn subscribe(&self, topic: Topic) -> Subscription {
        let wake = Arc::new(Notify::new());
        let mut topics = self.0.lock();
        topics
            .by_topic
            .entry(topic.clone())
            .or_default()
            .followers
            .push(Arc::downgrade(&wake));
        Subscription {
            bus: self.clone(),
            topic,
            wake,
        }
    }

    /// Hands committed events of the journal to their followers, in commit order.
    ///
    /// A batch that does not follow on the last one means that some got lost on the way here; then
    /// everybody is sent to the store for them.
    pub fn publish(&self, events: &[Arc<CommittedEvent>]) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return;
        };
        let mut topics = self.0.lock();
        if first.position > topics.position + 1 {
            topics.skip_to(first.position - 1);
        }
        topics.position = topics.position.max(last.position);
        let now = Instant::now();
        for event in events {
            for topic in journal_topics(event) {
                topics.push(&topic, now, event);
            }
        }
        topics.wake(events.iter().flat_map(|event| journal_topics(event)));
    }

    /// Hands events of a stream outside the journal (logs, metrics) to their followers.
    pub fn publish_live(&self, events: &[Arc<CommittedEvent>]) {
        let Some(first) = events.first() else { return };
        let topic = Topic::from(first.stream.clone());
        let mut topics = self.0.lock();
        let now = Instant::now();
        for event in events {
            topics.push(&topic, now, event);
        }
        topics.wake([topic]);
    }

    /// How many topics have followers.
    #[must_use]
    pub fn followed_topics(&self) -> usize {
        self.0.lock().by_topic.len()
    }

    /// Tells the bus how far the journal is, in case a published batch got lost on its way.
    pub fn catch_up(&self, head: u64) {
        let mut topics = self.0.lock();
        if head > topics.position {
            topics.skip_to(head);
            let all: Vec<Topic> = topics.by_topic.keys().cloned().collect();
            topics.wake(all);
        }
    }
}

impl Topics {
    /// Everything up to `position` counts as published and evicted.
    fn skip_to(&mut self, position: u64) {
        self.position = position;
        for (topic, tail) in &mut self.by_topic {
            if !matches!(topic, Topic::Log(..) | Topic::Metrics) {
                tail.events.clear();
                tail.bytes = 0;
                tail.evicted_to = position;
                tail.newest = position;
            }
        }
    }

    fn push(&mut self, topic: &Topic, now: Instant, event: &Arc<CommittedEvent>) {
        let Some(tail) = self.by_topic.get_mut(topic) else {
            return;
        };
        if event.position <= tail.newest {
            return;
        }
        tail.newest = event.position;
        tail.bytes += event.wire.len();
        tail.events.push_back((now, Arc::clone(event)));
        while tail.events.len() > TAIL_EVENTS || tail.bytes > TAIL_BYTES {
            let Some((_, oldest)) = tail.events.pop_front() else {
                break;
            };
            tail.bytes -= oldest.wire.len();
            tail.evicted_to = oldest.position;
        }
    }

    fn wake(&mut self, touched: impl IntoIterator<Item = Topic>) {
        let mut woken: Option<Topic> = None;
        for topic in touched {
            // Neighbours in a batch mostly share their topics.
            if woken.as_ref() == Some(&topic) {
                continue;
            }
            if let Some(tail) = self.by_topic.get(&topic) {
                for follower in &tail.followers {
                    if let Some(wake) = follower.upgrade() {
                        wake.notify_one();
                    }
                }
            }
            woken = Some(topic);
        }
    }
}

/// The topics in which an event of the journal shows.
fn journal_topics(event: &CommittedEvent) -> impl Iterator<Item = Topic> {
    let own = Topic::from(event.stream.clone());
    let all = match event.stream {
        Stream::Execution(_) => Some(Topic::Executions),
        Stream::TestRun(_) => Some(Topic::Tests),
        Stream::Log(..) | Stream::Metrics => None,
    };
    let workflow = event.workflow_id.map(Topic::Workflow);
    [Some(own), all, workflow].into_iter().flatten()
}

impl Subscription {
    /// The topic.
    #[must_use]
    pub const fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Events up to here may have left the tail; whoever starts to read the store after this call
    /// finds them there.
    #[must_use]
    pub fn evicted_to(&self) -> u64 {
        self.bus
            .0
            .lock()
            .by_topic
            .get(&self.topic)
            .map_or(0, |tail| tail.evicted_to)
    }

    /// What follows `after`, at most `max_events` and about `max_bytes` of it.
    ///
    /// `complete_to` is how far the reader is known to have seen all of the topic; it may be above
    /// `after` when the last events before it belong to other topics.
    #[must_use]
    pub fn read(&self, after: u64, complete_to: u64, max_events: usize, max_bytes: usize) -> Tail {
        let topics = self.bus.0.lock();
        let Some(tail) = topics.by_topic.get(&self.topic) else {
            return Tail::Empty;
        };
        if tail.evicted_to > complete_to {
            return Tail::Behind {
                newest: tail.newest,
            };
        }
        let from = tail
            .events
            .partition_point(|(_, event)| event.position <= after);
        let mut bytes = 0;
        let events: Vec<_> = tail
            .events
            .range(from..)
            .take(max_events)
            .take_while(|(_, event)| {
                let fits = bytes < max_bytes;
                bytes += event.wire.len();
                fits
            })
            .map(|(_, event)| Arc::clone(event))
            .collect();
        match tail.events.get(from) {
            Some(&(published, _)) => Tail::Events { events, published },
            None => Tail::Empty,
        }
    }

    /// Waits until the topic may hold something new. Nothing published since the last
    /// [`Subscription::read`] is missed.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut topics = self.bus.0.lock();
        if let Some(tail) = topics.by_topic.get_mut(&self.topic) {
            let own = Arc::as_ptr(&self.wake);
            tail.followers.retain(|follower| follower.as_ptr() != own);
            if tail.followers.is_empty() {
                topics.by_topic.remove(&self.topic);
            }
        }
    }
}
