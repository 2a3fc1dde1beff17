//! Judges the whole by independent oracles

pub mod vectors;
