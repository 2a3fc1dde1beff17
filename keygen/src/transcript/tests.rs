#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::agreed::Refusal;
use crate::approval::ApprovalError;
use crate::definition::{Mode, SuccessionError};
use crate::entry::EntryError;
use crate::test_support::{Bad, Conduct, False, Members, Run, consensus_secret};

fn transcript(revealed_limit: u16) -> Transcript {
    let context = Members::new(5).context(revealed_limit);
    let run = Run::new(context, 9, false);
    let run = if revealed_limit > 0 { run.with(1, Conduct::Silent) } else { run };
    run.finish().transcript(0).unwrap()
}

fn refused(transcript: &Transcript) -> TranscriptError {
    transcript.verify().expect_err("must be refused")
}

#[test]
fn a_transcript_survives_its_file() {
    for limit in [0, 1] {
        let transcript = transcript(limit);
        let again = Transcript::from_json(&transcript.to_json()).unwrap();
        assert_eq!(again, transcript);
        assert_eq!(again.verify().unwrap().digest(), transcript.digest);
    }
    assert!(matches!(Transcript::from_json(b"{}"), Err(TranscriptError::Json(_))));
    let long = vec![b' '; MAX_BYTES + 1];
    assert!(matches!(Transcript::from_json(&long), Err(TranscriptError::TooLong { .. })));
}

#[test]
fn a_transcript_is_of_one_network() {
    let verified = transcript(0).verify().unwrap();
    let network = verified.network_id();
    assert_eq!(verified.clone().of_network(&network).unwrap().network_id(), network);
    let other = fairveil_crypto::NetworkId::from_bytes([1; 32]);
    assert!(matches!(verified.of_network(&other), Err(TranscriptError::WrongNetwork { .. })));
}

/// All places of scalars in a JSON value.
fn leaves(value: &Value, path: String, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (k, item) in items.iter().enumerate() {
                leaves(item, format!("{path}/{k}"), out);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                leaves(field, format!("{path}/{name}"), out);
            }
        }
        _ => out.push(path),
    }
}

fn changed(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_u64().unwrap() + 1),
        Value::String(text) => {
            let mut text = text.clone();
            let last = text.pop().unwrap();
            text.push(if last == '1' { '2' } else { '1' });
            Value::from(text)
        }
        Value::Bool(value) => Value::from(!value),
        // What is not there: anything else is no such field, or another definition.
        Value::Null => Value::from(1),
        other => panic!("{other}"),
    }
}

#[test]
fn invariant_2_every_changed_field_is_refused() {
    for limit in [0, 1] {
        let transcript = transcript(limit);
        let json: Value = serde_json::from_slice(&transcript.to_json()).unwrap();
        let mut paths = Vec::new();
        leaves(&json, String::new(), &mut paths);
        assert!(paths.len() > 150, "{} fields", paths.len());
        let mut reasons = BTreeSet::new();
        for path in &paths {
            let mut json = json.clone();
            let leaf = json.pointer_mut(path).unwrap();
            *leaf = changed(leaf);
            let bytes = serde_json::to_vec(&json).unwrap();
            match Transcript::from_json(&bytes).and_then(|one| one.verify()) {
                Ok(_) => panic!("{path} is not checked"),
                Err(error) => {
                    let name = format!("{error:?}");
                    let end = name.find(['(', ' ']).unwrap_or(name.len());
                    reasons.insert(name[..end].to_owned());
                }
            }
        }
        assert!(reasons.len() >= 14, "{reasons:?}");
    }
}

