//! Cutting an opened order into one batch per rollup and slot.
//!
//! A slot is one height, in which every rollup has one block ([`crate::slot`]). Its *candidates* are
//! the bundles that wait since earlier slots, then the bundles of this height that are valid, in the
//! fair order. [`cut`] takes them one after the other:
//!
//! 1. A candidate with a leg on a chain that is not registered, or paused, or with a leg over the
//!    gas or byte limit of an *empty* slot, fails (`unknown_rollup`, `rollup_paused`, `capacity`).
//! 2. A candidate is placed if every rollup that it names is open and has room for its leg: then
//!    all of its legs are appended to the batches of those rollups.
//! 3. Otherwise it waits for the next slot, and every rollup that it names is closed for the rest
//!    of this one. If no more may wait ([`MAX_WAITING`], [`MAX_WAITING_BYTES`]) it fails with
//!    `capacity` instead, and closes nothing.
//!
//! # Invariants
//!
//! 1. Atomicity: all legs of a bundle are in the batches of one slot, or none is in any.
//! 2. Order: on every rollup, over all slots, the released bundles stand in the fair order.
//! 3. No batch is over its rollup's gas or byte limit.
//! 4. Progress: the first of the waiting bundles is placed in the next slot or fails, so every
//!    bundle is released or fails after as many slots as bundles stood before it.
//! 5. A bundle that already waited never fails for want of room to wait.
//! 6. The result is a function of the registry, the waiting bundles and the order. What waits is
//!    committed by the release root (`carry_digest`), with every gas sum and transaction.
//!
//! Deviation from the plan: `capacity` also ends a bundle when the bounded carry-over is full.
//! The alternative is memory without a bound. [`CarryOver::is_half_full`] is the signal to stop
//! the intake of new ids long before.
//!
//! # Bytes of the carry digest
//!
//! `H(RELEASE-CARRY, bundle 1, bundle 2, ...)`, each as id (32) ‖ position (12) ‖ for each leg:
//! chain_id (8) ‖ gas (8) ‖ leg digest (32); notation as in [`crate::tree`].

use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_crypto::{BundleId, Digest, Height, NetworkId};
use serde::{Deserialize, Serialize};

use crate::failed::Failed;
use crate::registry::{Registry, Rollup};
use crate::slot::BlockTime;
use crate::slot::placement::{BlockLimits, LegSize, Placement};
use crate::transaction::RawTransaction;
use crate::tree::{Leaf, LegDigest, Outcome, Position};
use crate::validity::{ValidBundle, ValidLeg};

/// The most bundles that may wait for a later slot.
pub const MAX_WAITING: usize = 4_096;
/// The most bytes of transactions that may wait for a later slot.
pub const MAX_WAITING_BYTES: u64 = 64 << 20;

/// How much was checked before a batch was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// Statically valid, without a view of the rollup's state: a transaction may be invalid there.
    Unvalidated,
}

/// The opened legs for one rollup in one slot, in the fair order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The network that released it.
    pub network_id: NetworkId,
    /// The rollup.
    pub chain_id: u64,
    /// The slot: one height.
    pub height: Height,
    /// The committed time of that height's block, in milliseconds since 1970.
    pub time_ms: u64,
    /// How much was checked.
    pub validation: Validation,
    /// Which transactions belong to which bundle, in the fair order, without gaps.
    pub bundles: Vec<BundleRange>,
    /// The raw transactions, in order.
    pub transactions: Vec<RawTransaction>,
}

/// Where a bundle's leg stands in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRange {
    /// The bundle.
    pub id: BundleId,
    /// Where it stands in the fair order.
    pub position: Position,
    /// Its first transaction.
    pub first: u32,
    /// How many transactions it has; at least one.
    pub count: u32,
}

/// Bundles that wait for a later slot, in the fair order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarryOver {
    waiting: Vec<Waiting>,
}

/// One waiting bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The bundle.
    pub id: BundleId,
    /// Where it stands in the fair order.
    pub position: Position,
    /// Its legs.
    pub bundle: ValidBundle,
}

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

/// The slot to cut: what the final order says about the height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The network.
    pub network_id: NetworkId,
    /// The height.
    pub height: Height,
    /// The block's committed time in milliseconds since 1970.
    pub time_ms: u64,
}

/// What comes out of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// What became of the ids that waited and of those that were emitted, in the fair order.
    pub leaves: Vec<Leaf>,
    /// One batch per registered rollup, sorted by chain id; it may be empty.
    pub batches: Vec<Batch>,
    /// What waits for the next slot.
    pub carry_over: CarryOver,
}

/// Cuts a slot. `order` are the ids that the slot's height emitted, all of them, in order.
pub fn cut(
    registry: &Registry,
    slot: Slot,
    waiting: CarryOver,
    order: Vec<(BundleId, Judged)>,
) -> Cut {
    let mut knife = Knife::new(registry, slot);
    for Waiting { id, position, bundle } in waiting.waiting {
        knife.take(id, position, Judged::Valid(bundle));
    }
    for ((id, judged), index) in order.into_iter().zip(0u32..) {
        knife.take(id, Position { height: slot.height, index }, judged);
    }
    Cut { leaves: knife.leaves, batches: knife.batches, carry_over: knife.carry_over }
}

impl Batch {
    /// The transactions of one bundle, if the range lies inside the batch.
    pub fn leg(&self, range: &BundleRange) -> Option<&[RawTransaction]> {
        let first = usize::try_from(range.first).ok()?;
        let count = usize::try_from(range.count).ok()?;
        self.transactions.get(first..first.checked_add(count)?)
    }

