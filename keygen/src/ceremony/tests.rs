#![allow(clippy::unwrap_used)]

mod faults;
mod openings;
mod resharing;

use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::opening::{Batch, Opening, Outcome};
use fairveil_crypto::seal::{SealRandomness, seal};
use fairveil_crypto::trace;

use fairveil_crypto::ConsensusSecret;

use super::*;
use crate::BlameEvidence;
use crate::agreed::Phase;
use crate::blame::{FailureReason, Fault};
use crate::dkg::LogFault;
use crate::entry::DealerLog;
use crate::test_support::{
    Conduct, Members, Run, View, dealing_secret, dealings, member_of, participant,
};

fn completed(run: &Run, member: u16) -> Transcript {
    let transcript = run.transcript(member).expect("complete");
    transcript.verify().expect("valid");
    transcript
}

fn shares(run: &mut Run) -> Vec<KeyShare> {
    let shares = run.machines.iter_mut().filter_map(|machine| machine.membership.take());
    let mut shares: Vec<_> = shares.map(|membership| membership.share).collect();
    shares.sort_by_key(KeyShare::index);
    shares
}

#[test]
fn everyone_gets_a_share_of_one_key() {
    for n in [4, 5, 7] {
        for seed in 0..3 {
            let mut run = Run::new(Members::new(n).context(0), seed, false).finish();
            let transcript = completed(&run, 0);
            assert!(transcript.confirmations.len() >= usize::from(transcript.result.threshold));
            for member in 1..n {
                assert_eq!(completed(&run, member).digest, transcript.digest);
            }
            let verified = transcript.verify().unwrap();
            assert_eq!(verified.network_id(), run.context.definition().network_id());
            let committee = verified.committee().clone();
            let shares = shares(&mut run);
            assert_eq!(shares.len(), usize::from(n));
            for (share, index) in shares.iter().zip(SequencerIndex::all(n)) {
                assert_eq!(share.index(), index);
                let expected = committee.public_key_share(index).unwrap();
                assert_eq!(share.public_key_share(), expected);
            }
            assert!(transcript.result.revealed.is_empty());
            assert_eq!(transcript.result.effective_threshold, committee.t());
        }
    }
}

#[test]
fn invariant_1_a_member_that_crashes_at_every_durable_write_signs_nothing_twice() {
    let mut restarts = 0;
    for seed in 0..12 {
        for n in [4, 5] {
            let run = Run::new(Members::new(n).context(0), seed, true).finish();
            restarts += run.machines.iter().map(|machine| machine.restarts).sum::<usize>();
            let digest = completed(&run, 0).digest;
            for member in 1..n {
                assert_eq!(completed(&run, member).digest, digest);
            }
            for machine in &run.machines {
                assert!(machine.membership.is_some());
            }
        }
    }
    assert!(restarts > 50, "{restarts} restarts are too few to show anything");
}

#[test]
fn invariant_1_resuming_posts_the_same_bytes() {
    let context = Members::new(4).context(0);
    let run = Run::new(context.clone(), 3, false).finish();
    let machine = &run.machines[2];
    let keys = participant(&context, 2, None);
    let mut again = Ceremony::resume(context, keys, machine.nonce.clone().unwrap()).unwrap();
    let mut posted: Vec<Vec<u8>> = Vec::new();
    let mut handle = |input| {
        for output in again.handle(Duration::ZERO, input) {
            if let Output::Post(entry) = output {
                posted.push(entry.encode());
            }
        }
    };
    handle(Input::Wake);
    for (height, entry) in run.log.iter().enumerate() {
        handle(Input::Agreed { height: height as u64, entries: vec![entry.clone()] });
    }
    let own = run.index(2);
    assert!(posted.len() >= 7, "dealing, four acknowledgements, log, confirmation");
    assert!(posted.iter().all(|entry| run.log.contains(entry)), "member {own} posted anew");
}

