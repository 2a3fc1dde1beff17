//! What a client believes: the network that it pinned, and what a verified transcript says of it.
//!
//! # Invariants
//!
//! 1. A [`PinnedNetwork`] only comes from a transcript that was verified in full and founds the
//!    network whose id the trader gave. Committee key, members and f come from nowhere else: no
//!    sequencer is asked for them.

use fairveil_crypto::committee::Committee;
use fairveil_crypto::{Epoch, NetworkId};
use fairveil_keygen::{Definition, Transcript, TranscriptError, VerifiedTranscript};

/// A network as its transcript proves it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PinnedNetwork {
    transcript: VerifiedTranscript,
}

impl PinnedNetwork {
    /// The network of this transcript file, if it verifies and founds network `expected`.
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
    /// If it founds another network.
    pub fn new(
        transcript: VerifiedTranscript,
        expected: &NetworkId,
    ) -> Result<Self, TranscriptError> {
        Ok(Self { transcript: transcript.of_network(expected)? })
    }

    /// The transcript.
    #[must_use]
    pub const fn transcript(&self) -> &VerifiedTranscript {
        &self.transcript
    }

    /// The definition that all members approved.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        self.transcript.definition()
    }

    /// The committee with its key.
    #[must_use]
    pub fn committee(&self) -> &Committee {
        self.transcript.committee()
    }

    /// The network's id.
    #[must_use]
    pub fn network_id(&self) -> NetworkId {
        self.transcript.network_id()
    }

    /// The committee's epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.committee().epoch()
    }

    /// Liars that the fair order tolerates, f.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.definition().proposal().f.into()
    }

    /// Distinct sequencers whose word together includes an honest one's: f+1.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.faults() + 1
    }
}
