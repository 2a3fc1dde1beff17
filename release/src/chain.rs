//! The chain of releases: cuts height after height, and is a sequencer's durable state of release.
//!
//! # Invariants
//!
//! 1. Heights are released in order, each once; the state after a height is a function of the
//!    registry, the orders and what they opened to.
//! 2. A certified release of another sequencer has the same effect as cutting it here
//!    ([`ReleaseChain::adopt`]): a sequencer that was away need not open what others have opened.

use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::{BlockDigest, BundleId, Digest, Height, NetworkId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::batch::{CarryOver, Judged, Slot, cut};
use crate::registry::Registry;
use crate::release::{Release, ReleaseError, ReleaseHeader};
use crate::tree::{Namespaces, Tree};

/// A final order with what became of its ids up to static validity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedOrder {
    /// The height.
    pub height: Height,
    /// The block of that height.
    pub block: BlockDigest,
    /// That block's time in milliseconds since 1970.
    pub time_ms: u64,
    /// All emitted ids, cohorts flattened, with the verdict on each.
    pub ids: Vec<(BundleId, Judged)>,
}

/// Everything that releasing the next height depends on besides its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseChain {
    network_id: NetworkId,
    registry: Registry,
    next: Height,
    previous: Digest,
    carry_over: CarryOver,
}

/// Why a height can't be released now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChainError {
    /// Another height is next.
    #[error("height {actual} is not next, {expected} is")]
    Height {
        /// The height that came.
        actual: Height,
        /// The next one.
        expected: Height,
    },
    /// Of another network.
    #[error("a release of network {actual}, expected {expected}")]
    Network {
        /// The release's network.
        actual: NetworkId,
        /// This one.
        expected: NetworkId,
    },
    /// Built on another release.
    #[error("a release on {actual}, the last one has root {expected}")]
    Previous {
        /// The root that it names.
        actual: Digest,
        /// The last release's root.
        expected: Digest,
    },
    /// Not the certified release.
    #[error("a release with root {actual}, certified is {expected}")]
    Root {
        /// The release's root.
        actual: Digest,
        /// The certified one.
        expected: Digest,
    },
    /// Not what its header commits to.
    #[error(transparent)]
    Release(#[from] ReleaseError),
}

impl ReleaseChain {
    /// The chain before its first release, which is that of height 1.
    pub fn new(network_id: NetworkId, registry: Registry) -> Self {
        let previous = ReleaseHeader::genesis(&network_id);
        let (next, carry_over) = (Height::ZERO.next(), CarryOver::default());
        Self { network_id, registry, next, previous, carry_over }
    }

    /// The height that is released next.
    pub fn next(&self) -> Height {
        self.next
    }

    /// The root of the last release.
    pub fn previous(&self) -> Digest {
        self.previous
    }

    /// The rollups.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What waits for the next slot.
    pub fn carry_over(&self) -> &CarryOver {
        &self.carry_over
    }

    /// Cuts the next height.
    pub fn extend(&mut self, order: JudgedOrder) -> Result<(Release, Tree), ChainError> {
        let JudgedOrder { height, block, time_ms, ids } = order;
        self.check_next(height)?;
        let (network_id, previous) = (self.network_id, self.previous);
        let slot = Slot { network_id, height, time_ms };
        let waiting = self.carry_over.clone();
        let cut = cut(&self.registry, slot, waiting, ids);
        let namespaces =
            Namespaces::new(self.registry.chain_ids()).map_err(ReleaseError::Namespaces)?;
        let tree = Tree::new(namespaces, cut.leaves.clone()).map_err(ReleaseError::Tree)?;
        let (tree_root, carry_digest) = (tree.root(), cut.carry_over.digest());
        let header =
            ReleaseHeader { network_id, height, block, time_ms, previous, tree_root, carry_digest };
        let (leaves, batches, carry_over) = (cut.leaves, cut.batches, cut.carry_over);
        let release = Release { header, leaves, batches, carry_over };
        self.advance(&release);
        Ok((release, tree))
    }

    /// Takes over another sequencer's release of the next height, if it is the certified one.
    pub fn adopt(&mut self, release: &Release, certified: &Digest) -> Result<Tree, ChainError> {
        let header = &release.header;
        self.check_next(header.height)?;
        let (actual, expected) = (header.network_id, self.network_id);
        if actual != expected {
            return Err(ChainError::Network { actual, expected });
        }
        let (actual, expected) = (header.previous, self.previous);
        if actual != expected {
            return Err(ChainError::Previous { actual, expected });
        }
        let (actual, expected) = (header.root(), *certified);
        if actual != expected {
            return Err(ChainError::Root { actual, expected });
        }
        let tree = release.check(&self.registry)?;
        self.advance(release);
        Ok(tree)
    }

    /// The canonical encoding, for storage.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads the canonical encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(bytes, crate::release::MAX_RELEASE_BYTES)
    }

    fn check_next(&self, actual: Height) -> Result<(), ChainError> {
        let expected = self.next;
        if actual == expected { Ok(()) } else { Err(ChainError::Height { actual, expected }) }
    }

    fn advance(&mut self, release: &Release) {
        self.next = self.next.next();
        self.previous = release.header.root();
        self.carry_over = release.carry_over.clone();
    }
}

#[cfg(test)]
mod tests;
