//! A member of the committee: its name, its public keys, its addresses.

use std::fmt;
use std::str::FromStr;

use fairveil_crypto::ConsensusPublicKey;
use serde::{Deserialize, Serialize};

use crate::dealing::DealingPublicKey;

/// The longest name in bytes.
pub const MAX_NAME_BYTES: usize = 32;
/// The longest address in bytes.
pub const MAX_ADDRESS_BYTES: usize = 255;

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// What people call it: 1 to 32 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// Signs votes, receipts, shares and its part of the ceremony.
    pub consensus: ConsensusPublicKey,
    /// Authenticates its connections.
    pub network: NetworkPublicKey,
    /// Its dealings are encrypted to this key.
    pub dealing: DealingPublicKey,
    /// Where the other members reach it (QUIC).
    pub peer_address: Address,
    /// Where traders reach it (QUIC).
    pub trader_address: Address,
    /// Where its JSON-RPC listens (HTTP).
    pub rpc_address: Address,
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty or too long.
    #[error("{actual} bytes, a name has 1 to {MAX_NAME_BYTES}")]
    Length {
        /// Bytes found.
        actual: usize,
    },
    /// It has a character that names don't have.
    #[error("character {position} is not one of a-z, 0-9 and -")]
    Character {
        /// Its position in bytes, from 0.
        position: usize,
    },
}

impl Member {
    pub(super) fn check_name(&self) -> Result<(), NameError> {
        check_name(&self.name)
    }
}

pub(super) fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(NameError::Length { actual: name.len() });
    }
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    match name.bytes().position(|byte| !allowed(byte)) {
        Some(position) => Err(NameError::Character { position }),
        None => Ok(()),
    }
}

/// The ed25519 key that a member's connections are pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetworkPublicKey(ConsensusPublicKey);

impl NetworkPublicKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(ConsensusPublicKey::from_bytes(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether this is the encoding of a point.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.0.is_valid()
    }
}

impl fmt::Display for NetworkPublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// `host:port`, where host is a name or an address (IPv6 in brackets) and port is not 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `host:port`.
    #[error("an address is host:port")]
    Form,
    /// Not a port, or not in its shortest form.
    #[error("the port of an address is 1 to 65535")]
    Port,
    /// Too long.
    #[error("address has {actual} bytes, the limit is {MAX_ADDRESS_BYTES}")]
    TooLong {
        /// Bytes found.
        actual: usize,
    },
}

impl Address {
    /// The host, IPv6 addresses in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_ADDRESS_BYTES {
            return Err(AddressError::TooLong { actual: text.len() });
        }
        let (host, digits) = text.rsplit_once(':').ok_or(AddressError::Form)?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let good = match bracketed {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(is_host_byte),
        };
        if !good {
            return Err(AddressError::Form);
        }
        let port: u16 = digits.parse().map_err(|_| AddressError::Port)?;
        if port == 0 || port.to_string() != digits {
            return Err(AddressError::Port);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host, self.port)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-' || byte == b'_'
}
