#![allow(clippy::unwrap_used)]

mod division;

use std::collections::VecDeque;
use std::sync::LazyLock;

use fairveil_crypto::certificate::FinalOrder;
use fairveil_crypto::envelope::VerifiedBundle;
use fairveil_crypto::hint::HintRandomness;
use fairveil_crypto::point::PointBytes;
use fairveil_crypto::seal::Rho;
use fairveil_crypto::share::{ShareFault, ShareResponse};
use fairveil_crypto::{BatchId, Signature};
use fairveil_mempool::Policy;
use proptest::prelude::*;

use super::*;
use crate::evidence::Offence;
use crate::world::{Forged, POOL, SEVEN, bundle, index, leg};

/// One height with bundles of every kind, its order, every member's right share, and the bytes of
/// the release.
struct Scene {
    bundles: Vec<VerifiedBundle>,
    order: FinalOrder,
    shares: Vec<SignedShare>,
    release: Vec<u8>,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let world = &*SEVEN;
    let plain = |bytes: &[u8]| {
        let mut m = [0; 512];
        m[..bytes.len()].copy_from_slice(bytes);
        m
    };
    let bundles = vec![
        world.seal(1, &bundle(Policy::Include, vec![leg(901, &[0]), leg(902, &[0, 1])])),
        world.forge(2, Forged::Body),
        world.seal(3, &bundle(Policy::Execute, vec![leg(901, &[1])])),
        world.forge(4, Forged::OtherRho),
        world.seal_plaintext(5, &plain(&[0, 0, 2, 0])),
        world.seal_plaintext(6, &plain(&[0, 0, 0, 1, 0xc0, 1])),
        world.seal_plaintext(7, &plain(&[0, 0, 0, 1, 0x80])),
        world.seal_plaintext(8, &plain(&[0, 0, 0, 3, 0xc2, 0x80, 0xc0])),
        world.seal(9, &bundle(Policy::Include, vec![leg(903, &[0]), leg(904, &[0])])),
        world.seal(10, &bundle(Policy::Include, vec![leg(901, &[2]), leg(903, &[1])])),
    ];
    let order = world.order(1, &bundles);
    let shares = SequencerIndex::all(7)
        .map(|member| world.own_share(member, &order, &bundles).share().clone())
        .collect();
    let mut scene = Scene { bundles, order, shares, release: Vec::new() };
    let mut run = Run::new(1);
    run.order(&scene);
    for share in &scene.shares[..5] {
        run.share(share.clone());
    }
    scene.release = run.release();
    scene
});

/// An opener whose jobs are run at once.
struct Run {
    opener: Opener,
    now_ms: u64,
    opened: Vec<OpenedOrder>,
    blamed: Vec<(SequencerIndex, Evidence)>,
    sent: Vec<(Option<SequencerIndex>, ShareMessage)>,
    postponed: Vec<Height>,
}

impl Run {
    /// One that combines everything itself.
    fn new(own: u16) -> Self {
        Self::with(own, Division::Whole)
    }

    fn with(own: u16, division: Division) -> Self {
        Self {
            opener: Opener::new(index(own), Height::ZERO).dividing(division),
            now_ms: 0,
            opened: Vec::new(),
            blamed: Vec::new(),
            sent: Vec::new(),
            postponed: Vec::new(),
        }
    }

    fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for output in self.opener.handle(self.now_ms, input) {
                match output {
                    Output::Broadcast(message) => self.sent.push((None, message)),
                    Output::Send { to, message } => self.sent.push((Some(to), message)),
                    Output::Run(job) => {
                        let worked = job.run(&POOL, HintRandomness::new([7; 32]));
                        inputs.push_back(Input::Worked(Box::new(worked)));
                    }
                    Output::Opened(opened) => self.opened.push(*opened),
                    Output::Blame { culprit, evidence } => self.blamed.push((culprit, *evidence)),
                    Output::Postponed(height) => self.postponed.push(height),
                }
            }
        }
    }

    fn order(&mut self, scene: &Scene) {
        let batch = FinalBatch::new(scene.order.clone(), scene.bundles.clone()).unwrap();
        self.input(Input::Order(Box::new(batch)));
    }

    fn share(&mut self, share: SignedShare) {
        let (from, height) = (share.index, Height::new(1));
        let message = ShareMessage::Share { height, share: Box::new(share) };
        self.input(Input::Message { from, message });
    }

    fn release(&self) -> Vec<u8> {
        let [opened] = &self.opened[..] else { panic!("{} orders opened", self.opened.len()) };
        let judged = opened.judge(&SEVEN.registry, &POOL);
        let mut chain = SEVEN.chain();
        chain.extend(judged).unwrap().release.encode()
    }
}

fn changed(member: usize, change: impl Fn(&mut SignedShare)) -> SignedShare {
    let mut share = SCENE.shares[member].clone();
    change(&mut share);
    SEVEN.sign_again(share)
}

/// The ways to lie with a signed share.
fn lies(member: usize) -> [SignedShare; 5] {
    [
        changed(member, |share| share.points.swap(0, 1)),
        changed(member, |share| share.points[9] = share.points[0]),
        changed(member, |share| share.points[1] = PointBytes::from_bytes([0xff; 48])),
        changed(member, |share| share.points.truncate(9)),
        changed(member, |share| share.response = ShareResponse::from_bytes([0; 32])),
    ]
}

#[test]
fn every_kind_of_bundle_has_its_outcome() {
    let release = crate::release::Release::decode(&SCENE.release).unwrap();
    let codes = release.leaves.iter().map(|leaf| match &leaf.outcome {
        crate::tree::Outcome::Failed(failed) => failed.code(),
        other => {
            if other.legs().is_empty() {
                "other"
            } else {
                "released"
            }
        }
    });
    let expected = [
        "released",
        "aead",
        "state_unavailable",
        "rho",
        "length",
        "padding",
        "encoding",
        "legs",
        "unknown_rollup",
        "released",
    ];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
    assert_eq!(release.batches.iter().map(|batch| batch.transactions().count()).sum::<usize>(), 5);
    assert!(release.check(&SEVEN.registry).is_ok());
}

#[test]
fn t_shares_open_and_fewer_do_not() {
    let mut run = Run::new(1);
    run.order(&SCENE);
    for share in &SCENE.shares[..4] {
        run.share(share.clone());
        run.share(share.clone());
    }
    assert!(run.opened.is_empty());
    assert_eq!(run.opener.dropped().repeated, 4);
    run.share(SCENE.shares[6].clone());
    assert_eq!(run.release(), SCENE.release);
    run.share(SCENE.shares[5].clone());
    assert_eq!(run.opener.dropped().late, 1);
    assert_eq!(run.opener.wake_at(), None);
}

#[test]
fn nothing_leaves_before_the_own_share_of_a_final_order_invariant_1() {
    let mut run = Run::new(3);
    for share in &SCENE.shares {
        run.share(share.clone());
    }
    run.order(&SCENE);
    run.input(Input::Message {
        from: index(1),
        message: ShareMessage::Request { height: Height::new(1) },
    });
    assert!(run.sent.is_empty());
    assert_eq!(run.opener.dropped().unanswered, 1);
    assert_eq!(run.release(), SCENE.release);
    run.input(Input::OwnShare(SEVEN.own_share(index(3), &SCENE.order, &SCENE.bundles)));
    let [(None, ShareMessage::Share { height, share })] = &run.sent[..] else { panic!() };
    assert_eq!((*height, share.index), (Height::new(1), index(3)));
}

