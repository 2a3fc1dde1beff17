//! Judges the whole by independent oracles, and everything that reads bytes by its own invariants.

pub mod targets;
pub mod vectors;
