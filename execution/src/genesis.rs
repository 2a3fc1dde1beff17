//! The genesis of an embedded rollup: a JSON document in the form of geth's `alloc`.
//!
//! ```json
//! {
//!   "alloc": {
//!     "0x1000000000000000000000000000000000000001": { "balance": "0xde0b6b3a7640000" },
//!     "0x1000000000000000000000000000000000000002": {
//!       "balance": "0",
//!       "nonce": "0x1",
//!       "code": "0x60006000fd",
//!       "storage": { "0x00": "0x2a" }
//!     }
//!   }
//! }
//! ```
//!
//! Addresses have 40 hex digits, with or without `0x`. A balance or a nonce is a string, decimal or
//! hex after `0x`, or a JSON number below 2^64. A storage slot and its value are hex after `0x`, at
//! most 64 digits; leading zeros may be left out. All but the balance may be left out.
//!
//! # Invariants
//!
//! 1. Nothing is guessed: unknown fields, an address or a storage slot that stands twice, in
//!    whatever spelling, numbers that do not fit, and code that is none are refused, with the limit
//!    and the value.
//! 2. What is accepted fulfils the invariants of [`crate::state`].
//! 3. Documents that say the same give the same state and digest, whatever their order and
//!    spelling.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use alloy_primitives::{Address, Bytes, KECCAK256_EMPTY, U256, keccak256};
use revm::bytecode::Bytecode;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use thiserror::Error;

use crate::changes::{AccountChange, Changes};
use crate::state::{Account, MemoryState};

/// The longest document that is read.
pub const MAX_GENESIS_BYTES: usize = 64 << 20;
/// The most accounts of a genesis.
pub const MAX_GENESIS_ACCOUNTS: usize = 200_000;
/// The longest code of a contract (EIP-170).
pub const MAX_CODE_BYTES: usize = 24_576;

