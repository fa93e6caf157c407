//! The journal on SQLite: prepared statements on a connection of its own.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use limelight_protocol::NodeId;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::{
    Outcome, Prepared, Refusal,
    models::{ExecutionRow, Models, NodeRow, TestCaseRow, TestRunRow},
    wire::{EXECUTION, StreamKey},
};
use crate::store::{
    Gate,
    error::{Result, StoreError},
    file_lock::FileLock,
    open::{Synchronous, blob},
    pools::BUSY_TIMEOUT,
    text::{as_word, clean, clean_json},
};

/// Pages of cache, in KiB.
const CACHE_KIB: i64 = 16 * 1024;
/// The write-ahead log is cut back to this after a checkpoint, bytes.
const WAL_LIMIT: i64 = 64 * 1024 * 1024;
const STATEMENTS: usize = 32;

/// The connection while there is one, how to make another, and the gate it shares with the store's other
/// writer.
#[derive(Debug)]
pub struct SqliteJournal {
    connection: Option<Connection>,
    path: PathBuf,
    synchronous: Synchronous,
    gate: Gate,
    /// None once it is closed.
    lock: Option<FileLock>,
}

impl SqliteJournal {
    pub fn open(path: &Path, synchronous: Synchronous, gate: Gate, lock: FileLock) -> Result<Self> {
        let mut journal = Self {
            connection: None,
            path: path.to_owned(),
            synchronous,
            gate,
            lock: Some(lock),
        };
        let connection = journal.take_connection();
        journal.connection = Some(connection.map_err(|error| StoreError::Unwritable {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?);
        Ok(journal)
    }

    pub fn close(&mut self) {
        self.connection = None;
        self.lock = None;
    }

    /// The connection, made anew where there is none. Whoever is done with it puts it back.
    fn take_connection(&mut self) -> Result<Connection> {
        if self.lock.is_none() {
            return Err(StoreError::Lost("the journal is closed".into()));
        }
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let level = match self.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
            Synchronous::Off => "OFF",
        };
        connection.pragma_update(None, "synchronous", level)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "journal_size_limit", WAL_LIMIT)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    }

    /// Works on the connection while nobody else writes. One that failed is not used again, except after
    /// what the database refuses by itself: a transaction that could neither be committed nor rolled
    /// back ends with its connection, whatever state it is in.
    async fn work<T>(&mut self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let _turn = Arc::clone(&self.gate).lock_owned().await;
        let mut connection = self.take_connection()?;
        let result = work(&mut connection);
        let refused = matches!(result, Ok(_) | Err(StoreError::Conflict(_)));
        if refused && connection.is_autocommit() {
            self.connection = Some(connection);
        }
        result
    }

    pub(super) async fn write(&mut self, appends: &[&Prepared]) -> Result<Outcome> {
        let models = Models::of(appends);
        let write = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let refused = refusals(&transaction, appends)?;
            if !refused.is_empty() {
                return Ok(Outcome::Refused(refused));
            }
            let head = insert_events(&transaction, appends)?;
            write_models(&transaction, &models)?;
            transaction.commit()?;
            Ok(Outcome::Written { head })
        };
        self.work(write).await
    }

    /// Writes what changes nothing.
    pub(super) async fn probe(&mut self) -> Result<()> {
        let probe = |connection: &mut Connection| {
            let sql = "UPDATE journal_head SET position = position WHERE id = 1";
            connection.execute(sql, [])?;
            Ok(())
        };
        self.work(probe).await
    }

    /// The positions of the events that stand where these would, and are the same.
    pub(super) async fn positions_of(&mut self, one: &Prepared) -> Result<Vec<u64>> {
        self.work(|connection| positions_of(connection, one)).await
    }
}

fn positions_of(connection: &Connection, one: &Prepared) -> Result<Vec<u64>> {
    if let Some(new) = one.creation() {
        let key = new.idempotency_key.as_ref();
        let made = connection
            .prepare_cached(
                "SELECT 1 FROM execution WHERE id = ?1 AND fence = 1 AND owner = ?2
                 AND idempotency_key IS ?3 AND idempotency_fingerprint IS ?4",
            )?
            .exists(params![
                blob(&one.stream.id),
                new.owner,
                key.map(|key| clean(&key.key)),
                key.map(|key| clean(&key.fingerprint)),
            ])?;
        if !made {
            return Ok(Vec::new());
        }
    }
    let mut same = connection.prepare_cached(
        "SELECT position FROM event WHERE stream_kind = ?1 AND stream_id = ?2 AND seq = ?3
         AND kind = ?4 AND timestamp = ?5 AND node_id IS ?6 AND data = ?7",
    )?;
    let events = one.append.events.iter().zip(&one.data);
    let mut positions = Vec::with_capacity(one.data.len());
    for ((event, data), seq) in events.zip(one.append.first_seq as i64..) {
        let position: Option<i64> = same
            .query_row(
                params![
                    one.stream.kind,
                    blob(&one.stream.id),
                    seq,
                    event.body.kind().as_str(),
                    event.timestamp.0,
                    event.node_id.as_ref().map(NodeId::as_str),
                    data.get(),
                ],
                |row| row.get(0),
            )
            .optional()?;
        positions.extend(position.map(|position| position as u64));
    }
    Ok(positions)
}

