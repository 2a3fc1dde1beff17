//! What this sequencer knows of everybody's order log, and the messages that spread it.
//!
//! A sequencer sends every piece of its log (and a heartbeat for every final height) to all peers.
//! A piece begins where the sender believes the receiver to be; who misses something in between
//! asks the owner for it. From what is known here the leader of a view makes the block's evidence.
//!
//! A block takes a log up to a signed head, or not at all, and it counts that head only while it is
//! fresh. After a stall a log may hold more than a block takes. So heads are never further apart
//! than a block surely takes of every log ([`MAX_PIECE_IDS`]), and an owner that has more
//! than that signs heads within the next blocks' reach anew ([`Reach`]).
//!
//! # Invariants
//!
//! 1. Nothing is kept unless its head is signed by its owner and the ids hash to that head.
//! 2. Known entries continue what is committed; a log whose committed part contradicts what its
//!    owner told us is read anew from there.
//! 3. Two heads of one length with different chains are evidence, whichever came first.
//! 4. Per sequencer at most [`MAX_AHEAD`] entries and [`MAX_HEADS`] heads are kept.
//! 5. From the committed length on, no kept head is more than [`MAX_PIECE_IDS`] entries behind the
//!    next one. So every log can go on in every block, whatever the others hold, if only by a head
//!    that is too old to count.

mod requests;

use std::collections::VecDeque;

use fairveil_consensus::{Intake, Wanted, block::MAX_EVIDENCE_IDS};
use fairveil_crypto::{
    BundleId, ConsensusPublicKey, Digest, Epoch, Height, NetworkId, SequencerIndex,
    encoding::{self, DecodeError},
};
use fairveil_ordering::{
    Equivocation, FRESH_HEIGHTS, Fragment, LogHead, LogName, MAX_SEQUENCERS, Tip,
};
use serde::{Deserialize, Serialize};

pub use self::requests::Requests;

/// Entries kept per sequencer beyond what is committed.
pub const MAX_AHEAD: usize = 65_536;
/// Heads kept per sequencer; those of smaller lengths are thinned out.
pub const MAX_HEADS: usize = 1_024;
/// Entries in one message, and between two heads: what a block takes of each log if all logs of the
/// largest committee hold that many.
pub const MAX_PIECE_IDS: usize = MAX_EVIDENCE_IDS / MAX_SEQUENCERS as usize;
/// Longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = MAX_PIECE_IDS * 32 + 512;

/// Heads of the greatest lengths, which are never thinned out.
const LONGEST_HEADS: usize = 32;
/// Blocks whose reach an owner signs heads for at a time: finality may be that far behind.
const REACHES: u64 = 4;

