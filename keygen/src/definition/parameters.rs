//! The numbers of a definition, each with its limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::member::{NameError, check_name};

/// How the fair order is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The fair order.
    Strict,
    /// Whatever the leader says: the control of experiments, never for a network.
    Leader,
}

/// Parameters of the fair order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ordering {
    /// How the order is made.
    pub mode: Mode,
    /// A log head counts while it has seen one of the last so many heights (W).
    pub freshness_window_heights: u32,
}

/// How often blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    /// The least time between two blocks.
    pub minimum_interval_ms: u32,
    /// The time between two blocks while there is no new evidence.
    pub idle_interval_ms: u32,
}

/// How long each step of the ceremony may take before members vote to close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    /// For the dealings.
    pub deal_ms: u64,
    /// For the acknowledgements.
    pub acknowledge_ms: u64,
    /// For the dealers' logs.
    pub log_ms: u64,
    /// For the confirmations.
    pub confirm_ms: u64,
}

/// A rollup of the initial registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollup {
    /// Its chain id.
    pub chain_id: u64,
    /// What people call it: 1 to 32 of `a-z`, `0-9` and `-`.
    pub name: String,
}

/// Why a parameter is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A number is outside its limits.
    #[error("{parameter} is {actual}, it must be {least} to {most}")]
    Range {
        /// Which.
        parameter: &'static str,
        /// The number found.
        actual: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// A chain id stands twice.
    #[error("chain id {chain_id} stands twice in the registry")]
    DuplicateRollup {
        /// The chain id.
        chain_id: u64,
    },
    /// A rollup's name is not one.
    #[error("rollup name {name:?}: {error}")]
    RollupName {
        /// The name.
        name: String,
        /// What is wrong with it.
        error: NameError,
    },
}

/// Heights for which a log head counts as fresh.
const FRESHNESS_WINDOW: u64 = 32;

impl Default for Ordering {
    fn default() -> Self {
        Self { mode: Mode::Strict, freshness_window_heights: 32 }
    }
}

impl Default for Blocks {
    fn default() -> Self {
        Self { minimum_interval_ms: 100, idle_interval_ms: 1_000 }
    }
}

impl Default for Deadlines {
    /// An hour for each step: members are people in different places.
    fn default() -> Self {
        let hour = 3_600_000;
        Self { deal_ms: hour, acknowledge_ms: hour, log_ms: hour, confirm_ms: hour }
    }
}

impl Ordering {
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let window = u64::from(self.freshness_window_heights);
        // The fair order knows one window. The field stands in the format for the day it knows more.
        in_range("freshness_window_heights", window, FRESHNESS_WINDOW, FRESHNESS_WINDOW)
    }
}

impl Blocks {
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let least = u64::from(self.minimum_interval_ms);
        in_range("minimum_interval_ms", least, 1, 60_000)?;
        in_range("idle_interval_ms", u64::from(self.idle_interval_ms), least, 3_600_000)
    }
}

impl Deadlines {
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let (least, most) = (100, 30 * 24 * 3_600_000);
        in_range("deal_ms", self.deal_ms, least, most)?;
        in_range("acknowledge_ms", self.acknowledge_ms, least, most)?;
        in_range("log_ms", self.log_ms, least, most)?;
        in_range("confirm_ms", self.confirm_ms, least, most)
    }

    /// The deadline for the dealings.
    #[must_use]
    pub const fn deal(&self) -> Duration {
        Duration::from_millis(self.deal_ms)
    }

    /// The deadline for the acknowledgements.
    #[must_use]
    pub const fn acknowledge(&self) -> Duration {
        Duration::from_millis(self.acknowledge_ms)
    }

    /// The deadline for the dealers' logs.
    #[must_use]
    pub const fn log(&self) -> Duration {
        Duration::from_millis(self.log_ms)
    }

    /// The deadline for the confirmations.
    #[must_use]
    pub const fn confirm(&self) -> Duration {
        Duration::from_millis(self.confirm_ms)
    }
}

pub(super) fn check_rollups(sorted: &[Rollup]) -> Result<(), ParameterError> {
    in_range("the number of rollups", sorted.len() as u64, 0, super::MAX_ROLLUPS as u64)?;
    for rollup in sorted {
        // TOML's integers are signed.
        in_range("chain_id", rollup.chain_id, 1, i64::MAX as u64)?;
        check_name(&rollup.name)
            .map_err(|error| ParameterError::RollupName { name: rollup.name.clone(), error })?;
    }
    match sorted.windows(2).find(|pair| pair[0].chain_id == pair[1].chain_id) {
        Some(pair) => Err(ParameterError::DuplicateRollup { chain_id: pair[0].chain_id }),
        None => Ok(()),
    }
}

fn in_range(
    parameter: &'static str,
    actual: u64,
    least: u64,
    most: u64,
) -> Result<(), ParameterError> {
    if (least..=most).contains(&actual) {
        return Ok(());
    }
    Err(ParameterError::Range { parameter, actual, least, most })
}
