//! A definition's graph with its places and paths. No DOM.

use std::{collections::HashMap, fmt::Write as _};

use limelight_protocol::{NodeId, workflow::NodeSummary};
use yew::AttrValue;

use crate::layout::{Bounds, Layout, Spacing, layered};

/// Width of a node.
pub const WIDTH: f64 = 184.0;
/// Height of a node.
pub const HEIGHT: f64 = 46.0;

/// Ranks from left to right.
const RIGHTWARD: Spacing = Spacing {
    length: WIDTH,
    breadth: HEIGHT,
    between_nodes: 18.0,
    between_ranks: 56.0,
};
/// Ranks from top to bottom.
const DOWNWARD: Spacing = Spacing {
    length: HEIGHT,
    breadth: WIDTH,
    between_nodes: 24.0,
    between_ranks: 36.0,
};
/// Width and height of the window that a drawing is made for, pixels.
const WINDOW: (f64, f64) = (860.0, 400.0);
/// Nodes above which no second drawing is tried: neither fits the window.
const TRY_BOTH: usize = 1_000;

/// Where an arrow key leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Against the edges.
    Left,
    /// Along the edges.
    Right,
    /// To the node above.
    Up,
    /// To the node below.
    Down,
}

/// A graph, laid out.
pub struct Graph {
    nodes: Vec<NodeSummary>,
    edges: Vec<(usize, usize)>,
    index: HashMap<NodeId, usize>,
    layout: Layout,
    downward: bool,
    paths: Vec<AttrValue>,
    edge_bounds: Vec<Bounds>,
}

