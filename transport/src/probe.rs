//! Whether a peer can be reached, without taking part: the handshake and nothing after it.
//!
//! Invariants:
//!
//! 1. A peer that answers has proven that it holds its pinned network key, and that it is of this
//!    network and version of the protocol.
//! 2. No greeting is sent, so the peer keeps the connection that it has; the probe closes its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use fairveil_crypto::NetworkId;
use thiserror::Error;
use tokio::time::timeout;

use crate::{
    congestion,
    endpoint::{self, BindError, SocketOptions, SocketReport, Timing},
    identity::{EndpointSecret, Member, NetworkSecret},
    reason::{CloseReason, LinkError},
    tls,
};

/// Opens handshakes with peers, from a socket of its own.
#[derive(Debug)]
pub struct Probe {
    endpoint: quinn::Endpoint,
    report: SocketReport,
    transport: Arc<quinn::TransportConfig>,
    network_id: NetworkId,
    secret: NetworkSecret,
}

/// Why a peer was not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProbeError {
    /// The handshake failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Nothing answered in time.
    #[error("nothing answered within {0:?}")]
    Silent(Duration),
}

impl Probe {
    /// A socket at this address, within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If it can't be opened.
    pub fn open(
        network_id: NetworkId,
        secret: NetworkSecret,
        listen: SocketAddr,
        options: &SocketOptions,
    ) -> Result<Self, BindError> {
        let offload = options.segmentation_offload;
        let transport = Arc::new(endpoint::sequencer_transport(&Timing::WIDE_AREA, offload)?);
        // Nobody connects to it, so that its resets need no lasting secret.
        let endpoint_secret = EndpointSecret::from_bytes([0; 32]);
        let (endpoint, report, _running) = endpoint::open(listen, options, &endpoint_secret, None)?;
        Ok(Self { endpoint, report, transport, network_id, secret })
    }

    /// What the socket got.
    #[must_use]
    pub const fn socket(&self) -> &SocketReport {
        &self.report
    }

    /// The round-trip time to a peer.
    ///
    /// # Errors
    ///
    /// If it doesn't answer in time, or isn't who it should be.
    pub async fn reach(&self, peer: &Member, within: Duration) -> Result<Duration, ProbeError> {
        let tls = tls::sequencer_client(&self.secret, &self.network_id, peer.network_key())
            .map_err(|_| LinkError::Undialable)?;
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(self.transport.clone());
        let connecting = self
            .endpoint
            .connect_with(config, peer.address(), tls::SERVER_NAME)
            .map_err(|_| LinkError::Undialable)?;
        let connection = timeout(within, connecting)
            .await
            .map_err(|_| ProbeError::Silent(within))?
            .map_err(|error| LinkError::from_quic(&error, None))?;
        let rtt = connection.rtt();
        let reason = CloseReason::Shutdown;
        congestion::close(&connection, reason.code(), b"");
        Ok(rtt)
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.endpoint.close(CloseReason::Shutdown.code(), b"");
        // A peer that doesn't hear it notices by time-out.
        let _heard = timeout(Duration::from_millis(500), self.endpoint.wait_idle()).await;
    }
}
