//! What a network released, for the nodes of OP Stack rollups: frames for L1, and blocks of an
//! engine.
//!
//! `FAIRVEIL_KEEP_FRAMES` names a folder into which a run puts what `tests/derivation` reads.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_consensus::transaction::SignerRecoverable as _;
use alloy_consensus::{Header, Transaction as _, TxEnvelope};
use alloy_eips::eip2718::Decodable2718 as _;
use alloy_primitives::{Address, B256, hex};
use serde_json::{Value, json};

use crate::engine::{Conduct, EngineServer, SECRET};
use crate::network::{Desk, Dev, wait_for};
use crate::trader::{FIRST, SECOND, seal};

/// Who signed the transactions of [`seal`].
const SENDER: &str = "db00079cad3e665853bf766efe26f4c38cdbdcda";
/// The key with number 1, and its address.
const BATCHER_KEY: &str = "0x0000000000000000000000000000000000000000000000000000000000000001";
const BATCHER: &str = "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf";
const INBOX: &str = "0xff00000000000000000000000000000000000901";
const L1_CHAIN: u64 = 900;
const GENESIS_NUMBER: u64 = 5;
const GENESIS_HASH: B256 = B256::repeat_byte(0x22);
const L1_BLOCKS: u64 = 40;

/// A network with rollup 901 (250 ms, which its nodes count in seconds), 902 (2 s) and 903, which
/// has no state.
struct Scene {
    dev: Dev,
    desk: Desk,
    genesis_s: u64,
    l1: Vec<(Header, Value)>,
}

impl Scene {
    fn new() -> Self {
        let desk = Desk::new();
        let alloc = json!({ SENDER: { "balance": "1000000000000000000" } });
        fs::write(desk.path("genesis.json"), json!({ "alloc": alloc }).to_string()).unwrap();
        // So old that L1 has several blocks since then, and the first slots are empty.
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let genesis_s = now_s - 40;
        let rest = format!("genesis-ms={}", genesis_s * 1_000);
        let genesis = format!("genesis={},{rest}", desk.text("genesis.json"));
        let dev = Dev::start_with(&[
            &format!("--rollup=embedded:901,block-time=250ms,{genesis}"),
            &format!("--rollup=embedded:902,block-time=2s,{genesis}"),
            &format!("--rollup=recorder:903,block-time=2s,{rest}"),
        ]);
        let scene = Self { dev, desk, genesis_s, l1: l1(genesis_s) };
        for (chain_id, block_time_s) in [(901, 1), (902, 2), (903, 2), (904, 2)] {
            let config = scene.config(chain_id, block_time_s);
            fs::write(scene.desk.path(&format!("rollup-{chain_id}.json")), config).unwrap();
        }
        let blocks: Vec<_> = scene.l1.iter().map(|(_, block)| block).collect();
        fs::write(scene.desk.path("l1.json"), json!(blocks).to_string()).unwrap();
        scene.secret("batcher.key", BATCHER_KEY, 0o600);
        scene.secret("jwt.hex", SECRET, 0o600);
        scene
    }