impl Graph {
    /// Lays out the nodes of a definition.
    pub fn new(nodes: Vec<NodeSummary>) -> Self {
        let index: HashMap<NodeId, usize> =
            nodes.iter().map(|node| node.id.clone()).zip(0..).collect();
        let edges: Vec<(usize, usize)> = nodes
            .iter()
            .zip(0..)
            .flat_map(|(node, to)| {
                let sources = node.needs.iter().filter_map(|need| index.get(need));
                sources.map(move |&from| (from, to))
            })
            .collect();
        let (layout, downward) = best_layout(nodes.len(), &edges);
        let routes = edges.iter().zip(&layout.bends).map(|(&(from, to), bends)| {
            route(
                layout.positions[from],
                bends,
                layout.positions[to],
                downward,
            )
        });
        let (paths, edge_bounds) = routes.unzip();
        Self {
            nodes,
            edges,
            index,
            layout,
            downward,
            paths,
            edge_bounds,
        }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A node.
    pub fn node(&self, index: usize) -> &NodeSummary {
        &self.nodes[index]
    }

    /// The place of a node in the definition.
    pub fn index_of(&self, id: &NodeId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// The centre of a node.
    pub fn position(&self, index: usize) -> (f64, f64) {
        self.layout.positions[index]
    }

    /// What all nodes cover.
    pub fn bounds(&self) -> Bounds {
        self.layout.bounds
    }

    /// The path of an edge.
    pub fn path(&self, edge: usize) -> &AttrValue {
        &self.paths[edge]
    }

    /// Every edge's path as one.
    pub fn all_paths(&self) -> String {
        self.paths
            .iter()
            .map(AttrValue::as_str)
            .collect::<Vec<_>>()
            .join("")
    }

    /// The ends of an edge.
    pub fn ends(&self, edge: usize) -> (usize, usize) {
        self.edges[edge]
    }

    /// Nodes that a rectangle shows.
    pub fn nodes_in(&self, view: &Bounds) -> Vec<usize> {
        let shown = |index: &usize| node_bounds(self.position(*index)).meets(view);
        (0..self.nodes.len()).filter(shown).collect()
    }

    /// Edges that a rectangle may show.
    pub fn edges_in(&self, view: &Bounds) -> Vec<usize> {
        let shown = |edge: &usize| self.edge_bounds[*edge].meets(view);
        (0..self.edges.len()).filter(shown).collect()
    }

    /// Where an arrow key leads from a node: the nearest one across an edge, or the next one of its rank.
    pub fn neighbour(&self, from: usize, direction: Direction) -> Option<usize> {
        let across = |index: usize| {
            let (x, y) = self.position(index);
            if self.downward { x } else { y }
        };
        let here = across(from);
        let distance = |index: usize| (across(index) - here).abs();
        let nearest = |candidates: &mut dyn Iterator<Item = usize>| {
            candidates.min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
        };
        let mut sources = self
            .edges
            .iter()
            .filter(|edge| edge.1 == from)
            .map(|edge| edge.0);
        let mut targets = self
            .edges
            .iter()
            .filter(|edge| edge.0 == from)
            .map(|edge| edge.1);
        let beside = |beyond: bool| {
            let ranks = &self.layout.ranks;
            (0..self.nodes.len())
                .filter(move |&index| index != from && ranks[index] == ranks[from])
                .filter(move |&index| (across(index) > here) == beyond)
        };
        match (direction, self.downward) {
            (Direction::Left, false) | (Direction::Up, true) => nearest(&mut sources),
            (Direction::Right, false) | (Direction::Down, true) => nearest(&mut targets),
            (Direction::Up, false) | (Direction::Left, true) => nearest(&mut beside(false)),
            (Direction::Down, false) | (Direction::Right, true) => nearest(&mut beside(true)),
        }
    }
}

/// The drawing that fits the window larger, and whether its ranks go from top to bottom.
fn best_layout(nodes: usize, edges: &[(usize, usize)]) -> (Layout, bool) {
    let rightward = layered(nodes, edges, RIGHTWARD);
    if nodes > TRY_BOTH {
        return (rightward, false);
    }
    let downward = layered(nodes, edges, DOWNWARD).transposed();
    let zoom = |bounds: Bounds| {
        (WINDOW.0 / bounds.width())
            .min(WINDOW.1 / bounds.height())
            .min(1.0)
    };
    // Reading goes from left to right, so a small gain is none.
    if zoom(downward.bounds) > 1.15 * zoom(rightward.bounds) {
        (downward, true)
    } else {
        (rightward, false)
    }
}

/// What a node covers.
pub fn node_bounds((x, y): (f64, f64)) -> Bounds {
    Bounds {
        min_x: x - WIDTH / 2.0,
        min_y: y - HEIGHT / 2.0,
        max_x: x + WIDTH / 2.0,
        max_y: y + HEIGHT / 2.0,
    }
}

/// The smooth path from one node by the bends to another, and what it covers.
fn route(
    from: (f64, f64),
    bends: &[(f64, f64)],
    to: (f64, f64),
    downward: bool,
) -> (AttrValue, Bounds) {
    // Along the ranks first, across them second; turned back when written.
    let turn = |(x, y): (f64, f64)| if downward { (y, x) } else { (x, y) };
    let half = if downward { HEIGHT } else { WIDTH } / 2.0;
    let (from, to) = (turn(from), turn(to));
    let start = (from.0 + half, from.1);
    let end = (to.0 - half, to.1);
    // A bend stands for a stretch as long as a node: straight through the rank that is passed.
    let stretches = bends.iter().map(|&bend| turn(bend));
    let stretches =
        stretches.map(|(along, across)| ((along - half, across), (along + half, across)));
    let mut path = String::new();
    let mut write = |command: char, points: &[(f64, f64)]| {
        path.push(command);
        for (index, &point) in points.iter().enumerate() {
            let (x, y) = turn(point);
            let separator = if index == 0 { "" } else { " " };
            // Writing to a text does not fail.
            let _ = write!(path, "{separator}{x:.0} {y:.0}");
        }
    };
    write('M', &[start]);
    let mut last = start;
    let curve = |last: (f64, f64), next: (f64, f64)| {
        let middle = f64::midpoint(last.0, next.0);
        [(middle, last.1), (middle, next.1), next]
    };
    for (near, far) in stretches.clone() {
        write('C', &curve(last, near));
        write('L', &[far]);
        last = far;
    }
    write('C', &curve(last, end));
    let corners = [start, end]
        .into_iter()
        .chain(stretches.map(|(near, _)| near))
        .map(turn);
    let bounds = corners.fold(Bounds::NOTHING, |bounds, (x, y)| Bounds {
        min_x: bounds.min_x.min(x),
        min_y: bounds.min_y.min(y),
        max_x: bounds.max_x.max(x),
        max_y: bounds.max_y.max(y),
    });
    (path.into(), bounds)
}

/// A text cut to `most` characters.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use limelight_protocol::workflow::NodeKind;

    use super::*;

    fn graph(nodes: &[(&str, &[&str])]) -> Graph {
        let id = |name: &str| NodeId::new(name).unwrap();
        let nodes = nodes.iter().map(|(name, needs)| NodeSummary {
            id: id(name),
            name: None,
            kind: NodeKind::Noop,
            needs: needs.iter().map(|need| id(need)).collect(),
            phase: None,
            when: None,
            max_attempts: 1,
            timeout_s: None,
        });
        Graph::new(nodes.collect())
    }

    #[test]
    fn arrows_lead_along_the_edges_and_within_a_rank() {
        let graph = graph(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])]);
        let upper = if graph.position(1).1 < graph.position(2).1 {
            1
        } else {
            2
        };
        let lower = 3 - upper;
        assert_eq!(graph.neighbour(3, Direction::Right), None);
        assert!(matches!(graph.neighbour(0, Direction::Right), Some(1 | 2)));
        assert_eq!(graph.neighbour(upper, Direction::Down), Some(lower));
        assert_eq!(graph.neighbour(lower, Direction::Up), Some(upper));
        assert_eq!(graph.neighbour(upper, Direction::Left), Some(0));
    }

    #[test]
    fn a_chain_that_is_too_long_for_the_window_is_drawn_downwards() {
        let names: Vec<String> = (0..7).map(|n| format!("n{n}")).collect();
        let needs: Vec<Vec<&str>> = (0..7)
            .map(|n| names[..n].last().map(String::as_str).into_iter().collect())
            .collect();
        let nodes: Vec<(&str, &[&str])> = names
            .iter()
            .map(String::as_str)
            .zip(needs.iter().map(Vec::as_slice))
            .collect();
        let chain = graph(&nodes);
        assert!(chain.bounds().height() > chain.bounds().width());
        assert_eq!(chain.neighbour(0, Direction::Down), Some(1));
        assert_eq!(chain.neighbour(1, Direction::Up), Some(0));
        assert_eq!(chain.neighbour(1, Direction::Left), None);
    }

    #[test]
    fn only_what_a_rectangle_meets_is_shown() {
        let graph = graph(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        let start = node_bounds(graph.position(0));
        assert_eq!(graph.nodes_in(&start), [0]);
        assert_eq!(graph.edges_in(&start), [0]);
        assert_eq!(graph.nodes_in(&graph.bounds()), [0, 1, 2]);
    }

    #[test]
    fn an_edge_runs_from_side_to_side_and_straight_through_the_ranks_it_passes() {
        let (path, _) = route((0.0, 0.0), &[(240.0, 50.0)], (480.0, 0.0), false);
        assert_eq!(path, "M92 0C120 0 120 50 148 50L332 50C360 50 360 0 388 0");
        let (path, bounds) = route((0.0, 0.0), &[], (90.0, 82.0), true);
        assert_eq!(path, "M0 23C0 41 90 41 90 59");
        assert_eq!((bounds.min_y, bounds.max_x), (23.0, 90.0));
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(shorten("übermäßig", 5), "über…");
        assert_eq!(shorten("kurz", 5), "kurz");
    }
}
