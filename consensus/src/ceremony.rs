//! The chain of a ceremony: opaque entries, in one order for everybody.
//!
//! A ceremony of key generation runs before there is a network. Its members post entries to a
//! chain of their own, whose namespace names the definition and the round, and end it when the
//! transcript stands. The rules are few:
//!
//! # Invariants
//!
//! 1. Entries are agreed as [`crate::entries`] says: once, and within the room of each leader.
//! 2. Time counts blocks, one millisecond each: no clock takes part.
//! 3. The result root commits to all entries so far, in order.

use std::future::{Future, ready};
use std::sync::Arc;

use commonware_utils::sync::{Mutex, Notify};
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::{ConsensusPublicKey, Digest, Epoch, Height, NetworkId, SequencerIndex};
use fairveil_ordering::PackedEvidence;

use crate::block::{Block, BlockError, Body, MAX_BLOCK_BYTES, SystemEntry};
use crate::chain::{Chain, Executed, Slot, Tip};
use crate::entries::{AgreedEntries, EntriesFault, Submissions};
use crate::equivocation::ConflictingVotes;
use crate::header::{ChainId, HeaderFault};
use crate::timing::Load;

pub use crate::entries::{MAX_LEADER_BYTES, MAX_LEADER_ENTRIES, SubmitError};

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
    /// An entry.
    #[error(transparent)]
    Entries(#[from] EntriesFault),
}

/// The entries of a ceremony after a block.
#[derive(Clone, Debug)]
pub struct CeremonyState {
    tip: Tip,
    agreed: Arc<AgreedEntries>,
}

/// The entries that a block added, in order.
pub type CeremonyOutput = Arc<Vec<Vec<u8>>>;

/// A handle to one sequencer's side of a ceremony's chain.
#[derive(Clone)]
pub struct CeremonyChain {
    id: ChainId,
    submitted: Arc<Mutex<Submissions>>,
    changed: Arc<Notify>,
}

impl CeremonyChain {
    /// The chain of the ceremony with this id, which names its definition and round.
    #[must_use]
    pub fn new(ceremony: &Digest) -> Self {
        let network_id = NetworkId::from_bytes(ceremony.to_bytes());
        let id = ChainId { network_id, epoch: Epoch::ZERO, start: Height::ZERO };
        Self { id, submitted: Arc::default(), changed: Arc::new(Notify::new()) }
    }

    /// Posts an entry as soon as this sequencer leads a view; the same entry counts once. To be
    /// repeated after a restart: nothing is stored here.
    ///
    /// # Errors
    ///
    /// If it is too long or too many were submitted.
    pub fn submit(&self, entry: Vec<u8>) -> Result<(), SubmitError> {
        if self.submitted.lock().submit(entry)? {
            self.changed.notify_waiters();
        }
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
        let agreed = AgreedEntries::new(&Digest::from_bytes(self.id.network_id.to_bytes()));
        let history = agreed.history();
        let block = self.id.genesis(history, first_member, 0, result_root(&history))?;
        let tip = Tip::of(block.header());
        Ok((block, CeremonyState { tip, agreed: Arc::new(agreed) }))
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
        if *evidence != PackedEvidence::default() || !releases.is_empty() {
            return Err(CeremonyFault::Foreign);
        }
        let entries = system
            .iter()
            .map(|entry| match entry {
                SystemEntry::CeremonyEntry(bytes) => Ok(bytes.clone()),
                _ => Err(CeremonyFault::Foreign),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut agreed = parent.agreed.clone();
        Arc::make_mut(&mut agreed).extend(header.leader, entries.iter().map(Vec::as_slice))?;
        let expected = result_root(&agreed.history());
        if header.result_root != expected {
            let actual = header.result_root;
            return Err(HeaderFault::ResultRoot { actual, expected }.into());
        }
        let state = CeremonyState { tip: Tip::of(header), agreed };
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
            if self.submitted.lock().has_unposted(&parent.agreed) {
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
        let unposted = self.submitted.lock().unposted(&parent.agreed);
        let entries = parent.agreed.fitting(&slot.leader, unposted, MAX_BYTES);
        let mut agreed = AgreedEntries::clone(&parent.agreed);
        let extended = agreed.extend(slot.leader, entries.iter().map(Vec::as_slice)).ok();
        let built = extended.and_then(|()| {
            let root = result_root(&agreed.history());
            let system = entries.into_iter().map(SystemEntry::CeremonyEntry).collect();
            let body = Body { system, ..Body::default() };
            let time_ms = parent.tip.time_ms + 1;
            let block = self.id.child(slot, &parent.tip, time_ms, root, body).ok()?;
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

fn result_root(history: &Digest) -> Digest {
    hash(Tag::CeremonyResult, &[history.as_bytes()])
}
