//! What operators look at: the preflight check, manual pages, completions, the configuration, alarms.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::Value;

use crate::bad_input::Place;
use crate::network::{Desk, Dev, fairveil, root};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines of `check --json`: verdict and what was seen, by check.
fn checked(mut command: Command) -> (Vec<(String, String, String)>, Option<i32>) {
    let output = command.output().unwrap();
    let lines: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let word = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let lines = lines
        .iter()
        .map(|line| (word(line, "check"), word(line, "verdict"), word(line, "seen")))
        .collect();
    (lines, output.status.code())
}

fn verdict<'a>(lines: &'a [(String, String, String)], check: &str) -> (&'a str, &'a str) {
    let line = lines.iter().find(|(name, ..)| name == check);
    let (_, verdict, seen) = line.unwrap_or_else(|| panic!("no {check}: {lines:?}"));
    (verdict, seen)
}

#[test]
fn check_of_a_running_network_is_good_and_disturbs_nobody() {
    let dev = Dev::start();
    let one = &dev.sequencers()[0];
    let config = dev.folder().join(&one.name).join("node.toml");
    let mut command = fairveil();
    command.args(["check", "--json", "--patience-ms", "20000", "--config"]).arg(&config);
    let (lines, code) = checked(command);
    for check in ["keystore", "files", "definition", "share", "clock", "peers"] {
        assert_eq!(verdict(&lines, check).0, "ok", "{check}: {lines:?}");
    }
    let others: Vec<_> = dev.sequencers().into_iter().skip(1).collect();
    for other in &others {
        let (verdict, seen) = verdict(&lines, &format!("peer {}", other.name));
        assert!(verdict == "ok" && seen.contains("round trip"), "{lines:?}");
    }
    // These are the machine's: whatever they find decides the exit code.
    let machine = ["buffers", "sync", "space", "shares"];
    let is_good = machine.iter().all(|check| verdict(&lines, check).0 != "fail");
    assert_eq!(code, Some(if is_good { 0 } else { 1 }), "{lines:?}");
    let rate = verdict(&lines, "shares").1.strip_suffix(" a second");
    assert!(rate.is_some_and(|rate| rate.parse::<u64>().is_ok()), "{lines:?}");
    // The text says what is wanted.
    let printed = fairveil().args(["check", "--config"]).arg(&config).output().unwrap();
    let printed = text(&printed);
    assert!(printed.lines().all(|line| line.contains("; wanted: ")), "{printed}");
    assert_eq!(printed.lines().count(), lines.len());
    let metrics = String::from_utf8(dev.get(one, "/metrics").unwrap()).unwrap();
    let away = metrics
        .lines()
        .find(|line| line.starts_with("fairveil_peer_connected") && line.ends_with(" 0"));
    assert_eq!(away, None);
}

#[test]
fn check_names_what_is_wrong() {
    let place = Place::new();
    let run = |more: &[&str]| {
        let mut command = fairveil();
        command.args(["check", "--json", "--patience-ms", "300", "--config"]).arg(place.config());
        command.args(more);
        checked(command)
    };
    // Nobody else runs: each peer is a warning, all of them together a failure.
    let (lines, code) = run(&[]);
    assert_eq!(code, Some(1));
    assert_eq!(verdict(&lines, "peers").0, "fail");
    assert_eq!(verdict(&lines, "clock").0, "warn");
    assert_eq!(verdict(&lines, "share").0, "ok");
    let peers: Vec<_> = lines.iter().filter(|(name, ..)| name.starts_with("peer ")).collect();
    assert_eq!(peers.len(), 4);
    assert!(peers.iter().all(|(_, verdict, _)| verdict == "warn"), "{peers:?}");

    let wrong = place.path("wrong");
    fs::write(&wrong, "not the passphrase\n").unwrap();
    let (lines, _) = run(&["--passphrase-file", wrong.to_str().unwrap()]);
    let (failed, seen) = verdict(&lines, "keystore");
    assert!(failed == "fail" && seen.contains("wrong passphrase"), "{lines:?}");
    let (failed, seen) = verdict(&lines, "files");
    assert!(failed == "fail" && seen.contains("wrong has mode 644"), "{lines:?}");

    fs::set_permissions(place.path("keystore.json"), fs::Permissions::from_mode(0o640)).unwrap();
    let (lines, _) = run(&[]);
    assert!(verdict(&lines, "keystore").1.contains("chmod 600"), "{lines:?}");
    fs::set_permissions(place.path("keystore.json"), fs::Permissions::from_mode(0o600)).unwrap();

    // A port that answers with something else is no peer.
    let definition = fs::read_to_string(place.folder().join("definition.toml")).unwrap();
    let table: toml::Table = definition.parse().unwrap();
    let member = table["members"]
        .as_array()
        .unwrap()
        .iter()
        .find(|member| member["name"].as_str() != Some("acme"));
    let member = member.unwrap();
    let socket = UdpSocket::bind(member["peer_address"].as_str().unwrap()).unwrap();
    let (lines, code) = run(&[]);
    drop(socket);
    let name = format!("peer {}", member["name"].as_str().unwrap());
    assert_eq!((verdict(&lines, &name).0, code), ("warn", Some(1)));

    let approval = fs::read_dir(place.folder().join("approvals")).unwrap().next().unwrap();
    fs::remove_file(approval.unwrap().path()).unwrap();
    let (lines, _) = run(&[]);
    assert_eq!(verdict(&lines, "definition").0, "fail", "{lines:?}");
}

