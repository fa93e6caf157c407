//! Which topics are followed and how far each has come. Pure: frames in, frames and messages out.

use std::{collections::BTreeMap, rc::Rc};

use limelight_protocol::{
    Cursor, Event, Topic,
    ws::{ClientFrame, ServerFrame},
};
use serde_json::value::RawValue;

/// Where a subscription begins when it has no cursor yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With whatever comes next.
    Now,
    /// With the first event that is kept.
    Beginning,
    /// With how things stand, then what comes next.
    Snapshot,
}

/// What a subscriber is told.
#[derive(Clone, Debug)]
pub enum Message {
    /// How things stand; whatever was known before is replaced.
    Snapshot(Rc<RawValue>),
    /// What happened since, in order and without doubles.
    Events(Rc<Vec<Event>>),
    /// What is known has a hole that will not be filled. A snapshot follows.
    Gap,
    /// The server will not follow the topic.
    Refused(String),
    /// There is no live connection: ask by HTTP.
    Poll,
}

struct Subscription {
    topic: Topic,
    start: Start,
    cursor: Option<Cursor>,
}

/// Every subscription of the page.
#[derive(Default)]
pub struct Registry {
    next_id: u64,
    epoch: Option<String>,
    subscriptions: BTreeMap<u64, Subscription>,
}

impl Registry {
    /// Follows a topic. The frame is to be sent now when there is a connection that has said hello;
    /// otherwise [`Registry::hello`] gives it again.
    pub fn subscribe(&mut self, topic: Topic, start: Start) -> (u64, ClientFrame) {
        self.next_id += 1;
        let id = self.next_id;
        let subscription = Subscription {
            topic,
            start,
            cursor: None,
        };
        let frame = self.frame(id, &subscription);
        self.subscriptions.insert(id, subscription);
        (id, frame)
    }

    /// Follows it no longer.
    pub fn unsubscribe(&mut self, id: u64) -> ClientFrame {
        self.subscriptions.remove(&id);
        ClientFrame::Unsubscribe { id: id.to_string() }
    }

    fn frame(&self, id: u64, subscription: &Subscription) -> ClientFrame {
        let from_beginning = || Cursor {
            epoch: self.epoch.clone().unwrap_or_default(),
            position: 0,
        };
        // A cursor says all; without one the start decides.
        let after = match (&subscription.cursor, subscription.start) {
            (Some(cursor), _) => Some(cursor.clone()),
            (None, Start::Beginning) => Some(from_beginning()),
            (None, Start::Now | Start::Snapshot) => None,
        };
        ClientFrame::Subscribe {
            id: id.to_string(),
            topic: subscription.topic.to_string(),
            snapshot: after.is_none() && subscription.start == Start::Snapshot,
            after,
        }
    }

    /// The server said hello: every subscription is asked for (again), each from where it stands. A
    /// cursor of another epoch is sent too: the server answers it with a gap and a snapshot.
    fn hello(&mut self, epoch: String) -> Vec<ClientFrame> {
        self.epoch = Some(epoch);
        self.subscriptions
            .iter()
            .map(|(id, subscription)| self.frame(*id, subscription))
            .collect()
    }

    /// What a frame calls for: frames to send, and what to tell which subscriber.
    pub fn receive(&mut self, frame: ServerFrame) -> (Vec<ClientFrame>, Option<(u64, Message)>) {
        match frame {
            ServerFrame::Hello { epoch, .. } => (self.hello(epoch), None),
            ServerFrame::Subscribed { id, position, .. } => {
                self.advance(&id, position);
                (Vec::new(), None)
            }
            ServerFrame::Snapshot { id, position, data } => {
                let told = self.restart(&id, position);
                let message = Message::Snapshot(Rc::from(data));
                (Vec::new(), told.map(|id| (id, message)))
            }
            ServerFrame::Event { id, event } => (Vec::new(), self.events(&id, vec![*event])),
            ServerFrame::Events { id, events } => (Vec::new(), self.events(&id, events)),
            ServerFrame::Gap { id, .. } => {
                let told = self.find(&id).map(|(id, subscription)| {
                    subscription.cursor = None;
                    (id, Message::Gap)
                });
                (Vec::new(), told)
            }
            ServerFrame::Error { id, detail, .. } => {
                let told = id.and_then(|id| self.find(&id).map(|(id, _)| id));
                (Vec::new(), told.map(|id| (id, Message::Refused(detail))))
            }
            // What was missed follows by itself.
            ServerFrame::Lagged { .. } | ServerFrame::Pong { .. } => (Vec::new(), None),
        }
    }

