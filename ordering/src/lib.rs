//! Turns the order logs of a quorum into one fair order
//!
//! Every sequencer appends the ids of sealed bundles to its own log in the order in which it
//! received them, and signs the log's head. Blocks carry fragments of these logs. From them alone,
//! every validator computes the same order: the leader chooses nothing but which fragments to
//! carry. An id is a hash; nothing here can see what a bundle does.
//!
//! | module | |
//! |---|---|
//! | `committee` | n, f, g and the thresholds T and S |
//! | `log` | the chain of a log, signed heads, a sequencer's own log |
//! | `evidence` | what a leader gathers, and the proof of equivocation |
//! | `packed` | the same as a block carries it |
//! | `state` | committed heads, validation, APPLY on signed evidence, epochs |
//! | `order`, `step` | APPLY on plain log entries, its input and output |
//! | `proposal` | PROPOSE, UPDATE, safe prefixes |
//! | `graph`, `kernel`, `bits` | pairs of ids, their weights, as bit rows |
//! | `components`, `linearize` | cohorts and the order inside them |
//! | `tree`, `record` | what is known of each id, with a Merkle digest |
//! | `snapshot` | the state as canonical bytes |
//! | `rules` | every constant, and what the tests mutate |
//!
//! # What is fixed here beyond the design
//!
//! 1. Median: lower median of absolute positions from 0, absent = infinity. A cohort's priority
//!    is (least median, least key) of its members.
//! 2. key(x) = hash(OrderKey, seed, x): the seed of the block that proposes breaks ties of pairs
//!    decided there, that of the deciding block in UPDATE, that of the emitting block in
//!    LINEARIZE.
//! 3. A cohort is rotated to end on the solid id that stood last in the path before.
//! 4. A log is judged full by the state before the block: it may pass 4,096 within one block.
//! 5. An emitted id is remembered for 64 heights after its window, and a forgotten one for as
//!    long as its window can last, then up to 256 more.
//! 6. A head with `height_seen` >= height is admitted and does not count.

#![forbid(unsafe_code)]

mod bits;
mod committee;
mod components;
mod evidence;
mod graph;
mod kernel;
mod linearize;
mod log;
#[cfg(any(test, feature = "naive"))]
pub mod naive;
mod order;
mod packed;
mod proposal;
mod record;
mod rules;
mod snapshot;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod tree;

pub use committee::{Committee, CommitteeError, MAX_SEQUENCERS, Thresholds};
pub use evidence::{
    Equivocation, EquivocationError, Evidence, EvidenceError, Fragment, MAX_IDS_PER_BLOCK,
    VerifiedEvidence,
};
pub use log::{AlreadyLogged, LogHead, LogName, OrderLog, Tip};
pub use order::FairOrder;
pub use packed::{PackError, PackedEvidence};
pub use record::Validity;
pub use rules::{
    CAP_CANDIDATES, CAP_SOLID, FORGET_HEIGHTS, FRESH_HEIGHTS, GRACE_HEIGHTS, MAX_BELOW_EDGE,
    MAX_WINDOW_HEIGHTS,
};
pub use snapshot::{MAX_SNAPSHOT_BYTES, RestoreError};
pub use state::{Block, BlockError, State, StillPending, median_time_ms};
pub use step::{Appended, Mode, OrderError, Output, Phase, Status, Step};
