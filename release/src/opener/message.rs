//! What members say to each other about shares.
//!
//! The encoding is that of [`fairveil_crypto::encoding`]: the variant's number as 4 bytes, then the
//! fields in order.

use fairveil_crypto::Height;
use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::share::SignedShare;
use serde::{Deserialize, Serialize};

use super::division::Hint;

/// The longest message: a share of more than 20,000 ciphertexts.
pub const MAX_SHARE_MESSAGE_BYTES: usize = 1 << 20;

/// A message between members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareMessage {
    /// The sender's share of a final height. The height only says where it belongs: the share's
    /// batch binds it to the order.
    Share {
        /// The height.
        height: Height,
        /// The share.
        share: Box<SignedShare>,
    },
    /// The sender asks for the receiver's share of a height.
    Request {
        /// The height.
        height: Height,
    },
    /// What the sender's part of a final height opened to ([`super::Division`]): by position, in
    /// order. Positions of its part that are not there have no hint.
    Hints {
        /// The height.
        height: Height,
        /// The hints.
        hints: Vec<Hint>,
    },
}

impl ShareMessage {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads the canonical encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(bytes, MAX_SHARE_MESSAGE_BYTES)
    }
}

/// How much hints weigh against a bound.
pub(super) fn hint_bytes(hints: &[Hint]) -> usize {
    36 * hints.len() + 64
}

/// How much a share weighs against a bound: its points, and the rest generously.
pub(super) fn share_bytes(share: &SignedShare) -> usize {
    48 * share.points.len() + 256
}