    fn find(&mut self, id: &str) -> Option<(u64, &mut Subscription)> {
        let id = id.parse().ok()?;
        Some((id, self.subscriptions.get_mut(&id)?))
    }

    fn cursor(&self, position: u64) -> Option<Cursor> {
        let epoch = self.epoch.clone()?;
        Some(Cursor { epoch, position })
    }

    /// Events after `position` follow; never moves back within an epoch.
    fn advance(&mut self, id: &str, position: u64) {
        let cursor = self.cursor(position);
        let Some((_, subscription)) = self.find(id) else {
            return;
        };
        // Without a snapshot yet, a cursor would make the next subscription skip it.
        if subscription.start == Start::Snapshot && subscription.cursor.is_none() {
            return;
        }
        let same_epoch = |a: &Cursor, b: &Cursor| a.epoch == b.epoch;
        match (&subscription.cursor, cursor) {
            (Some(old), Some(new)) if same_epoch(old, &new) && old.position >= position => {}
            (_, cursor) => subscription.cursor = cursor,
        }
    }

    /// A snapshot counts from its own position, wherever the cursor stood.
    fn restart(&mut self, id: &str, position: u64) -> Option<u64> {
        let cursor = self.cursor(position);
        let (id, subscription) = self.find(id)?;
        // The actor tree comes as snapshots only; there is no event to go on after.
        if subscription.topic != Topic::Actors {
            subscription.cursor = cursor;
        }
        Some(id)
    }

    fn events(&mut self, id: &str, mut events: Vec<Event>) -> Option<(u64, Message)> {
        let epoch = self.epoch.clone()?;
        let (id, subscription) = self.find(id)?;
        let mut had = match &subscription.cursor {
            Some(cursor) if cursor.epoch == epoch => cursor.position,
            _ => 0,
        };
        events.retain(|event| {
            let fresh = event.position > had;
            had = had.max(event.position);
            fresh
        });
        if events.is_empty() {
            return None;
        }
        subscription.cursor = Some(Cursor {
            epoch,
            position: had,
        });
        Some((id, Message::Events(Rc::new(events))))
    }
}

#[cfg(test)]
mod tests {
    use limelight_protocol::ws::GapReason;

    use super::*;

    fn hello(epoch: &str) -> ServerFrame {
        ServerFrame::Hello {
            epoch: epoch.into(),
            server: "limelight/0.1.0".into(),
            heartbeat_s: 15,
        }
    }

