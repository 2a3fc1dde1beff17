use rayon::{ThreadPool, ThreadPoolBuilder};

use super::*;

fn threads() -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(1).build().unwrap()
}

/// What the store and the chain hold after the process died.
fn stored(bench: &Bench, final_order: &[(EmittedBundle, u64)], committed: u64) -> Restored {
    let mut bundles: Vec<RestoredBundle> = bench
        .stored
        .values()
        .map(|stored| RestoredBundle {
            receipt: bench.receipts.get(&stored.id).copied(),
            stored: stored.clone(),
        })
        .collect();
    bundles.sort_by_key(|bundle| bundle.stored.acceptance);
    Restored {
        height: Height::new(bench.height),
        bundles,
        log: bench.log.clone(),
        log_length: bench.log.len() as u64,
        committed,
        below_edge: 0,
        emitted: final_order.iter().map(|(bundle, at)| (*bundle, Height::new(*at))).collect(),
        first: Vec::new(),
        duty: Vec::new(),
        balances: Vec::new(),
    }
}

fn restart(restored: Restored) -> Bench {
    restart_with(Limits::DEFAULT, restored)
}

fn restart_with(limits: Limits, restored: Restored) -> Bench {
    let (mut log, mut receipts, mut bundles) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    log.clone_from(&restored.log);
    for entry in &restored.log {
        receipts.insert(entry.id, entry.receipt);
    }
    for bundle in &restored.bundles {
        receipts.extend(bundle.receipt.map(|receipt| (bundle.stored.id, receipt)));
        bundles.insert(bundle.stored.id, bundle.stored.clone());
    }
    let final_places = restored.emitted.iter().map(|(bundle, _)| bundle.id).collect();
    let (pool, outputs) = Pool::restore(config(limits), restored, 2_000_000, &threads()).unwrap();
    let mut bench = Bench::of(pool);
    (bench.log, bench.receipts, bench.stored) = (log, receipts, bundles);
    bench.final_places = final_places;
    bench.now_ms = 2_000_000;
    for output in outputs {
        assert!(bench.carry_out(output).is_none());
    }
    bench
}

#[test]
fn receipts_log_and_limits_survive() {
    let mut bench = Bench::new(Limits::DEFAULT);
    bench.finalize_height(10);
    let now = Terms::new(1, 1).seal();
    let later = Terms::new(1, 2).window(30, 900).seal();
    let (first, second) = (bench.admitted(&now), bench.admitted(&later));
    let mut again = restart(stored(&bench, &[], 0));
    assert_eq!(again.pool.stats().admitted, 2);
    assert_eq!(again.pool.stats().admitted_bytes, bench.pool.stats().admitted_bytes);
    assert_eq!(again.pool.stats().uncommitted, 1);
    assert_eq!((again.admitted(&now), again.admitted(&later)), (first, second));
    assert_eq!(again.log.len(), 1);
    let twin = Terms::new(1, 1).window(0, 800).seal();
    assert_eq!(again.rejected(&twin).code, RejectionCode::Nonce);
    again.finalize_height(29);
    assert_eq!(again.logged(), [now.id(), later.id()]);
    assert_eq!(again.log[1].position, 1);
    let next = again.admitted(&Terms::new(1, 3).seal());
    assert_eq!(next.place, Place::Position(2));
}

#[test]
fn what_was_held_for_others_and_then_admitted_is_reported_after_a_restart() {
    let limits = Limits { payer_bundles: 1, ..Limits::DEFAULT };
    let mut bench = Bench::new(limits.clone()).connected_to(&[2]);
    let (first, later) = (Terms::new(1, 1).seal(), Terms::new(1, 2).window(30, 900).seal());
    bench.admitted(&first);
    bench.give(Input::Needed { ids: vec![later.id()] });
    bench.relay(2, &later);
    assert_eq!(bench.rejected(&later).code, RejectionCode::PayerLimit);
    bench.finalize_emitted(&[&first]);
    let receipt = bench.admitted(&later);
    assert_eq!(receipt.place, Place::Held);
    let mut again = restart_with(limits, stored(&bench, &[(emitted(&first), 1)], 1));
    assert_eq!(again.pool.stats().admitted, 1);
    again.finalize_height(29);
    assert_eq!(again.logged(), [first.id(), later.id()]);
    assert_eq!(again.admitted(&later), receipt);
}

