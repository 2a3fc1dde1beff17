//! Slots: the time in which rollups of different block times meet.
//!
//! Every rollup makes blocks at `genesis + i · interval`. A slot is as long as the least common
//! multiple of all intervals, and ends at an instant at which every rollup makes a block: there the
//! legs of a bundle can stand side by side with equal timestamps. The blocks of slot k are those
//! with timestamps in `(start(k), start(k + 1)]`, where `start(k) = anchor + k · length` and the
//! anchor is the latest genesis of the rollups that a network begins with: its slots stay the same
//! when rollups join or leave ([`crate::change`]).
//!
//! ```text
//! 250 ms  . . . . . . . .|. . . . . . . .|       length 2 s
//! 1 s     .       .      |.       .      |
//! 2 s     .              |.              |
//!      start(k)       start(k + 1)
//! ```
//!
//! A height belongs to a slot by the *committed* time of its block, never by a local clock: its ids
//! go to the first slot that starts at that time or later. So the intake of a slot is closed before
//! the timestamp of its first block.
//!
//! # Invariants
//!
//! 1. Every slot has at least one block of every rollup, and the last ones have equal timestamps.
//! 2. The blocks of slot k + 1 follow those of slot k on every rollup, without gap or overlap.
//! 3. A later height never belongs to an earlier slot, and the first block of a height's slot is
//!    later than the height.
//! 4. A slot is at most [`MAX_SLOT_MS`] long and has at most [`MAX_BLOCKS`] blocks of a rollup.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest slot: a minute.
pub const MAX_SLOT_MS: u64 = 60_000;
/// The most blocks that a rollup makes in one slot.
pub const MAX_BLOCKS: u64 = 256;

/// When a rollup makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockTimes {
    /// The timestamp of block 0 in milliseconds since 1970.
    pub genesis_ms: u64,
    /// The time from one block to the next in milliseconds.
    pub interval_ms: u64,
}

/// A block of a rollup, by number and timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockTime {
    /// Its number.
    pub number: u64,
    /// Its timestamp in milliseconds since 1970.
    pub time_ms: u64,
}

/// A slot, counted from the latest genesis of its rollups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotNumber(u64);

/// The slots of a set of rollups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotClock {
    anchor_ms: u64,
    length_ms: u64,
}

/// Why rollups have no common slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SlotError {
    /// No rollup.
    #[error("slots need at least one rollup")]
    NoRollup,
    /// A block time of nothing.
    #[error("rollup {rollup}: a block time of 0 ms")]
    IntervalZero {
        /// Its place in the list.
        rollup: usize,
    },
    /// The least common multiple is too long.
    #[error("the block times meet every {actual} ms at the earliest, the limit is {limit}")]
    Length {
        /// The least common multiple, or the largest number if that is larger.
        actual: u64,
        /// [`MAX_SLOT_MS`].
        limit: u64,
    },
    /// Too many blocks in a slot.
    #[error("rollup {rollup}: {actual} blocks in a slot, the limit is {limit}")]
    Blocks {
        /// Its place in the list.
        rollup: usize,
        /// Blocks in a slot.
        actual: u64,
        /// [`MAX_BLOCKS`].
        limit: u64,
    },
    /// A rollup makes no block when the others end a slot.
    #[error(
        "rollup {rollup} makes no block at {at_ms} ms: its blocks are {off_ms} ms off those of the \
         youngest rollup"
    )]
    Apart {
        /// Its place in the list.
        rollup: usize,
        /// The latest genesis.
        at_ms: u64,
        /// How long before that it made a block.
        off_ms: u64,
    },
}

impl std::fmt::Display for SlotNumber {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(out)
    }
}

