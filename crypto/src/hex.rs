//! Lower-case `0x`-prefixed hex, and fixed-size byte types that are text in JSON and raw in bincode.

use std::fmt;

/// Why a text is not the hex of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseHexError {
    /// The text does not begin with `0x`.
    #[error("hex begins with 0x")]
    Prefix,
    /// The text has the wrong length.
    #[error("{actual} hex digits, {expected} are needed")]
    Length {
        /// Digits found after the prefix.
        actual: usize,
        /// Digits needed.
        expected: usize,
    },
    /// A character is not a hex digit.
    #[error("character {position} after 0x is not a hex digit")]
    Digit {
        /// Its position after the prefix, from 0.
        position: usize,
    },
    /// The bytes are not a valid value of the type.
    #[error("the bytes are not a valid value")]
    Value,
}

pub(crate) fn write(bytes: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_str("0x")?;
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    struct Hex<'a>(&'a [u8]);
    impl fmt::Display for Hex<'_> {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            write(self.0, out)
        }
    }
    Hex(bytes).to_string()
}

pub(crate) fn parse<const N: usize>(text: &str) -> Result<[u8; N], ParseHexError> {
    let digits = text.strip_prefix("0x").ok_or(ParseHexError::Prefix)?.as_bytes();
    if digits.len() != 2 * N {
        return Err(ParseHexError::Length { actual: digits.len(), expected: 2 * N });
    }
    let mut bytes = [0; N];
    for (position, digit) in digits.iter().enumerate() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return Err(ParseHexError::Digit { position }),
        };
        bytes[position / 2] = bytes[position / 2] << 4 | value;
    }
    Ok(bytes)
}

/// Bytes that are encoded together. A little-endian number of this size is the same bytes as they
/// are one by one, and bincode takes as long for it as for a single one.
const WORD: usize = size_of::<u128>();

/// Serializes as hex where a human reads it, else as N bytes without a length, given as a tuple of
/// words and then bytes. The only such format is bincode with little-endian integers of their full
/// width ([`crate::encoding`]).
pub(crate) fn serialize<const N: usize, S: serde::Serializer>(
    bytes: &[u8; N],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeTuple;
    if serializer.is_human_readable() {
        return serializer.serialize_str(&text(bytes));
    }
    let (words, rest) = bytes.as_chunks::<WORD>();
    let mut tuple = serializer.serialize_tuple(words.len() + rest.len())?;
    for word in words {
        tuple.serialize_element(&u128::from_le_bytes(*word))?;
    }
    for byte in rest {
        tuple.serialize_element(byte)?;
    }
    tuple.end()
}

/// The inverse of [`serialize`].
pub(crate) fn deserialize<'de, const N: usize, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    struct Visitor<const N: usize>;
    impl<'de, const N: usize> serde::de::Visitor<'de> for Visitor<N> {
        type Value = [u8; N];

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(out, "{N} bytes, as 0x-prefixed hex or raw")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<[u8; N], E> {
            parse(text).map_err(E::custom)
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<[u8; N], A::Error> {
            let mut bytes = [0; N];
            let short = || serde::de::Error::invalid_length(0, &self);
            let (words, rest) = bytes.as_chunks_mut::<WORD>();
            for word in words {
                *word = seq.next_element::<u128>()?.ok_or_else(short)?.to_le_bytes();
            }
            for byte in rest {
                *byte = seq.next_element()?.ok_or_else(short)?;
            }
            Ok(bytes)
        }
    }
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Visitor)
    } else {
        deserializer.deserialize_tuple(N / WORD + N % WORD, Visitor)
    }
}

/// Display, Debug, FromStr and serde for a `Copy` newtype over `[u8; N]`.
macro_rules! byte_newtype {
    ($($(#[$doc:meta])* $name:ident($size:literal),)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $size]);

        impl $name {
            /// The value with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }

            /// A copy of the bytes.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; $size] {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::hex::write(&self.0, out)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(out, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ParseHexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::hex::parse(text).map(Self)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::hex::serialize(&self.0, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $crate::hex::deserialize(d).map(Self)
            }
        }
    )*};
}

pub(crate) use byte_newtype;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::encoding::{decode, encode};
    use crate::envelope::{Payer, PayerSignature};
    use crate::point::PointBytes;

    #[test]
    fn bytes_are_encoded_as_they_stand_whatever_their_number() {
        fn bytes<const N: usize>() -> [u8; N] {
            std::array::from_fn(|place| place as u8 ^ 0xa5)
        }
        type Three = (Payer, PointBytes, PayerSignature);
        let payer = Payer::from_bytes(bytes());
        let value: Three =
            (payer, PointBytes::from_bytes(bytes()), PayerSignature::from_bytes(bytes()));
        let expected = [&bytes::<20>()[..], &bytes::<48>(), &bytes::<65>()].concat();
        assert_eq!(encode(&value), expected);
        assert_eq!(decode::<Three>(&expected, 200).unwrap(), value);
        for cut in 0..expected.len() {
            assert!(decode::<Three>(&expected[..cut], 200).is_err());
        }
        let json = serde_json::to_string(&payer).unwrap();
        assert!(json.starts_with("\"0xa5a4a7a6a1"), "{json}");
        assert_eq!(serde_json::from_str::<Payer>(&json).unwrap(), payer);
    }
}
