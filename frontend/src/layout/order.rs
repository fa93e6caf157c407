//! The order of vertices within their ranks: few crossings.

use super::Proper;

/// Most sweeps over all ranks.
const SWEEPS: usize = 48;
/// Sweeps without a gain after which there will be none.
const STALL: usize = 8;
/// Most rounds of swapping neighbours.
const SWAP_ROUNDS: usize = 20;

/// Vertices by rank, in order.
#[derive(Clone)]
pub struct Layers {
    /// Each rank's vertices.
    pub ranks: Vec<Vec<usize>>,
    place: Vec<usize>,
}

impl Layers {
    /// A good order.
    pub fn ordered(graph: &Proper) -> Self {
        let mut layers = Self::depth_first(graph);
        let mut best = layers.clone();
        let mut fewest = layers.crossings(graph);
        let mut stalled = 0;
        for round in 0..SWEEPS {
            if fewest == 0 || stalled > STALL {
                break;
            }
            layers.sweep(graph, round);
            let crossings = layers.crossings(graph);
            if crossings < fewest {
                fewest = crossings;
                best = layers.clone();
                stalled = 0;
            } else {
                stalled += 1;
            }
        }
        if fewest > 0 {
            best.swap_neighbours(graph);
        }
        best
    }

    /// The order in which a search from the sources meets the vertices: trees come out untangled.
    fn depth_first(graph: &Proper) -> Self {
        let deepest = graph.rank.iter().copied().max().unwrap_or(0);
        let mut ranks = vec![Vec::new(); deepest + 1];
        let mut seen = vec![false; graph.len()];
        let sources = (0..graph.len()).filter(|&vertex| graph.before[vertex].is_empty());
        for source in sources {
            let mut stack = vec![source];
            while let Some(vertex) = stack.pop() {
                if std::mem::replace(&mut seen[vertex], true) {
                    continue;
                }
                ranks[graph.rank[vertex]].push(vertex);
                stack.extend(
                    graph.after[vertex]
                        .iter()
                        .rev()
                        .filter(|&&next| !seen[next]),
                );
            }
        }
        let mut layers = Self {
            ranks,
            place: vec![0; graph.len()],
        };
        for rank in 0..layers.ranks.len() {
            layers.renumber(rank);
        }
        layers
    }

    fn renumber(&mut self, rank: usize) {
        for (place, &vertex) in self.ranks[rank].iter().enumerate() {
            self.place[vertex] = place;
        }
    }

    /// Sorts every rank by where its vertices' neighbours are: down and up by turns, by mean for two
    /// sweeps, then by median for two.
    fn sweep(&mut self, graph: &Proper, round: usize) {
        let down = round.is_multiple_of(2);
        let by_mean = round % 4 < 2;
        let count = self.ranks.len();
        for step in 1..count {
            let rank = if down { step } else { count - 1 - step };
            let mut keyed: Vec<(f64, usize)> = self.ranks[rank]
                .iter()
                .map(|&vertex| {
                    let neighbours = if down {
                        &graph.before[vertex]
                    } else {
                        &graph.after[vertex]
                    };
                    (self.key(vertex, neighbours, by_mean), vertex)
                })
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            self.ranks[rank] = keyed.into_iter().map(|(_, vertex)| vertex).collect();
            self.renumber(rank);
        }
    }

    fn key(&self, vertex: usize, neighbours: &[usize], by_mean: bool) -> f64 {
        let mut places: Vec<usize> = neighbours.iter().map(|&other| self.place[other]).collect();
        if places.is_empty() {
            self.place[vertex] as f64
        } else if by_mean {
            places.iter().sum::<usize>() as f64 / places.len() as f64
        } else {
            places.sort_unstable();
            places[places.len() / 2] as f64
        }
    }

    /// How often edges cross: inversions, counted with a Fenwick tree per pair of ranks.
    pub fn crossings(&self, graph: &Proper) -> u64 {
        let mut crossings = 0;
        for pair in self.ranks.windows(2) {
            let mut tree = vec![0_u64; pair[1].len() + 1];
            let mut total = 0;
            for &vertex in &pair[0] {
                let targets: Vec<usize> = graph.after[vertex]
                    .iter()
                    .map(|&next| self.place[next] + 1)
                    .collect();
                for &target in &targets {
                    let mut not_beyond = 0;
                    let mut at = target;
                    while at > 0 {
                        not_beyond += tree[at];
                        at &= at - 1;
                    }
                    crossings += total - not_beyond;
                }
                for mut at in targets {
                    while at < tree.len() {
                        tree[at] += 1;
                        at += at & at.wrapping_neg();
                    }
                    total += 1;
                }
            }
        }
        crossings
    }

    /// Swaps neighbours wherever that undoes crossings, until nothing is gained.
    fn swap_neighbours(&mut self, graph: &Proper) {
        for _ in 0..SWAP_ROUNDS {
            let mut gained = false;
            for rank in 0..self.ranks.len() {
                for place in 1..self.ranks[rank].len() {
                    let (left, right) = (self.ranks[rank][place - 1], self.ranks[rank][place]);
                    if self.gain(&graph.before, left, right) + self.gain(&graph.after, left, right)
                        > 0
                    {
                        self.ranks[rank].swap(place - 1, place);
                        self.place[left] = place;
                        self.place[right] = place - 1;
                        gained = true;
                    }
                }
            }
            if !gained {
                break;
            }
        }
    }

    /// How many crossings fewer there are on one side when the two change places.
    fn gain(&self, side: &[Vec<usize>], left: usize, right: usize) -> i64 {
        let mut gain = 0;
        for &a in &side[left] {
            for &b in &side[right] {
                gain += match self.place[a].cmp(&self.place[b]) {
                    std::cmp::Ordering::Greater => 1,
                    std::cmp::Ordering::Less => -1,
                    std::cmp::Ordering::Equal => 0,
                };
            }
        }
        gain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossings_are_counted_and_undone() {
        let edges = [(0, 4), (0, 5), (1, 3), (2, 3), (1, 5)];
        let graph = Proper::new(&[0, 0, 0, 1, 1, 1], &edges);
        let mut layers = Layers::depth_first(&graph);
        layers.ranks = vec![vec![0, 1, 2], vec![3, 4, 5]];
        layers.renumber(0);
        layers.renumber(1);
        assert_eq!(layers.crossings(&graph), 5);
        assert_eq!(Layers::ordered(&graph).crossings(&graph), 0);
    }
}
