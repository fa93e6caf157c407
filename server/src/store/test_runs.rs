//! Test runs: reading what the journal wrote.

use limelight_protocol::{
    TestRunId, Timestamp,
    rest::Page,
    testing::{CaseCounts, CaseResult, TestRun},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::{
    Store,
    entity::{test_case, test_run},
    error::Result,
    paging, text,
};
use crate::auth::Caller;

impl Store {
    /// Test runs, newest first, without cases.
    ///
    /// # Errors
    /// [`super::StoreError::InvalidCursor`]; and when the database fails.
    pub async fn list_test_runs(
        &self,
        _caller: &Caller,
        cursor: Option<&str>,
        limit: u64,
    ) -> Result<Page<TestRun>> {
        list_in(self.read(), cursor, limit).await
    }

    /// One test run with its cases in the order they ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn get_test_run(&self, _caller: &Caller, id: TestRunId) -> Result<Option<TestRun>> {
        let moment = self.moment().await?;
        let found = one_in(&moment, id).await?;
        moment.commit().await?;
        Ok(found)
    }

    /// Test runs that have not ended, oldest first, without cases: those a start finds interrupted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn running_test_runs(&self) -> Result<Vec<TestRun>> {
        let rows = test_run::Entity::find()
            .filter(test_run::Column::Status.eq("running"))
            .order_by_asc(test_run::Column::Id)
            .all(self.read())
            .await?;
        rows.into_iter().map(from_row).collect()
    }
}

/// [`Store::list_test_runs`] as of a moment.
pub(super) async fn list_in(
    connection: &impl ConnectionTrait,
    cursor: Option<&str>,
    limit: u64,
) -> Result<Page<TestRun>> {
    let (limit, rows) = paging::rows_for(limit);
    let mut query = test_run::Entity::find()
        .order_by_desc(test_run::Column::Id)
        .limit(rows);
    if let Some(cursor) = cursor {
        query = query.filter(test_run::Column::Id.lt(paging::decode_id(cursor)?));
    }
    let rows = query.all(connection).await?;
    let items = rows.into_iter().map(from_row).collect::<Result<_>>()?;
    Ok(paging::page(items, limit, None, |last: &TestRun| {
        last.id.0.as_bytes().to_vec()
    }))
}

/// [`Store::get_test_run`] as of a moment.
pub(super) async fn one_in(moment: &DatabaseTransaction, id: TestRunId) -> Result<Option<TestRun>> {
    let Some(row) = test_run::Entity::find_by_id(id.0).one(moment).await? else {
        return Ok(None);
    };
    let cases = test_case::Entity::find()
        .filter(test_case::Column::TestRunId.eq(id.0))
        .order_by_asc(test_case::Column::Ordinal)
        .all(moment)
        .await?;
    let mut run = from_row(row)?;
    run.cases = cases
        .into_iter()
        .map(case_from_row)
        .collect::<Result<_>>()?;
    Ok(Some(run))
}

fn from_row(row: test_run::Model) -> Result<TestRun> {
    Ok(TestRun {
        id: TestRunId(row.id),
        suite: row.suite,
        status: text::word(&row.status)?,
        counts: CaseCounts {
            passed: row.passed as u32,
            failed: row.failed as u32,
            skipped: row.skipped as u32,
        },
        started_at: Timestamp(row.started_at),
        completed_at: row.completed_at.map(Timestamp),
        duration_s: row.duration_s,
        error: row.error,
        started_by: row.started_by,
        seq: row.seq as u64,
        cases: Vec::new(),
    })
}

fn case_from_row(row: test_case::Model) -> Result<CaseResult> {
    Ok(CaseResult {
        name: row.name,
        status: text::word(&row.status)?,
        duration_s: row.duration_s,
        message: row.message,
    })
}
