//! Scenarios: whole runs of real sequencers, described by a file, measured by M1 to M8.
//!
//! ```text
//! scenario file, seed ──> plan ──> committee of sequencers ──> record ──> order ──> figures ──> verdicts
//!                           └────> the same, nobody cheats ──> record ──┘   ^
//!                                                  committed evidence ──────┴── in other modes
//! ```
//!
//! A run is one of [`crate::committee`], with its sequencers, network, disks and oracle: what the oracle
//! finds wrong fails the run, whatever the file expects. What is measured comes from what is left
//! behind ([`record`]): true receive orders, committed evidence, certificates, sent times.
//!
//! | module | holds |
//! |---|---|
//! | [`file`](mod@file) | the format of scenario files |
//! | [`run`](mod@run) | one scenario and one seed |
//! | [`record`] | what a run leaves behind |
//! | [`order`] | the order of a run, and what other modes make of its evidence |
//! | [`metrics`] | M1 to M8 |
//! | [`expect`] | what a file expects of its figures |
//! | [`table`], [`plot`] | an outcome for people, as JSON, and as a picture |
//! | [`over_seeds`] | what several seeds gave |
//!
//! # Invariants
//!
//! 1. Same scenario and seed, same bytes: of the table, the JSON and the picture. No figure depends on
//!    the machine; computing takes no virtual time.
//! 2. The run's evidence makes the run's order: computed again, block by block, it is compared.
//! 3. All modes see the same evidence.
//! 4. The zeros of M1 hold in every run of mode `strict`, or the run has failed, whatever its file expects.

pub mod expect;
pub mod file;
pub mod metrics;
pub mod order;
pub mod over_seeds;
mod plan;
pub mod plot;
pub mod record;
pub mod run;
pub mod table;

pub use self::expect::{Bound, Expectation, Subject, Verdict, Whose};
pub use self::file::{FileError, Scenario};
pub use self::over_seeds::OverSeeds;
pub use self::record::Record;
pub use self::run::{Outcome, run};