/// The appends that do not hold their fence or do not continue their stream.
fn refusals(transaction: &Transaction<'_>, appends: &[&Prepared]) -> Result<Vec<(usize, Refusal)>> {
    let mut newest = transaction
        .prepare_cached("SELECT max(seq) FROM event WHERE stream_kind = ?1 AND stream_id = ?2")?;
    let mut fence = transaction.prepare_cached("SELECT fence FROM execution WHERE id = ?1")?;
    let mut fences: HashMap<StreamKey, Option<u64>> = HashMap::new();
    let mut next: HashMap<StreamKey, u64> = HashMap::new();
    let mut refused = Vec::new();
    for (index, one) in appends.iter().enumerate() {
        if let Some(claimed) = one.append.fence {
            let held = match fences.get(&one.stream) {
                Some(held) => *held,
                None if one.stream.kind == EXECUTION => fence
                    .query_row([blob(&one.stream.id)], |row| row.get::<_, i64>(0))
                    .optional()?
                    .map(|fence| fence as u64),
                None => None,
            };
            fences.insert(one.stream, held);
            if held != Some(claimed) {
                refused.push((index, Refusal::Fenced));
                continue;
            }
        }
        let expected = match next.get(&one.stream) {
            Some(expected) => *expected,
            None => {
                let newest: Option<i64> = newest
                    .query_row(params![one.stream.kind, blob(&one.stream.id)], |row| {
                        row.get(0)
                    })?;
                newest.unwrap_or(0) as u64 + 1
            }
        };
        if one.append.first_seq != expected {
            refused.push((index, Refusal::Misplaced { expected }));
            continue;
        }
        next.insert(one.stream, expected + one.count());
        if one.creation().is_some() {
            fences.insert(one.stream, Some(1));
        }
    }
    Ok(refused)
}

/// Inserts the events and moves the head; gives the head as it was.
fn insert_events(transaction: &Transaction<'_>, appends: &[&Prepared]) -> Result<u64> {
    let head: i64 = transaction
        .prepare_cached("SELECT position FROM journal_head WHERE id = 1")?
        .query_row([], |row| row.get(0))?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO event (position, stream_kind, stream_id, seq, kind, timestamp,
                            workflow_id, execution_id, node_id, data)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let mut position = head;
    for one in appends {
        let append = &one.append;
        let events = append.events.iter().zip(&one.data);
        for ((event, data), seq) in events.zip(append.first_seq as i64..) {
            position += 1;
            insert.execute(params![
                position,
                one.stream.kind,
                blob(&one.stream.id),
                seq,
                event.body.kind().as_str(),
                event.timestamp.0,
                append.workflow_id.as_ref().map(|id| blob(&id.0)),
                append.execution_id.as_ref().map(|id| blob(&id.0)),
                event.node_id.as_ref().map(NodeId::as_str),
                data.get(),
            ])?;
        }
    }
    transaction
        .prepare_cached("UPDATE journal_head SET position = ?1 WHERE id = 1")?
        .execute([position])?;
    Ok(head as u64)
}

fn write_models(transaction: &Transaction<'_>, models: &Models<'_>) -> Result<()> {
    for row in &models.created {
        create_execution(transaction, row)?;
    }
    for row in &models.changed {
        change_execution(transaction, row)?;
    }
    for row in &models.nodes {
        put_node(transaction, row)?;
    }
    for row in &models.test_runs {
        put_test_run(transaction, row)?;
    }
    put_test_cases(transaction, &models.test_cases)
}

