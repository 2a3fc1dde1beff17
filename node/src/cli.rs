//! The command line: every command, flag and exit code. `docs/cli.md` and the shell completions
//! are generated from these definitions.

#[cfg(feature = "bench")]
mod bench;
mod byzantine;
mod dry_run;
mod follow;
mod keygen;
mod operator;
mod outputs;
mod rollup;
mod settings;
#[cfg(feature = "simulate")]
mod simulate;
mod verify;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

#[cfg(feature = "bench")]
pub(crate) use self::bench::{Bench, BenchGrid, EndToEnd, Meter};
pub(crate) use self::byzantine::{ByzantineKind, Kinds};
pub(crate) use self::dry_run::DryRun;
pub(crate) use self::follow::{CheckBatcher, Follow};
pub(crate) use self::keygen::{CeremonyStep, Keygen, OrderMode, Succession};
pub(crate) use self::operator::{Backup, Check, Restore};
pub(crate) use self::outputs::{Engine as EngineOutput, Frames, Source};
pub(crate) use self::rollup::{Proposal, Propose, Rollup};
pub(crate) use self::settings::SettingFlags;
#[cfg(all(test, feature = "simulate"))]
pub(crate) use self::simulate::ORDERING_INPUT;
#[cfg(feature = "simulate")]
pub(crate) use self::simulate::{CommitteeArgs, Simulate};
pub(crate) use self::verify::{Pinned, Verify, VerifyCommand};

/// Exit codes, the same for every command.
pub(crate) mod exit {
    /// Everything asked for was done and every check passed.
    pub(crate) const OK: u8 = 0;
    /// A check failed: a proof that doesn't verify, a sequencer that isn't ready, a lost bundle.
    pub(crate) const CHECK: u8 = 1;
    /// The command line, a file or the configuration can't be used.
    pub(crate) const USAGE: u8 = 2;
    /// The bundle was rejected by too many sequencers, or failed.
    pub(crate) const REJECTED: u8 = 3;
    /// The bundle's window closed before it was ordered.
    pub(crate) const EXPIRED: u8 = 4;
    /// Too few sequencers answered, or a trace is too little to judge.
    pub(crate) const UNREACHABLE: u8 = 5;
    /// Whoever read the output closed it: the code of a process that SIGPIPE ended.
    pub(crate) const CLOSED_OUTPUT: u8 = 141;
}

