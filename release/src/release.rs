//! A release: everything that one height's opened order became, and its root.
//!
//! The root of a height goes into a later block, so a finalized block certifies it
//! ([`crate::certificate`]). Under it hang the tree of outcomes and legs ([`crate::tree`]) and what
//! waits for the next slot ([`crate::batch`]).
//!
//! # Bytes
//!
//! Notation as in [`crate::tree`].
//!
//! ```text
//! release root   = H(RELEASE-ROOT, network_id, height (8), block, time_ms (8), previous,
//!                    tree root, carry digest)
//! first previous = H(RELEASE-GENESIS, network_id)
//! ```
//!
//! `block` is the digest of the block of that height, `time_ms` its time, `previous` the release
//! root of the height before. Every height from 1 has a release, also one that emits nothing.
//!
//! # Invariants
//!
//! 1. Releases form a chain: one certified root fixes all earlier ones.
//! 2. A [`Release`] that passes [`Release::check`] has exactly the batches, outcomes and waiting
//!    bundles that its header commits to.

use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::{BlockDigest, BundleId, Digest, Height, NetworkId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::batch::{Batch, CarryOver};
use crate::registry::Registry;
use crate::tree::{Leaf, LegDigest, Namespaces, NamespacesError, Position, Tree, TreeError};

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
    /// The root of the tree of outcomes and legs.
    pub tree_root: Digest,
    /// What waits for the next slot.
    pub carry_digest: Digest,
}

/// One height's release. Public: it holds nothing that was not opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What the release root commits to.
    pub header: ReleaseHeader,
    /// What became of every id, in the fair order.
    pub leaves: Vec<Leaf>,
    /// One batch per registered rollup, sorted by chain id.
    pub batches: Vec<Batch>,
    /// What waits for the next slot.
    pub carry_over: CarryOver,
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
    /// Other bundles wait.
    #[error("the carry-over has digest {actual}, the header commits to {expected}")]
    CarryDigest {
        /// The carry-over's digest.
        actual: Digest,
        /// The header's.
        expected: Digest,
    },
    /// Not one batch per rollup.
    #[error("{actual} batches for {expected} rollups")]
    BatchCount {
        /// How many there are.
        actual: usize,
        /// How many rollups there are.
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
    /// With another time.
    #[error("of time {actual} ms, expected {expected} ms")]
    Time {
        /// The batch's time.
        actual: u64,
        /// The header's.
        expected: u64,
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
        /// How many transactions the batch has.
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
    #[error("{actual} transactions, {used} belong to bundles")]
    Trailing {
        /// How many there are.
        actual: usize,
        /// How many the ranges cover.
        used: usize,
    },
}

impl ReleaseHeader {
    /// The release root.
    pub fn root(&self) -> Digest {
        hash(
            Tag::ReleaseRoot,
            &[
                self.network_id.as_bytes(),
                &self.height.get().to_be_bytes(),
                self.block.as_bytes(),
                &self.time_ms.to_be_bytes(),
                self.previous.as_bytes(),
                self.tree_root.as_bytes(),
                self.carry_digest.as_bytes(),
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
    pub fn check(&self, registry: &Registry) -> Result<Tree, ReleaseError> {
        let tree = self.tree(registry)?;
        let (actual, expected) = (tree.root(), self.header.tree_root);
        if actual != expected {
            return Err(ReleaseError::TreeRoot { actual, expected });
        }
        let (actual, expected) = (self.carry_over.digest(), self.header.carry_digest);
        if actual != expected {
            return Err(ReleaseError::CarryDigest { actual, expected });
        }
        let chain_ids = tree.namespaces().chain_ids();
        let (actual, expected) = (self.batches.len(), chain_ids.len());
        if actual != expected {
            return Err(ReleaseError::BatchCount { actual, expected });
        }
        for (batch, chain_id) in self.batches.iter().zip(chain_ids.iter().copied()) {
            let touching = self.leaves.iter().filter(|leaf| leaf.leg(chain_id).is_some());
            let leaves: Vec<_> = touching.collect();
            check_batch(&self.header, chain_id, &leaves, batch)
                .map_err(|error| ReleaseError::Batch { chain_id, error })?;
        }
        Ok(tree)
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
    let (actual, expected) = (batch.bundles.len(), leaves.len());
    if actual != expected {
        return Err(BatchError::BundleCount { actual, expected });
    }
    let mut used = 0u32;
    for (index, (range, leaf)) in batch.bundles.iter().zip(leaves).enumerate() {
        let (actual, expected) = (range.id, leaf.id);
        let other = BatchError::Bundle { index, actual, expected };
        if actual != expected {
            return Err(other);
        }
        let (actual, expected) = (range.position, leaf.position);
        if actual != expected {
            return Err(BatchError::Position { index, actual, expected });
        }
        let follows = range.first == used && range.count > 0;
        let transactions = batch.leg(range).filter(|_| follows).ok_or(BatchError::Range {
            index,
            first: range.first,
            count: range.count,
            expected: used,
            transactions: batch.transactions.len(),
        })?;
        let expected = leaf.leg(chain_id).map(|leg| leg.digest).ok_or(other)?;
        let actual = LegDigest::new(chain_id, transactions).digest;
        if actual != expected {
            return Err(BatchError::Leg { index, actual, expected });
        }
        used += range.count;
    }
    let (actual, used) = (batch.transactions.len(), used as usize);
    if actual != used {
        return Err(BatchError::Trailing { actual, used });
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
    let (actual, expected) = (batch.time_ms, header.time_ms);
    if actual != expected {
        return Err(BatchError::Time { actual, expected });
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
