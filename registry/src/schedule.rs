//! The registry that holds at a height, and the changes that are announced for later ones.
//!
//! A change is announced by the final block that carries it. It holds from its height on, at least
//! [`MIN_NOTICE_HEIGHTS`] and at most [`MAX_NOTICE_HEIGHTS`] later. Changes may be announced in
//! another order than they come to hold; those of one height are made in the order of their numbers.
//!
//! ```text
//! schedule digest = H(REGISTRY-SCHEDULE, registry digest, number(8),
//!                     for each rollup that joined: chain id(8) ‖ height(8),
//!                     for each pending change: encode(change))
//! ```
//!
//! Integers there are big-endian; notation as in the release's tree.
//!
//! # Invariants
//!
//! 1. All announced changes can be made, one after the other: one that would make another
//!    impossible is refused.
//! 2. The registry of a height does not depend on when within their notice changes were announced.
//! 3. The slots are those that the network began with ([`crate::slot`]).
//! 4. At most [`MAX_PENDING`] changes are pending, so what is kept is bounded.
//! 5. Restoring what was stored gives the same schedule.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_crypto::encoding;
use fairveil_crypto::{Digest, Height, NetworkId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::change::{Action, ActionError, RegistryChange, fits};
use crate::registry::{Registry, RegistryError, Rollup};
use crate::slot::SlotClock;

mod registries;

pub use registries::Registries;

/// Heights between the block that announces a change and the first at which it holds, at least: who
/// releases a height has long seen what was announced for it.
pub const MIN_NOTICE_HEIGHTS: u64 = 16;
/// At most: a day of blocks of more than a second.
pub const MAX_NOTICE_HEIGHTS: u64 = 1 << 16;
/// Changes that may be pending.
pub const MAX_PENDING: usize = 16;

/// The registry that holds and the changes to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Schedule {
    network_id: NetworkId,
    slots: Option<SlotClock>,
    height: Height,
    number: u64,
    registry: Arc<Registry>,
    joined: BTreeMap<u64, Height>,
    pending: BTreeMap<(Height, u64), RegistryChange>,
}

/// A schedule as it is stored: the registry's rollups fit the slots, not each other alone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    network_id: NetworkId,
    slots: Option<SlotClock>,
    height: Height,
    number: u64,
    rollups: Vec<Rollup>,
    joined: BTreeMap<u64, Height>,
    pending: Vec<RegistryChange>,
}

/// The block that would announce a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its height.
    pub height: Height,
    /// The committed time of the block before it, in milliseconds since 1970.
    pub after_ms: u64,
}

/// Why a change is not announced.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Of another network.
    #[error("a change of network {actual}, this is {expected}")]
    Network {
        /// The change's network.
        actual: NetworkId,
        /// This one.
        expected: NetworkId,
    },
    /// Another number is next.
    #[error("a change with number {actual}, next is {expected}")]
    Number {
        /// The change's number.
        actual: u64,
        /// The next one.
        expected: u64,
    },
    /// Too soon.
    #[error("a change at height {at}, announced at {height} it can hold from {least} on")]
    TooSoon {
        /// The change's height.
        at: Height,
        /// That of the block.
        height: Height,
        /// The first height that would do.
        least: Height,
    },
    /// Too far ahead.
    #[error("a change at height {at}, announced at {height} it has to hold by {most}")]
    TooFar {
        /// The change's height.
        at: Height,
        /// That of the block.
        height: Height,
        /// The last height that would do.
        most: Height,
    },
    /// Too many are pending.
    #[error("{actual} changes are pending, the limit is {limit}")]
    Pending {
        /// How many there are.
        actual: usize,
        /// [`MAX_PENDING`].
        limit: usize,
    },
    /// A rollup that has no block yet.
    #[error(
        "rollup {chain_id}: its block 0 is at {genesis_ms} ms, so it can join after {needed_ms} ms; the \
         last block is of {actual_ms} ms"
    )]
    Young {
        /// The rollup.
        chain_id: u64,
        /// The time of its block 0.
        genesis_ms: u64,
        /// The committed time of the last block.
        actual_ms: u64,
        /// What it has to reach.
        needed_ms: u64,
    },
    /// It can't be made.
    #[error(transparent)]
    Action(#[from] ActionError),
    /// It would make another announced change impossible.
    #[error("it contradicts change {number}, announced for height {at}: {why}")]
    Contradiction {
        /// The other change.
        number: u64,
        /// Its height.
        at: Height,
        /// Why that could not be made.
        why: ActionError,
    },
}

