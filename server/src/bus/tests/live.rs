//! Streams outside the journal: readings of the host stand for logs too.

use std::sync::Arc;

use limelight_protocol::{Timestamp, Topic, host::HostSample};

use super::{World, all, read_to};
use crate::{host::HostSampler, store::CommittedEvent};

struct Readings {
    world: World,
    sample: HostSample,
}

impl Readings {
    async fn new() -> Self {
        Self {
            world: World::new().await,
            sample: HostSampler::new().unwrap().sample(Timestamp(1000)),
        }
    }

    async fn store(&self) -> Arc<CommittedEvent> {
        self.world.store.insert_sample(&self.sample).await.unwrap()
    }

    async fn store_and_publish(&self) {
        let event = self.store().await;
        self.world.bus.publish_live(&[event]);
    }
}

#[actix_rt::test]
async fn what_was_stored_and_not_published_comes_with_the_next() {
    let readings = Readings::new().await;
    let mut feed = readings.world.feed_of(Topic::Metrics, 0);
    readings.store_and_publish().await;
    assert_eq!(read_to(&mut feed, 1).await.0, all(1, 1));
    readings.store().await;
    readings.store_and_publish().await;
    assert_eq!(read_to(&mut feed, 3).await, (all(2, 3), 0));
}

#[actix_rt::test]
async fn the_first_that_is_published_may_follow_on_one_that_was_not() {
    let readings = Readings::new().await;
    readings.store().await;
    // Nothing was published since it subscribed, so the tail knows of no place to go on from.
    let mut feed = readings.world.feed_of(Topic::Metrics, 0);
    assert_eq!(read_to(&mut feed, 1).await.0, all(1, 1));
    readings.store().await;
    readings.store_and_publish().await;
    assert_eq!(read_to(&mut feed, 3).await, (all(2, 3), 0));
}

#[actix_rt::test]
async fn what_is_stored_by_an_append_that_failed_is_looked_for() {
    let readings = Readings::new().await;
    let mut feed = readings.world.feed_of(Topic::Metrics, 0);
    readings.store_and_publish().await;
    assert_eq!(read_to(&mut feed, 1).await.0, all(1, 1));
    readings.store().await;
    readings.world.bus.look_again(&Topic::Metrics);
    assert_eq!(read_to(&mut feed, 2).await, (all(2, 2), 0));
}

#[actix_rt::test]
async fn holes_in_the_journal_do_not_concern_it() {
    let mut readings = Readings::new().await;
    let mut feed = readings.world.feed_of(Topic::Metrics, 0);
    readings.store_and_publish().await;
    readings.world.commit(5).await;
    readings.world.commit_and_publish(1).await;
    readings.store_and_publish().await;
    assert_eq!(read_to(&mut feed, 2).await, (all(1, 2), 0));
}
