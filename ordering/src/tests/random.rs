//! Seeded random cases against the naive order and the truth. `FAIRVEIL_CASES` runs more.

use std::collections::BTreeMap;

use fairveil_crypto::{Digest, Epoch, Height, NetworkId, SequencerIndex};

use crate::{
    Appended, Committee, FairOrder, Mode, OrderError, Phase, State, Step,
    naive::{self, Case, Driver, Fault, Tally, judge, judge_median, run, run_naive},
    rules::{Cap, Rules},
};

fn cases() -> u64 {
    std::env::var("FAIRVEIL_CASES").ok().map_or(100_000, |count| count.parse().unwrap())
}

fn order(case: &Case, rules: Rules) -> FairOrder {
    in_mode(case, Mode::Strict, rules)
}

fn in_mode(case: &Case, mode: Mode, rules: Rules) -> FairOrder {
    let committee = Committee::new(case.n, case.f, case.g).unwrap();
    FairOrder::with_rules(committee, mode, Height::ZERO, rules)
}

fn state(order: FairOrder) -> State {
    let heads = vec![Digest::from_bytes([1; 32]); usize::from(order.committee().n())];
    State { network_id: NetworkId::from_bytes([2; 32]), epoch: Epoch::new(1), heads, order }
}

fn no_faults(seed: u64, case: &Case, faults: &[Fault]) {
    assert!(faults.is_empty(), "seed {seed}, {}: {faults:?}\n{case:?}", case.kind);
}

/// Whether the hard parts occurred, these among them, each in so many of 100,000 cases.
fn enough(tally: &Tally, more: &[u64], least: u64) {
    println!("{tally:?}");
    let hard = [tally.deferred, tally.cohorts, tally.cut, tally.safe_prefixes, tally.cycles];
    let mut hard = hard.iter().chain(more);
    assert!(hard.all(|count| *count >= least * cases() / 100_000), "{tally:?}");
}

#[test]
fn random_cases_agree_with_the_naive_order_and_the_truth() {
    let mut tally = Tally::default();
    for seed in 0..cases() {
        let case = Case::random(seed);
        let emitted = run(&case, &mut order(&case, Rules::NORMATIVE));
        let naive = run_naive(&case, Mode::Strict, None);
        no_faults(seed, &case, &judge(&case, &naive, &emitted, &mut tally));
    }
    enough(&tally, &[], 2_500);
}

#[test]
fn random_cases_by_the_published_rule() {
    let mut tally = Tally::default();
    let mut larger = 0;
    for seed in 0..cases() {
        let windows = seed % 3 == 0;
        let case = if windows { Case::random_with_windows(seed) } else { Case::random(seed) };
        let emitted = run(&case, &mut in_mode(&case, Mode::Themis, Rules::NORMATIVE));
        let naive = run_naive(&case, Mode::Themis, None);
        no_faults(seed, &case, &judge(&case, &naive, &emitted, &mut tally));
        let strict = run(&case, &mut order(&case, Rules::NORMATIVE));
        let largest = |out: &naive::Emitted| out.blocks.iter().flatten().map(Vec::len).max();
        larger += u64::from(largest(&emitted) > largest(&strict));
        assert!(largest(&emitted) >= largest(&strict), "seed {seed}");
    }
    println!("larger cohorts in {larger}");
    enough(&tally, &[tally.expired], 2_500);
    assert!(larger >= 2_500 * cases() / 100_000, "{larger}");
}

#[test]
fn random_cases_by_the_median() {
    let (mut ids, mut waited, mut expired) = (0, 0, 0);
    for seed in 0..cases() {
        let windows = seed % 3 == 0;
        let case = if windows { Case::random_with_windows(seed) } else { Case::random(seed) };
        let emitted = run(&case, &mut in_mode(&case, Mode::Median, Rules::NORMATIVE));
        let faults = judge_median(&case, &emitted);
        assert!(faults.is_empty(), "seed {seed}, {}: {faults:?}\n{case:?}", case.kind);
        ids += emitted.blocks.iter().flatten().count();
        waited += emitted.pending.len();
        expired += emitted.expired.len();
    }
    println!("{ids} ids, {expired} of them voids, {waited} wait");
    assert!(expired as u64 >= cases() / 100, "{expired} voids");
    assert!(ids as u64 >= 3 * cases(), "{ids} ids");
    assert!(waited as u64 >= cases() / 100, "{waited} ids wait for an earlier one");
}

