//! `fairveil keygen`: what operators do for a committee key.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use fairveil_keygen::{
    Phase,
    definition::{Address, Mode},
};

use super::SettingFlags;

/// A step of a ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CeremonyStep {
    /// Waiting for dealings.
    Dealing,
    /// Waiting for acknowledgements.
    Acknowledging,
    /// Waiting for dealer logs.
    Logging,
    /// Waiting for confirmations.
    Confirming,
}

impl CeremonyStep {
    /// The phase of the machine.
    pub(crate) const fn phase(self) -> Phase {
        match self {
            Self::Dealing => Phase::Dealing,
            Self::Acknowledging => Phase::Acknowledging,
            Self::Logging => Phase::Logging,
            Self::Confirming => Phase::Confirming,
        }
    }
}

/// What a definition of a later epoch is made from.
#[derive(Debug, Clone, Args)]
pub(crate) struct Succession {
    /// The newest transcript.
    #[arg(long, env = "FAIRVEIL_TRANSCRIPT", value_name = "FILE")]
    pub(crate) transcript: PathBuf,
    /// The network id that it must have.
    #[arg(long, env = "FAIRVEIL_NETWORK")]
    pub(crate) network: String,
    /// A member's `member.json` with a dealing key that served no ceremony yet (`identity --renew`),
    /// once per member; or a folder with all of them.
    #[arg(long = "member", value_name = "FILE", required = true)]
    pub(crate) members: Vec<PathBuf>,
    /// The last height at which the old committee proposes anything new; if the ceremony takes
    /// longer, it is 32 heights after its end.
    #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) boundary: u64,
    /// Most members whose share may have been revealed because they kept silent; f unless given.
    #[arg(long, value_name = "MEMBERS")]
    pub(crate) revealed_limit: Option<u16>,
    /// How long each step of the ceremony may take, in seconds.
    #[arg(long, default_value_t = 3_600)]
    pub(crate) step_seconds: u64,
    /// Where to write it.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Modes of the order that a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderMode {
    /// The fair order: docs/fairness.md.
    Strict,
    /// The published rule of Themis, a baseline with larger cohorts.
    Themis,
}

