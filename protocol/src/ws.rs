//! WebSocket frames: JSON text, one object each.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Cursor, Event};

/// Most subscriptions on a socket.
pub const MAX_SUBSCRIPTIONS: usize = 256;
/// Largest message a client may send, bytes, fragmented or not.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// Most fragments a client may send a message in.
pub const MAX_FRAGMENTS: usize = 1024;
/// Longest name a client may give a subscription, bytes.
pub const MAX_SUBSCRIPTION_ID_BYTES: usize = 128;
/// Close code of a session whose token has expired or was signed out.
pub const CLOSE_TOKEN_ENDED: u16 = 4401;
/// Seconds between the server's pings.
pub const HEARTBEAT_S: u64 = 15;
/// The WebSocket subprotocol; a browser without a cookie adds `bearer.TOKEN`.
pub const SUBPROTOCOL: &str = "limelight.v1";

/// What a client says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", try_from = "AnyClientFrame")]
pub enum ClientFrame {
    /// Follow a topic.
    Subscribe {
        /// The client's own name for the subscription.
        id: String,
        /// The topic, as text: an unknown one is answered, not a fault of the frame.
        topic: String,
        /// Go on after this; position 0 is the beginning of what is kept. Absent: from now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Cursor>,
        /// First send how things stand, where there is no `after` to go on from.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        snapshot: bool,
    },
    /// Stop following.
    Unsubscribe {
        /// The subscription.
        id: String,
    },
    /// Ask for a sign of life.
    Ping {
        /// Comes back in the answer.
        nonce: u64,
    },
}

/// Every field of every client frame. A tagged enum would be read through a buffer of all that the
/// frame holds, known or not, many times as large as its text.
#[derive(Deserialize)]
struct AnyClientFrame {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    topic: Option<String>,
    #[serde(default)]
    after: Option<Cursor>,
    #[serde(default)]
    snapshot: bool,
    #[serde(default)]
    nonce: Option<u64>,
}

impl TryFrom<AnyClientFrame> for ClientFrame {
    type Error = String;

    fn try_from(frame: AnyClientFrame) -> Result<Self, String> {
        let kind = frame.kind;
        let needs = |field: &str| format!("a frame of type {kind} needs {field}");
        match kind.as_str() {
            "subscribe" => Ok(Self::Subscribe {
                id: frame.id.ok_or_else(|| needs("id"))?,
                topic: frame.topic.ok_or_else(|| needs("topic"))?,
                after: frame.after,
                snapshot: frame.snapshot,
            }),
            "unsubscribe" => Ok(Self::Unsubscribe {
                id: frame.id.ok_or_else(|| needs("id"))?,
            }),
            "ping" => Ok(Self::Ping {
                nonce: frame.nonce.ok_or_else(|| needs("nonce"))?,
            }),
            other => Err(format!("no frame has the type {other}")),
        }
    }
}

/// What the server says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", try_from = "AnyFrame")]
pub enum ServerFrame {
    /// The first frame.
    Hello {
        /// Identity of the journal.
        epoch: String,
        /// Name and version of the server.
        server: String,
        /// Seconds between pings; a client that hears nothing for three times that may give up.
        heartbeat_s: u64,
    },
    /// A topic is followed from here on.
    Subscribed {
        /// The subscription.
        id: String,
        /// The topic.
        topic: String,
        /// Events after this follow.
        position: u64,
        /// Whether everything after the client's cursor follows without a gap.
        recovered: bool,
    },
    /// How things stand at a place in the journal.
    Snapshot {
        /// The subscription.
        id: String,
        /// Events after this follow.
        position: u64,
        /// `Execution`, `Page<ExecutionSummary>`, `TestRun`, `ActorTree`, ... as the topic calls for.
        data: Box<RawValue>,
    },
    /// Something happened.
    Event {
        /// The subscription.
        id: String,
        /// What.
        event: Box<Event>,
    },
    /// Several things happened.
    Events {
        /// The subscription.
        id: String,
        /// What, in order.
        events: Vec<Event>,
    },
    /// The client is behind; what it misses follows from the journal.
    Lagged {
        /// The subscription.
        id: String,
        /// Last position sent.
        from: u64,
        /// Newest position there is.
        to: u64,
    },
    /// What came after the client's cursor is not there any more. A snapshot follows.
    Gap {
        /// The subscription.
        id: String,
        /// Why.
        reason: GapReason,
    },
    /// A frame could not be followed.
    Error {
        /// The subscription, where the frame named one.
        id: Option<String>,
        /// Stable name.
        code: String,
        /// For people.
        detail: String,
    },
    /// Answer to a ping.
    Pong {
        /// As in the ping.
        nonce: u64,
    },
}

