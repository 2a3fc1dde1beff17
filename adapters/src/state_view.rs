//! A rollup's state over JSON-RPC, pinned to one block by its hash.
//!
//! A [`Reader`] stands before a rollup's node: it tells where the chain is ([`Reader::header`]) and
//! gives views of its state ([`Reader::pin`]). An [`RpcState`] is such a view, for the simulation
//! of one slot.
//!
//! Both are synchronous, as the EVM is. A reader has a thread of its own that does the network's
//! work; callers wait for it. So it is used from ordinary threads, rayon's above all, by any number
//! at once. On a thread that runs async tasks it works too, but blocks that thread for as long as
//! the node takes: don't.
//!
//! # Protocol
//!
//! Every read of state carries the block parameter of EIP-1898, with its demand that the block is
//! canonical:
//!
//! ```text
//! {"blockHash": "0x…", "requireCanonical": true}
//! ```
//!
//! An account is one batch of `eth_getBalance`, `eth_getTransactionCount` and `eth_getCode`; a slot
//! is `eth_getStorageAt`; the hashes of the [`BLOCK_HASHES`] blocks before the pinned one come from
//! `eth_getBlockByNumber`, and count only if they are linked to the pinned block, parent by parent.
//!
//! # Invariants
//!
//! 1. All reads are of the pinned block. A node that does not have it, or on whose chain it no
//!    longer is, gives [`StateError::Stale`], never the state of another block.
//! 2. What was read once is not asked for again while it is remembered, and what is remembered is
//!    bounded by named constants. Forgetting changes no answer: the pinned state does not change.
//! 3. An account that is empty (EIP-161) does not exist, as RPC can't tell the two apart.
//! 4. Codes are found by the hash of the bytes that were read, not by what the node says of them.
//!
//! # What a [`StateError`] means
//!
//! `Stale`: the node answered that it can't serve this block (codes -32000 and -32001, or null).
//! `Unreachable`: anything else, from a broken connection to nonsense. A state error holds no
//! words; the first fault of a view is kept for the operator in [`RpcState::fault`].
//!
//! # Trust
//!
//! The node is the operator's own. Its answers are not proven against the state root
//! (`eth_getProof`): a node that lies makes its sequencer simulate something else than the others,
//! which the committee's votes bring to light.

mod cache;
mod header;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use fairveil_execution::Bytecode;
use fairveil_execution::state::{Account, StateError, StateView};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::json_rpc::{Call, Endpoint, MAX_BATCH, Refusal, RpcError};
use crate::quantity::{LongQuantity, Quantity};

use cache::Cache;
pub use cache::{MAX_ACCOUNTS, MAX_CODE_BYTES, MAX_CODES, MAX_SLOTS};
use header::RawHeader;
pub use header::{BaseFeeError, BlockId, PinnedHeader, base_fee_of_next};

/// How many blocks before the one that is made the EVM can ask for the hash of.
pub const BLOCK_HASHES: u64 = 256;

/// Codes of "I don't have this block": the general server error, and "resource not found".
const STALE: [i64; 2] = [-32_000, -32_001];

/// Reads from the node of one rollup.
pub struct Reader {
    endpoint: Endpoint,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
}

/// One rollup's state at one block.
pub struct RpcState {
    reader: Arc<Reader>,
    header: PinnedHeader,
    cache: Mutex<Cache>,
    fault: OnceLock<RpcError>,
}

impl Reader {
    /// A reader of this node. It starts a thread; nothing is sent yet.
    pub fn new(endpoint: Endpoint) -> std::io::Result<Self> {
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(1).thread_name("rollup-reader").enable_io().enable_time();
        Ok(Self { endpoint, runtime: Some(runtime.build()?) })
    }

    /// The chain's id.
    pub fn chain_id(&self) -> Result<u64, RpcError> {
        self.call::<Quantity>("eth_chainId", Vec::new()).map(|id| id.0)
    }

