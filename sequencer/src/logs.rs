//! What this sequencer knows of everybody's order log, and the messages that spread it.
//!
//! A sequencer sends every piece of its log (and a heartbeat for every final height) to all peers.
//! A piece begins where the sender believes the receiver to be; who misses something in between
//! asks the owner for it. From what is known here the leader of a view makes the block's evidence.
//!
//! # Invariants
//!
//! 1. Nothing is kept unless its head is signed by its owner and the ids hash to that head.
//! 2. Known entries continue what is committed; a log whose committed part contradicts what its
//!    owner told us is read anew from there.
//! 3. Two heads of one length with different chains are evidence, whichever came first.
//! 4. Per sequencer at most [`MAX_AHEAD`] entries and [`MAX_HEADS`] heads are kept.

use std::collections::VecDeque;

use fairveil_crypto::{
    BundleId, ConsensusPublicKey, Digest, Epoch, NetworkId, SequencerIndex,
    encoding::{self, DecodeError},
};
use fairveil_ordering::{Equivocation, Fragment, LogHead, LogName, Tip};
use serde::{Deserialize, Serialize};

/// Entries kept per sequencer beyond what is committed.
pub const MAX_AHEAD: usize = 65_536;
/// Heads kept per sequencer; older ones are thinned out.
pub const MAX_HEADS: usize = 64;
/// Entries in one message.
pub const MAX_PIECE_IDS: usize = 4_096;
/// Longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = MAX_PIECE_IDS * 32 + 512;

const _: () = assert!(MAX_PIECE_IDS <= MAX_AHEAD);
const _: () = assert!(MAX_HEADS >= 4);

/// What sequencers tell each other about their order logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogMessage {
    /// Entries from position `from` up to the head's length. None: a heartbeat.
    Piece {
        /// Position of the first entry.
        from: u64,
        /// Where the log stands after them.
        head: LogHead,
        /// The entries.
        ids: Vec<BundleId>,
    },
    /// Asks the owner for its log from this length on.
    Request {
        /// The length that the asker has.
        from: u64,
    },
}

impl LogMessage {
    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// The message of these bytes.
    ///
    /// # Errors
    ///
    /// If they aren't its one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(bytes, MAX_MESSAGE_BYTES)
    }
}

/// What a piece did to what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learned {
    /// The log is known up to the head.
    Extended,
    /// Nothing new: known already, or below what is committed.
    Nothing,
    /// Entries before the piece are missing: ask the owner from this length on.
    Missing {
        /// The length that is known.
        from: u64,
    },
    /// The owner signed two chains.
    Equivocated(Box<Equivocation>),
}

/// Why a piece was refused. It is the sender's fault each time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PieceFault {
    /// The sender isn't the owner.
    #[error("a piece of sequencer {actual}'s log from sequencer {expected}")]
    Owner {
        /// Whose head it is.
        actual: SequencerIndex,
        /// Who sent it.
        expected: SequencerIndex,
    },
    /// Another epoch's log.
    #[error("a piece of epoch {actual}, the epoch is {expected}")]
    Epoch {
        /// The head's epoch.
        actual: Epoch,
        /// This one.
        expected: Epoch,
    },
    /// Not as many entries as the head says.
    #[error("{actual} entries from {from} up to length {length}")]
    Count {
        /// How many there are.
        actual: usize,
        /// Where they begin.
        from: u64,
        /// The head's length.
        length: u64,
    },
    /// The head isn't signed by its owner.
    #[error("the head at length {length} is not signed by its owner")]
    Signature {
        /// The head's length.
        length: u64,
    },
    /// The entries don't hash to the head.
    #[error("the entries up to length {length} do not hash to the head")]
    Chain {
        /// The head's length.
        length: u64,
    },
    /// The log runs too far ahead of what is committed.
    #[error("{actual} entries ahead of the committed log, the limit is {limit}")]
    Ahead {
        /// How far it is ahead.
        actual: u64,
        /// [`MAX_AHEAD`].
        limit: usize,
    },
}

/// What is known of all logs of one epoch.
#[derive(Debug, Clone)]
pub struct KnownLogs {
    network_id: NetworkId,
    epoch: Epoch,
    keys: Vec<ConsensusPublicKey>,
    logs: Vec<KnownLog>,
}

#[derive(Debug, Clone)]
struct KnownLog {
    committed: Tip,
    entries: VecDeque<(BundleId, Digest)>,
    heads: VecDeque<LogHead>,
}

impl KnownLogs {
    /// Nothing known beyond the empty logs.
    pub fn new(network_id: NetworkId, epoch: Epoch, keys: Vec<ConsensusPublicKey>) -> Self {
        let logs = (0..keys.len())
            .filter_map(SequencerIndex::from_position)
            .map(|sequencer| KnownLog::at(LogName { network_id, epoch, sequencer }.start()))
            .collect();
        Self { network_id, epoch, keys, logs }
    }

    /// Where the log of `sequencer` is known to stand.
    pub fn known(&self, sequencer: SequencerIndex) -> Option<Tip> {
        self.logs.get(sequencer.position()).map(KnownLog::tip)
    }

    /// Where the log of `sequencer` stood at a length that is known.
    pub fn tip_at(&self, sequencer: SequencerIndex, length: u64) -> Option<Tip> {
        let head = self.logs.get(sequencer.position())?.head_at(length)?;
        Some(Tip { length, head })
    }