const _: () = assert!(MAX_PIECE_IDS >= 1 && MAX_PIECE_IDS <= MAX_AHEAD);
// Of three heads in a row the outer ones are more than a piece apart, or the middle one can go.
const _: () = assert!(2 * (MAX_AHEAD / MAX_PIECE_IDS + 1) + LONGEST_HEADS <= MAX_HEADS);

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
    /// A newer head of a length that is known.
    Renewed,
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
    /// More entries than a piece may have.
    #[error("{actual} entries in one piece, the limit is {limit}")]
    Long {
        /// How many there are.
        actual: usize,
        /// [`MAX_PIECE_IDS`].
        limit: usize,
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
        if head.length < log.committed.length {
            return Ok(Learned::Nothing);
        }
        if head.length < known {
            return log.renew(head);
        }
        let skip = usize::try_from(known - from).unwrap_or(usize::MAX).min(ids.len());
        log.extend(&ids[skip..], head)
    }

    /// The proof that a head, which a final block carries, makes with another one that its owner told
    /// us: both are signed, for one length, over different chains.
    pub fn equivocation(&self, head: &LogHead) -> Option<Equivocation> {
        let log = self.logs.get(head.sequencer.position())?;
        log.contradiction(head).map(|one| Equivocation { one, other: *head })
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
    /// entries: of those that a block of this height counts, or else of all. A heartbeat where
    /// there is nothing new.
    pub fn fragment(
        &self,
        sequencer: SequencerIndex,
        committed: Tip,
        max_ids: usize,
        height: Height,
    ) -> Option<Fragment> {
        let log = self.logs.get(sequencer.position())?;
        if log.head_at(committed.length)? != committed.head {
            return None;
        }
        let fits = |head: &&LogHead| {
            let new = head.length.checked_sub(committed.length);
            new.is_some_and(|new| new <= max_ids as u64)
        };
        let fitting = || log.heads.iter().rev().filter(fits);
        let fresh = fitting().find(|head| head.is_fresh(height, FRESH_HEIGHTS));
        let head = *fresh.or_else(|| fitting().next())?;
        let skip = usize::try_from(committed.length - log.committed.length).ok()?;
        let count = usize::try_from(head.length - committed.length).ok()?;
        let ids = log.entries.iter().skip(skip).take(count).map(|(id, _)| *id).collect();
        Some(Fragment { head, ids, times_ms: Vec::new() })
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
        if ids.len() > MAX_PIECE_IDS {
            return Err(PieceFault::Long { actual: ids.len(), limit: MAX_PIECE_IDS });
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
        Ok(if self.keep(head) { Learned::Extended } else { Learned::Nothing })
    }

    /// Takes a head within what is known.
    fn renew(&mut self, head: LogHead) -> Result<Learned, PieceFault> {
        let length = head.length;
        if self.head_at(length) != Some(head.head) {
            return Err(PieceFault::Chain { length });
        }
        Ok(if self.keep(head) { Learned::Renewed } else { Learned::Nothing })
    }

    fn keep(&mut self, head: LogHead) -> bool {
        let at = self.heads.partition_point(|known| known.length < head.length);
        match self.heads.get_mut(at).filter(|known| known.length == head.length) {
            Some(known) => {
                // A head that has seen less is not newer, whatever its clock says.
                if (known.height_seen, known.time_ms) >= (head.height_seen, head.time_ms) {
                    return false;
                }
                *known = head;
            }
            None => self.heads.insert(at, head),
        }
        self.thin_heads();
        true
    }

    /// Leaves out heads between two others that are at most a piece apart: first those that the next
    /// one is at least as new as, and then, if an owner left too many, any.
    fn thin_heads(&mut self) {
        for newer_stay in [true, false] {
            let Some(thinned) = self.heads.len().checked_sub(LONGEST_HEADS) else { return };
            if self.heads.len() <= MAX_HEADS {
                return;
            }
            let heads = std::mem::take(&mut self.heads);
            for (at, head) in heads.iter().enumerate() {
                let before = self.heads.back().map_or(self.committed.length, |kept| kept.length);
                let superfluous = heads.get(at + 1).is_some_and(|next| {
                    next.length - before <= MAX_PIECE_IDS as u64
                        && !(newer_stay && next.height_seen < head.height_seen)
                });
                if at >= thinned || !superfluous {
                    self.heads.push_back(*head);
                }
            }
        }
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

/// From where the next block continues one log, and how much of it that block can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base {
    /// The next block's height.
    pub height: Height,
    /// What is committed of the log there.
    pub committed: u64,
    /// What the next block can take.
    pub reach: Reach,
}

impl Base {
    /// For the log of `own`, where a block would continue that is built from `next`.
    pub fn of(next: &Wanted, own: SequencerIndex) -> Option<Self> {
        let (at, sequencers) = (own.position(), next.committed.len());
        let committed = next.committed.get(at)?.length;
        let full = next.full.get(at).copied().unwrap_or(false);
        let reach = Reach::of(next.intake, full, sequencers);
        Some(Self { height: next.height, committed, reach })
    }

    /// Lengths below `length` at which an owner signs a head too.
    pub fn lengths(self, length: u64) -> impl Iterator<Item = u64> {
        self.reach.lengths(self.committed, length)
    }
}

/// How much of one log the next block can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// No entries, only a heartbeat: the intake is stopped, or the log is full.
    Nothing,
    /// So many entries in every block, if the other logs hold as many.
    Entries(u64),
}

impl Reach {
    /// The reach of a block in a committee of so many.
    pub fn of(intake: Intake, full: bool, sequencers: usize) -> Self {
        match intake {
            Intake::Open if !full => Self::Entries((MAX_EVIDENCE_IDS / sequencers.max(1)) as u64),
            _ => Self::Nothing,
        }
    }

    /// Lengths below `length` at which an owner signs a head too: without them the next blocks would
    /// find no fresh head of a log that is longer than they can take.
    pub fn lengths(self, committed: u64, length: u64) -> impl Iterator<Item = u64> {
        let (step, count) = match self {
            Self::Nothing => (0, 1),
            Self::Entries(step) => (step, REACHES),
        };
        let at = move |block| committed.saturating_add(step.saturating_mul(block));
        (1..=count).map(at).take_while(move |at| *at < length)
    }
}

#[cfg(test)]
mod tests;
