#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::definition::Mode;
use crate::test_support::{Conduct, Members, Run, consensus_secret};

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
