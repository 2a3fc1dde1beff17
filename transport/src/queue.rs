//! The outgoing queue of one channel to one peer, bounded in messages and in bytes.
//!
//! Invariants:
//!
//! 1. [`Outbox::offer`] never waits, and takes a message only within both bounds. Bytes are given
//!    back when the writer takes the message out.
//! 2. A message that was taken is counted once, as sent or as lost, however its writer ends.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{channel::QueueBound, metrics::ChannelCounters};

/// Why a queue did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A bound is reached.
    Full,
    /// The connection behind the queue has ended.
    Closed,
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct Outbox {
    sender: mpsc::Sender<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    max_bytes: usize,
}

/// The end that the channel's writer reads; what is left when it is dropped counts as lost.
#[derive(Debug)]
pub(crate) struct Outgoing {
    receiver: mpsc::Receiver<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    counters: Arc<ChannelCounters>,
}

/// A message in the writer's hand: lost, unless it is said to be sent.
#[derive(Debug)]
pub(crate) struct Parcel {
    message: Bytes,
    counters: Option<Arc<ChannelCounters>>,
}

pub(crate) fn bounded(bound: QueueBound, counters: Arc<ChannelCounters>) -> (Outbox, Outgoing) {
    let (sender, receiver) = mpsc::channel(bound.messages);
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    (
        Outbox { sender, queued_bytes: queued_bytes.clone(), max_bytes: bound.bytes },
        Outgoing { receiver, queued_bytes, counters },
    )
}

impl Outbox {
    pub(crate) fn offer(&self, message: Bytes) -> Result<(), Refused> {
        let bytes = message.len();
        let before = self.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        let outcome = if before.saturating_add(bytes) > self.max_bytes {
            Err(Refused::Full)
        } else {
            self.sender.try_send(message).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Refused::Full,
                mpsc::error::TrySendError::Closed(_) => Refused::Closed,
            })
        };
        if outcome.is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
        outcome
    }
}

impl Outgoing {
    /// The next message; `None` once the queue's other end is gone. May be cancelled.
    pub(crate) async fn next(&mut self) -> Option<Parcel> {
        let message = self.receiver.recv().await?;
        self.queued_bytes.fetch_sub(message.len(), Ordering::AcqRel);
        Some(Parcel { message, counters: Some(self.counters.clone()) })
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.receiver.close();
        let mut left = 0;
        while self.receiver.try_recv().is_ok() {
            left += 1;
        }
        self.counters.lost(left);
    }
}

impl Parcel {
    pub(crate) const fn message(&self) -> &Bytes {
        &self.message
    }

    pub(crate) fn sent(mut self) {
        if let Some(counters) = self.counters.take() {
            counters.sent(self.message.len());
        }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if let Some(counters) = self.counters.take() {
            counters.lost(1);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const BOUND: QueueBound = QueueBound { messages: 3, bytes: 10 };

    /// Invariant 1.
    #[tokio::test]
    async fn both_bounds_hold_and_are_given_back() {
        let (outbox, mut outgoing) = bounded(BOUND, Arc::default());
        assert_eq!(outbox.offer(Bytes::from_static(&[0; 6])), Ok(()));
        assert_eq!(outbox.offer(Bytes::from_static(&[1; 5])), Err(Refused::Full));
        assert_eq!(outbox.offer(Bytes::from_static(&[2; 4])), Ok(()));
        assert_eq!(outbox.offer(Bytes::from_static(&[3; 1])), Err(Refused::Full));
        assert_eq!(outgoing.next().await.unwrap().message().len(), 6);
        assert_eq!(outbox.offer(Bytes::new()), Ok(()));
        assert_eq!(outbox.offer(Bytes::new()), Ok(()));
        assert_eq!(outbox.offer(Bytes::new()), Err(Refused::Full));
    }

    /// Invariant 2.
    #[tokio::test]
    async fn what_was_taken_is_sent_or_lost() {
        let counters = Arc::<ChannelCounters>::default();
        let (outbox, mut outgoing) = bounded(BOUND, counters.clone());
        for _ in 0..3 {
            outbox.offer(Bytes::from_static(&[0; 2])).unwrap();
        }
        outgoing.next().await.unwrap().sent();
        drop(outgoing.next().await.unwrap());
        drop(outgoing);
        assert_eq!(outbox.offer(Bytes::new()), Err(Refused::Closed));
        let counts = counters.read();
        assert_eq!((counts.sent, counts.sent_bytes, counts.lost), (1, 2, 2));
    }
}
