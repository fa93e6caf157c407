//! What a coordinator is told, and by whom.

use std::{collections::HashMap, sync::Arc};

use actix::{ActorContext, Handler, Message};
use limelight_engine::{Command, Definition, Run};
use limelight_protocol::{Execution, event::WorkflowStarted};

use super::{Answer, Coordinator, Live, outbox::Outbox};
use crate::store::IdempotencyKey;

/// Begins the execution this coordinator was made for.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Begin {
    /// The execution, pending, without node states.
    pub execution: Box<Execution>,
    /// What it performs.
    pub definition: Arc<Definition>,
    /// Of its first event.
    pub started: WorkflowStarted,
    /// Scoped by its caller.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Where to answer.
    pub answer: Answer,
}

impl Handler<Begin> for Coordinator {
    type Result = ();

    fn handle(&mut self, begin: Begin, ctx: &mut Self::Context) {
        self.lease.beat();
        let Begin {
            execution,
            definition,
            started,
            idempotency_key,
            answer,
        } = begin;
        self.live = Some(Live {
            run: Run::new(definition).with_id(self.id),
            outbox: Outbox::fresh(execution, idempotency_key, &self.services.owner),
            attempts: HashMap::new(),
            committing: false,
        });
        self.decide(Command::Start(started), Some(answer), ctx);
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
        self.decide(control.command, Some(control.answer), ctx);
    }
}

/// What an attempt reports. One that is out of date does nothing.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Fed(pub(super) Command);

impl Handler<Fed> for Coordinator {
    type Result = ();

    fn handle(&mut self, fed: Fed, ctx: &mut Self::Context) {
        self.lease.beat();
        self.decide(fed.0, None, ctx);
    }
}

/// The server stops: attempts are stopped without a result, so that the next start recovers them.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Halt;

impl Handler<Halt> for Coordinator {
    type Result = ();

    fn handle(&mut self, _: Halt, ctx: &mut Self::Context) {
        self.lease.beat();
        self.live = None;
        self.lease.finish();
        ctx.stop();
    }
}
