//! An Engine API server on loopback that keeps a chain and executes nothing. Its answers have the
//! form of the published examples of `ethereum/execution-apis` with the OP Stack's fields, and it
//! refuses what these forbid. It is no OP engine: none has accepted these calls yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{B256, hex, keccak256};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use ring::hmac;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

pub(crate) const SECRET: &str = "7365637265747365637265747365637265747365637265747365637265747365";
const TOKEN_LIFE_S: u64 = 60;

/// What a block of the engine holds.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) timestamp_s: u64,
    pub(crate) attributes: Value,
    pub(crate) transactions: Vec<String>,
}

/// What the engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    Honest,
    /// Turns the transactions behind the deposits round, where there are several.
    Reverses,
}

#[derive(Debug)]
struct Chain {
    conduct: Conduct,
    /// Canonical blocks, the genesis first.
    blocks: Vec<Block>,
    /// What is being built.
    building: Option<Block>,
    /// What was executed and is not the head yet.
    executed: Option<Block>,
}

/// Serves until it is dropped.
pub(crate) struct EngineServer {
    pub(crate) url: String,
    chain: Arc<Mutex<Chain>>,
    runtime: Option<Runtime>,
}

impl EngineServer {
    /// An engine whose newest block is this genesis.
    pub(crate) fn start(number: u64, hash: B256, timestamp_s: u64) -> Self {
        let (attributes, transactions) = (Value::Null, Vec::new());
        let genesis = Block { number, hash, timestamp_s, attributes, transactions };
        let conduct = Conduct::Honest;
        let chain = Chain { conduct, blocks: vec![genesis], building: None, executed: None };
        let chain = Arc::new(Mutex::new(chain));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = Arc::clone(&chain);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let router = Router::new().route("/", post(respond)).with_state(served);
            axum::serve(listener, router).await.unwrap();
        });
        Self { url, chain, runtime: Some(runtime) }
    }

    pub(crate) fn conduct(&self, conduct: Conduct) {
        lock(&self.chain).conduct = conduct;
    }

    /// Everything but the genesis.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        lock(&self.chain).blocks[1..].to_vec()
    }
}

impl Drop for EngineServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock(chain: &Mutex<Chain>) -> MutexGuard<'_, Chain> {
    chain.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn respond(
    State(chain): State<Arc<Mutex<Chain>>>,
    headers: HeaderMap,
    Json(call): Json<Value>,
) -> Response {
    if !is_authentic(&headers) {
        return (StatusCode::UNAUTHORIZED, "token refused").into_response();
    }
    let method = call["method"].as_str().unwrap_or_default();
    let answered = lock(&chain).answer(method, &call["params"]);
    let mut answer = json!({ "jsonrpc": "2.0", "id": call["id"] });
    match answered {
        Ok(result) => answer["result"] = result,
        Err((code, message)) => answer["error"] = json!({ "code": code, "message": message }),
    }
    Json(answer).into_response()
}

