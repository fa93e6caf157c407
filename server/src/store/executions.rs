//! Executions: reading what the journal wrote, and taking them over.

use std::collections::{BTreeMap, HashMap};

use limelight_protocol::{
    Execution, ExecutionId, ExecutionStatus, ExecutionSummary, NodeId, NodeState, Timestamp,
    WorkflowId,
    execution::NodeError,
    rest::{DayCounts, Page},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DerivePartialModel, EntityTrait, FromQueryResult,
    QueryFilter, QueryOrder, QuerySelect, Statement,
    prelude::{Json, Uuid},
    sea_query::{Expr, ExprTrait, Func, LikeExpr, SimpleExpr},
};

use super::{
    Store,
    connection::Transaction,
    entity::{execution, node_state, workflow_version},
    error::{Result, StoreError},
    paging, text,
};
use crate::auth::Caller;

/// Executions that have not ended.
const LIVE: [&str; 3] = ["pending", "running", "paused"];

/// Longest text that is searched for, in bytes. SQLite refuses patterns above 50,000.
const LONGEST_SEARCH: usize = 1024;

/// An execution that was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Which.
    pub id: ExecutionId,
    /// Its new fencing number.
    pub fence: u64,
    /// Its workflow.
    pub workflow_id: WorkflowId,
    /// The version of the workflow that it pins.
    pub workflow_version: u32,
}

/// Which executions a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionFilter {
    /// Those with this status.
    pub status: Option<ExecutionStatus>,
    /// Those of this workflow.
    pub workflow_id: Option<WorkflowId>,
    /// Those whose name or workflow's name holds this, whatever the case; or with this identifier.
    pub search: Option<String>,
}

impl ExecutionFilter {
    fn condition(&self) -> Condition {
        let holds = |column: execution::Column, text: &str| {
            let escaped = text::clean(text)
                .to_lowercase()
                .replace('\\', r"\\")
                .replace('%', r"\%")
                .replace('_', r"\_");
            let pattern = LikeExpr::new(format!("%{escaped}%")).escape('\\');
            SimpleExpr::from(Func::lower(Expr::col(column))).like(pattern)
        };
        Condition::all()
            .add_option(
                self.status
                    .map(|status| execution::Column::Status.eq(status.as_str())),
            )
            .add_option(
                self.workflow_id
                    .map(|id| execution::Column::WorkflowId.eq(id.0)),
            )
            .add_option(self.search.as_deref().map(|text| {
                Condition::any()
                    .add(holds(execution::Column::Name, text))
                    .add(holds(execution::Column::WorkflowName, text))
                    .add_option(
                        Uuid::parse_str(text)
                            .ok()
                            .map(|id| execution::Column::Id.eq(id)),
                    )
            }))
    }
}

impl Store {
    /// Executions, newest first. `total` is not told: it is not cheap.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`], [`StoreError::SearchTooLong`]; and when the database fails.
    pub async fn list_executions(
        &self,
        _caller: &Caller,
        filter: &ExecutionFilter,
        cursor: Option<&str>,
        limit: u64,
    ) -> Result<Page<ExecutionSummary>> {
        if let Some(text) = &filter.search
            && text.len() > LONGEST_SEARCH
        {
            return Err(StoreError::SearchTooLong(LONGEST_SEARCH));
        }
        list_in(self.read(), filter, cursor, limit).await
    }

