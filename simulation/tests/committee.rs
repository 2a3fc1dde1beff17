//! Suites of whole committees, judged by the oracle; `FAIRVEIL_SEEDS` sets the seeds per suite.
//!
//! A seed is a run of its own, whatever runs beside it: seeds are spread over all cores.

#![allow(clippy::unwrap_used)]

mod cores;

use std::collections::BTreeMap;

use fairveil_simulation::committee::{Report, run, suite, suites};

use crate::cores::on_all_cores;

/// Seeds per suite, unless the environment says otherwise.
const SEEDS: u64 = 60;
/// The same of suite `epochs`, whose runs are the longest.
const EPOCHS_SEEDS: u64 = 30;
/// The same of the suites of adversaries that need no more to show what they do.
const FEWER_SEEDS: u64 = 16;

fn seeds(unless: u64) -> u64 {
    std::env::var("FAIRVEIL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(unless)
}

/// Runs all seeds of a suite, in their order.
fn reports(name: &str, seeds: u64) -> Vec<Report> {
    let suite = suite(name).unwrap();
    on_all_cores(&(0..seeds).collect::<Vec<_>>(), |seed| run(suite, *seed))
}

/// Runs a suite; what was counted over all seeds.
fn judged(name: &str) -> BTreeMap<String, u64> {
    judged_over(name, seeds(SEEDS))
}

/// Runs the suite of an adversary; that each run had moves of it, and what was counted over all seeds.
fn attacked(name: &str) -> BTreeMap<String, u64> {
    let counts = judged_over(name, seeds(FEWER_SEEDS));
    happened(&counts, &["released", "adversary_moves", "premise_pairs"]);
    counts
}

fn judged_over(name: &str, seeds: u64) -> BTreeMap<String, u64> {
    let reports = reports(name, seeds);
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
fn randomiser() {
    attacked("randomiser");
}

#[test]
fn late_reporter() {
    attacked("late-reporter");
}

#[test]
fn omitting_leader() {
    attacked("omitting-leader");
}

#[test]
fn racer() {
    happened(&attacked("racer"), &["attack_pairs"]);
}

#[test]
fn id_grinder() {
    happened(&attacked("id-grinder"), &["attack_pairs"]);
}

#[test]
fn condorcet_2() {
    attacked("condorcet-2");
}

#[test]
fn condorcet_10() {
    happened(&attacked("condorcet-10"), &["trapped"]);
}

#[test]
fn condorcet_100() {
    attacked("condorcet-100");
}

#[test]
fn spammer() {
    happened(&attacked("spammer"), &["invalid_relays", "malformed_messages"]);
}

#[test]
fn partitioner() {
    attacked("partitioner");
}

#[test]
fn corrupt_splitter() {
    happened(&attacked("corrupt-splitter"), &["failed_nonce_used"]);
}

#[test]
fn splitter() {
    let counts = judged("splitter");
    happened(&counts, &["released", "failed_nonce_used", "rejected_nonce", "rejected_payer_limit"]);
}

#[test]
fn same_seed_same_bytes() {
    let seeds = 0..seeds(SEEDS).div_ceil(60);
    let of = |suite| seeds.clone().map(move |seed| (suite, seed));
    let runs: Vec<_> = suites().iter().flat_map(of).collect();
    on_all_cores(&runs, |(suite, seed)| {
        assert_eq!(run(suite, *seed), run(suite, *seed), "{} {seed}", suite.name);
    });
}

#[test]
fn other_seeds_are_other_runs() {
    let suite = suite("honest").unwrap();
    assert_ne!(run(suite, 1).audit, run(suite, 2).audit);
}

#[test]
fn epochs() {
    let counts = judged_over("epochs", seeds(EPOCHS_SEEDS));
    happened(
        &counts,
        &["released", "crashes", "heights_of_later_epochs", "joined", "failed_rounds"],
    );
    happened(
        &counts,
        &["carried_ids", "blamed", "late_shares", "adversary_moves", "failed_leg_failed"],
    );
}
