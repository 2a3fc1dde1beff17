//! A trader tries a bundle on its own machine: nothing listens, nothing is sent.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::network::{Desk, fairveil};
use crate::trader::{FIRST, SECOND};

/// Who signed the transactions.
const SENDER: &str = "db00079cad3e665853bf766efe26f4c38cdbdcda";
/// Whom they call.
const CALLED: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";

/// A desk with a bundle of the transactions above, by this policy.
fn desk(policy: &str) -> Desk {
    let desk = Desk::new();
    let mut command = fairveil();
    command.args(["bundle", "build", "--policy", policy, "--out", &desk.text("bundle.json")]);
    for transaction in FIRST {
        command.args(["--tx", &format!("901:{transaction}")]);
    }
    command.args(["--tx", &format!("902:{SECOND}")]);
    assert!(command.output().unwrap().status.success());
    desk
}

/// Writes a state in which the sender has this nonce and balance, and the called one this code.
fn state(desk: &Desk, name: &str, nonce: &str, balance: &str, code: &str) {
    let alloc = json!({
        SENDER: { "nonce": nonce, "balance": balance },
        CALLED: { "balance": "0", "code": code },
    });
    fs::write(desk.path(name), json!({ "alloc": alloc }).to_string()).unwrap();
}

fn dry_run(desk: &Desk, args: &[&str]) -> Output {
    let bundle = desk.text("bundle.json");
    let mut command = fairveil();
    command.args(["bundle", "dry-run", "--bundle", &bundle]).args(args);
    command.output().unwrap()
}

/// Both rollups' states, as arguments.
fn states(desk: &Desk) -> [String; 2] {
    ["901", "902"].map(|chain| format!("--state={chain}:{}", desk.text(&format!("{chain}.json"))))
}

#[test]
fn a_dry_run_says_what_every_leg_would_do() {
    let desk = desk("execute");
    state(&desk, "901.json", "0x0", "1000000000000000000", "0x");
    state(&desk, "902.json", "0x0", "1000000000000000000", "0x");
    let states = states(&desk);
    let args = [&states[0], &states[1], "--base-fee", "1000000000", "--json"].map(AsRef::as_ref);
    let output = dry_run(&desk, &args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["released"], true);
    let gas = |leg: usize, tx: usize| document["legs"][leg]["receipts"][tx]["gas_used"].as_u64();
    // 21,000 and 4 bytes that are not zero at 16 gas each; by the floor (EIP-7623) 40 each.
    assert_eq!([gas(0, 0), gas(0, 1), gas(1, 0)], [Some(21_160); 3]);
    assert_eq!(document["legs"][1]["chain_id"], 902);
}

#[test]
fn a_leg_that_fails_drops_the_bundle_under_execute_alone() {
    for (policy, code) in [("include", 0), ("execute", 1)] {
        let desk = desk(policy);
        state(&desk, "901.json", "0x0", "1000000000000000000", "0x");
        // PUSH1 0, PUSH1 0, REVERT
        state(&desk, "902.json", "0x0", "1000000000000000000", "0x60006000fd");
        let states = states(&desk);
        let output = dry_run(&desk, &[&states[0], &states[1]]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("reverted with 0 bytes"), "{text}");
        assert_eq!(text.contains("dropped on all of its rollups"), code == 1, "{text}");
    }
}

#[test]
fn what_is_invalid_or_unknown_is_named() {
    let desk = desk("include");
    state(&desk, "901.json", "0x0", "1000000000000000000", "0x");
    state(&desk, "902.json", "0x1", "1000000000000000000", "0x");
    let states = states(&desk);
    let output = dry_run(&desk, &[&states[0], &states[1]]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("leg 1, transaction 0 is invalid: nonce 0 is used, the next is 1"));
    assert!(text.contains("that leg is for chain 902"), "{text}");

    let output = dry_run(&desk, &[&states[0]]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the state of chain 902 is not given"), "{text}");

    for (argument, why) in [
        ("902.json", "no chain id"),
        ("x:902.json", "the chain id is not a number"),
        ("902:/nowhere.json", "/nowhere.json"),
    ] {
        let output = dry_run(&desk, &["--state", argument]);
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(why) && text.lines().count() == 1, "{text}");
    }
    fs::write(desk.path("902.json"), "{\"alloc\": {\"b0\": {\"balance\": \"0\"}}}").unwrap();
    let output = dry_run(&desk, &[&states[0], &states[1]]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("is no address") && text.lines().count() == 1, "{text}");
}
