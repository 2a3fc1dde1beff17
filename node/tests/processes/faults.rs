//! Sequencers that stop, die and come back.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::network::{Desk, Dev, fairveil, runs, signal, wait_for};
use crate::turns::alone;

/// How long the network is watched while it must stand still.
const STANDSTILL: Duration = Duration::from_secs(4);
/// How soon a restarted sequencer must be ready and at the tip.
const READY: Duration = Duration::from_secs(60);

#[test]
fn without_a_quorum_nothing_is_final_and_with_it_all_goes_on() {
    let dev = Dev::start();
    let desk = Desk::new();
    crate::trader::seal(&dev, &desk, "3000h");
    let sequencers = dev.sequencers();
    let (running, stopped) = sequencers.split_at(3);
    stopped.iter().for_each(|one| signal(one.pid, "STOP"));
    // What was under way may still become final.
    let before = wait_for("a standstill", || {
        let height = dev.height(&running[0]);
        std::thread::sleep(STANDSTILL / 2);
        (dev.height(&running[0]) == height).then_some(height)
    });
    let output = dev.trader(&["bundle", "submit", &desk.text("sealed.json")]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "three of five give f + 1 receipts: {text}");
    for one in stopped {
        assert!(text.contains(&one.http), "who did not answer is named: {text}");
    }
    std::thread::sleep(STANDSTILL);
    assert_eq!(dev.height(&running[0]), before, "final without a quorum");
    stopped.iter().for_each(|one| signal(one.pid, "CONT"));
    let waited = dev.done(&["bundle", "wait", &desk.text("sealed.json")]);
    assert!(waited.contains("released"), "{waited}");
    for one in &sequencers {
        wait_for("the tip", || dev.get(one, "/readyz"));
    }
}

#[test]
fn a_killed_sequencer_starts_again_from_its_folder() {
    let mut dev = Dev::start();
    let mut victim = dev.sequencers()[2].clone();
    for _ in 0..2 {
        dev.kill(&victim);
        assert!(dev.get(&victim, "/livez").is_none());
        let started = Instant::now();
        victim.pid = dev.restart(&victim);
        wait_for("ready", || dev.get(&victim, "/readyz"));
        assert!(started.elapsed() < READY, "{:?}", started.elapsed());
    }
}

#[test]
fn no_sequencer_outlives_its_network() {
    let mut dev = Dev::start();
    let pids: Vec<u32> = dev.sequencers().iter().map(|one| one.pid).collect();
    assert!(pids.iter().all(|pid| runs(*pid)));
    dev.end();
    for pid in &pids {
        wait_for("the end of a sequencer", || (!runs(*pid)).then_some(()));
    }
    drop(dev);
    let dev = Dev::start();
    let pids: Vec<u32> = dev.sequencers().iter().map(|one| one.pid).collect();
    signal(dev.pid(), "KILL");
    for pid in pids {
        wait_for("the end of a sequencer", || (!runs(pid)).then_some(()));
    }
}

/// Ten crashes at 60 bundles a second, every second one of the leader. The demo judges itself:
/// receipts honoured, nothing lost, the same batches everywhere. Its limit on readiness is a figure
/// here: [`READY`] is what counts.
#[test]
fn a_storm_of_crashes_loses_nothing() {
    let _alone = alone();
    let args = ["demo", "--json", "--seed", "7", "--bundles", "10", "--crashes", "10"];
    let output = fairveil().args(args).args(["--rate", "60"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_str(text.trim())
        .unwrap_or_else(|error| panic!("{error}: {}\n{text}{errors}", output.status));
    let checks = report["checks"].as_array().unwrap();
    let (of_readiness, others): (Vec<_>, Vec<_>) = checks.iter().partition(|check| {
        let name = check["name"].as_str().unwrap();
        name.contains(" restarts after SIGKILL ")
    });
    let has_passed = |check: &Value| check["passed"] == Value::Bool(true);
    let failed: Vec<_> = others.iter().filter(|check| !has_passed(check)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(of_readiness.len(), 10);
    assert_eq!(output.status.success(), of_readiness.iter().all(|check| has_passed(check)));
    let crashes = report["crashes"].as_array().unwrap();
    assert_eq!(crashes.len(), 10);
    for crash in crashes {
        assert!(Duration::from_millis(crash["ready_ms"].as_u64().unwrap()) < READY, "{crash}");
    }
    assert_eq!(crashes.iter().filter(|crash| crash["leading"] == Value::Bool(true)).count(), 5);
}
