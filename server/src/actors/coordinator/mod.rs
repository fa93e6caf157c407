//! Coordinator: one live execution.
//!
//! - Messages: [`Begin`], [`Control`] from callers; [`Fed`] from attempts, slots and timers;
//!   [`Halt`] when the server stops.
//! - It asks the engine, gives the decided events to the journal, and performs the decided actions
//!   once they are committed. It may decide ahead of a commit; it never acts or answers ahead.
//! - When it fails: its attempts are stopped with it, and a fresh one replays the stream, takes a
//!   new fencing number and recovers. A commit that fails is such a failure.
//! - Never: writes anything itself, or acts for an execution another owner has taken over.

mod load;
mod messages;
mod outbox;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
    time::Duration,
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use limelight_engine::{Action, Command, Decision, Rejection, Rendered, Run, Timer};
use limelight_protocol::{Execution, ExecutionId, execution::NodeError};
use tokio::sync::oneshot;

pub use self::messages::{Begin, Control, Halt};

use self::{
    load::Loaded,
    messages::Fed,
    outbox::{Batch, Outbox},
};
use super::{
    attempt::{self, AttemptId},
    journal,
    supervisor::{Lease, Supervised},
};
use crate::{
    clock,
    executor::{Failure, StopReason, Stopper, Success, slots::Slot},
    services::Services,
    store::AppendError,
};

/// A coordinator whose execution has ended stays this long for another command.
const LINGER: Duration = Duration::from_secs(2);

/// Why a command had no effect.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ControlError {
    /// The engine does not allow it as things stand.
    #[error("{}", .0.detail)]
    Rejected(Rejection),
    /// It could not be committed in time; it may be yet.
    #[error("the execution is not available just now")]
    Unavailable,
}

/// Where to answer: the execution as it stands after the commit.
pub type Answer = oneshot::Sender<Result<Execution, ControlError>>;

/// The coordinator.
pub struct Coordinator {
    lease: Lease,
    services: Arc<Services>,
    id: ExecutionId,
    /// Whether the execution is yet to begin, so that there is nothing to load.
    fresh: bool,
    live: Option<Live>,
}

/// What is known once the execution is loaded or begun.
struct Live {
    run: Run,
    outbox: Outbox,
    /// Of the attempts at work: their slot, and how to stop them.
    attempts: HashMap<(usize, u32), Attempt>,
    committing: bool,
}

#[derive(Default)]
struct Attempt {
    /// Dropped to free the slot.
    _slot: Option<Slot>,
    /// Dropped to stop the attempt.
    stopper: Option<Stopper>,
}

