//! Decryption shares: made only for a final order, and judged (crypto.md 5).
//!
//! ```text
//! D_j    = s_i·U_j
//! seed   = H(SHARE-WEIGHTS, batch, i, vk_i, D_1, ..., D_B)
//! ρ_j    = the first 16 bytes of H(SHARE-WEIGHT, seed, j)           A = Σ ρ_j·U_j   C = Σ ρ_j·D_j
//! w      = Hs(SHARE-NONCE, s_i, batch, 32 fresh bytes)
//! e_s    = the first 16 bytes of H(SHARE-PROOF, batch, vk_i, A, C, w·G, w·A)     z_s = w + e_s·s_i
//! signature over H(SHARE-MESSAGE, i, batch, D_1, ..., D_B, e_s, z_s)
//! ```
//!
//! One proof covers the whole batch: the composite DLEQ of RFC 9497, a Chaum-Pedersen proof
//! (CRYPTO 1992) for random weights that the prover can not choose.
//!
//! # Invariants
//!
//! 1. A D leaves the machine only through [`PreparedShares::for_order`], which takes a
//!    [`FinalOrder`](crate::certificate::FinalOrder) and gives the shares of exactly its ids.
//!    Shares computed ahead have no other way to bytes, are not printed, and are wiped when they
//!    are forgotten.
//! 2. Multiplications by a key share or a proof nonce are constant time. A nonce depends on the
//!    batch and on fresh bytes, so that a restored machine does not repeat one under another
//!    challenge; `w = 0`, which would publish the key share, is refused.
//! 3. A share counts for its signer alone: without a valid signature it is dropped and nobody is
//!    named. What a signed share proves against its signer is a [`ShareFault`].
//! 4. [`SignedShare::verify_proof`] checks every D for the subgroup. Without that, components of
//!    order 3 pass about two times of three.

mod evidence;
mod prepared;

use serde::{Deserialize, Serialize};

pub use self::evidence::{EvidenceError, ShareEvidence};
#[cfg(any(test, feature = "dealer"))]
pub(crate) use self::prepared::proof_nonce;
pub use self::prepared::{MAX_PREPARED, PrepareError, PreparedShares, ShareError, ShareFreshness};

use crate::bls12381::Affine;
use crate::committee::{Committee, KeyShare, PublicKeyShare};
use crate::domain::{Hasher, Tag, hash};
use crate::hex::byte_newtype;
use crate::point::{FixedBase, GroupElement, Point, PointBytes, PointError, UncheckedPoint};
use crate::scalar::{Scalar, ScalarError, SecretScalar};
use crate::seal::half;
use crate::{BatchId, ConsensusSecret, Digest, SequencerIndex, Signature};

byte_newtype! {
    /// The challenge e_s of a share proof.
    ShareChallenge(16),
    /// The response z_s of a share proof, as it travels.
    ShareResponse(32),
}

/// One sequencer's decryption shares of a batch, with their proof and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedShare {
    /// Whose share it is.
    pub index: SequencerIndex,
    /// The batch.
    pub batch: BatchId,
    /// D of every ciphertext of the batch, in final order, as they travel.
    pub points: Vec<PointBytes>,
    /// e_s.
    pub challenge: ShareChallenge,
    /// z_s.
    pub response: ShareResponse,
    /// By the consensus key of the epoch that owns the height.
    pub signature: Signature,
}

/// What a signed share proves against its signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ShareFault {
    /// It has not one point for every ciphertext.
    #[error("{actual} points for {expected} ciphertexts")]
    Count {
        /// Points in the share.
        actual: u32,
        /// Ciphertexts in the batch.
        expected: u32,
    },
    /// A point does not decode.
    #[error("point {position} does not decode")]
    Point {
        /// Which, from 0.
        position: u32,
    },
    /// The response is not below the group order.
    #[error("response does not decode")]
    Response,
    /// A point is outside the subgroup.
    #[error("point {position} is not in the subgroup")]
    Subgroup {
        /// Which, from 0.
        position: u32,
    },
    /// The proof does not hold.
    #[error("proof does not hold")]
    Proof,
}

