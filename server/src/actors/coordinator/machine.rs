//! What a coordinator decides, without actors, clocks, tasks or I/O: what it is told goes in, what is
//! to be done comes out as [`Effect`]s. The actor performs them; the simulation does so in any order
//! and with any fault.

use std::sync::Arc;

use limelight_engine::{Action, Command, Decision, Definition, Rendered, Run, Timer};
use limelight_protocol::{Execution, NodeId, event::WorkflowStarted, execution::NodeError};

use super::{
    Answer, ControlError,
    attempts::{Attempts, Grant, Grants, Permit, Resources},
    load::Loaded,
    outbox::{Batch, Facts, NewRow, Outbox, Waiting},
    timers::Timers,
};
use crate::{
    clock::Moment,
    executor::{Failure, StopReason, StopSignal, Success},
    store::Append,
};

/// What is to be done.
pub enum Effect {
    /// Have these events committed, then say [`Machine::committed`]. One at a time.
    Commit(Append),
    /// Do this work, then drop the permit and say [`Machine::ended`].
    Perform(Box<Job>),
}

/// The work of an attempt.
pub struct Job {
    /// The node's place.
    pub node: usize,
    /// Its name.
    pub node_id: NodeId,
    /// Which attempt.
    pub attempt: u32,
    /// What to do.
    pub work: Rendered,
    /// To be dropped when everything that was started has ended.
    pub permit: Permit,
    /// When to end before the work is done.
    pub stop: StopSignal,
}

/// What follows from a commit, to be counted.
pub struct Committed {
    /// The execution as committed, without node states.
    pub execution: Execution,
    /// What happened.
    pub facts: Facts,
}

/// What the begin of an execution takes.
pub struct Beginning {
    /// The execution, pending, without node states.
    pub execution: Box<Execution>,
    /// What it performs.
    pub definition: Arc<Definition>,
    /// Its first event.
    pub started: WorkflowStarted,
    /// What is kept of it beside the execution.
    pub row: NewRow,
}

/// One live execution.
pub struct Machine {
    run: Run,
    outbox: Outbox,
    attempts: Attempts,
    timers: Timers,
    /// What follows from the commit under way.
    committing: Option<Pending>,
    halting: bool,
    effects: Vec<Effect>,
}

/// What waits for a commit.
struct Pending {
    actions: Vec<Action>,
    answers: Vec<Waiting>,
    execution: Execution,
    facts: Facts,
}

impl Machine {
    /// Begins an execution.
    pub fn begin(
        beginning: Beginning,
        resources: Resources,
        grants: Grants,
        answer: Answer,
        now: Moment,
        jitter: f64,
    ) -> Self {
        let Beginning {
            execution,
            definition,
            started,
            row,
        } = beginning;
        let id = execution.id;
        let mut machine = Self {
            run: Run::new(definition).with_id(id),
            outbox: Outbox::fresh(execution, row),
            attempts: Attempts::new(id, resources, grants),
            timers: Timers::default(),
            committing: None,
            halting: false,
            effects: Vec::new(),
        };
        machine.command(Command::Start(started), Some(answer), now, jitter);
        machine
    }

    /// Goes on with an execution that was loaded. No attempt of an earlier owner may be at work.
    pub fn resume(
        loaded: Loaded,
        resources: Resources,
        grants: Grants,
        now: Moment,
        jitter: f64,
    ) -> Self {
        let Loaded {
            run,
            execution,
            fence,
        } = loaded;
        let id = execution.id;
        let ended = run.is_finished();
        let mut machine = Self {
            run,
            outbox: Outbox::resumed(execution, fence),
            attempts: Attempts::new(id, resources, grants),
            timers: Timers::default(),
            committing: None,
            halting: false,
            effects: Vec::new(),
        };
        if !ended {
            machine.command(Command::Recover, None, now, jitter);
        }
        machine
    }

    /// Its state, as decided; the newest of it may not be committed yet.
    #[cfg(test)]
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// Takes what is to be done, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// When to call [`Machine::wake`], by the uptime.
    pub fn next_due(&self) -> Option<std::time::Duration> {
        self.timers.next_due()
    }

