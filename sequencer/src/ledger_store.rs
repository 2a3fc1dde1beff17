//! The ledger as it stands in the database, where a network charges for bundles.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `ledger` | [`Accounts`]: heights, balances and in flight in sum, revenue of everybody |
//! | `fees` | bundle id | what was charged for a bundle that has not ended yet (8) |
//!
//! # Invariants
//!
//! 1. What a block charged is in the block's transaction, what a release pays out in that of the
//!    release: chain, releases and ledger always belong together.
//! 2. What is written grows with what happened at the height, with the rollups and with the
//!    sequencers; not with payers or with what is in flight.
//! 3. A start reads all of it and compares it with the chain's state and the chain of releases; a
//!    sequencer whose ledger is not conserved, or at another height, does not start.

use std::collections::BTreeMap;

use fairveil_consensus::state::ChainState;
use fairveil_crypto::{BundleId, Height};
use fairveil_release::ledger::{Accounts, Ledger};

use crate::{
    config::Accounting,
    recovery::entries,
    store::{Store, StoreError, Table, Write},
};

pub(crate) const ACCOUNTS: &[u8] = b"ledger";

/// The accounts, as they are stored.
pub(crate) fn accounts(store: &Store) -> Result<Option<Accounts>, StoreError> {
    let Some(bytes) = store.get(Table::Meta, ACCOUNTS)? else { return Ok(None) };
    Accounts::decode(&bytes).map(Some).map_err(|error| damaged(Table::Meta, &error))
}

/// The ledger of a committee of `n` as it is stored, or the first one.
pub(crate) fn restored(
    store: &Store,
    accounting: &Accounting,
    n: u16,
    chain: &ChainState,
    released: Height,
) -> Result<Ledger, StoreError> {
    let Some(balances) = chain.balances() else {
        return Err(damaged(Table::Meta, &"the chain's state has no balances"));
    };
    let percent = accounting.rollup_share_percent;
    let ledger = match accounts(store)? {
        None => Ledger::new(n, percent, balances.deposited()),
        Some(accounts) => {
            let fees = fees(store)?;
            Ledger::restore(n, percent, accounts, fees)
                .map_err(|error| damaged(Table::Fees, &error))?
        }
    };
    let found = ledger.accounts();
    let height = chain.tip().height;
    let known = (found.height, found.released, found.deposits, found.balances);
    if known != (height, released, balances.deposited(), balances.left()) {
        return Err(damaged(
            Table::Meta,
            &format!(
                "the ledger stands at height {}, released {}, with {} of {} left; the chain at \
                 {height}, released {released}, with {} of {}",
                found.height,
                found.released,
                found.balances,
                found.deposits,
                balances.left(),
                balances.deposited(),
            ),
        ));
    }
    Ok(ledger)
}

/// What is written with a block that charged these fees.
pub(crate) fn charged_writes(ledger: &Ledger, charges: &[(BundleId, u64)]) -> Vec<Write> {
    let put = |(id, fee): &(BundleId, u64)| {
        Write::put(Table::Fees, *id.as_bytes(), fee.to_be_bytes().to_vec())
    };
    charges.iter().map(put).chain([accounts_write(ledger)]).collect()
}

/// What is written with a release that ended these bundles.
pub(crate) fn paid_writes(ledger: &Ledger, ended: &[BundleId]) -> Vec<Write> {
    let remove = |id: &BundleId| Write::remove(Table::Fees, *id.as_bytes());
    ended.iter().map(remove).chain([accounts_write(ledger)]).collect()
}

fn accounts_write(ledger: &Ledger) -> Write {
    Write::put(Table::Meta, ACCOUNTS, ledger.accounts().encode())
}

fn fees(store: &Store) -> Result<BTreeMap<BundleId, u64>, StoreError> {
    let mut fees = BTreeMap::new();
    for (key, value) in entries(store, Table::Fees, &[])? {
        let id = key.try_into().map(BundleId::from_bytes);
        let fee = value.try_into().map(u64::from_be_bytes);
        let (Ok(id), Ok(fee)) = (id, fee) else {
            return Err(damaged(Table::Fees, &"an entry is not an id and a fee"));
        };
        fees.insert(id, fee);
    }
    Ok(fees)
}

fn damaged(table: Table, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { table, why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use fairveil_crypto::{NetworkId, signature::ConsensusPublicKey};
    use redb::backends::InMemoryBackend;

    use super::*;

    fn store() -> Store {
        let network = NetworkId::from_bytes([1; 32]);
        let key = ConsensusPublicKey::from_bytes([2; 32]);
        Store::open(InMemoryBackend::new(), &network, &key).unwrap()
    }

    fn id(byte: u8) -> BundleId {
        BundleId::from_bytes([byte; 32])
    }

    #[test]
    fn invariant_2_fees_are_stored_with_their_block_and_go_with_their_release() {
        let store = store();
        assert_eq!(accounts(&store).unwrap(), None);
        let mut ledger = Ledger::new(4, 50, 100);
        let charges = [(id(1), 7), (id(2), 8)];
        ledger.ordered(Height::new(1), &charges, 85).unwrap();
        store.commit(&charged_writes(&ledger, &charges)).unwrap();
        assert_eq!(fees(&store).unwrap(), BTreeMap::from(charges));
        assert_eq!(accounts(&store).unwrap().as_ref(), Some(ledger.accounts()));
        store.commit(&paid_writes(&ledger, &[id(1)])).unwrap();
        assert_eq!(fees(&store).unwrap(), BTreeMap::from([(id(2), 8)]));
        store.commit(&[Write::put(Table::Fees, [1; 31], vec![0; 8])]).unwrap();
        assert!(matches!(fees(&store), Err(StoreError::Damaged { table: Table::Fees, .. })));
    }
}
