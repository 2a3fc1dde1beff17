//! Consensus keys: ed25519 over domain hashes, verified by ZIP-215 rules.
//!
//! # Invariants
//!
//! 1. A signature is over the 32 bytes of `domain::hash(tag, items)`, never over raw bytes: what is
//!    signed for one purpose verifies for no other. The consensus engine signs its own votes with
//!    the same key under its own namespace, whose messages are never 32 bytes long.
//! 2. Verification follows ZIP-215, as the engine's does, so that one signature and many at once
//!    have the same verdict everywhere.
//! 3. The secret is wiped on drop, is never printed and can not be serialized.

use std::fmt;

use ed25519_consensus::{SigningKey, VerificationKey, VerificationKeyBytes, batch};
use rand_core_06::{CryptoRng, RngCore};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::domain::{self, Hasher, Tag};
use crate::{Digest, hex::byte_newtype};

byte_newtype! {
    /// An ed25519 public key of a sequencer, as bytes; validity is judged when it verifies.
    ConsensusPublicKey(32),
    /// An ed25519 signature, as bytes.
    Signature(64),
}

/// A signature that does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct SignatureError;

impl ConsensusPublicKey {
    /// Verifies a signature over `domain::hash(tag, items)`.
    ///
    /// # Errors
    ///
    /// If key or signature are not valid encodings, or the equation does not hold.
    pub fn verify(
        &self,
        tag: Tag,
        items: &[&[u8]],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.verify_bytes(domain::hash(tag, items).as_bytes(), signature)
    }

    /// Verifies a signature over a domain hash that was computed item by item.
    ///
    /// # Errors
    ///
    /// As [`Self::verify`].
    pub fn verify_digest(
        &self,
        digest: &Digest,
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.verify_bytes(digest.as_bytes(), signature)
    }

    /// Whether this is the encoding of a point, so that signatures can verify at all.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        VerificationKey::try_from(self.to_bytes()).is_ok()
    }

    pub(crate) fn verify_bytes(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        VerificationKey::try_from(self.to_bytes())
            .and_then(|key| key.verify(&signature.to_bytes().into(), message))
            .map_err(|_| SignatureError)
    }
}

/// The positions, ascending, of the signatures over `message`-s that do not verify.
///
/// All are checked at once; only if that fails, each alone.
#[must_use]
pub fn invalid_signatures(
    entries: &[(ConsensusPublicKey, Signature)],
    messages: &dyn Fn(usize) -> Vec<u8>,
) -> Vec<usize> {
    let mut verifier = batch::Verifier::new();
    let mut seed = Hasher::new(Tag::SignatureBatch);
    for (position, (key, signature)) in entries.iter().enumerate() {
        let message = messages(position);
        for item in [&key.to_bytes()[..], &signature.to_bytes()[..], &message[..]] {
            seed.item(item);
        }
        let key = VerificationKeyBytes::from(key.to_bytes());
        verifier.queue((key, signature.to_bytes().into(), &message));
    }
    if verifier.verify(Coefficients::new(seed.finish())).is_ok() {
        return Vec::new();
    }
    let single = |position: &usize| {
        let (key, signature) = entries[*position];
        key.verify_bytes(&messages(*position), &signature).is_err()
    };
    (0..entries.len()).filter(single).collect()
}

/// The ed25519 key of a sequencer, from its 32-byte seed (RFC 8032).
#[derive(ZeroizeOnDrop)]
pub struct ConsensusSecret {
    key: SigningKey,
}

impl ConsensusSecret {
    /// The key of this seed.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let secret = Self { key: SigningKey::from(seed) };
        seed.zeroize();
        secret
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> ConsensusPublicKey {
        ConsensusPublicKey::from_bytes(self.key.verification_key().to_bytes())
    }

    /// A signature over `domain::hash(tag, items)`.
    #[must_use]
    pub fn sign(&self, tag: Tag, items: &[&[u8]]) -> Signature {
        self.sign_digest(&domain::hash(tag, items))
    }

    /// The seed, for the keystore and the consensus engine alone.
    #[must_use]
    pub fn expose_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// A signature over bytes that are no domain hash, as the consensus engine makes them.
    #[cfg(any(test, feature = "dealer"))]
    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(self.key.sign(message).to_bytes())
    }

    pub(crate) fn sign_digest(&self, digest: &Digest) -> Signature {
        Signature::from_bytes(self.key.sign(digest.as_bytes()).to_bytes())
    }
}

impl fmt::Debug for ConsensusSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ConsensusSecret(<redacted>)")
    }
}

/// Coefficients of a batch from a hash of everything in it: no entropy is needed.
struct Coefficients {
    seed: Digest,
    counter: u64,
}

impl Coefficients {
    fn new(seed: Digest) -> Self {
        Self { seed, counter: 0 }
    }
}

impl RngCore for Coefficients {
    fn next_u32(&mut self) -> u32 {
        rand_core_06::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core_06::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let items: [&[u8]; 2] = [self.seed.as_bytes(), &self.counter.to_be_bytes()];
            let block = domain::hash(Tag::SignatureBatch, &items).to_bytes();
            chunk.copy_from_slice(&block[..chunk.len()]);
            self.counter += 1;
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Coefficients {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_1_a_signature_verifies_for_its_tag_and_items_alone() {
        let secret = ConsensusSecret::from_seed([1; 32]);
        let signature = secret.sign(Tag::Block, &[b"a", b"b"]);
        let key = secret.public_key();
        assert_eq!(key.verify(Tag::Block, &[b"a", b"b"], &signature), Ok(()));
        assert!(key.verify(Tag::Batch, &[b"a", b"b"], &signature).is_err());
        assert!(key.verify(Tag::Block, &[b"ab"], &signature).is_err());
        let other = ConsensusSecret::from_seed([2; 32]).public_key();
        assert!(other.verify(Tag::Block, &[b"a", b"b"], &signature).is_err());
    }

    #[test]
    fn invariant_2_batches_name_exactly_the_invalid_positions() {
        let message = |position: usize| vec![position as u8; 5];
        let mut entries: Vec<_> = (0..9u8)
            .map(|position| {
                let secret = ConsensusSecret::from_seed([position; 32]);
                let signature = secret.key.sign(&message(position as usize)).to_bytes();
                (secret.public_key(), Signature::from_bytes(signature))
            })
            .collect();
        assert!(invalid_signatures(&entries, &message).is_empty());
        assert!(invalid_signatures(&[], &message).is_empty());
        entries.swap(2, 7);
        entries[4].1 = Signature::from_bytes([0; 64]);
        assert_eq!(invalid_signatures(&entries, &message), [2, 4, 7]);
    }

    #[test]
    fn invariant_3_debug_shows_nothing() {
        let secret = ConsensusSecret::from_seed([3; 32]);
        assert_eq!(format!("{secret:?}"), "ConsensusSecret(<redacted>)");
    }
}
