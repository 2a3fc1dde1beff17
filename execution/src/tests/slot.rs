use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;

use super::world::*;
use crate::bundle::{Bundle, BundleError, Leg, Policy};
use crate::outcome::{Dropped, Fault, Invalid, Outcome};
use crate::simulator::{BUNDLE_GAS, Limits, Rollup, Simulator, SimulatorError, Unavailable};
use crate::state::{Account, MemoryState, StateError, StateView};

use Policy::{Execute, Include};

#[test]
fn invariant_1_a_failing_leg_leaves_every_rollup_as_it_was() {
    let first = || leg(ONE, vec![(1, store(ONE, 0, 1, 9)), (1, call(ONE, 1, COUNTS))]);
    let reverted = Fault::Reverted { data: hex("deadbeef"), length_bytes: 4 };
    let second = leg(TWO, vec![(1, transfer(TWO, 0, REVERTS, 0)), (1, call(TWO, 1, REVERTS))]);
    let second = Leg { transactions: second.transactions[1..].to_vec(), ..second };
    // Its nonce is 1 while the account is at 0.
    let why = Invalid::NonceTooHigh { actual: 1, expected: 0 };
    assert_eq!(dropped(&bundle(Include, vec![first(), second])), invalid(1, 0, why));
    let second = leg(TWO, vec![(1, store(TWO, 0, 3, 3)), (1, call(TWO, 1, REVERTS))]);
    assert_eq!(dropped(&bundle(Execute, vec![first(), second])), failed(1, 1, reverted));
}

#[test]
fn invariant_2_a_bundle_sees_what_was_kept_before_it() {
    let mut world = World::new(2);
    let on = |chain, nonce| leg(chain, vec![(1, call(chain, nonce, COUNTS))]);
    let reverting = leg(TWO, vec![(1, call(TWO, 1, REVERTS))]);
    let outcomes = world.slot(&[
        bundle(Execute, vec![on(ONE, 0), on(TWO, 0)]),
        bundle(Execute, vec![on(ONE, 1), reverting]),
        bundle(Execute, vec![on(ONE, 1)]),
        bundle(Execute, vec![on(ONE, 2), on(TWO, 1)]),
    ]);
    let kept: Vec<bool> = outcomes.iter().map(|o| matches!(o, Outcome::Kept { .. })).collect();
    assert_eq!(kept, [true, false, true, true]);
    assert_eq!(world.storage(ONE, COUNTS, 0), U256::from(3));
    assert_eq!(world.storage(TWO, COUNTS, 0), U256::from(2));
}

#[test]
fn invariant_4_a_slot_goes_on_from_a_snapshot() {
    let world = World::new(2);
    let on = |chain, nonce| leg(chain, vec![(1, call(chain, nonce, COUNTS))]);
    let bundles = [0, 1, 2].map(|nonce| bundle(Execute, vec![on(ONE, nonce), on(TWO, nonce)]));
    let mut whole = world.simulator();
    whole.simulate(&bundles[0]);
    let snapshot = whole.snapshot();
    whole.simulate(&bundles[1]);
    let after_two = whole.snapshot();
    let outcome = whole.simulate(&bundles[2]);

    let mut resumed = world.simulator();
    resumed.restore(snapshot.clone());
    resumed.simulate(&bundles[1]);
    assert_eq!(resumed.snapshot(), after_two);
    assert_eq!(resumed.simulate(&bundles[2]), outcome);
    assert_eq!(resumed.finish(), whole.finish());

    let mut back = world.simulator();
    bundles.iter().for_each(|bundle| drop(back.simulate(bundle)));
    back.restore(snapshot);
    let once = world.simulator();
    let mut once = once;
    once.simulate(&bundles[0]);
    assert_eq!(back.finish(), once.finish());
}

#[test]
fn invariant_4_no_state_is_written_to_and_the_gas_is_summed() {
    let world = World::new(1);
    let before = world.states.clone();
    let mut simulator = world.simulator();
    simulator.simulate(&single(Execute, vec![transfer(ONE, 0, address(2), 1)]));
    simulator.simulate(&single(Execute, vec![transfer(ONE, 1, address(2), 1)]));
    let finished = simulator.finish().unwrap();
    assert_eq!(world.states, before);
    assert_eq!(finished[0].gas_used, 42_000);
    assert!(!finished[0].changes.is_empty());
}

#[test]
fn invariant_5_a_bundle_over_the_gas_limit_is_dropped_before_it_runs() {
    let mut world = World::new(1);
    world.limits = Limits { bundle_gas: 42_000 };
    let pair = |gas_limit| {
        let first = transfer(ONE, 0, address(2), 1);
        vec![first.clone(), TxEip1559 { nonce: 1, gas_limit, ..first }]
    };
    let outcomes = world.slot(&[single(Include, pair(21_001)), single(Include, pair(21_000))]);
    assert_eq!(outcomes[0], Outcome::Dropped(Dropped::Gas { actual: 42_001, limit: 42_000 }));
    assert!(matches!(outcomes[1], Outcome::Kept { .. }));
    assert_eq!(Limits::default().bundle_gas, BUNDLE_GAS);
}

/// A view that stops answering about one account.
struct Flaky {
    state: MemoryState,
    fails: AtomicBool,
}

impl StateView for Flaky {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match self.fails.load(Ordering::Relaxed) && address == COUNTS {
            true => Err(StateError::Unreachable),
            false => self.state.account(address),
        }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.state.storage(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        self.state.code(hash)
    }

