//! Random slots against a naive model: every rollup is one of revm's own in-memory databases, a
//! bundle runs on clones of all of them, which are kept or thrown away.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, KECCAK256_EMPTY, U256};
use fairveil_crypto::Digest;
use fairveil_crypto::domain::{Hasher, Tag};
use op_revm::{L1BlockInfo, OpBuilder, OpContext};
use proptest::prelude::*;
use revm::context::{BlockEnv, CfgEnv, Context};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::database::CacheDB;
use revm::database_interface::EmptyDB;
use revm::{DatabaseRef, ExecuteCommitEvm};

use super::world::*;
use crate::bundle::{Bundle, Policy};
use crate::changes::Changes;
use crate::outcome::{Dropped, Outcome};
use crate::records::{Record, prefix, records, state_of};
use crate::simulator::Finished;
use crate::state::{Account, MemoryState, StateView};

type Naive = BTreeMap<u64, CacheDB<EmptyDB>>;
type Contents = BTreeMap<Address, (Account, BTreeMap<U256, U256>)>;

/// What a transaction of a random bundle does.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Transfer { to: u8, value: u128 },
    Count,
    Store { slot: u64, value: u64 },
    Revert,
    Halt,
    Create,
    CreateAndDestroy { value: u128 },
    WrongNonce { ahead: u64 },
    TooCheap,
    TooMuch,
}

#[derive(Clone, Debug)]
pub(super) struct RandomBundle {
    policy: Policy,
    /// Per chain: who does what. No leg where it is empty.
    legs: Vec<Vec<(u8, Deed)>>,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (1u8..=9, 0u128..1_000_000).prop_map(|(to, value)| Deed::Transfer { to, value }),
        4 => Just(Deed::Count),
        6 => (0u64..4, 0u64..3).prop_map(|(slot, value)| Deed::Store { slot, value }),
        1 => Just(Deed::Revert),
        1 => Just(Deed::Halt),
        2 => Just(Deed::Create),
        2 => (0u128..100).prop_map(|value| Deed::CreateAndDestroy { value }),
        1 => (1u64..3).prop_map(|ahead| Deed::WrongNonce { ahead }),
        1 => Just(Deed::TooCheap),
        1 => Just(Deed::TooMuch),
    ]
}

/// Slots of bundles over 2 to 4 rollups.
pub(super) fn slots() -> impl Strategy<Value = (usize, Vec<Vec<RandomBundle>>)> {
    (2usize..=4).prop_flat_map(|chains| {
        let leg = proptest::collection::vec((1..=SENDERS, deed()), 0..4);
        let legs = proptest::collection::vec(leg, chains)
            .prop_filter("no legs", |legs| legs.iter().any(|leg| !leg.is_empty()));
        let policy = prop_oneof![Just(Policy::Include), Just(Policy::Execute)];
        let bundle = (policy, legs).prop_map(|(policy, legs)| RandomBundle { policy, legs });
        let slot = proptest::collection::vec(bundle, 1..6);
        (Just(chains), proptest::collection::vec(slot, 1..4))
    })
}

/// Signs a random bundle with the nonces that its senders have now.
pub(super) fn sign_bundle(random: &RandomBundle, nonce: impl Fn(u64, Address) -> u64) -> Bundle {
    let mut legs = Vec::new();
    for (deeds, chain) in random.legs.iter().zip(CHAINS) {
        let mut used = BTreeMap::<u8, u64>::new();
        let mut transactions = Vec::new();
        for (who, deed) in deeds {
            let count = used.entry(*who).or_default();
            let next = nonce(chain, address(*who)) + *count;
            *count += 1;
            transactions.push((*who, transaction(chain, next, deed)));
        }
        if !transactions.is_empty() {
            legs.push(leg(chain, transactions));
        }
    }
    bundle(random.policy, legs)
}

fn transaction(chain: u64, nonce: u64, deed: &Deed) -> TxEip1559 {
    match *deed {
        Deed::Transfer { to, value } => transfer(chain, nonce, address(to), value),
        Deed::Count => call(chain, nonce, COUNTS),
        Deed::Store { slot, value } => store(chain, nonce, slot, value),
        Deed::Revert => call(chain, nonce, REVERTS),
        Deed::Halt => call(chain, nonce, INVALID),
        Deed::Create => create(chain, nonce, deploys(RUNTIME_STORES)),
        Deed::CreateAndDestroy { value } => {
            let value = U256::from(value);
            TxEip1559 { value, ..create(chain, nonce, passes_on(address(1))) }
        }
        Deed::WrongNonce { ahead } => call(chain, nonce + ahead, COUNTS),
        Deed::TooCheap => TxEip1559 { max_fee_per_gas: 6, ..call(chain, nonce, COUNTS) },
        Deed::TooMuch => transfer(chain, nonce, address(1), 2 * ETHER),
    }
}

