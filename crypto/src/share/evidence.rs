//! Self-contained evidence against a sequencer that signed a bad share.

use serde::{Deserialize, Serialize};

use super::{ShareFault, SignedShare, UnusableShare};
use crate::certificate::{FinalOrder, batch_id};
use crate::committee::Committee;
use crate::envelope::{EnvelopeError, SealedBundle, VerifiedBundle};
use crate::point::Point;
use crate::{BlockDigest, BundleId, Epoch, Height, NetworkId, SequencerIndex};

/// A signed share, the preimage of its batch, and the sealed bundles that the ids stand for.
///
/// The bundles are whole: an id covers header and ciphertext, so whoever judges takes nobody's word
/// for the points that the share should have been made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareEvidence {
    /// The epoch that owns the height.
    pub epoch: Epoch,
    /// The network.
    pub network_id: NetworkId,
    /// The height.
    pub height: Height,
    /// The block.
    pub block: BlockDigest,
    /// The sealed bundles of the batch, encoded, in final order.
    pub bundles: Vec<Vec<u8>>,
    /// What the culprit signed.
    pub share: SignedShare,
}

/// Why evidence proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The committee of another epoch was given.
    #[error("evidence is of epoch {actual}, the committee of {expected}")]
    Epoch {
        /// The epoch of the evidence.
        actual: Epoch,
        /// The committee's.
        expected: Epoch,
    },
    /// A bundle does not decode or verify.
    #[error("bundle {position}: {reason}")]
    Bundle {
        /// Which, from 0.
        position: usize,
        /// Why.
        reason: EnvelopeError,
    },
    /// The bundles given are not the order's.
    #[error("bundle {position} is {actual}, the order opens {expected}")]
    Id {
        /// Which, from 0.
        position: usize,
        /// The bundle given.
        actual: BundleId,
        /// The id in the order.
        expected: BundleId,
    },
    /// There are not as many bundles as the order opens.
    #[error("{actual} bundles, the order opens {expected}")]
    Count {
        /// Bundles given.
        actual: usize,
        /// Ids in the order.
        expected: usize,
    },
    /// The share is not of this batch, or not signed by whom it names.
    #[error(transparent)]
    Share(#[from] UnusableShare),
    /// The share is right.
    #[error("the share of sequencer {0} is right")]
    Innocent(SequencerIndex),
}

impl ShareEvidence {
    /// Puts evidence together from what the accuser knows.
    ///
    /// # Errors
    ///
    /// If the bundles are not those that the order opens.
    pub fn new(
        share: SignedShare,
        order: &FinalOrder,
        bundles: &[VerifiedBundle],
    ) -> Result<Self, EvidenceError> {
        let (actual, expected) = (bundles.len(), order.to_open().len());
        if actual != expected {
            return Err(EvidenceError::Count { actual, expected });
        }
        for (position, (bundle, id)) in bundles.iter().zip(order.to_open()).enumerate() {
            if bundle.id() != *id {
                let (actual, expected) = (bundle.id(), *id);
                return Err(EvidenceError::Id { position, actual, expected });
            }
        }
        Ok(Self {
            epoch: order.committee().epoch(),
            network_id: order.network_id(),
            height: order.height(),
            block: order.block(),
            bundles: bundles.iter().map(|bundle| bundle.sealed().encode()).collect(),
            share,
        })
    }

    /// Judges the evidence: what it proves, and against whom.
    ///
    /// # Errors
    ///
    /// The reason why it proves nothing.
    pub fn verify(
        &self,
        committee: &Committee,
    ) -> Result<(SequencerIndex, ShareFault), EvidenceError> {
        if self.epoch != committee.epoch() {
            let (actual, expected) = (self.epoch, committee.epoch());
            return Err(EvidenceError::Epoch { actual, expected });
        }
        let mut ids = Vec::with_capacity(self.bundles.len());
        let mut sealed: Vec<Point> = Vec::with_capacity(self.bundles.len());
        for (position, bytes) in self.bundles.iter().enumerate() {
            let bundle = SealedBundle::decode(bytes)
                .and_then(|bundle| bundle.verify(&self.network_id, committee.key()))
                .map_err(|reason| EvidenceError::Bundle { position, reason })?;
            ids.push(bundle.id());
            sealed.push(*bundle.ciphertext().u());
        }
        let batch = batch_id(&self.network_id, self.height, &self.block, &ids);
        self.share.verify_signature(committee, &batch)?;
        let index = self.share.index;
        let innocent = EvidenceError::Innocent(index);
        let public_key_share = committee.public_key_share(index).ok_or(innocent.clone())?;
        match self.share.verify_proof(&public_key_share, &sealed) {
            Err(fault) => Ok((index, fault)),
            Ok(()) => Err(innocent),
        }
    }
}
