//! What every header of a chain has to say, whichever chain it is.

use fairveil_crypto::certificate::{BLOCK_VERSION, BlockHeader};
use fairveil_crypto::{BlockDigest, ConsensusPublicKey, Digest, Epoch, Height, NetworkId, View};

use crate::block::{Block, BlockError, Body};
use crate::chain::{Slot, Tip};

/// What the headers of a chain have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainId {
    /// The network, or what stands for it in a ceremony.
    pub network_id: NetworkId,
    /// The epoch.
    pub epoch: Epoch,
    /// The height of the block that the epoch begins with.
    pub start: Height,
}

/// A header that does not continue the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Another version of the format.
    #[error("version is {actual}, this is version {BLOCK_VERSION}")]
    Version {
        /// What the header says.
        actual: u8,
    },
    /// Another network.
    #[error("network is {actual}, this is {expected}")]
    Network {
        /// What the header says.
        actual: NetworkId,
        /// This network.
        expected: NetworkId,
    },
    /// Another epoch.
    #[error("epoch is {actual}, this is epoch {expected}")]
    Epoch {
        /// What the header says.
        actual: Epoch,
        /// The chain's epoch.
        expected: Epoch,
    },
    /// Another beginning of the epoch.
    #[error("the epoch begins at height {actual}, it began at {expected}")]
    Start {
        /// What the header says.
        actual: Height,
        /// Where the chain's epoch begins.
        expected: Height,
    },
    /// Not the next height.
    #[error("height is {actual}, the next one is {expected}")]
    Height {
        /// What the header says.
        actual: Height,
        /// The height after the parent's.
        expected: Height,
    },
    /// Another parent.
    #[error("parent is {actual}, not {expected}")]
    Parent {
        /// What the header says.
        actual: BlockDigest,
        /// The parent.
        expected: BlockDigest,
    },
    /// Not the time that the rule gives.
    #[error("time is {actual} ms, the rule gives {expected} ms")]
    Time {
        /// What the header says.
        actual: u64,
        /// What follows from parent and evidence.
        expected: u64,
    },
    /// Not the result of the block.
    #[error("result root is {actual}, executing the block gives {expected}")]
    ResultRoot {
        /// What the header says.
        actual: Digest,
        /// What was computed here.
        expected: Digest,
    },
}

impl ChainId {
    /// Checks the parts of a header that depend on the parent alone.
    pub(crate) fn check(&self, header: &BlockHeader, parent: &Tip) -> Result<(), HeaderFault> {
        if header.version != BLOCK_VERSION {
            return Err(HeaderFault::Version { actual: header.version });
        }
        if header.network_id != self.network_id {
            let (actual, expected) = (header.network_id, self.network_id);
            return Err(HeaderFault::Network { actual, expected });
        }
        if header.epoch != self.epoch {
            return Err(HeaderFault::Epoch { actual: header.epoch, expected: self.epoch });
        }
        if header.epoch_start != self.start {
            let (actual, expected) = (header.epoch_start, self.start);
            return Err(HeaderFault::Start { actual, expected });
        }
        let expected = parent.height.next();
        if header.height != expected {
            return Err(HeaderFault::Height { actual: header.height, expected });
        }
        if header.parent != parent.digest {
            return Err(HeaderFault::Parent { actual: header.parent, expected: parent.digest });
        }
        Ok(())
    }

    /// A child of `parent` in this slot.
    pub(crate) fn child(
        &self,
        slot: Slot,
        parent: &Tip,
        time_ms: u64,
        result_root: Digest,
        body: Body,
    ) -> Result<Block, BlockError> {
        let header = BlockHeader {
            version: BLOCK_VERSION,
            network_id: self.network_id,
            epoch: self.epoch,
            epoch_start: self.start,
            height: parent.height.next(),
            parent: parent.digest,
            leader: slot.leader,
            view: slot.view,
            parent_view: slot.parent_view,
            time_ms,
            result_root,
            body_digest: body.digest(),
        };
        Block::new(header, body)
    }

    /// The block that a chain begins with, at the epoch's start: nobody proposes it or votes for
    /// it. What the chain stands on (a transcript, a definition, the epoch before) is in the place
    /// of its parent.
    ///
    /// # Errors
    ///
    /// If the key of the first member, who stands in for a leader, is no key.
    pub(crate) fn genesis(
        &self,
        origin: Digest,
        first_member: ConsensusPublicKey,
        time_ms: u64,
        result_root: Digest,
    ) -> Result<Block, BlockError> {
        let body = Body::default();
        let header = BlockHeader {
            version: BLOCK_VERSION,
            network_id: self.network_id,
            epoch: self.epoch,
            epoch_start: self.start,
            height: self.start,
            parent: BlockDigest::from_bytes(origin.to_bytes()),
            leader: first_member,
            view: View::ZERO,
            parent_view: View::ZERO,
            time_ms,
            result_root,
            body_digest: body.digest(),
        };
        Block::new(header, body)
    }
}
