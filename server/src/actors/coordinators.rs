//! All coordinators: starts, finds, recovers and halts them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use actix_rt::{Arbiter, ArbiterHandle};
use limelight_engine::{Command, Definition};
use limelight_protocol::{
    Execution, ExecutionId, ExecutionStatus, Timestamp, WorkflowId, error::Fault,
    event::WorkflowStarted, workflow::Execute,
};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    coordinator::{Begin, Control, ControlError, Coordinator, Halt},
    supervisor::{Handle, supervise},
};
use crate::{
    auth::Caller,
    services::Services,
    store::{IdempotencyKey, StoreError, StoredVersion},
};

/// How long a caller waits while a coordinator or the journal is being restarted.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY_EVERY: Duration = Duration::from_millis(50);
/// Parsed definitions kept for further starts.
const DEFINITIONS: usize = 128;

/// Why an execution did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The parameters are not what the workflow takes.
    #[error("the parameters are not what the workflow takes")]
    Params(Vec<Fault>),
    /// The stored definition is not valid to this version of the server.
    #[error("the definition is not valid any more")]
    Definition(Vec<Fault>),
    /// The idempotency key belongs to another request.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The coordinator or the journal failed before the commit.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// All coordinators.
pub struct Coordinators {
    services: Arc<Services>,
    arbiters: Vec<Arbiter>,
    next_arbiter: AtomicUsize,
    live: Arc<Mutex<HashMap<ExecutionId, Handle<Coordinator>>>>,
    definitions: Mutex<HashMap<(WorkflowId, u32), Arc<Definition>>>,
    /// Held while an idempotency key is looked up and its execution begun.
    keyed: tokio::sync::Mutex<()>,
}

impl Coordinators {
    /// None yet; their actors are to share `threads` threads.
    #[must_use]
    pub fn new(services: Arc<Services>, threads: usize) -> Self {
        Self {
            services,
            arbiters: (0..threads.max(1)).map(|_| Arbiter::new()).collect(),
            next_arbiter: AtomicUsize::new(0),
            live: Arc::default(),
            definitions: Mutex::default(),
            keyed: tokio::sync::Mutex::default(),
        }
    }

    /// How many executions have a coordinator.
    #[must_use]
    pub fn count(&self) -> usize {
        self.live.lock().len()
    }

    fn definition(&self, version: &StoredVersion) -> Result<Arc<Definition>, StartError> {
        let key = (version.workflow.id, version.workflow.version);
        if let Some(known) = self.definitions.lock().get(&key) {
            return Ok(Arc::clone(known));
        }
        let parsed = Definition::parse(&version.source).map_err(StartError::Definition)?;
        let parsed = Arc::new(parsed);
        let mut definitions = self.definitions.lock();
        if definitions.len() >= DEFINITIONS {
            definitions.clear();
        }
        definitions.insert(key, Arc::clone(&parsed));
        Ok(parsed)
    }

    /// Starts an execution and waits until its begin is committed. With an idempotency key that
    /// was used before, gives the execution that was started then.
    ///
    /// # Errors
    /// See [`StartError`]; in every case nothing was started.
    pub async fn start(
        &self,
        caller: &Caller,
        version: &StoredVersion,
        execute: Execute,
        idempotency_key: Option<&str>,
    ) -> Result<Execution, StartError> {
        let definition = self.definition(version)?;
        let params = definition
            .resolve_params(&execute.params)
            .map_err(StartError::Params)?;
        // Keys of different callers have nothing to do with each other. The length keeps them apart
        // even where a name holds the separator.
        let name = &caller.name;
        let key = idempotency_key.map(|key| IdempotencyKey {
            key: format!("{}:{name}/{key}", name.len()),
            fingerprint: fingerprint(version.workflow.id, &execute),
        });
        let _held = match &key {
            Some(key) => {
                let held = self.keyed.lock().await;
                let known = self
                    .services
                    .store
                    .execution_by_idempotency_key(caller, &key.key)
                    .await?;
                if let Some((execution, fingerprint)) = known {
                    let same = fingerprint.is_none_or(|known| known == key.fingerprint);
                    return if same {
                        Ok(execution)
                    } else {
                        Err(StartError::KeyReused)
                    };
                }
                Some(held)
            }
            None => None,
        };
        let id = ExecutionId(Uuid::now_v7());
        let started = WorkflowStarted {
            workflow_name: version.workflow.name.clone(),
            workflow_version: version.workflow.version,
            params,
            name: execute.name,
            labels: execute.labels,
            by: caller.name.clone(),
            total_nodes: definition.nodes().len() as u32,
        };
        let execution = pending(id, version, &started);
        let handle = self.spawn(id, true);
        let (answer, answered) = oneshot::channel();
        let begin = Begin {
            execution: Box::new(execution),
            definition,
            started,
            idempotency_key: key,
            answer,
        };
        handle
            .send(begin)
            .await
            .map_err(|_| ControlError::Unavailable)?;
        Ok(in_time(answered).await?)
    }

