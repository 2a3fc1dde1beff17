//! What sequencers say to each other about an epoch's end: who joins, or missed it, asks the members
//! for the root of everything at that point, then anybody for its parts.

use fairveil_crypto::{Digest, Epoch, Height};
use serde::{Deserialize, Serialize};

/// Bytes of a manifest or a snapshot in one message.
pub const CHUNK_BYTES: usize = 48 << 10;

/// A message about an epoch's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BoundaryMessage {
    /// The sender asks with which epoch's beginning the receiver can serve.
    Ask,
    /// With this one.
    Root(BoundaryRoot),
    /// The sender asks for a part of the manifest with this root.
    Manifest {
        /// The root.
        root: Digest,
        /// Which part, from 0.
        part: u32,
    },
    /// The sender asks for a chunk of the snapshot with this root.
    Chunk {
        /// The root.
        root: Digest,
        /// Which chunk, from 0.
        number: u32,
    },
    /// A part of a manifest.
    ManifestPart(BoundaryPart),
    /// A chunk of a snapshot.
    ChunkPart(BoundaryPart),
    /// The sender has nothing to serve, or nothing with this root.
    Absent,
}

/// The beginning of an epoch, as a member names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BoundaryRoot {
    /// The epoch that begins.
    pub epoch: Epoch,
    /// The height with which it begins.
    pub start: Height,
    /// The digest of the manifest.
    pub root: Digest,
}

/// A part of something with a root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryPart {
    /// The root.
    pub root: Digest,
    /// Which part, from 0.
    pub number: u32,
    /// Its bytes: [`CHUNK_BYTES`], but for the last one.
    pub bytes: Vec<u8>,
}
