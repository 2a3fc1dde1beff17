//! A rollup's state as records of a key-value store: what a slot changed is written one by one, and
//! all of a rollup's records give the state back.
//!
//! | key, after the chain id (8) | value |
//! |---|---|
//! | `00` ‖ address (20) | nonce (8) ‖ balance (32) ‖ hash of the code (32) |
//! | `01` ‖ address (20) ‖ slot (32) | the value (32); none if it is zero |
//! | `02` ‖ hash (32) | the code with this hash |
//!
//! Integers are big-endian. A code stays when no account has it any more: another may get it again.
//!
//! # Invariants
//!
//! 1. The records of a state, with those of [`records`] of later changes applied, are the records of
//!    the state after the changes; [`state_of`] reads them back.
//! 2. Records that no state has are refused, with the key.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use fairveil_crypto::Digest;
use revm::bytecode::Bytecode;
use thiserror::Error;

use crate::changes::{AccountChange, Changes};
use crate::state::{Account, MemoryState};

const ACCOUNT: u8 = 0;
const STORAGE: u8 = 1;
const CODE: u8 = 2;

/// What is to be written under a key, or that nothing stands there any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: Vec<u8>,
    /// The value; without one the key is removed.
    pub value: Option<Vec<u8>>,
}

/// A record that no state has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the record {} is none of a rollup's state", hex::encode_prefixed(.key))]
pub struct RecordError {
    /// Its key.
    pub key: Vec<u8>,
}

/// The records that these changes of a rollup's state write.
pub fn records(chain_id: u64, changes: &Changes) -> Vec<Record> {
    let mut records = Vec::new();
    for (hash, code) in changes.codes() {
        let value = Some(code.to_vec());
        records.push(Record { key: key(chain_id, CODE, &[hash.as_slice()]), value });
    }
    for (address, change) in changes.accounts() {
        let value = change.account.as_ref().map(account_bytes);
        records.push(Record { key: account_key(chain_id, address), value });
        for (slot, value) in &change.storage {
            let key = storage_key(chain_id, address, slot);
            let value = (!value.is_zero()).then(|| value.to_be_bytes::<32>().to_vec());
            records.push(Record { key, value });
        }
    }
    records
}

/// The state of a rollup whose records these are, all of them, with the digest that it had.
pub fn state_of(
    chain_id: u64,
    records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    digest: Digest,
) -> Result<MemoryState, RecordError> {
    let mut changes = Changes::default();
    let mut storage: BTreeMap<Address, BTreeMap<U256, U256>> = BTreeMap::new();
    for (key, value) in records {
        read(chain_id, &key, &value, &mut changes, &mut storage).ok_or(RecordError { key })?;
    }
    for (address, slots) in storage {
        let Some(change) = changes.accounts.get_mut(&address) else {
            return Err(RecordError { key: key(chain_id, STORAGE, &[address.as_slice()]) });
        };
        change.storage = slots;
    }
    Ok(MemoryState::from_changes(&changes, digest))
}

/// The key of an account's record.
pub fn account_key(chain_id: u64, address: &Address) -> Vec<u8> {
    key(chain_id, ACCOUNT, &[address.as_slice()])
}

/// The key of the record of a storage slot.
pub fn storage_key(chain_id: u64, address: &Address, slot: &U256) -> Vec<u8> {
    key(chain_id, STORAGE, &[address.as_slice(), &slot.to_be_bytes::<32>()])
}

/// What stands under an account's key; none if it is no account.
pub fn account_of(bytes: &[u8]) -> Option<Account> {
    let (nonce, rest) = bytes.split_first_chunk::<8>()?;
    let (balance, code_hash) = rest.split_first_chunk::<32>()?;
    let code_hash = B256::from(<[u8; 32]>::try_from(code_hash).ok()?);
    let balance = U256::from_be_bytes(*balance);
    let account = Account { nonce: u64::from_be_bytes(*nonce), balance, code_hash };
    (!account.is_empty()).then_some(account)
}

/// What stands under the key of a storage slot; none if it is no value that a slot holds.
pub fn value_of(bytes: &[u8]) -> Option<U256> {
    let value = U256::from_be_bytes(<[u8; 32]>::try_from(bytes).ok()?);
    Some(value).filter(|value| !value.is_zero())
}

/// The first bytes of the keys of a rollup's records.
pub fn prefix(chain_id: u64) -> [u8; 8] {
    chain_id.to_be_bytes()
}

fn key(chain_id: u64, kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = prefix(chain_id).to_vec();
    key.push(kind);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

fn account_bytes(account: &Account) -> Vec<u8> {
    let mut bytes = account.nonce.to_be_bytes().to_vec();
    bytes.extend_from_slice(&account.balance.to_be_bytes::<32>());
    bytes.extend_from_slice(account.code_hash.as_slice());
    bytes
}

fn read(
    chain_id: u64,
    key: &[u8],
    value: &[u8],
    changes: &mut Changes,
    storage: &mut BTreeMap<Address, BTreeMap<U256, U256>>,
) -> Option<()> {
    let (kind, place) = key.strip_prefix(&prefix(chain_id))?.split_first()?;
    match *kind {
        ACCOUNT => {
            let address = Address::from(<[u8; 20]>::try_from(place).ok()?);
            let account = Some(account_of(value)?);
            changes.accounts.insert(address, AccountChange { account, storage: BTreeMap::new() });
        }
        STORAGE => {
            let (address, slot) = place.split_first_chunk::<20>()?;
            let slot = U256::from_be_bytes(<[u8; 32]>::try_from(slot).ok()?);
            let slots = storage.entry(Address::from(*address)).or_default();
            slots.insert(slot, value_of(value)?);
        }
        CODE => {
            let code = Bytes::copy_from_slice(value);
            let is_code = Bytecode::new_raw_checked(code.clone()).is_ok();
            let hash = Some(keccak256(&code)).filter(|hash| is_code && hash.as_slice() == place)?;
            changes.codes.insert(hash, code);
        }
        _ => return None,
    }
    Some(())
}
