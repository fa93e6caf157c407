//! The promise of a feed: every event after its cursor, once, in order, however slow it reads and
//! whatever gets lost between journal and bus.

use std::{sync::Arc, time::Duration};

use limelight_protocol::{
    EventBody, Stream, TestRunId, Topic,
    testing::{CaseResult, CaseStatus, TestRun},
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{Bus, Feed, FeedItem, PORTION_BYTES};
use crate::{
    auth::Caller,
    clock,
    store::{
        Append, CommittedEvent, DatabaseUrl, JournalWriter, PendingEvent, ReadModel, Store,
        StoreOptions, Synchronous,
    },
};

mod holes;
mod live;
mod random;
mod reads;
mod viewer;

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(60);

/// A journal with a bus behind it, and test runs to write to: the events of the first, unless another
/// is named.
struct World {
    bus: Bus,
    store: Store,
    writer: JournalWriter,
    runs: Vec<TestRun>,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("test.db"));
        let options = StoreOptions {
            url,
            synchronous: Synchronous::Off,
        };
        let (store, writer) = Store::open(options).await.unwrap();
        let run = || {
            let id = TestRunId(Uuid::now_v7());
            TestRun::begun(id, "suite".into(), "test".into(), clock::now())
        };
        Self {
            bus: Bus::default(),
            store,
            writer,
            runs: std::iter::repeat_with(run).take(3).collect(),
            _folder: folder,
        }
    }

    async fn commit(&mut self, count: u64) -> Vec<Arc<CommittedEvent>> {
        self.commit_to(0, count).await
    }

    async fn commit_to(&mut self, number: usize, count: u64) -> Vec<Arc<CommittedEvent>> {
        let run = &mut self.runs[number];
        let first_seq = run.seq + 1;
        let case = |seq| CaseResult {
            name: format!("case {seq}"),
            status: CaseStatus::Passed,
            duration_s: None,
            message: None,
        };
        let events = (first_seq..first_seq + count)
            .map(|seq| PendingEvent {
                node_id: None,
                timestamp: clock::now(),
                body: EventBody::TestCase(case(seq)),
            })
            .collect();
        run.seq += count;
        let append = Append {
            stream: Stream::TestRun(run.id),
            workflow_id: None,
            execution_id: None,
            first_seq,
            events,
            fence: None,
            read_model: ReadModel::TestRun {
                run: Box::new(run.clone()),
                new_cases: vec![],
            },
        };
        self.writer.commit(vec![append]).await.remove(0).unwrap()
    }

    async fn commit_and_publish(&mut self, count: u64) {
        let events = self.commit(count).await;
        self.bus.publish(&events);
    }

    fn feed(&self, after: u64) -> Feed {
        self.feed_of(self.topic(0), after)
    }

    fn topic(&self, number: usize) -> Topic {
        Topic::TestRun(self.runs[number].id)
    }

    fn feed_of(&self, topic: Topic, after: u64) -> Feed {
        let mut feed = Feed::subscribe(&self.bus, self.store.clone(), Caller::system(), topic);
        feed.after(after);
        feed
    }
}

/// Reads until `last` was given; returns the positions and how often the feed lagged.
async fn read_to(feed: &mut Feed, last: u64) -> (Vec<u64>, u32) {
    let (mut positions, mut lagged) = (Vec::new(), 0);
    while positions.last() != Some(&last) {
        let item = tokio::time::timeout(DEADLINE, feed.next()).await;
        match item.unwrap_or_else(|_| panic!("it waits for ever after {positions:?}")) {
            FeedItem::Events { events, .. } => {
                positions.extend(events.iter().map(|event| event.position));
            }
            FeedItem::Lagged { .. } => lagged += 1,
            FeedItem::Failed(error) => panic!("{error}"),
        }
    }
    (positions, lagged)
}

