//! Simulates bundles over several rollup states.
//!
//! ```text
//! raw transactions ─> sender ─> bundle ─> simulator ─> receipts, or why nothing happened
//!                     parallel             a journal per rollup: all keep it, or none
//!                                          │ end of the slot
//!                                          └> changes, state digest ─> state (or a database)
//! ```
//!
//! A slot begins with one state per rollup ([`state::StateView`]) and the environment of the block
//! that each rollup will make of it ([`block::Block`]). Bundles are simulated one after the other
//! in the fair order, each over all of the rollups that it names. What the slot changed comes out
//! at its end; until then no state is touched, so a slot that is simulated again, or after a crash,
//! gives the same result.
//!
//! # Invariants of the crate
//!
//! 1. Atomicity: what a bundle changes is kept on all of its rollups, or on none.
//! 2. Determinism: outcomes, receipts, changes and digests are functions of the states, the blocks
//!    and the bundles in their order. No clock, no entropy, no order of threads or hash maps.
//! 3. Nothing here reads or writes anything but its arguments: no files, no network.
//!
//! # What it does not promise
//!
//! Simulation equals execution only if the release *is* the rollup's block: the same parent state,
//! the same deposits before it, the same base fee, and no other transactions. The data fee of L1 is
//! charged as [`block::L1Fees`] says, which for embedded rollups is nothing. How much gas fits a
//! block is the business of who cuts batches: here a transaction is only held to the block's limit
//! on its own.

#![forbid(unsafe_code)]

pub mod block;
pub mod bundle;
pub mod changes;
mod evm;
pub mod genesis;
mod layer;
pub mod outcome;
pub mod records;
pub mod sender;
pub mod simulator;
pub mod state;
#[cfg(test)]
mod tests;

pub use revm::bytecode::Bytecode;
