//! Verification of a transcript, from the first definition to the newest confirmations.

use fairveil_crypto::SequencerIndex;
use fairveil_crypto::point::PointBytes;

use super::verified::Proven;
use super::{
    CeremonyResult, MAX_EPOCHS, ResultNumber, ResultPoint, Section, Transcript, TranscriptError,
    VERSION, VerifiedEpoch, VerifiedTranscript,
};
use crate::agreed::{Agreed, Phase};
use crate::approval::ApprovedDefinition;
use crate::context::{CeremonyContext, ContextError};
use crate::definition::Definition;
use crate::entry::EntryError;

pub(super) fn verify(transcript: &Transcript) -> Result<VerifiedTranscript, TranscriptError> {
    let actual = transcript.predecessors.len() + 1;
    if actual > MAX_EPOCHS {
        return Err(TranscriptError::TooManyEpochs { actual });
    }
    let mut chain: Option<VerifiedTranscript> = None;
    for (place, earlier) in (1..).zip(&transcript.predecessors) {
        let proven = if earlier.predecessors.is_empty() {
            verify_epoch(chain.as_ref(), earlier)
        } else {
            Err(TranscriptError::Nested)
        };
        chain = Some(proven.map_err(|error| TranscriptError::Predecessor {
            epoch: place,
            error: Box::new(error),
        })?);
    }
    verify_epoch(chain.as_ref(), transcript)
}

/// Verifies a ceremony after those before it.
fn verify_epoch(
    before: Option<&VerifiedTranscript>,
    transcript: &Transcript,
) -> Result<VerifiedTranscript, TranscriptError> {
    if transcript.version != VERSION {
        return Err(TranscriptError::Version { actual: transcript.version });
    }
    let context = context(before, transcript)?;
    let approved = context.approved().clone();
    if approved.approvals() != transcript.approvals {
        return Err(TranscriptError::Order { section: Section::Approvals });
    }
    check_order(transcript)?;
    let mut agreed = replay(transcript, &context)?;
    let (committee, result, digest, sharing) = match (agreed.key(), agreed.failure()) {
        (Some(key), _) => {
            (key.committee.clone(), key.result.clone(), key.transcript, key.sharing.clone())
        }
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
    let needed = context.player_quorum();
    if confirmed.len() < usize::from(needed) {
        return Err(TranscriptError::Confirmations { found: confirmed.len(), needed });
    }
    let file = Transcript { predecessors: Vec::new(), ..transcript.clone() };
    let epoch = VerifiedEpoch::new(Proven { approved, committee, confirmed, sharing, file });
    Ok(before.map_or_else(
        || VerifiedTranscript::first(epoch.clone()),
        |chain| chain.then(epoch.clone()),
    ))
}

fn context(
    before: Option<&VerifiedTranscript>,
    transcript: &Transcript,
) -> Result<CeremonyContext, TranscriptError> {
    let definition = Definition::from_canonical(transcript.definition.clone())?;
    let (epoch, approvals) = (definition.epoch(), transcript.approvals.iter().copied());
    let context = match before {
        None if definition.resharing().is_some() => {
            return Err(TranscriptError::NoBeginning { actual: epoch });
        }
        None => {
            let approved = ApprovedDefinition::new(definition, approvals)?;
            CeremonyContext::first(approved, transcript.round)
        }
        Some(chain) => {
            let approved =
                ApprovedDefinition::resharing(definition, approvals, chain.definition())?;
            CeremonyContext::resharing(approved, transcript.round, chain)
        }
    };
    context.map_err(|error| match error {
        ContextError::NotFirst => TranscriptError::NoBeginning { actual: epoch },
        ContextError::Approval(error) => error.into(),
    })
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
    ascending(Section::Equivocations, &transcript.equivocations, |one| one.dealer)?;
    ascending(Section::Complaints, &transcript.complaints, |one| (one.dealer, one.accuser))?;
    ascending(Section::Acknowledgements, &transcript.acknowledgements, |one| {
        (one.dealer, one.player)
    })?;
    ascending(Section::Logs, &transcript.logs, |one| one.dealer)?;
    ascending(Section::Confirmations, &transcript.confirmations, |one| one.member)
}

/// Plays the entries through the members' own fold, phase by phase.
fn replay(transcript: &Transcript, context: &CeremonyContext) -> Result<Agreed, TranscriptError> {
    let mut agreed = Agreed::new(context.clone());
    for dealing in &transcript.dealings {
        let dealer = dealing.dealer;
        let refused = |refusal| TranscriptError::Dealing { dealer, refusal };
        dealing.verify(context).map_err(|error: EntryError| refused(error.into()))?;
        agreed.take_dealing(dealing.clone()).map_err(refused)?;
    }
    agreed.leave(Phase::Dealing);
    if let Some(failure) = agreed.failure() {
        return Err(TranscriptError::NoKey(failure.clone()));
    }
    for dealing in &transcript.equivocations {
        let dealer = dealing.dealer;
        let refused = |refusal| TranscriptError::Equivocation { dealer, refusal };
        dealing.verify(context).map_err(|error: EntryError| refused(error.into()))?;
        agreed.replay_equivocation(dealing.clone()).map_err(refused)?;
    }
    // Before the acknowledgements: with them the phase may end.
    for one in &transcript.complaints {
        let (dealer, accuser) = (one.dealer, one.accuser);
        let refused = |refusal| TranscriptError::Complaint { dealer, accuser, refusal };
        one.verify(context).map_err(|error: EntryError| refused(error.into()))?;
        agreed.take_complaint(one.clone()).map_err(refused)?;
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
    if let Some(failure) = agreed.failure() {
        return Err(TranscriptError::NoKey(failure.clone()));
    }
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
