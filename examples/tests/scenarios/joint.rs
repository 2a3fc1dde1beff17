//! The joint simulation over committed genesis documents and legs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use fairveil_examples::contract::revert_data;
use fairveil_examples::genesis::GAS_MONEY;
use fairveil_examples::leg;
use fairveil_execution::block::{Block, Hardfork, L1Fees};
use fairveil_execution::bundle::{Bundle, Leg, Policy};
use fairveil_execution::genesis::parse_genesis;
use fairveil_execution::outcome::{Dropped, Fault, Outcome, Receipt};
use fairveil_execution::sender::{SetCode, SignedTransaction, recover_senders};
use fairveil_execution::simulator::{Finished, Limits, Rollup, Simulator};
use fairveil_execution::state::{MemoryState, StateView};

/// In wei per gas.
pub(crate) const BASE_FEE: u64 = 7;
/// A slot of storage: chain, contract, slot.
pub(crate) type Place = (u64, Address, U256);

/// How a transaction ended: how many logs it left, and how it failed, if it did.
pub(crate) type End<'a> = (u32, Option<&'a Fault>);

/// The rollups before a slot.
#[derive(Clone)]
pub(crate) struct World {
    states: BTreeMap<u64, MemoryState>,
    base_fee: u64,
}

/// The rollups after it.
pub(crate) struct After {
    pub(crate) outcomes: Vec<Outcome>,
    finished: Vec<Finished>,
    pub(crate) world: World,
}

