//! The shape of a definition: who depends on whom, and that nobody depends on himself.

use super::{Node, read::Faults, read::join};

/// Most cycles that are reported.
const MAX_CYCLES: usize = 20;

/// Most nodes of a cycle that are named.
const MAX_SHOWN: usize = 20;

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

/// What every node needs, directly or through others: one bit for each pair, 12.5 MB for the most
/// nodes there may be.
pub(super) struct Ancestors {
    words: usize,
    bits: Vec<u64>,
}

impl Ancestors {
    /// Of a graph without a cycle.
    pub(super) fn of(nodes: &[Node]) -> Self {
        let words = nodes.len().div_ceil(64);
        let mut bits = vec![0; words * nodes.len()];
        let mut waiting: Vec<usize> = nodes.iter().map(|node| node.needs.len()).collect();
        let dependents = dependents(nodes);
        let mut ready: Vec<usize> = (0..nodes.len()).filter(|&n| waiting[n] == 0).collect();
        while let Some(place) = ready.pop() {
            for &need in &nodes[place].needs {
                for word in 0..words {
                    bits[place * words + word] |= bits[need * words + word];
                }
                bits[place * words + need / 64] |= 1 << (need % 64);
            }
            for &dependent in &dependents[place] {
                waiting[dependent] -= 1;
                if waiting[dependent] == 0 {
                    ready.push(dependent);
                }
            }
        }
        Self { words, bits }
    }

    /// Whether `node` needs `other`.
    pub(super) fn has(&self, node: usize, other: usize) -> bool {
        self.bits[node * self.words + other / 64] & (1 << (other % 64)) != 0
    }
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
    // A long one is told by its begin.
    let rest = around.len().saturating_sub(MAX_SHOWN);
    around.truncate(MAX_SHOWN);
    let ids: Vec<_> = around
        .iter()
        .map(|&place| nodes[place].id.as_str())
        .collect();
    let place = join(&join("nodes", nodes[back_to].id.as_str()), "needs");
    let more = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    let message = format!(
        "these nodes wait for each other: {}{more}",
        ids.join(" -> ")
    );
    faults.add(place, "cycle", message);
}
