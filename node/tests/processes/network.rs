//! A `fairveil dev` network, and the binary's commands.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fairveil_client::Endpoint;
use serde_json::Value;
use tempfile::TempDir;

use crate::turns::{Turn, beside_others};

/// How long a process may take for what it is asked. No test waits for its end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(50);

/// The binary under test.
pub(crate) fn fairveil() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairveil"));
    for name in ["PASSPHRASE", "TRANSCRIPT", "NETWORK", "SEQUENCERS"] {
        command.env_remove(format!("FAIRVEIL_{name}"));
    }
    command.stdin(Stdio::null());
    command
}

/// The folder of the whole project.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Looks again and again until `seen` has a value.
pub(crate) fn wait_for<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = seen() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(POLL);
    }
}

/// Gives the network three minutes, for what may take one by itself: an abstention does, of an idle
/// chain.
pub(crate) fn seen_within_minutes<T>(mut seen: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(180) {
        if let Some(value) = seen() {
            return Some(value);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    None
}

/// Sends a signal to a process that this test started.
pub(crate) fn signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
    assert!(sent.unwrap().success(), "kill -{signal} {pid}");
}

/// Whether any thread of a process still runs, and so may hold its files: a child that ended and was
/// not waited for has none.
pub(crate) fn runs(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().any(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.contains(" Z "))
    })
}

/// One sequencer of the network, as `dev --json` describes it.
#[derive(Clone, Debug)]
pub(crate) struct Sequencer {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) http: String,
    pub(crate) peer: String,
    pub(crate) trader: String,
}

/// A running `fairveil dev`.
pub(crate) struct Dev {
    _turn: Turn,
    process: Child,
    /// Sequencers that were started again by hand.
    restarted: Vec<Child>,
    dir: TempDir,
    document: Value,
    runtime: tokio::runtime::Runtime,
}

impl Dev {
    /// Starts five sequencers and waits until all are ready. A batch per height, nothing is executed.
    pub(crate) fn start() -> Self {
        let recorders = [901, 902, 903].map(|chain_id| format!("recorder:{chain_id}"));
        let arguments: Vec<&str> =
            recorders.iter().flat_map(|one| ["--rollup", one.as_str()]).collect();
        Self::start_with(&arguments)
    }

    /// The same with these arguments of `dev`.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let turn = beside_others();
        let dir = tempfile::tempdir().unwrap();
        let mut command = fairveil();
        command.current_dir(root());
        command.args(["dev", "--json", "--dir"]).arg(dir.path()).args(arguments);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let document = serde_json::from_str(&line).unwrap_or_else(|_| panic!("dev: {line:?}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { _turn: turn, process, restarted: Vec::new(), dir, document, runtime }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn sequencers(&self) -> Vec<Sequencer> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all = self.document["sequencers"].as_array().unwrap();
        all.iter()
            .map(|one| Sequencer {
                name: text(&one["name"]),
                pid: u32::try_from(one["pid"].as_u64().unwrap()).unwrap(),
                http: text(&one["http"]),
                peer: text(&one["peer"]),
                trader: text(&one["trader"]),
            })
            .collect()
    }

    /// A command of a trader of this network.
    pub(crate) fn trader(&self, args: &[&str]) -> Output {
        let mut command = fairveil();
        command.args(args).envs(self.environment());
        command.output().unwrap()
    }

    /// What points a trader's commands at this network.
    pub(crate) fn environment(&self) -> [(&'static str, String); 3] {
        let urls: Vec<_> = self.sequencers().into_iter().map(|one| one.http).collect();
        let text = |key: &str| self.document[key].as_str().unwrap().to_owned();
        [
            ("FAIRVEIL_TRANSCRIPT", text("transcript")),
            ("FAIRVEIL_NETWORK", text("network_id")),
            ("FAIRVEIL_SEQUENCERS", urls.join(",")),
        ]
    }

    /// The same, which must succeed; what it printed.
    pub(crate) fn done(&self, args: &[&str]) -> String {
        let output = self.trader(args);
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {}\n{text}{errors}", output.status);
        text
    }

    /// What a sequencer answers to GET, if it does with 200.
    pub(crate) fn get(&self, sequencer: &Sequencer, path: &str) -> Option<Vec<u8>> {
        let endpoint = Endpoint::new(&sequencer.http, Duration::from_secs(5)).unwrap();
        self.runtime.block_on(endpoint.get(path)).ok().map(|bytes| bytes.to_vec())
    }

    /// What a sequencer answers to a call.
    pub(crate) fn call(&self, sequencer: &Sequencer, method: &str, params: Vec<Value>) -> Value {
        let endpoint = Endpoint::new(&sequencer.http, Duration::from_secs(30)).unwrap();
        self.runtime.block_on(endpoint.call::<Value>(method, params)).unwrap()
    }

    /// What a sequencer at this URL answers to a call without parameters, if it does.
    pub(crate) fn asked(&self, url: &str, method: &str) -> Option<Value> {
        let endpoint = Endpoint::new(url, Duration::from_secs(5)).unwrap();
        self.runtime.block_on(endpoint.call::<Value>(method, Vec::new())).ok()
    }

    /// The final height at a sequencer.
    pub(crate) fn height(&self, sequencer: &Sequencer) -> u64 {
        self.call(sequencer, "fairveil_committee", Vec::new())["height"].as_u64().unwrap()
    }

    /// Kills a sequencer.
    pub(crate) fn kill(&self, sequencer: &Sequencer) {
        signal(sequencer.pid, "KILL");
        wait_for("the end of a killed process", || (!runs(sequencer.pid)).then_some(()));
    }

    /// Starts a sequencer again as `dev` says; the new process' id.
    pub(crate) fn restart(&mut self, sequencer: &Sequencer) -> u32 {
        self.restart_with(sequencer, &[])
    }

    /// The same with these arguments of `node`.
    pub(crate) fn restart_with(&mut self, sequencer: &Sequencer, arguments: &[&str]) -> u32 {
        let config = self.folder().join(&sequencer.name).join("node.toml");
        let mut command = fairveil();
        command.args(["node", "--log", "error", "--config"]).arg(config).args(arguments);
        let process = command.spawn().unwrap();
        let pid = process.id();
        self.restarted.push(process);
        pid
    }

    /// Ends the network as Ctrl-C does; its folder stays.
    pub(crate) fn end(&mut self) {
        signal(self.process.id(), "INT");
        self.process.wait().unwrap();
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        for process in self.restarted.iter_mut().chain([&mut self.process]) {
            if matches!(process.try_wait(), Ok(None)) {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}

/// Files of a trader in a folder of its own.
pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}
