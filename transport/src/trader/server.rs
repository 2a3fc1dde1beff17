//! The sequencer's side of the trader endpoint. The specification is in [`super`].

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fairveil_crypto::NetworkId;
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};
use tracing::{debug, warn};

use super::{
    BodyError, CLOSE_BUSY, CLOSE_RATE, CLOSE_SHUTDOWN, Exhausted, STREAM_NO_REPLY, STREAM_REFUSED,
    TokenBuckets, TraderCounts, TraderLimits,
    bucket::prefix_of,
    limits::{Counters, count},
    read_body, write_body,
};
use crate::{
    congestion,
    endpoint::{self, BindError, Running, SocketOptions, SocketReport},
    identity::{EndpointSecret, NetworkSecret},
    tls,
};

/// Longest wait for traders to hear that we close.
const FAREWELL: Duration = Duration::from_secs(1);

/// Everything that the endpoint is opened with.
pub struct TraderConfig {
    /// The network; traders of another one are refused in the handshake.
    pub network_id: NetworkId,
    /// The key that traders pin.
    pub network_secret: NetworkSecret,
    /// The secret behind the keys that survive a restart; not the one of the other endpoint.
    pub endpoint_secret: EndpointSecret,
    /// Where to listen.
    pub listen: SocketAddr,
    /// What is asked for the socket.
    pub socket: SocketOptions,
    /// Limits.
    pub limits: TraderLimits,
    /// Encodes what the transport refuses by itself in the caller's protocol.
    pub encode_refusal: Arc<dyn Fn(&TraderRefusal) -> Bytes + Send + Sync>,
}

impl fmt::Debug for TraderConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TraderConfig")
            .field("network_id", &self.network_id)
            .field("listen", &self.listen)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why the transport refused a request before the caller saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TraderRefusal {
    /// The address asks too often.
    #[error(transparent)]
    Rate(Exhausted),
    /// The request is too large.
    #[error("request is {actual} bytes, at most {limit} are taken")]
    Length {
        /// The announced size.
        actual: usize,
        /// The largest size.
        limit: usize,
    },
    /// Too many requests are waiting.
    #[error("{limit} requests are waiting already")]
    Busy {
        /// The size of the queue.
        limit: usize,
    },
}

/// A request of a trader.
#[derive(Debug)]
pub struct TraderRequest {
    /// Where it came from.
    pub from: SocketAddr,
    /// What it says.
    pub body: Bytes,
    /// Where the reply goes; dropping it ends the trader's stream without one.
    pub reply: TraderReply,
}

/// The way back to the trader.
#[derive(Debug)]
pub struct TraderReply(oneshot::Sender<Bytes>);

impl TraderReply {
    /// Replies; the trader may be gone by now.
    pub fn send(self, body: Bytes) {
        let _gone = self.0.send(body);
    }
}

/// The running endpoint.
#[derive(Debug)]
pub struct TraderEndpoint {
    shared: Arc<Shared>,
    report: SocketReport,
    stop: watch::Sender<()>,
    supervisor: JoinHandle<()>,
}

impl TraderEndpoint {
    /// Opens the endpoint within a tokio runtime; requests come out of the receiver.
    ///
    /// # Errors
    ///
    /// If the socket or TLS cannot be set up.
    pub fn open(config: TraderConfig) -> Result<(Self, mpsc::Receiver<TraderRequest>), BindError> {
        let limits = config.limits;
        let streams = usize::try_from(limits.streams_per_connection).unwrap_or(usize::MAX);
        let request_window = limits.max_request_bytes.saturating_add(64);
        let mut transport = endpoint::transport(limits.idle, config.socket.segmentation_offload)?;
        transport
            .max_concurrent_bidi_streams(limits.streams_per_connection.into())
            .max_concurrent_uni_streams(0_u32.into())
            .stream_receive_window(endpoint::varint(request_window))
            .receive_window(endpoint::varint(request_window.saturating_mul(streams)));
        let tls = tls::trader_server(&config.network_secret, &config.network_id)?;
        let server = endpoint::server_config(tls, &config.endpoint_secret, Arc::new(transport));
        let (endpoint, report, running) =
            endpoint::open(config.listen, &config.socket, &config.endpoint_secret, Some(server))?;
        let (requests, incoming) = mpsc::channel(limits.queue.max(1));
        let (stop, stopping) = watch::channel(());
        let shared = Arc::new(Shared {
            limits,
            encode_refusal: config.encode_refusal,
            requests,
            started: Instant::now(),
            buckets: Mutex::new(TokenBuckets::new(limits.bucket)),
            open: Mutex::default(),
            counters: Counters::default(),
        });
        let supervisor = tokio::spawn(supervise(shared.clone(), endpoint, running, stopping));
        Ok((Self { shared, report, stop, supervisor }, incoming))
    }

