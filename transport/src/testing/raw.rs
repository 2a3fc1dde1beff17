//! A peer that authenticates as a sequencer and then does whatever a test tells it to.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use fairveil_crypto::NetworkId;
use quinn::{Connection, ConnectionError, Endpoint};
use thiserror::Error;

use crate::{
    endpoint::{self, BindError, SegmentationOffload, Timing},
    frame,
    identity::{NetworkPublicKey, NetworkSecret},
    reason::CloseReason,
    tls,
};

/// An authenticated connection in the hands of a test.
#[derive(Debug)]
pub struct RawPeer {
    _endpoint: Endpoint,
    connection: Connection,
}

/// A raw peer could not connect.
#[derive(Debug, Error)]
pub enum RawPeerError {
    /// The socket or TLS could not be set up.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The address cannot be dialled.
    #[error(transparent)]
    Dial(#[from] quinn::ConnectError),
    /// The connection ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A stream ended.
    #[error(transparent)]
    Write(#[from] quinn::WriteError),
}

impl RawPeer {
    /// Dials a sequencer with a network key, within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If there is no connection.
    pub async fn dial(
        secret: &NetworkSecret,
        network_id: &NetworkId,
        pinned: NetworkPublicKey,
        address: SocketAddr,
    ) -> Result<Self, RawPeerError> {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = Endpoint::client(local)
            .map_err(|source| BindError::Socket { address: local, source })?;
        let tls = tls::sequencer_client(secret, network_id, pinned).map_err(BindError::from)?;
        let transport = endpoint::sequencer_transport(&Timing::WIDE_AREA, SegmentationOffload::On)?;
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        let connection = endpoint.connect_with(config, address, tls::SERVER_NAME)?.await?;
        Ok(Self { _endpoint: endpoint, connection })
    }

    /// Greets as a sequencer does.
    ///
    /// # Errors
    ///
    /// If the connection has ended.
    pub async fn greet(&self) -> Result<(), RawPeerError> {
        self.uni(&frame::GREETING).await
    }

    /// Sends bytes on a unidirectional stream of their own, and ends it.
    ///
    /// # Errors
    ///
    /// If the connection has ended.
    pub async fn uni(&self, bytes: &[u8]) -> Result<(), RawPeerError> {
        let mut stream = self.connection.open_uni().await?;
        stream.write_all(bytes).await?;
        // Ending a stream twice is the only way to fail here.
        let _ended = stream.finish();
        Ok(())
    }

    /// The connection itself.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Waits until the sequencer closes the connection, and says why it did.
    ///
    /// # Errors
    ///
    /// If the connection ended in another way.
    pub async fn closed(&self) -> Result<CloseReason, ConnectionError> {
        match self.connection.closed().await {
            ConnectionError::ApplicationClosed(close) => {
                Ok(CloseReason::from_code(close.error_code))
            }
            error => Err(error),
        }
    }
}