fn all(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[actix_rt::test]
async fn a_feed_gives_what_was_before_it_and_then_what_comes() {
    let mut world = World::new().await;
    world.commit_and_publish(300).await;
    let mut feed = world.feed(10);
    assert_eq!(read_to(&mut feed, 300).await, (all(11, 300), 0));
    world.commit_and_publish(5).await;
    assert_eq!(read_to(&mut feed, 305).await, (all(301, 305), 0));
}

#[actix_rt::test]
async fn an_item_is_a_portion_from_the_store_and_from_the_tail() {
    let mut world = World::new().await;
    world.commit_and_publish(200).await;
    let mut feed = world.feed(0);
    portions(&mut feed, 200, false).await;
    world.commit_and_publish(1).await;
    read_to(&mut feed, 201).await;
    // It has seen the end of the store, so it is live.
    world.commit_and_publish(200).await;
    portions(&mut feed, 401, true).await;
}

/// Reads until `last` was given, in several items of about a portion, all live or none.
async fn portions(feed: &mut Feed, last: u64, live: bool) {
    let (mut given, mut items) = (0, 0);
    while given < last {
        let FeedItem::Events { events, published } = feed.next().await else {
            panic!("nothing is missing")
        };
        assert_eq!(published.is_some(), live);
        let bytes: usize = events.iter().map(|event| event.wire.len()).sum();
        let newest = events.last().unwrap();
        assert!(bytes < PORTION_BYTES + newest.wire.len(), "{bytes} bytes");
        given = newest.position;
        items += 1;
    }
    assert!(items > 5, "{items} items");
}

#[actix_rt::test]
async fn a_feed_that_reads_too_slowly_is_told_so_and_misses_nothing() {
    let mut world = World::new().await;
    let mut feed = world.feed(0);
    world.commit_and_publish(1).await;
    assert_eq!(read_to(&mut feed, 1).await, (vec![1], 0));
    for _ in 0..30 {
        world.commit_and_publish(100).await;
    }
    let (positions, lagged) = read_to(&mut feed, 3001).await;
    assert_eq!(positions, all(2, 3001));
    assert!(lagged > 0, "3,000 events fitted into a tail");
}

#[actix_rt::test]
async fn a_batch_that_never_reached_the_bus_is_read_from_the_store() {
    let mut world = World::new().await;
    let mut feed = world.feed(0);
    world.commit_and_publish(2).await;
    assert_eq!(read_to(&mut feed, 2).await.0, all(1, 2));
    world.commit(3).await;
    world.commit_and_publish(2).await;
    assert_eq!(read_to(&mut feed, 7).await.0, all(3, 7));
    world.commit(3).await;
    world.bus.catch_up(10);
    assert_eq!(read_to(&mut feed, 10).await.0, all(8, 10));
}

#[actix_rt::test]
async fn what_is_committed_while_a_feed_reads_the_store_comes_once() {
    let mut world = World::new().await;
    world.commit_and_publish(200).await;
    let mut feed = world.feed(0);
    let FeedItem::Events { events, .. } = feed.next().await else {
        panic!("no events")
    };
    let mut positions: Vec<_> = events.iter().map(|event| event.position).collect();
    // These are in the store and in the tail.
    world.commit_and_publish(50).await;
    positions.extend(read_to(&mut feed, 250).await.0);
    assert_eq!(positions, all(1, 250));
}

#[actix_rt::test]
async fn followers_of_other_topics_are_not_told() {
    let mut world = World::new().await;
    let topic = Topic::TestRun(TestRunId(Uuid::now_v7()));
    let mut other = world.feed_of(topic, 0);
    let mut tests = world.feed_of(Topic::Tests, 0);
    world.commit_and_publish(3).await;
    assert_eq!(read_to(&mut tests, 3).await.0, all(1, 3));
    tokio::select! {
        biased;
        _ = other.next() => panic!("told of a foreign event"),
        () = tokio::task::yield_now() => {}
    }
}

#[actix_rt::test]
async fn a_topic_that_nobody_follows_any_more_is_forgotten() {
    let mut world = World::new().await;
    let feed = world.feed(0);
    assert_eq!(world.bus.followed_topics(), 1);
    drop(feed);
    world.commit_and_publish(1).await;
    assert_eq!(world.bus.followed_topics(), 0);
}
