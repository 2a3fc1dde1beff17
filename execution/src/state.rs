//! A rollup's state: the trait that the simulation reads through, and a state in memory.
//!
//! # The digest of a state
//!
//! A state in memory begins with a digest of all of it and goes on by its history:
//!
//! ```text
//! genesis   H(EXECUTION-STATE, account 1, account 2, ...)     all accounts, sorted by address
//! a slot    H(EXECUTION-SLOT, digest before, account 1, ...)  what the slot changed, sorted
//! ```
//!
//! An account is address (20) ‖ 1 if it exists, else 0 (1) ‖ if it exists, nonce (8) ‖
//! balance (32) ‖ code hash (32) ‖ then for each storage slot, sorted, slot (32) ‖ value (32). All
//! numbers are big-endian. A slot that changed nothing leaves the digest as it is.
//!
//! So the digest costs what the slot changed, not what the rollup holds. It commits to the path:
//! two sequencers agree on it if and only if they applied the same changes in the same slots to the
//! same genesis. It is no Merkle root, and a rollup's own state root is not computed.
//!
//! # Invariants
//!
//! 1. An account that is empty (EIP-161) does not exist, a storage slot of zero is not held, and
//!    an account that neither has code nor sent anything has no storage (EIP-7610).
//! 2. The digest is the one above, whatever the order in which things were inserted.
//! 3. All balances together are below 2^256, so no addition of the EVM can wrap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use fairveil_crypto::Digest;
use fairveil_crypto::domain::{Hasher, Tag};
use revm::bytecode::Bytecode;
use revm::database_interface::DBErrorMarker;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::changes::{AccountChange, Changes};

/// What of an account stands outside of its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// How many transactions it sent; of a contract, 1 and how many contracts it created.
    pub nonce: u64,
    /// In wei.
    pub balance: U256,
    /// keccak256 of its code.
    pub code_hash: B256,
}

/// Why a state can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum StateError {
    /// Nobody answers for the rollup.
    #[error("the rollup's state is unreachable")]
    Unreachable,
    /// Who answers has no state of the block that the simulation is pinned to.
    #[error("the rollup's state is stale")]
    Stale,
    /// The state names a code that it does not hold.
    #[error("the state does not hold the code {hash}")]
    Code {
        /// keccak256 of the code.
        hash: B256,
    },
}

impl DBErrorMarker for StateError {}

/// One rollup's state at one block. It never changes while a slot is simulated.
///
/// What it answers must be the same on every sequencer: an implementation over a network pins
/// itself to the block hash that the committee agreed on.
pub trait StateView: Send + Sync {
    /// The account, if it exists.
    fn account(&self, address: Address) -> Result<Option<Account>, StateError>;

    /// The value of a storage slot; zero where nothing is held.
    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError>;

    /// The code with this hash.
    fn code(&self, hash: B256) -> Result<Bytecode, StateError>;

    /// The hash of an earlier block of the rollup.
    fn block_hash(&self, number: u64) -> Result<B256, StateError>;
}

impl<V: StateView + ?Sized> StateView for Arc<V> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        (**self).account(address)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        (**self).storage(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        (**self).code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        (**self).block_hash(number)
    }
}

/// The state of an embedded rollup: all of it in memory.
///
/// It has no blocks of its own, so the hash of every earlier block is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryState {
    accounts: BTreeMap<Address, Entry>,
    codes: BTreeMap<B256, Bytecode>,
    digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    account: Account,
    storage: BTreeMap<U256, U256>,
}

impl Account {
    /// An account without code.
    pub fn of_balance(balance: U256) -> Self {
        Self { nonce: 0, balance, code_hash: KECCAK256_EMPTY }
    }

    /// Whether it has a code.
    pub fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }

    /// Whether it counts as not existing (EIP-161).
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && !self.has_code()
    }
}

impl MemoryState {
    /// The state without accounts.
    pub fn empty() -> Self {
        let digest = Hasher::new(Tag::ExecutionState).finish();
        Self { accounts: BTreeMap::new(), codes: BTreeMap::new(), digest }
    }

    /// The state that holds exactly what these changes write, as a genesis.
    pub(crate) fn from_genesis(changes: &Changes) -> Self {
        let mut state = Self::empty();
        state.write(changes);
        state.digest = state.full_digest();
        state
    }

    /// The digest of its genesis and of everything applied since.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Applies what a slot changed, and gives the digest after it.
    pub fn apply(&mut self, changes: &Changes) -> Digest {
        self.digest = changes.digest_after(self.digest);
        self.write(changes);
        self.digest
    }

    /// All of it, as changes of the empty state: to store it at once instead of slot by slot.
    pub fn to_changes(&self) -> Changes {
        let entry = |(address, entry): (&Address, &Entry)| {
            let storage = entry.storage.clone();
            let account = Some(entry.account);
            (*address, AccountChange { account, storage })
        };
        let used = self.accounts.values().map(|entry| entry.account.code_hash);
        let used: BTreeSet<B256> = used.collect();
        let codes = self.codes.iter().filter(|(hash, _)| used.contains(*hash));
        let codes = codes.map(|(hash, code)| (*hash, code.original_bytes()));
        Changes { accounts: self.accounts.iter().map(entry).collect(), codes: codes.collect() }
    }

    /// A state stored by [`Self::to_changes`], with the digest that it had.
    pub fn from_changes(changes: &Changes, digest: Digest) -> Self {
        let mut state = Self::empty();
        state.write(changes);
        state.digest = digest;
        state
    }

    /// The accounts, sorted by address.
    pub fn accounts(&self) -> impl Iterator<Item = (Address, &Account)> {
        self.accounts.iter().map(|(address, entry)| (*address, &entry.account))
    }

    /// The balance of an account in wei; zero if it does not exist.
    pub fn balance(&self, address: &Address) -> U256 {
        self.accounts.get(address).map_or(U256::ZERO, |entry| entry.account.balance)
    }

    /// The code of an account, if it has one.
    pub fn code_of(&self, address: Address) -> Option<Bytes> {
        let entry = self.accounts.get(&address)?;
        self.codes.get(&entry.account.code_hash).map(Bytecode::original_bytes)
    }

    fn full_digest(&self) -> Digest {
        let mut hasher = Hasher::new(Tag::ExecutionState);
        for (address, change) in &self.to_changes().accounts {
            hasher.item(&change.to_bytes(address));
        }
        hasher.finish()
    }

    fn write(&mut self, changes: &Changes) {
        for (hash, code) in &changes.codes {
            // What is in `Changes` was judged to be code.
            let code = Bytecode::new_raw_checked(code.clone());
            self.codes.extend(code.ok().map(|code| (*hash, code)));
        }
        for (address, change) in &changes.accounts {
            let Some(account) = change.account else {
                self.accounts.remove(address);
                continue;
            };
            let entry = self.accounts.entry(*address);
            let entry = entry.or_insert_with(|| Entry { account, storage: BTreeMap::new() });
            entry.account = account;
            for (slot, value) in &change.storage {
                if value.is_zero() {
                    entry.storage.remove(slot);
                } else {
                    entry.storage.insert(*slot, *value);
                }
            }
        }
    }
}

impl StateView for MemoryState {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(&address).map(|entry| entry.account))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let value = self.accounts.get(&address).and_then(|entry| entry.storage.get(&slot));
        Ok(value.copied().unwrap_or_default())
    }

    fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        self.codes.get(&hash).cloned().ok_or(StateError::Code { hash })
    }

    fn block_hash(&self, _number: u64) -> Result<B256, StateError> {
        Ok(B256::ZERO)
    }
}