    /// At most `limit` executions that have not ended, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn live_executions(
        &self,
        _caller: &Caller,
        limit: u64,
    ) -> Result<Vec<ExecutionSummary>> {
        let rows = execution::Entity::find()
            .filter(execution::Column::Status.is_in(LIVE))
            .order_by_desc(execution::Column::Id)
            .limit(limit)
            .into_partial_model::<Row>()
            .all(self.read())
            .await?;
        rows.into_iter().map(Row::summary).collect()
    }

    /// At most `limit` executions that have ended, the latest to end first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ended_executions(
        &self,
        _caller: &Caller,
        limit: u64,
    ) -> Result<Vec<ExecutionSummary>> {
        let rows = execution::Entity::find()
            .filter(execution::Column::CompletedAt.is_not_null())
            .order_by_desc(execution::Column::CompletedAt)
            .limit(limit)
            .into_partial_model::<Row>()
            .all(self.read())
            .await?;
        rows.into_iter().map(Row::summary).collect()
    }

    /// One execution with its node states in definition order, as of one moment: the nodes are what
    /// the events up to its `seq` made of them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn get_execution(
        &self,
        _caller: &Caller,
        id: ExecutionId,
    ) -> Result<Option<Execution>> {
        let moment = self.moment().await?;
        let found = one_in(&moment, id).await?;
        moment.commit().await?;
        Ok(found)
    }

    /// Whether there is such an execution.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_execution(&self, _caller: &Caller, id: ExecutionId) -> Result<bool> {
        let found: Option<Uuid> = execution::Entity::find_by_id(id.0)
            .select_only()
            .column(execution::Column::Id)
            .into_tuple()
            .one(self.read())
            .await?;
        Ok(found.is_some())
    }

    /// Whether an execution has such a node.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_node(&self, _caller: &Caller, id: ExecutionId, node: &NodeId) -> Result<bool> {
        let found: Option<String> = node_state::Entity::find()
            .select_only()
            .column(node_state::Column::NodeId)
            .filter(node_state::Column::ExecutionId.eq(id.0))
            .filter(node_state::Column::NodeId.eq(node.as_str()))
            .into_tuple()
            .one(self.read())
            .await?;
        Ok(found.is_some())
    }

    /// The execution that was started with this key, without node states, and the fingerprint of the
    /// request; none where the execution is older than fingerprints.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn execution_by_idempotency_key(
        &self,
        _caller: &Caller,
        key: &str,
    ) -> Result<Option<(Execution, Option<String>)>> {
        let row = execution::Entity::find()
            .filter(execution::Column::IdempotencyKey.eq(text::clean(key).as_ref()))
            .one(self.read())
            .await?;
        row.map(|mut row| {
            let fingerprint = row.idempotency_fingerprint.take();
            Ok((from_row(row)?, fingerprint))
        })
        .transpose()
    }

    /// Executions that have not ended, oldest first: those to resume after a start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn live_execution_ids(&self) -> Result<Vec<ExecutionId>> {
        self.live_ids(Condition::all()).await
    }

    /// Executions of one workflow that have not ended, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn live_executions_of_workflow(
        &self,
        _caller: &Caller,
        workflow: WorkflowId,
    ) -> Result<Vec<ExecutionId>> {
        let of = execution::Column::WorkflowId.eq(workflow.0);
        self.live_ids(Condition::all().add(of)).await
    }

    async fn live_ids(&self, which: Condition) -> Result<Vec<ExecutionId>> {
        let ids: Vec<Uuid> = execution::Entity::find()
            .select_only()
            .column(execution::Column::Id)
            .filter(execution::Column::Status.is_in(LIVE))
            .filter(which)
            .order_by_asc(execution::Column::Id)
            .into_tuple()
            .all(self.read())
            .await?;
        Ok(ids.into_iter().map(ExecutionId).collect())
    }

    /// Makes `owner` the execution's coordinator and gives its fencing number. Appends with an older
    /// number are refused from here on.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is no such execution; and when the database fails.
    pub async fn claim_execution(&self, id: ExecutionId, owner: &str) -> Result<u64> {
        let writer = self.write().await;
        let claimed = execution::Entity::update_many()
            .col_expr(execution::Column::Owner, Expr::value(owner))
            .col_expr(
                execution::Column::Fence,
                Expr::col(execution::Column::Fence).add(1),
            )
            .filter(execution::Column::Id.eq(id.0))
            .exec_with_returning(&*writer)
            .await?;
        claimed
            .first()
            .map(|row| row.fence as u64)
            .ok_or_else(|| StoreError::Conflict(format!("there is no execution {id}")))
    }

    /// Makes `owner` the coordinator of every execution that has not ended, in one statement, and gives
    /// them, oldest first: those to resume after a start. Appends with older fencing numbers are refused
    /// from here on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_live_executions(&self, owner: &str) -> Result<Vec<Claimed>> {
        let writer = self.write().await;
        let rows = execution::Entity::update_many()
            .col_expr(execution::Column::Owner, Expr::value(owner))
            .col_expr(
                execution::Column::Fence,
                Expr::col(execution::Column::Fence).add(1),
            )
            .filter(execution::Column::Status.is_in(LIVE))
            .exec_with_returning(&*writer)
            .await?;
        let claimed = |row: execution::Model| Claimed {
            id: ExecutionId(row.id),
            fence: row.fence as u64,
            workflow_id: WorkflowId(row.workflow_id),
            workflow_version: row.workflow_version as u32,
        };
        let mut claimed: Vec<_> = rows.into_iter().map(claimed).collect();
        claimed.sort_unstable_by_key(|claimed| claimed.id.0);
        Ok(claimed)
    }

    /// The version of its workflow that an execution pins: workflow, version, source.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pinned_definition(
        &self,
        id: ExecutionId,
    ) -> Result<Option<(WorkflowId, u32, String)>> {
        let Some(row) = execution::Entity::find_by_id(id.0).one(self.read()).await? else {
            return Ok(None);
        };
        let key = (row.workflow_id, row.workflow_version);
        let version = workflow_version::Entity::find_by_id(key)
            .one(self.read())
            .await?;
        Ok(version.map(|found| {
            let workflow = WorkflowId(found.workflow_id);
            (workflow, found.version as u32, found.source)
        }))
    }

    /// How many executions ended since then, by outcome.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn execution_counts_since(
        &self,
        _caller: &Caller,
        since: Timestamp,
    ) -> Result<DayCounts> {
        // As an expression, so that SQLite goes by time and not through the whole index on status.
        let status = Expr::cust("status || ''");
        let rows: Vec<(String, i64)> = execution::Entity::find()
            .select_only()
            .column_as(status.clone(), "status")
            .column_as(execution::Column::Id.count(), "count")
            .filter(execution::Column::CompletedAt.gte(since.0))
            .group_by(status)
            .into_tuple()
            .all(self.read())
            .await?;
        let mut counts = DayCounts::default();
        for (status, count) in rows {
            let count = count as u64;
            match text::word(&status)? {
                ExecutionStatus::Completed => counts.completed = count,
                ExecutionStatus::Failed => counts.failed = count,
                ExecutionStatus::Cancelled => counts.cancelled = count,
                ExecutionStatus::Pending | ExecutionStatus::Running | ExecutionStatus::Paused => {}
            }
        }
        Ok(counts)
    }

    /// The newest execution of each of these workflows.
    pub(super) async fn last_executions(
        &self,
        workflows: &[Uuid],
    ) -> Result<HashMap<Uuid, ExecutionSummary>> {
        if workflows.is_empty() {
            return Ok(HashMap::new());
        }
        // One descent of the index (workflow_id, id) for each, in one query.
        let places: Vec<String> = (1..=workflows.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT {ROW} FROM execution x WHERE x.id IN (
                 SELECT (SELECT n.id FROM execution n WHERE n.workflow_id = w.id
                         ORDER BY n.id DESC LIMIT 1)
                 FROM workflow w WHERE w.id IN ({}))",
            places.join(", ")
        );
        let values: Vec<sea_orm::Value> = workflows.iter().map(|id| (*id).into()).collect();
        let backend = self.read().get_database_backend();
        let rows = Row::find_by_statement(Statement::from_sql_and_values(backend, sql, values))
            .all(self.read())
            .await?;
        rows.into_iter()
            .map(|row| Ok((row.workflow_id, row.summary()?)))
            .collect()
    }
}

