//! The one table of failed codes.
//!
//! A bundle that was ordered and is not released has failed, for exactly one reason, and the
//! reason is consensus data: it is a leaf of the release's tree, so every sequencer must find the
//! same one and write it with the same bytes.
//!
//! # Bytes
//!
//! `number (1) ‖ fields`, integers big-endian, exactly as long as the row says.
//!
//! | number | code | fields after the number | meaning |
//! |---|---|---|---|
//! | 1 | `aead` | | the body does not open under the combined key |
//! | 2 | `rho` | | the opened randomness does not give the ciphertext's point |
//! | 3 | `length` | | the length prefix does not fit the size class |
//! | 4 | `padding` | | the padding is not zero |
//! | 5 | `encoding` | | not the canonical RLP of a bundle, or an unknown policy |
//! | 6 | `legs` | | no legs, no transactions, an empty one, or unsorted chains |
//! | 7 | `nonce_used` | | an earlier bundle consumed (payer, payer_nonce) |
//! | 8 | `unfunded` | | the payer had no balance |
//! | 9 | `unknown_rollup` | rollup (8) | a leg names a chain that is not registered |
//! | 10 | `rollup_paused` | rollup (8) | a leg names a rollup that takes no batches now |
//! | 11 | `leg_invalid` | leg (2), tx (2), why (1) | a transaction is invalid on its chain |
//! | 12 | `leg_failed` | leg (2), tx (2), why (1) | policy `execute`: a transaction failed in the simulation |
//! | 13 | `state_unavailable` | rollup (8) | policy `execute` without a view of that rollup's state |
//! | 14 | `capacity` | rollup (8) | a leg does not fit an empty slot, the bundle asks for too much gas, or the carry-over is full |
//!
//! `leg` and `tx` count from zero inside the opened bundle. The `why` of `leg_invalid` is
//! [`Invalid`], the `why` of `leg_failed` is [`Fault`].
//!
//! # Invariants
//!
//! 1. Numbers and codes are unique and never reused.
//! 2. `from_bytes(to_bytes(f)) == f`, and `from_bytes` refuses everything else, trailing bytes
//!    included.
//! 3. 7 and 8 are decided at emission, 1 to 6 by opening, 9 to 11 and 13 by static validity, 14 by
//!    cutting; 12, and the reasons of 11 from `nonce_too_low` on, by simulation over the rollups'
//!    states, so never for a rollup without a view of its state.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why an ordered bundle is not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Failed {
    /// The body does not open under the combined key.
    Aead,
    /// The opened randomness does not give the ciphertext's point.
    Rho,
    /// The length prefix does not fit the size class.
    Length,
    /// The padding is not zero.
    Padding,
    /// Not the canonical encoding of a bundle, or an unknown policy.
    Encoding,
    /// No legs, a leg without transactions, an empty transaction, or unsorted chains.
    Legs,
    /// An earlier bundle consumed the pair (payer, payer_nonce).
    NonceUsed,
    /// The payer had no balance.
    Unfunded,
    /// A leg names a chain that is not registered.
    UnknownRollup {
        /// The chain id that the leg names.
        rollup: u64,
    },
    /// A leg names a rollup that takes no batches now.
    RollupPaused {
        /// The paused rollup's chain id.
        rollup: u64,
    },
    /// A transaction that is invalid on its chain: whatever the chain's state, or in the state that
    /// the bundles before it leave.
    LegInvalid {
        /// The leg, counted from zero.
        leg: u16,
        /// The transaction in the leg, counted from zero.
        tx: u16,
        /// The first check that it failed.
        why: Invalid,
    },
    /// A transaction that failed in the simulation (policy `execute`).
    LegFailed {
        /// The leg, counted from zero.
        leg: u16,
        /// The transaction in the leg, counted from zero.
        tx: u16,
        /// How it failed.
        why: Fault,
    },
    /// Policy `execute` needs a state view of this rollup, and there is none.
    StateUnavailable {
        /// The first such rollup's chain id.
        rollup: u64,
    },
    /// A leg does not fit an empty block of this rollup, or has to wait while no more can; or the
    /// bundle, whose first rollup it is, asks for more gas than is simulated at once.
    Capacity {
        /// The first such rollup's chain id.
        rollup: u64,
    },
}