    /// What the socket got.
    #[must_use]
    pub const fn socket(&self) -> &SocketReport {
        &self.report
    }

    /// All counters.
    #[must_use]
    pub fn counts(&self) -> TraderCounts {
        self.shared.counters.read(lock(&self.shared.open).total)
    }

    /// Closes every connection and waits until every task has ended.
    pub async fn close(self) {
        drop(self.stop);
        if let Err(error) = self.supervisor.await {
            warn!(%error, "the trader endpoint's supervisor failed");
        }
    }
}

struct Shared {
    limits: TraderLimits,
    encode_refusal: Arc<dyn Fn(&TraderRefusal) -> Bytes + Send + Sync>,
    requests: mpsc::Sender<TraderRequest>,
    started: Instant,
    buckets: Mutex<TokenBuckets>,
    open: Mutex<OpenConnections>,
    counters: Counters,
}

impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct OpenConnections {
    total: usize,
    by_prefix: BTreeMap<IpAddr, usize>,
}

/// A place among the open connections, given back when it is dropped.
struct Place {
    shared: Arc<Shared>,
    /// Counted for its address too, once the address is proved.
    prefix: Option<IpAddr>,
}

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let mut open = lock(&shared.open);
        if open.total >= shared.limits.max_connections {
            return None;
        }
        open.total += 1;
        drop(open);
        Some(Self { shared: shared.clone(), prefix: None })
    }

    /// Counts the place for its address; false if the address has too many.
    fn claim(&mut self, address: IpAddr) -> bool {
        let prefix = prefix_of(address);
        let mut open = lock(&self.shared.open);
        let of_prefix = open.by_prefix.entry(prefix).or_default();
        if *of_prefix >= self.shared.limits.max_connections_per_address {
            return false;
        }
        *of_prefix += 1;
        self.prefix = Some(prefix);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.shared.open);
        open.total -= 1;
        let Some(prefix) = self.prefix else {
            return;
        };
        match open.by_prefix.get_mut(&prefix) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.by_prefix.remove(&prefix);
            }
        }
    }
}

impl Shared {
    fn take_tokens(&self, address: IpAddr, tokens: NonZeroU32) -> Result<(), Exhausted> {
        lock(&self.buckets).take(self.started.elapsed(), address, tokens)
    }
}

async fn supervise(
    shared: Arc<Shared>,
    endpoint: Endpoint,
    running: Running,
    mut stopping: watch::Receiver<()>,
) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopping.changed() => break,
            Some(_) = tasks.join_next() => {}
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => admit(&shared, incoming, &mut tasks),
                None => break,
            },
        }
    }
    // Each one closes its connection before its streams are dropped.
    tasks.shutdown().await;
    endpoint.close(CLOSE_SHUTDOWN, b"");
    drop(endpoint);
    running.ended(FAREWELL).await;
}

/// Judges an attempt before any work is done for it.
fn admit(shared: &Arc<Shared>, incoming: Incoming, tasks: &mut JoinSet<()>) {
    let counters = &shared.counters;
    let charged = if incoming.remote_address_validated() {
        let address = incoming.remote_address().ip();
        if shared.take_tokens(address, shared.limits.connection_tokens).is_err() {
            count(&counters.refused_rate);
            incoming.refuse();
            return;
        }
        Charged::Yes
    } else if lock(&shared.open).total >= shared.limits.retry_from {
        count(&counters.retried);
        // Only a validated address may not be retried, and this one is not.
        let _validated = incoming.retry();
        return;
    } else {
        Charged::No
    };
    match Place::take(shared) {
        Some(place) => {
            tasks.spawn(accept(place, incoming, charged));
        }
        None => {
            count(&counters.refused_busy);
            incoming.refuse();
        }
    }
}

/// Whether a connection was paid for before its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charged {
    Yes,
    No,
}

