//! What a sequencer removes from its database, if it is told how many heights to keep.
//!
//! | table | removed below | why not earlier |
//! |---|---|---|
//! | `orders`, `certified`, `releases`, `shares` | the floor | members that are behind, traders and rollups ask for them |
//! | `events` | the floor, by the height they tell of | subscribers resume after them |
//! | `emitted`; `places`, `archive`, `receipts` of the ids in it | the floor, and [`NONCE_HEIGHTS`] | a restart reads nonces and emitted ids back; a member that catches up needs the bundles of old blocks |
//!
//! The *floor* is the smallest of: the tip less the heights to keep (at least [`MIN_HEIGHTS`]); the first
//! height that is not released here; the first whose release no final block certifies; the height of
//! the oldest released block that a followed rollup has not shown yet.
//!
//! Everything else stays: the own order log of the epoch (a start compares it with the chain), evidence,
//! changes of the rollups, what waits, states and balances. Bundles whose windows closed before they got
//! a place stay in `archive`, for blocks have their ids in the evidence. The engine's blocks and
//! finalizations (`consensus/`) are archives that can't be shortened.
//!
//! # Invariants
//!
//! 1. A restart needs nothing that was removed: it continues exactly as without pruning.
//! 2. Nothing of a height that is not released and certified, or of a bundle that has not ended, is
//!    removed.
//! 3. What a step removes is bounded; it is removed in the transaction of a final block.
//! 4. Where it stands is stored with the removals: [`crate::Overview::oldest`] is the first height of
//!    which everything is there.

use std::collections::BTreeSet;

use fairveil_consensus::state::NONCE_HEIGHTS;
use fairveil_crypto::{Height, encoding};

use crate::{
    handle::decoded,
    record::{Event, MAX_EVENT_BYTES, MAX_PLACE_BYTES, Place, height_key},
    recovery::StoredEmission,
    store::{Store, StoreError, Table, Write},
    views::place_of,
};

/// The fewest heights that are kept: twice those for which shares answer requests.
pub const MIN_HEIGHTS: u64 = 2 * fairveil_release::opener::KEPT_HEIGHTS;

/// Heights between two steps.
const STEP_HEIGHTS: u64 = 16;
/// Heights and events that a step removes at most.
const MAX_REMOVED: u64 = 256;

const KEY: &[u8] = b"pruned";
const MAX_BYTES: usize = 64;
const MAX_EMITTED_BYTES: usize = 1 << 20;

const _: () = assert!(MAX_REMOVED > STEP_HEIGHTS);

/// How far a database is pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Heights to keep; none: all.
    heights: Option<u64>,
    /// The first height that was not removed.
    next: Height,
    /// The first height whose bundles were not removed.
    next_bundles: Height,
}

/// Up to where a sequencer is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// The last final height committed.
    pub(crate) tip: Height,
    /// The first height that is not released here.
    pub(crate) unreleased: Height,
    /// The first height whose release is not certified.
    pub(crate) uncertified: Height,
}

impl Retention {
    /// Where the stored database stands. 0 heights keep all.
    pub(crate) fn open(store: &Store, heights: u64) -> Result<Self, StoreError> {
        let (next, next_bundles) = match store.get(Table::Meta, KEY)? {
            Some(bytes) => decoded(Table::Meta, &bytes, MAX_BYTES)?,
            None => (Height::new(1), Height::new(1)),
        };
        let heights = (heights > 0).then_some(heights.max(MIN_HEIGHTS));
        Ok(Self { heights, next, next_bundles })
    }

    /// The first height of which everything is there.
    pub(crate) fn oldest(&self) -> Height {
        self.next
    }

    /// What a final block lets go.
    pub(crate) fn step(&mut self, store: &Store, done: Done) -> Result<Vec<Write>, StoreError> {
        let Some(heights) = self.heights else { return Ok(Vec::new()) };
        if !done.tip.get().is_multiple_of(STEP_HEIGHTS) {
            return Ok(Vec::new());
        }
        let floor = done.tip.saturating_sub(heights).min(done.unreleased).min(done.uncertified);
        let floor = unseen(store)?.map_or(floor, |height| floor.min(height));
        let last = floor.min(self.next.saturating_add(MAX_REMOVED));
        let mut writes = Vec::new();
        while self.next < last {
            let key = height_key(self.next);
            let tables = [Table::Orders, Table::Certified, Table::Releases, Table::Shares];
            writes.extend(tables.map(|table| Write::remove(table, key)));
            self.next = self.next.next();
        }
        self.remove_bundles(store, done.tip.saturating_sub(NONCE_HEIGHTS), &mut writes)?;
        if writes.is_empty() {
            return Ok(writes);
        }
        self.remove_events(store, &mut writes)?;
        writes.push(Write::put(
            Table::Meta,
            KEY,
            encoding::encode(&(self.next, self.next_bundles)),
        ));
        Ok(writes)
    }

    fn remove_bundles(
        &mut self,
        store: &Store,
        remembered: Height,
        writes: &mut Vec<Write>,
    ) -> Result<(), StoreError> {
        let last = self.next.min(remembered).min(self.next_bundles.saturating_add(MAX_REMOVED));
        while self.next_bundles < last {
            let key = height_key(self.next_bundles);
            if let Some(bytes) = store.get(Table::Emitted, &key)? {
                let emitted: Vec<StoredEmission> =
                    decoded(Table::Emitted, &bytes, MAX_EMITTED_BYTES)?;
                for (id, _) in &emitted {
                    let place = store.get(Table::Places, id.as_bytes())?;
                    let place = place
                        .map(|bytes| decoded::<Place>(Table::Places, &bytes, MAX_PLACE_BYTES))
                        .transpose()?;
                    if place.is_some_and(|place| place.end.is_none()) {
                        return Ok(());
                    }
                }
                for (id, _) in &emitted {
                    let tables = [Table::Places, Table::Archive, Table::Receipts];
                    writes.extend(tables.map(|table| Write::remove(table, *id.as_bytes())));
                }
                writes.push(Write::remove(Table::Emitted, key));
            }
            self.next_bundles = self.next_bundles.next();
        }
        Ok(())
    }

    fn remove_events(&self, store: &Store, writes: &mut Vec<Write>) -> Result<(), StoreError> {
        let limit = usize::try_from(MAX_REMOVED).unwrap_or(usize::MAX);
        let mut oldest = store.range(Table::Events, &[], limit)?;
        // The newest event's number is that from which a restart goes on.
        oldest.pop();
        for (key, bytes) in oldest {
            let height = match decoded(Table::Events, &bytes, MAX_EVENT_BYTES)? {
                Event::Ordered { height, .. } | Event::Released { height, .. } => height,
            };
            if height >= self.next {
                break;
            }
            writes.push(Write::remove(Table::Events, key));
        }
        Ok(())
    }
}

/// The lowest height that has a released block which its rollup has not shown yet.
fn unseen(store: &Store) -> Result<Option<Height>, StoreError> {
    let stored = store.range(Table::Unseen, &[], usize::MAX)?;
    let heights: BTreeSet<Height> =
        stored.iter().filter_map(|(key, _)| Some(place_of(key)?.height)).collect();
    Ok(heights.first().copied())
}

#[cfg(test)]
mod tests;
