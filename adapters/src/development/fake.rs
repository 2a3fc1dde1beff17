//! A development chain in memory, honest or not: for tests alone.

use std::sync::{Arc, Mutex, MutexGuard};

use alloy_primitives::{B256, Bytes, keccak256};
use serde_json::{Value, json};

use crate::json_rpc::{Endpoint, Limits};
use crate::quantity::Quantity;
use crate::test_server::{Reply, TestServer};

/// A transaction that begins with this byte is refused.
pub(super) const REFUSED: u8 = 0xff;
/// One that begins with this byte fails in its block.
pub(super) const FAILS: u8 = 0xee;
/// The base fee of the first block.
pub(super) const BASE_FEE: u64 = 1_000;

/// What a chain does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// Swaps a block's first two transactions.
    Reorders,
    /// Leaves the last transaction in the pool.
    DropsOne,
    /// Puts a transaction of somebody else in front.
    AddsOne,
    /// Mines a second later than told.
    Late,
    /// Calls transactions by other hashes.
    Renames,
    /// Shows a receipt as one of another place.
    MixesReceipts,
    /// Forgets its snapshots.
    Forgets,
    /// Serves so many calls, then breaks every connection.
    DiesAfter(usize),
}

pub(super) struct State {
    pub(super) fault: Fault,
    pub(super) automine: bool,
    pub(super) interval_s: Option<u64>,
    pub(super) order: &'static str,
    pub(super) blocks: Vec<Block>,
    pub(super) pool: Vec<Bytes>,
    pub(super) next_base_fee: u64,
    /// The methods called, in order.
    pub(super) calls: Vec<String>,
    chain_id: u64,
    snapshots: Vec<usize>,
}

#[derive(Clone)]
pub(super) struct Block {
    pub(super) hash: B256,
    parent: B256,
    timestamp_s: u64,
    pub(super) base_fee: u64,
    transactions: Vec<Bytes>,
}

pub(super) struct FakeChain {
    server: TestServer,
    state: Arc<Mutex<State>>,
}

impl FakeChain {
    /// A chain whose block 0 is of this time.
    pub(super) fn start(chain_id: u64, genesis_s: u64) -> Self {
        let mut state = State {
            fault: Fault::Nothing,
            automine: false,
            interval_s: None,
            order: "fifo",
            blocks: Vec::new(),
            pool: Vec::new(),
            next_base_fee: BASE_FEE,
            calls: Vec::new(),
            chain_id,
            snapshots: Vec::new(),
        };
        state.mine(genesis_s);
        state.next_base_fee = BASE_FEE;
        let state = Arc::new(Mutex::new(state));
        let served = Arc::clone(&state);
        let server = TestServer::start(move |_, method, params| {
            served.lock().unwrap().answer(method, params)
        });
        Self { server, state }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.server.endpoint(Limits::default())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn fail(&self, fault: Fault) {
        self.state().fault = fault;
    }

    pub(super) fn head(&self) -> (usize, B256) {
        let state = self.state();
        (state.blocks.len() - 1, state.blocks.last().unwrap().hash)
    }

    /// How often these methods were called.
    pub(super) fn count(&self, methods: &[&str]) -> usize {
        let state = self.state();
        state.calls.iter().filter(|call| methods.contains(&call.as_str())).count()
    }
}

impl State {
    /// Mines the pool.
    pub(super) fn mine(&mut self, mut timestamp_s: u64) {
        let mut transactions = std::mem::take(&mut self.pool);
        match self.fault {
            Fault::Reorders if transactions.len() > 1 => transactions.swap(0, 1),
            Fault::DropsOne => self.pool.extend(transactions.pop()),
            Fault::AddsOne => transactions.insert(0, Bytes::from_static(b"foreign")),
            Fault::Late => timestamp_s += 1,
            _ => {}
        }
        let parent = self.blocks.last().map(|block| block.hash).unwrap_or_default();
        let content = (&parent, timestamp_s, self.next_base_fee, &transactions);
        let hash = keccak256(format!("{content:?}"));
        let base_fee = self.next_base_fee;
        self.next_base_fee -= 1;
        self.blocks.push(Block { hash, parent, timestamp_s, base_fee, transactions });
    }

    fn shown(&self, number: usize) -> Value {
        let Some(block) = self.blocks.get(number) else { return Value::Null };
        let hashes: Vec<B256> = block.transactions.iter().map(keccak256).collect();
        json!({
            "number": Quantity(number as u64),
            "hash": block.hash,
            "parentHash": block.parent,
            "timestamp": Quantity(block.timestamp_s),
            "baseFeePerGas": Quantity(block.base_fee),
            "transactions": hashes,
        })
    }

    fn receipts(&self, number: usize) -> Value {
        let block = &self.blocks[number];
        let mixed = usize::from(self.fault == Fault::MixesReceipts);
        let receipt = |(index, raw): (usize, &Bytes)| {
            json!({
                "transactionHash": keccak256(raw),
                "transactionIndex": Quantity((index + mixed) as u64),
                "blockHash": block.hash,
                "blockNumber": Quantity(number as u64),
                "status": Quantity(u64::from(raw[0] != FAILS)),
                "gasUsed": Quantity(21_000 + index as u64),
            })
        };
        block.transactions.iter().enumerate().map(receipt).collect()
    }

    fn answer(&mut self, method: &str, params: &Value) -> Reply {
        if let Fault::DiesAfter(calls) = self.fault {
            let Some(left) = calls.checked_sub(1) else { return Reply::HangUp };
            self.fault = Fault::DiesAfter(left);
        }
        self.calls.push(method.to_owned());
        let number =
            |param: &Value| serde_json::from_value::<Quantity>(param.clone()).unwrap().0 as usize;
        Reply::Result(match method {
            "eth_chainId" => json!(Quantity(self.chain_id)),
            "anvil_getAutomine" => json!(self.automine),
            "anvil_getIntervalMining" => json!(self.interval_s),
            "anvil_nodeInfo" => json!({
                "transactionOrder": self.order,
                "environment": { "baseFee": Quantity(self.next_base_fee) },
            }),
            "eth_getBlockByNumber" if params[0] == "latest" => self.shown(self.blocks.len() - 1),
            "eth_getBlockByNumber" => self.shown(number(&params[0])),
            "eth_getBlockReceipts" => self.receipts(number(&params[0])),
            "anvil_dropAllTransactions" => {
                self.pool.clear();
                Value::Null
            }
            "anvil_setNextBlockBaseFeePerGas" => {
                self.next_base_fee = number(&params[0]) as u64;
                Value::Null
            }
            "eth_sendRawTransaction" => {
                let raw: Bytes = serde_json::from_value(params[0].clone()).unwrap();
                if raw[0] == REFUSED {
                    return Reply::Error(-32_003, "nonce too low");
                }
                self.pool.push(raw.clone());
                let renamed = usize::from(self.fault == Fault::Renames);
                json!(keccak256(&raw[renamed..]))
            }
            "evm_mine" => {
                self.mine(params[0].as_u64().unwrap());
                json!("0x0")
            }
            "evm_snapshot" => {
                self.snapshots.push(self.blocks.len());
                json!(Quantity(self.snapshots.len() as u64 - 1))
            }
            "evm_revert" => {
                let known = self.fault != Fault::Forgets;
                if known {
                    self.blocks.truncate(self.snapshots[number(&params[0])]);
                }
                json!(known)
            }
            "anvil_rollback" => {
                let kept = self.blocks.len() - params[0].as_u64().unwrap() as usize;
                self.blocks.truncate(kept);
                Value::Null
            }
            _ => return Reply::Error(-32_601, "Method not found"),
        })
    }
}