#[test]
fn invariant_1_a_journal_serves_its_ceremony_alone() {
    let members = Members::new(4);
    let context = members.context(0);
    let nonce = DealingNonce::new(&context, [1; 32]);
    let resume = |context: CeremonyContext, keys, nonce| Ceremony::resume(context, keys, nonce);
    let keys = || participant(&context, 0, None);
    assert!(resume(context.clone(), keys(), nonce.clone()).is_ok());
    let other_round = members.context_of_round(0, 2);
    for other in [other_round, members.context(1)] {
        assert_eq!(resume(other, keys(), nonce.clone()).unwrap_err(), StartError::OtherCeremony);
    }
    let refused = |keys| match resume(context.clone(), keys, nonce.clone()).unwrap_err() {
        StartError::Identity(error) => error,
        other => panic!("{other}"),
    };
    let wrong = Participant { dealing: Some(dealing_secret(1)), ..keys() };
    assert!(matches!(refused(wrong), IdentityError::DealingKey { .. }));
    let none = Participant { dealing: None, ..keys() };
    assert!(matches!(refused(none), IdentityError::NoDealingKey { .. }));
    let stranger = Participant { consensus: ConsensusSecret::from_seed([200; 32]), ..keys() };
    assert_eq!(refused(stranger), IdentityError::NotAMember);
}

#[test]
fn invariant_2_nonce_and_share_are_durable_before_what_follows_from_them() {
    let context = Members::new(4).context(0);
    let keys = participant(&context, 0, None);
    let mut ceremony = Ceremony::start(context, keys, [1; 32]).unwrap();
    let outputs = ceremony.handle(Duration::ZERO, Input::Wake);
    assert!(matches!(
        outputs[..],
        [Output::Persist(Record::Nonce(_)), Output::Post(CeremonyEntry::Dealing(_))]
    ));
    let run = Run::new(Members::new(4).context(0), 5, false).finish();
    let keys = participant(&run.context, 1, None);
    let nonce = run.machines[1].nonce.clone().unwrap();
    let mut again = Ceremony::resume(run.context.clone(), keys, nonce).unwrap();
    let confirmed = run.log.iter().position(|entry| {
        let entry = CeremonyEntry::decode(entry, &run.context).unwrap();
        matches!(entry, CeremonyEntry::Confirmation(_))
    });
    let entries = run.log[..confirmed.unwrap()].to_vec();
    let outputs = again.handle(Duration::ZERO, Input::Agreed { height: 1, entries });
    let place = |wanted: fn(&Output) -> bool| outputs.iter().position(wanted).unwrap();
    let persisted = place(|one| matches!(one, Output::Persist(Record::Membership(_))));
    let posted = place(|one| matches!(one, Output::Post(CeremonyEntry::Confirmation(_))));
    assert!(persisted < posted);
}

/// All ways to leave out `out` of `n`.
fn subsets(n: usize, out: usize) -> Vec<Vec<usize>> {
    let all = (0..1usize << n).filter(|mask| mask.count_ones() as usize == n - out);
    all.map(|mask| (0..n).filter(|place| mask >> place & 1 == 1).collect()).collect()
}

#[test]
fn any_t_shares_open_and_fewer_do_not() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for n in [4u16, 5, 7] {
        let mut run = Run::new(Members::new(n).context(0), 1, true).finish();
        let committee = completed(&run, 0).verify().unwrap().committee().clone();
        let mut machines: Vec<u16> = (0..n).collect();
        machines.sort_by_key(|member| run.index(*member));
        let shares = shares(&mut run);
        let ciphertext = {
            let randomness = SealRandomness::from_parts([3; 32], &[4; 32]).unwrap();
            let sealed = seal(committee.key(), b"header", b"a bundle", randomness).unwrap();
            sealed.verify(committee.key(), b"header").unwrap()
        };
        let id = fairveil_crypto::BatchId::from_bytes([5; 32]);
        let signed = |place: usize| {
            let secret = crate::test_support::consensus_secret(machines[place]);
            let sealed = [*ciphertext.u()];
            trace::share(id, &sealed, &shares[place], &[6; 32], &secret).unwrap().0
        };
        let t = usize::from(committee.t());
        for chosen in subsets(n.into(), usize::from(n) - t) {
            let batch = Batch::new(id, vec![ciphertext.clone()]);
            let mut opening = Opening::new(committee.clone(), batch, Default::default());
            for (place, given) in chosen.iter().zip(1..) {
                assert!(!opening.is_complete(), "{given} of {t} shares are given");
                opening.add_share(signed(*place), &pool);
            }
            let Some(Outcome::Opened(opened)) = &opening.outcomes()[0] else { panic!() };
            assert_eq!(opened.m, b"a bundle");
            assert!(opening.culprits().is_empty());
        }
        // Not only does the opening wait for t: fewer shares interpolate to another key.
        let combined = |chosen: &[usize]| {
            let indices: Vec<_> = chosen.iter().map(|place| shares[*place].index()).collect();
            let points: Vec<_> =
                chosen.iter().map(|place| shares[*place].public_key_share().encode()).collect();
            trace::combine(&indices, &points)
        };
        let key = committee.key().point().encode();
        for chosen in subsets(n.into(), usize::from(n) - t) {
            assert_eq!(combined(&chosen), key);
            assert_ne!(combined(&chosen[1..]), key);
        }
    }
}