#[test]
fn each_lie_is_named_with_evidence_that_convicts_invariant_5() {
    let faults = [
        ShareFault::Proof,
        ShareFault::Proof,
        ShareFault::Point { position: 1 },
        ShareFault::Count { actual: 9, expected: 10 },
        ShareFault::Proof,
    ];
    for (lie, fault) in lies(2).into_iter().zip(faults) {
        let mut run = Run::new(1);
        run.order(&SCENE);
        run.share(lie);
        for member in [0, 1, 3, 4, 5, 6] {
            run.share(SCENE.shares[member].clone());
        }
        assert_eq!(run.release(), SCENE.release);
        let [(culprit, evidence)] = &run.blamed[..] else { panic!("{fault}: {:?}", run.blamed) };
        assert_eq!(*culprit, index(3));
        let evidence = Evidence::decode(&evidence.encode()).unwrap();
        let verdict = evidence.judge(&SEVEN.network_id, &SEVEN.dealt.committee).unwrap();
        assert_eq!(verdict.culprit, index(3));
        assert_eq!(verdict.offence, Offence::BadShare(fault));
    }
}

#[test]
fn a_named_member_is_used_last_and_named_once_per_epoch() {
    let mut run = Run::new(1);
    run.order(&SCENE);
    run.share(lies(2)[0].clone());
    for member in [0, 1, 3, 4, 5] {
        run.share(SCENE.shares[member].clone());
    }
    assert_eq!(run.blamed.len(), 1);
    // The next height: the same member lies again, first, and is not reached.
    let order = SEVEN.order(2, &SCENE.bundles);
    let batch = FinalBatch::new(order.clone(), SCENE.bundles.clone()).unwrap();
    let share =
        |member: u16| SEVEN.own_share(index(member), &order, &SCENE.bundles).share().clone();
    let mut lie = share(3);
    lie.points.swap(0, 1);
    let send = |run: &mut Run, share: SignedShare| {
        let (from, height) = (share.index, Height::new(2));
        let message = ShareMessage::Share { height, share: Box::new(share) };
        run.input(Input::Message { from, message });
    };
    // All five wait before the order is here, so that one job gets them sorted.
    send(&mut run, SEVEN.sign_again(lie));
    for member in [1, 2, 4, 5, 6] {
        send(&mut run, share(member));
    }
    run.input(Input::Order(Box::new(batch)));
    assert_eq!(run.opened.len(), 2);
    assert_eq!(run.blamed.len(), 1);
}

#[test]
fn a_share_without_a_valid_signature_does_not_take_its_members_place_invariant_3() {
    let mut run = Run::new(1);
    run.order(&SCENE);
    let mut unsigned = SCENE.shares[1].clone();
    unsigned.signature = Signature::from_bytes([0; 64]);
    run.share(unsigned);
    let stolen =
        ShareMessage::Share { height: Height::new(1), share: Box::new(SCENE.shares[1].clone()) };
    run.input(Input::Message { from: index(3), message: stolen });
    assert_eq!(run.opener.dropped().foreign, 1);
    let mut other_batch = SCENE.shares[2].clone();
    other_batch.batch = BatchId::from_bytes([9; 32]);
    run.share(SEVEN.sign_again(other_batch));
    for member in [0, 3, 4] {
        run.share(SCENE.shares[member].clone());
    }
    assert!(run.opened.is_empty());
    run.share(SCENE.shares[1].clone());
    assert!(run.opened.is_empty());
    run.share(SCENE.shares[2].clone());
    assert_eq!(run.release(), SCENE.release);
    assert!(run.blamed.is_empty());
}

#[test]
fn missing_shares_are_asked_for_and_requests_answered() {
    let mut run = Run::new(1);
    run.now_ms = 1_000;
    run.order(&SCENE);
    run.input(Input::OwnShare(SEVEN.own_share(index(1), &SCENE.order, &SCENE.bundles)));
    run.share(SCENE.shares[4].clone());
    run.sent.clear();
    assert_eq!(run.opener.wake_at(), Some(1_000 + REQUEST_AFTER_MS));
    run.now_ms = 999 + REQUEST_AFTER_MS;
    run.input(Input::Wake);
    assert!(run.sent.is_empty());
    run.now_ms += 1;
    run.input(Input::Wake);
    let asked: Vec<_> = run.sent.iter().map(|(to, _)| to.unwrap().get()).collect();
    assert_eq!(asked, [2, 3, 4, 6, 7]);
    let request = ShareMessage::Request { height: Height::new(1) };
    assert!(run.sent.iter().all(|(_, message)| *message == request));
    assert_eq!(run.opener.wake_at(), Some(run.now_ms + REQUEST_EVERY_MS));
    run.sent.clear();
    let asks = || Input::Message { from: index(6), message: request.clone() };
    run.input(asks());
    run.input(asks());
    assert!(matches!(&run.sent[..], [(Some(to), ShareMessage::Share { .. })] if *to == index(6)));
    run.now_ms += ANSWER_EVERY_MS;
    run.input(asks());
    assert_eq!(run.sent.len(), 2);
    assert_eq!(run.opener.dropped().unanswered, 1);
}

