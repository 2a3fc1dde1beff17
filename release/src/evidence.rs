//! Evidence: self-contained files that prove a sequencer's fault to anybody, offline.
//!
//! | file | proves |
//! |---|---|
//! | `bad_share` | a signed decryption share that does not decode or verify |
//! | `premature_share` | a signed share for an order that the certified one contradicts |
//! | `forked_log` | two signed heads of one log, of one length, with different chains |
//! | `broken_receipt` | a receipt whose position has another id in the sequencer's signed log |
//! | `conflicting_receipts` | two receipts that can't both be true |
//!
//! A file is the encoding of [`Evidence`] by [`fairveil_crypto::encoding`].
//!
//! # Invariants
//!
//! 1. [`Evidence::judge`] needs the network id and the committee of the epoch, and nothing else.
//! 2. An honest sequencer never signs what convicts it here.
//! 3. Evidence is never consensus data and moves nothing in an order or a release.

use fairveil_crypto::certificate::{CertificateError, OrderCertificate, batch_id};
use fairveil_crypto::committee::{Committee, Committees, UnknownEpoch};
use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::share::{
    EvidenceError as ShareEvidenceError, ShareEvidence, ShareFault, SignedShare, UnusableShare,
};
use fairveil_crypto::{BatchId, BlockDigest, BundleId, Epoch, Height, NetworkId, SequencerIndex};
use fairveil_mempool::receipt::{
    BrokenReceipt, ConflictingReceipts, EvidenceError as ReceiptEvidenceError,
};
use fairveil_ordering::{Equivocation, EquivocationError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest file: all sealed bundles of a height.
pub const MAX_EVIDENCE_BYTES: usize = 256 << 20;

/// A proof that a sequencer broke the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// A signed decryption share that does not decode or verify.
    BadShare(ShareEvidence),
    /// A signed share for an order that the certified one contradicts.
    PrematureShare(Box<PrematureShare>),
    /// Two signed heads of one log with different chains.
    ForkedLog(Equivocation),
    /// A receipt whose position has another id in the sequencer's signed log.
    BrokenReceipt(BrokenReceipt),
    /// Two receipts that can't both be true.
    ConflictingReceipts(ConflictingReceipts),
}

/// A share for something else than the final order of its height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrematureShare {
    /// What the culprit signed.
    pub share: SignedShare,
    /// The height that the share is for.
    pub height: Height,
    /// The block that it is for.
    pub block: BlockDigest,
    /// The ids that it opens, in order: with height and block the preimage of its batch.
    pub ids: Vec<BundleId>,
    /// The final order of that height.
    pub certificate: OrderCertificate,
}

/// What evidence proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Against whom, in the committee of `epoch`.
    pub culprit: SequencerIndex,
    /// The epoch.
    pub epoch: Epoch,
    /// What it did.
    pub offence: Offence,
}

/// What a sequencer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Offence {
    /// It signed a bad decryption share.
    #[error("signed a bad decryption share: {0}")]
    BadShare(ShareFault),
    /// It gave away a share for an order that is not final.
    #[error("signed a decryption share for an order that is not final")]
    PrematureShare,
    /// It wrote two logs.
    #[error("signed two order logs")]
    ForkedLog,
    /// It promised a position that another id has.
    #[error("signed a receipt that its own order log contradicts")]
    BrokenReceipt,
    /// It gave receipts that contradict each other.
    #[error("signed two receipts that contradict each other")]
    ConflictingReceipts,
}

