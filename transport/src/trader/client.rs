//! The trader's side of the trader endpoint. The specification is in [`super`].

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fairveil_crypto::NetworkId;
use quinn::{Connection, ConnectionError, Endpoint};
use thiserror::Error;
use tokio::time::timeout;

use super::{BodyError, CLOSE_RATE, CLOSE_SHUTDOWN, read_body, write_body};
use crate::{
    congestion,
    endpoint::{self, BindError, SegmentationOffload},
    identity::NetworkPublicKey,
    reason::LinkError,
    tls,
};

/// Longest wait for the server to hear that we close.
const FAREWELL: Duration = Duration::from_millis(500);

/// Whom a trader connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraderClientConfig {
    /// The network.
    pub network_id: NetworkId,
    /// The sequencer's key, which is pinned.
    pub server_key: NetworkPublicKey,
    /// Where its trader endpoint listens.
    pub server: SocketAddr,
    /// The own address; any, if none is given.
    pub local: Option<SocketAddr>,
    /// Largest reply.
    pub max_reply_bytes: usize,
    /// Longest handshake.
    pub handshake: Duration,
    /// How long the connection is kept without a request.
    pub idle: Duration,
}

/// A connection to one sequencer's trader endpoint.
#[derive(Debug)]
pub struct TraderClient {
    endpoint: Endpoint,
    connection: Connection,
    max_reply_bytes: usize,
}

/// There is no connection.
#[derive(Debug, Error)]
pub enum TraderConnectError {
    /// The own socket could not be set up.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The server could not be reached, or is not who it should be.
    #[error("{server}: {error}")]
    Link {
        /// Where it should listen.
        server: SocketAddr,
        /// What is wrong.
        error: LinkError,
    },
}

/// There is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TraderRequestError {
    /// None came in time.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    /// The reply is too large.
    #[error("reply is {actual} bytes, at most {limit} are taken")]
    Length {
        /// The announced size.
        actual: usize,
        /// The largest size.
        limit: usize,
    },
    /// The server closed the connection because this address asks too often.
    #[error("the server closed the connection: this address asks too often")]
    Rate,
    /// The connection has ended.
    #[error("the connection has ended: {0}")]
    Connection(LinkError),
    /// The server ended the stream without a reply, or with a malformed one.
    #[error("the server ended the stream without a reply")]
    NoReply,
}

impl TraderClient {
    /// Connects within a tokio runtime, on a socket of its own.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, shows another key or serves another network.
    pub async fn connect(config: TraderClientConfig) -> Result<Self, TraderConnectError> {
        let failed = |error| TraderConnectError::Link { server: config.server, error };
        let local = config.local.unwrap_or_else(|| match config.server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        });
        let endpoint = Endpoint::client(local)
            .map_err(|source| BindError::Socket { address: local, source })?;
        let tls =
            tls::trader_client(&config.network_id, config.server_key).map_err(BindError::from)?;
        let mut transport = endpoint::transport(config.idle, SegmentationOffload::On)?;
        transport
            .max_concurrent_bidi_streams(0_u32.into())
            .max_concurrent_uni_streams(0_u32.into());
        let mut client = quinn::ClientConfig::new(Arc::new(tls));
        client.transport_config(Arc::new(transport));
        let connecting = endpoint
            .connect_with(client, config.server, tls::SERVER_NAME)
            .map_err(|_| failed(LinkError::Undialable))?;
        let connection = timeout(config.handshake, connecting)
            .await
            .map_err(|_| failed(LinkError::HandshakeTimeout))?
            .map_err(|error| failed(LinkError::from_quic(&error, None)))?;
        Ok(Self { endpoint, connection, max_reply_bytes: config.max_reply_bytes })
    }

    /// Sends a request and waits for its reply; several may run at once.
    ///
    /// # Errors
    ///
    /// If no reply comes in time, or the connection has ended.
    pub async fn request(
        &self,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, TraderRequestError> {
        match timeout(within, self.exchange(body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(TraderRequestError::Timeout(within)),
        }
    }

    /// Whether the connection still stands, as far as is known.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Closes the connection and tells the server.
    pub async fn close(self) {
        congestion::close(&self.connection, CLOSE_SHUTDOWN, b"");
        let _slow_server = timeout(FAREWELL, self.endpoint.wait_idle()).await;
    }

    async fn exchange(&self, body: Bytes) -> Result<Bytes, TraderRequestError> {
        let (mut send, mut receive) =
            self.connection.open_bi().await.map_err(|error| ended(&error))?;
        // The server may refuse before it has read everything: the reply counts, not this.
        let _refused = write_body(&mut send, body).await;
        match read_body(&mut receive, self.max_reply_bytes).await {
            Ok(reply) => Ok(reply),
            Err(BodyError::Length { actual }) => {
                Err(TraderRequestError::Length { actual, limit: self.max_reply_bytes })
            }
            Err(BodyError::Malformed) => Err(self
                .connection
                .close_reason()
                .map_or(TraderRequestError::NoReply, |error| ended(&error))),
        }
    }
}

impl Drop for TraderClient {
    fn drop(&mut self) {
        congestion::close(&self.connection, CLOSE_SHUTDOWN, b"");
    }
}

fn ended(error: &ConnectionError) -> TraderRequestError {
    match error {
        ConnectionError::ApplicationClosed(close) if close.error_code == CLOSE_RATE => {
            TraderRequestError::Rate
        }
        error => TraderRequestError::Connection(LinkError::from_quic(error, None)),
    }
}
