//! Pair weights, the only quadratic part: structure of arrays, one column of ranks per log.
//!
//! `w(a, b)` = logs with rank(a) < rank(b), absent = infinity, so one-sided votes count. A row of
//! weights is computed 64 vertices at a time by compare-and-accumulate over columns, which the
//! compiler turns into vector instructions; ranks are 16 bits wide as long as they fit.

/// Vertices per step: one word of a bit row.
pub(crate) const LANES: usize = 64;
/// Accumulators that fit the registers of the smallest x86-64.
const HALF: usize = 32;

/// The order of `size` vertices in each log, as columns of ranks.
pub(crate) enum Columns {
    Narrow(Ranks<i16>),
    Wide(Ranks<i32>),
}

pub(crate) struct Ranks<R> {
    stride: usize,
    ranks: Vec<R>,
}

/// Weights of one vertex v against 64 others.
#[derive(Clone)]
pub(crate) struct Weights {
    /// w(v, lane).
    pub(crate) forward: [i16; LANES],
    /// w(lane, v).
    pub(crate) backward: [i16; LANES],
}

impl Columns {
    /// `orders[i]` holds the vertices that log i contains, in its order.
    pub(crate) fn new(size: usize, orders: &[Vec<u32>]) -> Self {
        if size < i16::MAX as usize {
            Self::Narrow(Ranks::new(size, orders, i16::MAX, |rank| rank as i16))
        } else {
            Self::Wide(Ranks::new(size, orders, i32::MAX, |rank| rank as i32))
        }
    }

    pub(crate) fn weights(&self, vertex: usize, word: usize) -> Weights {
        match self {
            Self::Narrow(ranks) => ranks.weights(vertex, word),
            Self::Wide(ranks) => ranks.weights(vertex, word),
        }
    }
}

impl<R: Copy + PartialOrd> Ranks<R> {
    fn new(size: usize, orders: &[Vec<u32>], absent: R, rank: impl Fn(usize) -> R) -> Self {
        let stride = size.next_multiple_of(LANES);
        let mut ranks = vec![absent; stride * orders.len()];
        for (column, order) in ranks.chunks_exact_mut(stride.max(1)).zip(orders) {
            for (at, vertex) in order.iter().enumerate() {
                column[*vertex as usize] = rank(at);
            }
        }
        Self { stride, ranks }
    }

    #[inline]
    fn weights(&self, vertex: usize, word: usize) -> Weights {
        let mut weights = Weights { forward: [0; LANES], backward: [0; LANES] };
        for half in [0, HALF] {
            let first = word * LANES + half;
            let (mut forward, mut backward) = ([0i16; HALF], [0i16; HALF]);
            for column in self.ranks.chunks_exact(self.stride) {
                let own = column[vertex];
                let others = &column[first..first + HALF];
                for lane in 0..HALF {
                    forward[lane] += i16::from(own < others[lane]);
                    backward[lane] += i16::from(others[lane] < own);
                }
            }
            weights.forward[half..half + HALF].copy_from_slice(&forward);
            weights.backward[half..half + HALF].copy_from_slice(&backward);
        }
        weights
    }
}

/// Which lanes satisfy a predicate, as a word.
pub(crate) fn lanes(weights: &Weights, predicate: impl Fn(i16, i16) -> bool) -> u64 {
    let mut flags = [0u8; LANES];
    for (lane, flag) in flags.iter_mut().enumerate() {
        *flag = u8::from(predicate(weights.forward[lane], weights.backward[lane]));
    }
    let mut word = 0;
    for (byte, eight) in flags.chunks_exact(8).enumerate() {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(eight);
        // Byte i holds 0 or 1; the product gathers bit i of each into the top byte.
        let gathered = u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= gathered << (8 * byte);
    }
    word
}

#[cfg(test)]
mod tests {
    use rand_chacha::{
        ChaCha8Rng,
        rand_core::{RngCore, SeedableRng},
    };

    use super::*;
    use crate::naive;

    fn random_orders(rng: &mut ChaCha8Rng, size: usize, logs: usize) -> Vec<Vec<u32>> {
        (0..logs)
            .map(|_| {
                let mut order: Vec<u32> = (0..size as u32).collect();
                for at in (1..size).rev() {
                    order.swap(at, rng.next_u64() as usize % (at + 1));
                }
                order.truncate(rng.next_u64() as usize % (size + 1));
                order
            })
            .collect()
    }

    #[test]
    fn equals_the_naive_kernel() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for size in [1, 2, 31, 63, 64, 65, 130, 200] {
            for logs in [1, 5, 24, 127] {
                let orders = random_orders(&mut rng, size, logs);
                let naive = naive::pair_weights(size, &orders);
                let weighted = |row: &Vec<u32>| -> u64 {
                    row.iter().enumerate().map(|(b, weight)| b as u64 * u64::from(*weight)).sum()
                };
                let sum: u64 = naive.iter().map(weighted).sum();
                assert_eq!(naive::kernel_checksum(size, &orders), sum);
                let wide = Columns::Wide(Ranks::new(size, &orders, i32::MAX, |rank| rank as i32));
                for columns in [Columns::new(size, &orders), wide] {
                    let pairs = (0..size).flat_map(|a| (0..size).map(move |b| (a, b)));
                    for (a, b) in pairs {
                        let weights = columns.weights(a, b / LANES);
                        let lane = b % LANES;
                        let both = (weights.forward[lane], weights.backward[lane]);
                        assert_eq!(both, (naive[a][b] as i16, naive[b][a] as i16));
                    }
                }
            }
        }
    }

    #[test]
    fn lanes_are_gathered_in_order() {
        let mut weights = Weights { forward: [0; LANES], backward: [0; LANES] };
        for lane in 0..LANES {
            weights.forward[lane] = (lane % 3) as i16;
        }
        let word = lanes(&weights, |forward, _| forward == 1);
        for lane in 0..LANES {
            assert_eq!(word >> lane & 1 == 1, lane % 3 == 1);
        }
    }
}
