//! Silent members, bad dealers and false accusers: alone, and together up to f.

use super::*;
use crate::blame::Blame;
use crate::dkg::DealingError;
use crate::entry::ComplaintFault;
use crate::test_support::{Bad, Choices, False};

/// A way to be faulty. Everybody is at most one of these; an accuser accuses an honest dealer.
#[derive(Clone, Copy, Debug)]
enum Faulty {
    Silent,
    Dealer(Bad, usize),
    Accuser(False),
    /// Deals badly and accuses.
    Both(Bad, False),
}

const BADS: [Bad; 3] = [Bad::Sealed, Bad::Scalar, Bad::Mismatch];
const FALSES: [False; 4] = [False::Shown, False::WellSealed, False::Proof, False::Sound];

fn conduct(faulty: Faulty, accused: u16) -> Conduct {
    match faulty {
        Faulty::Silent => Conduct::Silent,
        Faulty::Dealer(bad, victims) => Conduct::bad_dealer(bad, victims),
        Faulty::Accuser(kind) => Conduct::false_accuser(kind, accused),
        Faulty::Both(bad, kind) => {
            let dealer = Conduct::bad_dealer(bad, 1);
            let accuser = Conduct::false_accuser(kind, accused);
            let (Conduct::Rewritten(deals), Conduct::Rewritten(accuses)) = (dealer, accuser) else {
                unreachable!()
            };
            Conduct::rewriting(move |view, entry| accuses(view, deals(view, entry)?))
        }
    }
}

fn dealing_error(bad: Bad) -> DealingError {
    match bad {
        Bad::Sealed => DealingError::Sealed,
        Bad::Scalar => DealingError::Scalar,
        Bad::Mismatch => DealingError::Mismatch,
    }
}

fn complaint_fault(kind: False) -> ComplaintFault {
    match kind {
        False::Shown => ComplaintFault::Shown,
        False::WellSealed => ComplaintFault::WellSealed,
        False::Proof => ComplaintFault::Proof,
        False::Sound => ComplaintFault::Sound,
    }
}

/// Whether the blames are exactly those of the faulty members.
fn assert_blames(run: &Run, faulty: &[(u16, Faulty)], blames: &[Blame]) {
    let found = |member: u16, is: &dyn Fn(&Fault) -> bool| {
        let party = run.party(member);
        blames.iter().filter(|blame| blame.culprit == party && is(&blame.fault)).count()
    };
    let mut expected = 0;
    for &(member, faulty) in faulty {
        let (bad, kind) = match faulty {
            Faulty::Silent => (None, None),
            Faulty::Dealer(bad, _) => (Some(bad), None),
            Faulty::Accuser(kind) => (None, Some(kind)),
            Faulty::Both(bad, kind) => (Some(bad), Some(kind)),
        };
        if let Some(bad) = bad {
            let expected = dealing_error(bad);
            let is =
                |fault: &Fault| matches!(fault, Fault::Dealing { error, .. } if *error == expected);
            assert_eq!(found(member, &is), 1, "{member} dealt badly: {blames:?}");
        }
        if let Some(kind) = kind {
            let expected = complaint_fault(kind);
            let is = |fault: &Fault| matches!(fault, Fault::FalseComplaint { fault, .. } if *fault == expected);
            assert_eq!(found(member, &is), 1, "{member} accused: {blames:?}");
        }
        expected += usize::from(bad.is_some()) + usize::from(kind.is_some());
    }
    assert_eq!(blames.len(), expected, "nobody else is blamed: {blames:?}");
    for blame in blames {
        let verdict = BlameEvidence::new(&run.context, blame).judge().expect("evidence");
        assert_eq!(verdict.culprit, blame.culprit);
        assert_eq!(verdict.sentence, blame.sentence(&run.context));
    }
}

