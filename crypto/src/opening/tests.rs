#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::dealer::{Dealt, deal};
use crate::hint::{self, HintRandomness};
use crate::point::UncheckedPoint;
use crate::seal::{Ciphertext, Rho, SealRandomness, seal};
use crate::share::ShareResponse;
use crate::{Epoch, trace};

const BATCH: BatchId = BatchId::from_bytes([7; 32]);

fn pool() -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

fn ciphertexts(dealt: &Dealt, count: u8) -> Vec<VerifiedCiphertext> {
    let seal_one = |number: u8| {
        let randomness = SealRandomness::from_parts([number; 32], &[1; 32]).unwrap();
        let ciphertext = seal(dealt.committee.key(), b"ad", &[number; 9], randomness).unwrap();
        ciphertext.verify(dealt.committee.key(), b"ad").unwrap()
    };
    (0..count).map(seal_one).collect()
}

fn points(ciphertexts: &[VerifiedCiphertext]) -> Vec<Point> {
    ciphertexts.iter().map(|ciphertext| *ciphertext.u()).collect()
}

fn share(dealt: &Dealt, position: usize, sealed: &[Point]) -> SignedShare {
    let (key_share, secret) = (&dealt.key_shares[position], &dealt.consensus_secrets[position]);
    trace::share(BATCH, sealed, key_share, &[3; 32], secret).unwrap().0
}

fn sign(dealt: &Dealt, mut share: SignedShare) -> SignedShare {
    let secret = &dealt.consensus_secrets[share.index.position()];
    share.signature = secret.sign_digest(&share.message());
    share
}

fn opening(dealt: &Dealt, ciphertexts: &[VerifiedCiphertext]) -> Opening {
    let batch = Batch::new(BATCH, ciphertexts.to_vec());
    Opening::new(dealt.committee.clone(), batch, BTreeSet::new())
}

fn assert_opened(outcomes: &[Option<Outcome>]) {
    for (number, outcome) in outcomes.iter().enumerate() {
        let number = number as u8;
        assert_eq!(
            *outcome,
            Some(Outcome::Opened(Opened {
                rho: Rho::from_bytes([number; 32]),
                m: vec![number; 9],
            }))
        );
    }
}

#[test]
fn a_corrupt_sequencer_reads_with_t_shares_and_not_with_fewer() {
    let dealt = deal(Epoch::new(1), 5, &[4; 32]);
    let ciphertexts = ciphertexts(&dealt, 3);
    let shares: Vec<SignedShare> =
        (1..5).map(|member| share(&dealt, member, &points(&ciphertexts))).collect();
    let own = &dealt.key_shares[0];
    let t = usize::from(dealt.committee.t());
    let read = |count: usize, from: usize, ciphertext: &VerifiedCiphertext| {
        let others: Vec<&SignedShare> = shares[from..from + count].iter().collect();
        crate::corrupt::read(&dealt.committee, ciphertext, own, &others)
    };
    for (number, ciphertext) in ciphertexts.iter().enumerate() {
        assert_eq!(read(t - 1, 0, ciphertext).unwrap().m, vec![number as u8; 9]);
        assert_eq!(read(t - 1, 5 - t, ciphertext).unwrap().m, vec![number as u8; 9]);
        assert_eq!(read(t - 2, 0, ciphertext), None);
    }
    // The own share is not counted twice.
    let own_share = share(&dealt, 0, &points(&ciphertexts));
    let mut others: Vec<&SignedShare> = shares[..t - 2].iter().collect();
    others.push(&own_share);
    assert_eq!(crate::corrupt::read(&dealt.committee, &ciphertexts[0], own, &others), None);
}

/// What goes wrong with a share.
#[derive(Clone, Copy, Debug)]
enum Lie {
    None,
    OtherPoint,
    OtherProof,
    Infinity,
    OrderThree,
    NoScalar,
    Missing,
    Unsigned,
}

const LIES: [Lie; 8] = [
    Lie::None,
    Lie::OtherPoint,
    Lie::OtherProof,
    Lie::Infinity,
    Lie::OrderThree,
    Lie::NoScalar,
    Lie::Missing,
    Lie::Unsigned,
];

