//! What is read of a block's header, and the base fee of the block after it.

use alloy_primitives::B256;
use serde::Deserialize;
use thiserror::Error;

use crate::quantity::Quantity;

/// Which block is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockId {
    /// The newest one that the node has.
    Latest,
    /// The canonical one with this number.
    Number(u64),
    /// The one with this hash.
    Hash(B256),
}

/// A block that a state is pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PinnedHeader {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its parent's hash.
    pub parent_hash: B256,
    /// The root of the state after it.
    pub state_root: B256,
    /// In seconds since 1970.
    pub timestamp_s: u64,
    /// In wei per gas.
    pub base_fee: u64,
    /// The most gas that it could use.
    pub gas_limit: u64,
    /// The gas that it used.
    pub gas_used: u64,
}

/// Why the next block's base fee can't be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BaseFeeError {
    /// A parameter that divides by zero.
    #[error("elasticity {elasticity} and denominator {denominator}, both are at least 1")]
    Zero {
        /// The elasticity.
        elasticity: u64,
        /// The denominator.
        denominator: u64,
    },
    /// A gas limit below the elasticity.
    #[error("a gas limit of {gas_limit} with elasticity {elasticity} leaves no gas target")]
    Target {
        /// The gas limit.
        gas_limit: u64,
        /// The elasticity.
        elasticity: u64,
    },
    /// More than 64 bits.
    #[error("the base fee after {base_fee} is {next}, the limit is {limit}")]
    Overflow {
        /// The base fee before.
        base_fee: u64,
        /// The one after it.
        next: u128,
        /// The largest base fee.
        limit: u64,
    },
}

/// A block as JSON-RPC shows it, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawHeader {
    number: Quantity,
    hash: B256,
    parent_hash: B256,
    state_root: B256,
    timestamp: Quantity,
    base_fee_per_gas: Quantity,
    gas_limit: Quantity,
    gas_used: Quantity,
}

impl From<RawHeader> for PinnedHeader {
    fn from(raw: RawHeader) -> Self {
        Self {
            number: raw.number.0,
            hash: raw.hash,
            parent_hash: raw.parent_hash,
            state_root: raw.state_root,
            timestamp_s: raw.timestamp.0,
            base_fee: raw.base_fee_per_gas.0,
            gas_limit: raw.gas_limit.0,
            gas_used: raw.gas_used.0,
        }
    }
}

/// The base fee of the block after this one, by EIP-1559.
///
/// The parameters are the rollup's: from Holocene on they stand in the header's extra data. What
/// Jovian adds, a least base fee and the footprint of data beside the gas used, is the caller's to
/// add: neither is in a header that was read here.
pub fn base_fee_of_next(
    header: &PinnedHeader,
    elasticity: u64,
    denominator: u64,
) -> Result<u64, BaseFeeError> {
    if elasticity == 0 || denominator == 0 {
        return Err(BaseFeeError::Zero { elasticity, denominator });
    }
    let target = header.gas_limit / elasticity;
    if target == 0 {
        return Err(BaseFeeError::Target { gas_limit: header.gas_limit, elasticity });
    }
    let base_fee = u128::from(header.base_fee);
    // The product is below 2^128, as both factors are below 2^64.
    let change =
        |gas: u64| base_fee * u128::from(gas) / u128::from(target) / u128::from(denominator);
    let next = match header.gas_used.checked_sub(target) {
        Some(0) => base_fee,
        Some(above) => base_fee + change(above).max(1),
        // At most the base fee itself, as no more than the target can be missing.
        None => base_fee - change(target - header.gas_used),
    };
    let overflow = BaseFeeError::Overflow { base_fee: header.base_fee, next, limit: u64::MAX };
    u64::try_from(next).map_err(|_| overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(base_fee: u64, gas_limit: u64, gas_used: u64) -> PinnedHeader {
        PinnedHeader {
            number: 1,
            hash: B256::ZERO,
            parent_hash: B256::ZERO,
            state_root: B256::ZERO,
            timestamp_s: 0,
            base_fee,
            gas_limit,
            gas_used,
        }
    }

    #[test]
    fn base_fees_are_those_of_eip_1559() {
        // base fee, gas limit, gas used, elasticity, denominator, next
        let cases = [
            // Cases that other implementations of EIP-1559 are tested with.
            (1_000_000_000, 20_000_000, 10_000_000, 2, 8, 1_000_000_000),
            (1_000_000_000, 20_000_000, 9_000_000, 2, 8, 987_500_000),
            (1_000_000_000, 20_000_000, 11_000_000, 2, 8, 1_012_500_000),
            // Never less than one more above the target, never below zero.
            (0, 20_000_000, 11_000_000, 2, 8, 1),
            (7, 20_000_000, 10_000_001, 2, 8, 8),
            (7, 20_000_000, 0, 2, 1, 0),
            // An empty block with the parameters of OP chains since Canyon.
            (1_000_000_000, 30_000_000, 0, 6, 250, 996_000_000),
        ];
        for (base_fee, gas_limit, gas_used, elasticity, denominator, next) in cases {
            let header = header(base_fee, gas_limit, gas_used);
            assert_eq!(base_fee_of_next(&header, elasticity, denominator), Ok(next), "{header:?}");
        }
    }

    #[test]
    fn what_can_not_be_told_names_its_values() {
        let zero = base_fee_of_next(&header(1, 1, 1), 0, 8).unwrap_err();
        assert_eq!(zero.to_string(), "elasticity 0 and denominator 8, both are at least 1");
        let zero = base_fee_of_next(&header(1, 1, 1), 2, 0).unwrap_err();
        assert_eq!(zero.to_string(), "elasticity 2 and denominator 0, both are at least 1");
        let target = base_fee_of_next(&header(1, 1, 1), 2, 8).unwrap_err();
        assert_eq!(target.to_string(), "a gas limit of 1 with elasticity 2 leaves no gas target",);
        let overflow = base_fee_of_next(&header(u64::MAX, 2, 2), 2, 8).unwrap_err();
        assert!(matches!(overflow, BaseFeeError::Overflow { .. }), "{overflow}");
    }
}
