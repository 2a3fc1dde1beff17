//! What outlives an epoch at a sequencer: its channels to the peers, and the desk at which the rest
//! of the process asks.
//!
//! # Invariants
//!
//! 1. A handle is good for all epochs: what is asked while one gives way to the next waits for the
//!    next, or is refused with `busy`. Nothing is lost without an answer.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::{
    actor::PeerChannels,
    config::Config,
    handle::{Call, Handle, MAX_CALLS, Overview},
    rollups::Rollups,
    store::Store,
};

/// Channels and desk: given to [`crate::start`], handed back when an epoch ends.
pub struct Seat<S, R> {
    pub(crate) channels: PeerChannels<S, R>,
    pub(crate) desk: Option<Desk>,
}

impl<S, R> Seat<S, R> {
    /// The seat of a sequencer that starts.
    pub fn new(channels: PeerChannels<S, R>) -> Self {
        Self { channels, desk: None }
    }

    /// The last term is over: whoever asks is refused at once, and waits for nothing.
    pub fn close_desk(&mut self) {
        self.desk = None;
    }
}

/// The sequencer's side of its handles.
pub(crate) struct Desk {
    pub(crate) handle: Handle,
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) events: watch::Sender<u64>,
}

impl Desk {
    /// A desk for handles that nobody has yet.
    pub(crate) fn new(
        config: Arc<Config>,
        store: Store,
        rollups: Rollups,
        last_event: u64,
    ) -> Self {
        let (calls, received) = mpsc::channel(MAX_CALLS);
        let (events, seen) = watch::channel(last_event);
        let config = Current::new(config);
        let overview = Arc::new(Mutex::new(Overview::default()));
        let handle = Handle { calls, config, store, rollups, overview, events: seen };
        Self { handle, calls: received, events }
    }

    /// The same desk in the next epoch.
    pub(crate) fn again(self, config: Arc<Config>, rollups: Rollups) -> Self {
        self.handle.config.set(config);
        self.handle.rollups.set(rollups);
        self
    }
}

/// The configuration of the epoch that runs; clones share it.
#[derive(Clone)]
pub(crate) struct Current(Arc<Mutex<Arc<Config>>>);

impl Current {
    fn new(config: Arc<Config>) -> Self {
        Self(Arc::new(Mutex::new(config)))
    }

    fn set(&self, config: Arc<Config>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(crate) fn get(&self) -> Arc<Config> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
