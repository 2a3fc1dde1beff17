#![allow(clippy::unwrap_used)]

use fairveil_crypto::committee::KeyShare;
use fairveil_crypto::opening::{Batch, Opening, Outcome};
use fairveil_crypto::seal::{SealRandomness, seal};
use fairveil_crypto::trace;

use super::*;
use crate::agreed::Phase;
use crate::blame::{FailureReason, Fault};
use crate::dkg::LogFault;
use crate::entry::{DealerLog, PostedDealing};
use crate::test_support::{Members, Role, Run};

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
    let mut again = Ceremony::resume(
        context,
        crate::test_support::consensus_secret(2),
        crate::test_support::dealing_secret(2),
        machine.nonce.clone().unwrap(),
    )
    .unwrap();
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
    let keys = || {
        let dealing = crate::test_support::dealing_secret(0);
        (crate::test_support::consensus_secret(0), dealing)
    };
    let resume = |context, nonce| {
        let (consensus, dealing) = keys();
        Ceremony::resume(context, consensus, dealing, nonce)
    };
    assert!(resume(context.clone(), nonce.clone()).is_ok());
    let other_round = CeremonyContext::new(context.approved().clone(), 2);
    for other in [other_round, members.context(1)] {
        assert_eq!(resume(other, nonce.clone()).unwrap_err(), StartError::OtherCeremony);
    }
    let (consensus, _) = keys();
    let wrong = crate::test_support::dealing_secret(1);
    assert!(matches!(
        Ceremony::resume(context.clone(), consensus, wrong, nonce.clone()),
        Err(StartError::Identity(IdentityError::DealingKey { .. }))
    ));
    let stranger = ConsensusSecret::from_seed([200; 32]);
    let (_, dealing) = keys();
    assert!(matches!(
        Ceremony::resume(context, stranger, dealing, nonce),
        Err(StartError::Identity(IdentityError::NotAMember))
    ));
}

#[test]
fn invariant_2_nonce_and_share_are_durable_before_what_follows_from_them() {
    let context = Members::new(4).context(0);
    let keys = (crate::test_support::consensus_secret(0), crate::test_support::dealing_secret(0));
    let mut ceremony = Ceremony::start(context, keys.0, keys.1, [1; 32]).unwrap();
    let outputs = ceremony.handle(Duration::ZERO, Input::Wake);
    assert!(matches!(
        outputs[..],
        [Output::Persist(Record::Nonce(_)), Output::Post(CeremonyEntry::Dealing(_))]
    ));
    let run = Run::new(Members::new(4).context(0), 5, false).finish();
    let mut again = Ceremony::resume(
        run.context.clone(),
        crate::test_support::consensus_secret(1),
        crate::test_support::dealing_secret(1),
        run.machines[1].nonce.clone().unwrap(),
    )
    .unwrap();
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
    let run = Run::new(Members::new(5).context(0), 2, false).with_role(3, Role::Silent).finish();
    let silent = run.index(3);
    for member in [0, 1, 2, 4] {
        let machine = &run.machines[member];
        let status = machine.ceremony.status(run.now);
        assert_eq!((status.phase, status.word), (Phase::Failed, "expired"));
        assert_eq!(status.missing, [silent]);
        let failure = machine.outputs.iter().find_map(|output| match output {
            Output::Failed(failure) => Some(failure.clone()),
            _ => None,
        });
        let failure = failure.unwrap();
        assert_eq!(failure.reason, FailureReason::Revealed { members: vec![silent], limit: 0 });
        let sentence = failure.sentence(run.context.definition());
        assert!(sentence.contains("member-3"), "{sentence}");
        assert!(machine.ceremony.transcript().is_none());
        assert!(machine.membership.is_none());
    }
}