    fn block_hash(&self, _number: u64) -> Result<B256, StateError> {
        Err(StateError::Stale)
    }
}

fn flaky() -> (Arc<Flaky>, Simulator) {
    let flaky = Arc::new(Flaky { state: genesis(), fails: AtomicBool::new(false) });
    let digest = genesis().digest();
    let views: [(u64, Option<Arc<dyn StateView>>); 3] =
        [(ONE, Some(Arc::new(genesis()))), (TWO, Some(flaky.clone())), (903, None)];
    let rollups = views.map(|(chain_id, view)| Rollup { chain_id, view, digest, block: block() });
    (flaky, Simulator::new(rollups.into(), Limits::default()).unwrap())
}

#[test]
fn invariant_6_a_view_that_failed_is_unavailable_for_the_rest_of_the_slot() {
    let (view, mut simulator) = flaky();
    let on = |chain, nonce, to| leg(chain, vec![(1, call(chain, nonce, to))]);
    let both = |nonce, to| bundle(Execute, vec![on(ONE, nonce, COUNTS), on(TWO, nonce, to)]);
    let unavailable = Outcome::Unavailable { chain_id: TWO };
    assert!(matches!(simulator.simulate(&both(0, STORES)), Outcome::Kept { .. }));
    view.fails.store(true, Ordering::Relaxed);
    assert_eq!(simulator.simulate(&both(1, COUNTS)), unavailable);
    view.fails.store(false, Ordering::Relaxed);
    assert_eq!(simulator.simulate(&both(1, STORES)), unavailable);
    // The other rollup goes on, without what was not kept.
    let alone = bundle(Execute, vec![on(ONE, 1, COUNTS)]);
    assert!(matches!(simulator.simulate(&alone), Outcome::Kept { .. }));
    assert_eq!(simulator.finish().unwrap().len(), 3);
}

#[test]
fn a_rollup_without_a_view_is_unavailable() {
    let (view, mut simulator) = flaky();
    for chain_id in [903, 904] {
        let legs = vec![
            leg(ONE, vec![(1, call(ONE, 0, COUNTS))]),
            leg(chain_id, vec![(1, call(chain_id, 0, COUNTS))]),
        ];
        let outcome = simulator.simulate(&bundle(Include, legs));
        assert_eq!(outcome, Outcome::Unavailable { chain_id });
    }
    // What is not in memory any more has to be read again to know what changed.
    let on_two = bundle(Include, vec![leg(TWO, vec![(1, call(TWO, 0, COUNTS))])]);
    assert!(matches!(simulator.simulate(&on_two), Outcome::Kept { .. }));
    let snapshot = simulator.snapshot();
    let rollup = |view: Arc<dyn StateView>| Rollup {
        chain_id: TWO,
        view: Some(view),
        digest: genesis().digest(),
        block: block(),
    };
    view.fails.store(true, Ordering::Relaxed);
    let mut resumed = Simulator::new(vec![rollup(view)], Limits::default()).unwrap();
    resumed.restore(snapshot);
    assert_eq!(resumed.finish(), Err(Unavailable { chain_id: TWO }));
    let twice = vec![rollup(Arc::new(genesis())), rollup(Arc::new(genesis()))];
    let error = Simulator::new(twice, Limits::default()).err();
    assert_eq!(error, Some(SimulatorError::ChainTwice { chain_id: TWO }));
}

#[test]
fn legs_make_a_bundle_only_if_invariant_1_holds() {
    let on = |chain| leg(chain, vec![(1, call(chain, 0, COUNTS))]);
    let error = |legs| Bundle::new(Include, legs).expect_err("refused");
    assert_eq!(error(vec![]), BundleError::Legs { actual: 0, limit: 65_535 });
    assert_eq!(error(vec![on(TWO), on(ONE)]), BundleError::Order { previous: TWO, next: ONE });
    assert_eq!(error(vec![on(ONE), on(ONE)]), BundleError::Order { previous: ONE, next: ONE });
    let empty = Leg { chain_id: ONE, transactions: vec![] };
    let limit = 65_535;
    assert_eq!(error(vec![empty]), BundleError::Transactions { chain_id: ONE, actual: 0, limit });
    let actual = limit + 1;
    let long = Leg { transactions: vec![on(ONE).transactions[0].clone(); actual], ..on(ONE) };
    assert_eq!(error(vec![long]), BundleError::Transactions { chain_id: ONE, actual, limit });
    let foreign = Leg { chain_id: ONE, ..on(TWO) };
    assert_eq!(error(vec![foreign]), BundleError::Chain { chain_id: ONE, actual: TWO });
    assert!(Bundle::new(Execute, vec![on(ONE), on(TWO)]).is_ok());
}

#[test]
fn a_stale_view_is_unavailable() {
    let (_, mut simulator) = flaky();
    // Stores the hash of the block before.
    let creation = create(TWO, 0, hex("600143034060005500").to_vec());
    let reads = bundle(Include, vec![leg(TWO, vec![(1, creation)])]);
    assert_eq!(simulator.simulate(&reads), Outcome::Unavailable { chain_id: TWO });
}

/// The node runs a slot on a pool of its own.
#[test]
fn a_slot_goes_to_another_thread() {
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    let mut simulator = sendable(World::new(1).simulator());
    let bundle = sendable(single(Execute, vec![call(ONE, 0, COUNTS)]));
    let outcome = pool(1).install(|| simulator.simulate(&bundle));
    assert!(matches!(outcome, Outcome::Kept { .. }));
}
