//! Test runs and their cases, in the order they ended.

crate::ddl::step! {
    up: "
        CREATE TABLE test_run (
            id {id} NOT NULL PRIMARY KEY,
            suite text NOT NULL,
            status text NOT NULL,
            passed integer NOT NULL,
            failed integer NOT NULL,
            skipped integer NOT NULL,
            started_at bigint NOT NULL,
            completed_at bigint,
            duration_s double precision,
            error text,
            started_by text NOT NULL,
            seq bigint NOT NULL
        );
        CREATE INDEX test_run_status ON test_run (status, id);
        CREATE TABLE test_case (
            test_run_id {id} NOT NULL,
            ordinal integer NOT NULL,
            name text NOT NULL,
            status text NOT NULL,
            duration_s double precision,
            message text,
            PRIMARY KEY (test_run_id, ordinal)
        ) {clustered};
    ",
    down: "
        DROP TABLE test_case;
        DROP TABLE test_run;
    ",
}
