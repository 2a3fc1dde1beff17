//! The numbers of a definition, each with its limits.

use std::time::Duration;

use fairveil_crypto::Digest;
use fairveil_crypto::envelope::SizeClass;
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
    /// The published rule of Themis: a baseline.
    Themis,
    /// The median of signed receive times: a baseline.
    Median,
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

/// What bundles cost, who has deposited, and who gets what is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounting {
    /// The digest of the deposits: every sequencer must have the document
    /// ([`crate::deposits`]).
    pub deposits: Digest,
    /// What a bundle costs for each plaintext byte of its size class.
    pub fee_per_byte: u64,
    /// How much of a released bundle's fee its rollups get; the sequencers get the rest.
    pub rollup_share_percent: u8,
}

/// A rollup of the initial registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollup {
    /// Its chain id.
    pub chain_id: u64,
    /// What people call it: 1 to 32 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// The sum of the gas limits of a block's transactions may reach this.
    #[serde(default = "default_gas_limit")]
    pub gas_limit: u64,
    /// The sum of the lengths of a block's transactions may reach this, in bytes.
    #[serde(default = "default_byte_limit")]
    pub byte_limit: u64,
    /// Whether type 4 (EIP-7702) transactions are taken.
    #[serde(default)]
    pub allows_set_code: bool,
    /// When it makes blocks. All rollups say so, or none: then each has one block per height.
    pub blocks: Option<RollupBlocks>,
    /// The state that its legs are simulated over. Without, nothing is simulated.
    pub state: Option<RollupState>,
}

/// When a rollup makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollupBlocks {
    /// The timestamp of block 0 in milliseconds since 1970.
    pub genesis_ms: u64,
    /// The time from one block to the next in milliseconds.
    pub interval_ms: u64,
}

/// Where the state comes from that a rollup's legs are simulated over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum RollupState {
    /// It begins as a genesis, and what is released is all that changes it.
    Embedded {
        /// The digest of its genesis: every sequencer must have the document.
        genesis: Digest,
        /// The base fee of every block, in wei per gas.
        base_fee: u64,
    },
    /// Others feed the rollup too: every sequencer asks a node of it.
    Followed {
        /// How old a block may be whose state bundles are simulated over, in milliseconds.
        max_age_ms: u64,
        /// How many gas targets a block's gas limit holds (EIP-1559).
        elasticity: u64,
        /// By what part of itself the base fee changes at most (EIP-1559).
        denominator: u64,
    },
}

/// Why a parameter is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A number is outside its limits.
    #[error("{parameter} is {actual}, it must be {least} to {most}: the nearest is {}",
        (*actual).clamp(*least, *most))]
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

/// The gas limit of a rollup's blocks, unless the definition has another.
const DEFAULT_GAS_LIMIT: u64 = 30_000_000;
/// The byte limit of a rollup's blocks, unless the definition has another.
const DEFAULT_BYTE_LIMIT: u64 = 1 << 20;

/// The largest fee per byte: the fee of the largest class stays below 2^63.
const MAX_FEE_PER_BYTE: u64 = (i64::MAX as u64) / SizeClass::MAX.plaintext_bytes() as u64;

/// Heights for which a log head counts as fresh.
const FRESHNESS_WINDOW: u64 = 32;

const fn default_gas_limit() -> u64 {
    DEFAULT_GAS_LIMIT
}

const fn default_byte_limit() -> u64 {
    DEFAULT_BYTE_LIMIT
}

impl Rollup {
    /// A rollup with a block per height, 30,000,000 gas and 1 MiB each, without a state.
    #[must_use]
    pub fn new(chain_id: u64, name: &str) -> Self {
        Self {
            chain_id,
            name: name.to_owned(),
            gas_limit: DEFAULT_GAS_LIMIT,
            byte_limit: DEFAULT_BYTE_LIMIT,
            allows_set_code: false,
            blocks: None,
            state: None,
        }
    }
}

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

impl Accounting {
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        in_range("fee_per_byte", self.fee_per_byte, 1, MAX_FEE_PER_BYTE)?;
        in_range("rollup_share_percent", self.rollup_share_percent.into(), 0, 100)
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

pub(super) fn check_resharing(resharing: &super::Resharing) -> Result<(), ParameterError> {
    // TOML's integers are signed.
    in_range("boundary", resharing.boundary.get(), 1, i64::MAX as u64)
}

pub(super) fn check_rollups(sorted: &[Rollup]) -> Result<(), ParameterError> {
    in_range("the number of rollups", sorted.len() as u64, 0, super::MAX_ROLLUPS as u64)?;
    for rollup in sorted {
        // TOML's integers are signed.
        const MOST: u64 = i64::MAX as u64;
        in_range("chain_id", rollup.chain_id, 1, MOST)?;
        in_range("gas_limit", rollup.gas_limit, 1, MOST)?;
        in_range("byte_limit", rollup.byte_limit, 1, MOST)?;
        if let Some(RollupBlocks { genesis_ms, interval_ms }) = rollup.blocks {
            in_range("genesis_ms", genesis_ms, 0, MOST)?;
            in_range("interval_ms", interval_ms, 1, MOST)?;
        }
        match rollup.state {
            Some(RollupState::Embedded { base_fee, .. }) => {
                in_range("base_fee", base_fee, 0, MOST)?;
            }
            Some(RollupState::Followed { max_age_ms, elasticity, denominator }) => {
                in_range("max_age_ms", max_age_ms, 1_000, 600_000)?;
                in_range("elasticity", elasticity, 1, MOST)?;
                in_range("denominator", denominator, 1, MOST)?;
            }
            None => {}
        }
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
