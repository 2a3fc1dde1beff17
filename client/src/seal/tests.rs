#![allow(clippy::unwrap_used)]

use fairveil_mempool::Leg;
use fairveil_release::failed::{Failed, Invalid};
use fairveil_release::validity::valid_bundles;

use super::*;
use crate::test_support::{WORLD, bundle, leg, transaction};

#[test]
fn heights_are_rounded_up_and_never_zero() {
    assert_eq!(heights(30_000, 100), 300);
    assert_eq!(heights(30_001, 100), 301);
    assert_eq!((heights(0, 100), heights(1, 100), heights(7, 0)), (1, 1, 7));
    assert_eq!(heights(u64::MAX, 1), u64::MAX);
}

#[test]
fn invariant_1_a_bundle_is_sealed_to_the_pinned_key() {
    let sealed = WORLD.seal(1, &bundle(vec![leg(901, &[0])]));
    assert_eq!(sealed.header().key_id, WORLD.network.committee().key_id());
    assert_eq!(sealed.header().network_id, WORLD.network.network_id());
    let terms = Terms { valid_from: Height::new(9), expires_at: Height::new(8), payer_nonce: 1 };
    let payer = PayerSecret::from_bytes([5; 32]).unwrap();
    let uniform = [1; SealRandomness::UNIFORM_BYTES];
    let randomness = SealRandomness::from_uniform(&uniform).unwrap();
    let contents = bundle(vec![leg(901, &[0])]);
    let error = seal(&WORLD.network, &terms, &payer, &contents, randomness).unwrap_err();
    assert!(error.to_string().contains("valid_from is 9, after expires_at 8"), "{error}");
}

#[test]
fn invariant_3_what_is_foreseen_is_what_the_release_finds() {
    let foreign = Leg { chain_id: 902, transactions: vec![transaction(901, 0)] };
    let garbage = Leg { chain_id: 901, transactions: vec![vec![2, 1, 1].into()] };
    let execute = Bundle::new(Policy::Execute, vec![leg(902, &[0]), leg(901, &[0])]).unwrap();
    let bundles = vec![
        bundle(vec![leg(901, &[0, 1]), leg(903, &[4])]),
        bundle(vec![leg(901, &[0]), leg(904, &[0])]),
        bundle(vec![leg(901, &[0]), foreign.clone()]),
        bundle(vec![garbage, foreign]),
        execute,
    ];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let found = valid_bundles(&pool, &WORLD.registry(), &bundles);
    let foreseen: Vec<_> = bundles.iter().map(|one| foreseen(&WORLD.network, one)).collect();
    let expected: Vec<_> = found.into_iter().map(Result::err).collect();
    assert_eq!(foreseen, expected);
    let invalid = |leg, why| Some(Failed::LegInvalid { leg, tx: 0, why });
    assert_eq!(
        foreseen,
        [
            None,
            Some(Failed::UnknownRollup { rollup: 904 }),
            invalid(1, Invalid::ChainId),
            invalid(0, Invalid::Encoding),
            Some(Failed::StateUnavailable { rollup: 901 }),
        ]
    );
}