/// A fair-ordering, threshold-encrypted mempool for shared sequencers.
#[derive(Debug, Parser)]
#[command(name = "fairveil", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Top,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Top {
    /// The whole story in one command: ceremony, 5 sequencers, 50 sealed bundles, an attack, two
    /// crashes; exit code 0 if every check passed.
    Demo(Demo),
    /// A network of sequencers on this machine, left running until Ctrl-C.
    Dev(Dev),
    /// One sequencer, from a configuration file.
    Node(Node),
    /// Shows the configuration and where each value comes from.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Looks at everything that a sequencer needs: a verdict per line, exit code 1 if one fails.
    Check(Check),
    /// Saves keystores, definition, transcript and journal of a stopped node as one encrypted archive.
    Backup(Backup),
    /// Unpacks a backup into a new folder, whose node signs nothing at first.
    Restore(Restore),
    /// Identities, definitions, approvals and transcripts of key ceremonies.
    #[command(subcommand)]
    Keygen(Keygen),
    /// Builds, seals, submits, follows and verifies bundles.
    #[command(subcommand)]
    Bundle(Bundle),
    /// Judges receipts, certificates, releases, transcripts, evidence, proofs and traces, offline.
    Verify(Verify),
    /// The rollups of a network: what they hold, and how the committee changes them.
    #[command(subcommand)]
    Rollup(Rollup),
    /// Measures: the encryption beside a baseline in the same run, or a whole network.
    #[cfg(feature = "bench")]
    #[command(subcommand)]
    Bench(Bench),
    /// Seeded, replayable scenarios.
    #[cfg(feature = "simulate")]
    #[command(subcommand)]
    Simulate(Simulate),
    /// Prints docs/cli.md.
    #[command(hide = true)]
    Reference,
    /// Prints the manual page, or with --dir writes one per command.
    Man {
        /// Folder for the pages.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// `fairveil demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Demo {
    /// Seed of accounts, bundles and attack; keys are always fresh.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Sealed bundles that the traders submit in the first part.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(10..=500))]
    pub(crate) bundles: u64,
    /// Times that an honest sequencer is killed in the second part.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=50))]
    pub(crate) crashes: u64,
    /// Sealed bundles a second while sequencers are killed.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=200))]
    pub(crate) rate: u64,
    /// Keep the network's folder, the batches and the certificates here.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

/// `fairveil dev`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Dev {
    /// Number of sequencers.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(4..=16))]
    pub(crate) sequencers: u16,
    /// A rollup as KIND:CHAIN_ID[,OPTION=VALUE...], where KIND is `embedded` (its bundles are simulated),
    /// `anvil` (simulated, and released onto a development chain), `followed` (simulated over the state that
    /// its node at `url` has) or `recorder` (batches are kept, nothing is executed); may be repeated.
    /// Options: block-time (250ms, 2s; 1s for `anvil` and `followed` unless given), genesis (a genesis
    /// document; the development accounts unless given), base-fee, gas-limit, byte-limit, genesis-ms,
    /// set-code; url, max-age (30s unless given), elasticity and denominator for `followed`.
    #[arg(long = "rollup", value_name = "KIND:CHAIN_ID")]
    pub(crate) rollups: Vec<String>,
    /// The program that development chains run.
    #[arg(long, env = "FAIRVEIL_ANVIL", value_name = "FILE", default_value = "anvil")]
    pub(crate) anvil: PathBuf,
    /// What a bundle costs for each plaintext byte of its size class; 0 charges nothing. The ten
    /// development accounts have deposits of 10^22 units then.
    #[arg(long, default_value_t = 0, value_name = "UNITS")]
    pub(crate) fee_per_byte: u64,
    /// A deposit as 0xPAYER:AMOUNT, with --fee-per-byte; may be repeated. `bundle seal` prints the
    /// payer of a key.
    #[arg(long = "deposit", value_name = "PAYER:AMOUNT")]
    pub(crate) deposits: Vec<String>,
    /// How the order is made.
    #[arg(long, value_enum, default_value = "strict", value_name = "MODE")]
    pub(crate) order: OrderMode,
    /// Percent of a released bundle's fee that its rollups get, with --fee-per-byte.
    #[arg(long, default_value_t = 50, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) rollup_share: u8,
    /// Makes the last sequencer Byzantine; `condorcet:BUNDLES` for another number of own bundles than 10.
    #[arg(long, value_name = "KIND", value_parser = Kinds)]
    pub(crate) byzantine: Option<ByzantineKind>,
    /// Folder of the network; a new temporary one unless given.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// `fairveil node`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Node {
    /// Configuration file, TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
    /// Behaves as a named adversary. For tests: never on a network that matters.
    #[arg(long, hide = true, value_name = "KIND", value_parser = Kinds)]
    pub(crate) byzantine: Option<ByzantineKind>,
    /// Signs although the data folder was restored from a backup. For tests: it equivocates.
    #[arg(long, hide = true)]
    pub(crate) sign_at_once: bool,
    /// Ends when standard input closes, as it does when the parent process ends.
    #[arg(long, hide = true)]
    pub(crate) end_with_stdin: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Prints each value and its source: flag, environment, file or default.
    Show {
        /// Configuration file, TOML.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        settings: SettingFlags,
    },
}

