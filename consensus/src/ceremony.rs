//! The chain of a ceremony: opaque entries, in one order for everybody.
//!
//! A ceremony of key generation runs before there is a network. Its members post entries to a
//! chain of their own, whose namespace names the definition and the round, and end it when the
//! transcript stands. The rules are few:
//!
//! # Invariants
//!
//! 1. An entry is final at most once: entries are told apart by their hash.
//! 2. A leader has [`MAX_LEADER_ENTRIES`] entries and [`MAX_LEADER_BYTES`] on the whole chain, so
//!    that no member takes the others' room.
//! 3. Time counts blocks, one millisecond each: no clock takes part.
//! 4. The result root commits to all entries so far, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, ready};
use std::sync::Arc;

use commonware_utils::sync::{Mutex, Notify};
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::{ConsensusPublicKey, Digest, Epoch, NetworkId, SequencerIndex};
use fairveil_ordering::Evidence;

use crate::block::{
    Block, BlockError, Body, MAX_BLOCK_BYTES, MAX_CEREMONY_ENTRIES, MAX_CEREMONY_ENTRY_BYTES,
    SystemEntry,
};
use crate::chain::{Chain, Executed, Slot, Tip};
use crate::equivocation::ConflictingVotes;
use crate::header::{ChainId, HeaderFault};
use crate::timing::Load;

/// Entries of one leader on the whole chain.
pub const MAX_LEADER_ENTRIES: u32 = 1_024;
/// Bytes of one leader's entries on the whole chain.
pub const MAX_LEADER_BYTES: u64 = 16 << 20;
/// Bytes of entries in a block: leaves room for the header and their lengths.
const MAX_BYTES: usize = MAX_BLOCK_BYTES / 2;

/// Why a block of a ceremony is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CeremonyFault {
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderFault),
    /// It carries something that is not an entry.
    #[error("carries something else than entries")]
    Foreign,
    /// An entry is already on the chain.
    #[error("entry {entry} is already on the chain")]
    Repeated {
        /// Its hash.
        entry: Digest,
    },
    /// The leader's room is used up.
    #[error("the leader has {entries} entries of {bytes} bytes, beyond its room")]
    Room {
        /// Entries with this block.
        entries: u32,
        /// Bytes with this block.
        bytes: u64,
    },
}

/// Why an entry was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The entry is too long.
    #[error("entry is {actual} bytes, the limit is {MAX_CEREMONY_ENTRY_BYTES}")]
    Long {
        /// Its length.
        actual: usize,
    },
    /// This member's room is used up.
    #[error(
        "{entries} entries of {bytes} bytes, the limits are {MAX_LEADER_ENTRIES} \
         and {MAX_LEADER_BYTES}"
    )]
    Full {
        /// Entries submitted, with this one.
        entries: u32,
        /// Their bytes.
        bytes: u64,
    },
}

/// The entries of a ceremony after a block.
#[derive(Clone, Debug)]
pub struct CeremonyState {
    tip: Tip,
    history: Digest,
    entries: Arc<BTreeSet<Digest>>,
    room: Arc<BTreeMap<ConsensusPublicKey, Room>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Room {
    entries: u32,
    bytes: u64,
}

impl Room {
    fn with(self, entry: &[u8]) -> Self {
        Self {
            entries: self.entries.saturating_add(1),
            bytes: self.bytes.saturating_add(entry.len() as u64),
        }
    }

    fn suffices(self) -> bool {
        self.entries <= MAX_LEADER_ENTRIES && self.bytes <= MAX_LEADER_BYTES
    }
}

/// The entries that a block added, in order.
pub type CeremonyOutput = Arc<Vec<Vec<u8>>>;

/// An entry with its hash.
type Submitted = (Digest, Vec<u8>);

/// A handle to one sequencer's side of a ceremony's chain.
#[derive(Clone)]
pub struct CeremonyChain {
    id: ChainId,
    submitted: Arc<Mutex<Vec<Submitted>>>,
    changed: Arc<Notify>,
}

impl CeremonyChain {
    /// The chain of the ceremony with this id, which names its definition and round.
    #[must_use]
    pub fn new(ceremony: &Digest) -> Self {
        let network_id = NetworkId::from_bytes(ceremony.to_bytes());
        let id = ChainId { network_id, epoch: Epoch::ZERO };
        Self { id, submitted: Arc::default(), changed: Arc::new(Notify::new()) }
    }

