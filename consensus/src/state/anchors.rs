//! Anchors: the blocks of followed rollups over whose states slots are simulated.
//!
//! ```text
//! anchors digest = H(CHAIN-ANCHORS, anchor digest 1, ...)      the last one of every rollup that has one,
//!                                                             ascending by chain id
//! ```
//!
//! # Invariants
//!
//! 1. A block has at most one anchor per rollup, ascending by chain id, of rollups that are followed at
//!    its height.
//! 2. Anchors of a rollup strictly ascend, in number and in time; the first after the rollup joined
//!    may be any.
//! 3. An anchor is not later than the block by more than [`MAX_AHEAD_MS`], nor older than the
//!    registered age.
//! 4. A rollup that leaves takes its anchor with it.
//!
//! That the anchored block is on the rollup's chain is no rule of these: it is what each voter's own
//! view says ([`crate::host::Host::has_anchor`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use fairveil_crypto::Digest;
use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_registry::anchor::{Anchor, BaseFeeError};
use fairveil_registry::change::{Action, RegistryChange};
use fairveil_registry::registry::{FollowedState, Registry};
use fairveil_registry::schedule::Schedule;

use super::{BlockFault, ChainState};
use crate::block::SystemEntry;

/// How far a rollup's clock may be ahead of the network's: an anchor's time may be later than its
/// block's by so many milliseconds.
pub const MAX_AHEAD_MS: u64 = 5_000;
/// A view is renewed once it has this part of its greatest age.
const RENEWED_PARTS: u64 = 4;

/// Why an anchor makes a block invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorFault {
    /// Not ascending by chain id, or a chain twice.
    #[error(
        "the anchor of rollup {next} stands after that of {previous}; sort them, one per rollup"
    )]
    Order {
        /// The chain id before.
        previous: u64,
        /// The chain id after it.
        next: u64,
    },
    /// Not of a rollup that is followed at this height.
    #[error("rollup {chain_id} is not followed at this height")]
    NotFollowed {
        /// The chain.
        chain_id: u64,
    },
    /// Not after the last one.
    #[error(
        "rollup {chain_id}: block {number} of {timestamp_s} s is anchored after block {last_number} of \
         {last_timestamp_s} s"
    )]
    NotLater {
        /// The rollup.
        chain_id: u64,
        /// The anchored block's number.
        number: u64,
        /// Its time in seconds.
        timestamp_s: u64,
        /// That of the last anchored one.
        last_number: u64,
        /// Its time in seconds.
        last_timestamp_s: u64,
    },
    /// Too far ahead of the block.
    #[error("rollup {chain_id}: an anchor of {actual_ms} ms, at most {limit_ms} ms are allowed")]
    Ahead {
        /// The rollup.
        chain_id: u64,
        /// The anchored block's time.
        actual_ms: u64,
        /// The latest allowed.
        limit_ms: u64,
    },
    /// Too old.
    #[error("rollup {chain_id}: an anchor that is {actual_ms} ms old, the limit is {limit_ms} ms")]
    Old {
        /// The rollup.
        chain_id: u64,
        /// The anchored block's age at the network's block.
        actual_ms: u64,
        /// The greatest age.
        limit_ms: u64,
    },
    /// The base fee after it can't be told.
    #[error("rollup {chain_id}: {why}")]
    BaseFee {
        /// The rollup.
        chain_id: u64,
        /// Why not.
        why: BaseFeeError,
    },
}

/// The last anchor of every rollup that has one.
pub(super) type Anchors = Arc<BTreeMap<u64, Anchor>>;

impl ChainState {
    /// The last anchor of every followed rollup that has one, by chain id.
    #[must_use]
    pub fn anchors(&self) -> &BTreeMap<u64, Anchor> {
        &self.anchors
    }

