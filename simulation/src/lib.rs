//! Whole committees on a simulated network, with named adversaries, from one seed.
//!
//! | module | holds |
//! |---|---|
//! | [`committee`] | committees of real sequencers, their suites, and an independent oracle |
//! | [`disk`] | a disk that forgets what wasn't synced |
//! | [`ordering_scenario`] | the fair order alone, of a scenario file |

#![forbid(unsafe_code)]

pub mod committee;
pub mod disk;
pub mod ordering_scenario;
