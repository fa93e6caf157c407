//! Workflows as clients see them. What a definition means is the engine's business.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Execution, ExecutionId, NodeId, Timestamp, WorkflowId, error::Fault};

/// A workflow in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Workflow {
    /// Its identifier.
    pub id: WorkflowId,
    /// Its name, unique.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its newest version: 1, 2, 3, ...
    pub version: u32,
    /// How many nodes that version has.
    pub node_count: u32,
    /// When its first version was made.
    pub created_at: Timestamp,
    /// When its newest version was made.
    pub updated_at: Timestamp,
    /// Its newest execution, without node states.
    #[serde(default)]
    pub last_execution: Option<Execution>,
}

/// One version of a workflow in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkflowDetail {
    /// What a list says of it; `version` is the version shown here.
    #[serde(flatten)]
    pub workflow: Workflow,
    /// The definition as its author wrote it, YAML or JSON.
    pub source: String,
    /// Parameters, by name.
    pub params: BTreeMap<String, ParamSpec>,
    /// The graph, in the author's order.
    pub nodes: Vec<NodeSummary>,
}

/// A version in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkflowVersion {
    /// 1, 2, 3, ...
    pub version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// How many nodes it has.
    pub node_count: u32,
}

/// What a parameter takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ParamSpec {
    /// Type of its value.
    #[serde(rename = "type", default)]
    pub kind: ParamType,
    /// Whether an execution cannot start without it.
    #[serde(default)]
    pub required: bool,
    /// Its value when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub default: Option<serde_json::Value>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Type of a parameter's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ParamType {
    /// Text.
    #[default]
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NodeKind {
    /// Nothing; a place where others meet.
    Noop,
    /// Runs a program.
    Command,
    /// Sends an HTTP request.
    Http,
    /// Waits for a time.
    Sleep,
    /// Waits for a person.
    Approval,
}

impl NodeKind {
    /// The text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Command => "command",
            Self::Http => "http",
            Self::Sleep => "sleep",
            Self::Approval => "approval",
        }
    }
}

/// What is needed to draw a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeSummary {
    /// Its name in the definition.
    pub id: NodeId,
    /// Its name for people.
    pub name: Option<String>,
    /// What it does.
    pub kind: NodeKind,
    /// What must end before it.
    pub needs: Vec<NodeId>,
    /// The phase it belongs to.
    pub phase: Option<String>,
    /// Its condition, as written.
    pub when: Option<String>,
    /// Most attempts by its own policy.
    pub max_attempts: u32,
    /// Ends an attempt that takes longer, seconds.
    pub timeout_s: Option<f64>,
}

/// Answer of `POST /api/workflows/validate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Validation {
    /// Whether there is no fault.
    pub valid: bool,
    /// Every fault.
    pub faults: Vec<Fault>,
}

/// Body of `POST /api/workflows/{id}/execute`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Execute {
    /// Parameters by name.
    #[serde(default, alias = "initial_context")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub params: serde_json::Map<String, serde_json::Value>,
    /// A name for the execution.
    #[serde(default)]
    pub name: Option<String>,
    /// Labels for the execution.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Body of `POST /api/runs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// Name of the workflow.
    #[cfg_attr(feature = "openapi", schema(example = "demo"))]
    pub workflow: String,
    /// Parameters by name.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub params: serde_json::Map<String, serde_json::Value>,
    /// A name for the execution.
    #[serde(default)]
    pub name: Option<String>,
    /// Labels for the execution.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Answer (202) of calls that start an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Started {
    /// The execution.
    pub execution_id: ExecutionId,
    /// What it performs.
    pub workflow_id: WorkflowId,
    /// Where it stands.
    pub status: crate::ExecutionStatus,
    /// When it began.
    pub started_at: Timestamp,
}
