//! LINEARIZE: from decided pairs to a list of cohorts.
//!
//! 1. Cohorts = the strongly connected components of the strict graph on the given vertices, in
//!    mode `themis` those of the tournament.
//! 2. Cohorts leave by Kahn's algorithm; of those that nothing stands before, the one with the
//!    smallest (median, key) leaves first: smallest median of its members, then smallest key.
//! 3. Neighbours in a cohort follow the tournament: merge sort, begun in the order of
//!    (median, key), yields a Hamiltonian path.
//! 4. A cohort of three or more that has solid ids ends on one; in mode `themis` only the last one
//!    of a complete proposal does. If the path does not, the Hamiltonian cycle is rotated to end on
//!    the solid id that stood last in the path.
//!
//! The components of a tournament stand in one order: a set of i vertices comes before all others
//! exactly if it has as many wins as can be, i(i-1)/2 + i(k-i) of k (Landau's theorem). So vertices
//! sorted by wins are cut wherever the sum of wins is that number.
//!
//! Camion's theorem gives the cycle: all pairs of a cohort are decided and strict edges agree
//! with the tournament, so the tournament on a cohort is strongly connected.

use std::{cmp::Reverse, collections::BinaryHeap};

use fairveil_crypto::Digest;

use crate::{
    bits::{Bits, last_common, meets},
    components::components,
    graph::Graph,
    rules::Members,
};

/// What the order among vertices depends on besides the graph.
pub(crate) struct Priorities<'a> {
    /// Lower median of positions.
    pub(crate) medians: &'a [u64],
    /// key(x) under the seed of the emitting block.
    pub(crate) keys: &'a [Digest],
    /// Vertices on which a cohort may end.
    pub(crate) solid: &'a Bits,
    pub(crate) members: Members,
    pub(crate) cohorts: Cohorts,
}

/// What the cohorts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cohorts {
    /// Components of the strict graph.
    Strict,
    /// Components of the tournament, of a part of a proposal.
    Tournament,
    /// Components of the tournament, of all that is left of a proposal: the last one ends on a
    /// solid id.
    LastOfTournament,
}

impl Priorities<'_> {
    fn of(&self, vertex: usize) -> (u64, Digest) {
        (self.medians[vertex], self.keys[vertex])
    }
}

/// The cohorts of `among`, in order, each with its vertices in order.
pub(crate) fn linearize(
    graph: &Graph,
    among: &Bits,
    priorities: &Priorities<'_>,
) -> Vec<Vec<usize>> {
    match priorities.cohorts {
        Cohorts::Strict => {
            let mut cohorts = components(graph, among);
            let order = sorted(graph, among, &cohorts, priorities);
            let cohort = |at| inner_order(graph, std::mem::take(&mut cohorts[at]), priorities);
            order.into_iter().map(cohort).collect()
        }
        Cohorts::Tournament => {
            let cohorts = tournament_components(graph, among).into_iter();
            cohorts.map(|cohort| path(graph, cohort, priorities)).collect()
        }
        Cohorts::LastOfTournament => {
            let mut cohorts = tournament_components(graph, among);
            let last = cohorts.pop();
            let mut order: Vec<Vec<usize>> =
                cohorts.into_iter().map(|cohort| path(graph, cohort, priorities)).collect();
            order.extend(last.map(|cohort| inner_order(graph, cohort, priorities)));
            order
        }
    }
}

/// The components of the tournament on `among`, of which all pairs are decided, in their order.
fn tournament_components(graph: &Graph, among: &Bits) -> Vec<Vec<usize>> {
    let wins = |vertex: usize| {
        let beaten = graph.beats(vertex).iter().zip(among.words());
        beaten.map(|(beats, among)| (beats & among).count_ones() as usize).sum::<usize>()
    };
    let mut vertices: Vec<(usize, usize)> =
        among.iter().map(|vertex| (wins(vertex), vertex)).collect();
    vertices.sort_unstable_by_key(|(wins, vertex)| (Reverse(*wins), *vertex));
    let size = vertices.len();
    let (mut components, mut open, mut sum) = (Vec::new(), Vec::new(), 0);
    for (before, (wins, vertex)) in vertices.into_iter().enumerate() {
        open.push(vertex);
        sum += wins;
        let first = before + 1;
        if sum == first * before / 2 + first * (size - first) {
            components.push(std::mem::take(&mut open));
        }
    }
    components
}

