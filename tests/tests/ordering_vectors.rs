//! Every scenario of `vectors/ordering.json` through what `fairveil simulate ordering` runs:
//! sets against `expected`, codes of refusals, and the order against the true receive orders.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use fairveil_simulation::ordering_scenario::{self, Code};
use fairveil_tests::vectors::{self, Vectors};
use serde_json::{Value, json};

const CODES: [Code; 8] = [
    Code::BadInput,
    Code::BadCommittee,
    Code::BadMode,
    Code::UnknownSequencer,
    Code::DuplicateSequencer,
    Code::BadId,
    Code::RepeatedId,
    Code::TooFewFragments,
];

fn run(scenario: &Value) -> Result<Value, Code> {
    let output = ordering_scenario::run(&serde_json::to_vec(scenario).unwrap());
    let output = output.map_err(|error| error.code)?;
    Ok(serde_json::from_str(&output).unwrap())
}

fn sorted(ids: &Value) -> Vec<&str> {
    let mut ids: Vec<&str> =
        ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

/// What no tie-break can change, in the form of `expected`.
fn canonical(output: &Value) -> Value {
    let blocks = output["blocks"].as_array().unwrap().iter().map(|block| {
        let mut cohorts: Vec<_> = block["cohorts"].as_array().unwrap().iter().map(sorted).collect();
        cohorts.sort_unstable();
        cohorts
    });
    json!({
        "blocks": blocks.collect::<Vec<_>>(),
        "pending": sorted(&output["pending"]),
        "unproposed": sorted(&output["unproposed"]),
    })
}

fn with_fragments_reversed(scenario: &Value) -> Value {
    let mut turned = scenario.clone();
    for block in turned["blocks"].as_array_mut().unwrap() {
        block["fragments"].as_array_mut().unwrap().reverse();
    }
    turned["name"] = json!("another name");
    turned
}

/// Neighbours of the output that at most g honest sequencers received in this order.
fn unsupported(scenario: &Value, output: &Value) -> usize {
    let mut logs: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for block in scenario["blocks"].as_array().unwrap() {
        for fragment in block["fragments"].as_array().unwrap() {
            let ids = fragment["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
            logs.entry(fragment["sequencer"].as_u64().unwrap()).or_default().extend(ids);
        }
    }
    let truth = &scenario["truth"];
    let honest = truth["honest"].as_array().unwrap().iter().map(|index| index.as_u64().unwrap());
    let places: Vec<BTreeMap<&str, usize>> = honest
        .map(|index| {
            let order = match truth["orders"].get(index.to_string()) {
                Some(order) => {
                    order.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect()
                }
                None => logs.get(&index).cloned().unwrap_or_default(),
            };
            order.into_iter().enumerate().map(|(at, id)| (id, at)).collect()
        })
        .collect();
    let out: Vec<&str> = output["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|block| block["cohorts"].as_array().unwrap())
        .flat_map(|cohort| cohort.as_array().unwrap().iter().map(|id| id.as_str().unwrap()))
        .collect();
    let g = scenario["g"].as_u64().unwrap() as usize;
    let supporters = |a: &str, b: &str| {
        let place =
            |places: &BTreeMap<&str, usize>, id| places.get(id).copied().unwrap_or(usize::MAX);
        places.iter().filter(|places| place(places, a) < place(places, b)).count()
    };
    out.windows(2).filter(|pair| supporters(pair[0], pair[1]) <= g).count()
}

#[test]
fn the_copy_of_the_ordering_vectors_is_current() {
    vectors::require_copy_is_current("ordering");
}

#[test]
fn every_scenario_of_the_ordering_vectors() {
    let file = Vectors::load("ordering");
    let mut refused = BTreeSet::new();
    let mut ordered = 0;
    for scenario in file.list() {
        let (name, expected) = (&scenario["name"], &scenario["expected"]);
        match (expected["error"].as_str(), run(scenario)) {
            (Some(code), Err(error)) => {
                assert_eq!(error.name(), code, "{name}");
                refused.insert(error.name());
            }
            (None, Ok(output)) => {
                assert_eq!(&canonical(&output), expected, "{name}");
                assert_eq!(unsupported(scenario, &output), 0, "{name}");
                let turned = run(&with_fragments_reversed(scenario)).unwrap();
                assert_eq!(turned, output, "{name}: with fragments in another order");
                ordered += 1;
            }
            (_, actual) => panic!("{name}: {actual:?}, expected {expected}"),
        }
    }
    let codes: BTreeSet<&str> = CODES.into_iter().map(Code::name).collect();
    assert!(ordered > 0);
    if std::env::var_os(vectors::FOLDER_VARIABLE).is_none() {
        assert_eq!(refused, codes, "our own file meets every code");
    }
}

fn id(byte: &str) -> String {
    format!("0x{}", byte.repeat(32))
}

fn in_mode(scenario: &Value, mode: &str) -> Value {
    let mut other = scenario.clone();
    other["mode"] = json!(mode);
    other
}

fn flat(output: &Value) -> Vec<String> {
    let blocks = output["blocks"].as_array().unwrap().iter();
    let cohorts = blocks.flat_map(|block| block["cohorts"].as_array().unwrap());
    let ids = cohorts.flat_map(|cohort| cohort.as_array().unwrap());
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// What every mode owes for the same file: each id at most once, nothing lost, the same whatever the
/// order of fragments; and for `themis` neighbours with honest support, like `strict`.
#[test]
fn every_scenario_runs_in_every_mode() {
    let mut emitted: BTreeMap<&str, usize> = BTreeMap::new();
    let file = Vectors::load("ordering");
    let valid = file.list().iter().filter(|scenario| scenario["expected"]["error"].is_null());
    for scenario in valid {
        let name = &scenario["name"];
        for mode in ["strict", "themis", "median", "leader"] {
            let scenario = in_mode(scenario, mode);
            let output = run(&scenario).unwrap();
            let order = flat(&output);
            let held = [&output["pending"], &output["unproposed"]];
            let left = held.into_iter().flat_map(sorted).map(str::to_owned);
            let all: Vec<String> = order.iter().cloned().chain(left).collect();
            let logged: BTreeSet<&str> = scenario["blocks"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|block| block["fragments"].as_array().unwrap())
                .flat_map(|fragment| sorted(&fragment["ids"]))
                .collect();
            assert_eq!(all.len(), logged.len(), "{name} {mode}");
            assert_eq!(all.iter().map(String::as_str).collect::<BTreeSet<_>>(), logged);
            assert_eq!(run(&with_fragments_reversed(&scenario)).unwrap(), output, "{name} {mode}");
            if mode == "themis" {
                assert_eq!(unsupported(&scenario, &output), 0, "{name} {mode}");
            }
            *emitted.entry(mode).or_default() += order.len();
        }
    }
    assert!(emitted.values().all(|ids| *ids > 1_000), "{emitted:?}");
}

#[test]
fn mode_leader_follows_lists_or_the_leaders_log() {
    let fragment = |sequencer: u16| json!({"sequencer": sequencer, "ids": [id("aa"), id("bb")]});
    let fragments: Vec<Value> = (1..=4).map(fragment).collect();
    let mut scenario = json!({
        "n": 5, "f": 1, "g": 0, "mode": "leader", "blocks": [{"fragments": fragments}],
    });
    let output = run(&scenario).unwrap();
    assert_eq!(output["blocks"][0]["cohorts"], json!([[id("aa")], [id("bb")]]));
    scenario["blocks"][0]["list"] = json!([id("cc"), id("bb")]);
    let output = run(&scenario).unwrap();
    assert_eq!(output["blocks"][0]["cohorts"], json!([[id("cc")], [id("bb")]]));
    assert_eq!(output["unproposed"], json!([id("aa")]));
    scenario["blocks"][0]["list"] = json!([id("cc"), id("cc")]);
    assert_eq!(run(&scenario), Err(Code::RepeatedId));
    scenario["mode"] = json!("strict");
    assert!(run(&scenario).is_ok(), "an unknown key of mode strict");
}

#[test]
fn mode_median_goes_by_the_times_that_stand_in_the_file() {
    let quiet =
        |sequencer: u16| json!({"sequencer": sequencer, "ids": [], "times_ms": [], "clock_ms": 99});
    let fragment = |sequencer: u16, times: [u64; 2]| {
        json!({
            "sequencer": sequencer, "ids": [id("aa"), id("bb")], "times_ms": times, "clock_ms": 50,
        })
    };
    let mut scenario = json!({
        "n": 5, "f": 1, "g": 0, "mode": "median",
        "blocks": [
            {"fragments": [
                fragment(1, [10, 20]), fragment(2, [11, 21]), fragment(3, [30, 31]),
                {"sequencer": 4, "ids": [id("bb"), id("aa")], "times_ms": [5, 40], "clock_ms": 50},
            ]},
            {"fragments": [quiet(1), quiet(2), quiet(3), quiet(4)]},
        ],
    });
    // Medians: aa 11 of 10 11 30 40, bb 20 of 5 20 21 31.
    let output = run(&scenario).unwrap();
    assert_eq!(flat(&output), [id("aa"), id("bb")]);
    scenario["blocks"][0]["fragments"][1]["times_ms"] = json!([25, 26]);
    let output = run(&scenario).unwrap();
    assert_eq!(flat(&output), [id("bb"), id("aa")], "now 25 and 20");
    let times = &mut scenario["blocks"][0]["fragments"][0]["times_ms"];
    *times = json!([20, 10]);
    assert_eq!(run(&scenario), Err(Code::BadInput), "times descend");
}

/// One line: where, what stands there, what it may be.
#[test]
fn what_is_no_scenario_is_told_with_its_place_and_its_value() {
    let id = format!("0x{}", "aa".repeat(32));
    let scenario = json!({
        "n": 1, "f": 0, "g": 0, "mode": "strict",
        "blocks": [{ "fragments": [{ "sequencer": 1, "ids": [id] }] }],
    });
    assert!(run(&scenario).is_ok());
    let refused = |text: &str| ordering_scenario::run(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(refused("{\"n\": 1,\n x}"), "not JSON: key must be a string at line 2 column 2");
    assert_eq!(refused("[1]"), "scenario is a list, not an object");
    assert_eq!(refused("{}"), "scenario has no \"n\"");
    let cases = [
        ("/f", json!("0"), "scenario.f is \"0\", not an integer"),
        ("/n", json!(u64::MAX), "scenario.n is 18446744073709551615, not an integer of 64 bits"),
        ("/n", json!(0), "n = 0, f = 0, g = 0: "),
        ("/n", json!(70_000), "n = 70000, f = 0, g = 0: they may be 0 to 65535"),
        ("/mode", json!("strct"), "scenario.mode is \"strct\", none of the modes"),
        ("/blocks/0", json!({}), "scenario.blocks[0] has no \"fragments\""),
        (
            "/blocks/0/fragments",
            json!([]),
            "fragments is a list, with 0 fragments, it takes n - f = 1",
        ),
        ("/blocks/0/fragments/0/sequencer", json!(2), "[0].sequencer is 2, it may be 1 to 1"),
        ("/blocks/0/fragments/0/ids/0", json!("0xAA"), ".ids[0] is \"0xAA\", not 0x and 64"),
        ("/blocks/0/fragments/0/ids", json!([id, id]), ".ids[1] is \"0xaaaa"),
    ];
    for (pointer, value, expected) in cases {
        let mut changed = scenario.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let says = refused(&changed.to_string());
        assert!(says.contains(expected), "{pointer}: {says}");
    }
    let mut times = scenario.clone();
    times["mode"] = json!("median");
    times["blocks"][0]["fragments"][0]["times_ms"] = json!([]);
    let says = refused(&times.to_string());
    assert!(says.contains("with 0 times for 1 ids"), "{says}");
}
