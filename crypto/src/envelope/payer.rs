//! The payer's signature: recoverable secp256k1 over an EIP-712 digest.

use std::fmt;

use alloy_primitives::keccak256;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SecretKey};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Payer;
use crate::BundleId;
use crate::hex::byte_newtype;

/// r ‖ s ‖ v.
pub const PAYER_SIGNATURE_BYTES: usize = 65;

const DOMAIN_TYPE: &str = "EIP712Domain(string name,string version)";
const DOMAIN_NAME: &str = "Fairveil";
const DOMAIN_VERSION: &str = "1";
const STRUCT_TYPE: &str = "SealedBundle(bytes32 id)";

/// Half of the group order of secp256k1, big-endian: the largest low s.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

byte_newtype! {
    /// A payer's signature, r ‖ s ‖ v, as bytes.
    PayerSignature(65),
}

/// Why a signature is not the payer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// v is neither 0 nor 1.
    #[error("v is {actual}, 0 or 1 needed")]
    RecoveryId {
        /// v as given.
        actual: u8,
    },
    /// r or s is zero or not below the group order.
    #[error("r or s is out of range")]
    Range,
    /// s is above half of the group order.
    #[error("s is not the lower one")]
    HighS,
    /// No public key fits.
    #[error("no key has this signature")]
    Unrecoverable,
    /// It is somebody else's signature, or over something else.
    #[error("recovers {actual}, the payer is {expected}")]
    Payer {
        /// The address that recovers.
        actual: Payer,
        /// The payer in the header.
        expected: Payer,
    },
}

impl PayerSignature {
    /// Judges the signature of `payer` over a signing hash.
    ///
    /// # Errors
    ///
    /// The first reason of [`SignatureFault`] that applies.
    pub fn verify(&self, signing_hash: &[u8; 32], payer: &Payer) -> Result<(), SignatureFault> {
        let bytes = self.as_bytes();
        let (s, v) = (&bytes[32..64], bytes[64]);
        let recovery = match v {
            0 => RecoveryId::Zero,
            1 => RecoveryId::One,
            actual => return Err(SignatureFault::RecoveryId { actual }),
        };
        let zero = |half: &[u8]| half.iter().all(|byte| *byte == 0);
        if zero(&bytes[..32]) || zero(s) {
            return Err(SignatureFault::Range);
        }
        let signature = RecoverableSignature::from_compact(&bytes[..64], recovery)
            .map_err(|_| SignatureFault::Range)?;
        if *s > HALF_ORDER[..] {
            return Err(SignatureFault::HighS);
        }
        let key = signature
            .recover(Message::from_digest(*signing_hash))
            .map_err(|_| SignatureFault::Unrecoverable)?;
        let actual = address(&key);
        if actual == *payer {
            Ok(())
        } else {
            Err(SignatureFault::Payer { actual, expected: *payer })
        }
    }
}

/// Bytes that are no secp256k1 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a secret key: zero, or not below the group order")]
pub struct PayerSecretError;

/// The key that a payer signs bundles with.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PayerSecret([u8; 32]);

impl PayerSecret {
    /// The key with these bytes.
    ///
    /// # Errors
    ///
    /// If they are zero or not below the group order.
    pub fn from_bytes(mut bytes: [u8; 32]) -> Result<Self, PayerSecretError> {
        let mut key = SecretKey::from_secret_bytes(bytes).map_err(|_| PayerSecretError)?;
        key.non_secure_erase();
        let secret = Self(bytes);
        bytes.zeroize();
        Ok(secret)
    }

    /// The address of the key.
    #[must_use]
    pub fn payer(&self) -> Payer {
        let mut key = self.key();
        let payer = address(&key.public_key());
        key.non_secure_erase();
        payer
    }

    /// The signature over a signing hash, with low s (RFC 6979 nonce).
    #[must_use]
    pub fn sign(&self, signing_hash: &[u8; 32]) -> PayerSignature {
        let mut key = self.key();
        let signature =
            RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(*signing_hash), &key);
        key.non_secure_erase();
        let (recovery, compact) = signature.serialize_compact();
        let mut bytes = [0; PAYER_SIGNATURE_BYTES];
        bytes[..64].copy_from_slice(&compact);
        bytes[64] = recovery.to_u8();
        PayerSignature::from_bytes(bytes)
    }

    fn key(&self) -> SecretKey {
        SecretKey::from_secret_bytes(self.0).expect("judged when the secret was made")
    }
}

impl fmt::Debug for PayerSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PayerSecret(<redacted>)")
    }
}

/// `keccak256` of the EIP-712 domain type.
#[must_use]
pub fn domain_type_hash() -> [u8; 32] {
    keccak256(DOMAIN_TYPE).0
}

/// `keccak256` of the EIP-712 struct type.
#[must_use]
pub fn struct_type_hash() -> [u8; 32] {
    keccak256(STRUCT_TYPE).0
}

/// The EIP-712 domain separator.
#[must_use]
pub fn domain_separator() -> [u8; 32] {
    let parts = [domain_type_hash(), keccak256(DOMAIN_NAME).0, keccak256(DOMAIN_VERSION).0];
    keccak256(parts.concat()).0
}

pub(super) fn typed_data_hash(id: &BundleId) -> [u8; 32] {
    let structure = keccak256([struct_type_hash(), id.to_bytes()].concat()).0;
    let mut message = vec![0x19, 0x01];
    message.extend_from_slice(&domain_separator());
    message.extend_from_slice(&structure);
    keccak256(message).0
}

fn address(key: &secp256k1::PublicKey) -> Payer {
    let digest = keccak256(&key.serialize_uncompressed()[1..]);
    let mut bytes = [0; 20];
    bytes.copy_from_slice(&digest[12..]);
    Payer::from_bytes(bytes)
}
