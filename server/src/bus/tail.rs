//! Short tails of the followed topics, shared by all their followers.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
    time::Instant,
};

use limelight_protocol::{Stream, Topic};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Reads;
use crate::store::CommittedEvent;

/// A tail holds no more than this of its topic; older events are read from the store.
const TAIL_EVENTS: usize = 1024;
const TAIL_BYTES: usize = 256 * 1024;

/// The followed topics. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Bus {
    topics: Arc<Mutex<Topics>>,
    reads: Reads,
}

#[derive(Debug, Default)]
struct Topics {
    by_topic: HashMap<Topic, TopicTail>,
    /// Events of the journal up to here were published, or are left to the store.
    position: u64,
}

/// An event, and when it was published.
type Published = (Instant, Arc<CommittedEvent>);

#[derive(Debug, Default)]
struct TopicTail {
    events: VecDeque<Published>,
    bytes: usize,
    /// Newest event that had to make room for others; 0 for none.
    evicted_to: u64,
    newest: u64,
    /// How often something may have been committed that never came here.
    holes: u64,
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
    /// The follower is too slow: some of what follows is only in the store.
    Behind {
        /// Newest event of the topic.
        newest: u64,
    },
    /// Some of what follows may be only in the store, by no fault of the follower's.
    Hole,
}

/// How far a follower is known to have seen all of its topic.
#[derive(Clone, Debug, Default)]
pub struct Mark {
    position: u64,
    holes: u64,
}

impl Mark {
    /// The follower was given everything up to `position`.
    pub const fn saw(&mut self, position: u64) {
        if position > self.position {
            self.position = position;
        }
    }
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
        let mut topics = self.topics.lock();
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

    /// For reading the store in the name of viewers.
    #[must_use]
    pub const fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Hands committed events of the journal to their followers, in commit order.
    ///
    /// An event that does not follow on the one before it, in this batch or the last, means that some
    /// got lost on the way here; then everybody is sent to the store for them. What was left to the
    /// store is not taken any more.
    pub fn publish(&self, events: &[Arc<CommittedEvent>]) {
        let mut topics = self.topics.lock();
        let now = Instant::now();
        let mut hole = false;
        for event in events {
            if event.position <= topics.position {
                continue;
            }
            if event.position > topics.position + 1 {
                topics.leave_to_the_store();
                hole = true;
            }
            topics.position = event.position;
            for topic in journal_topics(event) {
                topics.push(&topic, now, event);
            }
        }
        if hole {
            topics.wake_all();
        } else {
            topics.wake(events.iter().flat_map(|event| journal_topics(event)));
        }
    }

    /// Hands events of one stream outside the journal (logs, metrics) to their followers, in order.
    pub fn publish_live(&self, events: &[Arc<CommittedEvent>]) {
        let Some(first) = events.first() else { return };
        let topic = Topic::from(first.stream.clone());
        let mut topics = self.topics.lock();
        let now = Instant::now();
        for event in events {
            topics.push(&topic, now, event);
        }
        topics.wake([topic]);
    }

    /// Tells the followers of a stream outside the journal that something may be in the store that
    /// will not be published: an append that may have been committed although it failed.
    pub fn look_again(&self, topic: &Topic) {
        let mut topics = self.topics.lock();
        if let Some(tail) = topics.by_topic.get_mut(topic) {
            tail.leave_to_the_store();
            tail.wake();
        }
    }

    /// How many topics have followers.
    #[must_use]
    pub fn followed_topics(&self) -> usize {
        self.topics.lock().by_topic.len()
    }

    /// Tells the bus how far the journal is, in case a published batch got lost on its way.
    pub fn catch_up(&self, head: u64) {
        let mut topics = self.topics.lock();
        if head > topics.position {
            topics.position = head;
            topics.leave_to_the_store();
            topics.wake_all();
        }
    }
}

/// Whether a topic is fed from the journal.
const fn is_of_journal(topic: &Topic) -> bool {
    !matches!(topic, Topic::Log(..) | Topic::Metrics)
}

impl Topics {
    /// Makes a hole in all topics of the journal, since nobody knows what is missing.
    fn leave_to_the_store(&mut self) {
        for (topic, tail) in &mut self.by_topic {
            if is_of_journal(topic) {
                tail.leave_to_the_store();
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
        // Outside the journal a stream has the topic for itself, and counts without a gap.
        if !is_of_journal(topic) && tail.newest > 0 && event.position > tail.newest + 1 {
            tail.leave_to_the_store();
        }
        tail.push(now, event);
    }

    fn wake(&self, touched: impl IntoIterator<Item = Topic>) {
        let mut woken: Option<Topic> = None;
        for topic in touched {
            // Neighbours in a batch mostly share their topics.
            if woken.as_ref() == Some(&topic) {
                continue;
            }
            if let Some(tail) = self.by_topic.get(&topic) {
                tail.wake();
            }
            woken = Some(topic);
        }
    }

    /// Wakes the followers of the journal's topics.
    fn wake_all(&self) {
        for (topic, tail) in &self.by_topic {
            if is_of_journal(topic) {
                tail.wake();
            }
        }
    }
}

impl TopicTail {
    fn push(&mut self, now: Instant, event: &Arc<CommittedEvent>) {
        self.newest = event.position;
        self.bytes += event.wire.len();
        self.events.push_back((now, Arc::clone(event)));
        while self.events.len() > TAIL_EVENTS || self.bytes > TAIL_BYTES {
            let Some((_, oldest)) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.wire.len();
            self.evicted_to = oldest.position;
        }
    }

    fn leave_to_the_store(&mut self) {
        self.events.clear();
        self.bytes = 0;
        self.holes += 1;
    }

    fn wake(&self) {
        for follower in &self.followers {
            if let Some(wake) = follower.upgrade() {
                wake.notify_one();
            }
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

    /// What was published by now; whoever starts to read the store after this call, and reads to its
    /// end, has seen all of it.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let topics = self.bus.topics.lock();
        let Some(tail) = topics.by_topic.get(&self.topic) else {
            return Mark::default();
        };
        Mark {
            position: if is_of_journal(&self.topic) {
                topics.position
            } else {
                tail.newest
            },
            holes: tail.holes,
        }
    }

    /// What follows `after`, at most `max_events` and about `max_bytes` of it.
    ///
    /// `seen` is how far the reader has seen all of the topic; its position may be above `after` when
    /// the last events before it belong to other topics.
    #[must_use]
    pub fn read(&self, after: u64, seen: &Mark, max_events: usize, max_bytes: usize) -> Tail {
        let topics = self.bus.topics.lock();
        let Some(tail) = topics.by_topic.get(&self.topic) else {
            return Tail::Empty;
        };
        if tail.evicted_to > seen.position {
            return Tail::Behind {
                newest: tail.newest,
            };
        }
        if tail.holes != seen.holes {
            return Tail::Hole;
        }
        let from = tail
            .events
            .partition_point(|(_, event)| event.position <= after);
        let first = tail.events.get(from).map(|(_, event)| event.position);
        if !is_of_journal(&self.topic)
            && first.is_some_and(|first| first > after.max(seen.position) + 1)
        {
            return Tail::Hole;
        }
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
        let mut topics = self.bus.topics.lock();
        if let Some(tail) = topics.by_topic.get_mut(&self.topic) {
            let own = Arc::as_ptr(&self.wake);
            tail.followers.retain(|follower| follower.as_ptr() != own);
            if tail.followers.is_empty() {
                topics.by_topic.remove(&self.topic);
            }
        }
    }
}
