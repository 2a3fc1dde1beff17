//! Resharings: who leaves, who joins, who stays, and who cheats.

use super::*;
use crate::blame::Blame;
use crate::dkg::DealingError;
use crate::test_support::{Bad, False, Made};
use crate::transcript::PublicFault;

fn first(n: u16) -> Made {
    Run::new(Members::new(n).context(0), 7, false).finish().made()
}

/// Every member's share belongs to the committee that the transcript proves.
fn assert_shares(made: &Made) {
    let committee = made.verified.committee();
    for (index, bytes) in made.shares.values() {
        let share = KeyShare::decode(*index, bytes).unwrap();
        assert_eq!(committee.public_key_share(*index), Some(share.public_key_share()));
    }
}

#[test]
fn the_key_survives_members_that_leave_and_join_and_a_refresh() {
    let mut made = first(5);
    let key = made.verified.committee().key_id();
    let network = made.verified.network_id();
    let steps: [&[u16]; 4] =
        [&[0, 1, 2, 3, 4, 5, 6], &[2, 3, 4, 5, 6], &[2, 3, 4, 5, 6], &[2, 3, 4, 7, 8]];
    for (epoch, ids) in (2..).zip(steps) {
        let before = made.verified.committee().clone();
        let run = Run::resharing(&made, ids, 0, epoch).finish();
        made = run.made();
        let committee = made.verified.committee();
        assert_eq!(committee.key_id(), key);
        assert_eq!(committee.epoch(), fairveil_crypto::Epoch::new(epoch));
        assert_eq!(made.verified.network_id(), network);
        assert_eq!(made.shares.keys().copied().collect::<Vec<_>>(), ids);
        assert_shares(&made);
        for share in committee.public_key_shares() {
            assert!(!before.public_key_shares().contains(share), "every share is new");
        }
        let again = Transcript::from_json(&made.verified.transcript().to_json()).unwrap();
        let again = again.verify().unwrap();
        assert_eq!(again.digest(), made.verified.digest());
        let epochs: Vec<u64> = again.epochs().map(|one| one.epoch().get()).collect();
        assert_eq!(epochs, (1..=epoch).collect::<Vec<_>>());
        for one in again.epochs() {
            assert_eq!(again.committee_of(one.epoch()), Some(one.committee()));
            assert_eq!(one.committee().key_id(), key);
        }
        assert!(again.committee_of(fairveil_crypto::Epoch::new(epoch + 1)).is_none());
    }
}

#[test]
fn leaving_members_only_deal_and_joining_ones_only_play() {
    let made = first(5);
    let run = Run::resharing(&made, &[1, 2, 3, 4, 5], 0, 3).finish();
    let (leaving, joining) = (run.machine(0), run.machine(5));
    assert!(leaving.membership.is_none() && joining.membership.is_some());
    assert!(leaving.ceremony.transcript().is_some());
    let entries = |bytes: &Vec<u8>| CeremonyEntry::decode(bytes, &run.context).unwrap();
    for entry in run.log.iter().map(entries) {
        match entry {
            CeremonyEntry::Dealing(one) => assert!(one.public.dealer.get() <= 5),
            CeremonyEntry::Confirmation(one) => assert!(one.member.get() <= 5),
            _ => {}
        }
    }
    let transcript = run.transcript(5).unwrap();
    assert_eq!(transcript.dealings.len(), 5);
    assert_eq!(transcript.confirmations.len(), 5);
    assert_eq!(transcript.result.dealers.len(), 4);
    let seats = |member| run.party(member);
    assert_eq!((seats(0).player, seats(5).dealer), (None, None));
    assert_eq!(seats(5).name, "member-5");
}

