//! What `fairveil rollup frames` wrote for the certified batches of a network of processes, as kona
//! derives it.
//!
//! `FAIRVEIL_FRAMES` names a folder that `node/tests/processes/outputs.rs` filled; without it the run
//! that is kept in `tests/derivation/frames` is taken.

use std::fs;
use std::path::{Path, PathBuf};

use alloy_consensus_1::Header;
use alloy_primitives::{Address, B256, Bytes};
use fairveil_release::document::BatchDocument;
use fairveil_release::op::{Chain, L1Origin, L2Block, Parent};
use fairveil_release::transaction::RawTransaction;
use serde_json::Value;

use crate::l1::L1;
use crate::pipeline::{Rollup, Upgrades, derived};

struct Kept {
    rollup: Rollup,
    headers: Vec<Header>,
    frames: Value,
    documents: Vec<BatchDocument>,
}

fn read(name: &str) -> Value {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("frames");
    let folder = std::env::var_os("FAIRVEIL_FRAMES").map_or(kept, PathBuf::from);
    let path = folder.join(name);
    #[expect(clippy::disallowed_methods, reason = "a test reads its run")]
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn hash(value: &Value) -> B256 {
    value.as_str().expect("hex").parse().expect("a hash")
}

fn address(value: &Value) -> Address {
    value.as_str().expect("hex").parse().expect("an address")
}

fn quantity(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).expect("a quantity");
    u64::from_str_radix(digits, 16).expect("a quantity")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// The header of a block that `eth_getBlockByNumber` shows.
fn header(block: &Value) -> Header {
    let header = Header {
        parent_hash: hash(&block["parentHash"]),
        number: quantity(&block["number"]),
        timestamp: quantity(&block["timestamp"]),
        mix_hash: hash(&block["mixHash"]),
        base_fee_per_gas: Some(quantity(&block["baseFeePerGas"])),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(quantity(&block["excessBlobGas"])),
        parent_beacon_block_root: Some(hash(&block["parentBeaconBlockRoot"])),
        ..Header::default()
    };
    assert_eq!(header.hash_slow(), hash(&block["hash"]), "the file shows the whole header");
    header
}

impl Kept {
    fn new() -> Self {
        let config = read("rollup-901.json");
        let frames = read("frames.json");
        let genesis = &config["genesis"];
        let genesis_time_s = number(&genesis["l2_time"]);
        let chain = Chain {
            chain_id: number(&config["l2_chain_id"]),
            genesis_time_s,
            block_time_s: number(&config["block_time"]),
        };
        let (l1, l2) = (&genesis["l1"], &genesis["l2"]);
        let genesis = Parent {
            number: number(&l2["number"]),
            hash: hash(&l2["hash"]),
            timestamp_s: genesis_time_s,
            l1_origin: L1Origin { number: number(&l1["number"]), hash: hash(&l1["hash"]) },
        };
        let rollup = Rollup {
            chain,
            genesis,
            upgrades: Upgrades::Isthmus,
            inbox: address(&config["batch_inbox_address"]),
            batcher: address(&config["genesis"]["system_config"]["batcherAddr"]),
            l1_chain_id: number(&config["l1_chain_id"]),
        };
        let l1 = read("l1.json");
        let headers = l1.as_array().expect("a list").iter().map(header).collect();
        let documents = serde_json::from_value(read("batches.json")).expect("batch documents");
        Self { rollup, headers, frames, documents }
    }

    /// L1 with all transactions of the file in the block after the last L1 origin.
    fn l1(&self) -> L1 {
        let after = number(&self.frames["blocks"]["last_l1_origin"]["number"]);
        let transactions = self.frames["transactions"].as_array().expect("a list");
        let raw: Vec<RawTransaction> = transactions
            .iter()
            .map(|one| one["raw"].as_str().expect("hex").parse::<Bytes>().expect("hex").into())
            .collect();
        let block = |header: &Header| {
            if header.number == after + 1 { raw.clone() } else { Vec::new() }
        };
        let blocks: Vec<_> = self.headers.iter().map(block).collect();
        L1::new(&self.headers, &blocks)
    }

    /// What was released in (end - block time, end].
    fn released(&self, end_s: u64) -> Vec<RawTransaction> {
        let blocks = self.documents.iter().flat_map(|document| &document.batch.blocks);
        let begin_ms = (end_s - self.rollup.chain.block_time_s) * 1_000;
        let within =
            blocks.filter(|block| block.time_ms > begin_ms && block.time_ms <= end_s * 1_000);
        within.flat_map(|block| block.transactions.clone()).collect()
    }
}

#[test]
fn what_the_command_wrote_is_derived_exactly() {
    let kept = Kept::new();
    let blocks: Vec<L2Block> = derived(&kept.rollup, &kept.l1());
    let [first, last] = ["first", "last"].map(|key| number(&kept.frames["blocks"][key]));
    let numbers: Vec<u64> = blocks.iter().map(|block| block.number).collect();
    assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
    let genesis = kept.rollup.genesis;
    for block in &blocks {
        let age_s = (block.number - genesis.number) * kept.rollup.chain.block_time_s;
        assert_eq!(block.timestamp_s, genesis.timestamp_s + age_s);
        assert_eq!(block.transactions, kept.released(block.timestamp_s), "{}", block.number);
    }
    let released = kept.documents.iter().flat_map(|document| document.batch.transactions());
    let derived = blocks.iter().map(|block| block.transactions.len()).sum::<usize>();
    assert_eq!(derived, released.count());
    assert!(derived > 0);
}

#[test]
fn for_another_batcher_the_command_wrote_nothing() {
    let mut kept = Kept::new();
    kept.rollup.batcher = Address::repeat_byte(1);
    assert_eq!(derived(&kept.rollup, &kept.l1()), vec![]);
}
