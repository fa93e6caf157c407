//! The timers of one execution: one heap, and at most one timer of a purpose for a node.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use limelight_engine::{Timer, TimerPurpose};

use crate::clock::Moment;

/// A timer that is this late was held up by a process that stood still.
const STOOD_STILL: Duration = Duration::from_secs(2);
/// How long what happened meanwhile is waited for.
const CATCH_UP: Duration = Duration::from_secs(1);

/// What is due when.
#[derive(Default)]
pub struct Timers {
    queue: BTreeSet<(Duration, Timer)>,
    by_node: HashMap<(usize, TimerPurpose), (Duration, Timer)>,
    /// Nothing is due before this.
    held_until: Option<Duration>,
}

impl Timers {
    /// Sets a timer in place of the one that its node had for the same purpose. It is due when as
    /// much time has passed as there is now until its date, even if somebody sets the clock.
    pub fn set(&mut self, timer: Timer, now: Moment) {
        let wait_s = timer.at.since_s(now.at).max(0.0);
        // Further off than the clock reaches is never.
        let wait = Duration::try_from_secs_f64(wait_s).unwrap_or(Duration::MAX);
        let entry = (now.uptime.saturating_add(wait), timer);
        let before = self.by_node.insert((timer.node, timer.purpose), entry);
        if let Some(before) = before {
            self.queue.remove(&before);
        }
        self.queue.insert(entry);
    }

    /// When the next one is due, by the uptime.
    pub fn next_due(&self) -> Option<Duration> {
        let (due, _) = self.queue.first()?;
        Some(self.held_until.map_or(*due, |held| held.max(*due)))
    }

    /// Puts off what is due when it is so late that the process must have stood still; once for each
    /// time that it did. Says whether it is put off.
    pub fn hold_back(&mut self, now: Moment) -> bool {
        match (self.held_until, self.queue.first()) {
            (Some(held), _) if now.uptime < held => true,
            (Some(_), _) => {
                self.held_until = None;
                false
            }
            (None, Some((due, _))) if now.uptime.saturating_sub(*due) > STOOD_STILL => {
                self.held_until = Some(now.uptime + CATCH_UP);
                true
            }
            _ => false,
        }
    }

    /// Takes the next one that is due.
    pub fn pop_due(&mut self, now: Moment) -> Option<Timer> {
        if self.next_due()? > now.uptime {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        self.by_node.remove(&(timer.node, timer.purpose));
        Some(timer)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.by_node.clear();
    }
}

#[cfg(test)]
mod tests {
    use limelight_protocol::Timestamp;

    use super::*;

    fn moment(at_s: i64, uptime_s: u64) -> Moment {
        Moment {
            at: Timestamp(at_s * 1000),
            uptime: Duration::from_secs(uptime_s),
        }
    }

    fn timer(node: usize, attempt: u32, at_s: i64) -> Timer {
        Timer {
            node,
            attempt,
            purpose: TimerPurpose::Timeout,
            at: Timestamp(at_s * 1000),
        }
    }

    #[test]
    fn timers_come_in_their_order_and_not_before_their_time() {
        let mut timers = Timers::default();
        let now = moment(1000, 5);
        timers.set(timer(0, 1, 1020), now);
        timers.set(timer(1, 1, 1010), now);
        assert_eq!(timers.next_due(), Some(Duration::from_secs(15)));
        assert_eq!(timers.pop_due(moment(1009, 14)), None);
        assert_eq!(timers.pop_due(moment(1030, 25)), Some(timer(1, 1, 1010)));
        assert_eq!(timers.pop_due(moment(1030, 25)), Some(timer(0, 1, 1020)));
        assert_eq!(timers.pop_due(moment(1030, 25)), None);
    }

    #[test]
    fn a_clock_that_is_set_makes_nobody_wait_longer_or_shorter() {
        let mut timers = Timers::default();
        timers.set(timer(0, 1, 1060), moment(1000, 5));
        assert_eq!(timers.pop_due(moment(1001 + 3600, 6)), None);
        assert_eq!(
            timers.pop_due(moment(1060 - 3600, 65)),
            Some(timer(0, 1, 1060))
        );
    }

    #[test]
    fn what_is_far_too_late_waits_a_moment_once() {
        let mut timers = Timers::default();
        timers.set(timer(0, 1, 1005), moment(1000, 5));
        assert!(!timers.hold_back(moment(1005, 10)));
        assert!(timers.hold_back(moment(1030, 35)));
        assert_eq!(timers.next_due(), Some(Duration::from_secs(36)));
        assert!(!timers.hold_back(moment(1031, 36)));
        assert_eq!(timers.pop_due(moment(1031, 36)), Some(timer(0, 1, 1005)));
    }

    #[test]
    fn a_node_that_is_tried_for_ever_keeps_one_timer() {
        let mut timers = Timers::default();
        for attempt in 1..100 {
            timers.set(
                timer(0, attempt, 2000 + i64::from(attempt)),
                moment(1000, 5),
            );
        }
        assert_eq!((timers.queue.len(), timers.by_node.len()), (1, 1));
    }
}
