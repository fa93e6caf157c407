//! Coordinator: one live execution.
//!
//! - Messages: [`Begin`], [`Control`], [`Inspect`] from callers; grants of slots, and what attempts
//!   report, from within; [`Halt`] when the server stops.
//! - What is decided stands in [`machine`], the life of an attempt in [`attempts`]; this actor only
//!   carries messages in and effects out. Decisions go to the journal and are acted upon and
//!   answered once they are committed; it may decide ahead of a commit, never act or answer ahead.
//! - When it fails: its attempts are stopped with it, and a fresh one waits for their end, replays
//!   the stream, takes a new fencing number and recovers. A commit that fails is such a failure.
//! - Never: writes anything itself, or acts for an execution another owner has taken over.

mod attempts;
mod load;
mod machine;
mod messages;
mod outbox;
#[cfg(test)]
mod simulation;
mod timers;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};
use limelight_engine::{Command, Rejection};
use limelight_protocol::{Execution, ExecutionId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use self::{
    load::Loader,
    machine::Beginning,
    messages::{Begin, Control, Halt, Inspect},
    outbox::NewRow,
};

use self::{
    attempts::{Grants, Resources},
    load::{LoadError, Loaded},
    machine::{Effect, Job, Machine},
    messages::{Ended, Granted, Progressed},
};
use super::{
    attempt::{self, AttemptId},
    journal,
    supervisor::{Lease, Supervised},
};
use crate::{
    clock,
    services::Services,
    store::{Append, AppendError, Claimed},
};

/// A coordinator whose execution has ended stays this long for another command.
const LINGER: Duration = Duration::from_secs(2);

/// Why a command had no effect.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ControlError {
    /// The engine does not allow it as things stand.
    #[error("{}", .0.detail)]
    Rejected(Rejection),
    /// Nobody decided on it: the execution is being loaded, or the server stops.
    #[error("the execution is not available just now")]
    Unavailable,
    /// It was not committed in time; it may be yet, or be already.
    #[error("whether it was done is not known")]
    Unknown,
}

/// Where to answer: the execution as it stands after the commit.
pub type Answer = oneshot::Sender<Result<Execution, ControlError>>;

/// The coordinator.
pub struct Coordinator {
    lease: Lease,
    services: Arc<Services>,
    loader: Arc<Loader>,
    /// Whether all coordinators are to end.
    halting: Arc<AtomicBool>,
    id: ExecutionId,
    origin: Origin,
    machine: Option<Machine>,
    alarm: Option<(Duration, SpawnHandle)>,
    lingering: bool,
}

/// Where a coordinator's execution comes from.
#[derive(Debug)]
pub enum Origin {
    /// It is yet to begin, so there is nothing to load.
    Fresh,
    /// It was claimed for this server as it started.
    Claimed(Claimed),
    /// It is in the store, and whoever had it has it no more.
    Stored,
}

