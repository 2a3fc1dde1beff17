//! The sealed bundle on the wire (crypto.md 6). Trader-facing, so it follows Ethereum's conventions.
//!
//! ```text
//! header    = 0x01 ‖ rlp([network_id, key_id, class, valid_from, expires_at, payer, payer_nonce])
//! sealed    = 0x01 ‖ rlp([the same seven, ciphertext, signature(65)])
//! bundle id = keccak256(header ‖ ciphertext)
//! signature = recoverable secp256k1 by payer over the EIP-712 digest of SealedBundle(bytes32 id)
//! ```
//!
//! `class` c means that the padded plaintext is exactly 512·2^c bytes, c in 0..=7. The ciphertext
//! is verified with `ad = header`.
//!
//! # Invariants
//!
//! 1. One bundle has one encoding: `decode` accepts exactly the outputs of `encode`.
//! 2. Bytes are judged in the order version, rlp, field, class, length, window, signature; then,
//!    by [`SealedBundle::verify`], network, key, proof. Each kind of [`EnvelopeError`] is one
//!    rejection code and carries what was found and what is allowed.
//! 3. The id does not cover the signature: a junk signature on somebody's bytes can neither be
//!    remembered against the id nor censor it.
//! 4. A [`SealedBundle`] carries a valid signature of its payer; a [`VerifiedBundle`] also belongs
//!    to a network and a committee key, and its proof holds. Each is only made by its judge.

mod error;
mod payer;
mod rlp;

use std::sync::Arc;

use alloy_primitives::Keccak256;
use rayon::ThreadPool;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::error::EnvelopeError;
pub use self::payer::{PAYER_SIGNATURE_BYTES, PayerSecret, PayerSignature, SignatureFault};
pub use self::payer::{domain_separator, domain_type_hash, struct_type_hash};
pub use self::rlp::{FieldName, RlpFault, Shape};

use self::rlp::ItemReader;
use crate::committee::CommitteeKey;
use crate::hex::byte_newtype;
use crate::seal::{Ciphertext, OVERHEAD_BYTES, VerifiedCiphertext};
use crate::{BundleId, Height, KeyId, NetworkId};

/// The version byte before header and sealed bundle.
pub const VERSION: u8 = 0x01;

/// Bytes of the longest sealed bundle: the largest class and the longest header.
pub const MAX_SEALED_BYTES: usize =
    SizeClass::MAX.ciphertext_bytes() + MAX_FIELDS_BYTES + MAX_PREFIX_BYTES;

/// The encoded fields but the ciphertext's bytes, at their longest.
const MAX_FIELDS_BYTES: usize = 2 * 33 + 1 + 2 * 9 + 21 + 9 + 67;
/// The version byte and the length prefixes of the list and of the ciphertext, at their longest.
const MAX_PREFIX_BYTES: usize = 1 + 4 + 4;

byte_newtype! {
    /// An Ethereum address: who pays for a bundle, and signs it.
    Payer(20),
}

/// The padded size of a plaintext: 512·2^c bytes for c in 0..=7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct SizeClass(u8);

/// A number that is no size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("class is {actual}, the largest is {}", SizeClass::MAX.0)]
pub struct SizeClassError {
    /// The number.
    pub actual: u8,
}

impl TryFrom<u8> for SizeClass {
    type Error = SizeClassError;

    fn try_from(actual: u8) -> Result<Self, SizeClassError> {
        Self::new(actual.into()).ok_or(SizeClassError { actual })
    }
}

impl From<SizeClass> for u8 {
    fn from(class: SizeClass) -> Self {
        class.0
    }
}

impl SizeClass {
    /// 512 bytes.
    pub const MIN: Self = Self(0);
    /// 64 KiB.
    pub const MAX: Self = Self(7);

    /// The class with this number, 0..=7.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX.0 as u64 { Some(Self(number as u8)) } else { None }
    }

    /// The smallest class whose plaintext holds this many bytes.
    #[must_use]
    pub fn fitting(bytes: usize) -> Option<Self> {
        (0..=Self::MAX.0).map(Self).find(|class| class.plaintext_bytes() >= bytes)
    }

    /// All classes, from the smallest.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=Self::MAX.0).map(Self)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Bytes of a padded plaintext of this class.
    #[must_use]
    pub const fn plaintext_bytes(self) -> usize {
        512 << self.0
    }

    /// Bytes of a ciphertext of this class.
    #[must_use]
    pub const fn ciphertext_bytes(self) -> usize {
        self.plaintext_bytes() + OVERHEAD_BYTES
    }
}

