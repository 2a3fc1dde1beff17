//! Whole committees on a simulated network, with named adversaries, from one seed

pub mod ordering_scenario;
