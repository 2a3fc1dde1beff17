//! Epoch keys: what makes a secret erasable.
//!
//! A file system keeps old blocks of a file that was replaced, and backups keep whole files. So a
//! secret that has to be gone one day (a key share when its epoch is over, a dealing key after its
//! ceremony) stands in the keystore only encrypted under an epoch key, and the epoch key stands in
//! a small file of its own that is written over in place and synced. Then what is left of the
//! secret anywhere is useless, also to whoever knows the passphrase (ceremony.md).
//!
//! ```text
//! key     = hash(EPOCH-KEY, epoch key, label)
//! wrapped = ChaCha20-Poly1305(key, nonce = 12 zero bytes, aad = label, secret)      48 bytes
//! ```
//!
//! # Invariants
//!
//! 1. An epoch key wraps one secret: [`EpochKey::wrap`] takes a fresh one for each.
//! 2. A wrapped secret opens under its own epoch key and label alone.

use std::fmt;

use fairveil_crypto::domain::{self, Tag};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Length of a wrapped secret of 32 bytes.
pub(super) const WRAPPED_BYTES: usize = 32 + 16;

/// A key that is erased to erase what it wraps.
#[derive(ZeroizeOnDrop)]
pub struct EpochKey([u8; Self::BYTES]);

impl EpochKey {
    /// Its length.
    pub const BYTES: usize = 32;

    /// The key with these bytes: fresh ones of the caller's CSPRNG, or those of its file.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the key's file alone.
    #[must_use]
    pub const fn expose_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Encrypts a secret under a label.
    pub(super) fn wrap(&self, label: &[u8], secret: &[u8; 32]) -> [u8; WRAPPED_BYTES] {
        let mut wrapped = [0; WRAPPED_BYTES];
        let (body, tag) = wrapped.split_at_mut(32);
        body.copy_from_slice(secret);
        let sealed = self
            .aead(label)
            .seal_in_place_separate_tag(zero_nonce(), Aad::from(label), body)
            .expect("32 bytes are below the limit of ChaCha20-Poly1305");
        tag.copy_from_slice(sealed.as_ref());
        wrapped
    }

    /// The secret that was wrapped under a label; `None` if it was another key or label.
    pub(super) fn unwrap(
        &self,
        label: &[u8],
        wrapped: &[u8; WRAPPED_BYTES],
    ) -> Option<Zeroizing<[u8; 32]>> {
        let mut buffer = Zeroizing::new(*wrapped);
        let opened =
            self.aead(label).open_in_place(zero_nonce(), Aad::from(label), &mut buffer[..]).ok()?;
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(opened);
        Some(secret)
    }

    fn aead(&self, label: &[u8]) -> LessSafeKey {
        let key = Zeroizing::new(domain::hash(Tag::EpochKey, &[&self.0, label]).to_bytes());
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key[..]);
        LessSafeKey::new(key.expect("the key has the 32 bytes of ChaCha20"))
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("EpochKey(<redacted>)")
    }
}

/// Every key encrypts once.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
