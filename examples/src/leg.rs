//! A leg as a file: signed transactions, one per line, in order.
//!
//! ```text
//! # alice: burn(400)
//! 0x02f8...
//! ```
//!
//! A line is a comment after `#`, or a raw transaction (EIP-2718) as hex after `0x`, or empty.

use std::fmt::Write;

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, hex};

use crate::accounts::Account;
use crate::scenario::ExampleError;

/// What every transaction may use.
pub const GAS_LIMIT: u64 = 200_000;
/// What every transaction pays per gas at most: ten gwei, in wei. It gives no priority fee.
pub const MAX_FEE_PER_GAS: u128 = 10_000_000_000;

/// A call before it is signed.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who signs it.
    pub from: Account,
    /// The signer's nonce.
    pub nonce: u64,
    /// The contract.
    pub to: Address,
    /// The input.
    pub input: Bytes,
    /// What it does, in a line for people.
    pub says: String,
}

impl Call {
    fn sign(&self, chain_id: u64) -> Result<Bytes, ExampleError> {
        let transaction = TxEip1559 {
            chain_id,
            nonce: self.nonce,
            gas_limit: GAS_LIMIT,
            max_fee_per_gas: MAX_FEE_PER_GAS,
            to: TxKind::Call(self.to),
            input: self.input.clone(),
            ..TxEip1559::default()
        };
        let signature = sign_message(self.from.key, transaction.signature_hash())
            .map_err(|_| ExampleError::Key { name: self.from.name })?;
        Ok(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into())
    }
}

/// The file of a leg.
pub fn text(chain_id: u64, calls: &[Call]) -> Result<String, ExampleError> {
    let mut text = String::new();
    for call in calls {
        let raw = call.sign(chain_id)?;
        // Writing to a string can't fail.
        let _ = writeln!(text, "# {}, nonce {}: {}", call.from.name, call.nonce, call.says);
        let _ = writeln!(text, "{raw}");
    }
    Ok(text)
}

/// The transactions of a leg's file.
pub fn transactions(text: &str) -> Result<Vec<Bytes>, ExampleError> {
    let lines = text.lines().map(str::trim).zip(1..);
    let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    let raw = |(line, number): (&str, usize)| {
        let digits = line.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
        digits.map(Bytes::from).ok_or(ExampleError::Line { number })
    };
    lines.map(raw).collect()
}
