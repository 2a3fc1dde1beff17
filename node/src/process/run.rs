//! Starting everything in order, and waiting.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use commonware_p2p::Manager as _;
use commonware_runtime::{
    Metrics as _, Runner as _, Spawner as _, Supervisor as _, tokio as runtime,
};
use commonware_utils::ordered::Set;
use fairveil_crypto::{SequencerIndex, committee::KeyShare};
use fairveil_keygen::{
    CeremonyContext, Definition, Membership, Transcript, VerifiedTranscript,
    definition::Mode,
    keystore::{MembershipError, SequencerKeys},
};
use fairveil_ordering as ordering;
use fairveil_release::registry::Registry;
use fairveil_runtime::NodeEngine;
use fairveil_sequencer::{
    Config as SequencerConfig, Executor, Secrets, StopReason, Store,
    ceremony::{self, Setup},
};
use fairveil_transport::{
    self as transport, EndpointSecret, Member, Network, NetworkPublicKey, NetworkSecret,
};
use redb::backends::FileBackend;
use tokio::net::TcpListener;
use tracing::info;

use super::{
    NodeError,
    files::{self, Endpoints, FolderLock, KeystoreFile},
    metrics, restored,
    restored::{Folder, Mark},
    settings, traders,
    views::NodeViews,
};
use crate::{cli::ByzantineKind, config::Config, http};

/// Most members that are ever connected at once.
const MAX_PEERS: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
/// How long the ceremony's chain goes on for members that are not done.
const LINGER: Duration = Duration::from_secs(60);

/// Runs a node until it stops. One that was restored from a backup is started twice: first as one that
/// signs nothing.
pub(super) fn run(
    config: &Config,
    byzantine: Option<ByzantineKind>,
    mark: Mark,
) -> Result<(), NodeError> {
    let data = config.path("data_dir").unwrap_or_default();
    let lock = Arc::new(files::lock_folder(&data)?);
    loop {
        match run_once(config, byzantine, mark, &data, Arc::clone(&lock)) {
            Err(NodeError::Stopped(StopReason::AbstentionOver)) => restored::remove_mark(&data)?,
            result => return result,
        }
    }
}

fn run_once(
    config: &Config,
    byzantine: Option<ByzantineKind>,
    mark: Mark,
    data: &Path,
    lock: Arc<FolderLock>,
) -> Result<(), NodeError> {
    let (keystore, keys) = KeystoreFile::open(config)?;
    let approved = files::approved(config)?;
    let threads = config.number("runtime_threads", 1..=256, "1 to 256 threads")?;
    let node = Node {
        config: config.clone(),
        data: data.to_path_buf(),
        keystore,
        keys,
        context: CeremonyContext::new(approved, 0),
        byzantine,
        mark,
        _lock: lock,
    };
    let runtime = runtime::Config::new()
        .with_worker_threads(usize::try_from(threads).unwrap_or(2))
        .with_storage_directory(data.join("consensus"))
        .with_catch_panics(false);
    runtime::Runner::new(runtime).start(|context| node.start(context))
}

/// What a database file that is opened has in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// Nothing: it is made anew.
    None,
    /// What was stored.
    Stay,
}

struct Node {
    config: Config,
    data: PathBuf,
    keystore: KeystoreFile,
    keys: SequencerKeys,
    context: CeremonyContext,
    byzantine: Option<ByzantineKind>,
    mark: Mark,
    _lock: Arc<FolderLock>,
}