fn lying(dealt: &Dealt, mut share: SignedShare, lie: Lie) -> SignedShare {
    let last = share.points.len() - 1;
    match lie {
        Lie::None => return share,
        Lie::OtherPoint => share.points[last] = Point::generator().encode(),
        Lie::OtherProof => share.challenge = crate::share::ShareChallenge::from_bytes([1; 16]),
        Lie::Infinity => share.points[last] = GroupElement::infinity().encode(),
        Lie::OrderThree => {
            let mut bytes = [0; 48];
            bytes[0] = 0x80;
            share.points[last] = PointBytes::from_bytes(bytes);
        }
        Lie::NoScalar => share.response = ShareResponse::from_bytes([0xff; 32]),
        Lie::Missing => drop(share.points.pop()),
        Lie::Unsigned => {
            share.points[last] = Point::generator().encode();
            return share;
        }
    }
    sign(dealt, share)
}

#[test]
fn a_point_of_order_three_decodes_and_is_no_point_of_the_subgroup() {
    for sign in [0x80, 0xa0] {
        let mut bytes = [0; 48];
        bytes[0] = sign;
        let point = UncheckedPoint::decode(&bytes).unwrap();
        assert_eq!(point.check(), Err(crate::point::PointError::Subgroup));
    }
}

#[test]
fn foreign_late_and_repeated_shares_change_nothing() {
    let dealt = deal(Epoch::new(1), 4, &[1; 32]);
    let ciphertexts = ciphertexts(&dealt, 2);
    let sealed = points(&ciphertexts);
    let (mut opening, pool) = (opening(&dealt, &ciphertexts), pool());

    let mut foreign = share(&dealt, 0, &sealed);
    foreign.batch = BatchId::from_bytes([8; 32]);
    let foreign = sign(&dealt, foreign);
    let (actual, expected) = (foreign.batch, BATCH);
    assert_eq!(
        opening.add_share(foreign, &pool),
        Reception::Ignored(UnusableShare::Batch { actual, expected })
    );
    let mut stranger = share(&dealt, 0, &sealed);
    stranger.index = SequencerIndex::new(5).unwrap();
    assert!(matches!(
        opening.add_share(stranger, &pool),
        Reception::Ignored(UnusableShare::Index { n: 4, .. })
    ));
    let mut renamed = share(&dealt, 0, &sealed);
    renamed.index = SequencerIndex::new(2).unwrap();
    assert!(matches!(
        opening.add_share(renamed, &pool),
        Reception::Ignored(UnusableShare::Signature(_))
    ));
    assert_eq!(opening.add_share(share(&dealt, 0, &sealed), &pool), Reception::Kept);
    assert_eq!(opening.add_share(share(&dealt, 0, &sealed), &pool), Reception::Repeated);
    assert_eq!(opening.add_share(share(&dealt, 1, &sealed), &pool), Reception::Kept);
    assert!(!opening.is_complete());
    assert_eq!(opening.add_share(share(&dealt, 3, &sealed), &pool), Reception::Kept);
    assert_eq!(opening.add_share(share(&dealt, 2, &sealed), &pool), Reception::Late);
    assert_opened(opening.outcomes());
    assert!(opening.culprits().is_empty());
}

#[test]
fn positions_left_to_hints_are_combined_when_they_are_wanted() {
    let dealt = deal(Epoch::new(1), 4, &[1; 32]);
    let ciphertexts = ciphertexts(&dealt, 5);
    let sealed = points(&ciphertexts);
    let (mut opening, pool) = (opening(&dealt, &ciphertexts), pool());
    opening.leave([0, 2, 4, 99]);
    for position in [2, 0, 1] {
        opening.add_share(share(&dealt, position, &sealed), &pool);
    }
    let known =
        |opening: &Opening| opening.outcomes().iter().map(Option::is_some).collect::<Vec<_>>();
    assert_eq!(known(&opening), [false, true, false, true, false]);

    let key = dealt.committee.key();
    let hints =
        [(&ciphertexts[0], Rho::from_bytes([0; 32])), (&ciphertexts[2], Rho::from_bytes([0; 32]))];
    let verdicts = hint::open_many(key, &hints, HintRandomness::new([9; 32]), &pool);
    assert_eq!(verdicts[1], Err(hint::HintError::Wrong));
    opening.record(0, verdicts[0].clone().unwrap());
    assert_eq!(known(&opening), [true, true, false, true, false]);
    opening.want([2, 4], &pool);
    assert_opened(opening.outcomes());
}

