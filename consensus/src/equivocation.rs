//! Two votes of one sequencer of which an honest one casts at most one.
//!
//! (Two order logs of one sequencer are [`fairveil_ordering::Equivocation`].)
//!
//! # Invariants
//!
//! 1. A proof is self-contained: with the members' keys and the chain's namespace anybody can
//!    judge it.
//! 2. There is one encoding of a proof per pair of votes: which comes first is fixed.

use bytes::{Buf as _, Bytes};
use commonware_actor::Feedback;
use commonware_codec::{Copying, Encode as _, ReadExt as _};
use commonware_consensus::Reporter;
use commonware_consensus::simplex::scheme::Namespace;
use commonware_consensus::simplex::types::{
    Activity, Finalize, Notarize, Nullify, Proposal, Subject,
};
use commonware_consensus::types::Round;
use commonware_cryptography::Verifier as _;
use commonware_cryptography::certificate::{Attestation, Subject as _};
use commonware_utils::channel::mpsc;
use fairveil_crypto::{Epoch, SequencerIndex, View};
use serde::{Deserialize, Serialize};

use crate::block::Digest;
use crate::chain::Chain;
use crate::committee::{Members, Scheme};
use crate::delivery::Progress;

/// Reports waiting to be verified; more are dropped, as a cheat repeats itself.
const MAX_WAITING: usize = 64;

/// Which two votes contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Conflict {
    /// Two proposals notarized in one view.
    Notarize,
    /// Two proposals finalized in one view.
    Finalize,
    /// One view both skipped and finalized.
    NullifyFinalize,
}

/// Two votes of one sequencer in one view, each in the engine's encoding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConflictingVotes {
    conflict: Conflict,
    first: Vec<u8>,
    second: Vec<u8>,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationError {
    /// The votes or heads are not encoded as they have to be.
    #[error("not the encoding of two signed statements")]
    Encoding,
    /// Both may be signed by an honest sequencer.
    #[error("the two statements do not contradict each other")]
    NoConflict,
    /// They are of another epoch.
    #[error("of epoch {actual}, this is epoch {expected}")]
    Epoch {
        /// The epoch they name.
        actual: Epoch,
        /// The chain's epoch.
        expected: Epoch,
    },
    /// The signer is no member.
    #[error("the signer is no member")]
    Signer,
    /// A signature does not verify.
    #[error("a signature does not verify")]
    Signature,
}

/// Whose votes are judged: the keys, the namespace, the epoch.
pub(crate) struct Jury<'a> {
    pub(crate) members: &'a Members,
    pub(crate) namespace: &'a [u8],
    pub(crate) epoch: Epoch,
}

impl ConflictingVotes {
    /// The proof in an engine's report, if it is one.
    fn reported(activity: &Activity<Scheme, Digest>) -> Option<Self> {
        let conflict = match activity {
            Activity::ConflictingNotarize(_) => Conflict::Notarize,
            Activity::ConflictingFinalize(_) => Conflict::Finalize,
            Activity::NullifyFinalize(_) => Conflict::NullifyFinalize,
            _ => return None,
        };
        // The engine's encoding of a report is one byte of its kind and then both votes.
        let encoded = activity.encode();
        let votes = &encoded[1..];
        let mut rest = Copying(votes);
        Vote::read(conflict.kinds().0, &mut rest)?;
        let (first, second) = votes.split_at(votes.len() - rest.remaining());
        let (mut first, mut second) = (first.to_vec(), second.to_vec());
        if conflict.is_symmetric() && first > second {
            std::mem::swap(&mut first, &mut second);
        }
        Some(Self { conflict, first, second })
    }

    /// Which two votes contradict each other.
    #[must_use]
    pub fn conflict(&self) -> Conflict {
        self.conflict
    }

