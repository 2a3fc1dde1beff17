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
//! # Invariants
//!
//! 1. Heights are released in order, each once; the state after a height is a function of the
//!    first registry and its changes, the genesis states, the orders and what they opened to.
//! 2. A certified release of another sequencer has the same effect as cutting it here
//!    ([`ReleaseChain::adopt`]): a sequencer that was away need not open what others have opened.
//!    What was released is simulated again, and the states must be the committed ones.
//! 3. Slots are cut in ascending order, each once, and none before its intake is closed.
//! 4. What a height does not release is not changed by a refusal: neither registry nor states.

use std::collections::BTreeMap;
use std::mem::replace;
use std::sync::Arc;

use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::{BlockDigest, BundleId, Digest, Height, NetworkId};
use fairveil_execution::outcome::LegReceipts;
use fairveil_execution::simulator::Finished;
use fairveil_execution::state::MemoryState;
use serde::{Deserialize, Serialize};

use crate::carry_over::{CarryOver, Waiting};
use crate::change::RegistryChange;
use crate::cut::{Cut, Slot, cut};
use crate::failed::Failed;
use crate::registry::{Registry, RegistryError, Rollup};
use crate::release::{Release, ReleaseError, ReleaseHeader};
use crate::schedule::{Schedule, ScheduleError};
use crate::slot::{BlockTime, SlotNumber};
use crate::states::{Moved, RollupStates};
use crate::tree::{Leaf, Namespaces, Outcome, Position, Tree};
use crate::validity::ValidBundle;

mod adopt;
mod error;

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
    /// The digest of every simulated state, by chain id.
    states: BTreeMap<u64, Digest>,
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
}

