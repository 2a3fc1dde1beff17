//! The one encoding of everything that sequencers store, send, hash or sign among themselves.
//!
//! serde through bincode 2.0.1 in its fixed-int form: little-endian integers of their full width,
//! lengths as 8 bytes, enum variants as 4 bytes, no padding. What traders and rollups see is RLP
//! and JSON instead (`envelope`).
//!
//! # Invariants
//!
//! 1. `decode` accepts exactly the outputs of `encode`: it re-encodes and compares, in every
//!    build, and refuses trailing bytes.
//! 2. No message longer than the caller's limit is looked at, and none makes the decoder allocate
//!    more than a small multiple of its own length.
//!
//! bincode is named in this file alone. It is unmaintained; the way out is another implementation
//! of the same layout.

use bincode::config::{self, Configuration, Fixint, Limit, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are not the encoding of a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message is longer than its limit.
    #[error("message is {actual} bytes, the limit is {limit}")]
    TooLong {
        /// Length of the message in bytes.
        actual: usize,
        /// The caller's limit in bytes.
        limit: usize,
    },
    /// The bytes are not a value of the type.
    #[error("not a value of this type: {reason}")]
    Malformed {
        /// The decoder's reason.
        reason: String,
    },
    /// Bytes follow the value.
    #[error("value is {used} bytes, {actual} were given")]
    Trailing {
        /// Bytes of the value.
        used: usize,
        /// Bytes given.
        actual: usize,
    },
    /// The bytes decode, but the value has another encoding.
    #[error("not the canonical encoding of the value")]
    NotCanonical,
}

type Layout<const LIMIT: usize> = Configuration<LittleEndian, Fixint, Limit<LIMIT>>;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Nothing in the protocol is larger: blocks have 1 MiB, evidence files some tens.
const MAX_BYTES: usize = 256 * MIB;

/// The encoding of `value`.
///
/// # Panics
///
/// If the value's `Serialize` fails, which none of the protocol's types does.
#[must_use]
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, config::legacy())
        .expect("the protocol's types have no failing Serialize")
}

/// The value whose encoding is exactly `bytes`.
///
/// # Errors
///
/// [`DecodeError`] for everything else.
pub fn decode<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    limit_bytes: usize,
) -> Result<T, DecodeError> {
    let limit = limit_bytes.min(MAX_BYTES);
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { actual: bytes.len(), limit });
    }
    // The decoder allocates length-prefixed buffers up to its compile-time limit: the smallest
    // step that holds the message keeps a false length from costing more than 16 times that.
    let decoded = match bytes.len().div_ceil(KIB) {
        0..=1 => decode_within::<T, KIB>(bytes),
        2..=16 => decode_within::<T, { 16 * KIB }>(bytes),
        17..=256 => decode_within::<T, { 256 * KIB }>(bytes),
        257..=4_096 => decode_within::<T, { 4 * MIB }>(bytes),
        4_097..=65_536 => decode_within::<T, { 64 * MIB }>(bytes),
        _ => decode_within::<T, MAX_BYTES>(bytes),
    };
    let (value, used) =
        decoded.map_err(|error| DecodeError::Malformed { reason: error.to_string() })?;
    if used != bytes.len() {
        return Err(DecodeError::Trailing { used, actual: bytes.len() });
    }
    if encode(&value) != bytes {
        return Err(DecodeError::NotCanonical);
    }
    Ok(value)
}

fn decode_within<T: DeserializeOwned, const LIMIT: usize>(
    bytes: &[u8],
) -> Result<(T, usize), bincode::error::DecodeError> {
    let layout: Layout<LIMIT> = config::legacy().with_limit::<LIMIT>();
    bincode::serde::decode_from_slice(bytes, layout)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::{BundleId, Height, SequencerIndex};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Sample {
        Empty,
        Full { id: BundleId, height: Height, index: SequencerIndex, more: Vec<u16> },
    }

    fn full() -> Sample {
        Sample::Full {
            id: BundleId::from_bytes([7; 32]),
            height: Height::new(0x0102),
            index: SequencerIndex::new(3).unwrap(),
            more: vec![1, 2],
        }
    }

    #[test]
    fn layout_is_fixed() {
        let mut expected = vec![1, 0, 0, 0];
        expected.extend_from_slice(&[7; 32]);
        expected.extend_from_slice(&[2, 1, 0, 0, 0, 0, 0, 0, 3, 0]);
        expected.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0]);
        assert_eq!(encode(&full()), expected);
        assert_eq!(decode::<Sample>(&expected, 100), Ok(full()));
    }

    #[test]
    fn invariant_1_trailing_truncated_and_overlong_are_refused() {
        let mut bytes = encode(&full());
        assert!(matches!(
            decode::<Sample>(&bytes[..bytes.len() - 1], 100),
            Err(DecodeError::Malformed { .. })
        ));
        assert_eq!(
            decode::<Sample>(&bytes, 10),
            Err(DecodeError::TooLong { actual: bytes.len(), limit: 10 })
        );
        bytes.push(0);
        assert!(matches!(decode::<Sample>(&bytes, 100), Err(DecodeError::Trailing { .. })));
    }

    #[test]
    fn invariant_1_unsorted_and_doubled_map_entries_are_refused() {
        let map = BTreeMap::from([(1u8, 1u8), (2, 2)]);
        let mut bytes = encode(&map);
        assert_eq!(decode::<BTreeMap<u8, u8>>(&bytes, 100), Ok(map));
        bytes[8] = 3;
        assert_eq!(decode::<BTreeMap<u8, u8>>(&bytes, 100), Err(DecodeError::NotCanonical));
        bytes[8] = 2;
        assert_eq!(decode::<BTreeMap<u8, u8>>(&bytes, 100), Err(DecodeError::NotCanonical));
    }

    #[test]
    fn invariant_2_a_false_length_is_refused_before_it_allocates() {
        let bytes = [0xff; 8];
        assert!(matches!(decode::<String>(&bytes, 100), Err(DecodeError::Malformed { .. })));
        assert!(matches!(decode::<Vec<u64>>(&bytes, 100), Err(DecodeError::Malformed { .. })));
        assert!(matches!(decode::<Sample>(&[9, 0, 0, 0], 100), Err(DecodeError::Malformed { .. })));
        assert_eq!(decode::<Sample>(&[0, 0, 0, 0], 100), Ok(Sample::Empty));
    }

    proptest! {
        #[test]
        fn invariant_1_decoding_is_the_inverse_of_encoding(
            bytes in proptest::collection::vec(0u8..4, 0..80),
        ) {
            if let Ok(sample) = decode::<Sample>(&bytes, 80) {
                prop_assert_eq!(encode(&sample), bytes);
            }
        }
    }
}
