//! Seeded random cases against the naive order and the truth. `FAIRVEIL_CASES` runs more.

use std::collections::BTreeMap;

use fairveil_crypto::{Digest, Epoch, Height, NetworkId, SequencerIndex};

use crate::{
    Appended, Committee, FairOrder, Mode, OrderError, Phase, State, Step,
    naive::{self, Case, Driver, Fault, Tally, judge, run, run_naive},
    rules::{Cap, Rules},
};

fn cases() -> u64 {
    std::env::var("FAIRVEIL_CASES").ok().map_or(20_000, |count| count.parse().unwrap())
}

fn order(case: &Case, rules: Rules) -> FairOrder {
    let committee = Committee::new(case.n, case.f, case.g).unwrap();
    FairOrder::with_rules(committee, Mode::Strict, Height::ZERO, rules)
}

fn state(order: FairOrder) -> State {
    let heads = vec![Digest::from_bytes([1; 32]); usize::from(order.committee().n())];
    State { network_id: NetworkId::from_bytes([2; 32]), epoch: Epoch::new(1), heads, order }
}

fn no_faults(seed: u64, case: &Case, faults: &[Fault]) {
    assert!(faults.is_empty(), "seed {seed}, {}: {faults:?}\n{case:?}", case.kind);
}

#[test]
fn random_cases_agree_with_the_naive_order_and_the_truth() {
    let mut tally = Tally::default();
    for seed in 0..cases() {
        let case = Case::random(seed);
        let emitted = run(&case, &mut order(&case, Rules::NORMATIVE));
        let naive = run_naive(&case, None);
        no_faults(seed, &case, &judge(&case, &naive, &emitted, &mut tally));
    }
    println!("{tally:?}");
    let hard = [tally.deferred, tally.cohorts, tally.cut, tally.safe_prefixes, tally.cycles];
    assert!(hard.iter().all(|count| *count >= 500 * cases() / 20_000), "{tally:?}");
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
        let naive = run_naive(&case, None);
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
            appended: &[Appended { sequencer, ids: &ids }],
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
        let naive = run_naive(&case, None);
        no_faults(seed, &case, &judge(&case, &naive, &emitted, &mut tally));
    }
}

#[test]
fn random_cases_under_a_tight_soft_cap() {
    let mut tally = Tally::default();
    for (solid, candidates) in [(2, 4), (1, 3)] {
        let rules = Rules { cap: Cap::Soft { solid, candidates }, ..Rules::NORMATIVE };
        for seed in 0..cases() / 4 {
            let mut case = Case::random(seed);
            // A backlog leaves in several blocks.
            let quorum = (1..=case.n - case.f).map(|sequencer| (sequencer, vec![]));
            let heartbeats: Vec<_> = quorum.collect();
            case.blocks.extend(std::iter::repeat_n(heartbeats, 20));
            let emitted = run(&case, &mut order(&case, rules));
            let naive = run_naive(&case, Some(naive::Cap { solid, candidates }));
            no_faults(seed, &case, &judge(&case, &naive, &emitted, &mut tally));
        }
    }
}
