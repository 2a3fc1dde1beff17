//! The trader's walk: build, seal, submit, wait, verify.

use fairveil_release::document::BatchDocument;

use crate::network::{Desk, Dev, Sequencer, wait_for};

/// Signed with viem, as any trader would: EIP-1559 and a legacy transaction for chain 901, EIP-2930
/// for chain 902.
pub(crate) const FIRST: [&str; 2] = [
    "0x02f87882038580843b9aca00847735940083015f9094b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b087038d7e\
     a4c6800084deadbeefc080a08f39d523ff770a22b1b8ac8fc66be7819fbf74f92177fa3be75b6c4c1f451291a0388c\
     1287beebac15a74692febcb4d5fd9ea2d49a90f7a61d27af1bde65e64f2d",
    "0xf87101847735940083015f9094b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b087038d7ea4c6800184deadbeef\
     82072ea02a5294c24223007e6993e6a23e252d2648f0f6132bf47ecbeb370ac3a016193da0795b02a0c91a342ca80c\
     93bb288f1fa56c506fc8fcce1804526dc90494162ea8",
];
pub(crate) const SECOND: &str = "0x01f87382038680847735940083015f9094b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b087038d7ea4c6800084\
     deadbeefc080a071f9edaf75007595973d789b3c3a595e1ec0cc57e575cfb71cdbdfa60d084f97a04b11d1030e1145\
     7161a091d61ec85d17c9e03bdfd0636e0df56af24d41f16de0";

/// Builds and seals the bundle of the transactions above.
pub(crate) fn seal(dev: &Dev, desk: &Desk, expires_in: &str) {
    let transactions =
        [format!("901:{}", FIRST[0]), format!("901:{}", FIRST[1]), format!("902:{SECOND}")];
    let mut build = vec!["bundle", "build"];
    for transaction in &transactions {
        build.extend(["--tx", transaction]);
    }
    let (bundle, payer, sealed) =
        (desk.text("bundle.json"), desk.text("payer.key"), desk.text("sealed.json"));
    build.extend(["--out", &bundle]);
    dev.done(&build);
    let seal = ["bundle", "seal", "--bundle", &bundle, "--payer", &payer];
    let rest = ["--expires-in", expires_in, "--out", &sealed];
    dev.done(&[&seal[..], &rest].concat());
}

/// The transactions of a rollup's batches at a sequencer.
fn released(dev: &Dev, sequencer: &Sequencer, chain_id: u64) -> Vec<String> {
    let page = dev.get(sequencer, &format!("/batches/{chain_id}?from=0")).expect("batches");
    let batches: Vec<BatchDocument> = serde_json::from_slice(&page).unwrap();
    batches
        .iter()
        .flat_map(|document| document.batch.transactions())
        .map(|transaction| serde_json::to_value(transaction).unwrap())
        .map(|value| value.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_bundle_of_two_rollups_is_released_exactly_and_proven() {
    let dev = Dev::start();
    let desk = Desk::new();
    seal(&dev, &desk, "60s");
    let (sealed, bundle, release) =
        (desk.text("sealed.json"), desk.text("bundle.json"), desk.text("release.json"));
    let submitted = dev.done(&["bundle", "submit", &sealed]);
    assert!(submitted.contains("5 receipts of 5"), "{submitted}");
    // The same bytes again: the same receipts.
    dev.done(&["bundle", "submit", &sealed]);
    let waited = dev.done(&["bundle", "wait", &sealed, "--unsealed", &bundle]);
    assert!(waited.contains("released"), "{waited}");
    dev.done(&["bundle", "verify", &sealed, "--unsealed", &bundle, "--out", &release]);
    dev.done(&["verify", &release]);
    for (chain_id, expected) in [(901, &FIRST[..]), (902, &[SECOND]), (903, &[])] {
        for sequencer in dev.sequencers() {
            let released = wait_for("what was released", || {
                let released = released(&dev, &sequencer, chain_id);
                (!released.is_empty() || expected.is_empty()).then_some(released)
            });
            assert_eq!(released, expected, "chain {chain_id} at {}", sequencer.name);
        }
    }
}

#[test]
fn a_bundle_that_comes_too_late_is_rejected_with_its_values() {
    let dev = Dev::start();
    let desk = Desk::new();
    seal(&dev, &desk, "12h");
    let first = &dev.sequencers()[0];
    let sealed_at = dev.height(first);
    wait_for("12 heights", || (dev.height(first) > sealed_at + 12).then_some(()));
    let output = dev.trader(&["bundle", "submit", &desk.text("sealed.json")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{text}");
    // Each of the five says its own height, and the last one at which it would begin to report.
    let number = |text: &str| text.replace(',', "").parse::<u64>().unwrap();
    let values = text.split("rejected (expired): actual ").skip(1).map(|rest| {
        let (actual, rest) = rest.split_once(", limit ").unwrap();
        (number(actual), number(rest.split_once(':').unwrap().0))
    });
    let values: Vec<(u64, u64)> = values.collect();
    assert_eq!(values.len(), 5, "{text}");
    let limit = values[0].1;
    assert!(values.iter().all(|(actual, each)| *each == limit && actual > each), "{text}");
    // A window of 12 heights that began with the one after `sealed_at` or earlier, without its last 8.
    assert!((1..=sealed_at + 5).contains(&limit), "{limit}, sealed at {sealed_at}: {text}");

    // What ends beyond the horizon is not even sealed.
    let seal = ["bundle", "seal", "--bundle", &desk.text("bundle.json"), "--out"];
    let rest =
        [&desk.text("late.json"), "--payer", &desk.text("payer.key"), "--expires-in", "65600h"];
    let refused = dev.trader(&[&seal[..], &rest].concat());
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{error}");
    assert!(error.contains("it may end at") && error.contains("65536 heights ahead"), "{error}");
    assert!(!desk.path("late.json").exists());
    // Nor what nobody would report any more.
    let rest = [&desk.text("late.json"), "--payer", &desk.text("payer.key"), "--expires-in", "7h"];
    let refused = dev.trader(&[&seal[..], &rest].concat());
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{error}");
    assert!(error.contains("it has to end at"), "{error}");
    assert!(!desk.path("late.json").exists());
}
