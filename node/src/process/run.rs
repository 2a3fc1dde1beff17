//! Starting everything in order, and waiting.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use commonware_runtime::{Metrics as _, Runner as _, Supervisor as _, tokio as runtime};
use fairveil_crypto::SequencerIndex;
use fairveil_keygen::{
    ApprovedDefinition, Definition, Transcript, VerifiedTranscript, keystore::SequencerKeys,
};
use fairveil_sequencer::{Executor, Handle, LINGER, StopReason, Store, boundary};
use fairveil_transport::{self as transport, EndpointSecret, Network, NetworkSecret};
use redb::backends::FileBackend;
use tokio::{net::TcpListener, sync::watch};
use tracing::info;

use super::{
    NodeError,
    ceremony::{CeremonyOptions, report::Report},
    custody,
    epochs::{self, Ground, Next},
    files::{self, Endpoints, FolderLock},
    keystore::KeystoreFile,
    metrics,
    peers::Peers,
    restored::{self, Folder, Mark},
    settings, traders,
    views::NodeViews,
};
use crate::{cli::ByzantineKind, config::Config, http};

/// Most members that are ever connected at once.
const MAX_PEERS: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// What a node is run for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// To be a sequencer, as an adversary if asked.
    Sequence(Option<ByzantineKind>),
    /// To take part in the key ceremony and end.
    Ceremony(CeremonyOptions),
}

/// Runs a node until it stops, or its ceremony is over. One that was restored from a backup is started
/// twice: first as one that signs nothing.
pub(super) fn run(
    config: &Config,
    purpose: Purpose,
    mark: Mark,
) -> Result<Option<Report>, NodeError> {
    let data = config.path("data_dir").unwrap_or_default();
    let lock = Arc::new(files::lock_folder(&data)?);
    loop {
        match run_once(config, purpose, mark, &data, Arc::clone(&lock)) {
            Err(NodeError::Stopped(StopReason::AbstentionOver)) => restored::remove_mark(&data)?,
            result => return result,
        }
    }
}

fn run_once(
    config: &Config,
    purpose: Purpose,
    mark: Mark,
    data: &Path,
    lock: Arc<FolderLock>,
) -> Result<Option<Report>, NodeError> {
    let path = config.path("keystore").unwrap_or_default();
    let passphrase = files::passphrase(config.path("passphrase_file").as_deref())?;
    let (keystore, keys) = KeystoreFile::open(&path, passphrase)?;
    let (approved, predecessor) = files::approved(config)?;
    let threads = config.number("runtime_threads", 1..=256, "1 to 256 threads")?;
    let node = Node {
        config: config.clone(),
        data: data.to_path_buf(),
        keystore: Arc::new(keystore),
        keys,
        approved,
        predecessor,
        byzantine: match purpose {
            Purpose::Sequence(byzantine) => byzantine,
            Purpose::Ceremony(_) => None,
        },
        mark,
        _lock: lock,
    };
    let runtime = runtime::Config::new()
        .with_worker_threads(usize::try_from(threads).unwrap_or(2))
        .with_storage_directory(data.join("consensus"))
        .with_catch_panics(false);
    runtime::Runner::new(runtime).start(|context| async move {
        match purpose {
            Purpose::Sequence(_) => node.start(context).await.map(|()| None),
            Purpose::Ceremony(options) => node.ceremony(context, options).await.map(Some),
        }
    })
}

/// What a database file that is opened has in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// Nothing: it is made anew.
    None,
    /// What was stored.
    Stay,
}

pub(super) struct Node {
    pub(super) config: Config,
    pub(super) data: PathBuf,
    pub(super) keystore: Arc<KeystoreFile>,
    pub(super) keys: SequencerKeys,
    pub(super) approved: ApprovedDefinition,
    /// Of a definition of a later epoch: what proves the one before.
    pub(super) predecessor: Option<VerifiedTranscript>,
    pub(super) byzantine: Option<ByzantineKind>,
    pub(super) mark: Mark,
    _lock: Arc<FolderLock>,
}

