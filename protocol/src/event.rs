//! Events: facts that have been committed.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    ExecutionId, NodeId, Stream, Timestamp, WorkflowId,
    execution::{NodeError, WaitReason},
    host::HostSample,
    testing::{CaseResult, TestRunFinished, TestRunStarted},
};

/// A committed fact, as it crosses the wire.
///
/// `data` stays raw text: a server passes it through unparsed, and a client reads only the types it
/// knows, by [`Event::body`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Place in the journal. In the streams that are kept outside the journal (logs, metrics) the
    /// stream's own `seq`.
    pub position: u64,
    /// The stream it belongs to.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub stream: Stream,
    /// Place in its stream: 1, 2, 3, ... with no gap.
    pub seq: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// When it was decided.
    pub timestamp: Timestamp,
    /// The workflow concerned, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<WorkflowId>,
    /// The execution concerned, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<ExecutionId>,
    /// The node concerned, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// The particulars: the JSON of one [`EventBody`] variant's content.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub data: Box<RawValue>,
}

impl Event {
    /// The typed particulars.
    ///
    /// # Errors
    /// When `data` is not of the shape that `kind` calls for.
    pub fn body(&self) -> Result<EventBody, serde_json::Error> {
        EventBody::parse(self.kind, self.data.get())
    }
}

macro_rules! event_bodies {
    ($($(#[$doc:meta])* $text:literal => $variant:ident($content:ty),)+) => {
        /// The kinds of event. On the wire the text in quotes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)+
        }

        // The derive does not see texts that come by way of a macro.
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for EventType {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .enum_values(Some([$($text),+]))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for EventType {}

        impl EventType {
            /// The text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl FromStr for EventType {
            type Err = UnknownEventType;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err(UnknownEventType(other.to_owned())),
                }
            }
        }

        /// The typed particulars of an event.
        #[derive(Clone, Debug, PartialEq)]
        pub enum EventBody {
            $($(#[$doc])* $variant($content),)+
        }

        impl EventBody {
            /// Which kind of event this is the body of.
            #[must_use]
            pub const fn kind(&self) -> EventType {
                match self { $(Self::$variant(_) => EventType::$variant,)+ }
            }

            /// Reads the particulars of an event of `kind`.
            ///
            /// # Errors
            /// When `data` has another shape.
            pub fn parse(kind: EventType, data: &str) -> Result<Self, serde_json::Error> {
                match kind {
                    $(EventType::$variant => serde_json::from_str(data).map(Self::$variant),)+
                }
            }

            /// The particulars as JSON text.
            ///
            /// # Errors
            /// Never in practice: every content is plain data with text keys.
            pub fn to_raw(&self) -> Result<Box<RawValue>, serde_json::Error> {
                match self { $(Self::$variant(content) => serde_json::value::to_raw_value(content),)+ }
            }
        }
    };
}

event_bodies! {
    /// An execution began.
    "workflow:started" => WorkflowStarted(WorkflowStarted),
    /// No further node starts until it is resumed; running attempts go on.
    "workflow:paused" => WorkflowPaused(Steered),
    /// It goes on: after a pause, or because a node of an ended execution is tried again.
    "workflow:resumed" => WorkflowResumed(Steered),
    /// Every node ended well, was skipped by its condition, or failed where that may be.
    "workflow:completed" => WorkflowCompleted(Ended),
    /// A node failed that may not.
    "workflow:failed" => WorkflowFailed(Ended),
    /// Somebody called it off.
    "workflow:cancelled" => WorkflowCancelled(Steered),
    /// All its needs are met; it waits for a free slot.
    "node:queued" => NodeQueued(Attempted),
    /// An attempt began.
    "node:started" => NodeStarted(Attempted),
    /// A running attempt says how far it is.
    "node:progress" => NodeProgress(Progress),
    /// The attempt waits for a time or for a person.
    "node:waiting" => NodeWaiting(Waiting),
    /// The attempt failed and another will follow.
    "node:retrying" => NodeRetrying(Retrying),
    /// The attempt succeeded.
    "node:completed" => NodeCompleted(NodeCompleted),
    /// The last attempt failed.
    "node:failed" => NodeFailed(NodeFailed),
    /// It will not run.
    "node:skipped" => NodeSkipped(Skipped),
    /// The execution was called off before the node ended.
    "node:cancelled" => NodeCancelled(Attempted),
    /// A line of output. Kept in the log table, not in the journal.
    "node:log" => NodeLog(LogLine),
    /// A test suite began.
    "test:started" => TestStarted(TestRunStarted),
    /// A case ended.
    "test:case" => TestCase(CaseResult),
    /// A test suite ended.
    "test:finished" => TestFinished(TestRunFinished),
    /// A reading of the host. Kept in the metrics table, not in the journal.
    "metrics:sample" => MetricsSample(HostSample),
}

/// A type of event that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEventType(pub String);

impl fmt::Display for UnknownEventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown event type {:?}", self.0)
    }
}

