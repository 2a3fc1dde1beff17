//! `fairveil rollup`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CheckBatcher, Follow, Network};

/// What the rollups of a network hold, and how its committee changes them.
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
    /// The rollups and the changes that are announced, as the sequencers say.
    List {
        #[command(flatten)]
        asked: Asked,
    },
    /// Writes a change of the rollups, for a quorum of the members to approve.
    #[command(subcommand)]
    Propose(Propose),
    /// Shows a change of the rollups and signs its digest with this member's consensus key.
    Approve {
        /// The change.
        #[arg(long, value_name = "FILE")]
        change: PathBuf,
        /// The digest that the members read to each other; refused if the file has another.
        #[arg(long)]
        digest: String,
        /// This member's keystore.
        #[arg(long, value_name = "FILE")]
        keystore: PathBuf,
        /// File with the passphrase; else FAIRVEIL_PASSPHRASE.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// Where to write the approval.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Gives a change with the approvals of a quorum to the sequencers.
    Submit {
        #[command(flatten)]
        network: Network,
        /// The change.
        #[arg(long, value_name = "FILE")]
        change: PathBuf,
        /// A member's approval; once per member.
        #[arg(long = "approval", value_name = "FILE", required = true)]
        approvals: Vec<PathBuf>,
    },
    /// Takes a rollup's batches one after the other from the sequencers' streams, verifies and keeps
    /// them; goes to another sequencer when one ends or serves what is refused, and on after a stop.
    /// Exit code 1 if something was refused. With --json one document a line.
    Follow(Follow),
    /// Whether signed batcher transactions of L1 hold what was released; else writes a fraud proof.
    CheckBatcher(CheckBatcher),
}

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

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Propose {
    /// A rollup joins.
    Join {
        /// The rollup as NAME:CHAIN_ID[,OPTION=VALUE...], options as for `keygen propose`; with block-time,
        /// genesis-ms is needed.
        #[arg(long, value_name = "NAME:CHAIN_ID")]
        rollup: String,
        #[command(flatten)]
        proposal: Proposal,
    },
    /// Bundles that name a rollup fail, until it is resumed.
    Pause {
        /// The rollup.
        #[arg(long, value_name = "CHAIN_ID")]
        chain: u64,
        #[command(flatten)]
        proposal: Proposal,
    },
    /// A paused rollup takes bundles again.
    Resume {
        /// The rollup.
        #[arg(long, value_name = "CHAIN_ID")]
        chain: u64,
        #[command(flatten)]
        proposal: Proposal,
    },
    /// A rollup leaves, and its state with it.
    Leave {
        /// The rollup.
        #[arg(long, value_name = "CHAIN_ID")]
        chain: u64,
        #[command(flatten)]
        proposal: Proposal,
    },
}

/// What every change says.
#[derive(Debug, Clone, Args)]
pub(crate) struct Proposal {
    /// The first height at which it holds: at least 16 after the block that announces it.
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) at: u64,
    /// Its number: what `rollup list` calls the next one.
    #[arg(long)]
    pub(crate) number: u64,
    /// The network id.
    #[arg(long, env = "FAIRVEIL_NETWORK")]
    pub(crate) network: String,
    /// Where to write it.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}
