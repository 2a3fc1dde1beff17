//! Proof that a sequencer signed a receipt that is not true.

use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::{
    BundleId, ConsensusPublicKey, Digest, Epoch, Height, NetworkId, SequencerIndex, Signature,
};
use serde::{Deserialize, Serialize};

use super::{Place, Receipt, ReceiptError, member};

/// Two receipts of one sequencer that cannot both be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictingReceipts {
    /// The one.
    pub first: Receipt,
    /// The other.
    pub second: Receipt,
}

/// A sequencer's signed statement of its log: the fields and the signed bytes of the order's
/// `LogHead`, so that a receipt can be judged against it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedLogHead {
    /// The epoch of the log.
    pub epoch: Epoch,
    /// Whose log.
    pub sequencer: SequencerIndex,
    /// Entries.
    pub length: u64,
    /// The chain's hash after them.
    pub head: Digest,
    /// The last finalized height that the sequencer knew.
    pub height_seen: Height,
    /// Its clock, in milliseconds since 1970.
    pub time_ms: u64,
    /// By the sequencer's consensus key.
    pub signature: Signature,
}

/// A receipt for a position at which the sequencer's signed log has another id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// A head of the sequencer's log that is longer than the receipt's position.
    pub head: SignedLogHead,
    /// The chain's hash before the receipt's position.
    pub before: Digest,
    /// The log's ids from the receipt's position up to the head.
    pub ids: Vec<BundleId>,
}

/// Ids in one piece of evidence, at most: fragments of a log are short.
pub const EVIDENCE_IDS: usize = 65_536;

/// Why evidence proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// A receipt is not valid by itself.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The two receipts are of different sequencers.
    #[error("receipts are of sequencers {first} and {second}")]
    Sequencers {
        /// The first receipt's.
        first: SequencerIndex,
        /// The second receipt's.
        second: SequencerIndex,
    },
    /// The two receipts are of different epochs, so of two logs.
    #[error("receipts are of epochs {first} and {second}")]
    Epochs {
        /// The first receipt's.
        first: Epoch,
        /// The second receipt's.
        second: Epoch,
    },
    /// Both receipts can be true.
    #[error(
        "{first_id}, {first_place}, and {second_id}, {second_place}, do not contradict each other"
    )]
    Consistent {
        /// The first receipt's bundle.
        first_id: BundleId,
        /// Where it says that bundle stands.
        first_place: Place,
        /// The second receipt's bundle.
        second_id: BundleId,
        /// Where it says that bundle stands.
        second_place: Place,
    },
    /// The log keeps what the receipt promised.
    #[error("the log has bundle {id} at position {position}, as promised")]
    Kept {
        /// The bundle.
        id: BundleId,
        /// Its position.
        position: u64,
    },
    /// The log head's signature does not hold.
    #[error("the log head's signature is not sequencer {sequencer}'s")]
    HeadSignature {
        /// Who is said to have signed.
        sequencer: SequencerIndex,
    },
    /// The log head is of another sequencer or epoch than the receipt.
    #[error(
        "the log head is of sequencer {head} in epoch {head_epoch}, \
         the receipt of sequencer {receipt} in epoch {receipt_epoch}"
    )]
    OtherLog {
        /// The head's sequencer.
        head: SequencerIndex,
        /// The head's epoch.
        head_epoch: Epoch,
        /// The receipt's sequencer.
        receipt: SequencerIndex,
        /// The receipt's epoch.
        receipt_epoch: Epoch,
    },
    /// The receipt names no position, so no log contradicts it.
    #[error("the receipt names no position")]
    Held,
    /// Position, ids and the head's length do not fit.
    #[error("{actual} ids from position {position} on, the head covers {length}")]
    Length {
        /// Ids in the evidence.
        actual: usize,
        /// The receipt's position.
        position: u64,
        /// The head's length.
        length: u64,
    },
    /// The ids do not lead to the head.
    #[error("the ids lead to head {actual}, signed is {expected}")]
    Chain {
        /// Where the ids lead.
        actual: Digest,
        /// The signed head.
        expected: Digest,
    },
}

