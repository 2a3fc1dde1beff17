use std::sync::Arc;

use alloy_primitives::Bytes;
use fairveil_crypto::encoding;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::model::{sign_bundle, slots};
use super::world::*;
use crate::bundle::Policy;
use crate::changes::Changes;
use crate::outcome::Outcome;
use crate::sender::{SetCode, SignedTransaction, recover_senders};
use crate::state::{MemoryState, StateView};

#[derive(Clone, Copy)]
enum Mode {
    OneByOne,
    AllAtOnce,
}

/// A few slots of random bundles, each applied: all bytes that came out.
fn run(seeded: &mut TestRunner, mode: Mode) -> Vec<u8> {
    let (chains, slots) = slots().new_tree(seeded).unwrap().current();
    let mut world = World::new(chains);
    let mut bytes = Vec::new();
    for slot in slots {
        let state = |chain| world.state(chain);
        let nonce = |chain, who| state(chain).account(who).unwrap().map_or(0, |a| a.nonce);
        let bundles: Vec<_> = slot.iter().map(|random| sign_bundle(random, nonce)).collect();
        let mut simulator = world.simulator();
        let outcomes = match mode {
            Mode::OneByOne => bundles.iter().map(|b| simulator.simulate(b)).collect(),
            Mode::AllAtOnce => simulator.simulate_all(&bundles),
        };
        bytes.extend(encoding::encode(&outcomes));
        let finished = simulator.finish().unwrap();
        for rollup in &finished {
            bytes.extend(rollup.changes.encode());
            bytes.extend(rollup.digest.as_bytes());
        }
        world.apply(&finished);
    }
    bytes
}

#[test]
fn invariant_2_two_runs_give_the_same_bytes() {
    let mut runners = [(); 3].map(|()| TestRunner::deterministic());
    for _ in 0..20 {
        let [one, again, at_once] = &mut runners;
        let expected = run(one, Mode::OneByOne);
        assert_eq!(run(again, Mode::OneByOne), expected);
        assert_eq!(run(at_once, Mode::AllAtOnce), expected);
    }
}

#[test]
fn invariant_2_the_pool_changes_nothing() {
    let mut raws: Vec<Bytes> = Vec::new();
    for nonce in 0..40u8 {
        let who = 1 + nonce % SENDERS;
        let transaction = store(ONE, u64::from(nonce / SENDERS), u64::from(nonce), 5);
        let mut raw = signed(who, transaction);
        if nonce % 7 == 6 {
            raw.push(0);
        }
        raws.push(raw.into());
    }
    let jobs = raws.into_iter().map(|raw| SignedTransaction {
        raw,
        chain_id: ONE,
        set_code: SetCode::Refused,
    });
    let jobs: Vec<_> = jobs.collect();
    let mut all = Vec::new();
    for threads in [1, 2, 4] {
        let recovered = recover_senders(&pool(threads), &jobs);
        let mut world = World::new(1);
        let transactions = recovered.iter().flatten().cloned().collect();
        let leg = crate::bundle::Leg { chain_id: ONE, transactions };
        let outcome = world.slot(&[bundle(Policy::Include, vec![leg])]);
        all.push((recovered, encoding::encode(&outcome), world.state(ONE).digest()));
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
}

/// A node that stored what slots changed, and starts again from the genesis or from a whole state.
#[test]
fn a_state_is_rebuilt_from_stored_changes() {
    let mut world = World::new(1);
    let mut stored = Vec::new();
    for nonce in 0..3 {
        let mut simulator = world.simulator();
        let creation = create(ONE, 2 * nonce, deploys(RUNTIME_STORES));
        let outcome = simulator
            .simulate(&single(Policy::Execute, vec![creation, call(ONE, 2 * nonce + 1, COUNTS)]));
        assert!(matches!(outcome, Outcome::Kept { .. }));
        let finished = simulator.finish().unwrap();
        stored.push(finished[0].changes.encode());
        world.apply(&finished);
    }
    let mut rebuilt = genesis();
    for bytes in &stored {
        rebuilt.apply(&Changes::decode(bytes).unwrap());
    }
    assert_eq!(&rebuilt, world.state(ONE));

    let whole = Changes::decode(&rebuilt.to_changes().encode()).unwrap();
    let loaded = MemoryState::from_changes(&whole, rebuilt.digest());
    assert_eq!(loaded, rebuilt);
    world.states[0].1 = Arc::new(loaded);
    let outcome = world.slot(&[single(Policy::Execute, vec![call(ONE, 6, COUNTS)])]);
    assert!(matches!(outcome[0], Outcome::Kept { .. }));
}
