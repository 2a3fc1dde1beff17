//! Chains, blocks and transactions for the tests of this folder.

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{
    SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxEnvelope, TxLegacy,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Signature, TxKind, U256};

use super::{Chain, L1Origin, L2Block, Parent};
use crate::transaction::RawTransaction;

pub(super) const CHAIN: Chain = Chain { chain_id: 901, genesis_time_s: 1_000, block_time_s: 2 };

pub(super) fn origin(number: u64) -> L1Origin {
    L1Origin { number, hash: B256::with_last_byte(number.to_le_bytes()[0]) }
}

/// Block 5, at 1,010 s, on L1 block 70.
pub(super) fn parent() -> Parent {
    let hash = B256::repeat_byte(0xaa);
    Parent { number: 5, hash, timestamp_s: 1_010, l1_origin: origin(70) }
}

/// The `step`-th block after the parent.
pub(super) fn block(step: u64, l1: u64, transactions: Vec<RawTransaction>) -> L2Block {
    let (number, timestamp_s) = (5 + step, 1_010 + 2 * step);
    L2Block { number, timestamp_s, l1_origin: origin(l1), transactions }
}

pub(super) fn signed<T>(transaction: T) -> RawTransaction
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<Signed<T>>,
{
    let signature = sign_message(B256::repeat_byte(1), transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

fn to() -> TxKind {
    TxKind::Call(Address::repeat_byte(7))
}

pub(super) fn legacy(chain_id: Option<u64>) -> RawTransaction {
    let (gas_limit, gas_price, to) = (21_000, 5, to());
    signed(TxLegacy { chain_id, gas_limit, gas_price, to, ..TxLegacy::default() })
}

pub(super) fn listed() -> RawTransaction {
    let (chain_id, gas_limit, gas_price, to) = (901, 21_000, 5, to());
    signed(TxEip2930 { chain_id, gas_limit, gas_price, to, ..TxEip2930::default() })
}

pub(super) fn dynamic(nonce: u64, chain_id: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 9,
        max_priority_fee_per_gas: 1,
        to: to(),
        value: U256::from(3),
        ..TxEip1559::default()
    }
}

pub(super) fn transfer(nonce: u64) -> RawTransaction {
    signed(dynamic(nonce, 901))
}

pub(super) fn set_code() -> RawTransaction {
    signed(TxEip7702 { chain_id: 901, gas_limit: 46_000, ..TxEip7702::default() })
}

pub(super) fn blob() -> RawTransaction {
    signed(TxEip4844 { chain_id: 901, gas_limit: 21_000, ..TxEip4844::default() })
}
