//! A rollup that others feed too: its node answers, answers one sequencer less, is gone, and returns.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Signature, TxKind, U256, keccak256};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use fairveil_release::batch::Validation;
use fairveil_release::document::BatchDocument;
use secp256k1::ecdsa::RecoveryId;
use secp256k1::{Message, PublicKey, SecretKey};
use serde_json::{Map, Value, json};

use crate::network::{Desk, Dev, wait_for};

const FOLLOWED: u64 = 901;
const EMBEDDED: u64 = 902;
/// One per bundle, so that no bundle depends on another.
const SENDERS: u8 = 24;

/// A node of the followed rollup: a block a second, in which everybody is rich and sent nothing.
struct Node {
    url: String,
    is_up: Arc<AtomicBool>,
    _runtime: tokio::runtime::Runtime,
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn block(number: u64) -> Value {
    let hash = |number: u64| keccak256(number.to_be_bytes());
    json!({
        "number": format!("{number:#x}"),
        "hash": hash(number),
        "parentHash": hash(number - 1),
        "stateRoot": B256::repeat_byte(7),
        "timestamp": format!("{number:#x}"),
        "baseFeePerGas": "0x7",
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x5208",
    })
}

fn answer(call: &Value) -> Value {
    let result = match call["method"].as_str().unwrap() {
        "eth_chainId" => json!(format!("{FOLLOWED:#x}")),
        "eth_getBlockByNumber" => block(now_s()),
        "eth_getBlockByHash" => {
            let hash: B256 = serde_json::from_value(call["params"][0].clone()).unwrap();
            let mut recent = now_s() - 600..=now_s();
            let found = recent.find(|number| keccak256(number.to_be_bytes()) == hash);
            found.map_or(Value::Null, block)
        }
        "eth_getBalance" => json!("0xde0b6b3a7640000"),
        "eth_getTransactionCount" => json!("0x0"),
        "eth_getCode" => json!("0x"),
        "eth_getStorageAt" => json!(B256::ZERO),
        method => panic!("{method}"),
    };
    json!({ "jsonrpc": "2.0", "id": call["id"], "result": result })
}

impl Node {
    fn start() -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let is_up = Arc::new(AtomicBool::new(true));
        let respond = async |State(is_up): State<Arc<AtomicBool>>, Json(asked): Json<Value>| {
            if !is_up.load(Ordering::SeqCst) {
                return Err(StatusCode::BAD_GATEWAY);
            }
            Ok(Json(match &asked {
                Value::Array(calls) => calls.iter().map(answer).collect(),
                call => answer(call),
            }))
        };
        let router = Router::new().route("/", post(respond)).with_state(Arc::clone(&is_up));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
        Self { url, is_up, _runtime: runtime }
    }

    fn set(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::SeqCst);
    }
}

fn secret(sender: u8) -> SecretKey {
    SecretKey::from_secret_bytes([sender + 1; 32]).unwrap()
}

fn address(sender: u8) -> Address {
    let key = PublicKey::from_secret_key(&secret(sender));
    Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
}

/// A transfer of the sender's first transaction on a rollup.
fn transfer(chain_id: u64, sender: u8) -> String {
    let transaction = TxEip1559 {
        chain_id,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        to: TxKind::Call(Address::repeat_byte(0xb0)),
        value: U256::from(5),
        ..TxEip1559::default()
    };
    let hash = transaction.signature_hash();
    let signed = secp256k1::ecdsa::RecoverableSignature::sign_ecdsa_recoverable(
        Message::from_digest(hash.0),
        &secret(sender),
    );
    let (parity, bytes) = signed.serialize_compact();
    let parity = matches!(parity, RecoveryId::One | RecoveryId::Three);
    let signature = Signature::from_bytes_and_parity(&bytes, parity);
    let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
    alloy_primitives::hex::encode_prefixed(raw)
}

/// Who trades on this network.
struct Trader<'a> {
    dev: &'a Dev,
    next: u8,
}

impl Trader<'_> {
    /// What becomes of a bundle with a transfer on each of these rollups.
    fn trade(&mut self, policy: &str, chains: &[u64]) -> (i32, String) {
        let desk = Desk::new();
        let sender = self.next;
        self.next += 1;
        assert!(sender < SENDERS);
        let [bundle, payer, sealed] =
            ["bundle.json", "payer.key", "sealed.json"].map(|name| desk.text(name));
        let legs =
            chains.iter().map(|chain_id| format!("{chain_id}:{}", transfer(*chain_id, sender)));
        let legs: Vec<String> = legs.collect();
        let mut build = vec!["bundle", "build", "--policy", policy, "--out", &bundle];
        legs.iter().for_each(|leg| build.extend(["--tx", leg.as_str()]));
        self.dev.done(&build);
        let seal = ["bundle", "seal", "--bundle", &bundle, "--payer", &payer];
        self.dev.done(&[&seal[..], &["--expires-in", "60s", "--out", &sealed]].concat());
        self.dev.done(&["bundle", "submit", &sealed]);
        let output = self.dev.trader(&["bundle", "wait", &sealed]);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// A bundle is released, and this sequencer says that it was simulated over the followed rollup's
    /// state. Where views come too late the slot goes on without them, and the next one has them.
    fn simulated(&mut self, policy: &str, chains: &[u64], at: usize) {
        for _ in 0..4 {
            let before = validations(self.dev, at).len();
            let (code, said) = self.trade(policy, chains);
            assert!(code == 0 || said.contains("state_unavailable"), "{policy} {chains:?}: {said}");
            if code != 0 {
                continue;
            }
            wait_for("its batch", || (validations(self.dev, at).len() > before).then_some(()));
            if validations(self.dev, at).last() == Some(&Validation::Simulated) {
                return;
            }
        }
        panic!("four bundles, and none was simulated");
    }

    fn released(&mut self, policy: &str, chains: &[u64]) {
        let (code, said) = self.trade(policy, chains);
        assert_eq!(code, 0, "{policy} {chains:?}: {said}");
    }

    fn unavailable(&mut self, chains: &[u64]) {
        let (code, said) = self.trade("execute", chains);
        assert_eq!(code, 3, "{chains:?}: {said}");
        assert!(said.contains("state_unavailable"), "{said}");
    }
}