/// What a sealed bundle shows while it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The network it is meant for.
    pub network_id: NetworkId,
    /// The committee key it is sealed to.
    pub key_id: KeyId,
    /// The size of its plaintext.
    pub class: SizeClass,
    /// The first height at which it may be ordered.
    pub valid_from: Height,
    /// The last height at which it may be ordered.
    pub expires_at: Height,
    /// Who pays and signs.
    pub payer: Payer,
    /// A number that the payer uses for one bundle.
    pub payer_nonce: u64,
}

impl Header {
    /// The header's bytes: the `ad` of the sealing.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rlp::list(VERSION, |out| self.write_fields(out))
    }

    fn write_fields(&self, out: &mut Vec<u8>) {
        rlp::bytes(out, self.network_id.as_bytes());
        rlp::bytes(out, self.key_id.as_bytes());
        rlp::integer(out, self.class.get().into());
        rlp::integer(out, self.valid_from.get());
        rlp::integer(out, self.expires_at.get());
        rlp::bytes(out, self.payer.as_bytes());
        rlp::integer(out, self.payer_nonce);
    }
}

/// A bundle whose bytes are in order, but whose signature was not judged yet.
///
/// Between the two an admission judges the horizon, which needs the current height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedBundle {
    header: Header,
    ciphertext: Ciphertext,
    id: BundleId,
}

/// [`UnsignedBundle`] with the signature that is to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedBundle {
    unsigned: UnsignedBundle,
    signature: PayerSignature,
}

impl ParsedBundle {
    /// Judges version, rlp, field, class, length and window.
    ///
    /// # Errors
    ///
    /// The first of them that fails.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut reader = ItemReader::new(bytes)?;
        let network_id = NetworkId::from_bytes(reader.array(FieldName::NetworkId)?);
        let key_id = KeyId::from_bytes(reader.array(FieldName::KeyId)?);
        let class = reader.integer(FieldName::Class)?;
        let valid_from = Height::new(reader.integer(FieldName::ValidFrom)?);
        let expires_at = Height::new(reader.integer(FieldName::ExpiresAt)?);
        let payer = Payer::from_bytes(reader.array(FieldName::Payer)?);
        let payer_nonce = reader.integer(FieldName::PayerNonce)?;
        let ciphertext = reader.bytes(FieldName::Ciphertext)?;
        let signature = PayerSignature::from_bytes(reader.array(FieldName::Signature)?);

        let limit = SizeClass::MAX.get();
        let class = SizeClass::new(class).ok_or(EnvelopeError::Class { actual: class, limit })?;
        let header =
            Header { network_id, key_id, class, valid_from, expires_at, payer, payer_nonce };
        let unsigned = UnsignedBundle::of_bytes(header, ciphertext)?;
        Ok(Self { unsigned, signature })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.unsigned.header
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> BundleId {
        self.unsigned.id
    }

    /// The signature, not judged yet.
    #[must_use]
    pub fn signature(&self) -> &PayerSignature {
        &self.signature
    }

    /// Judges the payer's signature.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Signature`].
    pub fn verify_signature(self) -> Result<SealedBundle, EnvelopeError> {
        let payer = self.header().payer;
        self.signature.verify(&signing_hash(&self.unsigned.id), &payer)?;
        Ok(SealedBundle { unsigned: self.unsigned, signature: self.signature })
    }
}

impl UnsignedBundle {
    /// Puts header and ciphertext together, for the payer to sign.
    ///
    /// # Errors
    ///
    /// If the length does not fit the class, or the window is empty.
    pub fn new(header: Header, ciphertext: Ciphertext) -> Result<Self, EnvelopeError> {
        let (actual, expected) = (ciphertext.as_bytes().len(), header.class.ciphertext_bytes());
        if actual != expected {
            let class = header.class.get();
            return Err(EnvelopeError::Length { actual, class, expected });
        }
        let Header { valid_from, expires_at, .. } = header;
        if valid_from > expires_at {
            return Err(EnvelopeError::Window { valid_from, expires_at });
        }
        let mut hasher = Keccak256::new();
        hasher.update(header.encode());
        hasher.update(ciphertext.as_bytes());
        let id = BundleId::from_bytes(hasher.finalize().0);
        Ok(Self { header, ciphertext, id })
    }