    /// Gives a command to an execution, and the execution as it stands once that is committed.
    ///
    /// # Errors
    /// When the engine does not allow it, or nobody could be reached for five seconds.
    pub async fn control(
        &self,
        id: ExecutionId,
        command: Command,
    ) -> Result<Execution, ControlError> {
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (answer, answered) = oneshot::channel();
            let handle = self.find_or_load(id);
            if handle
                .send(Control {
                    command: command.clone(),
                    answer,
                })
                .await
                .is_ok()
            {
                let result = in_time(answered).await;
                if !matches!(result, Err(ControlError::Unavailable)) {
                    return result;
                }
            }
            if tokio::time::Instant::now() >= patience {
                return Err(ControlError::Unavailable);
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    /// Starts a coordinator for every execution that has not ended; gives how many.
    ///
    /// # Errors
    /// When the store cannot say which those are.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let ids = self.services.store.live_execution_ids().await?;
        for &id in &ids {
            self.find_or_load(id);
        }
        Ok(ids.len())
    }

    /// Stops every coordinator and its attempts; what was committed goes on at the next start.
    pub async fn halt(&self) {
        let handles: Vec<_> = self.live.lock().values().cloned().collect();
        for handle in &handles {
            // One that is being restarted just now has nothing at work.
            let _ = handle.send(Halt).await;
        }
    }

    fn find_or_load(&self, id: ExecutionId) -> Handle<Coordinator> {
        if let Some(handle) = self.live.lock().get(&id) {
            return handle.clone();
        }
        self.spawn(id, false)
    }

    fn spawn(&self, id: ExecutionId, fresh: bool) -> Handle<Coordinator> {
        let mut live = self.live.lock();
        if let Some(handle) = live.get(&id) {
            return handle.clone();
        }
        let handle = supervise(
            &self.services.supervision,
            &self.arbiter(),
            format!("executions/{id}"),
            Coordinator::factory(Arc::clone(&self.services), id, fresh),
        );
        live.insert(id, handle.clone());
        self.services.metrics.set_executions_running(live.len());
        drop(live);
        let (all, ended) = (Arc::clone(&self.live), handle.clone());
        let metrics = self.services.metrics.clone();
        actix_rt::spawn(async move {
            ended.ended().await;
            let mut live = all.lock();
            live.remove(&id);
            metrics.set_executions_running(live.len());
        });
        handle
    }

    fn arbiter(&self) -> ArbiterHandle {
        let next = self.next_arbiter.fetch_add(1, Relaxed);
        self.arbiters[next % self.arbiters.len()].handle()
    }
}

/// Waits for an answer, but no longer than a caller would.
async fn in_time(
    answered: oneshot::Receiver<Result<Execution, ControlError>>,
) -> Result<Execution, ControlError> {
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) | Err(_) => Err(ControlError::Unavailable),
    }
}

/// Tells requests under one idempotency key apart.
fn fingerprint(workflow: WorkflowId, execute: &Execute) -> String {
    let request = serde_json::json!([workflow, execute]).to_string();
    Sha256::digest(request)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn pending(id: ExecutionId, version: &StoredVersion, started: &WorkflowStarted) -> Execution {
    Execution {
        id,
        execution_id: id,
        workflow_id: version.workflow.id,
        workflow_name: started.workflow_name.clone(),
        workflow_version: started.workflow_version,
        name: started.name.clone(),
        labels: started.labels.clone(),
        status: ExecutionStatus::Pending,
        params: started.params.clone(),
        completed_nodes: 0,
        total_nodes: started.total_nodes,
        current_phase: None,
        started_at: None::<Timestamp>,
        completed_at: None,
        duration_s: None,
        started_by: started.by.clone(),
        seq: 0,
        // They come from the run, with its first commit.
        node_states: Vec::new(),
    }
}
