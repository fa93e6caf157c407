//! Layered drawing of an acyclic graph, left to right. Pure and deterministic.
//!
//! After Sugiyama: ranks by longest path, long edges cut by bends, barycentre and median sweeps that
//! keep the best order seen, adjacent swaps, then coordinates by isotonic regression per layer.

mod order;
mod place;
mod rank;

use order::Layers;

/// Sizes, in the drawing's own units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spacing {
    /// Length of a node along the ranks.
    pub length: f64,
    /// Breadth of a node across them.
    pub breadth: f64,
    /// Least space between neighbours of one rank.
    pub between_nodes: f64,
    /// Space between ranks.
    pub between_ranks: f64,
}

/// Where everything goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// Centre of each node.
    pub positions: Vec<(f64, f64)>,
    /// Bends of each edge, from its source to its target.
    pub bends: Vec<Vec<(f64, f64)>>,
    /// Each node's rank.
    pub ranks: Vec<usize>,
    /// Smallest and largest coordinates that nodes cover.
    pub bounds: Bounds,
}

/// A rectangle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Left.
    pub min_x: f64,
    /// Top.
    pub min_y: f64,
    /// Right.
    pub max_x: f64,
    /// Bottom.
    pub max_y: f64,
}

impl Layout {
    /// The same with the ranks from top to bottom.
    #[must_use]
    pub fn transposed(self) -> Self {
        let turn = |(x, y): (f64, f64)| (y, x);
        let turned = |points: Vec<(f64, f64)>| points.into_iter().map(turn).collect();
        Self {
            positions: turned(self.positions),
            bends: self.bends.into_iter().map(turned).collect(),
            ranks: self.ranks,
            bounds: Bounds {
                min_x: self.bounds.min_y,
                min_y: self.bounds.min_x,
                max_x: self.bounds.max_y,
                max_y: self.bounds.max_x,
            },
        }
    }
}

impl Bounds {
    /// Covers nothing; any point widens it to itself.
    pub const NOTHING: Self = Self {
        min_x: f64::MAX,
        min_y: f64::MAX,
        max_x: f64::MIN,
        max_y: f64::MIN,
    };

    /// Extent from left to right.
    pub fn width(&self) -> f64 {
        self.max_x - self.min_x
    }

    /// Extent from top to bottom.
    pub fn height(&self) -> f64 {
        self.max_y - self.min_y
    }

    /// Whether the two have a point in common.
    pub fn meets(&self, other: &Self) -> bool {
        self.max_x >= other.min_x
            && self.min_x <= other.max_x
            && self.max_y >= other.min_y
            && self.min_y <= other.max_y
    }
}

/// A graph whose long edges are cut: vertices from `nodes` on are bends, and every edge spans one rank.
struct Proper {
    nodes: usize,
    rank: Vec<usize>,
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    chains: Vec<Vec<usize>>,
}

impl Proper {
    fn new(ranks: &[usize], edges: &[(usize, usize)]) -> Self {
        let nodes = ranks.len();
        let mut proper = Self {
            nodes,
            rank: ranks.to_vec(),
            before: vec![Vec::new(); nodes],
            after: vec![Vec::new(); nodes],
            chains: Vec::with_capacity(edges.len()),
        };
        for &(from, to) in edges {
            let mut last = from;
            let mut chain = Vec::new();
            for rank in ranks[from] + 1..ranks[to] {
                let bend = proper.rank.len();
                proper.rank.push(rank);
                proper.before.push(Vec::new());
                proper.after.push(Vec::new());
                proper.join(last, bend);
                chain.push(bend);
                last = bend;
            }
            proper.join(last, to);
            proper.chains.push(chain);
        }
        proper
    }

    fn join(&mut self, from: usize, to: usize) {
        self.after[from].push(to);
        self.before[to].push(from);
    }

    fn len(&self) -> usize {
        self.rank.len()
    }

    const fn is_bend(&self, vertex: usize) -> bool {
        vertex >= self.nodes
    }
}