/// Every field of every server frame. A tagged enum would be read through a buffer that holds no raw
/// JSON, so frames are read as this first.
#[derive(Deserialize)]
struct AnyFrame {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    epoch: Option<String>,
    #[serde(default)]
    server: Option<String>,
    #[serde(default)]
    heartbeat_s: Option<u64>,
    #[serde(default)]
    topic: Option<String>,
    #[serde(default)]
    position: Option<u64>,
    #[serde(default)]
    recovered: Option<bool>,
    #[serde(default)]
    data: Option<Box<RawValue>>,
    #[serde(default)]
    event: Option<Box<Event>>,
    #[serde(default)]
    events: Option<Vec<Event>>,
    #[serde(default)]
    from: Option<u64>,
    #[serde(default)]
    to: Option<u64>,
    #[serde(default)]
    reason: Option<GapReason>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    nonce: Option<u64>,
}

impl TryFrom<AnyFrame> for ServerFrame {
    type Error = String;

    fn try_from(frame: AnyFrame) -> Result<Self, String> {
        let kind = frame.kind;
        macro_rules! needed {
            ($field:ident) => {
                frame
                    .$field
                    .ok_or_else(|| format!("a frame of type {kind} needs {}", stringify!($field)))?
            };
        }
        Ok(match kind.as_str() {
            "hello" => Self::Hello {
                epoch: needed!(epoch),
                server: needed!(server),
                heartbeat_s: needed!(heartbeat_s),
            },
            "subscribed" => Self::Subscribed {
                id: needed!(id),
                topic: needed!(topic),
                position: needed!(position),
                recovered: needed!(recovered),
            },
            "snapshot" => Self::Snapshot {
                id: needed!(id),
                position: needed!(position),
                data: needed!(data),
            },
            "event" => Self::Event {
                id: needed!(id),
                event: needed!(event),
            },
            "events" => Self::Events {
                id: needed!(id),
                events: needed!(events),
            },
            "lagged" => Self::Lagged {
                id: needed!(id),
                from: needed!(from),
                to: needed!(to),
            },
            "gap" => Self::Gap {
                id: needed!(id),
                reason: needed!(reason),
            },
            "error" => Self::Error {
                id: frame.id,
                code: needed!(code),
                detail: needed!(detail),
            },
            "pong" => Self::Pong {
                nonce: needed!(nonce),
            },
            other => return Err(format!("no frame has the type {other}")),
        })
    }
}

/// Why there is a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// The events are past their retention.
    Retention,
    /// The cursor is from another journal.
    Epoch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_frames_read_as_the_contract_says() {
        let text = r#"{"type":"subscribe","id":"b","topic":"executions","snapshot":true}"#;
        let frame: ClientFrame = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&frame).unwrap(), text);
        let text = r#"{"type":"subscribe","id":"a","topic":"metrics","after":{"epoch":"e","position":8100}}"#;
        let frame: ClientFrame = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&frame).unwrap(), text);
    }

    #[test]
    fn every_server_frame_is_read_as_it_is_written() {
        let event = r#"{"position":2,"stream":"metrics","seq":2,"type":"metrics:sample","timestamp":"2026-11-21T10:00:00.123Z","data":{"cpu":1.50}}"#;
        for text in [
            r#"{"type":"hello","epoch":"e","server":"limelight/0.1.0","heartbeat_s":15}"#
                .to_owned(),
            r#"{"type":"subscribed","id":"a","topic":"metrics","position":8,"recovered":true}"#
                .into(),
            r#"{"type":"snapshot","id":"a","position":8,"data":{"n":1.50}}"#.into(),
            format!(r#"{{"type":"event","id":"a","event":{event}}}"#),
            format!(r#"{{"type":"events","id":"a","events":[{event}]}}"#),
            r#"{"type":"lagged","id":"a","from":1,"to":2}"#.into(),
            r#"{"type":"gap","id":"a","reason":"epoch"}"#.into(),
            r#"{"type":"error","id":null,"code":"unknown_topic","detail":"d"}"#.into(),
            r#"{"type":"pong","nonce":1}"#.into(),
        ] {
            let frame: ServerFrame = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&frame).unwrap(), text);
        }
        for text in [
            r#"{"type":"dream"}"#,
            r#"{"type":"pong"}"#,
            r#"{"nonce":1}"#,
        ] {
            assert!(
                serde_json::from_str::<ServerFrame>(text).is_err(),
                "{text} was taken"
            );
        }
    }
}
