//! Judges the whole by independent oracles
