use std::collections::BTreeMap;

use alloy_primitives::U256;
use fairveil_examples::accounts::{ALICE, OPERATOR};
use fairveil_examples::burn_and_mint::{
    CHAINS, COIN, FLOAT, FOLDER, MOVED, SUPPLY, TOO_MANY, WHOLE_COIN,
};
use fairveil_examples::contract::{Contract, word};
use fairveil_execution::bundle::Policy;
use fairveil_execution::genesis::parse_genesis;

use crate::joint::{World, bundle, read, reverted, summary};

const BOTH: [Policy; 2] = [Policy::Include, Policy::Execute];

fn failing() -> String {
    format!("{FOLDER}/failing")
}

fn supplies(world: &World) -> [u64; 2] {
    CHAINS.map(|chain_id| world.number(chain_id, COIN, U256::ZERO))
}

#[test]
fn coins_move_and_none_is_made_or_lost() {
    let (before, token) = (World::of(FOLDER, &CHAINS), Contract::token().unwrap());
    let operator = token.entry("balanceOf", OPERATOR.address).unwrap();
    let alice = token.entry("balanceOf", ALICE.address).unwrap();
    for policy in BOTH {
        let after = before.slot(&[bundle(policy, FOLDER, &CHAINS)]);
        let receipts = after.receipts(0);
        assert_eq!(summary(&receipts), [(901, vec![(1, None)]), (902, vec![(1, None)])]);
        let changed = BTreeMap::from([
            ((901, COIN, U256::ZERO), U256::from(4_600 * WHOLE_COIN)),
            ((901, COIN, operator), U256::from(600 * WHOLE_COIN)),
            ((902, COIN, U256::ZERO), U256::from(2_400 * WHOLE_COIN)),
            ((902, COIN, alice), U256::from(400 * WHOLE_COIN)),
        ]);
        assert_eq!(after.storage(), changed);
        assert_eq!(supplies(&after.world), [SUPPLY[0] - MOVED, SUPPLY[1] + MOVED]);
        after.assert_paid_for_gas(0, OPERATOR.address);
    }
}

#[test]
fn under_execute_a_burn_that_fails_takes_the_mint_with_it() {
    let before = World::of(FOLDER, &CHAINS);
    let after = before.slot(&[bundle(Policy::Execute, &failing(), &CHAINS)]);
    let units = [FLOAT, TOO_MANY].map(U256::from);
    let why = reverted("InsufficientBalance(uint256,uint256)", &units);
    after.assert_nothing_but(0, 0, why, &before);
}

#[test]
fn under_include_the_mint_happens_without_its_burn() {
    let (before, token) = (World::of(FOLDER, &CHAINS), Contract::token().unwrap());
    let alice = token.entry("balanceOf", ALICE.address).unwrap();
    let after = before.slot(&[bundle(Policy::Include, &failing(), &CHAINS)]);
    let receipts = after.receipts(0);
    let why = reverted("InsufficientBalance(uint256,uint256)", &[FLOAT, TOO_MANY].map(U256::from));
    assert_eq!(summary(&receipts), [(901, vec![(0, Some(&why))]), (902, vec![(1, None)])]);
    let changed = BTreeMap::from([
        ((902, COIN, U256::ZERO), U256::from(3_200 * WHOLE_COIN)),
        ((902, COIN, alice), U256::from(1_200 * WHOLE_COIN)),
    ]);
    assert_eq!(after.storage(), changed);
    // Coins that nothing stands behind.
    let total: u64 = supplies(&after.world).iter().sum();
    assert_eq!(total, SUPPLY[0] + SUPPLY[1] + TOO_MANY);
    after.assert_paid_for_gas(0, OPERATOR.address);
}

#[test]
fn nobody_but_the_operator_mints() {
    // The same legs where somebody else has the role: neither happens.
    let committed = read(&format!("{FOLDER}/902.json"));
    let role = format!("{:#x}", word(OPERATOR.address));
    assert!(committed.contains(&role));
    let without = parse_genesis(committed.replace(&role, "0x1").as_bytes()).unwrap();
    let before = World::of(FOLDER, &CHAINS).with(902, without);
    let after = before.slot(&[bundle(Policy::Execute, FOLDER, &CHAINS)]);
    let why = reverted("NotMinter(address)", &[word(OPERATOR.address)]);
    after.assert_nothing_but(1, 0, why, &before);
}

#[test]
fn a_dropped_bundle_costs_nothing_and_its_nonces_are_good_for_the_next() {
    let before = World::of(FOLDER, &CHAINS);
    let bundles = [&failing(), FOLDER].map(|folder| bundle(Policy::Execute, folder, &CHAINS));
    let after = before.slot(&bundles);
    assert_eq!(supplies(&after.world), [SUPPLY[0] - MOVED, SUPPLY[1] + MOVED]);
    after.assert_paid_for_gas(1, OPERATOR.address);
}
