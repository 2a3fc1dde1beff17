//! `fairveil rollup`.

use clap::{Args, Subcommand};

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
    /// Verified batches as signed batcher transactions for L1, from which the nodes of an OP Stack
    /// rollup derive exactly what was released.
    Frames(super::Frames),
    /// Has an OP engine build the released blocks of verified batches, one after the other, over the
    /// Engine API. No OP engine has accepted these calls yet.
    Engine(super::EngineOutput),
    /// What rollups and sequencers got of the fees of bundles, as the sequencers say.
    Revenue {
        #[command(flatten)]
        asked: Asked,
    },
}