impl Coordinator {
    /// Makes the values behind one handle: only the first may begin a fresh execution or trust a
    /// claim, those that follow load it.
    pub fn factory(
        services: Arc<Services>,
        loader: Arc<Loader>,
        halting: Arc<AtomicBool>,
        id: ExecutionId,
        origin: Origin,
    ) -> impl Fn(Lease) -> Self + Send + Sync + 'static {
        let first = Mutex::new(Some(origin));
        move |lease| Self {
            lease,
            services: Arc::clone(&services),
            loader: Arc::clone(&loader),
            halting: Arc::clone(&halting),
            id,
            origin: first.lock().take().unwrap_or(Origin::Stored),
            machine: None,
            alarm: None,
            lingering: false,
        }
    }

    fn finish(&self, ctx: &mut Context<Self>) {
        self.lease.finish();
        ctx.stop();
    }

    fn fail(&self, error: impl std::fmt::Display, ctx: &mut Context<Self>) {
        self.lease.fail(error);
        ctx.stop();
    }

    fn resources(&self) -> Resources {
        Resources {
            slots: self.services.slots.clone(),
            at_work: self.services.at_work.clone(),
        }
    }

    /// Grants past the mailbox's limit: there is at most one for each node, and one that is lost
    /// with its coordinator is a slot that falls free.
    fn grants(&self, ctx: &Context<Self>) -> Grants {
        let (addr, vitals) = (ctx.address().downgrade(), self.lease.vitals());
        Arc::new(move |grant| {
            if let Some(addr) = addr.upgrade() {
                vitals.sent();
                addr.do_send(Granted(grant));
            }
        })
    }

    /// Performs what was decided, sees to the next timer, and ends when everything has.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        let Some(machine) = &mut self.machine else {
            return;
        };
        for effect in machine.take_effects() {
            match effect {
                Effect::Commit(append) => self.commit(append, ctx),
                Effect::Perform(job) => self.perform(*job, ctx),
            }
        }
        self.set_alarm(ctx);
        self.end_when_over(ctx);
    }

    fn commit(&self, append: Append, ctx: &mut Context<Self>) {
        let commit = journal::append(self.services.journal.clone(), append);
        ctx.spawn(
            commit
                .into_actor(self)
                .map(|result, this, ctx| match result {
                    Ok(_) => {
                        let Some(machine) = &mut this.machine else {
                            return;
                        };
                        if let Some(done) = machine.committed(clock::moment(), clock::jitter()) {
                            done.facts.emit(&done.execution, &this.services.metrics);
                        }
                        this.go_on(ctx);
                    }
                    Err(AppendError::Fenced) => {
                        tracing::warn!(execution = %this.id, "another owner has taken over");
                        if let Some(machine) = &mut this.machine {
                            machine.give_way();
                        }
                        this.finish(ctx);
                    }
                    Err(error) => this.fail(error, ctx),
                }),
        );
    }

    fn perform(&self, job: Job, ctx: &mut Context<Self>) {
        let Job {
            node,
            node_id,
            attempt,
            work,
            permit,
            stop,
        } = job;
        let id = AttemptId {
            execution: self.id,
            node: node_id,
            attempt,
        };
        let (addr, vitals) = (ctx.address().downgrade(), self.lease.vitals());
        let progress = move |progress, message| {
            let told = Progressed(Command::Progress {
                node,
                attempt,
                progress,
                message,
            });
            // A busy coordinator does without: the next one tells more.
            if let Some(addr) = addr.upgrade()
                && addr.try_send(told).is_ok()
            {
                vitals.sent();
            }
        };
        let work = attempt::perform(Arc::clone(&self.services), id, work, stop, progress);
        // A task of its own: a panic in it is this attempt's failure and nobody else's, and the
        // permit goes when the work has ended, whatever becomes of this actor.
        let task = actix_rt::spawn(async move {
            let result = work.await;
            drop(permit);
            result
        });
        ctx.spawn(task.into_actor(self).map(move |joined, this, ctx| {
            let ended = Ended {
                node,
                attempt,
                result: joined.unwrap_or_else(|_| Err(machine::panicked())),
            };
            this.lease.sent_to_self();
            // Through the mailbox, so that attempts that end together share a commit.
            ctx.notify(ended);
        }));
    }

    /// One alarm, for the next timer.
    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let due = self.machine.as_ref().and_then(Machine::next_due);
        if due == self.alarm.as_ref().map(|(due, _)| *due) {
            return;
        }
        if let Some((_, alarm)) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        self.alarm = due.map(|due| {
            let wait = due.saturating_sub(clock::moment().uptime);
            let alarm = ctx.run_later(wait, |this, ctx| {
                this.alarm = None;
                if let Some(machine) = &mut this.machine {
                    machine.wake(clock::moment(), clock::jitter());
                }
                this.go_on(ctx);
            });
            (due, alarm)
        });
    }

    fn end_when_over(&mut self, ctx: &mut Context<Self>) {
        let Some(machine) = &self.machine else { return };
        if machine.has_halted() {
            self.finish(ctx);
        } else if machine.is_over() && !self.lingering {
            self.lingering = true;
            ctx.run_later(LINGER, |this, ctx| {
                this.lingering = false;
                if this.machine.as_ref().is_some_and(Machine::is_over) {
                    this.finish(ctx);
                }
            });
        }
    }
}

/// Loads an execution once nothing of an earlier coordinator's is under way any more; `None` when it has
/// not begun and never will.
async fn load(
    services: &Services,
    loader: &Loader,
    id: ExecutionId,
    claimed: Option<&Claimed>,
) -> Result<Option<Loaded>, LoadError> {
    let Services { store, owner, .. } = services;
    // What a failed coordinator started must be gone before it is tried again.
    services.at_work.until_done(id).await;
    let loaded = loader.load(store, owner, id, claimed).await?;
    // The begin that a failed coordinator sent may still be on its way.
    if loaded.is_some() || !journal::has_begun(services.journal.clone(), id).await? {
        return Ok(loaded);
    }
    loader.load(store, owner, id, claimed).await
}

impl Supervised for Coordinator {
    const KIND: &'static str = "coordinator";
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Who takes over from one that failed after it was told to halt was not told.
        if self.halting.load(Relaxed) {
            self.finish(ctx);
            return;
        }
        let claimed = match std::mem::replace(&mut self.origin, Origin::Stored) {
            Origin::Fresh => return,
            Origin::Claimed(claimed) => Some(claimed),
            Origin::Stored => None,
        };
        let (services, loader, id) = (
            Arc::clone(&self.services),
            Arc::clone(&self.loader),
            self.id,
        );
        let load = async move { load(&services, &loader, id, claimed.as_ref()).await };
        ctx.wait(load.into_actor(self).map(|loaded, this, ctx| match loaded {
            Ok(Some(loaded)) => {
                this.machine = Some(Machine::resume(
                    loaded,
                    this.resources(),
                    this.grants(ctx),
                    clock::moment(),
                    clock::jitter(),
                ));
                this.go_on(ctx);
            }
            // Its begin was never committed and never will be, so nobody was told that it exists.
            Ok(None) => this.finish(ctx),
            Err(LoadError::Corrupt(error)) => {
                this.lease.give_up(error);
                ctx.stop();
            }
            Err(LoadError::Store(error)) => this.fail(error, ctx),
        }));
    }
}
