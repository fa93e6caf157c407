//! Reading server frames.
//!
//! Serde reads an internally tagged enum by way of a buffer that cannot hold raw JSON, so the tag and
//! the content are read one after the other.

use std::borrow::Cow;

use limelight_protocol::{
    Event,
    ws::{GapReason, ServerFrame},
};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Snapshot {
    id: String,
    position: u64,
    data: Box<RawValue>,
}

#[derive(Deserialize)]
struct One {
    id: String,
    event: Box<Event>,
}

#[derive(Deserialize)]
struct Several {
    id: String,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Gap {
    id: String,
    reason: GapReason,
}

/// Reads a frame.
///
/// # Errors
/// When the text is no frame that this version knows.
pub fn parse(text: &str) -> Result<ServerFrame, serde_json::Error> {
    let tag: Tag<'_> = serde_json::from_str(text)?;
    match tag.kind.as_ref() {
        "event" => {
            serde_json::from_str(text).map(|One { id, event }| ServerFrame::Event { id, event })
        }
        "events" => serde_json::from_str(text)
            .map(|Several { id, events }| ServerFrame::Events { id, events }),
        "snapshot" => serde_json::from_str(text)
            .map(|Snapshot { id, position, data }| ServerFrame::Snapshot { id, position, data }),
        "gap" => {
            serde_json::from_str(text).map(|Gap { id, reason }| ServerFrame::Gap { id, reason })
        }
        _ => serde_json::from_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_carry_raw_json_are_read() {
        let text = r#"{"type":"snapshot","id":"b","position":7,"data":{"x":[1,2]}}"#;
        let ServerFrame::Snapshot { position, data, .. } = parse(text).unwrap() else {
            panic!("another frame");
        };
        assert_eq!((position, data.get()), (7, r#"{"x":[1,2]}"#));
        let text = r#"{"type":"events","id":"a","events":[{"position":9,"stream":"metrics","seq":9,
            "type":"node:queued","timestamp":"2026-11-21T10:00:00.000Z","data":{"attempt":1}}]}"#;
        assert!(
            matches!(parse(text).unwrap(), ServerFrame::Events { events, .. } if events.len() == 1)
        );
        let text = text
            .replace("events", "event")
            .replace(":[{", ":{")
            .replace("}]}", "}}");
        assert!(
            matches!(parse(&text).unwrap(), ServerFrame::Event { event, .. } if event.seq == 9)
        );
    }

    #[test]
    fn plain_frames_are_read_and_nonsense_is_refused() {
        let hello = r#"{"type":"hello","epoch":"e","server":"limelight/0.1.0","heartbeat_s":15}"#;
        assert!(matches!(
            parse(hello).unwrap(),
            ServerFrame::Hello {
                heartbeat_s: 15,
                ..
            }
        ));
        let gap = r#"{"type":"gap","id":"a","reason":"epoch"}"#;
        assert!(matches!(
            parse(gap).unwrap(),
            ServerFrame::Gap {
                reason: GapReason::Epoch,
                ..
            }
        ));
        for text in [
            "",
            "{}",
            r#"{"type":"dream"}"#,
            r#"{"type":"event","id":"a"}"#,
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }
}
