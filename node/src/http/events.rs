//! `GET /events?from=N`: server-sent events with resumable ids.
//!
//! An event's id is its number; `Last-Event-ID` or `from` resumes after it. Events are stored with
//! the state that they tell of, so none is missed over a restart.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::{From, Shared};

/// Events read from the database at a time.
const PAGE: usize = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(10);

struct Stream {
    shared: Arc<Shared>,
    next: u64,
    ready: std::collections::VecDeque<(u64, String)>,
    _permit: OwnedSemaphorePermit,
}

/// The stream from the wanted event on.
pub(super) async fn stream(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<From>,
    headers: HeaderMap,
) -> Response {
    let Ok(permit) = Arc::clone(&shared.streams).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many event streams\n").into_response();
    };
    let next = query.resumed(&headers).unwrap_or(0);
    let handle = shared.handle.clone();
    let first = tokio::task::spawn_blocking(move || handle.events(0, 1)).await;
    let first = first.ok().and_then(Result::ok).and_then(|events| Some(events.first()?.0));
    if let Some(first) = first.filter(|first| next > 0 && next < *first) {
        let why = format!("event {next} was removed here, the oldest is {first}\n");
        return (StatusCode::GONE, why).into_response();
    }
    let state = Stream { shared, next, ready: Default::default(), _permit: permit };
    let events = stream::unfold(state, async |mut state| {
        let (number, text) = state.next_event().await?;
        let event = Event::default().id(number.to_string()).data(text);
        Some((Ok::<_, Infallible>(event), state))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

impl Stream {
    async fn next_event(&mut self) -> Option<(u64, String)> {
        let mut tip = self.shared.handle.event_tip();
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if *tip.borrow_and_update() < self.next {
                tip.changed().await.ok()?;
                continue;
            }
            let (handle, from) = (self.shared.handle.clone(), self.next);
            let read = tokio::task::spawn_blocking(move || handle.events(from, PAGE)).await;
            let events = read.ok()?.ok()?;
            if events.is_empty() {
                tip.changed().await.ok()?;
                continue;
            }
            for (number, event) in events {
                self.next = number.saturating_add(1);
                let text = serde_json::to_string(&super::rpc::event(&event)).ok()?;
                self.ready.push_back((number, text));
            }
        }
    }
}
