//! Hub: hands committed events to the bus.
//!
//! - Messages: [`Publish`] from the journal, after each commit.
//! - When it fails: a fresh one goes on. What was in its mailbox is noticed as a hole in the
//!   positions, and followers read it from the store.
//! - Never: waits for a viewer, or keeps anything for one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Acquire},
    },
    time::Duration,
};

use actix::{Actor, AsyncContext, Context, Handler, Message};

use super::supervisor::{Lease, Supervised};
use crate::{bus::Bus, store::CommittedEvent};

/// How often the hub makes sure that it has heard of everything.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The hub.
pub struct Hub {
    lease: Lease,
    bus: Bus,
    /// Newest committed position, as the journal knows it.
    head: Arc<AtomicU64>,
    /// The head at the last check; batches up to it must have arrived by the next one.
    checked_head: u64,
}

impl Hub {
    /// A hub in front of `bus`.
    #[must_use]
    pub const fn new(lease: Lease, bus: Bus, head: Arc<AtomicU64>) -> Self {
        Self {
            lease,
            bus,
            head,
            checked_head: 0,
        }
    }
}

impl Supervised for Hub {
    const KIND: &'static str = "hub";
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.checked_head = self.head.load(Acquire);
        self.bus.catch_up(self.checked_head);
        ctx.run_interval(CHECK_EVERY, |hub, _| {
            hub.bus.catch_up(hub.checked_head);
            hub.checked_head = hub.head.load(Acquire);
        });
    }
}

/// A committed batch, in order of position.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Publish(pub Vec<Arc<CommittedEvent>>);

impl Handler<Publish> for Hub {
    type Result = ();

    fn handle(&mut self, batch: Publish, _: &mut Self::Context) {
        self.lease.beat();
        self.bus.publish(&batch.0);
    }
}
