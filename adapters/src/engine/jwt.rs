//! The tokens of the Engine API: JWT by HMAC-SHA256 with an `iat` claim.
//!
//! Deviation: `ring` keeps what it derives from the secret for one token in memory that it does not
//! wipe. The secret itself is wiped.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::hex;
use ring::hmac;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How far an engine lets a token's time be from its own, in seconds.
pub const TOKEN_LIFE_S: u64 = 60;
/// The length of a secret in bytes.
const SECRET_BYTES: usize = 32;

/// The secret that an engine and who drives it share.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct JwtSecret(Box<[u8; SECRET_BYTES]>);

/// Why a text is no secret. It says nothing of the text but its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SecretFault {
    /// Too long or too short.
    #[error("the secret has {actual} digits, it is {expected} hex digits")]
    Length {
        /// How many there are, without `0x`.
        actual: usize,
        /// How many there have to be.
        expected: usize,
    },
    /// A digit that is none.
    #[error("the secret is no hex number")]
    Digits,
}

impl FromStr for JwtSecret {
    type Err = SecretFault;

    /// What stands in the file that an engine takes with `--authrpc.jwtsecret`.
    fn from_str(text: &str) -> Result<Self, SecretFault> {
        let digits = text.trim();
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        let (actual, expected) = (digits.len(), 2 * SECRET_BYTES);
        if actual != expected {
            return Err(SecretFault::Length { actual, expected });
        }
        let mut secret = Self(Box::new([0; SECRET_BYTES]));
        hex::decode_to_slice(digits, secret.0.as_mut()).map_err(|_| SecretFault::Digits)?;
        Ok(secret)
    }
}

impl fmt::Debug for JwtSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwtSecret(<redacted>)")
    }
}

impl JwtSecret {
    /// A token issued at this time.
    pub(super) fn token(&self, issued_at_s: u64) -> Zeroizing<String> {
        let mut token = Zeroizing::new(String::with_capacity(128));
        append_base64(&mut token, br#"{"alg":"HS256","typ":"JWT"}"#);
        token.push('.');
        append_base64(&mut token, format!(r#"{{"iat":{issued_at_s}}}"#).as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_ref());
        let tag = hmac::sign(&key, token.as_bytes());
        token.push('.');
        append_base64(&mut token, tag.as_ref());
        token
    }
}

/// Appends the URL-safe alphabet of RFC 4648, without padding, as JWT wants it.
fn append_base64(text: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        // One byte takes two digits, two take three, three take four.
        for digit in 0..=chunk.len() {
            let value = bits >> (18 - 6 * digit) & 0x3f;
            text.push(char::from(ALPHABET[value as usize]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    /// The expected token was made by Python's hmac, hashlib and base64.
    #[test]
    fn tokens_are_those_of_another_implementation() {
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE4MDAwMDAwMDB9.\
                     Xuxdzys8Ol1wP7lMYmbvyMjBZH7YV3-gwBsD0pwSmRU";
        let secret: JwtSecret = SECRET.parse().unwrap();
        assert_eq!(*secret.token(1_800_000_000), token);
        let prefixed: JwtSecret = format!("0x{SECRET}\n").parse().unwrap();
        assert_eq!(*prefixed.token(1_800_000_000), token);
    }

    /// The vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut text = String::new();
            append_base64(&mut text, bytes.as_bytes());
            assert_eq!(text, expected);
        }
        let mut text = String::new();
        append_base64(&mut text, &[0xfb, 0xff]);
        assert_eq!(text, "-_8");
    }

    #[test]
    fn a_secret_is_not_printed_invariant_5() {
        let secret: JwtSecret = SECRET.parse().unwrap();
        assert_eq!(format!("{secret:?}"), "JwtSecret(<redacted>)");
        let fault = |text: &str| text.parse::<JwtSecret>().unwrap_err();
        let length = "the secret has 62 digits, it is 64 hex digits";
        assert_eq!(fault(&SECRET[2..]).to_string(), length);
        assert_eq!(fault(&format!("0x{}", &SECRET[2..])).to_string(), length);
        assert_eq!(fault(&SECRET.replace("1f", "xx")), SecretFault::Digits);
        assert_eq!(fault(&format!("0x{}", &SECRET.replace("0001", "0x01"))), SecretFault::Digits);
    }
}