impl std::error::Error for UnknownEventType {}

/// Of `workflow:started`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowStarted {
    /// Name of the workflow.
    pub workflow_name: String,
    /// The version that this execution pins.
    pub workflow_version: u32,
    /// Parameters, with defaults filled in.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// A name given by whoever started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels given by whoever started it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who started it.
    pub by: String,
    /// How many nodes it has.
    pub total_nodes: u32,
}

/// Of the events that follow from somebody's command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steered {
    /// Who gave the command.
    pub by: String,
}

/// Of `workflow:completed` and `workflow:failed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// From start to end, in seconds, pauses included.
    pub duration_s: f64,
    /// Nodes that failed, in definition order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_nodes: Vec<NodeId>,
}

/// Of the events that only name an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempted {
    /// Counts 1, 2, 3, ... in one node of one execution; 0 when none began.
    pub attempt: u32,
}

/// Of `node:progress`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The attempt.
    pub attempt: u32,
    /// How far, from 0 to 100.
    pub progress: f64,
    /// What it is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Of `node:waiting`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The attempt.
    pub attempt: u32,
    /// For what.
    pub reason: WaitReason,
    /// Until when, for a sleep; the deadline, for an approval that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What a person is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Of `node:retrying`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrying {
    /// The attempt that failed.
    pub attempt: u32,
    /// Why it failed. None when somebody asked for the retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<NodeError>,
    /// When the next attempt is due.
    pub at: Timestamp,
    /// Who asked for it, when it is not the node's own policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Nodes that start over because they depend on this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reset: Vec<NodeId>,
}

/// Of `node:completed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeCompleted {
    /// The attempt.
    pub attempt: u32,
    /// What it gave.
    pub outputs: serde_json::Map<String, serde_json::Value>,
    /// Files it named.
    #[serde(default)]
    pub artifacts: Vec<String>,
    /// How good it says its result is, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<f64>,
    /// Of this attempt, in seconds.
    pub duration_s: f64,
}

/// Of `node:failed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFailed {
    /// The attempt; 0 when none began.
    pub attempt: u32,
    /// Why.
    pub error: NodeError,
    /// Of this attempt, in seconds.
    pub duration_s: f64,
}

/// Of `node:skipped`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Why.
    pub reason: SkipReason,
}

/// Why a node will not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SkipReason {
    /// Its `when` was false. What needs it goes on.
    Condition,
    /// Something it needs failed or was skipped for this reason.
    Upstream,
}

/// Of `node:log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The attempt that wrote it.
    pub attempt: u32,
    /// Where it was written.
    pub source: LogSource,
    /// Text, without the line end. Bytes that are not UTF-8 are replaced.
    pub line: String,
}

/// Where a line of output was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LogSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Limelight itself, about the attempt.
    System,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_as_the_contract_says() {
        let text = r#"{"position":8123,"stream":"execution:0199c0a0-0000-7000-8000-000000000001","seq":17,"type":"node:completed","timestamp":"2026-11-21T10:00:00.123Z","workflow_id":"0199b0a0-0000-7000-8000-000000000001","execution_id":"0199c0a0-0000-7000-8000-000000000001","node_id":"design","data":{"attempt":1,"outputs":{},"artifacts":[],"duration_s":1.52}}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        let EventBody::NodeCompleted(body) = event.body().unwrap() else {
            panic!("another body");
        };
        assert_eq!((body.attempt, body.duration_s), (1, 1.52));
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }

    #[test]
    fn a_body_of_the_wrong_shape_is_an_error() {
        assert!(EventBody::parse(EventType::NodeStarted, r#"{"attempt":"one"}"#).is_err());
        assert!("node:dreamt".parse::<EventType>().is_err());
    }
}
