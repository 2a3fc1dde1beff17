//! A whole network on this machine: its folder, its processes.
//!
//! Every sequencer is a process of its own with its own keystore and data folder; the committee key
//! comes from their ceremony. The processes end with this one, however it ends: each watches its
//! standard input, which closes then.

pub(crate) mod anvil;
pub(crate) mod charges;
pub(crate) mod clock;
pub(crate) mod genesis;
pub(crate) mod observer;
mod ports;
pub(crate) mod workload;

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fairveil_client::{Endpoint, PinnedNetwork};
use fairveil_crypto::{ConsensusSecret, Epoch, committee::threshold};
use fairveil_keygen::{
    Approval, DealingSecret, Definition, Member, NetworkPublicKey, Proposal,
    definition::{Blocks, Deadlines, Mode, Ordering, VERSION},
    keystore::{self, Passphrase, ScryptCost, SequencerKeys},
};

use self::{
    charges::Charges,
    ports::{Addresses, Ports},
};
use crate::{
    cli::ByzantineKind,
    process::{Endpoints, KeystoreFile, NodeError, keep_secret, random},
    rollups::{Named, genesis_file},
};

/// Name of the file with the passphrase of all keystores of a local network: it protects nothing
/// that matters, and lets anybody who may read the folder start a sequencer again.
const PASSPHRASE: &str = "passphrase";
/// Folder of the rollups' genesis documents.
pub(crate) const GENESIS: &str = "genesis";
/// The document of deposits, where bundles are charged.
const DEPOSITS: &str = "deposits.json";
/// How long a call to a local sequencer may take.
const CALL: Duration = Duration::from_secs(5);
/// How often a starting sequencer is looked at.
const POLL: Duration = Duration::from_millis(50);
const NAMES: [&str; 16] = [
    "acme", "bolt", "cato", "delta", "echo", "flint", "gale", "heron", "iris", "jade", "kite",
    "lumen", "mesa", "nova", "onyx", "pike",
];

