//! The commands that are not a running sequencer.

pub(crate) mod backup;
#[cfg(feature = "bench")]
pub(crate) mod bench;
pub(crate) mod bundle;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod disk;
pub(crate) mod error;
pub(crate) mod keygen;
pub(crate) mod man;
mod network;
mod outputs;
mod revenue;
pub(crate) mod rollup;
#[cfg(any(feature = "bench", feature = "simulate"))]
mod seeds;
#[cfg(feature = "simulate")]
pub(crate) mod simulate;
pub(crate) mod verify;
