//! An execution as clients see it, and how an event changes that.
//!
//! The server's read models, the command line and the dashboard all apply [`Execution::apply`], so
//! that they cannot disagree on what an event means.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Event, EventBody, ExecutionId, NodeId, Timestamp, WorkflowId, event::SkipReason};

/// Where an execution stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ExecutionStatus {
    /// Accepted, not begun.
    #[default]
    Pending,
    /// Nodes start as their needs are met.
    Running,
    /// No further node starts.
    Paused,
    /// Ended well.
    Completed,
    /// Ended with a failure.
    Failed,
    /// Called off.
    Cancelled,
}

impl ExecutionStatus {
    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where a node stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NodeStatus {
    /// Waits for its needs, or for its next attempt.
    #[default]
    Pending,
    /// Waits for a free slot.
    Queued,
    /// An attempt is under way.
    Running,
    /// The attempt waits for a time or for a person.
    Waiting,
    /// Ended well.
    Completed,
    /// Its last attempt failed.
    Failed,
    /// It will not run.
    Skipped,
    /// The execution was called off first.
    Cancelled,
}

impl NodeStatus {
    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Skipped | Self::Cancelled
        )
    }

    /// The text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What an attempt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum WaitReason {
    /// A person's approval.
    Approval,
    /// A time.
    Sleep,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeError {
    /// Stable name: `exit_code`, `timeout`, `interrupted`, `rejected`, `template`, `http_status`, ...
    pub code: String,
    /// For people.
    pub message: String,
}

/// A node of an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeState {
    /// Name of the node.
    pub node_id: NodeId,
    /// Where it stands.
    pub status: NodeStatus,
    /// Attempts begun so far.
    pub attempt_count: u32,
    /// How far the attempt is, from 0 to 100, where it says so.
    pub progress: Option<f64>,
    /// What it is doing, asks, or waits for.
    pub message: Option<String>,
    /// When the newest attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Of the newest attempt, in seconds.
    pub duration_s: Option<f64>,
    /// What it gave.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub outputs: serde_json::Map<String, serde_json::Value>,
    /// Files it named.
    pub artifacts: Vec<String>,
    /// How good it says its result is, from 0 to 1.
    pub quality: Option<f64>,
    /// Why its newest attempt failed.
    pub error: Option<NodeError>,
    /// What it waits for, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitReason>,
    /// When a wait, or the pause before the next attempt, is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Why it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<SkipReason>,
}

impl NodeState {
    /// A node that nothing has happened to.
    #[must_use]
    pub fn new(node_id: NodeId) -> Self {
        Self {
            node_id,
            status: NodeStatus::Pending,
            attempt_count: 0,
            progress: None,
            message: None,
            started_at: None,
            completed_at: None,
            duration_s: None,
            outputs: serde_json::Map::new(),
            artifacts: Vec::new(),
            quality: None,
            error: None,
            waiting_for: None,
            due_at: None,
            skip_reason: None,
        }
    }

    fn end(&mut self, status: NodeStatus, at: Timestamp) {
        self.status = status;
        self.completed_at = Some(at);
        self.waiting_for = None;
        self.due_at = None;
    }

