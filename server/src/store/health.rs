//! Whether the database takes writes: what became of the newest ones.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::error::StoreError;

/// Shared by the store and its journal writer.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    troubles: Mutex<[Option<StoreError>; 2]>,
    taken_over: watch::Sender<bool>,
}

/// A way of writing.
#[derive(Clone, Copy, Debug)]
pub enum Path {
    /// The journal's own connection.
    Journal,
    /// The connection of everything else.
    Rest,
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Inner {
            troubles: Mutex::default(),
            taken_over: watch::Sender::new(false),
        }))
    }
}

impl Health {
    /// Notes what became of a write. Only what the database is to blame for counts.
    pub fn note<T>(&self, path: Path, result: &Result<T, StoreError>) {
        let trouble = result.as_ref().err().filter(|error| error.is_transient());
        self.0.troubles.lock()[path as usize] = trouble.cloned();
    }

    /// Whether the newest write on this path failed.
    pub fn is_troubled(&self, path: Path) -> bool {
        self.0.troubles.lock()[path as usize].is_some()
    }

    /// Why the newest write on any path failed.
    pub fn trouble(&self) -> Option<StoreError> {
        self.0.troubles.lock().iter().flatten().next().cloned()
    }

    /// Another server has the database.
    pub fn take_over(&self) {
        self.0.taken_over.send_replace(true);
    }

    /// Whether another server has the database.
    pub fn is_taken_over(&self) -> bool {
        *self.0.taken_over.borrow()
    }

    /// Waits until another server has the database.
    pub async fn taken_over(&self) {
        let mut taken = self.0.taken_over.subscribe();
        // The sender is as long-lived as this.
        let _ = taken.wait_for(|taken| *taken).await;
    }
}