#[test]
fn random_cases_by_the_leader() {
    let (mut emitted, mut again) = (0, 0);
    for seed in 0..cases() {
        let case = Case::random(seed);
        let mut order = in_mode(&case, Mode::Leader, Rules::NORMATIVE);
        let mut left = Vec::new();
        for (at, block) in case.blocks.iter().enumerate() {
            let (first, ids) = &block[at % block.len()];
            let sequencer = SequencerIndex::new(*first).unwrap();
            let ids: Vec<_> = ids.iter().map(|id| naive::bundle_id(case.salt, *id)).collect();
            let list: Vec<_> = ids.iter().rev().filter(|id| !left.contains(*id)).copied().collect();
            let appended = [Appended::new(sequencer, &ids)];
            let reaching = order.would_reach_edge(&appended, &list).into_iter();
            let expiries = reaching.map(|id| (id, Height::MAX)).collect();
            let step = Step {
                height: order.height().next(),
                seed: naive::seed(order.height().get() + 1),
                phase: Phase::Ordering,
                appended: &appended,
                list: &list,
                expiries: &expiries,
            };
            let out = order.apply(&step).unwrap().emission.cohorts;
            assert!(out.iter().all(|cohort| cohort.len() == 1), "seed {seed}");
            assert_eq!(out.concat().iter().map(|e| e.id).collect::<Vec<_>>(), list, "seed {seed}");
            emitted += list.len();
            again += ids.len() - list.len();
            left.extend(list);
        }
    }
    println!("{emitted} ids, {again} times one that had left was logged");
    assert!(emitted as u64 >= 3 * cases() && again as u64 >= cases(), "{emitted}, {again}");
}

#[test]
fn random_cases_continue_from_any_snapshot_in_every_mode() {
    for mode in [Mode::Themis, Mode::Median] {
        let mut waiting = 0;
        for seed in 0..cases() / 20 {
            let case = Case::random_with_windows(seed);
            let mut whole = in_mode(&case, mode, Rules::NORMATIVE);
            let mut driver = Driver::new(&case);
            let mut restored = state(whole.clone());
            let mut second = driver.clone();
            for block in &case.blocks {
                driver.apply(&mut whole, block);
                second.apply(&mut restored.order, block);
                let bytes = restored.snapshot();
                restored = State::restore(&bytes).unwrap();
                assert_eq!(restored.snapshot(), bytes);
                assert_eq!(restored.digest(), state(whole.clone()).digest(), "seed {seed}");
                waiting += u64::from(!whole.pending().is_empty());
            }
            let (one, other) = (driver.emitted(&whole), second.emitted(&restored.order));
            assert_eq!(one.blocks, other.blocks, "seed {seed}");
        }
        assert!(waiting > cases() / 200, "{waiting} snapshots with ids that wait");
    }
}

#[test]
fn random_cases_continue_from_any_snapshot() {
    let mut pending = 0;
    for seed in 0..cases() / 10 {
        let case = Case::random_with_windows(seed);
        let mut whole = order(&case, Rules::NORMATIVE);
        let mut driver = Driver::new(&case);
        let mut restored = state(whole.clone());
        let mut second = driver.clone();
        for block in &case.blocks {
            driver.apply(&mut whole, block);
            second.apply(&mut restored.order, block);
            let bytes = restored.snapshot();
            let again = State::restore(&bytes).unwrap();
            assert_eq!(again.snapshot(), bytes);
            assert_eq!(again.digest(), state(whole.clone()).digest(), "seed {seed}");
            assert_eq!(again.order.below_edge, whole.below_edge, "seed {seed}");
            pending += u64::from(!whole.pending.is_empty());
            restored = again;
        }
        let (one, other) = (driver.emitted(&whole), second.emitted(&restored.order));
        assert_eq!(one.blocks, other.blocks, "seed {seed}");
        let naive = run_naive(&case, Mode::Strict, None);
        no_faults(seed, &case, &judge(&case, &naive, &other, &mut Tally::default()));
    }
    assert!(pending > cases() / 100, "{pending} snapshots with a pending proposal");
}