#[test]
fn invariant_1_a_resharing_survives_crashes_at_every_durable_write() {
    let made = first(5);
    let ids = [1, 2, 3, 4, 5, 6];
    let mut restarts = 0;
    for seed in 0..6 {
        let context = Members::after(&made.verified, &ids).resharing(&made.verified, 0, 1);
        let run = Run::with_shares(context, &made.shares, seed, true).finish();
        restarts += run.machines.iter().map(|machine| machine.restarts).sum::<usize>();
        let next = run.made();
        assert_eq!(next.shares.len(), 6);
        assert_eq!(next.verified.committee().key_id(), made.verified.committee().key_id());
        assert_shares(&next);
    }
    assert!(restarts > 15, "{restarts} restarts are too few to show anything");
}

#[test]
fn a_participant_takes_part_with_the_share_of_the_epoch_before_or_deals_nothing() {
    let made = first(5);
    let context = Members::after(&made.verified, &[0, 1, 2, 3]).resharing(&made.verified, 1, 1);
    let start = |member, share| {
        Ceremony::start(context.clone(), participant(&context, member, share), [1; 32])
    };
    assert!(start(0, Some(&made.shares[&0])).is_ok());
    let other = &made.shares[&1];
    let refused = start(0, Some(other)).unwrap_err();
    assert_eq!(refused, StartError::Identity(IdentityError::Share { actual: other.0 }));
    let wrong = (made.shares[&0].0, made.shares[&1].1);
    assert!(matches!(start(0, Some(&wrong)), Err(StartError::Identity(_))));

    let mut shares = made.shares.clone();
    shares.remove(&3);
    let run = Run::with_shares(context.clone(), &shares, 4, false).finish();
    let next = run.made();
    assert!(!next.verified.result().dealers.contains(&run.dealer(3)));
    assert_eq!(next.verified.transcript().dealings.len(), 4);
    assert_eq!(next.shares.len(), 4, "it gets a new share all the same");
}

fn blames(run: &Run) -> Vec<Blame> {
    let honest = run.machines.iter().find(|one| matches!(one.conduct, Conduct::Honest));
    honest.unwrap().ceremony.status(run.now).blames
}

/// The blame is of this member, and evidence by itself.
fn assert_blame(run: &Run, member: u16, sentence: &str) {
    let blames = blames(run);
    let blame = blames.iter().find(|blame| blame.culprit == run.party(member)).unwrap();
    let said = blame.sentence(&run.context);
    assert!(said.starts_with(&format!("member-{member} {sentence}")), "{said}");
    let json = serde_json::to_vec(&BlameEvidence::new(&run.context, blame)).unwrap();
    let evidence: BlameEvidence = serde_json::from_slice(&json).unwrap();
    let verdict = evidence.judge().unwrap();
    assert_eq!((verdict.culprit, verdict.sentence), (blame.culprit.clone(), said));
    let mut alone = evidence.clone();
    alone.predecessor = None;
    assert!(matches!(alone.judge(), Err(crate::EvidenceError::NoPredecessor)));
}

#[test]
fn liars_in_a_resharing_are_named_on_both_sides_and_the_key_stays() {
    let made = first(5);
    let key = made.verified.committee().key_id();
    let ids = [1, 2, 3, 4, 5, 6];
    let check = |run: &Run, members: usize| {
        let next = run.made();
        assert_eq!(next.verified.committee().key_id(), key);
        assert_shares(&next);
        assert_eq!(blames(run).len(), members);
    };
    for bad in [Bad::Sealed, Bad::Scalar, Bad::Mismatch] {
        // One who leaves and one who stays.
        for member in [0, 3] {
            let run = Run::resharing(&made, &ids, 1, 5).with(member, Conduct::bad_dealer(bad, 2));
            let run = run.finish();
            check(&run, 1);
            assert_blame(&run, member, "sent an invalid dealing to ");
            let dealer = run.dealer(member);
            assert!(!run.made().verified.result().dealers.contains(&dealer));
        }
    }
    // One who joins accuses one who leaves, without reason.
    for kind in [False::Shown, False::WellSealed, False::Proof, False::Sound] {
        let run = Run::resharing(&made, &ids, 1, 5).with(6, Conduct::false_accuser(kind, 0));
        let run = run.finish();
        check(&run, 1);
        assert_blame(&run, 6, "complained about the dealing of member-0 without reason: ");
    }
    // A bad dealer among the old and a false accuser among the new.
    let run = Run::resharing(&made, &ids, 1, 8)
        .with(0, Conduct::bad_dealer(Bad::Mismatch, 1))
        .with(6, Conduct::false_accuser(False::Sound, 2))
        .finish();
    check(&run, 2);
    let faults = run.made().verified.result().faults.clone();
    assert_eq!(faults[0].fault, PublicFault::Dealing(DealingError::Mismatch));
    assert!(matches!(faults[1].fault, PublicFault::FalseComplaint(_)));
    assert_eq!((faults[0].member, faults[1].member), (run.dealer(0), run.index(6)));
    let verified = run.made().verified;
    let said = |epoch| {
        let faults = verified.faults(fairveil_crypto::Epoch::new(epoch));
        faults.iter().map(|(name, fault)| format!("{name} {fault}")).collect::<Vec<_>>()
    };
    assert_eq!(
        said(2),
        [
            "member-0 sent an invalid dealing: the dealing does not match its commitment",
            "member-6 complained without reason: the dealing that it opens is sound",
        ]
    );
    assert!(said(1).is_empty() && said(3).is_empty());
}

