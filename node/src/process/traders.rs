//! The QUIC endpoint for traders: one stream per bundle, answered with what JSON-RPC would answer.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc};

use bytes::Bytes;
use fairveil_crypto::{NetworkId, envelope::MAX_SEALED_BYTES};
use fairveil_sequencer::Handle;
use fairveil_transport::{
    EndpointSecret, NetworkSecret, SocketOptions,
    trader::{
        BucketLimits, TraderConfig, TraderEndpoint, TraderLimits, TraderRefusal, TraderRequest,
    },
};
use tokio::{sync::Semaphore, task::JoinHandle};

use super::NodeError;
use crate::http;

/// Requests in progress.
const MAX_REQUESTS: usize = 1_024;

/// What the endpoint is opened with.
pub(super) struct Setup {
    pub(super) network_id: NetworkId,
    pub(super) network_secret: NetworkSecret,
    pub(super) endpoint_secret: EndpointSecret,
    pub(super) listen: SocketAddr,
    pub(super) socket: SocketOptions,
    pub(super) rate: u64,
    pub(super) burst: u64,
}

/// The running endpoint.
pub(super) struct Traders {
    endpoint: TraderEndpoint,
    task: JoinHandle<()>,
}

impl Traders {
    /// Opens the endpoint; every request goes to the sequencer as a submission.
    pub(super) fn open(setup: Setup, handle: Handle) -> Result<Self, NodeError> {
        let tokens = |number: u64| {
            NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
        };
        let limits = TraderLimits::default();
        let (endpoint, mut requests) = TraderEndpoint::open(TraderConfig {
            network_id: setup.network_id,
            network_secret: setup.network_secret,
            endpoint_secret: setup.endpoint_secret,
            listen: setup.listen,
            socket: setup.socket,
            limits: TraderLimits {
                max_request_bytes: MAX_SEALED_BYTES,
                bucket: BucketLimits {
                    burst: tokens(setup.burst),
                    per_second: tokens(setup.rate),
                    ..limits.bucket
                },
                ..limits
            },
            encode_refusal: Arc::new(refusal),
        })
        .map_err(|error| NodeError::Start { what: "traders", why: error.to_string() })?;
        let task = tokio::spawn(async move {
            let slots = Arc::new(Semaphore::new(MAX_REQUESTS));
            while let Some(request) = requests.recv().await {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                let handle = handle.clone();
                tokio::spawn(async move {
                    answer(&handle, request).await;
                    drop(slot);
                });
            }
        });
        Ok(Self { endpoint, task })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.endpoint.socket().address
    }
}

impl Drop for Traders {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(handle: &Handle, request: TraderRequest) {
    let TraderRequest { from, body, reply } = request;
    let result = handle.submit(body.to_vec(), from.ip(), Vec::new()).await;
    reply.send(Bytes::from(http::submission_answer(result)));
}

fn refusal(refusal: &TraderRefusal) -> Bytes {
    Bytes::from(http::refusal_answer(&refusal.to_string()))
}
