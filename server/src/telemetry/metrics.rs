//! Every metric of the server, in one registry.

use std::{ops::Deref, sync::Arc, time::Duration};

use limelight_protocol::{actor::ActorSnapshot, host::HostSample, testing::CaseStatus};
use prometheus::{
    Counter, CounterVec, Encoder as _, Gauge, Histogram, HistogramVec, Registry, TextEncoder,
};

use super::{
    TelemetryEvent,
    actors::ActorMetrics,
    host::HostMetrics,
    process::ProcessMetrics,
    register::{counter, counter_vec, gauge, gauge_vec, histogram, histogram_vec},
};

/// From a request to its answer, or from a commit to a socket: 100 us to 10 s.
const LATENCY_BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// Work of nodes: 1 ms to 6 h.
const WORK_BUCKETS: [f64; 16] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0,
    21600.0,
];
/// Batches and queues: 0 to 4,096.
pub(super) const COUNT_BUCKETS: [f64; 14] = [
    0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0,
];

/// Methods that get a label of their own; a client may send any other word.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// All metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

/// The metrics themselves; [`super::events`] reach them here.
#[derive(Debug)]
pub struct Inner {
    registry: Registry,
    http_requests: CounterVec,
    http_duration: HistogramVec,
    pub(super) executions: CounterVec,
    pub(super) execution_duration: HistogramVec,
    executions_running: Gauge,
    pub(super) node_duration: HistogramVec,
    slots_taken: Gauge,
    slots_total: Gauge,
    journal_commit_duration: Histogram,
    journal_batch: Histogram,
    journal_events: Counter,
    pub(super) journal_failures: Counter,
    delivery_lag: Histogram,
    ws_connections: Gauge,
    ws_subscriptions: Gauge,
    pub(super) ws_lagged: Counter,
    pub(super) actors: ActorMetrics,
    test_cases: CounterVec,
    store_up: Gauge,
    host: HostMetrics,
    process: ProcessMetrics,
}

