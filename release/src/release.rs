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
use fairveil_crypto::{BlockDigest, BundleId, Digest, Height, NetworkId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::batch::Batch;
use crate::carry_over::Waiting;
use crate::registry::Registry;
use crate::slot::SlotNumber;
use crate::tree::{Leaf, Namespaces, NamespacesError, Outcome, Tree, TreeError};
use crate::views::{View, views_digest};

mod check;

pub use check::BatchError;
pub(crate) use check::check_batch;
use check::check_validation;

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

#[cfg(test)]
pub(crate) mod tests;
