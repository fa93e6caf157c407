//! How things stand for a topic, and since which event: both as of one moment.
//!
//! What belongs to the journal is read in one transaction with the journal's head, so that a snapshot
//! holds what the events up to its position made, and nothing of those after it.

use limelight_protocol::{ExecutionSummary, Topic, WorkflowId, rest::Page};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    ExecutionFilter, Store,
    connection::Transaction,
    error::{Result, StoreError},
    executions,
    journal::read::head_in,
    test_runs,
};
use crate::auth::Caller;

/// Rows in the snapshot of a list: the newest.
pub const SNAPSHOT_ROWS: u64 = 50;

/// How things stand, and the position whose events are in it.
#[derive(Debug)]
pub struct Snapshot {
    /// Events up to here are in it, events after it are not. For topics outside the journal it is
    /// their `seq`.
    pub position: u64,
    /// The data, as JSON: an object, or a page of the newest [`SNAPSHOT_ROWS`]; `null` where there is
    /// nothing.
    pub data: Box<RawValue>,
}

impl Store {
    /// The newest position there is: of the journal, or of the topic's own stream; 0 when empty.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn head_of(&self, topic: &Topic) -> Result<u64> {
        match topic {
            Topic::Log(execution, node) => self.last_log_seq(*execution, node).await,
            Topic::Metrics => self.last_sample_seq().await,
            _ => self.head().await,
        }
    }

    /// How things stand for a topic.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot(&self, caller: &Caller, topic: &Topic) -> Result<Snapshot> {
        let (position, data) = match topic {
            // The lines themselves are events; there is nothing that they add up to.
            Topic::Log(..) => (self.head_of(topic).await?, to_raw_value(&())),
            Topic::Metrics => match self.newest_sample().await? {
                Some((seq, sample)) => (seq, to_raw_value(&sample)),
                None => (0, to_raw_value(&())),
            },
            Topic::Execution(_)
            | Topic::Workflow(_)
            | Topic::Executions
            | Topic::TestRun(_)
            | Topic::Tests
            | Topic::Actors => {
                let moment = self.moment().await?;
                let position = head_in(&moment).await?;
                let data = rows(&moment, caller, topic).await?;
                moment.commit().await?;
                (position, data)
            }
        };
        let data = data.map_err(StoreError::corrupt)?;
        Ok(Snapshot { position, data })
    }
}

async fn rows(
    moment: &Transaction,
    _caller: &Caller,
    topic: &Topic,
) -> Result<serde_json::Result<Box<RawValue>>> {
    Ok(match topic {
        Topic::Execution(id) => to_raw_value(&executions::one_in(moment, *id).await?),
        Topic::Executions => to_raw_value(&newest(moment, None).await?),
        Topic::Workflow(id) => to_raw_value(&newest(moment, Some(*id)).await?),
        Topic::TestRun(id) => to_raw_value(&test_runs::one_in(moment, *id).await?),
        Topic::Tests => to_raw_value(&test_runs::list_in(moment, None, SNAPSHOT_ROWS).await?),
        // The supervision tree is not kept, and the rest has no rows of the journal.
        Topic::Actors | Topic::Log(..) | Topic::Metrics => to_raw_value(&()),
    })
}

/// The newest executions, of one workflow or of all.
async fn newest(
    moment: &Transaction,
    workflow_id: Option<WorkflowId>,
) -> Result<Page<ExecutionSummary>> {
    let filter = ExecutionFilter {
        workflow_id,
        ..ExecutionFilter::default()
    };
    executions::list_in(moment, &filter, None, SNAPSHOT_ROWS).await
}
