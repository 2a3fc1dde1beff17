//! An L2 in memory: it grows by what is derived, and hashes blocks instead of executing them.

use std::sync::{Arc, Mutex, PoisonError};

use alloy_eips_1::BlockNumHash;
use alloy_primitives::{B256, keccak256};
use async_trait::async_trait;
use fairveil_release::op::{L2Block, Parent};
use kona_derive::{L2ChainProvider, PipelineError, PipelineErrorKind};
use kona_genesis::{RollupConfig, SystemConfig};
use kona_protocol::{BatchValidationProvider, BlockInfo, L2BlockInfo};
use op_alloy_consensus::OpBlock;

/// The chain; clones share its blocks.
#[derive(Clone, Debug)]
pub(crate) struct L2 {
    system: SystemConfig,
    blocks: Arc<Mutex<Vec<L2BlockInfo>>>,
}

/// The block as the parent of the next: its hash covers everything that a batch says of it.
pub(crate) fn made(parent: &Parent, block: &L2Block) -> Parent {
    let mut bytes = parent.hash.to_vec();
    bytes.extend(block.number.to_be_bytes());
    bytes.extend(block.timestamp_s.to_be_bytes());
    bytes.extend(block.l1_origin.number.to_be_bytes());
    bytes.extend(block.l1_origin.hash);
    for raw in &block.transactions {
        bytes.extend(keccak256(raw.as_bytes()));
    }
    Parent {
        number: block.number,
        hash: keccak256(bytes),
        timestamp_s: block.timestamp_s,
        l1_origin: block.l1_origin,
    }
}

/// The same in kona's words.
pub(crate) fn info(block: &Parent, parent_hash: B256, seq_num: u64) -> L2BlockInfo {
    L2BlockInfo {
        block_info: BlockInfo {
            hash: block.hash,
            number: block.number,
            parent_hash,
            timestamp: block.timestamp_s,
        },
        l1_origin: BlockNumHash { number: block.l1_origin.number, hash: block.l1_origin.hash },
        seq_num,
    }
}

impl L2 {
    /// A chain of one block.
    pub(crate) fn new(genesis: L2BlockInfo, system: SystemConfig) -> Self {
        Self { system, blocks: Arc::new(Mutex::new(vec![genesis])) }
    }

    /// Appends a block.
    pub(crate) fn push(&self, block: L2BlockInfo) {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).push(block);
    }
}

#[async_trait]
impl BatchValidationProvider for L2 {
    type Error = PipelineErrorKind;

    async fn l2_block_info_by_number(&mut self, number: u64) -> Result<L2BlockInfo, Self::Error> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let found = blocks.iter().find(|block| block.block_info.number == number);
        found.copied().ok_or(PipelineError::EndOfSource.crit())
    }

    async fn block_by_number(&mut self, _: u64) -> Result<OpBlock, Self::Error> {
        // Asked for only when a span batch overlaps what is derived already: none does here.
        Err(PipelineError::EndOfSource.crit())
    }
}

#[async_trait]
impl L2ChainProvider for L2 {
    type Error = PipelineErrorKind;

    async fn system_config_by_number(
        &mut self,
        _: u64,
        _: Arc<RollupConfig>,
    ) -> Result<SystemConfig, <Self as L2ChainProvider>::Error> {
        Ok(self.system)
    }
}
