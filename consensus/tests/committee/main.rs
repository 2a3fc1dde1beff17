//! Whole committees of real engines on a simulated network, in one binary: the engine is generic,
//! and every binary compiles it anew.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod agreement;
mod byzantine;
mod ceremony;
mod certificates;
mod harness;
mod member;