/// The path of a file below `examples`.
pub(crate) fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// A committed file.
pub(crate) fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A committed state.
pub(crate) fn state(file: &str) -> MemoryState {
    parse_genesis(read(file).as_bytes()).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The bundle of a folder's legs.
pub(crate) fn bundle(policy: Policy, folder: &str, chains: &[u64]) -> Bundle {
    let file = |&chain_id: &u64| (chain_id, format!("{folder}/{chain_id}.txt"));
    bundle_of(policy, &chains.iter().map(file).collect::<Vec<_>>())
}

/// The bundle of these files, their transactions' senders recovered.
pub(crate) fn bundle_of(policy: Policy, files: &[(u64, String)]) -> Bundle {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let leg = |(chain_id, file): &(u64, String)| {
        let (chain_id, raw) = (*chain_id, leg::transactions(&read(file)).unwrap());
        let signed = |raw| SignedTransaction { raw, chain_id, set_code: SetCode::Refused };
        let signed: Vec<_> = raw.into_iter().map(signed).collect();
        let transactions = recover_senders(&pool, &signed).into_iter().map(Result::unwrap);
        Leg { chain_id, transactions: transactions.collect() }
    };
    Bundle::new(policy, files.iter().map(leg).collect()).unwrap()
}

impl World {
    /// The committed genesis documents of a folder.
    pub(crate) fn of(folder: &str, chains: &[u64]) -> Self {
        let file = |&chain_id: &u64| (chain_id, format!("{folder}/{chain_id}.json"));
        Self::of_files(&chains.iter().map(file).collect::<Vec<_>>())
    }

    /// These committed genesis documents.
    pub(crate) fn of_files(files: &[(u64, String)]) -> Self {
        let state = |(chain_id, file): &(u64, String)| (*chain_id, state(file));
        Self { states: files.iter().map(state).collect(), base_fee: BASE_FEE }
    }

    /// One rollup without accounts.
    pub(crate) fn empty(chain_id: u64) -> Self {
        let states = BTreeMap::from([(chain_id, MemoryState::empty())]);
        Self { states, base_fee: BASE_FEE }
    }

    /// With another state of a rollup.
    pub(crate) fn with(mut self, chain_id: u64, state: MemoryState) -> Self {
        self.states.insert(chain_id, state);
        self
    }

    /// Where gas costs nothing.
    pub(crate) fn without_base_fee(mut self) -> Self {
        self.base_fee = 0;
        self
    }

    pub(crate) fn state(&self, chain_id: u64) -> &MemoryState {
        &self.states[&chain_id]
    }

    /// One slot with these bundles, in the fair order.
    pub(crate) fn slot(&self, bundles: &[Bundle]) -> After {
        let block = Block {
            number: 1,
            timestamp_s: 1_800_000_000,
            base_fee: self.base_fee,
            gas_limit: 30_000_000,
            beneficiary: Address::ZERO,
            prevrandao: B256::ZERO,
            // The oldest rules that a dry run offers.
            hardfork: Hardfork::Ecotone,
            l1_fees: L1Fees::Nothing,
        };
        let rollup = |(&chain_id, state): (&u64, &MemoryState)| Rollup {
            chain_id,
            view: Some(Arc::new(state.clone())),
            digest: state.digest(),
            block,
        };
        let rollups = self.states.iter().map(rollup).collect();
        let mut simulator = Simulator::new(rollups, Limits::default()).unwrap();
        let outcomes = simulator.simulate_all(bundles);
        let finished = simulator.finish().unwrap();
        let mut world = self.clone();
        for Finished { chain_id, changes, digest, .. } in &finished {
            let state = world.states.get_mut(chain_id).unwrap();
            assert_eq!(state.apply(changes), *digest);
        }
        After { outcomes, finished, world }
    }

    pub(crate) fn value(&self, chain_id: u64, contract: Address, slot: U256) -> U256 {
        self.states[&chain_id].storage(contract, slot).unwrap()
    }

    pub(crate) fn number(&self, chain_id: u64, contract: Address, slot: U256) -> u64 {
        self.value(chain_id, contract, slot).to()
    }

    /// An account's ether in wei.
    pub(crate) fn balance(&self, chain_id: u64, account: Address) -> u64 {
        let account = self.states[&chain_id].account(account).unwrap();
        account.map_or(0, |account| account.balance.to())
    }

    pub(crate) fn nonce(&self, chain_id: u64, account: Address) -> u64 {
        self.states[&chain_id].account(account).unwrap().map_or(0, |account| account.nonce)
    }
}

impl After {
    /// All storage that changed, with its new values.
    pub(crate) fn storage(&self) -> BTreeMap<Place, U256> {
        let mut storage = BTreeMap::new();
        for Finished { chain_id, changes, .. } in &self.finished {
            for (address, change) in changes.accounts() {
                let slots = change.storage.iter();
                storage.extend(slots.map(|(slot, value)| ((*chain_id, *address, *slot), *value)));
            }
        }
        storage
    }

    /// The receipts of a bundle that was kept: per leg its chain id and its receipts.
    pub(crate) fn receipts(&self, bundle: usize) -> Vec<(u64, &[Receipt])> {
        let Outcome::Kept { legs } = &self.outcomes[bundle] else {
            panic!("bundle {bundle}: {:?}", self.outcomes[bundle]);
        };
        legs.iter().map(|leg| (leg.chain_id, &leg.receipts[..])).collect()
    }

    /// Asserts that a bundle was dropped by this transaction, which reverted with this error, and
    /// that no bundle of the slot changed any state.
    pub(crate) fn assert_nothing_but(&self, leg: u16, tx: u16, why: Fault, before: &World) {
        assert_eq!(self.outcomes, [Outcome::Dropped(Dropped::Failed { leg, tx, why })]);
        self.assert_unchanged(before);
    }

    /// Asserts that every rollup is what it was, to the byte.
    pub(crate) fn assert_unchanged(&self, before: &World) {
        for finished in &self.finished {
            let chain_id = finished.chain_id;
            assert!(finished.changes.is_empty(), "chain {chain_id}: {:?}", finished.changes);
            assert_eq!(finished.digest, before.state(chain_id).digest());
            assert_eq!(finished.gas_used, 0);
            assert_eq!(self.world.state(chain_id), before.state(chain_id));
        }
    }

    /// Asserts that the sender of all transactions of a bundle paid for their gas, and for nothing
    /// else, on each of its rollups.
    pub(crate) fn assert_paid_for_gas(&self, bundle: usize, sender: Address) {
        for (chain_id, receipts) in self.receipts(bundle) {
            let gas: u64 = receipts.iter().map(|receipt| receipt.gas_used).sum();
            assert!(gas > 21_000 * receipts.len() as u64);
            let paid = gas * self.world.base_fee;
            assert_eq!(self.world.balance(chain_id, sender), GAS_MONEY - paid);
            assert_eq!(self.world.nonce(chain_id, sender), receipts.len() as u64);
        }
    }
}

/// A revert with one of a contract's errors.
pub(crate) fn reverted(error: &str, arguments: &[U256]) -> Fault {
    let data = revert_data(error, arguments);
    Fault::Reverted { length_bytes: data.len() as u64, data }
}

/// How each transaction ended, leg by leg.
pub(crate) fn summary<'a>(receipts: &[(u64, &'a [Receipt])]) -> Vec<(u64, Vec<End<'a>>)> {
    let leg = |(chain_id, receipts): &(u64, &'a [Receipt])| {
        let transactions = receipts.iter().map(|receipt| (receipt.logs, receipt.fault.as_ref()));
        (*chain_id, transactions.collect())
    };
    receipts.iter().map(leg).collect()
}