impl Node {
    async fn start(self, context: runtime::Context) -> Result<(), NodeError> {
        let definition = self.approved.definition().clone();
        let (index, member) = self.own_member()?;
        let (network, peers) = self.open_network(&definition, index)?;
        let network = Arc::new(network);
        let observer = network.observer();
        let (engine, mut seat) = fairveil_runtime::channels(&context, &network)
            .map_err(|error| NodeError::Start { what: "channel", why: error.to_string() })?;
        let store = self.store(&definition)?;
        let position = boundary::position(&store).map_err(|error| self.damaged(&error))?;
        let (first, report) = match position {
            _ if self.comes_in(position.map(|(epoch, _)| epoch)) => {
                self.join(&context, &store, &peers, &observer, &mut seat).await?
            }
            Some((epoch, _)) => {
                let transcript = self.verified(&custody::transcript_of(&self.data, epoch)?)?;
                let report = custody::running(&transcript, member.name.clone());
                (transcript, report)
            }
            None => match &self.predecessor {
                Some(before) => (before.clone(), custody::running(before, member.name.clone())),
                None => {
                    let options = CeremonyOptions::default();
                    let made =
                        self.key_share(&context, &store, &engine, &observer, options).await?;
                    (self.verified(&made.transcript)?, made.report)
                }
            },
        };
        let text = String::from_utf8_lossy(&first.transcript().to_json()).into_owned();
        let term = Arc::new(http::Term {
            definition: first.definition().clone(),
            verified: first.clone(),
            transcript: text,
        });
        let (term, term_seen) = watch::channel(term);
        let (reports, report_seen) = watch::channel(report);
        let registry = epochs::registry(&definition)?;
        let ground = Ground {
            store,
            engine,
            executor: self.executor()?,
            observer: observer.clone(),
            peers,
            views: Arc::new(NodeViews::start(&self.config, &registry)?),
            reports: Arc::new(reports),
            term,
        };
        let missed =
            position.map(|(epoch, _)| epoch).filter(|epoch| *epoch > first.definition().epoch());
        if let Some(epoch) = missed {
            self.prepare(&context, &ground, &mut seat, epoch, None).await?;
        }
        let mut tenure = self.begin(&context, &ground, seat, Some(&first)).await?;
        let handle = tenure.sequencer.handle.clone();
        let trader = self.trader_endpoint(&definition, member, handle.clone())?;
        let http = self.http_listener(member).await?;
        self.announce(index, &member.name, &network, &trader, &http)?;
        let folder = self.folder(&handle)?;
        let shared = shared(&context, &ground, handle, term_seen, report_seen, &self.data);
        let mut served = tokio::spawn(http::serve(http, Arc::new(shared)));
        let mut signal = std::pin::pin!(signalled());
        let ended = loop {
            let stopped = tokio::select! {
                stopped = tenure.sequencer.stopped() => stopped,
                result = &mut served => {
                    let why = format!("{result:?}");
                    break Err(NodeError::Start { what: "http", why });
                }
                () = &mut signal => break Ok(()),
                why = restored::superseded(folder, &observer) => {
                    break Err(NodeError::Start { what: "restored from a backup", why });
                }
            };
            let why = "the sequencer's channels are gone".into();
            seat = stopped.seat.ok_or(NodeError::Start { what: "sequencer", why })?;
            match self.after(stopped.reason)? {
                Next::Go(epoch, transcript) => {
                    let prepared =
                        self.prepare(&context, &ground, &mut seat, epoch, Some(&transcript));
                    tokio::select! {
                        prepared = prepared => prepared?,
                        () = &mut signal => break Ok(()),
                    }
                }
                Next::Sync(epoch) => {
                    let synced = self.catch_up(&context, &ground, &mut seat, epoch);
                    tokio::select! {
                        synced = synced => synced?,
                        () = &mut signal => break Ok(()),
                    }
                }
                Next::Leave(epoch) => {
                    self.erase_shares_before(epoch);
                    seat.close_desk();
                    info!(
                        "this sequencer is no member of the next epoch: it stays a while, and ends"
                    );
                    tokio::select! {
                        () = tokio::time::sleep(LINGER) => {}
                        () = &mut signal => {}
                    }
                    break Ok(());
                }
            }
            tenure = self.begin(&context, &ground, seat, None).await?;
            info!(epoch = %tenure.epoch, "the epoch runs");
        };
        drop(trader);
        info!("stopping");
        ended
    }

