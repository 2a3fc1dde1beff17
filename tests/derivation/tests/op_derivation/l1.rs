//! An L1 in memory: headers that follow each other, and the transactions of each block.

use std::sync::Arc;

use alloy_consensus_1::{Header, Receipt, TxEnvelope};
use alloy_eips_1::eip2718::Decodable2718;
use alloy_eips_1::eip4844::{Blob, IndexedBlobHash};
use alloy_primitives::{B256, Bytes};
use async_trait::async_trait;
use fairveil_release::op::L1Origin;
use fairveil_release::transaction::RawTransaction;
use kona_derive::{BlobProvider, ChainProvider, PipelineError, PipelineErrorKind};
use kona_protocol::BlockInfo;

/// Seconds between two blocks.
pub(crate) const L1_BLOCK_TIME_S: u64 = 12;

/// The chain; clones share its blocks.
#[derive(Clone, Debug)]
pub(crate) struct L1 {
    blocks: Arc<Vec<Block>>,
}

type Block = (Header, BlockInfo, Vec<TxEnvelope>);

/// An L1 without blobs: whoever asks for one gets an error.
#[derive(Clone, Debug)]
pub(crate) struct NoBlobs;

/// Consecutive headers from `first` on, with hashes that hang on `salt`.
pub(crate) fn headers(first: u64, time_s: u64, count: u64, salt: u64) -> Vec<Header> {
    let mut parent_hash = B256::repeat_byte(0x11);
    let header = |index: u64| {
        let header = Header {
            parent_hash,
            number: first + index,
            timestamp: time_s + index * L1_BLOCK_TIME_S,
            extra_data: Bytes::copy_from_slice(&salt.to_be_bytes()),
            base_fee_per_gas: Some(7),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::repeat_byte(0x22)),
            ..Header::default()
        };
        parent_hash = header.hash_slow();
        header
    };
    (0..count).map(header).collect()
}

/// A header as what L2 blocks refer to.
pub(crate) fn origin(header: &Header) -> L1Origin {
    L1Origin { number: header.number, hash: header.hash_slow() }
}

impl L1 {
    /// The chain of these headers; `transactions[i]` are those of the i-th block.
    pub(crate) fn new(headers: &[Header], transactions: &[Vec<RawTransaction>]) -> Self {
        let blocks = headers.iter().zip(transactions).map(|(header, raw)| {
            let decode = |raw: &RawTransaction| {
                TxEnvelope::decode_2718_exact(raw.as_bytes()).expect("a transaction of L1")
            };
            let info = BlockInfo {
                hash: header.hash_slow(),
                number: header.number,
                parent_hash: header.parent_hash,
                timestamp: header.timestamp,
            };
            (header.clone(), info, raw.iter().map(decode).collect())
        });
        Self { blocks: Arc::new(blocks.collect()) }
    }

    /// Its first block.
    pub(crate) fn first(&self) -> BlockInfo {
        self.blocks[0].1
    }

    fn find(&self, is: impl Fn(&BlockInfo) -> bool) -> Option<&Block> {
        self.blocks.iter().find(|(_, info, _)| is(info))
    }
}

/// L1 ends before what is asked for.
fn end() -> PipelineErrorKind {
    PipelineError::EndOfSource.crit()
}

#[async_trait]
impl ChainProvider for L1 {
    type Error = PipelineErrorKind;

    async fn header_by_hash(&mut self, hash: B256) -> Result<Header, Self::Error> {
        Ok(self.find(|info| info.hash == hash).ok_or_else(end)?.0.clone())
    }

    async fn block_info_by_number(&mut self, number: u64) -> Result<BlockInfo, Self::Error> {
        Ok(self.find(|info| info.number == number).ok_or_else(end)?.1)
    }

    async fn receipts_by_hash(&mut self, hash: B256) -> Result<Vec<Receipt>, Self::Error> {
        let (_, _, transactions) = self.find(|info| info.hash == hash).ok_or_else(end)?;
        Ok(transactions.iter().map(|_| Receipt::default()).collect())
    }

    async fn block_info_and_transactions_by_hash(
        &mut self,
        hash: B256,
    ) -> Result<(BlockInfo, Vec<TxEnvelope>), Self::Error> {
        let (_, info, transactions) = self.find(|info| info.hash == hash).ok_or_else(end)?;
        Ok((*info, transactions.clone()))
    }
}

#[async_trait]
impl BlobProvider for NoBlobs {
    type Error = PipelineErrorKind;

    async fn get_blobs(
        &mut self,
        _: &BlockInfo,
        _: &[IndexedBlobHash],
    ) -> Result<Vec<Box<Blob>>, Self::Error> {
        Err(end())
    }
}