impl SlotNumber {
    /// The slot with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The slot after it.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The slot before it, if there is one.
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl SlotClock {
    /// The slots of these rollups.
    pub fn new(rollups: &[BlockTimes]) -> Result<Self, SlotError> {
        let anchor_ms = rollups.iter().map(|times| times.genesis_ms).max();
        let anchor_ms = anchor_ms.ok_or(SlotError::NoRollup)?;
        let mut length_ms = 1;
        for (rollup, times) in rollups.iter().enumerate() {
            if times.interval_ms == 0 {
                return Err(SlotError::IntervalZero { rollup });
            }
            let off_ms = (anchor_ms - times.genesis_ms) % times.interval_ms;
            if off_ms > 0 {
                return Err(SlotError::Apart { rollup, at_ms: anchor_ms, off_ms });
            }
            length_ms = least_common_multiple(length_ms, times.interval_ms);
            if length_ms > MAX_SLOT_MS {
                return Err(SlotError::Length { actual: length_ms, limit: MAX_SLOT_MS });
            }
        }
        for (rollup, times) in rollups.iter().enumerate() {
            let actual = length_ms / times.interval_ms;
            if actual > MAX_BLOCKS {
                return Err(SlotError::Blocks { rollup, actual, limit: MAX_BLOCKS });
            }
        }
        Ok(Self { anchor_ms, length_ms })
    }

    /// How long a slot is, in milliseconds.
    pub fn length_ms(&self) -> u64 {
        self.length_ms
    }

    /// When slot 0 starts: the latest genesis of the rollups that the network began with.
    pub fn anchor_ms(&self) -> u64 {
        self.anchor_ms
    }

    /// The slot to which a height of this committed time belongs.
    pub fn slot_at(&self, time_ms: u64) -> SlotNumber {
        SlotNumber(time_ms.saturating_sub(self.anchor_ms).div_ceil(self.length_ms))
    }

    /// When the intake of a slot closes: the last time of a height that belongs to it.
    pub fn start_ms(&self, slot: SlotNumber) -> u64 {
        self.anchor_ms.saturating_add(slot.0.saturating_mul(self.length_ms))
    }

    /// The blocks that one of the clock's rollups makes in a slot, first to last.
    pub fn blocks(
        &self,
        times: BlockTimes,
        slot: SlotNumber,
    ) -> impl Iterator<Item = BlockTime> + use<> {
        let BlockTimes { genesis_ms, interval_ms } = times;
        let start_ms = self.start_ms(slot);
        let before = start_ms.saturating_sub(genesis_ms) / interval_ms;
        (1..=self.length_ms / interval_ms).map(move |block| BlockTime {
            number: before.saturating_add(block),
            time_ms: start_ms.saturating_add(block.saturating_mul(interval_ms)),
        })
    }
}

fn least_common_multiple(left: u64, right: u64) -> u64 {
    let (mut divisor, mut rest) = (left, right);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (left / divisor).saturating_mul(right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GENESIS_MS: u64 = 1_700_000_000_000;

    fn every(interval_ms: u64) -> BlockTimes {
        BlockTimes { genesis_ms: GENESIS_MS, interval_ms }
    }

    #[test]
    fn a_slot_is_the_least_common_multiple() {
        for (intervals, length_ms) in [
            (&[1_000, 2_000][..], 2_000),
            (&[250, 1_000, 2_000], 2_000),
            (&[250, 1_000, 2_000, 12_000], 12_000),
            (&[400, 600], 1_200),
            (&[700], 700),
        ] {
            let rollups: Vec<_> = intervals.iter().map(|interval| every(*interval)).collect();
            assert_eq!(SlotClock::new(&rollups).unwrap().length_ms(), length_ms);
        }
    }

    #[test]
    fn invariant_4_limits_name_the_values() {
        let error = |rollups: &[BlockTimes]| SlotClock::new(rollups).unwrap_err();
        assert_eq!(error(&[]), SlotError::NoRollup);
        assert_eq!(error(&[every(250), every(0)]), SlotError::IntervalZero { rollup: 1 });
        let long = error(&[every(7_000), every(9_000)]);
        assert_eq!(long, SlotError::Length { actual: 63_000, limit: MAX_SLOT_MS });
        let longest = error(&[every(u64::MAX), every(u64::MAX - 1)]);
        assert_eq!(longest, SlotError::Length { actual: u64::MAX, limit: MAX_SLOT_MS });
        let many = error(&[every(12_000), every(40)]);
        assert_eq!(many, SlotError::Blocks { rollup: 1, actual: 300, limit: MAX_BLOCKS });
        let young = BlockTimes { genesis_ms: GENESIS_MS + 1_500, interval_ms: 500 };
        let apart = SlotError::Apart { rollup: 0, at_ms: GENESIS_MS + 1_500, off_ms: 500 };
        assert_eq!(error(&[every(1_000), young]), apart);
        assert!(SlotClock::new(&[every(500), young]).is_ok());
    }

    fn rollups() -> impl Strategy<Value = Vec<BlockTimes>> {
        let interval = prop::sample::select(vec![250, 400, 500, 1_000, 2_000, 3_000, 12_000]);
        // Older by whole slots of all of these, so that their blocks meet.
        let rollup = (interval, 0..50u64).prop_map(|(interval_ms, age)| BlockTimes {
            genesis_ms: GENESIS_MS - age * 12_000,
            interval_ms,
        });
        prop::collection::vec(rollup, 1..8)
    }

    proptest! {
        #[test]
        fn invariants_1_and_2_slots_end_together_and_blocks_follow_each_other(
            rollups in rollups(),
            slot in 0..1_000_000u64,
        ) {
            let clock = SlotClock::new(&rollups).unwrap();
            let slot = SlotNumber(slot);
            for times in rollups {
                let blocks: Vec<_> = clock.blocks(times, slot).collect();
                let end_ms = clock.start_ms(slot.next());
                prop_assert_eq!(blocks.last().map(|block| block.time_ms), Some(end_ms));
                let next = clock.blocks(times, slot.next()).next().unwrap();
                for pair in blocks.iter().chain([&next]).collect::<Vec<_>>().windows(2) {
                    prop_assert_eq!(pair[1].number, pair[0].number + 1);
                    prop_assert_eq!(pair[1].time_ms, pair[0].time_ms + times.interval_ms);
                }
                for block in blocks {
                    let at = times.genesis_ms + block.number * times.interval_ms;
                    prop_assert_eq!(block.time_ms, at);
                }
            }
        }

        #[test]
        fn invariant_3_a_height_goes_to_the_first_slot_that_starts_after_it(
            rollups in rollups(),
            time_ms in GENESIS_MS - 100_000..GENESIS_MS + 10_000_000,
            later_ms in 0..100_000u64,
        ) {
            let clock = SlotClock::new(&rollups).unwrap();
            let slot = clock.slot_at(time_ms);
            prop_assert!(slot <= clock.slot_at(time_ms + later_ms));
            prop_assert!(clock.start_ms(slot) >= time_ms);
            if slot.get() > 0 {
                prop_assert!(clock.start_ms(SlotNumber(slot.get() - 1)) < time_ms);
            }
            for times in rollups {
                prop_assert!(clock.blocks(times, slot).all(|block| block.time_ms > time_ms));
            }
        }
    }
}
