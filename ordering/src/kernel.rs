//! Pair weights, the only quadratic part: the votes of all logs about one vertex and 64 others at a time.
//!
//! `w(a, b)` = logs with rank(a) < rank(b), absent = infinity, so one-sided votes count.
//!
//! * What a log says of a vertex beside a panel of 64 others depends only on how many of these stand
//!   before it. So a panel holds, per log, that number for every rank, and for every such number the 64
//!   votes in each direction: a vertex costs two loads a log, wherever it stands.
//! * Votes are added in bit planes: plane i holds bit i of all 64 sums. Full adders take seven logs at
//!   once; a threshold, or which of two sums is larger, is a few operations on planes, and the answer is
//!   a word of a bit row.
//! * Two words of which every log has all of one before all of the other are done at once. Vertices come
//!   in the order of medians, so that is most pairs of words.

use crate::committee::MAX_SEQUENCERS;

/// Vertices of a panel: one word of a bit row.
pub(crate) const LANES: usize = 64;
/// Bits of a weight.
const PLANES: usize = 8;
/// Logs that are added at once.
const GROUP: usize = 7;
/// Where the votes of a log about a vertex stand that it does not contain.
const NOWHERE: u8 = LANES as u8 + 1;

const _: () = assert!(MAX_SEQUENCERS < 1 << PLANES);

/// 64 votes for the vertex, and 64 against it.
type Votes = [u64; 2];

/// The order of `size` vertices in each log.
pub(crate) struct Columns {
    size: usize,
    logs: usize,
    /// By vertex, by log; `size` where it is absent.
    ranks: Vec<u32>,
    /// By word, by log.
    bounds: Vec<Bounds>,
}

/// Where the vertices of a word stand in a log.
#[derive(Clone, Copy)]
struct Bounds {
    /// The least rank; absent if none stands there.
    low: u32,
    /// The largest rank of those that stand there.
    high: u32,
    presence: Presence,
}

/// How many vertices of a word a log contains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    None,
    Some,
    All,
}

/// At most 64 vertices, a lane each, prepared for comparisons with any other.
pub(crate) struct Panel<'a> {
    columns: &'a Columns,
    /// By log, by rank: how many of the lanes stand before it; [`NOWHERE`] for the rank of the absent.
    before: Vec<u8>,
    /// By log, by that number.
    votes: Vec<[Votes; LANES + 2]>,
}

/// Weights of a vertex and the 64 lanes of a panel, as bit planes. Lanes without a vertex, and the
/// vertex' own, hold nothing of meaning.
#[derive(Default)]
pub(crate) struct Weights {
    planes: [Votes; PLANES],
}

impl Columns {
    /// `orders[i]` holds the vertices that log i contains, in its order.
    pub(crate) fn new(size: usize, orders: &[Vec<u32>]) -> Self {
        let logs = orders.len();
        let mut ranks = vec![size as u32; size * logs];
        for (log, order) in orders.iter().enumerate() {
            for (rank, vertex) in order.iter().enumerate() {
                ranks[*vertex as usize * logs + log] = rank as u32;
            }
        }
        let mut bounds = Vec::with_capacity(size.div_ceil(LANES) * logs);
        for word in ranks.chunks(LANES * logs.max(1)) {
            let of = |log: usize| word[log..].iter().step_by(logs).copied();
            bounds.extend((0..logs).map(|log| Bounds::of(of(log), size as u32)));
        }
        Self { size, logs, ranks, bounds }
    }

    /// w(a, b) and w(b, a), if they are the same for each vertex a of one word and b of another.
    pub(crate) fn between(&self, word: usize, other: usize) -> Option<(u16, u16)> {
        let (mut forward, mut backward) = (0, 0);
        let [ones, others] =
            [word, other].map(|word| &self.bounds[word * self.logs..][..self.logs]);
        for (one, other) in ones.iter().zip(others) {
            match (one.presence, other.presence) {
                (Presence::None, Presence::None) => {}
                (Presence::All, Presence::None) => forward += 1,
                (Presence::None, Presence::All) => backward += 1,
                (Presence::All, _) if one.high < other.low => forward += 1,
                (_, Presence::All) if other.high < one.low => backward += 1,
                _ => return None,
            }
        }
        Some((forward, backward))
    }