    /// Posts an entry as soon as this sequencer leads a view; the same entry counts once. To be
    /// repeated after a restart: nothing is stored here.
    ///
    /// # Errors
    ///
    /// If it is too long or too many were submitted.
    pub fn submit(&self, entry: Vec<u8>) -> Result<(), SubmitError> {
        if entry.len() > MAX_CEREMONY_ENTRY_BYTES {
            return Err(SubmitError::Long { actual: entry.len() });
        }
        let mut submitted = self.submitted.lock();
        let digest = entry_digest(&entry);
        if submitted.iter().any(|(held, _)| *held == digest) {
            return Ok(());
        }
        let held = submitted.iter().map(|(_, entry)| entry.as_slice());
        let room = held.chain([entry.as_slice()]).fold(Room::default(), Room::with);
        if !room.suffices() {
            return Err(SubmitError::Full { entries: room.entries, bytes: room.bytes });
        }
        submitted.push((digest, entry));
        drop(submitted);
        self.changed.notify_waiters();
        Ok(())
    }

    /// The namespace of the chain's votes, for the engine's configuration.
    #[must_use]
    pub fn namespace(&self) -> Vec<u8> {
        crate::namespace(&self.id.network_id)
    }

    /// The epoch that the chain's votes name, for the engine's configuration.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.id.epoch
    }

    /// The block at height 0 and the state after it.
    ///
    /// # Errors
    ///
    /// If the first member's key is no key.
    pub fn genesis(
        &self,
        first_member: ConsensusPublicKey,
    ) -> Result<(Block, CeremonyState), BlockError> {
        let history = Digest::from_bytes(self.id.network_id.to_bytes());
        let block = self.id.genesis(history, first_member, result_root(&history))?;
        let tip = Tip::of(block.header());
        let state = CeremonyState { tip, history, entries: Arc::default(), room: Arc::default() };
        Ok((block, state))
    }

    fn has_unposted(&self, state: &CeremonyState) -> bool {
        self.submitted.lock().iter().any(|(digest, _)| !state.entries.contains(digest))
    }

    fn unposted(&self, state: &CeremonyState) -> Vec<Vec<u8>> {
        let submitted = self.submitted.lock();
        let fresh = submitted.iter().filter(|(digest, _)| !state.entries.contains(digest));
        fresh.map(|(_, entry)| entry.clone()).collect()
    }

    /// The state after these entries of a leader; its tip is still the parent's.
    fn extend(
        parent: &CeremonyState,
        leader: ConsensusPublicKey,
        entries: &[Vec<u8>],
    ) -> Result<CeremonyState, CeremonyFault> {
        let mut state = parent.clone();
        for bytes in entries {
            let entry = entry_digest(bytes);
            if !Arc::make_mut(&mut state.entries).insert(entry) {
                return Err(CeremonyFault::Repeated { entry });
            }
            let room = Arc::make_mut(&mut state.room).entry(leader).or_default();
            *room = room.with(bytes);
            if !room.suffices() {
                return Err(CeremonyFault::Room { entries: room.entries, bytes: room.bytes });
            }
            let items: [&[u8]; 2] = [state.history.as_bytes(), entry.as_bytes()];
            state.history = hash(Tag::CeremonyHistory, &items);
        }
        Ok(state)
    }

