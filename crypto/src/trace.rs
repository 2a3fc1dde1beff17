//! Intermediate values of sealing and sharing, with randomness injected: for vectors alone.
//!
//! Behind the feature `dealer`, never in an operator's build.

use crate::committee::{CommitteeKey, KeyShare};
use crate::domain::frame;
use crate::lagrange::Combiner;
use crate::point::{Point, PointBytes, UncheckedPoint};
use crate::scalar::{Scalar, ScalarError, SecretScalar};
use crate::seal::Rho;
use crate::share::{Prover, ShareTrace, SignedShare};
use crate::{BatchId, ConsensusSecret, SequencerIndex};

/// What lies between `rho` and the key of the cipher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealTrace {
    /// k.
    pub k: [u8; 32],
    /// K.
    pub pad: PointBytes,
    /// The key of the cipher.
    pub key: [u8; 32],
    /// Its associated data.
    pub aad: Vec<u8>,
}

/// The values of a sealing under a committee key with this header and `rho`.
#[must_use]
pub fn seal(key: &CommitteeKey, ad: &[u8], rho: &Rho) -> SealTrace {
    let k = crate::seal::sealing_scalar(key.key_id(), rho);
    let u = Point::generator().multiply_vartime(&k).encode();
    let pad = key.point().multiply_vartime(&k).encode();
    let context = crate::seal::Context::new(key.key_id(), ad);
    SealTrace {
        k: k.encode(),
        pad,
        key: *context.cipher_key(&u, &pad),
        aad: frame(&[key.key_id().as_bytes(), &context.ad_digest]),
    }
}

/// `k·point`, encoded: W and W̄ from `a`.
///
/// # Errors
///
/// If `a` is no scalar.
pub fn multiple(point: &Point, scalar: &[u8]) -> Result<PointBytes, ScalarError> {
    Ok(point.multiply_vartime(&Scalar::decode(scalar)?).encode())
}

/// The signed share of a batch with an injected proof nonce `w`, and its values.
///
/// # Errors
///
/// If `w` is no scalar.
///
/// # Panics
///
/// If a product is infinity, which no key share gives.
pub fn share(
    batch: BatchId,
    sealed: &[Point],
    key_share: &KeyShare,
    w: &[u8],
    consensus: &ConsensusSecret,
) -> Result<(SignedShare, ShareTrace), ScalarError> {
    let products: Vec<Point> = sealed
        .iter()
        .map(|point| point.multiply(key_share.secret()).to_point().expect("finite"))
        .collect();
    let prover = Prover::new(batch, key_share);
    Ok(prover.prove(sealed, &products, SecretScalar::decode(w)?, consensus))
}

/// `Hs(SHARE-NONCE, s_i, batch, fresh)`, encoded.
#[must_use]
pub fn proof_nonce(secret: &[u8; 32], batch: &BatchId, fresh: &[u8; 32]) -> [u8; 32] {
    *crate::share::proof_nonce(secret, batch.as_bytes(), fresh).expose_encoding()
}

/// `H(items...)` without a tag.
#[must_use]
pub fn frame_hash(items: &[&[u8]]) -> [u8; 32] {
    crate::domain::sha256(&frame(items))
}

/// `Hs(tag, items...)` for any tag: the uniform bytes, and the encoded scalar.
#[must_use]
pub fn hash_to_scalar(tag: &[u8], items: &[&[u8]]) -> ([u8; 48], [u8; 32]) {
    let uniform = crate::bls12381::expand_message_xmd(&frame(items), tag);
    let scalar = Scalar(crate::bls12381::scalar_from_wide_be_bytes(&uniform));
    (uniform, scalar.encode())
}

/// `Σ Δ·λ_i·D_i`, encoded.
///
/// # Panics
///
/// If an index stands twice, or a point does not decode.
#[must_use]
pub fn combine(indices: &[SequencerIndex], points: &[PointBytes]) -> PointBytes {
    let points: Vec<UncheckedPoint> = points
        .iter()
        .map(|point| UncheckedPoint::decode(point.as_bytes()).expect("a point"))
        .collect();
    let combiner = Combiner::new(indices).expect("distinct indices");
    combiner.combine(|member| &points[member]).encode()
}
