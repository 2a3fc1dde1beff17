//! The evidence in a block, and the proof that a sequencer wrote two logs.
//!
//! 1. [`VerifiedEvidence`] has at most one fragment per sequencer, in ascending order, of one
//!    epoch, and every head is signed by its sequencer. Nothing else is applied.
//! 2. Whether a fragment continues what is committed is judged by [`crate::State::validate`].
//! 3. [`Equivocation`] convicts by itself: it needs the network's id and the sequencer's key.

use std::sync::Arc;

use fairveil_crypto::{
    BundleId, Digest, Epoch, NetworkId, SequencerIndex,
    signature::{ConsensusPublicKey, SignatureError, invalid_signatures},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{log::LogHead, packed::PackError};

/// Ids in the evidence of one block: as many as a block of 1 MiB can carry.
pub const MAX_IDS_PER_BLOCK: usize = (1 << 20) / 32;

/// What one sequencer's log grew by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// Where the log stands after it.
    pub head: LogHead,
    /// Entries from the committed length up to `head.length`.
    pub ids: Vec<BundleId>,
    /// In mode `median` when each was received, in milliseconds since 1970; else empty.
    pub times_ms: Vec<u64>,
}

/// The evidence that a leader gathers for a block, which carries it as a
/// [`PackedEvidence`](crate::PackedEvidence).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// At most one per sequencer, in ascending order of sequencers.
    pub fragments: Vec<Fragment>,
    /// Mode `leader`: the order the leader says. Mode `strict`: empty.
    pub list: Vec<BundleId>,
}

/// Evidence whose form and signatures are verified. Cheap to clone; the default is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifiedEvidence(Arc<Evidence>);

/// Why evidence is refused whatever the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EvidenceError {
    /// Not in ascending order, or two fragments of one sequencer.
    #[error("fragment of sequencer {sequencer} is out of order")]
    Unsorted {
        /// The later one.
        sequencer: SequencerIndex,
    },
    /// No such sequencer in the committee.
    #[error("fragment of sequencer {sequencer} in a committee of {n}")]
    UnknownSequencer {
        /// The index.
        sequencer: SequencerIndex,
        /// The committee's size.
        n: usize,
    },
    /// A head of another epoch.
    #[error("fragment of sequencer {sequencer} is of epoch {actual}, the epoch is {expected}")]
    Epoch {
        /// Whose.
        sequencer: SequencerIndex,
        /// The network's.
        expected: Epoch,
        /// The fragment's.
        actual: Epoch,
    },
    /// More ids than a block can carry.
    #[error("{actual} ids, at most {limit} fit a block")]
    TooManyIds {
        /// In fragments and list.
        actual: usize,
        /// [`MAX_IDS_PER_BLOCK`].
        limit: usize,
    },
    /// The bytes of a block are no evidence.
    #[error(transparent)]
    Packed(#[from] PackError),
    /// A head that its sequencer has not signed.
    #[error("the head of sequencer {sequencer} is not signed by it")]
    Signature {
        /// Whose.
        sequencer: SequencerIndex,
    },
}

impl Evidence {
    /// Verifies form and signatures. `keys` are the committee's consensus keys in order.
    pub fn verify(
        self,
        network_id: &NetworkId,
        epoch: Epoch,
        keys: &[ConsensusPublicKey],
    ) -> Result<VerifiedEvidence, EvidenceError> {
        let ids = self.fragments.iter().map(|fragment| fragment.ids.len()).sum::<usize>();
        let actual = ids + self.list.len();
        if actual > MAX_IDS_PER_BLOCK {
            return Err(EvidenceError::TooManyIds { actual, limit: MAX_IDS_PER_BLOCK });
        }
        let mut previous = None;
        let mut signatures = Vec::with_capacity(self.fragments.len());
        for Fragment { head, .. } in &self.fragments {
            let sequencer = head.sequencer;
            if previous >= Some(sequencer) {
                return Err(EvidenceError::Unsorted { sequencer });
            }
            previous = Some(sequencer);
            let Some(key) = keys.get(sequencer.position()) else {
                return Err(EvidenceError::UnknownSequencer { sequencer, n: keys.len() });
            };
            if head.epoch != epoch {
                let (expected, actual) = (epoch, head.epoch);
                return Err(EvidenceError::Epoch { sequencer, expected, actual });
            }
            signatures.push((*key, head.signature));
        }
        let head = |at: usize| &self.fragments[at].head;
        let message = |at: usize| head(at).signed_digest(network_id).as_bytes().to_vec();
        match invalid_signatures(&signatures, &message).first() {
            Some(at) => Err(EvidenceError::Signature { sequencer: head(*at).sequencer }),
            None => Ok(VerifiedEvidence(Arc::new(self))),
        }
    }
}

impl VerifiedEvidence {
    /// At most one per sequencer, in ascending order.
    pub fn fragments(&self) -> &[Fragment] {
        &self.0.fragments
    }

    /// The leader's list.
    pub fn list(&self) -> &[BundleId] {
        &self.0.list
    }

    /// As it stands in the block.
    pub fn evidence(&self) -> &Evidence {
        &self.0
    }
}

/// Two signed heads of one (epoch, sequencer, length) with different chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Equivocation {
    /// One.
    pub one: LogHead,
    /// The other.
    pub other: LogHead,
}

/// Why two heads convict nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EquivocationError {
    /// Of two sequencers.
    #[error("heads of sequencers {one} and {other}")]
    Sequencers {
        /// One.
        one: SequencerIndex,
        /// The other.
        other: SequencerIndex,
    },
    /// Of two epochs.
    #[error("heads of epochs {one} and {other}")]
    Epochs {
        /// One.
        one: Epoch,
        /// The other.
        other: Epoch,
    },
    /// Of two lengths.
    #[error("heads of lengths {one} and {other}")]
    Lengths {
        /// One.
        one: u64,
        /// The other.
        other: u64,
    },
    /// The same chain: a heartbeat.
    #[error("both heads are {head}")]
    SameChain {
        /// The chain.
        head: Digest,
    },
    /// One is not signed by the sequencer.
    #[error("the signature of head {head} is not sequencer {sequencer}'s")]
    Signature {
        /// Who is said to have signed.
        sequencer: SequencerIndex,
        /// The chain that the head names.
        head: Digest,
    },
}

impl Equivocation {
    /// Verifies that the holder of `key` wrote two logs.
    pub fn verify(
        &self,
        network_id: &NetworkId,
        key: &ConsensusPublicKey,
    ) -> Result<(), EquivocationError> {
        let Self { one, other } = self;
        if one.sequencer != other.sequencer {
            let (one, other) = (one.sequencer, other.sequencer);
            return Err(EquivocationError::Sequencers { one, other });
        }
        if one.epoch != other.epoch {
            let (one, other) = (one.epoch, other.epoch);
            return Err(EquivocationError::Epochs { one, other });
        }
        if one.length != other.length {
            let (one, other) = (one.length, other.length);
            return Err(EquivocationError::Lengths { one, other });
        }
        if one.head == other.head {
            return Err(EquivocationError::SameChain { head: one.head });
        }
        for signed in [one, other] {
            let (sequencer, head) = (signed.sequencer, signed.head);
            let unsigned = |_: SignatureError| EquivocationError::Signature { sequencer, head };
            signed.verify(network_id, key).map_err(unsigned)?;
        }
        Ok(())
    }
}
