//! Worked examples of bundles over several rollups: contracts, states, signed transactions.
//!
//! ```text
//! contracts/*.sol ─ build.mjs ─> contracts/out/*.json ─> contract ─┐
//!                                                       accounts ──┼─> a scenario's files
//!                                                    genesis, leg ─┘   901.json, 901.txt, ...
//! ```
//!
//! Each scenario has a folder beside `src` with a README, a genesis document per rollup, and a file
//! of signed transactions per leg. All but the READMEs is made here and committed; a test compares.
//! The tests then load what is committed and simulate it.
//!
//! # Invariants
//!
//! 1. The files are a function of this crate and of the compiled contracts: same bytes everywhere.
//! 2. Nothing here does I/O: files are given as paths and texts.

#![forbid(unsafe_code)]

pub mod accounts;
pub mod arbitrage;
pub mod burn_and_mint;
pub mod contract;
pub mod genesis;
pub mod leg;
pub mod scenario;
pub mod vault;
pub mod vote;
