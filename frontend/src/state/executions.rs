//! Lists of executions, kept current by events and refreshed where events do not tell enough.

use limelight_protocol::{Event, EventType, ExecutionSummary, rest::Overview};

/// Applies events to the executions of a list. Whether the server has to be asked again: a list
/// carries no node states, so events alone move neither its counts nor bring in new executions.
pub fn fold<'a>(executions: impl Iterator<Item = &'a mut ExecutionSummary>, events: &[Event]) {
    for execution in executions {
        for event in events {
            // An event of a shape this version does not know changes nothing here.
            let _ = execution.apply(event);
        }
    }
}

/// Whether any of the events changes a list in a way that only the server can tell.
pub fn needs_refresh(events: &[Event]) -> bool {
    events.iter().any(|event| {
        !matches!(
            event.kind,
            EventType::NodeQueued | EventType::NodeProgress | EventType::NodeWaiting
        )
    })
}

/// A fresh list, in which no execution falls back behind what events have told already.
pub fn merge(
    known: &[ExecutionSummary],
    mut fresh: Vec<ExecutionSummary>,
) -> Vec<ExecutionSummary> {
    for execution in &mut fresh {
        let newer = known
            .iter()
            .find(|known| known.id == execution.id && known.seq > execution.seq);
        if let Some(newer) = newer {
            execution.status = newer.status;
            execution.completed_at = newer.completed_at;
            execution.duration_s = newer.duration_s;
            execution.seq = newer.seq;
        }
    }
    fresh
}

/// Applies events to an overview; what has ended moves to the recent ones.
pub fn fold_overview(overview: &mut Overview, events: &[Event]) {
    let both = overview.running.iter_mut().chain(&mut overview.recent);
    fold(both, events);
    let (ended, running) = std::mem::take(&mut overview.running)
        .into_iter()
        .partition::<Vec<_>, _>(|execution| execution.status.is_terminal());
    overview.running = running;
    for execution in ended {
        if overview.recent.iter().all(|known| known.id != execution.id) {
            overview.recent.insert(0, execution);
        }
    }
}

/// A fresh overview, without falling back.
pub fn merge_overview(known: Option<&Overview>, fresh: Overview) -> Overview {
    let Some(known) = known else { return fresh };
    let all: Vec<_> = known.running.iter().chain(&known.recent).cloned().collect();
    let mut merged = Overview {
        running: merge(&all, fresh.running),
        recent: merge(&all, fresh.recent),
        ..fresh
    };
    fold_overview(&mut merged, &[]);
    merged
}

#[cfg(test)]
pub mod tests {
    use limelight_protocol::{ExecutionStatus, rest::DayCounts};
    use serde::de::DeserializeOwned;

    use super::*;

    /// An execution, in full or as lists carry it, for tests.
    pub fn execution<T: DeserializeOwned>(number: u32, status: &str, seq: u64) -> T {
        let id = format!("0199c0a0-0000-7000-8000-{number:012}");
        serde_json::from_str(&format!(
            r#"{{"id":"{id}","execution_id":"{id}","workflow_id":"{id}","workflow_name":"demo",
            "workflow_version":1,"name":null,"labels":{{}},"status":"{status}","params":{{}},
            "completed_nodes":0,"total_nodes":4,"current_phase":null,
            "started_at":"2026-11-21T10:00:00.000Z","completed_at":null,"duration_s":null,
            "started_by":"admin","seq":{seq},"node_states":[]}}"#
        ))
        .unwrap()
    }

    /// An event of that execution, for tests.
    pub fn event(number: u32, seq: u64, kind: &str, node: Option<&str>, data: &str) -> Event {
        let id = format!("0199c0a0-0000-7000-8000-{number:012}");
        let node = node.map_or_else(String::new, |node| format!(r#""node_id":"{node}","#));
        serde_json::from_str(&format!(
            r#"{{"position":{seq},"stream":"execution:{id}","seq":{seq},"type":"{kind}",
            "timestamp":"2026-11-21T10:00:02.000Z","execution_id":"{id}",{node}"data":{data}}}"#
        ))
        .unwrap()
    }

    fn overview(running: Vec<ExecutionSummary>, recent: Vec<ExecutionSummary>) -> Overview {
        Overview {
            running,
            recent,
            workflows: 1,
            last_day: DayCounts::default(),
            position: 0,
        }
    }

    #[test]
    fn an_execution_that_ends_moves_to_the_recent_ones_at_once() {
        let mut shown = overview(
            vec![execution(1, "running", 3)],
            vec![execution(2, "failed", 9)],
        );
        let done = event(1, 4, "workflow:completed", None, r#"{"duration_s":2.0}"#);
        fold_overview(&mut shown, &[done]);
        assert!(shown.running.is_empty());
        assert_eq!(shown.recent[0].status, ExecutionStatus::Completed);
        assert_eq!(shown.recent.len(), 2);
    }

    #[test]
    fn a_refresh_that_was_under_way_does_not_revive_what_has_ended() {
        let mut known = overview(vec![execution(1, "running", 3)], vec![]);
        let done = event(1, 9, "workflow:failed", None, r#"{"duration_s":2.0}"#);
        fold_overview(&mut known, &[done]);
        let mut late: ExecutionSummary = execution(1, "running", 7);
        late.completed_nodes = 3;
        let merged = merge_overview(Some(&known), overview(vec![late], vec![]));
        assert!(merged.running.is_empty());
        let shown = &merged.recent[0];
        assert_eq!(
            (shown.status, shown.completed_nodes),
            (ExecutionStatus::Failed, 3)
        );
    }

    #[test]
    fn progress_alone_asks_nothing_of_the_server() {
        let progress = event(
            1,
            4,
            "node:progress",
            Some("a"),
            r#"{"attempt":1,"progress":5.0}"#,
        );
        assert!(!needs_refresh(std::slice::from_ref(&progress)));
        let started = event(1, 5, "node:started", Some("a"), r#"{"attempt":1}"#);
        assert!(needs_refresh(&[progress, started]));
    }
}