impl Coordinator {
    /// Makes the values behind one handle: only the first may begin a fresh execution, those that
    /// follow load it.
    pub fn factory(
        services: Arc<Services>,
        id: ExecutionId,
        fresh: bool,
    ) -> impl Fn(Lease) -> Self + Send + Sync + 'static {
        let fresh = AtomicBool::new(fresh);
        move |lease| Self {
            lease,
            services: Arc::clone(&services),
            id,
            fresh: fresh.swap(false, AcqRel),
            live: None,
        }
    }

    fn fail(&self, error: impl std::fmt::Display, ctx: &mut Context<Self>) {
        self.lease.fail(error);
        ctx.stop();
    }

    /// Asks the engine, and sends what it decided to the journal.
    fn decide(&mut self, command: Command, answer: Option<Answer>, ctx: &mut Context<Self>) {
        let Some(live) = &mut self.live else {
            if let Some(answer) = answer {
                let _ = answer.send(Err(ControlError::Unavailable));
            }
            return;
        };
        let now = clock::now();
        match live.run.handle(command, now, clock::jitter()) {
            Ok(Decision { events, actions }) => {
                live.outbox.push(&live.run, events, actions, answer, now);
                self.commit(ctx);
            }
            Err(rejection) => {
                if let Some(answer) = answer {
                    let _ = answer.send(Err(ControlError::Rejected(rejection)));
                }
            }
        }
    }

    fn commit(&mut self, ctx: &mut Context<Self>) {
        let Some(live) = &mut self.live else { return };
        if live.committing {
            return;
        }
        let Some(batch) = live.outbox.take(&live.run) else {
            return;
        };
        let Batch {
            append,
            actions,
            answers,
            execution,
            facts,
        } = batch;
        let Some(append) = append else {
            self.committed(actions, answers, &execution, ctx);
            return;
        };
        live.committing = true;
        let commit = journal::append(self.services.journal.clone(), append);
        ctx.spawn(
            commit
                .into_actor(self)
                .map(move |result, this, ctx| match result {
                    Ok(_) => {
                        if let Some(live) = &mut this.live {
                            live.committing = false;
                        }
                        facts.emit(&execution, &this.services.metrics);
                        this.committed(actions, answers, &execution, ctx);
                    }
                    Err(AppendError::Fenced) => {
                        tracing::warn!(execution = %this.id, "another owner has taken over");
                        this.lease.finish();
                        ctx.stop();
                    }
                    Err(error) => this.fail(error, ctx),
                }),
        );
    }

    fn committed(
        &mut self,
        actions: Vec<Action>,
        answers: Vec<Answer>,
        execution: &Execution,
        ctx: &mut Context<Self>,
    ) {
        for answer in answers {
            // A caller that went away needs no answer.
            let _ = answer.send(Ok(execution.clone()));
        }
        for action in actions {
            self.perform(action, ctx);
        }
        self.commit(ctx);
        if self.is_over() {
            ctx.run_later(LINGER, |this, ctx| {
                if this.is_over() {
                    this.lease.finish();
                    ctx.stop();
                }
            });
        }
    }

    fn is_over(&self) -> bool {
        self.live.as_ref().is_some_and(|live| {
            live.run.is_finished() && !live.committing && live.outbox.is_empty()
        })
    }

    fn perform(&mut self, action: Action, ctx: &mut Context<Self>) {
        match action {
            Action::AcquireSlot { node, attempt } => {
                let slots = self.services.slots.clone();
                let granted = async move { slots.acquire().await }.into_actor(self);
                ctx.spawn(granted.map(move |slot, this, ctx| {
                    // No slot comes any more when the server stops.
                    if let Some(slot) = slot {
                        this.slot_granted(node, attempt, slot, ctx);
                    }
                }));
            }
            Action::Perform {
                node,
                attempt,
                work: Rendered::Noop,
            } => {
                // Through the mailbox like any result, so that nodes side by side share commits.
                self.lease.sent_to_self();
                ctx.notify(Fed(completed(node, attempt, Success::default())));
            }
            Action::Perform {
                node,
                attempt,
                work,
            } => self.start_attempt(node, attempt, work, ctx),
            Action::SetTimer(timer) => Self::set_timer(timer, ctx),
            Action::Stop { node, attempt } => {
                let stopped = self
                    .live
                    .as_mut()
                    .and_then(|live| live.attempts.remove(&(node, attempt)));
                if let Some(stopper) = stopped.and_then(|attempt| attempt.stopper) {
                    stopper.stop(StopReason::Cancelled);
                }
            }
        }
    }

    fn slot_granted(&mut self, node: usize, attempt: u32, slot: Slot, ctx: &mut Context<Self>) {
        let Some(live) = &mut self.live else { return };
        live.attempts.entry((node, attempt)).or_default()._slot = Some(slot);
        self.decide(Command::SlotGranted { node, attempt }, None, ctx);
        self.drop_stale(node, attempt);
    }

    /// Gives a slot back when the engine did not want it any more.
    fn drop_stale(&mut self, node: usize, attempt: u32) {
        let Some(live) = &mut self.live else { return };
        if live.run.active_attempt(node) != Some(attempt) {
            live.attempts.remove(&(node, attempt));
        }
    }

    fn start_attempt(
        &mut self,
        node: usize,
        attempt: u32,
        work: Rendered,
        ctx: &mut Context<Self>,
    ) {
        let Some(live) = &mut self.live else { return };
        let id = AttemptId {
            execution: self.id,
            node: live.run.definition().nodes()[node].id.clone(),
            attempt,
        };
        let (stopper, signal) = Stopper::new();
        live.attempts.entry((node, attempt)).or_default().stopper = Some(stopper);
        let (addr, vitals) = (ctx.address(), self.lease.vitals());
        let progress = move |progress, message| {
            vitals.sent();
            addr.do_send(Fed(Command::Progress {
                node,
                attempt,
                progress,
                message,
            }));
        };
        // A task of its own: a panic in it is this attempt's failure and nobody else's.
        let task = actix_rt::spawn(attempt::perform(
            Arc::clone(&self.services),
            id,
            work,
            signal,
            progress,
        ));
        ctx.spawn(task.into_actor(self).map(move |joined, this, ctx| {
            this.forget(node, attempt);
            let command = match joined {
                Ok(Ok(success)) => completed(node, attempt, success),
                Ok(Err(Failure { error, retryable })) => Command::Failed {
                    node,
                    attempt,
                    error,
                    retryable,
                },
                Err(_) => {
                    let message = "the attempt panicked; the server's log has the text".to_owned();
                    let error = NodeError {
                        code: "internal".into(),
                        message,
                    };
                    Command::Failed {
                        node,
                        attempt,
                        error,
                        retryable: true,
                    }
                }
            };
            this.decide(command, None, ctx);
        }));
    }

    fn forget(&mut self, node: usize, attempt: u32) {
        if let Some(live) = &mut self.live {
            live.attempts.remove(&(node, attempt));
        }
    }

    fn set_timer(timer: Timer, ctx: &mut Context<Self>) {
        let wait_s = timer.at.since_s(clock::now()).max(0.0);
        ctx.run_later(Duration::from_secs_f64(wait_s), move |this, ctx| {
            this.decide(Command::TimerFired(timer), None, ctx);
        });
    }

    fn resume(&mut self, loaded: Option<Loaded>, ctx: &mut Context<Self>) {
        let Some(Loaded {
            run,
            execution,
            fence,
        }) = loaded
        else {
            // Its begin was never committed, so nobody was told that it exists.
            self.lease.finish();
            ctx.stop();
            return;
        };
        let ended = run.is_finished();
        self.live = Some(Live {
            run,
            outbox: Outbox::resumed(execution, fence),
            attempts: HashMap::new(),
            committing: false,
        });
        if ended {
            ctx.run_later(LINGER, |this, ctx| {
                if this.is_over() {
                    this.lease.finish();
                    ctx.stop();
                }
            });
        } else {
            self.decide(Command::Recover, None, ctx);
        }
    }
}

fn completed(node: usize, attempt: u32, success: Success) -> Command {
    let Success {
        outputs,
        artifacts,
        quality,
    } = success;
    Command::Completed {
        node,
        attempt,
        outputs,
        artifacts,
        quality,
    }
}

impl Supervised for Coordinator {
    const KIND: &'static str = "coordinator";
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.fresh {
            return;
        }
        let load = load::load(Arc::clone(&self.services), self.id);
        ctx.wait(load.into_actor(self).map(|loaded, this, ctx| match loaded {
            Ok(loaded) => this.resume(loaded, ctx),
            Err(load::LoadError::Corrupt(error)) => {
                this.lease.give_up(error);
                ctx.stop();
            }
            Err(load::LoadError::Store(error)) => this.fail(error, ctx),
        }));
    }
}