impl From<OrderMode> for Mode {
    fn from(mode: OrderMode) -> Self {
        match mode {
            OrderMode::Strict => Self::Strict,
            OrderMode::Themis => Self::Themis,
        }
    }
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Keygen {
    /// Makes this member's keystore: network, consensus and dealing keys.
    Identity {
        /// Name of the member.
        #[arg(long)]
        name: String,
        /// Where the other sequencers reach it (QUIC), e.g. 10.0.0.1:9000.
        #[arg(long, value_name = "HOST:PORT")]
        address: Address,
        /// Where traders reach it (QUIC).
        #[arg(long, value_name = "HOST:PORT")]
        trader_address: Address,
        /// Where its JSON-RPC listens (HTTP).
        #[arg(long, value_name = "HOST:PORT")]
        rpc_address: Address,
        /// Folder for `keystore.json` (0600) and the public `member.json`.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// File with the passphrase; else FAIRVEIL_PASSPHRASE.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// A light scrypt setting: fast, and only for networks that don't matter.
        #[arg(long)]
        light: bool,
        /// Adds a dealing key for another ceremony to the keystore that is in the folder, and writes
        /// `member.json` anew; the other keys stay.
        #[arg(long, conflicts_with = "light")]
        renew: bool,
    },
    /// Writes a definition from the members' public files.
    Propose {
        /// A member's `member.json`, once per member; or a folder with all of them.
        #[arg(long = "member", value_name = "FILE", required = true)]
        members: Vec<PathBuf>,
        /// Liars that the fair order shall tolerate; n >= 4f + 2g + 1.
        #[arg(long, default_value_t = 1)]
        f: u16,
        /// Honest disagreement that the fair order shall tolerate.
        #[arg(long, default_value_t = 0)]
        g: u16,
        /// How the fair order is made.
        #[arg(long, value_enum, default_value = "strict", value_name = "MODE")]
        order: OrderMode,
        /// A rollup as NAME:CHAIN_ID[,OPTION=VALUE...]; may be repeated. Options: block-time (250ms, 2s),
        /// genesis (a genesis document, over whose state bundles are simulated), base-fee, gas-limit,
        /// byte-limit, genesis-ms, set-code; max-age (others feed the rollup too: bundles are simulated over
        /// its blocks up to this age, e.g. 30s), elasticity, denominator.
        #[arg(long = "rollup", value_name = "NAME:CHAIN_ID")]
        rollups: Vec<String>,
        /// The document of deposits, JSON from payers to amounts, with --fee-per-byte: bundles are
        /// charged then.
        #[arg(long, value_name = "FILE", requires = "fee_per_byte")]
        deposits: Option<PathBuf>,
        /// What a bundle costs for each plaintext byte of its size class.
        #[arg(long, value_name = "UNITS", requires = "deposits")]
        fee_per_byte: Option<u64>,
        /// Percent of a released bundle's fee that its rollups get; the sequencers get the rest.
        #[arg(long, default_value_t = 50, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
        rollup_share: u8,
        /// How long each step of the ceremony may take, in seconds.
        #[arg(long, default_value_t = 3_600)]
        step_seconds: u64,
        /// Most members whose share may have been revealed because they kept silent in the
        /// ceremony, 0 to F; f unless given. Each lowers the number of colluders that open by one.
        #[arg(long, value_name = "MEMBERS")]
        revealed_limit: Option<u16>,
        /// Where to write it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Writes the definition of the next epoch: the same committee key, shared among these members.
    Reshare {
        #[command(flatten)]
        succession: Succession,
        /// Liars that the fair order shall tolerate; n >= 4f + 2g + 1.
        #[arg(long, default_value_t = 1)]
        f: u16,
        /// Honest disagreement that the fair order shall tolerate.
        #[arg(long, default_value_t = 0)]
        g: u16,
    },
    /// Writes the definition of the next epoch: the same members, new shares.
    Refresh {
        #[command(flatten)]
        succession: Succession,
    },
    /// Signs the digest of a definition with this member's consensus key.
    Approve {
        /// The definition.
        #[arg(long, value_name = "FILE")]
        definition: PathBuf,
        /// The digest that all members read to each other; refused if the file has another.
        #[arg(long)]
        digest: String,
        /// This member's keystore.
        #[arg(long, value_name = "FILE")]
        keystore: PathBuf,
        /// File with the passphrase; else FAIRVEIL_PASSPHRASE.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// The transcript of the epoch before, for a definition of a later one: who leaves approves
        /// as a member of the committee before.
        #[arg(long, value_name = "FILE")]
        transcript: Option<PathBuf>,
        /// Where to write the approval.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Takes part in the key ceremony until there is a key; started again, it goes on where it was.
    /// With --sequencer: has a running network begin a resharing, and follows it. Then --definition
    /// and --approvals are those of the next epoch, and --predecessor is the newest transcript.
    Run {
        /// Configuration file of this member's node, TOML.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        settings: SettingFlags,
        /// The round, the same at all members; the one after the last that failed unless given.
        #[arg(long, value_name = "NUMBER")]
        round: Option<u64>,
        /// A sequencer of the running network, as http://HOST:PORT; once per sequencer.
        #[arg(long = "sequencer", value_delimiter = ',', value_name = "URL")]
        sequencers: Vec<String>,
        /// Ends the process as a crash would, when this step begins. For drills.
        #[arg(long, hide = true, value_name = "STEP")]
        crash_in: Option<CeremonyStep>,
    },
    /// Shows how far this member's ceremony is: who is missing, how long is left, safe to stop.
    Status {
        /// Configuration file of this member's node, TOML.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        settings: SettingFlags,
    },
    /// Verifies a transcript offline and prints the committee key it proves.
    Verify {
        /// The transcript.
        transcript: PathBuf,
        /// The network id that it must have.
        #[arg(long)]
        network: Option<String>,
    },
}
