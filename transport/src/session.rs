//! One connection between two sequencers, from the greeting to its end.
//!
//! ```text
//! handshake -> both greet -> attached: one writer per channel, one reader per stream -> closed
//! ```
//!
//! Invariants:
//!
//! 1. Nothing is sent or delivered before the peer has greeted: only then has the acceptor judged
//!    the dialler, and only then does the dialler's back-off start again from the beginning.
//! 2. Each channel has one writer and at most one stream per direction, so the messages of at
//!    most `INLINE_BYTES` arrive in the order in which they were sent, and a channel that stalls
//!    stalls no other.
//! 3. Every violation closes this connection with its reason, is counted, and ends nothing else.
//! 4. When a session ends, none of its tasks is left.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, WriteError};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::{debug, info};

use crate::{
    channel::{CHANNELS, Channel, INLINE_BYTES, WhenFull},
    frame::{self, ReadEnd},
    identity::NetworkPublicKey,
    inbox::Offer,
    metrics::PeerCounters,
    peers::{Live, Peers, close},
    queue::{self, Outgoing, Parcel},
    reason::{CloseReason, LinkError},
};

/// Greetings go before everything else.
const GREETING_PRIORITY: i32 = 50;

/// An authenticated connection that has not greeted yet.
pub(crate) struct Session {
    pub(crate) peers: Arc<Peers>,
    pub(crate) peer: PublicKey,
    pub(crate) network_key: NetworkPublicKey,
    pub(crate) connection: Connection,
    pub(crate) greeting_timeout: Duration,
}

/// Whether the peer has greeted on a connection that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeted {
    Yes,
    No,
}

/// Shared by the readers of one connection.
struct Reading {
    peers: Arc<Peers>,
    peer: PublicKey,
    counters: PeerCounters,
    opened: [AtomicBool; CHANNELS],
    large: [AtomicUsize; CHANNELS],
}

/// Closes the connection when a session is cancelled, before its streams are dropped: a stream
/// that ends alone would look like a violation to the peer.
struct CloseOnDrop(Connection, Arc<OnceLock<CloseReason>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        close(&self.0, &self.1, CloseReason::Shutdown);
    }
}

impl Session {
    /// Runs the connection until it ends.
    pub(crate) async fn run(self) -> (Greeted, LinkError) {
        let mut tasks = JoinSet::new();
        let closed_with = Arc::new(OnceLock::new());
        let _guard = CloseOnDrop(self.connection.clone(), closed_with.clone());

        let greeting = timeout(self.greeting_timeout, greet(&self.connection)).await;
        let refused = match greeting {
            Ok(Ok(())) => None,
            Ok(Err(ReadEnd::Lost)) => {
                let error = self.connection.closed().await;
                return (Greeted::No, self.report(&closed_with, None, &error));
            }
            Ok(Err(ReadEnd::Violation(reason))) => Some(reason),
            Err(_) => Some(CloseReason::GreetingTimeout),
        };
        if let Some(reason) = refused {
            close(&self.connection, &closed_with, reason);
            let error = self.connection.closed().await;
            return (Greeted::No, self.report(&closed_with, None, &error));
        }

        let live = match self.attach(&mut tasks, &closed_with) {
            Ok(live) => live,
            Err(reason) => {
                close(&self.connection, &closed_with, reason);
                let error = self.connection.closed().await;
                return (Greeted::Yes, self.report(&closed_with, None, &error));
            }
        };
        info!(peer = %self.peer, remote = %self.connection.remote_address(), "connected");
        let error = self.serve(&mut tasks, &closed_with).await;
        (Greeted::Yes, self.report(&closed_with, Some(&live), &error))
    }

    /// Makes this the live connection of its peer, and starts its writers.
    fn attach(
        &self,
        tasks: &mut JoinSet<Result<(), ReadEnd>>,
        closed_with: &Arc<OnceLock<CloseReason>>,
    ) -> Result<Arc<Live>, CloseReason> {
        let counters = self.peers.counters(&self.peer).ok_or(CloseReason::NotMember)?;
        let mut outgoing = Vec::with_capacity(CHANNELS);
        let outboxes = Channel::ALL.map(|channel| {
            let counters = counters[channel.index()].clone();
            let (outbox, end) = queue::bounded(channel.queue(), counters);
            outgoing.push((channel, end));
            outbox
        });
        let live = Arc::new(Live {
            connection: self.connection.clone(),
            network_key: self.network_key,
            outboxes,
            since: Instant::now(),
            closed_with: closed_with.clone(),
        });
        self.peers.attach(&self.peer, live.clone())?;
        for (channel, end) in outgoing {
            tasks.spawn(write_channel(self.connection.clone(), channel, end));
        }
        Ok(live)
    }

    /// Reads until the connection ends, closing it at the first violation.
    async fn serve(
        &self,
        tasks: &mut JoinSet<Result<(), ReadEnd>>,
        closed_with: &Arc<OnceLock<CloseReason>>,
    ) -> ConnectionError {
        let Some(counters) = self.peers.counters(&self.peer) else {
            close(&self.connection, closed_with, CloseReason::NotMember);
            return self.connection.closed().await;
        };
        let reading = Arc::new(Reading {
            peers: self.peers.clone(),
            peer: self.peer.clone(),
            counters,
            opened: Default::default(),
            large: Default::default(),
        });
        loop {
            tokio::select! {
                error = self.connection.closed() => return error,
                Ok(stream) = self.connection.accept_uni() => {
                    tasks.spawn(reading.clone().read_channel(stream));
                }
                Ok((answer, stream)) = self.connection.accept_bi() => {
                    tasks.spawn(reading.clone().read_large(answer, stream));
                }
                Some(done) = tasks.join_next() => match done {
                    Ok(Ok(()) | Err(ReadEnd::Lost)) => {}
                    Ok(Err(ReadEnd::Violation(reason))) => {
                        close(&self.connection, closed_with, reason);
                    }
                    Err(_) => close(&self.connection, closed_with, CloseReason::Failed),
                },
            }
        }
    }

