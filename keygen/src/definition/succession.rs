//! What a definition of a later epoch continues, and whether it may.
//!
//! A later definition may change members, n, f, g, revealed_limit, the deadlines and the members'
//! addresses. How the order is made, how often blocks are, what bundles cost and the initial
//! registry are the network's: they are carried unchanged. (What the chain has changed since, such
//! as the registry, is its state and not the definition's.)
//!
//! The boundary has no deadline: the handover takes place at the later of it and the height at
//! which the chain has agreed on the new committee, so no ceremony is too slow for it.

use fairveil_crypto::{Digest, Epoch, Height, NetworkId};
use serde::{Deserialize, Serialize};

use super::{Definition, Proposal};

/// What a definition of a later epoch continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resharing {
    /// The network: the digest of its first definition.
    pub network_id: NetworkId,
    /// The digest of the definition of the epoch before.
    pub predecessor: Digest,
    /// The height after which the old committee proposes nothing new.
    pub boundary: Height,
}

/// Why a definition does not continue another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// A first definition continues nothing.
    #[error("a definition of version 1 begins a network; a resharing takes version 2")]
    First,
    /// Another network.
    #[error("definition is of network {actual}, its predecessor of {expected}")]
    Network {
        /// That of the predecessor.
        expected: NetworkId,
        /// That of the definition.
        actual: NetworkId,
    },
    /// Not the next epoch.
    #[error("definition is of epoch {actual}, the one after its predecessor is {expected}")]
    Epoch {
        /// The next epoch.
        expected: Epoch,
        /// That of the definition.
        actual: Epoch,
    },
    /// Another predecessor.
    #[error("definition continues {actual}, its predecessor has digest {expected}")]
    Predecessor {
        /// The predecessor's digest.
        expected: Digest,
        /// The digest in the definition.
        actual: Digest,
    },
    /// The boundary is not after the one before.
    #[error("boundary is {actual}, it must be {least} or later")]
    Boundary {
        /// The least height.
        least: Height,
        /// The boundary found.
        actual: Height,
    },
    /// What belongs to the network was changed.
    #[error("{what} differ from the predecessor's: they are the network's and are carried over")]
    Changed {
        /// What.
        what: &'static str,
    },
    /// A dealing key of the predecessor.
    #[error("member {name} has a dealing key that served the ceremony before: it takes a new one")]
    DealingKeyReused {
        /// The member.
        name: String,
    },
}

impl Definition {
    /// Whether this definition continues `predecessor`.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit, with the value that would.
    pub fn continues(&self, predecessor: &Definition) -> Result<(), SuccessionError> {
        let resharing = self.resharing().ok_or(SuccessionError::First)?;
        let (expected, actual) = (predecessor.network_id(), resharing.network_id);
        if actual != expected {
            return Err(SuccessionError::Network { expected, actual });
        }
        let (expected, actual) = (Epoch::new(predecessor.epoch().get() + 1), self.epoch());
        if actual != expected {
            return Err(SuccessionError::Epoch { expected, actual });
        }
        let (expected, actual) = (predecessor.digest(), resharing.predecessor);
        if actual != expected {
            return Err(SuccessionError::Predecessor { expected, actual });
        }
        let before = predecessor.resharing().map_or(0, |earlier| earlier.boundary.get());
        let (least, actual) = (Height::new(before + 1), resharing.boundary);
        if actual < least {
            return Err(SuccessionError::Boundary { least, actual });
        }
        unchanged(self.proposal(), predecessor.proposal())?;
        let served = |member: &&super::Member| {
            predecessor.members().iter().any(|earlier| earlier.dealing == member.dealing)
        };
        match self.members().iter().find(served) {
            Some(member) => Err(SuccessionError::DealingKeyReused { name: member.name.clone() }),
            None => Ok(()),
        }
    }
}

fn unchanged(proposal: &Proposal, predecessor: &Proposal) -> Result<(), SuccessionError> {
    let changed = |what| Err(SuccessionError::Changed { what });
    if proposal.ordering != predecessor.ordering {
        return changed("the parameters of the order");
    }
    if proposal.blocks != predecessor.blocks {
        return changed("the intervals of blocks");
    }
    if proposal.accounting != predecessor.accounting {
        return changed("what bundles cost and the deposits");
    }
    if proposal.rollups != predecessor.rollups {
        return changed("the initial rollups");
    }
    Ok(())
}
