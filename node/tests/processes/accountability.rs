//! What receipts and the certified order of a real run say of each other.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::network::{Desk, Dev, fairveil, seen_within_minutes, wait_for};
use crate::trader::{FIRST, SECOND};

/// Bundles of the run.
const BUNDLES: usize = 12;

/// Submits bundles one after the other; the files of the sealed ones and their ids.
fn run(dev: &Dev, desk: &Desk) -> Vec<(String, String)> {
    let (bundle, payer) = (desk.text("bundle.json"), desk.text("payer.key"));
    let (one, two) = (format!("901:{}", FIRST[0]), format!("902:{SECOND}"));
    dev.done(&["bundle", "build", "--tx", &one, "--tx", &two, "--out", &bundle]);
    let sealed: Vec<String> =
        (0..BUNDLES).map(|number| desk.text(&format!("{number}.json"))).collect();
    for path in &sealed {
        let rest = ["--expires-in", "900h", "--out", path];
        dev.done(
            &[&["bundle", "seal", "--bundle", &bundle, "--payer", &payer][..], &rest].concat(),
        );
    }
    let submitted = sealed.into_iter().map(|path| {
        let printed = dev.done(&["--json", "bundle", "submit", &path]);
        let answer: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(answer["state"], "admitted", "{printed}");
        (path, answer["id"].as_str().unwrap().to_owned())
    });
    let submitted: Vec<_> = submitted.collect();
    for (path, _) in &submitted {
        dev.done(&["bundle", "wait", path]);
    }
    submitted
}

