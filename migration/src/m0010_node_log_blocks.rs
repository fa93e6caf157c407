//! Output of nodes, a row for many lines: a row each cost more than the lines. `lines` is a JSON array
//! of `[milliseconds after timestamp, source, text]`; `source` is 1 for standard output, 2 for standard
//! error, 3 for Limelight itself. The lines of a block belong to one attempt, and have the numbers
//! from `first_seq` to `last_seq`.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DatabaseBackend},
};

/// Blocks of the lines there are: each run of lines of one attempt, 64 a block.
const UP: &str = "
    CREATE TABLE node_log_block (
        execution_id {id} NOT NULL,
        node_id {name} NOT NULL,
        first_seq bigint NOT NULL,
        last_seq bigint NOT NULL,
        attempt integer NOT NULL,
        timestamp bigint NOT NULL,
        lines text NOT NULL,
        PRIMARY KEY (execution_id, node_id, first_seq)
    );
    INSERT INTO node_log_block
    SELECT execution_id, node_id, min(seq), max(seq), attempt, min(begun), {array}
    FROM (
        SELECT *, min(timestamp) OVER (PARTITION BY execution_id, node_id, attempt, run, block) AS begun
        FROM (
            SELECT *, (number - 1) / 64 AS block
            FROM (
                SELECT *, row_number() OVER (
                    PARTITION BY execution_id, node_id, attempt, run ORDER BY seq
                ) AS number
                FROM (
                    SELECT *, seq - row_number() OVER (
                        PARTITION BY execution_id, node_id, attempt ORDER BY seq
                    ) AS run
                    FROM node_log
                ) AS runs
            ) AS numbered
        ) AS blocks
    ) AS begun
    GROUP BY execution_id, node_id, attempt, run, block;
    DROP TABLE node_log;
    ALTER TABLE node_log_block RENAME TO node_log;
";

const DOWN: &str = "
    CREATE TABLE node_log_line (
        execution_id {id} NOT NULL,
        node_id {name} NOT NULL,
        seq bigint NOT NULL,
        timestamp bigint NOT NULL,
        attempt integer NOT NULL,
        source smallint NOT NULL,
        line text NOT NULL,
        PRIMARY KEY (execution_id, node_id, seq)
    ) {clustered};
    INSERT INTO node_log_line
    {rows};
    DROP TABLE node_log;
    ALTER TABLE node_log_line RENAME TO node_log;
";

/// What only one of the databases understands: an array of lines, and its rows.
struct Dialect {
    array: &'static str,
    rows: &'static str,
}

const SQLITE: Dialect = Dialect {
    array: "json_group_array(json_array(timestamp - begun, source, line) ORDER BY seq)",
    rows: "
        SELECT execution_id, node_id, first_seq + entry.key, timestamp + json_extract(entry.value, '$[0]'),
            attempt, json_extract(entry.value, '$[1]'), json_extract(entry.value, '$[2]')
        FROM node_log, json_each(node_log.lines) AS entry",
};

const POSTGRES: Dialect = Dialect {
    array: "json_agg(json_build_array(timestamp - begun, source, line) ORDER BY seq)::text",
    rows: "
        SELECT execution_id, node_id, first_seq + entry.number - 1,
            timestamp + (entry.value ->> 0)::bigint, attempt, (entry.value ->> 1)::smallint,
            entry.value ->> 2
        FROM node_log, json_array_elements(node_log.lines::json) WITH ORDINALITY AS entry(value, number)",
};

#[derive(DeriveMigrationName)]
pub struct Migration;

impl Migration {
    async fn run(manager: &SchemaManager<'_>, text: &str) -> Result<(), DbErr> {
        let Dialect { array, rows } = match manager.get_connection().get_database_backend() {
            DatabaseBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        let text = text.replace("{array}", array).replace("{rows}", rows);
        crate::ddl::run(manager, &text).await
    }
}

// async_trait needs the signatures as the trait writes them.
#[allow(elided_lifetimes_in_paths)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Self::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Self::run(manager, DOWN).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
