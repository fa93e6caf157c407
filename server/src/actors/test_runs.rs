//! All test runs: starts, cancels and recovers them.

use std::{collections::HashMap, sync::Arc};

use actix_rt::ArbiterHandle;
use limelight_protocol::{
    TestRunId,
    testing::{Suite, TestRun},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    supervisor::{Handle, supervise},
    test_runner::{Answer, CancelRun, HaltRun, TestRunner},
};
use crate::{auth::Caller, clock, services::Services, store::StoreError};

/// Why a run did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No suite has that name.
    #[error("no suite is called {0:?}")]
    UnknownSuite(String),
    /// It was not committed.
    #[error("the run could not be recorded: {0}")]
    Unavailable(String),
}

/// All test runs, and the suites they are of.
pub struct TestRuns {
    services: Arc<Services>,
    arbiter: ArbiterHandle,
    suites: Vec<Suite>,
    live: Arc<Mutex<HashMap<TestRunId, Handle<TestRunner>>>>,
}

impl TestRuns {
    /// None yet.
    #[must_use]
    pub fn new(services: Arc<Services>, arbiter: ArbiterHandle, suites: Vec<Suite>) -> Self {
        Self {
            services,
            arbiter,
            suites,
            live: Arc::default(),
        }
    }

    /// The configured suites.
    #[must_use]
    pub fn suites(&self) -> &[Suite] {
        &self.suites
    }

    /// Starts a run and waits until its begin is committed.
    ///
    /// # Errors
    /// When there is no such suite, or the begin could not be committed.
    pub async fn start(&self, caller: &Caller, suite: &str) -> Result<TestRun, RunError> {
        let known = self.suites.iter().find(|known| known.name == suite);
        let suite = known.ok_or_else(|| RunError::UnknownSuite(suite.to_owned()))?;
        let run = TestRun::begun(
            TestRunId(Uuid::now_v7()),
            suite.name.clone(),
            caller.name.clone(),
            clock::now(),
        );
        let (answer, answered) = oneshot::channel();
        self.spawn(run, Some((suite.clone(), answer)));
        let lost = || RunError::Unavailable("the runner failed".to_owned());
        answered
            .await
            .map_err(|_| lost())?
            .map_err(RunError::Unavailable)
    }

    /// Cancels a run; false when it is not running.
    pub async fn cancel(&self, id: TestRunId) -> bool {
        let handle = self.live.lock().get(&id).cloned();
        match handle {
            Some(handle) => {
                let told = handle.send(CancelRun).await.is_ok();
                handle.ended().await;
                told
            }
            None => false,
        }
    }

    /// Records runs that an earlier process left unfinished as interrupted; gives how many.
    ///
    /// # Errors
    /// When the store cannot say which those are.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let runs = self.services.store.running_test_runs().await?;
        let count = runs.len();
        for run in runs {
            self.spawn(run, None);
        }
        Ok(count)
    }

    /// Stops every run and waits until their programs are gone; the next start records them as
    /// interrupted.
    pub async fn halt(&self) {
        let handles: Vec<_> = self.live.lock().values().cloned().collect();
        let mut told = Vec::new();
        for handle in handles {
            // One that is being restarted just now has nothing at work.
            if handle.send(HaltRun).await.is_ok() {
                told.push(handle);
            }
        }
        for handle in told {
            handle.ended().await;
        }
    }

    fn spawn(&self, run: TestRun, begin: Option<(Suite, Answer)>) {
        let id = run.id;
        let services = Arc::clone(&self.services);
        let begin = Mutex::new(begin);
        let handle = supervise(
            &self.services.supervision,
            &self.arbiter,
            format!("tests/{id}"),
            move |lease| {
                // Only the first value begins; one that follows finds the command gone.
                let (suite, answer) = begin.lock().take().unzip();
                TestRunner::new(lease, Arc::clone(&services), suite, run.clone(), answer)
            },
        );
        self.live.lock().insert(id, handle.clone());
        let live = Arc::clone(&self.live);
        actix_rt::spawn(async move {
            handle.ended().await;
            live.lock().remove(&id);
        });
    }
}
