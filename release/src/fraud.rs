//! Fraud proofs: that what was said to be a rollup's batch is not what the committee released.
//!
//! A fraud proof is one file with two sides: what is certified, and what was said instead. Whoever
//! has the pinned committee judges it offline.
//!
//! | kind | certified side | false side | against whom |
//! |---|---|---|---|
//! | [`ServedBatch`] | a release with its certificate, and all of its leaves for the rollup | a batch | nobody: a batch carries no signature, and anybody can write one |
//! | [`SignedFrames`] | a run of batch documents | batcher transactions of L1 | the key that signed them |
//!
//! So a served batch's proof says to a rollup *do not take this*, and no more. A key is blamed only
//! by what that key signed.
//!
//! # Invariants
//!
//! 1. The certified side is verified as a document is: network, finality, root, completeness.
//! 2. No proof convicts what is certified: a batch that is the committee's is refused as true, and
//!    one of another height, rollup or network than the certified side proves nothing.
//! 3. Judging needs the file, the network id, the committee and the registry; no network, no clock.
//! 4. Every way to fail has a reason of its own.

mod signed;

use fairveil_crypto::committee::Committees;
use fairveil_crypto::{Height, NetworkId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use signed::{MAX_BATCHES, SignedError, SignedFrames, SignedVerdict};

use crate::batch::{Batch, Validation};
use crate::certificate::ReleaseCertificate;
use crate::document::{BatchDocument, DocumentError, verify_release};
use crate::proof::BatchProof;
use crate::registry::Registry;
use crate::release::{BatchError, ReleaseHeader, check_batch};

/// A fraud proof of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FraudProof {
    /// A batch that is not the committee's.
    Served(Box<ServedBatch>),
    /// Batcher transactions that say something else than is certified.
    Signed(Box<SignedFrames>),
}

/// A batch beside the release that it is not of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedBatch {
    /// The certified release of the batch's height.
    pub release: ReleaseHeader,
    /// That a final block lists its root.
    pub certificate: ReleaseCertificate,
    /// All leaves of the release that touch the batch's rollup.
    pub proof: BatchProof,
    /// What was said to be the batch.
    pub batch: Batch,
}

/// What a fraud proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FraudVerdict {
    /// A batch that is not the committee's; against nobody.
    Served {
        /// The rollup.
        chain_id: u64,
        /// The height.
        height: Height,
        /// In what it differs.
        difference: BatchError,
    },
    /// Signed batcher transactions that are false.
    Signed(SignedVerdict),
}

/// Why a fraud proof shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FraudError {
    /// The certified side proves nothing.
    #[error("the certified side: {0}")]
    Certified(#[from] DocumentError),
    /// The batch is said to be of another network.
    #[error("a batch of network {actual} beside a release of network {expected}")]
    Network {
        /// The batch's network.
        actual: NetworkId,
        /// The release's.
        expected: NetworkId,
    },
    /// The batch is said to be of another height.
    #[error("a batch of height {actual} beside the release of height {expected}")]
    Height {
        /// The batch's height.
        actual: Height,
        /// The release's.
        expected: Height,
    },
    /// Nothing is false.
    #[error("the batch of rollup {chain_id} at height {height} is what the committee released")]
    True {
        /// The rollup.
        chain_id: u64,
        /// The height.
        height: Height,
    },
    /// The signed transactions prove nothing.
    #[error(transparent)]
    Signed(#[from] SignedError),
}

/// How a rollup's legs were checked, as the registry says by which a release was cut; none if that
/// is another registry than this one, or does not list the rollup. Nor if others feed the rollup too:
/// then it depends on the views of the slot, of which the header has a digest alone.
#[must_use]
pub fn committed_validation(
    release: &ReleaseHeader,
    registry: &Registry,
    chain_id: u64,
) -> Option<Validation> {
    let rollup = registry.rollup(chain_id)?;
    let says = registry.digest() == release.registry && rollup.followed().is_none();
    says.then(|| Validation::of(rollup, &[]))
}

impl FraudProof {
    /// What it shows, and against whom.
    ///
    /// # Errors
    ///
    /// [`FraudError`], if it shows nothing.
    ///
    /// # Security
    ///
    /// `registry` is the pinned network's own. The blame of [`FraudVerdict::Signed`] holds for the
    /// rollup only if its system config names the key, the inbox and the times in the verdict.
    pub fn judge(
        &self,
        network_id: &NetworkId,
        committees: &impl Committees,
        registry: &Registry,
    ) -> Result<FraudVerdict, FraudError> {
        match self {
            Self::Served(served) => {
                let difference = served.judge(network_id, committees, registry)?;
                let Batch { chain_id, height, .. } = served.batch;
                Ok(FraudVerdict::Served { chain_id, height, difference })
            }
            Self::Signed(signed) => {
                Ok(FraudVerdict::Signed(signed.judge(network_id, committees, registry)?))
            }
        }
    }
}

impl ServedBatch {
    /// The batch beside the certified release that a document shows. Nothing is judged.
    #[must_use]
    pub fn new(certified: &BatchDocument, batch: Batch) -> Self {
        let BatchDocument { release, certificate, proof, .. } = certified.clone();
        Self { release, certificate, proof, batch }
    }

    /// In what the batch differs from the certified one.
    ///
    /// # Errors
    ///
    /// [`FraudError`], if it does not, or if the certified side proves nothing of it.
    pub fn judge(
        &self,
        network_id: &NetworkId,
        committees: &impl Committees,
        registry: &Registry,
    ) -> Result<BatchError, FraudError> {
        let Self { release, certificate, proof, batch } = self;
        verify_release(release, certificate, network_id, committees)?;
        let (actual, expected) = (batch.network_id, release.network_id);
        if actual != expected {
            return Err(FraudError::Network { actual, expected });
        }
        let (actual, expected) = (batch.height, release.height);
        if actual != expected {
            return Err(FraudError::Height { actual, expected });
        }
        let chain_id = batch.chain_id;
        let leaves = proof.verify(&release.tree_root, chain_id).map_err(DocumentError::Proof)?;
        if let Err(difference) = check_batch(release, chain_id, &leaves, batch) {
            return Ok(difference);
        }
        match committed_validation(release, registry, chain_id) {
            Some(expected) if expected != batch.validation => {
                Ok(BatchError::Validation { actual: batch.validation, expected })
            }
            _ => Err(FraudError::True { chain_id, height: batch.height }),
        }
    }
}

impl FraudVerdict {
    /// The key that is blamed, if one is.
    #[must_use]
    pub const fn signer(&self) -> Option<&alloy_primitives::Address> {
        match self {
            Self::Served { .. } => None,
            Self::Signed(verdict) => Some(&verdict.signer),
        }
    }

    /// The rollup.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        match self {
            Self::Served { chain_id, .. } => *chain_id,
            Self::Signed(verdict) => verdict.chain_id,
        }
    }
}

impl std::fmt::Display for FraudVerdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Served { chain_id, height, difference } => write!(
                out,
                "what is shown as the batch of rollup {chain_id} at height {height} is not the \
                 committee's: {difference}; it is not signed and blames nobody"
            ),
            Self::Signed(verdict) => verdict.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests;
