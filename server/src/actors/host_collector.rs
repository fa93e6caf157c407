//! Host collector: reads the host once a second.
//!
//! - Messages: none; a timer drives it.
//! - When it fails: a fresh one goes on; the readings in between are missing, and charts show it.
//! - Never: shows a reading that is not stored; takes a second reading while one is being stored.

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use limelight_protocol::{Timestamp, host::HostSample};

use super::supervisor::{Lease, Supervised};
use crate::{clock, host::HostSampler, services::Services, store::StoreError};

const SAMPLE_EVERY: Duration = Duration::from_secs(1);
const ROLL_UP_EVERY_MS: i64 = 60_000;
const PRUNE_EVERY_MS: i64 = 3_600_000;

/// The collector.
pub struct HostCollector {
    lease: Lease,
    services: Arc<Services>,
    sampler: Option<HostSampler>,
    storing: bool,
    last: Timestamp,
}

impl HostCollector {
    /// A collector whose first reading has no rates.
    #[must_use]
    pub fn new(lease: Lease, services: Arc<Services>) -> Self {
        Self {
            lease,
            services,
            sampler: None,
            storing: false,
            last: Timestamp(0),
        }
    }

    /// Takes a reading, and stores and shows it.
    fn sample(&mut self, ctx: &mut Context<Self>) {
        self.lease.sent_to_self();
        self.lease.beat();
        if self.storing {
            return;
        }
        let Some(sampler) = &mut self.sampler else {
            return;
        };
        self.storing = true;
        let now = clock::now();
        let sample = sampler.sample(now);
        self.services.metrics.set_host(&sample);
        let Services {
            metrics,
            supervision,
            slots,
            ..
        } = &*self.services;
        metrics.set_actors(&supervision.registry.tree().actors);
        metrics.set_slots(slots.taken(), slots.total());
        let store = store(Arc::clone(&self.services), sample, self.last);
        self.last = now;
        ctx.spawn(store.into_actor(self).map(|stored, this, _| {
            this.storing = false;
            this.services.metrics.set_store_up(stored.is_ok());
            if let Err(error) = stored {
                tracing::warn!(%error, "a reading of the host was not stored");
            }
        }));
    }
}

async fn store(
    services: Arc<Services>,
    sample: HostSample,
    last: Timestamp,
) -> Result<(), StoreError> {
    let now = sample.at;
    let event = services.store.insert_sample(&sample).await?;
    services.bus.publish_live(&[event]);
    let passed = |every_ms: i64| now.millis() / every_ms != last.millis() / every_ms;
    if passed(ROLL_UP_EVERY_MS) {
        services.store.roll_up(now).await?;
    }
    if passed(PRUNE_EVERY_MS) {
        services.store.prune_samples(now).await?;
    }
    Ok(())
}

impl Supervised for HostCollector {
    const KIND: &'static str = "host-collector";
}

impl Actor for HostCollector {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        match HostSampler::new() {
            Ok(sampler) => self.sampler = Some(sampler),
            // It will not be readable later either.
            Err(error) => {
                self.lease.give_up(error);
                return ctx.stop();
            }
        }
        ctx.run_interval(SAMPLE_EVERY, Self::sample);
    }
}