/// What holds at a height, and whose states came and went with it.
struct Turn {
    schedule: Schedule,
    states: RollupStates,
    moved: Moved,
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
        let genesis = BTreeMap::new();
        Ok(Self { network_id, schedule, genesis, next, previous, last_slot, waiting, states })
    }

    /// A chain as it was stored.
    pub fn restore(
        summary: Summary,
        waiting: Vec<Waiting>,
        states: BTreeMap<u64, MemoryState>,
    ) -> Result<Self, RestoreError> {
        let Summary { network_id, schedule, next, previous, last_slot, .. } = summary;
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
        let genesis = BTreeMap::new();
        Ok(Self { network_id, schedule, genesis, next, previous, last_slot, waiting, states })
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

    /// The states of the rollups that are simulated.
    pub fn states(&self) -> &RollupStates {
        &self.states
    }

    /// Releases the next height.
    pub fn extend(&mut self, order: JudgedOrder) -> Result<Released, ChainError> {
        let JudgedOrder { height, block, time_ms, ids } = order;
        self.check_next(height)?;
        let Turn { schedule, states, moved } = self.turn()?;
        let before = (replace(&mut self.schedule, schedule), replace(&mut self.states, states));
        let (closed, open) = self.due(height, time_ms);
        let mut slot = closed;
        let mut cut = match closed.map(|slot| self.cut(slot, height, time_ms)).transpose() {
            Ok(cut) => cut,
            Err(error) => {
                (self.schedule, self.states) = before;
                return Err(error);
            }
        };
        let mut leaves = self.take_in(height, ids);
        if cut.is_none() && self.closes_early(open) {
            slot = Some(open);
            cut = Some(self.cut(open, height, time_ms)?);
        }
        let cut = cut.unwrap_or_default();
        leaves.extend(cut.leaves.into_iter().map(|leaf| (leaf.position, leaf)));
        let leaves: Vec<Leaf> = leaves.into_values().collect();
        let waits = self.waiting.waiting().rev();
        let mut waiting: Vec<_> =
            waits.take_while(|waiting| waiting.position.height == height).cloned().collect();
        waiting.reverse();
        self.states.apply(&cut.finished);
        let namespaces =
            Namespaces::new(self.registry().chain_ids()).map_err(ReleaseError::Namespaces)?;
        let tree = Tree::new(namespaces, leaves.clone()).map_err(ReleaseError::Tree)?;
        let header = ReleaseHeader {
            network_id: self.network_id,
            height,
            block,
            time_ms,
            previous: self.previous,
            slot,
            tree_root: tree.root(),
            registry: self.registry().digest(),
            state_digest: self.states.digest(),
        };
        let release = Release { header, leaves, batches: cut.batches, waiting };
        self.advance(&header);
        let ended = ended(&release);
        let (finished, receipts) = (cut.finished, cut.receipts);
        Ok(Released { release, tree, ended, moved, finished, receipts })
    }

    /// What holds at the next height.
    fn turn(&self) -> Result<Turn, ChainError> {
        let (height, mut schedule) = (self.next, self.schedule.clone());
        let made = schedule.advance(height);
        let moved = self.states.after(&made, &self.genesis);
        let (states, moved) = moved.map_err(|why| ChainError::Genesis { height, why })?;
        Ok(Turn { schedule, states, moved })
    }

    /// The latest slot whose intake closed before a height and that is not cut yet; and the slot to
    /// which the height belongs.
    fn due(&self, height: Height, time_ms: u64) -> (Option<SlotNumber>, SlotNumber) {
        let Some(slots) = self.schedule.slots() else {
            return (None, SlotNumber::new(height.get()));
        };
        let open = slots.slot_at(time_ms);
        let closed = open.previous().filter(|closed| Some(*closed) > self.last_slot);
        (closed, open)
    }

    /// Whether the open slot is cut although its intake could go on.
    fn closes_early(&self, open: SlotNumber) -> bool {
        let Some(slots) = self.schedule.slots() else { return true };
        let overfull = |rollup: &Rollup| {
            let blocks = rollup.blocks.map_or(1, |times| slots.blocks(times, open).count() as u64);
            let load = self.waiting.load(rollup.chain_id);
            load.gas > rollup.gas_limit.saturating_mul(blocks)
                || load.bytes > rollup.byte_limit.saturating_mul(blocks)
        };
        Some(open) > self.last_slot && self.registry().rollups().iter().any(overfull)
    }

    /// The outcomes of a height's ids as far as no slot is needed for them. The valid ones wait.
    fn take_in(
        &mut self,
        height: Height,
        ids: Vec<(BundleId, Judged)>,
    ) -> BTreeMap<Position, Leaf> {
        let mut leaves = BTreeMap::new();
        for ((id, judged), index) in ids.into_iter().zip(0u32..) {
            let position = Position { height, index };
            let outcome = match judged {
                Judged::Expired => Outcome::Expired,
                Judged::Failed(failed) => Outcome::Failed(failed),
                Judged::Valid(bundle) => {
                    let waiting = Waiting { id, position, bundle };
                    let (policy, legs) = (waiting.bundle.policy(), waiting.leg_digests());
                    match self.waiting.push(waiting) {
                        Ok(()) => Outcome::Carried { policy, legs },
                        Err(failed) => Outcome::Failed(failed),
                    }
                }
            };
            leaves.insert(position, Leaf { id, position, outcome });
        }
        leaves
    }

    fn cut(&mut self, number: SlotNumber, height: Height, time_ms: u64) -> Result<Cut, ChainError> {
        let slot = Slot { network_id: self.network_id, height, number };
        let only = BlockTime { number: height.get(), time_ms };
        let (registry, slots) = (self.schedule.registry(), self.schedule.slots());
        let blocks = |rollup: &Rollup| match (slots, rollup.blocks) {
            (Some(slots), Some(times)) => slots.blocks(times, number).collect(),
            _ => vec![only],
        };
        let simulation = self.states.simulation(registry);
        cut(registry, self.schedule.joined(), slot, blocks, simulation, &mut self.waiting)
            .map_err(|chain_id| ChainError::Unreadable { chain_id })
    }

    fn check_next(&self, actual: Height) -> Result<(), ChainError> {
        let expected = self.next;
        if actual == expected { Ok(()) } else { Err(ChainError::Height { actual, expected }) }
    }

    fn advance(&mut self, header: &ReleaseHeader) {
        self.next = self.next.next();
        self.previous = header.root();
        self.last_slot = header.slot.or(self.last_slot);
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

    /// The digest of every simulated state, by chain id.
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