#[test]
fn invariant_2_the_reason_names_what_was_changed() {
    let good = transcript(0);
    let index = |number| SequencerIndex::new(number).unwrap();
    let other_point = good.result.public_key_shares[2];
    let case = |change: &dyn Fn(&mut Transcript)| {
        let mut transcript = good.clone();
        change(&mut transcript);
        refused(&transcript)
    };
    macro_rules! expect {
        ($change:expr, $reason:pat) => {
            let error = case(&$change);
            assert!(matches!(error, $reason), "{error:?}");
        };
    }
    use TranscriptError as E;
    expect!(|t: &mut Transcript| t.version = 1, E::Version { actual: 1 });
    expect!(|t: &mut Transcript| t.definition.f = 2, E::Definition(_));
    expect!(|t: &mut Transcript| t.definition.members.swap(0, 1), E::Definition(_));
    expect!(|t: &mut Transcript| t.definition.ordering.mode = Mode::Leader, E::Approval(_));
    expect!(|t: &mut Transcript| t.definition.deadlines.log_ms += 1, E::Approval(_));
    expect!(|t: &mut Transcript| t.definition.rollups.truncate(1), E::Approval(_));
    expect!(|t: &mut Transcript| t.approvals.truncate(4), E::Approval(_));
    expect!(|t: &mut Transcript| t.approvals.swap(0, 1), E::Order { section: Section::Approvals });
    expect!(|t: &mut Transcript| t.round += 1, E::Dealing { .. });
    expect!(|t: &mut Transcript| t.dealings.swap(0, 1), E::Order { section: Section::Dealings });
    expect!(
        |t: &mut Transcript| t.acknowledgements.swap(0, 1),
        E::Order { section: Section::Acknowledgements }
    );
    expect!(|t: &mut Transcript| t.logs.swap(0, 1), E::Order { section: Section::Logs });
    expect!(
        |t: &mut Transcript| t.confirmations.swap(0, 1),
        E::Order { section: Section::Confirmations }
    );
    expect!(|t: &mut Transcript| t.dealings[1].commitment[0] = other_point, E::Dealing { .. });
    expect!(|t: &mut Transcript| t.dealings.truncate(3), E::NoKey(_));
    expect!(|t: &mut Transcript| t.dealings.truncate(4), E::Acknowledgement { .. });
    expect!(|t: &mut Transcript| t.logs.truncate(3), E::NoKey(_));
    expect!(|t: &mut Transcript| t.logs[0].log.0[40] ^= 1, E::Log { .. });
    expect!(
        |t: &mut Transcript| t.acknowledgements[3].signature = t.acknowledgements[4].signature,
        E::Acknowledgement { .. }
    );
    expect!(
        |t: &mut Transcript| t.result.committee_key = other_point,
        E::Point { what: ResultPoint::CommitteeKey, .. }
    );
    expect!(|t: &mut Transcript| t.result.key_id = KeyId::from_bytes([0; 32]), E::KeyId { .. });
    expect!(
        |t: &mut Transcript| t.result.public_key_shares.swap(0, 1),
        E::Point { what: ResultPoint::PublicKeyShare(_), .. }
    );
    expect!(
        |t: &mut Transcript| t.result.public_key_shares.truncate(4),
        E::Number { what: ResultNumber::PublicKeyShares, .. }
    );
    expect!(
        |t: &mut Transcript| t.result.threshold = 3,
        E::Number { what: ResultNumber::Threshold, expected: 4, actual: 3 }
    );
    expect!(
        |t: &mut Transcript| t.result.effective_threshold = 3,
        E::Number { what: ResultNumber::EffectiveThreshold, .. }
    );
    expect!(
        |t: &mut Transcript| t.result.dealers.truncate(3),
        E::List { section: Section::Dealers }
    );
    expect!(
        |t: &mut Transcript| t.result.revealed.push(index(1)),
        E::List { section: Section::Revealed }
    );
    let fault = RecordedFault { member: index(1), fault: PublicFault::Commitment };
    expect!(
        |t: &mut Transcript| t.result.faults.push(fault.clone()),
        E::List { section: Section::Faults }
    );
    expect!(|t: &mut Transcript| t.digest = Digest::from_bytes([0; 32]), E::Digest { .. });
    expect!(
        |t: &mut Transcript| {
            t.acknowledgements.truncate(24);
        },
        E::Digest { .. }
    );
    expect!(
        |t: &mut Transcript| t.confirmations.truncate(3),
        E::Confirmations { found: 3, needed: 4 }
    );
    expect!(
        |t: &mut Transcript| t.confirmations[0].member = index(5),
        E::Order { .. } | E::Confirmation { .. }
    );
}

/// Blame and its evidence in a transcript: a bad dealer, an equivocator and a false accuser.
fn blamed() -> Transcript {
    let context = Members::new(9).context(2);
    let run = Run::new(context, 9, false)
        .with(1, Conduct::bad_dealer(Bad::Mismatch, 2))
        .with(4, Conduct::false_accuser(False::Sound, 6))
        .finish();
    run.transcript(0).unwrap()
}

