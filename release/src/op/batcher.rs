//! The batcher: who puts frames on L1, one per transaction.
//!
//! A batcher transaction is of type 2 (EIP-1559), to the rollup's batch inbox, without value; its
//! data is a frame behind the version byte. Derivation takes it for its signer: the batcher that
//! the rollup's system config names. The inbox has no code, so the gas limit is exactly what the
//! data costs (EIP-7623): 21,000 and 10 per token, a zero byte being one and any other four.

use std::fmt;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7623;
use alloy_primitives::{Address, B256, Signature, TxKind, keccak256};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::channel::{Channel, Frame, MAX_FRAME_BYTES};
use crate::transaction::RawTransaction;

/// The most gas of a transaction on L1 (EIP-7825).
pub const MAX_TRANSACTION_GAS: u64 = 1 << 24;

const TRANSACTION_GAS: u64 = 21_000;
/// Tokens of the most expensive byte.
const MAX_BYTE_TOKENS: u64 = 4;
const MAX_FRAME_GAS: u64 = TRANSACTION_GAS
    + eip7623::TOTAL_COST_FLOOR_PER_TOKEN * MAX_BYTE_TOKENS * (MAX_FRAME_BYTES as u64 + 1);

const _: () = assert!(MAX_FRAME_GAS <= MAX_TRANSACTION_GAS);

/// The key that batcher transactions are signed with.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct BatcherKey([u8; 32]);

/// Bytes that are no secp256k1 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a secret key: zero, or not below the group order")]
pub struct BatcherKeyError;

/// What batcher transactions have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatcherTerms {
    /// The chain id of L1.
    pub l1_chain_id: u64,
    /// The rollup's batch inbox.
    pub inbox: Address,
    /// The most that is paid for a unit of gas, in wei.
    pub max_fee_per_gas: u128,
    /// The most of it that goes to the block's proposer, in wei.
    pub max_priority_fee_per_gas: u128,
}

/// Why there are no batcher transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatcherError {
    /// More is offered to the proposer than is paid at all (EIP-1559).
    #[error("the priority fee is {actual} wei, the maximum fee {limit}")]
    Fee {
        /// The priority fee.
        actual: u128,
        /// The maximum fee.
        limit: u128,
    },
    /// The account's nonces end (EIP-2681).
    #[error("{frames} transactions from nonce {first}: nonces are below 2^64 - 1")]
    Nonce {
        /// The first nonce.
        first: u64,
        /// How many frames there are.
        frames: usize,
    },
}

/// One signed transaction per frame, in order, with nonces from `first_nonce` on.
pub fn batcher_transactions(
    terms: &BatcherTerms,
    key: &BatcherKey,
    first_nonce: u64,
    channel: &Channel,
) -> Result<Vec<RawTransaction>, BatcherError> {
    let BatcherTerms { max_fee_per_gas: limit, max_priority_fee_per_gas: actual, .. } = *terms;
    if actual > limit {
        return Err(BatcherError::Fee { actual, limit });
    }
    let frames = channel.frames();
    if u64::MAX - first_nonce < frames.len() as u64 {
        return Err(BatcherError::Nonce { first: first_nonce, frames: frames.len() });
    }
    let numbered = frames.iter().zip(first_nonce..);
    Ok(numbered.map(|(frame, nonce)| batcher_transaction(terms, key, nonce, frame)).collect())
}

impl BatcherKey {
    /// The key with these bytes.
    pub fn from_bytes(mut bytes: [u8; 32]) -> Result<Self, BatcherKeyError> {
        let key = SecretKey::from_secret_bytes(bytes);
        let secret = key.map(|mut key| {
            key.non_secure_erase();
            Self(bytes)
        });
        bytes.zeroize();
        secret.map_err(|_| BatcherKeyError)
    }

    /// Its address on L1.
    pub fn address(&self) -> Address {
        let mut key = self.key();
        let public = key.public_key();
        key.non_secure_erase();
        Address::from_slice(&keccak256(&public.serialize_uncompressed()[1..])[12..])
    }

    fn sign(&self, hash: B256) -> Signature {
        let mut key = self.key();
        let signature =
            RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(hash.0), &key);
        key.non_secure_erase();
        let (recovery, compact) = signature.serialize_compact();
        Signature::from_bytes_and_parity(&compact, recovery.to_u8() & 1 == 1)
    }

    fn key(&self) -> SecretKey {
        SecretKey::from_secret_bytes(self.0).expect("judged when the key was made")
    }
}

impl fmt::Debug for BatcherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatcherKey(<redacted>)")
    }
}

fn batcher_transaction(
    terms: &BatcherTerms,
    key: &BatcherKey,
    nonce: u64,
    frame: &Frame,
) -> RawTransaction {
    let input = frame.calldata();
    let tokens = eip7623::tokens_in_calldata(input);
    let transaction = TxEip1559 {
        chain_id: terms.l1_chain_id,
        nonce,
        gas_limit: TRANSACTION_GAS + eip7623::TOTAL_COST_FLOOR_PER_TOKEN * tokens,
        max_fee_per_gas: terms.max_fee_per_gas,
        max_priority_fee_per_gas: terms.max_priority_fee_per_gas,
        to: TxKind::Call(terms.inbox),
        input: input.to_vec().into(),
        ..TxEip1559::default()
    };
    let signature = key.sign(transaction.signature_hash());
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}
