//! Sockets and QUIC parameters of both endpoints.
//!
//! Invariants:
//!
//! 1. No datagrams, no migration, congestion control is Cubic.
//! 2. Between sequencers, every stream of a connection may be full without taking credit from
//!    another: the connection's window is the sum of the streams', in both directions.
//! 3. What the kernel granted for socket buffers is reported, not assumed.
//! 4. When [`Running::ended`] returns, quinn's own tasks have ended and the port is free.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{
    AsyncTimer, AsyncUdpSocket, EndpointConfig, IdleTimeout, Runtime, ServerConfig, TokioRuntime,
    TransportConfig, VarInt, crypto::rustls::QuicServerConfig, udp,
};
use thiserror::Error;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    backoff::{FIRST_WAIT, LONGEST_WAIT},
    channel::{CONNECTION_WINDOW_BYTES, LARGE_STREAMS, STREAM_WINDOW_BYTES, UNI_STREAMS},
    congestion::ClosableCubic,
    connection_id::MarkedConnectionIds,
    identity::EndpointSecret,
    tls::TlsError,
};

/// Handshakes that nobody has looked at yet.
const MAX_INCOMING: usize = 64;
const INCOMING_BUFFER_BYTES: u64 = 16 * 1024;

/// Times of the connections between sequencers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often an idle connection sends a sign of life.
    pub keep_alive: Duration,
    /// After how long without one the connection is given up.
    pub idle: Duration,
    /// Round-trip time assumed before the first measurement.
    pub initial_rtt: Duration,
    /// Longest handshake, and then again longest wait for the greeting.
    pub handshake: Duration,
    /// First wait of a dialler after a failure.
    pub first_wait: Duration,
    /// Longest wait of a dialler.
    pub longest_wait: Duration,
}

impl Timing {
    /// For sequencers near each other: a lost peer is noticed after 3 s.
    pub const LOCAL: Self = Self {
        keep_alive: Duration::from_millis(500),
        idle: Duration::from_secs(3),
        initial_rtt: Duration::from_millis(50),
        handshake: Duration::from_secs(3),
        first_wait: FIRST_WAIT,
        longest_wait: LONGEST_WAIT,
    };

    /// For sequencers on several continents: a lost peer is noticed after 10 s.
    pub const WIDE_AREA: Self = Self {
        idle: Duration::from_secs(10),
        initial_rtt: Duration::from_millis(100),
        handshake: Duration::from_secs(10),
        ..Self::LOCAL
    };
}

impl Default for Timing {
    fn default() -> Self {
        Self::LOCAL
    }
}

/// Whether the kernel cuts large buffers into packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SegmentationOffload {
    /// Where the kernel can.
    #[default]
    On,
    /// Never: some virtual networks lose such packets.
    Off,
}

/// What is asked for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Receive and send buffer, each.
    pub buffer_bytes: usize,
    /// Segmentation offload.
    pub segmentation_offload: SegmentationOffload,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self { buffer_bytes: 8 * 1024 * 1024, segmentation_offload: SegmentationOffload::On }
    }
}

/// What a socket got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketReport {
    /// The address that it is bound to.
    pub address: SocketAddr,
    /// The size of each buffer that was asked for.
    pub asked_bytes: usize,
    /// The receive buffer that was granted.
    pub receive_bytes: usize,
    /// The send buffer that was granted.
    pub send_bytes: usize,
    /// How many packets the kernel cuts from one buffer; 1 without segmentation offload.
    pub segments: usize,
}