    fn of_bytes(header: Header, ciphertext: &[u8]) -> Result<Self, EnvelopeError> {
        let (actual, expected) = (ciphertext.len(), header.class.ciphertext_bytes());
        match Ciphertext::decode(ciphertext) {
            Ok(ciphertext) => Self::new(header, ciphertext),
            Err(_) => {
                let class = header.class.get();
                Err(EnvelopeError::Length { actual, class, expected })
            }
        }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The id, which the signature does not change.
    #[must_use]
    pub fn id(&self) -> BundleId {
        self.id
    }

    /// The bundle with the payer's signature.
    ///
    /// # Errors
    ///
    /// If it is not the payer's.
    pub fn with_signature(self, signature: PayerSignature) -> Result<SealedBundle, EnvelopeError> {
        ParsedBundle { unsigned: self, signature }.verify_signature()
    }

    /// Signs with the payer's key.
    ///
    /// # Errors
    ///
    /// If it is the key of another payer than the header names.
    pub fn sign(self, secret: &PayerSecret) -> Result<SealedBundle, EnvelopeError> {
        let signature = secret.sign(&signing_hash(&self.id));
        self.with_signature(signature)
    }
}

/// A sealed bundle with a valid signature of its payer. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBundle {
    unsigned: UnsignedBundle,
    signature: PayerSignature,
}

impl SealedBundle {
    /// The bundle with this encoding: everything that needs neither network nor key is judged.
    ///
    /// # Errors
    ///
    /// The first of version, rlp, field, class, length, window, signature that fails.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        ParsedBundle::decode(bytes)?.verify_signature()
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rlp::list(VERSION, |out| {
            self.unsigned.header.write_fields(out);
            rlp::bytes(out, self.unsigned.ciphertext.as_bytes());
            rlp::bytes(out, self.signature.as_bytes());
        })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.unsigned.header
    }

    /// The ciphertext.
    #[must_use]
    pub fn ciphertext(&self) -> &Ciphertext {
        &self.unsigned.ciphertext
    }

    /// The payer's signature.
    #[must_use]
    pub fn signature(&self) -> &PayerSignature {
        &self.signature
    }

    /// `keccak256(header ‖ ciphertext)`.
    #[must_use]
    pub fn id(&self) -> BundleId {
        self.unsigned.id
    }

    /// Judges network, key and proof.
    ///
    /// # Errors
    ///
    /// The first of them that fails.
    pub fn verify(
        &self,
        network_id: &NetworkId,
        key: &CommitteeKey,
    ) -> Result<VerifiedBundle, EnvelopeError> {
        let header = self.header();
        if header.network_id != *network_id {
            let actual = header.network_id;
            return Err(EnvelopeError::Network { actual, expected: *network_id });
        }
        if header.key_id != key.key_id() {
            return Err(EnvelopeError::Key { actual: header.key_id, expected: key.key_id() });
        }
        let opener = self.ciphertext().verify(key, &header.encode())?;
        Ok(VerifiedBundle(Arc::new(Verified { sealed: self.clone(), ciphertext: opener })))
    }
}

/// Verifies many bundles on a pool; verdicts in the order given.
#[must_use]
pub fn verify_many(
    bundles: &[SealedBundle],
    network_id: &NetworkId,
    key: &CommitteeKey,
    pool: &ThreadPool,
) -> Vec<Result<VerifiedBundle, EnvelopeError>> {
    pool.install(|| bundles.par_iter().map(|bundle| bundle.verify(network_id, key)).collect())
}

/// What a payer signs for a bundle: the EIP-712 digest of `SealedBundle(bytes32 id)`.
#[must_use]
pub fn signing_hash(id: &BundleId) -> [u8; 32] {
    payer::typed_data_hash(id)
}

/// A bundle that is valid in itself, for one network and committee key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VerifiedBundle(Arc<Verified>);

#[derive(Debug)]
struct Verified {
    sealed: SealedBundle,
    ciphertext: VerifiedCiphertext,
}

impl VerifiedBundle {
    /// The bundle as it was sent.
    #[must_use]
    pub fn sealed(&self) -> &SealedBundle {
        &self.0.sealed
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.0.sealed.header()
    }

    /// `keccak256(header ‖ ciphertext)`.
    #[must_use]
    pub fn id(&self) -> BundleId {
        self.0.sealed.id()
    }

    /// The ciphertext, ready to be opened.
    #[must_use]
    pub fn ciphertext(&self) -> &VerifiedCiphertext {
        &self.0.ciphertext
    }
}

impl PartialEq for VerifiedBundle {
    fn eq(&self, other: &Self) -> bool {
        self.0.sealed == other.0.sealed
    }
}

impl Eq for VerifiedBundle {}

#[cfg(test)]
mod tests;