    /// Who cheated.
    pub(crate) fn culprit(&self, jury: &Jury<'_>) -> Result<SequencerIndex, EquivocationError> {
        if self.conflict.is_symmetric() && self.first > self.second {
            return Err(EquivocationError::Encoding);
        }
        let (first_kind, second_kind) = self.conflict.kinds();
        let first = Vote::decode(first_kind, &self.first).ok_or(EquivocationError::Encoding)?;
        let second = Vote::decode(second_kind, &self.second).ok_or(EquivocationError::Encoding)?;
        let actual = Epoch::new(first.round.epoch().get());
        if actual != jury.epoch {
            return Err(EquivocationError::Epoch { actual, expected: jury.epoch });
        }
        if first.round != second.round
            || first.attestation.signer != second.attestation.signer
            || first.proposal == second.proposal
        {
            return Err(EquivocationError::NoConflict);
        }
        first.verify(jury)?;
        second.verify(jury)?;
        SequencerIndex::from_position(first.attestation.signer.get() as usize)
            .ok_or(EquivocationError::Signer)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Notarize,
    Nullify,
    Finalize,
}

impl Conflict {
    fn kinds(self) -> (Kind, Kind) {
        match self {
            Self::Notarize => (Kind::Notarize, Kind::Notarize),
            Self::Finalize => (Kind::Finalize, Kind::Finalize),
            Self::NullifyFinalize => (Kind::Nullify, Kind::Finalize),
        }
    }

    fn is_symmetric(self) -> bool {
        self.kinds().0 == self.kinds().1
    }
}

struct Vote {
    kind: Kind,
    round: Round,
    proposal: Option<Proposal<Digest>>,
    attestation: Attestation<Scheme>,
}

impl Vote {
    /// The vote that exactly these bytes encode.
    fn decode(kind: Kind, bytes: &[u8]) -> Option<Self> {
        let mut input = Copying(bytes);
        let (vote, encoded) = Self::read(kind, &mut input)?;
        (encoded == bytes).then_some(vote)
    }

    /// The vote at the beginning of the input, with its encoding.
    fn read(kind: Kind, input: &mut Copying<'_>) -> Option<(Self, Bytes)> {
        Some(match kind {
            Kind::Notarize => {
                let vote = Notarize::<Scheme, Digest>::read(input).ok()?;
                let encoded = vote.encode();
                let Notarize { proposal, attestation } = vote;
                let round = proposal.round;
                (Self { kind, round, proposal: Some(proposal), attestation }, encoded)
            }
            Kind::Finalize => {
                let vote = Finalize::<Scheme, Digest>::read(input).ok()?;
                let encoded = vote.encode();
                let Finalize { proposal, attestation } = vote;
                let round = proposal.round;
                (Self { kind, round, proposal: Some(proposal), attestation }, encoded)
            }
            Kind::Nullify => {
                let vote = Nullify::<Scheme>::read(input).ok()?;
                let encoded = vote.encode();
                let Nullify { round, attestation } = vote;
                (Self { kind, round, proposal: None, attestation }, encoded)
            }
        })
    }

    fn verify(&self, jury: &Jury<'_>) -> Result<(), EquivocationError> {
        let namespace = Namespace::new(jury.namespace);
        let subject: Subject<'_, Digest> = match (&self.proposal, self.kind) {
            (Some(proposal), Kind::Finalize) => Subject::Finalize { proposal },
            (Some(proposal), _) => Subject::Notarize { proposal },
            (None, _) => Subject::Nullify { round: self.round },
        };
        let position = self.attestation.signer.get() as usize;
        let key = jury.members.keys().get(position).ok_or(EquivocationError::Signer)?;
        let signature = self.attestation.signature.get().ok_or(EquivocationError::Signature)?;
        if key.verify(subject.namespace(&namespace), &subject.message(), signature) {
            Ok(())
        } else {
            Err(EquivocationError::Signature)
        }
    }
}

/// The engine's reporter: picks out what proves a cheat.
#[derive(Clone)]
pub(crate) struct ConflictReporter {
    found: mpsc::Sender<ConflictingVotes>,
    progress: Progress,
}

impl ConflictReporter {
    pub(crate) fn new(progress: Progress) -> (Self, mpsc::Receiver<ConflictingVotes>) {
        let (found, receiver) = mpsc::channel(MAX_WAITING);
        (Self { found, progress }, receiver)
    }
}

impl Reporter for ConflictReporter {
    type Activity = Activity<Scheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        if let Activity::Finalization(finalization) = &activity {
            self.progress.saw_final_view(View::new(finalization.proposal.round.view().get()));
        }
        if let Some(votes) = ConflictingVotes::reported(&activity) {
            let _ = self.found.try_send(votes);
        }
        Feedback::Ok
    }
}

