//! The block: a header that the quorum signs, and a body that the header commits to.
//!
//! # Format
//!
//! ```text
//! block        = header ‖ body                      encoding of fairveil_crypto::encoding, <= 1 MiB
//! block digest = header.digest()
//! body digest  = hash(BLOCK-BODY, evidence digest, releases digest, system digest)
//!     evidence digest = hash(BLOCK-EVIDENCE, encode(evidence))       releases and system alike
//! evidence     = packed against the state after the parent: fairveil_ordering::PackedEvidence
//! stored and sent as: length of the block, 4 bytes big-endian ‖ block
//! ```
//!
//! Who shows what a block released need not show its evidence.
//!
//! # Invariants
//!
//! 1. A `Block` is well-formed: its body is what the header commits to, its leader is a key, it
//!    is at most [`MAX_BLOCK_BYTES`] long and every entry is within its own limit.
//! 2. `decode` accepts exactly the outputs of `encode`.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf as _, BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, Read, Write};
use commonware_consensus::simplex::types::Context;
use commonware_consensus::types::{Epoch, Height, Round, View};
use commonware_consensus::{BoundedBlock, CertifiableBlock, Heightable};
use commonware_cryptography::Digestible;
use fairveil_crypto::certificate::BlockHeader;
use fairveil_crypto::certificate::body::body_digest;
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::{BlockDigest, Height as BlockHeight};
use fairveil_ordering::{Equivocation, Evidence, MAX_IDS_PER_BLOCK, PackedEvidence};
use fairveil_registry::anchor::Anchor;
use fairveil_registry::change::{ApprovedChange, MAX_CHANGE_BYTES};
use fairveil_registry::registry::MAX_ROLLUPS;
use serde::{Deserialize, Serialize};

use crate::chain::Slot;
use crate::committee::{MAX_MEMBERS, PublicKey, public_key};
use crate::epoch::{Handover, MAX_DEFINITION_BYTES, Resharing};
use crate::equivocation::ConflictingVotes;

/// A block digest as the engine's type.
pub use commonware_cryptography::sha256::Digest;

pub use fairveil_crypto::certificate::body::MAX_RELEASES;

/// The largest block.
pub const MAX_BLOCK_BYTES: usize = 1 << 20;
/// Proofs of equivocation in a block.
pub const MAX_EQUIVOCATIONS: usize = 16;
/// Bytes of one proof of equivocation.
pub const MAX_EQUIVOCATION_BYTES: usize = 1 << 10;
/// Entries of a ceremony in a block.
pub const MAX_CEREMONY_ENTRIES: usize = 64;
/// Bytes of one entry of a ceremony.
pub const MAX_CEREMONY_ENTRY_BYTES: usize = 64 << 10;
/// Changes of the registry in a block.
pub const MAX_REGISTRY_CHANGES: usize = 4;
/// Anchors of followed rollups in a block.
pub const MAX_ANCHORS: usize = MAX_ROLLUPS;
/// Ids in the evidence of one block, over all logs: leaves a quarter of it for the rest.
pub const MAX_EVIDENCE_IDS: usize = 24_576;

const LENGTH_BYTES: usize = 4;
const _: () = assert!(MAX_EVIDENCE_IDS <= MAX_IDS_PER_BLOCK);
const _: () = assert!(MAX_EVIDENCE_IDS * 32 <= MAX_BLOCK_BYTES * 3 / 4);
const _: () = assert!(MAX_EQUIVOCATIONS * MAX_EQUIVOCATION_BYTES <= MAX_BLOCK_BYTES / 16);
const _: () = assert!(MAX_REGISTRY_CHANGES * MAX_CHANGE_BYTES <= MAX_BLOCK_BYTES / 16);
const _: () = assert!(MAX_CEREMONY_ENTRY_BYTES <= MAX_BLOCK_BYTES / 4);

/// What a block carries besides evidence and releases. New kinds go to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SystemEntry {
    /// A sequencer signed two different order logs of one length.
    ForkedLog(Equivocation),
    /// A sequencer cast two votes of which an honest one casts at most one.
    ConflictingVotes(ConflictingVotes),
    /// An entry of a ceremony, opaque here.
    CeremonyEntry(Vec<u8>),
    /// A change of the rollups that a quorum of the committee approved.
    RegistryChange(ApprovedChange),
    /// A block of a followed rollup, over whose state slots are simulated from here on.
    Anchor(Anchor),
    /// A resharing begins.
    Resharing(Resharing),
    /// A resharing is complete, and the epoch ends.
    Handover(Handover),
}

