//! What people see of outcomes.

use std::collections::BTreeMap;

use fairveil_simulation::scenario::{self, Outcome, OverSeeds, Scenario, Whose, plot};
use serde_json::json;

/// A short run with a liar, and what it was made of.
fn short(about: &str) -> (Scenario, Outcome) {
    let scenario = json!({
        "name": "short", "about": about, "committee": { "n": 5, "f": 1 },
        "traders": [{ "bundles": 10, "jitter_ms": 20 }],
        "adversaries": [{ "sequencer": 5, "kind": "phantom" }],
        "expect": {
            "ordered": 10, "added.liars_phantom_ids": { "at_least": 1 },
            "honest.liars_phantom_ids": 0, "moves.phantom": { "at_least": 1 },
        },
    });
    let scenario = Scenario::parse(scenario.to_string().as_bytes()).unwrap();
    let outcome = scenario::run(&scenario, 1);
    assert!(outcome.passed(), "{:?}", outcome.verdicts);
    (scenario, outcome)
}

#[test]
fn several_seeds_have_mean_least_and_most_of_the_run_and_of_what_is_expected() {
    assert_eq!(OverSeeds::default().table(), "");
    let (scenario, outcome) = short("a liar");
    let mut over_seeds = OverSeeds::new(&scenario);
    for (seed, cohort_max, first_ppm) in [(1, 1, -500), (2, 4, 10_000)] {
        let mut outcome = Outcome { seed, ..outcome.clone() };
        let run = outcome.orders.get_mut(&Whose::Run).unwrap();
        run.figures.insert("cohort_max", cohort_max);
        run.figures.insert("first_ppm", first_ppm);
        over_seeds.take(&outcome);
    }
    let table = over_seeds.table();
    let rows: BTreeMap<&str, Vec<&str>> = table
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(name, cells)| (name, cells.split_whitespace().collect()))
        .collect();
    assert_eq!(rows["seeds 1 to 2"], ["mean", "least", "most"]);
    assert_eq!(rows["ordered"], ["10.00", "10", "10"]);
    assert_eq!(rows["cohort_max"], ["2.50", "1", "4"]);
    assert_eq!(rows["first_ppm"], ["0.47", "%", "-0.05", "%", "1.00", "%"]);
    assert_eq!(rows["honest.liars_phantom_ids"], ["0.00", "0", "0"]);
    for name in ["added.liars_phantom_ids", "moves.phantom"] {
        assert!(rows[name][1].parse::<u64>().unwrap() >= 1, "{table}");
    }
    assert!(!rows.contains_key("honest.ordered"), "{table}");
    assert!(table.ends_with("every seed met what is expected\n"), "{table}");
}

/// As many lines as fit above the picture; what is beyond them is marked.
#[test]
fn the_picture_says_what_happens_in_two_lines() {
    let about = "word ".repeat(100);
    let (scenario, outcome) = short(about.trim());
    let svg = plot::svg(&scenario, &outcome);
    let prose: Vec<&str> = svg.lines().filter(|line| line.contains(">word word")).collect();
    assert_eq!(prose.len(), 2);
    let words = |line: &str| line.matches("word").count();
    assert!(prose.iter().all(|line| (20..=23).contains(&words(line))), "{prose:?}");
    assert!(!prose[0].contains('…') && prose[1].contains("word…<"), "{prose:?}");
}
