//! `fairveil simulate`.

use std::path::PathBuf;

use clap::Subcommand;

/// Seeded, replayable scenarios.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Simulate {
    /// One ordering scenario: logs in, cohorts out.
    Ordering {
        /// The scenario, JSON.
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
    },
    /// A whole committee on a simulated network from one seed.
    Committee {
        /// Which suite; all unless given.
        #[arg(long)]
        suite: Option<String>,
        /// First seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Number of seeds.
        #[arg(long, default_value_t = 1)]
        seeds: u64,
        /// Of suite `rollups`: writes what each seed released to SEED.json in this folder.
        #[arg(long, value_name = "DIR")]
        batches: Option<PathBuf>,
    },
}
