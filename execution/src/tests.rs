//! Tests of the crate as a whole; the numbers in their names are those of the modules' invariants.

mod changes;
mod determinism;
mod genesis;
mod model;
mod records;
mod sender;
mod simulate;
mod slot;
mod state;
mod world;