#[test]
fn a_silent_member_fails_the_ceremony_by_default_and_is_named() {
    let run = Run::new(Members::new(5).context(0), 2, false).with(3, Conduct::Silent).finish();
    let silent = run.party(3);
    for member in [0, 1, 2, 4] {
        let machine = &run.machines[member];
        let status = machine.ceremony.status(run.now);
        assert_eq!((status.phase, status.word), (Phase::Failed, "expired"));
        assert_eq!(status.missing, [silent.clone()]);
        let failure = machine.outputs.iter().find_map(|output| match output {
            Output::Failed(failure) => Some(failure.clone()),
            _ => None,
        });
        let failure = failure.unwrap();
        assert_eq!(
            failure.reason,
            FailureReason::Revealed { members: vec![silent.clone()], limit: 0 }
        );
        let sentence = failure.sentence(&run.context);
        assert!(sentence.contains("member-3"), "{sentence}");
        assert!(machine.ceremony.transcript().is_none());
        assert!(machine.membership.is_none());
    }
}

#[test]
fn a_definition_may_allow_a_revealed_share_and_the_transcript_says_so() {
    let mut run = Run::new(Members::new(5).context(1), 2, true).with(3, Conduct::Silent).finish();
    let transcript = completed(&run, 0);
    assert_eq!(transcript.result.revealed, [run.index(3)]);
    assert_eq!(transcript.result.effective_threshold, transcript.result.threshold - 1);
    assert_eq!(transcript.confirmations.len(), 4);
    let shares = shares(&mut run);
    assert_eq!(shares.len(), 5, "the silent machine computes its share from the reveals");
}

#[test]
fn invariant_6_two_silent_members_of_five_expire_the_ceremony_and_the_next_round_works() {
    let mut run = Run::new(Members::new(5).context(0), 2, false)
        .with(3, Conduct::Silent)
        .with(0, Conduct::Silent)
        .finish();
    // Three of five are no quorum: neither they nor the chain itself can close the phase.
    let mut missing = vec![run.party(0), run.party(3)];
    missing.sort_by_key(|party| party.consensus);
    let status = |run: &Run| run.machines[1].ceremony.status(run.now);
    assert_eq!((status(&run).phase, status(&run).word), (Phase::Dealing, "dealing"));
    assert_eq!(status(&run).missing, missing);
    run.now += EXPIRY_GRACE;
    let expired = status(&run);
    assert_eq!((expired.phase, expired.word), (Phase::Dealing, "expired"));
    assert_eq!((expired.missing, expired.blames.len()), (missing, 0));
    assert_eq!(expired.time_left, Some(Duration::ZERO));

    let again = Run::new(Members::new(5).context_of_round(0, 2), 2, false).finish();
    assert_eq!(again.made().verified.confirmed().len(), 5);
    assert_eq!(again.context.definition(), run.context.definition());
}