#[test]
fn shares_before_local_finality_are_bounded_invariant_4() {
    let mut run = Run::new(1);
    let early = |height: u64, points: usize| {
        let mut share = SCENE.shares[1].clone();
        share.points = vec![share.points[0]; points];
        let share = Box::new(share);
        let message = ShareMessage::Share { height: Height::new(height), share };
        Input::Message { from: index(2), message }
    };
    run.input(early(EARLY_HEIGHTS + 1, 1));
    assert_eq!(run.opener.dropped().early, 1);
    run.input(early(EARLY_HEIGHTS, 1));
    run.input(early(EARLY_HEIGHTS, 1));
    assert_eq!(run.opener.dropped().repeated, 1);
    let points = EARLY_BYTES / 48 / 2;
    run.input(early(2, points));
    assert_eq!(run.opener.dropped().early, 1);
    run.input(early(3, points));
    assert_eq!(run.opener.dropped().early, 2);
    assert_eq!(run.opener.early.len(), 2);
    // An order at 3 drops what waits below it, and the member has room again.
    let batch = FinalBatch::new(SEVEN.order(3, &[]), Vec::new()).unwrap();
    run.input(Input::Order(Box::new(batch)));
    assert_eq!(run.opener.early.len(), 1);
    run.input(early(4, points));
    assert_eq!(run.opener.dropped().early, 2);
}

#[test]
fn an_order_that_opens_nothing_is_open_at_once() {
    let mut run = Run::new(1);
    let batch = FinalBatch::new(SEVEN.order(1, &[]), Vec::new()).unwrap();
    run.input(Input::Order(Box::new(batch)));
    assert_eq!(run.opened.len(), 1);
    assert_eq!(run.opener.wake_at(), None);
    assert!(run.opened[0].judge(&SEVEN.registry, &POOL).ids.is_empty());
}

#[test]
fn a_height_released_otherwise_is_forgotten() {
    let mut run = Run::new(1);
    run.order(&SCENE);
    assert_eq!(run.opener.open_heights().collect::<Vec<_>>(), [Height::new(1)]);
    run.input(Input::Released(Height::new(1)));
    assert_eq!(run.opener.open_heights().count(), 0);
    for share in &SCENE.shares {
        run.share(share.clone());
    }
    assert!(run.opened.is_empty());
}

#[test]
fn open_orders_and_kept_shares_are_bounded_invariant_4() {
    let mut run = Run::new(1);
    let one = &SCENE.bundles[..1];
    for height in 1..=MAX_OPEN_HEIGHTS as u64 + 1 {
        let order = SEVEN.order(height, one);
        let share = {
            let mut share = SCENE.shares[0].clone();
            share.batch = order.batch();
            share.points.truncate(1);
            SEVEN.sign_again(share)
        };
        let batch = FinalBatch::new(order.clone(), one.to_vec()).unwrap();
        run.input(Input::Order(Box::new(batch)));
        run.input(Input::OwnShare(OwnShare::restore(share, &order, index(1)).unwrap()));
    }
    assert_eq!(run.postponed, [Height::new(MAX_OPEN_HEIGHTS as u64 + 1)]);
    assert!(!run.opener.has_room());
    assert_eq!(run.opener.kept.len() as u64, KEPT_HEIGHTS);
    assert!(!run.opener.kept.contains_key(&Height::new(1)));
}

