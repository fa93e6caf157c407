//! Supervision: a factory, backoff, panic containment and counters.
//!
//! actix restarts the same value and guards against no panic, so the project has its own. An actor
//! holds a [`Lease`]; when the value is dropped, for whatever reason, the lease tells the
//! supervisor's task, which starts a fresh value behind the same [`Handle`]. What was in the old
//! mailbox is lost: senders that wait get [`Unavailable`], and nothing was acknowledged to them.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, Addr, Context, Handler, Message, dev::ToEnvelope};
use actix_rt::ArbiterHandle;
use limelight_protocol::actor::ActorState;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, watch};

use super::vitals::{Registry, Vitals};
use crate::telemetry::{Metrics, events::ActorRestarted};

/// Messages that wait for one actor at most; [`Handle::try_send`] refuses more.
pub const MAILBOX_CAPACITY: usize = 1024;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// An actor that lived this long starts with the first backoff again.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Logs every panic as one event and keeps its text for the supervisor. Call once, at start.
pub fn install_panic_hook() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "panic without a text".to_owned());
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic = %text, %place, "panicked");
        LAST_PANIC.set(Some(format!("panicked: {text}")));
        // Tests show what the usual hook writes; the server's log has the event above.
        if cfg!(test) {
            usual(info);
        }
    }));
}

/// How an actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// On purpose.
    Stopped,
    /// It gave itself up; a fresh one would do no better.
    GaveUp(String),
    /// By an error of its own or by being dropped.
    Failed(String),
    /// By a panic.
    Panicked(String),
}

/// An actor's tie to its supervisor. Dropping it reports the end.
#[derive(Debug)]
pub struct Lease {
    vitals: Arc<Vitals>,
    end: Mutex<Option<End>>,
    ends: mpsc::UnboundedSender<End>,
}

impl Lease {
    /// Call at the begin of every handler.
    pub fn beat(&self) {
        self.vitals.handled();
    }

    /// For those who send to the actor past its handle and must count that.
    #[must_use]
    pub fn vitals(&self) -> Arc<Vitals> {
        Arc::clone(&self.vitals)
    }

    /// Counts a message the actor sends to itself past its handle.
    pub fn sent_to_self(&self) {
        self.vitals.sent();
    }

    /// The end that follows is on purpose.
    pub fn finish(&self) {
        self.end.lock().get_or_insert(End::Stopped);
    }

    /// The end that follows is a failure; a fresh actor is to take over.
    pub fn fail(&self, error: impl fmt::Display) {
        self.end
            .lock()
            .get_or_insert_with(|| End::Failed(error.to_string()));
    }

    /// The end that follows is a failure that a fresh actor would meet again.
    pub fn give_up(&self, error: impl fmt::Display) {
        self.end
            .lock()
            .get_or_insert_with(|| End::GaveUp(error.to_string()));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let end = if std::thread::panicking() {
            End::Panicked(LAST_PANIC.take().unwrap_or_else(|| "panicked".to_owned()))
        } else {
            let dropped = || End::Failed("dropped by its arbiter".to_owned());
            self.end.lock().take().unwrap_or_else(dropped)
        };
        // No receiver means that the server is going down.
        let _ = self.ends.send(end);
    }
}

/// An actor that can be supervised.
pub trait Supervised: Actor<Context = Context<Self>> {
    /// What sort of actor it is, for metrics and the supervision tree.
    const KIND: &'static str;
}

/// A message could not be answered: the actor failed with it, is restarting, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the actor is not available")]
pub struct Unavailable;

/// A message could not be put into the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many messages wait.
    #[error("the mailbox is full")]
    Full,
    /// The actor has ended or is being restarted.
    #[error("the actor is not available")]
    Unavailable,
}

/// Where to reach a supervised actor, whichever value is behind it.
pub struct Handle<A: Actor> {
    addr: Arc<RwLock<Option<Addr<A>>>>,
    vitals: Arc<Vitals>,
    ended: watch::Receiver<bool>,
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self {
            addr: Arc::clone(&self.addr),
            vitals: Arc::clone(&self.vitals),
            ended: self.ended.clone(),
        }
    }
}

