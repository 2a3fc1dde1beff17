//! What is done with released batches, one thread.

mod support;

use std::hint::black_box;

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use criterion::{BenchmarkId, Throughput};
use fairveil_benches::plan::{RELEASE, Release};
use fairveil_release::op::channel::{Channel, MAX_FRAME_BYTES};
use fairveil_release::op::span_batch::SpanBatch;
use fairveil_release::op::{Chain, L1Origin, L2Block, Parent};
use fairveil_release::transaction::RawTransaction;

use crate::support::criterion;

const CHAIN: Chain = Chain { chain_id: 901, genesis_time_s: 1_700_000_000, block_time_s: 2 };
const L1_ORIGIN: L1Origin = L1Origin { number: 20_000_000, hash: B256::repeat_byte(3) };
const BLOCKS: usize = 10;

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
    let transfers: Vec<RawTransaction> = (0..count as u64).map(transfer).collect();
    let chunks = transfers.chunks(count.div_ceil(BLOCKS)).zip(1..);
    let block = |(transactions, step): (&[RawTransaction], u64)| L2Block {
        number: parent().number + step,
        timestamp_s: parent().timestamp_s + step * CHAIN.block_time_s,
        l1_origin: L1_ORIGIN,
        transactions: transactions.to_vec(),
    };
    chunks.map(block).collect()
}

/// A transfer from one of many accounts to another one.
fn transfer(number: u64) -> RawTransaction {
    let random = keccak256(number.to_be_bytes());
    let transaction = TxEip1559 {
        chain_id: CHAIN.chain_id,
        nonce: number / 50,
        gas_limit: 21_000,
        max_fee_per_gas: 1_000_000_000 + u128::from(random[0]),
        max_priority_fee_per_gas: 1_000_000,
        to: TxKind::Call(Address::from_word(random)),
        value: U256::from_be_slice(&random[..8]),
        ..TxEip1559::default()
    };
    let secret = B256::from(keccak256((number % 50).to_be_bytes()));
    let signature = sign_message(secret, transaction.signature_hash()).expect("a secret");
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}
