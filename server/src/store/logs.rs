//! Output of nodes, many lines a row ([`block`]); a line's event is made when it is appended or read.

use std::sync::Arc;

use limelight_protocol::{EventType, ExecutionId, NodeId, Stream, Timestamp, event::LogLine};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::{
    Store, bigint,
    entity::node_log,
    error::{Result, StoreError},
    journal::{CommittedEvent, wire::Parts},
};
use crate::auth::Caller;

mod block;

/// Rows of one statement: both databases limit the number of its parameters.
const ROWS_AT_ONCE: usize = 1000;

impl Store {
    /// Appends lines to a node's log; the first gets `first_seq`. Lines that are there already, with
    /// these very numbers, are not written again: who does not know whether an append was committed
    /// may repeat it.
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
        let blocks = block::cut(execution, node, bigint(first_seq), lines)?;
        let writer = self.write().await;
        let transaction = writer.begin().await?;
        let last = newest_seq(&transaction, execution, node).await?;
        if first_seq != last + 1 {
            if are_there(&transaction, &blocks).await? {
                return committed(blocks, first_seq - 1, usize::MAX);
            }
            return Err(StoreError::Conflict(format!(
                "the log of {execution}/{node} goes on at {}, not at {first_seq}",
                last + 1
            )));
        }
        for rows in blocks.chunks(ROWS_AT_ONCE) {
            let rows = rows.iter().map(|row| row.clone().into_active_model());
            node_log::Entity::insert_many(rows)
                .exec_without_returning(&transaction)
                .await?;
        }
        transaction.commit().await?;
        committed(blocks, first_seq - 1, usize::MAX)
    }

    /// At most `limit` lines after `after_seq`, oldest first; fewer only at the log's end.
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
        let connection = self.read();
        let next = bigint(after_seq).saturating_add(1);
        let first: Option<i64> = of(execution, node)
            .select_only()
            .column(node_log::Column::FirstSeq)
            .filter(node_log::Column::FirstSeq.lte(next))
            .order_by_desc(node_log::Column::FirstSeq)
            .limit(1)
            .into_tuple()
            .one(connection)
            .await?;
        // Numbers have no gap, so what lies between holds the page and little more.
        let blocks = of(execution, node)
            .filter(node_log::Column::FirstSeq.gte(first.unwrap_or(next)))
            .filter(node_log::Column::FirstSeq.lt(next.saturating_add(bigint(limit))))
            .order_by_asc(node_log::Column::FirstSeq)
            .all(connection)
            .await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        committed(blocks, after_seq, limit)
    }

    /// `seq` of the newest line; 0 when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_log_seq(&self, execution: ExecutionId, node: &NodeId) -> Result<u64> {
        newest_seq(self.read(), execution, node).await
    }
}

fn of(execution: ExecutionId, node: &NodeId) -> sea_orm::Select<node_log::Entity> {
    node_log::Entity::find()
        .filter(node_log::Column::ExecutionId.eq(execution.0))
        .filter(node_log::Column::NodeId.eq(node.as_str()))
}

async fn newest_seq(
    connection: &impl ConnectionTrait,
    execution: ExecutionId,
    node: &NodeId,
) -> Result<u64> {
    let newest: Option<i64> = of(execution, node)
        .select_only()
        .column(node_log::Column::LastSeq)
        .order_by_desc(node_log::Column::FirstSeq)
        .limit(1)
        .into_tuple()
        .one(connection)
        .await?;
    Ok(newest.unwrap_or(0) as u64)
}

/// Whether these very rows were committed before.
async fn are_there(connection: &impl ConnectionTrait, blocks: &[node_log::Model]) -> Result<bool> {
    for block in blocks {
        let key = (block.execution_id, block.node_id.clone(), block.first_seq);
        let stored = node_log::Entity::find_by_id(key).one(connection).await?;
        if stored.as_ref() != Some(block) {
            return Ok(false);
        }
    }
    Ok(!blocks.is_empty())
}

/// The events of the lines after `after_seq`, `limit` at most.
fn committed(
    blocks: Vec<node_log::Model>,
    after_seq: u64,
    limit: usize,
) -> Result<Vec<Arc<CommittedEvent>>> {
    let mut events = Vec::new();
    for block in blocks {
        let execution = ExecutionId(block.execution_id);
        let node = NodeId::new(&block.node_id)
            .ok_or_else(|| StoreError::corrupt(format!("log of {:?}", block.node_id)))?;
        let stream = Stream::Log(execution, node);
        for (seq, timestamp, line) in block::lines(&block)? {
            if seq <= after_seq {
                continue;
            }
            if events.len() == limit {
                return Ok(events);
            }
            let data = serde_json::to_string(&line).map_err(StoreError::corrupt)?;
            events.push(Arc::new(CommittedEvent::new(&Parts {
                position: seq,
                stream: &stream,
                seq,
                kind: EventType::NodeLog,
                timestamp,
                workflow_id: None,
                execution_id: Some(execution),
                node_id: Some(&block.node_id),
                data: &data,
            })));
        }
    }
    Ok(events)
}
