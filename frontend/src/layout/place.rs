//! Coordinates across the ranks: as near to the neighbours as the order and the spacing allow.

use super::{Proper, Spacing, order::Layers};

/// Passes over all ranks, down and up by turns.
const PASSES: usize = 12;
/// Breadth kept free for a bend.
const BEND: f64 = 4.0;
/// How much straighter the middle of a long edge is to be than its ends.
const STRAIGHT: f64 = 8.0;

/// The coordinate of every vertex.
pub fn across(graph: &Proper, layers: &Layers, spacing: Spacing) -> Vec<f64> {
    let breadth = |vertex: usize| {
        if graph.is_bend(vertex) {
            BEND
        } else {
            spacing.breadth
        }
    };
    let gap = |a: usize, b: usize| (breadth(a) + breadth(b)) / 2.0 + spacing.between_nodes;
    let mut at = vec![0.0; graph.len()];
    for rank in &layers.ranks {
        let offsets = offsets(rank, gap);
        let middle = offsets.last().copied().unwrap_or(0.0) / 2.0;
        for (&vertex, offset) in rank.iter().zip(offsets) {
            at[vertex] = offset - middle;
        }
    }
    for pass in 0..PASSES {
        let down = pass.is_multiple_of(2);
        let count = layers.ranks.len();
        for step in 0..count {
            let rank = &layers.ranks[if down { step } else { count - 1 - step }];
            let offsets = offsets(rank, gap);
            let wishes = rank.iter().zip(&offsets).map(|(&vertex, offset)| {
                let (wish, weight) = wish(graph, &at, vertex, down);
                (wish - offset, weight)
            });
            for ((&vertex, offset), base) in rank.iter().zip(&offsets).zip(monotone(wishes)) {
                at[vertex] = base + offset;
            }
        }
    }
    at
}

/// Where each vertex of a rank would be if they stood as close as they may.
fn offsets(rank: &[usize], gap: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut sum = 0.0;
    let mut offsets = Vec::with_capacity(rank.len());
    for (place, &vertex) in rank.iter().enumerate() {
        if place > 0 {
            sum += gap(rank[place - 1], vertex);
        }
        offsets.push(sum);
    }
    offsets
}

/// Where a vertex would like to be, and how much.
fn wish(graph: &Proper, at: &[f64], vertex: usize, down: bool) -> (f64, f64) {
    let (mut sum, mut total) = (0.0, 0.0);
    for (neighbours, side) in [
        (&graph.before[vertex], if down { 2.0 } else { 0.5 }),
        (&graph.after[vertex], if down { 0.5 } else { 2.0 }),
    ] {
        for &other in neighbours {
            let within_edge = graph.is_bend(vertex) && graph.is_bend(other);
            let weight = if within_edge { STRAIGHT * side } else { side };
            sum += at[other] * weight;
            total += weight;
        }
    }
    if total > 0.0 {
        (sum / total, total)
    } else {
        (at[vertex], 0.1)
    }
}

/// The non-decreasing values nearest to the wishes by weighted squares (pool adjacent violators).
fn monotone(wishes: impl Iterator<Item = (f64, f64)>) -> Vec<f64> {
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for (wish, weight) in wishes {
        let mut block = (wish, weight, 1);
        while let Some(&(value, heavy, count)) = blocks.last() {
            if value <= block.0 {
                break;
            }
            blocks.pop();
            let total = heavy + block.1;
            block = (
                (value * heavy + block.0 * block.1) / total,
                total,
                count + block.2,
            );
        }
        blocks.push(block);
    }
    blocks
        .into_iter()
        .flat_map(|(value, _, count)| std::iter::repeat_n(value, count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::monotone;

    #[test]
    fn wishes_out_of_order_meet_at_their_weighted_mean() {
        let wishes = [(1.0, 1.0), (5.0, 1.0), (2.0, 3.0), (9.0, 1.0)];
        assert_eq!(monotone(wishes.into_iter()), [1.0, 2.75, 2.75, 9.0]);
    }
}
