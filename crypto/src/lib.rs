//! Encrypts to a committee, opens with a quorum, signs, hashes, and encodes bytes in exactly one way

mod bls12381;
pub mod certificate;
pub mod committee;
#[cfg(any(test, feature = "dealer"))]
pub mod dealer;
mod digest;
pub mod domain;
pub mod encoding;
pub mod envelope;
mod hex;
pub mod hint;
pub mod lagrange;
pub mod opening;
pub mod point;
mod quantity;
pub mod scalar;
pub mod seal;
pub mod share;
pub mod signature;
pub mod sole;
#[cfg(any(test, feature = "dealer"))]
pub mod trace;

pub use crate::digest::{BatchId, BlockDigest, BundleId, Digest, KeyId, NetworkId};
pub use crate::hex::ParseHexError;
pub use crate::quantity::{Epoch, Height, SequencerIndex, View};
pub use crate::signature::{ConsensusPublicKey, ConsensusSecret, Signature, SignatureError};
