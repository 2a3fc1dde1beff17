//! The layers that a bundle is simulated on: its own journal, what the slot has kept so far, and
//! the state below, of which everything that was read is remembered.
//!
//! # Invariants
//!
//! 1. A bundle writes to its own layer alone: to discard it is to drop that layer.
//! 2. What was read of the state once in a slot stays what it was, whatever the view says later.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::Database;
use revm::bytecode::Bytecode;
use revm::state::{Account as Touched, AccountInfo, EvmState};

use crate::changes::{AccountChange, Changes};
use crate::state::{Account, StateError, StateView};

/// The state below, and what was read of it.
struct Base {
    view: Arc<dyn StateView>,
    accounts: BTreeMap<Address, Option<Account>>,
    storage: BTreeMap<(Address, U256), U256>,
}

/// Changes above a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layer {
    accounts: BTreeMap<Address, AccountChange>,
    codes: BTreeMap<B256, Bytecode>,
}

/// A rollup's layers: the database of its EVM, which is moved in and out with all of them.
pub(crate) struct Journal {
    base: Base,
    kept: Layer,
    own: Layer,
}

impl Base {
    fn account(&mut self, address: Address) -> Result<Option<Account>, StateError> {
        if let Some(account) = self.accounts.get(&address) {
            return Ok(*account);
        }
        let account = self.view.account(address)?;
        self.accounts.insert(address, account);
        Ok(account)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        if let Some(value) = self.storage.get(&(address, slot)) {
            return Ok(*value);
        }
        let value = self.view.storage(address, slot)?;
        self.storage.insert((address, slot), value);
        Ok(value)
    }
}

impl Layer {
    /// Lays another layer over this one.
    fn absorb(&mut self, above: Self) {
        self.codes.extend(above.codes);
        for (address, change) in above.accounts {
            self.change(address, change.account).extend(change.storage);
        }
    }

    /// Takes what a transaction did.
    fn write(&mut self, state: EvmState) {
        for (address, touched) in state {
            if !touched.is_touched() {
                continue;
            }
            let account = account_after(&touched);
            let storage = self.change(address, account);
            if account.is_some() {
                let slots = touched.changed_storage_slots();
                storage.extend(slots.map(|(slot, value)| (*slot, value.present_value)));
                self.take_code(touched.info);
            }
        }
    }

    /// What differs from the state below.
    fn net_changes(&self, base: &mut Base) -> Result<Changes, StateError> {
        let mut changes = Changes::default();
        for (&address, change) in &self.accounts {
            let before = base.account(address)?;
            let mut storage = BTreeMap::new();
            for (&slot, &value) in &change.storage {
                let old = match before {
                    Some(_) => base.storage(address, slot)?,
                    None => U256::ZERO,
                };
                if value != old {
                    storage.insert(slot, value);
                }
            }
            if change.account == before && storage.is_empty() {
                continue;
            }
            let account = change.account;
            let [old_code, new_code] = [before, account].map(|a| a.map(|a| a.code_hash));
            if let Some(hash) = new_code.filter(|_| new_code != old_code)
                && let Some(code) = self.codes.get(&hash)
            {
                changes.codes.insert(hash, code.original_bytes());
            }
            changes.accounts.insert(address, AccountChange { account, storage });
        }
        Ok(changes)
    }

    /// Writes the account, and gives its storage.
    fn change(&mut self, address: Address, account: Option<Account>) -> &mut BTreeMap<U256, U256> {
        let new = || AccountChange { account, storage: BTreeMap::new() };
        let change = self.accounts.entry(address).or_insert_with(new);
        change.account = account;
        if account.is_none() {
            change.storage.clear();
        }
        &mut change.storage
    }

    fn take_code(&mut self, info: AccountInfo) {
        if let Some(code) = info.code
            && !code.is_empty()
        {
            self.codes.entry(info.code_hash).or_insert(code);
        }
    }
}

/// What is left of an account after a transaction.
fn account_after(touched: &Touched) -> Option<Account> {
    if touched.is_selfdestructed() || touched.is_empty() {
        return None;
    }
    let AccountInfo { balance, nonce, code_hash, .. } = touched.info;
    // The EVM has two ways to say that there is no code.
    let code_hash = if code_hash.is_zero() { KECCAK256_EMPTY } else { code_hash };
    Some(Account { nonce, balance, code_hash })
}

impl Journal {
    pub(crate) fn new(view: Arc<dyn StateView>) -> Self {
        let base = Base { view, accounts: BTreeMap::new(), storage: BTreeMap::new() };
        Self { base, kept: Layer::default(), own: Layer::default() }
    }

    /// Takes what a transaction of the bundle did.
    pub(crate) fn write(&mut self, state: EvmState) {
        self.own.write(state);
    }

    /// Keeps what the bundle did.
    pub(crate) fn keep(&mut self) {
        self.kept.absorb(mem::take(&mut self.own));
    }

    /// Forgets what the bundle did.
    pub(crate) fn discard(&mut self) {
        self.own = Layer::default();
    }

    /// What the slot has kept so far.
    pub(crate) fn kept(&self) -> &Layer {
        &self.kept
    }

    /// Goes back, or on, to what a slot had kept.
    pub(crate) fn restore(&mut self, kept: Layer) {
        self.kept = kept;
        self.discard();
    }

    /// What the slot changed.
    pub(crate) fn into_changes(mut self) -> Result<Changes, StateError> {
        self.kept.net_changes(&mut self.base)
    }
}

impl Database for Journal {
    type Error = StateError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        let above = [&self.own, &self.kept].into_iter().find_map(|l| l.accounts.get(&address));
        let account = match above {
            Some(change) => change.account,
            None => self.base.account(address)?,
        };
        Ok(account.map(|Account { nonce, balance, code_hash }| AccountInfo {
            balance,
            nonce,
            code_hash,
            account_id: None,
            code: (code_hash == KECCAK256_EMPTY).then(Bytecode::new),
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, StateError> {
        let above = [&self.own, &self.kept].into_iter().find_map(|l| l.codes.get(&hash));
        above.map_or_else(|| self.base.view.code(hash), |code| Ok(code.clone()))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        for layer in [&self.own, &self.kept] {
            if let Some(change) = layer.accounts.get(&address) {
                match (change.account, change.storage.get(&slot)) {
                    (None, _) => return Ok(U256::ZERO),
                    (Some(_), Some(value)) => return Ok(*value),
                    (Some(_), None) => {}
                }
            }
        }
        self.base.storage(address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        self.base.view.block_hash(number)
    }
}
