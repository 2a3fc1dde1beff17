//! Batches: what one slot releases to one rollup.
//!
//! A batch holds the rollup's blocks of the slot that are not empty, and in each the opened legs in
//! the fair order, with the range of transactions that belongs to each bundle. Blocks that a batch
//! does not name are empty; which blocks a slot has is what [`crate::slot`] says.

use fairveil_crypto::{BundleId, Height, NetworkId};
use serde::{Deserialize, Serialize};

use crate::registry::Rollup;
use crate::slot::{BlockTime, SlotNumber};
use crate::transaction::RawTransaction;
use crate::tree::Position;
use crate::views::View;

/// How much was checked before a batch was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// Statically valid, without a view of the rollup's state: a transaction may be invalid there.
    Unvalidated,
    /// Simulated over the rollup's state: every transaction is valid there, as far as the release
    /// is the rollup's block.
    Simulated,
}

/// The opened legs for one rollup in one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The network that released it.
    pub network_id: NetworkId,
    /// The rollup.
    pub chain_id: u64,
    /// The height whose release cut the slot.
    pub height: Height,
    /// The slot.
    pub slot: SlotNumber,
    /// How much was checked.
    pub validation: Validation,
    /// The blocks that are not empty, in ascending order.
    pub blocks: Vec<Block>,
}

/// One block of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its timestamp in milliseconds since 1970.
    pub time_ms: u64,
    /// Which transactions belong to which bundle, in the fair order, without gaps.
    pub bundles: Vec<BundleRange>,
    /// The raw transactions, in order; at least one.
    pub transactions: Vec<RawTransaction>,
}

/// Where a bundle's leg stands in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRange {
    /// The bundle.
    pub id: BundleId,
    /// Where it stands in the fair order.
    pub position: Position,
    /// Its first transaction.
    pub first: u32,
    /// How many transactions it has; at least one.
    pub count: u32,
}

impl Validation {
    /// How the legs of this rollup are checked in a slot with these views.
    pub fn of(rollup: &Rollup, views: &[View]) -> Self {
        let seen = |view: &View| view.chain_id == rollup.chain_id && view.anchor.is_some();
        let followed = rollup.followed().is_some() && views.iter().any(seen);
        if rollup.embedded().is_some() || followed { Self::Simulated } else { Self::Unvalidated }
    }
}

impl Batch {
    /// Whether no block holds anything.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The bundles with a leg here, each with its block, in the fair order.
    pub fn bundles(&self) -> impl Iterator<Item = (&Block, &BundleRange)> {
        self.blocks.iter().flat_map(|block| block.bundles.iter().map(move |range| (block, range)))
    }

    /// All transactions in order.
    pub fn transactions(&self) -> impl Iterator<Item = &RawTransaction> {
        self.blocks.iter().flat_map(|block| &block.transactions)
    }

    /// The block that holds a bundle's leg, and the leg's transactions.
    pub fn leg(&self, id: &BundleId) -> Option<(&Block, &[RawTransaction])> {
        let (block, range) = self.bundles().find(|(_, range)| range.id == *id)?;
        Some((block, block.leg(range)?))
    }
}

impl Block {
    /// Its number and timestamp.
    pub fn time(&self) -> BlockTime {
        BlockTime { number: self.number, time_ms: self.time_ms }
    }

    /// The transactions of one bundle, if the range lies inside the block.
    pub fn leg(&self, range: &BundleRange) -> Option<&[RawTransaction]> {
        let first = usize::try_from(range.first).ok()?;
        let count = usize::try_from(range.count).ok()?;
        self.transactions.get(first..first.checked_add(count)?)
    }
}
