//! `fairveil dev --byzantine KIND`: traders are served beside every adversary, which does what it is
//! named after.

use std::fs;
use std::process::Stdio;

use fairveil_sequencer::Behaviour;
use serde_json::Value;

use crate::network::{Desk, Dev, Sequencer, fairveil, wait_for};

/// Bundles that are under way together, so that there is something to reorder.
const TOGETHER: usize = 4;

fn start(kind: &str) -> Dev {
    Dev::start_with(&["--rollup", "recorder:901", "--rollup", "recorder:902", "--byzantine", kind])
}

/// Submits some bundles at once to all sequencers, and waits until each is released.
fn trade(dev: &Dev) {
    let desks: Vec<Desk> = (0..TOGETHER).map(|_| Desk::new()).collect();
    desks.iter().for_each(|desk| crate::trader::seal(dev, desk, "60s"));
    let submit = |desk: &Desk| {
        let mut command = fairveil();
        command.args(["bundle", "submit", &desk.text("sealed.json")]).envs(dev.environment());
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let submissions: Vec<_> = desks.iter().map(submit).collect();
    for mut submission in submissions {
        assert!(submission.wait().unwrap().success());
    }
    for desk in &desks {
        let bundle = desk.text("bundle.json");
        let wait = ["bundle", "wait", &desk.text("sealed.json"), "--unsealed", &bundle];
        let waited = dev.done(&wait);
        assert!(waited.contains("released"), "{waited}");
    }
}

/// How often the adversary did what an honest sequencer never does.
fn moves(dev: &Dev, adversary: &Sequencer) -> u64 {
    let page = dev.get(adversary, "/metrics").expect("metrics");
    let page = String::from_utf8(page).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("fairveil_adversary_moves_total "));
    line.map_or(0, |number| number.trim().parse().unwrap())
}

/// Those that neither the demo, the load, the simulated epochs nor the test below runs.
#[test]
fn every_bundle_is_released_beside_each_adversary() {
    let elsewhere = ["equivocator", "bad-sharer", "front-runner", "false-witness"];
    let kinds = Behaviour::ALL.map(Behaviour::name);
    for kind in kinds.into_iter().filter(|kind| !elsewhere.contains(kind)) {
        let dev = start(kind);
        let adversary = dev.sequencers().pop().unwrap();
        wait_for(&format!("a move of the {kind}"), || {
            trade(&dev);
            (moves(&dev, &adversary) > 0).then_some(())
        });
    }
}

#[test]
fn an_equivocator_s_two_heads_become_a_file_that_convicts_it() {
    let dev = start("equivocator");
    let all = dev.sequencers();
    let (adversary, honest) = all.split_last().unwrap();
    let found = wait_for("evidence at an honest sequencer", || {
        trade(&dev);
        honest.iter().find_map(|one| {
            let page = dev.get(one, "/evidence")?;
            let files: Vec<Value> = serde_json::from_slice(&page).unwrap();
            files.into_iter().next()
        })
    });
    assert!(moves(&dev, adversary) > 0);
    let desk = Desk::new();
    let file = desk.path("evidence.json");
    fs::write(&file, found.to_string()).unwrap();
    let judged = dev.done(&["verify", file.to_str().unwrap()]);
    assert!(judged.contains(&format!("sequencer {}", all.len())), "{judged}");
    // The same file with one digit of it changed convicts nobody.
    let mut altered = found.to_string();
    let at = altered.rfind(|digit: char| digit.is_ascii_hexdigit()).unwrap();
    let other = if altered[at..].starts_with('0') { "1" } else { "0" };
    altered.replace_range(at..=at, other);
    fs::write(&file, altered).unwrap();
    let refused = dev.trader(&["verify", file.to_str().unwrap()]);
    assert!(!refused.status.success(), "{}", String::from_utf8_lossy(&refused.stdout));
}

#[test]
fn an_adversary_pays_like_anyone() {
    let dev = Dev::start_with(&[
        "--rollup",
        "recorder:901",
        "--fee-per-byte",
        "1",
        "--byzantine",
        "spammer",
    ]);
    // What it seals means nothing to the rollup: it is ordered, paid for, opened, and fails.
    let honest = &dev.sequencers()[0];
    let counted = |page: &str, name: &str| -> u64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |number| number.trim().parse().unwrap())
    };
    let page = wait_for("bundles of the spammer", || {
        let page = String::from_utf8(dev.get(honest, "/metrics")?).unwrap();
        (counted(&page, "fairveil_failed_total ") > 0).then_some(page)
    });
    assert_eq!(counted(&page, "fairveil_unfunded_total "), 0, "{page}");
}