#[test]
fn invariant_4_blame_and_its_evidence_are_checked_as_all_else() {
    let good = blamed();
    assert_eq!(good.complaints.len(), 2);
    assert_eq!(good.result.faults.len(), 2);
    good.verify().unwrap();
    let case = |change: &dyn Fn(&mut Transcript)| {
        let mut transcript = good.clone();
        change(&mut transcript);
        refused(&transcript)
    };
    macro_rules! expect {
        ($change:expr, $reason:pat) => {
            let error = case(&$change);
            assert!(matches!(error, $reason), "{error:?}");
        };
    }
    use TranscriptError as E;
    expect!(
        |t: &mut Transcript| t.complaints.swap(0, 1),
        E::Order { section: Section::Complaints }
    );
    // Without it the dealer's dealing counts, and its log is missing for the key that follows.
    expect!(|t: &mut Transcript| t.complaints.clear(), E::Point { .. } | E::List { .. });
    expect!(
        |t: &mut Transcript| t.complaints[0].sealed.0[7] ^= 1,
        E::Complaint { refusal: Refusal::Entry(EntryError::Signature { .. }), .. }
    );
    expect!(
        |t: &mut Transcript| t.complaints[0].pad = None,
        E::Complaint { refusal: Refusal::Entry(EntryError::Signature { .. }), .. }
    );
    expect!(
        |t: &mut Transcript| {
            t.complaints[1].others.pop();
        },
        E::Complaint { refusal: Refusal::Entry(EntryError::SealedCount { .. }), .. }
    );
    expect!(
        |t: &mut Transcript| {
            t.complaints[1].sealed.0.pop();
        },
        E::Complaint { refusal: Refusal::Entry(EntryError::SealedLength { .. }), .. }
    );
    let twice = good.dealings[0].clone();
    expect!(
        |t: &mut Transcript| t.equivocations.push(twice.clone()),
        E::Equivocation { refusal: Refusal::Duplicate { .. }, .. }
    );
    expect!(
        |t: &mut Transcript| {
            let mut second = twice.clone();
            second.sealed_digest = Digest::from_bytes([0; 32]);
            t.equivocations.push(second);
        },
        E::Equivocation { refusal: Refusal::Entry(EntryError::Signature { .. }), .. }
    );
    expect!(|t: &mut Transcript| t.result.faults.clear(), E::List { section: Section::Faults });
    expect!(
        |t: &mut Transcript| t.result.faults[0].fault = PublicFault::Share,
        E::List { section: Section::Faults }
    );
    expect!(|t: &mut Transcript| t.result.faults.swap(0, 1), E::List { section: Section::Faults });
}

/// The first epoch, a resharing with a revealed member, and a refresh.
fn reshared() -> Transcript {
    let first = Run::new(Members::new(5).context(0), 9, false).finish().made();
    let second = Run::resharing(&first, &[1, 2, 3, 4, 5], 1, 3).with(5, Conduct::Silent);
    let second = second.finish().made();
    Run::resharing(&second, &[1, 2, 3, 4, 5], 0, 4).finish().made().verified.transcript()
}

#[test]
fn invariant_2_every_changed_field_of_a_chain_is_refused() {
    let transcript = reshared();
    let json: Value = serde_json::from_slice(&transcript.to_json()).unwrap();
    let mut paths = Vec::new();
    leaves(&json, String::new(), &mut paths);
    // Of the lists of points and signatures a part: each costs the verification of three epochs.
    let kept = |(place, path): (usize, &String)| {
        let long = ["commitment", "acknowledgements", "members", "public_key_shares"];
        place % 23 == 0 || !long.iter().any(|list| path.contains(list))
    };
    let chosen: Vec<_> = paths.iter().enumerate().filter(|one| kept(*one)).collect();
    assert!(chosen.len() > 150, "{} fields", chosen.len());
    for (_, path) in chosen {
        let mut json = json.clone();
        let leaf = json.pointer_mut(path).unwrap();
        *leaf = changed(leaf);
        let bytes = serde_json::to_vec(&json).unwrap();
        let judged = Transcript::from_json(&bytes).and_then(|one| one.verify());
        assert!(judged.is_err(), "{path} is not checked");
    }
}

