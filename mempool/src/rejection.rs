//! Why a sequencer does not admit a sealed bundle: one stable code, both values, and a cure.
//!
//! # Invariants
//!
//! 1. The codes are exactly those of [`RejectionCode::ALL`], in the order in which they are
//!    checked: a bundle that breaks several rules is rejected for the first. One exception: `rate`
//!    is checked for the address before anything is read, and for the payer when it is proved who
//!    that is, between `proof` and `expired`. `unfunded` occurs only where the network's definition
//!    charges for bundles.
//! 2. Every rejection carries the value that was found and the limit, or what was expected.
//! 3. A rejection says nothing about any other bundle of the same id: none is remembered by id,
//!    so that a junk signature on a victim's bytes does not keep the victim out.

use std::fmt;
use std::str::FromStr;

use fairveil_crypto::envelope::{EnvelopeError, Payer, SignatureFault, SizeClass, VERSION};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The stable code of a rejection. The order is that of the checks.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum RejectionCode { $($(#[$doc])* #[serde(rename = $text)] $name,)* }

        impl RejectionCode {
            /// All codes, in the order of the checks.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// The sequencer is behind, in blocks or in opening them.
    Syncing = "syncing",
    /// Too many submissions at once from one address, or of one payer.
    Rate = "rate",
    /// The version byte is not 1.
    Version = "version",
    /// Not canonical RLP.
    Rlp = "rlp",
    /// A field is missing, too many, or has not its form.
    Field = "field",
    /// No such size class.
    Class = "class",
    /// The ciphertext has not the length of its class.
    Length = "length",
    /// The validity window ends before it begins.
    Window = "window",
    /// The validity window ends too far ahead.
    Horizon = "horizon",
    /// The payer's signature does not hold.
    Signature = "signature",
    /// Sealed for another network.
    Network = "network",
    /// Sealed to a key that is not active.
    Key = "key",
    /// The proof of the ciphertext does not hold.
    Proof = "proof",
    /// Too late to be ordered within the validity window.
    Expired = "expired",
    /// The payer's nonce is used by another bundle.
    Nonce = "nonce",
    /// The payer has too many bundles waiting.
    PayerLimit = "payer_limit",
    /// The pool is full, or this source's part of it.
    PoolFull = "pool_full",
    /// The payer's balance does not cover the bundle.
    Unfunded = "unfunded",
}

impl RejectionCode {
    /// Whether it ends by itself: the same bytes may be admitted later.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Syncing | Self::Rate | Self::PayerLimit | Self::PoolFull)
    }
}

impl fmt::Display for RejectionCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Text that is no rejection code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such rejection code")]
pub struct ParseCodeError;

impl FromStr for RejectionCode {
    type Err = ParseCodeError;

    fn from_str(text: &str) -> Result<Self, ParseCodeError> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(ParseCodeError)
    }
}

/// What was found, or what was needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A count, a length, a height.
    Number(u64),
    /// An account.
    Address([u8; 20]),
    /// A network id, a key id, a bundle id.
    Digest([u8; 32]),
    /// A fault of form, in words; at most [`TEXT_BYTES`] long.
    Text(String),
}

/// Bytes of a [`Value::Text`], at most.
pub const TEXT_BYTES: usize = 160;

impl Value {
    /// A sum of money: a number, or its decimal digits from 2^64 on.
    pub(crate) fn amount(amount: u128) -> Self {
        let number = u64::try_from(amount).map(Self::Number);
        number.unwrap_or_else(|_| Self::Text(amount.to_string()))
    }

