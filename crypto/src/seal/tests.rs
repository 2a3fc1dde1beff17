#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::Epoch;
use crate::dealer::{Dealt, deal};
use crate::hint;

static DEALT: LazyLock<Dealt> = LazyLock::new(|| deal(Epoch::new(1), 4, &[1; 32]));
static SEALED: LazyLock<Ciphertext> = LazyLock::new(|| sealed(b"header", b"plaintext"));

fn key() -> &'static CommitteeKey {
    DEALT.committee.key()
}

fn sealed(ad: &[u8], m: &[u8]) -> Ciphertext {
    let randomness = SealRandomness::from_parts([1; 32], &[2; 32]).unwrap();
    seal(key(), ad, m, randomness).unwrap()
}

#[test]
fn invariant_1_a_zero_nonce_is_refused() {
    let zero = SealRandomness::from_parts([1; 32], &[0; 32]);
    assert_eq!(zero.unwrap_err(), SealError::ZeroNonce);
    let order = SealRandomness::from_parts([1; 32], &[0xff; 32]);
    assert!(matches!(order, Err(SealError::Nonce(ScalarError::Range))));
    let mut uniform = [0; SealRandomness::UNIFORM_BYTES];
    assert!(SealRandomness::from_uniform(&uniform).is_err());
    uniform[79] = 1;
    let randomness = SealRandomness::from_uniform(&uniform).unwrap();
    assert_eq!(format!("{randomness:?}"), "SealRandomness(<redacted>)");
    assert_eq!(randomness.expose_rho(), Rho::from_bytes([0; 32]));
}

#[test]
fn overhead_is_192_bytes() {
    assert_eq!(OVERHEAD_BYTES, 192);
    assert_eq!(SEALED.as_bytes().len(), 192 + b"plaintext".len());
    assert!(Ciphertext::decode(&[0; 191]).is_err());
    assert!(Ciphertext::decode(&[0; 192]).is_ok());
}

#[test]
fn invariant_2_another_key_does_not_verify() {
    let other = deal(Epoch::new(1), 4, &[2; 32]);
    let verdict = SEALED.verify(other.committee.key(), b"header");
    assert_eq!(verdict.unwrap_err(), CiphertextError::Proof);
}

#[test]
fn many_are_judged_as_each_alone() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let (one, two) = (sealed(b"one", b"1"), sealed(b"two", b"2"));
    let items = [(&one, &b"one"[..]), (&two, b"one"), (&two, b"two"), (&one, b"")];
    let verdicts = verify_many(key(), &items, &pool);
    assert_eq!(verdicts.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, false]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn sealing_and_opening_by_hint_are_inverse(
        uniform in prop::collection::vec(any::<u8>(), 80),
        ad in prop::collection::vec(any::<u8>(), 0..100),
        m in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let uniform: [u8; 80] = uniform.try_into().unwrap();
        let randomness = SealRandomness::from_uniform(&uniform).unwrap();
        let rho = randomness.expose_rho();
        let ciphertext = seal(key(), &ad, &m, randomness).unwrap();
        let verified = ciphertext.verify(key(), &ad).unwrap();
        prop_assert_eq!(hint::open(key(), &verified, &rho), Ok(Opened { rho, m }));
        let mut wrong = rho.to_bytes();
        wrong[usize::from(uniform[0] % 32)] ^= 1;
        let wrong = Rho::from_bytes(wrong);
        prop_assert_eq!(hint::open(key(), &verified, &wrong), Err(hint::HintError::Wrong));
    }

    #[test]
    fn invariant_2_any_changed_byte_is_refused(position: prop::sample::Index, change in 1u8..) {
        let mut bytes = SEALED.as_bytes().to_vec();
        let position = position.index(bytes.len());
        bytes[position] ^= change;
        let changed = Ciphertext::decode(&bytes).unwrap();
        prop_assert!(changed.verify(key(), b"header").is_err());
        let mut ad = b"header".to_vec();
        let position = position % ad.len();
        ad[position] ^= change;
        prop_assert_eq!(SEALED.verify(key(), &ad).unwrap_err(), CiphertextError::Proof);
    }
}