    /// Those of these anchors that are due and that a child could carry whose time is no earlier than
    /// theirs: the last one of their rollup has a quarter of its greatest age by then, or there is none.
    #[must_use]
    pub fn anchorable(&self, mut candidates: Vec<Anchor>) -> Vec<Anchor> {
        let mut schedule = Schedule::clone(&self.schedule);
        schedule.advance(self.tip.height.next());
        let least_ms = self.tip.time_ms.saturating_add(1);
        candidates.sort_by_key(|anchor| anchor.chain_id);
        candidates.dedup_by_key(|anchor| anchor.chain_id);
        candidates.retain(|anchor| {
            let Some(rule) = followed(schedule.registry(), anchor.chain_id) else { return false };
            // An idle chain's last block may be long ago.
            let time_ms = least_ms.max(anchor.time_ms());
            let last = self.anchors.get(&anchor.chain_id);
            let due = |last: &Anchor| last.age_ms(time_ms) >= rule.max_age_ms / RENEWED_PARTS;
            last.is_none_or(due) && check(anchor, rule, last, time_ms).is_ok()
        });
        candidates
    }

    /// Takes the anchors that a block of this time carries.
    pub(super) fn anchor(
        &mut self,
        system: &[SystemEntry],
        time_ms: u64,
    ) -> Result<Vec<Anchor>, BlockFault> {
        let mut anchored: Vec<Anchor> = Vec::new();
        for entry in system {
            let SystemEntry::Anchor(anchor) = entry else { continue };
            let chain_id = anchor.chain_id;
            if let Some(last) = anchored.last().filter(|last| last.chain_id >= chain_id) {
                let previous = last.chain_id;
                return Err(AnchorFault::Order { previous, next: chain_id }.into());
            }
            let rule = followed(self.schedule.registry(), chain_id);
            let rule = rule.ok_or(AnchorFault::NotFollowed { chain_id })?;
            check(anchor, rule, self.anchors.get(&chain_id), time_ms)?;
            anchored.push(*anchor);
        }
        if !anchored.is_empty() {
            let named = anchored.iter().map(|anchor| (anchor.chain_id, *anchor));
            Arc::make_mut(&mut self.anchors).extend(named);
        }
        Ok(anchored)
    }

    /// Forgets the anchors of rollups that left by these changes.
    pub(super) fn forget_anchors(&mut self, made: &[RegistryChange]) {
        for change in made {
            if let Action::Leave { chain_id } = change.action
                && self.anchors.contains_key(&chain_id)
            {
                Arc::make_mut(&mut self.anchors).remove(&chain_id);
            }
        }
    }
}

/// A digest of the last anchors.
pub(super) fn digest(anchors: &BTreeMap<u64, Anchor>) -> Digest {
    let mut hasher = Hasher::new(Tag::ChainAnchors);
    anchors.values().for_each(|anchor| hasher.item(anchor.digest().as_bytes()));
    hasher.finish()
}

fn followed(registry: &Registry, chain_id: u64) -> Option<&FollowedState> {
    registry.rollup(chain_id)?.followed()
}

/// Whether an anchor may stand in a block of this time after the last one.
fn check(
    anchor: &Anchor,
    rule: &FollowedState,
    last: Option<&Anchor>,
    time_ms: u64,
) -> Result<(), AnchorFault> {
    let Anchor { chain_id, number, timestamp_s, .. } = *anchor;
    if let Some(last) = last
        && (last.number >= number || last.timestamp_s >= timestamp_s)
    {
        let (last_number, last_timestamp_s) = (last.number, last.timestamp_s);
        return Err(AnchorFault::NotLater {
            chain_id,
            number,
            timestamp_s,
            last_number,
            last_timestamp_s,
        });
    }
    let (actual_ms, limit_ms) = (anchor.time_ms(), time_ms.saturating_add(MAX_AHEAD_MS));
    if actual_ms > limit_ms {
        return Err(AnchorFault::Ahead { chain_id, actual_ms, limit_ms });
    }
    let (actual_ms, limit_ms) = (anchor.age_ms(time_ms), rule.max_age_ms);
    if actual_ms > limit_ms {
        return Err(AnchorFault::Old { chain_id, actual_ms, limit_ms });
    }
    anchor.base_fee_of_next(rule).map(drop).map_err(|why| AnchorFault::BaseFee { chain_id, why })
}
