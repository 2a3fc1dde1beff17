//! The adapter for development chains, against real anvils on loopback.
//!
//! ```text
//! npm install --prefix ~/anvil @foundry-rs/anvil@1.7.1
//! export FAIRVEIL_ANVIL=~/anvil/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil
//! cargo test -p fairveil-adapters --release --test anvil -- --ignored
//! ```
//!
//! Each test starts its own chains and ends them by their process: so it is the binary itself, not
//! the script beside it that starts one. Without `FAIRVEIL_ANVIL` the tests fail.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, address, keccak256};
use fairveil_adapters::development::{ChainFault, Place};
use fairveil_adapters::development::{
    DevelopmentChains, Difference, End, MinedBlock, MinedSlot, ReleaseError,
};
use fairveil_adapters::json_rpc::{Endpoint, Limits};
use fairveil_adapters::released::{ReleasedBlock, ReleasedSlot};
use fairveil_adapters::state_view::{BlockId, PinnedHeader, Reader, base_fee_of_next};
use fairveil_execution::block::{Block, Hardfork, L1Fees};
use fairveil_execution::bundle::{Bundle, Leg, Policy};
use fairveil_execution::outcome::Outcome;
use fairveil_execution::sender::{SetCode, SignedTransaction};
use fairveil_execution::simulator::{self, Rollup, Simulator};
use fairveil_execution::state::{MemoryState, StateError, StateView};
use fairveil_release::transaction::RawTransaction;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SecretKey};
use serde_json::{Value, json};

const CHAINS: [u64; 2] = [901, 902];
const GENESIS_S: u64 = 1_800_000_000;
/// What an anvil with `--network optimism` computes base fees with.
const ELASTICITY: u64 = 6;
const DENOMINATOR: u64 = 250;
const RECEIVER: Address = address!("0x00000000000000000000000000000000000abcde");
/// A contract that reverts, and one that counts its calls in storage slot 0.
const REVERTS: Address = address!("0x00000000000000000000000000000000000fffff");
const COUNTS: Address = address!("0x00000000000000000000000000000000000c0de0");

/// An anvil of our own; it ends when this is dropped.
struct Anvil {
    process: Child,
    endpoint: Endpoint,
}

