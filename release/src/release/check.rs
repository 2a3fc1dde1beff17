//! Whether a batch is what a release commits to.

use fairveil_crypto::{BundleId, Digest, Height, NetworkId};
use thiserror::Error;

use super::ReleaseHeader;
use crate::batch::{Batch, Block, Validation};
use crate::registry::Rollup;
use crate::slot::{BlockTime, SlotNumber};
use crate::tree::{Leaf, LegDigest, Position};
use crate::views::View;

/// Why a batch is not the one that the leaves of a rollup commit to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// Of another network.
    #[error("of network {actual}, expected {expected}")]
    Network {
        /// The batch's network.
        actual: NetworkId,
        /// The header's.
        expected: NetworkId,
    },
    /// For another rollup.
    #[error("for chain {actual}, expected {expected}")]
    Chain {
        /// The batch's chain.
        actual: u64,
        /// The expected one.
        expected: u64,
    },
    /// Of another slot.
    #[error("of height {actual}, expected {expected}")]
    Height {
        /// The batch's height.
        actual: Height,
        /// The header's.
        expected: Height,
    },
    /// Of another slot, or of a release that cuts none.
    #[error("of slot {actual}, expected {}", shown(.expected))]
    Slot {
        /// The batch's slot.
        actual: SlotNumber,
        /// The header's.
        expected: Option<SlotNumber>,
    },
    /// With another claim about what was checked.
    #[error("said to be {actual:?}, the rollup's legs are {expected:?}")]
    Validation {
        /// What the batch says.
        actual: Validation,
        /// How the rollup's legs are checked.
        expected: Validation,
    },
    /// A block without bundles, or one that does not stand after the one before it.
    #[error("block {} at {} ms is empty or out of order", .block.number, .block.time_ms)]
    Block {
        /// The block.
        block: BlockTime,
    },
    /// A bundle that stands in another block.
    #[error(
        "bundle {index} is in block {} at {} ms, expected {} at {} ms",
        .actual.number, .actual.time_ms, .expected.number, .expected.time_ms
    )]
    Place {
        /// Which one, from 0.
        index: usize,
        /// The batch's block.
        actual: BlockTime,
        /// The leaf's.
        expected: BlockTime,
    },
    /// Bundles are missing or too many.
    #[error("{actual} bundles, expected {expected}")]
    BundleCount {
        /// How many the batch has.
        actual: usize,
        /// How many leaves touch the rollup.
        expected: usize,
    },
    /// Another bundle.
    #[error("bundle {index} is {actual}, expected {expected} at its place in the fair order")]
    Bundle {
        /// Which one, from 0.
        index: usize,
        /// The batch's bundle.
        actual: BundleId,
        /// The leaf's.
        expected: BundleId,
    },
    /// Another place in the fair order.
    #[error("bundle {index} is placed at {actual}, the fair order has it at {expected}")]
    Position {
        /// Which one, from 0.
        index: usize,
        /// The batch's place.
        actual: Position,
        /// The leaf's.
        expected: Position,
    },
    /// A range that leaves a gap, overlaps, is empty, or ends outside.
    #[error(
        "bundle {index} has {count} transactions from {first} on, \
         expected at least 1 from {expected} on, of {transactions}"
    )]
    Range {
        /// Which one, from 0.
        index: usize,
        /// Where its transactions begin.
        first: u32,
        /// How many it has.
        count: u32,
        /// Where those of the one before it end.
        expected: u32,
        /// How many transactions the block has.
        transactions: usize,
    },
    /// Transactions that are not the committed leg.
    #[error("the leg of bundle {index} has digest {actual}, expected {expected}")]
    Leg {
        /// Which one, from 0.
        index: usize,
        /// The digest of the transactions.
        actual: Digest,
        /// The leaf's.
        expected: Digest,
    },
    /// Transactions that belong to no bundle.
    #[error("block {block} has {actual} transactions, {used} belong to bundles")]
    Trailing {
        /// The block's number.
        block: u64,
        /// How many there are.
        actual: usize,
        /// How many the ranges cover.
        used: usize,
    },
}

