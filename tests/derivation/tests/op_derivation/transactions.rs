//! Random transactions of every type that a span batch holds, with extreme fields now and then.

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{
    SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use fairveil_release::transaction::RawTransaction;
use rand::Rng;
use rand_chacha::ChaCha20Rng;

/// A transaction of one of the first `types` of: legacy, legacy for any chain, EIP-2930,
/// EIP-1559, EIP-7702.
pub(crate) fn transaction(rng: &mut ChaCha20Rng, chain_id: u64, types: u32) -> RawTransaction {
    let (nonce, gas_limit) = (integer(rng), integer(rng));
    let (to, value, input) = (kind(rng), U256::from_be_bytes(word(rng).0), bytes(rng));
    let (fee, tip) = (u128::from(integer(rng)) << 3, u128::from(integer(rng)));
    let access_list = access_list(rng);
    match rng.random_range(0..types) {
        kind @ 0..2 => {
            let chain_id = (kind == 0).then_some(chain_id);
            let gas_price = fee;
            sign(rng, TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input })
        }
        2 => {
            let gas_price = fee;
            sign(
                rng,
                TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input },
            )
        }
        3 => sign(
            rng,
            TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: fee,
                max_priority_fee_per_gas: tip,
                to,
                value,
                access_list,
                input,
            },
        ),
        _ => {
            let transaction = TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: fee,
                max_priority_fee_per_gas: tip,
                to: address(rng),
                value,
                access_list,
                authorization_list: authorizations(rng, chain_id),
                input,
            };
            sign(rng, transaction)
        }
    }
}

fn sign<T>(rng: &mut ChaCha20Rng, transaction: T) -> RawTransaction
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<Signed<T>>,
{
    let signature = signature(rng, transaction.signature_hash());
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

fn signature(rng: &mut ChaCha20Rng, hash: B256) -> Signature {
    let mut secret = word(rng);
    secret[0] = 0x01;
    sign_message(secret, hash).expect("the secret is below the group order")
}

fn authorizations(rng: &mut ChaCha20Rng, chain_id: u64) -> Vec<SignedAuthorization> {
    let count = rng.random_range(1..4);
    let authorization = |_| {
        let chain_id = U256::from(chain_id);
        let authorization = Authorization { chain_id, address: address(rng), nonce: integer(rng) };
        let signature = signature(rng, authorization.signature_hash());
        authorization.into_signed(signature)
    };
    (0..count).map(authorization).collect()
}

fn access_list(rng: &mut ChaCha20Rng) -> AccessList {
    let items = rng.random_range(0..3);
    let item = |_| {
        let keys = rng.random_range(0..3);
        let storage_keys = (0..keys).map(|_| word(rng)).collect();
        AccessListItem { address: address(rng), storage_keys }
    };
    AccessList((0..items).map(item).collect())
}

/// An integer of any size, the extremes included.
fn integer(rng: &mut ChaCha20Rng) -> u64 {
    match rng.random_range(0..8) {
        0 => 0,
        1 => u64::MAX - 1,
        _ => rng.random::<u64>() >> rng.random_range(0..64),
    }
}

fn bytes(rng: &mut ChaCha20Rng) -> Bytes {
    let longest = [1, 8, 100, 3_000][rng.random_range(0..4)];
    let mut bytes = vec![0; rng.random_range(0..longest)];
    if rng.random() {
        rng.fill(&mut bytes[..]);
    }
    bytes.into()
}

fn kind(rng: &mut ChaCha20Rng) -> TxKind {
    if rng.random_ratio(1, 4) { TxKind::Create } else { TxKind::Call(address(rng)) }
}

fn address(rng: &mut ChaCha20Rng) -> Address {
    Address::from_word(word(rng))
}

fn word(rng: &mut ChaCha20Rng) -> B256 {
    B256::from(rng.random::<[u8; 32]>())
}