#[test]
fn manual_pages_and_completions_have_every_command() {
    let desk = Desk::new();
    let man = fairveil().args(["man", "--dir", &desk.text("man")]).output().unwrap();
    assert!(man.status.success(), "{man:?}");
    let reference = fairveil().arg("reference").output().unwrap();
    let reference = text(&reference);
    let commands: Vec<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|name| name.starts_with("fairveil "))
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in &commands {
        let page = desk.path(&format!("man/{}.1", command.replace(' ', "-")));
        let page = fs::read_to_string(&page).unwrap_or_else(|_| panic!("{}", page.display()));
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
    }
    let page = text(&fairveil().arg("man").output().unwrap());
    assert!(page.contains(".TH fairveil 1"), "{page}");
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&fairveil().args(["completions", shell]).output().unwrap());
        let known = ["backup", "restore", "check", "keygen", "completions"];
        assert!(known.iter().all(|command| script.contains(command)), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    for args in [&["reference"][..], &["man"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = fairveil().args(args).stdout(writer).output().unwrap();
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(141), "{args:?}: {errors}");
        assert_eq!(errors, "", "{args:?}");
    }
}

#[test]
fn config_show_says_where_each_value_comes_from() {
    let place = Place::new();
    let mut command = fairveil();
    command.args(["--json", "config", "show", "--pool-bundles", "7", "--config"]);
    let output = command.arg(place.config()).env("FAIRVEIL_TRADER_RATE", "8").output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, value, source) in [
        ("pool_bundles", "7", "flag"),
        ("trader_rate", "8", "environment"),
        ("retention_heights", "0", "default"),
    ] {
        assert_eq!(shown[key], serde_json::json!({ "value": value, "source": source }), "{key}");
    }
    assert_eq!(shown["keystore"]["source"], "file");
    let few = place.refused(&["--retention-heights", "5"]);
    crate::bad_input::says(&few, 2, &["retention_heights", "2048"]);
}

/// Names that a text has after `fairveil_`, without the endings of counters.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let names = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    names.filter(|name| name.starts_with("fairveil_")).map(str::to_owned).collect()
}

#[test]
fn alarms_name_metrics_that_exist_and_sections_of_the_runbook() {
    let alarms = fs::read_to_string(root().join("deploy/alarms.yml")).unwrap();
    let runbook = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let dev = Dev::start();
    let shown = dev.get(&dev.sequencers()[0], "/metrics").unwrap();
    let shown = metrics_in(&String::from_utf8(shown).unwrap());
    // Counters appear with their first event: their names are those of the code.
    let code: String = ["actor.rs", "actor/opening.rs", "actor/logs.rs", "actor/admission.rs"]
        .iter()
        .map(|file| fs::read_to_string(root().join("sequencer/src").join(file)).unwrap())
        .chain([fs::read_to_string(root().join("node/src/process/metrics.rs")).unwrap()])
        .collect();
    let expressions = alarms.lines().filter(|line| line.trim().starts_with("expr:"));
    let used = metrics_in(&expressions.collect::<Vec<_>>().join("\n"));
    assert!(used.len() > 15, "{used:?}");
    for name in used {
        let bare = name.trim_start_matches("fairveil_").trim_end_matches("_total");
        let counted = name.ends_with("_total") && code.contains(&format!("\"{bare}\""));
        let labelled = code.contains(&format!("{name}{{{{"));
        assert!(shown.contains(&name) || counted || labelled, "{name} is no metric");
    }
    for alarm in alarms.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let link = format!("docs/operations.md#{}", alarm.to_lowercase());
        assert!(alarms.contains(&link), "{alarm} has no link to {link}");
        assert!(runbook.contains(&format!("\n### {alarm}\n")), "{alarm} has no section");
        assert!(runbook.contains(&format!("\n| {alarm} |")), "{alarm} is not in the table");
    }
}
