//! Admission receipts: a sequencer's signed "admitted, at this place in my log".
//!
//! ```text
//! signature = ed25519 by the sequencer's consensus key of `epoch`, under tag RECEIPT, over
//!             network_id, epoch(8), id, place, height(8), time_ms(8)           integers big-endian
//! place     = 00 held back until the bundle's window opens  |  01 ‖ position(8) in its order log
//! ```
//!
//! # Invariants
//!
//! 1. A receipt verifies for one network, epoch, sequencer, id, place, height and time alone.
//! 2. A [`ReceiptSet`] is complete when f+1 *distinct* sequencers of the committee signed for its
//!    id: at least one of them is honest. Invalid receipts and second ones are not counted.
//! 3. Two receipts of one sequencer and epoch that put one id at two positions, or two ids at one
//!    position, convict it ([`ConflictingReceipts`]); so does a receipt together with the signed
//!    head of a log that has another id at that position ([`BrokenReceipt`]). Both are judged from
//!    their own bytes and the committee's keys. An honest sequencer never signs such a pair: it
//!    gives one place per id, and its log only grows.

mod evidence;

use std::collections::BTreeMap;

use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::signature::invalid_signatures;
use fairveil_crypto::{
    BundleId, ConsensusPublicKey, ConsensusSecret, Epoch, Height, NetworkId, SequencerIndex,
    Signature, SignatureError,
};
use serde::{Deserialize, Serialize};

pub use evidence::{
    BrokenReceipt, ConflictingReceipts, EVIDENCE_IDS, EvidenceError, SignedLogHead,
};

/// Where an admitted bundle stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Held: it enters the log when its window opens, or as soon as the log may grow.
    Held,
    /// At this position of the sequencer's order log, from 0.
    Position(u64),
}

impl Place {
    fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Held => vec![0],
            Self::Position(position) => [&[1][..], &position.to_be_bytes()].concat(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held => out.write_str("held back"),
            Self::Position(position) => write!(out, "at position {position}"),
        }
    }
}

/// What a receipt says, before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBody {
    /// The network.
    pub network_id: NetworkId,
    /// The epoch whose order log `place` speaks of.
    pub epoch: Epoch,
    /// The bundle.
    pub id: BundleId,
    /// Where it stands.
    pub place: Place,
    /// The latest final height at that moment.
    pub height: Height,
    /// The sequencer's clock at that moment, in milliseconds since 1970.
    pub time_ms: u64,
}

impl ReceiptBody {
    /// The receipt of the sequencer with this index and secret.
    #[must_use]
    pub fn sign(self, sequencer: SequencerIndex, secret: &ConsensusSecret) -> Receipt {
        let signature = self.with_items(|items| secret.sign(Tag::Receipt, items));
        Receipt { body: self, sequencer, signature }
    }

    fn with_items<R>(&self, then: impl FnOnce(&[&[u8]]) -> R) -> R {
        then(&[
            self.network_id.as_bytes(),
            &self.epoch.get().to_be_bytes(),
            self.id.as_bytes(),
            &self.place.to_bytes(),
            &self.height.get().to_be_bytes(),
            &self.time_ms.to_be_bytes(),
        ])
    }
}

/// A sequencer's signed admission of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// What it says.
    pub body: ReceiptBody,
    /// Who signed.
    pub sequencer: SequencerIndex,
    /// The signature.
    pub signature: Signature,
}

impl Receipt {
    /// Verifies the signature under the sequencer's consensus key.
    ///
    /// # Errors
    ///
    /// If it does not hold.
    pub fn verify(&self, key: &ConsensusPublicKey) -> Result<(), SignatureError> {
        self.body.with_items(|items| key.verify(Tag::Receipt, items, &self.signature))
    }

    /// Verifies it as one of this network by a member of the committee whose consensus keys these
    /// are, in the order of the indices.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`], the first that applies.
    pub fn verify_member(
        &self,
        network_id: &NetworkId,
        epoch: Epoch,
        keys: &[ConsensusPublicKey],
    ) -> Result<(), ReceiptError> {
        let key = self.member_key(network_id, epoch, keys)?;
        self.verify(key).map_err(|_| self.unsigned())
    }

