//! How things stand, for a topic.

use limelight_protocol::{Topic, rest::Page};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    actors::vitals::Registry,
    auth::Caller,
    store::{ExecutionFilter, Store, StoreError},
};

/// Rows in the snapshot of a list.
const ROWS: u64 = 50;
/// Tries at reading rows between which nothing was committed.
const TRIES: usize = 3;

/// A snapshot, and the position whose events it holds.
pub struct Snapshot {
    /// Events after this are not in it, or change nothing that is.
    pub position: u64,
    /// The data, as JSON.
    pub data: Box<RawValue>,
}

/// Reads the snapshot of a topic. Rows and position are read again while commits come between.
///
/// # Errors
/// When the store fails.
pub async fn read(
    store: &Store,
    registry: &Registry,
    caller: &Caller,
    topic: &Topic,
) -> Result<Snapshot, StoreError> {
    let mut position = store.head().await?;
    let mut data = rows(store, registry, caller, topic).await?;
    for _ in 1..TRIES {
        let after = store.head().await?;
        if after == position {
            break;
        }
        position = after;
        data = rows(store, registry, caller, topic).await?;
    }
    let position = match topic {
        Topic::Log(execution, node) => store.last_log_seq(*execution, node).await?,
        Topic::Metrics => store.last_sample_seq().await?,
        _ => position,
    };
    Ok(Snapshot { position, data })
}

async fn rows(
    store: &Store,
    registry: &Registry,
    caller: &Caller,
    topic: &Topic,
) -> Result<Box<RawValue>, StoreError> {
    let data = match topic {
        Topic::Execution(id) => to_raw_value(&store.get_execution(caller, *id).await?),
        Topic::Executions => {
            let filter = ExecutionFilter::default();
            to_raw_value(&store.list_executions(caller, &filter, None, ROWS).await?)
        }
        Topic::Workflow(id) => {
            let filter = ExecutionFilter {
                workflow_id: Some(*id),
                ..ExecutionFilter::default()
            };
            to_raw_value(&store.list_executions(caller, &filter, None, ROWS).await?)
        }
        Topic::TestRun(id) => to_raw_value(&store.get_test_run(caller, *id).await?),
        Topic::Tests => to_raw_value(&store.list_test_runs(caller, None, ROWS).await?),
        Topic::Metrics => to_raw_value(&store.latest_sample(caller).await?),
        Topic::Actors => to_raw_value(&registry.tree()),
        Topic::Log(..) => to_raw_value(&None::<Page<()>>),
    };
    data.map_err(StoreError::from)
}
