//! The newest lines of a node's output.

use std::collections::VecDeque;

use limelight_protocol::{Event, EventBody, Timestamp, event::LogSource};

/// Most lines kept.
pub const CAPACITY: usize = 2_000;

/// A line of output.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Place in the log.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The attempt that wrote it.
    pub attempt: u32,
    /// Where it was written.
    pub source: LogSource,
    /// Its text.
    pub text: String,
}

/// The last lines, and how many came before them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tail {
    lines: VecDeque<Line>,
    dropped: u64,
}

impl Tail {
    /// Adds what came in. Other events than lines, and lines had already, are passed over.
    pub fn extend(&mut self, events: &[Event]) {
        for event in events {
            if self.lines.back().is_some_and(|last| last.seq >= event.seq) {
                continue;
            }
            let Ok(EventBody::NodeLog(line)) = event.body() else {
                continue;
            };
            if self.lines.len() == CAPACITY {
                self.lines.pop_front();
                self.dropped += 1;
            }
            self.lines.push_back(Line {
                seq: event.seq,
                at: event.timestamp,
                attempt: line.attempt,
                source: line.source,
                text: line.line,
            });
        }
    }

    /// How many lines are kept.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// A line by its place among the kept ones.
    pub fn get(&self, index: usize) -> Option<&Line> {
        self.lines.get(index)
    }

    /// How many lines came before the kept ones.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::executions::tests::event;

    fn line(seq: u64) -> Event {
        let data = format!(r#"{{"attempt":1,"source":"stdout","line":"line {seq}"}}"#);
        event(1, seq, "node:log", Some("a"), &data)
    }

    #[test]
    fn the_newest_lines_are_kept_and_the_others_counted() {
        let mut tail = Tail::default();
        let lines: Vec<Event> = (1..=CAPACITY as u64 + 10).map(line).collect();
        tail.extend(&lines);
        assert_eq!((tail.len(), tail.dropped()), (CAPACITY, 10));
        assert_eq!(tail.get(0).unwrap().text, "line 11");
    }

    #[test]
    fn a_line_that_comes_twice_is_shown_once_and_an_odd_event_hides_nothing() {
        let mut tail = Tail::default();
        tail.extend(&[
            line(1),
            line(2),
            line(2),
            event(1, 3, "node:log", None, "{}"),
            line(4),
        ]);
        assert_eq!((tail.len(), tail.get(2).unwrap().seq), (3, 4));
    }
}
