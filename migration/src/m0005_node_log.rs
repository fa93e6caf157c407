//! Output of nodes, a row a line. `source` is 1 for standard output, 2 for standard error, 3 for
//! Limelight itself.

crate::ddl::step! {
    up: "
        CREATE TABLE node_log (
            execution_id {id} NOT NULL,
            node_id {name} NOT NULL,
            seq bigint NOT NULL,
            timestamp bigint NOT NULL,
            attempt integer NOT NULL,
            source smallint NOT NULL,
            line text NOT NULL,
            PRIMARY KEY (execution_id, node_id, seq)
        ) {clustered};
    ",
    down: "DROP TABLE node_log;",
}
