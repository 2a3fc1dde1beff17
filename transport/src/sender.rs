//! Sending and receiving on one channel: the traits of commonware's network.
//!
//! Invariants:
//!
//! 1. Sending never waits: a message goes into the bounded queue of every recipient that is
//!    connected, and is dropped and counted for every other one.
//! 2. `Recipients::All` is every connected peer; the own key is never a recipient.
//! 3. The priority flag of a call changes nothing: a channel has one priority and keeps its order.
//! 4. A message over the channel's limit panics through commonware's trait, whose contract says
//!    so; [`Sender::offer`] returns an error instead.

use std::{collections::BTreeSet, fmt, num::NonZeroUsize, sync::Arc, time::SystemTime};

use bytes::Bytes;
use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{self as p2p, Message, Recipients};
use commonware_runtime::{IoBuf, IoBufs};
use thiserror::Error;

use crate::{
    channel::Channel,
    peers::{Peers, Route},
};

/// The sending half of a channel; clones share everything.
#[derive(Clone)]
pub struct Sender {
    peers: Arc<Peers>,
    channel: Channel,
}

/// A message is larger than its channel allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("message is {bytes} bytes, channel {} takes {limit}", .channel.name())]
pub struct Oversize {
    /// The channel.
    pub channel: Channel,
    /// The size of the message.
    pub bytes: usize,
    /// The most that the channel takes.
    pub limit: usize,
}

impl Sender {
    pub(crate) const fn new(peers: Arc<Peers>, channel: Channel) -> Self {
        Self { peers, channel }
    }

    /// Its channel.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.channel
    }

    /// Puts a message into the queues of its recipients; returns those that took it.
    ///
    /// # Errors
    ///
    /// If the message is larger than the channel allows: nobody gets it then.
    pub fn offer(
        &self,
        recipients: &Recipients<PublicKey>,
        message: &Bytes,
    ) -> Result<Vec<PublicKey>, Oversize> {
        let limit = self.channel.max_message_bytes();
        if message.len() > limit {
            return Err(Oversize { channel: self.channel, bytes: message.len(), limit });
        }
        Ok(dispatch(self.channel, &self.routes(recipients), message))
    }

    fn routes(&self, recipients: &Recipients<PublicKey>) -> Vec<Route> {
        match recipients {
            Recipients::All => self.peers.routes_to_connected(),
            Recipients::Some(keys) => self.peers.routes(keys.iter().collect::<BTreeSet<_>>()),
            Recipients::One(key) => self.peers.routes([key]),
        }
    }
}

fn dispatch(channel: Channel, routes: &[Route], message: &Bytes) -> Vec<PublicKey> {
    let mut took = Vec::with_capacity(routes.len());
    for route in routes {
        let counters = &route.counters[channel.index()];
        let outcome =
            route.live.as_ref().map(|live| live.outboxes[channel.index()].offer(message.clone()));
        match outcome {
            Some(Ok(())) => took.push(route.key.clone()),
            Some(Err(crate::queue::Refused::Full)) => counters.dropped_full(),
            Some(Err(crate::queue::Refused::Closed)) | None => counters.dropped_offline(),
        }
    }
    took
}

impl fmt::Debug for Sender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sender").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// A send whose recipients are chosen already.
#[derive(Debug)]
pub struct CheckedSender<'a> {
    sender: &'a Sender,
    routes: Vec<Route>,
}

impl p2p::LimitedSender for Sender {
    type PublicKey = PublicKey;
    type Checked<'a> = CheckedSender<'a>;

    fn check(
        &mut self,
        recipients: Recipients<PublicKey>,
    ) -> Result<Self::Checked<'_>, SystemTime> {
        let routes = self.routes(&recipients);
        Ok(CheckedSender { sender: self, routes })
    }
}

impl p2p::CheckedSender for CheckedSender<'_> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        let connected = self.routes.iter().filter(|route| route.live.is_some());
        connected.map(|route| route.key.clone()).collect()
    }

    fn send(self, message: impl Into<IoBufs> + Send, _priority: bool) -> Unreliable<Feedback> {
        let message = Bytes::from(message.into().coalesce());
        let limit = self.sender.channel.max_message_bytes();
        assert!(message.len() <= limit, "message too large: {} > {limit}", message.len());
        if self.sender.peers.is_closed() {
            return Unreliable::Outcome(Feedback::Closed);
        }
        if dispatch(self.sender.channel, &self.routes, &message).is_empty() {
            Unreliable::Rejected
        } else {
            Unreliable::Outcome(Feedback::Ok)
        }
    }
}

impl p2p::UnlimitedSender for Sender {
    type PublicKey = PublicKey;

    fn send(
        &mut self,
        recipients: Recipients<PublicKey>,
        message: impl Into<IoBufs> + Send,
        priority: bool,
    ) -> Unreliable<Feedback> {
        let checked = CheckedSender { routes: self.routes(&recipients), sender: self };
        p2p::CheckedSender::send(checked, message, priority)
    }
}

/// The receiving half of a channel: there is one.
pub struct Receiver {
    peers: Arc<Peers>,
    channel: Channel,
    capacity: NonZeroUsize,
}

/// The network is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the network is closed")]
pub struct NetworkClosed;

impl Receiver {
    pub(crate) fn new(peers: Arc<Peers>, channel: Channel, max_peers: NonZeroUsize) -> Self {
        let per_peer = NonZeroUsize::new(channel.queue().messages).unwrap_or(NonZeroUsize::MIN);
        Self { peers, channel, capacity: per_peer.saturating_mul(max_peers) }
    }

    /// Its channel.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.channel
    }

    /// The next message, taken from the peers in turn. May be cancelled.
    ///
    /// # Errors
    ///
    /// If the network is closed and nothing is left.
    pub async fn next(&mut self) -> Result<(PublicKey, Bytes), NetworkClosed> {
        self.peers.inbox(self.channel).next().await.ok_or(NetworkClosed)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Receiver").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl p2p::Receiver for Receiver {
    type Error = NetworkClosed;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, NetworkClosed> {
        let (key, message) = self.next().await?;
        Ok((key, IoBuf::from(message)))
    }

    fn capacity(&self) -> NonZeroUsize {
        self.capacity
    }
}
