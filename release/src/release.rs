//! A release: everything that one height's opened order became, and its root.
//!
//! The root of a height goes into a later block, so a finalized block certifies it
//! ([`crate::certificate`]). Under it hang the tree of outcomes and legs ([`crate::tree`]), the
//! rollups as they were registered, the states of the embedded ones after it ([`crate::states`]), and
//! what was read of the followed ones for it ([`crate::views`]).
//!
//! # Bytes
//!
//! Notation as in [`crate::tree`].
//!
//! ```text
//! release root   = H(RELEASE-ROOT, network_id, height (8), block, time_ms (8), previous, slot,
//!                    tree root, registry, state digest, views digest)
//! first previous = H(RELEASE-GENESIS, network_id)
//! ```
//!
//! `block` is the digest of the block of that height, `time_ms` its time, `previous` the release
//! root of the height before. `slot` is the number (8) of the slot that the release cuts, or
//! nothing (0 bytes) if it cuts none. Every height from 1 has a release, also one that emits
//! nothing.
//!
//! # Invariants
//!
//! 1. Releases form a chain: one certified root fixes all earlier ones.
//! 2. A [`Release`] that passes [`Release::check`] has exactly the batches, outcomes and newly
//!    waiting bundles that its header commits to.
//! 3. A release that cuts no slot releases no bundle.

use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::{BlockDigest, Digest, Height, NetworkId};
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Block, Validation};
use crate::carry_over::Waiting;
use crate::registry::{Registry, Rollup};
use crate::slot::{BlockTime, SlotNumber};
use crate::tree::{Leaf, LegDigest, Namespaces, Outcome, Tree};
use crate::views::{View, views_digest};

mod error;

pub use error::{BatchError, ReleaseError};

/// The longest encoding of a release: what a height opens and what may wait, with room for the
/// ranges and leaves.
pub const MAX_RELEASE_BYTES: usize = 256 << 20;

/// What a release root is the hash of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseHeader {
    /// The network.
    pub network_id: NetworkId,
    /// The height whose order is released.
    pub height: Height,
    /// The block of that height.
    pub block: BlockDigest,
    /// That block's time in milliseconds since 1970.
    pub time_ms: u64,
    /// The release root of the height before.
    pub previous: Digest,
    /// The slot that this release cuts, if it cuts one.
    pub slot: Option<SlotNumber>,
    /// The root of the tree of outcomes and legs.
    pub tree_root: Digest,
    /// The digest of the registry by which it was cut.
    pub registry: Digest,
    /// The states of all embedded rollups after it.
    pub state_digest: Digest,
    /// The digest of the views of followed rollups that its slot was simulated over.
    pub views: Digest,
}

/// One height's release. Public: it holds nothing that was not opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What the release root commits to.
    pub header: ReleaseHeader,
    /// What became of every id, in the fair order.
    pub leaves: Vec<Leaf>,
    /// If a slot is cut, one batch per registered rollup, sorted by chain id.
    pub batches: Vec<Batch>,
    /// The bundles that began to wait, in the fair order.
    pub waiting: Vec<Waiting>,
    /// If a slot is cut, one view per followed rollup, sorted by chain id.
    pub views: Vec<View>,
}

impl ReleaseHeader {
    /// The release root.
    pub fn root(&self) -> Digest {
        let slot = self.slot.map_or(Vec::new(), |slot| slot.get().to_be_bytes().to_vec());
        hash(
            Tag::ReleaseRoot,
            &[
                self.network_id.as_bytes(),
                &self.height.get().to_be_bytes(),
                self.block.as_bytes(),
                &self.time_ms.to_be_bytes(),
                self.previous.as_bytes(),
                &slot,
                self.tree_root.as_bytes(),
                self.registry.as_bytes(),
                self.state_digest.as_bytes(),
                self.views.as_bytes(),
            ],
        )
    }

    /// What the first release of a network has for a previous root.
    pub fn genesis(network_id: &NetworkId) -> Digest {
        hash(Tag::ReleaseGenesis, &[network_id.as_bytes()])
    }
}

impl Release {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads the canonical encoding. The result is unchecked: see [`Release::check`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(bytes, MAX_RELEASE_BYTES)
    }

