//! Writes that wait for the next transaction, and what may happen only after it.
//!
//! # Invariants
//!
//! 1. An effect is released after every write that was put in before it is durable.
//! 2. One transaction is under way at a time; what comes meanwhile goes into the next.
//! 3. Entries of the own order log get their positions when they are written, in the order in
//!    which they were put in (an adversary's behaviour may turn that around).

use fairveil_consensus::{Acknowledgement, Successor};
use fairveil_crypto::{BundleId, Digest, Height};
use fairveil_mempool::{Receipt, Rejection, pool::RequestId};

use crate::store::Write;

/// What may happen only once earlier writes are durable.
pub(crate) enum Effect {
    /// Answer a trader.
    Reply(RequestId, Result<Receipt, Rejection>),
    /// These ids stand in the own log now.
    Logged(Vec<BundleId>),
    /// Sign the log's head and show it to everybody.
    PublishHead,
    /// The engine may go on.
    Acknowledge(Acknowledgement),
    /// A release root may be proposed and voted for.
    Released(Height, Digest),
    /// The abstention of a restored sequencer is over: it starts again as one that signs.
    AbstentionOver,
    /// Tell subscribers that events up to this number are there.
    Event(u64),
    /// This entry of a resharing may be shown to the others.
    Post(Vec<u8>),
    /// The result of a resharing may be proposed and voted for.
    Succeed(Box<Successor>),
    /// Everything up to the epoch's end is released.
    EpochEnded,
}

/// What one transaction carries.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) writes: Vec<Write>,
    pub(crate) effects: Vec<Effect>,
}

/// The waiting writes and effects.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: Batch,
    under_way: bool,
}

impl Outbox {
    /// Puts a write in.
    pub(crate) fn write(&mut self, write: Write) {
        self.waiting.writes.push(write);
    }

    /// Puts an effect in, behind all writes so far.
    pub(crate) fn then(&mut self, effect: Effect) {
        self.waiting.effects.push(effect);
    }

    /// The next transaction, if one may start and there is something to do.
    pub(crate) fn start(&mut self) -> Option<Batch> {
        let empty = self.waiting.writes.is_empty() && self.waiting.effects.is_empty();
        if self.under_way || empty {
            return None;
        }
        self.under_way = true;
        Some(std::mem::take(&mut self.waiting))
    }

    /// Whether nothing waits and nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        !self.under_way && self.waiting.writes.is_empty() && self.waiting.effects.is_empty()
    }

    /// The transaction that was under way is durable.
    pub(crate) fn done(&mut self) {
        self.under_way = false;
    }
}
