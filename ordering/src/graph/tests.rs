use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::naive::{self, Dice};

#[test]
fn a_block_is_transposed() {
    let mut dice = Dice::new(5);
    let words: [u64; LANES] = std::array::from_fn(|_| dice.roll());
    let turned = transposed(words);
    for (row, column) in (0..LANES).flat_map(|row| (0..LANES).map(move |c| (row, c))) {
        assert_eq!(words[row] >> column & 1, turned[column] >> row & 1);
    }
}

/// Rows of what reaches the goals, wave by wave, are rows of the whole graph.
#[test]
fn rows_of_what_is_kept_are_those_of_the_whole_graph() {
    let mut by_waves = 0;
    for (size, goals, seed) in [(70, 1, 1), (300, 1, 2), (300, 40, 3), (700, 2, 4), (700, 600, 5)] {
        let mut dice = Dice::new(seed);
        let mut order = || {
            let mut order: Vec<u32> = (0..size as u32).collect();
            dice.shuffle(&mut order);
            order
        };
        // Only what all seven say is decided, so that chains are long and rows are thin.
        let orders: Vec<Vec<u32>> = (0..7).map(|_| order()).collect();
        let keys = vec![Digest::from_bytes([1; 32]); size];
        let decider = Decider::new(&orders, 7, &keys);
        let mut wanted = Bits::empty(size);
        (0..goals).for_each(|goal| wanted.insert(goal * 7 % size));
        let whole = Graph::new(size, &decider);
        let mut all = wanted.clone();
        let mut count = 0;
        while count != all.count() {
            count = all.count();
            all.clone().iter().for_each(|vertex| all.union(whole.pred(vertex)));
        }
        let (graph, kept) = Graph::reaching(size, &wanted, &decider, Cut::Strict);
        assert_eq!(kept, all);
        for vertex in kept.iter() {
            assert_eq!(graph.pred(vertex), whole.pred(vertex));
            assert_eq!(graph.succ(vertex), whole.succ(vertex));
            assert_eq!(graph.beats(vertex), whole.beats(vertex));
        }
        by_waves += usize::from(graph != whole);
    }
    assert!((1..5).contains(&by_waves), "{by_waves} of 5 by waves");
}

/// The graph row by row is the graph by mirror images.
#[test]
fn halves_are_mirror_images() {
    let cases = [1, 5, 63, 64, 65, 129, 300].into_iter();
    for (size, shuffled) in cases.flat_map(|size| [0, 20, 60].map(|shuffled| (size, shuffled))) {
        let mut dice = Dice::new(size as u64);
        let mut order = || {
            let mut order: Vec<u32> = (0..size as u32).collect();
            if dice.chance(20) {
                order.reverse();
            }
            if dice.chance(shuffled) {
                dice.shuffle(&mut order);
            }
            order.truncate(dice.below(2 * size + 1));
            order
        };
        let orders: Vec<Vec<u32>> = (0..7).map(|_| order()).collect();
        let keys: Vec<Digest> =
            (0..size).map(|at| Digest::from_bytes([(at * 37 % 251) as u8; 32])).collect();
        let decider = Decider::new(&orders, 3, &keys);
        let mut rows = Graph::empty(size);
        let all: Vec<usize> = (0..size).collect();
        all.chunks(LANES).for_each(|vertices| rows.fill_rows(vertices, &decider));
        assert_eq!(Graph::new(size, &decider), rows, "{size}");
    }
}

/// One pair's state: (a beats b, b beats a, strict).
type Pair = (bool, bool, bool);

/// A graph as a table of pairs, decided one by one.
struct Plain {
    size: usize,
    edge: u32,
    /// By a, by b > a; None while undecided.
    pairs: BTreeMap<(usize, usize), Pair>,
}

/// What was put to the test.
#[derive(Debug, Default)]
struct Occurred {
    decided: usize,
    ties: usize,
    contested: usize,
    /// Undecided although an end is ripe.
    too_few: usize,
    /// Undecided although there are votes enough.
    unripe: usize,
}

impl Plain {
    /// Decides what is undecided among the pairs with an end in `ripe`.
    fn decide(
        &mut self,
        ripe: &BTreeSet<usize>,
        orders: &[Vec<u32>],
        keys: &[Digest],
        occurred: &mut Occurred,
    ) {
        let weights = naive::pair_weights(self.size, orders);
        for a in 0..self.size {
            for b in a + 1..self.size {
                let (p, q) = (weights[a][b], weights[b][a]);
                if self.pairs.contains_key(&(a, b)) {
                    continue;
                }
                let is_ripe = ripe.contains(&a) || ripe.contains(&b);
                if !is_ripe || p.max(q) < self.edge {
                    occurred.too_few += usize::from(is_ripe);
                    occurred.unripe += usize::from(!is_ripe && p.max(q) >= self.edge);
                    continue;
                }
                let first = p > q || (p == q && keys[a] < keys[b]);
                let strict = p.min(q) < self.edge;
                self.pairs.insert((a, b), (first, !first, strict));
                occurred.decided += 1;
                occurred.ties += usize::from(p == q);
                occurred.contested += usize::from(!strict);
            }
        }
    }

