//! Files that are refused, and what the error names.

use fairveil_simulation::scenario::Scenario;
use serde_json::{Value, json};

fn file() -> Value {
    json!({
        "name": "refused",
        "about": "never runs",
        "committee": { "n": 5, "f": 1, "g": 0 },
        "traders": [{ "bundles": 10 }],
        "adversaries": [{ "sequencer": 5, "kind": "reverser" }],
        "faults": [{ "kind": "power", "sequencer": 1, "at_ms": 500, "lasts_ms": 100 }],
        "sites": [
            { "name": "east", "sequencers": [1, 2] },
            { "name": "west", "sequencers": [3, 4, 5] },
        ],
        "expect": { "unordered": 0 },
    })
}

/// Sets the value at a JSON pointer, whose last step may be a new key.
fn changed(pointer: &str, value: Value) -> Value {
    let mut document = file();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(object) => drop(object.insert(key.into(), value)),
        Value::Array(array) => array[key.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
    document
}

fn power(sequencer: u64, at_ms: u64, lasts_ms: u64) -> Value {
    json!({ "kind": "power", "sequencer": sequencer, "at_ms": at_ms, "lasts_ms": lasts_ms })
}

fn parts(sequencers: &[u64]) -> Value {
    json!({ "kind": "partition", "sequencers": sequencers, "at_ms": 1_500, "lasts_ms": 100 })
}

#[test]
fn a_figure_is_expected_once_and_those_of_honest_runs_beside_an_attack() {
    let error = |text: &str| Scenario::parse(text.as_bytes()).err().map(|error| error.to_string());
    let twice = file().to_string().replace("\"unordered\":0", "\"ordered\":1,\"ordered\":2");
    let says = error(&twice).unwrap();
    assert!(says.contains("expect names ordered twice"), "{says}");
    let mut honest = changed("/expect/honest.ordered", json!(1));
    assert_eq!(error(&honest.to_string()), None);
    honest["adversaries"] = json!([]);
    let says = error(&honest.to_string()).unwrap();
    assert!(says.contains("honest.ordered is never measured in a run in which"), "{says}");
    let mut added = changed("/expect/added.bytes_per_id", json!({ "at_most": 40 }));
    assert_eq!(error(&added.to_string()), None);
    added["adversaries"] = json!([]);
    let says = error(&added.to_string()).unwrap();
    assert!(says.contains("added.bytes_per_id is never measured in a run in which"), "{says}");
    let gain = changed("/expect/added.gain_ppm", json!(0));
    let says = error(&gain.to_string()).unwrap();
    assert!(says.contains("by that name: gain_ppm is added.first_ppm"), "{says}");
    let apart = changed("/faults", json!([power(1, 500, 100), power(1, 601, 10)]));
    assert_eq!(error(&apart.to_string()), None, "one after the other");
}

#[test]
fn the_file_itself_is_accepted() {
    Scenario::parse(file().to_string().as_bytes()).unwrap();
}

#[test]
fn the_error_names_the_key_the_value_and_the_limit() {
    let cases = [
        ("/nome", json!("x"), "unknown field `nome`"),
        ("/committee/h", json!(1), "unknown field `h`"),
        ("/traders/0/every", json!(5), "unknown field `every`"),
        ("/adversaries/0/who", json!(5), "unknown field `who`"),
        ("/faults/0/how", json!(5), "unknown field `how`"),
        ("/links", json!({ "latency": [1, 2] }), "unknown field `latency`"),
        ("/sites/0/where", json!("x"), "unknown field `where`"),
        ("/faults/0/kind", json!("fire"), "unknown variant `fire`"),
        ("/mode", json!("fast"), "mode is \"fast\", it may be strict, themis"),
        ("/traders/0/attack", json!("ddos"), "unknown variant `ddos`"),
        ("/name", json!(""), "the length of name is 0, it may be 1 to 64"),
        ("/committee/n", json!(32), "committee.n is 32, it may be 1 to 31"),
        ("/committee/f", json!(2), "it takes 9"),
        ("/traders", json!([]), "the number of traders is 0, it may be 1 to 64"),
        ("/traders/0/bundles", json!(0), "traders[0].bundles is 0, it may be 1 to 3000"),
        ("/traders/0/every_ms", json!(100_000), "times every_ms is 1000000, it may be 0 to 120000"),
        ("/traders/0/reach", json!(6), "traders[0].reach is 6, it may be 1 to 5"),
        ("/traders/0/reach", json!("most"), "traders[0].reach is \"\\\"most\\\"\""),
        ("/traders/0/site", json!("north"), "is \"north\", it may be east, west"),
        ("/traders/0/bundles", Value::Null, "traders[0].bundles is missing"),
        ("/traders/0/jitter_ms", json!(10_001), "is 10001, it may be 0 to 10000"),
        ("/links", json!({ "loss_percent": 21 }), "links.loss_percent is 21, it may be 0 to 20"),
        ("/links", json!({ "latency_ms": [9, 8] }), "links.latency_ms is 9, it may be 0 to 8"),
        ("/links", json!({ "latency_ms": [9, 401] }), "latency_ms is 401, it may be 0 to 400"),
        ("/links", json!({ "jitter_ms": 101 }), "links.jitter_ms is 101, it may be 0 to 100"),
        ("/sites/1/sequencers", json!([2, 3, 4, 5]), "names sequencer 2 a second time"),
        ("/sites/1/sequencers", json!([4, 5]), "sequencers with a site is 4, it may be 5 to 5"),
        ("/adversaries/0/sequencer", json!(6), "adversaries[0].sequencer is 6, it may be 1 to 5"),
        ("/adversaries/0/kind", json!("robot"), "no adversary is named \"robot\"; there are"),
        ("/adversaries/0/kind", json!("condorcet:1"), "of 2 to 256 bundles"),
        ("/adversaries/0/kind", json!("false-witness"), "changes of the committee"),
        ("/faults/0/lasts_ms", json!(0), "faults[0].lasts_ms is 0, it may be 1 to 120000"),
        ("/sites/1/name", json!("east"), "sites[1].name names site \"east\" a second time"),
        ("/faults/0", parts(&[]), "the number of faults[0].sequencers is 0, it may be 1 to 4"),
        ("/faults/0", parts(&[1, 2, 3, 4, 5]), "faults[0].sequencers is 5, it may be 1 to 4"),
        (
            "/faults",
            json!([power(1, 500, 100), power(2, 500, 100), power(1, 550, 10)]),
            "faults[2] cuts the power of sequencer 1 at 550 ms, faults[0] until 600 ms",
        ),
        ("/expect/moves.phantom", json!(1), "expect.moves.phantom is never measured without a"),
        ("/expect/strict.ordered", json!(1), "strict.ordered is never measured in a run of mode"),
        ("/expect/run.unordered", json!(1), "expect names figure unordered (as run.unordered)"),
        ("/expect/themis.gain_ppm", json!(1), "themis.gain_ppm is never measured of another order"),
        ("/expect/speed", json!(1), "expect is \"speed\", it may be bundles, ordered"),
        ("/expect/themis.speed", json!(1), "expect is \"themis.speed\""),
        ("/expect/moves.robot", json!(1), "expect is \"moves.robot\", it may be bundles, ordered"),
        ("/expect/unordered", json!("0"), "expect.unordered is \"\\\"0\\\"\""),
        ("/expect/unordered", json!({ "at_mots": 1 }), "expect.unordered is"),
        ("/expect/unordered", json!({}), "expect.unordered is"),
        ("/expect/unordered", json!(0.5), "expect.unordered is"),
    ];
    for (pointer, value, says) in cases {
        let refused = Scenario::parse(changed(pointer, value).to_string().as_bytes());
        let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(says), "{pointer}: {error:?} does not say {says:?}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_key_that_would_be_ignored_is_refused_by_its_name_and_by_what_would_ignore_it() {
    let group = |attack: &str, key: &str, value: Value| {
        let mut group = json!({ "attack": attack });
        if attack == "condorcet" {
            group["bundles"] = json!(10);
        }
        group[key] = value;
        changed("/traders", json!([{ "bundles": 10 }, group]))
    };
    let error = |document: Value| Scenario::parse(document.to_string().as_bytes()).err();
    let keys = [
        ("bundles", json!(1)),
        ("from_ms", json!(1_250)),
        ("every_ms", json!(5)),
        ("jitter_ms", json!(0)),
        ("reach", json!("all")),
        ("site", json!("east")),
    ];
    for (name, value) in keys {
        for (attack, reads) in
            [("split", &[][..]), ("condorcet", &["bundles", "from_ms", "every_ms"][..])]
        {
            let says = error(group(attack, name, value.clone())).map(|error| error.to_string());
            let ignored = format!("traders[1].{name} would be ignored by the attack \"{attack}\"");
            assert_eq!(says, (!reads.contains(&name)).then_some(ignored));
        }
    }
    let twice = json!([{ "bundles": 10 }, { "attack": "split" }, { "attack": "split" }]);
    let twice = error(changed("/traders", twice)).unwrap().to_string();
    assert_eq!(twice, "the number of groups whose attack is \"split\" is 2, it may be 0 to 1");
    let mut apart = changed("/links", json!({ "between_sites_ms": [1, 2] }));
    assert!(error(apart.clone()).is_none());
    apart["sites"] = json!([]);
    let apart = error(apart).unwrap().to_string();
    assert_eq!(apart, "links.between_sites_ms would be ignored without sites");
}

#[test]
fn more_adversaries_than_f_are_refused() {
    let two = json!([
        { "sequencer": 5, "kind": "reverser" },
        { "sequencer": 4, "kind": "phantom" },
    ]);
    let refused = Scenario::parse(changed("/adversaries", two).to_string().as_bytes());
    assert_eq!(refused.unwrap_err().to_string(), "2 adversaries, the committee tolerates f = 1");
}