/// Deals f' with f'(0) another secret than its share: another committee key, if it counted.
#[test]
fn a_dealer_that_deals_something_else_than_its_share_is_named_and_left_out() {
    let made = first(5);
    let ids = [1, 2, 3, 4, 5, 6];
    let foreign = made.shares[&4].1;
    let other_share = move |view: &View<'_>, entry: CeremonyEntry| {
        let CeremonyEntry::Dealing(posted) = &entry else { return Some(entry) };
        let share = KeyShare::decode(posted.public.dealer, &foreign).unwrap();
        let secret = crate::test_support::consensus_secret(view.member);
        let dealt = crate::dkg::Dealer::start(view.context.dkg(), &secret, &[3; 32], Some(&share));
        let mut posted = posted.clone();
        posted.public.commitment = dealt.unwrap().1.points();
        Some(CeremonyEntry::Dealing(view.signed(posted)))
    };
    for member in [0, 2] {
        let run = Run::resharing(&made, &ids, 1, 5).with(member, Conduct::rewriting(other_share));
        let run = run.finish();
        assert_blame(&run, member, "dealt something else than its share");
        let next = run.made();
        let dealer = run.dealer(member);
        assert!(!next.verified.result().dealers.contains(&dealer));
        let recorded =
            crate::transcript::RecordedFault { member: dealer, fault: PublicFault::Share };
        assert_eq!(next.verified.result().faults, [recorded]);
        assert_eq!(next.verified.committee().key_id(), made.verified.committee().key_id());
        assert_shares(&next);
    }
}

#[test]
fn silent_members_on_both_sides_are_listed_and_the_key_stays() {
    let made = first(5);
    let ids = [1, 2, 3, 4, 5, 6];
    for silent in [0, 3, 6] {
        let run = Run::resharing(&made, &ids, 1, 5).with(silent, Conduct::Silent).finish();
        assert!(blames(&run).is_empty());
        let next = run.made();
        assert_eq!(next.verified.committee().key_id(), made.verified.committee().key_id());
        let revealed = &next.verified.result().revealed;
        match silent {
            0 => assert!(revealed.is_empty(), "who leaves has no share to reveal"),
            other => assert_eq!(*revealed, [run.index(other)]),
        }
        assert_shares(&next);
    }
    // The old one that leaves and the new one that joins: a quorum of each is left.
    let run = Run::resharing(&made, &ids, 1, 5)
        .with(0, Conduct::Silent)
        .with(6, Conduct::Silent)
        .finish();
    assert_eq!(run.made().verified.result().revealed, [run.index(6)]);
    let missing = run.machine(1).ceremony.status(run.now).missing;
    assert_eq!(missing, [run.party(6)]);
}

