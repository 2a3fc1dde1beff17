//! Differential tests against `threshold_crypto` 0.4.0, an independent library on the same curve.
//!
//! Its Shamir shares are plain values f(1)..f(n) of a polynomial over the same field, and its
//! public keys are `f(i)·G1`. So a committee can be made of its keys; its own ciphertexts hash to
//! G2 in a way of their own and do not interoperate.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;

use fairveil_crypto::committee::{Committee, CommitteeKey, KeyShare, PublicKeyShare, threshold};
use fairveil_crypto::opening::{Batch, Opening, Outcome};
use fairveil_crypto::point::{Point, PointError};
use fairveil_crypto::seal::{Rho, SealRandomness, seal};
use fairveil_crypto::{BatchId, ConsensusSecret, Epoch, SequencerIndex, trace};
use proptest::prelude::*;
use threshold_crypto::ff::PrimeField;
use threshold_crypto::poly::Poly;
use threshold_crypto::{Fr, FrRepr, PublicKey, SecretKeySet, SecretKeyShare};

/// The dealing of a set of keys by the other library; its `threshold` is t-1.
fn dealt(n: u16) -> SecretKeySet {
    let coefficients =
        (0..threshold(n)).map(|power| scalar(1000 * u64::from(n) + u64::from(power)));
    SecretKeySet::from(Poly::from(coefficients.collect::<Vec<Fr>>()))
}

/// A full-size scalar from a seed.
fn scalar(seed: u64) -> Fr {
    let limb = |round: u64| (seed + round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    Fr::from_repr(FrRepr([limb(0), limb(1), limb(2), limb(3) >> 2])).unwrap()
}

/// The big-endian bytes of its scalar, which it shows as `SecretKeyShare(Fr(0x...))`.
fn scalar_bytes(share: &SecretKeyShare) -> [u8; 32] {
    let text = share.reveal();
    let digits = text.split("0x").nth(1).unwrap().trim_end_matches(')');
    assert_eq!(digits.len(), 64, "{text}");
    let mut bytes = [0; 32];
    for (position, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * position..2 * position + 2], 16).unwrap();
    }
    bytes
}

struct Members {
    committee: Committee,
    key_shares: Vec<KeyShare>,
    secrets: Vec<ConsensusSecret>,
}

fn members(n: u16) -> Members {
    let keys = dealt(n);
    let public = keys.public_keys();
    let mut secrets: Vec<ConsensusSecret> =
        (1..=n).map(|member| ConsensusSecret::from_seed([member as u8; 32])).collect();
    secrets.sort_by_key(ConsensusSecret::public_key);
    // Its share number i (from 0) is f(i + 1), as is the share of our sequencer i + 1.
    let share = |index: SequencerIndex| {
        let bytes = scalar_bytes(&keys.secret_key_share(index.position()));
        KeyShare::decode(index, &bytes).unwrap()
    };
    let key_shares: Vec<KeyShare> = SequencerIndex::all(n).map(share).collect();
    let public_key_shares = SequencerIndex::all(n)
        .map(|index| {
            let bytes = public.public_key_share(index.position()).to_bytes();
            PublicKeyShare::decode(&bytes).unwrap()
        })
        .collect();
    let constant_term = Point::decode(&public.public_key().to_bytes()).unwrap();
    let committee = Committee::new(
        Epoch::new(1),
        CommitteeKey::from_constant_term(&constant_term),
        public_key_shares,
        secrets.iter().map(ConsensusSecret::public_key).collect(),
    )
    .unwrap();
    Members { committee, key_shares, secrets }
}

fn open_with(members: &Members, quorum: &[SequencerIndex], m: &[u8]) -> Option<Outcome> {
    let randomness = SealRandomness::from_parts([1; 32], &[2; 32]).unwrap();
    let ciphertext = seal(members.committee.key(), b"header", m, randomness).unwrap();
    let ciphertext = ciphertext.verify(members.committee.key(), b"header").unwrap();
    let (batch, sealed) = (BatchId::from_bytes([3; 32]), [*ciphertext.u()]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let batch_to_open = Batch::new(batch, vec![ciphertext]);
    let mut opening = Opening::new(members.committee.clone(), batch_to_open, BTreeSet::new());
    for index in quorum {
        let (key_share, secret) =
            (&members.key_shares[index.position()], &members.secrets[index.position()]);
        let (share, _) = trace::share(batch, &sealed, key_share, &[4; 32], secret).unwrap();
        let _ = opening.add_share(share, &pool);
    }
    opening.into_outcomes().map(|mut outcomes| outcomes.remove(0))
}

#[test]
fn its_shares_are_ours_and_its_public_keys_too() {
    for n in [4, 7, 16, 20] {
        let (keys, members) = (dealt(n), members(n));
        for (index, key_share) in SequencerIndex::all(n).zip(&members.key_shares) {
            let theirs = keys.secret_key_share(index.position()).public_key_share().to_bytes();
            assert_eq!(key_share.public_key_share().encode().as_bytes()[..], theirs[..]);
        }
    }
}

#[test]
fn its_shares_open_our_ciphertexts_and_fewer_do_not() {
    for n in [4, 5, 16, 20] {
        let members = members(n);
        let t = usize::from(members.committee.t());
        let quorum: Vec<SequencerIndex> = members.committee.indices().rev().take(t).collect();
        let opened = open_with(&members, &quorum, b"a plaintext");
        assert!(matches!(
            opened,
            Some(Outcome::Opened(opened))
                if opened.m == b"a plaintext" && opened.rho == Rho::from_bytes([1; 32])
        ));
        assert_eq!(open_with(&members, &quorum[1..], b"a plaintext"), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn both_decoders_of_points_agree(mut bytes: [u8; 48], flags: u8, valid: bool) {
        if valid {
            let seed = bytes.iter().fold(0, |seed: u64, byte| seed * 31 % (1 << 40) + u64::from(*byte));
            bytes = SecretKeyShare::from_mut(&mut scalar(seed)).public_key_share().to_bytes();
        }
        if flags & 7 == 0 {
            bytes[0] ^= flags & 0xe0;
        }
        let ours = Point::decode(&bytes);
        let theirs = PublicKey::from_bytes(bytes);
        match (&ours, &theirs) {
            (Ok(point), Ok(key)) => {
                prop_assert_eq!(point.encode().to_bytes(), key.to_bytes());
            }
            // It takes infinity, which is no point here.
            (Err(PointError::Infinity), Ok(_)) | (Err(_), Err(_)) => {}
            _ => prop_assert!(false, "{ours:?} {theirs:?}"),
        }
    }
}
