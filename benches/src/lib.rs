//! Measures, always beside a baseline in the same run
//!
//! | module | |
//! |---|---|
//! | [`sweep`] | the grid of a sweep: which rows are measured |
//! | [`measure`] | one row: warm-up, samples, medians with minimum and maximum |
//! | [`run`] | a whole sweep, with progress |
//! | [`report`] | what a sweep found: table, Markdown, CSV, JSON, SVG |
//! | [`budget`] | the figures that are promised, judged on a report |
//! | [`compare`] | two reports, row by row |
//! | [`environment`] | where a report was measured |
//! | [`fairveil`] | a committee of ours with sealed bundles, and what one of its members does |
//! | [`baseline`] | the same by `threshold_crypto` |
//! | [`order`] | the fair order: a block in every mode beside the naive kernel, and what the modes make of one trace |
//! | [`clock`] | processor time and wall time |
//! | [`memory`] | the most memory held during a piece of work |
//! | [`speed`] | how fast the machine multiplies in G1 |
//! | [`mev`] | what a searcher extracts, in plaintext and sealed, under a leader and in the fair order |
//! | [`plan`] | what the criterion benches in `benches/` measure, and their names |
//!
//! `fairveil bench` is the way to run a sweep; it owns the files and the terminal.
//!
//! # Invariants
//!
//! 1. Both sides of a row hold the same number of plaintext bytes for the same committee, and run
//!    in one process with the same options and threads, sample by sample in turn.
//! 2. A run counts only if both sides opened the plaintexts that were sealed.
//! 3. Everything but the times follows from fixed seeds.

#![forbid(unsafe_code)]

pub mod baseline;
pub mod budget;
pub mod clock;
pub mod compare;
pub mod environment;
pub mod fairveil;
pub mod measure;
pub mod memory;
pub mod mev;
pub mod order;
pub mod plan;
pub mod report;
pub mod run;
pub mod speed;
pub mod sweep;
