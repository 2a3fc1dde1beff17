//! Keystores in people's hands: how a passphrase is given, and files that don't belong here.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::bad_input::{Place, says};
use crate::network::{Desk, fairveil};

const PASSPHRASE: &str = "correct horse";

/// `keygen identity` with these arguments more.
fn identity(desk: &Desk, more: &[&str]) -> Command {
    let mut command = fairveil();
    let (peer, trader) = ("127.0.0.1:9000", "127.0.0.1:9001");
    command.args(["keygen", "identity", "--light", "--name", "acme", "--address", peer]);
    command.args(["--trader-address", trader, "--rpc-address", "127.0.0.1:9002"]);
    command.args(["--out", &desk.text("acme")]).args(more);
    command
}

/// Runs a command on a terminal of its own, where this is typed.
fn on_a_terminal(command: &Command, typed: &str) -> Output {
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap());
    let words: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    let mut terminal = Command::new("script");
    terminal.args(["-q", "-e", "-c", &words.join(" "), "/dev/null"]);
    terminal.env_remove("FAIRVEIL_PASSPHRASE").stdin(Stdio::piped());
    let mut terminal = terminal.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    terminal.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    terminal.wait_with_output().unwrap()
}

fn line(output: &Output) -> (String, Option<i32>) {
    let errors = String::from_utf8_lossy(&output.stderr);
    let line = errors.trim_end().rsplit('\n').next().unwrap_or_default();
    (line.trim_start_matches("fairveil: ").to_owned(), output.status.code())
}

#[test]
fn a_passphrase_comes_from_the_file_the_environment_or_the_terminal() {
    let desk = Desk::new();
    fs::write(desk.path("file"), format!("{PASSPHRASE}\n")).unwrap();
    let file = desk.text("file");
    let made = identity(&desk, &["--password-file", &file]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let keystore = desk.path("acme/keystore.json");
    let mode = fs::metadata(&keystore).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    // One that exists is not overwritten, however the passphrase comes.
    let again = identity(&desk, &[]).env("FAIRVEIL_PASSPHRASE", PASSPHRASE).output().unwrap();
    says(&line(&again), 2, &["keystore.json", "exists already"]);

    let change = propose(&desk);
    let approve = |password: &[&str]| {
        let mut command = fairveil();
        command.args(["rollup", "approve", "--change", &desk.text("change.json")]);
        command.args(["--digest", &change, "--keystore", keystore.to_str().unwrap()]);
        command.args(["--out", &desk.text("approval.json")]).args(password);
        command
    };
    let made = |output: &Output| {
        assert!(output.status.success(), "{output:?}");
        assert!(fs::remove_file(desk.path("approval.json")).is_ok());
    };
    made(&approve(&["--password-file", &file]).output().unwrap());
    made(&approve(&[]).env("FAIRVEIL_PASSPHRASE", PASSPHRASE).output().unwrap());
    made(&on_a_terminal(&approve(&[]), &format!("{PASSPHRASE}\n")));
    let shown = on_a_terminal(&approve(&[]), "wrong\n");
    assert_eq!(shown.status.code(), Some(2));
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("wrong passphrase"), "{text}");
    says(&line(&approve(&[]).output().unwrap()), 2, &["no passphrase", "FAIRVEIL_PASSPHRASE"]);
    assert!(!desk.path("approval.json").exists(), "nothing was signed");
}

/// A change of some network's rollups; its digest.
fn propose(desk: &Desk) -> String {
    let network = format!("0x{}", "7".repeat(64));
    let mut command = fairveil();
    command.args(["--json", "rollup", "propose", "pause", "--chain", "901", "--number", "1"]);
    command.args(["--at", "5000", "--network", &network, "--out", &desk.text("change.json")]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    value["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_keystore_of_another_network_is_refused_by_name() {
    let place = Place::new();
    let folder = place.folder();
    // The same members agree on a second network, and one of them takes the keystore with the share
    // of the first.
    let definition = folder.join("definition.toml");
    let text = fs::read_to_string(&definition).unwrap();
    fs::write(&definition, text.replace("\"rollup-903\"", "\"rollup-904\"")).unwrap();
    let digest = digest_of(&definition, folder);
    for approval in fs::read_dir(folder.join("approvals")).unwrap() {
        let path = approval.unwrap().path();
        let member = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let approved = approve(&definition, folder, &member, &digest, &path);
        assert!(approved.status.success(), "{approved:?}");
    }
    let fresh = place.path("fresh");
    let refusal = place.refused(&["--data-dir", fresh.to_str().unwrap()]);
    says(&refusal, 2, &["keystore.json", "belongs to network", &digest]);
}

/// The digest that a wrong one is refused with.
fn digest_of(definition: &Path, folder: &Path) -> String {
    let zero = format!("0x{}", "0".repeat(64));
    let refused = approve(definition, folder, "acme", &zero, &folder.join("none.json"));
    let (line, _) = line(&refused);
    let at = line.find("digest is ").expect(&line) + "digest is ".len();
    line[at..at + 66].to_owned()
}

fn approve(definition: &Path, folder: &Path, member: &str, digest: &str, out: &Path) -> Output {
    let keystore: PathBuf = folder.join(member).join("keystore.json");
    let mut command = fairveil();
    command.args(["keygen", "approve", "--digest", digest, "--definition"]).arg(definition);
    command.arg("--keystore").arg(keystore).arg("--out").arg(out);
    command.arg("--password-file").arg(folder.join("passphrase"));
    command.output().unwrap()
}
