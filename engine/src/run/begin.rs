//! A node begins: its condition is asked, then an attempt is queued or started.

use limelight_protocol::{
    EventBody, ExecutionStatus, NodeStatus, Timestamp,
    event::{Attempted, SkipReason, Skipped, Waiting},
    execution::{NodeError, WaitReason},
};

use super::{Action, Rejection, Timer, TimerPurpose, decide::Deciding};
use crate::definition::Work;

impl Deciding<'_> {
    /// `node` is pending, its needs are met, and nothing holds it back.
    pub(super) fn begin(&mut self, node: usize) {
        match self.run.may_run(node) {
            Ok(true) => {}
            Ok(false) => {
                let reason = SkipReason::Condition;
                self.emit(Some(node), EventBody::NodeSkipped(Skipped { reason }));
                return;
            }
            Err(message) => {
                let code = "condition".to_owned();
                self.give_up(node, NodeError { code, message }, 0.0);
                return;
            }
        }
        let definition = self.run.definition.clone();
        match &definition.nodes()[node].work {
            Work::Command(_) | Work::Http(_) => self.queue(node),
            Work::Noop => {
                self.start_attempt(node);
                self.perform(node);
            }
            Work::Sleep { duration_s } => {
                self.start_attempt(node);
                let until = self.now.plus_s(*duration_s);
                self.wait(node, WaitReason::Sleep, Some(until), None);
                self.set_timer(node, TimerPurpose::Wake, until);
            }
            Work::Approval { message } => {
                self.start_attempt(node);
                let message = message.as_ref().map(|text| self.run.fill_in(node, text));
                match message.transpose() {
                    Ok(message) => {
                        let until = self.run.deadline(node);
                        self.wait(node, WaitReason::Approval, until, message);
                    }
                    Err(message) => self.give_up_on_template(node, message),
                }
            }
        }
    }

    fn queue(&mut self, node: usize) {
        let attempt = self.run.nodes[node].attempt_count + 1;
        self.emit(Some(node), EventBody::NodeQueued(Attempted { attempt }));
        self.act(Action::AcquireSlot { node, attempt });
    }

    pub(super) fn slot_granted(&mut self, node: usize, attempt: u32) -> Result<(), Rejection> {
        self.expect(node, attempt, NodeStatus::Queued)?;
        if self.run.status == ExecutionStatus::Paused {
            let detail = "the execution is paused; the slot is asked for again when it resumes";
            return Err(Rejection::new("paused", detail));
        }
        self.start_attempt(node);
        self.perform(node);
        Ok(())
    }

    fn start_attempt(&mut self, node: usize) {
        let attempt = self.run.nodes[node].attempt_count + 1;
        self.emit(Some(node), EventBody::NodeStarted(Attempted { attempt }));
        if let Some(at) = self.run.deadline(node) {
            self.set_timer(node, TimerPurpose::Timeout, at);
        }
    }

    fn perform(&mut self, node: usize) {
        let attempt = self.run.nodes[node].attempt_count;
        match self.run.render(node) {
            Ok(Some(work)) => self.act(Action::Perform {
                node,
                attempt,
                work,
            }),
            Ok(None) => {}
            Err(message) => self.give_up_on_template(node, message),
        }
    }

    fn wait(
        &mut self,
        node: usize,
        reason: WaitReason,
        until: Option<Timestamp>,
        message: Option<String>,
    ) {
        let waiting = Waiting {
            attempt: self.run.nodes[node].attempt_count,
            reason,
            until,
            message,
        };
        self.emit(Some(node), EventBody::NodeWaiting(waiting));
    }

    pub(super) fn set_timer(&mut self, node: usize, purpose: TimerPurpose, at: Timestamp) {
        self.act(Action::SetTimer(Timer {
            node,
            attempt: self.run.nodes[node].attempt_count,
            purpose,
            at,
        }));
    }

    /// The same templates would fail again, so no retry.
    fn give_up_on_template(&mut self, node: usize, message: String) {
        let code = "template".to_owned();
        let duration_s = self.duration_s(node);
        self.give_up(node, NodeError { code, message }, duration_s);
    }
}
