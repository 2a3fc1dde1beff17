//! Chains over rollups of 250 ms, 1 s and 2 s whose states are simulated, with signed transactions.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::crypto::secp256k1::{recover_signer, sign_message};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use fairveil_crypto::BundleId;
use fairveil_execution::genesis::parse_genesis;
use fairveil_execution::simulator::Simulator;
use fairveil_mempool::{Bundle, Leg, Policy};
use proptest::prelude::*;

use super::*;
use crate::batch::Batch;
use crate::registry::{EmbeddedState, Rollup, StateSource};
use crate::release::tests::network;
use crate::slot::BlockTimes;
use crate::tree::Outcome;
use crate::validity::valid_bundles;
use crate::world::POOL;

mod changes;
mod followed;

const GENESIS_MS: u64 = 1_700_000_000_000;
const INTERVALS_MS: [(u64, u64); 3] = [(901, 250), (902, 1_000), (903, 2_000)];
const SENDERS: u8 = 4;
const BASE_FEE: u64 = 7;
const FUNDS: u64 = 1 << 40;
/// Its code reverts with nothing.
const REVERTS: Address = Address::repeat_byte(0xee);

/// What a random leg does, as one transaction of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Pay(u64),
    Revert,
    /// Pays more than anybody has.
    Overdraw,
    /// Under the base fee.
    Cheap,
}

#[derive(Clone, Debug)]
struct Random {
    policy: Policy,
    /// Per rollup of [`INTERVALS_MS`].
    legs: [Option<(u8, Deed)>; 3],
    /// The gas limit of its transactions.
    gas: u64,
}

fn secret(sender: u8) -> B256 {
    B256::repeat_byte(sender + 1)
}

fn address(sender: u8) -> Address {
    let hash = TxEip1559::default().signature_hash();
    let signature = sign_message(secret(sender), hash).unwrap();
    recover_signer(&signature, hash).unwrap()
}

