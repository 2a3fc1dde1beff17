//! What is read of a block's header, and the base fee of the block after it.

use alloy_primitives::B256;
use fairveil_crypto::Digest;
pub use fairveil_release::anchor::BaseFeeError;
use fairveil_release::anchor::{self, Anchor};
use serde::Deserialize;

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

/// The base fee of the block after this one, by EIP-1559, with the rollup's parameters.
///
/// # Errors
///
/// As [`fairveil_release::anchor::base_fee_of_next`].
pub fn base_fee_of_next(
    header: &PinnedHeader,
    elasticity: u64,
    denominator: u64,
) -> Result<u64, BaseFeeError> {
    let PinnedHeader { base_fee, gas_limit, gas_used, .. } = *header;
    anchor::base_fee_of_next(base_fee, gas_limit, gas_used, elasticity, denominator)
}

impl PinnedHeader {
    /// What the network names it by.
    pub fn anchor(&self, chain_id: u64) -> Anchor {
        Anchor {
            chain_id,
            number: self.number,
            hash: Digest::from_bytes(self.hash.0),
            state_root: Digest::from_bytes(self.state_root.0),
            timestamp_s: self.timestamp_s,
            base_fee: self.base_fee,
            gas_limit: self.gas_limit,
            gas_used: self.gas_used,
        }
    }
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
