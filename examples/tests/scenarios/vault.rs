use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use fairveil_examples::accounts::CURATOR;
use fairveil_examples::contract::Contract;
use fairveil_examples::genesis::ETHER;
use fairveil_examples::scenario::ROLLUPS;
use fairveil_examples::vault::{
    ALLOCATION, CAP, DEPOSITS, FOLDER, IDLE, STRATEGY, TOO_LARGE, VAULT,
};
use fairveil_execution::bundle::Policy;
use fairveil_execution::outcome::Fault;

use crate::joint::{Place, World, bundle, reverted, summary};

fn failing() -> String {
    format!("{FOLDER}/failing")
}

/// What an allocation on one rollup changes of its storage.
fn allocated(at: usize, amount: u64) -> [(Place, U256); 3] {
    let (vault, strategy) = (Contract::vault().unwrap(), Contract::strategy().unwrap());
    let chain_id = ROLLUPS[at];
    [
        ((chain_id, VAULT, vault.slot("allocated").unwrap()), U256::from(amount)),
        (
            (chain_id, STRATEGY, strategy.slot("deposits").unwrap()),
            U256::from(DEPOSITS[at] + amount),
        ),
        ((chain_id, STRATEGY, strategy.entry("depositOf", VAULT).unwrap()), U256::from(amount)),
    ]
}

fn ether(world: &World, account: Address) -> [u64; 3] {
    ROLLUPS.map(|chain_id| world.balance(chain_id, account))
}

#[test]
fn the_vault_is_allocated_on_all_three_rollups() {
    let before = World::of(FOLDER, &ROLLUPS);
    assert_eq!((ether(&before, VAULT), ether(&before, STRATEGY)), (IDLE, DEPOSITS));
    for policy in [Policy::Include, Policy::Execute] {
        let after = before.slot(&[bundle(policy, FOLDER, &ROLLUPS)]);
        let receipts = after.receipts(0);
        assert_eq!(summary(&receipts), ROLLUPS.map(|chain_id| (chain_id, vec![(2, None)])));
        let changed = (0..3).flat_map(|at| allocated(at, ALLOCATION[at]));
        assert_eq!(after.storage(), changed.collect::<BTreeMap<_, _>>());
        assert_eq!(ether(&after.world, VAULT), [3 * ETHER, 3 * ETHER, 2 * ETHER]);
        assert_eq!(ether(&after.world, STRATEGY), [15 * ETHER, 8 * ETHER, 6 * ETHER]);
        assert_eq!(ether(&after.world, STRATEGY)[2], CAP[2], "the third is full now");
        after.assert_paid_for_gas(0, CURATOR.address);
    }
}

fn cap_reached() -> Fault {
    let room = CAP[2] - DEPOSITS[2];
    reverted("CapReached(uint256,uint256)", &[room, TOO_LARGE[2]].map(U256::from))
}

#[test]
fn under_execute_one_full_strategy_keeps_all_funds_where_they_are() {
    let before = World::of(FOLDER, &ROLLUPS);
    let after = before.slot(&[bundle(Policy::Execute, &failing(), &ROLLUPS)]);
    after.assert_nothing_but(2, 0, cap_reached(), &before);
}

#[test]
fn under_include_two_of_three_allocations_happen() {
    let before = World::of(FOLDER, &ROLLUPS);
    let after = before.slot(&[bundle(Policy::Include, &failing(), &ROLLUPS)]);
    let receipts = after.receipts(0);
    let why = cap_reached();
    let expected = [(901, vec![(2, None)]), (902, vec![(2, None)]), (903, vec![(0, Some(&why))])];
    assert_eq!(summary(&receipts), expected);
    let changed = (0..2).flat_map(|at| allocated(at, TOO_LARGE[at]));
    assert_eq!(after.storage(), changed.collect::<BTreeMap<_, _>>());
    let idle = [IDLE[0] - TOO_LARGE[0], IDLE[1] - TOO_LARGE[1], IDLE[2]];
    assert_eq!(ether(&after.world, VAULT), idle);
    after.assert_paid_for_gas(0, CURATOR.address);
}

#[test]
fn each_part_of_the_larger_allocation_fits_but_the_last() {
    for at in 0..3 {
        assert!(TOO_LARGE[at] <= IDLE[at], "it is the cap that fails, not the funds");
        assert_eq!(TOO_LARGE[at] <= CAP[at] - DEPOSITS[at], at < 2);
    }
}
