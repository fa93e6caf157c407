//! Rebuilds an execution from the store: its definition, and every event of its stream.

use std::{collections::HashMap, sync::Arc};

use limelight_engine::{Definition, Run};
use limelight_protocol::{Event, Execution, ExecutionId, Stream, WorkflowId, error::Fault};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    auth::Caller,
    store::{Claimed, Store, StoreError},
};

const PAGE: u64 = 1000;
/// Executions loaded at a time: a start with thousands of them must leave the store to others, too.
const LOADS: usize = 8;
/// Parsed definitions kept for further starts and loads.
const DEFINITIONS: usize = 128;

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

/// Loads executions, a few at a time, and parses each definition once.
pub struct Loader {
    turns: Semaphore,
    definitions: Mutex<HashMap<(WorkflowId, u32), Arc<Definition>>>,
}

impl Default for Loader {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(LOADS),
            definitions: Mutex::default(),
        }
    }
}

impl Loader {
    /// A version's definition, parsed now or earlier.
    ///
    /// # Errors
    /// Its faults, when this version of the server does not accept it.
    pub fn definition(
        &self,
        workflow: WorkflowId,
        version: u32,
        source: &str,
    ) -> Result<Arc<Definition>, Vec<Fault>> {
        let key = (workflow, version);
        if let Some(known) = self.definitions.lock().get(&key) {
            return Ok(Arc::clone(known));
        }
        let parsed = Arc::new(Definition::parse(source)?);
        let mut definitions = self.definitions.lock();
        if definitions.len() >= DEFINITIONS {
            definitions.clear();
        }
        definitions.insert(key, Arc::clone(&parsed));
        Ok(parsed)
    }

    /// Loads an execution and makes `owner` its owner, unless it was `claimed` for it already. `None`
    /// when there is no such execution.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn load(
        &self,
        store: &Store,
        owner: &str,
        id: ExecutionId,
        claimed: Option<&Claimed>,
    ) -> Result<Option<Loaded>, LoadError> {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let known = claimed.and_then(|claimed| {
            let key = (claimed.workflow_id, claimed.workflow_version);
            self.definitions.lock().get(&key).cloned()
        });
        let definition = match known {
            Some(definition) => definition,
            None => {
                let Some((workflow, version, source)) = store.pinned_definition(id).await? else {
                    return Ok(None);
                };
                self.definition(workflow, version, &source)
                    .map_err(|faults| {
                        LoadError::Corrupt(format!("its definition is faulty: {faults:?}"))
                    })?
            }
        };
        // From here on no append of an earlier owner is taken, so the stream stands still.
        let fence = match claimed {
            Some(claimed) => claimed.fence,
            None => store.claim_execution(id, owner).await?,
        };
        let mut run = Run::new(definition).with_id(id);
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