/// Why a document is no genesis.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// Too long.
    #[error("genesis is {actual} bytes, the limit is {limit}")]
    TooLong {
        /// Length of the document in bytes.
        actual: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Not JSON of this form.
    #[error("genesis, line {line}, column {column}: {reason}")]
    Form {
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
        /// The reader's reason.
        reason: String,
    },
    /// Too many accounts.
    #[error("genesis has {actual} accounts, the limit is {limit}")]
    Accounts {
        /// How many there are.
        actual: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A name of an account that is no address.
    #[error("{text:?} is no address: 40 hex digits, with or without 0x")]
    Address {
        /// What stands there.
        text: String,
    },
    /// An account twice.
    #[error("account {address} stands twice")]
    AccountTwice {
        /// The account.
        address: Address,
    },
    /// A nonce that leaves no room for a transaction (EIP-2681).
    #[error("account {address}: nonce {actual}, it must be below {limit}")]
    Nonce {
        /// The account.
        address: Address,
        /// The nonce.
        actual: U256,
        /// The limit.
        limit: u64,
    },
    /// A code that is too long.
    #[error("account {address}: code is {actual} bytes, the limit is {limit}")]
    CodeTooLong {
        /// The account.
        address: Address,
        /// Length of the code in bytes.
        actual: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Code that begins like a delegation (EIP-7702) and is none.
    #[error("account {address}: the code is a malformed delegation (EIP-7702)")]
    Delegation {
        /// The account.
        address: Address,
    },
    /// A storage slot twice.
    #[error("account {address}: storage slot {slot:#x} stands twice")]
    SlotTwice {
        /// The account.
        address: Address,
        /// The slot.
        slot: U256,
    },
    /// Storage of an account that nothing can have written.
    #[error("account {address} has storage, so it needs code or a nonce above 0")]
    Storage {
        /// The account.
        address: Address,
    },
    /// All balances together do not fit.
    #[error("with account {address} all balances together are 2^256 or more")]
    Supply {
        /// The first account, by address, that does not fit.
        address: Address,
    },
}

/// The state that a document describes.
pub fn parse_genesis(json: &[u8]) -> Result<MemoryState, GenesisError> {
    if json.len() > MAX_GENESIS_BYTES {
        return Err(GenesisError::TooLong { actual: json.len(), limit: MAX_GENESIS_BYTES });
    }
    let document: Document = serde_json::from_slice(json).map_err(|error| GenesisError::Form {
        line: error.line(),
        column: error.column(),
        reason: reason(&error),
    })?;
    let actual = document.alloc.0.len();
    if actual > MAX_GENESIS_ACCOUNTS {
        return Err(GenesisError::Accounts { actual, limit: MAX_GENESIS_ACCOUNTS });
    }
    let mut changes = Changes::default();
    for (text, allocation) in document.alloc.0 {
        let address = parse_address(text)?;
        let (change, code) = allocation.into_change(address)?;
        if let Some(account) = change.account
            && account.has_code()
        {
            changes.codes.insert(account.code_hash, code);
        }
        if changes.accounts.insert(address, change).is_some() {
            return Err(GenesisError::AccountTwice { address });
        }
    }
    let mut supply = U256::ZERO;
    for (&address, change) in &changes.accounts {
        let balance = change.account.map_or(U256::ZERO, |account| account.balance);
        supply = supply.checked_add(balance).ok_or(GenesisError::Supply { address })?;
    }
    Ok(MemoryState::from_genesis(&changes))
}

/// serde_json's message without the place, which stands beside it.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

fn parse_address(text: String) -> Result<Address, GenesisError> {
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    let is_hex = digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let address = is_hex.then(|| digits.parse().ok()).flatten();
    address.ok_or(GenesisError::Address { text })
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    alloc: Pairs<String, Allocation>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Allocation {
    balance: Number,
    #[serde(default)]
    nonce: Number,
    #[serde(default)]
    code: Code,
    #[serde(default)]
    storage: Pairs<Word, Word>,
}

impl Allocation {
    fn into_change(self, address: Address) -> Result<(AccountChange, Bytes), GenesisError> {
        let (limit, actual) = (u64::MAX, self.nonce.0);
        let nonce = u64::try_from(actual).ok().filter(|nonce| *nonce < limit);
        let nonce = nonce.ok_or(GenesisError::Nonce { address, actual, limit })?;
        let code = self.code.0;
        if code.len() > MAX_CODE_BYTES {
            let (actual, limit) = (code.len(), MAX_CODE_BYTES);
            return Err(GenesisError::CodeTooLong { address, actual, limit });
        }
        Bytecode::new_raw_checked(code.clone())
            .map_err(|_| GenesisError::Delegation { address })?;
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        let account = Account { nonce, balance: self.balance.0, code_hash };
        let mut storage = BTreeMap::new();
        for (Word(slot), Word(value)) in self.storage.0 {
            if storage.insert(slot, value).is_some() {
                return Err(GenesisError::SlotTwice { address, slot });
            }
        }
        storage.retain(|_, value| !value.is_zero());
        if !storage.is_empty() && nonce == 0 && !account.has_code() {
            return Err(GenesisError::Storage { address });
        }
        let account = (!account.is_empty()).then_some(account);
        Ok((AccountChange { account, storage }, code))
    }
}

/// The pairs of a JSON object as they stand there, also those of one name.
struct Pairs<K, V>(Vec<(K, V)>);

impl<K, V> Default for Pairs<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Pairs<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Reader<K, V> {
            type Value = Pairs<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<K, V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

/// A number of at most 256 bits, decimal, hex after `0x`, or a JSON number.
#[derive(Default)]
struct Number(U256);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number below 2^256, decimal or hex after 0x")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(U256::from(number)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                let (digits, radix) = match text.strip_prefix("0x") {
                    Some(digits) => (digits, 16),
                    None => (text, 10),
                };
                let is_digit = |digit: char| digit.is_digit(radix);
                let number = (!digits.is_empty() && digits.chars().all(is_digit))
                    .then(|| U256::from_str_radix(digits, u64::from(radix)).ok())
                    .flatten();
                let wrong = || E::invalid_value(de::Unexpected::Str(text), &self);
                number.map(Number).ok_or_else(wrong)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A storage slot or its value.
struct Word(U256);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").filter(|digits| {
            (1..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit())
        });
        let word = digits.and_then(|digits| U256::from_str_radix(digits, 16).ok());
        word.map(Self).ok_or_else(|| {
            de::Error::invalid_value(de::Unexpected::Str(&text), &"0x and 1 to 64 hex digits")
        })
    }
}

/// The bytes of a code.
#[derive(Default)]
struct Code(Bytes);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x");
        let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let bytes = digits.and_then(|digits| alloy_primitives::hex::decode(digits).ok());
        bytes.map(|bytes| Self(bytes.into())).ok_or_else(|| {
            let start: String = text.chars().take(16).collect();
            de::Error::custom(format_args!(
                "code of {} characters that begins with {start:?} is not 0x and whole bytes of hex",
                text.chars().count(),
            ))
        })
    }
}