fn create_execution(transaction: &Transaction<'_>, row: &ExecutionRow<'_>) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO execution (id, workflow_id, workflow_name, workflow_version, name, labels,
                 status, params, completed_nodes, total_nodes, current_phase, started_at,
                 completed_at, duration_s, started_by, seq, owner, fence, idempotency_key,
                 idempotency_fingerprint)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                     ?18, ?19, ?20)",
        )?
        .execute(params![
            blob(&row.id),
            blob(&row.workflow_id),
            clean(row.workflow_name),
            row.workflow_version,
            row.name.map(clean),
            json(row.labels)?,
            row.status,
            json(row.params)?,
            row.completed_nodes,
            row.total_nodes,
            row.current_phase.map(clean),
            row.started_at,
            row.completed_at,
            row.duration_s,
            clean(row.started_by),
            row.seq as i64,
            row.owner,
            row.fence as i64,
            row.idempotency_key.map(clean),
            row.idempotency_fingerprint.map(clean),
        ])?;
    Ok(())
}

fn change_execution(transaction: &Transaction<'_>, row: &ExecutionRow<'_>) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE execution SET name = ?2, labels = ?3, status = ?4, params = ?5,
                 completed_nodes = ?6, total_nodes = ?7, current_phase = ?8, started_at = ?9,
                 completed_at = ?10, duration_s = ?11, seq = ?12
             WHERE id = ?1",
        )?
        .execute(params![
            blob(&row.id),
            row.name.map(clean),
            json(row.labels)?,
            row.status,
            json(row.params)?,
            row.completed_nodes,
            row.total_nodes,
            row.current_phase.map(clean),
            row.started_at,
            row.completed_at,
            row.duration_s,
            row.seq as i64,
        ])?;
    Ok(())
}

fn put_node(transaction: &Transaction<'_>, row: &NodeRow<'_>) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO node_state (execution_id, node_id, item, ordinal, status, attempt_count,
                 progress, message, started_at, completed_at, duration_s, outputs, artifacts,
                 quality, error_code, error_message, waiting_for, due_at, skip_reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                     ?18, ?19)
             ON CONFLICT (execution_id, node_id, item) DO UPDATE SET
                 ordinal = excluded.ordinal, status = excluded.status,
                 attempt_count = excluded.attempt_count, progress = excluded.progress,
                 message = excluded.message, started_at = excluded.started_at,
                 completed_at = excluded.completed_at, duration_s = excluded.duration_s,
                 outputs = excluded.outputs, artifacts = excluded.artifacts,
                 quality = excluded.quality, error_code = excluded.error_code,
                 error_message = excluded.error_message, waiting_for = excluded.waiting_for,
                 due_at = excluded.due_at, skip_reason = excluded.skip_reason",
        )?
        .execute(params![
            blob(&row.execution_id),
            row.node_id,
            row.item,
            row.ordinal as i64,
            row.status.as_str(),
            row.attempt_count,
            row.progress,
            row.message.map(clean),
            row.started_at,
            row.completed_at,
            row.duration_s,
            json(row.outputs)?,
            json(row.artifacts)?,
            row.quality,
            row.error_code.map(clean),
            row.error_message.map(clean),
            row.waiting_for.as_ref().map(as_word),
            row.due_at,
            row.skip_reason.as_ref().map(as_word),
        ])?;
    Ok(())
}

fn put_test_run(transaction: &Transaction<'_>, row: &TestRunRow<'_>) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO test_run (id, suite, status, passed, failed, skipped, started_at,
                 completed_at, duration_s, error, started_by, seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (id) DO UPDATE SET
                 status = excluded.status, passed = excluded.passed, failed = excluded.failed,
                 skipped = excluded.skipped, completed_at = excluded.completed_at,
                 duration_s = excluded.duration_s, error = excluded.error, seq = excluded.seq",
        )?
        .execute(params![
            blob(&row.id),
            clean(row.suite),
            as_word(&row.status),
            row.passed,
            row.failed,
            row.skipped,
            row.started_at,
            row.completed_at,
            row.duration_s,
            row.error.map(clean),
            clean(row.started_by),
            row.seq as i64,
        ])?;
    Ok(())
}

fn put_test_cases(transaction: &Transaction<'_>, rows: &[TestCaseRow<'_>]) -> Result<()> {
    let mut newest =
        transaction.prepare_cached("SELECT max(ordinal) FROM test_case WHERE test_run_id = ?1")?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO test_case (test_run_id, ordinal, name, status, duration_s, message)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut before: HashMap<&[u8], i64> = HashMap::new();
    for row in rows {
        let run = blob(&row.test_run_id);
        if !before.contains_key(run) {
            let count: Option<i64> = newest.query_row([run], |found| found.get(0))?;
            before.insert(run, count.unwrap_or(0));
        }
        insert.execute(params![
            run,
            before[run] + row.ordinal as i64,
            clean(row.name),
            as_word(&row.status),
            row.duration_s,
            row.message.map(clean),
        ])?;
    }
    Ok(())
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let text = serde_json::to_string(value).map_err(StoreError::corrupt)?;
    Ok(clean_json(text))
}