/// Why stored values are no schedule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoredError {
    /// The rollups are no registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The pending changes could not be announced.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A rollup that is not registered joined.
    #[error("rollup {chain_id} joined and is not registered")]
    Joined {
        /// The rollup.
        chain_id: u64,
    },
    /// Slots without a length, or rollups without slots.
    #[error("the stored slots are not those of a network")]
    Slots,
}

impl Schedule {
    /// The schedule with which a network begins, at height 0.
    ///
    /// # Errors
    ///
    /// If the rollups have no slots in common.
    pub fn new(network_id: NetworkId, registry: Registry) -> Result<Self, RegistryError> {
        let slots = registry.slots()?;
        let (registry, height) = (Arc::new(registry), Height::ZERO);
        let (joined, pending) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { network_id, slots, height, number: 0, registry, joined, pending })
    }

    /// The network.
    pub fn network_id(&self) -> &NetworkId {
        &self.network_id
    }

    /// The height at which it stands.
    pub fn height(&self) -> Height {
        self.height
    }

    /// The slots of the network; none if every height is a slot of its own.
    pub fn slots(&self) -> Option<&SlotClock> {
        self.slots.as_ref()
    }

    /// The registry of its height.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The number of the next change.
    pub fn next_number(&self) -> u64 {
        self.number.saturating_add(1)
    }

    /// The heights at which the registered rollups joined, but for those that the network began
    /// with.
    pub fn joined(&self) -> &BTreeMap<u64, Height> {
        &self.joined
    }

    /// The announced changes in the order in which they come to hold.
    pub fn pending(&self) -> impl ExactSizeIterator<Item = &RegistryChange> {
        self.pending.values()
    }

    /// Every registry to come, by the first height at which it holds.
    pub fn following(&self) -> BTreeMap<Height, Arc<Registry>> {
        let mut later = self.clone();
        let heights: Vec<Height> = self.pending.keys().map(|(at, _)| *at).collect();
        let registry = |at: Height| {
            later.advance(at);
            (at, Arc::clone(&later.registry))
        };
        heights.into_iter().map(registry).collect()
    }

    /// Whether a block could announce this change.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, change: &RegistryChange, block: Announcement) -> Result<(), ScheduleError> {
        self.names(change)?;
        let (at, height) = (change.at, block.height);
        let least = height.saturating_add(MIN_NOTICE_HEIGHTS);
        if at < least {
            return Err(ScheduleError::TooSoon { at, height, least });
        }
        let most = height.saturating_add(MAX_NOTICE_HEIGHTS);
        if at > most {
            return Err(ScheduleError::TooFar { at, height, most });
        }
        let actual = self.pending.len();
        if actual >= MAX_PENDING {
            return Err(ScheduleError::Pending { actual, limit: MAX_PENDING });
        }
        self.has_blocks(change, block.after_ms)?;
        self.with(change).map(drop)
    }

    /// Announces a change in this block.
    ///
    /// # Errors
    ///
    /// As [`Self::check`]; then nothing is changed.
    pub fn announce(
        &mut self,
        change: &RegistryChange,
        block: Announcement,
    ) -> Result<(), ScheduleError> {
        self.check(change, block)?;
        self.follow(change)
    }

    /// Takes over a change that a final block announced, for who does not stand at that block.
    ///
    /// # Errors
    ///
    /// If it is not the next one, holds already, or can't be made; then nothing is changed.
    pub fn follow(&mut self, change: &RegistryChange) -> Result<(), ScheduleError> {
        self.names(change)?;
        let (at, height) = (change.at, self.height);
        if at <= height {
            return Err(ScheduleError::TooSoon { at, height, least: height.next() });
        }
        self.pending = self.with(change)?;
        self.number = change.number;
        Ok(())
    }

    /// Goes on to a height, and answers the changes that hold now and did not before, in the order in
    /// which they were made. It never goes back.
    pub fn advance(&mut self, height: Height) -> Vec<RegistryChange> {
        let mut made = Vec::new();
        while let Some(entry) = self.pending.first_entry().filter(|entry| entry.key().0 <= height) {
            let change = entry.remove();
            // Every pending change can be made: invariant 1.
            let registry = change.action.applied(&self.registry, self.slots.as_ref());
            self.registry = Arc::new(registry.expect("an announced change can be made"));
            match &change.action {
                Action::Join(rollup) => self.joined.extend([(rollup.chain_id, change.at)]),
                Action::Leave { chain_id } => self.joined.retain(|joined, _| joined != chain_id),
                Action::Pause { .. } | Action::Resume { .. } => {}
            }
            made.push(change);
        }
        self.height = self.height.max(height);
        made
    }

    /// A digest of everything that later registries depend on, besides what is announced later.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new(Tag::RegistrySchedule);
        hasher.item(self.registry.digest().as_bytes());
        hasher.item(&self.number.to_be_bytes());
        for (chain_id, height) in &self.joined {
            hasher.item(&[chain_id.to_be_bytes(), height.get().to_be_bytes()].concat());
        }
        for change in self.pending.values() {
            hasher.item(&encoding::encode(change));
        }
        hasher.finish()
    }

    /// Whether it is the next change of this network.
    fn names(&self, change: &RegistryChange) -> Result<(), ScheduleError> {
        let (actual, expected) = (change.network_id, self.network_id);
        if actual != expected {
            return Err(ScheduleError::Network { actual, expected });
        }
        let (actual, expected) = (change.number, self.next_number());
        if actual != expected {
            return Err(ScheduleError::Number { actual, expected });
        }
        Ok(())
    }

    /// Whether a rollup that joins has blocks in every slot that is cut once it has joined: such a
    /// slot begins no earlier than a slot before the block that announces it.
    fn has_blocks(&self, change: &RegistryChange, actual_ms: u64) -> Result<(), ScheduleError> {
        let (Action::Join(rollup), Some(slots)) = (&change.action, &self.slots) else {
            return Ok(());
        };
        let Some(times) = rollup.blocks else { return Ok(()) };
        let (chain_id, genesis_ms) = (rollup.chain_id, times.genesis_ms);
        let needed_ms = genesis_ms.saturating_add(slots.length_ms());
        if actual_ms <= needed_ms && genesis_ms > slots.anchor_ms() {
            return Err(ScheduleError::Young { chain_id, genesis_ms, actual_ms, needed_ms });
        }
        Ok(())
    }

    /// The pending changes with this one, if all of them can be made.
    fn with(
        &self,
        change: &RegistryChange,
    ) -> Result<BTreeMap<(Height, u64), RegistryChange>, ScheduleError> {
        let mut pending = self.pending.clone();
        pending.insert((change.at, change.number), change.clone());
        let mut registry = Arc::clone(&self.registry);
        for one in pending.values() {
            let (number, at) = (one.number, one.at);
            registry = match one.action.applied(&registry, self.slots.as_ref()) {
                Ok(registry) => Arc::new(registry),
                Err(why) if number == change.number => return Err(why.into()),
                Err(why) => return Err(ScheduleError::Contradiction { number, at, why }),
            };
        }
        Ok(pending)
    }
}

