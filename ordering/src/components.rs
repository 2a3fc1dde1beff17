//! Strongly connected components of the strict graph: the cohorts.

use crate::{bits::Bits, graph::Graph, kernel::LANES};

/// Strongly connected components of the strict graph on `among`, in no particular order.
///
/// Kosaraju's algorithm on bit rows: Θ(k²/64), whatever the number of edges.
pub(crate) fn components(graph: &Graph, among: &Bits) -> Vec<Vec<usize>> {
    let mut finished = Vec::with_capacity(among.count());
    let mut unvisited = among.clone();
    for root in among.iter() {
        if unvisited.contains(root) {
            unvisited.remove(root);
            finish_from(graph, root, &mut unvisited, &mut finished);
        }
    }
    let mut left = among.clone();
    let mut found = Vec::new();
    for root in finished.into_iter().rev() {
        if !left.contains(root) {
            continue;
        }
        left.remove(root);
        let mut component = vec![root];
        let mut next = 0;
        while next < component.len() {
            let mut before = Bits::empty(graph.size());
            before.union(graph.pred(component[next]));
            before.intersect(left.words());
            component.extend(before.iter());
            left.subtract(before.words());
            next += 1;
        }
        found.push(component);
    }
    found
}

/// Depth-first search over strict edges; vertices are pushed when all behind them is finished.
fn finish_from(graph: &Graph, root: usize, unvisited: &mut Bits, finished: &mut Vec<usize>) {
    let mut path = vec![(root, 0)];
    while let Some((vertex, word)) = path.last_mut() {
        let row = graph.succ(*vertex);
        while *word < row.len() && row[*word] & unvisited.words()[*word] == 0 {
            *word += 1;
        }
        if *word == row.len() {
            finished.push(*vertex);
            path.pop();
            continue;
        }
        let open = row[*word] & unvisited.words()[*word];
        let child = *word * LANES + open.trailing_zeros() as usize;
        unvisited.remove(child);
        path.push((child, 0));
    }
}