/// A share that is ignored: it proves nothing against anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableShare {
    /// Of another batch.
    #[error("share is of batch {actual}, {expected} is opened")]
    Batch {
        /// The batch of the share.
        actual: BatchId,
        /// The batch that is opened.
        expected: BatchId,
    },
    /// Of nobody in the committee.
    #[error("index {actual}, the committee has {n} members")]
    Index {
        /// The index in the share.
        actual: SequencerIndex,
        /// Members.
        n: u16,
    },
    /// Not signed by the sequencer that it names.
    #[error("signature of sequencer {0} does not verify")]
    Signature(SequencerIndex),
}

impl SignedShare {
    /// What the signature is over.
    #[must_use]
    pub fn message(&self) -> Digest {
        let mut hasher = Hasher::new(Tag::ShareMessage);
        hasher.item(&self.index.to_be_bytes());
        hasher.item(self.batch.as_bytes());
        self.points.iter().for_each(|point| hasher.item(point.as_bytes()));
        hasher.item(self.challenge.as_bytes());
        hasher.item(self.response.as_bytes());
        hasher.finish()
    }

    /// Judges that the named member of the committee signed the share, and for this batch.
    ///
    /// # Errors
    ///
    /// The first reason of [`UnusableShare`] that applies.
    pub fn verify_signature(
        &self,
        committee: &Committee,
        batch: &BatchId,
    ) -> Result<(), UnusableShare> {
        let (actual, n) = (self.index, committee.n());
        let key = committee.consensus_key(actual).ok_or(UnusableShare::Index { actual, n })?;
        if self.batch != *batch {
            return Err(UnusableShare::Batch { actual: self.batch, expected: *batch });
        }
        key.verify_digest(&self.message(), &self.signature)
            .map_err(|_| UnusableShare::Signature(actual))
    }

    /// Judges the whole share on its own: decoding, subgroup and proof.
    ///
    /// # Errors
    ///
    /// The first reason of [`ShareFault`] that applies.
    pub fn verify_proof(
        &self,
        public_key_share: &PublicKeyShare,
        sealed: &[Point],
    ) -> Result<(), ShareFault> {
        let response = self.decode_form(sealed.len())?;
        let points = (0..sealed.len())
            .map(|position| self.decode_point(position))
            .collect::<Result<Vec<UncheckedPoint>, ShareFault>>()?;
        let products = points
            .into_iter()
            .enumerate()
            .map(|(position, point)| {
                let position = count(position);
                point.check().map_err(|_| ShareFault::Subgroup { position })
            })
            .collect::<Result<Vec<Point>, ShareFault>>()?;
        let statement = Statement { batch: &self.batch, public_key_share };
        let weights = weights(&statement.seed(self.index, &self.points), products.len());
        let base = weighted_sum(sealed, &weights);
        let product = weighted_sum(&products, &weights);
        let challenge = u128::from_be_bytes(self.challenge.to_bytes());
        let encoded = GroupElement::encode_many(&[
            base,
            product,
            FixedBase::generator()
                .multiply_vartime(&response)
                .subtract(&public_key_share.0.multiply_short_vartime(challenge)),
            base.multiply_vartime(&response).subtract(&product.multiply_short_vartime(challenge)),
        ]);
        if statement.challenge(&encoded) == self.challenge {
            Ok(())
        } else {
            Err(ShareFault::Proof)
        }
    }

    /// Judges everything but the points: their number, and the response, which is returned.
    pub(crate) fn decode_form(&self, ciphertexts: usize) -> Result<Scalar, ShareFault> {
        if self.points.len() != ciphertexts {
            let (actual, expected) = (count(self.points.len()), count(ciphertexts));
            return Err(ShareFault::Count { actual, expected });
        }
        Scalar::decode(self.response.as_bytes()).map_err(|_: ScalarError| ShareFault::Response)
    }

    /// Decodes one point. The subgroup is not checked.
    pub(crate) fn decode_point(&self, position: usize) -> Result<UncheckedPoint, ShareFault> {
        UncheckedPoint::decode(self.points[position].as_bytes()).map_err(|_: PointError| {
            let position = count(position);
            ShareFault::Point { position }
        })
    }
}

