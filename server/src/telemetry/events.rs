//! Things that happen which operators both count and read about: one value is log line and metric.

use limelight_protocol::{ExecutionId, ExecutionStatus, NodeId, NodeStatus, workflow::NodeKind};
use tracing::{debug, error, info, warn};

use super::Metrics;

/// Something to log and to count.
pub trait TelemetryEvent {
    /// Does both. Called by [`Metrics::emit`].
    fn emit(self, metrics: &Metrics);
}

/// An execution ended.
#[derive(Debug)]
pub struct ExecutionEnded<'a> {
    /// Which.
    pub execution_id: ExecutionId,
    /// Name of its workflow.
    pub workflow: &'a str,
    /// How.
    pub status: ExecutionStatus,
    /// From start to end, seconds.
    pub duration_s: f64,
}

impl TelemetryEvent for ExecutionEnded<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self {
            execution_id,
            workflow,
            status,
            duration_s,
        } = self;
        info!(%execution_id, workflow, status = status.as_str(), duration_s, "execution ended");
        metrics
            .executions
            .with_label_values(&[status.as_str()])
            .inc();
        metrics
            .execution_duration
            .with_label_values(&[status.as_str()])
            .observe(duration_s);
    }
}

/// A node ended.
#[derive(Debug)]
pub struct NodeEnded<'a> {
    /// Of which execution.
    pub execution_id: ExecutionId,
    /// Which.
    pub node_id: &'a NodeId,
    /// What it does.
    pub kind: NodeKind,
    /// How.
    pub status: NodeStatus,
    /// Of its last attempt, seconds.
    pub duration_s: f64,
}

impl TelemetryEvent for NodeEnded<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self {
            execution_id,
            node_id,
            kind,
            status,
            duration_s,
        } = self;
        let (kind, status) = (kind.as_str(), status.as_str());
        debug!(%execution_id, %node_id, kind, status, duration_s, "node ended");
        metrics
            .node_duration
            .with_label_values(&[kind, status])
            .observe(duration_s);
    }
}

/// An actor failed; its supervisor starts a fresh one.
#[derive(Debug)]
pub struct ActorRestarted<'a> {
    /// Place in the tree.
    pub path: &'a str,
    /// What sort of actor.
    pub kind: &'a str,
    /// Whether it panicked.
    pub panicked: bool,
    /// Why it failed.
    pub error: &'a str,
    /// How long the supervisor waits first, seconds.
    pub backoff_s: f64,
}

impl TelemetryEvent for ActorRestarted<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self {
            path,
            kind,
            panicked,
            error,
            backoff_s,
        } = self;
        warn!(path, kind, panicked, error, backoff_s, "actor restarted");
        metrics.actors.restarted(kind, panicked);
    }
}

/// The journal could not commit a batch.
#[derive(Debug)]
pub struct CommitFailed<'a> {
    /// How many events it had.
    pub events: usize,
    /// Why.
    pub error: &'a str,
}

impl TelemetryEvent for CommitFailed<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self { events, error } = self;
        error!(events, error, "journal commit failed");
        metrics.journal_failures.inc();
    }
}

/// A subscriber did not keep up and has to catch up from the journal.
#[derive(Debug)]
pub struct SubscriberLagged<'a> {
    /// What it subscribed to.
    pub topic: &'a str,
    /// The first position it missed.
    pub from: u64,
    /// The last position it missed.
    pub to: u64,
}

impl TelemetryEvent for SubscriberLagged<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self { topic, from, to } = self;
        debug!(topic, from, to, "subscriber lagged");
        metrics.ws_lagged.inc();
    }
}