/// A metric of a sequencer with the label of the followed rollup.
fn metric(dev: &Dev, sequencer: usize, name: &str) -> Option<u64> {
    let bytes = dev.get(&dev.sequencers()[sequencer], "/metrics")?;
    let text = String::from_utf8(bytes).unwrap();
    let start = format!("{name}{{rollup=\"{FOLLOWED}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start))?;
    line.parse().ok()
}

fn counter(dev: &Dev, sequencer: usize, name: &str) -> u64 {
    let bytes = dev.get(&dev.sequencers()[sequencer], "/metrics").unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let start = format!("fairveil_{name}_total ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.map_or(0, |count| count.parse().unwrap())
}

/// How the followed rollup's batches that are not empty were checked, at this sequencer.
fn validations(dev: &Dev, sequencer: usize) -> Vec<Validation> {
    let mut from = 1;
    let mut found = Vec::new();
    loop {
        let path = format!("/batches/{FOLLOWED}?from={from}");
        let page = dev.get(&dev.sequencers()[sequencer], &path).unwrap();
        let documents: Vec<BatchDocument> = serde_json::from_slice(&page).unwrap();
        let Some(last) = documents.last() else { return found };
        from = last.release.height.get() + 1;
        let full = documents.iter().filter(|document| !document.batch.is_empty());
        found.extend(full.map(|document| document.batch.validation));
    }
}

fn start(node: &Node, desk: &Desk) -> Dev {
    let alloc = (0..SENDERS)
        .map(|sender| (address(sender).to_string(), json!({ "balance": "1000000000000000000" })));
    let alloc: Map<String, Value> = alloc.collect();
    std::fs::write(desk.path("genesis.json"), json!({ "alloc": alloc }).to_string()).unwrap();
    let followed = format!("followed:{FOLLOWED},url={},max-age=8s", node.url);
    let genesis = desk.text("genesis.json");
    let embedded = format!("embedded:{EMBEDDED},block-time=1s,genesis={genesis}");
    Dev::start_with(&["--rollup", &followed, "--rollup", &embedded])
}

#[test]
fn a_rollup_that_others_feed_is_simulated_over_its_node_and_stops_nothing_when_that_is_gone() {
    let (node, desk) = (Node::start(), Desk::new());
    let mut dev = start(&node, &desk);
    let both = [FOLLOWED, EMBEDDED];
    wait_for("an anchor", || metric(&dev, 0, "fairveil_anchor_age_milliseconds"));
    let mut trader = Trader { dev: &dev, next: 0 };
    trader.simulated("execute", &both, 1);
    trader.simulated("include", &[FOLLOWED], 1);
    let next = trader.next;

    // One sequencer's node is gone: it takes over what the others release.
    let blind = dev.sequencers()[4].clone();
    dev.kill(&blind);
    let nowhere = format!("{FOLLOWED}=http://127.0.0.1:9");
    dev.restart_with(&blind, &["--views", &nowhere]);
    wait_for("ready", || dev.get(&blind, "/readyz"));
    assert_eq!(metric(&dev, 4, "fairveil_view_reachable"), Some(0));
    assert_eq!(metric(&dev, 0, "fairveil_view_reachable"), Some(1));
    let mut trader = Trader { dev: &dev, next };
    trader.simulated("execute", &both, 0);
    wait_for("a release that is taken over", || {
        (counter(&dev, 4, "adopted_releases") > 0).then_some(())
    });
    wait_for("the same batches", || (validations(&dev, 4) == validations(&dev, 0)).then_some(()));

    // All nodes are gone: the slot that needs them is cut without them, later ones at once.
    node.set(false);
    std::thread::sleep(Duration::from_secs(1));
    trader.unavailable(&both);
    trader.unavailable(&both);
    trader.released("execute", &[EMBEDDED]);
    trader.released("include", &both);
    assert!(counter(&dev, 0, "state_unavailable") >= 2);
    wait_for("an unvalidated batch", || {
        (validations(&dev, 0).last() == Some(&Validation::Unvalidated)).then_some(())
    });

    // They are back.
    node.set(true);
    wait_for("a new anchor", || {
        let age = metric(&dev, 0, "fairveil_anchor_age_milliseconds")?;
        (age < 5_000).then_some(())
    });
    trader.simulated("execute", &both, 0);
    for sequencer in 1..5 {
        wait_for("the same batches", || {
            (validations(&dev, sequencer) == validations(&dev, 0)).then_some(())
        });
    }
}
