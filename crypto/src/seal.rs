//! Sealing to a committee and verifying what was sealed (crypto.md 3 and 4).
//!
//! TDH2 (Shoup and Gennaro, "Securing threshold cryptosystems against chosen ciphertext attack",
//! Journal of Cryptology 15, 2002) over G1 of BLS12-381 as a key encapsulation, with
//! ChaCha20-Poly1305 as the data encapsulation. The sealing scalar is derived from `rho`, which is
//! encrypted with the message (Fujisaki and Okamoto, CRYPTO 1999): whoever learns `rho` can repeat
//! the sealing, so an opening is checked without a key share.
//!
//! ```text
//! k    = Hs(NONCE, key_id, rho)
//! U    = k·G        Ū = k·Ḡ        K = k·P
//! key  = HKDF-SHA256(salt = KDF, ikm = K, info = frame(key_id, U))
//! body = ChaCha20-Poly1305(key, nonce 0, aad = frame(key_id, SHA-256(ad)), rho ‖ m)
//! W    = a·G        W̄ = a·Ḡ
//! e    = the first 16 bytes of H(SEAL-PROOF, key_id, SHA-256(ad), SHA-256(body), U, Ū, W, W̄)
//! z    = a + e·k
//! ciphertext = U(48) ‖ Ū(48) ‖ e(16) ‖ z(32) ‖ body
//! ```
//!
//! # Invariants
//!
//! 1. `seal` uses up its randomness, and refuses `a = 0` and `k = 0`.
//! 2. A [`VerifiedCiphertext`] only comes from a verification against a committee key and `ad`:
//!    nothing else is ever opened, which is what makes the scheme secure against chosen
//!    ciphertexts. Changing any byte of `ad` or of the ciphertext makes it fail.
//! 3. A point at infinity among W, W̄ is hashed as its encoding `c0 00..00`.
//! 4. Sealing is constant time in `rho` and `a`; verification is public and is not.
//!
//! # Deviations from the paper
//!
//! The message is not encrypted by one-time pad but by an AEAD; the label is hashed into both the
//! proof and the associated data; the proof is in challenge-response form with a 128-bit challenge.

use std::fmt;
use std::sync::Arc;

use hkdf::Hkdf;
use rayon::ThreadPool;
use rayon::prelude::*;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::committee::CommitteeKey;
use crate::domain::{Hasher, Tag, frame, sha256};
use crate::point::{FixedBase, GroupElement, Point, PointBytes, PointError, UncheckedPoint};
use crate::scalar::{Scalar, ScalarError, SecretScalar};
use crate::{Digest, KeyId, hex::byte_newtype};

/// Bytes that a ciphertext has more than the plaintext m.
pub const OVERHEAD_BYTES: usize = HEAD_BYTES + RHO_BYTES + TAG_BYTES;

const HEAD_BYTES: usize = 144;
const RHO_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

byte_newtype! {
    /// The seed of a sealing. A secret until the bundle is opened; afterwards the opening hint.
    Rho(32),
}

/// Randomness that can not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The proof nonce is not below the group order.
    #[error("proof nonce: {0}")]
    Nonce(#[from] ScalarError),
    /// The proof nonce is zero, which would publish the sealing scalar.
    #[error("proof nonce is zero, draw again")]
    ZeroNonce,
    /// The sealing scalar is zero.
    #[error("sealing scalar is zero, draw again")]
    ZeroScalar,
}

/// `rho` and `a` from the caller's CSPRNG, for one sealing.
pub struct SealRandomness {
    rho: Zeroizing<[u8; 32]>,
    nonce: SecretScalar,
}

impl SealRandomness {
    /// Uniform bytes needed by [`Self::from_uniform`].
    pub const UNIFORM_BYTES: usize = 80;

