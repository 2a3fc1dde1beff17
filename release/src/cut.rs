//! Cutting a slot: one batch per rollup out of the bundles that wait.
//!
//! The bundles that wait ([`crate::carry_over`]) are taken one after the other, in the fair order:
//!
//! 1. One with a leg on a chain that is not registered, or paused, or with a leg over the gas or
//!    byte limit of an *empty* block, fails (`unknown_rollup`, `rollup_paused`, `capacity`). A rollup
//!    that joined after the bundle was ordered is not the one that it names: that one has left.
//! 2. If a rollup that it names is closed or has no room for its leg, it waits on, and every rollup
//!    that it names is closed for the rest of the slot ([`crate::slot::placement`]).
//! 3. Its legs on rollups with a state are simulated, each in the block that it would stand in, on
//!    top of all that was released before ([`crate::states`]). A transaction that is invalid there
//!    fails the bundle under either policy (`leg_invalid`), one that reverts or halts under policy
//!    `execute` (`leg_failed`), and then nothing of it is kept.
//!    A leg on a followed rollup without a view in this slot ([`crate::views`]) is not simulated, but
//!    for policy `execute`, under which its bundle fails (`state_unavailable`) already in step 1.
//! 4. Otherwise all of its legs are appended to their blocks: it is released.
//!
//! # Invariants
//!
//! 1. Atomicity: all legs of a bundle are in the batches of one slot, or none is in any, and what
//!    the simulated states keep of it is all or nothing.
//! 2. Order: on every rollup, over all slots, the released bundles stand in the fair order, and no
//!    bundle's block is earlier than that of one before it.
//! 3. No block is over its rollup's gas or byte limit.
//! 4. Progress: the first of the waiting bundles is placed in the next slot or fails, so every
//!    bundle is released or fails after as many slots as bundles stood before it.
//! 5. The result is a function of the registry, the states, the views, the slot and the waiting bundles.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BundleId, Height, NetworkId};
use fairveil_execution::outcome::LegReceipts;
use fairveil_execution::simulator::Finished;
use fairveil_mempool::Policy;

use crate::batch::{Batch, Block, BundleRange, Validation};
use crate::carry_over::{CarryOver, Waiting};
use crate::failed::Failed;
use crate::registry::{Registry, Rollup};
use crate::slot::placement::{BlockLimits, LegSize, Place, Placement};
use crate::slot::{BlockTime, SlotNumber};
use crate::states::{Simulation, Stop};
use crate::transaction::RawTransaction;
use crate::tree::{Leaf, Outcome, Position, ReleasedLeg};
use crate::validity::{ValidBundle, ValidLeg};
use crate::views::View;

/// The slot to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) network_id: NetworkId,
    /// The height whose release cuts it.
    pub(crate) height: Height,
    pub(crate) number: SlotNumber,
}

/// The rollups by which a slot is cut.
#[derive(Clone, Copy)]
pub(crate) struct Served<'a> {
    pub(crate) registry: &'a Registry,
    /// When rollups joined that the network did not begin with.
    pub(crate) joined: &'a BTreeMap<u64, Height>,
    /// Of the followed ones.
    pub(crate) views: &'a [View],
}

/// What comes out of a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The bundles that were released or failed, in the fair order.
    pub(crate) leaves: Vec<Leaf>,
    /// One batch per registered rollup, sorted by chain id; it may be empty.
    pub(crate) batches: Vec<Batch>,
    /// What the released legs did on the rollups that are simulated.
    pub(crate) receipts: BTreeMap<BundleId, Vec<LegReceipts>>,
    /// What changed of the simulated states.
    pub(crate) finished: Vec<Finished>,
}

/// Cuts a slot in which a rollup makes `blocks`; what is released or fails is to wait no longer. Or the
/// rollup whose state could not be read.
pub(crate) fn cut(
    served: Served<'_>,
    slot: Slot,
    blocks: impl Fn(&Rollup) -> Vec<BlockTime>,
    simulation: Option<Simulation<'_>>,
    waiting: &CarryOver,
) -> Result<Cut, u64> {
    let Served { registry, joined, views } = served;
    let rollups = registry.rollups().iter();
    let limits = |rollup: &Rollup| BlockLimits { gas: rollup.gas_limit, bytes: rollup.byte_limit };
    let lanes = rollups.clone().map(|rollup| (limits(rollup), blocks(rollup)));
    let placement = Placement::new(lanes);
    let batches = rollups.map(|rollup| empty_batch(rollup, views, slot)).collect();
    let cut = Cut { batches, ..Cut::default() };
    let blind = views.iter().filter(|view| view.anchor.is_none());
    let blind = blind.map(|view| view.chain_id).collect();
    let mut knife = Knife { registry, joined, blind, placement, simulation, cut };
    for Waiting { id, position, bundle } in waiting.waiting() {
        if knife.placement.is_closed() {
            break;
        }
        knife.take(*id, *position, bundle)?;
    }
    let Knife { simulation, mut cut, .. } = knife;
    cut.finished = simulation.map_or(Ok(Vec::new()), Simulation::finish)?;
    Ok(cut)
}