    fn assert_same(&self, graph: &Graph) {
        for a in 0..self.size {
            let has = |row: &[u64], b: usize| row[b / LANES] >> (b % LANES) & 1 == 1;
            for b in a + 1..self.size {
                let decided = self.pairs.get(&(a, b));
                let (first, second, strict) = decided.copied().unwrap_or_default();
                for (x, y, won, lost) in [(a, b, first, second), (b, a, second, first)] {
                    assert_eq!(graph.wins(x, y), won, "{x} {y} of {}", self.size);
                    assert_eq!(has(graph.succ(x), y), won && strict, "{x} {y}");
                    assert_eq!(has(graph.pred(x), y), lost && strict, "{x} {y}");
                    assert_eq!(graph.undecided.contains(x, y), decided.is_none(), "{x} {y}");
                }
            }
            for matrix in [&graph.beats, &graph.succ, &graph.pred, &graph.undecided] {
                assert!(!matrix.contains(a, a), "{a}");
                assert!(matrix.row(a).iter().rev().take(1).all(|w| w & !tail_mask(self.size) == 0));
            }
        }
    }
}

/// Twelve logs that know some of the vertices, three times: each knows more the next time.
fn growing_orders(size: usize, dice: &mut Dice) -> [Vec<Vec<u32>>; 3] {
    let all: Vec<u32> = (0..size as u32).collect();
    let logs: Vec<Vec<u32>> = (0..12)
        .map(|log| {
            let mut order = all.clone();
            match log % 3 {
                0 => order.reverse(),
                1 => dice.shuffle(&mut order),
                _ => {}
            }
            order
        })
        .collect();
    // By log, by vertex: from which time on the log knows it. Some stay unknown to most logs.
    let rare: BTreeSet<u32> = dice.sample(&all, size / 5).into_iter().collect();
    let mut known = |vertex: &u32| match dice.below(if rare.contains(vertex) { 12 } else { 6 }) {
        0 | 1 => 0,
        2 | 3 => 1,
        4 => 2,
        _ => 3,
    };
    let since: Vec<Vec<usize>> =
        logs.iter().map(|log| log.iter().map(&mut known).collect()).collect();
    [0, 1, 2].map(|time| {
        let cut = logs.iter().zip(&since).map(|(log, since)| {
            let known = log.iter().zip(since).filter(|(_, since)| **since <= time);
            let mut order: Vec<(usize, u32)> = known.map(|(id, since)| (*since, *id)).collect();
            // What a log learns later stands behind what it knew.
            order.sort_by_key(|(since, _)| *since);
            order.into_iter().map(|(_, id)| id).collect()
        });
        cut.collect()
    })
}

/// UPDATE on the bit rows is UPDATE pair by pair, whatever the panels are: more than 64 ripe vertices,
/// and lanes that are no word of a row.
#[test]
fn late_decisions_are_those_of_pair_by_pair() {
    for (size, rounds) in [(65, 8), (130, 8), (300, 3)] {
        let mut occurred = Occurred::default();
        let (mut most, mut partial) = (0, 0);
        for seed in 0..rounds {
            let mut dice = Dice::new(seed);
            let orders = growing_orders(size, &mut dice);
            let edge = 5;
            let mut plain = Plain { size, edge: u32::from(edge), pairs: BTreeMap::new() };
            let mut keys = |_| Digest::from_bytes([0; 32].map(|_: u8| dice.roll() as u8));
            let keys: [Vec<Digest>; 3] = [0; 3].map(|_| (0..size).map(&mut keys).collect());

            let mut graph = Graph::new(size, &Decider::new(&orders[0], edge, &keys[0]));
            plain.decide(&(0..size).collect(), &orders[0], &keys[0], &mut Occurred::default());
            plain.assert_same(&graph);
            for (orders, keys) in orders.iter().zip(&keys).skip(1) {
                let logs = |vertex: u32| orders.iter().filter(|log| log.contains(&vertex)).count();
                let enough = dice.pick(&[6, 7]);
                let ripe: BTreeSet<usize> =
                    (0..size).filter(|vertex| logs(*vertex as u32) >= enough).collect();
                let mut bits = Bits::empty(size);
                ripe.iter().for_each(|vertex| bits.insert(*vertex));
                graph.decide(&bits, &Decider::new(orders, edge, keys));
                plain.decide(&ripe, orders, keys, &mut occurred);
                plain.assert_same(&graph);
                most = most.max(ripe.len());
                partial += usize::from(!ripe.len().is_multiple_of(LANES) && ripe.len() < size);
            }
        }
        println!("{size}: {occurred:?}, {most} ripe, {partial} times a part of a word");
        let Occurred { decided, ties, contested, too_few, unripe } = occurred;
        assert!([decided, ties, contested, too_few, unripe].iter().all(|count| *count >= 20));
        assert!(partial > 0 && (most > LANES || size == 65), "{most} ripe, {partial}");
    }
}