    /// What an event about this node does to it. Events about something else do nothing.
    pub fn apply(&mut self, body: &EventBody, at: Timestamp) {
        match body {
            EventBody::NodeQueued(_) => self.status = NodeStatus::Queued,
            EventBody::NodeStarted(started) => {
                let fresh = Self::new(self.node_id.clone());
                *self = Self {
                    error: self.error.take(),
                    ..fresh
                };
                self.status = NodeStatus::Running;
                self.attempt_count = started.attempt;
                self.started_at = Some(at);
            }
            EventBody::NodeProgress(progress) => {
                self.progress = Some(progress.progress);
                if progress.message.is_some() {
                    self.message.clone_from(&progress.message);
                }
            }
            EventBody::NodeWaiting(waiting) => {
                self.status = NodeStatus::Waiting;
                self.waiting_for = Some(waiting.reason);
                self.due_at = waiting.until;
                self.message.clone_from(&waiting.message);
            }
            EventBody::NodeRetrying(retrying) => {
                self.status = NodeStatus::Pending;
                self.error.clone_from(&retrying.error);
                self.due_at = Some(retrying.at);
                self.completed_at = None;
                self.waiting_for = None;
                self.progress = None;
            }
            EventBody::NodeCompleted(done) => {
                self.end(NodeStatus::Completed, at);
                self.progress = Some(100.0);
                self.error = None;
                self.outputs.clone_from(&done.outputs);
                self.artifacts.clone_from(&done.artifacts);
                self.quality = done.quality;
                self.duration_s = Some(done.duration_s);
            }
            EventBody::NodeFailed(failed) => {
                self.end(NodeStatus::Failed, at);
                self.error = Some(failed.error.clone());
                self.duration_s = Some(failed.duration_s);
            }
            EventBody::NodeSkipped(skipped) => {
                self.end(NodeStatus::Skipped, at);
                self.skip_reason = Some(skipped.reason);
            }
            EventBody::NodeCancelled(_) => {
                self.duration_s = self.started_at.map(|start| at.since_s(start));
                self.end(NodeStatus::Cancelled, at);
            }
            _ => {}
        }
    }
}

/// An execution in a list: all but what may be large.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecutionSummary {
    /// Its identifier.
    pub id: ExecutionId,
    /// The same, under the name other calls use.
    pub execution_id: ExecutionId,
    /// What it performs.
    pub workflow_id: WorkflowId,
    /// Name of that workflow.
    pub workflow_name: String,
    /// The version it pins.
    pub workflow_version: u32,
    /// A name given by whoever started it.
    pub name: Option<String>,
    /// Labels given by whoever started it.
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// Nodes that have ended, however.
    pub completed_nodes: u32,
    /// Nodes in all.
    pub total_nodes: u32,
    /// Phase of the node that began last, where its definition names one.
    pub current_phase: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// From start to end, in seconds.
    pub duration_s: Option<f64>,
    /// Who started it.
    pub started_by: String,
    /// Events in its stream so far.
    pub seq: u64,
}

impl ExecutionSummary {
    /// What a committed event of this execution's stream does to it, as far as events alone tell: its
    /// counts of nodes stay. An event it has had already does nothing.
    ///
    /// # Errors
    /// When the event's `data` is not of the shape its type calls for.
    pub fn apply(&mut self, event: &Event) -> Result<(), serde_json::Error> {
        if event.execution_id != Some(self.id) || event.seq <= self.seq {
            return Ok(());
        }
        let course = Course {
            status: &mut self.status,
            total_nodes: &mut self.total_nodes,
            started_at: &mut self.started_at,
            completed_at: &mut self.completed_at,
            duration_s: &mut self.duration_s,
        };
        course.apply(&event.body()?, event.timestamp);
        self.seq = event.seq;
        Ok(())
    }
}

impl From<&Execution> for ExecutionSummary {
    fn from(execution: &Execution) -> Self {
        Self {
            id: execution.id,
            execution_id: execution.execution_id,
            workflow_id: execution.workflow_id,
            workflow_name: execution.workflow_name.clone(),
            workflow_version: execution.workflow_version,
            name: execution.name.clone(),
            labels: execution.labels.clone(),
            status: execution.status,
            completed_nodes: execution.completed_nodes,
            total_nodes: execution.total_nodes,
            current_phase: execution.current_phase.clone(),
            started_at: execution.started_at,
            completed_at: execution.completed_at,
            duration_s: execution.duration_s,
            started_by: execution.started_by.clone(),
            seq: execution.seq,
        }
    }
}

/// How far an execution as a whole has come: what is the same in lists and in full.
struct Course<'a> {
    status: &'a mut ExecutionStatus,
    total_nodes: &'a mut u32,
    started_at: &'a mut Option<Timestamp>,
    completed_at: &'a mut Option<Timestamp>,
    duration_s: &'a mut Option<f64>,
}

