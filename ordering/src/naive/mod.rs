//! The same order by plain transcription, cases to run it on, and a judge that knows the truth.
//!
//! For tests and for benches that want a baseline; not part of a sequencer. Nothing but
//! [`Driver`] and [`kernel_checksum`] touch the product: ids are small numbers, sets are
//! `BTreeSet`s, weights are counted pair by pair, and the tie-breaks that the rule leaves open
//! stay open.

mod cases;
mod dice;
mod judge;
mod median;
mod order;
mod run;

pub use cases::{Case, bundle_id};
pub use dice::Dice;
pub use judge::{Emitted, Fault, Tally, judge};
pub use median::{NaiveMedian, judge_median};
pub use order::{Cap, NaiveOrder, NaiveProposal, map_checksum};
pub use run::{Driver, kernel_checksum, run, run_naive, seed};

/// The sum of w(a, b) 2^(b mod 64) over all pairs: it depends on each.
pub fn checksum(weights: &[Vec<u32>]) -> u128 {
    let row = |row: &Vec<u32>| -> u128 {
        let terms = row.iter().enumerate().map(|(b, weight)| u128::from(*weight) << (b % 64));
        terms.fold(0, u128::wrapping_add)
    };
    weights.iter().map(row).fold(0, u128::wrapping_add)
}

/// w(a, b) = logs in which a stands before b, absent = infinity, for all pairs of `size`
/// vertices; `orders[i]` are the vertices of log i in its order.
pub fn pair_weights(size: usize, orders: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut weights = vec![vec![0; size]; size];
    for order in orders {
        let mut positions = vec![usize::MAX; size];
        for (position, vertex) in order.iter().enumerate() {
            positions[*vertex as usize] = position;
        }
        for a in 0..size {
            for b in 0..size {
                if positions[a] < positions[b] {
                    weights[a][b] += 1;
                }
            }
        }
    }
    weights
}
