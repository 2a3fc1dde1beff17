//! Measures, always beside a baseline in the same run
//!
//! | module | |
//! |---|---|
//! | `clock` | the processor time that criterion measures with |
//! | `plan` | what is measured beside what, for the benches and for the table of ratios |
//! | `fairveil` | a committee of ours with sealed bundles, and what one of its members does |
//! | `baseline` | the same by `threshold_crypto` |
//!
//! The benches stand in `benches/`; the binary `ratios` prints the table of the last run.

#![forbid(unsafe_code)]

pub mod baseline;
pub mod clock;
pub mod fairveil;
pub mod plan;
