//! What a view remembers. Bounded: what is full is emptied, and read again when it is asked for.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use fairveil_execution::Bytecode;
use fairveil_execution::state::Account;

/// The most accounts that a view remembers.
pub const MAX_ACCOUNTS: usize = 1 << 16;
/// The most storage slots that a view remembers.
pub const MAX_SLOTS: usize = 1 << 18;
/// The most bytes of codes that a view remembers.
pub const MAX_CODE_BYTES: usize = 64 << 20;
/// The most different codes that a view reads: where each is found is never forgotten.
pub const MAX_CODES: usize = 1 << 18;

#[derive(Default)]
pub(super) struct Cache {
    accounts: BTreeMap<Address, Option<Account>>,
    slots: BTreeMap<(Address, U256), U256>,
    codes: BTreeMap<B256, Bytecode>,
    code_bytes: usize,
    /// An account that has the code.
    homes: BTreeMap<B256, Address>,
    /// At most as many as the EVM can ask for.
    block_hashes: BTreeMap<u64, B256>,
}

impl Cache {
    pub(super) fn account(&self, address: &Address) -> Option<Option<Account>> {
        self.accounts.get(address).copied()
    }

    pub(super) fn insert_account(&mut self, address: Address, account: Option<Account>) {
        if self.accounts.len() >= MAX_ACCOUNTS {
            self.accounts.clear();
        }
        self.accounts.insert(address, account);
    }

    pub(super) fn slot(&self, place: &(Address, U256)) -> Option<U256> {
        self.slots.get(place).copied()
    }

    pub(super) fn insert_slot(&mut self, place: (Address, U256), value: U256) {
        if self.slots.len() >= MAX_SLOTS {
            self.slots.clear();
        }
        self.slots.insert(place, value);
    }

    /// The code, and where to read it otherwise.
    pub(super) fn code(&self, hash: &B256) -> (Option<Bytecode>, Option<Address>) {
        (self.codes.get(hash).cloned(), self.homes.get(hash).copied())
    }

    /// Whether there is room to know where it is.
    pub(super) fn insert_code(&mut self, home: Address, hash: B256, code: Bytecode) -> bool {
        if self.homes.len() >= MAX_CODES && !self.homes.contains_key(&hash) {
            return false;
        }
        self.homes.entry(hash).or_insert(home);
        let length = code.original_byte_slice().len();
        if self.code_bytes + length > MAX_CODE_BYTES {
            self.codes.clear();
            self.code_bytes = 0;
        }
        if self.codes.insert(hash, code).is_none() {
            self.code_bytes += length;
        }
        true
    }

    pub(super) fn block_hash(&self, number: u64) -> Option<B256> {
        self.block_hashes.get(&number).copied()
    }

    pub(super) fn insert_block_hashes(&mut self, hashes: Vec<(u64, B256)>) {
        self.block_hashes.extend(hashes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_invariant_2() {
        let mut cache = Cache::default();
        let address = |number: usize| Address::left_padding_from(&number.to_be_bytes());
        for number in 0..=MAX_ACCOUNTS {
            cache.insert_account(address(number), None);
        }
        assert_eq!(cache.accounts.len(), 1);
        assert_eq!(cache.account(&address(MAX_ACCOUNTS)), Some(None));
        for number in 0..=MAX_SLOTS {
            cache.insert_slot((Address::ZERO, U256::from(number)), U256::ONE);
        }
        assert_eq!(cache.slots.len(), 1);

        let long = MAX_CODE_BYTES / 3;
        for byte in 0..4u8 {
            let code = Bytecode::new_legacy(vec![byte; long].into());
            assert!(cache.insert_code(address(byte.into()), B256::with_last_byte(byte), code));
        }
        assert_eq!((cache.codes.len(), cache.code_bytes), (1, long));
        let (code, home) = cache.code(&B256::with_last_byte(0));
        assert_eq!((code, home), (None, Some(address(0))));
        while cache.homes.len() < MAX_CODES {
            let number = cache.homes.len();
            cache.homes.insert(B256::left_padding_from(&number.to_be_bytes()), Address::ZERO);
        }
        let full = cache.insert_code(Address::ZERO, B256::repeat_byte(1), Bytecode::default());
        assert!(!full);
    }
}