struct Knife<'a> {
    registry: &'a Registry,
    /// When rollups joined that the network did not begin with.
    joined: &'a BTreeMap<u64, Height>,
    /// Followed rollups without a view.
    blind: BTreeSet<u64>,
    placement: Placement,
    simulation: Option<Simulation<'a>>,
    cut: Cut,
}

impl Knife<'_> {
    fn take(&mut self, id: BundleId, position: Position, bundle: &ValidBundle) -> Result<(), u64> {
        let sizes = match self.sizes(position.height, bundle) {
            Ok(sizes) => sizes,
            Err(failed) => {
                self.end(id, position, Outcome::Failed(failed));
                return Ok(());
            }
        };
        let Ok(place) = self.placement.find(&sizes) else {
            self.placement.close(&sizes);
            return Ok(());
        };
        let blocks: Vec<_> = place.blocks().collect();
        let simulated = match &mut self.simulation {
            Some(simulation) => simulation.simulate(bundle, &blocks),
            None => Ok(Vec::new()),
        };
        let outcome = match simulated {
            Err(Stop::Unreadable(chain_id)) => return Err(chain_id),
            Err(Stop::Failed(failed)) => Outcome::Failed(failed),
            Ok(receipts) => {
                if !receipts.is_empty() {
                    self.cut.receipts.insert(id, receipts);
                }
                self.release(id, position, bundle, &sizes, &place)
            }
        };
        self.end(id, position, outcome);
        Ok(())
    }

    /// The sizes of a bundle's legs, if an empty block of every rollup would hold them and no view is
    /// missing.
    fn sizes(&self, ordered: Height, bundle: &ValidBundle) -> Result<Vec<LegSize>, Failed> {
        let sizes = bundle.legs().iter().map(|leg| {
            let rollup = leg.chain_id();
            let meant = self.joined.get(&rollup).is_none_or(|joined| *joined <= ordered);
            let namespace = self.registry.namespace(rollup).filter(|_| meant);
            let rollup = namespace.ok_or(Failed::UnknownRollup { rollup })?;
            Ok::<_, Failed>(LegSize { rollup, gas: leg.gas(), bytes: leg.length_bytes() })
        });
        let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
        for leg in &sizes {
            let Rollup { chain_id: rollup, gas_limit, byte_limit, paused, .. } =
                self.registry.rollups()[leg.rollup];
            if paused {
                return Err(Failed::RollupPaused { rollup });
            }
            if leg.gas > gas_limit || leg.bytes > byte_limit {
                return Err(Failed::Capacity { rollup });
            }
        }
        let mut legs = bundle.legs().iter().map(ValidLeg::chain_id);
        if bundle.policy() == Policy::Execute
            && let Some(rollup) = legs.find(|chain_id| self.blind.contains(chain_id))
        {
            return Err(Failed::StateUnavailable { rollup });
        }
        Ok(sizes)
    }

    fn release(
        &mut self,
        id: BundleId,
        position: Position,
        bundle: &ValidBundle,
        sizes: &[LegSize],
        place: &Place,
    ) -> Outcome {
        self.placement.fill(place);
        let placed = bundle.legs().iter().zip(sizes).zip(place.blocks());
        let legs = placed.map(|((leg, size), block)| {
            append(&mut self.cut.batches[size.rollup], id, position, leg, block);
            ReleasedLeg { chain_id: leg.chain_id(), block, digest: leg.digest().digest }
        });
        Outcome::Released { policy: bundle.policy(), legs: legs.collect() }
    }

    fn end(&mut self, id: BundleId, position: Position, outcome: Outcome) {
        self.cut.leaves.push(Leaf { id, position, outcome });
    }
}

fn empty_batch(rollup: &Rollup, views: &[View], slot: Slot) -> Batch {
    let Slot { network_id, height, number } = slot;
    let (chain_id, validation) = (rollup.chain_id, Validation::of(rollup, views));
    Batch { network_id, chain_id, height, slot: number, validation, blocks: Vec::new() }
}

fn append(
    batch: &mut Batch,
    id: BundleId,
    position: Position,
    leg: &ValidLeg,
    BlockTime { number, time_ms }: BlockTime,
) {
    if batch.blocks.last().is_none_or(|block| block.number != number) {
        let (bundles, transactions) = (Vec::new(), Vec::new());
        batch.blocks.push(Block { number, time_ms, bundles, transactions });
    }
    let Some(block) = batch.blocks.last_mut() else { return };
    // What waits has fewer than 2^32 bytes.
    let length = |items: &[RawTransaction]| {
        u32::try_from(items.len()).expect("a block has fewer than 2^32 transactions")
    };
    let (first, count) = (length(&block.transactions), length(leg.transactions()));
    block.bundles.push(BundleRange { id, position, first, count });
    block.transactions.extend(leg.transactions().iter().cloned());
}

#[cfg(test)]
mod tests;
