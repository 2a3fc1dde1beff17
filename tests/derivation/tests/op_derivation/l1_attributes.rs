//! The deposit of the L1 attributes, beside the one that kona writes.

use alloy_consensus_1::Header;
use alloy_eips_1::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, U256};
use fairveil_release::op::L1Origin;
use fairveil_release::op::l1_attributes::{L1Attributes, OperatorFee};
use kona_genesis::{HardForkConfig, RollupConfig, SystemConfig};
use kona_protocol::L1BlockInfoTx;
use op_alloy_consensus::OpTxEnvelope;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

/// Ecotone's and Isthmus' are the bytes of kona, whatever they tell.
#[test]
fn deposits_of_l1_attributes_are_the_bytes_that_kona_writes() {
    for seed in crate::seeds(200) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let isthmus = rng.random::<bool>();
        let fee = OperatorFee { scalar: rng.random(), constant: rng.random() };
        let (base_fee_scalar, blob_base_fee_scalar): (u32, u32) = (rng.random(), rng.random());
        let mut scalar = [0; 32];
        scalar[0] = 1;
        scalar[24..28].copy_from_slice(&blob_base_fee_scalar.to_be_bytes());
        scalar[28..].copy_from_slice(&base_fee_scalar.to_be_bytes());
        let batcher = Address::from(rng.random::<[u8; 20]>());
        let system = SystemConfig {
            batcher_address: batcher,
            scalar: U256::from_be_bytes(scalar),
            operator_fee_scalar: Some(fee.scalar),
            operator_fee_constant: Some(fee.constant),
            ..SystemConfig::default()
        };
        let config = RollupConfig {
            block_time: 2,
            hardforks: HardForkConfig {
                regolith_time: Some(0),
                ecotone_time: Some(0),
                isthmus_time: isthmus.then_some(0),
                ..HardForkConfig::default()
            },
            ..RollupConfig::default()
        };
        let header = Header {
            number: rng.random(),
            timestamp: rng.random_range(0..1 << 40),
            base_fee_per_gas: Some(rng.random()),
            excess_blob_gas: Some(rng.random_range(0..50_000_000)),
            parent_hash: B256::from(rng.random::<[u8; 32]>()),
            ..Header::default()
        };
        let sequence_number = rng.random();
        let (_, theirs) = L1BlockInfoTx::try_new_with_deposit_tx(
            &config,
            &system,
            sequence_number,
            &header,
            header.timestamp + 10,
        )
        .expect("L1 attributes");
        let cancun = alloy_eips_1::eip7840::BlobParams::cancun();
        let ours = L1Attributes {
            origin: L1Origin { number: header.number, hash: header.hash_slow() },
            timestamp_s: header.timestamp,
            base_fee: header.base_fee_per_gas.expect("given"),
            blob_base_fee: header.blob_fee(cancun).expect("given"),
            sequence_number,
            batcher,
            base_fee_scalar,
            blob_base_fee_scalar,
            operator_fee: isthmus.then_some(fee),
        };
        let theirs = OpTxEnvelope::Deposit(theirs).encoded_2718();
        assert_eq!(ours.deposit().to_vec(), theirs, "seed {seed}");
    }
}
