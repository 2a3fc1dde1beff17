//! The registry of every height, for who stands behind the last announcement.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairveil_crypto::Height;

use super::{Schedule, ScheduleError};
use crate::change::RegistryChange;
use crate::registry::Registry;

/// The registry of every height, as far as changes are announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registries {
    schedule: Schedule,
    from: BTreeMap<Height, Arc<Registry>>,
}

impl Registries {
    /// Those of a network that begins with this schedule.
    pub fn new(first: Schedule) -> Self {
        let mut registries = Self { from: BTreeMap::new(), schedule: first };
        registries
            .from
            .insert(registries.schedule.height(), Arc::clone(&registries.schedule.registry));
        registries
    }

    /// The registry of a height.
    pub fn at(&self, height: Height) -> &Arc<Registry> {
        let found = self.from.range(..=height).next_back().or_else(|| self.from.first_key_value());
        found.map_or(&self.schedule.registry, |(_, registry)| registry)
    }

    /// Whether any height has this rollup.
    pub fn ever(&self, chain_id: u64) -> bool {
        self.from.values().any(|registry| registry.rollup(chain_id).is_some())
    }

    /// The names of all rollups that any height has, by chain id; the last one, if it had several.
    pub fn names(&self) -> BTreeMap<u64, String> {
        let rollups = self.from.values().flat_map(|registry| registry.rollups());
        rollups.map(|rollup| (rollup.chain_id, rollup.name.clone())).collect()
    }

    /// The first height from this one on that has the rollup.
    pub fn next_of(&self, chain_id: u64, height: Height) -> Option<Height> {
        let has = |registry: &Arc<Registry>| registry.rollup(chain_id).is_some();
        if has(self.at(height)) {
            return Some(height);
        }
        self.from.range(height..).find(|(_, registry)| has(registry)).map(|(from, _)| *from)
    }

    /// The schedule at the last block that was told.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The block of this height is final, and announced these changes.
    ///
    /// # Errors
    ///
    /// If one of them is not the next, or holds already.
    pub fn finalized(
        &mut self,
        height: Height,
        announced: &[RegistryChange],
    ) -> Result<(), ScheduleError> {
        self.schedule.advance(height);
        for change in announced {
            self.schedule.follow(change)?;
        }
        let first = announced.iter().map(|change| change.at).min();
        if let Some(first) = first {
            // What follows the first of them may be another registry than was thought before.
            self.from.split_off(&first);
            self.from.extend(self.schedule.following().split_off(&first));
        }
        Ok(())
    }
}
