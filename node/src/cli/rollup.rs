//! `fairveil rollup`.

use clap::{Args, Subcommand};

use super::{CheckBatcher, Follow};

/// Who is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asked {
    /// A sequencer, as http://HOST:PORT; once per sequencer, or comma-separated.
    #[arg(
        long = "sequencer",
        env = "FAIRVEIL_SEQUENCERS",
        value_delimiter = ',',
        value_name = "URL",
        required = true
    )]
    pub(crate) sequencers: Vec<String>,
}

/// What the rollups of a network hold.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Rollup {
    /// An account of a simulated rollup, as the sequencers say.
    Account {
        #[command(flatten)]
        asked: Asked,
        /// The rollup.
        #[arg(long, value_name = "CHAIN_ID")]
        chain: u64,
        /// The account.
        address: String,
        /// A storage slot, as a number, decimal or 0x; may be repeated.
        #[arg(long = "slot", value_name = "SLOT")]
        slots: Vec<String>,
    },
    /// What rollups and sequencers got of the fees of bundles, as the sequencers say.
    Revenue {
        #[command(flatten)]
        asked: Asked,
    },
    /// Takes a rollup's batches one after the other from the sequencers' streams, verifies and keeps
    /// them; goes to another sequencer when one ends or serves what is refused, and on after a stop.
    /// Exit code 1 if something was refused. With --json one document a line.
    Follow(Follow),
    /// Whether signed batcher transactions of L1 hold what was released; else writes a fraud proof.
    CheckBatcher(CheckBatcher),
}
