//! The command lines of `fairveil rollup follow` and `fairveil rollup check-batcher`.

use std::path::PathBuf;

use clap::Args;

use super::Network;

/// `fairveil rollup follow`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Follow {
    #[command(flatten)]
    pub(crate) network: Network,
    /// The rollup.
    #[arg(long, value_name = "CHAIN_ID")]
    pub(crate) chain: u64,
    /// The first height, where there is no state yet; what came before is not judged then.
    #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from: Option<u64>,
    /// Folder for the batch documents, as CHAIN_ID-HEIGHT.json, and for fraud proofs; made if it
    /// doesn't exist.
    #[arg(long, value_name = "DIR", default_value = "batches")]
    pub(crate) out: PathBuf,
    /// Where the follower stands, kept after every batch; CHAIN_ID.state.json in the folder unless
    /// given.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Ends after so many batches; without, it goes on until it is stopped.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// `fairveil rollup check-batcher`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckBatcher {
    /// The ceremony's transcript.
    #[arg(long, env = "FAIRVEIL_TRANSCRIPT", value_name = "FILE")]
    pub(crate) transcript: PathBuf,
    /// The network id that the transcript must have.
    #[arg(long, env = "FAIRVEIL_NETWORK")]
    pub(crate) network: String,
    /// The batcher transactions of one channel: raw signed transactions of L1, one 0xRAW a line; lines
    /// that begin with # say nothing.
    #[arg(long, value_name = "FILE")]
    pub(crate) transactions: PathBuf,
    /// Where to write the fraud proof if they are false.
    #[arg(long, value_name = "FILE", default_value = "fraud.json")]
    pub(crate) out: PathBuf,
    /// Batch documents of the rollup, as `rollup follow` keeps them, one after the other without a gap.
    #[arg(required = true)]
    pub(crate) batches: Vec<PathBuf>,
}
