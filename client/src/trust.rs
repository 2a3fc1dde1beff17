//! What a client believes: the network that it pinned, and what a verified transcript says of it.
//!
//! A transcript proves every epoch from the first ceremony on, so whatever the network certified in
//! any of them is judged by the committee of its own epoch. What is sealed is sealed to the key of
//! the newest, which is that of all.
//!
//! # Invariants
//!
//! 1. A [`PinnedNetwork`] only comes from a transcript that was verified in full and is of the
//!    network whose id the trader gave. Committee keys, members and f come from nowhere else: no
//!    sequencer is asked for them.
//! 2. What an epoch signed is judged by that epoch's committee, never by another. An epoch that the
//!    transcript does not prove is refused by its number.
//! 3. A newer transcript takes the place of an older one only if it proves the same epochs and more.

use fairveil_crypto::committee::{Committee, Committees, UnknownEpoch};
use fairveil_crypto::{Digest, Epoch, NetworkId};
use fairveil_keygen::{Definition, Transcript, TranscriptError, VerifiedEpoch, VerifiedTranscript};

/// A network as its transcript proves it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PinnedNetwork {
    transcript: VerifiedTranscript,
}

/// Why a transcript does not take the place of the one that is pinned.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// It proves nothing, or another network.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    /// It proves no epoch more.
    #[error("the transcript ends with epoch {actual}, epoch {known} is known")]
    NotNewer {
        /// Its newest epoch.
        actual: Epoch,
        /// The newest one that is pinned.
        known: Epoch,
    },
    /// It has another ceremony for an epoch that is pinned.
    #[error("the transcript has {actual} for epoch {epoch}, {expected} is pinned")]
    OtherCeremony {
        /// The epoch.
        epoch: Epoch,
        /// The digest that is pinned.
        expected: Digest,
        /// Its digest.
        actual: Digest,
    },
}

impl PinnedNetwork {
    /// The network of this transcript file, if it verifies and is of network `expected`.
    ///
    /// # Errors
    ///
    /// The first thing that does not hold.
    pub fn from_transcript(bytes: &[u8], expected: &NetworkId) -> Result<Self, TranscriptError> {
        Self::new(Transcript::from_json(bytes)?.verify()?, expected)
    }

    /// The network of a transcript that was verified already.
    ///
    /// # Errors
    ///
    /// If it is of another network.
    pub fn new(
        transcript: VerifiedTranscript,
        expected: &NetworkId,
    ) -> Result<Self, TranscriptError> {
        Ok(Self { transcript: transcript.of_network(expected)? })
    }

    /// This network, if the ceremony with the pinned digest is one of its transcript's: the trader
    /// pinned more than the network.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub fn with_digest(self, expected: &Digest) -> Result<Self, TranscriptError> {
        Ok(Self { transcript: self.transcript.with_digest(expected)? })
    }

    /// The same network by a newer transcript.
    ///
    /// # Errors
    ///
    /// [`RenewalError`]; then the older one goes on to hold.
    pub fn renewed(&self, transcript: &Transcript) -> Result<Self, RenewalError> {
        let newer = transcript.verify()?.of_network(&self.network_id())?;
        let (actual, known) = (newer.newest().epoch(), self.epoch());
        if actual <= known {
            return Err(RenewalError::NotNewer { actual, known });
        }
        for (pinned, given) in self.transcript.epochs().zip(newer.epochs()) {
            let (epoch, expected, actual) = (pinned.epoch(), pinned.digest(), given.digest());
            if actual != expected {
                return Err(RenewalError::OtherCeremony { epoch, expected, actual });
            }
        }
        Ok(Self { transcript: newer })
    }

    /// The transcript.
    #[must_use]
    pub const fn transcript(&self) -> &VerifiedTranscript {
        &self.transcript
    }

    /// The newest epoch's definition, that all its members approved.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        self.transcript.definition()
    }

    /// The newest committee, with the network's key.
    #[must_use]
    pub fn committee(&self) -> &Committee {
        self.transcript.committee()
    }

    /// The committee of an epoch.
    ///
    /// # Errors
    ///
    /// If the transcript does not prove that epoch.
    pub fn committee_of(&self, epoch: Epoch) -> Result<&Committee, UnknownEpoch> {
        self.proven(epoch).map(VerifiedEpoch::committee)
    }

    /// What the transcript proves of an epoch.
    ///
    /// # Errors
    ///
    /// If it does not prove that epoch.
    pub fn proven(&self, epoch: Epoch) -> Result<&VerifiedEpoch, UnknownEpoch> {
        // The transcript begins with the first ceremony.
        let (first, last) = (Epoch::new(1), self.epoch());
        self.transcript.epoch(epoch).ok_or(UnknownEpoch { actual: epoch, first, last })
    }

    /// The network's id.
    #[must_use]
    pub fn network_id(&self) -> NetworkId {
        self.transcript.network_id()
    }

    /// The newest epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.committee().epoch()
    }

    /// Liars that the newest committee's fair order tolerates, f.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.definition().proposal().f.into()
    }

    /// Distinct sequencers of the newest committee whose word together includes an honest one's:
    /// f+1.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.faults() + 1
    }
}

impl Committees for PinnedNetwork {
    fn of_epoch(&self, epoch: Epoch) -> Result<&Committee, UnknownEpoch> {
        self.committee_of(epoch)
    }
}
