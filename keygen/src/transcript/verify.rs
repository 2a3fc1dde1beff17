//! Verification of a transcript, from the definition to the confirmations.

use std::fmt;

use fairveil_crypto::committee::Committee;
use fairveil_crypto::point::PointBytes;
use fairveil_crypto::{Digest, KeyId, NetworkId, SequencerIndex};

use super::{CeremonyResult, MAX_BYTES, Transcript, VERSION};
use crate::agreed::{Agreed, Phase, Refusal};
use crate::approval::{ApprovalError, ApprovedDefinition};
use crate::blame::Failure;
use crate::context::CeremonyContext;
use crate::definition::{Definition, DefinitionError};
use crate::entry::EntryError;

/// Why a transcript proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// The file is too long.
    #[error("transcript has {actual} bytes, the limit is {MAX_BYTES}")]
    TooLong {
        /// Bytes found.
        actual: usize,
    },
    /// Not JSON of a transcript.
    #[error("not a transcript: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version of the form.
    #[error("transcript has version {actual}, this program reads version {VERSION}")]
    Version {
        /// The version found.
        actual: u8,
    },
    /// The definition is refused.
    #[error("definition: {0}")]
    Definition(#[from] DefinitionError),
    /// The definition is not approved.
    #[error("approvals: {0}")]
    Approval(#[from] ApprovalError),
    /// It is the transcript of another network.
    #[error("transcript founds network {actual}, not {expected}")]
    WrongNetwork {
        /// The pinned network.
        expected: NetworkId,
        /// That of the transcript.
        actual: NetworkId,
    },
    /// A list is not in its order, or has an element twice.
    #[error("{section} are not in strictly ascending order")]
    Order {
        /// Which list.
        section: Section,
    },
    /// A dealing is refused.
    #[error("dealing of member {dealer}: {refusal}")]
    Dealing {
        /// The dealer.
        dealer: SequencerIndex,
        /// Why.
        refusal: Refusal,
    },
    /// An acknowledgement is refused.
    #[error("acknowledgement by member {player} of the dealing of member {dealer}: {refusal}")]
    Acknowledgement {
        /// The dealer.
        dealer: SequencerIndex,
        /// The player.
        player: SequencerIndex,
        /// Why.
        refusal: Refusal,
    },
    /// A dealer log is refused.
    #[error("log of member {dealer}: {refusal}")]
    Log {
        /// The dealer.
        dealer: SequencerIndex,
        /// Why.
        refusal: Refusal,
    },
    /// No key follows from the entries.
    #[error("the entries make no key: {0}")]
    NoKey(Failure),
    /// A point of the result is not what follows from the entries.
    #[error("{what} is {actual}, {expected} follows from the entries")]
    Point {
        /// Which point.
        what: ResultPoint,
        /// What follows.
        expected: PointBytes,
        /// What the transcript says.
        actual: PointBytes,
    },
    /// The key id is not that of the committee key.
    #[error("key id is {actual}, {expected} follows from the committee key")]
    KeyId {
        /// What follows.
        expected: KeyId,
        /// What the transcript says.
        actual: KeyId,
    },
    /// A number of the result is not what follows from the entries.
    #[error("{what} is {actual}, {expected} follows from the entries")]
    Number {
        /// Which number.
        what: ResultNumber,
        /// What follows.
        expected: usize,
        /// What the transcript says.
        actual: usize,
    },
    /// A list of the result is not what follows from the entries.
    #[error("the list of {section} is not the one that follows from the entries")]
    List {
        /// Which list.
        section: Section,
    },
    /// The digest is not that of the content.
    #[error("digest is {actual}, that of the content is {expected}")]
    Digest {
        /// The content's digest.
        expected: Digest,
        /// What the transcript says.
        actual: Digest,
    },
    /// A confirmation is refused.
    #[error("confirmation of member {member}: {refusal}")]
    Confirmation {
        /// The member.
        member: SequencerIndex,
        /// Why.
        refusal: Refusal,
    },
    /// Too few members confirmed.
    #[error("{found} confirmations, {needed} are needed")]
    Confirmations {
        /// Confirmations found.
        found: usize,
        /// The quorum.
        needed: u16,
    },
}

/// A list of the transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The approvals.
    Approvals,
    /// The dealings.
    Dealings,
    /// The acknowledgements.
    Acknowledgements,
    /// The dealer logs.
    Logs,
    /// The selected dealers.
    Dealers,
    /// The revealed members.
    Revealed,
    /// The faults.
    Faults,
    /// The confirmations.
    Confirmations,
}

