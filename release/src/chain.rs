//! The chain of releases: cuts height after height, and is a sequencer's durable state of release.
//!
//! # Slots and heights
//!
//! A height's valid bundles wait for the slot whose intake is open at the height's committed time
//! ([`crate::slot`]). A release cuts at most one slot:
//!
//! - the latest one whose intake closed before the height, if it was not cut yet; the height's own
//!   bundles are not in it;
//! - otherwise, **adaptive batching**: the open one, if more waits for some rollup than the gas or
//!   the bytes of all of its blocks in the slot. Then the intake is closed early, and what later
//!   heights bring waits for the next slot.
//!
//! Where rollups have no block times every height is a slot of its own, and always cut.
//!
//! # Changes of the registry
//!
//! Changes are announced by final blocks long before they hold ([`crate::schedule`]) and are told to
//! the chain by [`ReleaseChain::announce`]. Releasing a height goes by the registry of that height,
//! which the release's header names. A rollup that leaves loses its state; one that joins begins as
//! its genesis, without which its height can't be released here.
//!
//! # Followed rollups
//!
//! Anchors come with final blocks and are told by [`ReleaseChain::anchored`]. Over them a height is
//! released in two steps: [`ReleaseChain::release`] says what is released and changes nothing, so it may
//! be tried again where a view can't be read, and done blindly where nobody can read it
//! ([`crate::views::Sight`]); [`ReleaseChain::keep`] goes on with it. Where views were read
//! ([`Released::read`]) the committee's certificate decides which of the two it is, so it is kept once it
//! is certified.
//!
//! # Invariants
//!
//! 1. Heights are released in order, each once; the state after a height is a function of the
//!    first registry and its changes, the genesis states, the anchors, the orders and what they opened to,
//!    and, where views were read, of whether it was released blindly, which its root says.
//! 2. A certified release of another sequencer has the same effect as cutting it here
//!    ([`ReleaseChain::adopt`]): a sequencer that was away need not open what others have opened.
//!    What was released on embedded rollups is simulated again, and their states must be the committed
//!    ones. On followed rollups nothing is simulated again, for the view may be gone: that the released
//!    legs are valid there, and that bundles that failed or wait do so rightly, is what the quorum of the
//!    certificate says.
//! 3. Slots are cut in ascending order, each once, and none before its intake is closed.
//! 4. A refusal changes nothing: neither registry, nor states, nor what waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::{BlockDigest, BundleId, Digest, Height, NetworkId};
use fairveil_execution::outcome::LegReceipts;
use fairveil_execution::simulator::Finished;
use fairveil_execution::state::MemoryState;
use serde::{Deserialize, Serialize};

use crate::anchor::Anchor;
use crate::batch::Block;
use crate::carry_over::{CarryOver, Waiting};
use crate::change::RegistryChange;
use crate::failed::Failed;
use crate::registry::{Registry, RegistryError};
use crate::release::{Release, ReleaseHeader};
use crate::schedule::{Schedule, ScheduleError};
use crate::slot::SlotNumber;
use crate::states::{Moved, RollupStates};
use crate::tree::{Position, Tree};
use crate::validity::ValidBundle;
use crate::views::{FollowedRollups, Moves, Place, Sight};

mod adopt;
mod error;
mod turn;

pub use error::{ChainError, RestoreError};

/// The longest encoding of a [`Summary`].
const MAX_SUMMARY_BYTES: usize = 64 << 10;

/// What opening and static validity say about an emitted id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It may be placed.
    Valid(ValidBundle),
    /// It has failed.
    Failed(Failed),
    /// Its window was closed when it was emitted.
    Expired,
}

/// A final order with what became of its ids up to static validity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedOrder {
    /// The height.
    pub height: Height,
    /// The block of that height.
    pub block: BlockDigest,
    /// That block's time in milliseconds since 1970.
    pub time_ms: u64,
    /// All emitted ids, cohorts flattened, with the verdict on each.
    pub ids: Vec<(BundleId, Judged)>,
}

/// Everything that releasing the next height depends on besides its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseChain {
    network_id: NetworkId,
    /// At the last height that was released.
    schedule: Schedule,
    /// The genesis states of rollups that may join.
    genesis: BTreeMap<u64, Arc<MemoryState>>,
    next: Height,
    previous: Digest,
    last_slot: Option<SlotNumber>,
    waiting: CarryOver,
    states: RollupStates,
    followed: FollowedRollups,
    /// Anchors of heights that are not released yet.
    coming: BTreeMap<(Height, u64), Anchor>,
}

/// What is stored of a chain besides the waiting bundles and the states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    network_id: NetworkId,
    schedule: Schedule,
    next: Height,
    previous: Digest,
    last_slot: Option<SlotNumber>,
    /// How many bundles wait.
    waiting: u64,
    /// The digest of every embedded state, by chain id.
    states: BTreeMap<u64, Digest>,
    /// The last anchors that slots may be simulated over, by chain id.
    anchors: BTreeMap<u64, Anchor>,
    /// How many released blocks of followed rollups are unseen.
    unseen: u64,
}

/// A height that was released, and what has to be stored of it.
#[derive(Clone, Debug)]
pub struct Released {
    /// The release.
    pub release: Release,
    /// Its tree.
    pub tree: Tree,
    /// The positions of earlier heights whose bundles wait no longer.
    pub ended: Vec<Position>,
    /// The states of rollups that left and joined at this height.
    pub moved: Moved,
    /// What changed of the simulated states after that, by chain id.
    pub finished: Vec<Finished>,
    /// What the released legs did on the rollups that are simulated.
    pub receipts: BTreeMap<BundleId, Vec<LegReceipts>>,
    /// Blocks of followed rollups that became unseen and seen ([`crate::views`]).
    pub unseen: Moves,
    /// The followed rollups whose views were read for it. If there are any, it counts once its root is
    /// certified.
    pub read: BTreeSet<u64>,
    /// The followed rollups after it.
    followed: FollowedRollups,
}

