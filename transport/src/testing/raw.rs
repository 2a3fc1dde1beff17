//! A peer that authenticates as a sequencer or comes as a trader, and then does whatever a test
//! tells it to; and handshakes that are begun and never gone on with.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use fairveil_crypto::NetworkId;
use quinn::{
    Connection, ConnectionError, Endpoint, TransportConfig, crypto::rustls::QuicClientConfig,
};
use thiserror::Error;
use tokio::net::UdpSocket;

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
    /// A socket of the test's own failed.
    #[error(transparent)]
    Socket(#[from] std::io::Error),
}

fn client() -> Result<(Endpoint, Arc<TransportConfig>), BindError> {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint =
        Endpoint::client(local).map_err(|source| BindError::Socket { address: local, source })?;
    let transport = endpoint::sequencer_transport(&Timing::WIDE_AREA, SegmentationOffload::On)?;
    Ok((endpoint, Arc::new(transport)))
}

fn client_config(tls: QuicClientConfig, transport: Arc<TransportConfig>) -> quinn::ClientConfig {
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(transport);
    config
}

/// The first packets of `count` handshakes of traders, which nobody goes on with. An endpoint of
/// sequencers reads them too, up to the protocol's name.
///
/// # Errors
///
/// If there is no socket.
pub async fn first_packets(
    network_id: &NetworkId,
    pinned: NetworkPublicKey,
    count: usize,
) -> Result<Vec<Vec<u8>>, RawPeerError> {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = silent.local_addr()?;
    let (endpoint, transport) = client()?;
    let mut packets = Vec::with_capacity(count);
    let mut packet = [0; 2_048];
    for _ in 0..count {
        let tls = tls::trader_client(network_id, pinned).map_err(BindError::from)?;
        let config = client_config(tls, transport.clone());
        let connecting = endpoint.connect_with(config, address, tls::SERVER_NAME)?;
        // Earlier ones are sent again meanwhile: each is known by its connection id.
        let connection_id = |packet: &[u8]| packet[6..6 + usize::from(packet[5])].to_vec();
        loop {
            let length = silent.recv(&mut packet).await?;
            let id = connection_id(&packet[..length]);
            if packets.iter().all(|known: &Vec<u8>| connection_id(known) != id) {
                packets.push(packet[..length].to_vec());
                break;
            }
        }
        drop(connecting);
    }
    Ok(packets)
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
        let tls = tls::sequencer_client(secret, network_id, pinned).map_err(BindError::from)?;
        Self::connect(tls, address).await
    }

    /// Dials as a trader, within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If there is no connection.
    pub async fn dial_as_trader(
        network_id: &NetworkId,
        pinned: NetworkPublicKey,
        address: SocketAddr,
    ) -> Result<Self, RawPeerError> {
        let tls = tls::trader_client(network_id, pinned).map_err(BindError::from)?;
        Self::connect(tls, address).await
    }

    async fn connect(tls: QuicClientConfig, address: SocketAddr) -> Result<Self, RawPeerError> {
        let (endpoint, transport) = client()?;
        let config = client_config(tls, transport);
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
