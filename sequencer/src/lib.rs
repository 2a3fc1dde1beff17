//! One sequencer: its pool, order log, consensus, opening and release, on any runtime, network
//! and store.
