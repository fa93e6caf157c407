//! Executions and the state of their nodes: what the journal's events add up to. Written by the
//! journal in the transaction of the events, so there is no foreign key for the database to check.
//!
//! Identifiers are UUIDv7, so ordering by `id` is ordering by age. A node instance is keyed by node
//! and item; `item` is empty for a node that is not repeated. `ordinal` is its place in the definition.

crate::ddl::step! {
    up: "
        CREATE TABLE execution (
            id {id} NOT NULL PRIMARY KEY,
            workflow_id {id} NOT NULL,
            workflow_name text NOT NULL,
            workflow_version integer NOT NULL,
            name text,
            labels {json} NOT NULL,
            status text NOT NULL,
            params {json} NOT NULL,
            completed_nodes integer NOT NULL,
            total_nodes integer NOT NULL,
            current_phase text,
            started_at bigint,
            completed_at bigint,
            duration_s double precision,
            started_by text NOT NULL,
            seq bigint NOT NULL,
            owner text NOT NULL,
            fence bigint NOT NULL,
            idempotency_key text UNIQUE
        );
        CREATE INDEX execution_status ON execution (status, id);
        CREATE INDEX execution_workflow ON execution (workflow_id, id);
        CREATE INDEX execution_workflow_status ON execution (workflow_id, status, id);
        CREATE INDEX execution_completed_at ON execution (completed_at, status)
            WHERE completed_at IS NOT NULL;
        CREATE TABLE node_state (
            execution_id {id} NOT NULL,
            node_id {name} NOT NULL,
            item {name} NOT NULL,
            ordinal integer NOT NULL,
            status text NOT NULL,
            attempt_count integer NOT NULL,
            progress double precision,
            message text,
            started_at bigint,
            completed_at bigint,
            duration_s double precision,
            outputs {json} NOT NULL,
            artifacts {json} NOT NULL,
            quality double precision,
            error_code text,
            error_message text,
            waiting_for text,
            due_at bigint,
            skip_reason text,
            PRIMARY KEY (execution_id, node_id, item)
        ) {clustered};
    ",
    down: "
        DROP TABLE node_state;
        DROP TABLE execution;
    ",
}
