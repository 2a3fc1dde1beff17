//! What one height emitted, as its order certificate proves it, and how heights hang together.
//!
//! # Invariants
//!
//! 1. A [`CertifiedHeight`] only comes from an order certificate that verifies under the committee
//!    of its own epoch, which the pinned transcript proves.
//! 2. [`CertifiedHeight::follows`] holds for two heights of one chain alone: in one epoch the block
//!    names the one below it as its parent; a new epoch has the next number and begins with the
//!    height of the one below.
//! 3. What a committee still finalizes after the end of its epoch is no part of the order: the next
//!    one owns these heights. Such a block leaves the state as it is, which no other block does,
//!    for the state counts heights; so its state digest is that of the height below.

use fairveil_crypto::certificate::{
    BlockHeader, CertificateError, Emission, OrderCertificate, Placement,
};
use fairveil_crypto::committee::UnknownEpoch;
use fairveil_crypto::{BlockDigest, BundleId, Digest, Epoch, Height};
use fairveil_release::tree::Position;

use crate::trust::PinnedNetwork;

/// What a final block emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedHeight {
    header: BlockHeader,
    emission: Emission,
    state_digest: Digest,
}

/// Why an order certificate proves nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderFault {
    /// Of an epoch that the transcript does not prove.
    #[error(
        "signed in epoch {}, the transcript proves {} to {}: fetch a newer transcript",
        .0.actual, .0.first, .0.last
    )]
    UnknownEpoch(#[from] UnknownEpoch),
    /// It does not verify.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Why two certified heights are not of one chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// Not one height above the other.
    #[error("height {actual} follows height {before}, height {expected} is missing")]
    Gap {
        /// The height below.
        before: Height,
        /// The one that should follow.
        expected: Height,
        /// The one that does.
        actual: Height,
    },
    /// It stands on another block.
    #[error(
        "the block of height {height} stands on block {actual}, below it block {expected} is \
         certified"
    )]
    Parent {
        /// The height.
        height: Height,
        /// The parent that it names.
        actual: BlockDigest,
        /// The block that is certified one height below.
        expected: BlockDigest,
    },
    /// Beyond the end of its epoch.
    #[error(
        "the block of height {height} follows the end of epoch {epoch} and is no part of the order: \
         that of the next epoch is needed"
    )]
    Ended {
        /// The height.
        height: Height,
        /// Its epoch.
        epoch: Epoch,
    },
    /// An epoch follows that is not the next one.
    #[error("height {height} is of epoch {actual}, the height below it of epoch {before}")]
    Epoch {
        /// The height.
        height: Height,
        /// The epoch of the height below.
        before: Epoch,
        /// Its epoch.
        actual: Epoch,
    },
    /// The next epoch begins with another height.
    #[error(
        "epoch {epoch} begins with height {actual}, the one before it is certified to height \
         {expected}"
    )]
    Start {
        /// The later epoch.
        epoch: Epoch,
        /// With which height it says that it begins.
        actual: Height,
        /// The height below, of the epoch before.
        expected: Height,
    },
}

impl CertifiedHeight {
    /// What this certificate proves.
    ///
    /// # Errors
    ///
    /// [`OrderFault`].
    pub fn new(
        network: &PinnedNetwork,
        certificate: &OrderCertificate,
    ) -> Result<Self, OrderFault> {
        let committee = network.committee_of(certificate.finalization.epoch)?;
        certificate.verify(&network.network_id(), committee)?;
        let limit = fairveil_crypto::certificate::MAX_HEADERS;
        let header = certificate.headers.last().cloned();
        let header = header.ok_or(CertificateError::Headers { actual: 0, limit })?;
        let OrderCertificate { emission, state_digest, .. } = certificate;
        Ok(Self { header, emission: emission.clone(), state_digest: *state_digest })
    }

    /// The height.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.header.height
    }

    /// The epoch whose committee made the block.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.header.epoch
    }

    /// The block.
    #[must_use]
    pub fn block(&self) -> BlockDigest {
        self.header.digest()
    }

    /// The height with which its epoch begins.
    #[must_use]
    pub const fn epoch_start(&self) -> Height {
        self.header.epoch_start
    }

    /// What the block emitted.
    #[must_use]
    pub const fn emission(&self) -> &Emission {
        &self.emission
    }

    /// Where this height emitted an id, and what became of it there.
    #[must_use]
    pub fn place_of(&self, id: &BundleId) -> Option<(Position, Placement)> {
        let (index, emitted) = (0..).zip(self.emission.ids()).find(|(_, one)| one.id == *id)?;
        Some((Position { height: self.height(), index }, emitted.placement))
    }

    /// Whether this is the next height of the chain on which `before` stands.
    ///
    /// # Errors
    ///
    /// [`LinkFault`].
    pub fn follows(&self, before: &Self) -> Result<(), LinkFault> {
        let (height, epoch, expected) = (self.height(), self.epoch(), before.height().next());
        if height != expected {
            let (before, actual) = (before.height(), height);
            return Err(LinkFault::Gap { before, expected, actual });
        }
        if epoch == before.epoch() {
            let (actual, expected) = (self.header.parent, before.block());
            return if actual != expected {
                Err(LinkFault::Parent { height, actual, expected })
            } else if self.state_digest == before.state_digest {
                Err(LinkFault::Ended { height, epoch })
            } else {
                Ok(())
            };
        }
        // Between two epochs stands a block that nobody signs: the new one's beginning.
        if epoch != before.epoch().next() {
            return Err(LinkFault::Epoch { height, before: before.epoch(), actual: epoch });
        }
        let (actual, expected) = (self.header.epoch_start, before.height());
        match actual == expected {
            true => Ok(()),
            false => Err(LinkFault::Start { epoch, actual, expected }),
        }
    }
}