/// [`Store::list_executions`] as of a moment.
pub(super) async fn list_in(
    connection: &impl ConnectionTrait,
    filter: &ExecutionFilter,
    cursor: Option<&str>,
    limit: u64,
) -> Result<Page<ExecutionSummary>> {
    let (limit, rows) = paging::rows_for(limit);
    let mut query = execution::Entity::find()
        .filter(filter.condition())
        .order_by_desc(execution::Column::Id)
        .limit(rows);
    if let Some(cursor) = cursor {
        query = query.filter(execution::Column::Id.lt(paging::decode_id(cursor)?));
    }
    let rows = query.into_partial_model::<Row>().all(connection).await?;
    let items = rows.into_iter().map(Row::summary).collect::<Result<_>>()?;
    let place = |last: &ExecutionSummary| last.id.0.as_bytes().to_vec();
    Ok(paging::page(items, limit, None, place))
}

/// [`Store::get_execution`] as of a moment.
pub(super) async fn one_in(moment: &Transaction, id: ExecutionId) -> Result<Option<Execution>> {
    let Some(row) = execution::Entity::find_by_id(id.0).one(moment).await? else {
        return Ok(None);
    };
    let nodes = node_state::Entity::find()
        .filter(node_state::Column::ExecutionId.eq(id.0))
        .order_by_asc(node_state::Column::Ordinal)
        .order_by_asc(node_state::Column::Item)
        .all(moment)
        .await?;
    let mut execution = from_row(row)?;
    execution.node_states = nodes
        .into_iter()
        .map(node_from_row)
        .collect::<Result<_>>()?;
    Ok(Some(execution))
}