    /// Tells everybody concerned that the connection has ended.
    fn report(
        &self,
        closed_with: &OnceLock<CloseReason>,
        live: Option<&Arc<Live>>,
        error: &ConnectionError,
    ) -> LinkError {
        let closed_with = closed_with.get().copied();
        if let Some(reason) = closed_with {
            self.peers.count_closed(reason);
        }
        let error = LinkError::from_quic(error, closed_with);
        self.peers.ended(&self.peer, live, error);
        info!(peer = %self.peer, %error, "disconnected");
        error
    }
}

/// Greets and waits for the peer's greeting.
async fn greet(connection: &Connection) -> Result<(), ReadEnd> {
    let send = async {
        let mut stream = connection.open_uni().await.map_err(|_| ReadEnd::Lost)?;
        let _ended = stream.set_priority(GREETING_PRIORITY);
        stream.write_all(&frame::GREETING).await.map_err(|_| ReadEnd::Lost)?;
        stream.finish().map_err(|_| ReadEnd::Lost)
    };
    let receive = async {
        let mut stream = connection.accept_uni().await.map_err(|_| ReadEnd::Lost)?;
        frame::read_greeting(&mut stream).await
    };
    tokio::try_join!(send, receive).map(|_| ())
}

/// Sends the messages of one channel until the connection ends.
async fn write_channel(
    connection: Connection,
    channel: Channel,
    mut outgoing: Outgoing,
) -> Result<(), ReadEnd> {
    let mut stream = connection.open_uni().await.map_err(|_| ReadEnd::Lost)?;
    write_result(stream.set_priority(channel.priority()).map_err(WriteError::from))?;
    write_result(stream.write_all(&frame::channel_header(channel)).await)?;
    let mut large = JoinSet::new();
    loop {
        let parcel = tokio::select! {
            Some(done) = large.join_next() => {
                if let Ok(result) = done {
                    write_result(result)?;
                }
                continue;
            }
            parcel = outgoing.next(), if large.len() < channel.large_streams().max(1) => parcel,
        };
        let Some(parcel) = parcel else {
            return Ok(());
        };
        if parcel.message().len() <= INLINE_BYTES {
            write_result(frame::write_message(&mut stream, parcel.message().clone()).await)?;
            parcel.sent();
        } else {
            large.spawn(write_large(connection.clone(), channel, parcel));
        }
    }
}

async fn write_large(
    connection: Connection,
    channel: Channel,
    parcel: Parcel,
) -> Result<(), WriteError> {
    let (stream, answer) = connection.open_bi().await?;
    frame::write_large(stream, answer, channel, parcel.message().clone()).await?;
    parcel.sent();
    Ok(())
}

/// A peer that stops one of our streams breaks the protocol; everything else is the connection's
/// end, which the session learns by itself.
fn write_result(result: Result<(), WriteError>) -> Result<(), ReadEnd> {
    match result {
        Ok(()) => Ok(()),
        Err(WriteError::Stopped(_)) => Err(ReadEnd::Violation(CloseReason::MalformedStream)),
        Err(_) => Err(ReadEnd::Lost),
    }
}

impl Reading {
    /// Reads the stream of one channel until the connection ends.
    async fn read_channel(self: Arc<Self>, mut stream: RecvStream) -> Result<(), ReadEnd> {
        let channel = frame::read_channel(&mut stream).await?;
        if self.opened[channel.index()].swap(true, Ordering::AcqRel) {
            return Err(ReadEnd::Violation(CloseReason::DuplicateStream));
        }
        loop {
            let message = frame::read_inline(&mut stream, channel).await?;
            self.deliver(channel, message).await;
        }
    }

    /// Reads one large message, and gives its slot back only after it was delivered.
    async fn read_large(
        self: Arc<Self>,
        mut answer: SendStream,
        mut stream: RecvStream,
    ) -> Result<(), ReadEnd> {
        let channel = frame::read_large_header(&mut stream).await?;
        let in_flight = &self.large[channel.index()];
        if in_flight.fetch_add(1, Ordering::AcqRel) >= channel.large_streams() {
            return Err(ReadEnd::Violation(CloseReason::TooManyLarge));
        }
        let message = frame::read_large(&mut stream, channel).await?;
        self.deliver(channel, message).await;
        in_flight.fetch_sub(1, Ordering::AcqRel);
        // The sender opens the next stream after this end; should it be gone, so is the count.
        let _gone = answer.finish();
        Ok(())
    }

    async fn deliver(&self, channel: Channel, message: Bytes) {
        let inbox = self.peers.inbox(channel);
        let counters = &self.counters[channel.index()];
        counters.received(message.len());
        match channel.when_full() {
            WhenFull::Drop => {
                if inbox.offer(&self.peer, &message) == Offer::Full {
                    counters.dropped_inbound();
                    debug!(peer = %self.peer, channel = channel.name(), "incoming queue is full");
                }
            }
            // False means that the peer was removed; the session is about to be closed for it.
            WhenFull::Wait => {
                let _removed = inbox.put(&self.peer, message).await;
            }
        }
    }
}
