//! The journal of a ceremony: what a member must not lose while it runs.

use std::fmt;

use fairveil_crypto::Digest;
use fairveil_crypto::encoding::{self, DecodeError};
use serde::{Deserialize, Serialize};
use zeroize::ZeroizeOnDrop;

use crate::context::CeremonyContext;

/// The longest record in bytes.
pub const MAX_BYTES: usize = 256;

/// The nonce of a member's dealing in one ceremony.
///
/// The dealing follows from the dealing secret, the ceremony and this nonce. A machine that has
/// lost it must not begin the ceremony again: it would sign another dealing. When the ceremony is
/// over the record is erased.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ZeroizeOnDrop)]
pub struct DealingNonce {
    #[zeroize(skip)]
    ceremony: Digest,
    nonce: [u8; 32],
}

impl DealingNonce {
    pub(crate) fn new(context: &CeremonyContext, nonce: [u8; 32]) -> Self {
        Self { ceremony: *context.id(), nonce }
    }

    /// The record to keep.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// If it is not exactly a record.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(bytes, MAX_BYTES)
    }

    /// The id of the ceremony.
    #[must_use]
    pub fn ceremony(&self) -> &Digest {
        &self.ceremony
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.nonce
    }
}

impl fmt::Debug for DealingNonce {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "DealingNonce({}, <redacted>)", self.ceremony)
    }
}
