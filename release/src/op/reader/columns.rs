//! The columns of a span batch, put together to transactions again.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Signature, TxKind, U256};
use alloy_rlp::{Decodable, Header};

use crate::transaction::RawTransaction;

/// Bytes that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

/// One transaction's part of every column but its data.
struct Row {
    signature: Signature,
    to: TxKind,
    nonce: u64,
    gas_limit: u64,
}

/// What is left of a transaction: the type (0 for legacy) and the list.
struct Data<'a> {
    kind: u8,
    list: &'a [u8],
}

/// `count` transactions of this chain; or what cannot be read.
pub(super) fn transactions(
    bytes: &mut Bytes<'_>,
    count: usize,
    chain_id: u64,
) -> Result<Vec<RawTransaction>, &'static str> {
    let creations = bytes.bits(count).ok_or("the bits of contract creations")?;
    let parities = bytes.bits(count).ok_or("the bits of parities")?;
    let signatures = count.checked_mul(64).and_then(|length| bytes.take(length));
    let signatures = signatures.ok_or("a signature")?;
    let mut rows = Vec::with_capacity(count);
    for (place, signature) in signatures.chunks_exact(64).enumerate() {
        let (r, s) = signature.split_at(32);
        let (r, s) = (U256::from_be_slice(r), U256::from_be_slice(s));
        let signature = Signature::new(r, s, parities[place]);
        let to = if creations[place] {
            TxKind::Create
        } else {
            TxKind::Call(Address::from(bytes.array::<20>().ok_or("a receiver")?))
        };
        rows.push(Row { signature, to, nonce: 0, gas_limit: 0 });
    }
    let mut datas = Vec::with_capacity(count);
    for _ in 0..count {
        datas.push(bytes.data().ok_or("a transaction's data")?);
    }
    for row in &mut rows {
        row.nonce = bytes.integer().ok_or("a nonce")?;
    }
    for row in &mut rows {
        row.gas_limit = bytes.integer().ok_or("a gas limit")?;
    }
    let legacy = datas.iter().filter(|data| data.kind == 0).count();
    let protected = bytes.bits(legacy).ok_or("the bits of protection")?;
    let mut protected = protected.into_iter();
    let mut transactions = Vec::with_capacity(count);
    for (row, data) in rows.into_iter().zip(datas) {
        let signed_for = match data.kind {
            0 => protected.next().unwrap_or(false).then_some(chain_id),
            _ => Some(chain_id),
        };
        let envelope = envelope(row, &data, signed_for).ok_or("a transaction's data")?;
        transactions.push(envelope.encoded_2718().into());
    }
    Ok(transactions)
}

fn envelope(row: Row, data: &Data<'_>, chain_id: Option<u64>) -> Option<TxEnvelope> {
    let Row { signature, to, nonce, gas_limit } = row;
    let mut list = data.list;
    let value: U256 = field(&mut list)?;
    let envelope: TxEnvelope = match data.kind {
        0 => {
            let (gas_price, input) = (field(&mut list)?, field(&mut list)?);
            let tx = TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input };
            tx.into_signed(signature).into()
        }
        1 => {
            let (gas_price, input) = (field(&mut list)?, field(&mut list)?);
            let (chain_id, access_list) = (chain_id?, field(&mut list)?);
            let tx =
                TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
            tx.into_signed(signature).into()
        }
        2 => {
            let max_priority_fee_per_gas = field(&mut list)?;
            let max_fee_per_gas = field(&mut list)?;
            let (input, access_list) = (field(&mut list)?, field(&mut list)?);
            let tx = TxEip1559 {
                chain_id: chain_id?,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            };
            tx.into_signed(signature).into()
        }
        4 => {
            let max_priority_fee_per_gas = field(&mut list)?;
            let max_fee_per_gas = field(&mut list)?;
            let (input, access_list) = (field(&mut list)?, field(&mut list)?);
            let TxKind::Call(to) = to else { return None };
            let tx = TxEip7702 {
                chain_id: chain_id?,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                authorization_list: field(&mut list)?,
                input,
            };
            tx.into_signed(signature).into()
        }
        _ => return None,
    };
    list.is_empty().then_some(envelope)
}

fn field<T: Decodable>(list: &mut &[u8]) -> Option<T> {
    T::decode(list).ok()
}

impl<'a> Bytes<'a> {
    /// The next so many bytes.
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// An unsigned LEB128 integer of 64 bits.
    pub(super) fn integer(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                return None;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// So many bits, from the lowest of a big-endian integer of whole bytes on; the rest is zero.
    pub(super) fn bits(&mut self, count: usize) -> Option<Vec<bool>> {
        let bytes = self.take(count.div_ceil(8))?;
        let lowest_first = bytes.iter().rev();
        let mut bits: Vec<bool> =
            lowest_first.flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect();
        let unused = bits.split_off(count);
        unused.iter().all(|bit| !bit).then_some(bits)
    }

    /// A transaction's data: the type byte, but for legacy, and a list.
    fn data(&mut self) -> Option<Data<'a>> {
        let kind = match self.0.first().copied()? {
            0xc0.. => 0,
            kind @ (1 | 2 | 4) => {
                self.take(1)?;
                kind
            }
            _ => return None,
        };
        let list = Header::decode_bytes(&mut self.0, true).ok()?;
        Some(Data { kind, list })
    }
}
