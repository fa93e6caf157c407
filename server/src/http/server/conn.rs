//! What is known of each connection, and which of them are let go.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;

/// Bytes a second that a client must take or give, beyond the first moments.
pub const SLOWEST_RATE: f64 = 4096.0;
/// Bytes that are read ahead while a request is being answered.
const READ_AHEAD: usize = 4096;
/// Largest head of a request, bytes.
pub(super) const LARGEST_HEAD: usize = 32 * 1024;

/// How long a client is waited for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// Between two requests.
    pub idle: Duration,
    /// For a head, a body or the taking of an answer, before [`SLOWEST_RATE`] counts.
    pub stall: Duration,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Between requests, or receiving the head of the next.
    Waiting,
    /// A request is being followed that has no body, or whose body is read.
    Working,
    /// A request is being followed whose body is still to be read.
    Receiving,
    /// A WebSocket: bytes go both ways without end.
    Socket,
    /// Server-sent events: bytes go out without end.
    Events,
}

/// One connection: what it is doing, shared between its socket, its requests and the watch.
#[derive(Debug)]
pub struct Conn {
    id: u64,
    all: Weak<Connections>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    received: usize,
    sent: usize,
    /// The client does not take what is to be written.
    blocked: bool,
    /// It is to be closed at its next poll.
    condemned: bool,
    waker: Option<Waker>,
}

/// Whether a socket may be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Up to so many bytes.
    Upto(usize),
    /// Not before the phase changes.
    Later,
    /// It has sent a head that is too large.
    HeadTooLarge,
}

impl Conn {
    fn new(id: u64, all: Weak<Connections>, now: Instant) -> Self {
        Self {
            id,
            all,
            state: Mutex::new(State {
                phase: Phase::Waiting,
                since: now,
                received: 0,
                sent: 0,
                blocked: false,
                condemned: false,
                waker: None,
            }),
        }
    }

    /// Says what it does from now on.
    pub fn enter(&self, phase: Phase) {
        let waker = {
            let mut state = self.state.lock();
            state.phase = phase;
            state.since = Instant::now();
            state.received = 0;
            state.sent = 0;
            state.waker.take()
        };
        // Reading may have been put off until now.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A place among the endless answers; none when all are taken.
    #[must_use]
    pub fn stream_place(&self) -> Option<OwnedSemaphorePermit> {
        let all = self.all.upgrade()?;
        Arc::clone(&all.streams).try_acquire_owned().ok()
    }

    pub(super) fn condemned(&self) -> bool {
        self.state.lock().condemned
    }

    pub(super) fn blocked(&self) -> bool {
        self.state.lock().blocked
    }

    pub(super) fn reading(&self) -> Reading {
        let state = self.state.lock();
        match state.phase {
            Phase::Waiting if state.received >= LARGEST_HEAD => Reading::HeadTooLarge,
            Phase::Waiting => Reading::Upto(READ_AHEAD),
            // Else requests would be parsed ahead by the thousand, and a full buffer be looked at
            // again and again for as long as the answer takes.
            Phase::Working | Phase::Events => match READ_AHEAD.saturating_sub(state.received) {
                0 => Reading::Later,
                rest => Reading::Upto(rest),
            },
            Phase::Receiving | Phase::Socket => Reading::Upto(usize::MAX),
        }
    }

    pub(super) fn read(&self, bytes: usize) {
        let mut state = self.state.lock();
        if state.phase == Phase::Waiting && state.received == 0 {
            // From its first byte on a head has its own time.
            state.since = Instant::now();
        }
        state.received = state.received.saturating_add(bytes);
    }

    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.sent = state.sent.saturating_add(bytes);
        state.blocked = false;
    }

    pub(super) fn write_blocked(&self, waker: &Waker) {
        let mut state = self.state.lock();
        state.blocked = true;
        state.waker = Some(waker.clone());
    }

    pub(super) fn waits(&self, waker: &Waker) {
        self.state.lock().waker = Some(waker.clone());
    }

    fn condemn(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.condemned = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it has made too little progress.
    fn is_overdue(&self, patience: Patience, now: Instant) -> bool {
        self.state.lock().is_overdue(patience, now)
    }
}

impl State {
    fn is_overdue(&self, patience: Patience, now: Instant) -> bool {
        let lasted = now.saturating_duration_since(self.since);
        let earned =
            |bytes: usize| patience.stall + Duration::from_secs_f64(bytes as f64 / SLOWEST_RATE);
        match self.phase {
            // Sleepers are the bus's business: they cost nothing but their place.
            Phase::Socket | Phase::Events => false,
            _ if self.blocked => lasted > earned(self.sent),
            Phase::Waiting if self.received == 0 => lasted > patience.idle,
            Phase::Waiting => lasted > earned(self.received),
            // Bodies are timed by who reads them, so that the client is told.
            Phase::Working | Phase::Receiving => false,
        }
    }

    const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Waiting) && !self.condemned
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        if let Some(all) = self.all.upgrade() {
            all.open.lock().remove(&self.id);
        }
    }
}

