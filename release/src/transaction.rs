//! A raw transaction: the bytes that a trader signed, passed on unchanged.
//!
//! In JSON it is a `0x` string in lower case, in the binary encoding a length and the bytes.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// The bytes of one signed EIP-2718 transaction. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawTransaction(Bytes);

/// A text that is no `0x` string of whole bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a raw transaction is 0x and an even number of hex digits")]
pub struct ParseTransactionError;

impl RawTransaction {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// How many bytes there are.
    pub fn length_bytes(&self) -> u64 {
        self.0.len() as u64
    }
}

impl From<Bytes> for RawTransaction {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for RawTransaction {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Display for RawTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl fmt::Debug for RawTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawTransaction({self})")
    }
}

impl FromStr for RawTransaction {
    type Err = ParseTransactionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").ok_or(ParseTransactionError)?;
        let bytes = alloy_primitives::hex::decode(digits).map_err(|_| ParseTransactionError)?;
        // The library strips a second prefix, which is no hex digit.
        if bytes.len() * 2 != digits.len() {
            return Err(ParseTransactionError);
        }
        Ok(bytes.into())
    }
}

impl Serialize for RawTransaction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for RawTransaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Visitor)
        } else {
            deserializer.deserialize_byte_buf(Visitor)
        }
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = RawTransaction;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a transaction")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RawTransaction, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<RawTransaction, E> {
        Ok(bytes.to_vec().into())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<RawTransaction, E> {
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use fairveil_crypto::encoding;

    use super::*;

    #[test]
    fn text_and_bytes_round_trip() {
        let raw = RawTransaction::from(vec![2, 0xab, 0]);
        assert_eq!(raw.to_string(), "0x02ab00");
        assert_eq!("0x02ab00".parse(), Ok(raw.clone()));
        let encoded = encoding::encode(&raw);
        assert_eq!(encoding::decode(&encoded, 64), Ok(raw));
        for wrong in ["02ab00", "0x02ab0", "0x0x02", "0x0g", "0X00"] {
            assert_eq!(wrong.parse::<RawTransaction>(), Err(ParseTransactionError), "{wrong}");
        }
    }
}