impl Deref for Metrics {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Metrics {
    /// Fresh metrics, apart from all others in the process.
    ///
    /// # Errors
    /// When two metrics have the same name, which is a bug that every test would meet.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        let status: &[&str] = &["status"];
        let build = gauge_vec(
            r,
            "limelight_build_info",
            "Always 1; the version is its label.",
            &["version"],
        )?;
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);
        let inner = Inner {
            http_requests: counter_vec(
                r,
                "limelight_http_requests_total",
                "HTTP requests answered.",
                &["method", "route", "status"],
            )?,
            http_duration: histogram_vec(
                r,
                "limelight_http_request_duration_seconds",
                "From a request to its answer.",
                &["method", "route"],
                &LATENCY_BUCKETS,
            )?,
            executions: counter_vec(
                r,
                "limelight_executions_total",
                "Executions that ended.",
                status,
            )?,
            execution_duration: histogram_vec(
                r,
                "limelight_execution_duration_seconds",
                "From an execution's start to its end.",
                status,
                &WORK_BUCKETS,
            )?,
            executions_running: gauge(
                r,
                "limelight_executions_running",
                "Executions that have not ended.",
            )?,
            node_duration: histogram_vec(
                r,
                "limelight_node_duration_seconds",
                "Last attempts of nodes that ended.",
                &["kind", "status"],
                &WORK_BUCKETS,
            )?,
            slots_taken: gauge(
                r,
                "limelight_executor_slots_taken",
                "Attempts that hold a slot.",
            )?,
            slots_total: gauge(
                r,
                "limelight_executor_slots",
                "Attempts that may run at once.",
            )?,
            journal_commit_duration: histogram(
                r,
                "limelight_journal_commit_duration_seconds",
                "Commits of the journal.",
                &LATENCY_BUCKETS,
            )?,
            journal_batch: histogram(
                r,
                "limelight_journal_batch_events",
                "Events in a commit.",
                &COUNT_BUCKETS,
            )?,
            journal_events: counter(r, "limelight_journal_events_total", "Events committed.")?,
            journal_failures: counter(
                r,
                "limelight_journal_commit_failures_total",
                "Commits that failed.",
            )?,
            delivery_lag: histogram(
                r,
                "limelight_event_delivery_lag_seconds",
                "From an event's commit to a subscriber's socket.",
                &LATENCY_BUCKETS,
            )?,
            ws_connections: gauge(r, "limelight_ws_connections", "Open WebSockets.")?,
            ws_subscriptions: gauge(r, "limelight_ws_subscriptions", "Subscriptions on them.")?,
            ws_lagged: counter(
                r,
                "limelight_ws_lagged_total",
                "Times a subscriber had to catch up from the journal.",
            )?,
            actors: ActorMetrics::new(r)?,
            test_cases: counter_vec(
                r,
                "limelight_test_cases_total",
                "Test cases that ended.",
                status,
            )?,
            store_up: gauge(r, "limelight_store_up", "Whether the store answers.")?,
            host: HostMetrics::new(r)?,
            process: ProcessMetrics::new(r)?,
            registry,
        };
        // A counter that appears only with its first increment hides that increment from rate().
        for status in ["completed", "failed", "cancelled"] {
            inner.executions.with_label_values(&[status]);
        }
        for status in ["passed", "failed", "skipped"] {
            inner.test_cases.with_label_values(&[status]);
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Logs and counts.
    pub fn emit(&self, event: impl TelemetryEvent) {
        event.emit(self);
    }

    /// A request was answered. `route` is the pattern that matched (`/api/executions/{id}`).
    pub fn observe_http(&self, method: &str, route: &str, status: u16, duration: Duration) {
        let method = METHODS
            .into_iter()
            .find(|known| *known == method)
            .unwrap_or("other");
        self.http_requests
            .with_label_values(&[method, route, &status.to_string()])
            .inc();
        self.http_duration
            .with_label_values(&[method, route])
            .observe(duration.as_secs_f64());
    }

    /// How many executions have not ended.
    pub fn set_executions_running(&self, count: usize) {
        self.executions_running.set(count as f64);
    }

    /// How many attempts run, and may run, at once.
    pub fn set_slots(&self, taken: usize, total: usize) {
        self.slots_taken.set(taken as f64);
        self.slots_total.set(total as f64);
    }

    /// The journal committed a batch.
    pub fn observe_commit(&self, events: usize, duration: Duration) {
        self.journal_commit_duration.observe(duration.as_secs_f64());
        self.journal_batch.observe(events as f64);
        self.journal_events.inc_by(events as f64);
    }

    /// An event reached a subscriber's socket so long after its commit.
    pub fn observe_delivery(&self, lag: Duration) {
        self.delivery_lag.observe(lag.as_secs_f64());
    }

    /// How many WebSockets are open, and how many subscriptions they hold.
    pub fn set_subscribers(&self, connections: usize, subscriptions: usize) {
        self.ws_connections.set(connections as f64);
        self.ws_subscriptions.set(subscriptions as f64);
    }

    /// What all actors say of themselves now.
    pub fn set_actors(&self, actors: &[ActorSnapshot]) {
        self.actors.set(actors);
    }

    /// A test case ended.
    pub fn observe_case(&self, status: CaseStatus) {
        let status = match status {
            CaseStatus::Passed => "passed",
            CaseStatus::Failed => "failed",
            CaseStatus::Skipped => "skipped",
        };
        self.test_cases.with_label_values(&[status]).inc();
    }

    /// Whether the store answers.
    pub fn set_store_up(&self, up: bool) {
        self.store_up.set(f64::from(u8::from(up)));
    }

    /// The newest reading of the host.
    pub fn set_host(&self, sample: &HostSample) {
        self.host.set(sample);
    }

    /// Everything in Prometheus' text format ([`prometheus::TEXT_FORMAT`]).
    #[must_use]
    pub fn render(&self) -> String {
        self.process.refresh();
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[cfg(test)]
mod tests;
