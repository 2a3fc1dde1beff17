//! Whole committees on a simulated network, with named adversaries, from one seed.
//!
//! | module | holds |
//! |---|---|
//! | [`committee`] | committees of real sequencers, their suites, and an independent oracle |
//! | [`disk`] | a disk that forgets what wasn't synced |
//! | [`ordering_scenario`] | the fair order alone, of a file of logs |
//! | [`scenario`] | whole runs that a scenario file describes, measured by M1 to M8 |

#![forbid(unsafe_code)]

pub mod committee;
pub mod disk;
pub mod ordering_scenario;
pub mod scenario;
