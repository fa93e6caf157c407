//! Deciding: each command goes to the transition of its name.

use limelight_protocol::{
    EventBody, ExecutionStatus, NodeId, NodeStatus, Timestamp, execution::WaitReason,
};

use super::{Action, Command, Decision, NewEvent, Rejection, Run};

/// A decision in the making. Whatever it emits takes effect on the run at once, so that what is
/// decided next is decided on the newest state; a transition therefore rejects before it emits.
pub(super) struct Deciding<'a> {
    pub(super) run: &'a mut Run,
    pub(super) now: Timestamp,
    /// From [0, 1), for the pauses before retries.
    pub(super) jitter: f64,
    pub(super) decision: Decision,
}

impl Run {
    /// Decides on a command. `jitter`, from [0, 1), spreads the pauses before retries.
    ///
    /// The state has then evolved by exactly the events of the decision.
    ///
    /// # Errors
    /// When the command cannot be obeyed as things stand; the state is then unchanged.
    pub fn handle(
        &mut self,
        command: Command,
        now: Timestamp,
        jitter: f64,
    ) -> Result<Decision, Rejection> {
        let mut deciding = Deciding {
            run: self,
            now,
            jitter,
            decision: Decision::default(),
        };
        deciding.decide(command)?;
        deciding.settle();
        Ok(deciding.decision)
    }
}

impl Deciding<'_> {
    fn decide(&mut self, command: Command) -> Result<(), Rejection> {
        match command {
            Command::Start(started) => self.start(started),
            Command::Pause { by } => self.pause(by),
            Command::Resume { by } => self.resume(by),
            Command::Cancel { by } => self.cancel(by),
            Command::RetryNode { node, by } => self.retry_node(&node, by),
            Command::Approve { node, by, comment } => self.approve(&node, &by, comment),
            Command::Reject { node, by, comment } => self.reject(&node, &by, comment),
            Command::SlotGranted { node, attempt } => self.slot_granted(node, attempt),
            Command::Progress {
                node,
                attempt,
                progress,
                message,
            } => self.progress(node, attempt, progress, message),
            Command::Completed {
                node,
                attempt,
                outputs,
                artifacts,
                quality,
            } => {
                self.expect(node, attempt, NodeStatus::Running)?;
                self.complete(node, outputs, artifacts, quality);
                Ok(())
            }
            Command::Failed {
                node,
                attempt,
                error,
                retryable,
            } => {
                self.expect(node, attempt, NodeStatus::Running)?;
                self.fail(node, error, retryable);
                Ok(())
            }
            Command::TimerFired(timer) => self.timer_fired(timer),
            Command::Recover => {
                self.recover();
                Ok(())
            }
        }
    }

    pub(super) fn emit(&mut self, node: Option<usize>, body: EventBody) {
        debug_assert_eq!(
            self.run.check(
                node.map(|node| &self.run.definition.nodes()[node].id),
                &body
            ),
            Ok(node),
        );
        self.run.apply(node, &body, self.now);
        self.decision.events.push(NewEvent { node, body });
    }

    pub(super) fn act(&mut self, action: Action) {
        self.decision.actions.push(action);
    }

    pub(super) fn is_running(&self) -> bool {
        self.run.status == ExecutionStatus::Running
    }

    pub(super) fn status(&self, node: usize) -> NodeStatus {
        self.run.nodes[node].status
    }

    /// How long the newest attempt has taken, in seconds.
    pub(super) fn duration_s(&self, node: usize) -> f64 {
        let began = self.run.nodes[node].started_at;
        began.map_or(0.0, |began| self.now.since_s(began).max(0.0))
    }

    /// Rejects what does not come from the active attempt of `node`, or does not fit its status.
    pub(super) fn expect(
        &self,
        node: usize,
        attempt: u32,
        status: NodeStatus,
    ) -> Result<(), Rejection> {
        if node >= self.run.nodes.len() {
            let detail = format!("there is no node at place {node}");
            return Err(Rejection::new("unknown_node", detail));
        }
        if self.run.active_attempt(node) != Some(attempt) || self.status(node) != status {
            return Err(self.stale(node, attempt));
        }
        Ok(())
    }

    pub(super) fn stale(&self, node: usize, attempt: u32) -> Rejection {
        let state = &self.run.nodes[node];
        let (id, status) = (&state.node_id, state.status.as_str());
        let detail = format!("{id} is {status}; attempt {attempt} has no say in that any more");
        Rejection::new("stale_attempt", detail)
    }

    pub(super) fn find(&self, node: &NodeId) -> Result<usize, Rejection> {
        let found = self.run.definition.index_of(node);
        found.ok_or_else(|| Rejection::new("unknown_node", format!("there is no node {node}")))
    }

    pub(super) fn expect_live(&self) -> Result<(), Rejection> {
        match self.run.status {
            ExecutionStatus::Pending => {
                Err(Rejection::new("not_started", "the execution has not begun"))
            }
            status if status.is_terminal() => {
                let detail = format!("the execution is {} already", status.as_str());
                Err(Rejection::new("already_ended", detail))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn expect_approval(&self, node: &NodeId) -> Result<usize, Rejection> {
        let place = self.find(node)?;
        self.expect_live()?;
        let state = &self.run.nodes[place];
        if state.waiting_for != Some(WaitReason::Approval) {
            let detail = format!(
                "{node} is {}, not waiting for approval",
                state.status.as_str()
            );
            return Err(Rejection::new("node_not_waiting", detail));
        }
        Ok(place)
    }
}