    fn secret(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.desk.path(name), text).unwrap();
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.desk.path(name), permissions).unwrap();
    }

    /// The rollup as op-node would be configured.
    fn config(&self, chain_id: u64, block_time_s: u64) -> String {
        let scalar = "0x0100000000000000000000000000000000000000000000000000000500000006";
        json!({
            "genesis": {
                "l1": { "number": self.l1[0].0.number, "hash": self.l1[0].0.hash_slow() },
                "l2": { "number": GENESIS_NUMBER, "hash": GENESIS_HASH },
                "l2_time": self.genesis_s,
                "system_config": {
                    "batcherAddr": BATCHER, "overhead": B256::ZERO, "scalar": scalar,
                    "gasLimit": 60_000_000, "eip1559Params": "0x000000fa00000006",
                    "operatorFeeParams": B256::ZERO,
                },
            },
            "block_time": block_time_s, "max_sequencer_drift": 600, "seq_window_size": 3_600,
            "channel_timeout": 300, "l1_chain_id": L1_CHAIN, "l2_chain_id": chain_id,
            "regolith_time": 0, "canyon_time": 0, "delta_time": 0, "ecotone_time": 0,
            "fjord_time": 0, "granite_time": 0, "holocene_time": 0, "isthmus_time": 0,
            "batch_inbox_address": INBOX,
        })
        .to_string()
    }

    fn source(&self, command: &str, chain_id: u64) -> Vec<String> {
        let config = self.desk.text(&format!("rollup-{chain_id}.json"));
        let l1 = self.desk.text("l1.json");
        ["rollup", command, "--rollup-config", &config, "--l1-blocks", &l1, "--json"]
            .map(str::to_owned)
            .to_vec()
    }

    /// `rollup frames` with its output in this file.
    fn frames(&self, chain_id: u64, out: &str, more: &[&str]) -> Output {
        let mut args = self.source("frames", chain_id);
        let (key, out) = (self.desk.text("batcher.key"), self.desk.text(out));
        let fees = ["--max-fee-per-gas", "20000000000", "--max-priority-fee-per-gas", "1000000000"];
        let fixed = ["--batcher-key", &key, "--nonce", "7", "--out", &out];
        args.extend(fixed.iter().chain(&fees).chain(more).map(|one| (*one).to_owned()));
        self.dev.trader(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// `rollup engine`.
    fn engine(&self, server: &EngineServer, chain_id: u64, more: &[&str]) -> Output {
        let mut args = self.source("engine", chain_id);
        let secret = self.desk.text("jwt.hex");
        let fixed = ["--engine", &server.url, "--jwt-secret", &secret];
        args.extend(fixed.iter().chain(more).map(|one| (*one).to_owned()));
        self.dev.trader(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// All certified batches of a rollup up to now, as a sequencer serves them.
    fn page(&self, chain_id: u64) -> Vec<u8> {
        let first = &self.dev.sequencers()[0];
        self.dev.get(first, &format!("/batches/{chain_id}?from=1")).unwrap()
    }
}

/// L1 from the genesis on.
fn l1(time_s: u64) -> Vec<(Header, Value)> {
    let mut parent_hash = B256::repeat_byte(0x11);
    let block = |step: u64| {
        let header = Header {
            parent_hash,
            number: 100 + step,
            timestamp: time_s + 12 * step,
            mix_hash: B256::repeat_byte(0x33),
            base_fee_per_gas: Some(9 + step),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::repeat_byte(0x44)),
            ..Header::default()
        };
        parent_hash = header.hash_slow();
        let quantity = |number: u64| format!("{number:#x}");
        let shown = json!({
            "number": quantity(header.number), "hash": parent_hash,
            "parentHash": header.parent_hash, "timestamp": quantity(header.timestamp),
            "mixHash": header.mix_hash, "baseFeePerGas": quantity(9 + step),
            "excessBlobGas": "0x0", "parentBeaconBlockRoot": header.parent_beacon_block_root,
        });
        (header, shown)
    };
    (0..L1_BLOCKS).map(block).collect()
}

fn done(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one line that a refused command prints.
fn refused(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.lines().count()), (Some(code), 1), "{said}");
    said
}

/// Releases the bundle of [`FIRST`] and [`SECOND`] on 901 and 902.
fn release(scene: &Scene) {
    seal(&scene.dev, &scene.desk, "60s");
    scene.dev.done(&["bundle", "submit", &scene.desk.text("sealed.json")]);
    scene.dev.done(&["bundle", "wait", &scene.desk.text("sealed.json")]);
    for chain_id in [901, 902] {
        // Released is not certified yet.
        let leg = if chain_id == 901 { FIRST[0] } else { SECOND };
        wait_for("a certified batch with the bundle", || {
            String::from_utf8(scene.page(chain_id)).unwrap().contains(leg).then_some(())
        });
    }
}

fn frames_are_what_the_batcher_would_send(scene: &Scene) {
    fs::write(scene.desk.path("batches.json"), scene.page(901)).unwrap();
    let batches = scene.desk.text("batches.json");
    let document = done(&scene.frames(901, "frames.json", &["--batches", &batches]));
    let written = fs::read(scene.desk.path("frames.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), document);
    assert_eq!(document["blocks"]["first"], GENESIS_NUMBER + 1);
    assert_eq!(document["blocks"]["transactions"], 2);
    let origin = &document["blocks"]["last_l1_origin"]["number"];
    assert!(origin.as_u64() >= Some(103), "{document}");
    for (index, one) in (0..).zip(document["transactions"].as_array().unwrap()) {
        let raw = hex::decode(one["raw"].as_str().unwrap()).unwrap();
        let transaction = TxEnvelope::decode_2718_exact(&raw).unwrap();
        assert_eq!(transaction.recover_signer().unwrap(), BATCHER.parse::<Address>().unwrap());
        assert_eq!(transaction.to(), Some(INBOX.parse().unwrap()));
        assert_eq!((transaction.nonce(), transaction.chain_id()), (7 + index, Some(L1_CHAIN)));
    }
    // The same again, and from the sequencers up to the same block: the same bytes.
    done(&scene.frames(901, "again.json", &["--batches", &batches]));
    assert_eq!(fs::read(scene.desk.path("again.json")).unwrap(), written);
    let [first, last] = ["first", "last"].map(|key| document["blocks"][key].as_u64().unwrap());
    let count = (last - first + 1).to_string();
    let asked = done(&scene.frames(901, "asked.json", &["--count", &count]));
    assert_eq!(asked["transactions"], document["transactions"]);
    assert_eq!(asked["channel"], document["channel"]);
    if let Some(folder) = std::env::var_os("FAIRVEIL_KEEP_FRAMES") {
        for name in ["frames.json", "batches.json", "l1.json", "rollup-901.json"] {
            fs::copy(scene.desk.path(name), std::path::Path::new(&folder).join(name)).unwrap();
        }
    }
}

fn frames_that_can_not_be_are_refused(scene: &Scene) {
    let refuse = |chain_id, more: &[&str], code, why: &str| {
        let said = refused(&scene.frames(chain_id, "none.json", more), code);
        assert!(said.contains(why), "{why}: {said}");
        assert!(!scene.desk.path("none.json").exists());
    };
    refuse(903, &[], 2, "its batches are `unvalidated` and go to a raw adapter only");
    refuse(904, &[], 2, "rollup 904 (its `l2_chain_id`) is not registered");
    refuse(901, &["--frame-bytes", "23"], 2, "frames of 23 bytes, 24 to 119999 are allowed");
    let odd = format!("{}:{GENESIS_HASH}", GENESIS_NUMBER + 1);
    let parent = ["--parent", &odd, "--parent-origin", "100"];
    refuse(901, &parent, 1, "where no slot starts");
    refuse(901, &["--parent", "5:0x22", "--parent-origin", "100"], 2, "not 0x and 64 hex digits");
    refuse(901, &["--parent", &odd, "--parent-origin", "99"], 2, "L1 block 99 is not among");
    let of_902 = scene.desk.text("of-902.json");
    fs::write(&of_902, scene.page(902)).unwrap();
    refuse(901, &["--batches", &of_902], 1, "batch 1 is refused as one of rollup 901");
    // One transaction less in a certified batch.
    let tampered = String::from_utf8(scene.page(901)).unwrap();
    let tampered = tampered.replace(&format!("\"{}\",", FIRST[0]), "");
    fs::write(scene.desk.path("tampered.json"), tampered).unwrap();
    refuse(901, &["--batches", &scene.desk.text("tampered.json")], 1, "is refused");
    let said = refused(&scene.frames(901, "frames.json", &[]), 2);
    assert!(said.contains("exists already"), "{said}");
    scene.secret("batcher.key", BATCHER_KEY, 0o640);
    refuse(901, &[], 2, "run chmod 600");
    scene.secret("batcher.key", &BATCHER_KEY.replace("01", "02"), 0o600);
    refuse(
        901,
        &[],
        2,
        "derivation takes transactions of 0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf",
    );
    scene.secret("batcher.key", "key", 0o600);
    refuse(901, &[], 2, "64 hex digits are needed");
    scene.secret("batcher.key", BATCHER_KEY, 0o600);
}

/// Drives an engine in several runs, the first of which ends in the middle of a slot.
fn an_engine_builds_what_was_released(scene: &Scene) {
    let server = EngineServer::start(GENESIS_NUMBER, GENESIS_HASH, scene.genesis_s);
    let first = done(&scene.engine(&server, 901, &["--count", "3"]));
    assert_eq!(first["built"].as_array().unwrap().len(), 3);
    assert_eq!(server.blocks().len(), 3);

    server.conduct(Conduct::Reverses);
    let said = refused(&scene.engine(&server, 901, &[]), 1);
    assert!(said.contains("the engine built another block"), "{said}");
    let stopped = server.blocks();
    let said_of = format!("block {} is not built", GENESIS_NUMBER + 1 + stopped.len() as u64);
    assert!(said.contains(&said_of), "{said}");
    let holds = |block: &crate::engine::Block| block.transactions.len() > 1;
    assert!(!stopped.iter().any(holds), "the head is the block before the one that differs");

    server.conduct(Conduct::Honest);
    done(&scene.engine(&server, 901, &[]));
    let blocks = server.blocks();
    for (block, step) in blocks.iter().zip(1..) {
        assert_eq!(block.number, GENESIS_NUMBER + step);
        assert_eq!(block.timestamp_s, scene.genesis_s + step);
        assert!(block.transactions[0].starts_with("0x7e"));
        assert_eq!(block.attributes["prevRandao"], json!(B256::repeat_byte(0x33)));
    }
    let released: Vec<&String> = blocks.iter().flat_map(|block| &block.transactions[1..]).collect();
    assert_eq!(released, FIRST);

    let before = blocks.len();
    wait_for("another block of the rollup", || {
        done(&scene.engine(&server, 901, &[]));
        (server.blocks().len() > before).then_some(())
    });
}

fn an_engine_that_can_not_be_driven(scene: &Scene) {
    let server = EngineServer::start(GENESIS_NUMBER, GENESIS_HASH, scene.genesis_s);
    let said = refused(&scene.engine(&server, 903, &[]), 2);
    assert!(said.contains("its batches are `unvalidated` and go to a raw adapter only"), "{said}");
    scene.secret("jwt.hex", &SECRET.replace("73", "74"), 0o600);
    let said = refused(&scene.engine(&server, 902, &[]), 5);
    assert!(said.contains("HTTP status 401"), "{said}");
    scene.secret("jwt.hex", SECRET, 0o644);
    let said = refused(&scene.engine(&server, 902, &[]), 2);
    assert!(said.contains("run chmod 600"), "{said}");
    scene.secret("jwt.hex", SECRET, 0o600);
    let other = EngineServer::start(GENESIS_NUMBER, B256::repeat_byte(9), scene.genesis_s);
    let said = refused(&scene.engine(&other, 902, &[]), 1);
    assert!(said.contains("is not the rollup's genesis"), "{said}");
    assert!(server.blocks().is_empty() && other.blocks().is_empty());
}

#[test]
fn what_was_released_goes_to_l1_and_to_an_engine() {
    let scene = Scene::new();
    release(&scene);
    frames_are_what_the_batcher_would_send(&scene);
    frames_that_can_not_be_are_refused(&scene);
    an_engine_builds_what_was_released(&scene);
    an_engine_that_can_not_be_driven(&scene);
}