#[test]
fn a_log_that_its_dealer_did_not_sign_blames_nobody() {
    let flipped = |_: &View<'_>, entry| {
        Some(match entry {
            CeremonyEntry::DealerLog(mut entry) => {
                let last = entry.log.0.len() - 1;
                entry.log.0[last] ^= 1;
                CeremonyEntry::DealerLog(entry)
            }
            other => other,
        })
    };
    let run = Run::new(Members::new(5).context(0), 4, false)
        .with(2, Conduct::rewriting(flipped))
        .finish();
    let transcript = completed(&run, 0);
    assert_eq!(transcript.logs.len(), 4);
    assert!(run.machines[0].ceremony.status(run.now).blames.is_empty());
    assert!(run.machines[0].outputs.iter().any(|output| {
        matches!(output, Output::Refused(Refusal::Signature { author }) if *author == run.index(2))
    }));
}

/// A log that reveals everyone the dealer may, though all have acknowledged.
fn log_of_reveals(view: &View<'_>, entry: CeremonyEntry) -> Option<CeremonyEntry> {
    let context = view.context;
    Some(match entry {
        CeremonyEntry::DealerLog(_) => {
            let secret = crate::test_support::consensus_secret(2);
            let dealing = crate::test_support::dealing_secret(2);
            let index = context.definition().index_of(&secret.public_key()).unwrap();
            let seed = dealing.dealing_seed(context.id(), &[2; 32]);
            let (mut dealer, commitment, private) =
                crate::dkg::Dealer::start(context.dkg(), &secret, &seed, None).unwrap();
            for member in 0..4 {
                let secret = crate::test_support::consensus_secret(member);
                let player = context.definition().index_of(&secret.public_key()).unwrap();
                let own = &private[player.position()];
                let signature = crate::dkg::Player::new(context.dkg(), &secret)
                    .unwrap()
                    .receive(index, &commitment, &own[..])
                    .unwrap();
                dealer.receive_acknowledgement(player, &signature);
            }
            let log = crate::hex_bytes::HexBytes(dealer.into_log());
            CeremonyEntry::DealerLog(DealerLog { dealer: index, log })
        }
        other => other,
    })
}

#[test]
fn a_dealer_that_reveals_who_acknowledged_is_blamed_and_left_out() {
    let run = Run::new(Members::new(5).context(0), 6, false)
        .with(2, Conduct::rewriting(log_of_reveals))
        .finish();
    let (cheat, victim) = (run.index(2), run.index(4));
    let transcript = completed(&run, 0);
    assert!(!transcript.result.dealers.contains(&cheat));
    let cheat = run.party(2);
    let status = run.machines[0].ceremony.status(run.now);
    let [blame] = &status.blames[..] else { panic!("{:?}", status.blames) };
    assert_eq!(blame.culprit, cheat);
    assert!(matches!(
        &blame.fault,
        Fault::Log { fault: LogFault::RevealedAcknowledged { member }, .. } if *member == victim
    ));
    assert_eq!(
        blame.sentence(&run.context),
        "member-2 revealed the dealing of member-4, who had acknowledged it"
    );
}

