//! Blocks of L1 from a file: a list as `eth_getBlockByNumber` answers, with two fields of our own.
//!
//! | field | needed for | |
//! |---|---|---|
//! | `number`, `hash`, `timestamp` | both | |
//! | `parentHash` | both | compared with the block before, if it is there |
//! | `mixHash`, `baseFeePerGas`, `parentBeaconBlockRoot` | an engine | |
//! | `excessBlobGas`, `requestsHash` | an engine | give the blob base fee by the rules of Cancun, or of Prague if there are requests |
//! | `blobBaseFee` | an engine | the blob base fee itself, where L1 has other rules |
//! | `deposits` | an engine | the raw deposits (type 0x7e) that derivation makes of the block's receipts; none unless given |
//!
//! That the blocks are L1's is believed: the file is the operator's.

use std::path::Path;

use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{B256, Bytes, U64, U128};
use fairveil_release::op::{
    L1Origin,
    blocks::{L1Block, L1Blocks},
};
use serde::Deserialize;

use super::super::{disk, error::CommandError};

/// The longest file of L1 blocks.
const MAX_BYTES: usize = 64 << 20;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBlock {
    number: U64,
    hash: B256,
    timestamp: U64,
    parent_hash: Option<B256>,
    mix_hash: Option<B256>,
    base_fee_per_gas: Option<U64>,
    parent_beacon_block_root: Option<B256>,
    excess_blob_gas: Option<U64>,
    requests_hash: Option<B256>,
    blob_base_fee: Option<U128>,
    #[serde(default)]
    deposits: Vec<Bytes>,
}

/// What an engine's block takes from its L1 origin.
#[derive(Clone, Debug)]
pub(super) struct ForEngine<'a> {
    pub(super) timestamp_s: u64,
    pub(super) prev_randao: B256,
    pub(super) base_fee: u64,
    pub(super) blob_base_fee: u128,
    pub(super) parent_beacon_block_root: B256,
    /// The deposits of the first L2 block on it, behind that of the L1 attributes.
    pub(super) deposits: &'a [Bytes],
}

/// Consecutive blocks of L1.
pub(super) struct L1 {
    blocks: L1Blocks,
    raw: Vec<RawBlock>,
}

impl L1 {
    pub(super) fn read(path: &Path) -> Result<Self, CommandError> {
        let bytes = disk::read(path, MAX_BYTES)?;
        let raw: Vec<RawBlock> =
            serde_json::from_slice(&bytes).map_err(|error| CommandError::file(path, &error))?;
        for pair in raw.windows(2) {
            let (found, expected) = (pair[1].parent_hash.unwrap_or(pair[0].hash), pair[0].hash);
            if found != expected {
                let number = pair[1].number;
                let why = format!("the parent of block {number} is {found}, not {expected}");
                return Err(CommandError::file(path, &why));
            }
        }
        let blocks = raw.iter().map(|block| L1Block {
            origin: L1Origin { number: block.number.to(), hash: block.hash },
            timestamp_s: block.timestamp.to(),
        });
        let blocks = L1Blocks::new(blocks.collect());
        let blocks = blocks.map_err(|error| CommandError::file(path, &error))?;
        Ok(Self { blocks, raw })
    }

    pub(super) fn blocks(&self) -> &L1Blocks {
        &self.blocks
    }

    /// The number and hash of a block.
    pub(super) fn origin(&self, number: u64) -> Result<L1Origin, CommandError> {
        let place = self.blocks.place(number);
        place.map(|place| self.blocks.blocks()[place].origin).ok_or_else(|| {
            CommandError::Usage(format!("L1 block {number} is not among the L1 blocks"))
        })
    }

    /// What an engine's block takes from this one.
    pub(super) fn for_engine(&self, number: u64) -> Result<ForEngine<'_>, CommandError> {
        let missing = |field: &str| {
            CommandError::Usage(format!("L1 block {number} has no `{field}`, an engine needs it"))
        };
        let place = self.blocks.place(number).ok_or_else(|| missing("number"))?;
        let raw = &self.raw[place];
        let by_rules = || {
            let rules = match raw.requests_hash {
                Some(_) => BlobParams::prague(),
                None => BlobParams::cancun(),
            };
            raw.excess_blob_gas.map(|excess| rules.calc_blob_fee(excess.to()))
        };
        let given = raw.blob_base_fee.map(|fee| fee.to());
        Ok(ForEngine {
            timestamp_s: raw.timestamp.to(),
            prev_randao: raw.mix_hash.ok_or_else(|| missing("mixHash"))?,
            base_fee: raw.base_fee_per_gas.ok_or_else(|| missing("baseFeePerGas"))?.to(),
            blob_base_fee: given.or_else(by_rules).ok_or_else(|| missing("excessBlobGas"))?,
            parent_beacon_block_root: raw
                .parent_beacon_block_root
                .ok_or_else(|| missing("parentBeaconBlockRoot"))?,
            deposits: &raw.deposits,
        })
    }
}
