//! A network that charges for bundles.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::network::{Desk, Dev, wait_for};
use crate::trader::seal;

/// The key of the second development account, which everybody knows.
const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const PAYER: &str = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";
const DEPOSIT: u128 = 100_000;

fn amount(value: &Value) -> u128 {
    value.as_str().unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

fn revenue(dev: &Dev) -> Value {
    serde_json::from_str(&dev.done(&["rollup", "revenue", "--json"])).unwrap()
}

fn sum(of: &Value) -> u128 {
    of.as_array().unwrap().iter().map(|one| amount(&one["revenue"])).sum()
}

#[test]
fn fees_are_charged_and_shared_between_rollups_and_sequencers() {
    let deposit = format!("{PAYER}:{DEPOSIT}");
    let mut dev = Dev::start_with(&[
        "--rollup=recorder:901",
        "--rollup=recorder:902",
        "--fee-per-byte=3",
        "--rollup-share=60",
        "--deposit",
        &deposit,
    ]);
    let poor = Desk::new();
    seal(&dev, &poor, "60s");
    let output = dev.trader(&["bundle", "submit", &poor.text("sealed.json")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("unfunded"), "{text}");

    let rich = Desk::new();
    let key = rich.path("payer.key");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    seal(&dev, &rich, "60s");
    let before = revenue(&dev);
    assert_eq!((sum(&before["rollups"]), sum(&before["sequencers"])), (0, 0));
    dev.done(&["bundle", "submit", &rich.text("sealed.json")]);
    dev.done(&["bundle", "wait", &rich.text("sealed.json")]);

    let first = dev.sequencers()[0].clone();
    let balance = wait_for("a balance that the fee was taken from", || {
        let balance = dev.call(&first, "fairveil_balance", vec![json!(PAYER)]);
        (amount(&balance["balance"]) < DEPOSIT).then_some(balance)
    });
    let fee = DEPOSIT - amount(&balance["balance"]);
    let fees = balance["fees"].as_array().unwrap();
    assert!(fees.iter().any(|of| amount(&of["fee"]) == fee), "{fee} is none of {fees:?}");
    let paid = wait_for("five sequencers that paid out the same", || {
        let now = revenue(&dev);
        (now["agree"] == 5 && amount(&now["in_flight"]) == 0 && sum(&now["sequencers"]) > 0)
            .then_some(now)
    });
    let each = fee * 60 / 100 / 2;
    for rollup in paid["rollups"].as_array().unwrap() {
        assert_eq!(amount(&rollup["revenue"]), each, "{rollup}");
    }
    assert_eq!(sum(&paid["sequencers"]), fee - 2 * each);
    assert_eq!(amount(&paid["balances"]) + fee, amount(&paid["deposits"]));
    let metrics = String::from_utf8(dev.get(&first, "/metrics").unwrap()).unwrap();
    let line = format!("fairveil_revenue_rollup_total{{rollup=\"901\"}} {each}\n");
    assert!(metrics.contains(&line), "{metrics}");

    // What was paid is there after a crash.
    dev.kill(&first);
    dev.restart(&first);
    wait_for("the sequencer that was killed", || dev.get(&first, "/readyz"));
    let again = dev.call(&first, "fairveil_revenue", Vec::new());
    assert_eq!(again["rollups"], paid["rollups"]);
    assert_eq!(again["sequencers"], paid["sequencers"]);
}
