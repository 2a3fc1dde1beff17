//! Shares computed ahead of the final order, and the only way out for them.

use std::collections::BTreeMap;
use std::fmt;

use rayon::ThreadPool;
use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Prover, SignedShare};
use crate::certificate::FinalOrder;
use crate::committee::{KeyShare, PublicKeyShare};
use crate::domain::Tag;
use crate::envelope::VerifiedBundle;
use crate::point::{Point, SecretPoint};
use crate::scalar::SecretScalar;
use crate::{BundleId, ConsensusSecret, KeyId, SequencerIndex};

/// Bundles that shares are computed ahead for, at most.
pub const MAX_PREPARED: usize = 65_536;

/// 32 fresh bytes from the caller's CSPRNG, for the proof of one share.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ShareFreshness([u8; 32]);

impl ShareFreshness {
    /// These bytes, which are used for one share.
    #[must_use]
    pub fn new(mut fresh: [u8; 32]) -> Self {
        let freshness = Self(fresh);
        fresh.zeroize();
        freshness
    }
}

impl fmt::Debug for ShareFreshness {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ShareFreshness(<redacted>)")
    }
}

/// Why a share can not be computed ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The store is of another key share: of another epoch, or another sequencer.
    #[error("key share of sequencer {actual}, the prepared ones are of another")]
    OtherKeyShare {
        /// Whose key share was given.
        actual: SequencerIndex,
    },
    /// Too many at once; forget some.
    #[error("{limit} shares are prepared already")]
    Full {
        /// How many there can be.
        limit: usize,
    },
}

/// Why there is no share for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The order opens nothing.
    #[error("the order opens nothing")]
    NothingToOpen,
    /// The key share is not of the committee that owns the height.
    #[error("key share of sequencer {0} is not of the committee that owns the height")]
    OtherCommittee(SequencerIndex),
    /// The consensus key is not the one of that sequencer in the committee.
    #[error("consensus key is not the one of sequencer {0}")]
    OtherConsensusKey(SequencerIndex),
    /// No share was computed for an id of the order.
    #[error("no share is prepared for {0}")]
    NotPrepared(BundleId),
    /// A bundle of the order is sealed to another committee key.
    #[error("{id} is sealed to key {actual}, the order's committee has {expected}")]
    OtherKey {
        /// The bundle.
        id: BundleId,
        /// The key it is sealed to.
        actual: KeyId,
        /// The committee's key.
        expected: KeyId,
    },
    /// The proof nonce is zero, which would publish the key share.
    #[error("proof nonce is zero, draw again")]
    ZeroNonce,
}

/// Decryption shares that were computed and kept at home. As secret as the key share.
///
/// They can be made before an order is final, since that takes most of the time of a share; they
/// leave by [`Self::for_order`] alone.
pub struct PreparedShares {
    public_key_share: PublicKeyShare,
    by_id: BTreeMap<BundleId, Prepared>,
}

struct Prepared {
    sealed: Point,
    key_id: KeyId,
    product: SecretPoint,
}

impl PreparedShares {
    /// An empty store for the shares made with this key share.
    #[must_use]
    pub fn new(key_share: &KeyShare) -> Self {
        Self { public_key_share: key_share.public_key_share(), by_id: BTreeMap::new() }
    }

    /// Computes the share of a bundle, in constant time.
    ///
    /// # Errors
    ///
    /// If the key share is another one, or the store is full.
    pub fn prepare(
        &mut self,
        key_share: &KeyShare,
        bundle: &VerifiedBundle,
    ) -> Result<(), PrepareError> {
        self.check(key_share, 1)?;
        if !self.by_id.contains_key(&bundle.id()) {
            let (id, prepared) = compute(key_share, bundle);
            self.by_id.insert(id, prepared);
        }
        Ok(())
    }

