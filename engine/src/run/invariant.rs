//! What always holds of a [`Run`], as named checks: property tests ask them after every step.

use limelight_protocol::{ExecutionStatus, NodeStatus, event::SkipReason};

use super::Run;

/// A named check.
pub type Invariant = (&'static str, fn(&Run) -> bool);

/// All of them.
pub const ALL: [Invariant; 7] = [
    ("unmet needs are counted rightly", unmet_needs_are_counted),
    ("ready nodes are known", ready_nodes_are_known),
    (
        "ended and fatal nodes are counted rightly",
        ends_are_counted,
    ),
    ("what began has its needs met", begun_nodes_have_their_needs),
    (
        "skipped upstream means that something upstream failed",
        skips_have_a_cause,
    ),
    (
        "an ended execution has only ended nodes",
        the_end_is_the_end,
    ),
    ("a running execution has something to wait for", no_deadlock),
];

/// Names of the invariants that do not hold.
#[must_use]
pub fn broken(run: &Run) -> Vec<&'static str> {
    ALL.iter()
        .filter(|(_, holds)| !holds(run))
        .map(|(name, _)| *name)
        .collect()
}

fn unmet(run: &Run, node: usize) -> usize {
    let needs = &run.definition.nodes()[node].needs;
    needs.iter().filter(|&&need| !run.satisfies(need)).count()
}

fn unmet_needs_are_counted(run: &Run) -> bool {
    (0..run.nodes.len()).all(|node| run.books[node].unmet == unmet(run, node))
}

fn ready_nodes_are_known(run: &Run) -> bool {
    run.status == ExecutionStatus::Pending
        || (0..run.nodes.len()).all(|node| {
            let state = &run.nodes[node];
            let ready = state.status == NodeStatus::Pending
                && state.due_at.is_none()
                && unmet(run, node) == 0;
            ready == run.ready.contains(&node)
        })
}

fn ends_are_counted(run: &Run) -> bool {
    let ended = run.nodes.iter().filter(|state| state.status.is_terminal());
    let fatal = (0..run.nodes.len()).filter(|&node| run.is_fatal(node));
    ended.count() == run.completed_nodes() as usize && fatal.count() == run.fatal
}

fn begun_nodes_have_their_needs(run: &Run) -> bool {
    (0..run.nodes.len()).all(|node| {
        let begun = run.active_attempt(node).is_some()
            || run.is_pausing(node)
            || matches!(
                run.nodes[node].status,
                NodeStatus::Completed | NodeStatus::Failed
            );
        !begun || unmet(run, node) == 0
    })
}

fn skips_have_a_cause(run: &Run) -> bool {
    (0..run.nodes.len()).all(|node| {
        let needs = &run.definition.nodes()[node].needs;
        let blocked = needs.iter().any(|&need| run.blocks(need));
        let skipped = run.nodes[node].skip_reason == Some(SkipReason::Upstream);
        blocked == skipped || run.status == ExecutionStatus::Cancelled
    })
}

fn the_end_is_the_end(run: &Run) -> bool {
    let over = run.nodes.iter().all(|state| state.status.is_terminal());
    let begun = run.status != ExecutionStatus::Pending;
    !begun || over == run.is_finished()
}

fn no_deadlock(run: &Run) -> bool {
    run.status != ExecutionStatus::Running
        || (0..run.nodes.len())
            .any(|node| run.active_attempt(node).is_some() || run.is_pausing(node))
}
