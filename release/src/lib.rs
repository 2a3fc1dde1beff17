//! Opens exactly the bundles of a final order and cuts them into atomic batches per rollup.
//!
//! ```text
//! final order ─> opener ─> validity ─> batch ─> tree ─> release ─> certificate, document
//!  (crypto)      shares    static      slots    leaves   chain      offline verification
//! ```
//!
//! Scope: policy `include` with static validity, a slot is one height, the embedded rollup is a
//! recorder of batches. Policy `execute` gives `state_unavailable`; nothing is charged. Module
//! [`op`] writes what the nodes of an OP Stack rollup derive; no command uses it yet.

#![forbid(unsafe_code)]

pub mod adoption;
pub mod batch;
pub mod certificate;
pub mod chain;
pub mod document;
#[cfg(feature = "execution")]
pub mod dry_run;
pub mod evidence;
pub mod failed;
pub mod message;
pub mod op;
pub mod opener;
pub mod proof;
pub mod registry;
pub mod release;
pub mod slot;
pub mod transaction;
pub mod tree;
pub mod validity;
#[cfg(test)]
mod world;
