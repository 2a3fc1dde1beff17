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
//! # Opening in public
//!
//! The holder shows K with a proof that it is x·U, and everybody opens that one ciphertext as the
//! holder would ([`PadProof`]). It is the proof of equal logarithms of (G, X) and (U, K):
//!
//! ```text
//! w   = Hs(PAD-NONCE, x, X, U, K)
//! e   = the first 16 bytes of H(PAD-PROOF, X, U, K, w·G, w·U)        z = w + int(e)·x
//! check: e = H(PAD-PROOF, X, U, K, z·G - int(e)·X, z·U - int(e)·K)
//! ```
//!
//! w is a function of x and of everything that the challenge is about, so a holder that is asked
//! twice proves with the same bytes, and no nonce ever answers two challenges.
//!
//! # Invariants
//!
//! 1. Only a verified ciphertext is opened, and only one that was verified against this key.
//! 2. What opens was sealed with its own `rho`: `k·G = U` is checked, so K is the sealer's too.
//! 3. The secret is wiped on drop, is never printed and can not be serialized.
//! 4. Whoever has a pad that verifies judges the ciphertext as its holder does: what opens for one
//!    opens for the other, and what fails fails with the same reason.

use std::fmt;

use zeroize::Zeroizing;

use serde::{Deserialize, Serialize};

use crate::committee::{CommitteeKey, KeyShareError};
use crate::domain::{Hasher, Tag};
use crate::hex::byte_newtype;
use crate::point::{FixedBase, GroupElement, Point, PointBytes};
use crate::scalar::{Scalar, SecretScalar};
use crate::seal::{Opened, VerifiedCiphertext, half};

byte_newtype! {
    /// The challenge e of the proof of a pad.
    PadChallenge(16),
    /// The response z of the proof of a pad.
    PadResponse(32),
}

/// K of one ciphertext with the proof that it is x·U.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PadProof {
    /// K.
    pub pad: PointBytes,
    /// e.
    pub challenge: PadChallenge,
    /// z.
    pub response: PadResponse,
}

/// The pad is not shown to be that of the ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pad is not proven to be that of this ciphertext and key")]
pub struct PadError;

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
        open_with(ciphertext, &self.pad(ciphertext))
    }

    /// The pad of a ciphertext, which opens it for everybody, with its proof.
    ///
    /// # Errors
    ///
    /// If the ciphertext was verified against another key.
    pub fn prove_pad(&self, ciphertext: &VerifiedCiphertext) -> Result<PadProof, SoleError> {
        if ciphertext.key_id() != self.key.key_id() {
            return Err(SoleError::Key);
        }
        let (u, pad) = (ciphertext.u(), self.pad(ciphertext));
        let (key, encoded) = (self.key.point().encode(), u.encode());
        let secret = self.secret.expose_encoding();
        let items: [&[u8]; 4] = [&secret[..], key.as_bytes(), encoded.as_bytes(), pad.as_bytes()];
        let w = SecretScalar::hash(Tag::PadNonce, &items);
        let commitments =
            GroupElement::encode_many(&[Point::generator().multiply(&w), u.multiply(&w)]);
        let challenge = challenge(&key, &encoded, &pad, &commitments);
        let number = u128::from_be_bytes(challenge.to_bytes());
        let response = PadResponse::from_bytes(w.respond(number, &self.secret).encode());
        Ok(PadProof { pad, challenge, response })
    }

    fn pad(&self, ciphertext: &VerifiedCiphertext) -> PointBytes {
        // A multiple of a finite point of prime order by a scalar that is not zero is finite.
        ciphertext.u().multiply(&self.secret).encode()
    }
}

impl PadProof {
    /// Checks the proof, and opens the ciphertext as the holder of `key` does.
    ///
    /// # Errors
    ///
    /// [`PadError`] if the proof does not hold or the ciphertext was verified against another key;
    /// within, why the ciphertext does not open.
    pub fn open(
        &self,
        key: &CommitteeKey,
        ciphertext: &VerifiedCiphertext,
    ) -> Result<Result<Opened, SoleError>, PadError> {
        if ciphertext.key_id() != key.key_id() {
            return Err(PadError);
        }
        let pad = Point::decode(self.pad.as_bytes()).map_err(|_| PadError)?;
        let response = Scalar::decode(self.response.as_bytes()).map_err(|_| PadError)?;
        let number = u128::from_be_bytes(self.challenge.to_bytes());
        let (x, u) = (key.point(), ciphertext.u());
        let commitments = GroupElement::encode_many(&[
            FixedBase::generator()
                .multiply_vartime(&response)
                .subtract(&x.multiply_short_vartime(number)),
            GroupElement::from(u)
                .multiply_vartime(&response)
                .subtract(&pad.multiply_short_vartime(number)),
        ]);
        if challenge(&x.encode(), &u.encode(), &self.pad, &commitments) != self.challenge {
            return Err(PadError);
        }
        Ok(open_with(ciphertext, &self.pad))
    }
}