/// Passes proofs that hold on to the chain.
pub(crate) async fn forward<C: Chain>(
    chain: C,
    members: Members,
    namespace: Vec<u8>,
    epoch: Epoch,
    mut found: mpsc::Receiver<ConflictingVotes>,
) {
    while let Some(votes) = found.recv().await {
        let jury = Jury { members: &members, namespace: &namespace, epoch };
        if let Ok(culprit) = votes.culprit(&jury) {
            chain.equivocation(culprit, votes);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use commonware_consensus::simplex::types::{
        ConflictingFinalize, ConflictingNotarize, NullifyFinalize,
    };
    use commonware_consensus::types::{Epoch as EngineEpoch, View};
    use fairveil_crypto::encoding::{decode, encode};
    use fairveil_crypto::{ConsensusSecret, NetworkId};

    use super::*;

    struct Court {
        members: Members,
        namespace: Vec<u8>,
        scheme: Scheme,
    }

    impl Court {
        fn new() -> Self {
            let mut secrets: Vec<_> =
                (0..5).map(|seed| ConsensusSecret::from_seed([seed; 32])).collect();
            secrets.sort_by_key(ConsensusSecret::public_key);
            let keys: Vec<_> = secrets.iter().map(ConsensusSecret::public_key).collect();
            let members = Members::new(&keys).unwrap();
            let namespace = crate::namespace(&NetworkId::from_bytes([1; 32]));
            let scheme = members.signer(&namespace, &secrets[3]).unwrap();
            Self { members, namespace, scheme }
        }

        fn jury(&self) -> Jury<'_> {
            let (members, namespace) = (&self.members, &self.namespace);
            Jury { members, namespace, epoch: Epoch::new(1) }
        }

        /// All three kinds of proofs, with proposals whose encodings have different lengths.
        fn proofs(&self) -> Vec<ConflictingVotes> {
            let round = Round::new(EngineEpoch::new(1), View::new(400));
            let one = Proposal::new(round, View::new(1), Digest([1; 32]));
            let other = Proposal::new(round, View::new(399), Digest([2; 32]));
            let notarize = |proposal: &Proposal<Digest>| {
                Notarize::sign(&self.scheme, proposal.clone()).unwrap()
            };
            let finalize = |proposal: &Proposal<Digest>| {
                Finalize::sign(&self.scheme, proposal.clone()).unwrap()
            };
            let nullify = Nullify::sign::<Digest>(&self.scheme, round).unwrap();
            let activities = [
                Activity::ConflictingNotarize(ConflictingNotarize::new(
                    notarize(&one),
                    notarize(&other),
                )),
                Activity::ConflictingFinalize(ConflictingFinalize::new(
                    finalize(&other),
                    finalize(&one),
                )),
                Activity::NullifyFinalize(NullifyFinalize::new(nullify, finalize(&one))),
            ];
            activities
                .iter()
                .map(|activity| ConflictingVotes::reported(activity).unwrap())
                .collect()
        }
    }

    #[test]
    fn invariant_1_proofs_convict_by_themselves() {
        let court = Court::new();
        for proof in court.proofs() {
            let bytes = encode(&proof);
            assert!(bytes.len() < crate::block::MAX_EQUIVOCATION_BYTES);
            let stored: ConflictingVotes = decode(&bytes, bytes.len()).unwrap();
            assert_eq!(stored.culprit(&court.jury()), Ok(SequencerIndex::new(4).unwrap()));
            let elsewhere = Jury { namespace: b"other", ..court.jury() };
            assert_eq!(stored.culprit(&elsewhere), Err(EquivocationError::Signature));
            let later = Jury { epoch: Epoch::new(2), ..court.jury() };
            assert!(matches!(stored.culprit(&later), Err(EquivocationError::Epoch { .. })));
        }
    }

    #[test]
    fn invariant_1_no_bit_of_a_proof_can_be_changed() {
        let court = Court::new();
        for proof in court.proofs() {
            let bytes = encode(&proof);
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if let Ok(other) = decode::<ConflictingVotes>(&flipped, flipped.len()) {
                    assert!(other.culprit(&court.jury()).is_err(), "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn invariant_2_there_is_one_encoding_of_a_proof() {
        let court = Court::new();
        for proof in court.proofs() {
            let ConflictingVotes { conflict, first, second } = proof.clone();
            let swapped = ConflictingVotes { conflict, first: second, second: first };
            assert_eq!(swapped.culprit(&court.jury()), Err(EquivocationError::Encoding));
            let twice = ConflictingVotes { second: proof.first.clone(), ..proof };
            assert!(twice.culprit(&court.jury()).is_err());
        }
    }
}
