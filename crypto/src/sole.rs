//! Sealing to one holder: the scheme of [`crate::seal`] with a key whose secret one party holds.
//!
//! ```text
//! key = x·G        K = x·U        the rest as in `seal`: P is the key, without the factor Δ
//! ```
//!
//! Members of a ceremony send each other their dealings this way. The proof in the ciphertext is
//! what makes it safe to show `rho` or K of one ciphertext in public: nobody can have copied U
//! from somebody else's.
//!
//! # Invariants
//!
//! 1. Only a verified ciphertext is opened, and only one that was verified against this key.
//! 2. What opens was sealed with its own `rho`: `k·G = U` is checked, so K is the sealer's too.
//! 3. The secret is wiped on drop, is never printed and can not be serialized.

use std::fmt;

use zeroize::Zeroizing;

use crate::committee::{CommitteeKey, KeyShareError};
use crate::point::{FixedBase, Point};
use crate::scalar::SecretScalar;
use crate::seal::{Opened, VerifiedCiphertext};

/// Why a ciphertext does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SoleError {
    /// It was verified against another key.
    #[error("ciphertext was sealed to another key")]
    Key,
    /// The body does not open.
    #[error("body of the ciphertext does not open")]
    Aead,
    /// It was not sealed with the `rho` inside.
    #[error("ciphertext was not sealed with the rho that it holds")]
    Rho,
}

/// The secret of a key that one party holds.
pub struct SoleSecret {
    secret: SecretScalar,
    key: CommitteeKey,
}

impl SoleSecret {
    /// The secret with this encoding.
    ///
    /// # Errors
    ///
    /// If it is not 32 bytes below r, or zero.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyShareError> {
        let secret = SecretScalar::decode(bytes)?;
        let point = Point::generator().multiply(&secret).to_point().ok_or(KeyShareError::Zero)?;
        Ok(Self { secret, key: CommitteeKey::new(point) })
    }

    /// The key to seal to.
    #[must_use]
    pub fn key(&self) -> &CommitteeKey {
        &self.key
    }

    /// The encoding, for the keystore alone.
    #[must_use]
    pub fn expose_encoding(&self) -> Zeroizing<[u8; 32]> {
        self.secret.expose_encoding()
    }

    /// What a ciphertext holds.
    ///
    /// # Errors
    ///
    /// [`SoleError`].
    pub fn open(&self, ciphertext: &VerifiedCiphertext) -> Result<Opened, SoleError> {
        if ciphertext.key_id() != self.key.key_id() {
            return Err(SoleError::Key);
        }
        // A multiple of a finite point of prime order by a scalar that is not zero is finite.
        let pad = ciphertext.u().multiply(&self.secret).encode();
        let opened = ciphertext.open_body(&pad).map_err(|_| SoleError::Aead)?;
        let k = ciphertext.sealing_scalar(&opened.rho);
        if !FixedBase::generator().multiply_vartime(&k).equals(ciphertext.u()) {
            return Err(SoleError::Rho);
        }
        Ok(opened)
    }
}

impl fmt::Debug for SoleSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SoleSecret({}, <redacted>)", self.key.point().encode())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::seal::{SealRandomness, seal};

    fn secret(byte: u8) -> SoleSecret {
        SoleSecret::decode(&[byte; 32]).unwrap()
    }

    fn sealed(to: &SoleSecret, ad: &[u8]) -> crate::seal::Ciphertext {
        let randomness = SealRandomness::from_parts([5; 32], &[6; 32]).unwrap();
        seal(to.key(), ad, b"a dealing", randomness).unwrap()
    }

    #[test]
    fn invariant_1_the_holder_opens_and_nobody_else() {
        let (acme, delta) = (secret(1), secret(2));
        let verified = sealed(&acme, b"header").verify(acme.key(), b"header").unwrap();
        assert_eq!(acme.open(&verified).unwrap().m, b"a dealing");
        assert_eq!(delta.open(&verified), Err(SoleError::Key));
        assert!(sealed(&acme, b"header").verify(delta.key(), b"header").is_err());
        assert!(sealed(&acme, b"header").verify(acme.key(), b"other").is_err());
    }

    #[test]
    fn invariant_3_secrets_are_not_printed() {
        assert!(format!("{:?}", secret(1)).ends_with(", <redacted>)"));
        assert_eq!(SoleSecret::decode(&[0; 32]).unwrap_err(), KeyShareError::Zero);
        assert_eq!(*secret(1).expose_encoding(), [1; 32]);
    }
}
