//! The one table of peers that everything else reads and changes, behind one short lock.
//!
//! Invariants:
//!
//! 1. A peer has a live connection only while it is admitted ([`Membership`]) under the network
//!    key that the connection was authenticated with. Whatever ends one of these closes the
//!    connection, with the reason.
//! 2. A peer has at most one live connection; the newer one takes the place of the older.
//! 3. At most one dialler runs per peer, and only towards higher keys.
//! 4. Nothing waits while it holds the lock, and connections are closed after it is released:
//!    QUIC asks for admission while it holds locks of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{PeerSetUpdate, TrackedPeers};
use commonware_utils::{
    channel::{mpsc, ring},
    ordered::Set,
};
use tokio::{sync::watch, time::Instant};

use crate::{
    channel::{CHANNELS, Channel},
    congestion,
    identity::{Member, NetworkPublicKey},
    inbox::Inbox,
    membership::{Membership, SharedNetworkKey},
    metrics::{PeerCounters, PeerSnapshot, PeerState, Snapshot},
    queue::Outbox,
    reason::{CloseReason, LinkError, Refusal},
    tls::Admission,
};

/// A connection over which messages can be sent.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) connection: quinn::Connection,
    pub(crate) network_key: NetworkPublicKey,
    pub(crate) outboxes: [Outbox; CHANNELS],
    pub(crate) since: Instant,
    /// What we closed it with, if we did.
    pub(crate) closed_with: Arc<OnceLock<CloseReason>>,
}

/// Closes a connection, and remembers why for whoever waits for its end.
pub(crate) fn close(
    connection: &quinn::Connection,
    closed_with: &OnceLock<CloseReason>,
    reason: CloseReason,
) {
    if connection.close_reason().is_none() && closed_with.set(reason).is_ok() {
        congestion::close(connection, reason.code(), reason.to_string().as_bytes());
    }
}

fn close_all(ending: impl IntoIterator<Item = Arc<Live>>, reason: CloseReason) {
    for live in ending {
        close(&live.connection, &live.closed_with, reason);
    }
}

/// Where a message to one peer goes.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) key: PublicKey,
    pub(crate) live: Option<Arc<Live>>,
    pub(crate) counters: PeerCounters,
}

#[derive(Debug)]
pub(crate) struct Peers {
    me: PublicKey,
    state: Mutex<State>,
    inboxes: [Inbox; CHANNELS],
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    membership: Membership,
    tracked: BTreeMap<PublicKey, Tracked>,
    diallers: BTreeSet<PublicKey>,
    set_watchers: Vec<mpsc::UnboundedSender<PeerSetUpdate<PublicKey>>>,
    block_watchers: Vec<ring::Sender<Set<PublicKey>>>,
    refused: BTreeMap<Refusal, u64>,
    closed_for: BTreeMap<CloseReason, u64>,
    retried: u64,
    closed: bool,
}

#[derive(Debug)]
struct Tracked {
    live: Option<Arc<Live>>,
    attempt: Attempt,
    connections: u64,
    dials: u64,
    last_error: Option<LinkError>,
    counters: PeerCounters,
}

#[derive(Clone, Copy, Debug)]
enum Attempt {
    Dialling,
    Waiting { failures: u32, wait: Duration },
}

impl Peers {
    pub(crate) fn new(me: PublicKey) -> Self {
        let state = State {
            membership: Membership::new(me.clone()),
            tracked: BTreeMap::new(),
            diallers: BTreeSet::new(),
            set_watchers: Vec::new(),
            block_watchers: Vec::new(),
            refused: BTreeMap::new(),
            closed_for: BTreeMap::new(),
            retried: 0,
            closed: false,
        };
        Self {
            me,
            state: Mutex::new(state),
            inboxes: Channel::ALL.map(|channel| Inbox::new(channel.queue())),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) const fn me(&self) -> &PublicKey {
        &self.me
    }

    pub(crate) const fn inbox(&self, channel: Channel) -> &Inbox {
        &self.inboxes[channel.index()]
    }

    /// Says whenever diallers may have to start, stop or change their target.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn count_refused(&self, refusal: Refusal) {
        *self.lock().refused.entry(refusal).or_default() += 1;
    }

    pub(crate) fn count_retried(&self) {
        self.lock().retried += 1;
    }

    pub(crate) fn count_closed(&self, reason: CloseReason) {
        *self.lock().closed_for.entry(reason).or_default() += 1;
    }

    pub(crate) fn learn(&self, members: Vec<Member>) -> Result<(), Box<SharedNetworkKey>> {
        let mut state = self.lock();
        let changed = state.membership.learn(members)?;
        let ending: Vec<_> = changed.iter().filter_map(|key| state.live(key)).collect();
        drop(state);
        close_all(ending, CloseReason::RecordChanged);
        self.changed.send_replace(());
        Ok(())
    }

