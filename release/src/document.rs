//! Release documents: what a trader or a rollup keeps and verifies offline.
//!
//! A document is JSON for people and programs: hex with `0x`, integers as numbers. It says nothing
//! by itself; [`BundleDocument::verify`] and [`BatchDocument::verify`] judge it against the network
//! id and the committees of its epochs, and [`accept_batch`] is how a rollup takes batch after batch.
//!
//! # Invariants
//!
//! 1. A verified bundle document shows what became of the bundle: all of its legs in the released
//!    batches with exactly these transactions, or the reason why none is.
//! 2. A verified batch document holds every leg that the release has for the rollup, in the fair
//!    order, and nothing else.
//! 3. A [`Cursor`] accepts every slot once, in order, each release built on the one before, so that
//!    no release is skipped and no bundle comes twice or out of order. Releases that cut no slot
//!    hold nothing for a rollup: their headers are shown, without a batch.
//! 4. Every way to fail has a reason of its own.

use fairveil_crypto::certificate::{CertificateError, OrderCertificate, Placement};
use fairveil_crypto::committee::{Committees, UnknownEpoch};
use fairveil_crypto::{BlockDigest, BundleId, Digest, Height, NetworkId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::batch::Batch;
use crate::certificate::{ReleaseCertificate, ReleaseCertificateError};
use crate::failed::Failed;
use crate::proof::{BatchProof, BundleProof, ProofError};
use crate::release::{BatchError, ReleaseHeader, check_batch};
use crate::slot::{BlockTime, SlotNumber};
use crate::transaction::RawTransaction;
use crate::tree::{Leaf, LegDigest, Outcome, Position};

/// Either document, as it is written to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReleaseDocument {
    /// What became of a bundle.
    Bundle(Box<BundleDocument>),
    /// The batch of a rollup.
    Batch(Box<BatchDocument>),
}

/// What became of a bundle in one release, with everything that proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleDocument {
    /// What the release root is the hash of.
    pub release: ReleaseHeader,
    /// That a final block lists the root.
    pub certificate: ReleaseCertificate,
    /// That the release says this of the bundle.
    pub proof: BundleProof,
    /// The legs of a released bundle, sorted by chain id; of any other none.
    pub legs: Vec<DocumentLeg>,
    /// The order certificate of the height that emitted the bundle, if it is shown too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderCertificate>,
}

/// A released leg in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentLeg {
    /// The rollup.
    pub chain_id: u64,
    /// The raw transactions, in order.
    pub transactions: Vec<RawTransaction>,
}

/// The batch of a rollup in one release, with everything that proves it complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchDocument {
    /// The releases since the one before that cut a slot, ascending: none of them cuts one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<ReleaseHeader>,
    /// What the release root is the hash of.
    pub release: ReleaseHeader,
    /// That a final block lists the root.
    pub certificate: ReleaseCertificate,
    /// That the batch is complete.
    pub proof: BatchProof,
    /// The batch.
    pub batch: Batch,
}