/// Why a local network doesn't run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{0}")]
    Node(#[from] NodeError),
    #[error("definition: {0}")]
    Definition(#[from] fairveil_keygen::DefinitionError),
    #[error("sequencer {name} ended with {status}; its log is {log}")]
    Ended { name: String, status: String, log: PathBuf },
    #[error("sequencer {name} was not ready after {seconds} s; its log is {log}")]
    NotReady { name: String, seconds: u64, log: PathBuf },
    #[error("{0}")]
    Other(String),
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> LocalError {
    let what = what.into();
    move |source| LocalError::Io { what, source }
}

/// Where a local network lives.
pub(crate) enum Folder {
    /// Where it was asked for; it stays.
    Asked(PathBuf),
    /// A temporary folder, which ends with this value.
    Temporary(tempfile::TempDir),
}

impl Folder {
    /// The folder that was asked for, or a new temporary one. Its path is absolute: configurations
    /// name it, and a relative path in one is relative to that file.
    pub(crate) fn new(asked: Option<&Path>) -> Result<Self, LocalError> {
        Ok(match asked {
            Some(folder) => {
                let path = std::path::absolute(folder);
                Self::Asked(path.map_err(io(folder.display().to_string()))?)
            }
            None => Self::Temporary(tempfile::tempdir().map_err(io("temporary folder"))?),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Asked(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// The network's folder and what it was made from.
pub(crate) struct LocalNetwork {
    pub(crate) definition: Definition,
    pub(crate) sequencers: Vec<Sequencer>,
    _ports: Ports,
}

/// One sequencer's process.
pub(crate) struct Sequencer {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    byzantine: Option<ByzantineKind>,
    child: Option<Child>,
}

impl LocalNetwork {
    /// Makes keystores, the definition and all approvals in `dir`.
    pub(crate) fn create(
        dir: &Path,
        sequencers: u16,
        rollups: &[Named],
    ) -> Result<Self, LocalError> {
        Self::create_with(dir, sequencers, rollups, None, Mode::Strict)
    }

    /// The same, where bundles are charged if `charges` says so, with this mode of the order.
    pub(crate) fn create_with(
        dir: &Path,
        sequencers: u16,
        rollups: &[Named],
        charges: Option<&Charges>,
        mode: Mode,
    ) -> Result<Self, LocalError> {
        std::fs::create_dir_all(dir).map_err(io(dir.display().to_string()))?;
        let passphrase =
            random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let file = dir.join(PASSPHRASE);
        keep_secret(&file, passphrase.as_bytes()).map_err(io(file.display().to_string()))?;
        let mut members = Vec::new();
        let ports = Ports::claim(sequencers).map_err(io("a port"))?;
        for (name, addresses) in NAMES.iter().zip(&ports.addresses) {
            let folder = dir.join(name);
            std::fs::create_dir_all(folder.join("data")).map_err(io(*name))?;
            members.push(identity(name, &folder, &passphrase, addresses)?);
        }
        let accounting = charges.map(Charges::accounting);
        let ordering = Ordering { mode, ..Ordering::default() };
        let proposal = proposal(sequencers, members, rollups);
        let proposal = Proposal { accounting, ordering, ..proposal };
        let definition = Definition::new(proposal)?;
        let genesis = dir.join(GENESIS);
        std::fs::create_dir_all(&genesis).map_err(io(GENESIS))?;
        for Named { rollup, genesis: document } in rollups {
            if let Some(document) = document {
                write(&genesis_file(&genesis, rollup.chain_id), document)?;
            }
        }
        let file = dir.join("definition.toml");
        write(&file, definition.to_toml().as_bytes())?;
        let approvals = dir.join("approvals");
        std::fs::create_dir_all(&approvals).map_err(io("approvals"))?;
        let mut started = Vec::new();
        for member in definition.members() {
            let folder = dir.join(&member.name);
            approve(&definition, &folder, &passphrase, &approvals.join(&member.name))?;
            write(&folder.join("node.toml"), node_toml(&folder, dir).as_bytes())?;
            let name = member.name.clone();
            started.push(Sequencer { name, folder, byzantine: None, child: None });
        }
        let network = Self { definition, sequencers: started, _ports: ports };
        if let Some(charges) = charges {
            let file = dir.join(DEPOSITS);
            write(&file, charges.deposits.to_json().as_bytes())?;
            let path = toml::Value::String(file.display().to_string());
            network.set(&[("deposits", path.to_string())])?;
        }
        Ok(network)
    }

    /// Sets these keys of every sequencer's configuration, from its next start on.
    pub(crate) fn set(&self, settings: &[(&str, String)]) -> Result<(), LocalError> {
        use std::io::Write as _;
        for sequencer in &self.sequencers {
            let path = sequencer.config_file();
            let open = File::options().append(true).open(&path);
            let mut file = open.map_err(io(path.display().to_string()))?;
            for (key, value) in settings {
                writeln!(file, "{key} = {value}").map_err(io(path.display().to_string()))?;
            }
        }
        Ok(())
    }

    /// Makes the sequencer at this position an adversary from its next start on.
    pub(crate) fn corrupt(&mut self, position: usize, kind: ByzantineKind) {
        self.sequencers[position].byzantine = Some(kind);
    }

    /// Starts every sequencer's process.
    pub(crate) fn start_all(&mut self) -> Result<(), LocalError> {
        for position in 0..self.sequencers.len() {
            self.start(position)?;
        }
        Ok(())
    }

    /// Starts one sequencer's process.
    pub(crate) fn start(&mut self, position: usize) -> Result<(), LocalError> {
        let program = std::env::current_exe().map_err(io("this program"))?;
        let sequencer = &mut self.sequencers[position];
        let log = sequencer.log();
        let open = File::options().create(true).append(true).open(&log);
        let log = open.map_err(io(log.display().to_string()))?;
        let mut command = Command::new(program);
        command
            .arg("node")
            .arg("--config")
            .arg(sequencer.config_file())
            .arg("--end-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(kind) = sequencer.byzantine {
            command.arg("--byzantine").arg(kind.to_string());
        }
        let _ = std::fs::remove_file(sequencer.endpoints_file());
        sequencer.child = Some(command.spawn().map_err(io(sequencer.name.clone()))?);
        Ok(())
    }

    /// Kills one sequencer's process with SIGKILL.
    pub(crate) fn kill(&mut self, position: usize) -> Result<(), LocalError> {
        if let Some(mut child) = self.sequencers[position].child.take() {
            child.kill().map_err(io("kill"))?;
            child.wait().map_err(io("wait"))?;
        }
        Ok(())
    }

    /// Waits until a sequencer answers that it is ready.
    pub(crate) async fn ready(
        &mut self,
        position: usize,
        within: Duration,
    ) -> Result<Endpoints, LocalError> {
        #[expect(clippy::disallowed_methods, reason = "waiting for a process takes wall time")]
        let started = Instant::now();
        loop {
            let sequencer = &mut self.sequencers[position];
            let (name, log) = (sequencer.name.clone(), sequencer.log());
            if let Some(child) = &mut sequencer.child
                && let Some(status) = child.try_wait().map_err(io("wait"))?
            {
                return Err(LocalError::Ended { name, status: status.to_string(), log });
            }
            if let Some(endpoints) = sequencer.endpoints()
                && let Ok(endpoint) = Endpoint::new(&endpoints.http, CALL)
                && endpoint.get("/readyz").await.is_ok()
            {
                return Ok(endpoints);
            }
            if started.elapsed() > within {
                return Err(LocalError::NotReady { name, seconds: within.as_secs(), log });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until every sequencer is ready.
    pub(crate) async fn all_ready(
        &mut self,
        within: Duration,
    ) -> Result<Vec<Endpoints>, LocalError> {
        let mut endpoints = Vec::new();
        for position in 0..self.sequencers.len() {
            endpoints.push(self.ready(position, within).await?);
        }
        Ok(endpoints)
    }

    /// The transcript of the ceremony, once it is complete.
    pub(crate) fn transcript_file(&self) -> PathBuf {
        self.sequencers[0].folder.join("data/transcript.json")
    }

    /// What a client believes of this network, from the ceremony's transcript.
    pub(crate) fn pinned(&self) -> Result<PinnedNetwork, LocalError> {
        let path = self.transcript_file();
        #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
        let bytes = std::fs::read(&path).map_err(io(path.display().to_string()))?;
        PinnedNetwork::from_transcript(&bytes, &self.definition.network_id())
            .map_err(|error| LocalError::Other(format!("transcript: {error}")))
    }

    /// The network id.
    pub(crate) fn network_id(&self) -> String {
        self.definition.network_id().to_string()
    }

    /// Shares that suffice to open.
    pub(crate) fn threshold(&self) -> u16 {
        threshold(self.definition.n())
    }
}

impl Drop for LocalNetwork {
    fn drop(&mut self) {
        for sequencer in &mut self.sequencers {
            if let Some(mut child) = sequencer.child.take() {
                // Closing its standard input ends it; what is left is ended here.
                drop(child.stdin.take());
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Sequencer {
    /// The configuration that it is started from.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.join("node.toml")
    }

    /// Its log file.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("node.log")
    }

    fn endpoints_file(&self) -> PathBuf {
        self.folder.join("data/endpoints.json")
    }

    fn endpoints(&self) -> Option<Endpoints> {
        let text = std::fs::read_to_string(self.endpoints_file()).ok()?;
        serde_json::from_str(&text).ok()
    }
}

fn identity(
    name: &str,
    folder: &Path,
    passphrase: &str,
    addresses: &Addresses,
) -> Result<Member, LocalError> {
    let keys = SequencerKeys::new(
        ConsensusSecret::from_seed(random()?),
        ConsensusSecret::from_seed(random()?),
    );
    let dealing = DealingSecret::from_seed(&random()?);
    let (consensus, network) = (keys.consensus.public_key(), keys.network.public_key());
    let passphrase = Passphrase::new(passphrase).map_err(|e| LocalError::Other(e.to_string()))?;
    let path = folder.join("keystore.json");
    KeystoreFile::create(&path, passphrase, ScryptCost::Light, keys, &dealing)?;
    let address = |at: SocketAddr| {
        let text = at.to_string();
        text.parse().map_err(|_| LocalError::Other(text))
    };
    Ok(Member {
        name: name.to_owned(),
        consensus,
        network: NetworkPublicKey::from_bytes(network.to_bytes()),
        dealing: dealing.public_key(),
        peer_address: address(addresses.peer)?,
        trader_address: address(addresses.trader)?,
        rpc_address: address(addresses.rpc)?,
    })
}

fn proposal(n: u16, members: Vec<Member>, rollups: &[Named]) -> Proposal {
    Proposal {
        version: VERSION,
        epoch: Epoch::new(1),
        n,
        f: (n - 1) / 4,
        g: 0,
        revealed_limit: 0,
        ordering: Ordering::default(),
        blocks: Blocks::default(),
        deadlines: Deadlines::default(),
        accounting: None,
        rollups: rollups.iter().map(|named| named.rollup.clone()).collect(),
        members,
        resharing: None,
    }
}

fn approve(
    definition: &Definition,
    folder: &Path,
    passphrase: &str,
    to: &Path,
) -> Result<(), LocalError> {
    let path = folder.join("keystore.json");
    let other = |error: &dyn std::fmt::Display| LocalError::Other(error.to_string());
    #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
    let bytes = std::fs::read(&path).map_err(io(path.display().to_string()))?;
    let passphrase = Passphrase::new(passphrase).map_err(|error| other(&error))?;
    let keys = keystore::open(&bytes, &passphrase).map_err(|error| other(&error))?;
    let approval = Approval::new(definition, &keys.consensus);
    let text = serde_json::to_vec_pretty(&approval).map_err(|error| other(&error))?;
    write(&to.with_extension("json"), &text)
}

fn node_toml(folder: &Path, network: &Path) -> String {
    let text = |path: PathBuf| toml::Value::String(path.display().to_string()).to_string();
    format!(
        "data_dir = {}\nkeystore = {}\npassphrase_file = {}\ndefinition = {}\napprovals = {}\n\
         genesis = {}\n",
        text(folder.join("data")),
        text(folder.join("keystore.json")),
        text(network.join(PASSPHRASE)),
        text(network.join("definition.toml")),
        text(network.join("approvals")),
        text(network.join(GENESIS)),
    )
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), LocalError> {
    #[expect(clippy::disallowed_methods, reason = "the node owns the disk")]
    std::fs::write(path, bytes).map_err(io(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_absolute_however_it_is_named_and_so_is_what_its_settings_name() {
        let folder = Folder::new(Some(Path::new("net/e5"))).unwrap();
        let here = std::env::current_dir().unwrap();
        assert_eq!(folder.path(), here.join("net/e5"));
        assert!(Folder::new(None).unwrap().path().is_absolute());

        let settings = node_toml(&folder.path().join("acme"), folder.path());
        let settings: toml::Table = settings.parse().unwrap();
        for (key, value) in &settings {
            assert!(Path::new(value.as_str().unwrap()).is_absolute(), "{key} = {value}");
        }
    }
}