    /// Where the data folder comes from; the mark of one that may sign is removed.
    fn folder(&self, handle: &Handle) -> Result<Folder, NodeError> {
        let folder = match handle.overview().abstention {
            Some(_) => Folder::Restored,
            None => Folder::Original,
        };
        if folder == Folder::Original && self.mark == Mark::Obeyed {
            restored::remove_mark(&self.data)?;
        }
        Ok(folder)
    }

    fn executor(&self) -> Result<Executor, NodeError> {
        Executor::pools(
            settings::threads(&self.config, "admission_threads")?,
            settings::threads(&self.config, "opening_threads")?,
        )
        .map_err(|error| NodeError::Start { what: "threads", why: error.to_string() })
    }

    /// Takes part in the key ceremony, and stays a while for the others.
    async fn ceremony(
        self,
        context: runtime::Context,
        options: CeremonyOptions,
    ) -> Result<Report, NodeError> {
        let definition = self.approved.definition().clone();
        let (index, _) = self.own_member()?;
        let (network, _peers) = self.open_network(&definition, index)?;
        let (engine, _channels) = fairveil_runtime::channels(&context, &network)
            .map_err(|error| NodeError::Start { what: "channel", why: error.to_string() })?;
        let store = self.store(&definition)?;
        let observer = network.observer();
        let mut signal = std::pin::pin!(signalled());
        // A key that is made is not given up for a signal that came with it.
        let made = tokio::select! {
            biased;
            made = self.key_share(&context, &store, &engine, &observer, options) => made?,
            () = &mut signal => return Err(NodeError::Interrupted),
        };
        if let Some(lingering) = made.lingering {
            tokio::select! {
                _ = lingering => {}
                () = signal => {}
            }
        }
        Ok(made.report)
    }

    fn open_network(
        &self,
        definition: &Definition,
        index: SequencerIndex,
    ) -> Result<(Network, Arc<Peers>), NodeError> {
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
        let peers = Peers::new(network.directory());
        peers.track(definition, None)?;
        Ok((network, Arc::new(peers)))
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

    pub(super) fn verified(
        &self,
        transcript: &Transcript,
    ) -> Result<VerifiedTranscript, NodeError> {
        let path = self.data.join("transcript.json");
        transcript
            .verify()
            .and_then(|verified| verified.of_network(&self.approved.definition().network_id()))
            .map_err(|error| NodeError::Unusable {
                what: "transcript",
                path,
                why: error.to_string(),
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

    pub(super) async fn http_listener(
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

/// What the HTTP routes answer from.
fn shared(
    context: &runtime::Context,
    ground: &Ground,
    handle: Handle,
    term: watch::Receiver<Arc<http::Term>>,
    reports: watch::Receiver<Report>,
    data: &Path,
) -> http::Shared {
    let (observer, seen) = (ground.observer.clone(), term.clone());
    let connected = move || {
        let keys = seen.borrow().definition.consensus_keys();
        metrics::connected(&observer, &keys)
    };
    let (asked, encoder) = (handle.clone(), context.child("metrics"));
    let (observer, views, seen) =
        (ground.observer.clone(), Arc::clone(&ground.views), reports.clone());
    let data = data.to_path_buf();
    let text = move || {
        let ceremony = seen.borrow().metrics();
        metrics::text(&asked, &observer, &views, &ceremony, &encoder.encode(), &data)
    };
    http::Shared::new(
        handle,
        term,
        Box::new(connected),
        Box::new(text),
        Box::new(move || reports.borrow().clone()),
    )
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
