use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use fairveil_examples::accounts::{ALICE, BOB};
use fairveil_examples::arbitrage::{
    CHAINS, DOLLAR_RESERVE, DOLLARS, FOLDER, GOLD, GOLD_RESERVE, GREEDY_PROCEEDS, MAX_COST,
    MIN_PROCEEDS, POOL, PURSE, RIVAL_PROCEEDS, RIVAL_SALE, TRADED, WHOLE,
};
use fairveil_examples::contract::Contract;
use fairveil_execution::bundle::{Bundle, Policy};
use fairveil_execution::outcome::{Dropped, Fault, Outcome};

use crate::joint::{Place, World, bundle, reverted, state, summary};

/// What Alice pays on the first rollup, in units of dollars.
const COST: u64 = 20_262_808_628;
/// What she gets on the second one, if nobody is ordered before her.
const PROCEEDS: u64 = 20_730_318_722;
/// What she gets there after Bob.
const PROCEEDS_AFTER_BOB: u64 = 20_404_656_216;

fn failing(policy: Policy) -> Bundle {
    bundle(policy, &format!("{FOLDER}/failing"), &CHAINS)
}

fn rival(policy: Policy) -> Bundle {
    bundle(policy, &format!("{FOLDER}/rival"), &CHAINS[1..])
}

fn holds(world: &World, chain_id: u64, token: Address, holder: Address) -> u64 {
    let slot = Contract::token().unwrap().entry("balanceOf", holder).unwrap();
    world.number(chain_id, token, slot)
}

/// What Alice has on both rollups together: dollars, then gold.
fn purse(world: &World) -> [u64; 2] {
    [DOLLARS, GOLD].map(|token| {
        CHAINS.map(|chain_id| holds(world, chain_id, token, ALICE.address)).iter().sum()
    })
}

/// What a trade leaves in storage: of gold for dollars if Alice bought, else the other way round.
fn traded(
    chain_id: u64,
    dollars: [u64; 2],
    gold: [u64; 2],
    allowance: Option<u64>,
) -> Vec<(Place, U256)> {
    let (token, pool) = (Contract::token().unwrap(), Contract::pool().unwrap());
    let mut changed = Vec::new();
    for (contract, [reserve, purse], name) in
        [(DOLLARS, dollars, "dollarReserve"), (GOLD, gold, "goldReserve")]
    {
        let holder = |account| token.entry("balanceOf", account).unwrap();
        changed.push(((chain_id, POOL, pool.slot(name).unwrap()), U256::from(reserve)));
        changed.push(((chain_id, contract, holder(POOL)), U256::from(reserve)));
        changed.push(((chain_id, contract, holder(ALICE.address)), U256::from(purse)));
    }
    let slot = token.pair("allowance", ALICE.address, POOL).unwrap();
    changed.extend(allowance.map(|units| ((chain_id, DOLLARS, slot), U256::from(units))));
    changed
}

fn purchase() -> Vec<(Place, U256)> {
    let dollars = [DOLLAR_RESERVE[0] + COST, PURSE[0] - COST];
    let gold = [GOLD_RESERVE - TRADED, PURSE[1] + TRADED];
    traded(CHAINS[0], dollars, gold, Some(MAX_COST - COST))
}

#[test]
fn gold_is_bought_and_sold_with_a_profit_to_the_unit() {
    let before = World::of(FOLDER, &CHAINS);
    for policy in [Policy::Include, Policy::Execute] {
        let after = before.slot(&[bundle(policy, FOLDER, &CHAINS)]);
        let receipts = after.receipts(0);
        // One log of what is allowed, three of the trade.
        let leg = || vec![(1, None), (3, None)];
        assert_eq!(summary(&receipts), [(901, leg()), (902, leg())]);
        let dollars = [DOLLAR_RESERVE[1] - PROCEEDS, PURSE[0] + PROCEEDS];
        let gold = [GOLD_RESERVE + TRADED, PURSE[1] - TRADED];
        let mut changed: BTreeMap<_, _> = purchase().into_iter().collect();
        changed.extend(traded(CHAINS[1], dollars, gold, None));
        assert_eq!(after.storage(), changed);
        let ([dollars, gold], [dollars_after, gold_after]) = (purse(&before), purse(&after.world));
        assert_eq!(gold_after, gold);
        assert_eq!(dollars_after - dollars, PROCEEDS - COST);
        assert_eq!(dollars_after - dollars, 467_510_094);
        assert!(dollars_after - dollars >= MIN_PROCEEDS - MAX_COST);
        after.assert_paid_for_gas(0, ALICE.address);
    }
}

