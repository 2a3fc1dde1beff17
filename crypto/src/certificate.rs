//! The order certificate: proof of a final order, and the only way to a [`FinalOrder`].
//!
//! A block's header commits to what it emitted (`result_root`). A quorum's finalization covers the
//! digest of a header, so it certifies that block and all its ancestors. The certificate carries
//! the finalization, the chain of headers from the finalized block down to the certified one, and
//! the emission that the last header commits to. Whoever checks it needs the network id and the
//! committee of the epoch, and nothing of the consensus engine ([`simplex`]).
//!
//! # Invariants
//!
//! 1. A [`FinalOrder`] is only made by [`OrderCertificate::verify`]. So a decryption share, which
//!    needs one, never leaves for an id that was only reported, proposed, notarized or voted on.
//! 2. At least a quorum of distinct members of the committee of that epoch signed the finalization
//!    of the first header, in the engine's own signed bytes.
//! 3. Every header is the parent of the one before it, by digest, height and epoch; all belong to
//!    the network.
//! 4. The emission is the one that the last header commits to.
//!
//! # Security
//!
//! With fewer than a third of the committee faulty no two certificates for one height disagree.
//! Confidentiality before the order rests on invariant 1 in every honest member, and on t.

pub mod body;
mod error;
pub mod simplex;

pub use error::CertificateError;
use serde::{Deserialize, Serialize};

use crate::committee::Committee;
use crate::domain::{Hasher, Tag};
use crate::signature::invalid_signatures;
use crate::{
    BatchId, BlockDigest, BundleId, ConsensusPublicKey, Digest, Epoch, Height, NetworkId,
    SequencerIndex, Signature, View,
};

/// The version of block headers.
pub const BLOCK_VERSION: u8 = 2;

/// Headers in a certificate, at most.
pub const MAX_HEADERS: usize = 256;

/// What the digest of a block covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockHeader {
    /// [`BLOCK_VERSION`].
    pub version: u8,
    /// The network.
    pub network_id: NetworkId,
    /// The epoch that owns the height.
    pub epoch: Epoch,
    /// The height of the block that the epoch begins with: the engine counts from there.
    pub epoch_start: Height,
    /// The height.
    pub height: Height,
    /// The block below.
    pub parent: BlockDigest,
    /// Who proposed it.
    pub leader: ConsensusPublicKey,
    /// The view in which it was proposed.
    pub view: View,
    /// The view of the block below.
    pub parent_view: View,
    /// Committed time.
    pub time_ms: u64,
    /// What the block emits, and the state after it: [`result_root`].
    pub result_root: Digest,
    /// Digest of the rest of the block.
    pub body_digest: Digest,
}

impl BlockHeader {
    /// The block's digest: the engine's payload.
    #[must_use]
    pub fn digest(&self) -> BlockDigest {
        let mut hasher = Hasher::new(Tag::Block);
        hasher.item(&[self.version]);
        hasher.item(self.network_id.as_bytes());
        hasher.item(&self.epoch.get().to_be_bytes());
        hasher.item(&self.epoch_start.get().to_be_bytes());
        hasher.item(&self.height.get().to_be_bytes());
        hasher.item(self.parent.as_bytes());
        hasher.item(self.leader.as_bytes());
        hasher.item(&self.view.get().to_be_bytes());
        hasher.item(&self.parent_view.get().to_be_bytes());
        hasher.item(&self.time_ms.to_be_bytes());
        hasher.item(self.result_root.as_bytes());
        hasher.item(self.body_digest.as_bytes());
        BlockDigest::from_bytes(hasher.finish().to_bytes())
    }

    fn verify_origin(&self, network_id: &NetworkId, epoch: Epoch) -> Result<(), CertificateError> {
        if self.version != BLOCK_VERSION {
            let (height, actual) = (self.height, self.version);
            return Err(CertificateError::Version { height, actual });
        }
        if self.network_id != *network_id {
            let (actual, expected) = (self.network_id, *network_id);
            return Err(CertificateError::Network { actual, expected });
        }
        if self.epoch != epoch {
            let (actual, expected) = (self.epoch, epoch);
            return Err(CertificateError::Epoch { actual, expected });
        }
        Ok(())
    }
}

/// A quorum's signatures under a block: the engine's finalization.
///
/// Its views are those of the round that finalized the block. A block that was proposed again in a
/// later view keeps its header, so they need not be the header's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finalization {
    /// The epoch.
    pub epoch: Epoch,
    /// The view in which it was finalized.
    pub view: View,
    /// The view of its parent.
    pub parent_view: View,
    /// The finalized block.
    pub block: BlockDigest,
    /// Who signed, strictly ascending.
    pub signers: Vec<SequencerIndex>,
    /// Their signatures, in the same order.
    pub signatures: Vec<Signature>,
}

