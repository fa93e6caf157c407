//! Reads for viewers: what a viewer does or leaves undone holds nothing up.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures_util::poll;
use limelight_protocol::Topic;
use tokio::sync::Notify;

use super::{DEADLINE, World, all, read_to};
use crate::{bus::Reads, store::StoreError};

async fn answer(number: usize) -> Result<usize, StoreError> {
    Ok(number)
}

#[actix_rt::test]
async fn answers_that_nobody_takes_keep_nobody_from_reading() {
    let reads = Reads::default();
    let mut sleepers: Vec<_> = (0..100)
        .map(|n| Box::pin(reads.run(move || answer(n))))
        .collect();
    for sleeper in &mut sleepers {
        // It has asked; from now on it sleeps.
        assert!(poll!(sleeper).is_pending());
    }
    let awake = tokio::time::timeout(DEADLINE, reads.run(|| answer(100))).await;
    assert_eq!(awake, Ok(Ok(100)));
    for (number, sleeper) in sleepers.into_iter().enumerate() {
        assert_eq!(sleeper.await, Ok(number));
    }
}

#[actix_rt::test]
async fn a_read_whose_viewer_goes_away_ends_by_itself_and_one_that_waits_never_begins() {
    let reads = Reads::default();
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Notify::new());
    let read = || {
        let (begun, ended, gate) = (begun.clone(), ended.clone(), gate.clone());
        move || async move {
            begun.fetch_add(1, SeqCst);
            gate.notified().await;
            ended.fetch_add(1, SeqCst);
            Ok(())
        }
    };
    {
        let mut gone: Vec<_> = (0..10).map(|_| Box::pin(reads.run(read()))).collect();
        for viewer in &mut gone {
            assert!(poll!(viewer).is_pending());
        }
        while begun.load(SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    }
    let mut next = pin!(reads.run(|| answer(1)));
    assert!(poll!(&mut next).is_pending());
    for _ in 0..2 {
        gate.notify_one();
    }
    assert_eq!(tokio::time::timeout(DEADLINE, next).await, Ok(Ok(1)));
    assert_eq!((begun.load(SeqCst), ended.load(SeqCst)), (2, 2));
}

#[actix_rt::test]
async fn a_read_that_panics_is_an_error_and_gives_its_turn_back() {
    let reads = Reads::default();
    for _ in 0..10 {
        let broken = reads.run::<(), _, _>(|| async { panic!("as asked") });
        assert!(matches!(broken.await, Err(StoreError::Lost(_))));
    }
    assert_eq!(reads.run(|| answer(1)).await, Ok(1));
}

#[actix_rt::test]
async fn a_store_that_fails_for_a_while_costs_a_viewer_no_event() {
    let mut world = World::new().await;
    world.commit_and_publish(100).await;
    let mut feed = world.feed(0);
    let failures = Arc::new(AtomicUsize::new(0));
    let told = world.bus.reads().persist(&Topic::Tests, move || {
        let fails = failures.fetch_add(1, SeqCst) < 2;
        async move {
            if fails {
                Err(StoreError::Lost("as asked".into()))
            } else {
                Ok(7)
            }
        }
    });
    assert_eq!(told.await, Ok(7));
    let corrupt = || async { Err::<(), _>(StoreError::Corrupt("as asked".into())) };
    let told = world.bus.reads().persist(&Topic::Tests, corrupt).await;
    assert_eq!(told, Err(StoreError::Corrupt("as asked".into())));
    assert_eq!(read_to(&mut feed, 100).await.0, all(1, 100));
}