#[test]
fn a_definition_may_allow_a_revealed_share_and_the_transcript_says_so() {
    let mut run = Run::new(Members::new(5).context(1), 2, true).with_role(3, Role::Silent).finish();
    let transcript = completed(&run, 0);
    assert_eq!(transcript.result.revealed, [run.index(3)]);
    assert_eq!(transcript.result.effective_threshold, transcript.result.threshold - 1);
    assert_eq!(transcript.confirmations.len(), 4);
    let shares = shares(&mut run);
    assert_eq!(shares.len(), 5, "the silent machine computes its share from the reveals");
}

#[test]
fn two_silent_members_of_five_expire_the_ceremony() {
    let run = Run::new(Members::new(5).context(0), 2, false)
        .with_role(3, Role::Silent)
        .with_role(0, Role::Silent)
        .finish();
    // Three of five are no quorum: neither they nor the chain itself can close the phase.
    let status = run.machines[1].ceremony.status(run.now);
    assert_eq!(status.phase, Phase::Dealing);
    let mut missing = vec![run.index(0), run.index(3)];
    missing.sort();
    assert_eq!(status.missing, missing);
    assert_eq!(status.time_left, Some(Duration::ZERO));
}

fn junk_to_everyone(context: &CeremonyContext, entry: CeremonyEntry) -> Option<CeremonyEntry> {
    Some(match entry {
        CeremonyEntry::Dealing(posted) => junk(context, posted, usize::MAX),
        other => other,
    })
}

fn junk_to_one(context: &CeremonyContext, entry: CeremonyEntry) -> Option<CeremonyEntry> {
    Some(match entry {
        CeremonyEntry::Dealing(posted) => junk(context, posted, 1),
        other => other,
    })
}

/// Another signed dealing, whose sealed parts are junk for the first so many other members.
fn junk(context: &CeremonyContext, mut posted: PostedDealing, victims: usize) -> CeremonyEntry {
    let dealer = posted.public.dealer;
    let others = (0..posted.sealed.len()).filter(|place| *place != dealer.position());
    for place in others.take(victims) {
        posted.sealed[place][100] ^= 1;
    }
    let member = (0..context.definition().n())
        .find(|k| {
            let key = crate::test_support::consensus_secret(*k).public_key();
            context.definition().index_of(&key) == Some(dealer)
        })
        .unwrap();
    let secret = crate::test_support::consensus_secret(member);
    let commitment = posted.public.commitment.clone();
    let public = crate::entry::Dealing::sign(context, dealer, commitment, &posted.sealed, &secret);
    CeremonyEntry::Dealing(PostedDealing { public, sealed: posted.sealed })
}

#[test]
fn a_member_that_deals_junk_to_all_is_left_out_and_the_rest_get_a_key() {
    for seed in 0..2 {
        let run = Run::new(Members::new(5).context(0), seed, true)
            .with_role(2, Role::Rewritten(junk_to_everyone))
            .finish();
        let cheat = run.index(2);
        let transcript = completed(&run, 0);
        assert!(!transcript.result.dealers.contains(&cheat));
        assert!(transcript.result.revealed.is_empty());
        assert_eq!(transcript.result.faults.len(), 1, "its log is withheld");
        assert_eq!(transcript.result.faults[0].dealer, cheat);
        let refused = run.machines[0].outputs.iter().any(
            |output| matches!(output, Output::NotAcknowledged { dealer, .. } if *dealer == cheat),
        );
        assert!(refused || run.machines[0].restarts > 0);
    }
}

#[test]
fn a_member_that_deals_junk_to_one_reveals_that_dealing_and_all_get_shares() {
    let mut run = Run::new(Members::new(5).context(0), 4, false)
        .with_role(2, Role::Rewritten(junk_to_one))
        .finish();
    let transcript = completed(&run, 0);
    assert!(transcript.result.revealed.is_empty(), "one revealed dealing is no revealed share");
    assert!(transcript.result.faults.is_empty());
    assert_eq!(shares(&mut run).len(), 5);
}

fn log_flipped(_: &CeremonyContext, entry: CeremonyEntry) -> Option<CeremonyEntry> {
    Some(match entry {
        CeremonyEntry::DealerLog(mut entry) => {
            let last = entry.log.0.len() - 1;
            entry.log.0[last] ^= 1;
            CeremonyEntry::DealerLog(entry)
        }
        other => other,
    })
}

