//! The L2 blocks that verified batches make after a parent: every block of every slot, each with an
//! L1 origin, those of a fast rollup concatenated by block time.
//!
//! ```text
//! batches ─> released ─> sub_blocks ─> L2 blocks, as far as they are complete
//!                L1 blocks ┘
//! ```
//!
//! A block's L1 origin is the next one after that of the block before, if that is not younger than
//! the block, else the same: what derivation allows, and as new as it can be.
//!
//! # Invariants
//!
//! 1. The blocks follow the parent without a gap, and hold what the batches after it hold, in their
//!    order. Where a slot might be missing between the parent and the first batch, there are none.
//! 2. A block whose time is not over at the end of the last slot is not among them: what comes may
//!    belong to it.
//! 3. What derivation would drop is refused: a parent that no slot starts at, a block time that is
//!    no multiple of the rollup's, an L1 origin that is too old for a block with transactions.
//! 4. Nothing `unvalidated` is made a block: one invalid transaction would cost the whole block.

use thiserror::Error;

use super::released::released_sub_blocks;
use super::sub_blocks::{SubBlockError, enclosing_blocks, enclosing_time_s};
use super::{Chain, L1Origin, L2Block, Parent};
use crate::batch::{Batch, Validation};
use crate::slot::{BlockTimes, SlotClock, SlotNumber};

/// A block of L1 that L2 blocks may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L1Block {
    /// Its number and hash.
    pub origin: L1Origin,
    /// Its timestamp, in seconds since 1970.
    pub timestamp_s: u64,
}

/// Consecutive blocks of L1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Blocks(Vec<L1Block>);

/// When a rollup makes blocks, here and on its nodes.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The network's slots.
    pub clock: SlotClock,
    /// The rollup's block times in the network.
    pub times: BlockTimes,
    /// The rollup as its nodes know it.
    pub chain: Chain,
    /// How much later than its L1 origin a block with transactions may be, in seconds.
    pub max_drift_s: u64,
}

/// Why there are no blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BlocksError {
    /// No block of L1.
    #[error("0 blocks of L1, at least the L1 origin of the parent is needed")]
    NoL1,
    /// Blocks of L1 that do not follow each other.
    #[error("L1 block {next} stands after L1 block {previous}, each follows the one before")]
    L1Number {
        /// The number before.
        previous: u64,
        /// The number after it.
        next: u64,
    },
    /// Timestamps of L1 that do not rise.
    #[error("L1 block {number} is of {next_s} s, the one before it of {previous_s} s")]
    L1Time {
        /// The later one's number.
        number: u64,
        /// The time before.
        previous_s: u64,
        /// The time after it.
        next_s: u64,
    },
    /// The parent's L1 origin is not among them.
    #[error("the parent's L1 origin, {number} with hash {hash}, is not among the L1 blocks")]
    Origin {
        /// Its number.
        number: u64,
        /// Its hash.
        hash: alloy_primitives::B256,
    },
    /// A batch that nothing was checked of.
    #[error(
        "the batch of slot {slot} is `unvalidated`, as the rollup has no state in this network; \
         such a batch goes to a raw adapter only"
    )]
    Unvalidated {
        /// Its slot.
        slot: SlotNumber,
    },
    /// A block time that sub-blocks do not add up to.
    #[error(
        "the block time of {block_time_s} s is no multiple of the {interval_ms} ms between the \
         rollup's blocks"
    )]
    BlockTime {
        /// The block time of its nodes.
        block_time_s: u64,
        /// The time between two blocks in the network.
        interval_ms: u64,
    },
    /// The parent is of no slot's start.
    #[error(
        "the parent is of {parent_s} s, where no slot starts; the next one starts at {start_ms} ms"
    )]
    Parent {
        /// Its timestamp.
        parent_s: u64,
        /// The next start.
        start_ms: u64,
    },
    /// Batches are missing between the parent and the first one.
    #[error(
        "slot {expected} follows the parent, and the batches begin with slot {actual} at height \
         {height}: those before are needed too"
    )]
    Missing {
        /// The first batch's slot.
        actual: SlotNumber,
        /// Its height.
        height: u64,
        /// The slot after the parent.
        expected: SlotNumber,
    },
    /// An L1 origin that is too old.
    #[error(
        "block {number} is {drift_s} s later than its L1 origin {origin}, {limit_s} s are allowed; \
         newer L1 blocks are needed"
    )]
    Drift {
        /// The block.
        number: u64,
        /// The number of its L1 origin.
        origin: u64,
        /// How much later it is.
        drift_s: u64,
        /// How much is allowed.
        limit_s: u64,
    },
    /// The sub-blocks make no blocks.
    #[error(transparent)]
    SubBlocks(#[from] SubBlockError),
}