    /// As many of the entries as fit into a block and into the leader's room.
    fn fitting(
        parent: &CeremonyState,
        leader: &ConsensusPublicKey,
        all: Vec<Vec<u8>>,
    ) -> Vec<Vec<u8>> {
        let mut room = parent.room.get(leader).copied().unwrap_or_default();
        let mut bytes = 0;
        all.into_iter()
            .take_while(|entry| {
                room = room.with(entry);
                bytes += entry.len();
                room.suffices() && bytes <= MAX_BYTES
            })
            .take(MAX_CEREMONY_ENTRIES)
            .collect()
    }

    fn executed(
        &self,
        parent: &CeremonyState,
        block: &Block,
    ) -> Result<Executed<Self>, CeremonyFault> {
        let header = block.header();
        self.id.check(header, &parent.tip)?;
        let expected = parent.tip.time_ms + 1;
        if header.time_ms != expected {
            return Err(HeaderFault::Time { actual: header.time_ms, expected }.into());
        }
        let Body { evidence, releases, system } = block.body();
        if *evidence != Evidence::default() || !releases.is_empty() {
            return Err(CeremonyFault::Foreign);
        }
        let entries = system
            .iter()
            .map(|entry| match entry {
                SystemEntry::CeremonyEntry(bytes) => Ok(bytes.clone()),
                _ => Err(CeremonyFault::Foreign),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let extended = Self::extend(parent, header.leader, &entries)?;
        let expected = result_root(&extended.history);
        if header.result_root != expected {
            let actual = header.result_root;
            return Err(HeaderFault::ResultRoot { actual, expected }.into());
        }
        let state = CeremonyState { tip: Tip::of(header), ..extended };
        Ok(Executed { block: block.clone(), state, output: Arc::new(entries) })
    }
}

impl Chain for CeremonyChain {
    type State = CeremonyState;
    type Output = CeremonyOutput;
    type Fault = CeremonyFault;

    fn tip(state: &CeremonyState) -> Tip {
        state.tip
    }

    fn load(&self, _: &CeremonyState, block: &Block) -> Load {
        if block.body().system.is_empty() { Load::Idle } else { Load::Busy }
    }

    async fn work(&self, parent: &CeremonyState) {
        loop {
            let changed = self.changed.notified();
            if self.has_unposted(parent) {
                return;
            }
            changed.await;
        }
    }

    fn build(
        &self,
        slot: Slot,
        parent: &CeremonyState,
    ) -> impl Future<Output = Option<Executed<Self>>> + Send {
        let entries = Self::fitting(parent, &slot.leader, self.unposted(parent));
        let extended = Self::extend(parent, slot.leader, &entries).ok();
        let built = extended.and_then(|CeremonyState { history, .. }| {
            let system = entries.into_iter().map(SystemEntry::CeremonyEntry).collect();
            let body = Body { system, ..Body::default() };
            let time_ms = parent.tip.time_ms + 1;
            let block =
                self.id.child(slot, &parent.tip, time_ms, result_root(&history), body).ok()?;
            self.executed(parent, &block).ok()
        });
        ready(built)
    }

    fn execute(
        &self,
        parent: &CeremonyState,
        block: &Block,
    ) -> impl Future<Output = Result<Executed<Self>, CeremonyFault>> + Send {
        ready(self.executed(parent, block))
    }

    fn approve(
        &self,
        _: &CeremonyState,
        _: &Block,
    ) -> impl Future<Output = Result<(), CeremonyFault>> + Send {
        ready(Ok(()))
    }

    /// A ceremony blames by its own entries; votes that contradict each other are only logged.
    fn equivocation(&self, culprit: SequencerIndex, votes: ConflictingVotes) {
        tracing::warn!(culprit = culprit.get(), conflict = ?votes.conflict(), "conflicting votes");
    }
}

fn entry_digest(entry: &[u8]) -> Digest {
    hash(Tag::CeremonyEntry, &[entry])
}

fn result_root(history: &Digest) -> Digest {
    hash(Tag::CeremonyResult, &[history.as_bytes()])
}