    /// Takes a piece from its owner.
    ///
    /// # Errors
    ///
    /// [`PieceFault`]; nothing of the piece is kept then.
    pub fn learn(
        &mut self,
        sender: SequencerIndex,
        from: u64,
        head: LogHead,
        ids: &[BundleId],
    ) -> Result<Learned, PieceFault> {
        self.check(sender, from, &head, ids)?;
        let Some(log) = self.logs.get_mut(sender.position()) else {
            return Ok(Learned::Nothing);
        };
        if let Some(other) = log.contradiction(&head) {
            return Ok(Learned::Equivocated(Box::new(Equivocation { one: other, other: head })));
        }
        let known = log.tip().length;
        if from > known {
            return Ok(Learned::Missing { from: known });
        }
        if head.length < known || head.length < log.committed.length {
            return Ok(Learned::Nothing);
        }
        let skip = usize::try_from(known - from).unwrap_or(usize::MAX).min(ids.len());
        log.extend(&ids[skip..], head)
    }

    /// What is committed of every log after a final block. Known entries that contradict it go.
    pub fn commit(&mut self, committed: impl Fn(SequencerIndex) -> Option<Tip>) {
        for (position, log) in self.logs.iter_mut().enumerate() {
            if let Some(tip) = SequencerIndex::from_position(position).and_then(&committed) {
                log.commit(tip);
            }
        }
    }

    /// The largest fragment of `sequencer` that continues `committed` with at most `max_ids`
    /// entries; the newest heartbeat where there is nothing new.
    pub fn fragment(
        &self,
        sequencer: SequencerIndex,
        committed: Tip,
        max_ids: usize,
    ) -> Option<Fragment> {
        let log = self.logs.get(sequencer.position())?;
        if log.head_at(committed.length)? != committed.head {
            return None;
        }
        let fits = |head: &&LogHead| {
            let new = head.length.checked_sub(committed.length);
            new.is_some_and(|new| new <= max_ids as u64)
        };
        let head = *log.heads.iter().rev().find(fits)?;
        let skip = usize::try_from(committed.length - log.committed.length).ok()?;
        let count = usize::try_from(head.length - committed.length).ok()?;
        let ids = log.entries.iter().skip(skip).take(count).map(|(id, _)| *id).collect();
        Some(Fragment { head, ids })
    }

    fn check(
        &self,
        sender: SequencerIndex,
        from: u64,
        head: &LogHead,
        ids: &[BundleId],
    ) -> Result<(), PieceFault> {
        if head.sequencer != sender {
            return Err(PieceFault::Owner { actual: head.sequencer, expected: sender });
        }
        if head.epoch != self.epoch {
            return Err(PieceFault::Epoch { actual: head.epoch, expected: self.epoch });
        }
        let length = head.length;
        if from.checked_add(ids.len() as u64) != Some(length) {
            return Err(PieceFault::Count { actual: ids.len(), from, length });
        }
        let key = self.keys.get(sender.position());
        let signed = key.is_some_and(|key| head.verify(&self.network_id, key).is_ok());
        if signed { Ok(()) } else { Err(PieceFault::Signature { length }) }
    }
}

impl KnownLog {
    fn at(committed: Tip) -> Self {
        Self { committed, entries: VecDeque::new(), heads: VecDeque::new() }
    }

    fn tip(&self) -> Tip {
        let length = self.committed.length + self.entries.len() as u64;
        let head = self.entries.back().map_or(self.committed.head, |(_, head)| *head);
        Tip { length, head }
    }

    /// The chain's hash at a known length.
    fn head_at(&self, length: u64) -> Option<Digest> {
        let past = usize::try_from(length.checked_sub(self.committed.length)?).ok()?;
        match past.checked_sub(1) {
            None => Some(self.committed.head),
            Some(index) => self.entries.get(index).map(|(_, head)| *head),
        }
    }

    /// A head that its owner signed for the same length with another chain.
    fn contradiction(&self, head: &LogHead) -> Option<LogHead> {
        self.heads
            .iter()
            .find(|known| known.length == head.length && known.head != head.head)
            .copied()
    }

    fn extend(&mut self, ids: &[BundleId], head: LogHead) -> Result<Learned, PieceFault> {
        let ahead = head.length.saturating_sub(self.committed.length);
        if ahead > MAX_AHEAD as u64 {
            return Err(PieceFault::Ahead { actual: ahead, limit: MAX_AHEAD });
        }
        let mut tip = self.tip();
        let mut new = Vec::with_capacity(ids.len());
        for id in ids {
            tip = tip.after(id);
            new.push((*id, tip.head));
        }
        if tip != head.tip() {
            return Err(PieceFault::Chain { length: head.length });
        }
        self.entries.extend(new);
        match self.heads.back_mut() {
            Some(last) if last.length == head.length => {
                if last.height_seen >= head.height_seen && last.time_ms >= head.time_ms {
                    return Ok(Learned::Nothing);
                }
                *last = head;
            }
            _ => self.heads.push_back(head),
        }
        self.thin_heads();
        Ok(Learned::Extended)
    }

    /// Keeps the newest heads and every other of the older ones.
    fn thin_heads(&mut self) {
        if self.heads.len() <= MAX_HEADS {
            return;
        }
        let newest = self.heads.split_off(MAX_HEADS / 2);
        let older = std::mem::take(&mut self.heads);
        self.heads = older.into_iter().step_by(2).chain(newest).collect();
    }

    fn commit(&mut self, tip: Tip) {
        if tip.length < self.committed.length {
            return;
        }
        if self.head_at(tip.length) != Some(tip.head) {
            *self = Self::at(tip);
            return;
        }
        let committed = usize::try_from(tip.length - self.committed.length).unwrap_or(usize::MAX);
        self.entries.drain(..committed.min(self.entries.len()));
        self.committed = tip;
        while self.heads.front().is_some_and(|head| head.length < tip.length) {
            self.heads.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
