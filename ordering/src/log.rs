//! Order logs: append-only chains of ids, each committed to by signed heads.
//!
//! ```text
//! head_0     = hash(OrderLogStart, network_id, epoch, sequencer)
//! head_{k+1} = hash(OrderLogLink, head_k, id)               in mode median ..., id, time_ms)
//! signature over hash(OrderLogHead, network_id, epoch, sequencer, length, head, height_seen,
//!                     time_ms)
//! ```
//!
//! Integers are hashed big-endian: the sequencer as 4 bytes, all others as 8.
//!
//! 1. A log is never cut or rewritten: a sequencer signs one head per (epoch, length), possibly
//!    many times with newer `height_seen` and `time_ms` (a heartbeat).
//! 2. A log holds an id at most once.
//! 3. What is appended must be durable before a head that covers it leaves the machine. The caller
//!    owns the disk: append, store, then sign.

use std::collections::{BTreeSet, VecDeque};

use fairveil_crypto::{
    BundleId, Digest, Epoch, Height, NetworkId, SequencerIndex,
    domain::{Tag, hash},
    signature::{ConsensusPublicKey, ConsensusSecret, Signature, SignatureError},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which log: of whom, in which epoch of which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogName {
    /// The network.
    pub network_id: NetworkId,
    /// The epoch; logs begin anew with each.
    pub epoch: Epoch,
    /// Whose log.
    pub sequencer: SequencerIndex,
}

/// Where a log stands: its chain up to some entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// Entries so far.
    pub length: u64,
    /// The chain's hash after them.
    pub head: Digest,
}

/// A sequencer's signed statement of its log, and of what it saw when it signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// The epoch of the log.
    pub epoch: Epoch,
    /// Whose log.
    pub sequencer: SequencerIndex,
    /// Entries.
    pub length: u64,
    /// The chain's hash after them.
    pub head: Digest,
    /// The last finalized height that the sequencer knew.
    pub height_seen: Height,
    /// Its clock, in milliseconds since 1970.
    pub time_ms: u64,
    /// By the sequencer's consensus key.
    pub signature: Signature,
}

/// The log holds the id already, at an earlier place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the log holds {id} already")]
pub struct AlreadyLogged {
    /// The id.
    pub id: BundleId,
}

impl LogName {
    /// The chain before its first entry.
    pub fn start(&self) -> Tip {
        let network = self.network_id.as_bytes();
        let epoch = self.epoch.get().to_be_bytes();
        let sequencer = self.sequencer.to_be_bytes();
        let head = hash(Tag::OrderLogStart, &[network, &epoch, &sequencer]);
        Tip { length: 0, head }
    }
}

impl Tip {
    /// The chain one entry further.
    #[must_use]
    pub fn after(&self, id: &BundleId) -> Self {
        let head = hash(Tag::OrderLogLink, &[self.head.as_bytes(), id.as_bytes()]);
        Self { length: self.length.saturating_add(1), head }
    }

    /// The chain after all these entries.
    #[must_use]
    pub fn after_all(&self, ids: &[BundleId]) -> Self {
        self.after_entries(ids, &[])
    }

    /// The chain one entry further that was received at this time, in milliseconds since 1970.
    #[must_use]
    pub fn after_timed(&self, id: &BundleId, time_ms: u64) -> Self {
        let items = [&self.head.as_bytes()[..], id.as_bytes(), &time_ms.to_be_bytes()];
        Self { length: self.length.saturating_add(1), head: hash(Tag::OrderLogLink, &items) }
    }

    /// The chain after all these entries, with their receive times in mode `median` and without in
    /// all others.
    #[must_use]
    pub fn after_entries(&self, ids: &[BundleId], times_ms: &[u64]) -> Self {
        let entries = ids.iter().enumerate();
        entries.fold(*self, |tip, (at, id)| match times_ms.get(at) {
            Some(time_ms) => tip.after_timed(id, *time_ms),
            None => tip.after(id),
        })
    }
}

impl LogHead {
    /// Signs where a log stands.
    pub fn sign(
        name: &LogName,
        tip: Tip,
        height_seen: Height,
        time_ms: u64,
        secret: &ConsensusSecret,
    ) -> Self {
        let mut head = Self {
            epoch: name.epoch,
            sequencer: name.sequencer,
            length: tip.length,
            head: tip.head,
            height_seen,
            time_ms,
            signature: Signature::from_bytes([0; 64]),
        };
        let sign = |items: &[&[u8]]| secret.sign(Tag::OrderLogHead, items);
        head.signature = head.with_items(&name.network_id, sign);
        head
    }