/// Kahn's algorithm over the condensation. A waiting cohort watches one vertex before it, the
/// last one of its row, and looks for another when that one has left.
fn sorted(
    graph: &Graph,
    among: &Bits,
    cohorts: &[Vec<usize>],
    priorities: &Priorities<'_>,
) -> Vec<usize> {
    let before: Vec<Bits> = cohorts.iter().map(|cohort| outside(graph, cohort)).collect();
    let mut ready = BinaryHeap::new();
    let mut watchers: Vec<Vec<usize>> = vec![Vec::new(); graph.size()];
    let mut remaining = among.clone();
    let mut order = Vec::with_capacity(cohorts.len());
    let mut waiting: Vec<usize> = (0..cohorts.len()).collect();
    loop {
        for at in waiting.drain(..) {
            match last_common(before[at].words(), &remaining) {
                Some(vertex) => watchers[vertex].push(at),
                None => ready.push(Reverse((priority(&cohorts[at], priorities), at))),
            }
        }
        let Some(Reverse((_, at))) = ready.pop() else {
            return order;
        };
        order.push(at);
        cohorts[at].iter().for_each(|vertex| remaining.remove(*vertex));
        for vertex in &cohorts[at] {
            waiting.append(&mut watchers[*vertex]);
        }
    }
}

/// Vertices outside a cohort that stand before one of its members.
fn outside(graph: &Graph, cohort: &[usize]) -> Bits {
    let mut before = Bits::empty(graph.size());
    cohort.iter().for_each(|member| before.union(graph.pred(*member)));
    cohort.iter().for_each(|member| before.remove(*member));
    before
}

fn priority(cohort: &[usize], priorities: &Priorities<'_>) -> (u64, Digest) {
    let median = cohort.iter().map(|vertex| priorities.medians[*vertex]).min();
    let key = cohort.iter().map(|vertex| priorities.keys[*vertex]).min();
    (median.unwrap_or(u64::MAX), key.unwrap_or(Digest::from_bytes([u8::MAX; 32])))
}

fn inner_order(graph: &Graph, cohort: Vec<usize>, priorities: &Priorities<'_>) -> Vec<usize> {
    match priorities.members {
        Members::Path => {}
        #[cfg(test)]
        Members::ById => {
            let mut cohort = cohort;
            cohort.sort_unstable_by_key(|vertex| priorities.keys[*vertex]);
            return cohort;
        }
    }
    if cohort.len() < 3 {
        return cohort;
    }
    let path = path(graph, cohort, priorities);
    let solid_last = path.last().is_some_and(|last| priorities.solid.contains(*last));
    let end = path.iter().rev().find(|vertex| priorities.solid.contains(**vertex)).copied();
    match end {
        Some(end) if !solid_last => ending_on(end, cycle(graph, &path)),
        _ => path,
    }
}

/// A Hamiltonian path of a cohort, begun in the order of (median, key).
fn path(graph: &Graph, mut cohort: Vec<usize>, priorities: &Priorities<'_>) -> Vec<usize> {
    cohort.sort_unstable_by_key(|vertex| priorities.of(*vertex));
    merge_sorted(graph, cohort)
}

