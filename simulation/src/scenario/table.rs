//! An outcome for people, and as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::expect::MOVES;
use super::file::Scenario;
use super::metrics::{FIGURES, moves};
use super::run::Outcome;

/// Width of a column of figures.
const COLUMN: usize = 11;
/// Width of the names of figures.
const NAMES: usize = 30;

/// The figures of every order side by side, what was expected, and what is wrong.
#[must_use]
pub fn table(scenario: &Scenario, outcome: &Outcome) -> String {
    let mut page = String::new();
    let committee = scenario.committee;
    // Writing to a String can't fail.
    let _ = writeln!(
        page,
        "{}, seed {}: n = {}, f = {}, g = {}, T = {}, S = {}; {} virtual ms",
        scenario.name,
        outcome.seed,
        committee.n(),
        committee.f(),
        committee.g(),
        committee.thresholds().edge,
        committee.thresholds().solid,
        outcome.report.virtual_ms,
    );
    let _ = writeln!(page, "{}\n", scenario.about);
    let _ = write!(page, "     {:NAMES$}", "");
    for whose in outcome.orders.keys() {
        cell(&mut page, whose.name());
    }
    page.push('\n');
    let mut metric = "";
    for figure in FIGURES {
        let shown = if figure.metric == metric { "" } else { figure.metric };
        metric = figure.metric;
        let _ = write!(page, "{shown:5}{:NAMES$}", figure.name);
        for measured in outcome.orders.values() {
            match measured.figures.get(figure.name) {
                Some(value) => cell(&mut page, &shown_value(figure.name, *value)),
                None => cell(&mut page, "-"),
            }
        }
        page.push('\n');
    }
    by_distance(outcome, &mut page);
    for (kind, moves) in outcome.record.iter().flat_map(moves) {
        let name = format!("{MOVES}.{kind}");
        let _ = writeln!(page, "     {name:NAMES$}{moves:>COLUMN$}");
    }
    page.push('\n');
    for verdict in &outcome.verdicts {
        let _ = writeln!(page, "{:7}{verdict}", if verdict.met { "ok" } else { "MISSED" });
    }
    for what in &outcome.violations {
        let _ = writeln!(page, "WRONG  {what}");
    }
    page
}

fn cell(page: &mut String, content: &str) {
    let _ = write!(page, "{content:>COLUMN$}");
}

/// M4 by distance: reversed of all pairs that so many honest sequencers received against the majority.
fn by_distance(outcome: &Outcome, page: &mut String) {
    let distances = outcome.orders.values().flat_map(|measured| measured.by_distance.keys());
    let most = distances.max().copied().unwrap_or(0);
    for distance in 0..=most {
        let shown = format!("reversed at distance {distance}");
        let _ = write!(page, "     {shown:NAMES$}");
        for measured in outcome.orders.values() {
            let (pairs, reversed) = measured.by_distance.get(&distance).copied().unwrap_or((0, 0));
            cell(page, &format!("{reversed}/{pairs}"));
        }
        page.push('\n');
    }
}

/// A figure in its unit.
pub(crate) fn shown_value(name: &str, value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let size = value.unsigned_abs();
    if name.ends_with("_ppm") {
        format!("{sign}{}.{:02} %", size / 10_000, size % 10_000 / 100)
    } else if name.ends_with("_milli") {
        format!("{sign}{}.{:02}", size / 1_000, size % 1_000 / 10)
    } else {
        value.to_string()
    }
}

/// The same as one JSON document.
#[must_use]
pub fn document(scenario: &Scenario, outcome: &Outcome) -> Value {
    let orders = outcome.orders.iter().map(|(whose, measured)| {
        let distances = measured.by_distance.iter().map(|(distance, (pairs, reversed))| {
            json!({ "distance": distance, "pairs": pairs, "reversed": reversed })
        });
        let sizes = measured.cohort_sizes.iter();
        let sizes = sizes.map(|(size, cohorts)| json!({ "ids": size, "cohorts": cohorts }));
        let order = json!({
            "figures": measured.figures,
            "reversed_by_distance": distances.collect::<Vec<_>>(),
            "cohort_sizes": sizes.collect::<Vec<_>>(),
        });
        (whose.name().to_owned(), order)
    });
    let verdicts = outcome.verdicts.iter().map(|verdict| {
        json!({
            "figure": verdict.key,
            "at_least": verdict.bound.at_least,
            "at_most": verdict.bound.at_most,
            "actual": verdict.actual,
            "met": verdict.met,
        })
    });
    json!({
        "scenario": scenario.name,
        "seed": outcome.seed,
        "passed": outcome.passed(),
        "violations": outcome.violations,
        "expected": verdicts.collect::<Vec<_>>(),
        "orders": orders.collect::<Map<_, _>>(),
        "moves": outcome.record.as_ref().map(moves),
        "audit": outcome.report.audit,
        "virtual_ms": outcome.report.virtual_ms,
        "counts": outcome.report.counts,
    })
}