/// What becomes of an id at the place where it is emitted (release.md 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Placement {
    /// It is to be opened.
    Open,
    /// Its window has passed.
    Expired,
    /// Its payer used the nonce before.
    NonceUsed,
    /// Its payer can not pay.
    Unfunded,
}

impl Placement {
    const fn byte(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Expired => 1,
            Self::NonceUsed => 2,
            Self::Unfunded => 3,
        }
    }
}

/// One id at its place in the fair order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emitted {
    /// The bundle.
    pub id: BundleId,
    /// What becomes of it.
    pub placement: Placement,
}

/// What a block emits: cohorts in the fair order, ids in their order within each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emission {
    /// The height.
    pub height: Height,
    /// The cohorts.
    pub cohorts: Vec<Vec<Emitted>>,
}

impl Emission {
    /// All ids in the final order.
    pub fn ids(&self) -> impl Iterator<Item = &Emitted> {
        self.cohorts.iter().flatten()
    }

    /// The ids that are to be opened, in the final order.
    #[must_use]
    pub fn to_open(&self) -> Vec<BundleId> {
        let open = self.ids().filter(|emitted| emitted.placement == Placement::Open);
        open.map(|emitted| emitted.id).collect()
    }
}

/// `H(RESULT-ROOT, height, state_digest, cohort_1, cohort_2, ...)`: the height as 8 bytes
/// big-endian, each cohort as one item of 33 bytes per id, the id and its placement
/// (0 open, 1 expired, 2 nonce used, 3 unfunded).
#[must_use]
pub fn result_root(emission: &Emission, state_digest: &Digest) -> Digest {
    let mut hasher = Hasher::new(Tag::ResultRoot);
    hasher.item(&emission.height.get().to_be_bytes());
    hasher.item(state_digest.as_bytes());
    for cohort in &emission.cohorts {
        let mut item = Vec::with_capacity(33 * cohort.len());
        for emitted in cohort {
            item.extend_from_slice(emitted.id.as_bytes());
            item.push(emitted.placement.byte());
        }
        hasher.item(&item);
    }
    hasher.finish()
}

/// The identity of a batch: `H(BATCH, network_id, height, block, id_1, ..., id_B)`.
#[must_use]
pub fn batch_id(
    network_id: &NetworkId,
    height: Height,
    block: &BlockDigest,
    ids: &[BundleId],
) -> BatchId {
    let mut hasher = Hasher::new(Tag::Batch);
    hasher.item(network_id.as_bytes());
    hasher.item(&height.get().to_be_bytes());
    hasher.item(block.as_bytes());
    ids.iter().for_each(|id| hasher.item(id.as_bytes()));
    BatchId::from_bytes(hasher.finish().to_bytes())
}

/// Proof that the last of its headers is final, and of what that block emitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderCertificate {
    /// The quorum's word on the first header.
    pub finalization: Finalization,
    /// The finalized block first, each the child of the next; the last one is certified.
    pub headers: Vec<BlockHeader>,
    /// What the last header's block emitted.
    pub emission: Emission,
    /// The state after the last header's block.
    pub state_digest: Digest,
}

impl OrderCertificate {
    /// The final order that the certificate proves.
    ///
    /// # Errors
    ///
    /// The first of the module's invariants that is broken.
    pub fn verify(
        &self,
        network_id: &NetworkId,
        committee: &Committee,
    ) -> Result<FinalOrder, CertificateError> {
        let certified = final_header(&self.finalization, &self.headers, network_id, committee)?;
        if self.emission.height != certified.height {
            let (actual, expected) = (self.emission.height, certified.height);
            return Err(CertificateError::Height { actual, expected });
        }
        let root = result_root(&self.emission, &self.state_digest);
        if root != certified.result_root {
            let expected = certified.result_root;
            return Err(CertificateError::ResultRoot { actual: root, expected });
        }
        let (block, to_open) = (certified.digest(), self.emission.to_open());
        Ok(FinalOrder {
            network_id: *network_id,
            committee: committee.clone(),
            height: certified.height,
            time_ms: certified.time_ms,
            block,
            batch: batch_id(network_id, certified.height, &block, &to_open),
            to_open,
            emission: self.emission.clone(),
        })
    }
}

