//! What a slot changed of a rollup's state: to be stored, and to be applied again.
//!
//! Changes are *net*: what has the value that it had before the slot is not among them. Storage
//! never goes away with its account: since Cancun (EIP-6780) only a contract that was created in
//! the same transaction can be destroyed, and that never had any before.
//!
//! # Invariants
//!
//! 1. One encoding: [`Changes::decode`] accepts exactly what [`Changes::encode`] writes
//!    ([`fairveil_crypto::encoding`]), and of that only what a simulation can produce: an account
//!    that is gone has no storage, one that exists is not empty, every code hashes to its key, is
//!    code, and belongs to an account among the changes.
//! 2. Applying changes to the state that they were made from gives the state after the slot.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use fairveil_crypto::Digest;
use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_crypto::encoding::{self, DecodeError};
use revm::bytecode::Bytecode;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::state::Account;

/// The longest encoding of one slot's changes of one rollup that is read.
pub const MAX_CHANGES_BYTES: usize = 64 << 20;

/// What changed of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountChange {
    /// The account after the slot, if it exists.
    pub account: Option<Account>,
    /// The storage slots that changed; zero is nothing.
    pub storage: BTreeMap<U256, U256>,
}

/// What one slot changed of one rollup's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub(crate) accounts: BTreeMap<Address, AccountChange>,
    pub(crate) codes: BTreeMap<B256, Bytes>,
}

/// Why bytes are no changes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChangesError {
    /// Not the encoding of changes.
    #[error("no changes: {0}")]
    Encoding(#[from] DecodeError),
    /// An account that is gone has storage.
    #[error("account {address} does not exist and has storage")]
    StorageOfNone {
        /// The account.
        address: Address,
    },
    /// An account that counts as not existing (EIP-161) is said to exist.
    #[error("account {address} is empty, so it does not exist")]
    Empty {
        /// The account.
        address: Address,
    },
    /// A code under the hash of another one, or bytes that can't be code.
    #[error("the bytes under {hash} are not the code with this hash")]
    Code {
        /// The hash.
        hash: B256,
    },
    /// A code that none of the changed accounts has.
    #[error("no changed account has the code {hash}")]
    UnusedCode {
        /// The hash.
        hash: B256,
    },
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// The changed accounts, sorted by address.
    pub fn accounts(&self) -> impl Iterator<Item = (&Address, &AccountChange)> {
        self.accounts.iter()
    }

    /// The codes that appeared.
    pub fn codes(&self) -> impl Iterator<Item = (&B256, &Bytes)> {
        self.codes.iter()
    }

    /// The one encoding.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads the one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChangesError> {
        let changes: Self = encoding::decode(bytes, MAX_CHANGES_BYTES)?;
        changes.check()?;
        Ok(changes)
    }

    /// The digest of a rollup's state after these changes, from the one before them.
    pub fn digest_after(&self, digest: Digest) -> Digest {
        if self.is_empty() {
            return digest;
        }
        let mut hasher = Hasher::new(Tag::ExecutionSlot);
        hasher.item(digest.as_bytes());
        for (address, change) in &self.accounts {
            hasher.item(&change.to_bytes(address));
        }
        hasher.finish()
    }

    fn check(&self) -> Result<(), ChangesError> {
        let mut used = BTreeSet::new();
        for (&address, change) in &self.accounts {
            match change.account {
                None if !change.storage.is_empty() => {
                    return Err(ChangesError::StorageOfNone { address });
                }
                Some(account) if account.is_empty() => {
                    return Err(ChangesError::Empty { address });
                }
                Some(account) => used.insert(account.code_hash),
                None => false,
            };
        }
        for (&hash, code) in &self.codes {
            let is_code = !code.is_empty() && Bytecode::new_raw_checked(code.clone()).is_ok();
            if !is_code || keccak256(code) != hash {
                return Err(ChangesError::Code { hash });
            }
            if !used.contains(&hash) {
                return Err(ChangesError::UnusedCode { hash });
            }
        }
        Ok(())
    }
}

impl AccountChange {
    /// The bytes that are hashed; see [`crate::state`].
    pub(crate) fn to_bytes(&self, address: &Address) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(93 + 64 * self.storage.len());
        bytes.extend_from_slice(address.as_slice());
        bytes.push(u8::from(self.account.is_some()));
        if let Some(account) = &self.account {
            bytes.extend_from_slice(&account.nonce.to_be_bytes());
            bytes.extend_from_slice(&account.balance.to_be_bytes::<32>());
            bytes.extend_from_slice(account.code_hash.as_slice());
        }
        for (slot, value) in &self.storage {
            bytes.extend_from_slice(&slot.to_be_bytes::<32>());
            bytes.extend_from_slice(&value.to_be_bytes::<32>());
        }
        bytes
    }
}