    pub(crate) fn track(&self, id: u64, peers: TrackedPeers<PublicKey>) -> bool {
        self.change_sets(|membership| membership.track(id, peers))
    }

    /// Forgets the sets before `id`, but never the newest one.
    pub(crate) fn retire_before(&self, id: u64) {
        self.change_sets(|membership| {
            membership.retire_before(id);
            true
        });
    }

    pub(crate) fn set(&self, id: u64) -> Option<TrackedPeers<PublicKey>> {
        self.lock().membership.set(id).cloned()
    }

    pub(crate) fn watch_sets(&self, watcher: mpsc::UnboundedSender<PeerSetUpdate<PublicKey>>) {
        let mut state = self.lock();
        if let Some(update) = state.membership.update() {
            let _gone = watcher.send(update);
        }
        if !state.closed {
            state.set_watchers.push(watcher);
        }
    }

    pub(crate) fn block(&self, key: &PublicKey) {
        let mut state = self.lock();
        let ending = state.membership.block(key).then(|| state.live(key)).flatten();
        state.tell_blocked();
        drop(state);
        close_all(ending, CloseReason::Blocked);
        self.changed.send_replace(());
    }

    pub(crate) fn unblock(&self, key: &PublicKey) {
        let mut state = self.lock();
        state.membership.unblock(key);
        state.tell_blocked();
        drop(state);
        self.changed.send_replace(());
    }

    pub(crate) fn watch_blocked(&self, watcher: ring::Sender<Set<PublicKey>>) {
        let mut state = self.lock();
        watcher.send_lossy(state.membership.blocked());
        if !state.closed {
            state.block_watchers.push(watcher);
        }
    }

    /// Which admitted peer owns a network key.
    pub(crate) fn owner(&self, network_key: &NetworkPublicKey) -> Option<PublicKey> {
        self.lock().membership.owner(network_key).cloned()
    }

    /// Makes a connection the live one of its peer.
    pub(crate) fn attach(&self, key: &PublicKey, live: Arc<Live>) -> Result<(), CloseReason> {
        let mut state = self.lock();
        if state.closed {
            return Err(CloseReason::Shutdown);
        }
        if state.membership.is_blocked(key) {
            return Err(CloseReason::Blocked);
        }
        let network_key = state.membership.admitted(key).map(Member::network_key);
        let Some(tracked) = state.tracked.get_mut(key) else {
            return Err(CloseReason::NotMember);
        };
        if network_key != Some(live.network_key) {
            return Err(CloseReason::RecordChanged);
        }
        tracked.connections += 1;
        let older = tracked.live.replace(live);
        drop(state);
        close_all(older, CloseReason::Superseded);
        Ok(())
    }

    /// A connection or an attempt has ended.
    pub(crate) fn ended(&self, key: &PublicKey, live: Option<&Arc<Live>>, error: LinkError) {
        let mut state = self.lock();
        let Some(tracked) = state.tracked.get_mut(key) else {
            return;
        };
        let is_current = match (&tracked.live, live) {
            (Some(current), Some(ended)) => Arc::ptr_eq(current, ended),
            (Some(_), None) => false,
            (None, _) => true,
        };
        if is_current {
            tracked.live = None;
            tracked.last_error = Some(error);
        }
    }

    /// Claims the diallers that have to be started.
    pub(crate) fn claim_diallers(&self) -> Vec<PublicKey> {
        let mut state = self.lock();
        let tracked = state.tracked.keys();
        let wanted: Vec<_> = tracked
            .filter(|key| self.target(&state, key).is_some() && !state.diallers.contains(*key))
            .cloned()
            .collect();
        state.diallers.extend(wanted.iter().cloned());
        wanted
    }

    /// Whom a dialler dials next; `None` ends it.
    pub(crate) fn next_dial(&self, key: &PublicKey) -> Option<Member> {
        let mut state = self.lock();
        let target = self.target(&state, key).cloned();
        match (&target, state.tracked.get_mut(key)) {
            (Some(_), Some(tracked)) => {
                tracked.dials += 1;
                tracked.attempt = Attempt::Dialling;
            }
            _ => {
                state.diallers.remove(key);
            }
        }
        target
    }

    /// Whether a dialler still has this target.
    pub(crate) fn still_dials(&self, target: &Member) -> bool {
        self.target(&self.lock(), target.key()) == Some(target)
    }

    pub(crate) fn dial_waits(&self, key: &PublicKey, failures: u32, wait: Duration) {
        if let Some(tracked) = self.lock().tracked.get_mut(key) {
            tracked.attempt = Attempt::Waiting { failures, wait };
        }
    }