/// Runs one connection from its handshake to its end.
async fn accept(mut place: Place, incoming: Incoming, charged: Charged) {
    let shared = place.shared.clone();
    let counters = &shared.counters;
    let from = incoming.remote_address();
    let handshake = async { incoming.accept()?.await };
    let connection = match timeout(shared.limits.handshake, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            debug!(%from, %error, "a trader's handshake failed");
            return count(&counters.failed_handshakes);
        }
        Err(_) => {
            debug!(%from, limit = ?shared.limits.handshake, "a trader's handshake took too long");
            return count(&counters.failed_handshakes);
        }
    };
    count(&counters.accepted);
    // The handshake has proved the address.
    let address = connection.remote_address().ip();
    let tokens = shared.limits.connection_tokens;
    if charged == Charged::No && shared.take_tokens(address, tokens).is_err() {
        count(&counters.refused_rate);
        congestion::close(&connection, CLOSE_RATE, b"the address asks too often");
    } else if !place.claim(address) {
        count(&counters.refused_busy);
        congestion::close(&connection, CLOSE_BUSY, b"the address has too many connections");
    } else {
        serve(&shared, &connection).await;
    }
}

/// Closes the connection when it is served no more.
struct CloseOnDrop<'a>(&'a Connection);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        congestion::close(self.0, CLOSE_SHUTDOWN, b"");
    }
}

/// Serves one connection until it ends or refuses to slow down.
async fn serve(shared: &Arc<Shared>, connection: &Connection) {
    let from = connection.remote_address();
    let refusals = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    // Dropped before the tasks and their streams.
    let _guard = CloseOnDrop(connection);
    loop {
        tokio::select! {
            stream = connection.accept_bi() => {
                let Ok((send, receive)) = stream else {
                    break;
                };
                let (shared, refusals) = (shared.clone(), refusals.clone());
                tasks.spawn(async move {
                    if answer(&shared, from, send, receive).await == Answered::Refused {
                        refusals.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            Some(_) = tasks.join_next() => {
                if refusals.load(Ordering::Relaxed) >= u64::from(shared.limits.max_refusals) {
                    count(&shared.counters.refused_rate);
                    congestion::close(connection, CLOSE_RATE, b"too many refused requests");
                    break;
                }
            }
        }
    }
    debug!(%from, "a trader has left");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    Replied,
    Refused,
}

/// Answers the request on one stream.
async fn answer(
    shared: &Shared,
    from: SocketAddr,
    mut send: SendStream,
    mut receive: RecvStream,
) -> Answered {
    let counters = &shared.counters;
    if let Err(exhausted) = shared.take_tokens(from.ip(), NonZeroU32::MIN) {
        count(&counters.rejected_rate);
        return refuse(shared, &mut send, &mut receive, &TraderRefusal::Rate(exhausted)).await;
    }
    let limit = shared.limits.max_request_bytes;
    let body = match timeout(shared.limits.request, read_body(&mut receive, limit)).await {
        Ok(Ok(body)) => body,
        Ok(Err(BodyError::Length { actual })) => {
            count(&counters.rejected_length);
            let refusal = TraderRefusal::Length { actual, limit };
            return refuse(shared, &mut send, &mut receive, &refusal).await;
        }
        Ok(Err(BodyError::Malformed)) | Err(_) => {
            count(&counters.malformed);
            let _gone = receive.stop(STREAM_REFUSED);
            let _gone = send.reset(STREAM_REFUSED);
            return Answered::Refused;
        }
    };
    let (reply, replied) = oneshot::channel();
    let request = TraderRequest { from, body, reply: TraderReply(reply) };
    if shared.requests.try_send(request).is_err() {
        count(&counters.rejected_busy);
        let refusal = TraderRefusal::Busy { limit: shared.limits.queue };
        return refuse(shared, &mut send, &mut receive, &refusal).await;
    }
    count(&counters.requests);
    match timeout(shared.limits.request, replied).await {
        Ok(Ok(body)) => {
            if write_body(&mut send, body).await.is_ok() {
                count(&counters.replies);
            }
        }
        Ok(Err(_)) | Err(_) => {
            let _gone = send.reset(STREAM_NO_REPLY);
        }
    }
    Answered::Replied
}

async fn refuse(
    shared: &Shared,
    send: &mut SendStream,
    receive: &mut RecvStream,
    refusal: &TraderRefusal,
) -> Answered {
    let body = (shared.encode_refusal)(refusal);
    // The trader may be gone, or still sending: both are fine.
    let _gone = timeout(shared.limits.request, write_body(send, body)).await;
    let _gone = receive.stop(STREAM_REFUSED);
    Answered::Refused
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