#[test]
fn invariant_3_a_malformed_ciphertext_fails_alone() {
    let dealt = deal(Epoch::new(1), 4, &[1; 32]);
    let other = deal(Epoch::new(1), 4, &[2; 32]);
    let mut ciphertexts = ciphertexts(&dealt, 3);
    // Sealed to another key, then proven for this one: the body opens under no pad of ours.
    let foreign = other_body(&dealt, &other);
    ciphertexts[1] = foreign;
    let sealed = points(&ciphertexts);
    for lie in LIES {
        let (mut opening, pool) = (opening(&dealt, &ciphertexts), pool());
        opening.add_share(lying(&dealt, share(&dealt, 0, &sealed), lie), &pool);
        for position in 1..4 {
            opening.add_share(share(&dealt, position, &sealed), &pool);
        }
        let outcomes = opening.outcomes();
        assert_eq!(outcomes[1], Some(Outcome::Failed(OpeningFailure::Aead)), "{lie:?}");
        assert_opened(&outcomes[..1]);
        let honest = matches!(lie, Lie::None | Lie::Unsigned);
        assert_eq!(opening.culprits().is_empty(), honest, "{lie:?}");
    }
}

/// A ciphertext whose proof holds for the first committee and whose body is another one's.
fn other_body(dealt: &Dealt, other: &Dealt) -> VerifiedCiphertext {
    let (rho, a) = ([1; 32], [1; 32]);
    let randomness = || SealRandomness::from_parts(rho, &a).unwrap();
    let honest = seal(dealt.committee.key(), b"ad", b"other", randomness()).unwrap();
    let foreign = seal(other.committee.key(), b"ad", b"other", randomness()).unwrap();
    let body = &foreign.as_bytes()[144..];
    let bytes = crate::seal::reproven(dealt.committee.key(), b"ad", &honest, body, &rho, &a);
    Ciphertext::decode(&bytes).unwrap().verify(dealt.committee.key(), b"ad").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn invariant_1_any_t_shares_open_and_fewer_do_not(
        n in prop::sample::select(vec![1u16, 2, 3, 4, 5, 7, 10, 16, 17, 20]),
        seed: [u8; 32],
        count in 1u8..4,
        order in any::<prop::sample::Index>(),
    ) {
        let dealt = deal(Epoch::new(1), n, &seed);
        let ciphertexts = ciphertexts(&dealt, count);
        let sealed = points(&ciphertexts);
        let (mut opening, pool) = (opening(&dealt, &ciphertexts), pool());
        let (n, t) = (usize::from(n), usize::from(dealt.committee.t()));
        for step in 0..t {
            prop_assert!(!opening.is_complete());
            prop_assert!(opening.outcomes().iter().all(Option::is_none));
            let position = (order.index(n) + step) % n;
            prop_assert_eq!(opening.add_share(share(&dealt, position, &sealed), &pool), Reception::Kept);
        }
        assert_opened(opening.outcomes());
    }

    #[test]
    fn invariant_2_liars_are_named_and_others_open(
        n in prop::sample::select(vec![4u16, 7, 17]),
        lies in prop::collection::vec(prop::sample::select(LIES.to_vec()), 6),
        rotation in any::<prop::sample::Index>(),
        suspected: bool,
    ) {
        let dealt = deal(Epoch::new(1), n, &[3; 32]);
        let ciphertexts = ciphertexts(&dealt, 3);
        let sealed = points(&ciphertexts);
        let faulty = usize::from(n - dealt.committee.t());
        let suspects: BTreeSet<SequencerIndex> =
            if suspected { dealt.committee.indices().take(faulty).collect() } else { BTreeSet::new() };
        let batch = Batch::new(BATCH, ciphertexts);
        let (mut opening, pool) = (Opening::new(dealt.committee.clone(), batch, suspects), pool());
        let mut order: Vec<usize> = (0..usize::from(n)).collect();
        order.rotate_left(rotation.index(usize::from(n)));
        let mut named = BTreeSet::new();
        for position in order {
            let lie = if position < faulty { lies[position % lies.len()] } else { Lie::None };
            let sent = lying(&dealt, share(&dealt, position, &sealed), lie);
            if let Reception::Named(_) = opening.add_share(sent, &pool) {
                named.insert(position);
            }
        }
        assert_opened(opening.outcomes());
        for culprit in opening.culprits() {
            let position = culprit.share.index.position();
            prop_assert!(position < faulty);
            prop_assert!(!matches!(lies[position % lies.len()], Lie::None | Lie::Unsigned));
            let public = dealt.committee.public_key_shares()[position];
            prop_assert_eq!(culprit.share.verify_proof(&public, &sealed), Err(culprit.fault));
            named.remove(&position);
        }
        prop_assert!(named.is_empty());
    }
}