/// A point of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultPoint {
    /// The committee key.
    CommitteeKey,
    /// The public key share of a member.
    PublicKeyShare(SequencerIndex),
}

/// A number of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultNumber {
    /// The threshold.
    Threshold,
    /// The effective threshold.
    EffectiveThreshold,
    /// The number of public key shares.
    PublicKeyShares,
}

impl fmt::Display for Section {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Section::Approvals => "approvals",
            Section::Dealings => "dealings",
            Section::Acknowledgements => "acknowledgements",
            Section::Logs => "logs",
            Section::Dealers => "dealers",
            Section::Revealed => "revealed members",
            Section::Faults => "faults",
            Section::Confirmations => "confirmations",
        })
    }
}

impl fmt::Display for ResultPoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResultPoint::CommitteeKey => out.write_str("committee key"),
            ResultPoint::PublicKeyShare(index) => write!(out, "public key share of member {index}"),
        }
    }
}

impl fmt::Display for ResultNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            ResultNumber::Threshold => "threshold",
            ResultNumber::EffectiveThreshold => "effective threshold",
            ResultNumber::PublicKeyShares => "number of public key shares",
        })
    }
}

/// A transcript that proves its committee key.
#[derive(Clone, Debug)]
pub struct VerifiedTranscript {
    approved: ApprovedDefinition,
    committee: Committee,
    result: CeremonyResult,
    digest: Digest,
    confirmed: Vec<SequencerIndex>,
}

impl VerifiedTranscript {
    /// This transcript, if it founds the pinned network.
    ///
    /// # Errors
    ///
    /// If it founds another.
    pub fn of_network(self, expected: &NetworkId) -> Result<Self, TranscriptError> {
        let actual = self.definition().network_id();
        if actual != *expected {
            return Err(TranscriptError::WrongNetwork { expected: *expected, actual });
        }
        Ok(self)
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        self.approved.definition()
    }

    /// The network.
    #[must_use]
    pub fn network_id(&self) -> NetworkId {
        self.definition().network_id()
    }

    /// The committee with its key, public key shares and consensus keys.
    #[must_use]
    pub fn committee(&self) -> &Committee {
        &self.committee
    }