#[test]
fn a_log_that_its_dealer_did_not_sign_blames_nobody() {
    let run = Run::new(Members::new(5).context(0), 4, false)
        .with_role(2, Role::Rewritten(log_flipped))
        .finish();
    let transcript = completed(&run, 0);
    assert_eq!(transcript.logs.len(), 4);
    assert!(run.machines[0].ceremony.status(run.now).blames.is_empty());
    assert!(run.machines[0].outputs.iter().any(|output| {
        matches!(output, Output::Refused(Refusal::Signature { author }) if *author == run.index(2))
    }));
}

/// A log that reveals everyone the dealer may, though all have acknowledged.
fn log_of_reveals(context: &CeremonyContext, entry: CeremonyEntry) -> Option<CeremonyEntry> {
    Some(match entry {
        CeremonyEntry::DealerLog(_) => {
            let secret = crate::test_support::consensus_secret(2);
            let dealing = crate::test_support::dealing_secret(2);
            let index = context.definition().index_of(&secret.public_key()).unwrap();
            let seed = dealing.dealing_seed(context.id(), &[2; 32]);
            let (mut dealer, commitment, private) =
                crate::dkg::Dealer::start(context.dkg(), &secret, &seed).unwrap();
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
        .with_role(2, Role::Rewritten(log_of_reveals))
        .finish();
    let (cheat, victim) = (run.index(2), run.index(4));
    let transcript = completed(&run, 0);
    assert!(!transcript.result.dealers.contains(&cheat));
    let status = run.machines[0].ceremony.status(run.now);
    let [blame] = &status.blames[..] else { panic!("{:?}", status.blames) };
    assert_eq!(blame.culprit, cheat);
    assert!(matches!(
        &blame.fault,
        Fault::Log { fault: LogFault::RevealedAcknowledged { member }, .. } if *member == victim
    ));
    assert_eq!(
        blame.sentence(run.context.definition()),
        "member-2 revealed the dealing of member-4, who had acknowledged it"
    );
}

#[test]
fn an_equivocating_dealer_is_blamed_and_the_first_dealing_counts() {
    let context = Members::new(4).context(0);
    let run = Run::new(context.clone(), 1, false).finish();
    let first =
        run.log.iter().find_map(|bytes| match CeremonyEntry::decode(bytes, &context).unwrap() {
            CeremonyEntry::Dealing(posted) => Some(posted),
            _ => None,
        });
    let first = first.unwrap();
    let second = junk(&context, first.clone(), 2);
    let mut machine = Ceremony::start(
        context,
        crate::test_support::consensus_secret(0),
        crate::test_support::dealing_secret(0),
        [1; 32],
    )
    .unwrap();
    let dealer = first.public.dealer;
    let entries = vec![CeremonyEntry::Dealing(first.clone()).encode(), second.encode()];
    let outputs = machine.handle(Duration::ZERO, Input::Agreed { height: 1, entries });
    let evidence = outputs.iter().find_map(|output| match output {
        Output::Blamed(blame) => Some(blame.clone()),
        _ => None,
    });
    let evidence = evidence.unwrap();
    assert_eq!(evidence.culprit, dealer);
    let Fault::Equivocation { dealings } = evidence.fault else { panic!() };
    assert_eq!(dealings[0], first.public);
    assert!(dealings.iter().all(|one| one.verify(machine.agreed.context()).is_ok()));
    assert_eq!(machine.agreed.dealings().next(), Some(&first.public));
}

#[test]
fn invariant_4_time_alone_changes_nothing_but_votes() {
    let context = Members::new(4).context(0);
    let keys = (crate::test_support::consensus_secret(0), crate::test_support::dealing_secret(0));
    let mut machine = Ceremony::start(context, keys.0, keys.1, [1; 32]).unwrap();
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