impl Node {
    async fn start(self, context: runtime::Context) -> Result<(), NodeError> {
        let definition = self.context.definition().clone();
        let key = self.keys.consensus.public_key();
        let index = definition.index_of(&key).ok_or(NodeError::NotAMember { key })?;
        let network = Arc::new(self.open_network(&definition, index)?);
        let observer = network.observer();
        let (engine, channels) = fairveil_runtime::channels(&context, &network)
            .map_err(|error| NodeError::Start { what: "channel", why: error.to_string() })?;
        let store = self.store(&definition)?;
        let (membership, transcript) = self.key_share(&context, &store, &engine).await?;
        let verified = self.verified(&transcript)?;
        let registry = fairveil_client::registry::registry(&definition)
            .map_err(|error| NodeError::Start { what: "rollups", why: error.to_string() })?;
        let views = Arc::new(NodeViews::start(&self.config, &registry)?);
        let sequencer =
            self.sequencer_config(&definition, index, &verified, &network, registry, &views)?;
        let secrets = Secrets {
            consensus_seed: self.keys.consensus.expose_seed(),
            key_share: membership.share,
        };
        let executor = Executor::pools(
            settings::threads(&self.config, "admission_threads")?,
            settings::threads(&self.config, "opening_threads")?,
        )
        .map_err(|error| NodeError::Start { what: "threads", why: error.to_string() })?;
        let running = fairveil_runtime::start(
            context.child("sequencer"),
            sequencer,
            secrets,
            store,
            executor,
            engine,
            channels,
        )
        .await
        .map_err(|error| NodeError::Start { what: "sequencer", why: error.to_string() })?;
        let member = definition.member(index).ok_or(NodeError::NotAMember { key })?;
        let trader = self.trader_endpoint(&definition, member, running.handle.clone())?;
        let http = self.http_listener(member).await?;
        self.announce(index, &member.name, &network, &trader, &http)?;
        let (observed, watched) =
            ((observer.clone(), definition.consensus_keys()), observer.clone());
        let connected = move || metrics::connected(&observed.0, &observed.1);
        let (handle, encoder) = (running.handle.clone(), context.child("metrics"));
        let data = self.data.clone();
        let shared = http::Shared::new(
            running.handle.clone(),
            definition,
            String::from_utf8_lossy(&transcript.to_json()).into_owned(),
            Box::new(connected),
            Box::new(move || metrics::text(&handle, &observer, &views, &encoder.encode(), &data)),
        );
        let served = tokio::spawn(http::serve(http, Arc::new(shared)));
        let restored = match running.handle.overview().abstention {
            Some(_) => Folder::Restored,
            None => Folder::Original,
        };
        if restored == Folder::Original && self.mark == Mark::Obeyed {
            restored::remove_mark(&self.data)?;
        }
        let stopped = tokio::select! {
            reason = running.stopped() => Err(NodeError::Stopped(reason)),
            result = served => {
                let why = format!("{result:?}");
                Err(NodeError::Start { what: "http", why })
            }
            () = signalled() => Ok(()),
            why = restored::superseded(restored, &watched) => {
                Err(NodeError::Start { what: "restored from a backup", why })
            }
        };
        drop(trader);
        info!("stopping");
        stopped
    }

