//! Somebody wants a failed node tried again, with what depends on it.

use std::collections::BTreeSet;

use limelight_protocol::{
    EventBody, ExecutionStatus, NodeId, NodeStatus,
    event::{Retrying, Steered},
};

use super::{Rejection, decide::Deciding};

impl Deciding<'_> {
    pub(super) fn retry_node(&mut self, id: &NodeId, by: String) -> Result<(), Rejection> {
        let node = self.find(id)?;
        if self.run.status == ExecutionStatus::Cancelled {
            self.expect_live()?;
        }
        if self.status(node) != NodeStatus::Failed {
            let detail = format!("{id} is {}, not failed", self.status(node).as_str());
            return Err(Rejection::new("node_not_failed", detail));
        }
        let dependents = self.run.transitive_dependents(node);
        let busy = |&&place: &&usize| {
            self.run.active_attempt(place).is_some() || self.run.is_pausing(place)
        };
        if let Some(&place) = dependents.iter().find(busy) {
            let other = &self.run.nodes[place].node_id;
            let detail = format!("{other} depends on {id} and is under way");
            return Err(Rejection::new("dependents_active", detail));
        }
        let reset = self.resettable(node, &dependents);
        if self.run.is_finished() {
            self.emit(None, EventBody::WorkflowResumed(Steered { by: by.clone() }));
        }
        let retrying = Retrying {
            attempt: self.run.nodes[node].attempt_count,
            error: None,
            at: self.now,
            by: Some(by),
            reset,
        };
        self.emit(Some(node), EventBody::NodeRetrying(retrying));
        self.go_on_when_due(node);
        Ok(())
    }

    /// Which of the dependents start over: those that had ended, unless another failure keeps
    /// holding them back.
    fn resettable(&self, node: usize, dependents: &BTreeSet<usize>) -> Vec<NodeId> {
        let run = &*self.run;
        let blocker =
            |place: usize| place != node && !dependents.contains(&place) && run.blocks(place);
        let mut held: BTreeSet<usize> = BTreeSet::new();
        let nodes = run.definition.nodes();
        let mut open: Vec<usize> = dependents
            .iter()
            .copied()
            .filter(|&place| nodes[place].needs.iter().any(|&need| blocker(need)))
            .collect();
        while let Some(place) = open.pop() {
            if held.insert(place) {
                open.extend(run.definition.dependents(place));
            }
        }
        dependents
            .iter()
            .filter(|place| !held.contains(place) && run.nodes[**place].status.is_terminal())
            .map(|&place| nodes[place].id.clone())
            .collect()
    }
}
