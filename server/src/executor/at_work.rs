//! Which executions have attempts at work, whichever coordinator started them.
//!
//! An attempt outlives a coordinator that failed by the time its programs take to end. Whoever takes
//! the execution over waits here until that is past, so that no node is ever tried twice at a time.

use std::{collections::HashMap, sync::Arc};

use limelight_protocol::ExecutionId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Attempts at work, by execution. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct AtWork(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    count: Mutex<HashMap<ExecutionId, usize>>,
    left: Notify,
}

/// One attempt at work. Dropping it says that everything it started has ended.
#[derive(Debug)]
#[must_use = "an attempt is at work only while this is kept"]
pub struct Presence {
    at_work: AtWork,
    execution: ExecutionId,
}

impl AtWork {
    /// An attempt of `execution` begins.
    pub fn enter(&self, execution: ExecutionId) -> Presence {
        *self.0.count.lock().entry(execution).or_default() += 1;
        Presence {
            at_work: self.clone(),
            execution,
        }
    }

    /// Whether an attempt of `execution` is at work.
    #[must_use]
    pub fn is_at_work(&self, execution: ExecutionId) -> bool {
        self.0.count.lock().contains_key(&execution)
    }

    /// Waits until no attempt of `execution` is at work.
    pub async fn until_done(&self, execution: ExecutionId) {
        self.until(|count| !count.contains_key(&execution)).await;
    }

    /// Waits until no attempt at all is at work.
    pub async fn until_empty(&self) {
        self.until(HashMap::is_empty).await;
    }

    async fn until(&self, holds: impl Fn(&HashMap<ExecutionId, usize>) -> bool) {
        loop {
            let left = self.0.left.notified();
            if holds(&self.0.count.lock()) {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut count = self.at_work.0.count.lock();
        if let Some(attempts) = count.get_mut(&self.execution) {
            *attempts -= 1;
            if *attempts == 0 {
                count.remove(&self.execution);
            }
        }
        drop(count);
        self.at_work.0.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn an_execution_is_done_when_its_last_attempt_has_left() {
        let at_work = AtWork::default();
        let (mine, other) = (ExecutionId(Uuid::now_v7()), ExecutionId(Uuid::now_v7()));
        let first = at_work.enter(mine);
        let second = at_work.enter(mine);
        let _other = at_work.enter(other);
        let mut done = Box::pin(at_work.until_done(mine));
        assert!(poll!(&mut done).is_pending());
        drop(first);
        assert!(poll!(&mut done).is_pending());
        drop(second);
        assert_eq!(poll!(&mut done), Poll::Ready(()));
        assert!(poll!(Box::pin(at_work.until_empty())).is_pending());
    }
}
