//! Random histories: batches that arrive, arrive late, or never; followers that come, read a little,
//! break off in the middle of a read, and go. A seed names a history; `LIMELIGHT_TEST_SEED` repeats it.

use std::{collections::VecDeque, sync::Arc};

use limelight_protocol::Topic;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{FeedItem, World, read_to};
use crate::{bus::Feed, store::CommittedEvent};

const HISTORIES: u64 = 40;
const STEPS: usize = 60;

struct Follower {
    feed: Feed,
    /// None for all runs.
    run: Option<usize>,
    after: u64,
    given: Vec<u64>,
}

struct History {
    world: World,
    random: StdRng,
    /// The run of each event, by position.
    runs: Vec<usize>,
    /// Committed, and on their way to the bus.
    on_the_way: VecDeque<Vec<Arc<CommittedEvent>>>,
    followers: Vec<Follower>,
}

impl History {
    fn head(&self) -> u64 {
        self.runs.len() as u64
    }

    async fn commit(&mut self) {
        let mut batch = Vec::new();
        for _ in 0..self.random.random_range(1..4) {
            let run = self.random.random_range(0..3);
            let most = if self.random.random_bool(0.1) { 300 } else { 6 };
            let count = self.random.random_range(1..most);
            self.runs.extend(std::iter::repeat_n(run, count as usize));
            let events = self.world.commit_to(run, count).await;
            // One of the batch may get lost by itself.
            if self.random.random_bool(0.9) {
                batch.extend(events);
            }
        }
        if self.random.random_bool(0.85) {
            self.on_the_way.push_back(batch);
        }
    }

    fn follow(&mut self) {
        let run = Some(self.random.random_range(0..4)).filter(|run| *run < 3);
        let after = self.random.random_range(0..=self.head());
        let topic = run.map_or(Topic::Tests, |run| self.world.topic(run));
        self.followers.push(Follower {
            feed: self.world.feed_of(topic, after),
            run,
            after,
            given: Vec::new(),
        });
    }

    /// Somebody reads until an item comes, or breaks off after a few turns of the others.
    async fn read(&mut self) {
        if self.followers.is_empty() {
            return;
        }
        let which = self.random.random_range(0..self.followers.len());
        let turns = self.random.random_range(0..40);
        let follower = &mut self.followers[which];
        let patience = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            item = follower.feed.next() => match item {
                FeedItem::Events { events, .. } => {
                    follower.given.extend(events.iter().map(|event| event.position));
                }
                FeedItem::Lagged { .. } => {}
                FeedItem::Failed(error) => panic!("{error}"),
            },
            () = patience => {}
        }
    }

    async fn step(&mut self) {
        match self.random.random_range(0..10) {
            0..=2 => self.commit().await,
            3..=4 => {
                if let Some(batch) = self.on_the_way.pop_front() {
                    self.world.bus.publish(&batch);
                }
            }
            // The hub checks, or a fresh one starts: it may be ahead of what is on its way.
            5 if self.random.random_bool(0.3) => self.world.bus.catch_up(self.head()),
            6 if self.followers.len() < 8 => self.follow(),
            7 if self.followers.len() > 4 => {
                let which = self.random.random_range(0..self.followers.len());
                self.followers.swap_remove(which);
            }
            _ => self.read().await,
        }
    }

    /// Everything arrives, or is noticed; then everybody has everything.
    async fn settle(mut self) {
        while let Some(batch) = self.on_the_way.pop_front() {
            self.world.bus.publish(&batch);
        }
        self.world.bus.catch_up(self.head());
        for mut follower in self.followers {
            let wanted: Vec<u64> = (1..)
                .zip(&self.runs)
                .filter(|(position, run)| {
                    *position > follower.after && follower.run.is_none_or(|own| own == **run)
                })
                .map(|(position, _)| position)
                .collect();
            if let Some(last) = wanted.last()
                && follower.given.last() != Some(last)
            {
                let rest = read_to(&mut follower.feed, *last).await.0;
                follower.given.extend(rest);
            }
            assert_eq!(follower.given, wanted, "of {:?}", follower.run);
        }
    }
}

#[actix_rt::test]
async fn whatever_gets_lost_everybody_is_given_everything_once_in_order() {
    let seeds = match std::env::var("LIMELIGHT_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..HISTORIES).collect(),
    };
    for seed in seeds {
        // Shown when the history fails.
        println!("LIMELIGHT_TEST_SEED={seed}");
        let mut history = History {
            world: World::new().await,
            random: StdRng::seed_from_u64(seed),
            runs: Vec::new(),
            on_the_way: VecDeque::new(),
            followers: Vec::new(),
        };
        for _ in 0..STEPS {
            history.step().await;
        }
        history.settle().await;
    }
}