    /// Verifies the signature under the sequencer's consensus key.
    pub fn verify(
        &self,
        network_id: &NetworkId,
        key: &ConsensusPublicKey,
    ) -> Result<(), SignatureError> {
        let verify = |items: &[&[u8]]| key.verify(Tag::OrderLogHead, items, &self.signature);
        self.with_items(network_id, verify)
    }

    /// The 32 bytes that the signature is over, for verifying many heads at once.
    pub fn signed_digest(&self, network_id: &NetworkId) -> Digest {
        self.with_items(network_id, |items| hash(Tag::OrderLogHead, items))
    }

    /// Length and hash of the chain.
    pub fn tip(&self) -> Tip {
        Tip { length: self.length, head: self.head }
    }

    /// Whether a block of this height may count it: `height - window <= height_seen < height`.
    pub fn is_fresh(&self, height: Height, window: u64) -> bool {
        self.height_seen < height && self.height_seen.saturating_add(window) >= height
    }

    fn with_items<R>(&self, network_id: &NetworkId, with: impl FnOnce(&[&[u8]]) -> R) -> R {
        with(&[
            network_id.as_bytes(),
            &self.epoch.get().to_be_bytes(),
            &self.sequencer.to_be_bytes(),
            &self.length.to_be_bytes(),
            self.head.as_bytes(),
            &self.height_seen.get().to_be_bytes(),
            &self.time_ms.to_be_bytes(),
        ])
    }
}

/// A sequencer's own log: the writer.
///
/// Keeps the entries that no final block has committed yet, and every id that must not be
/// appended again.
#[derive(Clone, Debug)]
pub struct OrderLog {
    name: LogName,
    /// Up to here the log is committed and its entries are dropped.
    committed: Tip,
    entries: VecDeque<BundleId>,
    tip: Tip,
    contains: BTreeSet<BundleId>,
}

impl OrderLog {
    /// An empty log.
    pub fn new(name: LogName) -> Self {
        Self::at(name, name.start(), BTreeSet::new())
    }

    /// A log as it was stored: `committed` with the ids up to there that may still come again,
    /// and all entries after it, in order.
    pub fn resume(
        name: LogName,
        committed: Tip,
        earlier: impl IntoIterator<Item = BundleId>,
        entries: impl IntoIterator<Item = BundleId>,
    ) -> Result<Self, AlreadyLogged> {
        let mut log = Self::at(name, committed, earlier.into_iter().collect());
        for id in entries {
            log.append(id)?;
        }
        Ok(log)
    }

    /// Which log this is.
    pub fn name(&self) -> &LogName {
        &self.name
    }

    /// Where the log stands.
    pub fn tip(&self) -> Tip {
        self.tip
    }

    /// Whether the id stands in the log (as far as it is remembered).
    pub fn contains(&self, id: &BundleId) -> bool {
        self.contains.contains(id)
    }

    /// Appends an id; its position, from 0. Store it before [`Self::sign`].
    pub fn append(&mut self, id: BundleId) -> Result<u64, AlreadyLogged> {
        if !self.contains.insert(id) {
            return Err(AlreadyLogged { id });
        }
        let position = self.tip.length;
        self.tip = self.tip.after(&id);
        self.entries.push_back(id);
        Ok(position)
    }

    /// A head over everything appended so far, or a heartbeat if nothing is new.
    pub fn sign(&self, height_seen: Height, time_ms: u64, secret: &ConsensusSecret) -> LogHead {
        LogHead::sign(&self.name, self.tip, height_seen, time_ms, secret)
    }

    /// Entries from this length on; None if they are dropped or do not exist yet.
    pub fn entries_from(&self, length: u64) -> Option<Vec<BundleId>> {
        let skip = length.checked_sub(self.committed.length)?;
        let skip = usize::try_from(skip).ok().filter(|skip| *skip <= self.entries.len())?;
        Some(self.entries.iter().skip(skip).copied().collect())
    }

    /// Drops entries up to this length, which a final block has committed.
    pub fn drop_committed(&mut self, length: u64) {
        while self.committed.length < length
            && let Some(id) = self.entries.pop_front()
        {
            self.committed = self.committed.after(&id);
        }
    }

    /// Forgets committed ids that the state remembers no longer: they cannot come back.
    pub fn retain_remembered(&mut self, remembers: impl Fn(&BundleId) -> bool) {
        let open: BTreeSet<BundleId> = self.entries.iter().copied().collect();
        self.contains.retain(|id| open.contains(id) || remembers(id));
    }

    fn at(name: LogName, committed: Tip, contains: BTreeSet<BundleId>) -> Self {
        Self { name, committed, entries: VecDeque::new(), tip: committed, contains }
    }
}
