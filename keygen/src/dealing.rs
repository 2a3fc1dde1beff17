//! Dealing keys, and the encryption of a private dealing to one member.
//!
//! A private dealing is sealed as traders seal bundles ([`fairveil_crypto::seal`]), with the
//! member's dealing key in the place of the committee key:
//!
//! ```text
//! ad     = hash(DEALING-HEADER, ceremony id, dealer, receiver, commitment)
//! sealed = seal(X, ad, f(receiver) as 32 bytes; rho, a)          224 bytes
//! rho, a = from hash(DEALING-SEED, seed, receiver, counter)
//! ```
//!
//! # Why this scheme
//!
//! One sealed dealing can be opened in public without touching another: its `rho` lets anyone
//! repeat the sealing and read it, and for one that does not open its pad `K = x·U` with a proof
//! of equal logarithms of (G, X) and (U, K) does. The proof in the ciphertext shows that the
//! dealer knows k and means this receiver and ceremony, so that a cheat can't lift U from an
//! honest dealer's ciphertext and have the receiver open that one by complaining
//! ([`crate::entry::Complaint`]).
//!
//! # Invariants
//!
//! 1. A sealed dealing opens for its ceremony, dealer, receiver and commitment alone.
//! 2. The same seed seals the same bytes: a dealer that restarts posts nothing new.
//! 3. Whoever gets t dealing secrets of a ceremony can read t shares of it from the ceremony's
//!    chain. A dealing key therefore serves one ceremony and is erased after it, and the sealed
//!    dealings stand on the chain but not in the transcript, which holds their digest.

use std::fmt;

use commonware_codec::FixedSize as _;
use commonware_cryptography::bls12381::primitives::group::Scalar;
use fairveil_crypto::committee::{CommitteeKey, KeyShare, KeyShareError};
use fairveil_crypto::domain::{self, Tag};
use fairveil_crypto::point::{Point, PointBytes};
use fairveil_crypto::seal::{self, Ciphertext, SealRandomness, VerifiedCiphertext};
use fairveil_crypto::sole::{PadProof, SoleSecret};
use fairveil_crypto::{ConsensusSecret, Digest, SequencerIndex};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::dkg::DealingError;

/// Length of a sealed dealing.
pub const SEALED_DEALING_BYTES: usize = Scalar::SIZE + seal::OVERHEAD_BYTES;

/// The public key that dealings to a member are sealed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DealingPublicKey(PointBytes);

impl DealingPublicKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 48]) -> Self {
        Self(PointBytes::from_bytes(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 48] {
        self.0.as_bytes()
    }

    /// Whether this is the encoding of a point of the group.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        Point::decode(self.0.as_bytes()).is_ok()
    }

    fn key(&self) -> Option<CommitteeKey> {
        CommitteeKey::decode(self.0.as_bytes()).ok()
    }
}

impl fmt::Display for DealingPublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The secret that opens the dealings to a member.
pub struct DealingSecret(SoleSecret);

impl DealingSecret {
    /// The secret with this encoding: 32 bytes big-endian, in 1..r.
    ///
    /// # Errors
    ///
    /// If it is out of that range.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyShareError> {
        SoleSecret::decode(bytes).map(Self)
    }

    /// The secret from 32 uniform bytes of the caller's CSPRNG.
    ///
    /// # Panics
    ///
    /// With a probability of 2^-255.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let scalar = fairveil_crypto::scalar::SecretScalar::hash(Tag::DealingKey, &[seed]);
        Self::from_bytes(&scalar.expose_encoding()).expect("a hash to the scalar field is not zero")
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> DealingPublicKey {
        DealingPublicKey(self.0.key().point().encode())
    }

    /// The encoding, for the keystore alone.
    #[must_use]
    pub fn expose_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.expose_encoding()
    }

    /// The seed of this member's own dealing in a ceremony.
    pub(crate) fn dealing_seed(&self, ceremony: &Digest, nonce: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let secret = self.expose_bytes();
        let items: [&[u8]; 3] = [&secret[..], ceremony.as_bytes(), nonce];
        Zeroizing::new(domain::hash(Tag::DealingSeed, &items).to_bytes())
    }

    /// Opens the dealing that stands under this header.
    pub(crate) fn open(
        &self,
        header: &Header<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DealingError> {
        let opened = self.verified(header, sealed).ok_or(DealingError::Sealed)?;
        let opened = self.0.open(&opened).map_err(|_| DealingError::Sealed)?;
        Ok(Zeroizing::new(opened.m))
    }

    /// The pad that opens it for everybody. `None` if it is not well sealed to this key under this
    /// header: then there is nothing to open, and its pad is not shown.
    pub(crate) fn pad(&self, header: &Header<'_>, sealed: &[u8]) -> Option<PadProof> {
        self.0.prove_pad(&self.verified(header, sealed)?).ok()
    }

    fn verified(&self, header: &Header<'_>, sealed: &[u8]) -> Option<VerifiedCiphertext> {
        Ciphertext::decode(sealed).ok()?.verify(self.0.key(), &header.to_bytes()).ok()
    }
}

/// The seed of a dealer's dealing in a resharing, where its secret is its share.
pub(crate) fn resharing_seed(
    share: &KeyShare,
    consensus: &ConsensusSecret,
    ceremony: &Digest,
    nonce: &[u8; 32],
) -> Zeroizing<[u8; 32]> {
    let (share, consensus) = (share.expose_encoding(), consensus.expose_seed());
    let items: [&[u8]; 4] = [&share[..], &consensus[..], ceremony.as_bytes(), nonce];
    Zeroizing::new(domain::hash(Tag::DealingSeed, &items).to_bytes())
}