/// An endpoint could not be opened.
#[derive(Debug, Error)]
pub enum BindError {
    /// The socket could not be opened at this address.
    #[error("no UDP socket at {address}")]
    Socket {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The idle timeout is longer than QUIC can express.
    #[error("the idle timeout {0:?} is longer than QUIC can express")]
    IdleTimeout(Duration),
}

/// QUIC parameters between sequencers.
pub(crate) fn sequencer_transport(
    timing: &Timing,
    offload: SegmentationOffload,
) -> Result<TransportConfig, BindError> {
    let mut transport = transport(timing.idle, offload)?;
    transport
        .keep_alive_interval(Some(timing.keep_alive))
        .initial_rtt(timing.initial_rtt)
        .max_concurrent_uni_streams(varint(UNI_STREAMS))
        .max_concurrent_bidi_streams(varint(LARGE_STREAMS))
        .stream_receive_window(varint(STREAM_WINDOW_BYTES))
        .receive_window(varint(CONNECTION_WINDOW_BYTES))
        .send_window(CONNECTION_WINDOW_BYTES as u64);
    Ok(transport)
}

/// What all connections have in common.
pub(crate) fn transport(
    idle: Duration,
    offload: SegmentationOffload,
) -> Result<TransportConfig, BindError> {
    let idle = IdleTimeout::try_from(idle).map_err(|_| BindError::IdleTimeout(idle))?;
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle))
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(Arc::new(ClosableCubic::default()))
        .enable_segmentation_offload(offload == SegmentationOffload::On);
    Ok(transport)
}

/// Parameters of the accepting side.
pub(crate) fn server_config(
    crypto: QuicServerConfig,
    secret: &EndpointSecret,
    transport: Arc<TransportConfig>,
) -> ServerConfig {
    let mut server = ServerConfig::new(Arc::new(crypto), Arc::new(secret.token_key()));
    server
        .transport_config(transport)
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(INCOMING_BUFFER_BYTES * MAX_INCOMING as u64);
    server.validation_token.sent(0);
    server
}

/// Opens a socket and a QUIC endpoint on it, with the keys of `secret`.
pub(crate) fn open(
    address: SocketAddr,
    options: &SocketOptions,
    secret: &EndpointSecret,
    server: Option<ServerConfig>,
) -> Result<(quinn::Endpoint, SocketReport, Running), BindError> {
    let failed = |source| BindError::Socket { address, source };
    let socket = UdpSocket::bind(address).map_err(failed)?;
    let report = size_buffers(&socket, options).map_err(failed)?;

    let mut config = EndpointConfig::new(Arc::new(secret.reset_key()));
    let id_key = secret.connection_id_key();
    config.cid_generator(move || Box::new(MarkedConnectionIds::new(id_key.clone())));
    let (alive, ended) = mpsc::channel(1);
    let runtime = Arc::new(CountedRuntime { alive });
    let endpoint = quinn::Endpoint::new(config, server, socket, runtime).map_err(failed)?;
    Ok((endpoint, report, Running(ended)))
}

/// Waits for the end of an endpoint's own tasks.
#[derive(Debug)]
pub(crate) struct Running(mpsc::Receiver<Infallible>);

impl Running {
    /// Waits until quinn's tasks have ended, which they do once the endpoint and all of its
    /// connections are dropped and said goodbye to; at most `longest`.
    pub(crate) async fn ended(mut self, longest: Duration) {
        let _slow_peers = timeout(longest, self.0.recv()).await;
    }
}

/// tokio, with every task holding a sender: when the channel closes, all have ended.
#[derive(Debug)]
struct CountedRuntime {
    alive: mpsc::Sender<Infallible>,
}

impl Runtime for CountedRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let alive = self.alive.clone();
        tokio::spawn(async move {
            future.await;
            drop(alive);
        });
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

pub(crate) fn varint(value: usize) -> VarInt {
    VarInt::from_u32(u32::try_from(value).unwrap_or(u32::MAX))
}

fn size_buffers(socket: &UdpSocket, options: &SocketOptions) -> io::Result<SocketReport> {
    let state = udp::UdpSocketState::new(socket.into())?;
    // The kernel caps what is asked for; a refusal leaves the default, which is reported.
    let _capped = state.set_recv_buffer_size(socket.into(), options.buffer_bytes);
    let _capped = state.set_send_buffer_size(socket.into(), options.buffer_bytes);
    // Linux reports twice the usable size, for its own bookkeeping (socket(7)).
    let doubled = if cfg!(target_os = "linux") { 2 } else { 1 };
    Ok(SocketReport {
        address: socket.local_addr()?,
        asked_bytes: options.buffer_bytes,
        receive_bytes: state.recv_buffer_size(socket.into())? / doubled,
        send_bytes: state.send_buffer_size(socket.into())? / doubled,
        segments: match options.segmentation_offload {
            SegmentationOffload::On => state.max_gso_segments(),
            SegmentationOffload::Off => 1,
        },
    })
}