/// Why evidence proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvidenceError {
    /// Of another network.
    #[error("evidence of network {actual}, expected {expected}")]
    Network {
        /// The evidence's network.
        actual: NetworkId,
        /// The expected one.
        expected: NetworkId,
    },
    /// The committee of its epoch is not known.
    #[error(transparent)]
    UnknownEpoch(#[from] UnknownEpoch),
    /// The committee of another epoch was given.
    #[error("evidence of epoch {actual}, the committee is of {expected}")]
    Epoch {
        /// The evidence's epoch.
        actual: Epoch,
        /// The committee's.
        expected: Epoch,
    },
    /// No such sequencer in the committee.
    #[error("sequencer {actual}, the committee has {members}")]
    Member {
        /// The index.
        actual: SequencerIndex,
        /// How many members there are.
        members: u16,
    },
    /// A share that proves nothing.
    #[error(transparent)]
    Share(ShareEvidenceError),
    /// A share of another batch than the one shown, or not signed by whom it names.
    #[error(transparent)]
    Unusable(UnusableShare),
    /// The order certificate proves nothing.
    #[error("the order certificate: {0}")]
    Certificate(CertificateError),
    /// The certificate is of another height than the share.
    #[error("the certificate is of height {actual}, the share of {expected}")]
    Height {
        /// The certificate's height.
        actual: Height,
        /// The share's.
        expected: Height,
    },
    /// The share is for the certified order.
    #[error("the share is for the final order, batch {batch}")]
    Final {
        /// The batch of both.
        batch: BatchId,
    },
    /// Log heads that prove nothing.
    #[error(transparent)]
    Log(EquivocationError),
    /// Receipts that prove nothing.
    #[error(transparent)]
    Receipt(ReceiptEvidenceError),
}

impl Evidence {
    /// The canonical encoding: the file.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads a file.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(bytes, MAX_EVIDENCE_BYTES)
    }

    /// What the evidence proves, and against whom.
    pub fn judge(
        &self,
        network_id: &NetworkId,
        committees: &impl Committees,
    ) -> Result<Verdict, EvidenceError> {
        let committee = committees.of_epoch(self.epoch())?;
        let (actual, expected) = (self.epoch(), committee.epoch());
        if actual != expected {
            return Err(EvidenceError::Epoch { actual, expected });
        }
        let keys = committee.consensus_keys();
        let (culprit, offence) = match self {
            Self::BadShare(evidence) => {
                let (actual, expected) = (evidence.network_id, *network_id);
                if actual != expected {
                    return Err(EvidenceError::Network { actual, expected });
                }
                let (culprit, fault) = evidence.verify(committee).map_err(EvidenceError::Share)?;
                (culprit, Offence::BadShare(fault))
            }
            Self::PrematureShare(premature) => {
                (premature.judge(network_id, committee)?, Offence::PrematureShare)
            }
            Self::ForkedLog(heads) => {
                let (actual, members) = (heads.one.sequencer, committee.n());
                let key = committee.consensus_key(actual);
                let key = key.ok_or(EvidenceError::Member { actual, members })?;
                heads.verify(network_id, &key).map_err(EvidenceError::Log)?;
                (actual, Offence::ForkedLog)
            }
            Self::BrokenReceipt(broken) => {
                let culprit = broken.verify(network_id, keys).map_err(EvidenceError::Receipt)?;
                (culprit, Offence::BrokenReceipt)
            }
            Self::ConflictingReceipts(receipts) => {
                let culprit = receipts.verify(network_id, keys).map_err(EvidenceError::Receipt)?;
                (culprit, Offence::ConflictingReceipts)
            }
        };
        Ok(Verdict { culprit, epoch: committee.epoch(), offence })
    }

    /// The epoch whose committee judges it.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::BadShare(evidence) => evidence.epoch,
            Self::PrematureShare(premature) => premature.certificate.finalization.epoch,
            Self::ForkedLog(heads) => heads.one.epoch,
            Self::BrokenReceipt(broken) => broken.receipt.body.epoch,
            Self::ConflictingReceipts(receipts) => receipts.first.body.epoch,
        }
    }
}

impl PrematureShare {
    fn judge(
        &self,
        network_id: &NetworkId,
        committee: &Committee,
    ) -> Result<SequencerIndex, EvidenceError> {
        let order = self.certificate.verify(network_id, committee);
        let order = order.map_err(EvidenceError::Certificate)?;
        let (actual, expected) = (order.height(), self.height);
        if actual != expected {
            return Err(EvidenceError::Height { actual, expected });
        }
        let batch = batch_id(network_id, self.height, &self.block, &self.ids);
        self.share.verify_signature(committee, &batch).map_err(EvidenceError::Unusable)?;
        if batch == order.batch() {
            return Err(EvidenceError::Final { batch });
        }
        Ok(self.share.index)
    }
}

#[cfg(test)]
mod tests;