/// The first dealing is agreed, then another one of the same dealer.
#[test]
fn an_equivocating_dealer_is_blamed_and_the_first_dealing_counts() {
    let context = Members::new(4).context(0);
    let mut run = Run::new(context.clone(), 1, false).finish();
    let first = dealings(&run.log, &context).remove(0);
    let dealer = first.public.dealer;
    let member = member_of(&context.definition().member(dealer).unwrap().consensus);
    let mut sealed = first.clone();
    sealed.sealed[0][100] ^= 1;
    let view = run.view(member);
    let second = view.signed(sealed);
    let second_entry = CeremonyEntry::Dealing(second.clone()).encode();
    for late in [false, true] {
        let keys = participant(&context, 0, None);
        let mut machine = Ceremony::start(context.clone(), keys, [1; 32]).unwrap();
        let mut entries: Vec<_> = run.log.clone();
        let is_dealing = |bytes: &Vec<u8>| {
            matches!(CeremonyEntry::decode(bytes, &context), Ok(CeremonyEntry::Dealing(_)))
        };
        let place = if late {
            entries.iter().rposition(is_dealing).unwrap() + 1
        } else {
            entries.iter().position(is_dealing).unwrap() + 1
        };
        entries.insert(place, second_entry.clone());
        let entries = entries[..=place].to_vec();
        let outputs = machine.handle(Duration::ZERO, Input::Agreed { height: 1, entries });
        let blamed = outputs.iter().find_map(|output| match output {
            Output::Blamed(blame) => Some(blame.clone()),
            _ => None,
        });
        let blame = blamed.unwrap();
        assert_eq!(blame.culprit, run.party(member));
        assert_eq!(
            blame.sentence(&context),
            format!("member-{member} signed two different dealings")
        );
        let evidence = BlameEvidence::new(&context, &blame).judge().unwrap();
        assert_eq!(evidence.culprit, blame.culprit);
        let Fault::Equivocation { dealings } = blame.fault else { panic!() };
        assert_eq!(*dealings, [first.public.clone(), second.public.clone()]);
        assert_eq!(machine.agreed.commitment(dealer).unwrap().points(), first.public.commitment);
    }
    // Nothing is lost for the others: the ceremony's result has the blame.
    let place =
        run.log.iter().position(|bytes| *bytes == CeremonyEntry::Dealing(first.clone()).encode());
    run.log.insert(place.unwrap() + 1, second_entry);
    let mut agreed = Agreed::new(context.clone());
    for bytes in &run.log {
        let refused = match CeremonyEntry::decode(bytes, &context).unwrap() {
            CeremonyEntry::Dealing(posted) => agreed.take_dealing(posted.public),
            CeremonyEntry::Acknowledgement(one) => agreed.take_acknowledgement(one),
            CeremonyEntry::DealerLog(log) => agreed.take_log(log),
            _ => Ok(()),
        };
        assert!(refused.is_ok() || matches!(refused, Err(Refusal::Duplicate { .. })));
    }
    let result = &agreed.key().unwrap().result;
    assert!(result.dealers.len() >= 3);
    let fault = crate::transcript::PublicFault::Equivocation;
    assert_eq!(result.faults, [crate::transcript::RecordedFault { member: dealer, fault }]);
}

#[test]
fn invariant_4_time_alone_changes_nothing_but_votes() {
    let context = Members::new(4).context(0);
    let keys = participant(&context, 0, None);
    let mut machine = Ceremony::start(context, keys, [1; 32]).unwrap();
    let start = Duration::from_secs(50);
    assert_eq!(machine.wake_at(), None, "nothing is known before the first call");
    machine.handle(start, Input::Wake);
    assert_eq!(machine.wake_at(), Some(start + REPOST_INTERVAL));
    assert!(machine.handle(start + Duration::from_millis(10), Input::Wake).is_empty());
    let again = machine.handle(start + REPOST_INTERVAL, Input::Wake);
    assert!(matches!(again[..], [Output::Post(CeremonyEntry::Dealing(_))]));
    let late = machine.handle(start + Duration::from_secs(10), Input::Wake);
    let votes = |outputs: &[Output]| {
        let vote = |one: &&Output| matches!(one, Output::Post(CeremonyEntry::Close(_)));
        outputs.iter().filter(vote).count()
    };
    assert_eq!(votes(&late), 1);
    assert_eq!(machine.agreed.phase(), Phase::Dealing);
    assert_eq!(machine.pending().count(), 2);
}

#[test]
fn blocks_that_are_delivered_again_are_ignored() {
    let context = Members::new(4).context(0);
    let run = Run::new(context, 1, false).finish();
    let mut machine = run.machines.into_iter().next().unwrap().ceremony;
    let before = machine.transcript().unwrap();
    for height in [0, 3] {
        let outputs = machine.handle(run.now, Input::Agreed { height, entries: run.log.clone() });
        assert!(outputs.is_empty());
    }
    assert_eq!(machine.transcript().unwrap(), before);
    let height = u64::MAX;
    let outputs = machine.handle(run.now, Input::Agreed { height, entries: vec![vec![9; 40]] });
    assert!(matches!(outputs[..], [Output::Refused(Refusal::Entry(_))]));
}