#[test]
fn invariant_2_the_reason_names_what_was_changed_in_a_chain() {
    let good = reshared();
    let other = {
        let first = Run::new(Members::new(5).context(1), 9, false).finish().made();
        Run::resharing(&first, &[1, 2, 3, 4, 5], 1, 3).finish().made().verified.transcript()
    };
    let case = |change: &dyn Fn(&mut Transcript)| {
        let mut transcript = good.clone();
        change(&mut transcript);
        refused(&transcript)
    };
    macro_rules! expect {
        ($change:expr, $reason:pat) => {
            let error = case(&$change);
            assert!(matches!(error, $reason), "{error:?}");
        };
    }
    macro_rules! before {
        ($place:expr, $change:expr, $reason:pat) => {
            let error = case(&|t: &mut Transcript| $change(&mut t.predecessors[$place - 1]));
            let TranscriptError::Predecessor { epoch: $place, error } = error else {
                panic!("{error:?}")
            };
            assert!(matches!(*error, $reason), "{error:?}");
        };
    }
    use ApprovalError as A;
    use SuccessionError as S;
    use TranscriptError as E;
    // The chain as a whole.
    expect!(|t: &mut Transcript| t.predecessors.clear(), E::NoBeginning { .. });
    before!(1, |t: &mut Transcript| t.version = 1, E::Version { actual: 1 });
    expect!(
        |t: &mut Transcript| {
            t.predecessors.remove(1);
        },
        E::Approval(A::Succession(S::Epoch { .. }))
    );
    let error = case(&|t: &mut Transcript| t.predecessors.swap(0, 1));
    assert!(error.to_string().starts_with("epoch 1: the chain begins with the definition of"));
    let error = case(&|t: &mut Transcript| {
        let nested = t.predecessors[0].clone();
        t.predecessors[1].predecessors.push(nested);
    });
    assert!(error.to_string().starts_with("epoch 2: a transcript within"), "{error}");
    expect!(
        |t: &mut Transcript| t.predecessors = vec![t.predecessors[0].clone(); MAX_EPOCHS],
        E::TooManyEpochs { .. }
    );
    let foreign = other.predecessors[0].clone();
    let error = case(&|t: &mut Transcript| t.predecessors[0] = foreign.clone());
    assert!(matches!(&error, E::Predecessor { epoch: 2, error }
        if matches!(**error, E::Approval(A::Succession(S::Network { .. })))));
    // What an epoch continues.
    fn of(transcript: &mut Transcript) -> &mut crate::Resharing {
        transcript.definition.resharing.as_mut().unwrap()
    }
    let id = fairveil_crypto::NetworkId::from_bytes([7; 32]);
    let succession = |change: &dyn Fn(&mut Transcript)| match case(change) {
        E::Approval(A::Succession(error)) => error,
        other => panic!("{other:?}"),
    };
    let digest = Digest::from_bytes([7; 32]);
    assert!(matches!(succession(&|t| of(t).network_id = id), S::Network { .. }));
    assert!(matches!(succession(&|t| of(t).predecessor = digest), S::Predecessor { .. }));
    assert!(matches!(
        succession(&|t| t.definition.epoch = fairveil_crypto::Epoch::new(4)),
        S::Epoch { .. }
    ));
    let early = fairveil_crypto::Height::new(1);
    assert!(matches!(succession(&|t| of(t).boundary = early), S::Boundary { .. }));
    assert!(matches!(
        succession(&|t| t.definition.rollups.truncate(1)),
        S::Changed { what: "the initial rollups" }
    ));
    expect!(
        |t: &mut Transcript| of(t).boundary = fairveil_crypto::Height::new(90_000),
        E::Approval(A::OtherDefinition { .. })
    );
    expect!(|t: &mut Transcript| t.definition.resharing = None, E::Definition(_));
    expect!(|t: &mut Transcript| t.definition.version = 1, E::Definition(_));
    // Approvals of members and of those before.
    expect!(|t: &mut Transcript| t.approvals.truncate(3), E::Approval(A::Missing { .. }));
    let joined = consensus_secret(5).public_key();
    before!(
        2,
        |t: &mut Transcript| {
            let old: Vec<_> = (0..5).map(|k| consensus_secret(k).public_key()).collect();
            t.approvals.retain(|one| one.member == joined || old[1..].contains(&one.member));
            t.approvals.retain(|one| one.member != joined);
        },
        E::Approval(A::Missing { .. })
    );
    // Somebody else's key.
    before!(2, |t: &mut Transcript| t.round = 3, E::Dealing { .. });
    before!(
        2,
        |t: &mut Transcript| t.dealings[0].commitment[0] = other.dealings[0].commitment[0],
        E::Dealing { .. }
    );
    expect!(|t: &mut Transcript| t.dealings = other.dealings.clone(), E::Dealing { .. });
    expect!(
        |t: &mut Transcript| t.result.committee_key = other.result.committee_key,
        E::Point { what: ResultPoint::CommitteeKey, .. }
    );
    before!(
        2,
        |t: &mut Transcript| t.result.effective_threshold += 1,
        E::Number { what: ResultNumber::EffectiveThreshold, .. }
    );
    before!(
        2,
        |t: &mut Transcript| t.result.revealed.clear(),
        E::List { section: Section::Revealed }
    );
    before!(2, |t: &mut Transcript| t.digest = digest, E::Digest { .. });
    before!(1, |t: &mut Transcript| t.digest = digest, E::Digest { .. });
    before!(1, |t: &mut Transcript| t.confirmations.truncate(3), E::Confirmations { .. });
    before!(1, |t: &mut Transcript| t.logs[0].log.0[40] ^= 1, E::Log { .. });
    expect!(|t: &mut Transcript| t.confirmations[1].transcript = digest, E::Confirmation { .. });
    expect!(|t: &mut Transcript| t.acknowledgements.clear(), E::Log { .. } | E::Digest { .. });
}

