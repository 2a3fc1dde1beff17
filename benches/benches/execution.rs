//! A slot of transfers on one rollup, from raw transactions to the digest after it, on one thread.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId};
use fairveil_benches::plan::{EXECUTION, Execution};
use fairveil_crypto::Digest;
use fairveil_execution::block::{Block, Hardfork, L1Fees};
use fairveil_execution::bundle::{Bundle, Leg, Policy};
use fairveil_execution::genesis::parse_genesis;
use fairveil_execution::outcome::Outcome;
use fairveil_execution::sender::{
    RecoveredTransaction, SetCode, SignedTransaction, recover_senders,
};
use fairveil_execution::simulator::{Limits, Rollup, Simulator};
use fairveil_execution::state::MemoryState;
use k256::ecdsa::{RecoveryId, VerifyingKey};

use crate::support::{ProcessorTime, criterion};

const CHAIN: u64 = 901;

fn main() {
    let mut criterion = criterion();
    for operation in EXECUTION {
        let mut group = criterion.benchmark_group(operation.name);
        for case in operation.cases {
            let id = BenchmarkId::from_parameter(operation.parameters(case));
            measure(&mut group, id, operation.kind, &Work::new(case.count));
        }
        group.finish();
    }
    criterion.final_summary();
}

fn measure(
    group: &mut BenchmarkGroup<'_, ProcessorTime>,
    id: BenchmarkId,
    kind: Execution,
    work: &Work,
) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    let recovered = || {
        let recovered = recover_senders(&pool, &work.signed).into_iter();
        recovered.map(|result| result.expect("signed")).collect::<Vec<_>>()
    };
    let senders: Vec<Address> = recovered().iter().map(RecoveredTransaction::sender).collect();
    assert_eq!(senders, work.senders_by_k256());
    match kind {
        Execution::Transfers => {
            group.bench_function(id, |bencher| {
                bencher.iter(|| black_box(work.simulate(recovered())));
            });
        }
        Execution::RecoveredTransfers => {
            group.bench_function(id, |bencher| {
                let run = |transactions| black_box(work.simulate(transactions));
                bencher.iter_batched(recovered, run, BatchSize::LargeInput);
            });
        }
        Execution::RecoverSenders => {
            group.bench_function(id, |bencher| bencher.iter(|| black_box(recovered())));
        }
        Execution::BaselineRecoverSenders => {
            group.bench_function(id, |bencher| {
                bencher.iter(|| black_box(work.senders_by_k256()));
            });
        }
    }
}

/// Transfers by as many senders to as many new accounts.
struct Work {
    state: Arc<MemoryState>,
    signed: Vec<SignedTransaction>,
    signatures: Vec<(Signature, B256)>,
}

impl Work {
    fn new(count: usize) -> Self {
        let mut accounts = Vec::with_capacity(count);
        let (mut signed, mut signatures) = (Vec::new(), Vec::new());
        for number in 1..=count as u64 {
            let transaction = TxEip1559 {
                chain_id: CHAIN,
                gas_limit: 21_000,
                max_fee_per_gas: 10,
                max_priority_fee_per_gas: 2,
                to: TxKind::Call(Address::from_word(B256::from(U256::from(number) << 64))),
                value: U256::from(number),
                ..Default::default()
            };
            let secret = B256::from(U256::from(number));
            let hash = transaction.signature_hash();
            let signature = sign_message(secret, hash).expect("a key");
            let sender = signature.recover_address_from_prehash(&hash).expect("signed");
            accounts.push(format!("\"{sender}\": {{\"balance\": \"1000000000000\"}}"));
            signatures.push((signature, hash));
            let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into();
            signed.push(SignedTransaction { raw, chain_id: CHAIN, set_code: SetCode::Refused });
        }
        let json = format!("{{\"alloc\": {{{}}}}}", accounts.join(","));
        let state = Arc::new(parse_genesis(json.as_bytes()).expect("a genesis"));
        Self { state, signed, signatures }
    }

    fn senders_by_k256(&self) -> Vec<Address> {
        let recover = |(signature, hash): &(Signature, B256)| {
            let (r, s) = (signature.r().to_be_bytes(), signature.s().to_be_bytes());
            let parts = k256::ecdsa::Signature::from_scalars(r, s).expect("in range");
            let recovery = RecoveryId::new(signature.v(), false);
            let key = VerifyingKey::recover_from_prehash(hash.as_slice(), &parts, recovery);
            Address::from_public_key(&key.expect("signed"))
        };
        self.signatures.iter().map(recover).collect()
    }

    /// One bundle after the other; the digest after the slot.
    fn simulate(&self, transactions: Vec<RecoveredTransaction>) -> Digest {
        let block = Block {
            number: 1,
            timestamp_s: 1_800_000_000,
            base_fee: 7,
            gas_limit: 30_000_000,
            beneficiary: Address::repeat_byte(0xbe),
            prevrandao: B256::ZERO,
            hardfork: Hardfork::Isthmus,
            l1_fees: L1Fees::Nothing,
        };
        let digest = self.state.digest();
        let rollup = Rollup { chain_id: CHAIN, view: Some(self.state.clone()), digest, block };
        let mut simulator = Simulator::new(vec![rollup], Limits::default()).expect("one rollup");
        let bundles = transactions.into_iter().map(|transaction| {
            let leg = Leg { chain_id: CHAIN, transactions: vec![transaction] };
            Bundle::new(Policy::Execute, vec![leg]).expect("a bundle")
        });
        let bundles: Vec<Bundle> = bundles.collect();
        let outcomes = simulator.simulate_all(&bundles);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Kept { .. })));
        simulator.finish().expect("in memory")[0].digest
    }
}
