//! Rebuilds an execution from the store: its definition, and every event of its stream.

use std::sync::Arc;

use limelight_engine::{Definition, Run};
use limelight_protocol::{Event, Execution, ExecutionId, Stream};

use crate::{
    auth::Caller,
    services::Services,
    store::{Store, StoreError},
};

const PAGE: u64 = 1000;

/// An execution as the store has it.
pub struct Loaded {
    /// Its state, replayed.
    pub run: Run,
    /// Its row.
    pub execution: Execution,
    /// The fencing number taken for this coordinator.
    pub fence: u64,
}

/// Why an execution could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The store failed; it may be better later.
    Store(StoreError),
    /// What is stored makes no sense to this version.
    Corrupt(String),
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Loads an execution and makes this process its owner. `None` when there is no such execution.
pub async fn load(services: Arc<Services>, id: ExecutionId) -> Result<Option<Loaded>, LoadError> {
    let store = &services.store;
    let Some((_, _, source)) = store.pinned_definition(id).await? else {
        return Ok(None);
    };
    // From here on no append of an earlier owner is taken, so the stream stands still.
    let fence = store.claim_execution(id, &services.owner).await?;
    let definition = Definition::parse(&source)
        .map_err(|faults| LoadError::Corrupt(format!("its definition is faulty: {faults:?}")))?;
    let mut run = Run::new(Arc::new(definition)).with_id(id);
    replay(store, id, &mut run).await?;
    let Some(mut execution) = store.get_execution(&Caller::system(), id).await? else {
        return Ok(None);
    };
    execution.node_states.clear();
    Ok(Some(Loaded {
        run,
        execution,
        fence,
    }))
}

async fn replay(store: &Store, id: ExecutionId, run: &mut Run) -> Result<(), LoadError> {
    let stream = Stream::Execution(id);
    let mut after = 0;
    loop {
        let page = store
            .read_stream(&Caller::system(), &stream, after, PAGE)
            .await?;
        for committed in &page {
            let corrupt = |error: String| {
                LoadError::Corrupt(format!("event {} of {stream}: {error}", committed.seq))
            };
            let event: Event = serde_json::from_str(&committed.wire)
                .map_err(|error| corrupt(error.to_string()))?;
            let body = event.body().map_err(|error| corrupt(error.to_string()))?;
            run.evolve(event.node_id.as_ref(), &body, event.timestamp)
                .map_err(|error| corrupt(error.to_string()))?;
            after = committed.seq;
        }
        if (page.len() as u64) < PAGE {
            return Ok(());
        }
    }
}