#[test]
fn what_duty_brought_beyond_the_memory_for_it_stays_in_the_store_after_a_restart() {
    let limits = Limits { payer_bundles: 1, duty_ids: 2, ..Limits::DEFAULT };
    let mut bench = Bench::new(limits.clone()).connected_to(&[2]);
    bench.admitted(&Terms::new(1, 1).seal());
    let needed: Vec<_> = (2..6).map(|nonce| Terms::new(1, nonce).seal()).collect();
    for bundle in &needed {
        bench.give(Input::Needed { ids: vec![bundle.id()] });
        bench.relay(2, bundle);
    }
    assert_eq!((bench.pool.stats().held, bench.stored.len()), (3, 5));
    let again = restart_with(limits, stored(&bench, &[], 0));
    assert_eq!((again.pool.stats().held, again.stored.len()), (3, 5));
    assert_eq!(again.pool.stats().admitted, 1);
    let in_memory = |bundle: &&SealedBundle| again.pool.bundle(&bundle.id()).is_some();
    let held: Vec<_> = needed.iter().filter(in_memory).map(SealedBundle::id).collect();
    assert_eq!(held, [needed[0].id(), needed[1].id()]);
}

#[test]
fn what_was_stored_and_not_appended_is_appended_now_in_the_order_of_acceptance() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let bundles: Vec<_> = (0..4).map(|nonce| Terms::new(1, nonce).seal()).collect();
    for bundle in &bundles {
        bench.admitted(bundle);
    }
    // The store has all bundles, but the log of before the last three.
    let mut restored = stored(&bench, &[], 0);
    restored.log.truncate(1);
    restored.log_length = 1;
    restored.bundles.iter_mut().for_each(|bundle| bundle.receipt = None);
    let again = restart(restored);
    assert_eq!(again.logged(), bundles.iter().map(SealedBundle::id).collect::<Vec<_>>());
}

#[test]
fn duties_and_final_places_survive() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let (a, b) = (Terms::new(1, 1).seal(), Terms::new(2, 1).seal());
    let receipt = bench.admitted(&a);
    bench.finalize_emitted(&[&a]);
    let missing = Terms::new(3, 1).seal();
    let mut restored = stored(&bench, &[(emitted(&a), 1)], 1);
    restored.duty = vec![a.id(), missing.id()];
    let mut again = restart(restored).connected_to(&[2]);
    assert!(again.pool.bundle(&a.id()).is_none());
    assert_eq!(again.admitted(&a), receipt);
    assert_eq!(again.pool.stats().duty, 1);
    again.give(Input::Tick);
    again.relay(2, &missing);
    assert_eq!(again.logged(), [a.id(), missing.id()]);
    let twin = Terms::new(1, 1).window(0, 800).seal();
    assert_eq!(again.rejected(&twin).code, RejectionCode::Nonce);
    again.admitted(&b);
    // And what is not needed any more leaves the store.
    again.finalize_height(1_200);
    assert!(!again.stored.contains_key(&a.id()));
}

#[test]
fn an_id_of_the_log_whose_bundle_is_gone_is_never_appended_again() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let bundle = Terms::new(1, 1).seal();
    let receipt = bench.admitted(&bundle);
    let mut restored = stored(&bench, &[], 1);
    restored.bundles.clear();
    let mut again = restart(restored).connected_to(&[2]);
    again.finalize_duty(&[bundle.id()]);
    again.relay(2, &bundle);
    assert_eq!(again.log.len(), 1);
    assert_eq!(again.receipts[&bundle.id()], receipt);
}

#[test]
fn a_damaged_store_is_noticed_before_anything_is_done() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let (a, b) = (Terms::new(1, 1).seal(), Terms::new(2, 1).seal());
    bench.admitted(&a);
    bench.admitted(&b);
    let restore = |mutate: &dyn Fn(&mut Restored)| {
        let mut restored = stored(&bench, &[], 0);
        mutate(&mut restored);
        Pool::restore(config(Limits::DEFAULT), restored, 0, &threads()).map(drop).unwrap_err()
    };
    let flipped = restore(&|restored| restored.bundles[0].stored.sealed[300] ^= 1);
    assert!(matches!(flipped, RestoreError::Id { .. }), "{flipped}");
    let truncated = restore(&|restored| restored.bundles[0].stored.sealed.truncate(100));
    assert!(matches!(truncated, RestoreError::Bundle { id, .. } if id == a.id()));
    let unsigned = restore(&|restored| {
        *restored.bundles[1].stored.sealed.last_mut().unwrap() ^= 1;
    });
    assert!(matches!(unsigned, RestoreError::Bundle { id, .. } if id == b.id()));
    assert_eq!(
        restore(&|restored| restored.log[1].position = 7),
        RestoreError::Log { actual: 7, expected: 1 }
    );
    assert_eq!(
        restore(&|restored| restored.log = restored.log.split_off(1)),
        RestoreError::Log { actual: 1, expected: 0 }
    );
    assert_eq!(
        restore(&|restored| (restored.log_length, restored.committed) = (2, 3)),
        RestoreError::OldLog { actual: 2, expected: 3 }
    );
}