    /// A panel without vertices.
    pub(crate) fn panel(&self) -> Panel<'_> {
        let before = vec![0; self.logs * (self.size + 1)];
        Panel { columns: self, before, votes: vec![[[0; 2]; LANES + 2]; self.logs] }
    }
}

impl Panel<'_> {
    /// Gives its lanes to these vertices, at most 64.
    pub(crate) fn fill(&mut self, vertices: &[usize]) {
        let Columns { size, logs, ranks, .. } = self.columns;
        let befores = self.before.chunks_exact_mut(size + 1);
        for ((log, before), votes) in befores.enumerate().zip(&mut self.votes) {
            // Rank and lane in one number.
            let mut present = [0; LANES];
            let mut count = 0;
            for (lane, vertex) in vertices.iter().enumerate() {
                let rank = ranks[vertex * logs + log];
                if rank as usize != *size {
                    present[count] = (rank as usize * LANES) | lane;
                    count += 1;
                }
            }
            let present = &mut present[..count];
            present.sort_unstable();
            let (mut from, mut passed) = (0, 0);
            for (number, both) in present.iter().enumerate() {
                let (rank, lane) = (both / LANES, both % LANES);
                before[from..=rank].fill(number as u8);
                votes[number] = [!passed, passed];
                (from, passed) = (rank + 1, passed | 1 << lane);
            }
            before[from..*size].fill(count as u8);
            votes[count] = [!passed, passed];
            before[*size] = NOWHERE;
            votes[usize::from(NOWHERE)] = [0, passed];
        }
    }

    /// w(vertex, lane) and w(lane, vertex).
    pub(crate) fn against(&self, vertex: usize) -> Weights {
        let Columns { size, logs, ranks, .. } = self.columns;
        let ranks = &ranks[vertex * logs..][..*logs];
        let mut before = self.before.chunks_exact(size + 1);
        let mut weights = Weights::default();
        for (ranks, votes) in ranks.chunks(GROUP).zip(self.votes.chunks(GROUP)) {
            let mut group = [[0; 2]; GROUP];
            for (((rank, votes), before), said) in
                ranks.iter().zip(votes).zip(&mut before).zip(&mut group)
            {
                *said = votes[usize::from(before[*rank as usize])];
            }
            weights.add(&group);
        }
        weights
    }
}

impl Bounds {
    fn of(ranks: impl ExactSizeIterator<Item = u32>, absent: u32) -> Self {
        let all = ranks.len();
        let (mut low, mut high, mut present) = (absent, 0, 0);
        for rank in ranks.filter(|rank| *rank != absent) {
            (low, high, present) = (low.min(rank), high.max(rank), present + 1);
        }
        let presence = match present {
            0 => Presence::None,
            present if present == all => Presence::All,
            _ => Presence::Some,
        };
        Self { low, high, presence }
    }
}

/// Sum and carry of three bits, in every lane.
#[inline(always)]
fn full_add(a: Votes, b: Votes, c: Votes) -> (Votes, Votes) {
    let odd = [a[0] ^ b[0], a[1] ^ b[1]];
    let sum = [odd[0] ^ c[0], odd[1] ^ c[1]];
    let carry = [a[0] & b[0] | odd[0] & c[0], a[1] & b[1] | odd[1] & c[1]];
    (sum, carry)
}

