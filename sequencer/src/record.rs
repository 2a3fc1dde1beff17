//! What the sequencer remembers of bundles and heights, as it stands in the database.
//!
//! # Keys
//!
//! | table | key | value |
//! |---|---|---|
//! | `Places` | bundle id | [`Place`] |
//! | `Orders` | height | `OrderCertificate` |
//! | `Releases` | height | `Release` |
//! | `Events` | number | [`Event`] |
//!
//! Integers in keys are 8 bytes big-endian.

use fairveil_crypto::{BundleId, Digest, Height, certificate::Placement};
use fairveil_release::{states::Receipt, tree::Outcome};
use serde::{Deserialize, Serialize};

/// Longest stored place, in bytes.
pub const MAX_PLACE_BYTES: usize = 8 << 20;
/// Longest stored event, in bytes: a slot may end all that waits, with up to 56 bytes a leg.
pub const MAX_EVENT_BYTES: usize = 64 << 20;

/// The final place of a bundle and what became of it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The block.
    pub height: Height,
    /// Position among the ids of the block, from 0.
    pub position: u32,
    /// Cohort of the block, from 0.
    pub cohort: u32,
    /// What the block says of it.
    pub placement: Placement,
    /// The slot in which it ended and how, once released.
    pub end: Option<End>,
}

/// How a bundle ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The height whose release holds the outcome.
    pub height: Height,
    /// The outcome.
    pub outcome: Outcome,
    /// Of a released bundle: where its legs stand, sorted by chain id.
    pub legs: Vec<LegEnd>,
    /// When this sequencer released it, in milliseconds since 1970.
    pub time_ms: u64,
}

/// Where a released leg stands in its block, and what it did there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegEnd {
    /// The rollup.
    pub chain_id: u64,
    /// The place of its first transaction in its block, from 0.
    pub first: u32,
    /// One receipt per transaction, if the rollup is simulated.
    pub receipts: Vec<Receipt>,
}

/// Something that subscribers are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A block is final.
    Ordered {
        /// Its height.
        height: Height,
        /// Its committed time, in milliseconds since 1970.
        time_ms: u64,
        /// Its ids in the fair order, by cohort.
        cohorts: Vec<Vec<BundleId>>,
    },
    /// A height is released.
    Released {
        /// The height.
        height: Height,
        /// Its release root.
        root: Digest,
        /// What became of each id, in the fair order.
        outcomes: Vec<(BundleId, Outcome)>,
    },
}

/// Where a bundle stands at this sequencer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleState {
    /// Nothing is known of it.
    Unknown,
    /// Held and verified, not in this sequencer's log yet.
    Held,
    /// In this sequencer's log.
    Logged,
    /// Its place is final.
    Ordered(Place),
    /// It ended.
    Ended(Place, End),
}

impl BundleState {
    /// The state that a stored place stands for.
    pub fn of(place: Place) -> Self {
        match place.end.clone() {
            Some(end) => Self::Ended(place, end),
            None => Self::Ordered(place),
        }
    }
}

/// A height as a key that sorts like the number.
pub(crate) fn height_key(height: Height) -> [u8; 8] {
    height.get().to_be_bytes()
}
