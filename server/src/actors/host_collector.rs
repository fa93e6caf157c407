//! Host collector: reads the host once a second.
//!
//! - Messages: none; a timer drives it.
//! - When it fails: a fresh one goes on; the readings in between are missing, and charts show it.
//! - Never: shows a reading that is not stored; takes a second reading while one is being taken or
//!   stored; blocks its thread by reading, which a [`HostReader`] does on one of its own.

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use limelight_protocol::{Timestamp, Topic, host::HostSample};

use super::supervisor::{Lease, Supervised};
use crate::{
    clock,
    host::{HostReader, HostSampler},
    services::Services,
    store::StoreError,
};

const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How long a reading is waited for.
const DEADLINE: Duration = Duration::from_secs(5);
const ROLL_UP_EVERY_MS: i64 = 60_000;
const PRUNE_EVERY_MS: i64 = 3_600_000;

/// The collector.
pub struct HostCollector {
    lease: Lease,
    services: Arc<Services>,
    /// Away while a reading is taken or stored.
    reader: Option<HostReader>,
    last: Timestamp,
}

impl HostCollector {
    /// A collector whose first reading has no rates.
    #[must_use]
    pub const fn new(lease: Lease, services: Arc<Services>) -> Self {
        Self {
            lease,
            services,
            reader: None,
            last: Timestamp(0),
        }
    }

    /// Takes a reading, and stores and shows it.
    fn sample(&mut self, ctx: &mut Context<Self>) {
        self.lease.sent_to_self();
        self.lease.beat();
        let Services {
            metrics,
            supervision,
            slots,
            ..
        } = &*self.services;
        metrics.set_actors(&supervision.registry.tree().actors);
        metrics.set_slots(slots.taken(), slots.total());
        let Some(mut reader) = self.reader.take() else {
            return;
        };
        let (services, last) = (Arc::clone(&self.services), self.last);
        let taken = async move {
            let stored = match reader.read(clock::now()).await {
                Ok(Some(sample)) => {
                    services.metrics.set_host(&sample);
                    Ok(Some((sample.at, store(&services, sample, last).await)))
                }
                Ok(None) => Ok(None),
                Err(ended) => Err(ended),
            };
            (reader, stored)
        };
        ctx.spawn(taken.into_actor(self).map(|(reader, stored), this, ctx| {
            match stored {
                Ok(Some((at, stored))) => {
                    this.last = at;
                    this.services.metrics.set_store_up(stored.is_ok());
                    if let Err(error) = stored {
                        tracing::warn!(%error, "a reading of the host was not stored");
                    }
                }
                Ok(None) => tracing::warn!("the host cannot be read; its readings are missing"),
                Err(ended) => {
                    this.lease.fail(ended);
                    return ctx.stop();
                }
            }
            this.reader = Some(reader);
        }));
    }
}

async fn store(services: &Services, sample: HostSample, last: Timestamp) -> Result<(), StoreError> {
    let now = sample.at;
    match services.store.insert_sample(&sample).await {
        Ok(event) => services.bus.publish_live(&[event]),
        Err(error) => {
            // It may have been stored all the same.
            services.bus.look_again(&Topic::Metrics);
            return Err(error);
        }
    }
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
        let mut sampler = match HostSampler::new() {
            Ok(sampler) => sampler,
            // It will not be readable later either.
            Err(error) => {
                self.lease.give_up(error);
                return ctx.stop();
            }
        };
        match HostReader::start(DEADLINE, move |now| sampler.sample(now)) {
            Ok(reader) => self.reader = Some(reader),
            Err(error) => {
                self.lease.fail(error);
                return ctx.stop();
            }
        }
        ctx.run_interval(SAMPLE_EVERY, Self::sample);
    }
}