/// Everything of a block but its header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body<E = PackedEvidence> {
    /// Log heads with the ids since the committed lengths.
    pub evidence: E,
    /// Release roots of earlier heights.
    pub releases: Vec<(BlockHeight, fairveil_crypto::Digest)>,
    /// Everything else.
    pub system: Vec<SystemEntry>,
}

/// A body whose evidence is not packed yet: what a leader puts together.
pub type Draft = Body<Evidence>;

/// Why a header and a body are no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The block is too long.
    #[error("block is {actual} bytes, the limit is {MAX_BLOCK_BYTES}")]
    Size {
        /// Its length.
        actual: usize,
    },
    /// Too many entries of a kind, or one that is too long.
    #[error("{actual} {what}, the limit is {limit}")]
    Entries {
        /// The kind and unit.
        what: &'static str,
        /// What the block has.
        actual: usize,
        /// What it may have.
        limit: usize,
    },
    /// The header commits to another body.
    #[error("body is {actual}, the header commits to {expected}")]
    BodyDigest {
        /// What the body has.
        actual: fairveil_crypto::Digest,
        /// What the header says.
        expected: fairveil_crypto::Digest,
    },
    /// Below the block that its epoch begins with.
    #[error("height {height} is below {start}, where its epoch begins")]
    BelowStart {
        /// The block's height.
        height: BlockHeight,
        /// What the header says of its epoch.
        start: BlockHeight,
    },
    /// The leader's key is no key.
    #[error("the leader's key is not an ed25519 public key")]
    Leader,
    /// The bytes are not the encoding of a header and a body.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
}

impl Body {
    /// What a header commits to.
    #[must_use]
    pub fn digest(&self) -> fairveil_crypto::Digest {
        body_digest(&self.evidence_digest(), &self.releases, &self.system_digest())
    }

    /// What stands for the evidence, where only the releases are shown.
    #[must_use]
    pub fn evidence_digest(&self) -> fairveil_crypto::Digest {
        hash(Tag::BlockEvidence, &[&encoding::encode(&self.evidence)])
    }

    /// What stands for the system entries, where only the releases are shown.
    #[must_use]
    pub fn system_digest(&self) -> fairveil_crypto::Digest {
        hash(Tag::BlockSystem, &[&encoding::encode(&self.system)])
    }

    /// Ids in the evidence, over all logs.
    #[must_use]
    pub fn evidence_ids(&self) -> usize {
        self.evidence.ids()
    }

    fn check(&self) -> Result<(), BlockError> {
        within("release roots", self.releases.len(), MAX_RELEASES)?;
        within("evidence ids", self.evidence_ids(), MAX_EVIDENCE_IDS)?;
        let (mut proofs, mut entries, mut changes, mut anchors, mut epochs) = (0, 0, 0, 0, 0);
        for entry in &self.system {
            match entry {
                SystemEntry::ForkedLog(_) | SystemEntry::ConflictingVotes(_) => {
                    proofs += 1;
                    let bytes = encoding::encode(entry).len();
                    within("bytes of a proof", bytes, MAX_EQUIVOCATION_BYTES)?;
                }
                SystemEntry::CeremonyEntry(bytes) => {
                    entries += 1;
                    within("bytes of an entry", bytes.len(), MAX_CEREMONY_ENTRY_BYTES)?;
                }
                SystemEntry::RegistryChange(change) => {
                    changes += 1;
                    within("bytes of a registry change", change.encode().len(), MAX_CHANGE_BYTES)?;
                }
                SystemEntry::Anchor(_) => anchors += 1,
                SystemEntry::Resharing(resharing) => {
                    epochs += 1;
                    let bytes = resharing.definition.len();
                    within("bytes of a definition", bytes, MAX_DEFINITION_BYTES)?;
                }
                SystemEntry::Handover(handover) => {
                    epochs += 1;
                    within("members", handover.successor.keys.len(), MAX_MEMBERS)?;
                }
            }
        }
        within("proofs of equivocation", proofs, MAX_EQUIVOCATIONS)?;
        within("registry changes", changes, MAX_REGISTRY_CHANGES)?;
        within("anchors", anchors, MAX_ANCHORS)?;
        within("resharings and handovers", epochs, 1)?;
        within("ceremony entries", entries, MAX_CEREMONY_ENTRIES)
    }
}

fn within(what: &'static str, actual: usize, limit: usize) -> Result<(), BlockError> {
    if actual > limit { Err(BlockError::Entries { what, actual, limit }) } else { Ok(()) }
}

/// A well-formed block; a clone shares it.
#[derive(Clone)]
pub struct Block(Arc<Inner>);