    fn event(position: u64) -> Event {
        serde_json::from_str(&format!(
            r#"{{"position":{position},"stream":"metrics","seq":{position},"type":"node:queued",
                "timestamp":"2026-11-21T10:00:00.000Z","data":{{"attempt":1}}}}"#
        ))
        .unwrap()
    }

    fn events(id: u64, positions: impl IntoIterator<Item = u64>) -> ServerFrame {
        ServerFrame::Events {
            id: id.to_string(),
            events: positions.into_iter().map(event).collect(),
        }
    }

    fn snapshot(id: u64, position: u64) -> ServerFrame {
        ServerFrame::Snapshot {
            id: id.to_string(),
            position,
            data: RawValue::from_string("null".into()).unwrap(),
        }
    }

    fn told(registry: &mut Registry, frame: ServerFrame) -> Vec<u64> {
        match registry.receive(frame).1 {
            Some((_, Message::Events(events))) => events.iter().map(|e| e.position).collect(),
            _ => Vec::new(),
        }
    }

    fn asked(frames: &[ClientFrame]) -> (Option<Cursor>, bool) {
        let [
            ClientFrame::Subscribe {
                after, snapshot, ..
            },
        ] = frames
        else {
            panic!("one subscription expected: {frames:?}");
        };
        (after.clone(), *snapshot)
    }

    fn cursor(epoch: &str, position: u64) -> Option<Cursor> {
        Some(Cursor {
            epoch: epoch.into(),
            position,
        })
    }

    #[test]
    fn a_dropped_connection_resumes_after_the_last_event_and_nothing_is_told_twice() {
        let mut registry = Registry::default();
        let (id, _) = registry.subscribe(Topic::Executions, Start::Snapshot);
        assert_eq!(asked(&registry.receive(hello("e")).0), (None, true));
        registry.receive(snapshot(id, 10));
        assert_eq!(told(&mut registry, events(id, [9, 10, 11, 12])), [11, 12]);
        assert_eq!(
            asked(&registry.receive(hello("e")).0),
            (cursor("e", 12), false)
        );
        assert_eq!(told(&mut registry, events(id, [12, 13])), [13]);
    }

    #[test]
    fn a_drop_before_the_snapshot_asks_for_the_snapshot_again() {
        let mut registry = Registry::default();
        let (id, _) = registry.subscribe(Topic::Executions, Start::Snapshot);
        registry.receive(hello("e"));
        registry.receive(ServerFrame::Subscribed {
            id: id.to_string(),
            topic: "executions".into(),
            position: 5,
            recovered: true,
        });
        assert_eq!(asked(&registry.receive(hello("e")).0), (None, true));
    }

    #[test]
    fn another_epoch_is_answered_by_a_gap_and_counting_starts_over_with_the_snapshot() {
        let mut registry = Registry::default();
        let (id, _) = registry.subscribe(Topic::Executions, Start::Snapshot);
        registry.receive(hello("old"));
        registry.receive(snapshot(id, 500));
        assert_eq!(
            asked(&registry.receive(hello("new")).0),
            (cursor("old", 500), false)
        );
        let gap = ServerFrame::Gap {
            id: id.to_string(),
            reason: GapReason::Epoch,
        };
        assert!(matches!(registry.receive(gap).1, Some((_, Message::Gap))));
        registry.receive(snapshot(id, 3));
        assert_eq!(told(&mut registry, events(id, [3, 4])), [4]);
    }

    #[test]
    fn a_log_is_read_from_its_beginning_in_the_epoch_of_the_hello() {
        let mut registry = Registry::default();
        registry.receive(hello("e"));
        let (_, frame) = registry.subscribe(Topic::Metrics, Start::Beginning);
        assert_eq!(asked(&[frame]), (cursor("e", 0), false));
    }

    #[test]
    fn a_quiet_subscription_resumes_where_it_was_accepted() {
        let mut registry = Registry::default();
        let (id, _) = registry.subscribe(Topic::Metrics, Start::Now);
        registry.receive(hello("e"));
        registry.receive(ServerFrame::Subscribed {
            id: id.to_string(),
            topic: "metrics".into(),
            position: 40,
            recovered: true,
        });
        assert_eq!(
            asked(&registry.receive(hello("e")).0),
            (cursor("e", 40), false)
        );
    }

    #[test]
    fn frames_for_a_subscription_that_is_gone_are_dropped() {
        let mut registry = Registry::default();
        let (id, _) = registry.subscribe(Topic::Metrics, Start::Now);
        registry.receive(hello("e"));
        registry.unsubscribe(id);
        assert!(told(&mut registry, events(id, [1])).is_empty());
        assert!(registry.receive(hello("e")).0.is_empty());
    }

    #[test]
    fn the_actor_tree_is_always_asked_for_as_a_snapshot() {
        let mut registry = Registry::default();
        let (id, _) = registry.subscribe(Topic::Actors, Start::Snapshot);
        registry.receive(hello("e"));
        registry.receive(snapshot(id, 0));
        assert_eq!(asked(&registry.receive(hello("e")).0), (None, true));
    }
}
