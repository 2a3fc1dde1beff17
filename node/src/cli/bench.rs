//! The command line of `fairveil bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ByzantineKind, Kinds};

/// `fairveil bench`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Bench {
    /// Opening sealed bundles beside threshold_crypto: what one server does, stage by stage.
    Decrypt {
        #[command(flatten)]
        grid: BenchGrid,
        /// Sequencers that send bad shares, comma-separated; n-t is as many as can be.
        #[arg(long, value_delimiter = ',', value_name = "COUNT")]
        bad_shares: Vec<String>,
        /// Folder for report.md, rows.csv, report.json and the plots; replaces those in it.
        #[arg(long, value_name = "DIR", default_value = "bench-decrypt")]
        out: PathBuf,
    },
    /// Sealing beside threshold_crypto: what a trader does.
    Seal {
        #[command(flatten)]
        grid: BenchGrid,
        /// Folder for report.md, rows.csv, report.json and the plots; replaces those in it.
        #[arg(long, value_name = "DIR", default_value = "bench-seal")]
        out: PathBuf,
    },
    /// Compares two reports row by row; exit code 1 if a row is worse.
    Compare {
        /// The earlier report.json.
        first: PathBuf,
        /// The later report.json.
        second: PathBuf,
    },
    /// What a searcher extracts from one flow of swaps: in plaintext and sealed, under a leader and in
    /// the fair order.
    Mev(Meter),
    /// The fair order: one block in every mode beside the naive kernels, memory and snapshots, with the
    /// budgets (exit code 1 if one is not held), and what the modes make of the same traces.
    Order {
        /// Committees and ids in flight as N:IDS:JITTER, comma-separated: an id reaches the sequencers
        /// within JITTER later ids. The standard rows unless given.
        #[arg(long, value_delimiter = ',', value_name = "N:IDS:JITTER")]
        rows: Vec<String>,
        /// Samples of each row.
        #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=99))]
        samples: u16,
        /// Two small rows.
        #[arg(long, conflicts_with = "rows")]
        quick: bool,
    },
    /// A network of sequencer processes on this machine under an open-loop load of sealed bundles.
    E2e(EndToEnd),
}

/// What a sweep measures: the standard sweep, or the product of what is given here.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchGrid {
    /// Sequencers, comma-separated. Without a flag of the grid the standard sweep is measured, with
    /// one the product of what is given.
    #[arg(long, value_delimiter = ',')]
    pub(crate) n: Vec<String>,
    /// Ciphertexts of a batch, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "COUNT")]
    pub(crate) batch: Vec<String>,
    /// Threads of either side, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "COUNT")]
    pub(crate) threads: Vec<String>,
    /// Bytes of a padded bundle, comma-separated: 512, 1024, 2048 and so on to 65536.
    #[arg(long, value_delimiter = ',', value_name = "BYTES")]
    pub(crate) bundle_bytes: Vec<String>,
    /// Few rows, in less than two minutes; not for quoting.
    #[arg(long)]
    pub(crate) quick: bool,
}

/// `fairveil bench mev`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Meter {
    /// Flows that are run through every arm; 12 with --quick.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(2..=10_000))]
    #[arg(default_value_t = 200, default_value_if("quick", "true", "12"))]
    pub(crate) seeds: u64,
    /// The seed of the first flow; the others follow.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) first_seed: u64,
    /// Few seeds, in some seconds; not for quoting.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Folder for report.md, runs.csv, report.json and extraction.svg; replaces those in it.
    #[arg(long, value_name = "DIR", default_value = "bench-mev")]
    pub(crate) out: PathBuf,
}

/// `fairveil bench e2e`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EndToEnd {
    /// Number of sequencers.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(4..=16))]
    pub(crate) sequencers: u16,
    /// Bundles a second; several rates, comma-separated, are measured one after the other.
    #[arg(
        long = "rate",
        value_name = "R,...",
        value_delimiter = ',',
        default_value = "150,300",
        value_parser = clap::value_parser!(u64).range(1..=5_000)
    )]
    pub(crate) rates: Vec<u64>,
    /// How long each rate lasts, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=600))]
    pub(crate) seconds: u64,
    /// Bytes of a bundle's plaintext, its padding included: 512 is the smallest size class.
    #[arg(long, default_value_t = 512)]
    pub(crate) bundle_bytes: usize,
    /// Bundles a second beside them that are signed, and whose proofs do not hold.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u64).range(1..=5_000))]
    pub(crate) flood: Option<u64>,
    /// Makes the last sequencer Byzantine; `condorcet:BUNDLES` for another number of own bundles than 10.
    #[arg(long, value_name = "KIND", value_parser = Kinds)]
    pub(crate) byzantine: Option<ByzantineKind>,
    /// Seed of accounts and bundles; keys are always fresh.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Folder of the network, on the disk that is to be measured; a new temporary one unless given.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}