impl From<Schedule> for Stored {
    fn from(schedule: Schedule) -> Self {
        let Schedule { network_id, slots, height, number, registry, joined, pending } = schedule;
        let rollups = registry.rollups().to_vec();
        let pending = pending.into_values().collect();
        Self { network_id, slots, height, number, rollups, joined, pending }
    }
}

impl TryFrom<Stored> for Schedule {
    type Error = StoredError;

    fn try_from(stored: Stored) -> Result<Self, StoredError> {
        let Stored { network_id, slots, height, number, rollups, joined, pending } = stored;
        let registry = Arc::new(Registry::listed(rollups)?);
        let timed =
            registry.rollups().iter().all(|rollup| rollup.blocks.is_some() == slots.is_some());
        if !timed || slots.is_some_and(|slots| slots.length_ms() == 0) {
            return Err(StoredError::Slots);
        }
        for rollup in registry.rollups() {
            if let (Some(slots), Some(times)) = (&slots, rollup.blocks) {
                fits(rollup.chain_id, times, slots).map_err(ScheduleError::Action)?;
            }
        }
        if let Some(chain_id) = joined.keys().find(|chain_id| registry.rollup(**chain_id).is_none())
        {
            return Err(StoredError::Joined { chain_id: *chain_id });
        }
        let empty = BTreeMap::new();
        let mut schedule =
            Self { network_id, slots, height, number, registry, joined, pending: empty };
        for change in pending {
            let (actual, expected) = (change.number, number);
            if actual > expected {
                return Err(ScheduleError::Number { actual, expected }.into());
            }
            let (actual, expected) = (change.network_id, network_id);
            if actual != expected {
                return Err(ScheduleError::Network { actual, expected }.into());
            }
            let at = change.at;
            if at <= height {
                return Err(ScheduleError::TooSoon { at, height, least: height.next() }.into());
            }
            schedule.pending.insert((at, change.number), change);
        }
        schedule.restored()?;
        Ok(schedule)
    }
}

impl Schedule {
    /// Whether all pending changes can be made.
    fn restored(&self) -> Result<(), ScheduleError> {
        let mut registry = Arc::clone(&self.registry);
        for RegistryChange { number, at, action, .. } in self.pending.values() {
            let made = action.applied(&registry, self.slots.as_ref());
            let (number, at) = (*number, *at);
            registry =
                Arc::new(made.map_err(|why| ScheduleError::Contradiction { number, at, why })?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