    /// The header of a block, if the node has it.
    pub fn header(&self, block: BlockId) -> Result<Option<PinnedHeader>, RpcError> {
        let (method, param) = match block {
            BlockId::Latest => ("eth_getBlockByNumber", json!("latest")),
            BlockId::Number(number) => ("eth_getBlockByNumber", json!(Quantity(number))),
            BlockId::Hash(hash) => ("eth_getBlockByHash", json!(hash)),
        };
        let header: Option<RawHeader> = self.call(method, vec![param, json!(false)])?;
        let Some(header) = header.map(PinnedHeader::from) else { return Ok(None) };
        let other = match block {
            BlockId::Latest => false,
            BlockId::Number(number) => number != header.number,
            BlockId::Hash(hash) => hash != header.hash,
        };
        if other {
            let why = format!("{block:?} was asked for, block {} came", header.number);
            return Err(self.endpoint.malformed(method, why));
        }
        Ok(Some(header))
    }

    /// The state at this block. Nothing is read yet.
    pub fn pin(self: &Arc<Self>, header: PinnedHeader) -> RpcState {
        let (cache, fault) = (Mutex::default(), OnceLock::new());
        RpcState { reader: Arc::clone(self), header, cache, fault }
    }

    fn call<T>(&self, method: &'static str, params: Vec<Value>) -> Result<T, RpcError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let endpoint = self.endpoint.clone();
        self.wait(method, async move { endpoint.call(method, params).await })
    }

    fn batch(&self, calls: Vec<Call>) -> Result<Vec<Result<Value, Refusal>>, RpcError> {
        let endpoint = self.endpoint.clone();
        let method = calls.first().map_or("an empty batch", Call::method);
        self.wait(method, async move { endpoint.batch(&calls).await })
    }

    /// What the future gives, on the reader's thread.
    fn wait<T, F>(&self, method: &'static str, future: F) -> Result<T, RpcError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RpcError>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::sync_channel(1);
        let at = Arc::clone(self.endpoint.at());
        let gone = || RpcError::Unreachable { at, method, why: "the reader stopped".to_owned() };
        let Some(runtime) = &self.runtime else { return Err(gone()) };
        // The receiver is there until it got something: it waits below.
        runtime.spawn(async move { sender.send(future.await).ok() });
        receiver.recv().map_err(|_| gone())?
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for nothing, so a reader may be dropped on a thread that runs tasks.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl fmt::Debug for RpcState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RpcState");
        shown.field("reader", &self.reader).field("header", &self.header).finish_non_exhaustive()
    }
}

impl RpcState {
    /// The block that it is pinned to.
    pub fn header(&self) -> &PinnedHeader {
        &self.header
    }

    /// The first fault that made a read fail, if one did.
    pub fn fault(&self) -> Option<&RpcError> {
        self.fault.get()
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pinned(&self) -> Value {
        json!({ "blockHash": self.header.hash, "requireCanonical": true })
    }

    fn failed(&self, error: RpcError) -> StateError {
        let stale = match &error {
            RpcError::Answered { refusal, .. } => STALE.contains(&refusal.code),
            _ => false,
        };
        self.fault.get_or_init(|| error);
        if stale { StateError::Stale } else { StateError::Unreachable }
    }

    /// A value of the pinned block; null is what some nodes say of a block that they don't have.
    fn decoded<T: DeserializeOwned>(
        &self,
        method: &'static str,
        value: Value,
    ) -> Result<T, StateError> {
        let endpoint = &self.reader.endpoint;
        if value.is_null() {
            let why = format!("null, pinned to block {}", self.header.hash);
            self.failed(endpoint.malformed(method, why));
            return Err(StateError::Stale);
        }
        endpoint.decode(method, value).map_err(|error| self.failed(error))
    }

    fn answered<T: DeserializeOwned>(
        &self,
        method: &'static str,
        answer: Result<Value, Refusal>,
    ) -> Result<T, StateError> {
        let at = Arc::clone(self.reader.endpoint.at());
        let value = answer.map_err(|refusal| self.failed(RpcError::Answered { at, refusal }))?;
        self.decoded(method, value)
    }

    fn read<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Vec<Value>,
    ) -> Result<T, StateError> {
        let value = self.reader.call(method, params).map_err(|error| self.failed(error))?;
        self.decoded(method, value)
    }