    /// Routes to every connected peer.
    pub(crate) fn routes_to_connected(&self) -> Vec<Route> {
        let state = self.lock();
        let connected = state.tracked.iter().filter(|(_, tracked)| tracked.live.is_some());
        connected.map(|(key, tracked)| tracked.route(key)).collect()
    }

    /// Routes to those of `keys` that are tracked; the own key is none.
    pub(crate) fn routes<'a>(&self, keys: impl IntoIterator<Item = &'a PublicKey>) -> Vec<Route> {
        let state = self.lock();
        let tracked = keys.into_iter().filter_map(|key| Some((key, state.tracked.get(key)?)));
        tracked.map(|(key, tracked)| tracked.route(key)).collect()
    }

    pub(crate) fn counters(&self, key: &PublicKey) -> Option<PeerCounters> {
        self.lock().tracked.get(key).map(|tracked| tracked.counters.clone())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ends everything: no connection is attached any more, receivers and watchers end.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.set_watchers.clear();
        state.block_watchers.clear();
        let ending: Vec<_> =
            state.tracked.values_mut().filter_map(|tracked| tracked.live.take()).collect();
        drop(state);
        close_all(ending, CloseReason::Shutdown);
        for inbox in &self.inboxes {
            inbox.close();
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let now = Instant::now();
        let peers = state.tracked.iter();
        Snapshot {
            peers: peers.map(|(key, tracked)| self.show(&state, key, tracked, now)).collect(),
            refused: state.refused.iter().map(|(reason, count)| (*reason, *count)).collect(),
            closed: state.closed_for.iter().map(|(reason, count)| (*reason, *count)).collect(),
            retried: state.retried,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn target<'a>(&self, state: &'a State, key: &PublicKey) -> Option<&'a Member> {
        let ours = !state.closed && self.me < *key;
        state.membership.admitted(key).filter(|_| ours)
    }

    fn change_sets(&self, change: impl FnOnce(&mut Membership) -> bool) -> bool {
        let mut state = self.lock();
        if state.closed || !change(&mut state.membership) {
            return false;
        }
        let wanted = state.membership.tracked().clone();
        let mut ending = Vec::new();
        let mut left = Vec::new();
        state.tracked.retain(|key, tracked| {
            let stays = wanted.contains(key);
            if !stays {
                ending.extend(tracked.live.take());
                left.push(key.clone());
            }
            stays
        });
        for inbox in &self.inboxes {
            left.iter().for_each(|key| inbox.remove(key));
            wanted.iter().for_each(|key| inbox.admit(key));
        }
        for key in wanted {
            state.tracked.entry(key).or_default();
        }
        state.tell_sets();
        drop(state);
        close_all(ending, CloseReason::NotMember);
        self.changed.send_replace(());
        true
    }

    fn show(&self, state: &State, key: &PublicKey, peer: &Tracked, now: Instant) -> PeerSnapshot {
        let member = state.membership.member(key);
        let shown = match (&peer.live, peer.attempt) {
            _ if state.membership.is_blocked(key) => PeerState::Blocked,
            _ if member.is_none() => PeerState::Unknown,
            (Some(live), _) => PeerState::Connected {
                elapsed: now.saturating_duration_since(live.since),
                rtt: live.connection.rtt(),
            },
            _ if *key < self.me => PeerState::Awaited,
            (None, Attempt::Dialling) => PeerState::Dialling,
            (None, Attempt::Waiting { failures, wait }) => PeerState::Waiting { failures, wait },
        };
        PeerSnapshot {
            key: key.clone(),
            network_key: member.map(Member::network_key),
            address: member.map(Member::address),
            state: shown,
            connections: peer.connections,
            dials: peer.dials,
            last_error: peer.last_error,
            channels: peer.counters.each_ref().map(|counters| counters.read()),
        }
    }
}

impl Admission for Peers {
    fn admits(&self, network_key: &NetworkPublicKey) -> bool {
        self.owner(network_key).is_some()
    }
}

impl State {
    fn live(&self, key: &PublicKey) -> Option<Arc<Live>> {
        self.tracked.get(key)?.live.clone()
    }

    fn tell_sets(&mut self) {
        if let Some(update) = self.membership.update() {
            self.set_watchers.retain(|watcher| watcher.send(update.clone()).is_ok());
        }
    }

    fn tell_blocked(&mut self) {
        let blocked = self.membership.blocked();
        self.block_watchers.retain(|watcher| watcher.send_lossy(blocked.clone()));
    }
}

impl Default for Tracked {
    fn default() -> Self {
        Self {
            live: None,
            attempt: Attempt::Dialling,
            connections: 0,
            dials: 0,
            last_error: None,
            counters: PeerCounters::default(),
        }
    }
}

impl Tracked {
    fn route(&self, key: &PublicKey) -> Route {
        Route { key: key.clone(), live: self.live.clone(), counters: self.counters.clone() }
    }
}