/// Why a document proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// The release is of another network.
    #[error("a release of network {actual}, expected {expected}")]
    Network {
        /// The release's network.
        actual: NetworkId,
        /// The expected one.
        expected: NetworkId,
    },
    /// The committee that certified it is not known.
    #[error(transparent)]
    Epoch(#[from] UnknownEpoch),
    /// The certificate proves nothing.
    #[error("the release certificate: {0}")]
    Certificate(#[from] ReleaseCertificateError),
    /// The certified block does not list the release's height.
    #[error("the certified block does not list height {height}")]
    NotListed {
        /// The release's height.
        height: Height,
    },
    /// The certified root is another.
    #[error("a release with root {actual}, certified is {expected}")]
    Root {
        /// The release's root.
        actual: Digest,
        /// The certified one.
        expected: Digest,
    },
    /// The Merkle proof shows nothing.
    #[error("the proof: {0}")]
    Proof(#[from] ProofError),
    /// Another bundle.
    #[error("the document is of bundle {actual}, expected {expected}")]
    Bundle {
        /// The document's bundle.
        actual: BundleId,
        /// The expected one.
        expected: BundleId,
    },
    /// The releases that are skipped do not lead to this one.
    #[error("the release of height {height} does not follow the one before, or cuts a slot")]
    Skipped {
        /// The first height that does not fit.
        height: Height,
    },
    /// Legs are missing or too many.
    #[error("{actual} legs, the release has {expected} of this bundle")]
    LegCount {
        /// How many there are.
        actual: usize,
        /// How many the leaf has.
        expected: usize,
    },
    /// A leg is not the released one.
    #[error("the leg on chain {chain_id} has digest {actual}, released is {expected}")]
    Leg {
        /// The leg's rollup.
        chain_id: u64,
        /// The digest of the transactions.
        actual: Digest,
        /// The leaf's.
        expected: Digest,
    },
    /// The batch is not the released one.
    #[error("the batch: {0}")]
    Batch(#[from] BatchError),
    /// The order certificate proves nothing.
    #[error("the order certificate: {0}")]
    Order(CertificateError),
    /// The order certificate is of another height than the bundle's.
    #[error("the order certificate is of height {actual}, the bundle was emitted at {expected}")]
    OrderHeight {
        /// The certificate's height.
        actual: Height,
        /// The bundle's.
        expected: Height,
    },
    /// The release is of another block than the certified order.
    #[error("the order certificate is of block {actual}, the release of block {expected}")]
    OrderBlock {
        /// The certificate's block.
        actual: BlockDigest,
        /// The release's.
        expected: BlockDigest,
    },
    /// The certified order has another id, or none, at the bundle's position.
    #[error("the certified order does not have the bundle at index {index}")]
    OrderPosition {
        /// The bundle's index.
        index: u32,
    },
    /// The certified order decided something else about the bundle.
    #[error("the order says {placement:?}, which does not give this outcome")]
    OrderPlacement {
        /// What the order says.
        placement: Placement,
    },
}

/// Where a rollup stands in the chain of releases: what it accepts next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The next height.
    pub next: Height,
    /// The root of the release before it.
    pub previous: Digest,
    /// The last slot that was accepted.
    pub slot: Option<SlotNumber>,
    /// The last block that was accepted and is not empty.
    pub block: Option<BlockTime>,
    /// The position of the last bundle that was accepted.
    pub last: Option<Position>,
}

/// Why a rollup does not accept a batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// Another height is next.
    #[error("a batch of height {actual}, next is {expected}")]
    Height {
        /// The batch's height.
        actual: Height,
        /// The next one.
        expected: Height,
    },
    /// Built on another release than the last accepted one.
    #[error("a release on {actual}, the last one has root {expected}")]
    Previous {
        /// The root that it names.
        actual: Digest,
        /// The last accepted root.
        expected: Digest,
    },
    /// A slot that was accepted before, or one before it.
    #[error("slot {actual} does not come after what was accepted before")]
    Slot {
        /// The batch's slot.
        actual: SlotNumber,
    },
    /// A block that does not stand after the one before it.
    #[error("block {} at {} ms does not come after the one before", .block.number, .block.time_ms)]
    Block {
        /// The block.
        block: BlockTime,
    },
    /// A bundle does not stand after the one before it in the fair order.
    #[error("bundle {id} does not stand after what was accepted before")]
    Order {
        /// The bundle.
        id: BundleId,
    },
    /// The document proves nothing.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl BundleDocument {
    /// What the document proves of bundle `id`.
    pub fn verify(
        &self,
        network_id: &NetworkId,
        committees: &impl Committees,
        id: &BundleId,
    ) -> Result<&Leaf, DocumentError> {
        verify_release(&self.release, &self.certificate, network_id, committees)?;
        self.proof.verify(&self.release.tree_root)?;
        let leaf = &self.proof.leaf;
        if leaf.id != *id {
            return Err(DocumentError::Bundle { actual: leaf.id, expected: *id });
        }
        self.verify_legs()?;
        if let Some(order) = &self.order {
            self.verify_order(order, network_id, committees)?;
        }
        Ok(leaf)
    }

    fn verify_legs(&self) -> Result<(), DocumentError> {
        let released = self.proof.leaf.outcome.legs();
        let (actual, expected) = (self.legs.len(), released.len());
        if actual != expected {
            return Err(DocumentError::LegCount { actual, expected });
        }
        for (leg, released) in self.legs.iter().zip(released) {
            let shown = LegDigest::new(leg.chain_id, &leg.transactions);
            if (shown.chain_id, shown.digest) != (released.chain_id, released.digest) {
                let (chain_id, actual) = (leg.chain_id, shown.digest);
                return Err(DocumentError::Leg { chain_id, actual, expected: released.digest });
            }
        }
        Ok(())
    }

    fn verify_order(
        &self,
        order: &OrderCertificate,
        network_id: &NetworkId,
        committees: &impl Committees,
    ) -> Result<(), DocumentError> {
        // A bundle that waited for its slot may be ordered in one epoch and released in the next.
        let committee = committees.of_epoch(order.finalization.epoch)?;
        let order = order.verify(network_id, committee).map_err(DocumentError::Order)?;
        let Leaf { id, position, outcome } = &self.proof.leaf;
        let (actual, expected) = (order.height(), position.height);
        if actual != expected {
            return Err(DocumentError::OrderHeight { actual, expected });
        }
        let (actual, expected) = (order.block(), self.release.block);
        if order.height() == self.release.height && actual != expected {
            return Err(DocumentError::OrderBlock { actual, expected });
        }
        let index = position.index;
        let emitted = order.emission().ids().nth(index as usize);
        let emitted = emitted.filter(|emitted| emitted.id == *id);
        let placement = emitted.ok_or(DocumentError::OrderPosition { index })?.placement;
        let fits = match outcome {
            Outcome::Expired => placement == Placement::Expired,
            Outcome::Failed(Failed::NonceUsed) => placement == Placement::NonceUsed,
            Outcome::Failed(Failed::Unfunded) => placement == Placement::Unfunded,
            _ => placement == Placement::Open,
        };
        if fits { Ok(()) } else { Err(DocumentError::OrderPlacement { placement }) }
    }
}

impl BatchDocument {
    /// The batch, if it is exactly what the release has for the rollup.
    pub fn verify(
        &self,
        network_id: &NetworkId,
        committees: &impl Committees,
        chain_id: u64,
    ) -> Result<&Batch, DocumentError> {
        let (actual, expected) = (self.batch.chain_id, chain_id);
        if actual != expected {
            return Err(DocumentError::Batch(BatchError::Chain { actual, expected }));
        }
        verify_release(&self.release, &self.certificate, network_id, committees)?;
        self.verify_skipped()?;
        let leaves = self.proof.verify(&self.release.tree_root, chain_id)?;
        check_batch(&self.release, chain_id, &leaves, &self.batch)?;
        Ok(&self.batch)
    }

    /// The first release that is shown: of the height that a rollup takes next.
    pub fn first(&self) -> &ReleaseHeader {
        self.skipped.first().unwrap_or(&self.release)
    }

    /// Whether every skipped release cuts nothing and is built on by the next.
    fn verify_skipped(&self) -> Result<(), DocumentError> {
        let following = self.skipped.iter().skip(1).chain([&self.release]);
        for (skipped, next) in self.skipped.iter().zip(following) {
            let follows = next.height == skipped.height.next()
                && next.network_id == skipped.network_id
                && next.previous == skipped.root();
            if !follows || skipped.slot.is_some() {
                return Err(DocumentError::Skipped { height: skipped.height });
            }
        }
        Ok(())
    }
}

impl Cursor {
    /// Before the first release of a network.
    pub fn new(network_id: &NetworkId) -> Self {
        let previous = ReleaseHeader::genesis(network_id);
        Self { next: Height::ZERO.next(), previous, slot: None, block: None, last: None }
    }

    /// Before this release, for who begins in the middle: what came before is not judged.
    pub fn before(release: &ReleaseHeader) -> Self {
        let (next, previous) = (release.height, release.previous);
        Self { next, previous, slot: None, block: None, last: None }
    }

    /// Before this release: [`Self::new`] if it is the first of the network, else [`Self::before`].
    pub fn at(network_id: &NetworkId, release: &ReleaseHeader) -> Self {
        if release.height == Height::ZERO.next() {
            Self::new(network_id)
        } else {
            Self::before(release)
        }
    }

    /// Where the rollup stands after a verified batch, if the batch comes next.
    fn after(&self, release: &ReleaseHeader, batch: &Batch) -> Result<Self, AcceptError> {
        let slot = Some(batch.slot);
        if slot <= self.slot {
            return Err(AcceptError::Slot { actual: batch.slot });
        }
        // Within a batch both ascend: it was verified.
        let first = batch.bundles().next().map(|(block, range)| (block.time(), range));
        if let Some((block, range)) = first {
            if Some(range.position) <= self.last {
                return Err(AcceptError::Order { id: range.id });
            }
            let follows =
                |last: BlockTime| block.number > last.number && block.time_ms > last.time_ms;
            if !self.block.is_none_or(follows) {
                return Err(AcceptError::Block { block });
            }
        }
        let last = batch.bundles().last().map(|(block, range)| (block.time(), range.position));
        let (block, last) = last.map_or((self.block, self.last), |(b, l)| (Some(b), Some(l)));
        let (next, previous) = (release.height.next(), release.root());
        Ok(Self { next, previous, slot, block, last })
    }
}

/// Takes the next batch of a rollup: the batch and where the rollup then stands.
///
/// It is judged by the committee of the epoch of the certifying block. Releases go on across the
/// end of an epoch, and so does the cursor.
pub fn accept_batch<'a>(
    cursor: &Cursor,
    network_id: &NetworkId,
    committees: &impl Committees,
    chain_id: u64,
    document: &'a BatchDocument,
) -> Result<(&'a Batch, Cursor), AcceptError> {
    let release = document.first();
    let (actual, expected) = (release.height, cursor.next);
    if actual != expected {
        return Err(AcceptError::Height { actual, expected });
    }
    let (actual, expected) = (release.previous, cursor.previous);
    if actual != expected {
        return Err(AcceptError::Previous { actual, expected });
    }
    let batch = document.verify(network_id, committees, chain_id)?;
    let after = cursor.after(&document.release, batch)?;
    Ok((batch, after))
}

pub(crate) fn verify_release(
    release: &ReleaseHeader,
    certificate: &ReleaseCertificate,
    network_id: &NetworkId,
    committees: &impl Committees,
) -> Result<(), DocumentError> {
    let (actual, expected) = (release.network_id, *network_id);
    if actual != expected {
        return Err(DocumentError::Network { actual, expected });
    }
    let committee = committees.of_epoch(certificate.finalization.epoch)?;
    let certified = certificate.verify(network_id, committee)?;
    let height = release.height;
    let expected = certified.root(height).ok_or(DocumentError::NotListed { height })?;
    let actual = release.root();
    if actual != expected {
        return Err(DocumentError::Root { actual, expected });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