/// What a share proof is about, besides its points.
struct Statement<'a> {
    batch: &'a BatchId,
    public_key_share: &'a PublicKeyShare,
}

impl Statement<'_> {
    fn seed(&self, index: SequencerIndex, points: &[PointBytes]) -> Digest {
        let mut seed = Hasher::new(Tag::ShareWeights);
        seed.item(self.batch.as_bytes());
        seed.item(&index.to_be_bytes());
        seed.item(self.public_key_share.encode().as_bytes());
        points.iter().for_each(|point| seed.item(point.as_bytes()));
        seed.finish()
    }

    /// Over A, C, w·G and w·A, as they are encoded.
    fn challenge(&self, encoded: &[PointBytes]) -> ShareChallenge {
        let mut hasher = Hasher::new(Tag::ShareProof);
        hasher.item(self.batch.as_bytes());
        hasher.item(self.public_key_share.encode().as_bytes());
        encoded.iter().for_each(|point| hasher.item(point.as_bytes()));
        ShareChallenge::from_bytes(half(&hasher.finish()))
    }
}

fn weights(seed: &Digest, points: usize) -> Vec<u128> {
    let weight = |position: u32| {
        let digest = hash(Tag::ShareWeight, &[seed.as_bytes(), &position.to_be_bytes()]);
        u128::from_be_bytes(half(&digest))
    };
    (1..=count(points)).map(weight).collect()
}

fn weighted_sum(points: &[Point], weights: &[u128]) -> GroupElement {
    let points: Vec<Affine> = points.iter().map(|point| *point.as_affine()).collect();
    GroupElement::weighted_sum_vartime(&points, weights)
}

/// Proves and signs the shares of one batch.
pub(crate) struct Prover<'a> {
    batch: BatchId,
    key_share: &'a KeyShare,
}

impl<'a> Prover<'a> {
    pub(crate) fn new(batch: BatchId, key_share: &'a KeyShare) -> Self {
        Self { batch, key_share }
    }

    /// Proves `products = secret · sealed` with the nonce `w`, and signs.
    pub(crate) fn prove(
        &self,
        sealed: &[Point],
        products: &[Point],
        w: SecretScalar,
        consensus: &ConsensusSecret,
    ) -> (SignedShare, ShareTrace) {
        let index = self.key_share.index();
        let statement =
            Statement { batch: &self.batch, public_key_share: &self.key_share.public_key_share() };
        let points: Vec<PointBytes> = products.iter().map(Point::encode).collect();
        let seed = statement.seed(index, &points);
        let weights = weights(&seed, points.len());
        let base = || weighted_sum(sealed, &weights);
        let product = || weighted_sum(products, &weights);
        // On a pool's thread both at once; elsewhere there is no pool that this may use.
        let (base, product) = match rayon::current_thread_index() {
            Some(_) => rayon::join(base, product),
            None => (base(), product()),
        };
        let encoded = GroupElement::encode_many(&[
            base,
            product,
            Point::generator().multiply(&w),
            base.to_point().map_or(GroupElement::infinity(), |base| base.multiply(&w)),
        ]);
        let challenge = statement.challenge(&encoded);
        let number = u128::from_be_bytes(challenge.to_bytes());
        let response = w.respond(number, self.key_share.secret()).encode();
        let mut share = SignedShare {
            index,
            batch: self.batch,
            points,
            challenge,
            response: ShareResponse::from_bytes(response),
            signature: Signature::from_bytes([0; 64]),
        };
        share.signature = consensus.sign_digest(&share.message());
        let [base, product, commitments @ ..] = [0, 1, 2, 3].map(|place| encoded[place]);
        let trace = ShareTrace { seed, weights, base, product, commitments };
        (share, trace)
    }
}

/// What lies between the points of a share and its proof: all of it public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareTrace {
    /// The seed of the weights.
    pub seed: Digest,
    /// The weights.
    pub weights: Vec<u128>,
    /// A.
    pub base: PointBytes,
    /// C.
    pub product: PointBytes,
    /// w·G and w·A.
    pub commitments: [PointBytes; 2],
}

/// Positions and counts within a batch, which a block bounds far below 2^32.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
