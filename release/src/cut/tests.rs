#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::BlockDigest;
use fairveil_mempool::Policy;
use proptest::prelude::*;

use super::*;
use crate::carry_over::{MAX_WAITING, MAX_WAITING_BYTES};
use crate::chain::{Judged, JudgedOrder, ReleaseChain, Released};
use crate::states::RollupStates;

fn id(height: u64, index: usize) -> BundleId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&height.to_be_bytes());
    bytes[8..16].copy_from_slice(&(index as u64).to_be_bytes());
    BundleId::from_bytes(bytes)
}

fn leg(chain_id: u64, gas: u64, bytes: usize) -> ValidLeg {
    let transactions = vec![vec![chain_id as u8; bytes].into()];
    ValidLeg { chain_id, gas, transactions, senders: Vec::new() }
}

fn valid(legs: Vec<ValidLeg>) -> Judged {
    Judged::Valid(ValidBundle::unchecked(Policy::Include, legs))
}

fn registry(gas_limit: u64, byte_limit: u64) -> Registry {
    let rollup =
        |chain_id| Rollup { gas_limit, byte_limit, ..Rollup::recorder(chain_id, "rollup") };
    Registry::new(vec![rollup(901), rollup(902), rollup(903)]).unwrap()
}

fn run(registry: &Registry, heights: Vec<Vec<Judged>>) -> Vec<Released> {
    let mut chain = chain(registry);
    heights.into_iter().zip(1u64..).map(|(ids, height)| extend(&mut chain, height, ids)).collect()
}

fn chain(registry: &Registry) -> ReleaseChain {
    let network_id = NetworkId::from_bytes([9; 32]);
    ReleaseChain::new(network_id, registry.clone(), RollupStates::default()).unwrap()
}

fn extend(chain: &mut ReleaseChain, height: u64, judged: Vec<Judged>) -> Released {
    let ids = judged.into_iter().enumerate();
    let ids = ids.map(|(index, judged)| (id(height, index), judged)).collect();
    let block = BlockDigest::from_bytes([1; 32]);
    let order = JudgedOrder { height: Height::new(height), block, time_ms: 1_000 * height, ids };
    let released = chain.extend(order).unwrap();
    released.release.check(chain.registry()).unwrap();
    released
}

fn codes(released: &Released) -> Vec<&'static str> {
    released.release.leaves.iter().map(|leaf| leaf.outcome.code()).collect()
}

fn ranges(batch: &Batch) -> Vec<BundleRange> {
    batch.bundles().map(|(_, range)| *range).collect()
}

#[test]
fn failed_and_expired_ids_are_no_ops_at_their_place() {
    let one = || valid(vec![leg(901, 1, 1), leg(902, 1, 1)]);
    let cuts = run(
        &registry(100, 100),
        vec![vec![one(), Judged::Failed(Failed::Aead), one(), Judged::Expired, one()]],
    );
    assert_eq!(codes(&cuts[0]), ["released", "aead", "released", "expired", "released"]);
    let batches = &cuts[0].release.batches;
    let places: Vec<_> =
        ranges(&batches[0]).iter().map(|range| (range.position.index, range.first)).collect();
    assert_eq!(places, [(0, 0), (2, 1), (4, 2)]);
    assert_eq!(batches.len(), 3);
    assert!(batches[2].is_empty());
    let block = BlockTime { number: 1, time_ms: 1_000 };
    assert_eq!((batches[1].blocks.len(), batches[1].blocks[0].time()), (1, block));
}

#[test]
fn what_exceeds_an_empty_slot_fails_at_once() {
    let cuts = run(
        &registry(10, 10),
        vec![vec![
            valid(vec![leg(901, 10, 10)]),
            valid(vec![leg(901, 11, 1)]),
            valid(vec![leg(902, 1, 1), leg(903, 1, 11)]),
            valid(vec![leg(902, 10, 10)]),
            valid(vec![leg(904, 1, 1)]),
        ]],
    );
    let expected = ["released", "capacity", "capacity", "released", "unknown_rollup"];
    assert_eq!(codes(&cuts[0]), expected);
    let leaf = &cuts[0].release.leaves[2].outcome;
    assert_eq!(*leaf, Outcome::Failed(Failed::Capacity { rollup: 903 }));
}

