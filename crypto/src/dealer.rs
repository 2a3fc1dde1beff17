//! A trusted dealer, for tests and benches alone: whoever runs it could open everything.
//!
//! The feature `dealer` that this module stands behind is never in an operator's build.

use crate::certificate::{
    BLOCK_VERSION, BlockHeader, Emission, Emitted, Finalization, OrderCertificate, Placement,
    result_root,
};
use crate::committee::{Committee, CommitteeKey, KeyShare, PublicKeyShare, threshold};
use crate::domain::{Tag, frame};
use crate::lagrange::DELTA;
use crate::point::Point;
use crate::scalar::{Scalar, ScalarError};
use crate::{
    BlockDigest, BundleId, ConsensusSecret, Digest, Epoch, Height, NetworkId, SequencerIndex, View,
};

/// A secret polynomial.
#[derive(Clone, Debug)]
pub struct Polynomial(Vec<Scalar>);

impl Polynomial {
    /// The polynomial with these encoded coefficients, f(0) first.
    ///
    /// # Errors
    ///
    /// If one is no scalar.
    pub fn decode(coefficients: &[Vec<u8>]) -> Result<Self, ScalarError> {
        coefficients.iter().map(|bytes| Scalar::decode(bytes)).collect::<Result<_, _>>().map(Self)
    }

    /// A polynomial of degree t-1 from a seed.
    #[must_use]
    pub fn from_seed(t: u16, seed: &[u8; 32]) -> Self {
        let coefficient = |power: u16| derive(seed, b"coefficient", power);
        Self((0..t).map(coefficient).collect())
    }

    /// A polynomial of degree t-1 with the same value at zero, as resharing makes one.
    #[must_use]
    pub fn reshared(&self, t: u16, seed: &[u8; 32]) -> Self {
        let mut polynomial = Self::from_seed(t, seed);
        polynomial.0[0] = self.0[0];
        polynomial
    }

    /// `Δ·f(0)`, encoded.
    #[must_use]
    pub fn secret_key(&self) -> [u8; 32] {
        Scalar::from_u128(DELTA.into()).multiply(&self.0[0]).encode()
    }

    /// `Δ·f(0)·G`.
    ///
    /// # Panics
    ///
    /// If f(0) is zero.
    #[must_use]
    pub fn committee_key(&self) -> CommitteeKey {
        let constant_term = Point::generator().multiply_vartime(&self.0[0]).to_point();
        CommitteeKey::from_constant_term(&constant_term.expect("f(0) is not zero"))
    }

    /// `f(i)`, encoded.
    #[must_use]
    pub fn value(&self, index: SequencerIndex) -> [u8; 32] {
        let x = Scalar::from_u128(index.get().into());
        let step = |sum: Scalar, coefficient: &Scalar| sum.multiply(&x).add(coefficient);
        self.0.iter().rev().fold(Scalar::ZERO, step).encode()
    }

    /// The key share of sequencer i.
    ///
    /// # Panics
    ///
    /// If f(i) is zero.
    #[must_use]
    pub fn key_share(&self, index: SequencerIndex) -> KeyShare {
        KeyShare::decode(index, &self.value(index)).expect("f(i) is not zero")
    }
}

/// A committee with all of its secrets.
#[derive(Debug)]
pub struct Dealt {
    /// The committee.
    pub committee: Committee,
    /// Key shares, by index from 1.
    pub key_shares: Vec<KeyShare>,
    /// Consensus secrets, by index from 1.
    pub consensus_secrets: Vec<ConsensusSecret>,
    /// The polynomial.
    pub polynomial: Polynomial,
}

impl Dealt {
    /// A certificate of the last of these headers, signed by the first quorum of members.
    ///
    /// The headers must be complete: the first one is finalized in its own view.
    ///
    /// # Panics
    ///
    /// If there is no header.
    #[must_use]
    pub fn certify(
        &self,
        headers: Vec<BlockHeader>,
        emission: Emission,
        state_digest: Digest,
    ) -> OrderCertificate {
        let first = headers.first().expect("a header to finalize");
        let signers: Vec<SequencerIndex> = SequencerIndex::all(self.committee.quorum()).collect();
        let mut finalization = Finalization {
            epoch: first.epoch,
            view: first.view,
            parent_view: first.parent_view,
            block: first.digest(),
            signers,
            signatures: Vec::new(),
        };
        let message = finalization.signed_message(&first.network_id);
        finalization.signatures = finalization
            .signers
            .iter()
            .map(|signer| self.consensus_secrets[signer.position()].sign_bytes(&message))
            .collect();
        OrderCertificate { finalization, headers, emission, state_digest }
    }

    /// A certificate of one block at `height` that emits these ids in one cohort, all to be
    /// opened.
    #[must_use]
    pub fn certify_ids(
        &self,
        network_id: NetworkId,
        height: Height,
        ids: &[BundleId],
    ) -> OrderCertificate {
        let cohort = ids.iter().map(|id| Emitted { id: *id, placement: Placement::Open });
        let emission = Emission { height, cohorts: vec![cohort.collect()] };
        let state_digest = Digest::from_bytes([0; 32]);
        let header = BlockHeader {
            version: BLOCK_VERSION,
            network_id,
            epoch: self.committee.epoch(),
            epoch_start: Height::ZERO,
            height,
            parent: BlockDigest::from_bytes([0; 32]),
            leader: self.committee.consensus_keys()[0],
            view: View::new(height.get()),
            parent_view: View::new(height.get().saturating_sub(1)),
            time_ms: 0,
            result_root: result_root(&emission, &state_digest),
            body_digest: Digest::from_bytes([0; 32]),
        };
        self.certify(vec![header], emission, state_digest)
    }
}

/// Deals a committee of n from a seed.
///
/// # Panics
///
/// If n is 0 or above [`crate::committee::MAX_SEQUENCERS`].
#[must_use]
pub fn deal(epoch: Epoch, n: u16, seed: &[u8; 32]) -> Dealt {
    deal_polynomial(epoch, n, Polynomial::from_seed(threshold(n), seed), seed)
}

/// Deals the values of a polynomial to a committee of n with consensus keys from a seed.
///
/// # Panics
///
/// As [`deal`], and if the polynomial has another degree than the committee's threshold needs.
#[must_use]
pub fn deal_polynomial(epoch: Epoch, n: u16, polynomial: Polynomial, seed: &[u8; 32]) -> Dealt {
    let consensus =
        |member: u16| ConsensusSecret::from_seed(derive(seed, b"consensus", member).encode());
    let mut consensus_secrets: Vec<ConsensusSecret> = (1..=n).map(consensus).collect();
    consensus_secrets.sort_by_key(ConsensusSecret::public_key);
    let key_shares: Vec<KeyShare> =
        SequencerIndex::all(n).map(|index| polynomial.key_share(index)).collect();
    let public_key_shares: Vec<PublicKeyShare> =
        key_shares.iter().map(KeyShare::public_key_share).collect();
    let consensus_keys = consensus_secrets.iter().map(ConsensusSecret::public_key).collect();
    let committee =
        Committee::new(epoch, polynomial.committee_key(), public_key_shares, consensus_keys)
            .expect("a dealer's committee is consistent");
    Dealt { committee, key_shares, consensus_secrets, polynomial }
}

fn derive(seed: &[u8; 32], what: &[u8], number: u16) -> Scalar {
    let message = frame(&[b"dealer", seed, what, &number.to_be_bytes()]);
    Scalar::hash(Tag::TestDealer, &[&message])
}
