//! Rollups faster than one second: their blocks, concatenated by block time.
//!
//! Derivation counts in whole seconds. A rollup that makes a block every 250 ms is therefore
//! derived with a block time of one second (or more): the block with timestamp T holds the
//! transactions of all sub-blocks made in (T - block time, T], in their order. So the blocks of a
//! slot, which ends at a whole second, are blocks of their own here too. With a block time of one
//! second T is also what the `TIMESTAMP` opcode shows in each of them.
//!
//! Every block time has at least one sub-block, which may be empty, as the rollup makes them
//! without a break. The sub-blocks of one block share an L1 origin: it has only one.

use thiserror::Error;

use super::{Chain, L1Origin, L2Block, Parent};
use crate::transaction::RawTransaction;

/// A block of a rollup faster than one second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubBlock {
    /// When it was made, in milliseconds since 1970.
    pub time_ms: u64,
    /// Its L1 origin.
    pub l1_origin: L1Origin,
    /// Its transactions, in order.
    pub transactions: Vec<RawTransaction>,
}

/// Why sub-blocks are not concatenated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubBlockError {
    /// The rollup's block time is zero.
    #[error("the block time is 0 s, it is at least 1 s")]
    BlockTimeZero,
    /// Not later than the one before.
    #[error("a sub-block of {next_ms} ms stands after one of {previous_ms} ms")]
    Order {
        /// The time before.
        previous_ms: u64,
        /// The time after it.
        next_ms: u64,
    },
    /// Its block time is neither the one before nor the next.
    #[error("a sub-block of {time_ms} ms belongs to no block from {expected_s} s on without a gap")]
    Time {
        /// Its time.
        time_ms: u64,
        /// The timestamp of the block that must come next.
        expected_s: u64,
    },
    /// Two L1 origins in one block.
    #[error("the block at {timestamp_s} s has sub-blocks of L1 origins {first} and {other}")]
    Origin {
        /// The block's timestamp.
        timestamp_s: u64,
        /// The number of the L1 origin of its first sub-block.
        first: u64,
        /// The number of another one's.
        other: u64,
    },
    /// Numbers or timestamps end.
    #[error("no block can follow block {number}: 64 bits are exhausted")]
    Exhausted {
        /// The last block that is possible.
        number: u64,
    },
}

/// The blocks after `parent` that enclose the sub-blocks.
pub fn enclosing_blocks(
    chain: &Chain,
    parent: &Parent,
    sub_blocks: &[SubBlock],
) -> Result<Vec<L2Block>, SubBlockError> {
    if chain.block_time_s == 0 {
        return Err(SubBlockError::BlockTimeZero);
    }
    for pair in sub_blocks.windows(2) {
        let (previous_ms, next_ms) = (pair[0].time_ms, pair[1].time_ms);
        if previous_ms >= next_ms {
            return Err(SubBlockError::Order { previous_ms, next_ms });
        }
    }
    let mut blocks: Vec<L2Block> = Vec::new();
    for sub_block in sub_blocks {
        let timestamp_s = enclosing_time_s(chain, sub_block.time_ms);
        match blocks.last_mut().filter(|block| Some(block.timestamp_s) == timestamp_s) {
            Some(block) => append(block, sub_block)?,
            None => {
                let last = blocks.last().map(|block| (block.number, block.timestamp_s));
                let last = last.unwrap_or((parent.number, parent.timestamp_s));
                blocks.push(next_block(chain, last, sub_block, timestamp_s)?);
            }
        }
    }
    Ok(blocks)
}

/// The timestamp of the block that encloses a time, if it is not before the genesis.
pub(super) fn enclosing_time_s(chain: &Chain, time_ms: u64) -> Option<u64> {
    let age_s = time_ms.div_ceil(1_000).checked_sub(chain.genesis_time_s)?;
    let blocks = age_s.div_ceil(chain.block_time_s);
    chain.genesis_time_s.checked_add(blocks.checked_mul(chain.block_time_s)?)
}

fn append(block: &mut L2Block, sub_block: &SubBlock) -> Result<(), SubBlockError> {
    if sub_block.l1_origin != block.l1_origin {
        return Err(SubBlockError::Origin {
            timestamp_s: block.timestamp_s,
            first: block.l1_origin.number,
            other: sub_block.l1_origin.number,
        });
    }
    block.transactions.extend_from_slice(&sub_block.transactions);
    Ok(())
}

fn next_block(
    chain: &Chain,
    (number, last_s): (u64, u64),
    sub_block: &SubBlock,
    timestamp_s: Option<u64>,
) -> Result<L2Block, SubBlockError> {
    let exhausted = SubBlockError::Exhausted { number };
    let expected_s = last_s.checked_add(chain.block_time_s).ok_or(exhausted)?;
    if timestamp_s != Some(expected_s) {
        return Err(SubBlockError::Time { time_ms: sub_block.time_ms, expected_s });
    }
    Ok(L2Block {
        number: number.checked_add(1).ok_or(exhausted)?,
        timestamp_s: expected_s,
        l1_origin: sub_block.l1_origin,
        transactions: sub_block.transactions.clone(),
    })
}