impl Weights {
    /// Adds the votes of seven logs.
    #[inline(always)]
    fn add(&mut self, group: &[Votes; GROUP]) {
        let (one, carry_one) = full_add(group[0], group[1], group[2]);
        let (two, carry_two) = full_add(group[3], group[4], group[5]);
        let (ones, carry_three) = full_add(one, two, group[6]);
        let (twos, fours) = full_add(carry_one, carry_two, carry_three);
        let mut carry = [0; 2];
        let number = [ones, twos, fours].into_iter().chain([[0; 2]; PLANES - 3]);
        for (plane, bit) in self.planes.iter_mut().zip(number) {
            (*plane, carry) = full_add(*plane, bit, carry);
        }
    }

    /// Lanes with w(vertex, lane) >= threshold, and with w(lane, vertex) >= threshold.
    #[inline]
    pub(crate) fn at_least(&self, threshold: u16) -> Votes {
        let (mut more, mut equal) = ([0; 2], [u64::MAX; 2]);
        for (at, plane) in self.planes.iter().enumerate().rev() {
            let wanted = if threshold >> at & 1 == 1 { u64::MAX } else { 0 };
            for side in 0..2 {
                more[side] |= equal[side] & plane[side] & !wanted;
                equal[side] &= !(plane[side] ^ wanted);
            }
        }
        [more[0] | equal[0], more[1] | equal[1]]
    }

    /// Lanes with w(vertex, lane) > w(lane, vertex), and with both equal.
    #[inline]
    pub(crate) fn compared(&self) -> (u64, u64) {
        let (mut more, mut equal) = (0, u64::MAX);
        for [forward, backward] in self.planes.iter().rev() {
            more |= equal & forward & !backward;
            equal &= !(forward ^ backward);
        }
        (more, equal)
    }

    /// w(vertex, lane) and w(lane, vertex).
    #[cfg(test)]
    fn of(&self, lane: usize) -> (u16, u16) {
        let [forward, backward] = [0, 1].map(|side| {
            let bits = self.planes.iter().enumerate();
            bits.map(|(at, plane)| ((plane[side] >> lane & 1) as u16) << at).sum()
        });
        (forward, backward)
    }

    /// Sum of w(vertex, lane) 2^lane over these lanes.
    #[cfg(any(test, feature = "naive"))]
    pub(crate) fn checksum(&self, lanes: u64) -> u128 {
        let planes = self.planes.iter().enumerate();
        planes.map(|(at, [forward, _])| u128::from(forward & lanes) << at).sum()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{
        ChaCha8Rng,
        rand_core::{RngCore, SeedableRng},
    };

    use super::*;
    use crate::naive;

    /// What a log may hold of `size` vertices: all or a part, jittered, shuffled, backwards, nothing.
    fn order(rng: &mut ChaCha8Rng, size: usize, calm: bool) -> Vec<u32> {
        let mut below = |bound: usize| rng.next_u64() as usize % bound;
        let mut order: Vec<u32> = (0..size as u32).collect();
        let jitter = match below(6) {
            _ if calm => 16,
            0 => size,
            1 => return Vec::new(),
            jitter => jitter * jitter,
        };
        let mut when: Vec<(usize, u32)> =
            order.iter().map(|vertex| (*vertex as usize + below(jitter + 1), *vertex)).collect();
        when.sort_unstable();
        order = when.into_iter().map(|(_, vertex)| vertex).collect();
        match below(8) {
            0 if !calm => order.reverse(),
            1 => order.truncate(below(size + 1)),
            2 if !calm => order.retain(|_| below(3) > 0),
            3 => drop(order.drain(..below(size + 1))),
            _ => {}
        }
        order
    }

    fn orders(rng: &mut ChaCha8Rng, size: usize, logs: usize) -> Vec<Vec<u32>> {
        let calm = rng.next_u64().is_multiple_of(3);
        (0..logs).map(|_| order(rng, size, calm)).collect()
    }

    /// Weights by panels of words against pairs counted one by one; how many pairs of words were done at
    /// once.
    fn compare(size: usize, orders: &[Vec<u32>]) -> u32 {
        let naive = naive::pair_weights(size, orders);
        let counted = |a: usize, b: usize| (naive[a][b] as u16, naive[b][a] as u16);
        assert_eq!(naive::kernel_checksum(size, orders), naive::checksum(&naive));
        let columns = Columns::new(size, orders);
        let word = |word: usize| word * LANES..size.min((word + 1) * LANES);
        let mut uniform = 0;
        let words = size.div_ceil(LANES);
        for (one, other) in (0..words).flat_map(|one| (0..one).map(move |other| (one, other))) {
            let Some(both) = columns.between(one, other) else { continue };
            uniform += 1;
            for (a, b) in word(one).flat_map(|a| word(other).map(move |b| (a, b))) {
                assert_eq!(both, counted(a, b));
            }
        }
        let mut panel = columns.panel();
        for lanes in (0..words).map(|at| word(at).collect::<Vec<_>>()) {
            panel.fill(&lanes);
            for a in 0..size {
                let weights = panel.against(a);
                for (lane, b) in lanes.iter().enumerate().filter(|(_, b)| **b != a) {
                    assert_eq!(weights.of(lane), counted(a, *b), "{a} {b} of {size}: {orders:?}");
                }
            }
        }
        uniform
    }

    #[test]
    fn equals_the_naive_kernel() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for size in [1, 2, 31, 63, 64, 65, 130, 200, 400] {
            for logs in [1, 5, 24, 127] {
                compare(size, &orders(&mut rng, size, logs));
            }
        }
    }

