//! Opening hints: checking an opening without a key share (crypto.md 5).
//!
//! The `rho` of a ciphertext lets anyone recompute k, check `k·G = U`, open the body under `k·P`
//! and compare. Many hints are checked together: `Σ θ_j·U_j = (Σ θ_j·k_j)·G` with random 128-bit
//! θ_j. So sequencers divide the combining among themselves.
//!
//! # Invariants
//!
//! 1. A wrong hint is never believed: a batch that fails is checked one by one.
//! 2. The weights come from bytes that the caller draws after the hints have arrived; whoever
//!    sends hints can not know them.
//! 3. `failed(aead)` and `failed(rho)` have no hint: whoever doubts them combines shares. A `rho`
//!    with `k·G = U` whose body does not open under `k·P` does prove `failed(aead)`.

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::bls12381::Affine;
use crate::committee::CommitteeKey;
use crate::domain::{Tag, hash};
use crate::point::{FixedBase, GroupElement, PointBytes};
use crate::scalar::Scalar;
use crate::seal::{AeadError, Opened, Rho, VerifiedCiphertext, half};

/// Hints that a worker opens together, to share an inversion.
const CHUNK: usize = 16;

/// The smallest piece of a sum that a thread gets: smaller ones lose what many points at once gain.
const PIECE: usize = 64;

/// Why a hint is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HintError {
    /// It is not the seed of this ciphertext.
    #[error("the hint is not the seed of this ciphertext")]
    Wrong,
    /// It is, and the body does not open under its pad: this proves `failed(aead)`.
    #[error("the seed is right and the body does not open")]
    ProvesAead,
    /// It is, and the body holds another one.
    #[error("the seed is right and the body holds another one")]
    OtherRho,
}

/// Random bytes for the weights of one check, drawn after the hints have arrived.
#[derive(Clone, Copy, Debug)]
pub struct HintRandomness([u8; 32]);

impl HintRandomness {
    /// These bytes.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    fn weights(&self, count: usize) -> Vec<u128> {
        let weight = |position: usize| {
            let position = (position as u64).to_be_bytes();
            u128::from_be_bytes(half(&hash(Tag::HintWeight, &[&self.0, &position])))
        };
        (0..count).map(weight).collect()
    }
}

/// Opens a ciphertext with a hint.
///
/// # Errors
///
/// If it is not believed.
pub fn open(
    key: &CommitteeKey,
    ciphertext: &VerifiedCiphertext,
    rho: &Rho,
) -> Result<Opened, HintError> {
    let k = ciphertext.sealing_scalar(rho);
    if !FixedBase::generator().multiply_vartime(&k).equals(ciphertext.u()) {
        return Err(HintError::Wrong);
    }
    open_with(&key.table().multiply_vartime(&k).encode(), ciphertext, rho)
}

/// Opens many ciphertexts with their hints on a pool, with one check for all; verdicts in the
/// order given.
#[must_use]
pub fn open_many(
    key: &CommitteeKey,
    hints: &[(&VerifiedCiphertext, Rho)],
    randomness: HintRandomness,
    pool: &ThreadPool,
) -> Vec<Result<Opened, HintError>> {
    let scalar = |(ciphertext, rho): &(&VerifiedCiphertext, Rho)| ciphertext.sealing_scalar(rho);
    let scalars: Vec<Scalar> = pool.install(|| hints.par_iter().map(scalar).collect());
    let weights = randomness.weights(hints.len());
    if !pool.install(|| WeightedSums::of_many(hints, &scalars, &weights)).agree() {
        let single = |(ciphertext, rho): &(&VerifiedCiphertext, Rho)| open(key, ciphertext, rho);
        return pool.install(|| hints.par_iter().map(single).collect());
    }
    let pad = |k: &Scalar| key.table().multiply_vartime(k);
    let open_chunk = |(hints, scalars): (&[(&VerifiedCiphertext, Rho)], &[Scalar])| {
        let pads: Vec<GroupElement> = scalars.iter().map(pad).collect();
        let open = |((ciphertext, rho), pad): (&(&VerifiedCiphertext, Rho), &PointBytes)| {
            open_with(pad, ciphertext, rho)
        };
        hints.iter().zip(&GroupElement::encode_many(&pads)).map(open).collect::<Vec<_>>()
    };
    let chunks = hints.par_chunks(CHUNK).zip(scalars.par_chunks(CHUNK));
    pool.install(|| chunks.flat_map_iter(open_chunk).collect())
}

/// The two sides of the equation that many hints are checked with.
#[derive(Clone, Copy)]
pub struct WeightedSums {
    points: GroupElement,
    scalar: Scalar,
}

impl WeightedSums {
    /// `Σ θ_j·U_j` and `Σ θ_j·k_j`, the weights in the order of the hints.
    #[must_use]
    pub fn new(hints: &[(&VerifiedCiphertext, Rho)], weights: &[u128]) -> Self {
        Self::of(hints, &sealing_scalars(hints), weights)
    }

    fn of(hints: &[(&VerifiedCiphertext, Rho)], scalars: &[Scalar], weights: &[u128]) -> Self {
        let points: Vec<Affine> =
            hints.iter().map(|(ciphertext, _)| *ciphertext.u().as_affine()).collect();
        let add = |sum: Scalar, (k, weight): (&Scalar, &u128)| {
            sum.add(&k.multiply(&Scalar::from_u128(*weight)))
        };
        Self {
            points: GroupElement::weighted_sum_vartime(&points, weights),
            scalar: scalars.iter().zip(weights).fold(Scalar::ZERO, add),
        }
    }

    /// The same, in as many pieces as the current pool has threads, if there is enough to do.
    fn of_many(hints: &[(&VerifiedCiphertext, Rho)], scalars: &[Scalar], weights: &[u128]) -> Self {
        let piece = hints.len().div_ceil(rayon::current_num_threads()).max(PIECE);
        let pieces = hints.par_chunks(piece).zip(scalars.par_chunks(piece));
        pieces
            .zip(weights.par_chunks(piece))
            .map(|((hints, scalars), weights)| Self::of(hints, scalars, weights))
            .reduce(Self::zero, |one, other| Self {
                points: one.points.add(&other.points),
                scalar: one.scalar.add(&other.scalar),
            })
    }

    fn zero() -> Self {
        Self { points: GroupElement::infinity(), scalar: Scalar::ZERO }
    }

    /// The encoding of the sum of points.
    #[must_use]
    pub fn points(&self) -> PointBytes {
        self.points.encode()
    }

    /// The sum of scalars.
    #[must_use]
    pub fn scalar(&self) -> Scalar {
        self.scalar
    }

    /// Whether the equation holds: all hints are right.
    #[must_use]
    pub fn agree(&self) -> bool {
        FixedBase::generator().multiply_vartime(&self.scalar).equals_element(&self.points)
    }
}

fn sealing_scalars(hints: &[(&VerifiedCiphertext, Rho)]) -> Vec<Scalar> {
    hints.iter().map(|(ciphertext, rho)| ciphertext.sealing_scalar(rho)).collect()
}

fn open_with(
    pad: &PointBytes,
    ciphertext: &VerifiedCiphertext,
    rho: &Rho,
) -> Result<Opened, HintError> {
    let opened = ciphertext.open_body(pad).map_err(|AeadError| HintError::ProvesAead)?;
    if opened.rho == *rho { Ok(opened) } else { Err(HintError::OtherRho) }
}
