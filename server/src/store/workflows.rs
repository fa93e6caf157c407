//! Workflows and their versions.

use limelight_protocol::{
    ExecutionSummary, Timestamp, WorkflowId,
    rest::Page,
    workflow::{Workflow, WorkflowVersion},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Set, sea_query::Expr,
};

use super::{
    Store,
    entity::{workflow, workflow_version},
    error::{Result, StoreError},
    paging, text,
};
use crate::auth::Caller;

/// A workflow to be made, with its first version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWorkflow {
    /// Its identifier (UUIDv7).
    pub id: WorkflowId,
    /// Its name, which no other may have.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The definition as its author wrote it.
    pub source: String,
    /// How many nodes it has.
    pub node_count: u32,
    /// The time.
    pub now: Timestamp,
}

/// A version to be added to a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVersion {
    /// The workflow's name from now on.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The definition as its author wrote it.
    pub source: String,
    /// How many nodes it has.
    pub node_count: u32,
    /// The time.
    pub now: Timestamp,
}

/// One version in full.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVersion {
    /// What a list says; `version` and `node_count` are of the version asked for.
    pub workflow: Workflow,
    /// The definition as its author wrote it.
    pub source: String,
}

impl Store {
    /// How many workflows there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_workflows(&self, _caller: &Caller) -> Result<u64> {
        let present = workflow::Entity::find().filter(workflow::Column::DeletedAt.is_null());
        Ok(present.count(self.read()).await?)
    }

    /// Makes a workflow with version 1.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`]; and when the database fails.
    pub async fn create_workflow(&self, caller: &Caller, new: NewWorkflow) -> Result<Workflow> {
        let writer = self.write().await;
        let transaction = writer.begin().await?;
        let row = workflow::Model {
            id: new.id.0,
            name: text::clean(&new.name).into_owned(),
            description: text::clean(&new.description).into_owned(),
            version: 1,
            node_count: new.node_count as i32,
            created_at: new.now.0,
            updated_at: new.now.0,
            deleted_at: None,
        };
        workflow::Entity::insert(workflow::ActiveModel::from(row.clone()))
            .exec_without_returning(&transaction)
            .await
            .map_err(|error| name_taken(error.into(), &row.name))?;
        insert_version(&transaction, &row, &new.source, caller).await?;
        transaction.commit().await?;
        Ok(from_row(row, None))
    }

    /// Adds a version to a workflow. None when there is no such workflow.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`]; and when the database fails.
    pub async fn add_workflow_version(
        &self,
        caller: &Caller,
        id: WorkflowId,
        new: NewVersion,
    ) -> Result<Option<Workflow>> {
        let writer = self.write().await;
        let transaction = writer.begin().await?;
        let name = text::clean(&new.name).into_owned();
        // The update comes first: it locks the row against another who adds a version.
        let updated = workflow::Entity::update_many()
            .col_expr(workflow::Column::Name, Expr::value(name.clone()))
            .col_expr(
                workflow::Column::Description,
                Expr::value(text::clean(&new.description).into_owned()),
            )
            .col_expr(workflow::Column::Version, Expr::cust("version + 1"))
            .col_expr(
                workflow::Column::NodeCount,
                Expr::value(new.node_count as i32),
            )
            .col_expr(workflow::Column::UpdatedAt, Expr::value(new.now.0))
            .filter(workflow::Column::Id.eq(id.0))
            .filter(workflow::Column::DeletedAt.is_null())
            .exec_with_returning(&transaction)
            .await
            .map_err(|error| name_taken(error.into(), &name))?;
        let Some(row) = updated.into_iter().next() else {
            return Ok(None);
        };
        insert_version(&transaction, &row, &new.source, caller).await?;
        transaction.commit().await?;
        drop(writer);
        self.with_last_execution(row).await.map(Some)
    }

    /// Workflows by name, each with its newest execution.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`]; and when the database fails.
    pub async fn list_workflows(
        &self,
        _caller: &Caller,
        cursor: Option<&str>,
        limit: u64,
    ) -> Result<Page<Workflow>> {
        let (limit, rows) = paging::rows_for(limit);
        let present = workflow::Entity::find().filter(workflow::Column::DeletedAt.is_null());
        let total = present.clone().count(self.read()).await?;
        let mut query = present.order_by_asc(workflow::Column::Name).limit(rows);
        if let Some(cursor) = cursor {
            query = query.filter(workflow::Column::Name.gt(paging::decode_name(cursor)?));
        }
        let rows = query.all(self.read()).await?;
        let page = paging::page(rows, limit, Some(total), |last: &workflow::Model| {
            last.name.clone().into_bytes()
        });
        let ids: Vec<_> = page.items.iter().map(|row| row.id).collect();
        let mut newest = self.last_executions(&ids).await?;
        let items = page
            .items
            .into_iter()
            .map(|row| {
                let last = newest.remove(&row.id);
                from_row(row, last)
            })
            .collect();
        Ok(Page {
            items,
            next_cursor: page.next_cursor,
            total: page.total,
        })
    }

    /// One workflow with its newest execution.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn get_workflow(&self, _caller: &Caller, id: WorkflowId) -> Result<Option<Workflow>> {
        let row = workflow::Entity::find_by_id(id.0)
            .filter(workflow::Column::DeletedAt.is_null())
            .one(self.read())
            .await?;
        match row {
            Some(row) => self.with_last_execution(row).await.map(Some),
            None => Ok(None),
        }
    }

    /// One version of a workflow, the newest when none is named.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn get_workflow_version(
        &self,
        caller: &Caller,
        id: WorkflowId,
        version: Option<u32>,
    ) -> Result<Option<StoredVersion>> {
        let Some(mut workflow) = self.get_workflow(caller, id).await? else {
            return Ok(None);
        };
        let version = version.unwrap_or(workflow.version);
        let Ok(number) = i32::try_from(version) else {
            return Ok(None);
        };
        let row = workflow_version::Entity::find_by_id((id.0, number))
            .one(self.read())
            .await?;
        Ok(row.map(|row| {
            workflow.version = version;
            workflow.node_count = row.node_count as u32;
            StoredVersion {
                workflow,
                source: row.source,
            }
        }))
    }

    /// The workflow of this name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_workflow_by_name(
        &self,
        _caller: &Caller,
        name: &str,
    ) -> Result<Option<Workflow>> {
        let row = workflow::Entity::find()
            .filter(workflow::Column::Name.eq(text::clean(name).as_ref()))
            .filter(workflow::Column::DeletedAt.is_null())
            .one(self.read())
            .await?;
        match row {
            Some(row) => self.with_last_execution(row).await.map(Some),
            None => Ok(None),
        }
    }

    /// The versions of a workflow, newest first. Empty when there is no such workflow.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn workflow_versions(
        &self,
        caller: &Caller,
        id: WorkflowId,
    ) -> Result<Vec<WorkflowVersion>> {
        if self.get_workflow(caller, id).await?.is_none() {
            return Ok(Vec::new());
        }
        let rows = workflow_version::Entity::find()
            .filter(workflow_version::Column::WorkflowId.eq(id.0))
            .order_by_desc(workflow_version::Column::Version)
            .all(self.read())
            .await?;
        let version = |row: workflow_version::Model| WorkflowVersion {
            version: row.version as u32,
            created_at: Timestamp(row.created_at),
            created_by: row.created_by,
            node_count: row.node_count as u32,
        };
        Ok(rows.into_iter().map(version).collect())
    }

    /// Deletes a workflow: it is not found any more and its name is free; its executions stay. False
    /// when there is no such workflow.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] while executions of it are live; and when the database fails.
    pub async fn delete_workflow(
        &self,
        caller: &Caller,
        id: WorkflowId,
        now: Timestamp,
    ) -> Result<bool> {
        let writer = self.write().await;
        let live = self.live_executions_of_workflow(caller, id).await?.len();
        if live > 0 {
            let executions = if live == 1 { "execution" } else { "executions" };
            return Err(StoreError::Conflict(format!(
                "the workflow has {live} live {executions}"
            )));
        }
        let deleted = workflow::Entity::update_many()
            .col_expr(workflow::Column::DeletedAt, Expr::value(now.0))
            .filter(workflow::Column::Id.eq(id.0))
            .filter(workflow::Column::DeletedAt.is_null())
            .exec(&*writer)
            .await?;
        Ok(deleted.rows_affected > 0)
    }

    async fn with_last_execution(&self, row: workflow::Model) -> Result<Workflow> {
        let last = self.last_executions(&[row.id]).await?.remove(&row.id);
        Ok(from_row(row, last))
    }
}

async fn insert_version(
    transaction: &impl ConnectionTrait,
    row: &workflow::Model,
    source: &str,
    caller: &Caller,
) -> Result<()> {
    let version = workflow_version::ActiveModel {
        workflow_id: Set(row.id),
        version: Set(row.version),
        source: Set(text::clean(source).into_owned()),
        node_count: Set(row.node_count),
        created_at: Set(row.updated_at),
        created_by: Set(caller.name.clone()),
    };
    workflow_version::Entity::insert(version)
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

fn name_taken(error: StoreError, name: &str) -> StoreError {
    match error {
        StoreError::Conflict(_) => StoreError::NameTaken(name.to_owned()),
        other => other,
    }
}

fn from_row(row: workflow::Model, last_execution: Option<ExecutionSummary>) -> Workflow {
    Workflow {
        id: WorkflowId(row.id),
        name: row.name,
        description: row.description,
        version: row.version as u32,
        node_count: row.node_count as u32,
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        last_execution,
    }
}
