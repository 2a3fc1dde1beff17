//! The incoming queues of one channel: one per peer, read in turn.
//!
//! Invariants:
//!
//! 1. A peer's queue is bounded by the channel's table, whatever the other peers do.
//! 2. Fairness: while k peers have messages waiting, any k consecutive reads return one of each.
//! 3. Messages of one peer are read in the order in which they were put.
//! 4. Only an admitted peer has a queue: once it is removed, nothing of it is read or taken.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use tokio::sync::Notify;

use crate::channel::QueueBound;

#[derive(Debug)]
pub(crate) struct Inbox {
    bound: QueueBound,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<PublicKey, Queue>,
    /// Peers with something waiting, whose turn it is first.
    turns: VecDeque<PublicKey>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Bytes>,
    bytes: usize,
    space: Arc<Notify>,
}

/// What became of a message that was offered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Taken,
    Full,
    /// The inbox is closed, or the peer is not admitted.
    Closed,
}

impl Inbox {
    pub(crate) fn new(bound: QueueBound) -> Self {
        Self { bound, state: Mutex::default(), arrived: Notify::new() }
    }

    /// Gives a peer its queue.
    pub(crate) fn admit(&self, peer: &PublicKey) {
        self.lock().queues.entry(peer.clone()).or_default();
    }

    /// Puts a message into its peer's queue if there is room.
    pub(crate) fn offer(&self, peer: &PublicKey, message: &Bytes) -> Offer {
        let mut state = self.lock();
        if state.closed {
            return Offer::Closed;
        }
        let Some(queue) = state.queues.get_mut(peer) else {
            return Offer::Closed;
        };
        let full = queue.messages.len() >= self.bound.messages
            || queue.bytes.saturating_add(message.len()) > self.bound.bytes;
        if full {
            return Offer::Full;
        }
        let was_empty = queue.messages.is_empty();
        queue.bytes += message.len();
        queue.messages.push_back(message.clone());
        if was_empty {
            state.turns.push_back(peer.clone());
        }
        drop(state);
        self.arrived.notify_one();
        Offer::Taken
    }

    /// Puts a message into its peer's queue, waiting for room; false once that cannot happen.
    pub(crate) async fn put(&self, peer: &PublicKey, message: Bytes) -> bool {
        loop {
            let Some(space) = self.lock().queues.get(peer).map(|queue| queue.space.clone()) else {
                return false;
            };
            let freed = space.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            match self.offer(peer, &message) {
                Offer::Taken => return true,
                Offer::Closed => return false,
                Offer::Full => freed.await,
            }
        }
    }

    /// The next message of the peer whose turn it is; `None` once the inbox is closed and empty.
    pub(crate) async fn next(&self) -> Option<(PublicKey, Bytes)> {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            {
                let mut state = self.lock();
                if let Some(taken) = state.take() {
                    return Some(taken);
                }
                if state.closed {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// Throws away what a peer has sent, and its queue.
    pub(crate) fn remove(&self, peer: &PublicKey) {
        let mut state = self.lock();
        state.turns.retain(|turn| turn != peer);
        let removed = state.queues.remove(peer);
        drop(state);
        if let Some(queue) = removed {
            queue.space.notify_waiters();
        }
    }

    /// Takes no more messages; readers get what is left and then `None`.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for queue in state.queues.values() {
            queue.space.notify_waiters();
        }
        drop(state);
        self.arrived.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<(PublicKey, Bytes)> {
        let peer = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&peer)?;
        let message = queue.messages.pop_front()?;
        queue.bytes -= message.len();
        queue.space.notify_waiters();
        if !queue.messages.is_empty() {
            self.turns.push_back(peer.clone());
        }
        Some((peer, message))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use commonware_cryptography::{Signer as _, ed25519::PrivateKey};

    use super::*;

    const BOUND: QueueBound = QueueBound { messages: 4, bytes: 100 };

    fn peer(seed: u64) -> PublicKey {
        PrivateKey::from_seed(seed).public_key()
    }

    fn inbox(bound: QueueBound) -> Inbox {
        let inbox = Inbox::new(bound);
        inbox.admit(&peer(1));
        inbox.admit(&peer(2));
        inbox
    }

    fn message(byte: u8) -> Bytes {
        Bytes::copy_from_slice(&[byte])
    }

    /// Invariants 1 and 2: a peer that floods neither fills another's queue nor takes its turn.
    #[tokio::test]
    async fn a_flood_takes_only_its_own_turns() {
        let inbox = inbox(BOUND);
        let (flooder, quiet) = (peer(1), peer(2));
        for byte in 0..4 {
            assert_eq!(inbox.offer(&flooder, &message(byte)), Offer::Taken);
        }
        assert_eq!(inbox.offer(&flooder, &message(9)), Offer::Full);
        assert_eq!(inbox.offer(&quiet, &message(7)), Offer::Taken);
        let mut read = Vec::new();
        for _ in 0..5 {
            let (from, message) = inbox.next().await.unwrap();
            read.push((from == quiet, message[0]));
        }
        assert_eq!(read, [(false, 0), (true, 7), (false, 1), (false, 2), (false, 3)]);
    }

    #[tokio::test]
    async fn bytes_are_bounded_too() {
        let inbox = inbox(BOUND);
        assert_eq!(inbox.offer(&peer(1), &Bytes::from(vec![0; 60])), Offer::Taken);
        assert_eq!(inbox.offer(&peer(1), &Bytes::from(vec![0; 41])), Offer::Full);
        assert_eq!(inbox.offer(&peer(1), &Bytes::from(vec![0; 40])), Offer::Taken);
    }

    /// Invariant 3, and: whoever waits for room gets it, also when several wait.
    #[tokio::test]
    async fn waiting_writers_are_all_served_in_order() {
        let inbox = Arc::new(inbox(BOUND));
        let writer = {
            let inbox = inbox.clone();
            tokio::spawn(async move {
                for byte in 0..100 {
                    assert!(inbox.put(&peer(1), message(byte)).await);
                }
            })
        };
        for expected in 0..100 {
            assert_eq!(inbox.next().await.unwrap().1[0], expected);
        }
        writer.await.unwrap();
    }

    #[tokio::test]
    async fn closing_wakes_everybody() {
        let inbox = Arc::new(inbox(QueueBound { messages: 1, bytes: 10 }));
        assert!(inbox.put(&peer(1), message(1)).await);
        let waiting = {
            let inbox = inbox.clone();
            tokio::spawn(async move { inbox.put(&peer(1), message(2)).await })
        };
        tokio::task::yield_now().await;
        inbox.close();
        assert!(!waiting.await.unwrap());
        assert_eq!(inbox.next().await.unwrap().1[0], 1);
        assert_eq!(inbox.next().await, None);
    }

    /// Invariant 4.
    #[tokio::test]
    async fn a_removed_peer_leaves_nothing_behind() {
        let inbox = inbox(BOUND);
        inbox.offer(&peer(1), &message(1));
        inbox.offer(&peer(2), &message(2));
        inbox.offer(&peer(1), &message(3));
        inbox.remove(&peer(1));
        assert_eq!(inbox.offer(&peer(1), &message(4)), Offer::Closed);
        assert!(!inbox.put(&peer(1), message(5)).await);
        assert_eq!(inbox.next().await.unwrap().0, peer(2));
        inbox.close();
        assert_eq!(inbox.next().await, None);
    }
}