    /// The tree of outcomes, from which proofs are made.
    pub fn tree(&self, registry: &Registry) -> Result<Tree, ReleaseError> {
        let namespaces = Namespaces::new(registry.chain_ids())?;
        Ok(Tree::new(namespaces, self.leaves.clone())?)
    }

    /// The batch of a rollup.
    pub fn batch(&self, chain_id: u64) -> Option<&Batch> {
        self.batches.iter().find(|batch| batch.chain_id == chain_id)
    }

    /// Whether everything is what the header commits to; the tree, since it was built for that.
    /// The state digest is not judged here: that takes the states ([`crate::chain`]).
    pub fn check(&self, registry: &Registry) -> Result<Tree, ReleaseError> {
        let (actual, expected) = (self.header.registry, registry.digest());
        if actual != expected {
            return Err(ReleaseError::Registry { actual, expected });
        }
        let tree = self.tree(registry)?;
        let (actual, expected) = (tree.root(), self.header.tree_root);
        if actual != expected {
            return Err(ReleaseError::TreeRoot { actual, expected });
        }
        self.check_waiting()?;
        self.check_views(registry)?;
        let rollups = registry.rollups();
        let expected = if self.header.slot.is_some() { rollups.len() } else { 0 };
        let actual = self.batches.len();
        if actual != expected {
            return Err(ReleaseError::BatchCount { actual, expected });
        }
        if self.header.slot.is_none() {
            let released = self.leaves.iter().find(|leaf| !leaf.outcome.legs().is_empty());
            return released.map_or(Ok(tree), |leaf| Err(ReleaseError::NoSlot { id: leaf.id }));
        }
        for (batch, rollup) in self.batches.iter().zip(rollups) {
            let chain_id = rollup.chain_id;
            let touching = self.leaves.iter().filter(|leaf| leaf.leg(chain_id).is_some());
            let leaves: Vec<_> = touching.collect();
            check_validation(rollup, &self.views, batch)
                .and_then(|()| check_batch(&self.header, chain_id, &leaves, batch))
                .map_err(|error| ReleaseError::Batch { chain_id, error })?;
        }
        Ok(tree)
    }

    /// Whether the views are those of the followed rollups that the header commits to.
    fn check_views(&self, registry: &Registry) -> Result<(), ReleaseError> {
        let followed = registry.rollups().iter().filter(|rollup| rollup.followed().is_some());
        let followed = followed.filter(|_| self.header.slot.is_some());
        let expected: Vec<u64> = followed.map(|rollup| rollup.chain_id).collect();
        let actual: Vec<u64> = self.views.iter().map(|view| view.chain_id).collect();
        if actual != expected {
            return Err(ReleaseError::Viewed { actual, expected });
        }
        let (actual, expected) = (views_digest(&self.views), self.header.views);
        if actual != expected {
            return Err(ReleaseError::Views { actual, expected });
        }
        Ok(())
    }

    /// Whether exactly those bundles begin to wait of which the leaves say so.
    fn check_waiting(&self) -> Result<(), ReleaseError> {
        let carried = self.leaves.iter().filter_map(|leaf| match &leaf.outcome {
            Outcome::Carried { policy, legs } => Some((leaf.id, leaf.position, policy, legs)),
            _ => None,
        });
        let carried: Vec<_> = carried.collect();
        for (index, (waiting, leaf)) in self.waiting.iter().zip(&carried).enumerate() {
            let (id, position, policy, legs) = leaf;
            let same = waiting.id == *id && waiting.position == *position;
            if !same || waiting.bundle.policy() != **policy || waiting.leg_digests() != **legs {
                return Err(ReleaseError::Waiting { index });
            }
        }
        if self.waiting.len() != carried.len() {
            let index = self.waiting.len().min(carried.len());
            return Err(ReleaseError::Waiting { index });
        }
        Ok(())
    }
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

fn check_validation(rollup: &Rollup, views: &[View], batch: &Batch) -> Result<(), BatchError> {
    let (actual, expected) = (batch.validation, Validation::of(rollup, views));
    if actual != expected {
        return Err(BatchError::Validation { actual, expected });
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