/// Why a transaction is invalid on its chain, in the order of the checks. Up to the signature
/// nothing depends on the chain's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invalid {
    /// Longer than all of the rollup's bytes in a slot.
    Size,
    /// A transaction type that the rollup does not take.
    Type,
    /// Not the one canonical EIP-2718 encoding of a transaction of its type.
    Encoding,
    /// A legacy transaction without replay protection.
    Unprotected,
    /// Signed for another chain than the leg's.
    ChainId,
    /// A nonce of 2^64 - 1 (EIP-2681).
    Nonce,
    /// The priority fee is above the maximum fee.
    Fee,
    /// The gas limit is above the rollup's.
    GasLimit,
    /// Init code longer than 49,152 bytes (EIP-3860).
    InitCode,
    /// The gas limit is below the intrinsic gas or below the calldata floor (EIP-7623).
    IntrinsicGas,
    /// A type 4 transaction without an authorization.
    Authorization,
    /// The signature's s is above half of the curve's order (EIP-2).
    HighS,
    /// The signature does not recover to a sender.
    Signature,
    /// The sender has used the nonce.
    NonceTooLow,
    /// The sender has not used an earlier nonce.
    NonceTooHigh,
    /// The sender can't pay for the value and all of the gas.
    Balance,
    /// It pays less per gas than the block's base fee.
    BaseFee,
    /// The sender is a contract (EIP-3607).
    SenderIsContract,
    /// The chain's rules refuse it for another reason.
    Refused,
}

/// How a transaction failed in the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The call reverted.
    Reverted,
    /// The call halted: out of gas, or an invalid operation.
    Halted,
}

/// Bytes that are no failed code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FailedDecodeError {
    /// A number that the table does not have.
    #[error("{number} is no number of a failed code")]
    Number {
        /// The first byte.
        number: u8,
    },
    /// A reason that the table of the code does not have.
    #[error("{why} is no reason of code {number}")]
    Why {
        /// The code's number.
        number: u8,
        /// The last byte.
        why: u8,
    },
    /// Too few or too many bytes for the code.
    #[error("a failed code of {actual} bytes, expected {expected}")]
    Length {
        /// How many there are.
        actual: usize,
        /// How many there must be.
        expected: usize,
    },
}

impl Failed {
    /// The longest encoding in bytes.
    pub const MAX_BYTES: usize = 9;

    /// The stable number.
    pub const fn number(&self) -> u8 {
        match self {
            Self::Aead => 1,
            Self::Rho => 2,
            Self::Length => 3,
            Self::Padding => 4,
            Self::Encoding => 5,
            Self::Legs => 6,
            Self::NonceUsed => 7,
            Self::Unfunded => 8,
            Self::UnknownRollup { .. } => 9,
            Self::RollupPaused { .. } => 10,
            Self::LegInvalid { .. } => 11,
            Self::LegFailed { .. } => 12,
            Self::StateUnavailable { .. } => 13,
            Self::Capacity { .. } => 14,
        }
    }

