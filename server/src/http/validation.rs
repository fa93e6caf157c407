//! Definitions are read on threads of their own.
//!
//! Reading one of the largest permitted size takes a while, and whoever may look at workflows may ask
//! for it. A few threads with a bounded queue do nothing else, so that requests, actors and blocking
//! calls never wait behind it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, LazyLock,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use limelight_engine::Definition;
use limelight_protocol::error::Fault;
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};

use crate::error::ApiError;

/// How many definitions are read at a time.
const THREADS: usize = 2;

/// How many wait; more are answered 503.
const WAITING: usize = 16;

/// The engine's limits keep within a fraction of it.
const STACK_BYTES: usize = 4 * 1024 * 1024;

/// How long a caller waits, the queue included.
const PATIENCE: Duration = Duration::from_secs(10);

type Read = Result<Definition, Vec<Fault>>;

struct Job {
    text: String,
    answer: oneshot::Sender<Read>,
}

static QUEUE: LazyLock<SyncSender<Job>> = LazyLock::new(|| {
    let (queue, jobs) = sync_channel(WAITING);
    let jobs = Arc::new(Mutex::new(jobs));
    for n in 0..THREADS {
        let jobs = Arc::clone(&jobs);
        let spawned = thread::Builder::new()
            .name(format!("definitions-{n}"))
            .stack_size(STACK_BYTES)
            .spawn(move || read_all(&jobs));
        if let Err(error) = spawned {
            tracing::error!(%error, "a thread that reads definitions cannot be started");
        }
    }
    queue
});

fn read_all(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // One thread waits for the next job, the others for it.
        let Ok(Job { text, answer }) = jobs.lock().recv() else {
            return;
        };
        // The caller may have gone while it waited.
        if answer.is_closed() {
            continue;
        }
        // A panic is answered like a definition that takes too long, and costs no thread.
        if let Ok(read) = catch_unwind(AssertUnwindSafe(|| Definition::parse(&text))) {
            let _ = answer.send(read);
        }
    }
}

/// Reads a definition: it, or every fault it has.
///
/// # Errors
/// 503 `validation_busy` when too many wait already, 422 `definition_unreadable` when this one takes
/// more than ten seconds.
pub async fn parse(text: String) -> Result<Read, ApiError> {
    let (answer, answered) = oneshot::channel();
    match QUEUE.try_send(Job { text, answer }) {
        Ok(()) => {}
        Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
            let detail = "too many definitions are being read; try again";
            return Err(ApiError::unavailable("validation_busy", detail));
        }
    }
    match timeout(PATIENCE, answered).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(_)) | Err(_) => Err(ApiError::invalid(
            "definition_unreadable",
            "reading the definition took too long; make it smaller",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_definition_or_its_faults_come_back() {
        let good = parse("name: w\nnodes: {a: {kind: noop}}".to_owned()).await;
        assert_eq!(good.unwrap().unwrap().name(), "w");
        let bad = parse("name: w".to_owned()).await;
        assert_eq!(bad.unwrap().unwrap_err()[0].code, "missing_field");
    }

    #[actix_web::test]
    async fn more_than_can_wait_are_refused_and_none_is_lost() {
        let large = format!("name: w\nnodes: [{}]", "a, ".repeat(90_000));
        let all = (0..4 * WAITING).map(|_| parse(large.clone()));
        let answers = futures_util::future::join_all(all).await;
        let busy = |answer: &&Result<Read, ApiError>| answer.is_err();
        let refused = answers.iter().filter(busy).count();
        assert!(refused > 0 && refused < answers.len(), "{refused} refused");
        assert!(parse("name: w".to_owned()).await.is_ok());
    }
}
