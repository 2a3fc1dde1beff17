//! The network between sequencers: one socket, one connection per pair of peers.
//!
//! Invariants:
//!
//! 1. Of a pair, the lower consensus key dials and the higher one accepts; a connection in the
//!    other direction is closed.
//! 2. An address proves that it receives our packets (Retry) before any handshake work is done
//!    for it; the number of handshakes in progress and the time of each are bounded.
//! 3. A dialler's waits double until the peer has greeted, whatever the handshake said.
//! 4. After [`Network::close`] none of its tasks is left and its port is free; a network that is
//!    dropped ends in the same way, by itself.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use commonware_cryptography::ed25519::PublicKey;
use fairveil_crypto::NetworkId;
use quinn::{Connection, Endpoint, Incoming, TransportConfig, rustls::pki_types::CertificateDer};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use thiserror::Error;
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout, timeout_at},
};
use tracing::{debug, warn};

use crate::{
    backoff::Backoff,
    channel::{CHANNELS, Channel},
    congestion,
    directory::Directory,
    endpoint::{self, BindError, Running, SocketOptions, SocketReport, Timing},
    identity::{EndpointSecret, Member, NetworkPublicKey, NetworkSecret},
    metrics::Snapshot,
    peers::Peers,
    reason::{CloseReason, LinkError, Refusal},
    sender::{Receiver, Sender},
    session::{Greeted, Session},
    tls,
};

/// Handshakes in progress on the accepting side.
const MAX_HANDSHAKES: usize = 64;

/// Longest wait for peers to hear that we close.
const FAREWELL: Duration = Duration::from_secs(2);

/// Everything that a network is opened with.
#[derive(Debug)]
pub struct Config {
    /// The network; peers of another one are refused in the handshake.
    pub network_id: NetworkId,
    /// Our consensus key, by which peers know us.
    pub key: PublicKey,
    /// Our network key.
    pub network_secret: NetworkSecret,
    /// The secret behind the keys that survive a restart.
    pub endpoint_secret: EndpointSecret,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Times.
    pub timing: Timing,
    /// What is asked for the socket.
    pub socket: SocketOptions,
    /// Most peers that will ever be tracked at once; sizes what receivers report as capacity.
    pub max_peers: NonZeroUsize,
    /// Seed of the jitter of diallers.
    pub jitter_seed: u64,
}

/// A running network between sequencers.
#[derive(Debug)]
pub struct Network {
    peers: Arc<Peers>,
    report: SocketReport,
    max_peers: NonZeroUsize,
    taken: Mutex<[bool; CHANNELS]>,
    stop: watch::Sender<()>,
    supervisor: JoinHandle<()>,
}

/// A channel was taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("channel {} is taken", .0.name())]
pub struct ChannelTaken(pub Channel);

impl Network {
    /// Opens the socket and starts to accept and to dial, within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If the socket or TLS cannot be set up.
    pub fn open(config: Config) -> Result<Self, BindError> {
        let peers = Arc::new(Peers::new(config.key));
        let offload = config.socket.segmentation_offload;
        let transport = Arc::new(endpoint::sequencer_transport(&config.timing, offload)?);
        let server_tls =
            tls::sequencer_server(&config.network_secret, &config.network_id, peers.clone())?;
        let server =
            endpoint::server_config(server_tls, &config.endpoint_secret, transport.clone());
        let (endpoint, report, running) =
            endpoint::open(config.listen, &config.socket, &config.endpoint_secret, Some(server))?;
        let (stop, stopping) = watch::channel(());
        let supervisor = Supervisor {
            shared: Arc::new(Shared {
                peers: peers.clone(),
                endpoint,
                transport,
                network_id: config.network_id,
                network_secret: config.network_secret,
                timing: config.timing,
                handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
            }),
            jitter: StdRng::seed_from_u64(config.jitter_seed),
            tasks: JoinSet::new(),
        };
        Ok(Self {
            peers,
            report,
            max_peers: config.max_peers,
            taken: Mutex::default(),
            stop,
            supervisor: tokio::spawn(supervisor.run(stopping, running)),
        })
    }

    /// Takes a channel.
    ///
    /// # Errors
    ///
    /// If it was taken before.
    pub fn channel(&self, channel: Channel) -> Result<(Sender, Receiver), ChannelTaken> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut taken[channel.index()], true) {
            return Err(ChannelTaken(channel));
        }
        let receiver = Receiver::new(self.peers.clone(), channel, self.max_peers);
        Ok((Sender::new(self.peers.clone(), channel), receiver))
    }

    /// The peers: learn, track and block them here.
    #[must_use]
    pub fn directory(&self) -> Directory {
        Directory::new(self.peers.clone())
    }

    /// What the socket got.
    #[must_use]
    pub const fn socket(&self) -> &SocketReport {
        &self.report
    }

    /// Every peer's state, and all counters.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.peers.snapshot()
    }

    /// A handle for metrics and health that outlives borrowing the network.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer { peers: self.peers.clone() }
    }

    /// Says goodbye to the peers and waits until every task has ended.
    pub async fn close(self) {
        self.peers.close();
        drop(self.stop);
        if let Err(error) = self.supervisor.await {
            warn!(%error, "the network's supervisor failed");
        }
    }
}

/// Reads the state of a network; clones share everything.
#[derive(Clone, Debug)]
pub struct Observer {
    peers: Arc<Peers>,
}

impl Observer {
    /// Every peer's state, and all counters.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.peers.snapshot()
    }
}

