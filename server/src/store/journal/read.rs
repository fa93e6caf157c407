//! Reading the journal.

use std::sync::Arc;

use limelight_protocol::{Stream, Topic};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, SimpleExpr},
};

use super::{
    CommittedEvent,
    wire::{self, EXECUTION, StreamKey, TEST_RUN},
};
use crate::{
    auth::Caller,
    store::{
        Store, bigint,
        entity::{event, journal_head},
        error::{Result, StoreError},
    },
};

impl Store {
    /// The newest position; 0 when the journal is empty.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn head(&self) -> Result<u64> {
        head_in(self.read()).await
    }

    /// At most `limit` events of a topic after a position, oldest first. For the topics outside the
    /// journal (logs, metrics) the position is their `seq`; `actors` has no events.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read_topic(
        &self,
        caller: &Caller,
        topic: &Topic,
        after_position: u64,
        limit: u64,
    ) -> Result<Vec<Arc<CommittedEvent>>> {
        let stream = match topic {
            Topic::Execution(id) => Stream::Execution(*id),
            Topic::TestRun(id) => Stream::TestRun(*id),
            Topic::Log(execution, node) => Stream::Log(*execution, node.clone()),
            Topic::Metrics => Stream::Metrics,
            Topic::Actors => return Ok(Vec::new()),
            Topic::Executions => {
                return self.after(of_kind(EXECUTION), after_position, limit).await;
            }
            Topic::Tests => {
                return self.after(of_kind(TEST_RUN), after_position, limit).await;
            }
            Topic::Workflow(id) => {
                let workflow = event::Column::WorkflowId.eq(id.0);
                return self.after(workflow, after_position, limit).await;
            }
        };
        let after_seq = match StreamKey::of(&stream) {
            Some(key) => self.seq_at(key, after_position).await?,
            None => after_position,
        };
        self.read_stream(caller, &stream, after_seq, limit).await
    }

    /// At most `limit` events of a stream with `seq` above `after_seq`, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read_stream(
        &self,
        caller: &Caller,
        stream: &Stream,
        after_seq: u64,
        limit: u64,
    ) -> Result<Vec<Arc<CommittedEvent>>> {
        let key = match stream {
            Stream::Log(execution, node) => {
                return self
                    .read_log(caller, *execution, node, after_seq, limit)
                    .await;
            }
            Stream::Metrics => return self.samples_after(after_seq, limit).await,
            Stream::Execution(_) | Stream::TestRun(_) => {
                StreamKey::of(stream).ok_or_else(|| StoreError::corrupt(stream))?
            }
        };
        let rows = event::Entity::find()
            .filter(of_stream(key))
            .filter(event::Column::Seq.gt(bigint(after_seq)))
            .order_by_asc(event::Column::Seq)
            .limit(limit)
            .all(self.read())
            .await?;
        committed(&rows)
    }

    async fn after(
        &self,
        which: SimpleExpr,
        position: u64,
        limit: u64,
    ) -> Result<Vec<Arc<CommittedEvent>>> {
        let rows = event::Entity::find()
            .filter(which)
            .filter(event::Column::Position.gt(bigint(position)))
            .order_by_asc(event::Column::Position)
            .limit(limit)
            .all(self.read())
            .await?;
        committed(&rows)
    }

    /// `seq` of the stream's last event that is not after `position`; 0 when there is none.
    ///
    /// A cursor is nearly always an event of the stream itself, found at once. Else, since positions
    /// rise with `seq`, halving finds it in a few steps and no index on both is needed.
    async fn seq_at(&self, key: StreamKey, position: u64) -> Result<u64> {
        if position == 0 {
            return Ok(0);
        }
        let here = event::Entity::find_by_id(bigint(position))
            .one(self.read())
            .await?;
        if let Some(row) = here.filter(|row| (row.stream_kind, row.stream_id) == (key.kind, key.id))
        {
            return Ok(row.seq as u64);
        }
        let (mut low, mut high) = (0, self.newest_seq(key).await?);
        while low < high {
            let middle = high - (high - low) / 2;
            match self.position_of(key, middle).await? {
                Some(found) if found > bigint(position) => high = middle - 1,
                _ => low = middle,
            }
        }
        Ok(low as u64)
    }

    async fn newest_seq(&self, key: StreamKey) -> Result<i64> {
        let newest: Option<i64> = event::Entity::find()
            .select_only()
            .column(event::Column::Seq)
            .filter(of_stream(key))
            .order_by_desc(event::Column::Seq)
            .into_tuple()
            .one(self.read())
            .await?;
        Ok(newest.unwrap_or(0))
    }

    async fn position_of(&self, key: StreamKey, seq: i64) -> Result<Option<i64>> {
        Ok(event::Entity::find()
            .select_only()
            .column(event::Column::Position)
            .filter(of_stream(key))
            .filter(event::Column::Seq.eq(seq))
            .into_tuple()
            .one(self.read())
            .await?)
    }
}

/// [`Store::head`] as of a moment.
pub(in crate::store) async fn head_in(connection: &impl ConnectionTrait) -> Result<u64> {
    let head = journal_head::Entity::find_by_id(1).one(connection).await?;
    head.map(|head| head.position as u64)
        .ok_or_else(|| StoreError::corrupt("the journal has no head"))
}

/// Written out, as the index on a part of the table is; the plus sign rules the index on streams out,
/// from which SQLite would have to sort.
fn of_kind(kind: i16) -> SimpleExpr {
    Expr::cust(format!("+stream_kind = {kind}"))
}

fn of_stream(StreamKey { kind, id }: StreamKey) -> Condition {
    Condition::all()
        .add(event::Column::StreamKind.eq(kind))
        .add(event::Column::StreamId.eq(id))
}

fn committed(rows: &[event::Model]) -> Result<Vec<Arc<CommittedEvent>>> {
    rows.iter()
        .map(|row| wire::from_row(row).map(Arc::new))
        .collect()
}