    fn text(displayed: &dyn fmt::Display) -> Self {
        let mut text = displayed.to_string();
        let end = (0..=TEXT_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        Self::Text(text)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Self::Number(number) => return write!(out, "{number}"),
            Self::Text(text) => return out.write_str(text),
            Self::Address(bytes) => bytes,
            Self::Digest(bytes) => bytes,
        };
        out.write_str("0x")?;
        bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// Text that is no value of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("value is {actual} bytes of text, at most {} are allowed", TEXT_BYTES)]
pub struct ParseValueError {
    /// Bytes of the text.
    pub actual: usize,
}

/// Numbers and bytes are recognized by their canonical form; everything else is text.
impl FromStr for Value {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<Self, ParseValueError> {
        if text.len() > TEXT_BYTES {
            return Err(ParseValueError { actual: text.len() });
        }
        let number = || text.parse().ok().map(Self::Number);
        let bytes = || {
            let bytes = hex_bytes(text.strip_prefix("0x")?)?;
            let address = <[u8; 20]>::try_from(&bytes[..]).map(Self::Address);
            address.or_else(|_| <[u8; 32]>::try_from(&bytes[..]).map(Self::Digest)).ok()
        };
        let typed = number().or_else(bytes).filter(|value| value.to_string() == text);
        Ok(typed.unwrap_or_else(|| Self::Text(text.to_owned())))
    }
}

/// As people read it in JSON, as a tagged value in bytes.
#[derive(Serialize, Deserialize)]
enum TaggedValue {
    Number(u64),
    Address([u8; 20]),
    Digest([u8; 32]),
    Text(String),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        match self {
            Self::Number(number) => TaggedValue::Number(*number),
            Self::Address(bytes) => TaggedValue::Address(*bytes),
            Self::Digest(bytes) => TaggedValue::Digest(*bytes),
            Self::Text(text) => TaggedValue::Text(text.clone()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(de::Error::custom);
        }
        Ok(match TaggedValue::deserialize(deserializer)? {
            TaggedValue::Number(number) => Self::Number(number),
            TaggedValue::Address(bytes) => Self::Address(bytes),
            TaggedValue::Digest(bytes) => Self::Digest(bytes),
            TaggedValue::Text(text) if text.len() > TEXT_BYTES => {
                return Err(de::Error::custom(ParseValueError { actual: text.len() }));
            }
            TaggedValue::Text(text) => Self::Text(text),
        })
    }
}

/// Why a sequencer does not admit a sealed bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The rule.
    pub code: RejectionCode,
    /// What was found.
    pub actual: Value,
    /// The limit, or what was expected.
    pub limit: Value,
}

impl Rejection {
    /// A rejection with two numbers.
    #[must_use]
    pub const fn numbers(code: RejectionCode, actual: u64, limit: u64) -> Self {
        Self { code, actual: Value::Number(actual), limit: Value::Number(limit) }
    }

    /// Whether the rule is intrinsic: whoever relays bytes that break it is at fault.
    #[must_use]
    pub const fn is_intrinsic(&self) -> bool {
        use RejectionCode as Code;
        matches!(
            self.code,
            Code::Version
                | Code::Rlp
                | Code::Field
                | Code::Class
                | Code::Length
                | Code::Window
                | Code::Signature
                | Code::Network
                | Code::Key
                | Code::Proof
        )
    }
}

impl From<EnvelopeError> for Rejection {
    fn from(error: EnvelopeError) -> Self {
        use RejectionCode as Code;
        let number = |number: usize| Value::Number(number as u64);
        let digest = |bytes: &[u8; 32]| Value::Digest(*bytes);
        let (code, actual, limit) = match error {
            EnvelopeError::Version { actual: Some(actual) } => {
                (Code::Version, Value::Number(actual.into()), Value::Number(VERSION.into()))
            }
            EnvelopeError::Version { actual: None } => {
                (Code::Version, Value::text(&"missing"), Value::Number(VERSION.into()))
            }
            EnvelopeError::Rlp { fault, offset } => {
                let actual = format!("{fault} at byte {offset}");
                (Code::Rlp, Value::text(&actual), Value::text(&"canonical RLP"))
            }
            EnvelopeError::Field { field, actual, expected } => {
                (Code::Field, Value::text(&format!("{field}: {actual}")), Value::text(&expected))
            }
            EnvelopeError::Class { actual, limit } => {
                (Code::Class, Value::Number(actual), Value::Number(limit.into()))
            }
            EnvelopeError::Length { actual, expected, .. } => {
                (Code::Length, number(actual), number(expected))
            }
            EnvelopeError::Window { valid_from, expires_at } => {
                (Code::Window, Value::Number(valid_from.get()), Value::Number(expires_at.get()))
            }
            EnvelopeError::Signature(SignatureFault::Payer { actual, expected }) => {
                let address = |payer: Payer| Value::Address(payer.to_bytes());
                (Code::Signature, address(actual), address(expected))
            }
            EnvelopeError::Signature(fault) => {
                (Code::Signature, Value::text(&fault), Value::text(&"the payer's, with low s"))
            }
            EnvelopeError::Network { actual, expected } => {
                (Code::Network, digest(actual.as_bytes()), digest(expected.as_bytes()))
            }
            EnvelopeError::Key { actual, expected } => {
                (Code::Key, digest(actual.as_bytes()), digest(expected.as_bytes()))
            }
            EnvelopeError::Proof(fault) => {
                (Code::Proof, Value::text(&fault), Value::text(&"made for this key and header"))
            }
        };
        Self { code, actual, limit }
    }
}

impl std::error::Error for Rejection {}

/// A sentence with both values and a cure.
impl fmt::Display for Rejection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use RejectionCode as Code;
        let (actual, limit) = (Grouped(&self.actual), Grouped(&self.limit));
        match self.code {
            Code::Syncing => write!(
                out,
                "this sequencer is {actual} blocks behind, it admits within {limit}: send the \
                 same bytes to the others, or to it again later"
            ),
            Code::Rate => write!(
                out,
                "{actual} submissions stand against this address or payer, {limit} may at once: \
                 wait a moment and send the same bytes again"
            ),
            Code::Version => write!(
                out,
                "version byte is {actual}, this network reads {limit}: use a client of its version"
            ),
            Code::Rlp | Code::Field => {
                write!(out, "{actual}, {limit} needed: send the bytes as the client wrote them")
            }
            Code::Class => {
                write!(out, "class is {actual}, the largest is {limit}: split the bundle")
            }
            Code::Length => self.fmt_length(out),
            Code::Window => write!(
                out,
                "valid_from is {actual}, after expires_at {limit}: seal again with a window that \
                 ends after it begins"
            ),
            Code::Horizon => write!(
                out,
                "expires_at is {actual}, at most {limit} is admitted now: seal again with an \
                 earlier one"
            ),
            _ => self.fmt_later(out),
        }
    }
}