/// What all tasks of a network share.
struct Shared {
    peers: Arc<Peers>,
    endpoint: Endpoint,
    transport: Arc<TransportConfig>,
    network_id: NetworkId,
    network_secret: NetworkSecret,
    timing: Timing,
    handshakes: Arc<Semaphore>,
}

struct Supervisor {
    shared: Arc<Shared>,
    jitter: StdRng,
    tasks: JoinSet<()>,
}

impl Supervisor {
    async fn run(mut self, mut stopping: watch::Receiver<()>, running: Running) {
        let mut changes = self.shared.peers.changes();
        loop {
            for key in self.shared.peers.claim_diallers() {
                let jitter = StdRng::from_rng(&mut self.jitter);
                self.tasks.spawn(dial(self.shared.clone(), key, jitter));
            }
            tokio::select! {
                _ = stopping.changed() => break,
                _ = changes.changed() => {}
                Some(_) = self.tasks.join_next() => {}
                incoming = self.shared.endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(incoming),
                    None => break,
                },
            }
        }
        self.shared.peers.close();
        self.tasks.shutdown().await;
        self.shared.endpoint.close(CloseReason::Shutdown.code(), b"");
        drop(self);
        running.ended(FAREWELL).await;
    }

    /// Judges an attempt before any work is done for it.
    fn admit(&mut self, incoming: Incoming) {
        let peers = &self.shared.peers;
        if !incoming.remote_address_validated() {
            peers.count_retried();
            if incoming.retry().is_err() {
                peers.count_refused(Refusal::HandshakeFailed);
            }
            return;
        }
        let Ok(permit) = self.shared.handshakes.clone().try_acquire_owned() else {
            peers.count_refused(Refusal::Busy);
            incoming.refuse();
            return;
        };
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let session = accept(&shared, incoming).await;
            drop(permit);
            match session {
                Ok(session) => drop(session.run().await),
                Err(refusal) => {
                    debug!(%refusal, "refused a connection");
                    shared.peers.count_refused(refusal);
                }
            }
        });
    }
}

/// The accepting half of a handshake.
async fn accept(shared: &Shared, incoming: Incoming) -> Result<Session, Refusal> {
    let handshake = async { incoming.accept()?.await };
    let connection = timeout(shared.timing.handshake, handshake)
        .await
        .map_err(|_| Refusal::HandshakeTimeout)?
        .map_err(|error| Refusal::from_quic(&error))?;
    // The set may have changed since the handshake asked.
    let network_key = presented_key(&connection).ok_or(Refusal::HandshakeFailed)?;
    let peer = shared.peers.owner(&network_key);
    let refused = match &peer {
        None => Some((CloseReason::NotMember, Refusal::NotMember)),
        Some(peer) if peer > shared.peers.me() => {
            Some((CloseReason::WrongDirection, Refusal::WrongDirection))
        }
        Some(_) => None,
    };
    if let Some((reason, refusal)) = refused {
        congestion::close(&connection, reason.code(), reason.to_string().as_bytes());
        return Err(refusal);
    }
    let peer = peer.ok_or(Refusal::NotMember)?;
    Ok(session(shared, peer, network_key, connection))
}

fn session(
    shared: &Shared,
    peer: PublicKey,
    network_key: NetworkPublicKey,
    connection: Connection,
) -> Session {
    Session {
        peers: shared.peers.clone(),
        peer,
        network_key,
        connection,
        greeting_timeout: shared.timing.handshake,
    }
}

fn presented_key(connection: &Connection) -> Option<NetworkPublicKey> {
    let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    tls::key_of(identity.first()?)
}

/// Keeps one peer connected for as long as it is ours to dial.
async fn dial(shared: Arc<Shared>, key: PublicKey, mut jitter: StdRng) {
    let mut backoff = Backoff::new(shared.timing.first_wait, shared.timing.longest_wait);
    let mut changes = shared.peers.changes();
    while let Some(target) = shared.peers.next_dial(&key) {
        let (greeted, error) = dial_once(&shared, &target).await;
        if greeted == Greeted::Yes {
            backoff.succeeded();
        }
        let wait = backoff.failed(jitter.random());
        shared.peers.dial_waits(&key, backoff.failures(), wait);
        debug!(peer = %key, %error, ?wait, "not connected");
        // A new address or the end of our duty ends the wait; nothing else does.
        let changed = changes.wait_for(|()| !shared.peers.still_dials(&target));
        let _waited = timeout_at(Instant::now() + wait, changed).await;
    }
}

async fn dial_once(shared: &Shared, target: &Member) -> (Greeted, LinkError) {
    let outcome = match connect(shared, target).await {
        Ok(connection) => {
            let (peer, network_key) = (target.key().clone(), target.network_key());
            return session(shared, peer, network_key, connection).run().await;
        }
        Err(error) => error,
    };
    shared.peers.ended(target.key(), None, outcome);
    (Greeted::No, outcome)
}

async fn connect(shared: &Shared, target: &Member) -> Result<Connection, LinkError> {
    let tls =
        tls::sequencer_client(&shared.network_secret, &shared.network_id, target.network_key())
            .map_err(|_| LinkError::Undialable)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(shared.transport.clone());
    let connecting = shared
        .endpoint
        .connect_with(config, target.address(), tls::SERVER_NAME)
        .map_err(|_| LinkError::Undialable)?;
    timeout(shared.timing.handshake, connecting)
        .await
        .map_err(|_| LinkError::HandshakeTimeout)?
        .map_err(|error| LinkError::from_quic(&error, None))
}