    /// The stable code, as interfaces show it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Aead => "aead",
            Self::Rho => "rho",
            Self::Length => "length",
            Self::Padding => "padding",
            Self::Encoding => "encoding",
            Self::Legs => "legs",
            Self::NonceUsed => "nonce_used",
            Self::Unfunded => "unfunded",
            Self::UnknownRollup { .. } => "unknown_rollup",
            Self::RollupPaused { .. } => "rollup_paused",
            Self::LegInvalid { .. } => "leg_invalid",
            Self::LegFailed { .. } => "leg_failed",
            Self::StateUnavailable { .. } => "state_unavailable",
            Self::Capacity { .. } => "capacity",
        }
    }

    /// What the trader can do about it, in one sentence.
    pub const fn cure(&self) -> &'static str {
        match self {
            Self::Aead | Self::Rho | Self::Length | Self::Padding | Self::Encoding => {
                "seal with a correct client"
            }
            Self::Legs => "give every leg a transaction and sort the legs by chain id",
            Self::NonceUsed => "seal again with a payer nonce that was never used",
            Self::Unfunded => "fund the payer's account and seal again",
            Self::UnknownRollup { .. } => "use a chain id that the network registers",
            Self::RollupPaused { .. } => "wait until the rollup takes batches again",
            Self::LegInvalid { .. } => "correct the named transaction and seal again",
            Self::LegFailed { .. } => "correct the named transaction, or use policy `include`",
            Self::StateUnavailable { .. } => "use policy `include` on rollups without a state view",
            Self::Capacity { .. } => "make the leg smaller or lower its gas limit",
        }
    }

    /// The canonical bytes of the table above.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.number()];
        match *self {
            Self::UnknownRollup { rollup }
            | Self::RollupPaused { rollup }
            | Self::StateUnavailable { rollup }
            | Self::Capacity { rollup } => bytes.extend(rollup.to_be_bytes()),
            Self::LegInvalid { leg, tx, why } => {
                bytes.extend(leg.to_be_bytes());
                bytes.extend(tx.to_be_bytes());
                bytes.push(why.number());
            }
            Self::LegFailed { leg, tx, why } => {
                bytes.extend(leg.to_be_bytes());
                bytes.extend(tx.to_be_bytes());
                bytes.push(why.number());
            }
            _ => {}
        }
        bytes
    }

    /// Reads the canonical bytes, all of them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FailedDecodeError> {
        let actual = bytes.len();
        let Some((&number, fields)) = bytes.split_first() else {
            return Err(FailedDecodeError::Length { actual, expected: 1 });
        };
        match number {
            1..=8 => {
                fixed::<0>(fields)?;
                Ok(match number {
                    1 => Self::Aead,
                    2 => Self::Rho,
                    3 => Self::Length,
                    4 => Self::Padding,
                    5 => Self::Encoding,
                    6 => Self::Legs,
                    7 => Self::NonceUsed,
                    _ => Self::Unfunded,
                })
            }
            9 | 10 | 13 | 14 => {
                let rollup = u64::from_be_bytes(fixed::<8>(fields)?);
                Ok(match number {
                    9 => Self::UnknownRollup { rollup },
                    10 => Self::RollupPaused { rollup },
                    13 => Self::StateUnavailable { rollup },
                    _ => Self::Capacity { rollup },
                })
            }
            11 | 12 => {
                let [l1, l0, t1, t0, why] = fixed::<5>(fields)?;
                let (leg, tx) = (u16::from_be_bytes([l1, l0]), u16::from_be_bytes([t1, t0]));
                let unknown = FailedDecodeError::Why { number, why };
                Ok(if number == 11 {
                    let why = Invalid::from_number(why).ok_or(unknown)?;
                    Self::LegInvalid { leg, tx, why }
                } else {
                    let why = Fault::from_number(why).ok_or(unknown)?;
                    Self::LegFailed { leg, tx, why }
                })
            }
            number => Err(FailedDecodeError::Number { number }),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code();
        match self {
            Self::UnknownRollup { rollup }
            | Self::RollupPaused { rollup }
            | Self::StateUnavailable { rollup }
            | Self::Capacity { rollup } => write!(f, "{code}: rollup {rollup}"),
            Self::LegInvalid { leg, tx, why } => {
                write!(f, "{code}: leg {leg}, transaction {tx}: {why}")
            }
            Self::LegFailed { leg, tx, why } => {
                write!(f, "{code}: leg {leg}, transaction {tx}: {why}")
            }
            _ => f.write_str(code),
        }
    }
}

impl Invalid {
    /// All reasons in the order of the checks; a reason's number is its place, from one.
    pub const ALL: [Self; 19] = [
        Self::Size,
        Self::Type,
        Self::Encoding,
        Self::Unprotected,
        Self::ChainId,
        Self::Nonce,
        Self::Fee,
        Self::GasLimit,
        Self::InitCode,
        Self::IntrinsicGas,
        Self::Authorization,
        Self::HighS,
        Self::Signature,
        Self::NonceTooLow,
        Self::NonceTooHigh,
        Self::Balance,
        Self::BaseFee,
        Self::SenderIsContract,
        Self::Refused,
    ];

