//! What the sequencers' event streams say, with the time at which this process heard it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fairveil_client::{
    Endpoint,
    rpc::{Event, State},
};
use http_body_util::BodyExt as _;

use super::clock::Clock;

/// Wait before a broken stream is opened again.
const AGAIN: Duration = Duration::from_millis(200);

/// Where the fair order put a bundle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) height: u64,
    pub(crate) position: u64,
    /// The time of the block, milliseconds of the Unix epoch: it was proposed then.
    pub(crate) time_ms: u64,
    /// When this process heard of it.
    pub(crate) heard_ms: u64,
}

/// What is known of one bundle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) ordered: Option<Placed>,
    /// How it ended.
    pub(crate) ended: Option<Ended>,
}

/// How a bundle ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) state: State,
    /// The failed code with its details.
    pub(crate) code: Option<String>,
    /// The height whose release says so.
    pub(crate) height: u64,
    /// When this process heard of it.
    pub(crate) heard_ms: u64,
}

/// All that was seen.
#[derive(Clone)]
pub(crate) struct Observer {
    seen: Arc<Mutex<BTreeMap<String, Seen>>>,
    order: Arc<Mutex<BTreeMap<u64, Vec<String>>>>,
}

impl Observer {
    /// Follows the first two sequencers, so that one may be down.
    pub(crate) fn start(endpoints: &[Endpoint], clock: Clock) -> Self {
        let observer = Self { seen: Arc::default(), order: Arc::default() };
        for endpoint in endpoints.iter().take(2) {
            let (observer, endpoint) = (observer.clone(), endpoint.clone());
            tokio::spawn(async move { observer.follow(&endpoint, clock).await });
        }
        observer
    }

    /// What is known of a bundle.
    pub(crate) fn seen(&self, id: &str) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(id).cloned().unwrap_or_default()
    }

    /// All ids in the fair order.
    pub(crate) fn order(&self) -> Vec<String> {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.values().flatten().cloned().collect()
    }

    async fn follow(&self, endpoint: &Endpoint, clock: Clock) {
        let mut next = 0;
        loop {
            if let Ok(mut body) = endpoint.stream(&format!("/events?from={next}")).await {
                let mut text = Vec::new();
                while let Some(Ok(frame)) = body.frame().await {
                    if let Ok(data) = frame.into_data() {
                        text.extend_from_slice(&data);
                    }
                    while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                        let message: Vec<u8> = text.drain(..end + 2).collect();
                        if let Some(number) = self.take(&String::from_utf8_lossy(&message), clock) {
                            next = number + 1;
                        }
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn take(&self, message: &str, clock: Clock) -> Option<u64> {
        let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
        let number = field("id:")?.trim().parse().ok()?;
        let event = serde_json::from_str::<Event>(field("data:")?.trim()).ok()?;
        let now = clock.ms();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Ordered { height, time_ms, cohorts } => {
                let ids: Vec<String> = cohorts.into_iter().flatten().collect();
                for (position, id) in (0u64..).zip(&ids) {
                    let placed = Placed { height, position, time_ms, heard_ms: now };
                    seen.entry(id.clone()).or_default().ordered.get_or_insert(placed);
                }
                self.order.lock().unwrap_or_else(PoisonError::into_inner).insert(height, ids);
            }
            Event::Released { height, outcomes, .. } => {
                for outcome in outcomes {
                    if outcome.state != State::Ordered {
                        let known = seen.entry(outcome.id).or_default();
                        let (state, code) = (outcome.state, outcome.code);
                        known.ended.get_or_insert(Ended { state, code, height, heard_ms: now });
                    }
                }
            }
        }
        Some(number)
    }
}
