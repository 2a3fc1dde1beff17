//! Key ceremonies as operators run them: five folders, five processes.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::markdown::{blocks, is_shown};
use crate::network::{fairveil, root, signal, wait_for};
use crate::ports::{Addresses, Ports};
use crate::turns::{Turn, beside_others};

const NAMES: [&str; 5] = ["acme", "bolt", "cato", "delta", "echo"];
/// The most commands that an operator is asked for.
const MOST_COMMANDS: usize = 9;

/// Five operators, each with a folder.
struct Operators {
    _turn: Turn,
    dir: TempDir,
    ports: Ports,
    digest: String,
}

impl Operators {
    fn new() -> Self {
        let turn = beside_others();
        let dir = tempfile::tempdir().unwrap();
        for name in NAMES {
            fs::create_dir_all(dir.path().join(name).join("approvals")).unwrap();
            fs::create_dir_all(dir.path().join(name).join("members")).unwrap();
            fs::write(dir.path().join(name).join("passphrase"), "correct horse\n").unwrap();
        }
        Self { _turn: turn, dir, ports: Ports::claim(5).unwrap(), digest: String::new() }
    }

    fn folder(&self, member: usize) -> PathBuf {
        self.dir.path().join(NAMES[member])
    }

    /// A line of a page, in the shell of this member.
    fn shell(&self, member: usize, line: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let binary = Path::new(fairveil().get_program()).parent().unwrap().to_owned();
        let Addresses { peer, trader, rpc } = &self.ports.addresses[member];
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec {line}")).current_dir(self.folder(member));
        command.stdin(Stdio::null()).env_remove("FAIRVEIL_PASSPHRASE");
        command.env("PATH", format!("{}:{path}", binary.display()));
        command.env("NAME", NAMES[member]).env("DIGEST", &self.digest).env("RUST_LOG", "off");
        for (name, address) in [("PEER", peer), ("TRADER", trader), ("RPC", rpc)] {
            command.env(name, address.to_string());
        }
        command
    }