fn value(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn write(path: &str, value: &Value) {
    std::fs::write(Path::new(path), value.to_string()).unwrap();
}

/// What a command answers as JSON, and its exit code.
fn answered(dev: &Dev, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = dev.trader(&[&["--json"][..], arguments].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let value =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{arguments:?}: {text}{errors}"));
    (value, output.status.code())
}

/// A trace without one of its heights, or without receipts, or without heights, is told as such by
/// both commands, with one exit code.
fn too_little_is_no_verdict(dev: &Dev, desk: &Desk, trace: &str) {
    let (path, whole) = (desk.text("little.json"), value(trace));
    let told = |changed: &Value, line: &str| {
        write(&path, changed);
        let (judged, code) = answered(dev, &["verify", "fairness", "--trace", &path]);
        assert_eq!(code, Some(5), "{judged:#}");
        assert_eq!(judged["verdict"], "not_enough", "{judged:#}");
        let output = dev.trader(&["verify", "fairness", "--trace", &path]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("NOT ENOUGH: {line}")), "{text}");
        let (files, code) = answered(dev, &["verify", &path]);
        assert_eq!(code, Some(5), "{files:#}");
        assert_eq!(files["files"][0]["proves"]["verdict"], "not_enough", "{files:#}");
        judged
    };
    let mut cut = whole.clone();
    let orders = cut["orders"].as_array_mut().unwrap();
    let order = orders.remove(orders.len() / 2);
    let height = order["emission"]["height"].as_u64().unwrap();
    let judged = told(&cut, &format!("height {height} is missing: "));
    assert_eq!(judged["missing_heights"], json!([[height, height]]));
    for list in ["receipts", "orders"] {
        let mut bare = whole.clone();
        bare[list] = Value::Array(Vec::new());
        assert_eq!(told(&bare, "nothing was compared: ")["compared"], 0);
    }
}

/// One of five reports everything in reverse: its receipts say so, nobody else's do, and the order
/// is judged as fair. Nothing was omitted, and no proof of it can be made.
#[test]
fn a_run_is_recorded_judged_and_omits_nothing() {
    let arguments =
        ["--rollup", "recorder:901", "--rollup", "recorder:902", "--byzantine", "reverser"];
    let dev = Dev::start_with(&arguments);
    let desk = Desk::new();
    let bundles = run(&dev, &desk);
    let (sealed, id) = &bundles[0];
    let receipts = desk.text(&format!("{id}.receipts.json"));
    let trace = desk.text("trace.json");
    dev.done(&["bundle", "trace", "--sealed", sealed, "--ask", "--out", &trace]);

    let (judged, code) = answered(&dev, &["verify", "fairness", "--trace", &trace, &receipts]);
    assert_eq!(code, Some(0), "{judged:#}");
    assert_eq!(judged["ids"], BUNDLES, "{judged:#}");
    assert!(judged["receipts"].as_u64().unwrap() >= 4 * BUNDLES as u64, "{judged:#}");
    assert_eq!(judged["refused"], Value::Array(Vec::new()));
    assert_eq!(judged["findings"]["violations"], 0);
    assert_eq!(judged["findings"]["pairs"], judged["findings"]["differing"]);
    let shown = judged["pairs"].as_array().unwrap().len();
    assert_eq!(judged["findings"]["pairs"], shown);
    let lines = dev.done(&["verify", "fairness", "--trace", &trace]);
    assert!(lines.contains("epoch 1: n 5, f 1, g 0: pairs that 2 or more contradict"), "{lines}");
    let whole = dev.done(&["verify", &trace]);
    assert!(whole.contains("12 ids are genuine"), "{whole}");
    assert_eq!(judged["verdict"], "no_fault", "{judged:#}");
    assert_eq!(judged["missing_heights"], Value::Array(Vec::new()));
    assert_eq!(judged["compared"], BUNDLES, "{judged:#}");
    too_little_is_no_verdict(&dev, &desk, &trace);

    // One position in one receipt changed: named, and not counted.
    let mut changed = value(&trace);
    let place = changed["receipts"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find_map(|receipt| receipt["body"]["place"].get_mut("position"));
    *place.unwrap() = 77.into();
    let forged = desk.text("forged.json");
    write(&forged, &changed);
    let (judged, code) = answered(&dev, &["verify", "fairness", "--trace", &forged]);
    assert_eq!(code, Some(1), "{judged:#}");
    let refused = judged["refused"][0].as_str().unwrap();
    assert!(refused.contains("did not sign this: at position 77"), "{refused}");

    let omission = ["verify", "censorship", "--receipts", &receipts, "--sealed", sealed];
    let proof = desk.text("proof.json");
    let rest = ["--order", &trace, "--out", &proof];
    let (judged, code) = answered(&dev, &[&omission[..], &rest].concat());
    assert_eq!((code, &judged["proven"]), (Some(1), &Value::Bool(false)));
    let reason = judged["reason"].as_str().unwrap();
    assert!(reason.contains("was not omitted: emitted at height "), "{reason}");
    assert!(!Path::new(&proof).exists());
    // Nor by leaving the height out that emitted it.
    let mut cut = value(&trace);
    let orders = cut["orders"].as_array_mut().unwrap();
    orders.retain(|order| !order["emission"].to_string().contains(id.as_str()));
    write(&forged, &cut);
    let (judged, code) = answered(&dev, &[&omission[..], &["--order", &forged]].concat());
    assert_eq!((code, &judged["proven"]), (Some(1), &Value::Bool(false)), "{judged:#}");
}

/// Two traders submit at once, one to two sequencers and one to the other three: sooner or later these
/// receive the two bundles in different orders. That is listed, and no fault.
#[test]
fn what_was_received_in_two_orders_is_listed_and_no_fault() {
    let dev = Dev::start();
    let desk = Desk::new();
    crate::trader::seal(&dev, &desk, "900h");
    let urls: Vec<String> = dev.sequencers().into_iter().map(|one| one.http).collect();
    let trace = |attempt: u32| desk.text(&format!("trace-{attempt}.json"));
    let mut attempt = 0;
    let judged = seen_within_minutes(|| {
        attempt += 1;
        let mut submissions = Vec::new();
        for (name, near) in [("one", &urls[..2]), ("other", &urls[2..])] {
            let sealed = desk.text(&format!("{name}-{attempt}.json"));
            let (bundle, payer) = (desk.text("bundle.json"), desk.text("payer.key"));
            let seal = ["bundle", "seal", "--bundle", &bundle, "--payer", &payer];
            dev.done(&[&seal[..], &["--expires-in", "900h", "--out", &sealed]].concat());
            let mut submit = fairveil();
            submit.args(["bundle", "submit", &sealed]).envs(dev.environment());
            submit.env("FAIRVEIL_SEQUENCERS", near.join(",")).stdout(Stdio::null());
            submissions.push((submit, sealed));
        }
        let started: Vec<_> = submissions.iter_mut().map(|(submit, _)| submit.spawn()).collect();
        for submission in started {
            assert!(submission.unwrap().wait().unwrap().success());
        }
        submissions.iter().for_each(|(_, sealed)| drop(dev.done(&["bundle", "wait", sealed])));
        dev.done(&["bundle", "trace", "--from", "1", "--ask", "--out", &trace(attempt)]);
        let judged = answered(&dev, &["verify", "fairness", "--trace", &trace(attempt)]);
        (judged.0["findings"]["pairs"] != 0).then_some(judged)
    });
    let (judged, _) = judged.expect("a pair that two members received the other way round");
    assert_eq!(judged["findings"]["pairs"], judged["findings"]["differing"], "{judged:#}");
    let pair = &judged["pairs"][0];
    let count = |key: &str| pair[key].as_array().unwrap().len();
    assert!(count("against") >= 2 && count("against") + count("with") <= 5, "{pair:#}");
    let text = dev.done(&["verify", "fairness", "--trace", &trace(attempt)]);
    assert!(text.contains(" signed the opposite ("), "{text}");
}

/// A bundle that was sealed and never sent has no receipts, and those of another one prove nothing.
#[test]
fn receipts_of_another_bundle_prove_no_omission() {
    let dev = Dev::start();
    let desk = Desk::new();
    crate::trader::seal(&dev, &desk, "900h");
    let first = desk.text("sealed.json");
    let answer: Value =
        serde_json::from_str(&dev.done(&["--json", "bundle", "submit", &first])).unwrap();
    let receipts = desk.text(&format!("{}.receipts.json", answer["id"].as_str().unwrap()));
    let unsent = desk.text("unsent.json");
    let (bundle, payer) = (desk.text("bundle.json"), desk.text("payer.key"));
    let seal = ["bundle", "seal", "--bundle", &bundle, "--payer", &payer];
    dev.done(&[&seal[..], &["--expires-in", "900h", "--out", &unsent]].concat());
    let sequencer = &dev.sequencers()[0];
    let height = dev.height(sequencer);
    wait_for("twelve heights", || (dev.height(sequencer) > height + 12).then_some(()));
    let trace = desk.text("trace.json");
    dev.done(&["bundle", "trace", "--sealed", &unsent, "--out", &trace]);
    let arguments =
        ["verify", "censorship", "--receipts", &receipts, "--sealed", &unsent, "--order", &trace];
    let (judged, code) = answered(&dev, &arguments);
    assert_eq!(code, Some(1));
    let reason = judged["reason"].as_str().unwrap();
    assert!(reason.starts_with("receipt 1: receipt is for bundle "), "{reason}");
}