impl<A: Actor> Handle<A> {
    /// Sends without waiting.
    ///
    /// # Errors
    /// When the mailbox is full or nobody is behind the handle.
    pub fn try_send<M>(&self, message: M) -> Result<(), Refused>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let addr = self.addr.read();
        let addr = addr.as_ref().ok_or(Refused::Unavailable)?;
        self.vitals.sent();
        addr.try_send(message).map_err(|error| {
            self.vitals.handled();
            match error {
                actix::dev::SendError::Full(_) => Refused::Full,
                actix::dev::SendError::Closed(_) => Refused::Unavailable,
            }
        })
    }

    /// Sends and waits for the answer; waits for room in the mailbox first.
    pub fn send<M>(
        &self,
        message: M,
    ) -> impl Future<Output = Result<M::Result, Unavailable>> + use<A, M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let addr = self.addr.read().clone();
        let request = addr.map(|addr| {
            self.vitals.sent();
            addr.send(message)
        });
        async move {
            match request {
                Some(request) => request.await.map_err(|_| Unavailable),
                None => Err(Unavailable),
            }
        }
    }

    /// Waits until the actor has ended for good.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means that the supervisor's task is gone, and the actor with it.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

/// What supervision needs to know of its surroundings.
#[derive(Clone)]
pub struct Supervision {
    /// Where actors are entered.
    pub registry: Registry,
    /// Where restarts are counted.
    pub metrics: Metrics,
}

/// Starts an actor on `arbiter` and keeps it alive: `factory` makes every value that stands behind
/// the returned handle. It ends for good when it finishes or gives itself up.
pub fn supervise<A, F>(
    supervision: &Supervision,
    arbiter: &ArbiterHandle,
    path: String,
    factory: F,
) -> Handle<A>
where
    A: Supervised,
    F: Fn(Lease) -> A + Send + Sync + 'static,
{
    let vitals = supervision.registry.enter(path, A::KIND);
    let (ends, ended_values) = mpsc::unbounded_channel();
    let (ended_tx, ended) = watch::channel(false);
    let factory = Arc::new(factory);
    let start = {
        let (vitals, arbiter) = (Arc::clone(&vitals), arbiter.clone());
        move || {
            let (vitals, ends, factory) = (Arc::clone(&vitals), ends.clone(), Arc::clone(&factory));
            A::start_in_arbiter(&arbiter, move |ctx| {
                ctx.set_mailbox_capacity(MAILBOX_CAPACITY);
                factory(Lease {
                    vitals,
                    end: Mutex::new(None),
                    ends,
                })
            })
        }
    };
    let addr = Arc::new(RwLock::new(Some(start())));
    let handle = Handle {
        addr: Arc::clone(&addr),
        vitals: Arc::clone(&vitals),
        ended,
    };
    let keeper = keep(supervision.clone(), vitals, addr, start, ended_values);
    arbiter.spawn(async move {
        keeper.await;
        // Nobody listening is nobody to tell.
        let _ = ended_tx.send(true);
    });
    handle
}

/// Replaces every value that ends before its time; returns once one ends for good.
async fn keep<A: Supervised>(
    supervision: Supervision,
    vitals: Arc<Vitals>,
    addr: Arc<RwLock<Option<Addr<A>>>>,
    start: impl Fn() -> Addr<A>,
    mut ends: mpsc::UnboundedReceiver<End>,
) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let began = Instant::now();
        let Some(end) = ends.recv().await else { return };
        addr.write().take();
        let (error, panicked) = match end {
            End::Stopped => {
                vitals.ended(ActorState::Stopped, None, false);
                supervision.registry.remove(&vitals);
                return;
            }
            End::GaveUp(error) => {
                tracing::error!(actor = vitals.path(), %error, "gave up");
                vitals.ended(ActorState::Failed, Some(error), false);
                return;
            }
            End::Failed(error) => (error, false),
            End::Panicked(error) => (error, true),
        };
        if began.elapsed() >= HEALTHY_AFTER {
            backoff = FIRST_BACKOFF;
        }
        supervision.metrics.emit(ActorRestarted {
            path: vitals.path(),
            kind: vitals.kind(),
            panicked,
            error: &error,
            backoff_s: backoff.as_secs_f64(),
        });
        vitals.ended(ActorState::Restarting, Some(error), panicked);
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
        vitals.restarted();
        *addr.write() = Some(start());
    }
}

#[cfg(test)]
mod tests;