    fn done(&self, member: usize, line: &str) -> String {
        let output = self.shell(member, line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {line}: {said}", NAMES[member]);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Everybody sends a file to these members.
    fn send(&self, from: impl Fn(&str) -> String, to: &[usize], into: impl Fn(&str) -> String) {
        for (member, name) in NAMES.iter().enumerate() {
            let file = self.folder(member).join(from(name));
            for receiver in to {
                fs::copy(&file, self.folder(*receiver).join(into(name))).unwrap();
            }
        }
    }

    /// The proposer sends the definition to everybody; its digest is read out.
    fn send_definition(&mut self, printed: &str) {
        for member in 1..NAMES.len() {
            let definition = self.folder(0).join("definition.toml");
            fs::copy(definition, self.folder(member).join("definition.toml")).unwrap();
        }
        let digest = printed.lines().find_map(|line| line.trim().strip_prefix("digest"));
        self.digest = digest.unwrap().trim().to_owned();
    }

    /// Identities, definition and approvals, with these further words of `propose`.
    fn prepare(&mut self, further: &str) {
        for member in 0..NAMES.len() {
            self.done(
                member,
                "fairveil keygen identity --name $NAME --address $PEER --trader-address $TRADER \
                 --rpc-address $RPC --out . --password-file passphrase --light",
            );
        }
        self.send(|_| "member.json".into(), &[0], |name| format!("members/{name}.json"));
        let printed = self.done(
            0,
            &format!("fairveil keygen propose --member members --out definition.toml {further}"),
        );
        self.send_definition(&printed);
        for member in 0..NAMES.len() {
            self.done(
                member,
                "fairveil keygen approve --definition definition.toml --digest $DIGEST --keystore \
                 keystore.json --password-file passphrase --out $NAME.json",
            );
        }
        let all = [0, 1, 2, 3, 4];
        self.send(|name| format!("{name}.json"), &all, |name| format!("approvals/{name}.json"));
    }

    /// Starts `keygen run` at a member.
    fn begin(&self, member: usize, further: &str) -> Child {
        let line = format!("fairveil keygen run --config node.toml --log off {further}");
        let mut command = self.shell(member, &line);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn status(&self, member: usize) -> Value {
        let line = "fairveil --json keygen status --config node.toml";
        let output = self.shell(member, line).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn transcript(&self, member: usize) -> Value {
        let line = "fairveil --json keygen verify data/transcript.json --network $DIGEST";
        serde_json::from_str(&self.done(member, line)).unwrap()
    }
}

fn ended(child: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[track_caller]
fn succeeded(child: Child) -> String {
    let (code, printed, said) = ended(child);
    assert_eq!(code, Some(0), "{printed}{said}");
    printed
}

/// The page, command by command; the last member's process crashes in every step of the ceremony.
#[test]
fn the_guide_is_followed_by_five_operators_and_one_crashes_in_every_step() {
    let mut operators = Operators::new();
    let page = fs::read_to_string(root().join("docs/ceremony.md")).unwrap();
    let blocks = blocks(&page);
    let mut commands = 0;
    for (number, block) in blocks.iter().enumerate() {
        let shown = blocks.get(number + 1).filter(|next| next.kind == "text");
        let members = match block.kind.as_str() {
            "sh every" | "sh every parallel" => 0..NAMES.len(),
            "sh one" => 0..1,
            "sh setup" | "text" => continue,
            other => panic!("a block of kind {other:?}"),
        };
        let [line] = block.lines.as_slice() else { panic!("{:?}", block.lines) };
        commands += 1;
        let printed = if block.kind == "sh every parallel" {
            in_parallel(&operators, line)
        } else {
            members.map(|member| operators.done(member, line)).collect::<Vec<_>>()
        };
        if let Some(shown) = shown {
            let first = &printed[0];
            assert!(is_shown(&shown.lines, first), "{line}\n{first}\nthe page: {:#?}", shown.lines);
        }
        let all = [0, 1, 2, 3, 4];
        if line.contains(" identity ") {
            operators.send(|_| "member.json".into(), &[0], |name| format!("members/{name}.json"));
        } else if line.contains(" propose ") {
            operators.send_definition(&printed[0]);
        } else if line.contains(" approve ") {
            operators.send(
                |name| format!("{name}.json"),
                &all,
                |name| format!("approvals/{name}.json"),
            );
        }
    }
    assert!((5..=MOST_COMMANDS).contains(&commands), "{commands} commands");
    let key = &operators.transcript(0)["committee_key"];
    for member in 0..NAMES.len() {
        let transcript = operators.transcript(member);
        assert_eq!(&transcript["committee_key"], key);
        assert_eq!(transcript["confirmed"], 5);
        assert_eq!(transcript["revealed"], serde_json::json!([]));
        // The dealing key served one ceremony.
        let keys = fs::read_dir(operators.folder(member).join("keystore.keys")).unwrap();
        let keys: Vec<String> =
            keys.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(keys, ["share-1.key"]);
    }
}

/// Everybody runs the command at once, the last one again after a crash in each step.
fn in_parallel(operators: &Operators, line: &str) -> Vec<String> {
    let start = |member: usize, further: &str| {
        let mut command = operators.shell(member, &format!("{line} --log off {further}"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let last = NAMES.len() - 1;
    let others: Vec<Child> = (0..last).map(|member| start(member, "")).collect();
    for step in ["dealing", "acknowledging", "logging", "confirming"] {
        let (code, printed, said) = ended(start(last, &format!("--crash-in {step}")));
        assert_eq!(code, None, "{step}: it crashed, not ended\n{printed}{said}");
    }
    let last = start(last, "");
    let mut printed: Vec<String> = others.into_iter().map(succeeded).collect();
    printed.push(succeeded(last));
    printed
}

#[test]
fn a_silent_member_is_named_and_the_others_have_a_key() {
    let mut operators = Operators::new();
    operators.prepare("--f 1 --step-seconds 4");
    let running: Vec<Child> = (0..4).map(|member| operators.begin(member, "")).collect();
    let waits = |member| operators.status(member)["missing"] == serde_json::json!(["echo"]);
    wait_for("the missing member is named", || waits(0).then_some(()));
    for (member, child) in running.into_iter().enumerate() {
        // The transcript is named once it is on disk.
        wait_for("a key", || {
            let status = operators.status(member);
            (status["state"] == "complete" && status["transcript"].is_string()).then_some(())
        });
        // It stays for those who are late; nobody is.
        signal(child.id(), "TERM");
        let printed = succeeded(child);
        assert!(printed.contains("not connected: echo"), "{printed}");
        assert!(printed.contains("not confirmed by echo"), "{printed}");
    }
    let transcript = operators.transcript(0);
    assert_eq!(transcript["confirmed"], 4);
    assert_eq!(transcript["t"], 4);
    assert_eq!(transcript["effective_threshold"], 3);
    assert_eq!(operators.status(0)["state"], "complete");
}

#[test]
fn too_many_silent_members_are_named_nothing_is_lost_and_the_second_try_works() {
    let mut operators = Operators::new();
    operators.prepare("--f 1 --step-seconds 10");
    let running: Vec<Child> = (0..3).map(|member| operators.begin(member, "")).collect();
    for child in running {
        let (code, printed, said) = ended(child);
        assert_eq!(code, Some(4), "{printed}{said}");
        assert!(printed.contains("missing: delta, echo"), "{printed}");
        assert!(said.contains("nothing is lost"), "{said}");
    }
    let status = operators.status(0);
    assert_eq!(status["state"], "expired");
    assert_eq!(status["missing"], serde_json::json!(["delta", "echo"]));
    let again: Vec<Child> = (0..5).map(|member| operators.begin(member, "")).collect();
    for child in again {
        succeeded(child);
    }
    assert_eq!(operators.transcript(4)["confirmed"], 5);
}

#[test]
fn health_and_metrics_say_how_far_a_ceremony_is() {
    let mut operators = Operators::new();
    operators.prepare("--f 1 --step-seconds 60");
    assert_eq!(operators.status(0)["state"], "approved");
    fs::remove_file(operators.folder(0).join("approvals/echo.json")).unwrap();
    let status = operators.status(0);
    assert_eq!(
        (&status["state"], &status["missing"]),
        (&"proposed".into(), &serde_json::json!(["echo"]))
    );
    let refused = operators.begin(0, "");
    let (code, _, said) = ended(refused);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("not approved by echo"), "{said}");
    fs::copy(
        operators.folder(1).join("approvals/echo.json"),
        operators.folder(0).join("approvals/echo.json"),
    )
    .unwrap();

    let mut child = operators.begin(0, "");
    // It answers already before the first step has begun.
    wait_for("the dealing", || {
        let ready = get(&operators.ports.addresses[0].rpc, "/readyz")?;
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("failing  key"), "{ready}");
        ready.contains("waiting for").then_some(())
    });
    let metrics = get(&operators.ports.addresses[0].rpc, "/metrics").unwrap();
    assert!(
        metrics.contains("fairveil_ceremony_state{epoch=\"1\",round=\"0\",state=\"dealing\"} 1"),
        "{metrics}"
    );
    let report = get(&operators.ports.addresses[0].rpc, "/ceremony").unwrap();
    assert!(report.contains("\"state\":\"dealing\""), "{report}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What an address answers over HTTP, if it does.
fn get(address: &SocketAddr, path: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