/// Lays out `nodes` nodes joined by `edges` (source, target). The graph must be acyclic, which every
/// saved workflow is; nodes on a cycle would all be put at rank 0.
pub fn layered(nodes: usize, edges: &[(usize, usize)], spacing: Spacing) -> Layout {
    if nodes == 0 {
        return Layout::default();
    }
    let ranks = rank::assign(nodes, edges);
    // An edge that does not rise belongs to a cycle and cannot be drawn in layers.
    let rising: Vec<(usize, usize)> = edges
        .iter()
        .map(|&(from, to)| {
            if ranks[from] < ranks[to] {
                (from, to)
            } else {
                (to, to)
            }
        })
        .collect();
    let proper = Proper::new(
        &ranks,
        &rising
            .iter()
            .copied()
            .filter(|(from, to)| from != to)
            .collect::<Vec<_>>(),
    );
    let layers = Layers::ordered(&proper);
    let across = place::across(&proper, &layers, spacing);
    let along =
        |vertex: usize| proper.rank[vertex] as f64 * (spacing.length + spacing.between_ranks);
    let point = |vertex: usize| (along(vertex), across[vertex]);
    let positions: Vec<(f64, f64)> = (0..nodes).map(point).collect();
    let mut chains = proper.chains.iter();
    let bends = rising
        .iter()
        .map(|(from, to)| {
            let chain = (from != to).then(|| chains.next()).flatten();
            chain.map_or_else(Vec::new, |chain| {
                chain.iter().map(|&bend| point(bend)).collect()
            })
        })
        .collect();
    let bounds = bounds(&positions, spacing);
    Layout {
        positions,
        bends,
        ranks,
        bounds,
    }
}

fn bounds(positions: &[(f64, f64)], spacing: Spacing) -> Bounds {
    positions
        .iter()
        .fold(Bounds::NOTHING, |bounds, &(x, y)| Bounds {
            min_x: bounds.min_x.min(x - spacing.length / 2.0),
            min_y: bounds.min_y.min(y - spacing.breadth / 2.0),
            max_x: bounds.max_x.max(x + spacing.length / 2.0),
            max_y: bounds.max_y.max(y + spacing.breadth / 2.0),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Spacing = Spacing {
        length: 180.0,
        breadth: 44.0,
        between_nodes: 16.0,
        between_ranks: 60.0,
    };

    /// A random layered graph; xorshift keeps it the same in every run.
    fn random_graph(nodes: usize) -> Vec<(usize, usize)> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = move |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % limit as u64) as usize
        };
        let mut edges = Vec::new();
        for to in 1..nodes {
            for _ in 0..1 + below(3) {
                let from = to - 1 - below(to.min(40));
                if !edges.contains(&(from, to)) {
                    edges.push((from, to));
                }
            }
        }
        edges
    }

    #[test]
    fn every_edge_goes_to_the_right_and_no_two_nodes_overlap() {
        let edges = random_graph(300);
        let layout = layered(300, &edges, SPACING);
        for &(from, to) in &edges {
            assert!(layout.positions[from].0 + SPACING.length < layout.positions[to].0);
        }
        let mut by_rank = layout
            .ranks
            .iter()
            .copied()
            .zip(&layout.positions)
            .collect::<Vec<_>>();
        by_rank.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.1.total_cmp(&b.1.1)));
        for pair in by_rank.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let apart = pair[1].1.1 - pair[0].1.1;
            assert!(
                apart >= SPACING.breadth + SPACING.between_nodes - 1e-6,
                "{apart} apart"
            );
        }
    }

    #[test]
    fn long_edges_bend_once_for_every_rank_they_pass() {
        let layout = layered(3, &[(0, 1), (1, 2), (0, 2)], SPACING);
        let bends: Vec<usize> = layout.bends.iter().map(Vec::len).collect();
        assert_eq!(bends, [0, 0, 1]);
        assert_eq!(layout.ranks, [0, 1, 2]);
    }

    #[test]
    fn a_chain_is_a_straight_line_and_a_fork_is_symmetric() {
        let chain = layered(3, &[(0, 1), (1, 2)], SPACING);
        assert!(
            chain
                .positions
                .iter()
                .all(|p| (p.1 - chain.positions[0].1).abs() < 1e-6)
        );
        let fork = layered(4, &[(0, 1), (0, 2), (1, 3), (2, 3)], SPACING).positions;
        assert!(((fork[1].1 + fork[2].1) / 2.0 - fork[0].1).abs() < 1.0);
        assert!((fork[0].1 - fork[3].1).abs() < 1.0);
    }

    #[test]
    fn crossings_that_can_be_avoided_are() {
        // Two crossed pairs: a better order of the second rank has none.
        let layout = layered(4, &[(0, 3), (1, 2)], SPACING);
        let above = |a: usize, b: usize| layout.positions[a].1 < layout.positions[b].1;
        assert_eq!(above(0, 1), above(3, 2));
    }

    #[test]
    fn the_same_graph_is_drawn_the_same_way() {
        let edges = random_graph(120);
        assert_eq!(layered(120, &edges, SPACING), layered(120, &edges, SPACING));
    }

    #[test]
    fn odd_graphs_do_no_harm() {
        assert_eq!(layered(0, &[], SPACING), Layout::default());
        assert_eq!(layered(1, &[], SPACING).positions.len(), 1);
        let cyclic = layered(3, &[(0, 1), (1, 0), (2, 2)], SPACING);
        assert_eq!((cyclic.positions.len(), cyclic.bends.len()), (3, 3));
    }
}
