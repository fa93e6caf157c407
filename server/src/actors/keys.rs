//! Idempotency keys of starts under way: one start at a time for a key, and whoever comes back with
//! the key of a start that was not answered finds it. What has begun is found in the store.

use std::{collections::HashMap, sync::Arc};

use limelight_protocol::{ExecutionId, event::WorkflowStarted};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedMutexGuard;

/// The keys in use. Clones share them.
#[derive(Clone, Default)]
pub struct Keys(Arc<Mutex<HashMap<String, Entry>>>);

#[derive(Default)]
struct Entry {
    turn: Arc<tokio::sync::Mutex<()>>,
    started: Option<Started>,
}

/// What a key has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// As which execution.
    pub id: ExecutionId,
    /// By which request, see [`fingerprint`].
    pub fingerprint: String,
}

/// One start with a key; others with the same key wait until this is dropped.
pub struct Turn {
    keys: Keys,
    key: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Keys {
    /// Waits for its turn with a key.
    pub async fn turn(&self, key: &str) -> Turn {
        let turn = {
            let mut entries = self.0.lock();
            Arc::clone(&entries.entry(key.to_owned()).or_default().turn)
        };
        // Made first, so that the entry is looked after also when the caller gives up waiting.
        let mut mine = Turn {
            keys: self.clone(),
            key: key.to_owned(),
            guard: None,
        };
        mine.guard = Some(turn.lock_owned().await);
        mine
    }

    /// An execution has ended or never began: whoever asks for it now finds it in the store, or not.
    pub fn forget(&self, id: ExecutionId) {
        let mut entries = self.0.lock();
        for entry in entries.values_mut() {
            if entry
                .started
                .as_ref()
                .is_some_and(|started| started.id == id)
            {
                entry.started = None;
            }
        }
        entries.retain(|_, entry| entry.is_in_use());
    }
}

impl Entry {
    fn is_in_use(&self) -> bool {
        self.started.is_some() || Arc::strong_count(&self.turn) > 1
    }
}

impl Turn {
    /// What the key has started and nobody knows the fate of.
    #[must_use]
    pub fn started(&self) -> Option<Started> {
        let entries = self.keys.0.lock();
        entries.get(&self.key)?.started.clone()
    }

    /// The key starts this.
    pub fn starts(&self, started: Started) {
        if let Some(entry) = self.keys.0.lock().get_mut(&self.key) {
            entry.started = Some(started);
        }
    }

    /// What the key started is in the store, or will never be.
    pub fn settled(&self) {
        if let Some(entry) = self.keys.0.lock().get_mut(&self.key) {
            entry.started = None;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut entries = self.keys.0.lock();
        if entries
            .get(&self.key)
            .is_some_and(|entry| !entry.is_in_use())
        {
            entries.remove(&self.key);
        }
    }
}

/// Tells requests apart: SHA-256, in hexadecimal, of what is to be started.
#[must_use]
pub fn fingerprint(workflow: limelight_protocol::WorkflowId, started: &WorkflowStarted) -> String {
    let WorkflowStarted {
        params,
        name,
        labels,
        ..
    } = started;
    // The version is left out: a repetition is the same after an edit of the workflow, too.
    let request = serde_json::json!([workflow, params, name, labels]);
    let digest = Sha256::digest(request.to_string());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_key_has_one_turn_at_a_time_and_others_are_not_held_up() {
        let keys = Keys::default();
        let first = keys.turn("a").await;
        assert!(keys.turn("a").now_or_never().is_none());
        assert!(keys.turn("b").now_or_never().is_some());
        drop(first);
        assert!(keys.turn("a").now_or_never().is_some());
        assert!(keys.0.lock().is_empty());
    }

    #[tokio::test]
    async fn what_was_started_without_an_answer_is_known_until_its_fate_is() {
        let keys = Keys::default();
        let started = Started {
            id: ExecutionId(Uuid::now_v7()),
            fingerprint: "r".to_owned(),
        };
        keys.turn("a").await.starts(started.clone());
        assert_eq!(keys.turn("a").await.started(), Some(started.clone()));
        keys.forget(started.id);
        assert_eq!(keys.turn("a").await.started(), None);
        keys.turn("a").await.starts(started);
        keys.turn("a").await.settled();
        assert!(keys.0.lock().is_empty());
    }
}
