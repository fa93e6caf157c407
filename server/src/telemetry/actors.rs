//! What actors say of themselves, by kind.

use std::collections::{BTreeMap, HashSet};

use limelight_protocol::actor::ActorSnapshot;
use parking_lot::Mutex;
use prometheus::{CounterVec, GaugeVec, HistogramVec, Registry};

use super::{
    metrics::COUNT_BUCKETS,
    register::{counter_vec, gauge_vec, histogram_vec},
};

#[derive(Debug)]
pub(super) struct ActorMetrics {
    count: GaugeVec,
    mailbox_depth: GaugeVec,
    mailbox_messages: HistogramVec,
    restarts: CounterVec,
    panics: CounterVec,
    kinds: Mutex<HashSet<String>>,
}

impl ActorMetrics {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Self> {
        let kind = &["kind"];
        Ok(Self {
            count: gauge_vec(r, "limelight_actors", "Supervised actors.", kind)?,
            mailbox_depth: gauge_vec(
                r,
                "limelight_actor_mailbox_depth",
                "Messages in the fullest mailbox of a kind.",
                kind,
            )?,
            mailbox_messages: histogram_vec(
                r,
                "limelight_actor_mailbox_messages",
                "Messages waiting whenever a mailbox was looked at.",
                kind,
                &COUNT_BUCKETS,
            )?,
            restarts: counter_vec(
                r,
                "limelight_actor_restarts_total",
                "Fresh starts after a failure.",
                kind,
            )?,
            panics: counter_vec(
                r,
                "limelight_actor_panics_total",
                "Failures that were panics.",
                kind,
            )?,
            kinds: Mutex::default(),
        })
    }

    pub(super) fn set(&self, actors: &[ActorSnapshot]) {
        let mut by_kind: BTreeMap<&str, (u32, u64)> = BTreeMap::new();
        for actor in actors {
            let (count, deepest) = by_kind.entry(&actor.kind).or_default();
            *count += 1;
            *deepest = actor.mailbox.max(*deepest);
            self.mailbox_messages
                .with_label_values(&[&actor.kind])
                .observe(actor.mailbox as f64);
        }
        for (kind, (count, deepest)) in &by_kind {
            self.count.with_label_values(&[kind]).set(f64::from(*count));
            self.mailbox_depth
                .with_label_values(&[kind])
                .set(*deepest as f64);
            // So that the first increment counts too.
            self.restarts.with_label_values(&[kind]);
            self.panics.with_label_values(&[kind]);
        }
        let mut known = self.kinds.lock();
        for gone in known
            .iter()
            .filter(|kind| !by_kind.contains_key(kind.as_str()))
        {
            self.count.with_label_values(&[gone]).set(0.0);
            self.mailbox_depth.with_label_values(&[gone]).set(0.0);
        }
        known.extend(by_kind.into_keys().map(str::to_owned));
    }

    pub(super) fn restarted(&self, kind: &str, panicked: bool) {
        self.restarts.with_label_values(&[kind]).inc();
        if panicked {
            self.panics.with_label_values(&[kind]).inc();
        }
    }
}
