//! The commands that are not a running sequencer.

#[cfg(feature = "bench")]
pub(crate) mod bench;
pub(crate) mod bundle;
pub(crate) mod config;
pub(crate) mod disk;
pub(crate) mod error;
pub(crate) mod keygen;
mod network;
mod outputs;
mod revenue;
pub(crate) mod rollup;
#[cfg(feature = "simulate")]
pub(crate) mod simulate;
pub(crate) mod verify;