/// Whether a batch is exactly the legs that these leaves have on the rollup.
pub(crate) fn check_batch(
    header: &ReleaseHeader,
    chain_id: u64,
    leaves: &[&Leaf],
    batch: &Batch,
) -> Result<(), BatchError> {
    check_slot(header, chain_id, batch)?;
    let (actual, expected) = (batch.bundles().count(), leaves.len());
    if actual != expected {
        return Err(BatchError::BundleCount { actual, expected });
    }
    let mut leaves = leaves.iter().copied().enumerate();
    let mut before = None;
    for block in &batch.blocks {
        let time = block.time();
        let follows = before.is_none_or(|before: BlockTime| {
            before.number < time.number && before.time_ms < time.time_ms
        });
        if !follows || block.bundles.is_empty() {
            return Err(BatchError::Block { block: time });
        }
        check_block(chain_id, block, &mut leaves)?;
        before = Some(time);
    }
    Ok(())
}

/// Whether a block holds the legs of the next leaves, as many as it has bundles, and nothing else.
fn check_block<'a>(
    chain_id: u64,
    block: &Block,
    leaves: &mut impl Iterator<Item = (usize, &'a Leaf)>,
) -> Result<(), BatchError> {
    let mut used = 0u32;
    for (range, (index, leaf)) in block.bundles.iter().zip(leaves) {
        let (actual, expected) = (range.id, leaf.id);
        let other = BatchError::Bundle { index, actual, expected };
        if actual != expected {
            return Err(other);
        }
        let (actual, expected) = (range.position, leaf.position);
        if actual != expected {
            return Err(BatchError::Position { index, actual, expected });
        }
        let released = leaf.leg(chain_id).ok_or(other)?;
        let (actual, expected) = (block.time(), released.block);
        if actual != expected {
            return Err(BatchError::Place { index, actual, expected });
        }
        let follows = range.first == used && range.count > 0;
        let transactions = block.leg(range).filter(|_| follows).ok_or(BatchError::Range {
            index,
            first: range.first,
            count: range.count,
            expected: used,
            transactions: block.transactions.len(),
        })?;
        let (actual, expected) = (LegDigest::new(chain_id, transactions).digest, released.digest);
        if actual != expected {
            return Err(BatchError::Leg { index, actual, expected });
        }
        used += range.count;
    }
    let (actual, used) = (block.transactions.len(), used as usize);
    if actual != used {
        return Err(BatchError::Trailing { block: block.number, actual, used });
    }
    Ok(())
}

fn check_slot(header: &ReleaseHeader, chain_id: u64, batch: &Batch) -> Result<(), BatchError> {
    let (actual, expected) = (batch.network_id, header.network_id);
    if actual != expected {
        return Err(BatchError::Network { actual, expected });
    }
    let (actual, expected) = (batch.chain_id, chain_id);
    if actual != expected {
        return Err(BatchError::Chain { actual, expected });
    }
    let (actual, expected) = (batch.height, header.height);
    if actual != expected {
        return Err(BatchError::Height { actual, expected });
    }
    let (actual, expected) = (batch.slot, header.slot);
    if Some(actual) != expected {
        return Err(BatchError::Slot { actual, expected });
    }
    Ok(())
}

pub(super) fn check_validation(
    rollup: &Rollup,
    views: &[View],
    batch: &Batch,
) -> Result<(), BatchError> {
    let (actual, expected) = (batch.validation, Validation::of(rollup, views));
    if actual != expected {
        return Err(BatchError::Validation { actual, expected });
    }
    Ok(())
}

fn shown(slot: &Option<SlotNumber>) -> String {
    slot.map_or_else(|| "none".to_owned(), |slot| slot.to_string())
}