    #[test]
    fn equals_the_naive_kernel_on_10_000_partial_inputs() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut uniform = 0;
        for round in 0..10_000 {
            let size = if round % 20 == 0 { 150 } else { 1 + round % 40 };
            uniform += compare(size, &orders(&mut rng, size, 1 + round % 31));
        }
        assert!(uniform > 50, "{uniform} pairs of words by their bounds alone");
    }

    /// A panel of any vertices in any order, filled again and again.
    #[test]
    fn a_panel_has_the_vertices_that_it_is_given() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (size, logs) = (150, 128);
        let orders = orders(&mut rng, size, logs);
        let naive = naive::pair_weights(size, &orders);
        let columns = Columns::new(size, &orders);
        let mut panel = columns.panel();
        for count in [64, 1, 17, 64] {
            let lanes: Vec<usize> = (0..count).map(|lane| (lane * 37 + count) % size).collect();
            panel.fill(&lanes);
            for (a, row) in naive.iter().enumerate() {
                let weights = panel.against(a);
                for (lane, b) in lanes.iter().enumerate().filter(|(_, b)| **b != a) {
                    assert_eq!(weights.of(lane), (row[*b] as u16, naive[*b][a] as u16));
                }
            }
        }
    }

    #[test]
    fn sums_are_compared_in_every_lane() {
        // Lane i has i * 4 votes forward and 255 - i * 3 backward.
        let mut weights = Weights::default();
        let sums = |lane: usize| (lane as u16 * 4, 255 - lane as u16 * 3);
        for (lane, at) in (0..LANES).flat_map(|lane| (0..PLANES).map(move |at| (lane, at))) {
            let (forward, backward) = sums(lane);
            weights.planes[at][0] |= u64::from(forward >> at & 1) << lane;
            weights.planes[at][1] |= u64::from(backward >> at & 1) << lane;
        }
        let (more, equal) = weights.compared();
        for lane in 0..LANES {
            let (forward, backward) = sums(lane);
            assert_eq!(weights.of(lane), (forward, backward));
            assert_eq!(more >> lane & 1 == 1, forward > backward);
            assert_eq!(equal >> lane & 1 == 1, forward == backward);
            for threshold in [0, 1, 6, 127, 128, 200, 255] {
                let [ahead, behind] = weights.at_least(threshold);
                assert_eq!(ahead >> lane & 1 == 1, forward >= threshold);
                assert_eq!(behind >> lane & 1 == 1, backward >= threshold);
            }
        }
    }
}