    /// The stable number.
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The stable code, as interfaces show it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Type => "type",
            Self::Encoding => "encoding",
            Self::Unprotected => "unprotected",
            Self::ChainId => "chain_id",
            Self::Nonce => "nonce",
            Self::Fee => "fee",
            Self::GasLimit => "gas_limit",
            Self::InitCode => "init_code",
            Self::IntrinsicGas => "intrinsic_gas",
            Self::Authorization => "authorization",
            Self::HighS => "high_s",
            Self::Signature => "signature",
            Self::NonceTooLow => "nonce_too_low",
            Self::NonceTooHigh => "nonce_too_high",
            Self::Balance => "balance",
            Self::BaseFee => "base_fee",
            Self::SenderIsContract => "sender_is_contract",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Fault {
    /// All reasons; a reason's number is its place, from one.
    pub const ALL: [Self; 2] = [Self::Reverted, Self::Halted];

    /// The stable number.
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The stable code, as interfaces show it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Reverted => "reverted",
            Self::Halted => "halted",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

fn fixed<const N: usize>(fields: &[u8]) -> Result<[u8; N], FailedDecodeError> {
    fields
        .try_into()
        .map_err(|_| FailedDecodeError::Length { actual: fields.len() + 1, expected: N + 1 })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn every() -> Vec<Failed> {
        let rollup = 0x0102_0304_0506_0708;
        let mut all = vec![
            Failed::Aead,
            Failed::Rho,
            Failed::Length,
            Failed::Padding,
            Failed::Encoding,
            Failed::Legs,
            Failed::NonceUsed,
            Failed::Unfunded,
            Failed::UnknownRollup { rollup },
            Failed::RollupPaused { rollup },
            Failed::StateUnavailable { rollup },
            Failed::Capacity { rollup },
        ];
        for why in Invalid::ALL {
            all.push(Failed::LegInvalid { leg: 0x0102, tx: 0xfffe, why });
        }
        for why in Fault::ALL {
            all.push(Failed::LegFailed { leg: 3, tx: 4, why });
        }
        all
    }

    #[test]
    fn numbers_and_codes_are_unique_invariant_1() {
        let numbers: BTreeSet<_> = every().iter().map(Failed::number).collect();
        let codes: BTreeSet<_> = every().iter().map(Failed::code).collect();
        assert_eq!(numbers, (1..=14).collect());
        assert_eq!(codes.len(), 14);
        let whys: BTreeSet<_> = Invalid::ALL.iter().map(|why| why.code()).collect();
        assert_eq!(whys.len(), Invalid::ALL.len());
        for (place, why) in Invalid::ALL.iter().enumerate() {
            assert_eq!(usize::from(why.number()), place + 1);
        }
    }

    #[test]
    fn bytes_are_canonical_invariant_2() {
        for failed in every() {
            let bytes = failed.to_bytes();
            assert!(bytes.len() <= Failed::MAX_BYTES);
            assert_eq!(Failed::from_bytes(&bytes), Ok(failed));
            for length in 0..bytes.len() {
                assert!(matches!(
                    Failed::from_bytes(&bytes[..length]),
                    Err(FailedDecodeError::Length { .. })
                ));
            }
            let mut longer = bytes.clone();
            longer.push(0);
            assert!(Failed::from_bytes(&longer).is_err());
        }
        for number in [0, 15, 16, 128, 255] {
            assert_eq!(Failed::from_bytes(&[number]), Err(FailedDecodeError::Number { number }));
        }
        for why in [0, 20, 255] {
            let expected = Err(FailedDecodeError::Why { number: 11, why });
            assert_eq!(Failed::from_bytes(&[11, 0, 0, 0, 0, why]), expected);
        }
        for why in [0, 3, 255] {
            let expected = Err(FailedDecodeError::Why { number: 12, why });
            assert_eq!(Failed::from_bytes(&[12, 0, 0, 0, 0, why]), expected);
        }
    }

    #[test]
    fn the_module_table_names_every_code() {
        let source = include_str!("failed.rs");
        for failed in every() {
            let row = format!("//! | {} | `{}` |", failed.number(), failed.code());
            assert!(source.contains(&row), "no row {row}");
        }
    }
}
