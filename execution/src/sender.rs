//! Signed transactions and who signed them.
//!
//! Recovering a sender takes longer than a transfer in the EVM, so it is done first, for many
//! transactions at once, by libsecp256k1.
//!
//! A transaction is checked in this order (the order of [`SenderError`]):
//!
//! | check | rule |
//! |---|---|
//! | type | EIP-2718 type 0 (a list, no type byte), 1, 2, and 4 where the rollup takes it |
//! | encoding | the one canonical encoding |
//! | replay protection | a legacy transaction is signed for a chain (EIP-155) |
//! | chain | and that chain is the rollup's |
//! | low s | s is at most half of the curve's order (EIP-2) |
//! | signature | r and s are in range and the signature recovers |
//!
//! So blobs (3) and deposits (0x7e) are refused by their type. Everything else that makes a
//! transaction invalid is found by the EVM, against the state.
//!
//! # Invariants
//!
//! 1. The result is a function of the bytes and of the rollup; the pool and its size change
//!    nothing.
//! 2. A [`RecoveredTransaction`] is made here alone. Its sender was recovered here, or earlier by
//!    whoever calls [`SignedTransaction::sent_by`] and answers for it.
//! 3. An authorization of a type 4 transaction that does not recover, or with a high s, authorizes
//!    nothing (EIP-7702), and does not make the transaction invalid.

use alloy_consensus::crypto::SECP256K1N_HALF;
use alloy_consensus::{Transaction, TxEnvelope, Typed2718};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip7702::{RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, keccak256};
use op_revm::OpTransaction;
use op_revm::transaction::deposit::DepositTransactionParts;
use rayon::prelude::*;
use revm::context::TxEnv;
use revm::context_interface::either::Either;
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Whether a rollup takes type 4 transactions (EIP-7702).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetCode {
    /// It does.
    Taken,
    /// It does not.
    Refused,
}

/// A raw transaction for a rollup.
#[derive(Clone, Debug)]
pub struct SignedTransaction {
    /// The signed bytes (EIP-2718).
    pub raw: Bytes,
    /// The rollup that it must be signed for.
    pub chain_id: u64,
    /// Whether the rollup takes type 4.
    pub set_code: SetCode,
}

/// A transaction whose sender is known, ready for the EVM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredTransaction {
    chain_id: u64,
    inner: OpTransaction<TxEnv>,
}

/// Why a transaction has no sender, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SenderError {
    /// A type that the rollup does not take.
    #[error("transactions of type {actual} are not taken")]
    Type {
        /// The type.
        actual: u8,
    },
    /// Not the one canonical encoding of a transaction of its type.
    #[error("not the canonical encoding of a transaction")]
    Encoding,
    /// A legacy transaction that is valid on every chain.
    #[error("a legacy transaction without replay protection (EIP-155)")]
    Unprotected,
    /// Signed for another chain.
    #[error("signed for chain {actual}, the rollup is {expected}")]
    Chain {
        /// The chain that it is signed for.
        actual: u64,
        /// The rollup's chain id.
        expected: u64,
    },
    /// s is above half of the curve's order.
    #[error("the signature's s is above half of the curve's order (EIP-2)")]
    HighS,
    /// The signature recovers to nobody.
    #[error("the signature does not recover to a sender")]
    Signature,
}

/// Reads transactions and recovers their senders, in parallel on `pool`. One result each, in order.
pub fn recover_senders(
    pool: &rayon::ThreadPool,
    transactions: &[SignedTransaction],
) -> Vec<Result<RecoveredTransaction, SenderError>> {
    pool.install(|| transactions.par_iter().map(SignedTransaction::recover).collect())
}

impl SignedTransaction {
    /// Reads the transaction and recovers its sender.
    pub fn recover(&self) -> Result<RecoveredTransaction, SenderError> {
        let envelope = self.checked()?;
        let signature = envelope.signature();
        let hash = envelope.signature_hash();
        let sender = recovered_address(signature, &hash).ok_or(SenderError::Signature)?;
        Ok(self.recovered(&envelope, sender))
    }