fn naive(world: &World) -> Naive {
    let mut databases = Naive::new();
    for (chain, state) in &world.states {
        let mut database = CacheDB::new(EmptyDB::default());
        for (address, account) in state.accounts() {
            let code = account.has_code().then(|| state.code(account.code_hash).unwrap());
            let info = revm::state::AccountInfo {
                balance: account.balance,
                nonce: account.nonce,
                code_hash: account.code_hash,
                account_id: None,
                code,
            };
            database.insert_account_info(address, info);
        }
        databases.insert(*chain, database);
    }
    databases
}

/// What became of a bundle, in the model's words.
#[derive(Debug, PartialEq)]
enum Fate {
    Kept { gas_used: Vec<u64> },
    Dropped { leg: u16, tx: u16, is_invalid: bool },
}

fn naive_simulate(databases: &mut Naive, bundle: &Bundle) -> Fate {
    let mut clones = databases.clone();
    let mut gas_used = Vec::new();
    for (leg, index) in bundle.legs().iter().zip(0u16..) {
        let block = block();
        let environment = BlockEnv {
            number: U256::from(block.number),
            beneficiary: block.beneficiary,
            timestamp: U256::from(block.timestamp_s),
            gas_limit: block.gas_limit,
            basefee: block.base_fee,
            prevrandao: Some(block.prevrandao),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new(0, 5_007_716)),
            ..Default::default()
        };
        let zero = L1BlockInfo {
            l2_block: Some(environment.number),
            operator_fee_scalar: Some(U256::ZERO),
            operator_fee_constant: Some(U256::ZERO),
            ..Default::default()
        };
        let mut cfg = CfgEnv::new_with_spec(block.hardfork.spec());
        cfg.chain_id = leg.chain_id;
        for (transaction, tx) in leg.transactions.iter().zip(0u16..) {
            let database = clones.get_mut(&leg.chain_id).unwrap();
            let context: OpContext<_> = Context::new(database, block.hardfork.spec());
            let mut evm = context
                .with_block(environment.clone())
                .with_cfg(cfg.clone())
                .with_chain(zero.clone())
                .build_op();
            match evm.transact_commit(transaction.to_environment()) {
                Err(_) => return Fate::Dropped { leg: index, tx, is_invalid: true },
                Ok(result) if !result.is_success() && bundle.policy() == Policy::Execute => {
                    return Fate::Dropped { leg: index, tx, is_invalid: false };
                }
                Ok(result) => gas_used.push(result.tx_gas_used()),
            }
        }
    }
    *databases = clones;
    Fate::Kept { gas_used }
}

fn fate(outcome: &Outcome) -> Fate {
    match outcome {
        Outcome::Kept { legs } => {
            let receipts = legs.iter().flat_map(|leg| &leg.receipts);
            Fate::Kept { gas_used: receipts.map(|receipt| receipt.gas_used).collect() }
        }
        Outcome::Dropped(Dropped::Invalid { leg, tx, .. }) => {
            Fate::Dropped { leg: *leg, tx: *tx, is_invalid: true }
        }
        Outcome::Dropped(Dropped::Failed { leg, tx, .. }) => {
            Fate::Dropped { leg: *leg, tx: *tx, is_invalid: false }
        }
        other => panic!("{other:?}"),
    }
}

fn naive_contents(database: &CacheDB<EmptyDB>) -> Contents {
    let mut contents = Contents::new();
    for (address, held) in &database.cache.accounts {
        let Some(info) = database.basic_ref(*address).unwrap() else { continue };
        let code_hash = if info.code_hash.is_zero() { KECCAK256_EMPTY } else { info.code_hash };
        let account = Account { nonce: info.nonce, balance: info.balance, code_hash };
        if account.is_empty() {
            continue;
        }
        let slots = held.storage.iter().filter(|(_, value)| !value.is_zero());
        contents.insert(*address, (account, slots.map(|(slot, value)| (*slot, *value)).collect()));
    }
    contents
}