/// How a command reaches a network and what it believes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Network {
    /// The ceremony's transcript; the committee key is believed from nowhere else.
    #[arg(long, env = "FAIRVEIL_TRANSCRIPT", value_name = "FILE")]
    pub(crate) transcript: PathBuf,
    /// The network id that the transcript must have.
    #[arg(long, env = "FAIRVEIL_NETWORK")]
    pub(crate) network: String,
    /// A sequencer, as http://HOST:PORT; once per sequencer, or comma-separated.
    #[arg(
        long = "sequencer",
        env = "FAIRVEIL_SEQUENCERS",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub(crate) sequencers: Vec<String>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Bundle {
    /// Makes a bundle from raw signed transactions.
    Build {
        /// A transaction as CHAIN_ID:0xRAW or CHAIN_ID:@FILE, in order; may be repeated.
        #[arg(long = "tx", value_name = "CHAIN_ID:TX", required_unless_present = "files")]
        transactions: Vec<String>,
        /// A file with a rollup's transactions as CHAIN_ID:FILE, one 0xRAW a line, in order; lines that
        /// begin with # say nothing. They stand after those of --tx; may be repeated.
        #[arg(long = "transactions", value_name = "CHAIN_ID:FILE")]
        files: Vec<String>,
        /// What the release guarantees.
        #[arg(long, value_enum, default_value = "include")]
        policy: PolicyKind,
        /// First height at which it may be ordered, for `bundle seal`.
        #[arg(long, value_name = "HEIGHT")]
        valid_from: Option<u64>,
        /// How long it may be ordered, for `bundle seal`, e.g. 30s, or a number of heights such as 300h.
        #[arg(long, value_name = "TIME")]
        expires_in: Option<String>,
        /// Where to write the (secret) bundle.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Simulates a bundle over states of its rollups on this machine; nothing is sent.
    DryRun(DryRun),
    /// Seals a bundle on this machine to the committee's key.
    Seal {
        #[command(flatten)]
        network: Network,
        /// The bundle.
        #[arg(long, value_name = "FILE")]
        bundle: PathBuf,
        /// File with the payer's secp256k1 key as hex; made if it doesn't exist.
        #[arg(long, value_name = "FILE")]
        payer: PathBuf,
        /// The payer's nonce for this bundle; each is good for one.
        #[arg(long)]
        nonce: Option<u64>,
        /// How long it may be ordered, e.g. 30s, or a number of heights such as 300h; what the bundle's
        /// file says, or 60s.
        #[arg(long)]
        expires_in: Option<String>,
        /// First height at which it may be ordered; what the bundle's file says, or the next one.
        #[arg(long)]
        valid_from: Option<u64>,
        /// Seal it although it will certainly fail once it is opened.
        #[arg(long)]
        anyway: bool,
        /// Where to write the sealed bundle.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Prints the height that the chain has reached: the median of what the sequencers answer.
    Height {
        #[command(flatten)]
        network: Network,
    },
    /// Submits a sealed bundle to all sequencers and keeps their receipts.
    Submit {
        #[command(flatten)]
        network: Network,
        /// The sealed bundle; receipts are saved beside it.
        sealed: PathBuf,
    },
    /// Says what became of a bundle.
    Status {
        #[command(flatten)]
        network: Network,
        /// The sealed bundle's file, or its id.
        bundle: String,
        /// What was sealed (bundle.json): released legs are compared with it.
        #[arg(long, value_name = "FILE")]
        unsealed: Option<PathBuf>,
    },
    /// Waits until a bundle is released, failed or expired.
    Wait {
        #[command(flatten)]
        network: Network,
        /// The sealed bundle's file, or its id.
        bundle: String,
        /// What was sealed (bundle.json): released legs are compared with it.
        #[arg(long, value_name = "FILE")]
        unsealed: Option<PathBuf>,
        /// How long, in seconds.
        #[arg(long, default_value_t = 120)]
        timeout_seconds: u64,
    },
    /// Records the certified order of some heights, and receipts, for `fairveil verify fairness` and
    /// `verify censorship`.
    Trace {
        #[command(flatten)]
        network: Network,
        /// The first height; unless given, the first one at which --sealed may be ordered, or that of the
        /// earliest receipt.
        #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
        from: Option<u64>,
        /// The last height; the newest unless given.
        #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
        to: Option<u64>,
        /// A sealed bundle, whose heights are wanted for `fairveil verify censorship`.
        #[arg(long, value_name = "FILE")]
        sealed: Option<PathBuf>,
        /// Receipts to take along, as `bundle submit` keeps them; may be repeated.
        #[arg(long, value_name = "FILE", num_args = 1..)]
        receipts: Vec<PathBuf>,
        /// Asks every sequencer for its receipt of every bundle in the order, too.
        #[arg(long)]
        ask: bool,
        /// Where to write the trace.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Fetches a bundle's release, verifies all of it, and keeps it.
    Verify {
        #[command(flatten)]
        network: Network,
        /// The sealed bundle's file, or its id.
        bundle: String,
        /// What was sealed (bundle.json): released legs are compared with it.
        #[arg(long, value_name = "FILE")]
        unsealed: Option<PathBuf>,
        /// Where to keep the release document.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Policies of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyKind {
    /// Every leg in the slot's batches, or none.
    Include,
    /// Every leg succeeds in simulation, or none is released.
    Execute,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
