//! The command line of `fairveil rollup frames` and `fairveil rollup engine`.

use std::path::PathBuf;

use clap::Args;

use super::Network;

/// Which batches of which rollup, and what its nodes know of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Source {
    #[command(flatten)]
    pub(crate) network: Network,
    /// A file of certified batches as `GET /batches/{chain_id}` answers; in order, may be repeated.
    /// Without, the sequencers are asked.
    #[arg(long = "batches", value_name = "FILE")]
    pub(crate) batches: Vec<PathBuf>,
    /// The first height whose release is asked for: 1, or that of a release whose slot is not
    /// later than the first block that is to be made.
    #[arg(long, value_name = "HEIGHT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from: u64,
    /// The rollup's configuration as op-node has it (`rollup.json`); its `l2_chain_id` says which
    /// rollup is meant.
    #[arg(long, value_name = "FILE")]
    pub(crate) rollup_config: PathBuf,
    /// A list of consecutive L1 blocks as `eth_getBlockByNumber` answers, from the L1 origin of the
    /// parent on.
    #[arg(long, value_name = "FILE")]
    pub(crate) l1_blocks: PathBuf,
    /// The most L2 blocks; all that were released unless given.
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// `fairveil rollup frames`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Frames {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The L2 block that the first one follows, at the start of a slot; the genesis unless given.
    #[arg(long, value_name = "NUMBER:HASH", requires = "parent_origin")]
    pub(crate) parent: Option<String>,
    /// The number of the parent's L1 origin, which is among the L1 blocks.
    #[arg(long, value_name = "NUMBER", requires = "parent")]
    pub(crate) parent_origin: Option<u64>,
    /// File with the batcher's secp256k1 key as hex (0600).
    #[arg(long, value_name = "FILE")]
    pub(crate) batcher_key: PathBuf,
    /// The batcher's nonce on L1 for the first transaction.
    #[arg(long)]
    pub(crate) nonce: u64,
    /// The most that is paid for a unit of gas on L1.
    #[arg(long, value_name = "WEI")]
    pub(crate) max_fee_per_gas: u128,
    /// The most of it that goes to the proposer of the L1 block.
    #[arg(long, value_name = "WEI")]
    pub(crate) max_priority_fee_per_gas: u128,
    /// The most bytes of a frame.
    #[arg(long, value_name = "BYTES", default_value_t = fairveil_release::op::channel::MAX_FRAME_BYTES)]
    pub(crate) frame_bytes: usize,
    /// Where to write the transactions, a JSON document; it must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// `fairveil rollup engine`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Engine {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The engine's authenticated port, as http://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub(crate) engine: String,
    /// File with the secret that the engine was started with, as hex (0600).
    #[arg(long, value_name = "FILE")]
    pub(crate) jwt_secret: PathBuf,
    /// Who gets the priority fees; the predeployed vault of the sequencer's fees unless given.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "0x4200000000000000000000000000000000000011"
    )]
    pub(crate) fee_recipient: alloy_primitives::Address,
    /// The gas limit of the blocks; what the configuration says unless given.
    #[arg(long, value_name = "GAS")]
    pub(crate) gas_limit: Option<u64>,
}