/// The columns of [`Row`].
const ROW: &str = "x.id, x.workflow_id, x.workflow_name, x.workflow_version, x.name, x.labels, \
    x.status, x.completed_nodes, x.total_nodes, x.current_phase, x.started_at, x.completed_at, \
    x.duration_s, x.started_by, x.seq";

/// What lists read of an execution: parameters stay where they are.
#[derive(DerivePartialModel)]
#[sea_orm(entity = "execution::Entity", from_query_result)]
struct Row {
    id: Uuid,
    workflow_id: Uuid,
    workflow_name: String,
    workflow_version: i32,
    name: Option<String>,
    labels: Json,
    status: String,
    completed_nodes: i32,
    total_nodes: i32,
    current_phase: Option<String>,
    started_at: Option<i64>,
    completed_at: Option<i64>,
    duration_s: Option<f64>,
    started_by: String,
    seq: i64,
}

impl Row {
    fn summary(self) -> Result<ExecutionSummary> {
        let id = ExecutionId(self.id);
        Ok(ExecutionSummary {
            id,
            execution_id: id,
            workflow_id: WorkflowId(self.workflow_id),
            workflow_name: self.workflow_name,
            workflow_version: self.workflow_version as u32,
            name: self.name,
            labels: serde_json::from_value(self.labels).map_err(StoreError::corrupt)?,
            status: text::word(&self.status)?,
            completed_nodes: self.completed_nodes as u32,
            total_nodes: self.total_nodes as u32,
            current_phase: self.current_phase,
            started_at: self.started_at.map(Timestamp),
            completed_at: self.completed_at.map(Timestamp),
            duration_s: self.duration_s,
            started_by: self.started_by,
            seq: self.seq as u64,
        })
    }
}

fn from_row(row: execution::Model) -> Result<Execution> {
    let id = ExecutionId(row.id);
    let labels: BTreeMap<String, String> =
        serde_json::from_value(row.labels).map_err(StoreError::corrupt)?;
    Ok(Execution {
        id,
        execution_id: id,
        workflow_id: WorkflowId(row.workflow_id),
        workflow_name: row.workflow_name,
        workflow_version: row.workflow_version as u32,
        name: row.name,
        labels,
        status: text::word(&row.status)?,
        params: serde_json::from_value(row.params).map_err(StoreError::corrupt)?,
        completed_nodes: row.completed_nodes as u32,
        total_nodes: row.total_nodes as u32,
        current_phase: row.current_phase,
        started_at: row.started_at.map(Timestamp),
        completed_at: row.completed_at.map(Timestamp),
        duration_s: row.duration_s,
        started_by: row.started_by,
        seq: row.seq as u64,
        node_states: Vec::new(),
    })
}

fn node_from_row(row: node_state::Model) -> Result<NodeState> {
    let node_id = NodeId::new(&row.node_id)
        .ok_or_else(|| StoreError::corrupt(format!("node {:?}", row.node_id)))?;
    Ok(NodeState {
        node_id,
        status: text::word(&row.status)?,
        attempt_count: row.attempt_count as u32,
        progress: row.progress,
        message: row.message,
        started_at: row.started_at.map(Timestamp),
        completed_at: row.completed_at.map(Timestamp),
        duration_s: row.duration_s,
        outputs: serde_json::from_value(row.outputs).map_err(StoreError::corrupt)?,
        artifacts: serde_json::from_value(row.artifacts).map_err(StoreError::corrupt)?,
        quality: row.quality,
        error: row.error_code.map(|code| NodeError {
            code,
            message: row.error_message.unwrap_or_default(),
        }),
        waiting_for: row.waiting_for.as_deref().map(text::word).transpose()?,
        due_at: row.due_at.map(Timestamp),
        skip_reason: row.skip_reason.as_deref().map(text::word).transpose()?,
    })
}