    /// The key that must have signed it, if it is one of this network by a member of the committee
    /// whose consensus keys these are. The signature is not verified.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`], the first that applies.
    pub fn member_key<'a>(
        &self,
        network_id: &NetworkId,
        epoch: Epoch,
        keys: &'a [ConsensusPublicKey],
    ) -> Result<&'a ConsensusPublicKey, ReceiptError> {
        if self.body.network_id != *network_id {
            let (actual, expected) = (self.body.network_id, *network_id);
            return Err(ReceiptError::Network { actual, expected });
        }
        if self.body.epoch != epoch {
            return Err(ReceiptError::Epoch { actual: self.body.epoch, expected: epoch });
        }
        member(keys, self.sequencer)
            .ok_or(ReceiptError::Member { actual: self.sequencer, members: keys.len() })
    }

    /// That its signature does not hold.
    #[must_use]
    pub const fn unsigned(&self) -> ReceiptError {
        let ReceiptBody { place, height, time_ms, .. } = self.body;
        ReceiptError::Signature { sequencer: self.sequencer, place, height, time_ms }
    }
}

/// The positions, ascending, of the receipts whose signature does not hold under the key beside
/// them. All are checked at once; only if that fails, each alone.
#[must_use]
pub fn unsigned_receipts(entries: &[(ConsensusPublicKey, Receipt)]) -> Vec<usize> {
    let signed: Vec<_> = entries.iter().map(|(key, receipt)| (*key, receipt.signature)).collect();
    let message = |at: usize| {
        entries[at].1.body.with_items(|items| hash(Tag::Receipt, items).to_bytes().to_vec())
    };
    invalid_signatures(&signed, &message)
}

/// Why a receipt does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Of another network.
    #[error("receipt is of network {actual}, this is {expected}")]
    Network {
        /// The receipt's network.
        actual: NetworkId,
        /// The expected network.
        expected: NetworkId,
    },
    /// Of another epoch.
    #[error("receipt is of epoch {actual}, this is {expected}")]
    Epoch {
        /// The receipt's epoch.
        actual: Epoch,
        /// The expected epoch.
        expected: Epoch,
    },
    /// For another bundle.
    #[error("receipt is for bundle {actual}, this is {expected}")]
    Id {
        /// The receipt's bundle.
        actual: BundleId,
        /// The expected bundle.
        expected: BundleId,
    },
    /// Of no member of the committee.
    #[error("receipt is of sequencer {actual}, the committee has {members}")]
    Member {
        /// The receipt's sequencer.
        actual: SequencerIndex,
        /// Members of the committee.
        members: usize,
    },
    /// The signature does not hold: its bytes were changed, or what it is said to be under.
    #[error("sequencer {sequencer} did not sign this: {place}, height {height}, time {time_ms} ms")]
    Signature {
        /// Who is said to have signed.
        sequencer: SequencerIndex,
        /// Where the bundle is said to stand.
        place: Place,
        /// The height that is said.
        height: Height,
        /// The time that is said.
        time_ms: u64,
    },
}

/// Receipts for one bundle, counted by distinct sequencers.
#[derive(Clone, Debug)]
pub struct ReceiptSet {
    network_id: NetworkId,
    epoch: Epoch,
    id: BundleId,
    keys: Vec<ConsensusPublicKey>,
    needed: usize,
    receipts: BTreeMap<SequencerIndex, Receipt>,
}

impl ReceiptSet {
    /// No receipts yet. `keys` are the committee's consensus keys in the order of the indices,
    /// `faults` is f.
    #[must_use]
    pub fn new(
        network_id: NetworkId,
        epoch: Epoch,
        id: BundleId,
        keys: Vec<ConsensusPublicKey>,
        faults: usize,
    ) -> Self {
        let needed = faults + 1;
        Self { network_id, epoch, id, keys, needed, receipts: BTreeMap::new() }
    }

    /// Verifies and counts a receipt. The first of each sequencer is kept; a second one that
    /// contradicts it is returned with it as evidence.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`] if it does not count.
    pub fn add(&mut self, receipt: Receipt) -> Result<Option<ConflictingReceipts>, ReceiptError> {
        if receipt.body.id != self.id {
            return Err(ReceiptError::Id { actual: receipt.body.id, expected: self.id });
        }
        receipt.verify_member(&self.network_id, self.epoch, &self.keys)?;
        let first = *self.receipts.entry(receipt.sequencer).or_insert(receipt);
        Ok(ConflictingReceipts::new(first, receipt))
    }

    /// Distinct sequencers that are needed: f+1.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.needed
    }

    /// Distinct sequencers that signed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.receipts.len()
    }

    /// Whether f+1 distinct sequencers signed: the bundle is `admitted`.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.count() >= self.needed
    }

    /// The receipts, by sequencer.
    pub fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.receipts.values()
    }
}

fn member(keys: &[ConsensusPublicKey], index: SequencerIndex) -> Option<&ConsensusPublicKey> {
    keys.get(usize::from(index.get()).checked_sub(1)?)
}

#[cfg(test)]
mod tests;
