//! The journal: every event in commit order, and its head.
//!
//! `stream_kind` is 1 for an execution and 2 for a test run; `stream_id` is that thing's identifier.
//! Test events are few among many, so that their topic has an index of its own. The plus sign in it, and
//! in the queries that go by position, keeps SQLite from taking `event_stream` and sorting.

crate::ddl::step! {
    up: "
        CREATE TABLE event (
            position {rowid} NOT NULL PRIMARY KEY,
            stream_kind smallint NOT NULL,
            stream_id {id} NOT NULL,
            seq bigint NOT NULL,
            kind text NOT NULL,
            timestamp bigint NOT NULL,
            workflow_id {id},
            execution_id {id},
            node_id text,
            data {json} NOT NULL
        );
        CREATE UNIQUE INDEX event_stream ON event (stream_kind, stream_id, seq);
        CREATE INDEX event_workflow ON event (workflow_id, position) WHERE workflow_id IS NOT NULL;
        CREATE INDEX event_test ON event (position) WHERE +stream_kind = 2;
        CREATE TABLE journal_head (
            id integer NOT NULL PRIMARY KEY CHECK (id = 1),
            epoch text NOT NULL,
            position bigint NOT NULL
        );
    ",
    down: "
        DROP TABLE journal_head;
        DROP TABLE event;
    ",
}