fn challenge(
    key: &PointBytes,
    u: &PointBytes,
    pad: &PointBytes,
    commitments: &[PointBytes],
) -> PadChallenge {
    let mut hasher = Hasher::new(Tag::PadProof);
    [key, u, pad].iter().for_each(|point| hasher.item(point.as_bytes()));
    commitments.iter().for_each(|point| hasher.item(point.as_bytes()));
    PadChallenge::from_bytes(half(&hasher.finish()))
}

fn open_with(ciphertext: &VerifiedCiphertext, pad: &PointBytes) -> Result<Opened, SoleError> {
    let opened = ciphertext.open_body(pad).map_err(|_| SoleError::Aead)?;
    let k = ciphertext.sealing_scalar(&opened.rho);
    if !FixedBase::generator().multiply_vartime(&k).equals(ciphertext.u()) {
        return Err(SoleError::Rho);
    }
    Ok(opened)
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
    fn invariant_4_a_proven_pad_opens_in_public_and_no_other_does() {
        let (acme, delta) = (secret(1), secret(2));
        let verified = sealed(&acme, b"header").verify(acme.key(), b"header").unwrap();
        let proof = acme.prove_pad(&verified).unwrap();
        assert_eq!(acme.prove_pad(&verified).unwrap(), proof);
        let opened = proof.open(acme.key(), &verified).unwrap();
        assert_eq!(opened, acme.open(&verified));
        assert_eq!(delta.prove_pad(&verified), Err(SoleError::Key));
        assert_eq!(proof.open(delta.key(), &verified), Err(PadError));
        let randomness = SealRandomness::from_parts([8; 32], &[6; 32]).unwrap();
        let other = seal(acme.key(), b"header", b"another", randomness).unwrap();
        let other = other.verify(acme.key(), b"header").unwrap();
        assert_eq!(proof.open(acme.key(), &other), Err(PadError));
        let change = |change: &dyn Fn(&mut PadProof)| {
            let mut changed = proof;
            change(&mut changed);
            changed.open(acme.key(), &verified)
        };
        let infinity = std::array::from_fn(|place| if place == 0 { 0xc0 } else { 0 });
        let bytes = |mut bytes: Vec<u8>| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            bytes
        };
        assert_eq!(change(&|p| p.pad = PointBytes::from_bytes(infinity)), Err(PadError));
        assert_eq!(change(&|p| p.pad = Point::generator().encode()), Err(PadError));
        let challenge = bytes(proof.challenge.as_bytes().to_vec()).try_into().unwrap();
        assert_eq!(change(&|p| p.challenge = PadChallenge::from_bytes(challenge)), Err(PadError));
        let response = bytes(proof.response.as_bytes().to_vec()).try_into().unwrap();
        assert_eq!(change(&|p| p.response = PadResponse::from_bytes(response)), Err(PadError));
        let too_large = PadResponse::from_bytes([0xff; 32]);
        assert_eq!(change(&|p| p.response = too_large), Err(PadError));
    }

    #[test]
    fn invariant_4_a_body_that_does_not_open_fails_for_everybody_alike() {
        let acme = secret(1);
        let good = sealed(&acme, b"header");
        // The sealer's own proof over another body: what a cheat that knows k can make.
        let body = [7; 64];
        let junk = crate::seal::reproven(acme.key(), b"header", &good, &body, &[5; 32], &[6; 32]);
        let junk = crate::seal::Ciphertext::decode(&junk).unwrap();
        let verified = junk.verify(acme.key(), b"header").unwrap();
        assert_eq!(acme.open(&verified), Err(SoleError::Aead));
        let proof = acme.prove_pad(&verified).unwrap();
        assert_eq!(proof.open(acme.key(), &verified), Ok(Err(SoleError::Aead)));
    }

    #[test]
    fn invariant_3_secrets_are_not_printed() {
        assert!(format!("{:?}", secret(1)).ends_with(", <redacted>)"));
        assert_eq!(SoleSecret::decode(&[0; 32]).unwrap_err(), KeyShareError::Zero);
        assert_eq!(*secret(1).expose_encoding(), [1; 32]);
    }
}
