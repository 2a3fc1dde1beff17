//! The HTTP side of a node: JSON-RPC, events, batches, the transcript, metrics and health.
//!
//! One loopback-friendly listener. Requests are bounded in size and concurrency; what is slow
//! (reading the database) runs on blocking threads. Nothing here holds protocol rules: every
//! answer comes from the sequencer's handle.

mod batch_stream;
pub(crate) mod ceremony;
mod deadline;
mod events;
mod health;
mod rpc;

pub(crate) use rpc::{refusal_answer, submission_answer};

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use fairveil_client::file::File;
use fairveil_keygen::{Definition, VerifiedTranscript};
use fairveil_sequencer::{Handle, StoreError};
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};

use crate::process::Report;

/// Longest request body in bytes: the largest sealed bundle as hex, with room for the envelope.
const MAX_REQUEST_BYTES: usize = 256 << 10;
/// Requests in progress.
const MAX_REQUESTS: usize = 512;
/// Event streams in progress.
const MAX_STREAMS: usize = 256;
/// Batches in one answer.
const MAX_BATCHES: usize = 256;

/// What the routes share.
pub(crate) struct Shared {
    pub(crate) handle: Handle,
    /// The epoch that runs.
    pub(crate) term: watch::Receiver<Arc<Term>>,
    /// Peers by index and whether each is connected.
    pub(crate) connected: Box<dyn Fn() -> Vec<bool> + Send + Sync>,
    /// All metrics in Prometheus' text form.
    pub(crate) metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// How far the newest key ceremony is.
    pub(crate) ceremony: Box<dyn Fn() -> Report + Send + Sync>,
    pub(crate) requests: Semaphore,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) batch_streams: Arc<Semaphore>,
}

/// What is known of an epoch.
pub(crate) struct Term {
    pub(crate) definition: Definition,
    pub(crate) verified: VerifiedTranscript,
    /// The transcript of it and all before, as it stands on disk.
    pub(crate) transcript: String,
}

impl Shared {
    /// The epoch that runs.
    pub(crate) fn term(&self) -> Arc<Term> {
        Arc::clone(&self.term.borrow())
    }

    /// What the routes need, with the named limits.
    pub(crate) fn new(
        handle: Handle,
        term: watch::Receiver<Arc<Term>>,
        connected: Box<dyn Fn() -> Vec<bool> + Send + Sync>,
        metrics: Box<dyn Fn() -> String + Send + Sync>,
        ceremony: Box<dyn Fn() -> Report + Send + Sync>,
    ) -> Self {
        Self {
            handle,
            term,
            connected,
            metrics,
            ceremony,
            requests: Semaphore::new(MAX_REQUESTS),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            batch_streams: Arc::new(Semaphore::new(batch_stream::MAX_STREAMS)),
        }
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", post(rpc::answer))
        .route("/events", get(events::stream))
        .route("/batches/{chain_id}", get(batches))
        .route("/batches/{chain_id}/stream", get(batch_stream::stream))
        .route("/orders/{height}", get(order))
        .route("/transcript", get(transcript))
        .route("/ceremony", get(report))
        .route("/evidence", get(evidence))
        .route("/adversary", get(adversary))
        .route("/metrics", get(metrics))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(shared);
    let service = router.into_make_service_with_connect_info::<deadline::Remote>();
    axum::serve(deadline::Deadline::new(listener, deadline::STALLED), service).await
}

/// Where an answer begins.
#[derive(Debug, Deserialize)]
struct From {
    /// The first height, or the number of the first event.
    #[serde(default)]
    from: Option<u64>,
}

impl From {
    /// Where a stream begins: after the last event that its reader had, or where it asks.
    fn resumed(&self, headers: &HeaderMap) -> Option<u64> {
        let last =
            headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
        last.map(|last| last.saturating_add(1)).or(self.from)
    }
}

/// `GET /batches/{chain_id}?from=HEIGHT`: certified batches of one rollup in order of height.
async fn batches(
    State(shared): State<Arc<Shared>>,
    Path(chain_id): Path<u64>,
    Query(query): Query<From>,
) -> Response {
    let from = query.from.unwrap_or_else(|| oldest(&shared));
    if let Some(gone) = removed(&shared, from) {
        return gone;
    }
    let handle = shared.handle.clone();
    blocking(move || handle.batches(chain_id, from, MAX_BATCHES)).await
}

/// `GET /orders/{height}`: the order certificate of a height.
async fn order(State(shared): State<Arc<Shared>>, Path(height): Path<u64>) -> Response {
    if let Some(gone) = removed(&shared, height) {
        return gone;
    }
    let handle = shared.handle.clone();
    blocking(move || handle.order_certificate(height)).await
}

/// `GET /ceremony`: how far the newest key ceremony is.
async fn report(State(shared): State<Arc<Shared>>) -> Response {
    ceremony::answer(&(shared.ceremony)())
}

/// The first height whose order and release are here.
fn oldest(shared: &Shared) -> u64 {
    shared.handle.overview().oldest
}

/// The answer to who asks for a height that this sequencer has removed. Height 0 means the first.
fn removed(shared: &Shared, height: u64) -> Option<Response> {
    let oldest = oldest(shared);
    (height > 0 && height < oldest).then(|| {
        let why = format!(
            "height {height} was removed here, the oldest is {oldest}: ask another sequencer\n"
        );
        (StatusCode::GONE, why).into_response()
    })
}

async fn transcript(State(shared): State<Arc<Shared>>) -> Response {
    json(StatusCode::OK, shared.term().transcript.clone())
}

/// `GET /evidence`: proofs of faults, each as `fairveil verify` reads it.
async fn evidence(State(shared): State<Arc<Shared>>) -> Response {
    let handle = shared.handle.clone();
    blocking(move || {
        let files = handle.evidence()?.into_iter().map(|one| File::Evidence(Box::new(one)));
        Ok::<_, StoreError>(Some(files.map(|file| file.to_value()).collect::<Vec<_>>()))
    })
    .await
}

/// What an adversary that races bundles tried; 404 at every other sequencer.
async fn adversary(State(shared): State<Arc<Shared>>) -> Response {
    match shared.handle.overview().attack {
        Some(report) => match serde_json::to_string(&report) {
            Ok(text) => json(StatusCode::OK, text),
            Err(error) => failed(&error.to_string()),
        },
        None => (StatusCode::NOT_FOUND, "not an adversary\n").into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match tokio::task::spawn_blocking(move || (shared.metrics)()).await {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => failed(&error.to_string()),
    }
}

/// Runs a database read off the runtime's threads and answers its result as JSON; none is 404.
async fn blocking<T, E>(read: impl FnOnce() -> Result<Option<T>, E> + Send + 'static) -> Response
where
    T: serde::Serialize + Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some(found))) => match serde_json::to_string(&found) {
            Ok(text) => json(StatusCode::OK, text),
            Err(error) => failed(&error.to_string()),
        },
        Ok(Ok(None)) => (StatusCode::NOT_FOUND, "nothing known of it here\n").into_response(),
        Ok(Err(error)) => failed(&error.to_string()),
        Err(error) => failed(&error.to_string()),
    }
}

fn json(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn failed(why: &str) -> Response {
    tracing::error!(why, "a request failed");
    (StatusCode::INTERNAL_SERVER_ERROR, "this sequencer failed; its log says why\n").into_response()
}