/// Runs a ceremony with these members faulty and judges blame, key, shares and transcript.
fn assert_key(n: u16, faulty: &[(u16, Faulty)], seed: u64) {
    let silent: Vec<u16> = faulty
        .iter()
        .filter(|(_, faulty)| matches!(faulty, Faulty::Silent))
        .map(|(member, _)| *member)
        .collect();
    let honest: Vec<u16> =
        (0..n).filter(|member| faulty.iter().all(|(one, _)| one != member)).collect();
    let mut run = Run::new(Members::new(n).context((n - 1) / 3), seed, seed % 2 == 1);
    for &(member, kind) in faulty {
        run = run.with(member, conduct(kind, honest[seed as usize % honest.len()]));
    }
    let run = run.finish();
    let status = run.machine(honest[0]).ceremony.status(run.now);
    assert_eq!(status.phase, Phase::Complete, "{faulty:?}");
    assert_blames(&run, faulty, &status.blames);

    let made = run.made();
    let (verified, result) = (&made.verified, made.verified.result());
    let revealed: Vec<_> = result.revealed.clone();
    let mut expected: Vec<_> = silent.iter().map(|member| run.index(*member)).collect();
    expected.sort();
    assert_eq!(revealed, expected, "{faulty:?}");
    assert_eq!(result.effective_threshold, result.threshold - silent.len() as u16);
    for &(member, kind) in faulty {
        let index = run.index(member);
        let deals = matches!(kind, Faulty::Accuser(_));
        assert!(deals || !result.dealers.contains(&index), "{faulty:?}");
        let proven = result.faults.iter().any(|one| one.member == index && one.fault.is_proof());
        assert_eq!(proven, !matches!(kind, Faulty::Silent), "{faulty:?}");
    }
    for member in &honest {
        let (index, bytes) = made.shares[member];
        let share = fairveil_crypto::committee::KeyShare::decode(index, &bytes).unwrap();
        assert_eq!(verified.committee().public_key_share(index), Some(share.public_key_share()));
        assert_eq!(run.transcript(*member).unwrap().digest, verified.digest());
    }
    let status = run.machine(honest[0]).ceremony.status(run.now).missing;
    assert_eq!(status.len(), silent.len(), "only the silent ones are missing");
}

/// Every kind, with what there is to choose chosen by `choices`.
fn kinds(choices: &mut Choices, n: u16) -> [Faulty; 4] {
    let bad = BADS[choices.below(3)];
    let kind = FALSES[choices.below(4)];
    let victims = choices.below(usize::from(n) - 1) + 1;
    [Faulty::Silent, Faulty::Dealer(bad, victims), Faulty::Accuser(kind), Faulty::Both(bad, kind)]
}

#[test]
fn every_way_to_deal_badly_or_to_accuse_falsely_is_named() {
    for (seed, bad) in (0..).zip(BADS) {
        for victims in [1, 4] {
            assert_key(5, &[(2, Faulty::Dealer(bad, victims))], seed);
        }
    }
    for (seed, kind) in (0..).zip(FALSES) {
        assert_key(5, &[(1, Faulty::Accuser(kind))], seed);
        assert_key(5, &[(1, Faulty::Both(BADS[seed as usize % 3], kind))], seed);
    }
}

#[test]
fn one_faulty_member_of_five_is_blamed_whoever_it_is_and_the_key_is_usable() {
    let mut choices = Choices::new(5);
    for member in 0..5 {
        for kind in kinds(&mut choices, 5) {
            assert_key(5, &[(member, kind)], choices.below(1_000) as u64);
        }
    }
}

#[test]
fn two_faulty_members_of_nine_are_blamed_in_every_combination_and_the_key_is_usable() {
    let mut choices = Choices::new(9);
    for first in 0..4 {
        for second in first..4 {
            let place = choices.below(9) as u16;
            let other = (place + 1 + choices.below(8) as u16) % 9;
            let pair = (kinds(&mut choices, 9)[first], kinds(&mut choices, 9)[second]);
            let faulty = [(place, pair.0), (other, pair.1)];
            assert_key(9, &faulty, choices.below(1_000) as u64);
        }
    }
}

