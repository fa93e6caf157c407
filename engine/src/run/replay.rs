//! Which event may follow in which state.

use limelight_protocol::{EventBody, EventType, ExecutionStatus, NodeId, NodeStatus};

use super::Run;

/// Events that no run of this definition can have decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The event is about a node that the definition lacks.
    #[error("the definition has no node {0}")]
    UnknownNode(NodeId),
    /// The event is about a node and names none, or the reverse.
    #[error("{} names a node that it should not, or none", .0.as_str())]
    Misaddressed(EventType),
    /// The event does not belong to an execution's stream.
    #[error("{} is not an event of an execution", .0.as_str())]
    Foreign(EventType),
    /// The execution cannot have been in the state that the event follows on.
    #[error("{} cannot follow while the execution is {}", .event.as_str(), .status.as_str())]
    Execution {
        /// The event.
        event: EventType,
        /// Where the execution stood.
        status: ExecutionStatus,
    },
    /// The node cannot have been in the state that the event follows on.
    #[error("{} of attempt {attempt} cannot follow while {node} is {}", .event.as_str(), .status.as_str())]
    Node {
        /// The node.
        node: NodeId,
        /// The event.
        event: EventType,
        /// The attempt it names.
        attempt: u32,
        /// Where the node stood.
        status: NodeStatus,
    },
}

/// Which attempt an event must name: how many more than have begun.
const NEWEST: u32 = 0;
const NEXT: u32 = 1;

impl Run {
    /// Whether `body` may follow now, and which node it is about.
    pub(super) fn check(
        &self,
        node: Option<&NodeId>,
        body: &EventBody,
    ) -> Result<Option<usize>, ReplayError> {
        use ExecutionStatus as E;
        let event = body.kind();
        let steered: &[E] = match body {
            EventBody::WorkflowStarted(_) => &[E::Pending],
            EventBody::WorkflowPaused(_) => &[E::Running],
            EventBody::WorkflowResumed(_) => &[E::Paused, E::Completed, E::Failed],
            EventBody::WorkflowCompleted(_) | EventBody::WorkflowFailed(_) => {
                &[E::Running, E::Paused]
            }
            EventBody::WorkflowCancelled(_) => &[E::Pending, E::Running, E::Paused],
            _ => return self.check_node(node, body).map(Some),
        };
        if node.is_some() {
            return Err(ReplayError::Misaddressed(event));
        }
        if !steered.contains(&self.status) {
            let status = self.status;
            return Err(ReplayError::Execution { event, status });
        }
        Ok(None)
    }

    fn check_node(&self, node: Option<&NodeId>, body: &EventBody) -> Result<usize, ReplayError> {
        use ExecutionStatus as E;
        use NodeStatus as N;
        let event = body.kind();
        let under_way: &[N] = &[N::Running, N::Waiting];
        let (allowed, attempt, ahead): (&[N], _, _) = match body {
            EventBody::NodeQueued(queued) => (&[N::Pending], queued.attempt, NEXT),
            EventBody::NodeStarted(started) => (&[N::Pending, N::Queued], started.attempt, NEXT),
            EventBody::NodeProgress(progress) => (under_way, progress.attempt, NEWEST),
            EventBody::NodeWaiting(waiting) => (&[N::Running], waiting.attempt, NEWEST),
            EventBody::NodeRetrying(retrying) if retrying.by.is_some() => {
                (&[N::Failed], retrying.attempt, NEWEST)
            }
            EventBody::NodeRetrying(retrying) => (under_way, retrying.attempt, NEWEST),
            EventBody::NodeCompleted(done) => (under_way, done.attempt, NEWEST),
            EventBody::NodeFailed(failed) => (
                &[N::Pending, N::Running, N::Waiting],
                failed.attempt,
                NEWEST,
            ),
            EventBody::NodeSkipped(_) => (&[N::Pending], 0, NEWEST),
            EventBody::NodeCancelled(cancelled) => (
                &[N::Pending, N::Queued, N::Running, N::Waiting],
                cancelled.attempt,
                NEWEST,
            ),
            _ => return Err(ReplayError::Foreign(event)),
        };
        let id = node.ok_or(ReplayError::Misaddressed(event))?;
        let unknown = || ReplayError::UnknownNode(id.clone());
        let place = self.definition.index_of(id).ok_or_else(unknown)?;
        let cancelled = matches!(body, EventBody::NodeCancelled(_));
        let lawful = match self.status {
            E::Running => true,
            // A pause lets go on what runs; it lets nothing begin.
            E::Paused => !matches!(body, EventBody::NodeQueued(_) | EventBody::NodeStarted(_)),
            E::Pending => cancelled,
            _ => false,
        };
        if !lawful {
            let status = self.status;
            return Err(ReplayError::Execution { event, status });
        }
        let state = &self.nodes[place];
        let begins = ahead == NEXT;
        let counts = matches!(body, EventBody::NodeSkipped(_))
            || attempt == state.attempt_count.saturating_add(ahead);
        let resets_known = match body {
            EventBody::NodeRetrying(retrying) => retrying
                .reset
                .iter()
                .find(|id| self.definition.index_of(id).is_none()),
            _ => None,
        };
        if let Some(id) = resets_known {
            return Err(ReplayError::UnknownNode(id.clone()));
        }
        if !counts || !allowed.contains(&state.status) || begins && self.books[place].unmet > 0 {
            return Err(ReplayError::Node {
                node: id.clone(),
                event,
                attempt,
                status: state.status,
            });
        }
        Ok(place)
    }
}