#[test]
fn a_waiting_bundle_closes_its_rollups_for_all_that_follow() {
    let cuts = run(
        &registry(10, 100),
        vec![
            vec![
                valid(vec![leg(901, 6, 1)]),
                valid(vec![leg(901, 6, 1), leg(902, 1, 1)]),
                valid(vec![leg(901, 1, 1)]),
                valid(vec![leg(902, 1, 1), leg(903, 1, 1)]),
                valid(vec![leg(903, 1, 1)]),
            ],
            vec![valid(vec![leg(903, 1, 1)])],
        ],
    );
    // 1 does not fit 901, so 2 and 3 wait behind it, and 4 behind 3.
    assert_eq!(codes(&cuts[0]), ["released", "carried", "carried", "carried", "carried"]);
    assert_eq!(codes(&cuts[1]), ["released", "released", "released", "released", "released"]);
    let order = |batch: &Batch| {
        let positions = ranges(batch).into_iter().map(|range| range.position);
        positions.map(|position| (position.height.get(), position.index)).collect::<Vec<_>>()
    };
    assert_eq!(order(&cuts[1].release.batches[0]), [(1, 1), (1, 2)]);
    assert_eq!(order(&cuts[1].release.batches[1]), [(1, 1), (1, 3)]);
    assert_eq!(order(&cuts[1].release.batches[2]), [(1, 3), (1, 4), (2, 0)]);
}

#[test]
fn a_rollup_that_is_paused_or_leaves_fails_what_waits_for_it() {
    let open = registry(10, 10);
    let mut waiting = CarryOver::default();
    let position = Position { height: Height::new(1), index: 1 };
    let bundle = ValidBundle::unchecked(Policy::Include, vec![leg(901, 6, 1)]);
    waiting.insert(Waiting { id: id(1, 1), position, bundle });
    let mut rollups = open.rollups().to_vec();
    rollups[0].paused = true;
    let paused = Registry::new(rollups.clone()).unwrap();
    let left = Registry::new(rollups.split_off(1)).unwrap();
    for (registry, code) in [(paused, "rollup_paused"), (left, "unknown_rollup")] {
        let network_id = NetworkId::from_bytes([9; 32]);
        let slot = Slot { network_id, height: Height::new(2), number: SlotNumber::new(2) };
        let block = |_: &Rollup| vec![BlockTime { number: 2, time_ms: 2 }];
        let mut waits = waiting.clone();
        let served = Served { registry: &registry, joined: &BTreeMap::new(), views: &[] };
        let cut = cut(served, slot, block, None, &waits).unwrap();
        cut.leaves.iter().for_each(|leaf| drop(waits.remove(&leaf.position)));
        assert_eq!(cut.leaves[0].outcome.code(), code);
        assert!(waits.is_empty());
    }
}

#[test]
fn the_room_to_wait_is_bounded_and_nobody_who_waits_fails_for_it() {
    let small = registry(1, 1 << 30);
    let many = (0..MAX_WAITING + 2).map(|_| valid(vec![leg(901, 1, 1)])).collect();
    let mut chain = chain(&small);
    let first = codes(&extend(&mut chain, 1, many));
    assert_eq!(first[0], "released");
    assert!(first[1..MAX_WAITING].iter().all(|code| *code == "carried"));
    assert_eq!(first[MAX_WAITING..], ["capacity", "capacity"]);
    for height in 2..4 {
        assert_eq!(codes(&extend(&mut chain, height, Vec::new())), ["released"]);
    }
    assert_eq!(chain.waiting().len(), MAX_WAITING - 3);
    let quarter = (MAX_WAITING_BYTES / 4) as usize;
    let large = vec![valid(vec![leg(901, 1, quarter)]); 5];
    let expected = ["released", "carried", "carried", "carried", "capacity"];
    assert_eq!(codes(&run(&small, vec![large])[0]), expected);
}

fn any_judged() -> impl Strategy<Value = Judged> {
    let leg = (1u64..12, 1usize..12);
    let legs = proptest::collection::vec(proptest::option::weighted(0.45, leg), 3);
    let bundle = legs.prop_map(|legs| {
        let legs = legs.into_iter().zip(901..).filter_map(|(leg, chain)| Some((leg?, chain)));
        let legs: Vec<_> = legs.map(|((gas, bytes), chain)| self::leg(chain, gas, bytes)).collect();
        if legs.is_empty() { Judged::Expired } else { valid(legs) }
    });
    prop_oneof![8 => bundle, 1 => Just(Judged::Failed(Failed::Padding))]
}

