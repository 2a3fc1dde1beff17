//! An Engine API server that refuses what the specifications forbid: for tests alone.
//!
//! The values are those of the published examples of `ethereum/execution-apis`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use alloy_primitives::{B256, b256};
use axum::http::HeaderMap;
use ring::hmac;
use serde_json::{Value, json};

use super::jwt::TOKEN_LIFE_S;
use crate::test_server::{Reply, TestServer};

pub(super) const SECRET: &str = "7365637265747365637265747365637265747365637265747365637265747365";
pub(super) const NOW_S: u64 = 1_800_000_000;
pub(super) const PARENT: B256 =
    b256!("0x3b8fb240d288781d4aac94d3fd16809ee413bc99294a085798a589dae51ddd4a");
pub(super) const BLOCK: B256 =
    b256!("0x3559e851470f6e7bbed1db474980683e8c315bfce99b2a6ef47c057c04de7858");
pub(super) const PARENT_NUMBER: u64 = 0x112_720e;
const PAYLOAD_ID: &str = "0x0000000021f32cc1";

/// Changes what the server would answer.
type Change = Box<dyn Fn(&mut Value) + Send + Sync>;

/// A server that is honest but for one change.
pub(super) struct EngineServer {
    server: TestServer,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    methods: Vec<String>,
    attributes: Value,
    payload: Value,
}

impl EngineServer {
    pub(super) fn honest() -> Self {
        Self::start(usize::MAX, |_| {})
    }

    /// Changes the result of the call with this number, counted from zero.
    pub(super) fn start(call: usize, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let served = Arc::clone(&seen);
        let change: Change = Box::new(change);
        let server = TestServer::start(move |headers, method, params| {
            if !authentic(headers) {
                return Reply::Http(401, "token refused".to_owned());
            }
            let mut seen = served.lock().unwrap();
            seen.methods.push(method.to_owned());
            let mut reply = answer(&mut seen, method, params);
            if let Reply::Result(result) = &mut reply
                && seen.methods.len() == call + 1
            {
                change(result);
            }
            reply
        });
        Self { server, seen }
    }

    pub(super) fn url(&self) -> &str {
        self.server.url()
    }

    pub(super) fn methods(&self) -> Vec<String> {
        self.seen.lock().unwrap().methods.clone()
    }

    pub(super) fn attributes(&self) -> Value {
        self.seen.lock().unwrap().attributes.clone()
    }
}

fn valid(hash: B256) -> Value {
    json!({ "status": "VALID", "latestValidHash": hash, "validationError": null })
}

fn answer(seen: &mut Seen, method: &str, params: &Value) -> Reply {
    match method {
        "engine_forkchoiceUpdatedV3" => {
            assert_eq!(keys(&params[0]), ["finalizedBlockHash", "headBlockHash", "safeBlockHash"]);
            let head: B256 = serde_json::from_value(params[0]["headBlockHash"].clone()).unwrap();
            let id = if params[1].is_null() {
                assert_eq!(head, BLOCK);
                Value::Null
            } else {
                assert_eq!(head, PARENT);
                seen.attributes = params[1].clone();
                json!(PAYLOAD_ID)
            };
            Reply::Result(json!({ "payloadStatus": valid(head), "payloadId": id }))
        }
        "engine_getPayloadV3" | "engine_getPayloadV4" => {
            if params[0] != PAYLOAD_ID {
                return Reply::Error(-38_001, "Unknown payload");
            }
            seen.payload = payload(&seen.attributes);
            let mut envelope = json!({
                "executionPayload": seen.payload,
                "blockValue": "0x10a741a462780700",
                "blobsBundle": { "commitments": [], "proofs": [], "blobs": [] },
                "shouldOverrideBuilder": false,
                "parentBeaconBlockRoot": seen.attributes["parentBeaconBlockRoot"],
            });
            if method.ends_with("V4") {
                envelope["executionRequests"] = json!([]);
            }
            Reply::Result(envelope)
        }
        "engine_newPayloadV3" | "engine_newPayloadV4" => {
            let root = &seen.attributes["parentBeaconBlockRoot"];
            let mut expected = vec![seen.payload.clone(), json!([]), root.clone()];
            if method.ends_with("V4") {
                expected.push(json!([]));
            }
            if *params != Value::from(expected) {
                return Reply::Error(-32_602, "Invalid params");
            }
            Reply::Result(valid(BLOCK))
        }
        _ => Reply::Error(-32_601, "Method not found"),
    }
}

/// The example's payload, built of the attributes, with the fields of the OP Stack.
fn payload(attributes: &Value) -> Value {
    let zeros = |bytes: usize| format!("0x{}", "00".repeat(bytes));
    json!({
        "parentHash": PARENT,
        "feeRecipient": attributes["suggestedFeeRecipient"],
        "stateRoot": "0xca3149fa9e37db08d1cd49c9061db1002ef1cd58db2210f2115c8c989b2bdf45",
        "receiptsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
        "logsBloom": zeros(256),
        "prevRandao": attributes["prevRandao"],
        "blockNumber": "0x112720f",
        "gasLimit": attributes["gasLimit"],
        "gasUsed": "0xbad2e8",
        "timestamp": attributes["timestamp"],
        "extraData": extra_data(attributes),
        "baseFeePerGas": "0x7",
        "blockHash": BLOCK,
        "transactions": attributes["transactions"],
        "withdrawals": [],
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "withdrawalsRoot": zeros(32),
        "someLaterField": "0x1",
    })
}

/// Version and parameters; a denominator of 50 and an elasticity of 2 if there are none.
fn extra_data(attributes: &Value) -> String {
    let Some(params) = attributes["eip1559Params"].as_str() else { return "0x".to_owned() };
    let params = if params == "0x0000000000000000" { "0x0000003200000002" } else { params };
    match attributes["minBaseFee"].as_str() {
        None => format!("0x00{}", &params[2..]),
        Some(fee) => format!("0x01{}{:0>16}", &params[2..], &fee[2..]),
    }
}

/// The names of an object's fields, sorted.
pub(super) fn keys(object: &Value) -> Vec<&str> {
    let keys: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.into_iter().collect()
}

/// Whether the token is by the shared secret and of this time.
fn authentic(headers: &HeaderMap) -> bool {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok());
    let Some(token) = token.and_then(|value| value.strip_prefix("Bearer ")) else { return false };
    let (signed, tag) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let key = alloy_primitives::hex::decode(SECRET).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    if hmac::verify(&key, signed.as_bytes(), &base64(tag)).is_err() {
        return false;
    }
    let json = |text| serde_json::from_slice::<Value>(&base64(text)).unwrap();
    assert_eq!(json(header), json!({ "alg": "HS256", "typ": "JWT" }));
    let issued_at_s = json(claims)["iat"].as_u64().unwrap();
    issued_at_s.abs_diff(NOW_S) <= TOKEN_LIFE_S
}

fn base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => panic!("{digit}"),
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
