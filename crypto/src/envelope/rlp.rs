//! The strict RLP of an envelope: one version byte and one flat list.
//!
//! Lengths are judged by alloy-rlp's header decoder, which refuses what is not canonical; the
//! rest here.

use std::fmt;

use alloy_rlp::Encodable;

use super::{EnvelopeError, VERSION};

/// Fields of a sealed bundle.
const FIELDS: usize = 9;

/// What is wrong with RLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RlpFault {
    /// The bytes end before the item does.
    #[error("item is longer than what is left")]
    Truncated,
    /// Bytes follow the list.
    #[error("{0} bytes follow the list")]
    Trailing(usize),
    /// A length or a single byte has a shorter form.
    #[error("not the shortest form")]
    NotCanonical,
}

/// A part of a sealed bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldName {
    /// The list of all fields.
    List,
    /// `network_id`.
    NetworkId,
    /// `key_id`.
    KeyId,
    /// `class`.
    Class,
    /// `valid_from`.
    ValidFrom,
    /// `expires_at`.
    ExpiresAt,
    /// `payer`.
    Payer,
    /// `payer_nonce`.
    PayerNonce,
    /// `ciphertext`.
    Ciphertext,
    /// `signature`.
    Signature,
}

impl fmt::Display for FieldName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::List => "list",
            Self::NetworkId => "network_id",
            Self::KeyId => "key_id",
            Self::Class => "class",
            Self::ValidFrom => "valid_from",
            Self::ExpiresAt => "expires_at",
            Self::Payer => "payer",
            Self::PayerNonce => "payer_nonce",
            Self::Ciphertext => "ciphertext",
            Self::Signature => "signature",
        })
    }
}

/// The shape of an RLP item, found or needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A list.
    List,
    /// A string.
    String,
    /// A list of this many items.
    Items(usize),
    /// A string of this many bytes.
    Bytes(usize),
    /// An integer of at most this many bytes.
    Integer(usize),
    /// An integer with a leading zero byte.
    LeadingZero,
}

impl fmt::Display for Shape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => out.write_str("a list"),
            Self::String => out.write_str("a string"),
            Self::Items(count) => write!(out, "{count} items"),
            Self::Bytes(length) => write!(out, "{length} bytes"),
            Self::Integer(length) => write!(out, "an integer of at most {length} bytes"),
            Self::LeadingZero => out.write_str("an integer with a leading zero"),
        }
    }
}

/// The items of a sealed bundle, in order.
pub(super) struct ItemReader<'a> {
    items: [Item<'a>; FIELDS],
    next: usize,
}

#[derive(Clone, Copy, Default)]
struct Item<'a> {
    list: bool,
    payload: &'a [u8],
}

impl<'a> ItemReader<'a> {
    /// Judges version and RLP, and counts the items.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let Some((&VERSION, mut rest)) = bytes.split_first() else {
            return Err(EnvelopeError::Version { actual: bytes.first().copied() });
        };
        let outer = item(bytes, &mut rest)?;
        if !rest.is_empty() {
            let fault = RlpFault::Trailing(rest.len());
            return Err(EnvelopeError::Rlp { fault, offset: bytes.len() - rest.len() });
        }
        if !outer.list {
            return Err(field(FieldName::List, Shape::String, Shape::List));
        }
        let mut items = [Item::default(); FIELDS];
        let (mut payload, mut count) = (outer.payload, 0);
        while !payload.is_empty() {
            let item = item(bytes, &mut payload)?;
            if let Some(slot) = items.get_mut(count) {
                *slot = item;
            }
            count += 1;
        }
        if count != FIELDS {
            return Err(field(FieldName::List, Shape::Items(count), Shape::Items(FIELDS)));
        }
        Ok(Self { items, next: 0 })
    }

    /// The next item as a string.
    pub(super) fn bytes(&mut self, name: FieldName) -> Result<&'a [u8], EnvelopeError> {
        let item = self.items[self.next];
        self.next += 1;
        if item.list { Err(field(name, Shape::List, Shape::String)) } else { Ok(item.payload) }
    }

    /// The next item as a string of N bytes.
    pub(super) fn array<const N: usize>(
        &mut self,
        name: FieldName,
    ) -> Result<[u8; N], EnvelopeError> {
        let bytes = self.bytes(name)?;
        bytes.try_into().map_err(|_| field(name, Shape::Bytes(bytes.len()), Shape::Bytes(N)))
    }

    /// The next item as an integer of at most 64 bits.
    pub(super) fn integer(&mut self, name: FieldName) -> Result<u64, EnvelopeError> {
        const LIMIT: usize = size_of::<u64>();
        let bytes = self.bytes(name)?;
        if bytes.first() == Some(&0) {
            return Err(field(name, Shape::LeadingZero, Shape::Integer(LIMIT)));
        }
        if bytes.len() > LIMIT {
            return Err(field(name, Shape::Bytes(bytes.len()), Shape::Integer(LIMIT)));
        }
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// Takes one item off the front of `rest`, which is a part of `bytes`.
fn item<'a>(bytes: &'a [u8], rest: &mut &'a [u8]) -> Result<Item<'a>, EnvelopeError> {
    let offset = rest.as_ptr() as usize - bytes.as_ptr() as usize;
    let rlp = |fault| EnvelopeError::Rlp { fault, offset };
    let header = alloy_rlp::Header::decode(rest).map_err(|error| {
        rlp(match error {
            alloy_rlp::Error::InputTooShort => RlpFault::Truncated,
            _ => RlpFault::NotCanonical,
        })
    })?;
    let (payload, after) =
        rest.split_at_checked(header.payload_length).ok_or(rlp(RlpFault::Truncated))?;
    *rest = after;
    Ok(Item { list: header.list, payload })
}

fn field(field: FieldName, actual: Shape, expected: Shape) -> EnvelopeError {
    EnvelopeError::Field { field, actual, expected }
}

/// `version ‖ rlp(list)` of the items that `write` appends.
pub(super) fn list(version: u8, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut payload = Vec::new();
    write(&mut payload);
    let header = alloy_rlp::Header { list: true, payload_length: payload.len() };
    let mut out = Vec::with_capacity(1 + header.length_with_payload());
    out.push(version);
    header.encode(&mut out);
    out.extend_from_slice(&payload);
    out
}

/// Appends a string.
pub(super) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    bytes.encode(out);
}

/// Appends an integer.
pub(super) fn integer(out: &mut Vec<u8>, number: u64) {
    number.encode(out);
}