impl Anvil {
    fn start(chain_id: u64) -> Self {
        let path = std::env::var_os("FAIRVEIL_ANVIL")
            .expect("FAIRVEIL_ANVIL must be the path of an anvil binary");
        let mut process = Command::new(path)
            .args(["--network", "optimism", "--no-mining", "--order", "fifo", "--color", "never"])
            .args(["--host", "127.0.0.1", "--port", "0", "--accounts", "1"])
            .args(["--chain-id", &chain_id.to_string(), "--timestamp", &GENESIS_S.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("FAIRVEIL_ANVIL can't be started");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address =
            lines.find_map(|line| line.unwrap().strip_prefix("Listening on ").map(str::to_owned));
        let url = format!("http://{}", address.expect("anvil ended before it listened"));
        // Whoever writes to a closed pipe dies: read on until the process ends.
        std::thread::Builder::new().spawn(move || lines.for_each(drop)).unwrap();
        Self { process, endpoint: Endpoint::new(&url, Limits::default()).unwrap() }
    }

    async fn call(&self, method: &'static str, params: Value) -> Value {
        let params = params.as_array().unwrap().clone();
        self.endpoint.call(method, params).await.unwrap()
    }

    async fn head(&self) -> (Value, Value) {
        let head = self.call("eth_getBlockByNumber", json!(["latest", false])).await;
        (head["number"].clone(), head["hash"].clone())
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Two anvils, who feeds them, and two traders with the nonces that they are at.
struct World {
    anvils: Vec<Anvil>,
    chains: DevelopmentChains,
    traders: [SecretKey; 2],
    nonces: BTreeMap<(u64, usize), u64>,
}

impl World {
    async fn start() -> Self {
        let anvils: Vec<Anvil> = CHAINS.iter().map(|chain_id| Anvil::start(*chain_id)).collect();
        let traders = [1, 2].map(|byte| SecretKey::from_secret_bytes([byte; 32]).unwrap());
        for anvil in &anvils {
            for trader in &traders {
                let rich = "0x56bc75e2d63100000";
                anvil.call("anvil_setBalance", json!([address_of(trader), rich])).await;
            }
            anvil.call("anvil_setCode", json!([REVERTS, "0x60006000fd"])).await;
            // sstore(0, sload(0) + 1)
            anvil.call("anvil_setCode", json!([COUNTS, "0x60005460010160005500"])).await;
        }
        let chains = connect(&anvils).await;
        Self { anvils, chains, traders, nonces: BTreeMap::new() }
    }

    async fn heads(&self) -> [(Value, Value); 2] {
        [self.anvils[0].head().await, self.anvils[1].head().await]
    }

    /// A trader's next transaction.
    fn transaction(&mut self, chain_id: u64, trader: usize, to: Address) -> RawTransaction {
        let next = self.nonces.entry((chain_id, trader)).or_default();
        let nonce = *next;
        *next += 1;
        self.signed(chain_id, trader, nonce, to)
    }

    fn signed(&self, chain_id: u64, trader: usize, nonce: u64, to: Address) -> RawTransaction {
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit: 100_000,
            max_fee_per_gas: 2_000_000_000,
            max_priority_fee_per_gas: 1 + nonce as u128,
            to: TxKind::Call(to),
            value: if to == RECEIVER { U256::from(5) } else { U256::ZERO },
            ..TxEip1559::default()
        };
        let hash = Message::from_digest(transaction.signature_hash().0);
        let signed = RecoverableSignature::sign_ecdsa_recoverable(hash, &self.traders[trader]);
        let (recovery, compact) = signed.serialize_compact();
        let (r, s) = compact.split_at(32);
        let odd = matches!(recovery, RecoveryId::One | RecoveryId::Three);
        let (r, s) = (B256::from_slice(r), B256::from_slice(s));
        let signature = Signature::from_scalars_and_parity(r, s, odd);
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
    }

    /// Slot k of two seconds: chain 901 has blocks of 1 s, chain 902 of 250 ms.
    fn slot(&mut self, k: u64) -> ReleasedSlot {
        let start_ms = (GENESIS_S + 2 * k) * 1_000;
        let mut block = |chain_id, number, time_ms| {
            // The second trader pays more with each nonce, and yet stands behind the first one.
            let plan = [(0, RECEIVER), (1, REVERTS), (0, COUNTS), (1, COUNTS)];
            let plan = plan.iter().take((number % 5) as usize);
            let transactions = plan.map(|(trader, to)| self.transaction(chain_id, *trader, *to));
            ReleasedBlock { number, time_ms, transactions: transactions.collect() }
        };
        let slow = (1..=2).map(|i| block(CHAINS[0], 2 * k + i, start_ms + 1_000 * i)).collect();
        let fast = (1..=8).map(|i| block(CHAINS[1], 8 * k + i, start_ms + 250 * i)).collect();
        ReleasedSlot { rollups: BTreeMap::from([(CHAINS[0], slow), (CHAINS[1], fast)]) }
    }
}

async fn connect(anvils: &[Anvil]) -> DevelopmentChains {
    let endpoints = CHAINS.iter().zip(anvils);
    let endpoints = endpoints.map(|(chain_id, anvil)| (*chain_id, anvil.endpoint.clone()));
    DevelopmentChains::connect(endpoints.collect()).await.unwrap()
}

fn address_of(secret: &SecretKey) -> Address {
    Address::from_raw_public_key(&PublicKey::from_secret_key(secret).serialize_uncompressed()[1..])
}

fn hashes(transactions: &[RawTransaction]) -> Vec<B256> {
    transactions.iter().map(|raw| keccak256(raw.as_bytes())).collect()
}

/// What was released is what was mined, read by other calls than the adapter's.
async fn check(world: &World, slot: &ReleasedSlot, mined: &MinedSlot) {
    for (anvil, chain_id) in world.anvils.iter().zip(CHAINS) {
        let (blocks, mined) = (&slot.rollups[&chain_id], &mined.rollups[&chain_id]);
        for MinedBlock { place, number, hash, receipts, .. } in mined {
            let parts = blocks.iter().filter(|b| (place.first..=place.last).contains(&b.number));
            let released: Vec<RawTransaction> =
                parts.flat_map(|block| block.transactions.clone()).collect();
            let block = anvil.call("eth_getBlockByHash", json!([hash, true])).await;
            assert_eq!(block["number"], format!("{number:#x}"));
            assert_eq!(block["timestamp"], format!("{:#x}", place.timestamp_s));
            let listed: Vec<B256> = block["transactions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|transaction| serde_json::from_value(transaction["hash"].clone()).unwrap())
                .collect();
            assert_eq!(listed, hashes(&released));
            let named: Vec<B256> = receipts.iter().map(|receipt| receipt.transaction).collect();
            assert_eq!(listed, named);
            for (receipt, transaction) in
                receipts.iter().zip(block["transactions"].as_array().unwrap())
            {
                let reverts = transaction["to"] == json!(REVERTS);
                assert_eq!(receipt.end, if reverts { End::Failed } else { End::Succeeded });
            }
        }
    }
}

fn ends(mined: &MinedSlot) -> Vec<End> {
    let blocks = mined.rollups.values().flatten();
    blocks.flat_map(|block| &block.receipts).map(|receipt| receipt.end).collect()
}

#[tokio::test]
#[ignore = "needs FAIRVEIL_ANVIL, the path of an anvil binary"]
async fn three_slots_are_mined_exactly_on_two_chains() {
    let mut world = World::start().await;
    for k in 0..3 {
        let slot = world.slot(k);
        let mined = world.chains.release(&slot).await.unwrap();
        check(&world, &slot, &mined).await;
        assert!(ends(&mined).contains(&End::Failed) && ends(&mined).contains(&End::Succeeded));
        let seconds: Vec<Place> = mined.rollups[&CHAINS[1]].iter().map(|b| b.place).collect();
        let second = |half: u64| Place {
            first: 8 * k + 4 * half + 1,
            last: 8 * k + 4 * half + 4,
            timestamp_s: GENESIS_S + 2 * k + half + 1,
        };
        assert_eq!(seconds, [second(0), second(1)]);
    }
}

#[tokio::test]
#[ignore = "needs FAIRVEIL_ANVIL, the path of an anvil binary"]
async fn a_long_block_keeps_its_order() {
    let mut world = World::start().await;
    let block = |world: &mut World, chain_id, number: u64| {
        let traders = (0..400).map(|index| usize::from(index * 7 % 5 < 2));
        let transactions =
            traders.map(|trader| world.transaction(chain_id, trader, RECEIVER)).collect();
        ReleasedBlock { number, time_ms: (GENESIS_S + number) * 1_000, transactions }
    };
    let rollups = CHAINS.map(|chain_id| {
        (chain_id, (1..=2).map(|number| block(&mut world, chain_id, number)).collect())
    });
    let slot = ReleasedSlot { rollups: rollups.into() };
    // Somebody else's transaction waits in front.
    let foreign = world.signed(CHAINS[0], 1, 0, COUNTS);
    world.anvils[0].call("eth_sendRawTransaction", json!([foreign])).await;
    let mined = world.chains.release(&slot).await.unwrap();
    check(&world, &slot, &mined).await;
    assert_eq!(ends(&mined), [End::Succeeded; 1_600]);
}

#[tokio::test]
#[ignore = "needs FAIRVEIL_ANVIL, the path of an anvil binary"]
async fn a_mismatch_is_undone_on_both_chains() {
    let mut world = World::start().await;
    let first = world.slot(0);
    let before = world.chains.release(&first).await.unwrap();
    let heads = world.heads().await;
    let slot = world.slot(1);

    // A nonce too far stays in the pool: the mined list is too short.
    let mut gap = slot.clone();
    let stuck = world.signed(CHAINS[1], 0, 1_000, RECEIVER);
    let last = gap.rollups.get_mut(&CHAINS[1]).unwrap().last_mut().unwrap();
    last.transactions.push(stuck.clone());
    let error = world.chains.release(&gap).await.unwrap_err();
    let ReleaseError::Undone { faults } = &error else { panic!("{error}") };
    let fault = &faults.by_chain()[&CHAINS[1]];
    let ChainFault::Different { place, number: 4, difference, .. } = fault else {
        panic!("{error}")
    };
    assert_eq!((place.first, place.last, place.timestamp_s), (13, 16, GENESIS_S + 4));
    let hash = hashes(std::slice::from_ref(&stuck))[0];
    let Difference::Transaction { found: None, expected: Some(expected), .. } = difference else {
        panic!("{error}")
    };
    assert_eq!(*expected, hash);
    assert_eq!(world.heads().await, heads);

    // A used nonce is refused at once.
    let mut used = slot.clone();
    let again = world.signed(CHAINS[0], 0, 0, RECEIVER);
    used.rollups.get_mut(&CHAINS[0]).unwrap()[1].transactions.insert(0, again);
    let error = world.chains.release(&used).await.unwrap_err();
    let ReleaseError::Undone { faults } = &error else { panic!("{error}") };
    let fault = &faults.by_chain()[&CHAINS[0]];
    assert!(matches!(fault, ChainFault::Refused { index: 0, .. }), "{error}");
    assert!(error.to_string().contains("nonce too low"), "{error}");
    assert_eq!(world.heads().await, heads);

    // As if nothing had been tried: pool, base fees and time.
    let after = world.chains.release(&slot).await.unwrap();
    check(&world, &slot, &after).await;
    for (anvil, chain_id) in world.anvils.iter().zip(CHAINS) {
        let head = before.rollups[&chain_id].last().unwrap();
        let reader = anvil.endpoint.clone();
        let header = tokio::task::spawn_blocking({
            let hash = head.hash;
            move || Reader::new(reader).unwrap().header(BlockId::Hash(hash)).unwrap().unwrap()
        });
        let fee = base_fee_of_next(&header.await.unwrap(), ELASTICITY, DENOMINATOR).unwrap();
        assert_eq!(after.rollups[&chain_id][0].base_fee, fee);
    }
}

#[tokio::test]
#[ignore = "needs FAIRVEIL_ANVIL, the path of an anvil binary"]
async fn a_slot_survives_crashes_between_its_calls() {
    let mut world = World::start().await;
    let first = world.slot(0);
    let mined = world.chains.release(&first).await.unwrap();
    world.chains = connect(&world.anvils).await;
    let heads = world.heads().await;
    assert_eq!(world.chains.release(&first).await.unwrap(), mined);
    assert_eq!(world.heads().await, heads);

    // The first chain has one block of the slot and one transaction of the next, the other nothing.
    let slot = world.slot(1);
    let begin = async |world: &World| {
        let blocks = &slot.rollups[&CHAINS[0]];
        for raw in &blocks[0].transactions {
            world.anvils[0].call("eth_sendRawTransaction", json!([raw])).await;
        }
        world.anvils[0].call("evm_mine", json!([blocks[0].time_ms / 1_000])).await;
        let pending = &blocks[1].transactions[0];
        world.anvils[0].call("eth_sendRawTransaction", json!([pending])).await;
        world.anvils[0].head().await.1
    };
    begin(&world).await;
    let mut wrong = slot.clone();
    let stuck = world.signed(CHAINS[1], 0, 1_000, RECEIVER);
    wrong.rollups.get_mut(&CHAINS[1]).unwrap()[0].transactions.push(stuck);
    let error = world.chains.release(&wrong).await.unwrap_err();
    assert!(matches!(error, ReleaseError::Undone { .. }), "{error}");
    assert_eq!(world.heads().await, heads, "what the earlier call left is undone too");

    let begun = begin(&world).await;
    let after = world.chains.release(&slot).await.unwrap();
    check(&world, &slot, &after).await;
    assert_eq!(json!(after.rollups[&CHAINS[0]][0].hash), begun, "completed, not started again");
    let third = world.slot(2);
    let mined = world.chains.release(&third).await.unwrap();
    check(&world, &third, &mined).await;
}

/// Simulates one block over its parent's state, and compares with what the chain did.
fn check_simulation(reader: &Arc<Reader>, mined: &MinedBlock, raws: &[RawTransaction]) {
    let chain_id = reader.chain_id().unwrap();
    let header = |id| reader.header(id).unwrap().unwrap();
    let (after, parent) =
        (header(BlockId::Hash(mined.hash)), header(BlockId::Number(mined.number - 1)));
    let block = Block {
        number: mined.number,
        timestamp_s: mined.place.timestamp_s,
        base_fee: mined.base_fee,
        gas_limit: parent.gas_limit,
        beneficiary: Address::ZERO,
        prevrandao: B256::ZERO,
        hardfork: Hardfork::Jovian,
        l1_fees: L1Fees::Nothing,
    };
    let view = Arc::new(reader.pin(parent));
    let digest = MemoryState::empty().digest();
    let rollup = Rollup { chain_id, view: Some(view.clone()), digest, block };
    let mut simulator = Simulator::new(vec![rollup], simulator::Limits::default()).unwrap();
    assert_eq!(raws.len(), mined.receipts.len());
    for (raw, mined) in raws.iter().zip(&mined.receipts) {
        let raw = Bytes::copy_from_slice(raw.as_bytes());
        let signed = SignedTransaction { raw, chain_id, set_code: SetCode::Taken };
        let leg = Leg { chain_id, transactions: vec![signed.recover().unwrap()] };
        let bundle = Bundle::new(Policy::Include, vec![leg]).unwrap();
        let outcome = simulator.simulate(&bundle);
        let Outcome::Kept { legs } = outcome else { panic!("{outcome:?}") };
        let receipt = &legs[0].receipts[0];
        assert_eq!(receipt.fault.is_none(), mined.end == End::Succeeded);
        assert_eq!(receipt.gas_used, mined.gas_used);
    }
    let changes = simulator.finish().unwrap().remove(0).changes;
    assert_eq!(view.fault(), None);
    let view = reader.pin(after);
    for (address, change) in changes.accounts() {
        assert_eq!(view.account(*address), Ok(change.account), "{address}");
        for (slot, value) in &change.storage {
            assert_eq!(view.storage(*address, *slot), Ok(*value), "{address}");
        }
    }
    assert_eq!(changes.is_empty(), raws.is_empty());
    assert_eq!(after.gas_used, mined.receipts.iter().map(|receipt| receipt.gas_used).sum::<u64>());
}

#[test]
#[ignore = "needs FAIRVEIL_ANVIL, the path of an anvil binary"]
fn a_simulation_over_the_pinned_state_is_what_the_chain_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut world = runtime.block_on(World::start());
    let chain_id = CHAINS[0];
    let reader = Arc::new(Reader::new(world.anvils[0].endpoint.clone()).unwrap());
    assert_eq!(reader.chain_id().unwrap(), chain_id);
    let genesis = reader.header(BlockId::Latest).unwrap().unwrap();
    let mut mined = Vec::new();
    for k in 0..3 {
        let slot = world.slot(k);
        let blocks = runtime.block_on(world.chains.release(&slot)).unwrap();
        let released = slot.rollups[&chain_id].clone();
        mined.extend(blocks.rollups[&chain_id].clone().into_iter().zip(released));
    }
    // The chain went on, and yet each block is simulated over its own parent.
    for (block, released) in &mined {
        check_simulation(&reader, block, &released.transactions);
        if block.number > 1 {
            let parent = reader.header(BlockId::Number(block.number - 1)).unwrap().unwrap();
            let fee = base_fee_of_next(&parent, ELASTICITY, DENOMINATOR).unwrap();
            assert_eq!(block.base_fee, fee);
        }
    }
    let view = reader.pin(reader.header(BlockId::Latest).unwrap().unwrap());
    assert_eq!(view.block_hash(0), Ok(genesis.hash));
    assert_eq!(view.block_hash(3), Ok(mined[2].0.hash));
    assert_eq!(view.account(Address::repeat_byte(0x77)), Ok(None));

    // A block that left the chain is not read any more, but for what was read of it.
    let count = view.storage(COUNTS, U256::ZERO).unwrap();
    runtime.block_on(world.anvils[0].call("anvil_rollback", json!([1])));
    assert_eq!(view.storage(COUNTS, U256::ZERO), Ok(count));
    assert_eq!(view.storage(COUNTS, U256::ONE), Err(StateError::Stale));
    assert_eq!(view.account(COUNTS), Err(StateError::Stale));
    assert!(view.fault().unwrap().to_string().contains("-32001"));
    let never = PinnedHeader { hash: B256::repeat_byte(9), ..genesis };
    assert_eq!(reader.pin(never).account(COUNTS), Err(StateError::Stale));
}