#[test]
fn three_silent_members_of_nine_expire_the_ceremony_with_their_names() {
    let mut run = Run::new(Members::new(9).context(2), 3, false);
    for member in [0, 4, 8] {
        run = run.with(member, Conduct::Silent);
    }
    let mut run = run.finish();
    run.now += EXPIRY_GRACE;
    let status = run.machine(1).ceremony.status(run.now);
    assert_eq!((status.phase, status.word), (Phase::Dealing, "expired"));
    let mut names: Vec<_> = status.missing.iter().map(|party| party.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["member-0", "member-4", "member-8"]);
}

#[test]
fn too_many_bad_dealers_fail_the_ceremony_with_all_their_names() {
    let run = Run::new(Members::new(5).context(1), 3, false)
        .with(0, Conduct::bad_dealer(Bad::Mismatch, 1))
        .with(3, Conduct::bad_dealer(Bad::Sealed, 2))
        .finish();
    let status = run.machine(1).ceremony.status(run.now);
    assert_eq!((status.phase, status.word), (Phase::Failed, "failed"));
    let failure = run.machine(1).outputs.iter().find_map(|output| match output {
        Output::Failed(failure) => Some(failure.clone()),
        _ => None,
    });
    let failure = failure.unwrap();
    assert_eq!(failure.reason, FailureReason::Dealings { found: 3, needed: 4 });
    let sentence = failure.sentence(&run.context);
    assert!(sentence.contains("member-0 sent an invalid dealing to "), "{sentence}");
    assert!(sentence.contains("member-3 sent an invalid dealing to "), "{sentence}");
    assert!(failure.missing.is_empty(), "{sentence}");
}

/// Complaints of one bad dealing by two, and a complaint after the own acknowledgement.
#[test]
fn a_complaint_convicts_once_and_withdraws_the_acknowledgement() {
    let run = Run::new(Members::new(5).context(1), 3, false)
        .with(0, Conduct::bad_dealer(Bad::Mismatch, 2))
        .finish();
    let complaints: Vec<_> = run
        .log
        .iter()
        .filter_map(|bytes| match CeremonyEntry::decode(bytes, &run.context).unwrap() {
            CeremonyEntry::Complaint(complaint) => Some(complaint),
            _ => None,
        })
        .collect();
    assert_eq!(complaints.len(), 2);
    assert_eq!(run.made().verified.transcript().complaints.len(), 1, "the first one counts");

    let honest = Run::new(Members::new(5).context(1), 3, false).finish();
    let accused = honest.dealer(2);
    let late = honest.view(1).complaint(accused, False::Sound);
    let mut agreed = Agreed::new(honest.context.clone());
    let mut taken = 0;
    for bytes in &honest.log {
        match CeremonyEntry::decode(bytes, &honest.context).unwrap() {
            CeremonyEntry::Dealing(posted) => agreed.take_dealing(posted.public).unwrap(),
            CeremonyEntry::Acknowledgement(one) => {
                let own = (one.dealer, one.player) == (accused, honest.index(1));
                agreed.take_acknowledgement(one).unwrap();
                if own {
                    agreed.take_complaint(late.clone()).unwrap();
                    assert!(!agreed.has_acknowledged(accused, honest.index(1)));
                    assert!(agreed.has_answered(accused, honest.index(1)));
                    let again = agreed.take_complaint(late.clone());
                    assert!(matches!(again, Err(Refusal::Convicted { .. })));
                    let back = agreed.take_acknowledgement(one);
                    assert!(matches!(back, Err(Refusal::Duplicate { .. })));
                    taken += 1;
                }
            }
            _ => break,
        }
    }
    assert_eq!((taken, agreed.blames().len()), (1, 1));
    assert_eq!(agreed.blames()[0].culprit, honest.party(1));
}