fn genesis() -> MemoryState {
    let mut alloc = vec![format!(r#""{REVERTS}": {{"balance": "0", "code": "0x60006000fd"}}"#)];
    for sender in 0..SENDERS {
        alloc.push(format!(r#""{}": {{"balance": "{FUNDS}"}}"#, address(sender)));
    }
    parse_genesis(format!(r#"{{"alloc": {{{}}}}}"#, alloc.join(",")).as_bytes()).unwrap()
}

fn registry(gas_limit: u64) -> Registry {
    let state = EmbeddedState { genesis: genesis().digest(), base_fee: BASE_FEE };
    let state = Some(StateSource::Embedded(state));
    let rollup = |(chain_id, interval_ms): (u64, u64)| Rollup {
        blocks: Some(BlockTimes { genesis_ms: GENESIS_MS, interval_ms }),
        gas_limit,
        state,
        ..Rollup::recorder(chain_id, "rollup")
    };
    Registry::new(INTERVALS_MS.map(rollup).to_vec()).unwrap()
}

fn chain(registry: &Registry) -> ReleaseChain {
    let states = INTERVALS_MS.map(|(chain_id, _)| (chain_id, genesis())).into();
    let states = RollupStates::new(registry, states).unwrap();
    ReleaseChain::new(network(), registry.clone(), states).unwrap()
}

fn transaction(chain_id: u64, nonce: u64, sender: u8, deed: Deed, gas_limit: u64) -> Bytes {
    let (to, value, fee) = match deed {
        Deed::Pay(value) => (address((sender + 1) % SENDERS), value, BASE_FEE),
        Deed::Revert => (REVERTS, 0, BASE_FEE),
        Deed::Overdraw => (REVERTS, u64::MAX, BASE_FEE),
        Deed::Cheap => (REVERTS, 0, BASE_FEE - 1),
    };
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas: fee.into(),
        to: TxKind::Call(to),
        value: U256::from(value),
        ..TxEip1559::default()
    };
    let signature = sign_message(secret(sender), transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

/// A trader who believes that everything before succeeded: the nonces are guesses, some wrong.
fn signed(random: &Random, nonces: &mut BTreeMap<(u64, u8), u64>) -> Bundle {
    let legs = INTERVALS_MS.iter().zip(&random.legs).filter_map(|((chain_id, _), leg)| {
        let (sender, deed) = (*leg)?;
        let nonce = nonces.entry((*chain_id, sender)).or_default();
        let transactions = vec![transaction(*chain_id, *nonce, sender, deed, random.gas)];
        let goes_in = matches!(deed, Deed::Pay(_))
            || deed == Deed::Revert && random.policy == Policy::Include;
        *nonce += u64::from(goes_in);
        Some(Leg { chain_id: *chain_id, transactions })
    });
    Bundle::new(random.policy, legs.collect()).unwrap()
}

fn id(height: u64, index: usize) -> BundleId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&height.to_be_bytes());
    bytes[8..16].copy_from_slice(&(index as u64).to_be_bytes());
    BundleId::from_bytes(bytes)
}

fn order(registry: &Registry, height: u64, time_ms: u64, bundles: &[Bundle]) -> JudgedOrder {
    let judged = |verdict| match verdict {
        Ok(valid) => Judged::Valid(valid),
        Err(failed) => Judged::Failed(failed),
    };
    let verdicts = valid_bundles(&POOL, registry, bundles).into_iter().map(judged);
    let ids = verdicts.enumerate().map(|(index, judged)| (id(height, index), judged));
    let block = BlockDigest::from_bytes([height as u8; 32]);
    JudgedOrder { height: Height::new(height), block, time_ms, ids: ids.collect() }
}

fn pay(sender: u8, value: u64) -> Option<(u8, Deed)> {
    Some((sender, Deed::Pay(value)))
}

fn bundle(policy: Policy, legs: [Option<(u8, Deed)>; 3]) -> Random {
    Random { policy, legs, gas: 30_000 }
}

fn codes(released: &Released) -> Vec<&'static str> {
    released.release.leaves.iter().map(|leaf| leaf.outcome.code()).collect()
}

#[test]
fn a_height_waits_for_its_slot_and_legs_meet_at_the_slot_s_end() {
    let registry = registry(1_000_000);
    let mut chain = chain(&registry);
    let mut nonces = BTreeMap::new();
    let mut bundles = |randoms: &[Random]| -> Vec<Bundle> {
        randoms.iter().map(|random| signed(random, &mut nonces)).collect()
    };
    let first = bundles(&[
        bundle(Policy::Include, [pay(0, 1), None, None]),
        bundle(Policy::Execute, [pay(0, 2), pay(0, 2), pay(0, 2)]),
        bundle(Policy::Include, [pay(0, 3), None, None]),
        bundle(Policy::Execute, [None, pay(1, 1), Some((1, Deed::Revert))]),
    ]);
    // Slot 1 starts at 2,000 ms after the genesis; its intake are heights in (0, 2000].
    let released = chain.extend(order(&registry, 1, GENESIS_MS + 500, &first)).unwrap();
    assert_eq!(codes(&released), ["carried"; 4]);
    // The first height is after the start of slot 0, which is cut without anything in it.
    assert_eq!(released.release.header.slot, Some(SlotNumber::new(0)));
    assert!(released.release.batches.iter().all(Batch::is_empty));
    let late = bundles(&[bundle(Policy::Include, [None, None, pay(2, 9)])]);
    let released = chain.extend(order(&registry, 2, GENESIS_MS + 2_000, &late)).unwrap();
    assert_eq!(released.release.header.slot, None);
    assert!(released.release.batches.is_empty());
    let released = chain.extend(order(&registry, 3, GENESIS_MS + 2_001, &[])).unwrap();
    assert_eq!(codes(&released), ["released", "released", "released", "leg_failed", "released"]);
    assert_eq!(released.release.header.slot, Some(SlotNumber::new(1)));
    let Outcome::Failed(failed) = released.release.leaves[3].outcome else { panic!("failed") };
    let why = crate::failed::Fault::Reverted;
    assert_eq!(failed, Failed::LegFailed { leg: 1, tx: 0, why });
    let times = |index: usize| {
        let legs = released.release.leaves[index].outcome.legs().iter();
        legs.map(|leg| (leg.block.number, leg.block.time_ms - GENESIS_MS)).collect::<Vec<_>>()
    };
    assert_eq!(times(0), [(9, 2_250)]);
    assert_eq!(times(1), [(16, 4_000), (4, 4_000), (2, 4_000)]);
    assert_eq!(times(2), [(16, 4_000)], "not in front of the bundle before it");
    assert_eq!(times(4), [(2, 4_000)]);
    assert_eq!(chain.states().state(901).unwrap().balance(&address(1)), U256::from(FUNDS + 6));
    assert_eq!(chain.states().state(902).unwrap().balance(&address(2)), U256::from(FUNDS));
    assert_eq!(released.receipts.len(), 4);
}

#[test]
fn an_overfull_intake_is_closed_early_and_at_most_one_slot_ahead() {
    // Two payments of 30,000 gas fit a block of 60,000, and the 2 s rollup has one block a slot.
    let registry = registry(60_000);
    let mut chain = chain(&registry);
    let mut nonces = BTreeMap::new();
    let mut pays = |count: usize| -> Vec<Bundle> {
        let random = bundle(Policy::Include, [None, None, pay(0, 1)]);
        (0..count).map(|_| signed(&random, &mut nonces)).collect()
    };
    let mut height = 0;
    let mut next = |time_ms: u64, bundles: &[Bundle]| {
        height += 1;
        let released =
            chain.extend(order(&registry, height, GENESIS_MS + time_ms, bundles)).unwrap();
        (released.release.header.slot.map(SlotNumber::get), codes(&released))
    };
    assert_eq!(next(0, &[]), (None, vec![]));
    assert_eq!(next(100, &pays(2)), (Some(0), vec!["carried"; 2]));
    assert_eq!(next(200, &[]), (None, vec![]));
    // A third one is too much: slot 1 is cut at once, 1.7 s before its start.
    let overfull = vec!["released", "released", "carried"];
    assert_eq!(next(300, &pays(1)), (Some(1), overfull));
    // Slot 1 is gone and slot 2 is not open yet: what is too much for it waits.
    assert_eq!(next(400, &pays(3)), (None, vec!["carried"; 3]));
    assert_eq!(next(2_000, &[]), (None, vec![]));
    // Now slot 2 is open, and four are too much for it.
    assert_eq!(next(2_001, &[]), (Some(2), vec!["released"; 2]));
    assert_eq!(next(2_002, &[]), (None, vec![]));
    // What is left fits slot 3, so its intake stays open until it starts.
    assert_eq!(next(4_001, &[]), (None, vec![]));
    assert_eq!(next(6_001, &[]), (Some(3), vec!["released"; 2]));
}

fn random() -> impl Strategy<Value = Random> {
    let deed = prop_oneof![
        8 => (0..1_000u64).prop_map(Deed::Pay),
        2 => Just(Deed::Revert),
        1 => Just(Deed::Overdraw),
        1 => Just(Deed::Cheap),
    ];
    let leg = proptest::option::weighted(0.6, (0..SENDERS, deed));
    let policy = prop_oneof![Just(Policy::Include), Just(Policy::Execute)];
    let legs = [leg.clone(), leg.clone(), leg]
        .prop_filter("a leg", |legs| legs.iter().any(Option::is_some));
    (policy, legs, 25_000..60_000u64).prop_map(|(policy, legs, gas)| Random { policy, legs, gas })
}

/// Executes every batch of a rollup on its own, block by block, from the genesis.
fn replayed(registry: &Registry, batches: &[&Batch], chain_id: u64) -> MemoryState {
    let rollup = registry.rollup(chain_id).unwrap();
    let mut state = genesis();
    for block in batches.iter().flat_map(|batch| &batch.blocks) {
        let lane = fairveil_execution::simulator::Rollup {
            chain_id,
            digest: state.digest(),
            view: Some(std::sync::Arc::new(state.clone())),
            block: crate::states::block_of(rollup, block.time()),
        };
        let mut simulator = Simulator::new(vec![lane], Default::default()).unwrap();
        let legs = vec![(chain_id, block.transactions.clone())];
        let leg = ValidBundle::judge(registry, Policy::Include, legs).unwrap();
        let transactions = leg.legs()[0].transactions().iter().map(|raw| {
            let raw = raw.clone().into_bytes();
            let set_code = fairveil_execution::sender::SetCode::Refused;
            let signed = fairveil_execution::sender::SignedTransaction { raw, chain_id, set_code };
            signed.recover().unwrap()
        });
        let leg =
            fairveil_execution::bundle::Leg { chain_id, transactions: transactions.collect() };
        let policy = fairveil_execution::bundle::Policy::Include;
        let all = fairveil_execution::bundle::Bundle::new(policy, vec![leg]).unwrap();
        let outcome = simulator.simulate(&all);
        let kept = matches!(outcome, fairveil_execution::outcome::Outcome::Kept { .. });
        assert!(kept, "a rollup would not take its block: {outcome:?}");
        state.apply(&simulator.finish().unwrap()[0].changes);
    }
    state
}

fn contents(state: &MemoryState) -> Vec<(Address, fairveil_execution::state::Account)> {
    state.accounts().map(|(address, account)| (address, *account)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Invariants 1 to 3 of the chain and 1 to 4 of cutting, over mixed block times and states.
    #[test]
    fn random_bundles_are_atomic_ordered_and_what_the_rollups_execute(
        heights in prop::collection::vec((1..900u64, prop::collection::vec(random(), 0..6)), 4..14),
        gas_limit in 60_000..200_000u64,
    ) {
        let registry = registry(gas_limit);
        let mut cutting = chain(&registry);
        let mut adopting = cutting.clone();
        let (mut nonces, mut policies) = (BTreeMap::new(), BTreeMap::new());
        let (mut time_ms, mut height) = (GENESIS_MS, 0u64);
        let mut all = Vec::new();
        let rest = std::iter::repeat_n((2_000, Vec::new()), 70);
        for (later_ms, randoms) in heights.into_iter().chain(rest) {
            (height, time_ms) = (height + 1, time_ms + later_ms);
            let bundles: Vec<_> = randoms.iter().map(|one| signed(one, &mut nonces)).collect();
            for (index, bundle) in bundles.iter().enumerate() {
                policies.insert(id(height, index), (bundle.policy(), time_ms, bundle.clone()));
            }
            let released = cutting.extend(order(&registry, height, time_ms, &bundles)).unwrap();
            let root = released.release.header.root();
            let adopted = adopting.adopt(released.release.clone(), &root).unwrap();
            prop_assert_eq!(&adopted.finished, &released.finished);
            prop_assert_eq!(&adopted.receipts, &released.receipts);
            prop_assert_eq!(&adopting, &cutting);
            all.push(released);
        }
        prop_assert!(cutting.waiting().is_empty());
        let waiting = Vec::new();
        let states = INTERVALS_MS.map(|(id, _)| (id, cutting.states().state(id).unwrap().clone()));
        let restored = ReleaseChain::restore(cutting.summary(), waiting, states.into(), &[]);
        prop_assert_eq!(restored, Ok(cutting.clone()));

        let clock = registry.slots().unwrap().unwrap();
        let (mut ended, mut last) = (BTreeSet::new(), BTreeMap::new());
        for released in &all {
            let release = &released.release;
            for leaf in &release.leaves {
                let Outcome::Released { policy: released_by, legs } = &leaf.outcome else {
                    let carried = matches!(leaf.outcome, Outcome::Carried { .. });
                    prop_assert!(carried || ended.insert(leaf.id));
                    continue;
                };
                prop_assert!(ended.insert(leaf.id));
                let (policy, taken_in_ms, bundle) = &policies[&leaf.id];
                prop_assert_eq!(released_by, policy);
                let named: Vec<_> = bundle.legs().iter().map(|leg| leg.chain_id).collect();
                prop_assert_eq!(legs.iter().map(|leg| leg.chain_id).collect::<Vec<_>>(), named);
                let slot = release.header.slot.unwrap();
                let ends: BTreeSet<_> = legs.iter().map(|leg| leg.block.time_ms).collect();
                prop_assert_eq!(ends.len(), 1, "equal timestamps");
                for leg in legs {
                    let rollup = registry.rollup(leg.chain_id).unwrap();
                    let mut blocks = clock.blocks(rollup.blocks.unwrap(), slot);
                    prop_assert!(blocks.any(|block| block == leg.block));
                    prop_assert!(leg.block.time_ms > *taken_in_ms, "intake closed before");
                    let now = (leg.block.number, leg.block.time_ms, leaf.position);
                    if let Some((number, time, position)) = last.insert(leg.chain_id, now) {
                        prop_assert!(number <= now.0 && time <= now.1 && position < now.2);
                    }
                }
                let receipts = &released.receipts[&leaf.id];
                prop_assert_eq!(receipts.len(), legs.len());
                let mut faults = receipts.iter().flat_map(|leg| &leg.receipts);
                prop_assert!(*policy == Policy::Include || faults.all(|one| one.fault.is_none()));
            }
        }
        prop_assert_eq!(ended.len(), policies.len(), "none lost");
        for (chain_id, _) in INTERVALS_MS {
            let batches = all.iter().filter_map(|released| released.release.batch(chain_id));
            let batches: Vec<_> = batches.collect();
            for block in batches.iter().flat_map(|batch| &batch.blocks) {
                let gas = |raw: &crate::transaction::RawTransaction| {
                    let rollup = registry.rollup(chain_id).unwrap();
                    crate::validity::valid_transaction(raw.as_bytes(), rollup).unwrap().gas_limit
                };
                prop_assert!(block.transactions.iter().map(gas).sum::<u64>() <= gas_limit);
            }
            let state = cutting.states().state(chain_id).unwrap();
            prop_assert_eq!(contents(&replayed(&registry, &batches, chain_id)), contents(state));
        }
    }
}

#[test]
fn adopting_refuses_what_simulating_again_does_not_give_invariant_2() {
    let registry = registry(1_000_000);
    let mut cutting = chain(&registry);
    let mut nonces = BTreeMap::new();
    let randoms = [
        bundle(Policy::Execute, [pay(0, 5), pay(1, 5), None]),
        bundle(Policy::Include, [None, None, pay(2, 5)]),
    ];
    let bundles: Vec<_> = randoms.iter().map(|random| signed(random, &mut nonces)).collect();
    let first = cutting.extend(order(&registry, 1, GENESIS_MS + 1, &bundles)).unwrap().release;
    let start = chain(&registry);
    let mut adopting = start.clone();
    let adopt = |chain: &mut ReleaseChain, release: &Release| {
        let root = release.header.root();
        chain.adopt(release.clone(), &root).map(|_| ())
    };
    let mut forged = first.clone();
    let legs = forged.waiting[0].bundle.legs().to_vec();
    let [one, two] = &legs[..] else { panic!("two legs") };
    let stolen = crate::validity::ValidLeg { senders: two.senders().to_vec(), ..one.clone() };
    forged.waiting[0].bundle = ValidBundle::unchecked(Policy::Execute, vec![stolen, two.clone()]);
    let error = ChainError::Forged { id: id(1, 0) };
    assert_eq!(adopt(&mut adopting, &forged), Err(error));
    assert_eq!(adopting, start);
    adopt(&mut adopting, &first).unwrap();
    let waits = adopting.clone();
    let second = cutting.extend(order(&registry, 2, GENESIS_MS + 2_001, &[])).unwrap().release;
    let mut states = second.clone();
    states.header.state_digest = Digest::from_bytes([1; 32]);
    assert!(matches!(adopt(&mut adopting, &states), Err(ChainError::States { .. })));
    let mut slot = second.clone();
    slot.header.slot = Some(SlotNumber::new(0));
    slot.batches.iter_mut().for_each(|batch| batch.slot = SlotNumber::new(0));
    let again = ChainError::Slot { actual: SlotNumber::new(0), last: SlotNumber::new(0) };
    assert_eq!(adopt(&mut adopting, &slot), Err(again));
    assert_eq!(adopting, waits);
    adopt(&mut adopting, &second).unwrap();
    assert_eq!(adopting, cutting);
    let mut other = start;
    other.extend(order(&registry, 1, GENESIS_MS + 1, &[])).unwrap();
    let mut unknown = second;
    unknown.header.previous = other.previous();
    let error = ChainError::NotWaiting { id: id(1, 0) };
    assert_eq!(adopt(&mut other, &unknown), Err(error));
}

#[test]
fn stored_chains_are_read_back_or_refused() {
    let registry = registry(1_000_000);
    let mut chain = chain(&registry);
    let mut nonces = BTreeMap::new();
    let random = bundle(Policy::Include, [pay(0, 5), None, None]);
    let bundles = vec![signed(&random, &mut nonces)];
    chain.extend(order(&registry, 1, GENESIS_MS + 1, &bundles)).unwrap();
    let summary = Summary::decode(&chain.summary().encode()).unwrap();
    let waiting: Vec<_> = chain.waiting().waiting().cloned().collect();
    let states: BTreeMap<u64, MemoryState> =
        INTERVALS_MS.map(|(id, _)| (id, chain.states().state(id).unwrap().clone())).into();
    let restore = |waiting: Vec<Waiting>, states: &BTreeMap<u64, MemoryState>| {
        ReleaseChain::restore(summary.clone(), waiting, states.clone(), &[])
    };
    assert_eq!(restore(waiting.clone(), &states), Ok(chain));
    let none = RestoreError::Waiting { actual: 0, expected: 1 };
    assert_eq!(restore(Vec::new(), &states), Err(none));
    let mut fewer = states.clone();
    fewer.remove(&902);
    assert_eq!(restore(waiting, &fewer), Err(RestoreError::States));
}
