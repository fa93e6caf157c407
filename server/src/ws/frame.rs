//! Server frames as text.
//!
//! Events are text already when they get here; frames that carry them are put together around that
//! text, so that an event is serialised once however many viewers it has.

use std::sync::Arc;

use bytestring::ByteString;
use limelight_protocol::{Topic, ws::ServerFrame};

use crate::{bus::Told, store::CommittedEvent};

/// A frame that carries no event.
pub fn control(frame: &ServerFrame) -> ByteString {
    // Plain data with text keys always has a JSON form.
    serde_json::to_string(frame).unwrap_or_default().into()
}

/// What the follower of `topic`, by its name `id`, is told.
pub fn told(id: &str, topic: &Topic, told: Told) -> ByteString {
    let id = || id.to_owned();
    control(&match told {
        Told::Events { events: found, .. } => return events(&id(), &found),
        Told::Subscribed {
            position,
            recovered,
        } => ServerFrame::Subscribed {
            id: id(),
            topic: topic.to_string(),
            position,
            recovered,
        },
        Told::Gap(reason) => ServerFrame::Gap { id: id(), reason },
        Told::Snapshot(snapshot) => ServerFrame::Snapshot {
            id: id(),
            position: snapshot.position,
            data: snapshot.data,
        },
        Told::Lagged { from, to } => ServerFrame::Lagged { id: id(), from, to },
        Told::Failed(error) => {
            tracing::error!(%topic, %error, "a topic cannot be followed");
            let detail = "the store cannot be read; subscribe again".to_owned();
            ServerFrame::Error {
                id: Some(id()),
                code: "store_unavailable".into(),
                detail,
            }
        }
    })
}

fn events(id: &str, events: &[Arc<CommittedEvent>]) -> ByteString {
    let id = serde_json::to_string(id).unwrap_or_default();
    let bytes: usize = events.iter().map(|event| event.wire.len() + 1).sum();
    let mut text = String::with_capacity(bytes + id.len() + 40);
    if let [event] = events {
        text.push_str(r#"{"type":"event","id":"#);
        text.push_str(&id);
        text.push_str(r#","event":"#);
        text.push_str(&event.wire);
    } else {
        text.push_str(r#"{"type":"events","id":"#);
        text.push_str(&id);
        text.push_str(r#","events":["#);
        for (index, event) in events.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&event.wire);
        }
        text.push(']');
    }
    text.push('}');
    text.into()
}
