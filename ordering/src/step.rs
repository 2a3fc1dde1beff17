//! What goes into a block's APPLY, and what comes out.

use std::collections::BTreeMap;

use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex, certificate::Emission};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::record::Validity;

/// Who decides the order. All modes take the same steps; they differ in what they make of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The logs of a quorum, by the strict rule.
    Strict,
    /// The leader's list: the control of experiments, without any fairness.
    Leader,
    /// The logs of a quorum, by the published rule of Themis: cohorts are the components of the
    /// tournament.
    Themis,
    /// The lower median of n - f or more signed receive times, as in Pompē.
    Median,
}

impl Mode {
    /// All modes, the default first.
    pub const ALL: [Self; 4] = [Self::Strict, Self::Themis, Self::Median, Self::Leader];

    /// The mode as it stands in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Themis => "themis",
            Self::Median => "median",
            Self::Leader => "leader",
        }
    }

    /// The mode of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// What a block may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Everything.
    Ordering,
    /// The end of an epoch: what is pending is decided and emitted, nothing more is proposed.
    Draining,
}

/// What one log grew by.
#[derive(Clone, Copy, Debug)]
pub struct Appended<'a> {
    /// Whose log.
    pub sequencer: SequencerIndex,
    /// New entries, in order.
    pub ids: &'a [BundleId],
    /// In mode `median` when each was received, in milliseconds since 1970, never descending; else
    /// empty.
    pub times_ms: &'a [u64],
    /// The clock of the log's head, in milliseconds since 1970. Only mode `median` looks at it: what
    /// the log grows by later was received no earlier.
    pub clock_ms: u64,
}

impl<'a> Appended<'a> {
    /// Entries without receive times, for every mode but `median`.
    pub fn new(sequencer: SequencerIndex, ids: &'a [BundleId]) -> Self {
        Self { sequencer, ids, times_ms: &[], clock_ms: 0 }
    }
}

/// The input of one block.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// One more than the height of the last step.
    pub height: Height,
    /// Breaks ties: the digest of the parent block.
    pub seed: Digest,
    /// What the block may do.
    pub phase: Phase,
    /// At most one entry per sequencer, in any order.
    pub appended: &'a [Appended<'a>],
    /// In mode `leader` what is emitted, else empty.
    pub list: &'a [BundleId],
    /// `expires_at` of at least the ids of [`FairOrder::would_reach_edge`](crate::FairOrder::would_reach_edge).
    pub expiries: &'a BTreeMap<BundleId, Height>,
}

/// What a block emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Cohorts in order, ids in order inside, each open or expired. The index of an id counts
    /// over all cohorts.
    pub emission: Emission,
    /// Ids that stand in T logs since this block: every honest sequencer must hold and report
    /// them from now on. In the order of ids.
    pub reached_edge: Vec<BundleId>,
}

/// Where an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In no log, or no longer remembered.
    Unknown,
    /// In so many logs, not proposed.
    Logged {
        /// Logs that contain it.
        logs: u16,
    },
    /// In a proposal that has not emitted it yet; in mode `median`: its time is settled.
    Proposed {
        /// Logs that contain it.
        logs: u16,
    },
    /// At its final place.
    Emitted {
        /// The block that emitted it.
        height: Height,
        /// Its index in that block's output.
        index: u32,
        /// Whether its window was open.
        validity: Validity,
    },
    /// Too few logs reported it for too long, or its window closed before it was proposed.
    Forgotten,
}

/// Why a step is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// Not the next height.
    #[error("block of height {actual}, the next is {expected}")]
    Height {
        /// The next height.
        expected: Height,
        /// The block's.
        actual: Height,
    },
    /// No such sequencer in the committee.
    #[error("sequencer {sequencer} in a committee of {n}")]
    UnknownSequencer {
        /// The index.
        sequencer: SequencerIndex,
        /// The committee's size.
        n: u16,
    },
    /// Two entries of one sequencer.
    #[error("sequencer {sequencer} stands in the block twice")]
    DuplicateSequencer {
        /// The index.
        sequencer: SequencerIndex,
    },
    /// A log holds an id at most once.
    #[error("the log of sequencer {sequencer} repeats {id}")]
    RepeatedId {
        /// Whose log.
        sequencer: SequencerIndex,
        /// The id.
        id: BundleId,
    },
    /// A log with too many ids that hardly anybody else reports.
    #[error("the log of sequencer {sequencer} has {actual} ids below T, above {limit} it waits")]
    LogFull {
        /// Whose log.
        sequencer: SequencerIndex,
        /// Its ids below T.
        actual: u32,
        /// [`crate::MAX_BELOW_EDGE`].
        limit: u32,
    },
    /// Another number of receive times than the mode wants: one per id in `median`, else none.
    #[error(
        "the log of sequencer {sequencer} has {actual} receive times, mode {mode} wants {expected}"
    )]
    Times {
        /// Whose log.
        sequencer: SequencerIndex,
        /// The mode's name.
        mode: &'static str,
        /// What the mode wants.
        expected: usize,
        /// What the step has.
        actual: usize,
    },
    /// A log's clock goes back.
    #[error("the log of sequencer {sequencer} says {actual} ms after {previous} ms")]
    ClockBack {
        /// Whose log.
        sequencer: SequencerIndex,
        /// The latest that it said before, in milliseconds since 1970.
        previous: u64,
        /// What it says now.
        actual: u64,
    },
    /// An id reaches T, and the caller did not say when its window closes.
    #[error("{id} reaches T, and its expiry is missing")]
    MissingExpiry {
        /// The id.
        id: BundleId,
    },
    /// A leader's list in another mode than `leader`.
    #[error("a list of {actual} ids in mode {mode}")]
    UnexpectedList {
        /// The mode's name.
        mode: &'static str,
        /// Its length.
        actual: usize,
    },
    /// The list names an id twice, or one that is emitted or forgotten.
    #[error("the list names {id}, which is already settled")]
    ListedTwice {
        /// The id.
        id: BundleId,
    },
    /// The list names an id whose window has closed.
    #[error("the list names {id}, whose window is closed at height {height}")]
    ListedExpired {
        /// The id.
        id: BundleId,
        /// The block's.
        height: Height,
    },
}
