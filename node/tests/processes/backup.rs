//! A sequencer's folder is lost and restored: it comes back and signs nothing twice, and an old backup
//! beside the running original is found out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::bad_input::says;
use crate::network::{Desk, Dev, Sequencer, fairveil, seen_within_minutes, signal, wait_for};
use crate::trader::seal;

/// Longer than whatever is waited for here.
const WINDOW: &str = "5m";
/// How long a submission to an instance that may never answer is waited for.
const ANSWER: Duration = Duration::from_secs(15);

const PASSPHRASE: &str = "archive passphrase";

/// The keystores' passphrase stands in the network's folder.
fn keystores(dev: &Dev) -> PathBuf {
    dev.folder().join("passphrase")
}

fn with_passphrase(mut command: Command) -> Command {
    command.env("FAIRVEIL_PASSPHRASE", PASSPHRASE);
    command
}

/// `fairveil backup` of a sequencer's folder.
fn backup(dev: &Dev, name: &str, out: &Path, more: &[&str]) -> Output {
    let mut command = with_passphrase(fairveil());
    command.args(["backup", "--light", "--config"]).arg(dev.folder().join(name).join("node.toml"));
    command.arg("--out").arg(out).args(more).output().unwrap()
}

fn restore(archive: &Path, into: &Path, more: &[&str]) -> Output {
    let mut command = with_passphrase(fairveil());
    command.args(["restore", "--archive"]).arg(archive).arg("--into").arg(into);
    command.args(more).output().unwrap()
}

fn line(output: &Output) -> (String, Option<i32>) {
    let errors = String::from_utf8_lossy(&output.stderr);
    (errors.trim_end().trim_start_matches("fairveil: ").to_owned(), output.status.code())
}