/// Another ceremony of the same first definition, with other shares: what follows it is refused.
#[test]
fn the_digest_of_a_resharing_commits_to_the_ceremony_before() {
    let good = reshared();
    let again = Run::new(Members::new(5).context_of_round(0, 2), 9, false).finish().made();
    let mut exchanged = good.clone();
    exchanged.predecessors[0] = again.verified.transcript();
    let TranscriptError::Predecessor { epoch: 2, error } = refused(&exchanged) else { panic!() };
    // The dealers' shares are others, so no commitment is to one.
    assert!(matches!(*error, TranscriptError::NoKey(_)), "{error:?}");
}

#[test]
fn a_pinned_digest_is_that_of_a_ceremony_in_the_chain() {
    let transcript = reshared();
    let verified = transcript.verify().unwrap();
    for digest in [transcript.predecessors[0].digest, transcript.digest] {
        assert!(verified.clone().with_digest(&digest).is_ok());
    }
    let other = Digest::from_bytes([1; 32]);
    assert!(matches!(
        verified.with_digest(&other),
        Err(TranscriptError::WrongDigest { actual, .. }) if actual == transcript.digest
    ));
}

/// Whoever rewrites a transcript and its digest still lacks the members' confirmations.
#[test]
fn invariant_1_a_consistent_rewrite_lacks_the_confirmations() {
    let mut rewritten = transcript(0);
    rewritten.acknowledgements.truncate(24);
    let TranscriptError::Digest { expected, .. } = refused(&rewritten) else { panic!() };
    rewritten.digest = expected;
    assert!(matches!(refused(&rewritten), TranscriptError::Confirmation { .. }));
    for confirmation in &mut rewritten.confirmations {
        confirmation.transcript = expected;
    }
    assert!(matches!(refused(&rewritten), TranscriptError::Confirmation { .. }));
    rewritten.confirmations.clear();
    for member in 0..3 {
        let index = rewritten_index(&rewritten, member);
        let one = Confirmation::sign(index, expected, &consensus_secret(member));
        rewritten.confirmations.push(one);
    }
    rewritten.confirmations.sort_by_key(|one| one.member);
    // Three colluders of five are below the quorum of four.
    assert!(matches!(refused(&rewritten), TranscriptError::Confirmations { found: 3, .. }));
}

fn rewritten_index(transcript: &Transcript, member: u16) -> SequencerIndex {
    let definition = crate::Definition::new(transcript.definition.clone()).unwrap();
    definition.index_of(&consensus_secret(member).public_key()).unwrap()
}

#[test]
fn invariant_3_no_sealed_dealing_is_in_a_transcript() {
    let context = Members::new(4).context(0);
    let run = Run::new(context.clone(), 9, false).finish();
    let text = String::from_utf8(run.transcript(0).unwrap().to_json()).unwrap();
    for bytes in &run.log {
        let entry = crate::CeremonyEntry::decode(bytes, &context).unwrap();
        if let crate::CeremonyEntry::Dealing(posted) = entry {
            for sealed in posted.sealed {
                let start: String = sealed[..16].iter().map(|byte| format!("{byte:02x}")).collect();
                assert!(!text.contains(&start));
            }
        }
    }
}