    fn remember_code(
        &self,
        address: Address,
        bytes: Bytes,
    ) -> Result<(B256, Bytecode), StateError> {
        let code = Bytecode::new_raw_checked(bytes).map_err(|error| {
            let why = format!("{address} has a code that is none: {error}");
            self.failed(self.reader.endpoint.malformed("eth_getCode", why))
        })?;
        let hash = code.hash_slow();
        if !self.cache().insert_code(address, hash, code.clone()) {
            let why = format!("more than {MAX_CODES} different codes in one slot");
            return Err(self.failed(self.reader.endpoint.malformed("eth_getCode", why)));
        }
        Ok((hash, code))
    }

    /// The hashes of blocks from `number` up to the one before the pinned one.
    fn read_hashes(&self, number: u64) -> Result<Vec<(u64, B256)>, StateError> {
        let method = "eth_getBlockByNumber";
        let call = |number| Call::new(method, vec![json!(Quantity(number)), json!(false)]);
        let mut hashes = Vec::new();
        let (mut child, mut parent_hash) = (self.header.number, self.header.parent_hash);
        while child > number {
            let first = child.saturating_sub(HASHES_PER_BATCH).max(number);
            let calls = (first..child).map(call).collect();
            let answers = self.reader.batch(calls).map_err(|error| self.failed(error))?;
            for answer in answers.into_iter().rev() {
                let header: RawHeader = self.answered(method, answer)?;
                let header = PinnedHeader::from(header);
                child -= 1;
                if (header.number, header.hash) != (child, parent_hash) {
                    // The node's chain is another one meanwhile.
                    let (at, hash) = (child, header.hash);
                    let why = format!("block {at} is {hash}, the pinned one has {parent_hash}");
                    self.failed(self.reader.endpoint.malformed(method, why));
                    return Err(StateError::Stale);
                }
                hashes.push((child, header.hash));
                parent_hash = header.parent_hash;
            }
        }
        Ok(hashes)
    }
}

/// Headers come with the hashes of their transactions: not all in one answer.
const HASHES_PER_BATCH: u64 = 32;
const _: () = assert!(HASHES_PER_BATCH <= MAX_BATCH as u64);

impl StateView for RpcState {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        if let Some(account) = self.cache().account(&address) {
            return Ok(account);
        }
        let methods = ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"];
        let calls = methods.map(|method| Call::new(method, vec![json!(address), self.pinned()]));
        let answers = self.reader.batch(calls.into()).map_err(|error| self.failed(error))?;
        // A batch has as many answers as calls.
        let Ok([balance, nonce, code]) = <[_; 3]>::try_from(answers) else {
            return Err(StateError::Unreachable);
        };
        let balance: LongQuantity = self.answered(methods[0], balance)?;
        let nonce: Quantity = self.answered(methods[1], nonce)?;
        let code: Bytes = self.answered(methods[2], code)?;
        let code_hash =
            if code.is_empty() { KECCAK256_EMPTY } else { self.remember_code(address, code)?.0 };
        let account = Account { nonce: nonce.0, balance: balance.0, code_hash };
        let account = Some(account).filter(|account| !account.is_empty());
        self.cache().insert_account(address, account);
        Ok(account)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        if let Some(value) = self.cache().slot(&(address, slot)) {
            return Ok(value);
        }
        let params = vec![json!(address), json!(slot), self.pinned()];
        let word: B256 = self.read("eth_getStorageAt", params)?;
        let value = U256::from_be_bytes(word.0);
        self.cache().insert_slot((address, slot), value);
        Ok(value)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        let (code, home) = self.cache().code(&hash);
        if let Some(code) = code {
            return Ok(code);
        }
        // Forgotten, but it was read from there, and nothing changes at the pinned block.
        let home = home.ok_or(StateError::Code { hash })?;
        let bytes = self.read("eth_getCode", vec![json!(home), self.pinned()])?;
        let (read, code) = self.remember_code(home, bytes)?;
        if read == hash { Ok(code) } else { Err(StateError::Code { hash }) }
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        if number == self.header.number {
            return Ok(self.header.hash);
        }
        // What the EVM itself says of blocks that are too old or not there yet.
        if number > self.header.number || self.header.number - number >= BLOCK_HASHES {
            return Ok(B256::ZERO);
        }
        if let Some(hash) = self.cache().block_hash(number) {
            return Ok(hash);
        }
        let hashes = self.read_hashes(number)?;
        let mut cache = self.cache();
        cache.insert_block_hashes(hashes);
        cache.block_hash(number).ok_or(StateError::Unreachable)
    }
}
