//! A block of a followed rollup that a block of the network names: the state after it is what the
//! rollup's legs are simulated over, at every sequencer.
//!
//! ```text
//! anchor digest = H(STATE-ANCHOR, chain_id(8), number(8), hash, state_root, timestamp_s(8),
//!                   base_fee(8), gas_limit(8), gas_used(8))
//! ```
//!
//! Integers are big-endian; notation as in the release's tree.
//!
//! # Invariants
//!
//! 1. Everything that a simulation needs to know of the block stands in the anchor, so all sequencers
//!    simulate with committed values.
//! 2. The base fee of the block after it follows from the anchor and from the registered rule.

use fairveil_crypto::Digest;
use fairveil_crypto::domain::{Tag, hash};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::registry::FollowedState;

/// A block of a followed rollup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The rollup.
    pub chain_id: u64,
    /// The block's number on the rollup.
    pub number: u64,
    /// Its hash.
    pub hash: Digest,
    /// The root of the rollup's state after it.
    pub state_root: Digest,
    /// Its time in seconds since 1970.
    pub timestamp_s: u64,
    /// Its base fee in wei per gas.
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

impl Anchor {
    /// Its time in milliseconds since 1970.
    pub fn time_ms(&self) -> u64 {
        self.timestamp_s.saturating_mul(1_000)
    }

    /// How old it is at this time, in milliseconds; 0 if its time is later.
    pub fn age_ms(&self, time_ms: u64) -> u64 {
        time_ms.saturating_sub(self.time_ms())
    }

    /// The base fee of the block after it, in wei per gas.
    ///
    /// # Errors
    ///
    /// If there is none, or none of 64 bits.
    pub fn base_fee_of_next(&self, rule: &FollowedState) -> Result<u64, BaseFeeError> {
        let Self { base_fee, gas_limit, gas_used, .. } = *self;
        base_fee_of_next(base_fee, gas_limit, gas_used, rule.elasticity, rule.denominator)
    }

    /// A digest of all of it.
    pub fn digest(&self) -> Digest {
        hash(
            Tag::StateAnchor,
            &[
                &self.chain_id.to_be_bytes(),
                &self.number.to_be_bytes(),
                self.hash.as_bytes(),
                self.state_root.as_bytes(),
                &self.timestamp_s.to_be_bytes(),
                &self.base_fee.to_be_bytes(),
                &self.gas_limit.to_be_bytes(),
                &self.gas_used.to_be_bytes(),
            ],
        )
    }
}

/// The base fee of the block after one with this base fee, gas limit and gas used, by EIP-1559.
///
/// The parameters are the rollup's: from Holocene on they stand in the header's extra data. What
/// Jovian adds, a least base fee and the footprint of data beside the gas used, is not in it.
///
/// # Errors
///
/// If there is none, or none of 64 bits.
pub fn base_fee_of_next(
    base_fee: u64,
    gas_limit: u64,
    gas_used: u64,
    elasticity: u64,
    denominator: u64,
) -> Result<u64, BaseFeeError> {
    if elasticity == 0 || denominator == 0 {
        return Err(BaseFeeError::Zero { elasticity, denominator });
    }
    let target = gas_limit / elasticity;
    if target == 0 {
        return Err(BaseFeeError::Target { gas_limit, elasticity });
    }
    let fee = u128::from(base_fee);
    // The product is below 2^128, as both factors are below 2^64.
    let change = |gas: u64| fee * u128::from(gas) / u128::from(target) / u128::from(denominator);
    let next = match gas_used.checked_sub(target) {
        Some(0) => fee,
        Some(above) => fee + change(above).max(1),
        // At most the base fee itself, as no more than the target can be missing.
        None => fee - change(target - gas_used),
    };
    let overflow = BaseFeeError::Overflow { base_fee, next, limit: u64::MAX };
    u64::try_from(next).map_err(|_| overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_covers_every_field() {
        let digest = |change: &dyn Fn(&mut Anchor)| {
            let mut anchor = Anchor {
                chain_id: 1,
                number: 2,
                hash: Digest::from_bytes([3; 32]),
                state_root: Digest::from_bytes([4; 32]),
                timestamp_s: 5,
                base_fee: 6,
                gas_limit: 7,
                gas_used: 8,
            };
            change(&mut anchor);
            anchor.digest()
        };
        let mut digests = std::collections::BTreeSet::from([digest(&|_| {})]);
        for change in [
            &(|a: &mut Anchor| a.chain_id = 0) as &dyn Fn(&mut Anchor),
            &|a| a.number = 0,
            &|a| a.hash = Digest::from_bytes([0; 32]),
            &|a| a.state_root = Digest::from_bytes([0; 32]),
            &|a| a.timestamp_s = 0,
            &|a| a.base_fee = 0,
            &|a| a.gas_limit = 0,
            &|a| a.gas_used = 0,
        ] {
            assert!(digests.insert(digest(change)));
        }
    }
}