    /// Computes the shares of many bundles on a pool.
    ///
    /// # Errors
    ///
    /// As [`Self::prepare`]; then none is added.
    pub fn prepare_many(
        &mut self,
        key_share: &KeyShare,
        bundles: &[VerifiedBundle],
        pool: &ThreadPool,
    ) -> Result<(), PrepareError> {
        self.check(key_share, bundles.len())?;
        let missing: Vec<&VerifiedBundle> =
            bundles.iter().filter(|bundle| !self.by_id.contains_key(&bundle.id())).collect();
        let computed: Vec<(BundleId, Prepared)> =
            pool.install(|| missing.par_iter().map(|bundle| compute(key_share, bundle)).collect());
        self.by_id.extend(computed);
        Ok(())
    }

    /// Whether a share of this bundle is there.
    #[must_use]
    pub fn contains(&self, id: &BundleId) -> bool {
        self.by_id.contains_key(id)
    }

    /// How many shares are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Wipes the share of a bundle: it was opened, or has expired.
    pub fn forget(&mut self, id: &BundleId) {
        self.by_id.remove(id);
    }

    /// The signed share of a final order: the only way to bytes.
    ///
    /// # Errors
    ///
    /// The first reason of [`ShareError`] that applies.
    pub fn for_order(
        &self,
        order: &FinalOrder,
        key_share: &KeyShare,
        consensus: &ConsensusSecret,
        freshness: ShareFreshness,
    ) -> Result<SignedShare, ShareError> {
        let (index, committee) = (key_share.index(), order.committee());
        let public = key_share.public_key_share();
        if self.public_key_share != public || committee.public_key_share(index) != Some(public) {
            return Err(ShareError::OtherCommittee(index));
        }
        if committee.consensus_key(index) != Some(consensus.public_key()) {
            return Err(ShareError::OtherConsensusKey(index));
        }
        if order.to_open().is_empty() {
            return Err(ShareError::NothingToOpen);
        }
        let (mut sealed, mut products) = (Vec::new(), Vec::new());
        for id in order.to_open() {
            let prepared = self.by_id.get(id).ok_or(ShareError::NotPrepared(*id))?;
            let (actual, expected) = (prepared.key_id, committee.key_id());
            if actual != expected {
                return Err(ShareError::OtherKey { id: *id, actual, expected });
            }
            sealed.push(prepared.sealed);
            products.push(prepared.product.publish());
        }
        let secret = key_share.secret();
        let w = proof_nonce(&secret.expose_encoding(), order.batch().as_bytes(), &freshness.0);
        if w.is_zero() {
            return Err(ShareError::ZeroNonce);
        }
        let prover = Prover::new(order.batch(), key_share);
        Ok(prover.prove(&sealed, &products, w, consensus).0)
    }
}

impl fmt::Debug for PreparedShares {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PreparedShares({}, <redacted>)", self.by_id.len())
    }
}

impl PreparedShares {
    fn check(&self, key_share: &KeyShare, more: usize) -> Result<(), PrepareError> {
        if self.public_key_share != key_share.public_key_share() {
            return Err(PrepareError::OtherKeyShare { actual: key_share.index() });
        }
        if self.by_id.len() + more > MAX_PREPARED {
            return Err(PrepareError::Full { limit: MAX_PREPARED });
        }
        Ok(())
    }
}

fn compute(key_share: &KeyShare, bundle: &VerifiedBundle) -> (BundleId, Prepared) {
    let sealed = *bundle.ciphertext().u();
    // A key share is not zero and U is of prime order, so the product is finite.
    let product = SecretPoint::multiple(&sealed, key_share.secret())
        .expect("the product of a key share and a finite point is finite");
    (bundle.id(), Prepared { sealed, key_id: bundle.header().key_id, product })
}

/// `Hs(SHARE-NONCE, s_i, batch, fresh)`.
pub(crate) fn proof_nonce(secret: &[u8; 32], batch: &[u8; 32], fresh: &[u8; 32]) -> SecretScalar {
    SecretScalar::hash(Tag::ShareNonce, &[secret, batch, fresh])
}
