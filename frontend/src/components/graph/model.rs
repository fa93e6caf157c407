//! A definition's graph with its places and paths. No DOM.

use std::{collections::HashMap, fmt::Write as _};

use limelight_protocol::{NodeId, workflow::NodeSummary};
use yew::AttrValue;

use crate::layout::{Bounds, Layout, Spacing, layered};

/// Size of a node and the space around it.
pub const SPACING: Spacing = Spacing {
    length: 184.0,
    breadth: 46.0,
    between_nodes: 18.0,
    between_ranks: 56.0,
};

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
        let layout = layered(nodes.len(), &edges, SPACING);
        let routes = edges
            .iter()
            .zip(&layout.bends)
            .map(|(&(from, to), bends)| route(layout.positions[from], bends, layout.positions[to]));
        let (paths, edge_bounds) = routes.unzip();
        Self {
            nodes,
            edges,
            index,
            layout,
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
        let (_, y) = self.position(from);
        let distance = |&index: &usize| (self.position(index).1 - y).abs();
        let nearest = |candidates: Vec<usize>| {
            candidates
                .into_iter()
                .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        };
        let edges = self.edges.iter();
        let same_rank = |below: bool| {
            (0..self.nodes.len())
                .filter(|&index| self.layout.ranks[index] == self.layout.ranks[from])
                .filter(|&index| index != from && (self.position(index).1 > y) == below)
                .collect()
        };
        match direction {
            Direction::Left => nearest(
                edges
                    .filter(|edge| edge.1 == from)
                    .map(|edge| edge.0)
                    .collect(),
            ),
            Direction::Right => nearest(
                edges
                    .filter(|edge| edge.0 == from)
                    .map(|edge| edge.1)
                    .collect(),
            ),
            Direction::Up => nearest(same_rank(false)),
            Direction::Down => nearest(same_rank(true)),
        }
    }
}

/// What a node covers.
pub fn node_bounds((x, y): (f64, f64)) -> Bounds {
    Bounds {
        min_x: x - SPACING.length / 2.0,
        min_y: y - SPACING.breadth / 2.0,
        max_x: x + SPACING.length / 2.0,
        max_y: y + SPACING.breadth / 2.0,
    }
}

/// The smooth path from the right of one node by the bends to the left of another, and what it covers.
fn route(from: (f64, f64), bends: &[(f64, f64)], to: (f64, f64)) -> (AttrValue, Bounds) {
    let half = SPACING.length / 2.0;
    let start = (from.0 + half, from.1);
    let end = (to.0 - half, to.1);
    let mut path = format!("M{:.0} {:.0}", start.0, start.1);
    let mut last = start;
    let mut bounds = Bounds {
        min_x: start.0.min(end.0),
        min_y: start.1.min(end.1),
        max_x: start.0.max(end.0),
        max_y: start.1.max(end.1),
    };
    // A bend stands for a stretch as long as a node: straight through the rank that is passed.
    let stretches = bends
        .iter()
        .flat_map(|&(x, y)| [(x - half, y), (x + half, y)]);
    for (turn, point) in stretches.chain([end]).enumerate() {
        let straight = turn % 2 == 1 && point != end;
        if straight {
            let _ = write!(path, "L{:.0} {:.0}", point.0, point.1);
        } else {
            let middle = f64::midpoint(last.0, point.0);
            let _ = write!(
                path,
                "C{middle:.0} {:.0} {middle:.0} {:.0} {:.0} {:.0}",
                last.1, point.1, point.0, point.1
            );
        }
        bounds.min_y = bounds.min_y.min(point.1);
        bounds.max_y = bounds.max_y.max(point.1);
        last = point;
    }
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
    fn only_what_a_rectangle_meets_is_shown() {
        let graph = graph(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        let start = node_bounds(graph.position(0));
        assert_eq!(graph.nodes_in(&start), [0]);
        assert_eq!(graph.edges_in(&start), [0]);
        assert_eq!(graph.nodes_in(&graph.bounds()), [0, 1, 2]);
    }

    #[test]
    fn an_edge_runs_from_side_to_side_and_straight_through_the_ranks_it_passes() {
        let (path, _) = route((0.0, 0.0), &[(240.0, 50.0)], (480.0, 0.0));
        assert_eq!(path, "M92 0C120 0 120 50 148 50L332 50C360 50 360 0 388 0");
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(shorten("übermäßig", 5), "über…");
        assert_eq!(shorten("kurz", 5), "kurz");
    }
}
