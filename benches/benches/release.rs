//! Cutting batches, and what is done with them; one thread.

mod support;

use std::collections::BTreeMap;
use std::hint::black_box;

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use criterion::{BatchSize, BenchmarkId, Throughput};
use fairveil_benches::plan::{RELEASE, Release};
use fairveil_crypto::{BlockDigest, BundleId, Height, NetworkId};
use fairveil_mempool::{Bundle, Leg, Policy};
use fairveil_release::chain::{Judged, JudgedOrder, ReleaseChain, Released};
use fairveil_release::op::channel::{Channel, MAX_FRAME_BYTES};
use fairveil_release::op::span_batch::SpanBatch;
use fairveil_release::op::{Chain, L1Origin, L2Block, Parent};
use fairveil_release::registry::{EmbeddedState, Registry, Rollup, StateSource};
use fairveil_release::states::{MemoryState, RollupStates, parse_genesis};
use fairveil_release::transaction::RawTransaction;
use fairveil_release::tree::Outcome;
use fairveil_release::validity::valid_bundles;

use crate::support::criterion;

const CHAIN: Chain = Chain { chain_id: 901, genesis_time_s: 1_700_000_000, block_time_s: 2 };
const L1_ORIGIN: L1Origin = L1Origin { number: 20_000_000, hash: B256::repeat_byte(3) };
const BLOCKS: usize = 10;
/// Accounts that send more than once.
const SENDERS: u64 = 50;

fn main() {
    let mut criterion = criterion();
    for operation in RELEASE {
        let mut group = criterion.benchmark_group(operation.name);
        for case in operation.cases {
            group.throughput(Throughput::Elements(case.count as u64));
            let id = BenchmarkId::from_parameter(operation.parameters(case));
            match operation.kind {
                Release::OpFrames => {
                    let blocks = blocks(case.count);
                    group.bench_function(id, |bencher| bencher.iter(|| frames(black_box(&blocks))));
                }
                Release::Cut => {
                    let registry = registry(u64::from(case.n), None);
                    let order = judged(&registry, case.count, Policy::Include);
                    let chain = chain(&registry, RollupStates::default());
                    group.bench_function(id, |bencher| {
                        let inputs = || (chain.clone(), order.clone());
                        bencher.iter_batched(inputs, extended, BatchSize::LargeInput);
                    });
                }
                Release::Slot => {
                    let slot = Slot::new(u64::from(case.n), case.count);
                    group.bench_function(id, |bencher| {
                        let inputs = || (slot.chain(), slot.order.clone());
                        bencher.iter_batched(inputs, extended, BatchSize::LargeInput);
                    });
                }
            }
        }
        group.finish();
    }
    criterion.final_summary();
}

fn parent() -> Parent {
    let timestamp_s = CHAIN.genesis_time_s + 4_000;
    Parent { number: 2_000, hash: B256::repeat_byte(2), timestamp_s, l1_origin: L1_ORIGIN }
}

/// From blocks to frames: decoding, columns, compression, cutting.
fn frames(blocks: &[L2Block]) -> Channel {
    let batch = SpanBatch::new(&CHAIN, &parent(), blocks).expect("blocks that follow each other");
    Channel::new(&CHAIN, &[batch], MAX_FRAME_BYTES).expect("a channel")
}

fn blocks(count: usize) -> Vec<L2Block> {
    let transfers: Vec<RawTransaction> =
        (0..count as u64).map(|number| transfer(CHAIN.chain_id, number, SENDERS)).collect();
    let chunks = transfers.chunks(count.div_ceil(BLOCKS)).zip(1..);
    let block = |(transactions, step): (&[RawTransaction], u64)| L2Block {
        number: parent().number + step,
        timestamp_s: parent().timestamp_s + step * CHAIN.block_time_s,
        l1_origin: L1_ORIGIN,
        transactions: transactions.to_vec(),
    };
    chunks.map(block).collect()
}

/// A slot of transfers on rollups that are all simulated over states of the same size.
struct Slot {
    registry: Registry,
    states: BTreeMap<u64, MemoryState>,
    order: JudgedOrder,
}

