//! Payers who can't pay.

use std::sync::Arc;

use super::*;
use crate::rejection::Value;

/// What a test bundle costs: all are of the smallest class.
const COST: u64 = 512;

/// A network that charges one unit per byte, on which payer 1 deposited so much.
fn charging(deposit: u128) -> PoolConfig {
    let deposits = Arc::new(BTreeMap::from([(secret(1).payer(), deposit)]));
    PoolConfig { funds: Some(Funds { fee_per_byte: 1, deposits }), ..config(Limits::DEFAULT) }
}

fn bench(deposit: u128) -> Bench {
    Bench::of(Pool::new(charging(deposit)).unwrap())
}

fn unfunded(actual: u64) -> Rejection {
    Rejection::numbers(RejectionCode::Unfunded, actual, COST)
}

fn bundle(nonce: u64) -> SealedBundle {
    Terms::new(1, nonce).seal()
}

#[test]
fn what_is_held_counts_against_the_balance() {
    let mut bench = bench(2 * u128::from(COST) + 7);
    bench.admitted(&bundle(1));
    bench.admitted(&bundle(2));
    assert_eq!(bench.rejected(&bundle(3)), unfunded(7));
    assert_eq!(bench.rejected(&Terms::new(2, 1).seal()), unfunded(0));
    let known = bench.admitted(&bundle(2));
    assert_eq!(known.id, bundle(2).id(), "what is admitted stays so");
    let sentence = bench.rejected(&bundle(3)).to_string();
    assert!(sentence.starts_with("the payer has 7 left beside"), "{sentence}");
}

#[test]
fn a_final_block_changes_a_balance_and_frees_what_it_emits() {
    let mut bench = bench(2 * u128::from(COST));
    let payer = secret(1).payer();
    bench.admitted(&bundle(1));
    bench.admitted(&bundle(2));
    let emitted = vec![emitted(&bundle(1))];
    let balances = vec![(payer, COST.into())];
    bench.finalize(FinalizedBlock { emitted, balances, ..FinalizedBlock::default() });
    assert_eq!(bench.rejected(&bundle(3)), unfunded(0));
    // The other one turns out to be unfunded at its place, because others were faster.
    let emitted = vec![super::emitted(&bundle(2))];
    let balances = vec![(payer, u128::from(COST) - 1)];
    bench.finalize(FinalizedBlock { emitted, balances, ..FinalizedBlock::default() });
    assert_eq!(bench.rejected(&bundle(3)), unfunded(COST - 1));
}

#[test]
fn what_expires_costs_nothing_any_more() {
    let mut bench = bench(COST.into());
    bench.admitted(&Terms::new(1, 1).window(0, 50).seal());
    assert_eq!(bench.rejected(&bundle(2)), unfunded(0));
    bench.finalize_height(51);
    bench.admitted(&bundle(2));
}

#[test]
fn a_bundle_that_is_held_for_others_is_not_counted_against_itself() {
    let mut bench = bench(COST.into()).connected_to(&[2]);
    let bundle = bundle(1);
    bench.give(Input::Needed { ids: vec![bundle.id()] });
    bench.relay(2, &bundle);
    assert!(bench.pool.bundle(&bundle.id()).is_some());
    assert_eq!(bench.rejected(&Terms::new(1, 2).seal()), unfunded(0));
    bench.admitted(&bundle);
}

#[test]
fn a_duty_is_reported_whatever_its_payer_has() {
    let mut bench = bench(0).connected_to(&[2]);
    let bundle = bundle(1);
    bench.finalize_duty(&[bundle.id()]);
    bench.relay(2, &bundle);
    assert_eq!(bench.logged(), [bundle.id()]);
}

#[test]
fn a_peer_that_relays_an_unfunded_bundle_is_not_at_fault() {
    let mut bench = bench(0).connected_to(&[2]);
    bench.relay(2, &bundle(1));
    assert!(bench.faults.is_empty() && bench.pool.bundle(&bundle(1).id()).is_none());
}

#[test]
fn a_restored_pool_knows_the_balances_and_what_is_held() {
    let mut before = bench(3 * u128::from(COST));
    before.admitted(&bundle(1));
    let stored = before.stored.values().cloned();
    let bundles = stored.map(|stored| RestoredBundle { stored, receipt: None }).collect();
    let restored = Restored {
        bundles,
        balances: vec![(secret(1).payer(), 2 * u128::from(COST) - 1)],
        ..Restored::default()
    };
    let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let config = charging(3 * u128::from(COST));
    let (pool, _) = Pool::restore(config, restored, before.now_ms, &threads).unwrap();
    assert_eq!(Bench::of(pool).rejected(&bundle(2)), unfunded(COST - 1));
}

#[test]
fn amounts_beyond_64_bits_are_shown_in_full() {
    let deposits = Arc::new(BTreeMap::new());
    let fee_per_byte = u64::MAX;
    let funds = Some(Funds { fee_per_byte, deposits });
    let config = PoolConfig { funds, ..config(Limits::DEFAULT) };
    let rejection = Bench::of(Pool::new(config).unwrap()).rejected(&bundle(1));
    assert_eq!(rejection.limit, Value::Text("9444732965739290426880".to_owned()));
    let sentence = rejection.to_string();
    assert!(sentence.contains("costs 9,444,732,965,739,290,426,880:"), "{sentence}");
}