    /// The randomness from 80 uniform bytes: `rho`, and 48 that are reduced mod r.
    ///
    /// # Errors
    ///
    /// [`SealError::ZeroNonce`], with a probability of 2^-255.
    pub fn from_uniform(uniform: &[u8; Self::UNIFORM_BYTES]) -> Result<Self, SealError> {
        let mut rho = Zeroizing::new([0; RHO_BYTES]);
        rho.copy_from_slice(&uniform[..RHO_BYTES]);
        Self::with_nonce(rho, SecretScalar::reduce(&uniform[RHO_BYTES..]))
    }

    /// The randomness with this `rho` and this encoding of `a`.
    ///
    /// # Errors
    ///
    /// If `a` is not in 1..r.
    pub fn from_parts(rho: [u8; 32], a: &[u8; 32]) -> Result<Self, SealError> {
        Self::with_nonce(Zeroizing::new(rho), SecretScalar::decode(a)?)
    }

    /// `rho`, for the trader who wants to prove what was sealed.
    #[must_use]
    pub fn expose_rho(&self) -> Rho {
        Rho::from_bytes(*self.rho)
    }

    fn with_nonce(rho: Zeroizing<[u8; 32]>, nonce: SecretScalar) -> Result<Self, SealError> {
        if nonce.is_zero() { Err(SealError::ZeroNonce) } else { Ok(Self { rho, nonce }) }
    }
}

impl fmt::Debug for SealRandomness {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SealRandomness(<redacted>)")
    }
}

/// Seals the plaintext `m` to the committee under the header `ad`.
///
/// # Errors
///
/// [`SealError::ZeroScalar`], with a probability of 2^-255.
pub fn seal(
    key: &CommitteeKey,
    ad: &[u8],
    m: &[u8],
    randomness: SealRandomness,
) -> Result<Ciphertext, SealError> {
    let SealRandomness { rho, nonce } = randomness;
    let k = SecretScalar::hash(Tag::Nonce, &[key.key_id().as_bytes(), &rho[..]]);
    if k.is_zero() {
        return Err(SealError::ZeroScalar);
    }
    let (generator, second) = (Point::generator(), Point::second_generator());
    let encoded = Zeroizing::new(GroupElement::encode_many(&[
        generator.multiply(&k),
        second.multiply(&k),
        key.point().multiply(&k),
        generator.multiply(&nonce),
        second.multiply(&nonce),
    ]));
    let [u, u_bar, pad, w, w_bar] = [0, 1, 2, 3, 4].map(|position| &encoded[position]);
    let context = Context::new(key.key_id(), ad);
    let body = context.encrypt(u, pad, &rho, m);
    let challenge = context.challenge(&sha256(&body), u, u_bar, w, w_bar);
    let response = nonce.respond(u128::from_be_bytes(challenge), &k);

    let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
    bytes.extend_from_slice(u.as_bytes());
    bytes.extend_from_slice(u_bar.as_bytes());
    bytes.extend_from_slice(&challenge);
    bytes.extend_from_slice(&response.encode());
    bytes.extend_from_slice(&body);
    Ok(Ciphertext(bytes.into()))
}

