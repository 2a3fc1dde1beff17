//! A span batch: consecutive blocks of a rollup in one piece (type 1 of a batch).
//!
//! ```text
//! span batch = 0x01 ‖ prefix ‖ payload
//! prefix     = rel_timestamp ‖ l1_origin_num ‖ parent_check ‖ l1_origin_check
//! payload    = block_count ‖ origin_bits ‖ block_tx_counts ‖ txs
//! ```
//!
//! Integers are unsigned LEB128. `rel_timestamp` is the first block's timestamp less the
//! genesis', `l1_origin_num` the number of the last block's L1 origin; the checks are the first
//! 20 bytes of the parent's hash and of that origin's. A block's bit in `origin_bits` says that
//! its L1 origin is not that of the block before, for the first block the parent. Timestamps of
//! the other blocks are not written, they follow from the block time: so they are checked here.
//! `txs` are the columns of all transactions.

use thiserror::Error;

use super::transactions::{Bits, Columns, put_integer};
use super::{Chain, L1Origin, L2Block, Parent, TransactionFault};

/// The most blocks, and the most transactions, of a span batch (`MAX_SPAN_BATCH_ELEMENT_COUNT`).
pub const MAX_ELEMENTS: usize = 10_000_000;

const SPAN_BATCH_TYPE: u8 = 0x01;
const CHECK_BYTES: usize = 20;

/// Blocks of one rollup, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanBatch {
    chain_id: u64,
    first_number: u64,
    bytes: Vec<u8>,
}

/// Why blocks are no span batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SpanBatchError {
    /// No block.
    #[error("0 blocks, a span batch has at least 1")]
    Empty,
    /// More blocks or transactions than derivation reads.
    #[error("{actual} blocks or transactions, a span batch holds {limit} of each")]
    Elements {
        /// How many there are.
        actual: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The rollup's block time is zero.
    #[error("the block time is 0 s, it is at least 1 s")]
    BlockTimeZero,
    /// The parent stands between two block times, or before the genesis.
    #[error(
        "the parent's timestamp is {actual_s}, not {genesis_s} plus a multiple of {block_time_s} s"
    )]
    ParentTime {
        /// Its timestamp.
        actual_s: u64,
        /// The genesis' timestamp.
        genesis_s: u64,
        /// The block time.
        block_time_s: u64,
    },
    /// A block does not have the number after the one before.
    #[error("block {actual} stands where block {expected} belongs")]
    Number {
        /// Its number.
        actual: u64,
        /// The number that follows.
        expected: u64,
    },
    /// A block does not have the timestamp that follows from the block time.
    #[error("block {number} has timestamp {actual_s}, by the block time it is {expected_s}")]
    Timestamp {
        /// The block.
        number: u64,
        /// Its timestamp.
        actual_s: u64,
        /// The timestamp that follows.
        expected_s: u64,
    },
    /// Numbers or timestamps end.
    #[error("no block can follow block {number}: 64 bits are exhausted")]
    Exhausted {
        /// The last block that is possible.
        number: u64,
    },
    /// An L1 origin that is neither the one before nor the next.
    #[error("block {number} has L1 origin {actual}, after {previous} it is that or the next")]
    Origin {
        /// The block.
        number: u64,
        /// The number of its L1 origin.
        actual: u64,
        /// The number of the one before.
        previous: u64,
    },
    /// The same L1 origin with another hash.
    #[error("block {number} gives L1 origin {origin} another hash than the block before")]
    OriginHash {
        /// The block.
        number: u64,
        /// The number of the L1 origin.
        origin: u64,
    },
    /// A transaction that cannot stand in a batch.
    #[error("transaction {index} of block {number}: {fault}")]
    Transaction {
        /// The block.
        number: u64,
        /// The transaction's place in it.
        index: usize,
        /// What is wrong.
        fault: TransactionFault,
    },
}

impl SpanBatch {
    /// Encodes blocks that follow `parent` and each other.
    pub fn new(chain: &Chain, parent: &Parent, blocks: &[L2Block]) -> Result<Self, SpanBatchError> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
            return Err(SpanBatchError::Empty);
        };
        check_count(blocks.len())?;
        check_count(blocks.iter().map(|block| block.transactions.len()).sum())?;
        check_parent(chain, parent)?;
        let mut origin_bits = Bits::default();
        let mut columns = Columns::default();
        let mut previous = *parent;
        for block in blocks {
            let next = following(chain, &previous, block)?;
            origin_bits.push(next.l1_origin.number != previous.l1_origin.number);
            for (index, raw) in block.transactions.iter().enumerate() {
                let number = block.number;
                let fault = |fault| SpanBatchError::Transaction { number, index, fault };
                columns.push(raw.as_bytes(), chain.chain_id).map_err(fault)?;
            }
            previous = next;
        }

        let mut bytes = vec![SPAN_BATCH_TYPE];
        put_integer(&mut bytes, first.timestamp_s - chain.genesis_time_s);
        put_integer(&mut bytes, last.l1_origin.number);
        bytes.extend_from_slice(&parent.hash[..CHECK_BYTES]);
        bytes.extend_from_slice(&last.l1_origin.hash[..CHECK_BYTES]);
        put_integer(&mut bytes, blocks.len() as u64);
        origin_bits.encode(&mut bytes);
        for block in blocks {
            put_integer(&mut bytes, block.transactions.len() as u64);
        }
        columns.encode(&mut bytes);
        Ok(Self { chain_id: chain.chain_id, first_number: first.number, bytes })
    }

    /// The rollup.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The number of its first block.
    pub fn first_number(&self) -> u64 {
        self.first_number
    }

    /// Its bytes, the type first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn check_count(actual: usize) -> Result<(), SpanBatchError> {
    let limit = MAX_ELEMENTS;
    if actual > limit { Err(SpanBatchError::Elements { actual, limit }) } else { Ok(()) }
}

fn check_parent(chain: &Chain, parent: &Parent) -> Result<(), SpanBatchError> {
    let Chain { genesis_time_s: genesis_s, block_time_s, .. } = *chain;
    if block_time_s == 0 {
        return Err(SpanBatchError::BlockTimeZero);
    }
    match parent.timestamp_s.checked_sub(genesis_s) {
        Some(age_s) if age_s.is_multiple_of(block_time_s) => Ok(()),
        _ => {
            let actual_s = parent.timestamp_s;
            Err(SpanBatchError::ParentTime { actual_s, genesis_s, block_time_s })
        }
    }
}

/// The block as the parent of the next one, if it follows `previous`.
fn following(chain: &Chain, previous: &Parent, block: &L2Block) -> Result<Parent, SpanBatchError> {
    let number = block.number;
    let exhausted = SpanBatchError::Exhausted { number: previous.number };
    let expected = previous.number.checked_add(1).ok_or(exhausted)?;
    if number != expected {
        return Err(SpanBatchError::Number { actual: number, expected });
    }
    let expected_s = previous.timestamp_s.checked_add(chain.block_time_s).ok_or(exhausted)?;
    let actual_s = block.timestamp_s;
    if actual_s != expected_s {
        return Err(SpanBatchError::Timestamp { number, actual_s, expected_s });
    }
    let L1Origin { number: actual, hash } = block.l1_origin;
    let before = previous.l1_origin;
    match actual.checked_sub(before.number) {
        Some(0) if hash != before.hash => {
            return Err(SpanBatchError::OriginHash { number, origin: actual });
        }
        Some(0 | 1) => {}
        _ => return Err(SpanBatchError::Origin { number, actual, previous: before.number }),
    }
    Ok(Parent { number, timestamp_s: actual_s, l1_origin: block.l1_origin, ..*previous })
}
