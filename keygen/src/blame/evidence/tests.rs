#![allow(clippy::unwrap_used)]

use super::*;
use crate::entry::ComplaintFault;
use crate::test_support::{Bad, Conduct, False, Members, Run, dealings};

fn blames(conduct: Conduct) -> (Run, Vec<Blame>) {
    let run = Run::new(Members::new(5).context(1), 4, false).with(2, conduct).finish();
    let blames = run.machine(0).ceremony.status(run.now).blames;
    (run, blames)
}

fn evidence(conduct: Conduct) -> (Run, BlameEvidence) {
    let (run, blames) = blames(conduct);
    let [blame] = &blames[..] else { panic!("{blames:?}") };
    let evidence = BlameEvidence::new(&run.context, blame);
    (run, evidence)
}

fn refused(evidence: &BlameEvidence, change: impl FnOnce(&mut BlameEvidence)) -> EvidenceError {
    let mut changed = evidence.clone();
    change(&mut changed);
    changed.judge().unwrap_err()
}

#[test]
fn invariant_1_evidence_survives_its_file_and_is_judged_from_it() {
    let conducts = [
        (Conduct::bad_dealer(Bad::Mismatch, 1), "member-2 sent an invalid dealing to member-"),
        (Conduct::bad_dealer(Bad::Sealed, 4), "member-2 sent an invalid dealing to member-"),
        (
            Conduct::false_accuser(False::Sound, 4),
            "member-2 complained about the dealing of member-4 without reason: the dealing that",
        ),
        (
            Conduct::false_accuser(False::Proof, 4),
            "member-2 complained about the dealing of member-4 without reason: the proof of its",
        ),
    ];
    for (conduct, sentence) in conducts {
        let (run, evidence) = evidence(conduct);
        let json = serde_json::to_vec(&evidence).unwrap();
        let again: BlameEvidence = serde_json::from_slice(&json).unwrap();
        assert_eq!(again, evidence);
        let verdict = again.judge().unwrap();
        assert_eq!(verdict.culprit, run.party(2));
        assert_eq!(verdict.network_id, run.context.definition().network_id());
        assert!(verdict.sentence.starts_with(sentence), "{}", verdict.sentence);
    }
}

#[test]
fn invariant_1_changed_evidence_is_refused_with_its_reason() {
    let (_, bad) = evidence(Conduct::bad_dealer(Bad::Mismatch, 1));
    fn dealt(
        change: impl FnOnce(&mut Dealing, &mut Complaint, &mut crate::DealingError),
    ) -> impl FnOnce(&mut BlameEvidence) {
        |evidence| match &mut evidence.fault {
            Fault::Dealing { dealing, complaint, error } => change(dealing, complaint, error),
            other => panic!("{other:?}"),
        }
    }
    use EvidenceError as E;
    let error = refused(&bad, |one| one.definition.f = 2);
    assert!(matches!(error, E::Definition(_)), "{error}");
    let error = refused(&bad, |one| one.definition.deadlines.log_ms += 1);
    assert!(matches!(error, E::Entry { what: "dealing", .. }), "{error}");
    let error = refused(&bad, |one| one.round = 2);
    assert!(matches!(error, E::Entry { what: "dealing", .. }), "{error}");
    let error = refused(&bad, dealt(|_, _, error| *error = crate::DealingError::Sealed));
    assert!(matches!(error, E::NoFault), "{error}");
    let error = refused(&bad, dealt(|_, complaint, _| complaint.sealed.0[0] ^= 1));
    assert!(matches!(error, E::Entry { what: "complaint", .. }), "{error}");
    let error = refused(&bad, dealt(|_, complaint, _| complaint.pad = None));
    assert!(matches!(error, E::Entry { what: "complaint", .. }), "{error}");
    let error = refused(&bad, dealt(|dealing, _, _| dealing.commitment.swap(0, 1)));
    assert!(matches!(error, E::Entry { what: "dealing", .. }), "{error}");
    let error = refused(&bad, |one| {
        let Fault::Dealing { dealing, complaint, .. } = one.fault.clone() else { panic!() };
        one.fault = Fault::FalseComplaint { dealing, complaint, fault: ComplaintFault::Sound };
    });
    assert!(matches!(error, E::NoFault), "{error}");
    let error = refused(&bad, |one| {
        let Fault::Dealing { dealing, .. } = one.fault.clone() else { panic!() };
        one.fault = Fault::Commitment { dealing };
    });
    assert!(matches!(error, E::NoFault), "{error}");
    let error = refused(&bad, |one| {
        let Fault::Dealing { dealing, .. } = one.fault.clone() else { panic!() };
        one.fault = Fault::Equivocation { dealings: Box::new([(*dealing).clone(), *dealing]) };
    });
    assert!(matches!(error, E::NoEquivocation), "{error}");
}

#[test]
fn invariant_2_a_complaint_about_one_dealing_says_nothing_of_another() {
    let (run, bad) = evidence(Conduct::bad_dealer(Bad::Mismatch, 1));
    let honest = dealings(&run.log, &run.context);
    let honest = honest.iter().find(|one| one.public.dealer != run.dealer(2)).unwrap();
    let error = refused(&bad, |one| {
        if let Fault::Dealing { dealing, .. } = &mut one.fault {
            **dealing = honest.public.clone();
        }
    });
    assert!(matches!(error, EvidenceError::OtherDealing { what: "complaint" }), "{error}");
}

/// An acknowledgement that was signed and came too late does not make its dealer a liar.
#[test]
fn invariant_2_a_denied_acknowledgement_is_no_evidence_by_itself() {
    let (_, bad) = evidence(Conduct::bad_dealer(Bad::Mismatch, 1));
    let run = Run::new(Members::new(5).context(1), 4, false).finish();
    let transcript = run.transcript(0).unwrap();
    let member = run.index(1);
    let fault = Fault::Log {
        dealing: Box::new(transcript.dealings[0].clone()),
        log: Box::new(transcript.logs[0].clone()),
        fault: LogFault::RevealedAcknowledged { member },
    };
    let error = refused(&bad, |one| one.fault = fault);
    assert!(matches!(error, EvidenceError::NotSelfContained), "{error}");
    let fault = Fault::Log {
        dealing: Box::new(transcript.dealings[0].clone()),
        log: Box::new(transcript.logs[0].clone()),
        fault: LogFault::Reveal,
    };
    let error = refused(&bad, |one| one.fault = fault);
    assert!(matches!(error, EvidenceError::NoFault), "{error}");
}