impl ReleaseChain {
    /// The chain before its first release, which is that of height 1. The states are those that the
    /// registry names.
    pub fn new(
        network_id: NetworkId,
        registry: Registry,
        states: RollupStates,
    ) -> Result<Self, RegistryError> {
        let schedule = Schedule::new(network_id, registry)?;
        let previous = ReleaseHeader::genesis(&network_id);
        let (next, waiting, last_slot) = (Height::ZERO.next(), CarryOver::default(), None);
        let (genesis, coming) = (BTreeMap::new(), BTreeMap::new());
        let followed = FollowedRollups::default();
        Ok(Self {
            network_id,
            schedule,
            genesis,
            next,
            previous,
            last_slot,
            waiting,
            states,
            followed,
            coming,
        })
    }

    /// A chain as it was stored; the unseen blocks are those of stored releases, by place.
    pub fn restore(
        summary: Summary,
        waiting: Vec<Waiting>,
        states: BTreeMap<u64, MemoryState>,
        unseen: &[(Place, Block)],
    ) -> Result<Self, RestoreError> {
        let Summary { network_id, schedule, next, previous, last_slot, anchors, .. } = summary;
        let (actual, expected) = (schedule.height(), next.previous().unwrap_or(Height::ZERO));
        if actual != expected {
            return Err(RestoreError::Schedule { actual, expected });
        }
        let (actual, expected) = (waiting.len() as u64, summary.waiting);
        if actual != expected {
            return Err(RestoreError::Waiting { actual, expected });
        }
        let (waiting, states) = (CarryOver::restore(waiting), RollupStates::restore(states));
        if states.digests() != summary.states {
            return Err(RestoreError::States);
        }
        let followed = FollowedRollups::restore(schedule.registry(), anchors, unseen);
        let (actual, expected) = (followed.unseen(), summary.unseen);
        if actual != expected {
            return Err(RestoreError::Unseen { actual, expected });
        }
        let (genesis, coming) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self {
            network_id,
            schedule,
            genesis,
            next,
            previous,
            last_slot,
            waiting,
            states,
            followed,
            coming,
        })
    }

    /// What is stored of it besides the waiting bundles and the states.
    pub fn summary(&self) -> Summary {
        Summary {
            network_id: self.network_id,
            schedule: self.schedule.clone(),
            next: self.next,
            previous: self.previous,
            last_slot: self.last_slot,
            waiting: self.waiting.len() as u64,
            states: self.states.digests(),
            anchors: self.followed.anchors(),
            unseen: self.followed.unseen(),
        }
    }

    /// The height that is released next.
    pub fn next(&self) -> Height {
        self.next
    }

    /// The root of the last release.
    pub fn previous(&self) -> Digest {
        self.previous
    }

    /// The rollups at the last height that was released.
    pub fn registry(&self) -> &Registry {
        self.schedule.registry()
    }

    /// The changes of the registry that are known here and hold at no released height.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Keeps the genesis states of rollups that may join, by chain id.
    pub fn provide(&mut self, genesis: BTreeMap<u64, MemoryState>) {
        let shared = |(chain_id, state)| (chain_id, Arc::new(state));
        self.genesis.extend(genesis.into_iter().map(shared));
    }

    /// Learns of a change of the registry that a final block announced.
    ///
    /// # Errors
    ///
    /// If it is not the next one or holds at a height that is released; then nothing is changed.
    pub fn announce(&mut self, change: &RegistryChange) -> Result<(), ScheduleError> {
        self.schedule.follow(change)
    }

    /// What waits for a slot.
    pub fn waiting(&self) -> &CarryOver {
        &self.waiting
    }

    /// The states of the embedded rollups.
    pub fn states(&self) -> &RollupStates {
        &self.states
    }

    /// Learns of the anchors of a final block.
    pub fn anchored(&mut self, height: Height, anchors: &[Anchor]) {
        if height >= self.next {
            let anchors = anchors.iter().map(|anchor| ((height, anchor.chain_id), *anchor));
            self.coming.extend(anchors);
        }
    }

    /// The last anchors that slots may be simulated over, by chain id.
    pub fn anchors(&self) -> BTreeMap<u64, Anchor> {
        self.followed.anchors()
    }

    /// Releases the next height, where no view of a followed rollup has to be read.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unreadable`] if one would have to be, or another reason; nothing is changed then.
    pub fn extend(&mut self, order: JudgedOrder) -> Result<Released, ChainError> {
        let released = self.release(order, Sight::Open(&|_| None))?;
        self.keep(&released)?;
        Ok(released)
    }

    fn check_next(&self, actual: Height) -> Result<(), ChainError> {
        let expected = self.next;
        if actual == expected { Ok(()) } else { Err(ChainError::Height { actual, expected }) }
    }
}

impl Summary {
    /// The canonical encoding, for storage.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads the canonical encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(bytes, MAX_SUMMARY_BYTES)
    }

    /// The digest of every embedded state, by chain id.
    pub fn states(&self) -> &BTreeMap<u64, Digest> {
        &self.states
    }
}

/// The positions of earlier heights that ended in a release.
fn ended(release: &Release) -> Vec<Position> {
    let height = release.header.height;
    let earlier = release.leaves.iter().map(|leaf| leaf.position);
    earlier.take_while(|position| position.height < height).collect()
}

#[cfg(test)]
mod tests;
