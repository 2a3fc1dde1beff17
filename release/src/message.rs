//! What sequencers say to each other about opening and releasing, on the channel `shares`.
//!
//! The encoding is that of [`fairveil_crypto::encoding`]: the variant's number as 4 bytes, then the
//! message.

use fairveil_crypto::encoding::{self, DecodeError};
use serde::{Deserialize, Serialize};

use crate::adoption::{PART_BYTES, ReleaseMessage};
use crate::boundary::{BoundaryMessage, CHUNK_BYTES};
use crate::feed::{FeedMessage, MAX_ENTRIES, MAX_ENTRIES_BYTES};
use crate::opener::{MAX_SHARE_MESSAGE_BYTES, ShareMessage};

/// The longest message, in bytes.
pub const MAX_OPENING_MESSAGE_BYTES: usize = MAX_SHARE_MESSAGE_BYTES + 4;

const _: () = assert!(PART_BYTES + 64 <= MAX_OPENING_MESSAGE_BYTES);
const _: () = assert!(CHUNK_BYTES + 64 <= MAX_OPENING_MESSAGE_BYTES);
const _: () = assert!(MAX_ENTRIES_BYTES + 8 * MAX_ENTRIES + 128 <= MAX_OPENING_MESSAGE_BYTES);

/// A message on the channel `shares`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpeningMessage {
    /// About decryption shares.
    Share(ShareMessage),
    /// About releases.
    Release(ReleaseMessage),
    /// About an epoch's end.
    Boundary(BoundaryMessage),
    /// About a resharing.
    Feed(FeedMessage),
}

impl OpeningMessage {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads the canonical encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(bytes, MAX_OPENING_MESSAGE_BYTES)
    }
}
