//! Passphrases, processed as EIP-2335 says.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The longest passphrase in bytes of UTF-8, as given.
pub const MAX_PASSPHRASE_BYTES: usize = 1 << 10;

/// A passphrase: NFKD-normalised, without control characters.
#[derive(ZeroizeOnDrop)]
pub struct Passphrase(Vec<u8>);

/// Why a text is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Nothing is left of it without control characters.
    #[error("passphrase is empty")]
    Empty,
    /// It is too long.
    #[error("passphrase has {actual} bytes, the limit is {MAX_PASSPHRASE_BYTES}")]
    TooLong {
        /// Bytes found.
        actual: usize,
    },
}

impl Passphrase {
    /// Normalises to NFKD and strips C0 controls, Delete and C1 controls, so that the line end of
    /// a password file does not count.
    ///
    /// # Errors
    ///
    /// If it is too long, or nothing is left.
    pub fn new(text: &str) -> Result<Self, PassphraseError> {
        if text.len() > MAX_PASSPHRASE_BYTES {
            return Err(PassphraseError::TooLong { actual: text.len() });
        }
        // NFKD of one character has at most 18, each of at most 4 bytes: no reallocation leaves
        // a copy behind.
        let mut processed = Zeroizing::new(String::with_capacity(text.len() * 18 * 4));
        processed.extend(text.nfkd().filter(|character| !character.is_control()));
        if processed.is_empty() {
            return Err(PassphraseError::Empty);
        }
        Ok(Self(processed.as_bytes().to_vec()))
    }

    /// The normalised bytes, to derive another file's key from.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Passphrase(<redacted>)")
    }
}

impl Zeroize for Passphrase {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The password of EIP-2335's test vectors: fraktur letters and a key.
    const PUBLISHED: &str = "𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑";

    #[test]
    fn the_published_password_has_its_published_bytes() {
        let published = b"testpassword\xf0\x9f\x94\x91";
        assert_eq!(Passphrase::new(PUBLISHED).unwrap().as_bytes(), published);
        assert_eq!(
            Passphrase::new("test\u{7f}password\u{80}🔑\r\n").unwrap().as_bytes(),
            published
        );
    }

    #[test]
    fn empty_and_overlong_are_refused() {
        assert_eq!(Passphrase::new("").unwrap_err(), PassphraseError::Empty);
        assert_eq!(Passphrase::new("\n").unwrap_err(), PassphraseError::Empty);
        let long = "a".repeat(MAX_PASSPHRASE_BYTES + 1);
        assert!(matches!(Passphrase::new(&long), Err(PassphraseError::TooLong { actual: 1025 })));
        assert_eq!(format!("{:?}", Passphrase::new("secret").unwrap()), "Passphrase(<redacted>)");
    }
}
