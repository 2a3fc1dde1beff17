//! Why a sealed bundle is refused.

use std::fmt;

use super::{FieldName, RlpFault, Shape, SignatureFault, VERSION};
use crate::seal::CiphertextError;
use crate::{Height, KeyId, NetworkId};

/// Why a sealed bundle is refused: one kind for each rejection code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// `version`: another version, or no bytes at all.
    #[error("version is {}, only {VERSION} is known", VersionByte(*.actual))]
    Version {
        /// The first byte, if there is one.
        actual: Option<u8>,
    },
    /// `rlp`: not canonical RLP.
    #[error("rlp: {fault} at byte {offset}")]
    Rlp {
        /// What is wrong.
        fault: RlpFault,
        /// Where, from the first byte of the bundle.
        offset: usize,
    },
    /// `field`: RLP of another shape.
    #[error("field {field}: {actual}, {expected} needed")]
    Field {
        /// Which field.
        field: FieldName,
        /// What was found.
        actual: Shape,
        /// What is needed.
        expected: Shape,
    },
    /// `class`: no such size class.
    #[error("class is {actual}, the largest is {limit}")]
    Class {
        /// The class given.
        actual: u64,
        /// The largest class.
        limit: u8,
    },
    /// `length`: the ciphertext has not the exact length of its class.
    #[error("ciphertext is {actual} bytes, class {class} needs {expected}")]
    Length {
        /// Bytes given.
        actual: usize,
        /// The class.
        class: u8,
        /// Bytes of a ciphertext of that class.
        expected: usize,
    },
    /// `window`: it would expire before it is valid.
    #[error("valid_from is {valid_from}, after expires_at {expires_at}")]
    Window {
        /// The first height.
        valid_from: Height,
        /// The last height.
        expires_at: Height,
    },
    /// `signature`: not a signature of the payer over this bundle.
    #[error("signature: {0}")]
    Signature(#[from] SignatureFault),
    /// `network`: meant for another network.
    #[error("network_id is {actual}, this network is {expected}")]
    Network {
        /// The network in the header.
        actual: NetworkId,
        /// This network.
        expected: NetworkId,
    },
    /// `key`: sealed to another committee key.
    #[error("key_id is {actual}, the active key is {expected}")]
    Key {
        /// The key in the header.
        actual: KeyId,
        /// The active key.
        expected: KeyId,
    },
    /// `proof`: the ciphertext does not verify under this header.
    #[error("proof: {0}")]
    Proof(#[from] CiphertextError),
}

impl EnvelopeError {
    /// The rejection code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::Rlp { .. } => "rlp",
            Self::Field { .. } => "field",
            Self::Class { .. } => "class",
            Self::Length { .. } => "length",
            Self::Window { .. } => "window",
            Self::Signature(_) => "signature",
            Self::Network { .. } => "network",
            Self::Key { .. } => "key",
            Self::Proof(_) => "proof",
        }
    }
}

struct VersionByte(Option<u8>);

impl fmt::Display for VersionByte {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(version) => version.fmt(out),
            None => out.write_str("missing"),
        }
    }
}
