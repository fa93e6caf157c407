//! From rows to the wire: each event's JSON is made here, once.

use std::fmt::Write as _;

use bytestring::ByteString;
use limelight_protocol::{EventType, ExecutionId, Stream, TestRunId, Timestamp, WorkflowId};
use sea_orm::prelude::Uuid;

use super::CommittedEvent;
use crate::store::{
    entity::event,
    error::{Result, StoreError},
    text,
};

/// A stream of the journal as its rows name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    pub kind: i16,
    pub id: Uuid,
}

/// `stream_kind` of executions.
pub const EXECUTION: i16 = 1;
/// `stream_kind` of test runs.
pub const TEST_RUN: i16 = 2;

impl StreamKey {
    /// None for streams that are kept outside the journal.
    pub const fn of(stream: &Stream) -> Option<Self> {
        match stream {
            Stream::Execution(id) => Some(Self {
                kind: EXECUTION,
                id: id.0,
            }),
            Stream::TestRun(id) => Some(Self {
                kind: TEST_RUN,
                id: id.0,
            }),
            Stream::Log(..) | Stream::Metrics => None,
        }
    }

    fn stream(self) -> Result<Stream> {
        match self.kind {
            EXECUTION => Ok(Stream::Execution(ExecutionId(self.id))),
            TEST_RUN => Ok(Stream::TestRun(TestRunId(self.id))),
            other => Err(StoreError::corrupt(format!("stream of kind {other}"))),
        }
    }
}

/// What an event is made of.
pub struct Parts<'a> {
    pub position: u64,
    pub stream: &'a Stream,
    pub seq: u64,
    pub kind: EventType,
    pub timestamp: Timestamp,
    pub workflow_id: Option<WorkflowId>,
    pub execution_id: Option<ExecutionId>,
    /// A node's name needs no escaping.
    pub node_id: Option<&'a str>,
    /// JSON.
    pub data: &'a str,
}

impl CommittedEvent {
    pub(in crate::store) fn new(parts: &Parts<'_>) -> Self {
        Self {
            position: parts.position,
            stream: parts.stream.clone(),
            seq: parts.seq,
            kind: parts.kind,
            workflow_id: parts.workflow_id,
            execution_id: parts.execution_id,
            wire: parts.json(),
        }
    }
}

impl Parts<'_> {
    /// The same text as `serde_json` makes of [`limelight_protocol::Event`], without a copy of `data`
    /// first.
    fn json(&self) -> ByteString {
        let mut json = String::with_capacity(320 + self.data.len());
        let written = (|| {
            write!(
                json,
                r#"{{"position":{},"stream":"{}","seq":{},"type":"{}","timestamp":"{}""#,
                self.position,
                self.stream,
                self.seq,
                self.kind.as_str(),
                self.timestamp
            )?;
            if let Some(id) = self.workflow_id {
                write!(json, r#","workflow_id":"{id}""#)?;
            }
            if let Some(id) = self.execution_id {
                write!(json, r#","execution_id":"{id}""#)?;
            }
            if let Some(node) = self.node_id {
                write!(json, r#","node_id":"{node}""#)?;
            }
            write!(json, r#","data":{}}}"#, self.data)
        })();
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        json.into()
    }
}

/// The event that a row of the journal holds.
pub fn from_row(row: &event::Model) -> Result<CommittedEvent> {
    let key = StreamKey {
        kind: row.stream_kind,
        id: row.stream_id,
    };
    Ok(CommittedEvent::new(&Parts {
        position: row.position as u64,
        stream: &key.stream()?,
        seq: row.seq as u64,
        kind: text::word(&row.kind)?,
        timestamp: Timestamp(row.timestamp),
        workflow_id: row.workflow_id.map(WorkflowId),
        execution_id: row.execution_id.map(ExecutionId),
        node_id: row.node_id.as_deref(),
        data: &row.data,
    }))
}

#[cfg(test)]
mod tests {
    use limelight_protocol::{Event, NodeId};
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn the_json_is_that_of_the_protocol() {
        let id = Uuid::from_u128(0x0199_c0a0_0000_7000_8000_0000_0000_0001);
        for (workflow_id, execution_id, node_id) in [
            (Some(WorkflowId(id)), Some(ExecutionId(id)), Some("build")),
            (None, None, None),
        ] {
            let stream = Stream::Execution(ExecutionId(id));
            let made = CommittedEvent::new(&Parts {
                position: 8123,
                stream: &stream,
                seq: 17,
                kind: EventType::NodeStarted,
                timestamp: Timestamp(1_795_255_200_123),
                workflow_id,
                execution_id,
                node_id,
                data: r#"{"attempt":1}"#,
            });
            let event = Event {
                position: 8123,
                stream,
                seq: 17,
                kind: EventType::NodeStarted,
                timestamp: Timestamp(1_795_255_200_123),
                workflow_id,
                execution_id,
                node_id: node_id.and_then(NodeId::new),
                data: RawValue::from_string(r#"{"attempt":1}"#.into()).unwrap(),
            };
            assert_eq!(made.wire, serde_json::to_string(&event).unwrap());
        }
    }
}
