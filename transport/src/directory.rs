//! Who the peers are, from outside: learning, tracking and blocking them.
//!
//! Addresses and network keys come through [`Directory::learn`]; who of the known members is a
//! peer right now, through commonware's [`Manager::track`]. The order of the two is free.
//!
//! Invariants:
//!
//! 1. A peer that leaves all tracked sets, is blocked, or whose address or network key changes
//!    loses its connection at once, with the reason.
//! 2. A block lasts until [`Directory::unblock`] or the end of the process, also over set changes.

use std::{fmt, sync::Arc};

use commonware_actor::Feedback;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{
    BlockedSubscription, Blocker, Manager, PeerSetSubscription, Provider, TrackedPeers,
};
use commonware_utils::{
    NZUsize,
    channel::{mpsc, ring},
};

use crate::{identity::Member, membership::SharedNetworkKey, peers::Peers};

/// The peers of a network; clones share everything.
#[derive(Clone)]
pub struct Directory {
    peers: Arc<Peers>,
}

impl Directory {
    pub(crate) const fn new(peers: Arc<Peers>) -> Self {
        Self { peers }
    }

    /// Adds members, or replaces what is known of them.
    ///
    /// # Errors
    ///
    /// If two members would have the same network key: nothing is changed then.
    pub fn learn(&self, members: Vec<Member>) -> Result<(), Box<SharedNetworkKey>> {
        self.peers.learn(members)
    }

    /// Forgets the tracked sets before `id`, but never the newest one.
    pub fn retire_before(&self, id: u64) {
        self.peers.retire_before(id);
    }

    /// Lets a blocked peer connect again.
    pub fn unblock(&self, key: &PublicKey) {
        self.peers.unblock(key);
    }

    fn feedback(&self) -> Feedback {
        if self.peers.is_closed() { Feedback::Closed } else { Feedback::Ok }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Directory").finish_non_exhaustive()
    }
}

impl Provider for Directory {
    type PublicKey = PublicKey;

    async fn peer_set(&mut self, id: u64) -> Option<TrackedPeers<PublicKey>> {
        self.peers.set(id)
    }

    async fn subscribe(&mut self) -> PeerSetSubscription<PublicKey> {
        let (watcher, subscription) = mpsc::unbounded_channel();
        self.peers.watch_sets(watcher);
        subscription
    }
}

impl Manager for Directory {
    fn track<R>(&mut self, id: u64, peers: R) -> Feedback
    where
        R: Into<TrackedPeers<PublicKey>> + Send,
    {
        if !self.peers.track(id, peers.into()) && !self.peers.is_closed() {
            tracing::warn!(id, "peer set is not newer than the tracked ones");
        }
        self.feedback()
    }
}

impl Blocker for Directory {
    type PublicKey = PublicKey;

    fn block(&mut self, peer: PublicKey) -> Feedback {
        self.peers.block(&peer);
        self.feedback()
    }

    fn blocked(&mut self) -> BlockedSubscription<PublicKey> {
        let (watcher, subscription) = ring::channel(NZUsize!(1));
        self.peers.watch_blocked(watcher);
        subscription
    }
}