impl Rejection {
    fn fmt_length(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (actual, limit) = (Grouped(&self.actual), Grouped(&self.limit));
        let class = (0..=SizeClass::MAX.get().into())
            .filter_map(SizeClass::new)
            .find(|class| Value::Number(class.ciphertext_bytes() as u64) == self.limit);
        write!(out, "ciphertext is {actual} bytes, ")?;
        match class {
            Some(class) => write!(out, "class {} needs {limit}", class.get())?,
            None => write!(out, "its class needs {limit}")?,
        }
        out.write_str(": seal again")
    }

    fn fmt_later(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use RejectionCode as Code;
        let (actual, limit) = (Grouped(&self.actual), Grouped(&self.limit));
        match self.code {
            Code::Signature => write!(
                out,
                "the signature is {actual}, the payer is {limit}: sign the id with the payer's key"
            ),
            Code::Network => write!(
                out,
                "sealed for network {actual}, this is {limit}: check the pinned network id"
            ),
            Code::Key => write!(
                out,
                "sealed to key {actual}, active is {limit}: fetch the committee key and seal again"
            ),
            Code::Proof => write!(out, "{actual}, it has to be {limit}: seal again"),
            Code::Expired => write!(
                out,
                "it could be reported at height {actual}, the last for its window is {limit}: \
                 seal again with a later expires_at"
            ),
            Code::Nonce => write!(
                out,
                "payer nonce {actual} belongs to bundle {limit}: send that one's bytes, or seal \
                 again under another nonce"
            ),
            Code::PayerLimit => write!(
                out,
                "the payer would have {actual} bundles waiting, {limit} are allowed: wait until \
                 some are ordered"
            ),
            Code::PoolFull => write!(
                out,
                "it takes {actual} of the pool, {limit} are left for its source: send the same \
                 bytes again later"
            ),
            _ => write!(
                out,
                "the payer has {actual} left beside what its waiting bundles cost, this one costs \
                 {limit}: seal a smaller one, or seal with a payer who has the fee"
            ),
        }
    }
}

/// Numbers in groups of three digits.
struct Grouped<'a>(&'a Value);

impl fmt::Display for Grouped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let digits = match self.0 {
            Value::Number(number) => number.to_string(),
            Value::Text(text) if decimal(text) => text.clone(),
            other => return other.fmt(out),
        };
        for (position, digit) in digits.chars().enumerate() {
            if position > 0 && (digits.len() - position) % 3 == 0 {
                out.write_str(",")?;
            }
            write!(out, "{digit}")?;
        }
        Ok(())
    }
}

fn hex_bytes(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let pairs = digits.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

#[cfg(test)]
mod tests;
