//! What must hold of every history.

use std::collections::BTreeSet;

use limelight_protocol::{Event, Execution, ExecutionId, NodeState, Stream};
use rusqlite::Connection;

use super::{super::machine::Job, world::World};
use crate::auth::Caller;

/// How many events of an execution are stored.
pub fn newest_seq(reader: &Connection, id: ExecutionId) -> u64 {
    let newest: Option<i64> = reader
        .prepare_cached("SELECT max(seq) FROM event WHERE execution_id = ?1")
        .and_then(|mut query| query.query_row([id.0.as_bytes().as_slice()], |row| row.get(0)))
        .unwrap();
    newest.unwrap_or(0) as u64
}

/// Whether an execution is stored and has not ended.
pub fn is_live(reader: &Connection, id: ExecutionId) -> bool {
    let live: i64 = reader
        .prepare_cached(
            "SELECT count(*) FROM execution WHERE id = ?1
             AND status IN ('pending', 'running', 'paused')",
        )
        .and_then(|mut query| query.query_row([id.0.as_bytes().as_slice()], |row| row.get(0)))
        .unwrap();
    live == 1
}

/// Whether the begin of this attempt is stored.
pub fn has_started(reader: &Connection, id: ExecutionId, job: &Job) -> bool {
    let count: i64 = reader
        .prepare_cached(
            "SELECT count(*) FROM event WHERE execution_id = ?1 AND node_id = ?2
             AND kind = 'node:started' AND json_extract(data, '$.attempt') = ?3",
        )
        .and_then(|mut query| {
            query.query_row(
                rusqlite::params![
                    id.0.as_bytes().as_slice(),
                    job.node_id.as_str(),
                    job.attempt
                ],
                |row| row.get(0),
            )
        })
        .unwrap();
    count == 1
}

impl World<'_> {
    /// Looks at what is left when everything has ended.
    pub fn check(&self) {
        let slots = &self.resources.slots;
        assert_eq!(slots.taken(), 0, "slots are still taken");
        assert_eq!(slots.waiting(), 0, "somebody still waits for a slot");
        for (attempt, times) in &self.performed {
            assert_eq!(*times, 1, "attempt {attempt:?} was performed {times} times");
        }
        for &id in &self.ids {
            self.check_execution(id);
        }
        self.check_positions();
    }

    fn check_execution(&self, id: ExecutionId) {
        let base = &*self.base;
        let caller = Caller::system();
        let stored = base.runtime.block_on(base.store.get_execution(&caller, id));
        let Some(stored) = stored.unwrap() else {
            assert_eq!(
                newest_seq(&base.reader, id),
                0,
                "events without an execution"
            );
            return;
        };
        assert!(stored.status.is_terminal(), "{id} has not ended");
        let mut view = Execution {
            seq: 0,
            completed_nodes: 0,
            status: limelight_protocol::ExecutionStatus::Pending,
            node_states: stored
                .node_states
                .iter()
                .map(|state| NodeState::new(state.node_id.clone()))
                .collect(),
            ..stored.clone()
        };
        let events = base.runtime.block_on(base.store.read_stream(
            &caller,
            &Stream::Execution(id),
            0,
            100_000,
        ));
        for committed in events.unwrap() {
            let event: Event = serde_json::from_str(&committed.wire).unwrap();
            assert_eq!(event.seq, view.seq + 1, "{id}: a gap or a double");
            view.apply(&event).unwrap();
        }
        assert_eq!(view.seq, stored.seq, "{id}: events are missing");
        assert_eq!(view.status, stored.status, "{id}: its row lies");
        assert_eq!(
            view.node_states, stored.node_states,
            "{id}: its nodes' rows lie"
        );
    }

    /// Positions have neither a gap nor a double.
    fn check_positions(&self) {
        let reader = &self.base.reader;
        let mut query = reader
            .prepare_cached("SELECT position FROM event WHERE execution_id = ?1")
            .unwrap();
        let mut positions = BTreeSet::new();
        for id in &self.ids {
            let rows = query.query_map([id.0.as_bytes().as_slice()], |row| row.get::<_, i64>(0));
            for position in rows.unwrap() {
                assert!(positions.insert(position.unwrap()), "a position twice");
            }
        }
        let head: i64 = reader
            .query_row("SELECT position FROM journal_head", [], |row| row.get(0))
            .unwrap();
        if let (Some(first), Some(last)) = (positions.first(), positions.last()) {
            assert_eq!(
                last - first + 1,
                positions.len() as i64,
                "a hole in the journal"
            );
            assert_eq!(*last, head, "the head is not the last event's position");
        }
    }
}
