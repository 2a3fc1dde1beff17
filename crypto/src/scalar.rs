//! Scalars: integers mod r, the order of G1. Public ones and secret ones are two types.
//!
//! # Invariants
//!
//! 1. The encoding is 32 bytes, big-endian, below r; the decoder refuses everything else.
//! 2. A [`SecretScalar`] is wiped on drop, is neither copied, printed nor serialized, and is only
//!    used by constant-time functions.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::bls12381::{self, Fr};
use crate::domain::{Tag, frame};

/// Bytes that are no scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScalarError {
    /// The wrong number of bytes.
    #[error("scalar is {actual} bytes, 32 are needed")]
    Length {
        /// Bytes given.
        actual: usize,
    },
    /// Not below r.
    #[error("scalar is not below the group order")]
    Range,
}

/// A public integer mod r.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scalar(pub(crate) Fr);

impl Scalar {
    /// 0.
    pub const ZERO: Self = Self(Fr { l: [0; 4] });

    /// The scalar with this encoding.
    ///
    /// # Errors
    ///
    /// If there are not 32 bytes, or they are not below r.
    pub fn decode(bytes: &[u8]) -> Result<Self, ScalarError> {
        let bytes: &[u8; 32] =
            bytes.try_into().map_err(|_| ScalarError::Length { actual: bytes.len() })?;
        bls12381::scalar_from_be_bytes(bytes).map(Self).ok_or(ScalarError::Range)
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> [u8; 32] {
        let mut bytes = bls12381::scalar_to_le_bytes(&self.0);
        bytes.reverse();
        bytes
    }

    /// The scalar of a small number.
    #[must_use]
    pub fn from_u128(number: u128) -> Self {
        Self(bls12381::scalar_from_u128(number))
    }

    /// `Hs(tag, items...)` of crypto.md 1, for public items.
    #[must_use]
    pub fn hash(tag: Tag, items: &[&[u8]]) -> Self {
        Self(hash_to_field(tag, items))
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        Self(bls12381::scalar_add(&self.0, &other.0))
    }

    pub(crate) fn subtract(&self, other: &Self) -> Self {
        Self(bls12381::scalar_subtract(&self.0, &other.0))
    }

    pub(crate) fn multiply(&self, other: &Self) -> Self {
        Self(bls12381::scalar_multiply(&self.0, &other.0))
    }

    pub(crate) fn negate(&self) -> Self {
        Self(bls12381::scalar_negate(&self.0))
    }

    pub(crate) fn invert_vartime(&self) -> Self {
        Self(bls12381::scalar_invert_vartime(&self.0))
    }

    pub(crate) fn to_le_bytes(self) -> [u8; 32] {
        bls12381::scalar_to_le_bytes(&self.0)
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Scalar(")?;
        crate::hex::write(&self.encode(), out)?;
        out.write_str(")")
    }
}

/// A secret integer mod r: a key share, a sealing scalar or a proof nonce.
pub struct SecretScalar(Fr);

impl SecretScalar {
    /// The scalar with this encoding, which may be zero.
    ///
    /// # Errors
    ///
    /// As [`Scalar::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ScalarError> {
        Scalar::decode(bytes).map(|scalar| Self(scalar.0))
    }

    /// `OS2IP(uniform) mod r`; at least 48 bytes make it uniform.
    #[must_use]
    pub(crate) fn reduce(uniform: &[u8]) -> Self {
        Self(bls12381::scalar_from_wide_be_bytes(uniform))
    }

    /// `Hs(tag, items...)` of crypto.md 1, for secret items.
    #[must_use]
    pub fn hash(tag: Tag, items: &[&[u8]]) -> Self {
        Self(hash_to_field(tag, items))
    }

    /// Whether it is zero: the one bit that callers must refuse on.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.l.iter().fold(0, |bits, limb| bits | limb) == 0
    }

    /// The encoding, for the keystore alone.
    #[must_use]
    pub fn expose_encoding(&self) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new(bls12381::scalar_to_le_bytes(&self.0));
        bytes.reverse();
        bytes
    }

    pub(crate) fn as_field(&self) -> &Fr {
        &self.0
    }

    /// `self + challenge · secret`: the response of a Schnorr proof with this nonce, used up.
    pub(crate) fn respond(self, challenge: u128, secret: &SecretScalar) -> Scalar {
        let mut product =
            bls12381::scalar_multiply(&bls12381::scalar_from_u128(challenge), &secret.0);
        let response = Scalar(bls12381::scalar_add(&self.0, &product));
        product.l.zeroize();
        response
    }
}

impl Drop for SecretScalar {
    fn drop(&mut self) {
        self.0.l.zeroize();
    }
}

impl ZeroizeOnDrop for SecretScalar {}

impl fmt::Debug for SecretScalar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SecretScalar(<redacted>)")
    }
}

/// The 48 uniform bytes that [`Scalar::hash`] reduces mod r.
#[must_use]
pub fn uniform_bytes(tag: Tag, items: &[&[u8]]) -> [u8; 48] {
    let message = Zeroizing::new(frame(items));
    bls12381::expand_message_xmd(&message, tag.as_bytes())
}

fn hash_to_field(tag: Tag, items: &[&[u8]]) -> Fr {
    let uniform = Zeroizing::new(uniform_bytes(tag, items));
    bls12381::scalar_from_wide_be_bytes(&uniform[..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arithmetic_of_small_numbers() {
        let [two, three, six] = [2, 3, 6].map(Scalar::from_u128);
        assert_eq!(two.multiply(&three), six);
        assert_eq!(six.subtract(&three), three);
        assert_eq!(three.add(&three.negate()), Scalar::ZERO);
        assert_eq!(six.multiply(&three.invert_vartime()), two);
        assert_eq!(Scalar::from_u128(u128::MAX).encode()[16..], [0xff; 16]);
    }

    #[test]
    fn invariant_2_secrets_are_not_printed() {
        let secret = SecretScalar::decode(&[1; 32]).unwrap();
        assert_eq!(format!("{secret:?}"), "SecretScalar(<redacted>)");
        assert!(!secret.is_zero());
        assert!(SecretScalar::decode(&[0; 32]).unwrap().is_zero());
    }

    proptest! {
        #[test]
        fn invariant_1_what_decodes_encodes_to_the_same_bytes(bytes: [u8; 32]) {
            if let Ok(scalar) = Scalar::decode(&bytes) {
                prop_assert_eq!(scalar.encode(), bytes);
            }
        }
    }
}
