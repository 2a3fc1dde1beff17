//! `fairveil bench e2e`: that what it counts is what it sent, not how fast that was.

use std::path::Path;

use serde_json::Value;

use crate::network::{Desk, fairveil};
use crate::turns::alone;

/// The report about a network in a folder that is named relative to where the command runs.
fn measured(args: &[&str]) -> Value {
    let _alone = alone();
    let desk = Desk::new();
    let mut command = fairveil();
    command.current_dir(desk.path("")).args(["bench", "e2e", "--json", "--seconds", "3"]);
    let output = command.args(["--dir", "net/e5"]).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}{errors}", output.status);
    serde_json::from_str(text.trim()).unwrap()
}

#[test]
fn everything_under_a_load_is_counted_at_every_stage_beside_a_flood_and_a_liar() {
    let report =
        measured(&["--rate", "10,20", "--flood", "10", "--byzantine", "bad-sharer", "--seed", "3"]);
    assert_eq!(report["sequencers"], 5);
    let folder = Path::new(report["folder"].as_str().unwrap());
    assert!(folder.is_absolute() && folder.ends_with("net/e5"), "{folder:?}");
    assert_eq!(report["byzantine"], "bad-sharer");
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for (run, submitted) in runs.iter().zip([30, 60]) {
        for counted in ["submitted", "admitted", "ordered", "released"] {
            assert_eq!(run[counted], submitted, "{counted}");
        }
        for none in ["rejected", "unanswered", "failed"] {
            assert_eq!(run[none], 0, "{none}");
        }
        assert_eq!(run["flood"], serde_json::json!([30, 0]), "every forged proof is rejected");
        let stages = run["stages"].as_array().unwrap();
        assert_eq!(stages.len(), 4);
        for stage in stages {
            assert_eq!(stage["count"], submitted, "{stage}");
            let quantiles = ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"];
            let quantiles = quantiles.map(|name| stage[name].as_u64().unwrap());
            assert!(quantiles.is_sorted(), "{stage}");
        }
        assert!(run["usage"]["sequencers"]["opening"].as_f64().unwrap() > 0.0);
        assert!(run["usage"]["sent_bytes"]["shares"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn bundles_that_no_class_holds_are_refused() {
    let output = fairveil().args(["bench", "e2e", "--bundle-bytes", "20"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("bundles of 20 bytes: from "), "{errors}");
}