impl ConflictingReceipts {
    /// The two receipts, if they contradict each other: one sequencer, one epoch of one network,
    /// and one position for two ids or two positions for one id.
    #[must_use]
    pub fn new(first: Receipt, second: Receipt) -> Option<Self> {
        let (one, other) = (&first.body, &second.body);
        let same_log = first.sequencer == second.sequencer
            && one.network_id == other.network_id
            && one.epoch == other.epoch;
        let (Place::Position(a), Place::Position(b)) = (one.place, other.place) else {
            return None;
        };
        let contradict = (a == b) != (one.id == other.id);
        (same_log && contradict).then_some(Self { first, second })
    }

    /// The sequencer that it convicts, by the committee's consensus keys in the order of the
    /// indices.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] if it proves nothing.
    pub fn verify(
        &self,
        network_id: &NetworkId,
        keys: &[ConsensusPublicKey],
    ) -> Result<SequencerIndex, EvidenceError> {
        let (first, second) = (self.first.sequencer, self.second.sequencer);
        if first != second {
            return Err(EvidenceError::Sequencers { first, second });
        }
        let sequencer = first;
        let (one, other) = (&self.first.body, &self.second.body);
        let (first, second) = (one.epoch, other.epoch);
        if first != second {
            return Err(EvidenceError::Epochs { first, second });
        }
        for receipt in [&self.first, &self.second] {
            receipt.verify_member(network_id, first, keys)?;
        }
        Self::new(self.first, self.second).ok_or(EvidenceError::Consistent {
            first_id: one.id,
            first_place: one.place,
            second_id: other.id,
            second_place: other.place,
        })?;
        Ok(sequencer)
    }
}

impl SignedLogHead {
    fn verify(&self, network_id: &NetworkId, key: &ConsensusPublicKey) -> bool {
        let items: [&[u8]; 7] = [
            network_id.as_bytes(),
            &self.epoch.get().to_be_bytes(),
            &self.sequencer.to_be_bytes(),
            &self.length.to_be_bytes(),
            self.head.as_bytes(),
            &self.height_seen.get().to_be_bytes(),
            &self.time_ms.to_be_bytes(),
        ];
        key.verify(Tag::OrderLogHead, &items, &self.signature).is_ok()
    }
}

impl BrokenReceipt {
    /// The sequencer that it convicts, by the committee's consensus keys in the order of the
    /// indices.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] if it proves nothing.
    pub fn verify(
        &self,
        network_id: &NetworkId,
        keys: &[ConsensusPublicKey],
    ) -> Result<SequencerIndex, EvidenceError> {
        let (receipt, head) = (&self.receipt, &self.head);
        receipt.verify_member(network_id, receipt.body.epoch, keys)?;
        let sequencer = receipt.sequencer;
        let epoch = receipt.body.epoch;
        if head.sequencer != sequencer || head.epoch != epoch {
            return Err(EvidenceError::OtherLog {
                head: head.sequencer,
                head_epoch: head.epoch,
                receipt: sequencer,
                receipt_epoch: epoch,
            });
        }
        let members = keys.len();
        let stranger = ReceiptError::Member { actual: sequencer, members };
        let key = member(keys, sequencer).ok_or(stranger)?;
        if !head.verify(network_id, key) {
            return Err(EvidenceError::HeadSignature { sequencer });
        }
        let Place::Position(position) = receipt.body.place else {
            return Err(EvidenceError::Held);
        };
        let (actual, length) = (self.ids.len(), head.length);
        let covered =
            length.checked_sub(position).and_then(|covered| usize::try_from(covered).ok());
        if covered != Some(actual) || actual == 0 || actual > EVIDENCE_IDS {
            return Err(EvidenceError::Length { actual, position, length });
        }
        let link = |before: Digest, id: &BundleId| {
            hash(Tag::OrderLogLink, &[before.as_bytes(), id.as_bytes()])
        };
        let reached = self.ids.iter().fold(self.before, link);
        if reached != head.head {
            return Err(EvidenceError::Chain { actual: reached, expected: head.head });
        }
        let id = receipt.body.id;
        if self.ids[0] == id {
            return Err(EvidenceError::Kept { id, position });
        }
        Ok(sequencer)
    }
}