/// Why a ciphertext is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CiphertextError {
    /// Too short to hold anything.
    #[error("ciphertext is {actual} bytes, at least {limit} are needed")]
    Truncated {
        /// Bytes given.
        actual: usize,
        /// The shortest ciphertext.
        limit: usize,
    },
    /// U or Ū is no point.
    #[error("point of the ciphertext: {0}")]
    Point(#[from] PointError),
    /// z is no scalar.
    #[error("response of the proof: {0}")]
    Response(#[from] ScalarError),
    /// The proof does not hold for this key, header and body.
    #[error("proof of the ciphertext does not hold")]
    Proof,
}

/// A ciphertext as bytes, long enough to be one. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Ciphertext(Arc<[u8]>);

impl Ciphertext {
    /// The ciphertext with these bytes.
    ///
    /// # Errors
    ///
    /// If there are fewer than [`OVERHEAD_BYTES`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CiphertextError> {
        if bytes.len() < OVERHEAD_BYTES {
            let actual = bytes.len();
            return Err(CiphertextError::Truncated { actual, limit: OVERHEAD_BYTES });
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Verifies the ciphertext against the committee key and the header it was sealed under.
    ///
    /// # Errors
    ///
    /// The first reason that applies, in the order of [`CiphertextError`].
    pub fn verify(
        &self,
        key: &CommitteeKey,
        ad: &[u8],
    ) -> Result<VerifiedCiphertext, CiphertextError> {
        let challenge: [u8; 16] = self.part(96);
        let point_and_shift = |bytes: [u8; 48]| {
            let number = u128::from_be_bytes(challenge);
            UncheckedPoint::decode(&bytes)?.check_and_multiply_vartime(number)
        };
        let (u, shift) = point_and_shift(self.part(0))?;
        let (u_bar, shift_bar) = point_and_shift(self.part(48))?;
        let response = Scalar::decode(&self.part::<32>(112))?;
        let commitments = GroupElement::encode_many(&[
            FixedBase::generator().multiply_vartime(&response).subtract(&shift),
            FixedBase::second_generator().multiply_vartime(&response).subtract(&shift_bar),
        ]);
        let context = Context::new(key.key_id(), ad);
        let expected = context.challenge(
            &sha256(self.body()),
            &u.encode(),
            &u_bar.encode(),
            &commitments[0],
            &commitments[1],
        );
        if challenge != expected {
            return Err(CiphertextError::Proof);
        }
        Ok(VerifiedCiphertext { ciphertext: self.clone(), u, context })
    }

    fn body(&self) -> &[u8] {
        &self.0[HEAD_BYTES..]
    }

    /// N bytes of the head, which is there.
    fn part<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut part = [0; N];
        part.copy_from_slice(&self.0[offset..offset + N]);
        part
    }
}

impl fmt::Debug for Ciphertext {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Ciphertext({} bytes)", self.0.len())
    }
}

/// Verifies many ciphertexts, each with its header, on a pool; verdicts in the order given.
#[must_use]
pub fn verify_many(
    key: &CommitteeKey,
    sealed: &[(&Ciphertext, &[u8])],
    pool: &ThreadPool,
) -> Vec<Result<VerifiedCiphertext, CiphertextError>> {
    pool.install(|| sealed.par_iter().map(|(ciphertext, ad)| ciphertext.verify(key, ad)).collect())
}

/// A ciphertext whose proof holds: the only thing that is ever opened. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VerifiedCiphertext {
    ciphertext: Ciphertext,
    u: Point,
    context: Context,
}

/// What a ciphertext turned out to hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The seed of the sealing: the opening hint.
    pub rho: Rho,
    /// The padded plaintext.
    pub m: Vec<u8>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Opened {{ rho: {}, m: {} bytes }}", self.rho, self.m.len())
    }
}

/// The body does not open under a pad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AeadError;

impl VerifiedCiphertext {
    /// U, the point that decryption shares are made of.
    #[must_use]
    pub fn u(&self) -> &Point {
        &self.u
    }

    /// The id of the committee key that it was verified against.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.context.key_id
    }

    /// The ciphertext.
    #[must_use]
    pub fn ciphertext(&self) -> &Ciphertext {
        &self.ciphertext
    }

    /// k of this `rho`, which is public by now.
    pub(crate) fn sealing_scalar(&self, rho: &Rho) -> Scalar {
        sealing_scalar(self.context.key_id, rho)
    }

    /// Opens the body under the pad K.
    pub(crate) fn open_body(&self, pad: &PointBytes) -> Result<Opened, AeadError> {
        let mut plain = self.context.decrypt(&self.u.encode(), pad, self.ciphertext.body())?;
        let m = plain.split_off(RHO_BYTES);
        let rho = plain.as_slice().try_into().map_err(|_| AeadError)?;
        Ok(Opened { rho: Rho::from_bytes(rho), m })
    }
}

/// `Hs(NONCE, key_id, rho)` of a `rho` that is public.
#[must_use]
pub fn sealing_scalar(key_id: KeyId, rho: &Rho) -> Scalar {
    Scalar::hash(Tag::Nonce, &[key_id.as_bytes(), rho.as_bytes()])
}

