//! Epochs of a running network: members come and go, shares are renewed, and no bundle notices.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::network::{Desk, Dev, Sequencer, fairveil, runs, signal, wait_for};

const NAMES: [&str; 5] = ["acme", "bolt", "cato", "delta", "echo"];
/// The longest that no bundle may be released around a boundary.
const GAP: Duration = Duration::from_secs(5);

/// A network and the operators of its members.
struct Operators {
    dev: Dev,
    joined: Vec<(String, Child)>,
}

impl Operators {
    fn new() -> Self {
        Self { dev: Dev::start(), joined: Vec::new() }
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
            None => addresses(self.dev.folder(), name),
        };
        let mut arguments = vec![
            "keygen", "identity", "--name", name, "--address", &peer, "--trader-address", &trader,
            "--rpc-address", &rpc, "--out", &out, "--password-file", &passphrase,
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
            "--json", "keygen", verb, "--transcript", &transcript, "--network", &network, "--member",
            public, "--boundary", &boundary, "--step-seconds", "20", "--out", out,
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
                "keygen", "approve", "--definition", out, "--digest", digest, "--keystore",
                &keystore, "--password-file", &passphrase, "--transcript", &transcript, "--out",
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
        let urls: Vec<_> = self.dev.sequencers().into_iter().map(|one| one.http).collect();
        let (urls, definition, approvals) =
            (urls.join(","), path("definition.toml"), path("approvals"));
        let printed = self.run(&[
            "keygen", "run", "--definition", &definition, "--approvals", &approvals,
            "--predecessor", &path("predecessor.json"), "--sequencer", &urls,
        ]);
        assert!(printed.contains("complete"), "{printed}");
    }

    fn epoch(&self, sequencer: &Sequencer) -> u64 {
        let info = self.dev.call(sequencer, "fairveil_committee", Vec::new());
        info["epoch"].as_u64().unwrap()
    }

    fn waits_for_epoch(&self, epoch: u64) {
        for sequencer in self.dev.sequencers().iter().filter(|one| runs(one.pid)) {
            wait_for("the next epoch", || (self.epoch(sequencer) == epoch).then_some(()));
        }
    }

    fn pids(&self) -> Vec<u32> {
        let joined = self.joined.iter().map(|(_, child)| child.id());
        self.dev.sequencers().iter().map(|one| one.pid).chain(joined).collect()
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

/// Three free loopback addresses, the same each time for one name.
fn addresses(folder: &Path, name: &str) -> [String; 3] {
    let kept = folder.join(format!("{name}.addresses"));
    if let Ok(text) = fs::read_to_string(&kept) {
        let found: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        return found.try_into().unwrap();
    }
    let loopback = (Ipv4Addr::LOCALHOST, 0);
    let udp = [UdpSocket::bind(loopback).unwrap(), UdpSocket::bind(loopback).unwrap()];
    let rpc = TcpListener::bind(loopback).unwrap();
    let found = [
        udp[0].local_addr().unwrap().to_string(),
        udp[1].local_addr().unwrap().to_string(),
        rpc.local_addr().unwrap().to_string(),
    ];
    fs::write(kept, found.join("\n")).unwrap();
    found
}

/// Bundles that traders seal and submit one after the other until they are told to stop: their ids,
/// and the longest time between two releases.
fn traders(operators: &Operators, stop: &AtomicBool) -> (Vec<String>, Duration) {
    let desk = Desk::new();
    let environment = operators.dev.environment();
    let command = |arguments: &[&str]| {
        let mut command = fairveil();
        command.args(arguments).envs(environment.clone());
        command.output().unwrap()
    };
    let (mut ids, mut longest, mut last) = (Vec::new(), Duration::ZERO, Instant::now());
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let sealed = desk.text(&format!("{number}.sealed.json"));
        let nonce = number.to_string();
        let key = desk.text("payer.key");
        if number == 0 {
            fs::write(&key, format!("0x{}\n", "11".repeat(32))).unwrap();
        }
        let bundle = desk.text("bundle.json");
        if number == 0 {
            let built = command(&[
                "bundle", "build", "--leg", "901:0x02f0", "--leg", "902:0x02f1", "--unchecked",
                "--out", &bundle,
            ]);
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        }
        let output = command(&[
            "bundle", "seal", "--bundle", &bundle, "--payer-key", &key, "--payer-nonce", &nonce,
            "--out", &sealed,
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = command(&["--json", "bundle", "submit", &sealed, "--wait"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        longest = longest.max(last.elapsed());
        last = Instant::now();
        ids.push(sealed);
    }
    (ids, longest)
}
