//! Epochs of a running network: members come and go, shares are renewed, and no bundle notices.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fairveil_crypto::Epoch;
use fairveil_keygen::keystore::{self, EpochKey, Passphrase};
use serde_json::Value;

use crate::network::{Desk, Dev, fairveil, runs, seen_within_minutes, wait_for};
use crate::ports::{Addresses, Ports};
use crate::trader::{FIRST, SECOND, seal};

/// How long each step of a resharing waits for who is missing.
const STEP_SECONDS: &str = "10";
const NAMES: [&str; 5] = ["acme", "bolt", "cato", "delta", "echo"];

/// A network and the operators of its members.
struct Operators {
    dev: Dev,
    joined: Vec<(String, Child)>,
    /// Of those who join, five at most, in the order in which they were first named.
    ports: Ports,
    named: Mutex<Vec<String>>,
}

impl Operators {
    fn new() -> Self {
        let (ports, named) = (Ports::claim(5).unwrap(), Mutex::default());
        Self { dev: Dev::start(), joined: Vec::new(), ports, named }
    }

    /// Loopback addresses of one who joins, the same each time for one name.
    fn addresses(&self, name: &str) -> [String; 3] {
        let mut named = self.named.lock().unwrap();
        let at = named.iter().position(|one| one == name).unwrap_or(named.len());
        if at == named.len() {
            named.push(name.to_owned());
        }
        let Addresses { peer, trader, rpc } = &self.ports.addresses[at];
        [peer, trader, rpc].map(ToString::to_string)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.dev.folder().join(name)
    }