#[test]
fn no_pool_loses_by_a_trade() {
    let before = World::of(FOLDER, &CHAINS);
    let after = before.slot(&[bundle(Policy::Execute, FOLDER, &CHAINS)]);
    for chain_id in CHAINS {
        let product = |world: &World| {
            let [dollars, gold] = [2, 3].map(|slot| world.value(chain_id, POOL, U256::from(slot)));
            dollars * gold
        };
        assert!(product(&after.world) > product(&before));
    }
}

fn too_cheap() -> Fault {
    let prices = [PROCEEDS_AFTER_BOB, GREEDY_PROCEEDS].map(U256::from);
    reverted("TooCheap(uint256,uint256)", &prices)
}

#[test]
fn alone_the_greedy_bundle_would_be_kept() {
    let before = World::of(FOLDER, &CHAINS);
    let after = before.slot(&[failing(Policy::Execute)]);
    assert_eq!(purse(&after.world)[0] - purse(&before)[0], PROCEEDS - COST);
}

#[test]
fn under_execute_a_swap_ordered_before_drops_the_purchase_too() {
    let before = World::of(FOLDER, &CHAINS);
    let after = before.slot(&[rival(Policy::Execute), failing(Policy::Execute)]);
    // The second leg's second transaction: the sale.
    let dropped = Dropped::Failed { leg: 1, tx: 1, why: too_cheap() };
    assert_eq!(after.outcomes[1], Outcome::Dropped(dropped));
    // Everything is as if Bob had been alone.
    let alone = before.slot(&[rival(Policy::Execute)]);
    assert_eq!(after.storage(), alone.storage());
    for chain_id in CHAINS {
        assert_eq!(after.world.state(chain_id), alone.world.state(chain_id));
        assert_eq!(after.world.nonce(chain_id, ALICE.address), 0);
    }
    assert_eq!(after.world.state(901), before.state(901));
    assert_eq!(purse(&after.world), purse(&before));
    after.assert_paid_for_gas(0, BOB.address);
}

#[test]
fn under_include_the_purchase_stays_without_its_sale() {
    let before = World::of(FOLDER, &CHAINS);
    let after = before.slot(&[rival(Policy::Include), failing(Policy::Include)]);
    let receipts = after.receipts(1);
    let why = too_cheap();
    let expected = [(901, vec![(1, None), (3, None)]), (902, vec![(1, None), (0, Some(&why))])];
    assert_eq!(summary(&receipts), expected);
    let ([dollars, gold], [dollars_after, gold_after]) = (purse(&before), purse(&after.world));
    assert_eq!((dollars - dollars_after, gold_after - gold), (COST, TRADED));
    let mut changed = before.slot(&[rival(Policy::Include)]).storage();
    changed.extend(purchase());
    let allowance = Contract::token().unwrap().pair("allowance", ALICE.address, POOL).unwrap();
    changed.insert((902, GOLD, allowance), U256::from(TRADED));
    assert_eq!(after.storage(), changed);
    after.assert_paid_for_gas(1, ALICE.address);
}

#[test]
fn she_seals_again_with_the_same_nonces_and_takes_what_is_left() {
    let before = World::of(FOLDER, &CHAINS);
    let legs = [
        rival(Policy::Execute),
        failing(Policy::Execute),
        bundle(Policy::Execute, FOLDER, &CHAINS),
    ];
    let after = before.slot(&legs);
    assert!(matches!(after.outcomes[1], Outcome::Dropped(_)));
    let profit = purse(&after.world)[0] - purse(&before)[0];
    assert_eq!(profit, PROCEEDS_AFTER_BOB - COST);
    assert_eq!(profit, 141_847_588);
    after.assert_paid_for_gas(2, ALICE.address);
}

#[test]
fn the_state_after_the_rival_is_the_committed_one() {
    let before = World::of(FOLDER, &CHAINS).without_base_fee();
    let after = before.slot(&[rival(Policy::Execute)]);
    let committed = state(&format!("{FOLDER}/rival/902.json"));
    assert_eq!(after.world.state(902).to_changes(), committed.to_changes());
    let bobs = |world: &World, token| holds(world, 902, token, BOB.address);
    assert_eq!(bobs(&after.world, DOLLARS), PURSE[0] + RIVAL_PROCEEDS);
    assert_eq!(bobs(&after.world, GOLD), PURSE[1] - RIVAL_SALE);
    assert_eq!(RIVAL_SALE, 8 * WHOLE);
    // So a dry run over it says what the slot said.
    let pinned = before.with(902, committed);
    let outcome = pinned.slot(&[failing(Policy::Execute)]);
    outcome.assert_nothing_but(1, 1, too_cheap(), &pinned);
}
