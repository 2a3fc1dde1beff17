//! What the transport counts, and how it shows the state of every peer.
//!
//! Invariant: for one peer and channel, every message that was sent to it is counted once:
//! `accepted by QUIC + dropped because full + dropped because offline + lost with a connection`.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use commonware_cryptography::ed25519::PublicKey;

use crate::{
    channel::{CHANNELS, Channel},
    identity::NetworkPublicKey,
    reason::{CloseReason, LinkError, Refusal},
};

/// Messages of one peer on one channel, since the peer is tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelCounts {
    /// Messages handed to QUIC.
    pub sent: u64,
    /// Their sizes.
    pub sent_bytes: u64,
    /// Messages received.
    pub received: u64,
    /// Their sizes.
    pub received_bytes: u64,
    /// Messages not sent because the outgoing queue was full.
    pub dropped_full: u64,
    /// Messages not sent because there was no connection.
    pub dropped_offline: u64,
    /// Messages that were queued when their connection ended.
    pub lost: u64,
    /// Messages received and dropped because the incoming queue was full.
    pub dropped_inbound: u64,
}

/// What a peer's connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Tracked, but its network key and address are not known.
    Unknown,
    /// Blocked for misbehaviour.
    Blocked,
    /// It has to dial us and has not yet.
    Awaited,
    /// We are dialling it.
    Dialling,
    /// We dial again after this wait.
    Waiting {
        /// Failures since the last success.
        failures: u32,
        /// The wait before the next attempt.
        wait: Duration,
    },
    /// Connected: both have greeted.
    Connected {
        /// For how long.
        elapsed: Duration,
        /// The current estimate of the round-trip time.
        rtt: Duration,
    },
}

impl PeerState {
    /// The word in metrics and `/readyz`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Blocked => "blocked",
            Self::Awaited => "awaited",
            Self::Dialling => "dialling",
            Self::Waiting { .. } => "waiting",
            Self::Connected { .. } => "connected",
        }
    }
}

/// One peer as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSnapshot {
    /// Its consensus key.
    pub key: PublicKey,
    /// Its network key, if known.
    pub network_key: Option<NetworkPublicKey>,
    /// Where it listens, if known.
    pub address: Option<SocketAddr>,
    /// What its connection is doing.
    pub state: PeerState,
    /// Connections that reached the greeting.
    pub connections: u64,
    /// Attempts to dial it.
    pub dials: u64,
    /// Why the last connection or attempt ended.
    pub last_error: Option<LinkError>,
    /// Counts per channel, in the order of [`Channel::ALL`].
    pub channels: [ChannelCounts; CHANNELS],
}

impl PeerSnapshot {
    /// The counts of one channel.
    #[must_use]
    pub const fn channel(&self, channel: Channel) -> &ChannelCounts {
        &self.channels[channel.index()]
    }

    /// Whether both sides have greeted and nothing has ended since.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.state, PeerState::Connected { .. })
    }
}

/// The whole transport between sequencers as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every tracked peer, by key.
    pub peers: Vec<PeerSnapshot>,
    /// Attempts of others that were turned away, by reason.
    pub refused: Vec<(Refusal, u64)>,
    /// Connections that we closed, by reason.
    pub closed: Vec<(CloseReason, u64)>,
    /// Addresses that were asked to prove themselves before anything else.
    pub retried: u64,
}

impl Snapshot {
    /// How many peers are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.peers.iter().filter(|peer| peer.is_connected()).count()
    }

    /// How many attempts were turned away for this reason.
    #[must_use]
    pub fn refused_for(&self, reason: Refusal) -> u64 {
        self.refused.iter().find(|(key, _)| *key == reason).map_or(0, |(_, count)| *count)
    }

    /// How many connections were closed for this reason.
    #[must_use]
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed.iter().find(|(key, _)| *key == reason).map_or(0, |(_, count)| *count)
    }
}

/// Counters of one peer on one channel.
#[derive(Debug, Default)]
pub(crate) struct ChannelCounters {
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    received: AtomicU64,
    received_bytes: AtomicU64,
    dropped_full: AtomicU64,
    dropped_offline: AtomicU64,
    lost: AtomicU64,
    dropped_inbound: AtomicU64,
}

impl ChannelCounters {
    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.sent, 1);
        add(&self.sent_bytes, bytes as u64);
    }

    pub(crate) fn received(&self, bytes: usize) {
        add(&self.received, 1);
        add(&self.received_bytes, bytes as u64);
    }

    pub(crate) fn dropped_full(&self) {
        add(&self.dropped_full, 1);
    }

    pub(crate) fn dropped_offline(&self) {
        add(&self.dropped_offline, 1);
    }

    pub(crate) fn lost(&self, messages: u64) {
        add(&self.lost, messages);
    }

    pub(crate) fn dropped_inbound(&self) {
        add(&self.dropped_inbound, 1);
    }

    pub(crate) fn read(&self) -> ChannelCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ChannelCounts {
            sent: get(&self.sent),
            sent_bytes: get(&self.sent_bytes),
            received: get(&self.received),
            received_bytes: get(&self.received_bytes),
            dropped_full: get(&self.dropped_full),
            dropped_offline: get(&self.dropped_offline),
            lost: get(&self.lost),
            dropped_inbound: get(&self.dropped_inbound),
        }
    }
}

fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

/// Counters of one peer.
pub(crate) type PeerCounters = [std::sync::Arc<ChannelCounters>; CHANNELS];
