//! Events that were committed and never reached the bus.

use futures_util::{future::BoxFuture, poll};

use super::{FeedItem, World, all, read_to};
use crate::bus::Feed;

/// Waits until the feed has nothing more to give.
async fn park(feed: &mut Feed) -> BoxFuture<'_, FeedItem> {
    let mut next: BoxFuture<'_, FeedItem> = Box::pin(feed.next());
    assert!(
        poll!(&mut next).is_pending(),
        "it gave what nobody committed"
    );
    next
}

async fn positions(next: BoxFuture<'_, FeedItem>) -> Vec<u64> {
    let item = tokio::time::timeout(super::DEADLINE, next).await;
    match item.expect("it was never woken") {
        FeedItem::Events { events, .. } => events.iter().map(|event| event.position).collect(),
        other => panic!("{other:?}"),
    }
}

#[actix_rt::test]
async fn whoever_waits_for_an_event_in_a_hole_is_woken_by_any_event_after_it() {
    let mut world = World::new().await;
    let mut feed = world.feed(0);
    world.commit_and_publish(2).await;
    assert_eq!(read_to(&mut feed, 2).await.0, all(1, 2));
    let next = park(&mut feed).await;
    // The run that is followed gets lost; another's arrives.
    world.commit(3).await;
    let others = world.commit_to(1, 1).await;
    world.bus.publish(&others);
    assert_eq!(positions(next).await, all(3, 5));
}

#[actix_rt::test]
async fn a_hole_in_the_middle_of_a_batch_is_noticed() {
    let mut world = World::new().await;
    let (mut feed, mut other) = (world.feed(0), world.feed_of(world.topic(1), 0));
    world.commit_and_publish(1).await;
    assert_eq!(read_to(&mut feed, 1).await.0, all(1, 1));
    let next = park(&mut feed).await;
    let mut batch = world.commit_to(1, 2).await;
    world.commit(2).await;
    batch.extend(world.commit_to(1, 2).await);
    world.bus.publish(&batch);
    assert_eq!(positions(next).await, all(4, 5));
    assert_eq!(read_to(&mut other, 7).await.0, [2, 3, 6, 7]);
}

#[actix_rt::test]
async fn a_batch_that_comes_after_it_was_given_up_is_not_given_twice() {
    let mut world = World::new().await;
    let mut feed = world.feed(0);
    let late = world.commit(3).await;
    world.bus.catch_up(3);
    assert_eq!(read_to(&mut feed, 3).await.0, all(1, 3));
    let mut fresh = world.feed(1);
    world.bus.publish(&late);
    world.commit_and_publish(1).await;
    assert_eq!(read_to(&mut feed, 4).await.0, all(4, 4));
    assert_eq!(read_to(&mut fresh, 4).await.0, all(2, 4));
}

#[actix_rt::test]
async fn a_hole_is_not_the_followers_fault() {
    let mut world = World::new().await;
    let mut feed = world.feed(0);
    world.commit_and_publish(2).await;
    read_to(&mut feed, 2).await;
    world.commit_to(1, 5).await;
    world.commit_and_publish(1).await;
    assert_eq!(read_to(&mut feed, 8).await, (vec![8], 0));
}
