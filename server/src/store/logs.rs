//! Output of nodes. A row a line, without JSON; the event is made when it is appended or read.

use std::sync::Arc;

use limelight_protocol::{
    EventType, ExecutionId, NodeId, Stream, Timestamp,
    event::{LogLine, LogSource},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};

use super::{
    Store, bigint,
    entity::node_log,
    error::{Result, StoreError},
    journal::{CommittedEvent, wire::Parts},
    text,
};
use crate::auth::Caller;

/// Rows of one statement: both databases limit the number of its parameters.
const CHUNK: usize = 1000;

impl Store {
    /// Appends lines to a node's log; the first gets `first_seq`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when `first_seq` does not continue the log, and then nothing is
    /// written; and when the database fails.
    pub async fn append_log(
        &self,
        execution: ExecutionId,
        node: &NodeId,
        first_seq: u64,
        lines: &[(Timestamp, LogLine)],
    ) -> Result<Vec<Arc<CommittedEvent>>> {
        let rows: Vec<node_log::Model> = lines
            .iter()
            .zip(bigint(first_seq)..)
            .map(|((timestamp, line), seq)| node_log::Model {
                execution_id: execution.0,
                node_id: node.as_str().to_owned(),
                seq,
                timestamp: timestamp.0,
                attempt: line.attempt as i32,
                source: source_number(line.source),
                line: text::clean(&line.line).into_owned(),
            })
            .collect();
        let writer = self.write().await;
        let transaction = writer.begin().await?;
        let last = newest_seq(&transaction, execution, node).await?;
        if first_seq != last + 1 {
            return Err(StoreError::Conflict(format!(
                "the log of {execution}/{node} goes on at {}, not at {first_seq}",
                last + 1
            )));
        }
        for chunk in rows.chunks(CHUNK) {
            let models = chunk.iter().map(|row| node_log::ActiveModel {
                execution_id: Set(row.execution_id),
                node_id: Set(row.node_id.clone()),
                seq: Set(row.seq),
                timestamp: Set(row.timestamp),
                attempt: Set(row.attempt),
                source: Set(row.source),
                line: Set(row.line.clone()),
            });
            node_log::Entity::insert_many(models)
                .exec_without_returning(&transaction)
                .await?;
        }
        transaction.commit().await?;
        committed(execution, node, rows)
    }

    /// At most `limit` lines after `after_seq`, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read_log(
        &self,
        _caller: &Caller,
        execution: ExecutionId,
        node: &NodeId,
        after_seq: u64,
        limit: u64,
    ) -> Result<Vec<Arc<CommittedEvent>>> {
        let rows = node_log::Entity::find()
            .filter(node_log::Column::ExecutionId.eq(execution.0))
            .filter(node_log::Column::NodeId.eq(node.as_str()))
            .filter(node_log::Column::Seq.gt(bigint(after_seq)))
            .order_by_asc(node_log::Column::Seq)
            .limit(limit)
            .all(self.read())
            .await?;
        committed(execution, node, rows)
    }

    /// `seq` of the newest line; 0 when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_log_seq(&self, execution: ExecutionId, node: &NodeId) -> Result<u64> {
        newest_seq(self.read(), execution, node).await
    }
}

async fn newest_seq(
    connection: &impl ConnectionTrait,
    execution: ExecutionId,
    node: &NodeId,
) -> Result<u64> {
    let newest: Option<i64> = node_log::Entity::find()
        .select_only()
        .column(node_log::Column::Seq)
        .filter(node_log::Column::ExecutionId.eq(execution.0))
        .filter(node_log::Column::NodeId.eq(node.as_str()))
        .order_by_desc(node_log::Column::Seq)
        .limit(1)
        .into_tuple()
        .one(connection)
        .await?;
    Ok(newest.unwrap_or(0) as u64)
}

fn committed(
    execution: ExecutionId,
    node: &NodeId,
    rows: Vec<node_log::Model>,
) -> Result<Vec<Arc<CommittedEvent>>> {
    let stream = Stream::Log(execution, node.clone());
    rows.into_iter()
        .map(|row| {
            let line = LogLine {
                attempt: row.attempt as u32,
                source: source_of(row.source)?,
                line: row.line,
            };
            let data = serde_json::to_string(&line).map_err(StoreError::corrupt)?;
            Ok(Arc::new(CommittedEvent::new(&Parts {
                position: row.seq as u64,
                stream: &stream,
                seq: row.seq as u64,
                kind: EventType::NodeLog,
                timestamp: Timestamp(row.timestamp),
                workflow_id: None,
                execution_id: Some(execution),
                node_id: Some(node.as_str()),
                data: &data,
            })))
        })
        .collect()
}

const fn source_number(source: LogSource) -> i16 {
    match source {
        LogSource::Stdout => 1,
        LogSource::Stderr => 2,
        LogSource::System => 3,
    }
}

fn source_of(number: i16) -> Result<LogSource> {
    match number {
        1 => Ok(LogSource::Stdout),
        2 => Ok(LogSource::Stderr),
        3 => Ok(LogSource::System),
        other => Err(StoreError::corrupt(format!("log source {other}"))),
    }
}