    /// Reads the transaction, whose sender was recovered before. All but the signature is checked.
    pub fn sent_by(&self, sender: Address) -> Result<RecoveredTransaction, SenderError> {
        Ok(self.recovered(&self.checked()?, sender))
    }

    /// The transaction, if everything but the recovery succeeds.
    fn checked(&self) -> Result<TxEnvelope, SenderError> {
        let envelope = self.decode()?;
        let actual = envelope.chain_id().ok_or(SenderError::Unprotected)?;
        if actual != self.chain_id {
            return Err(SenderError::Chain { actual, expected: self.chain_id });
        }
        let signature = envelope.signature();
        if signature.s() > SECP256K1N_HALF {
            return Err(SenderError::HighS);
        }
        Ok(envelope)
    }

    fn recovered(&self, envelope: &TxEnvelope, sender: Address) -> RecoveredTransaction {
        let inner = OpTransaction {
            base: environment(envelope, sender, self.chain_id),
            enveloped_tx: Some(self.raw.clone()),
            deposit: DepositTransactionParts::default(),
        };
        RecoveredTransaction { chain_id: self.chain_id, inner }
    }

    fn decode(&self) -> Result<TxEnvelope, SenderError> {
        match (self.raw.first(), self.set_code) {
            (Some(1 | 2), _) | (Some(4), SetCode::Taken) => {}
            (Some(&actual @ 0..=0x7f), _) => return Err(SenderError::Type { actual }),
            // A list is a legacy transaction; what is neither is refused by the decoder.
            _ => {}
        }
        let envelope =
            TxEnvelope::decode_2718_exact(&self.raw).map_err(|_| SenderError::Encoding)?;
        if envelope.encoded_2718() != self.raw {
            return Err(SenderError::Encoding);
        }
        Ok(envelope)
    }
}

impl RecoveredTransaction {
    /// The signer.
    pub fn sender(&self) -> Address {
        self.inner.base.caller
    }

    /// The rollup that it is signed for.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The sender's nonce.
    pub fn nonce(&self) -> u64 {
        self.inner.base.nonce
    }

    /// The gas that it may use.
    pub fn gas_limit(&self) -> u64 {
        self.inner.base.gas_limit
    }

    /// The most that it pays per gas, in wei.
    pub fn max_fee_per_gas(&self) -> u128 {
        self.inner.base.gas_price
    }

    pub(crate) fn to_environment(&self) -> OpTransaction<TxEnv> {
        self.inner.clone()
    }
}

fn environment(envelope: &TxEnvelope, sender: Address, chain_id: u64) -> TxEnv {
    let authorizations = envelope.authorization_list().unwrap_or_default();
    TxEnv {
        tx_type: envelope.ty(),
        caller: sender,
        gas_limit: envelope.gas_limit(),
        gas_price: envelope.max_fee_per_gas(),
        kind: envelope.kind(),
        value: envelope.value(),
        data: envelope.input().clone(),
        nonce: envelope.nonce(),
        chain_id: Some(chain_id),
        access_list: envelope.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: envelope.max_priority_fee_per_gas(),
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: authorizations.iter().map(|a| Either::Right(authority(a))).collect(),
    }
}

/// An authorization with who gave it, so that the EVM need not recover anything.
fn authority(authorization: &SignedAuthorization) -> RecoveredAuthorization {
    let signature = authorization.signature().ok();
    let signature = signature.filter(|signature| signature.s() <= SECP256K1N_HALF);
    let address = signature
        .and_then(|signature| recovered_address(&signature, &authorization.signature_hash()));
    let authority = address.map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
    RecoveredAuthorization::new_unchecked(authorization.inner().clone(), authority)
}

fn recovered_address(signature: &Signature, hash: &B256) -> Option<Address> {
    let mut compact = [0; 64];
    compact[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
    compact[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
    let recovery = RecoveryId::from_u8_masked(u8::from(signature.v()));
    let recoverable = RecoverableSignature::from_compact(&compact, recovery).ok()?;
    let key = recoverable.recover_ecdsa(Message::from_digest(hash.0)).ok()?;
    let digest = keccak256(&key.serialize_uncompressed()[1..]);
    Some(Address::from_slice(&digest[12..]))
}
