//! The events of one execution, held sparsely: what has been looked at, and what came in live.
//!
//! A stream counts 1, 2, 3, ... without a gap, so the row of an event is known before the event is.

use std::{collections::BTreeMap, rc::Rc};

use limelight_protocol::{Event, NodeId};

/// Most events asked for at once.
pub const PAGE: u64 = 500;
/// Most events held without a filter; the far ones are let go and asked for again when scrolled to.
const HELD: usize = 20_000;

/// What is known of the stream.
#[derive(Clone, Default, PartialEq)]
pub struct EventLog {
    events: BTreeMap<u64, Rc<Held>>,
    total: u64,
}

/// An event that is held; compared by its place alone, since an event never changes.
pub struct Held(pub Event);

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.0.seq == other.0.seq
    }
}

impl EventLog {
    /// How many events the stream has, as far as is known.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The stream has at least so many events.
    pub fn extend_to(&mut self, total: u64) {
        self.total = self.total.max(total);
    }

    /// Events that were fetched or came in.
    pub fn insert(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.total = self.total.max(event.seq);
            self.events.insert(event.seq, Rc::new(Held(event)));
        }
    }

    /// Lets go of what is far from `seq`, when too much is held.
    pub fn trim_around(&mut self, seq: u64) {
        while self.events.len() > HELD {
            let (Some((&first, _)), Some((&last, _))) =
                (self.events.first_key_value(), self.events.last_key_value())
            else {
                return;
            };
            if seq.abs_diff(first) > seq.abs_diff(last) {
                self.events.pop_first();
            } else {
                self.events.pop_last();
            }
        }
    }

    /// The event at a place, if it is held.
    pub fn get(&self, seq: u64) -> Option<&Rc<Held>> {
        self.events.get(&seq)
    }

    /// After which event to ask so that `first..=last` can be shown; `None` when all are held.
    pub fn missing_in(&self, first: u64, last: u64) -> Option<u64> {
        let last = last.min(self.total);
        let first = first.max(1);
        (first..=last)
            .find(|seq| !self.events.contains_key(seq))
            .map(|seq| seq - 1)
    }

    /// After which event to ask next to have all of them; `None` when all are held.
    pub fn missing_anywhere(&self) -> Option<u64> {
        if self.events.len() as u64 == self.total {
            return None;
        }
        self.missing_in(1, self.total)
    }

    /// How many are held.
    pub fn held(&self) -> u64 {
        self.events.len() as u64
    }

    /// Places of the held events about a node, in order.
    pub fn about(&self, node: &NodeId) -> Vec<u64> {
        let about = |held: &Held| held.0.node_id.as_ref() == Some(node);
        self.events
            .iter()
            .filter(|(_, held)| about(held))
            .map(|(seq, _)| *seq)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::executions::tests::event;

    fn queued(seqs: std::ops::RangeInclusive<u64>) -> Vec<Event> {
        seqs.map(|seq| {
            let node = if seq % 2 == 0 { "even" } else { "odd" };
            event(1, seq, "node:queued", Some(node), r#"{"attempt":1}"#)
        })
        .collect()
    }

    #[test]
    fn only_what_is_in_view_and_not_held_is_asked_for() {
        let mut log = EventLog::default();
        log.extend_to(1_000);
        log.insert(queued(990..=1_000));
        assert_eq!(log.missing_in(991, 1_030), None);
        assert_eq!(log.missing_in(980, 1_000), Some(979));
        log.insert(queued(980..=989));
        assert_eq!(log.missing_in(980, 1_000), None);
        assert_eq!(log.missing_anywhere(), Some(0));
    }

    #[test]
    fn events_that_come_twice_are_held_once() {
        let mut log = EventLog::default();
        log.insert(queued(1..=5));
        log.insert(queued(3..=6));
        assert_eq!(
            (log.held(), log.total(), log.missing_anywhere()),
            (6, 6, None)
        );
        assert_eq!(log.about(&NodeId::new("even").unwrap()), [2, 4, 6]);
    }

    #[test]
    fn what_is_far_from_the_view_is_let_go() {
        let mut log = EventLog::default();
        log.insert(queued(1..=HELD as u64 + 100));
        log.trim_around(HELD as u64);
        assert_eq!(log.held(), HELD as u64);
        assert!(log.get(100).is_none() && log.get(101).is_some());
        log.trim_around(1);
        assert_eq!(log.missing_in(1, 2), Some(0));
    }
}
