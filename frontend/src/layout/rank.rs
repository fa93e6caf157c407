//! Ranks by longest path from the sources.

/// The rank of each node: every edge of an acyclic graph rises by one at least.
pub fn assign(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut after = vec![Vec::new(); nodes];
    let mut before_count = vec![0_usize; nodes];
    for &(from, to) in edges {
        after[from].push(to);
        before_count[to] += 1;
    }
    let mut open = before_count.clone();
    let mut queue: Vec<usize> = (0..nodes).filter(|&node| open[node] == 0).collect();
    let mut ranks = vec![0; nodes];
    let mut next = 0;
    while let Some(&node) = queue.get(next) {
        next += 1;
        for &target in &after[node] {
            ranks[target] = ranks[target].max(ranks[node] + 1);
            open[target] -= 1;
            if open[target] == 0 {
                queue.push(target);
            }
        }
    }
    // A node with no more sources than targets moves up to its targets: that shortens its edges.
    for &node in queue.iter().rev() {
        let nearest = after[node].iter().map(|&target| ranks[target]).min();
        if let Some(nearest) = nearest
            && before_count[node] <= after[node].len()
            && nearest > ranks[node] + 1
        {
            ranks[node] = nearest - 1;
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::assign;

    #[test]
    fn a_source_moves_up_to_what_needs_it() {
        assert_eq!(assign(4, &[(0, 1), (1, 2), (3, 2)]), [0, 1, 2, 1]);
    }
}