impl L1Blocks {
    /// Blocks that follow each other.
    pub fn new(blocks: Vec<L1Block>) -> Result<Self, BlocksError> {
        for pair in blocks.windows(2) {
            let (previous, next) = (pair[0].origin.number, pair[1].origin.number);
            if previous.checked_add(1) != Some(next) {
                return Err(BlocksError::L1Number { previous, next });
            }
            let (previous_s, next_s) = (pair[0].timestamp_s, pair[1].timestamp_s);
            if previous_s >= next_s {
                return Err(BlocksError::L1Time { number: next, previous_s, next_s });
            }
        }
        if blocks.is_empty() { Err(BlocksError::NoL1) } else { Ok(Self(blocks)) }
    }

    /// The place of the block with this number.
    pub fn place(&self, number: u64) -> Option<usize> {
        let first = self.0.first()?.origin.number;
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        (place < self.0.len()).then_some(place)
    }

    /// The blocks.
    pub fn blocks(&self) -> &[L1Block] {
        &self.0
    }
}

/// The blocks after `parent` that are complete. The batches are of one rollup, verified, and in
/// ascending order; those of slots before the parent's end are passed over. `from_first` says
/// that they begin with the network's first release.
pub fn released_blocks(
    timing: &Timing,
    l1: &L1Blocks,
    parent: &Parent,
    batches: &[Batch],
    from_first: bool,
) -> Result<Vec<L2Block>, BlocksError> {
    let from = first_slot(timing, parent)?;
    let unvalidated = batches.iter().find(|batch| batch.validation == Validation::Unvalidated);
    if let Some(Batch { slot, .. }) = unvalidated {
        return Err(BlocksError::Unvalidated { slot: *slot });
    }
    if let Some(first) = batches.first().filter(|first| first.slot > from && !from_first) {
        let (actual, height) = (first.slot, first.height.get());
        return Err(BlocksError::Missing { actual, height, expected: from });
    }
    let following = batches.partition_point(|batch| batch.slot < from);
    let Some(last) = batches[following..].last() else { return Ok(Vec::new()) };
    let mut origins = Origins::new(timing, l1, parent)?;
    let (clock, times) = (&timing.clock, timing.times);
    let sub_blocks = released_sub_blocks(clock, times, from, &batches[following..], |time_ms| {
        origins.at(time_ms)
    });
    let mut blocks = enclosing_blocks(&timing.chain, parent, &sub_blocks)?;
    let end_ms = clock.start_ms(last.slot.next());
    blocks.retain(|block| block.timestamp_s.saturating_mul(1_000) <= end_ms);
    blocks.iter().try_for_each(|block| check_drift(timing, l1, block))?;
    Ok(blocks)
}

fn first_slot(timing: &Timing, parent: &Parent) -> Result<SlotNumber, BlocksError> {
    let block_time_s = timing.chain.block_time_s;
    let interval_ms = timing.times.interval_ms;
    let adds_up = block_time_s.saturating_mul(1_000).checked_rem(interval_ms) == Some(0);
    if block_time_s == 0 || !adds_up {
        return Err(BlocksError::BlockTime { block_time_s, interval_ms });
    }
    let parent_ms = parent.timestamp_s.saturating_mul(1_000);
    let slot = timing.clock.slot_at(parent_ms);
    let start_ms = timing.clock.start_ms(slot);
    if start_ms != parent_ms {
        return Err(BlocksError::Parent { parent_s: parent.timestamp_s, start_ms });
    }
    Ok(slot)
}

fn check_drift(timing: &Timing, l1: &L1Blocks, block: &L2Block) -> Result<(), BlocksError> {
    let origin = block.l1_origin.number;
    let Some(place) = l1.place(origin) else { return Err(BlocksError::NoL1) };
    let drift_s = block.timestamp_s.saturating_sub(l1.0[place].timestamp_s);
    let limit_s = timing.max_drift_s;
    if drift_s > limit_s && !block.transactions.is_empty() {
        return Err(BlocksError::Drift { number: block.number, origin, drift_s, limit_s });
    }
    Ok(())
}

/// The L1 origins of blocks in ascending order.
struct Origins<'a> {
    chain: Chain,
    l1: &'a [L1Block],
    /// The place of the last block's.
    place: usize,
    timestamp_s: Option<u64>,
}

impl<'a> Origins<'a> {
    fn new(timing: &Timing, l1: &'a L1Blocks, parent: &Parent) -> Result<Self, BlocksError> {
        let L1Origin { number, hash } = parent.l1_origin;
        let place = l1.place(number).filter(|place| l1.0[*place].origin.hash == hash);
        let place = place.ok_or(BlocksError::Origin { number, hash })?;
        let timestamp_s = Some(parent.timestamp_s);
        Ok(Self { chain: timing.chain, l1: &l1.0, place, timestamp_s })
    }

    /// That of the block which encloses this time: all of its sub-blocks have it.
    fn at(&mut self, time_ms: u64) -> L1Origin {
        let timestamp_s = enclosing_time_s(&self.chain, time_ms);
        if timestamp_s > self.timestamp_s {
            self.timestamp_s = timestamp_s;
            let next = self.l1.get(self.place + 1);
            if next.is_some_and(|next| Some(next.timestamp_s) <= timestamp_s) {
                self.place += 1;
            }
        }
        self.l1[self.place].origin
    }
}

#[cfg(test)]
mod tests;
