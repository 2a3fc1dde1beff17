//! Whole ciphertexts: verifying them, and opening them by hints, against plain counterparts.

use std::sync::LazyLock;

use super::inputs::{INPUTS, Inputs, plain_multiple};
use crate::bls12381;
use crate::committee::CommitteeKey;
use crate::domain::{Tag, hash, sha256};
use crate::hint::{self, HintError, HintRandomness, WeightedSums};
use crate::point::{GroupElement, Point};
use crate::scalar::Scalar;
use crate::seal::{
    Ciphertext, CiphertextError, Opened, Rho, SealRandomness, VerifiedCiphertext, seal,
};

const AD: &[u8] = b"header";

/// Enough that neighbours in a batch differ; 10,000 inputs are made of them.
const SEALED: usize = 300;

static KEY: LazyLock<CommitteeKey> = LazyLock::new(|| CommitteeKey::new(Point::second_generator()));

fn sealed(inputs: &mut Inputs) -> Vec<(Ciphertext, Rho)> {
    let mut seal_one = |number: usize| {
        let randomness = SealRandomness::from_uniform(&inputs.bytes()).unwrap();
        let rho = randomness.expose_rho();
        (seal(&KEY, AD, &vec![7; number % 50], randomness).unwrap(), rho)
    };
    (0..SEALED).map(&mut seal_one).collect()
}

/// crypto.md 4, step by step.
fn plain_verdict(ciphertext: &Ciphertext) -> Result<(), CiphertextError> {
    let bytes = ciphertext.as_bytes();
    let (u, u_bar) = (Point::decode(&bytes[..48])?, Point::decode(&bytes[48..96])?);
    let mut e = bytes[96..112].to_vec();
    let z = Scalar::decode(&bytes[112..144])?;
    e.reverse();
    let commitment = |generator: Point, point: Point| {
        let jacobian = |point: Point| bls12381::to_jacobian(point.as_affine());
        let shift = plain_multiple(&jacobian(point), &e);
        let multiple = plain_multiple(&jacobian(generator), &z.to_le_bytes());
        GroupElement::new(bls12381::add(&multiple, &bls12381::negate(shift))).encode()
    };
    let w = commitment(Point::generator(), u);
    let w_bar = commitment(Point::second_generator(), u_bar);
    let (ad, body, u, u_bar) = (sha256(AD), sha256(&bytes[144..]), u.encode(), u_bar.encode());
    let key_id = KEY.key_id();
    let mut items: Vec<&[u8]> = vec![key_id.as_bytes(), &ad, &body];
    items.extend([&u, &u_bar, &w, &w_bar].map(|point| &point.as_bytes()[..]));
    let challenge = hash(Tag::SealProof, &items);
    if challenge.as_bytes()[..16] == bytes[96..112] { Ok(()) } else { Err(CiphertextError::Proof) }
}

/// A ciphertext as it was sealed, or with something else in one of its parts.
fn changed(inputs: &mut Inputs, sealed: &[(Ciphertext, Rho)]) -> Ciphertext {
    let mut bytes = sealed[inputs.below(SEALED)].0.as_bytes().to_vec();
    let other = sealed[inputs.below(SEALED)].0.as_bytes().to_vec();
    let (name, from, to) = match inputs.below(7) {
        0 => ("other U", 0, 48),
        1 => ("other Ū", 48, 96),
        2 => ("other e", 96, 112),
        3 => ("other z", 112, 144),
        4 => {
            inputs.count("a changed bit");
            let bit = inputs.below(8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
            return Ciphertext::decode(&bytes).unwrap();
        }
        _ => {
            inputs.count("unchanged");
            return Ciphertext::decode(&bytes).unwrap();
        }
    };
    inputs.count(name);
    bytes[from..to].copy_from_slice(&other[from..to]);
    if from >= 96 && inputs.is_edge() {
        // e = 0 and z = 0: the commitments are multiples of one point, or infinity.
        inputs.count("e or z is 0");
        bytes[from..to].fill(0);
    }
    Ciphertext::decode(&bytes).unwrap()
}

#[test]
fn verdicts_on_ciphertexts() {
    let mut inputs = Inputs::new("verify");
    let sealed = sealed(&mut inputs);
    while inputs.compared < INPUTS {
        let ciphertext = changed(&mut inputs, &sealed);
        let slow = plain_verdict(&ciphertext);
        let fast = ciphertext.verify(&KEY, AD).map(|_| ());
        assert_eq!(fast, slow, "{}", inputs.place());
        inputs.count(if fast.is_ok() { "accepted" } else { "refused" });
        inputs.compared += 1;
    }
    inputs.finish(&[
        "other U",
        "other Ū",
        "other e",
        "other z",
        "a changed bit",
        "unchanged",
        "e or z is 0",
        "accepted",
        "refused",
    ]);
}

/// Opening under the plain pad `k·P`, after `k·G = U`.
fn plain_opening(ciphertext: &VerifiedCiphertext, rho: &Rho) -> Result<Opened, HintError> {
    let k = ciphertext.sealing_scalar(rho).to_le_bytes();
    let multiple = |point: &Point| {
        GroupElement::new(plain_multiple(&bls12381::to_jacobian(point.as_affine()), &k))
    };
    if !multiple(&Point::generator()).equals(ciphertext.u()) {
        return Err(HintError::Wrong);
    }
    let pad = multiple(KEY.point()).encode();
    let opened = ciphertext.open_body(&pad).map_err(|_| HintError::ProvesAead)?;
    if opened.rho == *rho { Ok(opened) } else { Err(HintError::OtherRho) }
}

#[test]
fn openings_by_many_hints() {
    let mut inputs = Inputs::new("hints");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let sealed: Vec<(VerifiedCiphertext, Rho)> = sealed(&mut inputs)
        .into_iter()
        .map(|(ciphertext, rho)| (ciphertext.verify(&KEY, AD).unwrap(), rho))
        .collect();
    while inputs.compared < INPUTS {
        let largest = if inputs.is_edge() { 3 } else { 200 };
        let size = inputs.below(largest) + 1;
        let mut hints: Vec<(&VerifiedCiphertext, Rho)> = (0..size)
            .map(|_| inputs.below(SEALED))
            .map(|choice| (&sealed[choice].0, sealed[choice].1))
            .collect();
        if inputs.is_edge() {
            inputs.count("a wrong hint");
            let (from, to) = (inputs.below(SEALED), inputs.below(size));
            hints[to].1 = sealed[from].1;
        } else if inputs.is_edge() && size > 1 {
            // Errors that would cancel if all weights were equal.
            inputs.count("two hints exchanged");
            let first = hints[0].1;
            hints[0].1 = hints[1].1;
            hints[1].1 = first;
        }
        let slow: Vec<_> = hints.iter().map(|(sealed, rho)| plain_opening(sealed, rho)).collect();
        let randomness = HintRandomness::new(inputs.bytes());
        let fast = hint::open_many(&KEY, &hints, randomness, &pool);
        assert_eq!(fast, slow, "{}", inputs.place());
        let weights: Vec<u128> = (0..size).map(|_| u128::from_le_bytes(inputs.bytes())).collect();
        let agree = WeightedSums::new(&hints, &weights).agree();
        assert_eq!(agree, slow.iter().all(Result::is_ok), "{}", inputs.place());
        inputs.compared += size;
    }
    inputs.finish(&["a wrong hint", "two hints exchanged"]);
}