#[test]
fn a_resharing_that_expires_leaves_everything_and_the_next_round_works() {
    let made = first(5);
    let ids = [1, 2, 3, 4, 5, 6];
    let mut run = Run::resharing(&made, &ids, 1, 5)
        .with(0, Conduct::Silent)
        .with(1, Conduct::Silent)
        .finish();
    run.now += EXPIRY_GRACE;
    let status = run.machine(2).ceremony.status(run.now);
    assert_eq!((status.phase, status.word), (Phase::Dealing, "expired"));
    let mut missing = vec![run.party(0), run.party(1)];
    missing.sort_by_key(|party| party.dealer);
    assert_eq!(status.missing, missing);
    assert!(run.machines.iter().all(|machine| machine.membership.is_none()));

    let context = Members::after(&made.verified, &ids).resharing(&made.verified, 1, 2);
    let next = Run::with_shares(context, &made.shares, 6, false).finish().made();
    assert_eq!(next.verified.committee().key_id(), made.verified.committee().key_id());
}

/// Who joins and is gone before it confirms, in such numbers that the next committee would have no
/// quorum.
#[test]
fn too_few_confirmations_fail_the_round_and_the_next_one_works() {
    let made = first(5);
    let ids = [0, 1, 2, 3, 4, 5, 6];
    let mute = Conduct::rewriting(|_, entry| {
        (!matches!(entry, CeremonyEntry::Confirmation(_))).then_some(entry)
    });
    let mut run = Run::resharing(&made, &ids, 1, 5);
    for member in [4, 5, 6] {
        run = run.with(member, mute.clone());
    }
    let run = run.finish();
    for member in ids {
        let ceremony = &run.machine(member).ceremony;
        let status = ceremony.status(run.now);
        assert_eq!((status.phase, status.word), (Phase::Failed, "expired"));
        assert!(ceremony.transcript().is_none());
    }
    let failure = run.machine(0).outputs.iter().find_map(|output| match output {
        Output::Failed(failure) => Some(failure.reason.clone()),
        _ => None,
    });
    assert_eq!(failure, Some(FailureReason::Confirmations { found: 4, needed: 5 }));
    let context = Members::after(&made.verified, &ids).resharing(&made.verified, 1, 2);
    let next = Run::with_shares(context, &made.shares, 6, false).finish().made();
    assert_eq!(next.verified.committee().key_id(), made.verified.committee().key_id());
}

/// A dealer whose journal is lost after its dealing was agreed: what a new nonce makes would contradict
/// it, so it deals no further, and nobody can blame it.
#[test]
fn invariant_1_a_dealer_that_lost_its_journal_contradicts_itself_in_nothing() {
    let made = first(5);
    let run = Run::resharing(&made, &[0, 1, 2, 3, 4], 1, 5).finish();
    let keys = || participant(&run.context, 2, made.shares.get(&2));
    let mut again = Ceremony::start(run.context.clone(), keys(), [99; 32]).unwrap();
    let own = run.dealer(2);
    for (height, entry) in run.log.iter().enumerate() {
        let agreed = Input::Agreed { height: height as u64, entries: vec![entry.clone()] };
        for output in again.handle(Duration::ZERO, agreed) {
            assert!(
                !matches!(&output, Output::Post(CeremonyEntry::DealerLog(log)) if log.dealer == own),
                "a log of another polynomial"
            );
        }
    }
    assert!(again.transcript().is_some());
}

#[test]
fn a_context_is_made_for_what_was_approved() {
    let made = first(5);
    let context = Members::after(&made.verified, &[0, 1, 2, 3]).resharing(&made.verified, 0, 1);
    assert_eq!((context.dealers(), context.players()), (5, 4));
    assert_eq!((context.dealer_quorum(), context.player_quorum()), (4, 3));
    assert_eq!(context.predecessor().unwrap().digest(), made.verified.digest());
    let approved = context.approved().clone();
    assert_eq!(
        CeremonyContext::first(approved.clone(), 1).unwrap_err(),
        crate::ContextError::NotFirst
    );
    let other = first(7);
    let refused = CeremonyContext::resharing(approved, 1, &other.verified).unwrap_err();
    assert!(matches!(refused, crate::ContextError::Approval(_)));
}
