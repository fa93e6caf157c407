//! All coordinators: starts, finds, recovers and halts them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use actix_rt::{Arbiter, ArbiterHandle};
use limelight_engine::Command;
use limelight_protocol::{
    Execution, ExecutionId, ExecutionStatus, Timestamp, error::Fault, event::WorkflowStarted,
    workflow::Execute,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    coordinator::{
        Begin, Beginning, Control, ControlError, Coordinator, Halt, Inspect, Loader, NewRow, Origin,
    },
    keys::{self, Keys, Started},
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
/// Why an execution did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The parameters are not what the workflow takes.
    #[error("the parameters are not what the workflow takes")]
    Params(Vec<Fault>),
    /// The stored definition is not valid to this version of the server.
    #[error("the definition is not valid any more")]
    Definition(Vec<Fault>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine does not allow it.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// It was not committed in time; it may be yet, as this execution.
    #[error("the execution did not begin in time")]
    Pending(ExecutionId),
}

/// All coordinators.
pub struct Coordinators {
    services: Arc<Services>,
    arbiters: Vec<Arbiter>,
    next_arbiter: AtomicUsize,
    live: Arc<Mutex<HashMap<ExecutionId, Handle<Coordinator>>>>,
    loader: Arc<Loader>,
    keys: Keys,
    halting: Arc<AtomicBool>,
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
            loader: Arc::default(),
            keys: Keys::default(),
            halting: Arc::default(),
        }
    }

    /// How many executions have a coordinator.
    #[must_use]
    pub fn count(&self) -> usize {
        self.live.lock().len()
    }

    /// Starts an execution and waits until its begin is committed. With an idempotency key that
    /// was used before, gives the execution that was started then.
    ///
    /// # Errors
    /// See [`StartError`]; except after [`StartError::Pending`] nothing was started.
    pub async fn start(
        &self,
        caller: &Caller,
        version: &StoredVersion,
        execute: Execute,
        idempotency_key: Option<&str>,
    ) -> Result<Execution, StartError> {
        let workflow = &version.workflow;
        let definition = self
            .loader
            .definition(workflow.id, workflow.version, &version.source)
            .map_err(StartError::Definition)?;
        let params = definition
            .resolve_params(&execute.params)
            .map_err(StartError::Params)?;
        let id = ExecutionId(Uuid::now_v7());
        let started = WorkflowStarted {
            workflow_name: workflow.name.clone(),
            workflow_version: workflow.version,
            params,
            name: execute.name,
            labels: execute.labels,
            by: caller.name.clone(),
            total_nodes: definition.nodes().len() as u32,
        };
        let Some(key) = idempotency_key else {
            let beginning = self.beginning(id, version, definition, started, None);
            return self.begin(beginning).await;
        };
        // Keys of different callers have nothing to do with each other. The length keeps them apart
        // even where a name holds the separator.
        let name = &caller.name;
        let key = IdempotencyKey {
            key: format!("{}:{name}/{key}", name.len()),
            fingerprint: keys::fingerprint(workflow.id, &started),
        };
        let turn = self.keys.turn(&key.key).await;
        let mut known = match turn.started() {
            // Whether it has begun is yet to be seen.
            Some(earlier) => self
                .inspect(earlier.id)
                .await?
                .map(|execution| (execution, Some(earlier.fingerprint))),
            None => None,
        };
        if known.is_none() {
            let store = &self.services.store;
            known = store.execution_by_idempotency_key(caller, &key.key).await?;
        }
        if let Some((execution, fingerprint)) = known {
            turn.settled();
            // Those of earlier versions have no fingerprint.
            let same = fingerprint.is_none_or(|known| known == key.fingerprint);
            return if same {
                Ok(execution)
            } else {
                Err(StartError::KeyReused)
            };
        }
        turn.starts(Started {
            id,
            fingerprint: key.fingerprint.clone(),
        });
        let beginning = self.beginning(id, version, definition, started, Some(key));
        let told = self.begin(beginning).await;
        if !matches!(told, Err(StartError::Pending(_))) {
            turn.settled();
        }
        told
    }

    fn beginning(
        &self,
        id: ExecutionId,
        version: &StoredVersion,
        definition: Arc<limelight_engine::Definition>,
        started: WorkflowStarted,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Beginning {
        Beginning {
            execution: Box::new(pending(id, version, &started)),
            definition,
            started,
            row: NewRow {
                owner: Arc::clone(&self.services.owner),
                idempotency_key,
            },
        }
    }

    async fn begin(&self, beginning: Beginning) -> Result<Execution, StartError> {
        let id = beginning.execution.id;
        let (answer, answered) = oneshot::channel();
        // Nobody has it yet, so nothing has begun when it is not taken.
        let taken = self
            .spawn(id, Origin::Fresh)?
            .send(Begin { beginning, answer })
            .await;
        taken.map_err(|_| ControlError::Unavailable)?;
        match in_time(answered).await {
            Err(ControlError::Unknown) => Err(StartError::Pending(id)),
            told => Ok(told?),
        }
    }

    /// The execution with everything that was decided until now committed; `None` when it has no
    /// coordinator.
    async fn inspect(&self, id: ExecutionId) -> Result<Option<Execution>, StartError> {
        let handle = self.live.lock().get(&id).cloned();
        let Some(handle) = handle else {
            return Ok(None);
        };
        let (answer, answered) = oneshot::channel();
        let sent = tokio::time::timeout(PATIENCE, handle.send(Inspect(answer))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return Err(StartError::Pending(id));
        }
        match in_time(answered).await {
            Ok(execution) => Ok(Some(execution)),
            Err(_) => Err(StartError::Pending(id)),
        }
    }

    /// Gives a command to an execution, and the execution as it stands once that is committed.
    ///
    /// A command is given again only where it is certain that nobody decided on it, so that none is
    /// obeyed twice.
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
            let control = Control {
                command: command.clone(),
                answer,
            };
            let sent = self.find_or_load(id)?.send(control);
            let told = match tokio::time::timeout(PATIENCE, sent).await {
                Ok(Ok(())) => in_time(answered).await,
                // It was lost with the mailbox, unread.
                Ok(Err(_)) => Err(ControlError::Unavailable),
                // It waits in the mailbox until the execution is loaded.
                Err(_) => Err(ControlError::Unknown),
            };
            let again = matches!(told, Err(ControlError::Unavailable));
            if !again || tokio::time::Instant::now() >= patience {
                return told;
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    /// Starts a coordinator for every execution that has not ended; gives how many.
    ///
    /// # Errors
    /// When the store cannot say which those are, or make them this server's.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let services = &self.services;
        let all = services
            .store
            .claim_live_executions(&services.owner)
            .await?;
        let count = all.len();
        for claimed in all {
            // None is halting while it starts.
            let _ = self.spawn(claimed.id, Origin::Claimed(claimed));
        }
        Ok(count)
    }

    /// Stops every coordinator and its attempts, and waits until all of these have ended; what was
    /// committed goes on at the next start.
    pub async fn halt(&self) {
        let handles: Vec<_> = {
            let live = self.live.lock();
            self.halting.store(true, Relaxed);
            live.values().cloned().collect()
        };
        // All at once: each waits for the programs it has to end. One that is being restarted just
        // now has nothing at work but what is waited for below, and ends as soon as it is.
        futures_util::future::join_all(handles.into_iter().map(|handle| async move {
            if handle.send(Halt).await.is_ok() {
                handle.ended().await;
            }
        }))
        .await;
        self.services.at_work.until_empty().await;
    }

    /// The coordinator of an execution, started if it has none.
    fn find_or_load(&self, id: ExecutionId) -> Result<Handle<Coordinator>, ControlError> {
        self.spawn(id, Origin::Stored)
    }

    fn spawn(&self, id: ExecutionId, origin: Origin) -> Result<Handle<Coordinator>, ControlError> {
        let mut live = self.live.lock();
        if let Some(handle) = live.get(&id) {
            return Ok(handle.clone());
        }
        // Under the lock, so that whoever halts them sees all.
        if self.halting.load(Relaxed) {
            return Err(ControlError::Unavailable);
        }
        let handle = supervise(
            &self.services.supervision,
            &self.arbiter(),
            format!("executions/{id}"),
            Coordinator::factory(
                Arc::clone(&self.services),
                Arc::clone(&self.loader),
                Arc::clone(&self.halting),
                id,
                origin,
            ),
        );
        live.insert(id, handle.clone());
        self.services.metrics.set_executions_running(live.len());
        drop(live);
        let (all, ended) = (Arc::clone(&self.live), handle.clone());
        let keys = self.keys.clone();
        let metrics = self.services.metrics.clone();
        actix_rt::spawn(async move {
            ended.ended().await;
            let mut live = all.lock();
            live.remove(&id);
            metrics.set_executions_running(live.len());
            drop(live);
            keys.forget(id);
        });
        Ok(handle)
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
        // Too late, or its coordinator failed: whether it was committed, only the store knows.
        Ok(Err(_)) | Err(_) => Err(ControlError::Unknown),
    }
}

pub(super) fn pending(
    id: ExecutionId,
    version: &StoredVersion,
    started: &WorkflowStarted,
) -> Execution {
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