/// A Hamiltonian path of the tournament: merge sort, which needs no transitivity, because each
/// neighbour in a merged list either was compared or was a neighbour before.
fn merge_sorted(graph: &Graph, list: Vec<usize>) -> Vec<usize> {
    if list.len() < 2 {
        return list;
    }
    let mut left = list;
    let right = left.split_off(left.len() / 2);
    let mut left = merge_sorted(graph, left).into_iter().peekable();
    let mut right = merge_sorted(graph, right).into_iter().peekable();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if graph.wins(*b, *a) { right.next() } else { left.next() };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

/// A Hamiltonian cycle of a strongly connected tournament, from a Hamiltonian path of it.
///
/// Let C be a cycle through path[..i]. Some later vertex beats a member of C, the first such be
/// path[j]. C beats everything in path[i..j]. If i < j, path[i..=j] fits before any member that
/// path[j] beats. If i = j, path[i-1] beats path[i], which beats a member of C: going around C,
/// somewhere a member that beats path[i] is followed by one that loses to it.
fn cycle(graph: &Graph, path: &[usize]) -> Vec<usize> {
    let first = path[0];
    let back = path.iter().rposition(|vertex| graph.wins(*vertex, first)).unwrap_or(0);
    let mut cycle: Vec<usize> = path[..=back].to_vec();
    let mut on = Bits::empty(graph.size());
    cycle.iter().for_each(|vertex| on.insert(*vertex));
    let mut done = back + 1;
    while done < path.len() {
        let rest = &path[done..];
        // Always found in a strongly connected tournament.
        let Some(ahead) = rest.iter().position(|vertex| meets(graph.beats(*vertex), &on)) else {
            cycle.extend_from_slice(rest);
            return cycle;
        };
        let (entry, exit) = (rest[0], rest[ahead]);
        let place = (0..cycle.len()).find(|at| {
            let previous = cycle[(at + cycle.len() - 1) % cycle.len()];
            graph.wins(exit, cycle[*at]) && graph.wins(previous, entry)
        });
        let place = place.unwrap_or(cycle.len());
        rest[..=ahead].iter().for_each(|vertex| on.insert(*vertex));
        cycle.splice(place..place, rest[..=ahead].iter().copied());
        done += ahead + 1;
    }
    cycle
}

fn ending_on(end: usize, mut cycle: Vec<usize>) -> Vec<usize> {
    if let Some(at) = cycle.iter().position(|vertex| *vertex == end) {
        let after = (at + 1) % cycle.len();
        cycle.rotate_left(after);
    }
    cycle
}

#[cfg(test)]
mod tests {
    use rand_chacha::{
        ChaCha8Rng,
        rand_core::{RngCore, SeedableRng},
    };

    use super::*;

    /// A random tournament, all edges strict.
    fn tournament(rng: &mut ChaCha8Rng, size: usize) -> Graph {
        let pairs = size * (size - 1) / 2;
        let mut bytes = vec![0u8; (pairs * 3).div_ceil(8)];
        for pair in 0..pairs {
            for bit in [0, 1, 2] {
                let set = bit != 1 || rng.next_u32() & 1 == 0;
                bytes[(pair * 3 + bit) / 8] |= u8::from(set) << ((pair * 3 + bit) % 8);
            }
        }
        Graph::from_pairs(size, &bytes).unwrap()
    }

    #[test]
    fn invariants_1_to_4_on_random_tournaments() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut rotated = 0;
        for round in 0..3_000 {
            let size = 1 + round % 12;
            let graph = tournament(&mut rng, size);
            let medians: Vec<u64> = (0..size).map(|_| rng.next_u64() % 4).collect();
            let keys: Vec<Digest> =
                (0..size).map(|at| Digest::from_bytes([(at * 37 % 251) as u8; 32])).collect();
            let solid =
                Bits::from_words(vec![rng.next_u64() & rng.next_u64() & ((1 << size) - 1)], size);
            let solid = solid.unwrap();
            let priorities = Priorities {
                medians: &medians,
                keys: &keys,
                solid: &solid,
                members: Members::Path,
                cohorts: Cohorts::Strict,
            };
            let cohorts = linearize(&graph, &Bits::full(size), &priorities);
            let flat: Vec<usize> = cohorts.concat();
            let mut all = flat.clone();
            all.sort_unstable();
            assert_eq!(all, (0..size).collect::<Vec<_>>());
            for (at, cohort) in cohorts.iter().enumerate() {
                for pair in cohort.windows(2) {
                    assert!(graph.wins(pair[0], pair[1]), "invariant 3");
                }
                for later in cohorts[at + 1..].concat() {
                    assert!(cohort.iter().all(|vertex| !graph.wins(later, *vertex)), "invariant 1");
                }
                if cohort.len() > 2 && cohort.iter().any(|vertex| solid.contains(*vertex)) {
                    assert!(solid.contains(cohort[cohort.len() - 1]), "invariant 4");
                    rotated += 1;
                }
            }
        }
        assert!(rotated > 500);
    }

    #[test]
    fn invariant_2_unrelated_vertices_leave_by_median_then_key() {
        let graph = Graph::from_pairs(3, &[0, 0]).unwrap();
        let keys = [3, 2, 1].map(|byte| Digest::from_bytes([byte; 32]));
        let solid = Bits::empty(3);
        let priorities = Priorities {
            medians: &[5, 7, 5],
            keys: &keys,
            solid: &solid,
            members: Members::Path,
            cohorts: Cohorts::Strict,
        };
        let cohorts = linearize(&graph, &Bits::full(3), &priorities);
        assert_eq!(cohorts, [[2], [0], [1]]);
    }
}