/// What is released where, found by looking at every earlier bundle again and again.
fn naive(registry: &Registry, heights: &[Vec<Judged>]) -> BTreeMap<BundleId, Option<u64>> {
    let mut released: BTreeMap<BundleId, Option<u64>> = BTreeMap::new();
    let mut waiting: Vec<(BundleId, ValidBundle)> = Vec::new();
    for (judged, height) in heights.iter().zip(1u64..) {
        for (index, judged) in judged.iter().enumerate() {
            let fits = |leg: &ValidLeg| {
                let rollup = registry.rollup(leg.chain_id).unwrap();
                leg.gas <= rollup.gas_limit && leg.length_bytes() <= rollup.byte_limit
            };
            match judged {
                Judged::Valid(bundle) if bundle.legs().iter().all(fits) => {
                    waiting.push((id(height, index), bundle.clone()));
                }
                _ => drop(released.insert(id(height, index), None)),
            }
        }
        let mut placed: Vec<usize> = Vec::new();
        for at in 0..waiting.len() {
            let shares = |a: &ValidBundle, b: &ValidBundle| {
                a.legs().iter().any(|leg| b.legs().iter().any(|o| o.chain_id == leg.chain_id))
            };
            let behind = (0..at).any(|before| {
                !placed.contains(&before) && shares(&waiting[before].1, &waiting[at].1)
            });
            let room = waiting[at].1.legs().iter().all(|leg| {
                let rollup = registry.rollup(leg.chain_id).unwrap();
                let on_rollup =
                    placed.iter().chain([&at]).flat_map(|other| waiting[*other].1.legs());
                let on_rollup: Vec<_> =
                    on_rollup.filter(|other| other.chain_id == leg.chain_id).collect();
                on_rollup.iter().map(|leg| leg.gas).sum::<u64>() <= rollup.gas_limit
                    && on_rollup.iter().map(|leg| leg.length_bytes()).sum::<u64>()
                        <= rollup.byte_limit
            });
            if room && !behind {
                placed.push(at);
                released.insert(waiting[at].0, Some(height));
            }
        }
        let mut at = 0..;
        waiting.retain(|_| !placed.contains(&at.next().unwrap()));
    }
    released
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn atomic_ordered_bounded_and_live_invariants_1_to_4(
        heights in proptest::collection::vec(proptest::collection::vec(any_judged(), 0..12), 1..6),
        gas_limit in 8u64..30,
        byte_limit in 8u64..30,
    ) {
        let registry = registry(gas_limit, byte_limit);
        let mut heights = heights;
        let bundles: usize = heights.iter().map(Vec::len).sum();
        heights.resize(heights.len() + bundles, Vec::new());
        let cuts = run(&registry, heights.clone());
        let mut slots: BTreeMap<BundleId, (u64, BTreeSet<u64>)> = BTreeMap::new();
        let mut ended = BTreeSet::new();
        let mut last: BTreeMap<u64, Position> = BTreeMap::new();
        for (cut, height) in cuts.iter().zip(1u64..) {
            let mut waits = BTreeSet::new();
            for leaf in &cut.release.leaves {
                if matches!(leaf.outcome, Outcome::Carried { .. }) {
                    prop_assert_eq!(leaf.position.height.get(), height);
                    prop_assert!(waits.insert(leaf.id));
                } else {
                    prop_assert!(ended.insert(leaf.id), "two outcomes");
                }
            }
            let waiting: BTreeSet<_> = cut.release.waiting.iter().map(|one| one.id).collect();
            prop_assert_eq!(waiting, waits);
            for (batch, rollup) in cut.release.batches.iter().zip(registry.rollups()) {
                let mut used = 0;
                let mut gas = 0;
                for (block, range) in batch.bundles() {
                    prop_assert_eq!(range.first, used);
                    used += range.count;
                    let before = last.insert(batch.chain_id, range.position);
                    prop_assert!(before.is_none_or(|before| before < range.position));
                    let (slot, chains) =
                        slots.entry(range.id).or_insert_with(|| (height, BTreeSet::new()));
                    prop_assert_eq!(*slot, height);
                    prop_assert!(chains.insert(batch.chain_id));
                    let Judged::Valid(bundle) = &heights[range.position.height.get() as usize - 1]
                        [range.position.index as usize] else {
                        panic!("a failed bundle in a batch");
                    };
                    let leg = bundle.legs().iter().find(|leg| leg.chain_id == batch.chain_id);
                    prop_assert_eq!(block.leg(range), leg.map(|leg| leg.transactions()));
                    gas += leg.unwrap().gas;
                }
                prop_assert_eq!(used as usize, batch.transactions().count());
                prop_assert!(batch.blocks.len() <= 1);
                let bytes: u64 = batch.transactions().map(RawTransaction::length_bytes).sum();
                prop_assert!(gas <= rollup.gas_limit && bytes <= rollup.byte_limit);
            }
        }
        prop_assert_eq!(ended.len(), bundles, "none lost");
        for (height, judged) in (1u64..).zip(&heights) {
            for (index, judged) in judged.iter().enumerate() {
                let released = slots.get(&id(height, index));
                if let (Judged::Valid(bundle), Some((_, chains))) = (judged, released) {
                    let named: BTreeSet<_> = bundle.legs().iter().map(|leg| leg.chain_id).collect();
                    prop_assert_eq!(chains, &named, "all legs or none");
                }
            }
        }
        for (id, expected) in naive(&registry, &heights) {
            prop_assert_eq!(slots.get(&id).map(|(height, _)| *height), expected);
        }
    }
}