    fn text(&self, path: &str) -> String {
        self.dev.folder().join(path).to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = fairveil().args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A member's public file, with a dealing key for the next ceremony.
    fn identity(&self, name: &str, members: &Path) {
        let (out, passphrase) = (self.text(name), self.text("passphrase"));
        fs::create_dir_all(&out).unwrap();
        let known = self.dev.sequencers().into_iter().find(|one| one.name == name);
        let is_new = known.is_none() && !self.folder(name).join("keystore.json").exists();
        let [peer, trader, rpc] = match known {
            Some(one) => [one.peer, one.trader, one.http.replace("http://", "")],
            None => self.addresses(name),
        };
        let mut arguments = vec![
            "keygen",
            "identity",
            "--name",
            name,
            "--address",
            &peer,
            "--trader-address",
            &trader,
            "--rpc-address",
            &rpc,
            "--out",
            &out,
            "--password-file",
            &passphrase,
        ];
        arguments.push(if is_new { "--light" } else { "--renew" });
        self.run(&arguments);
        fs::copy(self.folder(name).join("member.json"), members.join(format!("{name}.json")))
            .unwrap();
    }

    fn transcript(&self) -> String {
        self.text("acme/data/transcript.json")
    }

    fn network(&self) -> String {
        self.dev.environment()[1].1.clone()
    }

    /// A definition of the next epoch with these members, approved by all of them and by those of the
    /// committee before; the folder with it and its approvals.
    fn approved(&self, epoch: u64, members: &[&str], before: &[&str]) -> PathBuf {
        let folder = self.dev.folder().join(format!("epoch-{epoch}"));
        let (public, approvals) = (folder.join("members"), folder.join("approvals"));
        fs::create_dir_all(&public).unwrap();
        fs::create_dir_all(&approvals).unwrap();
        members.iter().for_each(|name| self.identity(name, &public));
        let definition = folder.join("definition.toml");
        let (transcript, network) = (self.transcript(), self.network());
        let boundary = (self.dev.height(&self.dev.sequencers()[0]) + 40).to_string();
        let same = members == before;
        let (public, out) = (public.to_str().unwrap(), definition.to_str().unwrap());
        let verb = if same { "refresh" } else { "reshare" };
        let arguments = [
            "--json",
            "keygen",
            verb,
            "--transcript",
            &transcript,
            "--network",
            &network,
            "--member",
            public,
            "--boundary",
            &boundary,
            "--step-seconds",
            STEP_SECONDS,
            "--out",
            out,
        ];
        let written: Value = serde_json::from_str(&self.run(&arguments)).unwrap();
        let digest = written["digest"].as_str().unwrap();
        let mut signers: Vec<&str> = members.to_vec();
        signers.extend(before.iter().filter(|name| !members.contains(name)));
        for name in signers {
            let (keystore, passphrase) =
                (self.text(&format!("{name}/keystore.json")), self.text("passphrase"));
            let approval = approvals.join(format!("{name}.json"));
            self.run(&[
                "keygen",
                "approve",
                "--definition",
                out,
                "--digest",
                digest,
                "--keystore",
                &keystore,
                "--password-file",
                &passphrase,
                "--transcript",
                &transcript,
                "--out",
                approval.to_str().unwrap(),
            ]);
        }
        fs::copy(&transcript, folder.join("predecessor.json")).unwrap();
        folder
    }

    /// Starts the node of a member that joins with this definition.
    fn join(&mut self, name: &str, epoch: &Path) {
        let folder = self.folder(name);
        let text = |path: PathBuf| format!("{:?}", path.to_str().unwrap());
        let settings = format!(
            "data_dir = {}\nkeystore = {}\npassphrase_file = {}\ndefinition = {}\napprovals = {}\n\
             predecessor = {}\n",
            text(folder.join("data")),
            text(folder.join("keystore.json")),
            text(self.dev.folder().join("passphrase")),
            text(epoch.join("definition.toml")),
            text(epoch.join("approvals")),
            text(epoch.join("predecessor.json")),
        );
        fs::write(folder.join("node.toml"), settings).unwrap();
        let log = fs::File::create(folder.join("node.log")).unwrap();
        let mut command = fairveil();
        command.args(["node", "--config"]).arg(folder.join("node.toml"));
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.joined.push((name.to_owned(), child));
    }

    /// Has the running network begin the resharing, and follows it to its end.
    fn reshare(&self, epoch: &Path) {
        let path = |name: &str| epoch.join(name).to_str().unwrap().to_owned();
        let all = self.dev.sequencers().into_iter().filter(|one| runs(one.pid));
        let urls: Vec<_> = all.map(|one| one.http).collect();
        let (urls, definition, approvals) =
            (urls.join(","), path("definition.toml"), path("approvals"));
        let printed = self.run(&[
            "keygen",
            "run",
            "--definition",
            &definition,
            "--approvals",
            &approvals,
            "--predecessor",
            &path("predecessor.json"),
            "--sequencer",
            &urls,
        ]);
        assert!(printed.contains("complete"), "{printed}");
    }

    /// Waits until all members of an epoch are in it.
    fn waits_for_epoch(&self, epoch: u64, members: &[&str]) {
        for name in members {
            let endpoints = self.folder(name).join("data/endpoints.json");
            let url = || -> Option<String> {
                let found: Value = serde_json::from_slice(&fs::read(&endpoints).ok()?).ok()?;
                Some(found["http"].as_str()?.to_owned())
            };
            let seen = seen_within_minutes(|| {
                let info = self.dev.asked(&url()?, "fairveil_committee")?;
                (info["epoch"].as_u64()? == epoch).then_some(())
            });
            assert!(seen.is_some(), "{name} is not in epoch {epoch}");
        }
    }

    /// The processes of these members.
    fn pids(&self, members: &[&str]) -> Vec<u32> {
        let first = self.dev.sequencers().into_iter().map(|one| (one.name, one.pid));
        let joined = self.joined.iter().map(|(name, child)| (name.clone(), child.id()));
        let all = first.chain(joined);
        all.filter(|(name, _)| members.contains(&name.as_str())).map(|(_, pid)| pid).collect()
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        for (_, child) in &mut self.joined {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What became of the bundles of a trader that never stops.
struct Load {
    released: usize,
    longest: Duration,
}

/// Seals, submits and follows one bundle after the other until it is told to stop. It knows the
/// transcript of the first epoch alone.
fn load(environment: [(&'static str, String); 3], transcript: &Path, stop: &AtomicBool) -> Load {
    let desk = Desk::new();
    let run = |arguments: &[&str]| {
        let mut command = fairveil();
        command.args(arguments).envs(environment.clone());
        command.env("FAIRVEIL_TRANSCRIPT", transcript).output().unwrap()
    };
    let done = |arguments: &[&str]| {
        let output = run(arguments);
        let printed = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}\n{printed}{said}", output.status);
        printed
    };
    let (bundle, payer) = (desk.text("bundle.json"), desk.text("payer.key"));
    let transactions = [format!("901:{}", FIRST[0]), format!("902:{SECOND}")];
    done(&[
        "bundle",
        "build",
        "--tx",
        &transactions[0],
        "--tx",
        &transactions[1],
        "--out",
        &bundle,
    ]);
    let mut load = Load { released: 0, longest: Duration::ZERO };
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let sealed = desk.text(&format!("{}.json", load.released));
        let rest = ["--expires-in", "900h", "--out", &sealed];
        done(&[&["bundle", "seal", "--bundle", &bundle, "--payer", &payer][..], &rest].concat());
        // Between two epochs nobody may answer in time: the same bytes again, as the command says.
        let submitted = (0..5).any(|_| {
            let submitted = run(&["bundle", "submit", &sealed]);
            let unreachable = submitted.status.code() == Some(5);
            assert!(submitted.status.success() || unreachable, "{submitted:?}");
            submitted.status.success()
        });
        assert!(submitted, "{sealed}");
        let waited = done(&["bundle", "wait", &sealed]);
        assert!(waited.contains("released"), "{sealed}: {waited}");
        load.longest = load.longest.max(last.elapsed());
        last = Instant::now();
        load.released += 1;
    }
    load
}

/// The secrets of a member in an epoch: its share, and the epoch key that opens it.
fn secrets(folder: &Path, network: &str, epoch: u64) -> [Vec<u8>; 2] {
    let key = fs::read(folder.join(format!("keystore.keys/share-{epoch}.key"))).unwrap();
    let passphrase = fs::read_to_string(folder.join("../passphrase")).unwrap();
    let bytes = fs::read(folder.join("keystore.json")).unwrap();
    let keys = keystore::open(&bytes, &Passphrase::new(passphrase.trim()).unwrap()).unwrap();
    let epoch_key = EpochKey::from_bytes(key.clone().try_into().unwrap());
    let (network, epoch) = (network.parse().unwrap(), Epoch::new(epoch));
    let share = keys.membership_of(&network, epoch, &epoch_key).unwrap().share;
    [share.expose_encoding().to_vec(), key]
}

/// Whether any file below a folder has these bytes.
fn has(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return has(&path, bytes);
        }
        let contents = fs::read(&path).unwrap_or_default();
        contents.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// 5 to 7 to another 5, and new shares for those, while a trader goes on.
#[test]
fn committees_change_under_load_and_old_shares_are_gone() {
    let mut operators = Operators::new();
    let network = operators.network();
    let key = |transcript: &str, network: &str| -> Value {
        let verify = fairveil()
            .args(["--json", "keygen", "verify", transcript, "--network", network])
            .output()
            .unwrap();
        serde_json::from_slice(&verify.stdout).unwrap()
    };
    let first = operators.dev.folder().join("first.json");
    fs::copy(operators.transcript(), &first).unwrap();
    let before = key(first.to_str().unwrap(), &network);
    let stop = AtomicBool::new(false);
    let environment = operators.dev.environment();
    let seven = ["acme", "bolt", "cato", "delta", "echo", "gale", "heron"];
    let five = ["acme", "bolt", "cato", "gale", "heron"];
    let load = std::thread::scope(|scope| {
        let trader = scope.spawn(|| load(environment, &first, &stop));
        // Ends the trader also if this test fails.
        let _stop = OnDrop(&stop);
        let mut members: Vec<&str> = NAMES.to_vec();
        for (epoch, next) in [(2, &seven[..]), (3, &five), (4, &five)] {
            let old: Vec<_> = members
                .iter()
                .map(|name| (*name, secrets(&operators.folder(name), &network, epoch - 1)))
                .collect();
            // Who left before, and who leaves now, ends by itself after a minute.
            let staying: Vec<&str> =
                members.iter().copied().filter(|name| next.contains(name)).collect();
            let pids = operators.pids(&staying);
            let folder = operators.approved(epoch, next, &members);
            for name in next.iter().filter(|name| !members.contains(name)) {
                operators.join(name, &folder);
            }
            operators.reshare(&folder);
            operators.waits_for_epoch(epoch, next);
            assert!(pids.iter().all(|pid| runs(*pid)), "no process ends before its time");
            for (name, old) in &old {
                for gone in old {
                    let folder = operators.folder(name);
                    wait_for("the old share is erased", || (!has(&folder, gone)).then_some(()));
                }
            }
            members = next.to_vec();
        }
        let transcript = operators.transcript();
        let after = key(&transcript, &network);
        assert_eq!(after["committee_key"], before["committee_key"]);
        assert_eq!((&after["epoch"], &after["n"], &after["t"]), (&4.into(), &5.into(), &4.into()));
        stop.store(true, Ordering::Relaxed);
        trader.join().unwrap()
    });
    println!("{} bundles released, at most {:?} between two", load.released, load.longest);
    assert!(load.released > 10, "{} bundles", load.released);
    one_order_of_all_epochs(&operators, load.released);
}

/// The certified heights of all epochs are one chain, and no receipts speak against the order.
fn one_order_of_all_epochs(operators: &Operators, bundles: usize) {
    let (trace, transcript) = (operators.text("trace.json"), operators.transcript());
    let record = ["bundle", "trace", "--from", "1", "--ask", "--transcript", &transcript];
    operators.dev.done(&[&record[..], &["--out", &trace]].concat());
    let judge = ["--json", "verify", "fairness", "--transcript", &transcript, "--trace", &trace];
    let judged: Value = serde_json::from_str(&operators.dev.done(&judge)).unwrap();
    assert_eq!(judged["refused"], Value::Array(Vec::new()), "{judged:#}");
    assert!(judged["ids"].as_u64().unwrap() >= bundles as u64, "{judged:#}");
    let epochs: Vec<_> = judged["epochs"].as_array().unwrap().iter().collect();
    assert!(epochs.len() >= 3, "receipts of several epochs: {epochs:?}");
}

/// New shares for five, of whom one has no power until the next epoch runs.
#[test]
fn a_member_that_was_away_gets_its_share_afterwards() {
    let mut operators = Operators::new();
    let away = operators.dev.sequencers().into_iter().find(|one| one.name == "echo").unwrap();
    let folder = operators.approved(2, &NAMES, &NAMES);
    operators.dev.kill(&away);
    operators.reshare(&folder);
    operators.waits_for_epoch(2, &NAMES[..4]);
    operators.dev.restart(&away);
    operators.waits_for_epoch(2, &["echo"]);
    wait_for("it is ready", || operators.dev.get(&away, "/readyz"));
    // It has its share of the epoch, and opens with the others: without it three are left of four.
    let other = operators.dev.sequencers().into_iter().find(|one| one.name == "delta").unwrap();
    operators.dev.kill(&other);
    let desk = Desk::new();
    seal(&operators.dev, &desk, "900h");
    operators.dev.done(&["bundle", "submit", &desk.text("sealed.json")]);
    let waited = operators.dev.done(&["bundle", "wait", &desk.text("sealed.json")]);
    assert!(waited.contains("released"), "{waited}");
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
