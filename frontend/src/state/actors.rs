//! The supervision tree as rows: indented by path, with rates from one reading to the next.

use std::collections::HashMap;

use limelight_protocol::{
    Timestamp,
    actor::{ActorSnapshot, ActorState, ActorTree},
};

/// A row of the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// How deep in the tree.
    pub depth: usize,
    /// The part of the path that is its own.
    pub name: String,
    /// What it says of itself.
    pub actor: ActorSnapshot,
    /// Messages handled a second since the reading before.
    pub rate_per_s: Option<f64>,
}

/// The newest reading, and what is needed to tell rates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    at: Option<Timestamp>,
    handled: HashMap<String, u64>,
    rows: Vec<Row>,
}

impl Readings {
    /// Takes a reading.
    pub fn take(&mut self, tree: ActorTree) {
        let elapsed_s = self.at.map(|before| tree.at.since_s(before));
        if elapsed_s.is_some_and(|elapsed| elapsed <= 0.0) {
            return;
        }
        let paths: Vec<String> = tree.actors.iter().map(|actor| actor.path.clone()).collect();
        let mut handled = HashMap::with_capacity(paths.len());
        let rows = tree
            .actors
            .into_iter()
            .map(|actor| {
                handled.insert(actor.path.clone(), actor.handled);
                let since = self.handled.get(&actor.path);
                let rate_per_s = elapsed_s.zip(since).map(|(elapsed, before)| {
                    actor.handled.saturating_sub(*before) as f64 / elapsed
                });
                let (depth, name) = place(&actor.path, &paths);
                Row {
                    depth,
                    name,
                    rate_per_s,
                    actor,
                }
            })
            .collect();
        *self = Self {
            at: Some(tree.at),
            handled,
            rows,
        };
    }

    /// When it was read.
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Every actor.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Rows whose path, kind or state holds the text.
    pub fn matching(&self, text: &str) -> Vec<&Row> {
        let text = text.trim().to_lowercase();
        let holds = |part: &str| part.to_lowercase().contains(&text);
        self.rows
            .iter()
            .filter(|row| {
                let actor = &row.actor;
                holds(&actor.path) || holds(&actor.kind) || holds(state_text(actor.state))
            })
            .collect()
    }
}

/// The text of a state.
pub const fn state_text(state: ActorState) -> &'static str {
    match state {
        ActorState::Running => "running",
        ActorState::Restarting => "restarting",
        ActorState::Stopped => "stopped",
        ActorState::Failed => "failed",
    }
}

/// Depth under the actors above it, and the rest of the path under the nearest of them.
fn place(path: &str, paths: &[String]) -> (usize, String) {
    let above: Vec<&str> = path
        .match_indices('/')
        .map(|(at, _)| &path[..at])
        .filter(|parent| {
            paths
                .binary_search_by(|other| other.as_str().cmp(parent))
                .is_ok()
        })
        .collect();
    let name = above
        .last()
        .map_or(path, |parent| &path[parent.len() + 1..]);
    (above.len(), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(path: &str, handled: u64) -> ActorSnapshot {
        ActorSnapshot {
            path: path.into(),
            kind: "journal".into(),
            state: ActorState::Running,
            mailbox: 0,
            handled,
            restarts: 0,
            panics: 0,
            started_at: Timestamp(0),
            last_beat: Timestamp(0),
            last_error: None,
        }
    }

    fn tree(at: i64, actors: Vec<ActorSnapshot>) -> ActorTree {
        ActorTree {
            at: Timestamp(at),
            actors,
        }
    }

    #[test]
    fn rates_are_told_from_the_second_reading_on() {
        let mut readings = Readings::default();
        readings.take(tree(1_000, vec![actor("a", 10)]));
        assert_eq!(readings.rows()[0].rate_per_s, None);
        readings.take(tree(3_000, vec![actor("a", 50), actor("b", 5)]));
        let rates: Vec<_> = readings.rows().iter().map(|row| row.rate_per_s).collect();
        assert_eq!(rates, [Some(20.0), None]);
    }

    #[test]
    fn rows_are_indented_under_actors_that_exist() {
        let mut readings = Readings::default();
        let paths = [
            "executions/1",
            "system",
            "system/journal",
            "system/journal/x/y",
        ];
        readings.take(tree(0, paths.map(|path| actor(path, 0)).to_vec()));
        let rows: Vec<_> = readings
            .rows()
            .iter()
            .map(|r| (r.depth, r.name.as_str()))
            .collect();
        assert_eq!(
            rows,
            [
                (0, "executions/1"),
                (0, "system"),
                (1, "journal"),
                (2, "x/y")
            ]
        );
        assert_eq!(readings.matching("X/Y").len(), 1);
        assert_eq!(readings.matching("running").len(), 4);
    }
}
