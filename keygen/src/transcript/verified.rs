//! What a verified transcript proves, epoch by epoch.

use std::sync::Arc;

use fairveil_crypto::committee::Committee;
use fairveil_crypto::{Digest, Epoch, NetworkId, SequencerIndex};

use super::{CeremonyResult, Transcript, TranscriptError};
use crate::approval::ApprovedDefinition;
use crate::definition::Definition;
use crate::dkg::Sharing;

/// A transcript that proves the committee key of its newest epoch, and of all before it. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct VerifiedTranscript {
    before: Arc<[VerifiedEpoch]>,
    newest: VerifiedEpoch,
}

/// What a ceremony proved to make. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VerifiedEpoch(Arc<Proven>);

#[derive(Debug)]
pub(super) struct Proven {
    pub(super) approved: ApprovedDefinition,
    pub(super) committee: Committee,
    pub(super) confirmed: Vec<SequencerIndex>,
    pub(super) sharing: Sharing,
    /// As it was read, without predecessors. Result and digest are those that were recomputed.
    pub(super) file: Transcript,
}

impl VerifiedEpoch {
    pub(super) fn new(proven: Proven) -> Self {
        Self(Arc::new(proven))
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.definition().epoch()
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        self.0.approved.definition()
    }

    /// The definition with its approvals.
    #[must_use]
    pub fn approved(&self) -> &ApprovedDefinition {
        &self.0.approved
    }

    /// The committee with its key, public key shares and consensus keys.
    #[must_use]
    pub fn committee(&self) -> &Committee {
        &self.0.committee
    }

    /// The result, as recomputed.
    #[must_use]
    pub fn result(&self) -> &CeremonyResult {
        &self.0.file.result
    }

    /// The digest of its transcript.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.file.digest
    }

    /// The members that confirmed.
    #[must_use]
    pub fn confirmed(&self) -> &[SequencerIndex] {
        &self.0.confirmed
    }
}

impl VerifiedTranscript {
    pub(super) fn first(newest: VerifiedEpoch) -> Self {
        Self { before: Arc::new([]), newest }
    }

    /// This chain with one epoch more.
    pub(super) fn then(&self, newest: VerifiedEpoch) -> Self {
        Self { before: self.epochs().cloned().collect(), newest }
    }

    /// This transcript, if it is of the pinned network.
    ///
    /// # Errors
    ///
    /// If it is of another.
    pub fn of_network(self, expected: &NetworkId) -> Result<Self, TranscriptError> {
        let actual = self.network_id();
        if actual != *expected {
            return Err(TranscriptError::WrongNetwork { expected: *expected, actual });
        }
        Ok(self)
    }

    /// This transcript, if the pinned digest is that of one of its ceremonies. A newer transcript
    /// of the network proves the pinned one with it.
    ///
    /// # Errors
    ///
    /// If it is of none.
    pub fn with_digest(self, expected: &Digest) -> Result<Self, TranscriptError> {
        if self.epochs().all(|epoch| epoch.digest() != *expected) {
            let actual = self.digest();
            return Err(TranscriptError::WrongDigest { expected: *expected, actual });
        }
        Ok(self)
    }

    /// All epochs, the first one first.
    pub fn epochs(&self) -> impl DoubleEndedIterator<Item = &VerifiedEpoch> {
        self.before.iter().chain(std::iter::once(&self.newest))
    }

    /// An epoch.
    #[must_use]
    pub fn epoch(&self, epoch: Epoch) -> Option<&VerifiedEpoch> {
        self.epochs().find(|one| one.epoch() == epoch)
    }

    /// The committee of an epoch.
    #[must_use]
    pub fn committee_of(&self, epoch: Epoch) -> Option<&Committee> {
        self.epoch(epoch).map(VerifiedEpoch::committee)
    }

    /// The newest epoch.
    #[must_use]
    pub fn newest(&self) -> &VerifiedEpoch {
        &self.newest
    }

    /// The definition of the newest epoch.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        self.newest.definition()
    }

    /// The network.
    #[must_use]
    pub fn network_id(&self) -> NetworkId {
        self.definition().network_id()
    }

    /// The committee of the newest epoch.
    #[must_use]
    pub fn committee(&self) -> &Committee {
        self.newest.committee()
    }

    /// The result of the newest ceremony, as recomputed.
    #[must_use]
    pub fn result(&self) -> &CeremonyResult {
        self.newest.result()
    }

    /// The digest of the newest ceremony's transcript.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.newest.digest()
    }

    /// The members of the newest epoch that confirmed.
    #[must_use]
    pub fn confirmed(&self) -> &[SequencerIndex] {
        self.newest.confirmed()
    }

    /// The file that was verified.
    #[must_use]
    pub fn transcript(&self) -> Transcript {
        let predecessors = self.before.iter().map(|epoch| epoch.0.file.clone()).collect();
        Transcript { predecessors, ..self.newest.0.file.clone() }
    }

    /// The transcripts of all epochs, each without predecessors: what the next one's begins with.
    pub(crate) fn files(&self) -> Vec<Transcript> {
        self.epochs().map(|epoch| epoch.0.file.clone()).collect()
    }

    /// What a resharing of the newest epoch's key begins with.
    pub(crate) fn sharing(&self) -> &Sharing {
        &self.newest.0.sharing
    }
}