/// All connections.
#[derive(Debug)]
pub struct Connections {
    limits: Limits,
    patience: Patience,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Weak<Conn>>>,
    streams: Arc<Semaphore>,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits, patience: Patience) -> Self {
        Self {
            limits,
            patience,
            next: AtomicU64::new(0),
            open: Mutex::default(),
            streams: Arc::new(Semaphore::new(limits.streams)),
        }
    }

    /// Takes a connection in. When there are nearly too many, those that have idled longest are let
    /// go, so that who has something to ask always finds a place.
    pub fn admit(self: &Arc<Self>) -> Arc<Conn> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let conn = Arc::new(Conn::new(id, Arc::downgrade(self), Instant::now()));
        let count = {
            let mut open = self.open.lock();
            open.insert(id, Arc::downgrade(&conn));
            open.len()
        };
        let most = self.limits.connections;
        if count > most - most / 8 {
            self.let_go(count - (most - most / 4), id);
        }
        conn
    }

    fn all(&self) -> Vec<Arc<Conn>> {
        // Upgraded first and dropped by the caller: the end of one takes the lock.
        let open = self.open.lock();
        open.values().filter_map(Weak::upgrade).collect()
    }

    /// Lets `count` of those go that have idled longest, but for the newest.
    fn let_go(&self, count: usize, newest: u64) {
        let mut idle: Vec<(Instant, Arc<Conn>)> = Vec::new();
        let mut leaving = 0;
        for conn in self.all() {
            let state = conn.state.lock();
            leaving += usize::from(state.condemned);
            if state.is_idle() && conn.id != newest {
                let since = state.since;
                drop(state);
                idle.push((since, conn));
            }
        }
        idle.sort_by_key(|(since, conn)| (*since, conn.id));
        for (_, conn) in idle.iter().take(count.saturating_sub(leaving)) {
            conn.condemn();
        }
    }

    fn let_overdue_go(&self, now: Instant) {
        for conn in self.all() {
            if conn.is_overdue(self.patience, now) {
                conn.condemn();
            }
        }
    }
}

/// Looks after connections for as long as they are there.
pub(super) async fn sweep(connections: Weak<Connections>) {
    while let Some(all) = connections.upgrade() {
        all.let_overdue_go(Instant::now());
        let shortest = all.patience.idle.min(all.patience.stall);
        let period = (shortest / 4).clamp(Duration::from_millis(20), Duration::from_secs(1));
        drop(all);
        tokio::time::sleep(period).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        idle: Duration::from_secs(30),
        stall: Duration::from_secs(10),
    };

    fn connections(most: usize) -> Arc<Connections> {
        let limits = Limits::new(u64::MAX, 4, Some(most));
        Arc::new(Connections::new(limits, PATIENCE))
    }

    fn overdue_after(conn: &Conn, seconds: u64) -> bool {
        conn.is_overdue(PATIENCE, Instant::now() + Duration::from_secs(seconds))
    }

    #[test]
    fn each_phase_has_its_own_patience() {
        let all = connections(8);
        let conn = all.admit();
        assert!(
            !overdue_after(&conn, 29) && overdue_after(&conn, 31),
            "idle"
        );
        conn.read(1);
        assert!(
            !overdue_after(&conn, 9) && overdue_after(&conn, 12),
            "a head"
        );
        conn.enter(Phase::Working);
        assert!(!overdue_after(&conn, 100_000), "the server's own work");
        conn.write_blocked(Waker::noop());
        assert!(overdue_after(&conn, 12), "an answer nobody reads");
        conn.wrote(4096 * 60);
        conn.write_blocked(Waker::noop());
        assert!(!overdue_after(&conn, 60), "an answer read slowly");
        conn.enter(Phase::Socket);
        assert!(!overdue_after(&conn, 100_000), "a sleeping viewer");
    }

    #[test]
    fn little_is_read_ahead_of_an_answer() {
        let all = connections(8);
        let conn = all.admit();
        conn.enter(Phase::Working);
        assert_eq!(conn.reading(), Reading::Upto(READ_AHEAD));
        conn.read(READ_AHEAD);
        assert_eq!(conn.reading(), Reading::Later);
        conn.enter(Phase::Waiting);
        conn.read(LARGEST_HEAD);
        assert_eq!(conn.reading(), Reading::HeadTooLarge);
    }

    #[test]
    fn those_that_idle_longest_make_room() {
        let all = connections(16);
        let old: Vec<_> = (0..7).map(|_| all.admit()).collect();
        let busy = all.admit();
        busy.enter(Phase::Working);
        let new: Vec<_> = (0..7).map(|_| all.admit()).collect();
        let condemned = |list: &[Arc<Conn>]| list.iter().filter(|conn| conn.condemned()).count();
        assert!(!busy.condemned());
        assert_eq!(condemned(&old), 3);
        assert_eq!(condemned(&new), 0);
        drop(old);
        assert_eq!(all.open.lock().len(), 8);
    }
}
