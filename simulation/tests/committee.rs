//! Suites of whole committees, judged by the oracle; `FAIRVEIL_SEEDS` sets the seeds per suite.
//!
//! A seed is a run of its own, whatever runs beside it: seeds are spread over all cores.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use fairveil_simulation::committee::{Report, run, suite, suites};

/// Seeds per suite, unless the environment says otherwise.
const SEEDS: u64 = 60;

fn seeds() -> u64 {
    std::env::var("FAIRVEIL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

/// Runs all seeds of a suite, in their order.
fn reports(name: &str) -> Vec<Report> {
    let suite = suite(name).unwrap();
    let next = AtomicU64::new(0);
    let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds());
    let work = || std::iter::from_fn(take).map(|seed| run(suite, seed)).collect::<Vec<_>>();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut reports: Vec<Report> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    reports.sort_by_key(|report| report.seed);
    reports
}

/// Runs a suite; what was counted over all seeds.
fn judged(name: &str) -> BTreeMap<String, u64> {
    let reports = reports(name);
    let mut counts = BTreeMap::new();
    for (count, value) in reports.iter().flat_map(|report| &report.counts) {
        *counts.entry(count.clone()).or_insert(0) += value;
    }
    println!("{name}: {} seeds, {counts:?}", reports.len());
    let failed: Vec<&Report> = reports.iter().filter(|report| !report.passed()).collect();
    for report in &failed {
        println!("{}", report.command);
        report.violations.iter().for_each(|violation| println!("    {violation}"));
    }
    assert!(failed.is_empty(), "{} of {} seeds failed", failed.len(), reports.len());
    counts
}

fn happened(counts: &BTreeMap<String, u64>, names: &[&str]) {
    for name in names {
        assert!(counts.get(*name).is_some_and(|count| *count > 0), "no {name} in {counts:?}");
    }
}

#[test]
fn honest() {
    happened(&judged("honest"), &["released", "premise_pairs", "shares_sent", "hints_sent"]);
}

#[test]
fn lossy() {
    happened(&judged("lossy"), &["released", "premise_pairs"]);
}

#[test]
fn crashes() {
    happened(&judged("crashes"), &["released", "crashes"]);
}

#[test]
fn latecomer() {
    happened(&judged("latecomer"), &["released", "crashes", "adopted_releases"]);
}

#[test]
fn rollups() {
    let counts = judged("rollups");
    happened(&counts, &["released", "crashes", "failed_leg_failed", "failed_leg_invalid"]);
    happened(&counts, &["partial_without_simulation", "partial_include", "across_12_s"]);
    happened(&counts, &["changes", "failed_rollup_paused", "failed_unknown_rollup"]);
    happened(&counts, &["seen_slots", "blind_slots", "failed_state_unavailable"]);
    assert_eq!(counts["partial_execute"], 0);
}

#[test]
fn equivocator() {
    happened(&judged("equivocator"), &["released", "adversary_moves", "equivocations", "evidence"]);
}

#[test]
fn reverser() {
    happened(&judged("reverser"), &["released", "adversary_moves", "premise_pairs"]);
}

#[test]
fn phantom() {
    happened(&judged("phantom"), &["released", "adversary_moves"]);
}

#[test]
fn bad_sharer() {
    let counts = judged("bad-sharer");
    happened(&counts, &["released", "adversary_moves", "bad_shares", "evidence", "false_hints"]);
}

#[test]
fn share_withholder() {
    happened(&judged("share-withholder"), &["released", "adversary_moves", "silent_parts"]);
}

#[test]
fn censor() {
    happened(&judged("censor"), &["released", "adversary_moves"]);
}

#[test]
fn front_runner() {
    let counts = judged("front-runner");
    happened(&counts, &["released", "attack_pairs", "attack_tries", "attack_requests"]);
    happened(&counts, &["share_requests_refused"]);
}

#[test]
fn splitter() {
    let counts = judged("splitter");
    happened(&counts, &["released", "failed_nonce_used", "rejected_nonce", "rejected_payer_limit"]);
}

#[test]
fn same_seed_same_bytes() {
    for suite in suites() {
        for seed in 0..seeds().div_ceil(30) {
            assert_eq!(run(suite, seed), run(suite, seed), "{} {seed}", suite.name);
        }
    }
}

#[test]
fn other_seeds_are_other_runs() {
    let suite = suite("honest").unwrap();
    assert_ne!(run(suite, 1).audit, run(suite, 2).audit);
}

#[test]
fn epochs() {
    let counts = judged("epochs");
    happened(
        &counts,
        &["released", "crashes", "heights_of_later_epochs", "joined", "failed_rounds"],
    );
    happened(
        &counts,
        &["carried_ids", "blamed", "late_shares", "adversary_moves", "failed_leg_failed"],
    );
}
