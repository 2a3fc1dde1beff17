//! The deposit of the L1 attributes: the first transaction of every L2 block.
//!
//! Formats are those of the OP Stack specification, *Deposits*: `setL1BlockValuesEcotone` up to
//! Holocene, `setL1BlockValuesIsthmus` from Isthmus on; the transaction is of type 0x7e as Regolith
//! has it. Jovian's has one more field and is not written here.
//!
//! ```text
//! input  = selector (4) ‖ base fee scalar (4) ‖ blob base fee scalar (4) ‖ sequence number (8)
//!          ‖ L1 timestamp (8) ‖ L1 number (8) ‖ base fee (32) ‖ blob base fee (32) ‖ L1 hash (32)
//!          ‖ batcher (32) [‖ operator fee scalar (4) ‖ operator fee constant (8)]
//! source = keccak256(1 (32) ‖ keccak256(L1 hash (32) ‖ sequence number (32)))
//! ```

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_rlp::{Encodable, Header};

use super::L1Origin;

/// The type of forced deposits.
pub const DEPOSIT_TYPE: u8 = 0x7e;

const DEPOSITOR: Address = address!("0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001");
const L1_BLOCK: Address = address!("0x4200000000000000000000000000000000000015");
const GAS: u64 = 1_000_000;
const ECOTONE: [u8; 4] = [0x44, 0x0a, 0x5e, 0x20];
const ISTHMUS: [u8; 4] = [0x09, 0x89, 0x99, 0xbe];
const ECOTONE_BYTES: usize = 164;
const ISTHMUS_BYTES: usize = 176;

/// What users pay operators for, from Isthmus on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorFee {
    /// Its scalar.
    pub scalar: u32,
    /// Its constant.
    pub constant: u64,
}

/// What an L2 block is told of its L1 origin, and of the rollup's fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L1Attributes {
    /// The L1 origin.
    pub origin: L1Origin,
    /// Its timestamp, in seconds since 1970.
    pub timestamp_s: u64,
    /// Its base fee, in wei per gas.
    pub base_fee: u64,
    /// Its blob base fee, in wei per gas.
    pub blob_base_fee: u128,
    /// How many L2 blocks before this one have the same L1 origin.
    pub sequence_number: u64,
    /// Whose transactions derivation takes.
    pub batcher: Address,
    /// The scalar of L1's base fee.
    pub base_fee_scalar: u32,
    /// The scalar of L1's blob base fee.
    pub blob_base_fee_scalar: u32,
    /// The operator fee from Isthmus on, none before.
    pub operator_fee: Option<OperatorFee>,
}

impl L1Attributes {
    /// The deposit, encoded.
    pub fn deposit(&self) -> Bytes {
        let place = [self.origin.hash, B256::from(U256::from(self.sequence_number))].concat();
        let domain = B256::from(U256::from(1));
        let source = keccak256([domain, keccak256(place)].concat());
        let input = self.input();
        let fields: [&dyn Encodable; 8] =
            [&source, &DEPOSITOR, &L1_BLOCK, &0u64, &0u64, &GAS, &false, &input];
        let payload_length = fields.iter().map(|field| field.length()).sum();
        let header = Header { list: true, payload_length };
        let mut bytes = Vec::with_capacity(1 + header.length_with_payload());
        bytes.push(DEPOSIT_TYPE);
        header.encode(&mut bytes);
        fields.iter().for_each(|field| field.encode(&mut bytes));
        bytes.into()
    }

    fn input(&self) -> Bytes {
        let selector = if self.operator_fee.is_some() { ISTHMUS } else { ECOTONE };
        let mut input = selector.to_vec();
        input.extend(self.base_fee_scalar.to_be_bytes());
        input.extend(self.blob_base_fee_scalar.to_be_bytes());
        input.extend(self.sequence_number.to_be_bytes());
        input.extend(self.timestamp_s.to_be_bytes());
        input.extend(self.origin.number.to_be_bytes());
        input.extend(U256::from(self.base_fee).to_be_bytes::<32>());
        input.extend(U256::from(self.blob_base_fee).to_be_bytes::<32>());
        input.extend(self.origin.hash);
        input.extend(self.batcher.into_word());
        if let Some(OperatorFee { scalar, constant }) = self.operator_fee {
            input.extend(scalar.to_be_bytes());
            input.extend(constant.to_be_bytes());
        }
        input.into()
    }
}

/// The L1 origin and the sequence number that the input of such a deposit tells; none if it is not
/// the input of one.
pub fn origin_of(input: &[u8]) -> Option<(L1Origin, u64)> {
    let length = match input.get(..4)?.try_into().ok()? {
        ECOTONE => ECOTONE_BYTES,
        ISTHMUS => ISTHMUS_BYTES,
        _ => return None,
    };
    if input.len() != length {
        return None;
    }
    let number = |at: usize| Some(u64::from_be_bytes(input.get(at..at + 8)?.try_into().ok()?));
    let (sequence_number, origin) = (number(12)?, number(28)?);
    let hash = B256::from_slice(input.get(100..132)?);
    Some((L1Origin { number: origin, hash }, sequence_number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(operator_fee: Option<OperatorFee>) -> L1Attributes {
        L1Attributes {
            origin: L1Origin { number: 70, hash: B256::repeat_byte(7) },
            timestamp_s: 1_010,
            base_fee: 9,
            blob_base_fee: 1,
            sequence_number: 3,
            batcher: Address::repeat_byte(0xba),
            base_fee_scalar: 1_368,
            blob_base_fee_scalar: 810_949,
            operator_fee,
        }
    }

    /// That the bytes are right is for another implementation to say: `tests/derivation`.
    #[test]
    fn what_was_written_is_told() {
        let fee = OperatorFee { scalar: 5, constant: 6 };
        for (fee, length) in [(None, ECOTONE_BYTES), (Some(fee), ISTHMUS_BYTES)] {
            let attributes = attributes(fee);
            let input = attributes.input();
            assert_eq!(input.len(), length);
            let told = (attributes.origin, attributes.sequence_number);
            assert_eq!(origin_of(&input), Some(told));
            assert!(attributes.deposit().ends_with(&input));
            assert_eq!(attributes.deposit().first(), Some(&DEPOSIT_TYPE));
            assert_eq!(origin_of(&input[..length - 1]), None);
            assert_eq!(origin_of(&[&input[..], &[0]].concat()), None);
            assert_eq!(origin_of(&[&[0; 4], &input[4..]].concat()), None);
        }
        assert_eq!(origin_of(&[]), None);
    }
}
