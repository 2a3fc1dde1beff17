//! `GET /batches/{chain_id}/stream?from=HEIGHT`: certified batches of a rollup as they come.
//!
//! Every batch document of the rollup from a height on, in order of height, each as one server-sent
//! event whose id is the document's height; `Last-Event-ID` resumes after it. What is sent is always
//! read from the database, up to what final blocks certify: so nothing is missed between catching up
//! and what is new, nor over a restart, and one document at a time is in memory.
//!
//! A stream that ends by this sequencer's doing ends with an event `end`, whose data says why: a
//! reader that takes longer than [`SLOW`] for one document, the sequencer's end, or its failure. A
//! reader that takes nothing at all loses its connection ([`super::deadline`]).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use fairveil_release::document::BatchDocument;
use futures::stream;
use serde_json::json;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{From, Shared};

/// Streams in progress.
pub(super) const MAX_STREAMS: usize = 64;
/// How long a reader may take for one document.
const SLOW: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How often it is asked whether more is certified.
const LOOK: Duration = Duration::from_millis(100);
/// How often the database is read although nothing more seems certified.
const READ: Duration = Duration::from_secs(1);

struct Stream {
    shared: Arc<Shared>,
    chain_id: u64,
    /// The first height of the next document.
    next: u64,
    /// What was certified when the database had no document, and when that was.
    looked: Option<(u64, Instant)>,
    /// When the last document was handed over.
    handed: Option<Instant>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

/// Why this sequencer ends a stream.
#[derive(Clone, Copy, Debug)]
enum End {
    SlowReader,
    Stopped,
    Failed,
}

/// The stream from the wanted height on.
pub(super) async fn stream(
    State(shared): State<Arc<Shared>>,
    Path(chain_id): Path<u64>,
    Query(query): Query<From>,
    headers: HeaderMap,
) -> Response {
    let Ok(permit) = Arc::clone(&shared.batch_streams).try_acquire_owned() else {
        let why = format!("too many streams of batches, at most {MAX_STREAMS}\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    // A rollup that isn't registered is told at once.
    let handle = shared.handle.clone();
    let known = tokio::task::spawn_blocking(move || handle.batches(chain_id, u64::MAX, 1)).await;
    match known {
        Ok(Ok(Some(_))) => {}
        Ok(Ok(None)) => {
            return (StatusCode::NOT_FOUND, "nothing known of it here\n").into_response();
        }
        Ok(Err(error)) => return super::failed(&error.to_string()),
        Err(error) => return super::failed(&error.to_string()),
    }
    let next = query.resumed(&headers).unwrap_or_else(|| super::oldest(&shared)).max(1);
    if let Some(gone) = super::removed(&shared, next) {
        return gone;
    }
    let state = Stream {
        shared,
        chain_id,
        next,
        looked: None,
        handed: None,
        ended: false,
        _permit: permit,
    };
    let events = stream::unfold(state, async |mut state| {
        let event = state.next_event().await?;
        Some((Ok::<_, Infallible>(event), state))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

impl Stream {
    /// The next event; none after the one that says why it ended.
    async fn next_event(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        // Asked again only when what was handed over is on its way.
        let slow = self.handed.take().is_some_and(|handed| handed.elapsed() > SLOW);
        let next = if slow { Err(End::SlowReader) } else { self.next_document().await };
        let event = next.and_then(|document| {
            let height = document.release.height.get();
            let text = serde_json::to_string(&document).map_err(|error| failure(&error))?;
            self.next = height.saturating_add(1);
            self.handed = Some(Instant::now());
            Ok(Event::default().id(height.to_string()).data(text))
        });
        Some(event.unwrap_or_else(|end| {
            self.ended = true;
            let why = json!({ "reason": end.word(), "next": self.next });
            Event::default().event("end").data(why.to_string())
        }))
    }

    async fn next_document(&mut self) -> Result<BatchDocument, End> {
        let tip = self.shared.handle.event_tip();
        loop {
            let certified = self.shared.handle.overview().certified;
            let known = |(looked, at): (u64, Instant)| looked == certified && at.elapsed() < READ;
            if certified >= self.next && !self.looked.is_some_and(known) {
                self.looked = Some((certified, Instant::now()));
                let (handle, chain_id, from) =
                    (self.shared.handle.clone(), self.chain_id, self.next);
                let read = move || handle.batches(chain_id, from, 1);
                let read = tokio::task::spawn_blocking(read).await;
                let documents = read.map_err(|error| failure(&error))?;
                let documents = documents.map_err(|error| failure(&error))?;
                if let Some(document) = documents.into_iter().flatten().next() {
                    // There may be more up to what was certified then.
                    self.looked = None;
                    return Ok(document);
                }
            }
            if tip.has_changed().is_err() {
                return Err(End::Stopped);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl End {
    const fn word(self) -> &'static str {
        match self {
            Self::SlowReader => "slow_reader",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

fn failure(error: &dyn std::fmt::Display) -> End {
    tracing::error!(%error, "a stream of batches failed");
    End::Failed
}