    fn open_network(
        &self,
        definition: &Definition,
        index: SequencerIndex,
    ) -> Result<Network, NodeError> {
        let failed = |what: &'static str, why: String| NodeError::Start { what, why };
        let member = definition.member(index);
        let listen = match self.config.address("peer_listen")? {
            Some(address) => address,
            None => settings::resolve(member.map(|member| &member.peer_address))?,
        };
        let key = transport::peer_key(&self.keys.consensus.public_key())
            .ok_or_else(|| failed("keystore", "the consensus key is no point".into()))?;
        let network = Network::open(transport::Config {
            network_id: definition.network_id(),
            key,
            network_secret: self.network_secret()?,
            endpoint_secret: self.endpoint_secret("endpoint.key")?,
            listen,
            timing: transport::Timing {
                idle: settings::millis(&self.config, "quic_idle_ms", 1_000..=120_000)?,
                ..transport::Timing::LOCAL
            },
            socket: settings::socket(&self.config)?,
            max_peers: MAX_PEERS,
            jitter_seed: u64::from_be_bytes(files::random()?),
        })
        .map_err(|error| failed("network between sequencers", error.to_string()))?;
        let mut directory = network.directory();
        let members = definition
            .members()
            .iter()
            .map(|member| {
                let network_key = NetworkPublicKey::from_bytes(*member.network.as_bytes());
                let address = settings::resolve(Some(&member.peer_address))?;
                Member::approved(member.consensus, network_key, address)
                    .map_err(|error| failed("member", error.to_string()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<_> = members.iter().map(|member| member.key().clone()).collect();
        directory.learn(members).map_err(|error| failed("members", error.to_string()))?;
        directory.track(definition.epoch().get(), Set::from_iter_dedup(keys));
        Ok(network)
    }

    /// The database. A new one gets its name once it is whole: power may fail while it is made.
    fn store(&self, definition: &Definition) -> Result<Store, NodeError> {
        let path = self.data.join("state.redb");
        if !path.exists() {
            let new = self.data.join("state.new");
            drop(self.open_store(&new, Contents::None, definition)?);
            files::give_name(&new, &path).map_err(|source| NodeError::File {
                what: "database",
                path: path.clone(),
                source,
            })?;
        }
        self.open_store(&path, Contents::Stay, definition)
    }

    fn open_store(
        &self,
        path: &Path,
        contents: Contents,
        definition: &Definition,
    ) -> Result<Store, NodeError> {
        let what = "database";
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(contents == Contents::None)
            .truncate(contents == Contents::None)
            .open(path)
            .map_err(|source| NodeError::File { what, path: path.to_path_buf(), source })?;
        let unusable = |why: String| NodeError::Unusable { what, path: path.to_path_buf(), why };
        let backend = FileBackend::new(file).map_err(|error| unusable(error.to_string()))?;
        let key = self.keys.consensus.public_key();
        Store::open(backend, &definition.network_id(), &key)
            .map_err(|error| unusable(error.to_string()))
    }

    /// The key share and the transcript: from the keystore and the data folder, or from a
    /// ceremony.
    async fn key_share(
        &self,
        context: &runtime::Context,
        store: &Store,
        engine: &NodeEngine,
    ) -> Result<(Membership, Transcript), NodeError> {
        let definition = self.context.definition();
        let path = self.data.join("transcript.json");
        let stored = self.keys.membership_of(&definition.network_id(), definition.epoch());
        if let (Ok(membership), true) = (&stored, path.exists()) {
            let bytes = files::read("transcript", &path)?;
            let transcript = Transcript::from_json(&bytes).map_err(|error| {
                NodeError::Unusable { what: "transcript", path, why: error.to_string() }
            })?;
            return Ok((copied(membership)?, transcript));
        }
        // A ceremony that was interrupted has stored its share already; one of another network has not.
        if let Err(
            error @ (MembershipError::WrongNetwork { .. } | MembershipError::WrongEpoch { .. }),
        ) = stored
        {
            let path = self.config.path("keystore").unwrap_or_default();
            return Err(NodeError::WrongKeystore { path, why: error.to_string() });
        }
        restored::refuse_ceremony(&self.data)?;
        info!("no key share yet: the key ceremony begins");
        let setup = Setup {
            context: self.context.clone(),
            consensus_seed: self.keys.consensus.expose_seed(),
            dealing: fairveil_keygen::DealingSecret::from_bytes(&self.keys.dealing.expose_bytes())
                .map_err(|error| NodeError::Start { what: "keystore", why: error.to_string() })?,
            partition: "ceremony".into(),
            timing: settings::ceremony_timing(),
        };
        let mut keep = |membership: &Membership| {
            let with_share = self.with(membership).map_err(std::io::Error::other)?;
            self.keystore.keep(&with_share)
        };
        let made =
            fairveil_runtime::ceremony(context.child("keygen"), setup, store, engine, &mut keep)
                .await
                .map_err(|error| NodeError::Start {
                    what: "key ceremony",
                    why: error.to_string(),
                })?;
        files::write_public(&path, &made.transcript.to_json())
            .map_err(|source| NodeError::File { what: "transcript", path, source })?;
        info!("the key ceremony is complete");
        let (chain, store) = (made.chain, store.clone());
        context.child("linger").spawn(move |_| async move {
            // Others may still need this member to finish.
            let _ = tokio::time::timeout(LINGER, ceremony::linger(chain, store)).await;
        });
        Ok((made.membership, *made.transcript))
    }

    fn with(&self, membership: &Membership) -> Result<SequencerKeys, NodeError> {
        let seed = |key: &fairveil_crypto::ConsensusSecret| {
            fairveil_crypto::ConsensusSecret::from_seed(*key.expose_seed())
        };
        let dealing = fairveil_keygen::DealingSecret::from_bytes(&self.keys.dealing.expose_bytes())
            .map_err(|error| NodeError::Start { what: "keystore", why: error.to_string() })?;
        Ok(SequencerKeys {
            network: seed(&self.keys.network),
            consensus: seed(&self.keys.consensus),
            dealing,
            membership: Some(copied(membership)?),
        })
    }

    fn verified(&self, transcript: &Transcript) -> Result<VerifiedTranscript, NodeError> {
        let path = self.data.join("transcript.json");
        transcript
            .verify()
            .and_then(|verified| verified.of_network(&self.context.definition().network_id()))
            .map_err(|error| NodeError::Unusable {
                what: "transcript",
                path,
                why: error.to_string(),
            })
    }

    fn sequencer_config(
        &self,
        definition: &Definition,
        index: SequencerIndex,
        verified: &VerifiedTranscript,
        network: &Network,
        registry: Registry,
        views: &Arc<NodeViews>,
    ) -> Result<SequencerConfig, NodeError> {
        let start = |what: &'static str, why: String| NodeError::Start { what, why };
        let proposal = definition.proposal();
        let genesis = settings::genesis(&self.config, &registry)?;
        let observed = (network.observer(), definition.consensus_keys());
        Ok(SequencerConfig {
            network_id: definition.network_id(),
            committee: verified.committee().clone(),
            index,
            fairness: ordering::Committee::new(proposal.n, proposal.f, proposal.g)
                .map_err(|error| start("definition", error.to_string()))?,
            mode: match proposal.ordering.mode {
                Mode::Strict => ordering::Mode::Strict,
                Mode::Leader => {
                    let why = "ordering mode `leader` is a control for scenarios and comparisons; \
                               a network runs `strict`";
                    return Err(start("definition", why.into()));
                }
            },
            registry,
            genesis,
            views: Arc::<NodeViews>::clone(views),
            accounting: settings::accounting(&self.config, definition)?,
            transcript: verified.digest(),
            limits: settings::limits(&self.config)?,
            kept_share_heights: fairveil_release::opener::KEPT_HEIGHTS,
            timing: settings::timing(&self.config, definition)?,
            partition: "network".into(),
            connected: Arc::new(move || metrics::connected(&observed.0, &observed.1)),
            retention_heights: settings::retention(&self.config)?,
            restored: restored::mark(&self.data, self.mark)?,
            behaviour: self.byzantine.map_or_else(Default::default, Into::into),
        })
    }

    fn trader_endpoint(
        &self,
        definition: &Definition,
        member: &fairveil_keygen::Member,
        handle: fairveil_sequencer::Handle,
    ) -> Result<traders::Traders, NodeError> {
        let listen = match self.config.address("trader_listen")? {
            Some(address) => address,
            None => settings::resolve(Some(&member.trader_address))?,
        };
        let setup = traders::Setup {
            network_id: definition.network_id(),
            network_secret: self.network_secret()?,
            endpoint_secret: self.endpoint_secret("trader.key")?,
            listen,
            socket: settings::socket(&self.config)?,
            rate: self.config.number("trader_rate", 1..=1 << 20, "submissions a second")?,
            burst: self.config.number("trader_burst", 1..=1 << 20, "submissions")?,
        };
        traders::Traders::open(setup, handle)
    }

    async fn http_listener(
        &self,
        member: &fairveil_keygen::Member,
    ) -> Result<TcpListener, NodeError> {
        let listen = match self.config.address("http_listen")? {
            Some(address) => address,
            None => settings::resolve(Some(&member.rpc_address))?,
        };
        TcpListener::bind(listen)
            .await
            .map_err(|error| NodeError::Start { what: "http", why: format!("{listen}: {error}") })
    }

    fn announce(
        &self,
        index: SequencerIndex,
        name: &str,
        network: &Network,
        trader: &traders::Traders,
        http: &TcpListener,
    ) -> Result<(), NodeError> {
        let http = http
            .local_addr()
            .map_err(|error| NodeError::Start { what: "http", why: error.to_string() })?;
        let endpoints = Endpoints {
            pid: std::process::id(),
            index: index.get(),
            name: name.to_owned(),
            peer: network.socket().address.to_string(),
            trader: trader.address().to_string(),
            http: format!("http://{http}"),
        };
        info!(index = endpoints.index, http = endpoints.http, "listening");
        let path = self.data.join("endpoints.json");
        let text = serde_json::to_vec_pretty(&endpoints).unwrap_or_default();
        files::write_public(&path, &text).map_err(|source| NodeError::File {
            what: "endpoints",
            path,
            source,
        })
    }

    fn network_secret(&self) -> Result<NetworkSecret, NodeError> {
        NetworkSecret::from_seed(*self.keys.network.expose_seed())
            .map_err(|error| NodeError::Start { what: "network key", why: error.to_string() })
    }

    fn endpoint_secret(&self, name: &str) -> Result<EndpointSecret, NodeError> {
        Ok(EndpointSecret::from_bytes(files::lasting_secret(&self.data.join(name))?))
    }
}

/// A second instance of a membership: the share is read from its encoding.
fn copied(membership: &Membership) -> Result<Membership, NodeError> {
    let share = KeyShare::decode(membership.share.index(), &membership.share.expose_encoding()[..])
        .map_err(|error| NodeError::Start { what: "key share", why: error.to_string() })?;
    Ok(Membership { network_id: membership.network_id, epoch: membership.epoch, share })
}

/// Resolves when the process is asked to end.
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(_) => return std::future::pending().await,
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
