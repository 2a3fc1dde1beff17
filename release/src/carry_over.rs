//! Bundles that wait for a slot, in the fair order.
//!
//! A valid bundle waits from the height that emitted it until a slot is cut that has room for it.
//! Its leaf says so once, with what its legs are ([`crate::tree`]), so the chain of release roots
//! fixes what waits.
//!
//! # Invariants
//!
//! 1. No more than [`MAX_WAITING`] bundles and [`MAX_WAITING_BYTES`] of transactions wait. Who finds
//!    no room fails with `capacity`; who waits never fails for want of room to wait.
//! 2. The sums per rollup are those of the bundles that wait.

use std::collections::BTreeMap;

use fairveil_crypto::BundleId;
use serde::{Deserialize, Serialize};

use crate::failed::Failed;
use crate::tree::{LegDigest, Position};
use crate::validity::{ValidBundle, ValidLeg};

/// The most bundles that may wait.
pub const MAX_WAITING: usize = 65_536;
/// The most bytes of transactions that may wait.
pub const MAX_WAITING_BYTES: u64 = 64 << 20;

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

/// The bundles that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarryOver {
    waiting: BTreeMap<Position, Waiting>,
    rollups: BTreeMap<u64, Load>,
    bytes: u64,
}

/// What waits for a rollup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// The sum of the gas limits.
    pub gas: u64,
    /// The sum of the lengths.
    pub bytes: u64,
}

impl Waiting {
    /// What its leaf commits to.
    pub fn leg_digests(&self) -> Vec<LegDigest> {
        self.bundle.legs().iter().map(ValidLeg::digest).collect()
    }
}

impl CarryOver {
    /// These bundles, which waited before.
    pub fn restore(waiting: impl IntoIterator<Item = Waiting>) -> Self {
        let mut carry_over = Self::default();
        waiting.into_iter().for_each(|waiting| carry_over.insert(waiting));
        carry_over
    }

    /// The waiting bundles in the fair order.
    pub fn waiting(&self) -> impl DoubleEndedIterator<Item = &Waiting> {
        self.waiting.values()
    }

    /// The bundle that waits with this position.
    pub fn get(&self, position: &Position) -> Option<&Waiting> {
        self.waiting.get(position)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What waits for a rollup.
    pub fn load(&self, chain_id: u64) -> Load {
        self.rollups.get(&chain_id).copied().unwrap_or_default()
    }

    /// Takes a bundle in, if it has room.
    pub(crate) fn push(&mut self, waiting: Waiting) -> Result<(), Failed> {
        let bytes: u64 = waiting.bundle.legs().iter().map(ValidLeg::length_bytes).sum();
        let full = self.waiting.len() >= MAX_WAITING
            || self.bytes.saturating_add(bytes) > MAX_WAITING_BYTES;
        match waiting.bundle.legs().first().filter(|_| full) {
            Some(leg) => Err(Failed::Capacity { rollup: leg.chain_id() }),
            None => {
                self.insert(waiting);
                Ok(())
            }
        }
    }

    /// Takes a bundle out.
    pub(crate) fn remove(&mut self, position: &Position) -> Option<Waiting> {
        let waiting = self.waiting.remove(position)?;
        for leg in waiting.bundle.legs() {
            self.bytes = self.bytes.saturating_sub(leg.length_bytes());
            let Some(load) = self.rollups.get_mut(&leg.chain_id()) else { continue };
            load.gas = load.gas.saturating_sub(leg.gas());
            load.bytes = load.bytes.saturating_sub(leg.length_bytes());
            if *load == Load::default() {
                self.rollups.remove(&leg.chain_id());
            }
        }
        Some(waiting)
    }

    pub(crate) fn insert(&mut self, waiting: Waiting) {
        for leg in waiting.bundle.legs() {
            self.bytes = self.bytes.saturating_add(leg.length_bytes());
            let load = self.rollups.entry(leg.chain_id()).or_default();
            load.gas = load.gas.saturating_add(leg.gas());
            load.bytes = load.bytes.saturating_add(leg.length_bytes());
        }
        self.waiting.insert(waiting.position, waiting);
    }
}
