//! The shape of a definition: who depends on whom, and that nobody depends on himself.

use super::{Node, read::Faults, read::join};

/// Most cycles that are reported.
const MAX_CYCLES: usize = 20;

/// Codes of faults that leave the graph without a clear meaning.
pub(super) const FAULTS: [&str; 6] = [
    "unknown_node",
    "duplicate_node",
    "bad_name",
    "self_need",
    "wrong_type",
    "cycle",
];

/// For each node the nodes that need it directly.
pub(super) fn dependents(nodes: &[Node]) -> Vec<Vec<usize>> {
    let mut dependents = vec![Vec::new(); nodes.len()];
    for (place, node) in nodes.iter().enumerate() {
        for &need in &node.needs {
            dependents[need].push(place);
        }
    }
    dependents
}

/// Whether `node` needs `other`, directly or through others.
pub(super) fn needs(nodes: &[Node], node: usize, other: usize) -> bool {
    if nodes[node].needs.contains(&other) {
        return true;
    }
    let mut seen = vec![false; nodes.len()];
    let mut open = vec![node];
    while let Some(place) = open.pop() {
        for &need in &nodes[place].needs {
            if need == other {
                return true;
            }
            if !std::mem::replace(&mut seen[need], true) {
                open.push(need);
            }
        }
    }
    false
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    OnPath,
    Done,
}

/// Depth-first search, with its own stack: a chain may be as long as a definition.
pub(super) fn report_cycles(nodes: &[Node], faults: &mut Faults) {
    let mut marks = vec![Mark::New; nodes.len()];
    let mut found = 0;
    for start in 0..nodes.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::OnPath;
        let mut path = vec![(start, 0)];
        while let Some((place, next)) = path.last_mut() {
            let place = *place;
            let Some(&need) = nodes[place].needs.get(*next) else {
                marks[place] = Mark::Done;
                path.pop();
                continue;
            };
            *next += 1;
            match marks[need] {
                Mark::New => {
                    marks[need] = Mark::OnPath;
                    path.push((need, 0));
                }
                Mark::OnPath if found < MAX_CYCLES => {
                    found += 1;
                    report(nodes, &path, need, faults);
                }
                Mark::OnPath | Mark::Done => {}
            }
        }
    }
}

fn report(nodes: &[Node], path: &[(usize, usize)], back_to: usize, faults: &mut Faults) {
    let begin = path
        .iter()
        .position(|&(place, _)| place == back_to)
        .unwrap_or_default();
    // The path runs against the edges: from a node to what it needs.
    let mut around: Vec<_> = path[begin..].iter().map(|&(place, _)| place).collect();
    around.push(back_to);
    around.reverse();
    let ids: Vec<_> = around
        .iter()
        .map(|&place| nodes[place].id.as_str())
        .collect();
    let place = join(&join("nodes", nodes[back_to].id.as_str()), "needs");
    let message = format!("these nodes wait for each other: {}", ids.join(" -> "));
    faults.add(place, "cycle", message);
}