/// A well sealed dealing, as everybody sees it.
pub(crate) struct SealedDealing {
    key: CommitteeKey,
    ciphertext: VerifiedCiphertext,
}

impl SealedDealing {
    /// `None` if it is not well sealed to this key under this header.
    pub(crate) fn verify(
        to: &DealingPublicKey,
        header: &Header<'_>,
        sealed: &[u8],
    ) -> Option<Self> {
        let key = to.key()?;
        let ciphertext = Ciphertext::decode(sealed).ok()?;
        let ciphertext = ciphertext.verify(&key, &header.to_bytes()).ok()?;
        Some(Self { key, ciphertext })
    }

    /// What opens under a pad. `None` if it is not proven to be the pad; within, if it opens
    /// nothing.
    pub(crate) fn open_with(&self, pad: &PadProof) -> Option<Option<Vec<u8>>> {
        let opened = pad.open(&self.key, &self.ciphertext).ok()?;
        Some(opened.ok().map(|opened| opened.m))
    }
}

impl fmt::Debug for DealingSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "DealingSecret({}, <redacted>)", self.public_key())
    }
}

/// What a sealed dealing is bound to.
pub(crate) struct Header<'a> {
    pub(crate) ceremony: &'a Digest,
    pub(crate) dealer: SequencerIndex,
    pub(crate) receiver: SequencerIndex,
    pub(crate) commitment: &'a [PointBytes],
}

impl Header<'_> {
    fn to_bytes(&self) -> [u8; 32] {
        let (dealer, receiver) = (self.dealer.to_be_bytes(), self.receiver.to_be_bytes());
        let mut hasher = domain::Hasher::new(Tag::DealingHeader);
        hasher.item(self.ceremony.as_bytes());
        hasher.item(&dealer);
        hasher.item(&receiver);
        self.commitment.iter().for_each(|point| hasher.item(point.as_bytes()));
        hasher.finish().to_bytes()
    }
}

/// Seals a dealing. `None` if the key is not one, which a definition rules out.
pub(crate) fn seal_dealing(
    to: &DealingPublicKey,
    header: &Header<'_>,
    seed: &[u8; 32],
    dealing: &[u8; 32],
) -> Option<Vec<u8>> {
    let mut uniform = Zeroizing::new([0; SealRandomness::UNIFORM_BYTES]);
    for (counter, chunk) in (0u8..).zip(uniform.chunks_mut(32)) {
        let items: [&[u8]; 3] = [seed, &header.receiver.to_be_bytes(), &[counter]];
        let block = domain::hash(Tag::DealingSeed, &items).to_bytes();
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
    let randomness = SealRandomness::from_uniform(&uniform).ok()?;
    let sealed = seal::seal(&to.key()?, &header.to_bytes(), dealing, randomness).ok()?;
    Some(sealed.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const CEREMONY: Digest = Digest::from_bytes([3; 32]);

    fn header(dealer: u16, receiver: u16) -> Header<'static> {
        Header {
            ceremony: &CEREMONY,
            dealer: SequencerIndex::new(dealer).unwrap(),
            receiver: SequencerIndex::new(receiver).unwrap(),
            commitment: &[],
        }
    }

    #[test]
    fn invariant_1_a_sealed_dealing_opens_under_its_header_alone() {
        let secret = DealingSecret::from_seed(&[1; 32]);
        let dealing = [7; 32];
        let sealed = seal_dealing(&secret.public_key(), &header(1, 2), &[9; 32], &dealing).unwrap();
        assert_eq!(sealed.len(), SEALED_DEALING_BYTES);
        assert_eq!(*secret.open(&header(1, 2), &sealed).unwrap(), dealing);
        for other in [header(2, 2), header(1, 1), header(2, 1)] {
            assert_eq!(secret.open(&other, &sealed).unwrap_err(), DealingError::Sealed);
        }
        let points = [Point::generator().encode()];
        let other = Header { commitment: &points, ..header(1, 2) };
        assert_eq!(secret.open(&other, &sealed).unwrap_err(), DealingError::Sealed);
        let stranger = DealingSecret::from_seed(&[2; 32]);
        assert_eq!(stranger.open(&header(1, 2), &sealed).unwrap_err(), DealingError::Sealed);
        for position in 0..sealed.len() {
            let mut mutated = sealed.clone();
            mutated[position] ^= 1;
            assert!(secret.open(&header(1, 2), &mutated).is_err(), "byte {position}");
        }
        assert!(secret.open(&header(1, 2), &sealed[1..]).is_err());
    }

    #[test]
    fn invariant_2_sealing_is_deterministic_and_differs_by_receiver() {
        let key = DealingSecret::from_seed(&[1; 32]).public_key();
        let sealed = |receiver, seed| {
            seal_dealing(&key, &header(1, receiver), &[seed; 32], &[7; 32]).unwrap()
        };
        assert_eq!(sealed(2, 9), sealed(2, 9));
        assert_ne!(sealed(2, 9)[..48], sealed(3, 9)[..48]);
        assert_ne!(sealed(2, 9)[..48], sealed(2, 8)[..48]);
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = DealingSecret::from_seed(&[1; 32]);
        assert!(format!("{secret:?}").ends_with(", <redacted>)"));
        assert_eq!(
            DealingSecret::from_bytes(&secret.expose_bytes()).unwrap().public_key(),
            secret.public_key()
        );
    }
}