    fn new(slot: Slot, chain_id: u64) -> Self {
        let Slot { network_id, height, time_ms } = slot;
        let validation = Validation::Unvalidated;
        let (bundles, transactions) = (Vec::new(), Vec::new());
        Self { network_id, chain_id, height, time_ms, validation, bundles, transactions }
    }
}

impl CarryOver {
    /// The waiting bundles in the fair order.
    pub fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    /// Whether so much waits that no new ids should be taken in.
    pub fn is_half_full(&self) -> bool {
        let bytes: u64 = self.waiting.iter().map(|waiting| bundle_bytes(&waiting.bundle)).sum();
        self.waiting.len() >= MAX_WAITING / 2 || bytes >= MAX_WAITING_BYTES / 2
    }

    /// What the release root commits to.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new(Tag::ReleaseCarry);
        for Waiting { id, position, bundle } in &self.waiting {
            let mut item = id.as_bytes().to_vec();
            item.extend(position.to_bytes());
            for leg in bundle.legs() {
                item.extend(leg.chain_id.to_be_bytes());
                item.extend(leg.gas.to_be_bytes());
                item.extend(leg_digest(leg).digest.as_bytes());
            }
            hasher.item(&item);
        }
        hasher.finish()
    }
}

fn append(batch: &mut Batch, id: BundleId, position: Position, leg: ValidLeg) {
    // The slot's bundles have fewer than 2^32 bytes by the limits of pool and carry-over.
    let length = |items: &[RawTransaction]| {
        u32::try_from(items.len()).expect("a batch has fewer than 2^32 transactions")
    };
    let (first, count) = (length(&batch.transactions), length(&leg.transactions));
    batch.bundles.push(BundleRange { id, position, first, count });
    batch.transactions.extend(leg.transactions);
}

struct Knife<'a> {
    registry: &'a Registry,
    placement: Placement,
    batches: Vec<Batch>,
    leaves: Vec<Leaf>,
    carry_over: CarryOver,
    waiting_bytes: u64,
}

impl<'a> Knife<'a> {
    fn new(registry: &'a Registry, slot: Slot) -> Self {
        let block = BlockTime { number: slot.height.get(), time_ms: slot.time_ms };
        let rollups = registry.rollups().iter();
        let limits =
            |rollup: &Rollup| BlockLimits { gas: rollup.gas_limit, bytes: rollup.byte_limit };
        let placement = Placement::new(rollups.clone().map(|rollup| (limits(rollup), [block])));
        let batches = rollups.map(|rollup| Batch::new(slot, rollup.chain_id)).collect();
        let carry_over = CarryOver::default();
        Self { registry, placement, batches, leaves: Vec::new(), carry_over, waiting_bytes: 0 }
    }

    fn take(&mut self, id: BundleId, position: Position, judged: Judged) {
        let outcome = match judged {
            Judged::Expired => Outcome::Expired,
            Judged::Failed(failed) => Outcome::Failed(failed),
            Judged::Valid(bundle) => match self.candidate(&bundle) {
                Ok(legs) => self.place(id, position, bundle, &legs),
                Err(failed) => Outcome::Failed(failed),
            },
        };
        self.leaves.push(Leaf { id, position, outcome });
    }

    /// The sizes of a bundle's legs, if an empty slot of every rollup would hold them.
    fn candidate(&self, bundle: &ValidBundle) -> Result<Vec<LegSize>, Failed> {
        let sizes = bundle.legs().iter().map(|leg| {
            let rollup = leg.chain_id;
            let namespace = self.registry.namespace(rollup);
            let rollup = namespace.ok_or(Failed::UnknownRollup { rollup })?;
            Ok::<_, Failed>(LegSize { rollup, gas: leg.gas, bytes: leg_bytes(leg) })
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
        Ok(sizes)
    }

    fn place(
        &mut self,
        id: BundleId,
        position: Position,
        bundle: ValidBundle,
        sizes: &[LegSize],
    ) -> Outcome {
        if let Err(leg) = self.placement.place(sizes) {
            let rollup = bundle.legs()[leg].chain_id;
            return self.carry(id, position, bundle, sizes, rollup);
        }
        let digests = bundle.legs().iter().map(leg_digest).collect();
        for (leg, size) in bundle.into_legs().into_iter().zip(sizes) {
            append(&mut self.batches[size.rollup], id, position, leg);
        }
        Outcome::Released { legs: digests }
    }

    fn carry(
        &mut self,
        id: BundleId,
        position: Position,
        bundle: ValidBundle,
        sizes: &[LegSize],
        rollup: u64,
    ) -> Outcome {
        let bytes = self.waiting_bytes.saturating_add(bundle_bytes(&bundle));
        if self.carry_over.waiting.len() >= MAX_WAITING || bytes > MAX_WAITING_BYTES {
            return Outcome::Failed(Failed::Capacity { rollup });
        }
        self.waiting_bytes = bytes;
        self.carry_over.waiting.push(Waiting { id, position, bundle });
        self.placement.close(sizes);
        Outcome::Carried
    }
}

fn leg_digest(leg: &ValidLeg) -> LegDigest {
    LegDigest::new(leg.chain_id, &leg.transactions)
}

fn leg_bytes(leg: &ValidLeg) -> u64 {
    leg.transactions.iter().map(RawTransaction::length_bytes).sum()
}

fn bundle_bytes(bundle: &ValidBundle) -> u64 {
    bundle.legs().iter().map(leg_bytes).sum()
}

#[cfg(test)]
mod tests;
