//! The MEV meter: what a searcher extracts from the same flow in four arms.
//!
//! Two constant-product pools stand on two rollups, as contracts in the EVM. Honest traders swap,
//! desks and arbitrageurs level the pools. A searcher sandwiches, copies and back-runs: in plaintext
//! or sealed, under a leader's order or in the fair one. His strategies are the same in all arms;
//! what differs is what he knows, and what his sequencer may do.
//!
//! | module | |
//! |---|---|
//! | [`amm`] | the pools in integers |
//! | [`chain`] | the same pools as contracts on two rollups |
//! | [`flow`] | who trades what when |
//! | [`network`] | who hears what when |
//! | [`plan`] | what the searcher does about a bundle, given what he believes |
//! | [`arm`] | one run: events, blocks, the searcher |
//! | [`run`] | all runs of a meter |
//! | [`statistics`] | means and shares with 95 % intervals |
//! | [`report`] | what was found, as Markdown, CSV, JSON and SVG |
//!
//! # Invariants
//!
//! 1. Every order comes from [`fairveil_ordering::FairOrder`], every effect from the EVM; a model
//!    that differs from the EVM in one bundle ends the meter.
//! 2. The searcher knows what the threat model grants him, and never the contents of a bundle that
//!    is sealed to him.
//! 3. A seed gives the same figures everywhere: money, time and draws are integers up to the sums
//!    over runs.
//! 4. What uses public information alone stands apart from what does not.

pub mod amm;
pub mod arm;
pub mod chain;
pub mod flow;
pub mod network;
pub mod plan;
pub mod report;
pub mod run;
pub mod statistics;

use fairveil_examples::scenario::ExampleError;

/// Why a run has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MevError {
    /// A contract, a state or a transaction that is not of its form.
    #[error("contracts: {0}")]
    Contracts(String),
    /// Model and EVM differ.
    #[error("model and EVM differ: {0}")]
    Differ(String),
    /// The order refused a step.
    #[error("order: {0}")]
    Order(String),
}

impl From<ExampleError> for MevError {
    fn from(error: ExampleError) -> Self {
        Self::Contracts(error.to_string())
    }
}