#[track_caller]
fn worked(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A node of a restored folder, which ends with this value.
struct Restored {
    process: Child,
    log: PathBuf,
}

impl Restored {
    /// Starts it, listening elsewhere if it is asked to.
    fn start(dev: &Dev, folder: &Path, more: &[&str]) -> Self {
        let log = folder.join("node.log");
        let mut command = fairveil();
        command.args(["node", "--config"]).arg(folder.join("node.toml")).args(more);
        command.arg("--passphrase-file").arg(keystores(dev));
        command.stderr(fs::File::create(&log).unwrap());
        let process = command.stdout(Stdio::null()).spawn().unwrap();
        Self { process, log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its exit code, once it ended.
    fn ended(&mut self, what: &str) -> Option<i32> {
        wait_for(what, || self.process.try_wait().unwrap()).code()
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Elsewhere than the original: any free ports.
const ELSEWHERE: [&str; 6] = [
    "--peer-listen",
    "127.0.0.1:0",
    "--trader-listen",
    "127.0.0.1:0",
    "--http-listen",
    "127.0.0.1:0",
];

/// Submits a bundle and waits until it is released.
fn trade(dev: &Dev) {
    let desk = Desk::new();
    seal(dev, &desk, WINDOW);
    dev.done(&["bundle", "submit", &desk.text("sealed.json")]);
    let waited = dev.done(&["bundle", "wait", &desk.text("sealed.json")]);
    assert!(waited.contains("released"), "{waited}");
}

fn metric(dev: &Dev, sequencer: &Sequencer, name: &str) -> Option<u64> {
    let text = String::from_utf8(dev.get(sequencer, "/metrics")?).unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// No sequencer of this network found a fault.
fn no_evidence(dev: &Dev, all: &[Sequencer]) {
    for sequencer in all {
        let Some(found) = dev.get(sequencer, "/evidence") else { continue };
        assert_eq!(String::from_utf8_lossy(&found), "[]", "{}", sequencer.name);
    }
}

#[test]
fn a_lost_sequencer_comes_back_from_its_backup_and_signs_nothing_twice() {
    let dev = Dev::start();
    let all = dev.sequencers();
    let lost = all.last().unwrap().clone();
    let desk = Desk::new();
    let archive = desk.path("acme.backup");
    // A running node is not backed up: its files change.
    says(&line(&backup(&dev, &lost.name, &archive, &[])), 2, &["in use by another process"]);
    assert!(!archive.exists());

    trade(&dev);
    signal(lost.pid, "TERM");
    wait_for("the node ends", || (!crate::network::runs(lost.pid)).then_some(()));
    worked(&backup(&dev, &lost.name, &archive, &[]));
    says(&line(&backup(&dev, &lost.name, &archive, &[])), 2, &["exists already"]);
    let wrong = desk.path("wrong");
    fs::write(&wrong, "another\n").unwrap();
    let into = desk.path("restored");
    let refused = restore(&archive, &into, &["--password-file", wrong.to_str().unwrap()]);
    says(&line(&refused), 2, &["acme.backup", "wrong passphrase"]);
    assert!(!into.exists());

    // The original runs on after the backup, and then its disk is lost.
    let folder = dev.folder().join(&lost.name);
    let mut original = Restored::start(&dev, &folder, &[]);
    wait_for("it is back", || dev.get(&lost, "/readyz"));
    trade(&dev);
    original.process.kill().unwrap();
    original.process.wait().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    trade(&dev);

    worked(&restore(&archive, &into, &[]));
    assert!(into.join("data/state.redb").exists() && into.join("data/restored.json").exists());
    let restored = Restored::start(&dev, &into, &[]);
    wait_for("it abstains", || (metric(&dev, &lost, "fairveil_abstaining")? == 1).then_some(()));
    wait_for("it is at the tip", || {
        let behind = metric(&dev, &lost, "fairveil_final_height")?.checked_sub(metric(
            &dev,
            &lost,
            "fairveil_height",
        )?)?;
        (behind < 3 && metric(&dev, &lost, "fairveil_height")? > 3).then_some(())
    });
    // It rejects submissions meanwhile, and the others go on.
    trade(&dev);
    let signs = seen_within_minutes(|| {
        assert!(!restored.log().contains("another instance"), "{}", restored.log());
        (metric(&dev, &lost, "fairveil_abstaining")? == 0).then_some(())
    });
    signs.unwrap_or_else(|| panic!("it abstains for ever: {}", restored.log()));
    assert!(!into.join("data/restored.json").exists());
    wait_for("it is ready", || dev.get(&lost, "/readyz"));
    trade(&dev);
    no_evidence(&dev, &all);
    // It takes part again: its log grows.
    wait_for("its log has what was traded", || {
        (metric(&dev, &lost, "fairveil_log_length")? >= 5).then_some(())
    });
}

#[test]
fn an_old_backup_beside_the_running_original_is_found_out() {
    let dev = Dev::start();
    let all = dev.sequencers();
    let twice = lowest_key(&dev, &all);
    let desk = Desk::new();
    let archive = desk.path("acme.backup");
    signal(twice.pid, "TERM");
    wait_for("the node ends", || (!crate::network::runs(twice.pid)).then_some(()));
    worked(&backup(&dev, &twice.name, &archive, &[]));
    let folder = dev.folder().join(&twice.name);
    let original = Restored::start(&dev, &folder, &[]);
    wait_for("the original is back", || dev.get(&twice, "/readyz"));

    // The rule: the second instance signs nothing, and sees that it is one.
    let second = desk.path("second");
    worked(&restore(&archive, &second, &[]));
    let mut refused = Restored::start(&dev, &second, &ELSEWHERE);
    assert_eq!(refused.ended("the second instance is refused"), Some(1), "{}", refused.log());
    assert!(
        refused.log().contains("another instance runs with this keystore"),
        "{}",
        refused.log()
    );
    no_evidence(&dev, &all);

    // Without the rule it equivocates, which is found, proven, and does no damage.
    let found = cheat(&dev, &twice, &original, &archive, &desk.path("third"));
    let file = desk.path("evidence.json");
    fs::write(&file, found.to_string()).unwrap();
    let judged = dev.trader(&["verify", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{text}");
    assert!(text.contains("sequencer 1"), "{text}");
    trade(&dev);
}

/// Starts a restored instance that ignores its mark beside the original, and has both sign: the evidence
/// that another sequencer finds. Two of the others stand still meanwhile, so that nothing is final: else
/// what one of them logged would show the other one that it is not alone, before that signs.
fn cheat(
    dev: &Dev,
    twice: &Sequencer,
    original: &Restored,
    archive: &Path,
    into: &Path,
) -> serde_json::Value {
    worked(&restore(archive, into, &[]));
    let all = dev.sequencers();
    let others: Vec<&Sequencer> = all.iter().filter(|one| one.name != twice.name).collect();
    others[..2].iter().for_each(|one| signal(one.pid, "STOP"));
    let mut cheats = ELSEWHERE.to_vec();
    cheats.push("--sign-at-once");
    let instance = Restored::start(dev, into, &cheats);
    let pid = u64::from(instance.process.id());
    let own = wait_for("the instance listens", || {
        let text = fs::read_to_string(into.join("data/endpoints.json")).ok()?;
        let endpoints: serde_json::Value = serde_json::from_str(&text).ok()?;
        (endpoints["pid"].as_u64()? == pid).then(|| endpoints["http"].as_str().unwrap().to_owned())
    });
    let mut rounds = 0;
    let found = seen_within_minutes(|| {
        // Each of the two instances gets a bundle that the other one does not have.
        let desks = [Desk::new(), Desk::new()];
        let submissions = [(&desks[0], &twice.http), (&desks[1], &own)];
        let submissions = submissions.map(|(desk, http)| submit_to(dev, desk, http));
        submissions.into_iter().for_each(end);
        rounds += 1;
        // The heads may have gone to different peers; a final block shows them to each.
        if rounds == 3 {
            others[..2].iter().for_each(|one| signal(one.pid, "CONT"));
        }
        evidence(dev, &others[2..]).or_else(|| (rounds > 3).then(|| evidence(dev, &others))?)
    });
    others[..2].iter().for_each(|one| signal(one.pid, "CONT"));
    found.unwrap_or_else(|| {
        let (original, instance) = (original.log(), instance.log());
        panic!("no evidence;\nthe original: {original}\nthe other: {instance}")
    })
}

/// What one of these sequencers found.
fn evidence(dev: &Dev, of: &[&Sequencer]) -> Option<serde_json::Value> {
    of.iter().find_map(|one| {
        let found = dev.get(one, "/evidence")?;
        let all: Vec<serde_json::Value> = serde_json::from_slice(&found).ok()?;
        all.first().cloned()
    })
}

/// A submission to one sequencer alone, under way.
fn submit_to(dev: &Dev, desk: &Desk, http: &str) -> Child {
    seal(dev, desk, WINDOW);
    let mut command = fairveil();
    command.args(["bundle", "submit", &desk.text("sealed.json")]).envs(dev.environment());
    // A trader names two at least; the other one does not answer.
    let named = format!("{http},http://127.0.0.1:9");
    command.env("FAIRVEIL_SEQUENCERS", named).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Waits for a submission. One without an answer is given up: the instances take each other's connections.
fn end(mut submission: Child) {
    let started = Instant::now();
    while submission.try_wait().unwrap().is_none() {
        if started.elapsed() > ANSWER {
            // It may have ended just now.
            drop(submission.kill());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The sequencer that dials all others: members are sorted by key.
fn lowest_key(dev: &Dev, all: &[Sequencer]) -> Sequencer {
    let definition = fs::read_to_string(dev.folder().join("definition.toml")).unwrap();
    let table: toml::Table = definition.parse().unwrap();
    let first = table["members"].as_array().unwrap()[0]["name"].as_str().unwrap().to_owned();
    all.iter().find(|one| one.name == first).unwrap().clone()
}

#[test]
fn without_a_journal_a_height_is_asked_for() {
    let place = crate::bad_input::Place::new();
    let desk = Desk::new();
    let archive = desk.path("keys.backup");
    let mut command = with_passphrase(fairveil());
    command.args(["backup", "--light", "--without-journal", "--config"]).arg(place.config());
    worked(&command.arg("--out").arg(&archive).output().unwrap());
    let into = desk.path("restored");
    says(&line(&restore(&archive, &into, &[])), 2, &["no journal", "--abstain-until"]);
    assert!(!into.exists());
    worked(&restore(&archive, &into, &["--abstain-until", "5000"]));
    let mark = fs::read_to_string(into.join("data/restored.json")).unwrap();
    assert!(mark.ends_with("\"abstain_until\":5000}"), "{mark}");
    assert!(!into.join("data/state.redb").exists());
    for name in ["keystore.json", "definition.toml", "data/transcript.json", "node.toml"] {
        assert!(into.join(name).exists(), "{name}");
    }
    // A file that is no archive, and one that is cut off.
    let bytes = fs::read(&archive).unwrap();
    let other = desk.path("other");
    fs::write(&other, b"something else").unwrap();
    says(&line(&restore(&other, &desk.path("x"), &[])), 2, &["other", "not a backup"]);
    fs::write(&other, &bytes[..bytes.len() - 40]).unwrap();
    let refused = restore(&other, &desk.path("x"), &["--abstain-until", "5000"]);
    says(&line(&refused), 2, &["damaged"]);
    assert!(!desk.path("x").exists());
}