fn contents(state: &MemoryState) -> Contents {
    let changes = state.to_changes();
    let accounts = changes.accounts();
    accounts.map(|(a, change)| (*a, (change.account.unwrap(), change.storage.clone()))).collect()
}

/// The digest by the description in `state`, from what a rollup held before and after.
fn digest_by_difference(digest: Digest, before: &Contents, after: &Contents) -> Digest {
    let mut hasher = Hasher::new(Tag::ExecutionSlot);
    hasher.item(digest.as_bytes());
    let mut is_changed = false;
    for address in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let (old, new) = (before.get(address), after.get(address));
        if old == new {
            continue;
        }
        is_changed = true;
        let mut item = address.to_vec();
        item.push(u8::from(new.is_some()));
        if let Some((account, storage)) = new {
            item.extend(account.nonce.to_be_bytes());
            item.extend(account.balance.to_be_bytes::<32>());
            item.extend(account.code_hash);
            let none = BTreeMap::new();
            let old = old.map_or(&none, |(_, storage)| storage);
            for slot in old.keys().chain(storage.keys()).collect::<BTreeSet<_>>() {
                if old.get(slot) != storage.get(slot) {
                    item.extend(slot.to_be_bytes::<32>());
                    let value = storage.get(slot).copied().unwrap_or_default();
                    item.extend(value.to_be_bytes::<32>());
                }
            }
        }
        hasher.item(&item);
    }
    if is_changed { hasher.finish() } else { digest }
}

fn check_slot(
    before: &World,
    model_before: &Naive,
    model: &Naive,
    finished: &[Finished],
) -> Result<(), TestCaseError> {
    for (slot, (chain, state)) in finished.iter().zip(&before.states) {
        let old = naive_contents(&model_before[chain]);
        let new = naive_contents(&model[chain]);
        prop_assert_eq!(slot.digest, digest_by_difference(state.digest(), &old, &new));
    }
    Ok(())
}

/// What a key-value store does with the records of changes.
fn write(stored: &mut BTreeMap<Vec<u8>, Vec<u8>>, chain: u64, changes: &Changes) {
    for Record { key, value } in records(chain, changes) {
        match value {
            Some(value) => drop(stored.insert(key, value)),
            None => drop(stored.remove(&key)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Invariants 1, 2 and 3 of the simulator, and that no wei appears or vanishes.
    #[test]
    fn invariants_1_2_3_random_slots_are_those_of_a_naive_model((chains, slots) in slots()) {
        let mut world = World::new(chains);
        let mut model = naive(&world);
        let mut stored = BTreeMap::new();
        for (chain, state) in &world.states {
            write(&mut stored, *chain, &state.to_changes());
        }
        for slot in &slots {
            let model_before = model.clone();
            let (mut bundles, mut fates) = (Vec::new(), Vec::new());
            for random in slot {
                let nonce = |chain: u64, who| {
                    model[&chain].basic_ref(who).unwrap().map_or(0, |info| info.nonce)
                };
                let bundle = sign_bundle(random, nonce);
                fates.push(naive_simulate(&mut model, &bundle));
                bundles.push(bundle);
            }
            let mut simulator = world.simulator();
            let outcomes = simulator.simulate_all(&bundles);
            prop_assert_eq!(outcomes.iter().map(fate).collect::<Vec<_>>(), fates);
            let finished = simulator.finish().unwrap();
            check_slot(&world, &model_before, &model, &finished)?;
            let supply: Vec<_> = world.states.iter().map(|(c, _)| world.supply(*c)).collect();
            world.apply(&finished);
            for slot in &finished {
                write(&mut stored, slot.chain_id, &slot.changes);
            }
            for (place, (chain, state)) in world.states.iter().enumerate() {
                prop_assert_eq!(contents(state), naive_contents(&model[chain]));
                prop_assert_eq!(world.supply(*chain), supply[place]);
                let records = stored.iter().filter(|(key, _)| key.starts_with(&prefix(*chain)));
                let records = records.map(|(key, value)| (key.clone(), value.clone()));
                let read = state_of(*chain, records, state.digest());
                prop_assert_eq!(read.as_ref(), Ok(state.as_ref()));
            }
        }
    }
}
