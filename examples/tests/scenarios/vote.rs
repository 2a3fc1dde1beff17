use std::collections::BTreeMap;

use alloy_primitives::U256;
use fairveil_examples::accounts::{ALICE, BOB};
use fairveil_examples::contract::{Contract, word};
use fairveil_examples::scenario::ROLLUPS;
use fairveil_examples::vote::{ALICE_WEIGHT, BALLOT, BOB_WEIGHT, FOLDER};
use fairveil_execution::bundle::Policy;

use crate::joint::{World, bundle, reverted, summary};

fn failing() -> String {
    format!("{FOLDER}/failing")
}

fn bob() -> String {
    format!("{FOLDER}/bob")
}

/// Weight in favour and against, on each rollup.
fn tallies(world: &World) -> [[u64; 2]; 3] {
    let slots = ["yes", "no"].map(|name| Contract::ballot().unwrap().slot(name).unwrap());
    ROLLUPS.map(|chain_id| slots.map(|slot| world.number(chain_id, BALLOT, slot)))
}

#[test]
fn both_votes_count_on_all_three_rollups_in_either_order() {
    let (before, ballot) = (World::of(FOLDER, &ROLLUPS), Contract::ballot().unwrap());
    let voted = [ALICE, BOB].map(|member| ballot.entry("hasVoted", member.address).unwrap());
    assert_eq!(tallies(&before), [[0, 0]; 3]);
    for policy in [Policy::Include, Policy::Execute] {
        let alice = bundle(policy, FOLDER, &ROLLUPS);
        let bob = bundle(policy, &bob(), &ROLLUPS);
        let after = before.slot(&[alice.clone(), bob.clone()]);
        for one in 0..2 {
            let receipts = after.receipts(one);
            assert_eq!(summary(&receipts), ROLLUPS.map(|chain_id| (chain_id, vec![(1, None)])));
        }
        assert_eq!(tallies(&after.world), [[40, 15], [25, 30], [10, 12]]);
        let mut changed = BTreeMap::new();
        for (at, chain_id) in ROLLUPS.into_iter().enumerate() {
            changed.insert((chain_id, BALLOT, U256::ZERO), U256::from(ALICE_WEIGHT[at]));
            changed.insert((chain_id, BALLOT, U256::ONE), U256::from(BOB_WEIGHT[at]));
            changed.extend(voted.map(|slot| ((chain_id, BALLOT, slot), U256::ONE)));
        }
        assert_eq!(after.storage(), changed);
        after.assert_paid_for_gas(0, ALICE.address);
        after.assert_paid_for_gas(1, BOB.address);
        assert_eq!(before.slot(&[bob, alice]).storage(), changed);
    }
}

#[test]
fn under_execute_a_second_vote_on_one_rollup_takes_all_votes_of_the_bundle_with_it() {
    let before = World::of(FOLDER, &ROLLUPS);
    let after = before.slot(&[bundle(Policy::Execute, &failing(), &ROLLUPS)]);
    let why = reverted("AlreadyVoted(address)", &[word(ALICE.address)]);
    after.assert_nothing_but(2, 1, why, &before);
}

#[test]
fn a_member_whose_bundle_was_dropped_votes_once_after_all() {
    let before = World::of(FOLDER, &ROLLUPS);
    let bundles = [&failing(), FOLDER].map(|folder| bundle(Policy::Execute, folder, &ROLLUPS));
    let after = before.slot(&bundles);
    assert_eq!(tallies(&after.world), ALICE_WEIGHT.map(|weight| [weight, 0]));
    after.assert_paid_for_gas(1, ALICE.address);
}

#[test]
fn under_include_the_ballot_alone_stops_the_second_vote() {
    let before = World::of(FOLDER, &ROLLUPS);
    let after = before.slot(&[bundle(Policy::Include, &failing(), &ROLLUPS)]);
    let receipts = after.receipts(0);
    let why = reverted("AlreadyVoted(address)", &[word(ALICE.address)]);
    let expected =
        [(901, vec![(1, None)]), (902, vec![(1, None)]), (903, vec![(1, None), (0, Some(&why))])];
    assert_eq!(summary(&receipts), expected);
    assert_eq!(tallies(&after.world), ALICE_WEIGHT.map(|weight| [weight, 0]));
    after.assert_paid_for_gas(0, ALICE.address);
}