/// The last of these headers, which the finalization proves final: invariants 2 and 3.
///
/// # Errors
///
/// The first of them that is broken.
pub fn final_header<'a>(
    finalization: &Finalization,
    headers: &'a [BlockHeader],
    network_id: &NetworkId,
    committee: &Committee,
) -> Result<&'a BlockHeader, CertificateError> {
    let (actual, limit) = (headers.len(), MAX_HEADERS);
    let (Some(first), Some(last), true) = (headers.first(), headers.last(), actual <= limit) else {
        return Err(CertificateError::Headers { actual, limit });
    };
    for header in headers {
        header.verify_origin(network_id, committee.epoch())?;
    }
    if finalization.block != first.digest() {
        let (actual, expected) = (finalization.block, first.digest());
        return Err(CertificateError::Block { actual, expected });
    }
    for pair in headers.windows(2) {
        let (child, parent) = (&pair[0], &pair[1]);
        let (height, actual, expected) = (parent.height, parent.digest(), child.parent);
        if actual != expected {
            return Err(CertificateError::Parent { height, actual, expected });
        }
        if child.height.previous() != Some(height) {
            return Err(CertificateError::Gap { actual: height, previous: child.height });
        }
    }
    finalization.verify(network_id, committee)?;
    Ok(last)
}

impl Finalization {
    /// Judges that a quorum of the committee signed, in the engine's own signed bytes.
    ///
    /// # Errors
    ///
    /// The first reason of [`CertificateError`] that applies.
    pub fn verify(
        &self,
        network_id: &NetworkId,
        committee: &Committee,
    ) -> Result<(), CertificateError> {
        if self.epoch != committee.epoch() {
            let (actual, expected) = (self.epoch, committee.epoch());
            return Err(CertificateError::Epoch { actual, expected });
        }
        let (signers, signatures) = (self.signers.len(), self.signatures.len());
        if signers != signatures {
            return Err(CertificateError::Count { signers, signatures });
        }
        let expected = committee.quorum().into();
        if signers < expected {
            return Err(CertificateError::Quorum { actual: signers, expected });
        }
        let mut entries = Vec::with_capacity(signers);
        let mut before = None;
        for (signer, signature) in self.signers.iter().zip(&self.signatures) {
            let (actual, members) = (*signer, committee.n());
            let key = committee.consensus_key(actual);
            let key = key.ok_or(CertificateError::Member { actual, members })?;
            if let Some(previous) = before.filter(|previous| *previous >= actual) {
                return Err(CertificateError::SignerOrder { previous, actual });
            }
            entries.push((key, *signature));
            before = Some(actual);
        }
        let message = self.signed_message(network_id);
        let invalid = invalid_signatures(&entries, &|_| message.clone());
        match invalid.first() {
            None => Ok(()),
            Some(_) if invalid.len() == signers && signers > 1 => {
                let Self { block, view, parent_view, .. } = *self;
                Err(CertificateError::Unsigned { signers, block, view, parent_view })
            }
            Some(position) => Err(CertificateError::Signature(self.signers[*position])),
        }
    }

    /// The bytes that every signer signed.
    #[must_use]
    pub fn signed_message(&self, network_id: &NetworkId) -> Vec<u8> {
        let namespace = simplex::namespace(network_id);
        simplex::finalize_message(&namespace, self.epoch, self.view, self.parent_view, &self.block)
    }
}

/// A final order of one height: what a verified certificate says, and nothing else can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalOrder {
    network_id: NetworkId,
    committee: Committee,
    height: Height,
    time_ms: u64,
    block: BlockDigest,
    batch: BatchId,
    to_open: Vec<BundleId>,
    emission: Emission,
}

impl FinalOrder {
    /// The network.
    #[must_use]
    pub fn network_id(&self) -> NetworkId {
        self.network_id
    }

    /// The committee that owns the height.
    #[must_use]
    pub fn committee(&self) -> &Committee {
        &self.committee
    }

    /// The height.
    #[must_use]
    pub fn height(&self) -> Height {
        self.height
    }

    /// The block's committed time.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The block.
    #[must_use]
    pub fn block(&self) -> BlockDigest {
        self.block
    }

    /// The identity of the batch that is to be opened.
    #[must_use]
    pub fn batch(&self) -> BatchId {
        self.batch
    }

    /// The ids that are to be opened, in the final order.
    #[must_use]
    pub fn to_open(&self) -> &[BundleId] {
        &self.to_open
    }

    /// Everything that the block emitted.
    #[must_use]
    pub fn emission(&self) -> &Emission {
        &self.emission
    }
}

#[cfg(test)]
mod tests;