    /// The result, as recomputed.
    #[must_use]
    pub fn result(&self) -> &CeremonyResult {
        &self.result
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The members that confirmed.
    #[must_use]
    pub fn confirmed(&self) -> &[SequencerIndex] {
        &self.confirmed
    }
}

pub(super) fn verify(transcript: &Transcript) -> Result<VerifiedTranscript, TranscriptError> {
    if transcript.version != VERSION {
        return Err(TranscriptError::Version { actual: transcript.version });
    }
    let definition = Definition::from_canonical(transcript.definition.clone())?;
    let approved = ApprovedDefinition::new(definition, transcript.approvals.iter().copied())?;
    if approved.approvals() != transcript.approvals {
        return Err(TranscriptError::Order { section: Section::Approvals });
    }
    check_order(transcript)?;
    let context = CeremonyContext::new(approved.clone(), transcript.round);
    let mut agreed = replay(transcript, context.clone())?;
    let (committee, result, digest) = match (agreed.key(), agreed.failure()) {
        (Some(key), _) => (key.committee.clone(), key.result.clone(), key.transcript),
        (None, Some(failure)) => return Err(TranscriptError::NoKey(failure.clone())),
        (None, None) => unreachable!("every phase up to the key was left"),
    };
    compare(&transcript.result, &result)?;
    if transcript.digest != digest {
        return Err(TranscriptError::Digest { expected: digest, actual: transcript.digest });
    }
    for confirmation in &transcript.confirmations {
        let member = confirmation.member;
        let refused = |refusal| TranscriptError::Confirmation { member, refusal };
        confirmation.verify(&context).map_err(|error| refused(error.into()))?;
        agreed.take_confirmation(*confirmation).map_err(refused)?;
    }
    let confirmed: Vec<_> = agreed.confirmations().map(|one| one.member).collect();
    let needed = approved.definition().threshold();
    if confirmed.len() < usize::from(needed) {
        return Err(TranscriptError::Confirmations { found: confirmed.len(), needed });
    }
    Ok(VerifiedTranscript { approved, committee, result, digest, confirmed })
}

fn check_order(transcript: &Transcript) -> Result<(), TranscriptError> {
    fn ascending<T, K: Ord>(
        section: Section,
        list: &[T],
        key: impl Fn(&T) -> K,
    ) -> Result<(), TranscriptError> {
        let sorted = list.is_sorted_by(|a, b| key(a) < key(b));
        if sorted { Ok(()) } else { Err(TranscriptError::Order { section }) }
    }
    ascending(Section::Dealings, &transcript.dealings, |one| one.dealer)?;
    ascending(Section::Acknowledgements, &transcript.acknowledgements, |one| {
        (one.dealer, one.player)
    })?;
    ascending(Section::Logs, &transcript.logs, |one| one.dealer)?;
    ascending(Section::Confirmations, &transcript.confirmations, |one| one.member)
}

/// Plays the entries through the members' own fold, phase by phase.
fn replay(transcript: &Transcript, context: CeremonyContext) -> Result<Agreed, TranscriptError> {
    let mut agreed = Agreed::new(context.clone());
    for dealing in &transcript.dealings {
        let dealer = dealing.dealer;
        let refused = |refusal| TranscriptError::Dealing { dealer, refusal };
        dealing.verify(&context).map_err(|error: EntryError| refused(error.into()))?;
        agreed.take_dealing(dealing.clone()).map_err(refused)?;
    }
    agreed.leave(Phase::Dealing);
    if let Some(failure) = agreed.failure() {
        return Err(TranscriptError::NoKey(failure.clone()));
    }
    for one in &transcript.acknowledgements {
        let (dealer, player) = (one.dealer, one.player);
        agreed.take_acknowledgement(*one).map_err(|refusal| TranscriptError::Acknowledgement {
            dealer,
            player,
            refusal,
        })?;
    }
    agreed.leave(Phase::Acknowledging);
    for log in &transcript.logs {
        let dealer = log.dealer;
        agreed.take_log(log.clone()).map_err(|refusal| TranscriptError::Log { dealer, refusal })?;
    }
    agreed.leave(Phase::Logging);
    Ok(agreed)
}

fn compare(said: &CeremonyResult, follows: &CeremonyResult) -> Result<(), TranscriptError> {
    let point = |what, actual: PointBytes, expected: PointBytes| {
        if actual == expected {
            return Ok(());
        }
        Err(TranscriptError::Point { what, expected, actual })
    };
    let number = |what, actual: usize, expected: usize| {
        if actual == expected {
            return Ok(());
        }
        Err(TranscriptError::Number { what, expected, actual })
    };
    let list = |section, equal| {
        if equal { Ok(()) } else { Err(TranscriptError::List { section }) }
    };
    point(ResultPoint::CommitteeKey, said.committee_key, follows.committee_key)?;
    if said.key_id != follows.key_id {
        return Err(TranscriptError::KeyId { expected: follows.key_id, actual: said.key_id });
    }
    let (actual, expected) = (&said.public_key_shares, &follows.public_key_shares);
    number(ResultNumber::PublicKeyShares, actual.len(), expected.len())?;
    for (index, (actual, expected)) in
        SequencerIndex::all(follows.public_key_shares.len() as u16).zip(actual.iter().zip(expected))
    {
        point(ResultPoint::PublicKeyShare(index), *actual, *expected)?;
    }
    number(ResultNumber::Threshold, said.threshold.into(), follows.threshold.into())?;
    let effective = (said.effective_threshold.into(), follows.effective_threshold.into());
    number(ResultNumber::EffectiveThreshold, effective.0, effective.1)?;
    list(Section::Dealers, said.dealers == follows.dealers)?;
    list(Section::Revealed, said.revealed == follows.revealed)?;
    list(Section::Faults, said.faults == follows.faults)
}
