//! What a coordinator is told, and by whom.

use actix::{Handler, Message};
use limelight_engine::Command;

use super::{
    Answer, ControlError, Coordinator,
    attempts::Grant,
    machine::{Beginning, Machine},
};
use crate::{
    clock,
    executor::{Failure, Success},
};

/// Begins the execution this coordinator was made for.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Begin {
    /// What begins.
    pub beginning: Beginning,
    /// Where to answer.
    pub answer: Answer,
}

impl Handler<Begin> for Coordinator {
    type Result = ();

    fn handle(&mut self, begin: Begin, ctx: &mut Self::Context) {
        self.lease.beat();
        let Begin { beginning, answer } = begin;
        self.machine = Some(Machine::begin(
            beginning,
            self.resources(),
            self.grants(ctx),
            answer,
            clock::moment(),
            clock::jitter(),
        ));
        self.go_on(ctx);
    }
}

/// What a caller wants of a live or ended execution.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Control {
    /// What.
    pub command: Command,
    /// Where to answer.
    pub answer: Answer,
}

impl Handler<Control> for Coordinator {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Self::Context) {
        self.lease.beat();
        let Control { command, answer } = control;
        match &mut self.machine {
            Some(machine) => {
                machine.command(command, Some(answer), clock::moment(), clock::jitter());
            }
            None => {
                let _ = answer.send(Err(ControlError::Unavailable));
            }
        }
        self.go_on(ctx);
    }
}

/// Asks how the execution stands once everything decided until now is committed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Inspect(pub Answer);

impl Handler<Inspect> for Coordinator {
    type Result = ();

    fn handle(&mut self, inspect: Inspect, ctx: &mut Self::Context) {
        self.lease.beat();
        match &mut self.machine {
            Some(machine) => machine.inspect(inspect.0, clock::moment(), clock::jitter()),
            None => {
                let _ = inspect.0.send(Err(ControlError::Unavailable));
            }
        }
        self.go_on(ctx);
    }
}

/// A slot is there.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Granted(pub(super) Grant);

impl Handler<Granted> for Coordinator {
    type Result = ();

    fn handle(&mut self, granted: Granted, ctx: &mut Self::Context) {
        self.lease.beat();
        if let Some(machine) = &mut self.machine {
            machine.granted(granted.0, clock::moment(), clock::jitter());
        }
        self.go_on(ctx);
    }
}

/// An attempt tells how far it is.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Progressed(pub(super) Command);

impl Handler<Progressed> for Coordinator {
    type Result = ();

    fn handle(&mut self, progressed: Progressed, ctx: &mut Self::Context) {
        self.lease.beat();
        if let Some(machine) = &mut self.machine {
            machine.progress(progressed.0, clock::moment(), clock::jitter());
        }
        self.go_on(ctx);
    }
}

/// The work of an attempt has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Ended {
    pub(super) node: usize,
    pub(super) attempt: u32,
    pub(super) result: Result<Success, Failure>,
}

impl Handler<Ended> for Coordinator {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Self::Context) {
        self.lease.beat();
        let Ended {
            node,
            attempt,
            result,
        } = ended;
        if let Some(machine) = &mut self.machine {
            machine.ended(node, attempt, result, clock::moment(), clock::jitter());
        }
        self.go_on(ctx);
    }
}

/// The server stops: attempts are stopped without a result, so that the next start recovers them.
/// What is decided already is committed first; the coordinator ends when its attempts have.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Halt;

impl Handler<Halt> for Coordinator {
    type Result = ();

    fn handle(&mut self, _: Halt, ctx: &mut Self::Context) {
        self.lease.beat();
        match &mut self.machine {
            Some(machine) => machine.halt(clock::moment(), clock::jitter()),
            None => self.finish(ctx),
        }
        self.go_on(ctx);
    }
}