#[test]
fn the_order_of_sequencers_in_a_block_changes_nothing() {
    for seed in 0..cases() / 20 {
        let case = Case::random(seed);
        let mut turned = case.clone();
        turned.blocks.iter_mut().for_each(|block| block.reverse());
        let (mut one, mut other) = (order(&case, Rules::NORMATIVE), order(&case, Rules::NORMATIVE));
        let (first, second) = (run(&case, &mut one), run(&turned, &mut other));
        assert_eq!(first.blocks, second.blocks, "seed {seed}");
        assert_eq!(one.digest(), other.digest(), "seed {seed}");
    }
}

#[test]
fn a_refused_block_changes_nothing_and_a_clone_is_independent() {
    for seed in 0..cases() / 20 {
        let case = Case::random(seed);
        let mut whole = order(&case, Rules::NORMATIVE);
        let mut driver = Driver::new(&case);
        for block in &case.blocks {
            let (before, digest) = (whole.clone(), whole.digest());
            driver.apply(&mut whole, block);
            assert_eq!(before.digest(), digest);
            let restored = state(before);
            assert_eq!(State::restore(&restored.snapshot()).unwrap().digest(), restored.digest());
        }
        let repeated = case.blocks.iter().flatten().find(|(_, ids)| !ids.is_empty());
        let Some((sequencer, ids)) = repeated else {
            continue;
        };
        let ids = [naive::bundle_id(case.salt, ids[0])];
        let sequencer = SequencerIndex::new(*sequencer).unwrap();
        let digest = whole.digest();
        let refused = whole.apply(&Step {
            height: whole.height().next(),
            seed: digest,
            phase: Phase::Ordering,
            appended: &[Appended::new(sequencer, &ids)],
            list: &[],
            expiries: &BTreeMap::new(),
        });
        assert_eq!(refused, Err(OrderError::RepeatedId { sequencer, id: ids[0] }));
        assert_eq!(whole.digest(), digest);
    }
}

#[test]
fn random_cases_with_closing_windows() {
    let mut tally = Tally::default();
    for seed in 0..cases() / 2 {
        let case = Case::random_with_windows(seed);
        let emitted = run(&case, &mut order(&case, Rules::NORMATIVE));
        let naive = run_naive(&case, Mode::Strict, None);
        no_faults(seed, &case, &judge(&case, &naive, &emitted, &mut tally));
    }
    enough(&tally, &[tally.expired], 1_000);
}

#[test]
fn random_cases_under_a_tight_soft_cap() {
    for (solid, candidates) in [(2, 4), (1, 3)] {
        let mut tally = Tally::default();
        let rules = Rules { cap: Cap::Soft { solid, candidates }, ..Rules::NORMATIVE };
        for seed in 0..cases() / 4 {
            let mut case = Case::random(seed);
            // A backlog leaves in several blocks.
            let quorum = (1..=case.n - case.f).map(|sequencer| (sequencer, vec![]));
            let heartbeats: Vec<_> = quorum.collect();
            case.blocks.extend(std::iter::repeat_n(heartbeats, 20));
            let emitted = run(&case, &mut order(&case, rules));
            let naive = run_naive(&case, Mode::Strict, Some(naive::Cap { solid, candidates }));
            no_faults(seed, &case, &judge(&case, &naive, &emitted, &mut tally));
        }
        enough(&tally, &[], 150);
        assert!(tally.capped >= cases() / 20, "{tally:?}");
    }
}
