//! The command line of `fairveil bundle dry-run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fairveil_release::dry_run::Hardfork;

/// `fairveil bundle dry-run`. The block is the same on every rollup.
#[derive(Debug, Clone, Args)]
pub(crate) struct DryRun {
    /// The bundle.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: PathBuf,
    /// The state of a rollup, as a genesis document of geth's form (`alloc`); one per leg.
    #[arg(long = "state", value_name = "CHAIN_ID:FILE", required = true)]
    pub(crate) states: Vec<String>,
    /// The block's number.
    #[arg(long, default_value_t = 1)]
    pub(crate) block: u64,
    /// The block's timestamp, in seconds since 1970; now unless given.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) time_s: Option<u64>,
    /// The block's base fee, in wei per gas.
    #[arg(long, value_name = "WEI", default_value_t = 0)]
    pub(crate) base_fee: u64,
    /// The most gas of a block.
    #[arg(long, value_name = "GAS", default_value_t = 30_000_000)]
    pub(crate) gas_limit: u64,
    /// The rollups' rules.
    #[arg(long, value_enum, default_value = "isthmus")]
    pub(crate) hardfork: HardforkKind,
}

/// Rules of an OP Stack rollup, by the upgrade that brought them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HardforkKind {
    /// Cancun with the rules of Ecotone.
    Ecotone,
    /// Cancun with the rules of Fjord.
    Fjord,
    /// Cancun with the rules of Granite.
    Granite,
    /// Cancun with the rules of Holocene.
    Holocene,
    /// Prague with the rules of Isthmus: the first that takes type 4 transactions.
    Isthmus,
    /// Prague with the rules of Jovian.
    Jovian,
}

impl From<HardforkKind> for Hardfork {
    fn from(kind: HardforkKind) -> Self {
        match kind {
            HardforkKind::Ecotone => Self::Ecotone,
            HardforkKind::Fjord => Self::Fjord,
            HardforkKind::Granite => Self::Granite,
            HardforkKind::Holocene => Self::Holocene,
            HardforkKind::Isthmus => Self::Isthmus,
            HardforkKind::Jovian => Self::Jovian,
        }
    }
}