/// What a ciphertext is bound to besides its own bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    key_id: KeyId,
    pub(crate) ad_digest: [u8; 32],
}

impl Context {
    pub(crate) fn new(key_id: KeyId, ad: &[u8]) -> Self {
        Self { key_id, ad_digest: sha256(ad) }
    }

    fn challenge(
        &self,
        body_digest: &[u8; 32],
        u: &PointBytes,
        u_bar: &PointBytes,
        w: &PointBytes,
        w_bar: &PointBytes,
    ) -> [u8; 16] {
        let mut hasher = Hasher::new(Tag::SealProof);
        hasher.item(self.key_id.as_bytes());
        hasher.item(&self.ad_digest);
        hasher.item(body_digest);
        [u, u_bar, w, w_bar].iter().for_each(|point| hasher.item(point.as_bytes()));
        half(&hasher.finish())
    }

    fn encrypt(&self, u: &PointBytes, pad: &PointBytes, rho: &[u8; 32], m: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(RHO_BYTES + m.len() + TAG_BYTES);
        body.extend_from_slice(rho);
        body.extend_from_slice(m);
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        // ring refuses only messages of 256 GiB and more.
        self.aead(u, pad)
            .seal_in_place_append_tag(nonce, Aad::from(self.associated_data()), &mut body)
            .expect("a bundle is far below the limit of ChaCha20-Poly1305");
        body
    }

    fn decrypt(&self, u: &PointBytes, pad: &PointBytes, body: &[u8]) -> Result<Vec<u8>, AeadError> {
        let mut plain = body.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let length = self
            .aead(u, pad)
            .open_in_place(nonce, Aad::from(self.associated_data()), &mut plain)
            .map_err(|_| AeadError)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }

    fn associated_data(&self) -> Vec<u8> {
        frame(&[self.key_id.as_bytes(), &self.ad_digest])
    }

    /// The cipher under the key derived from the pad. The key is used once: its nonce is zero.
    fn aead(&self, u: &PointBytes, pad: &PointBytes) -> LessSafeKey {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &self.cipher_key(u, pad)[..]);
        LessSafeKey::new(key.expect("the key has the 32 bytes of ChaCha20"))
    }

    pub(crate) fn cipher_key(&self, u: &PointBytes, pad: &PointBytes) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(Tag::Kdf.as_bytes()), pad.as_bytes())
            .expand(&frame(&[self.key_id.as_bytes(), u.as_bytes()]), &mut key[..])
            .expect("HKDF-SHA256 gives up to 8160 bytes");
        key
    }
}

/// The first 16 bytes of a hash: a challenge or a weight.
pub(crate) fn half(digest: &Digest) -> [u8; 16] {
    let mut first = [0; 16];
    first.copy_from_slice(&digest.as_bytes()[..16]);
    first
}

/// The ciphertext with another body, and a proof for it that holds: what a trader can make.
#[cfg(test)]
pub(crate) fn reproven(
    key: &CommitteeKey,
    ad: &[u8],
    ciphertext: &Ciphertext,
    body: &[u8],
    rho: &[u8; 32],
    a: &[u8; 32],
) -> Vec<u8> {
    let context = Context::new(key.key_id(), ad);
    let nonce = SecretScalar::decode(a).expect("a scalar");
    let commitments = [Point::generator(), Point::second_generator()]
        .map(|point| point.multiply(&nonce).encode());
    let head = ciphertext.as_bytes();
    let point = |bytes: &[u8]| Point::decode(bytes).expect("a point").encode();
    let (u, u_bar) = (point(&head[..48]), point(&head[48..96]));
    let digest = sha256(body);
    let challenge = context.challenge(&digest, &u, &u_bar, &commitments[0], &commitments[1]);
    let k = SecretScalar::hash(Tag::Nonce, &[key.key_id().as_bytes(), rho]);
    let response = nonce.respond(u128::from_be_bytes(challenge), &k);
    [&head[..96], &challenge, &response.encode(), body].concat()
}

#[cfg(test)]
mod tests;
