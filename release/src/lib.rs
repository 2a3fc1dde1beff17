//! Opens exactly the bundles of a final order and cuts them into atomic batches per rollup.
//!
//! ```text
//! final order ─> opener ─> validity ─> chain ──> cut ─────────────────> tree ─> release ─> document
//!  (crypto)      shares    static      waiting  placement, simulation   leaves  batches    offline
//! ```
//!
//! Module [`op`] writes what the nodes of an OP Stack rollup derive, and reads it back; [`fraud`] judges
//! what was said to be a batch.

#![forbid(unsafe_code)]

pub mod adoption;
pub mod batch;
pub mod boundary;
pub mod carry_over;
pub mod certificate;
pub mod chain;
mod cut;
pub mod document;
pub mod dry_run;
pub mod evidence;
pub mod failed;
pub mod feed;
pub mod fraud;
pub mod ledger;
pub mod message;
pub mod op;
pub mod opener;
pub mod proof;
pub mod release;
/// Slots, and which block of a slot a leg goes into.
pub mod slot {
    pub use fairveil_registry::slot::*;

    pub mod placement;
}
pub mod states;
pub mod transaction;
pub mod tree;
pub mod validity;
pub mod views;
#[cfg(test)]
mod world;

pub use fairveil_registry::{anchor, change, registry, schedule};