impl Course<'_> {
    /// Events about nodes do nothing.
    fn apply(mut self, body: &EventBody, at: Timestamp) {
        match body {
            EventBody::WorkflowStarted(started) => {
                *self.status = ExecutionStatus::Running;
                *self.started_at = Some(at);
                *self.total_nodes = started.total_nodes;
            }
            EventBody::WorkflowPaused(_) => *self.status = ExecutionStatus::Paused,
            EventBody::WorkflowResumed(_) => {
                *self.status = ExecutionStatus::Running;
                *self.completed_at = None;
                *self.duration_s = None;
            }
            EventBody::WorkflowCompleted(ended) => {
                self.end(ExecutionStatus::Completed, at, ended.duration_s);
            }
            EventBody::WorkflowFailed(ended) => {
                self.end(ExecutionStatus::Failed, at, ended.duration_s);
            }
            EventBody::WorkflowCancelled(_) => {
                let duration_s = self.started_at.map_or(0.0, |start| at.since_s(start));
                self.end(ExecutionStatus::Cancelled, at, duration_s);
            }
            _ => {}
        }
    }

    fn end(&mut self, status: ExecutionStatus, at: Timestamp, duration_s: f64) {
        *self.status = status;
        *self.completed_at = Some(at);
        *self.duration_s = Some(duration_s);
    }
}

/// One performance of a workflow version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Execution {
    /// Its identifier.
    pub id: ExecutionId,
    /// The same, under the name other calls use.
    pub execution_id: ExecutionId,
    /// What it performs.
    pub workflow_id: WorkflowId,
    /// Name of that workflow.
    pub workflow_name: String,
    /// The version it pins.
    pub workflow_version: u32,
    /// A name given by whoever started it.
    pub name: Option<String>,
    /// Labels given by whoever started it.
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// Parameters, with defaults filled in.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Nodes that have ended, however.
    pub completed_nodes: u32,
    /// Nodes in all.
    pub total_nodes: u32,
    /// Phase of the node that began last, where its definition names one.
    pub current_phase: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// From start to end, in seconds.
    pub duration_s: Option<f64>,
    /// Who started it.
    pub started_by: String,
    /// Events in its stream so far.
    pub seq: u64,
    /// Its nodes in definition order.
    #[serde(default)]
    pub node_states: Vec<NodeState>,
}

impl Execution {
    /// What a committed event of this execution's stream does to it. An event it has had already
    /// (`seq` not above its own) does nothing.
    ///
    /// # Errors
    /// When the event's `data` is not of the shape its type calls for.
    pub fn apply(&mut self, event: &Event) -> Result<(), serde_json::Error> {
        if event.execution_id != Some(self.id) || event.seq <= self.seq {
            return Ok(());
        }
        self.apply_body(event.node_id.as_ref(), &event.body()?, event.timestamp);
        self.seq = event.seq;
        Ok(())
    }

    /// The same for an event that has no place in a stream yet; leaves `seq` alone.
    pub fn apply_body(&mut self, node: Option<&NodeId>, body: &EventBody, at: Timestamp) {
        if let EventBody::WorkflowStarted(started) = body {
            self.params.clone_from(&started.params);
        }
        let course = Course {
            status: &mut self.status,
            total_nodes: &mut self.total_nodes,
            started_at: &mut self.started_at,
            completed_at: &mut self.completed_at,
            duration_s: &mut self.duration_s,
        };
        course.apply(body, at);
        self.apply_to_node(node, body, at);
    }

    fn apply_to_node(&mut self, node: Option<&NodeId>, body: &EventBody, at: Timestamp) {
        let Some(node) = node else { return };
        if let EventBody::NodeRetrying(retrying) = body {
            for id in &retrying.reset {
                self.change_node(id, |state| {
                    *state = NodeState {
                        attempt_count: state.attempt_count,
                        ..NodeState::new(id.clone())
                    }
                });
            }
        }
        self.change_node(node, |state| state.apply(body, at));
    }

    fn change_node(&mut self, id: &NodeId, change: impl FnOnce(&mut NodeState)) {
        let Some(state) = self
            .node_states
            .iter_mut()
            .find(|state| state.node_id == *id)
        else {
            return;
        };
        let ended_before = state.status.is_terminal();
        change(state);
        match (ended_before, state.status.is_terminal()) {
            (false, true) => self.completed_nodes += 1,
            (true, false) => self.completed_nodes = self.completed_nodes.saturating_sub(1),
            _ => {}
        }
    }
}