    /// Decides on a command. The answer is given once everything decided until then is committed.
    pub fn command(&mut self, command: Command, answer: Option<Answer>, now: Moment, jitter: f64) {
        if self.halting {
            if let Some(answer) = answer {
                let _ = answer.send(Err(ControlError::Unavailable));
            }
            return;
        }
        match self.decide(command, now, jitter) {
            Ok(()) => {
                self.outbox.answer(answer);
                self.commit(now, jitter);
            }
            // It may have been decided on what is not committed yet, and never will be.
            Err(rejection) => {
                self.outbox.refuse(answer, rejection);
                self.commit(now, jitter);
            }
        }
    }

    /// Answers how the execution stands, once everything decided until now is committed.
    pub fn inspect(&mut self, answer: Answer, now: Moment, jitter: f64) {
        self.outbox.answer(Some(answer));
        self.commit(now, jitter);
    }

    /// A slot is there.
    pub fn granted(&mut self, grant: Grant, now: Moment, jitter: f64) {
        let (node, attempt) = (grant.node, grant.attempt);
        if self.halting || !self.attempts.take(grant) {
            return;
        }
        match self.decide(Command::SlotGranted { node, attempt }, now, jitter) {
            Ok(()) => self.commit(now, jitter),
            // Whoever does not want it must not keep it.
            Err(_) => self.attempts.withdraw(node, attempt),
        }
    }

    /// An attempt tells how far it is.
    pub fn progress(&mut self, progress: Command, now: Moment, jitter: f64) {
        self.command(progress, None, now, jitter);
    }

    /// The work of an attempt has ended, and its permit was dropped. One that is out of date has no
    /// say any more.
    pub fn ended(
        &mut self,
        node: usize,
        attempt: u32,
        result: Result<Success, Failure>,
        now: Moment,
        jitter: f64,
    ) {
        self.attempts.ended(node, attempt);
        let command = match result {
            Ok(Success {
                outputs,
                artifacts,
                quality,
            }) => Command::Completed {
                node,
                attempt,
                outputs,
                artifacts,
                quality,
            },
            Err(Failure { error, retryable }) => Command::Failed {
                node,
                attempt,
                error,
                retryable,
            },
        };
        self.command(command, None, now, jitter);
    }

    /// Time has passed. A timer that comes far too late says that the process stood still; what
    /// happened outside meanwhile is heard first, so that nobody is called late who was not.
    pub fn wake(&mut self, now: Moment, jitter: f64) {
        if self.timers.hold_back(now) {
            return;
        }
        while let Some(timer) = self.timers.pop_due(now) {
            self.fire(timer, now, jitter);
        }
        self.commit(now, jitter);
    }

    fn fire(&mut self, timer: Timer, now: Moment, jitter: f64) {
        if !self.halting {
            // One that has become pointless is rejected.
            let _ = self.decide(Command::TimerFired(timer), now, jitter);
        }
    }

    /// The commit under way is done.
    pub fn committed(&mut self, now: Moment, jitter: f64) -> Option<Committed> {
        let Pending {
            actions,
            answers,
            execution,
            facts,
        } = self.committing.take()?;
        self.settle(actions, answers, &execution, now, jitter);
        self.commit(now, jitter);
        Some(Committed { execution, facts })
    }

    /// Another owner has taken over, so the commit under way was refused and none will follow. It
    /// may have been sent before, and committed with its answer lost, so nobody may try it again;
    /// who waits for what was never sent may turn to that owner.
    pub fn give_way(&mut self) {
        let sent = self.committing.take().map(|pending| pending.answers);
        for waiting in sent.into_iter().flatten() {
            let _ = waiting.answer.send(Err(ControlError::Unknown));
        }
        for waiting in self.outbox.take_answers() {
            let _ = waiting.answer.send(Err(ControlError::Unavailable));
        }
    }

    /// The server stops: attempts are stopped without a result, so that the next start recovers
    /// them, nothing more is decided, and what is decided already is committed and answered.
    pub fn halt(&mut self, now: Moment, jitter: f64) {
        self.halting = true;
        self.timers.clear();
        self.attempts.stop_all(StopReason::Interrupted);
        self.commit(now, jitter);
    }