impl Slot {
    fn new(rollups: u64, count: usize) -> Self {
        let accounts = (0..count as u64).map(|number| {
            let sender = address(secret(number, count as u64));
            format!(r#""{sender}": {{"balance": "1000000000000000000000"}}"#)
        });
        let accounts: Vec<String> = accounts.collect();
        let document = format!(r#"{{"alloc": {{{}}}}}"#, accounts.join(","));
        let genesis = parse_genesis(document.as_bytes()).expect("accounts with balances");
        let state = EmbeddedState { genesis: genesis.digest(), base_fee: 7 };
        let registry = registry(rollups, Some(StateSource::Embedded(state)));
        let order = judged(&registry, count, Policy::Execute);
        let ids = registry.chain_ids().into_iter();
        let slot = Self { states: ids.map(|id| (id, genesis.clone())).collect(), registry, order };
        let (_, released) = extended((slot.chain(), slot.order.clone()));
        let outcomes = released.release.leaves.iter().map(|leaf| &leaf.outcome);
        assert!(outcomes.clone().all(|outcome| matches!(outcome, Outcome::Released { .. })));
        assert_eq!(outcomes.count(), count);
        slot
    }

    /// Before the slot, with states of its own: to apply changes to shared ones is to copy them.
    fn chain(&self) -> ReleaseChain {
        chain(&self.registry, RollupStates::restore(self.states.clone()))
    }
}

/// What is dropped is not measured.
fn extended((mut chain, order): (ReleaseChain, JudgedOrder)) -> (ReleaseChain, Released) {
    let released = chain.extend(order).expect("the first height");
    (chain, released)
}

fn registry(rollups: u64, state: Option<StateSource>) -> Registry {
    let chain_ids = CHAIN.chain_id..CHAIN.chain_id + rollups;
    let listed =
        chain_ids.map(|id| Rollup { state, ..Rollup::recorder(id, &format!("rollup-{id}")) });
    Registry::new(listed.collect()).expect("1 to 64 rollups")
}

/// A chain of releases before its first height.
fn chain(registry: &Registry, states: RollupStates) -> ReleaseChain {
    let chain = ReleaseChain::new(NetworkId::from_bytes([2; 32]), registry.clone(), states);
    chain.expect("a batch per height")
}

/// An order that has as many legs whatever the number of rollups: each bundle has one, on one
/// rollup after the other.
fn judged(registry: &Registry, count: usize, policy: Policy) -> JudgedOrder {
    let chain_ids = registry.chain_ids();
    // Senders of one transaction each where a nonce counts.
    let senders = if policy == Policy::Execute { count as u64 } else { SENDERS };
    let bundles: Vec<Bundle> = (0..count as u64)
        .zip(chain_ids.iter().cycle())
        .map(|(number, &chain_id)| {
            let transactions = vec![transfer(chain_id, number, senders).as_bytes().to_vec().into()];
            let leg = Leg { chain_id, transactions };
            Bundle::new(policy, vec![leg]).expect("one leg")
        })
        .collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let ids = valid_bundles(&pool, registry, &bundles).into_iter().zip(0u64..);
    let ids = ids.map(|(valid, number)| {
        let id = BundleId::from_bytes(keccak256(number.to_be_bytes()).0);
        (id, Judged::Valid(valid.expect("statically valid")))
    });
    JudgedOrder {
        height: Height::ZERO.next(),
        block: BlockDigest::from_bytes([1; 32]),
        time_ms: 1_700_000_000_000,
        ids: ids.collect(),
    }
}

/// A transfer from one of so many accounts to another one.
fn transfer(chain_id: u64, number: u64, senders: u64) -> RawTransaction {
    let random = keccak256(number.to_be_bytes());
    let transaction = TxEip1559 {
        chain_id,
        nonce: number / senders,
        gas_limit: 21_000,
        max_fee_per_gas: 1_000_000_000 + u128::from(random[0]),
        max_priority_fee_per_gas: 1_000_000,
        to: TxKind::Call(Address::from_word(random)),
        value: U256::from_be_slice(&random[..8]),
        ..TxEip1559::default()
    };
    let secret = secret(number, senders);
    let signature = sign_message(secret, transaction.signature_hash()).expect("a secret");
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

fn secret(number: u64, senders: u64) -> B256 {
    keccak256((number % senders).to_be_bytes())
}

fn address(secret: B256) -> Address {
    let signed = sign_message(secret, B256::ZERO).expect("a secret");
    signed.recover_address_from_prehash(&B256::ZERO).expect("signed")
}
