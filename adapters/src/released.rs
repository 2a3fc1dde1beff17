//! What was released for rollups in one slot, and the whole seconds in which they count.
//!
//! # Invariants
//!
//! 1. The blocks of a rollup follow each other in number and rise in time; there are at most
//!    [`MAX_BLOCKS`] of them, as in [`fairveil_release::slot`], with at most [`MAX_TRANSACTIONS`].
//! 2. Blocks of one rollup within the same second are one block ([`WholeSecond`]): with timestamp
//!    T it holds those of (T - 1 s, T], with their transactions in their order. None is lost,
//!    split, or moved before an earlier one. A block at a whole second keeps its time.
//!
//! A slot holds the blocks of (start, end]: cut the other way round its last block, in which the
//! legs of bundles over several rollups stand, would belong to a second that the next slot goes on
//! with. So the end of the second counts, here, in [`fairveil_release::op::sub_blocks`] and in the
//! simulation, and the seconds of a slot are its own if slots begin at whole seconds.

use std::collections::BTreeMap;

use fairveil_release::slot::MAX_BLOCKS;
use fairveil_release::transaction::RawTransaction;
use thiserror::Error;

/// The most transactions of a rollup in one slot.
pub const MAX_TRANSACTIONS: usize = 65_536;

/// A released block of one rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedBlock {
    /// Its number, as the release counts.
    pub number: u64,
    /// Its timestamp in milliseconds since 1970.
    pub time_ms: u64,
    /// Its transactions, in the released order.
    pub transactions: Vec<RawTransaction>,
}

/// What was released for several rollups in one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleasedSlot {
    /// The blocks of each rollup, by chain id, in ascending order.
    pub rollups: BTreeMap<u64, Vec<ReleasedBlock>>,
}

/// All released blocks of a rollup within one second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeSecond {
    /// The end of the second, in seconds since 1970.
    pub timestamp_s: u64,
    /// The number of the first released block in it.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
    /// The transactions of all of them, in order.
    pub transactions: Vec<RawTransaction>,
}

/// Why blocks are no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReleasedError {
    /// Too many blocks.
    #[error("{actual} blocks in a slot, the limit is {limit}")]
    Blocks {
        /// How many there are.
        actual: usize,
        /// [`MAX_BLOCKS`].
        limit: u64,
    },
    /// Too many transactions.
    #[error("{actual} transactions in a slot, the limit is {limit}")]
    Transactions {
        /// How many there are.
        actual: usize,
        /// [`MAX_TRANSACTIONS`].
        limit: usize,
    },
    /// A number that does not follow.
    #[error("block {next} stands after block {previous}")]
    Number {
        /// The number before.
        previous: u64,
        /// The number after it.
        next: u64,
    },
    /// A time that does not rise.
    #[error("block {number} is of {next_ms} ms, the one before it of {previous_ms} ms")]
    Time {
        /// The later block's number.
        number: u64,
        /// The time before.
        previous_ms: u64,
        /// The time after it.
        next_ms: u64,
    },
}

/// The blocks by whole seconds, in ascending order.
pub fn whole_seconds(blocks: &[ReleasedBlock]) -> Result<Vec<WholeSecond>, ReleasedError> {
    let (actual, limit) = (blocks.len(), MAX_BLOCKS);
    if actual as u64 > limit {
        return Err(ReleasedError::Blocks { actual, limit });
    }
    let actual = blocks.iter().map(|block| block.transactions.len()).sum();
    if actual > MAX_TRANSACTIONS {
        return Err(ReleasedError::Transactions { actual, limit: MAX_TRANSACTIONS });
    }
    for pair in blocks.windows(2) {
        let (previous, next) = (pair[0].number, pair[1].number);
        if previous.checked_add(1) != Some(next) {
            return Err(ReleasedError::Number { previous, next });
        }
        let (previous_ms, next_ms) = (pair[0].time_ms, pair[1].time_ms);
        if previous_ms >= next_ms {
            return Err(ReleasedError::Time { number: next, previous_ms, next_ms });
        }
    }
    let mut seconds: Vec<WholeSecond> = Vec::new();
    for block in blocks {
        let timestamp_s = block.time_ms.div_ceil(1_000);
        match seconds.last_mut().filter(|second| second.timestamp_s == timestamp_s) {
            Some(second) => {
                second.last = block.number;
                second.transactions.extend_from_slice(&block.transactions);
            }
            None => seconds.push(WholeSecond {
                timestamp_s,
                first: block.number,
                last: block.number,
                transactions: block.transactions.clone(),
            }),
        }
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64, time_ms: u64, transactions: &[u8]) -> ReleasedBlock {
        let transactions = transactions.iter().map(|&byte| vec![byte].into()).collect();
        ReleasedBlock { number, time_ms, transactions }
    }

    #[test]
    fn blocks_within_a_second_are_one_in_their_order_invariant_2() {
        let blocks = [
            block(8, 4_001, &[3]),
            block(9, 4_250, &[]),
            block(10, 5_000, &[1, 2]),
            block(11, 5_001, &[]),
            block(12, 7_250, &[0]),
        ];
        let seconds = whole_seconds(&blocks).unwrap();
        let shown: Vec<_> = seconds
            .iter()
            .map(|s| (s.timestamp_s, s.first, s.last, s.transactions.len()))
            .collect();
        assert_eq!(shown, [(5, 8, 10, 3), (6, 11, 11, 0), (8, 12, 12, 1)]);
        let first: Vec<_> = seconds[0].transactions.iter().map(|t| t.as_bytes()[0]).collect();
        assert_eq!(first, [3, 1, 2]);
        assert_eq!(whole_seconds(&[]), Ok(Vec::new()));
    }

    #[test]
    fn blocks_rise_and_are_bounded_invariant_1() {
        let gap = whole_seconds(&[block(1, 1_000, &[]), block(3, 2_000, &[])]).unwrap_err();
        assert_eq!(gap.to_string(), "block 3 stands after block 1");
        let same = whole_seconds(&[block(1, 1_000, &[]), block(2, 1_000, &[])]).unwrap_err();
        assert_eq!(same.to_string(), "block 2 is of 1000 ms, the one before it of 1000 ms");
        let many: Vec<_> = (0..=MAX_BLOCKS).map(|n| block(n, 1_000 * n, &[])).collect();
        let error = ReleasedError::Blocks { actual: 257, limit: 256 };
        assert_eq!(whole_seconds(&many), Err(error));
        let full = ReleasedBlock {
            number: 0,
            time_ms: 0,
            transactions: vec![vec![1].into(); MAX_TRANSACTIONS + 1],
        };
        let error = ReleasedError::Transactions { actual: 65_537, limit: 65_536 };
        assert_eq!(whole_seconds(&[full]), Err(error));
    }
}