    /// Whether it has been told to halt and nothing is left to wait for.
    pub fn has_halted(&self) -> bool {
        self.halting && self.is_quiet()
    }

    /// Whether the execution has ended and nothing is left to wait for.
    pub fn is_over(&self) -> bool {
        self.run.is_finished() && self.is_quiet()
    }

    fn is_quiet(&self) -> bool {
        self.committing.is_none() && self.outbox.is_empty() && self.attempts.is_empty()
    }

    /// Asks the engine. What concerns slots and timers takes effect at once: it shows nowhere. The
    /// rest waits for the commit.
    fn decide(
        &mut self,
        command: Command,
        now: Moment,
        jitter: f64,
    ) -> Result<(), limelight_engine::Rejection> {
        let Decision { events, actions } = self.run.handle(command, now.at, jitter)?;
        let mut later = Vec::new();
        for action in actions {
            match action {
                Action::AcquireSlot { node, attempt } => self.attempts.ask(node, attempt),
                Action::SetTimer(timer) => self.timers.set(timer, now),
                Action::Stop { node, attempt } => {
                    self.attempts.withdraw(node, attempt);
                    later.push(action);
                }
                Action::Perform { .. } => later.push(action),
            }
        }
        self.outbox.push(&self.run, events, later, now.at);
        Ok(())
    }

    fn commit(&mut self, now: Moment, jitter: f64) {
        while self.committing.is_none()
            && let Some(batch) = self.outbox.take(&self.run)
        {
            let Batch {
                append,
                actions,
                answers,
                execution,
                facts,
            } = batch;
            match append {
                Some(append) => {
                    self.committing = Some(Pending {
                        actions,
                        answers,
                        execution,
                        facts,
                    });
                    self.effects.push(Effect::Commit(append));
                }
                // Nothing happened, so there is nothing to wait for.
                None => self.settle(actions, answers, &execution, now, jitter),
            }
        }
    }

    /// Answers and acts on what is committed.
    fn settle(
        &mut self,
        actions: Vec<Action>,
        answers: Vec<Waiting>,
        execution: &Execution,
        now: Moment,
        jitter: f64,
    ) {
        for Waiting { answer, refused } in answers {
            let told = match refused {
                Some(rejection) => Err(ControlError::Rejected(rejection)),
                None => Ok(execution.clone()),
            };
            // A caller that went away needs no answer.
            let _ = answer.send(told);
        }
        for action in actions {
            match action {
                Action::Perform {
                    node,
                    attempt,
                    work: Rendered::Noop,
                } => self.complete_noop(node, attempt, now, jitter),
                Action::Perform {
                    node,
                    attempt,
                    work,
                } => self.perform(node, attempt, work),
                Action::Stop { node, attempt } => {
                    self.attempts.stop(node, attempt, StopReason::Cancelled);
                }
                Action::AcquireSlot { .. } | Action::SetTimer(_) => {}
            }
        }
    }

    fn complete_noop(&mut self, node: usize, attempt: u32, now: Moment, jitter: f64) {
        if self.halting {
            return;
        }
        let done = Command::Completed {
            node,
            attempt,
            outputs: serde_json::Map::new(),
            artifacts: Vec::new(),
            quality: None,
        };
        // One that was cancelled meanwhile is rejected.
        let _ = self.decide(done, now, jitter);
    }

    fn perform(&mut self, node: usize, attempt: u32, work: Rendered) {
        // Stopping has given the slots back.
        let Some((permit, stop)) = self.attempts.begin(node, attempt) else {
            return;
        };
        self.effects.push(Effect::Perform(Box::new(Job {
            node,
            node_id: self.run.definition().nodes()[node].id.clone(),
            attempt,
            work,
            permit,
            stop,
        })));
    }
}

/// The failure of an attempt whose task panicked.
pub fn panicked() -> Failure {
    let message = "the attempt panicked; the server's log has the text".to_owned();
    let code = "internal".to_owned();
    Failure {
        error: NodeError { code, message },
        retryable: true,
    }
}

#[cfg(test)]
mod tests;