struct Inner {
    header: BlockHeader,
    body: Body,
    digest: BlockDigest,
    leader: PublicKey,
    bytes: Bytes,
}

impl Block {
    /// The block with this header and body.
    ///
    /// # Errors
    ///
    /// If it would not be well-formed.
    pub fn new(header: BlockHeader, body: Body) -> Result<Self, BlockError> {
        let bytes = encoding::encode(&(&header, &body));
        Self::checked(header, body, bytes.into())
    }

    /// The block that these bytes encode, without the length in front.
    ///
    /// # Errors
    ///
    /// If they encode none.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, BlockError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(BlockError::Size { actual: bytes.len() });
        }
        let (header, body) = encoding::decode::<(BlockHeader, Body)>(&bytes, MAX_BLOCK_BYTES)?;
        Self::checked(header, body, bytes)
    }

    fn checked(header: BlockHeader, body: Body, bytes: Bytes) -> Result<Self, BlockError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(BlockError::Size { actual: bytes.len() });
        }
        body.check()?;
        let actual = body.digest();
        if actual != header.body_digest {
            return Err(BlockError::BodyDigest { actual, expected: header.body_digest });
        }
        let (height, start) = (header.height, header.epoch_start);
        if height < start {
            return Err(BlockError::BelowStart { height, start });
        }
        let leader = public_key(&header.leader).ok_or(BlockError::Leader)?;
        let digest = header.digest();
        Ok(Self(Arc::new(Inner { header, body, digest, leader, bytes })))
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &BlockHeader {
        &self.0.header
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.0.body
    }

    /// The digest of the header.
    #[must_use]
    pub fn block_digest(&self) -> BlockDigest {
        self.0.digest
    }

    /// The encoding, without the length in front.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Whether the header names the view that the consensus asks about.
    #[must_use]
    pub fn matches(&self, slot: &Slot) -> bool {
        let header = self.header();
        header.epoch == slot.epoch
            && header.view == slot.view
            && header.parent_view == slot.parent_view
            && header.parent == slot.parent
            && header.leader == slot.leader
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Block")
            .field("header", &self.0.header)
            .field("bytes", &self.0.bytes.len())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for Block {}

/// The height as the engine counts it: from the block that the epoch begins with.
pub(crate) fn engine_height(height: BlockHeight, start: BlockHeight) -> Height {
    Height::new(height.distance_from(start))
}

/// The engine's form of a digest.
pub(crate) fn engine_digest(digest: &BlockDigest) -> Digest {
    Digest(digest.to_bytes())
}

/// The digest of a block that the engine names.
pub(crate) fn block_digest(digest: &Digest) -> BlockDigest {
    BlockDigest::from_bytes(digest.0)
}

impl Write for Block {
    fn write(&self, buffer: &mut impl BufMut) {
        // At most MAX_BLOCK_BYTES, by invariant 1.
        buffer.put_u32(self.0.bytes.len() as u32);
        buffer.put_slice(&self.0.bytes);
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        LENGTH_BYTES + self.0.bytes.len()
    }
}

impl Read for Block {
    type Cfg = ();

    fn read_cfg(buffer: &mut impl Buf, (): &()) -> Result<Self, Error> {
        if buffer.remaining() < LENGTH_BYTES {
            return Err(Error::EndOfBuffer);
        }
        let length = buffer.get_u32() as usize;
        if length > MAX_BLOCK_BYTES {
            return Err(Error::InvalidLength(length));
        }
        if buffer.remaining() < length {
            return Err(Error::EndOfBuffer);
        }
        Self::from_bytes(buffer.copy_to_bytes(length))
            .map_err(|error| Error::Wrapped("fairveil::Block", Box::new(error)))
    }
}

impl Digestible for Block {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        engine_digest(&self.0.digest)
    }
}

impl Heightable for Block {
    fn height(&self) -> Height {
        engine_height(self.0.header.height, self.0.header.epoch_start)
    }
}

impl commonware_consensus::Block for Block {
    fn parent(&self) -> Digest {
        engine_digest(&self.0.header.parent)
    }
}

impl CertifiableBlock for Block {
    type Context = Context<Digest, PublicKey>;

    fn context(&self) -> Self::Context {
        let header = self.header();
        Context {
            round: Round::new(Epoch::new(header.epoch.get()), View::new(header.view.get())),
            leader: self.0.leader.clone(),
            parent: (View::new(header.parent_view.get()), engine_digest(&header.parent)),
        }
    }
}

impl BoundedBlock for Block {
    fn max_encode_size((): &()) -> usize {
        LENGTH_BYTES + MAX_BLOCK_BYTES
    }
}

#[cfg(test)]
mod tests;
