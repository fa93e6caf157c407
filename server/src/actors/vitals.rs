//! What an actor says of itself, and the registry in which everybody can read it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
};

use limelight_protocol::{
    Timestamp,
    actor::{ActorSnapshot, ActorState, ActorTree},
};
use parking_lot::{Mutex, RwLock};

use crate::clock;

const STATES: [ActorState; 4] = [
    ActorState::Running,
    ActorState::Restarting,
    ActorState::Stopped,
    ActorState::Failed,
];

/// Counters of one actor. They outlive its restarts.
#[derive(Debug)]
pub struct Vitals {
    path: String,
    kind: &'static str,
    started_at: Timestamp,
    state: AtomicU8,
    sent: AtomicU64,
    handled: AtomicU64,
    restarts: AtomicU64,
    panics: AtomicU64,
    last_beat: AtomicI64,
    last_error: Mutex<Option<String>>,
}

impl Vitals {
    fn new(path: String, kind: &'static str) -> Self {
        let now = clock::now();
        Self {
            path,
            kind,
            started_at: now,
            state: AtomicU8::new(0),
            sent: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            last_beat: AtomicI64::new(now.millis()),
            last_error: Mutex::new(None),
        }
    }

    /// Place in the tree.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What sort of actor.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// A message was put into the mailbox.
    pub fn sent(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    /// A message was handled.
    pub fn handled(&self) {
        self.handled.fetch_add(1, Relaxed);
        self.last_beat.store(clock::now().millis(), Relaxed);
    }

    /// Messages waiting.
    #[must_use]
    pub fn mailbox(&self) -> u64 {
        self.sent
            .load(Relaxed)
            .saturating_sub(self.handled.load(Relaxed))
    }

    /// It ended; what was in its mailbox is gone with it.
    pub fn ended(&self, state: ActorState, error: Option<String>, panicked: bool) {
        self.set_state(state);
        self.sent.store(self.handled.load(Relaxed), Relaxed);
        self.panics.fetch_add(u64::from(panicked), Relaxed);
        if error.is_some() {
            *self.last_error.lock() = error;
        }
    }

    /// A fresh one takes over.
    pub fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
        self.last_beat.store(clock::now().millis(), Relaxed);
        self.set_state(ActorState::Running);
    }

    fn set_state(&self, state: ActorState) {
        self.state.store(state as u8, Relaxed);
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> ActorState {
        STATES[usize::from(self.state.load(Relaxed)) % STATES.len()]
    }

    /// All of it, for clients.
    #[must_use]
    pub fn snapshot(&self) -> ActorSnapshot {
        ActorSnapshot {
            path: self.path.clone(),
            kind: self.kind.to_owned(),
            state: self.state(),
            mailbox: self.mailbox(),
            handled: self.handled.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            panics: self.panics.load(Relaxed),
            started_at: self.started_at,
            last_beat: Timestamp(self.last_beat.load(Relaxed)),
            last_error: self.last_error.lock().clone(),
        }
    }
}

/// All actors there are, by path.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<RwLock<BTreeMap<String, Arc<Vitals>>>>);

impl Registry {
    /// Enters an actor; it leaves the registry by [`Registry::remove`].
    #[must_use]
    pub fn enter(&self, path: String, kind: &'static str) -> Arc<Vitals> {
        let vitals = Arc::new(Vitals::new(path.clone(), kind));
        self.0.write().insert(path, Arc::clone(&vitals));
        vitals
    }

    /// Enters something that lives only as long as the returned entry, such as an attempt.
    #[must_use]
    pub fn enter_scoped(&self, path: String, kind: &'static str) -> Entry {
        Entry {
            registry: self.clone(),
            vitals: self.enter(path, kind),
        }
    }

    /// Takes an actor out; one that was entered since under the same path stays.
    pub fn remove(&self, vitals: &Arc<Vitals>) {
        let mut actors = self.0.write();
        if actors
            .get(vitals.path())
            .is_some_and(|entered| Arc::ptr_eq(entered, vitals))
        {
            actors.remove(vitals.path());
        }
    }

    /// Every actor, ordered by path.
    #[must_use]
    pub fn tree(&self) -> ActorTree {
        let actors = self
            .0
            .read()
            .values()
            .map(|vitals| vitals.snapshot())
            .collect();
        ActorTree {
            at: clock::now(),
            actors,
        }
    }

    /// Calls `visit` with every actor.
    pub fn for_each(&self, mut visit: impl FnMut(&Vitals)) {
        for vitals in self.0.read().values() {
            visit(vitals);
        }
    }
}

/// A registry entry that ends with its scope.
#[derive(Debug)]
pub struct Entry {
    registry: Registry,
    vitals: Arc<Vitals>,
}

impl std::ops::Deref for Entry {
    type Target = Vitals;

    fn deref(&self) -> &Vitals {
        &self.vitals
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.remove(&self.vitals);
    }
}
