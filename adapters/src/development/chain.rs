//! One development chain: its calls, where it stands, and how it mines one released block.

use alloy_primitives::B256;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use super::{
    ChainFault, ConnectError, Difference, End, Expected, MinedBlock, MinedReceipt, ReceiptFault,
    RefusedSlot,
};
use crate::json_rpc::{Endpoint, RpcError};
use crate::quantity::Quantity;

/// An anvil that mines on demand.
#[derive(Debug)]
pub(super) struct Chain {
    chain_id: u64,
    endpoint: Endpoint,
}

/// A block as JSON-RPC shows it, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Block {
    number: Quantity,
    hash: B256,
    parent_hash: B256,
    timestamp: Quantity,
    base_fee_per_gas: Quantity,
    transactions: Vec<B256>,
}

/// How much of a slot a chain has.
pub(super) struct Standing {
    /// The block before the slot.
    pub(super) parent: Block,
    /// The slot's first blocks, as released.
    pub(super) mined: Vec<Block>,
    /// How many blocks stand after the slot.
    pub(super) later: u64,
}

/// What it takes to have a chain as it was before the slot.
pub(super) struct Checkpoint {
    snapshot: String,
    /// Blocks of the slot that are below the snapshot.
    below: u64,
    next_base_fee: Quantity,
    head: u64,
    head_hash: B256,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeInfo {
    transaction_order: String,
    environment: Environment,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Environment {
    base_fee: Quantity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    transaction_hash: B256,
    transaction_index: Quantity,
    block_hash: B256,
    status: Quantity,
    gas_used: Quantity,
}

impl Chain {
    pub(super) async fn connect(chain_id: u64, endpoint: Endpoint) -> Result<Self, ConnectError> {
        let chain = Self { chain_id, endpoint };
        let rpc = |source| ConnectError::Rpc { chain_id, source };
        let Quantity(found) = chain.call("eth_chainId", vec![]).await.map_err(rpc)?;
        if found != chain_id {
            return Err(ConnectError::ChainId { chain_id, found });
        }
        let on_arrival: bool = chain.call("anvil_getAutomine", vec![]).await.map_err(rpc)?;
        let interval_s: Option<u64> =
            chain.call("anvil_getIntervalMining", vec![]).await.map_err(rpc)?;
        if on_arrival || interval_s.is_some() {
            return Err(ConnectError::Mining { chain_id });
        }
        let found = chain.node_info().await.map_err(rpc)?.transaction_order;
        if found != "fifo" {
            return Err(ConnectError::Order { chain_id, found });
        }
        Ok(chain)
    }

    pub(super) fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// How much of these blocks is there.
    pub(super) async fn standing(&self, expected: &[Expected]) -> Result<Standing, RefusedSlot> {
        let chain_id = self.chain_id;
        let rpc = |source| RefusedSlot::Rpc { chain_id, source };
        let head = self.head().await.map_err(rpc)?;
        let first = expected.first().filter(|e| e.second.timestamp_s <= head.timestamp.0);
        let Some(first) = first else {
            return Ok(Standing { parent: head, mined: Vec::new(), later: 0 });
        };
        let begin = self.first_from(first.second.timestamp_s, &head).await.map_err(rpc)?;
        let place = first.place();
        let not_rising = || {
            let (head, head_s) = (head.number.0, head.timestamp.0);
            RefusedSlot::NotRising { chain_id, head, head_s, place }
        };
        // The genesis is of no slot.
        let before = begin.checked_sub(1).ok_or_else(not_rising)?;
        let parent = self.block(before).await.map_err(rpc)?;
        let mut mined: Vec<Block> = Vec::new();
        for (number, expected) in (begin..=head.number.0).zip(expected) {
            let block = self.block(number).await.map_err(rpc)?;
            if let Some(difference) = difference(&block, mined.last().unwrap_or(&parent), expected)
            {
                let timestamp = matches!(difference, Difference::Timestamp { .. });
                if mined.is_empty() && timestamp {
                    return Err(not_rising());
                }
                let place = expected.place();
                return Err(RefusedSlot::Occupied { chain_id, number, place, difference });
            }
            mined.push(block);
        }
        let later = head.number.0 - before - mined.len() as u64;
        Ok(Standing { parent, mined, later })
    }

    /// What undoes everything that is done from here on, and what `standing` has of the slot.
    pub(super) async fn checkpoint(&self, standing: &Standing) -> Result<Checkpoint, ChainFault> {
        let next_base_fee = match standing.mined.first() {
            Some(block) => block.base_fee_per_gas,
            None => self.node_info().await?.environment.base_fee,
        };
        Ok(Checkpoint {
            snapshot: self.call("evm_snapshot", vec![]).await?,
            below: standing.mined.len() as u64,
            next_base_fee,
            head: standing.parent.number.0,
            head_hash: standing.parent.hash,
        })
    }

    /// Has the chain as it was before the slot.
    pub(super) async fn undo(&self, checkpoint: &Checkpoint) -> Result<(), ChainFault> {
        let snapshot = &checkpoint.snapshot;
        if !self.call::<bool>("evm_revert", vec![json!(snapshot)]).await? {
            return Err(ChainFault::Snapshot { snapshot: snapshot.clone() });
        }
        if checkpoint.below > 0 {
            self.order("anvil_rollback", vec![json!(checkpoint.below)]).await?;
        }
        self.drop_pending().await?;
        let fee = json!(checkpoint.next_base_fee);
        self.order("anvil_setNextBlockBaseFeePerGas", vec![fee]).await?;
        let head = self.head().await?;
        let (found, found_hash) = (head.number.0, head.hash);
        let (expected, expected_hash) = (checkpoint.head, checkpoint.head_hash);
        if (found, found_hash) != (expected, expected_hash) {
            return Err(ChainFault::Head { found, found_hash, expected, expected_hash });
        }
        Ok(())
    }

    /// Empties the pool.
    pub(super) async fn drop_pending(&self) -> Result<(), ChainFault> {
        Ok(self.order("anvil_dropAllTransactions", vec![]).await?)
    }

    /// Mines this block on this parent, and looks whether it did.
    pub(super) async fn mine(
        &self,
        parent: &Block,
        expected: &Expected,
    ) -> Result<Block, ChainFault> {
        let place = expected.place();
        for (index, (raw, &transaction)) in
            expected.second.transactions.iter().zip(&expected.hashes).enumerate()
        {
            let sent = self.call("eth_sendRawTransaction", vec![json!(raw)]).await;
            let found: B256 = sent.map_err(|error| match error {
                RpcError::Answered { refusal, .. } => {
                    ChainFault::Refused { place, index, transaction, refusal }
                }
                other => other.into(),
            })?;
            if found != transaction {
                let expected = transaction;
                return Err(ChainFault::Hash { place, index, found, expected });
            }
        }
        self.order("evm_mine", vec![json!(place.timestamp_s)]).await?;
        let block = self.head().await?;
        match difference(&block, parent, expected) {
            None => Ok(block),
            Some(difference) => {
                let (number, hash) = (block.number.0, block.hash);
                Err(ChainFault::Different { place, number, hash, difference })
            }
        }
    }

    /// The blocks with what their transactions did.
    pub(super) async fn with_receipts(
        &self,
        expected: &[Expected],
        blocks: &[Block],
    ) -> Result<Vec<MinedBlock>, ChainFault> {
        let mut mined = Vec::new();
        for (block, expected) in blocks.iter().zip(expected) {
            let number = block.number.0;
            let found: Vec<Receipt> =
                self.call("eth_getBlockReceipts", vec![json!(block.number)]).await?;
            let place = expected.place();
            let fault = |fault| ChainFault::Receipt { place, number, fault };
            mined.push(MinedBlock {
                place,
                number,
                hash: block.hash,
                base_fee: block.base_fee_per_gas.0,
                receipts: receipts(block, &found).map_err(fault)?,
            });
        }
        Ok(mined)
    }

    /// The number of the first block at this time or later; the head is one.
    async fn first_from(&self, timestamp_s: u64, head: &Block) -> Result<u64, RpcError> {
        // Timestamps never fall, so halving finds it: `low` is before, or the answer.
        let (mut low, mut high) = (0, head.number.0);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.block(middle).await?.timestamp.0 < timestamp_s {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(high)
    }

    async fn head(&self) -> Result<Block, RpcError> {
        self.call("eth_getBlockByNumber", vec![json!("latest"), json!(false)]).await
    }

    async fn block(&self, number: u64) -> Result<Block, RpcError> {
        let method = "eth_getBlockByNumber";
        let block: Block = self.call(method, vec![json!(Quantity(number)), json!(false)]).await?;
        if block.number.0 != number {
            let why = format!("block {number} was asked for, block {} came", block.number.0);
            return Err(self.endpoint.malformed(method, why));
        }
        Ok(block)
    }

    async fn node_info(&self) -> Result<NodeInfo, RpcError> {
        self.call("anvil_nodeInfo", vec![]).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Vec<Value>,
    ) -> Result<T, RpcError> {
        self.endpoint.call(method, params).await
    }

    /// A call whose result says nothing.
    async fn order(&self, method: &'static str, params: Vec<Value>) -> Result<(), RpcError> {
        self.call::<IgnoredAny>(method, params).await.map(|_| ())
    }
}

/// The first way in which a block is not the released one on this parent.
fn difference(block: &Block, parent: &Block, expected: &Expected) -> Option<Difference> {
    let (found_s, expected_s) = (block.timestamp.0, expected.second.timestamp_s);
    if found_s != expected_s {
        return Some(Difference::Timestamp { found_s, expected_s });
    }
    let longest = block.transactions.len().max(expected.hashes.len());
    for index in 0..longest {
        let found = block.transactions.get(index).copied();
        let expected = expected.hashes.get(index).copied();
        if found != expected {
            return Some(Difference::Transaction { index, found, expected });
        }
    }
    let (found, found_parent) = (block.number.0, block.parent_hash);
    let (expected, expected_parent) = (parent.number.0.saturating_add(1), parent.hash);
    let same = (found, found_parent) == (expected, expected_parent);
    (!same).then_some(Difference::Parent { found, found_parent, expected, expected_parent })
}

fn receipts(block: &Block, found: &[Receipt]) -> Result<Vec<MinedReceipt>, ReceiptFault> {
    if found.len() != block.transactions.len() {
        let expected = block.transactions.len();
        return Err(ReceiptFault::Count { found: found.len(), expected });
    }
    let pairs = found.iter().zip(&block.transactions).enumerate();
    pairs.map(|(index, (receipt, hash))| judged(block.hash, index, *hash, receipt)).collect()
}

fn judged(
    block: B256,
    index: usize,
    transaction: B256,
    receipt: &Receipt,
) -> Result<MinedReceipt, ReceiptFault> {
    let (found, expected) = (receipt.transaction_hash, transaction);
    if found != expected {
        return Err(ReceiptFault::Transaction { index, found, expected });
    }
    let found = receipt.transaction_index.0;
    if found != index as u64 {
        return Err(ReceiptFault::Index { index, found });
    }
    let (found, expected) = (receipt.block_hash, block);
    if found != expected {
        return Err(ReceiptFault::Block { index, found, expected });
    }
    let end = match receipt.status.0 {
        1 => End::Succeeded,
        0 => End::Failed,
        found => return Err(ReceiptFault::Status { index, found }),
    };
    let gas_used = receipt.gas_used.0;
    Ok(MinedReceipt { transaction, index: index as u64, end, gas_used })
}