#[test]
fn an_own_share_is_restored_for_its_order_alone() {
    let share = SCENE.shares[0].clone();
    let restored = OwnShare::restore(share.clone(), &SCENE.order, index(1)).unwrap();
    assert_eq!((restored.height(), restored.share()), (Height::new(1), &share));
    assert!(OwnShare::restore(share.clone(), &SCENE.order, index(2)).is_none());
    let other = SEVEN.order(2, &SCENE.bundles);
    assert!(OwnShare::restore(share.clone(), &other, index(1)).is_none());
    let stored = |share: &SignedShare, own| {
        OwnShare::stored(Height::new(1), share.clone(), &SEVEN.dealt.committee, index(own))
    };
    assert!(stored(&share, 2).is_none());
    let mut unsigned = share.clone();
    unsigned.signature = Signature::from_bytes([0; 64]);
    assert!(stored(&unsigned, 1).is_none());
    let mut run = Run::new(1);
    run.opener.keep(stored(&share, 1).unwrap());
    assert!(run.sent.is_empty());
    let message = ShareMessage::Request { height: Height::new(1) };
    run.input(Input::Message { from: index(4), message });
    let height = Height::new(1);
    let answer = ShareMessage::Share { height, share: Box::new(share) };
    assert_eq!(run.sent, [(Some(index(4)), answer)]);
}

#[test]
fn messages_have_one_encoding() {
    let share = Box::new(SCENE.shares[0].clone());
    let height = Height::new(5);
    let hints = vec![Hint { position: 3, rho: Rho::from_bytes([8; 32]) }];
    let messages = [
        ShareMessage::Share { height, share },
        ShareMessage::Request { height },
        ShareMessage::Hints { height, hints },
    ];
    for message in messages {
        let bytes = message.encode();
        assert_eq!(ShareMessage::decode(&bytes), Ok(message));
        assert!(ShareMessage::decode(&[&bytes[..], &[0]].concat()).is_err());
        assert!(ShareMessage::decode(&bytes[..bytes.len() - 1]).is_err());
    }
    assert!(ShareMessage::decode(&vec![0; MAX_SHARE_MESSAGE_BYTES + 1]).is_err());
}

/// What a member does in a run.
#[derive(Clone, Copy, Debug)]
enum Conduct {
    Honest,
    Silent,
    Liar(usize),
    Unsigned,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_arrival_gives_the_same_bytes_invariant_2(
        faulty in proptest::collection::btree_map(0usize..7, 0usize..7, 0..=2),
        arrival in Just((0..7usize).chain(0..7).collect::<Vec<_>>()).prop_shuffle(),
        order_after in 0usize..14,
    ) {
        let conduct = |member: usize| match faulty.get(&member) {
            None => Conduct::Honest,
            Some(5) => Conduct::Silent,
            Some(6) => Conduct::Unsigned,
            Some(lie) => Conduct::Liar(*lie),
        };
        let mut run = Run::new(1);
        for (at, member) in arrival.into_iter().enumerate() {
            if at == order_after {
                run.order(&SCENE);
            }
            match conduct(member) {
                Conduct::Honest => run.share(SCENE.shares[member].clone()),
                Conduct::Silent => {}
                Conduct::Liar(lie) => run.share(lies(member)[lie].clone()),
                Conduct::Unsigned => {
                    let mut share = SCENE.shares[member].clone();
                    share.signature = Signature::from_bytes([1; 64]);
                    run.share(share);
                }
            }
        }
        prop_assert_eq!(run.release(), SCENE.release.clone());
        for (culprit, evidence) in &run.blamed {
            prop_assert!(matches!(conduct(culprit.position()), Conduct::Liar(_)));
            let verdict = evidence.judge(&SEVEN.network_id, &SEVEN.dealt.committee);
            prop_assert_eq!(verdict.map(|verdict| verdict.culprit), Ok(*culprit));
        }
    }
}
