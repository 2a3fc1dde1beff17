//! The transactions of a span batch, column by column.
//!
//! ```text
//! txs = contract_creation_bits ‖ y_parity_bits ‖ tx_sigs ‖ tx_tos ‖ tx_datas ‖ tx_nonces
//!     ‖ tx_gases ‖ protected_bits
//! ```
//!
//! | column | per transaction |
//! |---|---|
//! | contract_creation_bits, y_parity_bits | one bit, from the lowest of a big-endian integer on |
//! | tx_sigs | r and s, 32 bytes each |
//! | tx_tos | 20 bytes, where no contract is created |
//! | tx_datas | what is left of the transaction: the type byte, but for legacy, and a list in RLP |
//! | tx_nonces, tx_gases | an unsigned LEB128 integer |
//! | protected_bits | one bit per *legacy* transaction: whether it is signed for a chain |
//!
//! The chain id is in no column: derivation puts the rollup's own there.

use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_rlp::{Encodable, Header};
use thiserror::Error;

const BLOB_TYPE: u8 = 0x03;
const DEPOSIT_TYPE: u8 = 0x7e;

/// Why a transaction cannot stand in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransactionFault {
    /// No bytes.
    #[error("it is empty")]
    Empty,
    /// Type 0x7e: deposits come from L1 alone.
    #[error("it is a deposit (type 0x7e), which only derivation adds")]
    Deposit,
    /// Type 3.
    #[error("it carries blobs (type 0x03), which an L2 does not have")]
    Blob,
    /// Neither a list nor type 1, 2 or 4.
    #[error("its type is {actual:#04x}, a span batch holds legacy, 0x01, 0x02 and 0x04")]
    Type {
        /// The first byte.
        actual: u8,
    },
    /// It does not decode, or encodes to other bytes again.
    #[error("it is not in the canonical encoding of its type")]
    Encoding,
    /// Signed for another chain.
    #[error("it is signed for chain {actual}, the rollup is {expected}")]
    ChainId {
        /// The chain that it is signed for.
        actual: u64,
        /// The rollup's.
        expected: u64,
    },
}

/// The columns, filled one transaction after the other.
#[derive(Debug, Default)]
pub(super) struct Columns {
    creations: Bits,
    parities: Bits,
    signatures: Vec<u8>,
    tos: Vec<u8>,
    datas: Vec<u8>,
    nonces: Vec<u8>,
    gases: Vec<u8>,
    protected: Bits,
}

/// A list of bits.
#[derive(Debug, Default)]
pub(super) struct Bits(Vec<bool>);

impl Columns {
    /// Appends a transaction, or leaves the columns as they were.
    pub(super) fn push(&mut self, raw: &[u8], chain_id: u64) -> Result<(), TransactionFault> {
        check_type(raw)?;
        let decoded = TxEnvelope::decode_2718_exact(raw).map_err(|_| TransactionFault::Encoding)?;
        if decoded.encoded_2718() != raw {
            return Err(TransactionFault::Encoding);
        }
        if let Some(actual) = decoded.chain_id()
            && actual != chain_id
        {
            return Err(TransactionFault::ChainId { actual, expected: chain_id });
        }
        self.put_data(&decoded)?;
        if decoded.is_legacy() {
            self.protected.push(decoded.chain_id().is_some());
        }
        let signature = decoded.signature();
        self.parities.push(signature.v());
        self.signatures.extend(signature.r().to_be_bytes::<32>());
        self.signatures.extend(signature.s().to_be_bytes::<32>());
        self.creations.push(decoded.to().is_none());
        self.tos.extend(decoded.to().iter().flat_map(|to| to.0.0));
        put_integer(&mut self.nonces, decoded.nonce());
        put_integer(&mut self.gases, decoded.gas_limit());
        Ok(())
    }

    /// Appends the columns, one after the other.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.creations.encode(out);
        self.parities.encode(out);
        for column in [&self.signatures, &self.tos, &self.datas, &self.nonces, &self.gases] {
            out.extend_from_slice(column);
        }
        self.protected.encode(out);
    }

    fn put_data(&mut self, transaction: &TxEnvelope) -> Result<(), TransactionFault> {
        let out = &mut self.datas;
        match transaction {
            TxEnvelope::Legacy(signed) => {
                let tx = signed.tx();
                put_list(out, &[&tx.value, &tx.gas_price, &tx.input]);
            }
            TxEnvelope::Eip2930(signed) => {
                let tx = signed.tx();
                out.push(0x01);
                put_list(out, &[&tx.value, &tx.gas_price, &tx.input, &tx.access_list]);
            }
            TxEnvelope::Eip1559(signed) => {
                let tx = signed.tx();
                let (tip, fee) = (&tx.max_priority_fee_per_gas, &tx.max_fee_per_gas);
                out.push(0x02);
                put_list(out, &[&tx.value, tip, fee, &tx.input, &tx.access_list]);
            }
            TxEnvelope::Eip7702(signed) => {
                let tx = signed.tx();
                let (tip, fee) = (&tx.max_priority_fee_per_gas, &tx.max_fee_per_gas);
                let (access, authorizations) = (&tx.access_list, &tx.authorization_list);
                out.push(0x04);
                put_list(out, &[&tx.value, tip, fee, &tx.input, access, authorizations]);
            }
            TxEnvelope::Eip4844(_) => return Err(TransactionFault::Blob),
        }
        Ok(())
    }
}

impl Bits {
    pub(super) fn push(&mut self, bit: bool) {
        self.0.push(bit);
    }

    /// Appends a big-endian integer of as many whole bytes as the bits need.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0.chunks(8).rev().map(byte));
    }
}

/// Appends an unsigned LEB128 integer: seven bits a byte, the lowest first.
pub(super) fn put_integer(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn check_type(raw: &[u8]) -> Result<(), TransactionFault> {
    match raw.first().copied() {
        None => Err(TransactionFault::Empty),
        Some(DEPOSIT_TYPE) => Err(TransactionFault::Deposit),
        Some(BLOB_TYPE) => Err(TransactionFault::Blob),
        // A list has no type: legacy.
        Some(0x01 | 0x02 | 0x04 | 0xc0..) => Ok(()),
        Some(actual) => Err(TransactionFault::Type { actual }),
    }
}

fn put_list(out: &mut Vec<u8>, fields: &[&dyn Encodable]) {
    let payload_length = fields.iter().map(|field| field.length()).sum();
    Header { list: true, payload_length }.encode(out);
    for field in fields {
        field.encode(out);
    }
}

fn byte(bits: &[bool]) -> u8 {
    bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit))
}
