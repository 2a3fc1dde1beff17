//! `fairveil simulate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The form of an ordering scenario, by an example.
pub(crate) const ORDERING_INPUT: &str = r#"The smallest input:

{"n": 1, "f": 0, "g": 0, "mode": "strict", "blocks": [{"fragments": [{"sequencer": 1,
 "ids": ["0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}]}]}"#;

/// Seeded, replayable scenarios.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Simulate {
    /// One ordering scenario: logs in, cohorts out.
    ///
    /// The input is one JSON object, as one element of tests/vectors/ordering.json is, not the list. The
    /// result, or the code of an error, stands on standard output; why the input is refused, on standard
    /// error.
    #[command(after_long_help = ORDERING_INPUT)]
    Ordering {
        /// The scenario: one JSON object, as one element of tests/vectors/ordering.json is;
        /// docs/testing.md shows a small one.
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
    },
    /// A whole committee on a simulated network from one seed: a suite that an oracle judges, or a
    /// scenario file that is measured too.
    Committee(CommitteeArgs),
}

/// What `fairveil simulate committee` is given.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommitteeArgs {
    /// Which suite; all unless given.
    #[arg(long, conflicts_with = "scenario")]
    pub(crate) suite: Option<String>,
    /// A scenario file, JSON: prints the metrics M1 to M8 of the run, of the same with nobody cheating,
    /// and of its evidence in all modes. The exit code is 1 if something expected is missed.
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Number of seeds. With --json one document a line for each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) seeds: u64,
    /// Of a scenario: draws what came of the first seed into this file.
    #[arg(long, value_name = "FILE", requires = "scenario", conflicts_with = "suite")]
    pub(crate) svg: Option<PathBuf>,
    /// Of suite `rollups`: writes what each seed released to SEED.json in this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "scenario")]
    pub(crate) batches: Option<PathBuf>,
}
