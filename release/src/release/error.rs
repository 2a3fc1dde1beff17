//! Why a release is not what it says.

use fairveil_crypto::{BundleId, Digest, Height, NetworkId};
use thiserror::Error;

use crate::batch::Validation;
use crate::slot::{BlockTime, SlotNumber};
use crate::tree::{NamespacesError, Position, TreeError};

/// Why a release is not what its header commits to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReleaseError {
    /// The registry's chain ids are no namespaces.
    #[error(transparent)]
    Namespaces(#[from] NamespacesError),
    /// The leaves make no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The leaves have another root.
    #[error("the outcomes have tree root {actual}, the header commits to {expected}")]
    TreeRoot {
        /// The leaves' root.
        actual: Digest,
        /// The header's.
        expected: Digest,
    },
    /// Cut by another registry.
    #[error("a release by the registry {actual}, expected {expected}")]
    Registry {
        /// The header's.
        actual: Digest,
        /// The digest of the registry at hand.
        expected: Digest,
    },
    /// A bundle is released where no slot is cut.
    #[error("bundle {id} is released, and no slot is cut")]
    NoSlot {
        /// The bundle.
        id: BundleId,
    },
    /// Other bundles begin to wait than the leaves say.
    #[error("the waiting bundle {index} is not the one that the outcomes commit to")]
    Waiting {
        /// Which one, from 0.
        index: usize,
    },
    /// Other views than the header commits to.
    #[error("views with digest {actual}, the header commits to {expected}")]
    Views {
        /// The digest of the views.
        actual: Digest,
        /// The header's.
        expected: Digest,
    },
    /// Not one view per followed rollup.
    #[error("views of rollups {actual:?}, expected {expected:?}")]
    Viewed {
        /// The rollups of the views.
        actual: Vec<u64>,
        /// The followed ones, or none without a slot.
        expected: Vec<u64>,
    },
    /// Not one batch per rollup.
    #[error("{actual} batches, expected {expected}")]
    BatchCount {
        /// How many there are.
        actual: usize,
        /// How many rollups there are, or 0 without a slot.
        expected: usize,
    },
    /// A batch is not what the leaves commit to.
    #[error("batch of chain {chain_id}: {error}")]
    Batch {
        /// The rollup.
        chain_id: u64,
        /// What is wrong with it.
        error: BatchError,
    },
}

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

fn shown(slot: &Option<SlotNumber>) -> String {
    slot.map_or_else(|| "none".to_owned(), |slot| slot.to_string())
}