type Refused = (i64, &'static str);

impl Chain {
    fn head(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    fn answer(&mut self, method: &str, params: &Value) -> Result<Value, Refused> {
        match method {
            "eth_getBlockByNumber" => Ok(self.block(&params[0])),
            "engine_forkchoiceUpdatedV3" => self.forkchoice(params),
            "engine_getPayloadV4" => self.payload(params),
            "engine_newPayloadV4" => self.execute(params),
            _ => Err((-32_601, "Method not found")),
        }
    }

    fn block(&self, wanted: &Value) -> Value {
        let number = match wanted.as_str().unwrap() {
            "latest" => self.head().number,
            quantity => u64::from_str_radix(quantity.strip_prefix("0x").unwrap(), 16).unwrap(),
        };
        let block = self.blocks.iter().find(|block| block.number == number);
        let Some(block) = block else { return Value::Null };
        let transactions = block.transactions.iter().map(|raw| {
            let bytes = hex::decode(raw).unwrap();
            let kind = if bytes[0] < 0x80 { bytes[0] } else { 0 };
            // The input of a deposit of L1 attributes stands at its end.
            let input = if kind == 0x7e { &bytes[bytes.len() - 176..] } else { &[] };
            let input = hex::encode_prefixed(input);
            json!({ "hash": keccak256(&bytes), "type": format!("{kind:#x}"), "input": input })
        });
        json!({
            "number": format!("{number:#x}"), "hash": block.hash,
            "timestamp": format!("{:#x}", block.timestamp_s),
            "transactions": transactions.collect::<Vec<_>>(),
        })
    }

    fn forkchoice(&mut self, params: &Value) -> Result<Value, Refused> {
        let head: B256 = serde_json::from_value(params[0]["headBlockHash"].clone()).unwrap();
        if let Some(executed) = self.executed.take_if(|executed| executed.hash == head) {
            self.blocks.push(executed);
        }
        if head != self.head().hash {
            return Err((-38_002, "Invalid forkchoice state"));
        }
        let attributes = &params[1];
        let id = if attributes.is_null() { Value::Null } else { self.begin(attributes)? };
        let status = json!({ "status": "VALID", "latestValidHash": head, "validationError": null });
        Ok(json!({ "payloadStatus": status, "payloadId": id }))
    }

    fn begin(&mut self, attributes: &Value) -> Result<Value, Refused> {
        let timestamp = attributes["timestamp"].as_str().unwrap();
        let timestamp_s = u64::from_str_radix(&timestamp[2..], 16).unwrap();
        if timestamp_s <= self.head().timestamp_s || attributes["noTxPool"] != true {
            return Err((-38_003, "Invalid payload attributes"));
        }
        let mut transactions: Vec<String> =
            serde_json::from_value(attributes["transactions"].clone()).unwrap();
        if self.conduct == Conduct::Reverses {
            let is_deposit = |raw: &&String| raw.starts_with("0x7e");
            let deposits = transactions.iter().take_while(is_deposit).count();
            transactions[deposits..].reverse();
        }
        let number = self.head().number + 1;
        let seed = format!("{}{number}{timestamp_s}{transactions:?}", self.head().hash);
        let (hash, attributes) = (keccak256(seed), attributes.clone());
        self.building = Some(Block { number, hash, timestamp_s, attributes, transactions });
        Ok(json!(payload_id(hash)))
    }

    fn payload(&self, params: &Value) -> Result<Value, Refused> {
        let building = self.building.as_ref();
        let building = building.filter(|block| params[0] == payload_id(block.hash));
        let building = building.ok_or((-38_001, "Unknown payload"))?;
        Ok(json!({
            "executionPayload": payload(building, self.head().hash),
            "blockValue": "0x0",
            "blobsBundle": { "commitments": [], "proofs": [], "blobs": [] },
            "shouldOverrideBuilder": false,
            "parentBeaconBlockRoot": building.attributes["parentBeaconBlockRoot"],
            "executionRequests": [],
        }))
    }

    fn execute(&mut self, params: &Value) -> Result<Value, Refused> {
        let building = self.building.take().ok_or((-32_602, "Invalid params"))?;
        let root = &building.attributes["parentBeaconBlockRoot"];
        let expected = json!([payload(&building, self.head().hash), [], root, []]);
        if *params != expected {
            return Err((-32_602, "Invalid params"));
        }
        let hash = building.hash;
        self.executed = Some(building);
        Ok(json!({ "status": "VALID", "latestValidHash": hash, "validationError": null }))
    }
}

fn payload_id(hash: B256) -> String {
    hex::encode_prefixed(&hash[..8])
}

fn payload(block: &Block, parent: B256) -> Value {
    let attributes = &block.attributes;
    let params = attributes["eip1559Params"].as_str().unwrap();
    let params = if params == "0x0000000000000000" { "0x000000fa00000006" } else { params };
    json!({
        "parentHash": parent,
        "feeRecipient": attributes["suggestedFeeRecipient"],
        "stateRoot": keccak256(block.hash),
        "receiptsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
        "logsBloom": format!("0x{}", "00".repeat(256)),
        "prevRandao": attributes["prevRandao"],
        "blockNumber": format!("{:#x}", block.number),
        "gasLimit": attributes["gasLimit"],
        "gasUsed": "0x5208",
        "timestamp": attributes["timestamp"],
        "extraData": format!("0x00{}", &params[2..]),
        "baseFeePerGas": "0x7",
        "blockHash": block.hash,
        "transactions": block.transactions,
        "withdrawals": [],
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "withdrawalsRoot": B256::ZERO,
    })
}

/// Whether the token is by the shared secret and of this time.
fn is_authentic(headers: &HeaderMap) -> bool {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    let Some((signed, tag)) = token.and_then(|token| token.rsplit_once('.')) else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &hex::decode(SECRET).unwrap());
    if hmac::verify(&key, signed.as_bytes(), &base64(tag)).is_err() {
        return false;
    }
    let (_, claims) = signed.split_once('.').unwrap();
    let claims: Value = serde_json::from_slice(&base64(claims)).unwrap();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    claims["iat"].as_u64().unwrap().abs_diff(now_s) <= TOKEN_LIFE_S
}

/// URL-safe, without padding.
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_usize, 0);
    for digit in text.chars() {
        bits = (bits << 6 | ALPHABET.find(digit).unwrap()) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}
