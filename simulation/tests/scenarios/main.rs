//! Every file of `tests/scenarios`, with its expectations, and the page that shows them.
//!
//! `FAIRVEIL_SEEDS` sets the seeds per file; `FAIRVEIL_WRITE_DOCS=1` writes `docs/scenarios.md` and its
//! pictures.

#![allow(clippy::unwrap_used)]

#[path = "../cores/mod.rs"]
mod cores;
mod gallery;
mod refused;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use fairveil_sequencer::Behaviour;
use fairveil_simulation::scenario::{self, Scenario, plot, table};

use crate::cores::on_all_cores;

/// Seeds per file, unless the environment says otherwise: every adversary stands in two files.
const SEEDS: u64 = 1;

fn seeds() -> u64 {
    std::env::var("FAIRVEIL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/scenarios"))
}

/// All files, by the name of their scenario, which is the file's.
fn scenarios() -> BTreeMap<String, (Scenario, Vec<u8>)> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let read = files.filter(|path| path.extension().is_some_and(|end| end == "json")).map(|path| {
        #[expect(clippy::disallowed_methods, reason = "a test reads the files")]
        let bytes = std::fs::read(&path).unwrap();
        let scenario = Scenario::parse(&bytes).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(path.file_stem().unwrap().to_str(), Some(scenario.name.as_str()));
        (scenario.name.clone(), (scenario, bytes))
    });
    read.collect()
}

#[test]
fn every_scenario_does_what_its_file_expects_and_the_page_shows() {
    let scenarios = scenarios();
    let of = |seed| scenarios.values().map(move |(scenario, _)| (scenario, seed));
    let runs: Vec<_> = (1..=seeds()).flat_map(of).collect();
    let outcomes = on_all_cores(&runs, |(scenario, seed)| scenario::run(scenario, *seed));
    let mut failed = Vec::new();
    for ((scenario, seed), outcome) in runs.iter().zip(&outcomes) {
        if !outcome.passed() {
            println!("{}", table::table(scenario, outcome));
            let name = &scenario.name;
            failed.push(format!(
                "fairveil simulate committee --scenario tests/scenarios/{name}.json --seed {seed}"
            ));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} runs failed:\n{}",
        failed.len(),
        runs.len(),
        failed.join("\n")
    );
    gallery::compare(runs.iter().zip(&outcomes).filter(|((_, seed), _)| *seed == 1));
}

#[test]
fn same_scenario_and_seed_same_bytes() {
    let scenarios = scenarios();
    for name in ["racer", "power"] {
        let (scenario, _) = &scenarios[name];
        let shown = || {
            let outcome = scenario::run(scenario, 7);
            let page = table::table(scenario, &outcome);
            (page, table::document(scenario, &outcome).to_string(), plot::svg(scenario, &outcome))
        };
        let other = scenario::run(scenario, 8);
        let first = shown();
        assert!(first == shown(), "{name}");
        assert_ne!(first.1, table::document(scenario, &other).to_string());
    }
}

#[test]
fn every_adversary_stands_in_two_files() {
    let mut files: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, (_, bytes)) in scenarios() {
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for one in document["adversaries"].as_array().into_iter().flatten() {
            let kind: Behaviour = one["kind"].as_str().unwrap().parse().unwrap();
            files.entry(kind.name()).or_default().insert(name.clone());
        }
    }
    // It lies to those who join an epoch: suite `epochs`.
    let here = Behaviour::ALL.into_iter().filter(|kind| *kind != Behaviour::FalseWitness);
    for kind in here {
        let stands = files.get(kind.name()).map_or(0, BTreeSet::len);
        assert!(stands >= 2, "{} stands in {stands} files", kind.name());
    }
}

#[test]
fn every_file_expects_a_move_of_each_adversary_and_that_bundles_come_out() {
    for (name, (_, bytes)) in scenarios() {
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let least = |key: &str| {
            let bound = &document["expect"][key];
            bound["at_least"].as_u64().or_else(|| bound.as_u64()).unwrap_or(0)
        };
        for one in document["adversaries"].as_array().into_iter().flatten() {
            let kind: Behaviour = one["kind"].as_str().unwrap().parse().unwrap();
            assert!(least(&format!("moves.{}", kind.name())) >= 1, "{name}: {kind}");
        }
        let traders = document["traders"].as_array().unwrap().iter();
        let traders = traders.filter(|group| group["attack"].is_null());
        let sent: u64 = traders.map(|group| group["bundles"].as_u64().unwrap()).sum();
        assert!(least("ordered") >= sent, "{name}: ordered");
    }
}

#[test]
fn what_is_expected_wrongly_is_missed() {
    let (_, bytes) = &scenarios()["reverser"];
    let mut document: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    document["traders"] = serde_json::json!([{ "bundles": 20, "jitter_ms": 20 }]);
    document["expect"] = serde_json::json!({
        "unordered": 1,
        "adversary_moves": 0,
        "added.bundles": 1,
        "added.adversary_moves": { "at_least": 1 },
        "moves.reverser": { "at_most": 0 },
        "cohort_max": { "at_least": 100 },
        "latency_p50_ms": { "at_most": 0 },
        "leader.ordered": { "at_least": 21 },
        "ordered": 20,
    });
    let scenario = Scenario::parse(document.to_string().as_bytes()).unwrap();
    let outcome = scenario::run(&scenario, 1);
    assert_eq!(outcome.violations, Vec::<String>::new());
    assert!(!outcome.passed());
    let missed = outcome.verdicts.iter().filter(|verdict| !verdict.met);
    let missed: Vec<_> = missed.map(|verdict| verdict.key.as_str()).collect();
    let wrong = [
        "added.bundles",
        "adversary_moves",
        "cohort_max",
        "latency_p50_ms",
        "leader.ordered",
        "moves.reverser",
        "unordered",
    ];
    assert_eq!(missed, wrong);
    let page = table::table(&scenario, &outcome);
    assert!(page.contains("MISSED unordered is 0, expected 1\n"), "{page}");
    assert!(page.contains("MISSED added.bundles is 0, expected 1\n"), "{page}");
    assert!(page.contains("ok     ordered is 20, expected 20\n"), "{page}");
    let document = table::document(&scenario, &outcome);
    assert_eq!(document["moves"].as_object().unwrap().keys().collect::<Vec<_>>(), ["reverser"]);
    assert_eq!(document["moves"]["reverser"], document["counts"]["adversary_moves"]);
}
