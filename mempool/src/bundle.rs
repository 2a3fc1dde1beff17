//! What a trader's bundle is, and the one way to write it into a padded plaintext.
//!
//! ```text
//! bundle = rlp([policy, legs])                policy 0 = include, 1 = execute
//! leg    = [chain_id, [raw transaction, ...]]
//! m      = length of bundle as 4 bytes big-endian ‖ bundle ‖ zero bytes up to the size class
//! ```
//!
//! A plaintext of size class c has exactly `512·2^c` bytes, c in 0..=7.
//!
//! # Invariants
//!
//! 1. A [`Bundle`] is valid: at least one leg, legs sorted by chain id, no chain twice, at least
//!    one transaction per leg, no empty transaction, and it fits the largest class.
//! 2. The encoding is canonical RLP: [`Bundle::from_padded`] accepts a plaintext if and only if
//!    [`Bundle::padded`] of the same class writes exactly these bytes.
//! 3. The reason of a failure is the first that applies in the order length, padding, encoding,
//!    legs. It is consensus data: every sequencer computes the same.
//! 4. Reading costs time and memory linear in the plaintext; transactions share its buffer.
//!
//! # Example
//!
//! ```
//! use fairveil_crypto::envelope::SizeClass;
//! use fairveil_mempool::{Bundle, Leg, Policy};
//!
//! let leg = Leg { chain_id: 901, transactions: vec![vec![2, 0xc0].into()] };
//! let bundle = Bundle::new(Policy::Include, vec![leg])?;
//! let m = bundle.padded(bundle.smallest_class())?;
//! assert_eq!(m.len(), 512);
//! assert_eq!(Bundle::from_padded(&m, SizeClass::MIN), Ok(bundle));
//! # Ok::<(), fairveil_mempool::BundleError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use alloy_primitives::Bytes;
use alloy_rlp::{Decodable, Encodable, Header};
use fairveil_crypto::envelope::SizeClass;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Bytes that say how long the bundle inside a plaintext is.
pub const LENGTH_PREFIX_BYTES: usize = 4;
/// The longest bundle: what a plaintext of the largest class holds.
pub const BUNDLE_BYTES: usize = SizeClass::MAX.plaintext_bytes() - LENGTH_PREFIX_BYTES;

const _: () = assert!(SizeClass::MIN.plaintext_bytes() > LENGTH_PREFIX_BYTES);
const _: () = assert!(BUNDLE_BYTES <= u32::MAX as usize);

/// What happens to a bundle when one of its legs does not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Atomic inclusion: a leg may revert on its chain.
    Include,
    /// Atomic execution: a leg that would revert drops the bundle.
    Execute,
}

impl Policy {
    const fn number(self) -> u64 {
        match self {
            Self::Include => 0,
            Self::Execute => 1,
        }
    }
}

/// A bundle's transactions for one rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Chain id of the rollup.
    pub chain_id: u64,
    /// Raw signed transactions, in order.
    pub transactions: Vec<Bytes>,
}

/// A trader's all-or-nothing set of transactions, in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    policy: Policy,
    legs: Vec<Leg>,
}

/// Why legs do not make a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// No legs.
    #[error("bundle has 0 legs, it needs at least 1")]
    NoLegs,
    /// Two legs for one rollup.
    #[error("chain {chain_id} has 2 legs, a rollup has at most 1: put its transactions together")]
    ChainTwice {
        /// The rollup.
        chain_id: u64,
    },
    /// A leg without transactions.
    #[error("the leg for chain {chain_id} has 0 transactions, it needs at least 1")]
    NoTransactions {
        /// The leg's rollup.
        chain_id: u64,
    },
    /// A transaction without bytes.
    #[error("transaction {position} for chain {chain_id} has 0 bytes, it needs at least 1")]
    EmptyTransaction {
        /// The leg's rollup.
        chain_id: u64,
        /// Position in the leg, from 0.
        position: usize,
    },
    /// The bundle does not fit the size class.
    #[error("bundle is {actual_bytes} bytes, class {} holds {limit_bytes}", .class.get())]
    TooLarge {
        /// Bytes of the encoded bundle.
        actual_bytes: usize,
        /// The largest bundle that the class holds.
        limit_bytes: usize,
        /// The class; the largest if none was asked for.
        class: SizeClass,
    },
}

/// Why an opened plaintext is no bundle. The order is that of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedReason {
    /// The plaintext has not its class's length, or the length inside points past its end.
    Length,
    /// A byte after the bundle is not zero.
    Padding,
    /// The bundle is not the canonical encoding of a policy and legs.
    Encoding,
    /// No legs, legs unsorted, a chain twice, a leg without or with an empty transaction.
    Legs,
}

impl FailedReason {
    /// All reasons, in the order of the checks.
    pub const ALL: [Self; 4] = [Self::Length, Self::Padding, Self::Encoding, Self::Legs];

    /// The stable code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Padding => "padding",
            Self::Encoding => "encoding",
            Self::Legs => "legs",
        }
    }
}

impl fmt::Display for FailedReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Text that is no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such reason: one of length, padding, encoding, legs is needed")]
pub struct ParseReasonError;

impl FromStr for FailedReason {
    type Err = ParseReasonError;

    fn from_str(text: &str) -> Result<Self, ParseReasonError> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(ParseReasonError)
    }
}

impl Bundle {
    /// The bundle of these legs, which may come in any order.
    ///
    /// # Errors
    ///
    /// [`BundleError`] if they break invariant 1.
    pub fn new(policy: Policy, mut legs: Vec<Leg>) -> Result<Self, BundleError> {
        legs.sort_by_key(|leg| leg.chain_id);
        judge_legs(&legs)?;
        let bundle = Self { policy, legs };
        let actual_bytes = bundle.length();
        if actual_bytes > BUNDLE_BYTES {
            let (limit_bytes, class) = (BUNDLE_BYTES, SizeClass::MAX);
            return Err(BundleError::TooLarge { actual_bytes, limit_bytes, class });
        }
        Ok(bundle)
    }

    /// What happens when a leg does not go through.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// The legs, sorted by chain id.
    #[must_use]
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// The legs, sorted by chain id.
    #[must_use]
    pub fn into_legs(self) -> Vec<Leg> {
        self.legs
    }

    /// The canonical RLP.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.length()));
        self.encode_to(&mut out);
        out
    }

    /// The bundle whose canonical RLP is exactly `bytes`.
    ///
    /// # Errors
    ///
    /// `length` if no class holds it, `encoding` or `legs`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FailedReason> {
        if bytes.len() > BUNDLE_BYTES {
            return Err(FailedReason::Length);
        }
        let shared = Bytes::copy_from_slice(bytes);
        let (policy, legs) = read_bundle(&shared).ok_or(FailedReason::Encoding)?;
        judge_legs(&legs).map_err(|_| FailedReason::Legs)?;
        if !legs.is_sorted_by_key(|leg| leg.chain_id) {
            return Err(FailedReason::Legs);
        }
        Ok(Self { policy, legs })
    }

    /// The smallest size class that holds the bundle.
    #[must_use]
    pub fn smallest_class(&self) -> SizeClass {
        SizeClass::fitting(self.length() + LENGTH_PREFIX_BYTES).unwrap_or(SizeClass::MAX)
    }

    /// The plaintext of size class `class`: wiped when it is dropped.
    ///
    /// # Errors
    ///
    /// [`BundleError::TooLarge`] if the class is too small.
    pub fn padded(&self, class: SizeClass) -> Result<Zeroizing<Vec<u8>>, BundleError> {
        let actual_bytes = self.length();
        let limit_bytes = class.plaintext_bytes() - LENGTH_PREFIX_BYTES;
        let too_large = BundleError::TooLarge { actual_bytes, limit_bytes, class };
        if actual_bytes > limit_bytes {
            return Err(too_large);
        }
        let length = u32::try_from(actual_bytes).map_err(|_| too_large)?;
        let mut m = Zeroizing::new(Vec::with_capacity(class.plaintext_bytes()));
        m.extend_from_slice(&length.to_be_bytes());
        self.encode_to(&mut m);
        m.resize(class.plaintext_bytes(), 0);
        Ok(m)
    }

    /// The bundle inside an opened plaintext of size class `class`.
    ///
    /// # Errors
    ///
    /// The first [`FailedReason`] that applies.
    pub fn from_padded(m: &[u8], class: SizeClass) -> Result<Self, FailedReason> {
        if m.len() != class.plaintext_bytes() {
            return Err(FailedReason::Length);
        }
        let (prefix, rest) =
            m.split_first_chunk::<LENGTH_PREFIX_BYTES>().ok_or(FailedReason::Length)?;
        let (bundle, padding) = usize::try_from(u32::from_be_bytes(*prefix))
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or(FailedReason::Length)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(FailedReason::Padding);
        }
        Self::decode(bundle)
    }

    fn length(&self) -> usize {
        list(self.payload_length()).length_with_payload()
    }

    fn payload_length(&self) -> usize {
        let legs = self.legs.iter().map(leg_length).sum();
        self.policy.number().length() + list(legs).length_with_payload()
    }

    fn encode_to(&self, out: &mut Vec<u8>) {
        list(self.payload_length()).encode(out);
        self.policy.number().encode(out);
        list(self.legs.iter().map(leg_length).sum()).encode(out);
        for leg in &self.legs {
            list(leg_payload_length(leg)).encode(out);
            leg.chain_id.encode(out);
            list(transactions_length(leg)).encode(out);
            for transaction in &leg.transactions {
                transaction[..].encode(out);
            }
        }
    }
}

fn judge_legs(legs: &[Leg]) -> Result<(), BundleError> {
    if legs.is_empty() {
        return Err(BundleError::NoLegs);
    }
    for leg in legs {
        let chain_id = leg.chain_id;
        if leg.transactions.is_empty() {
            return Err(BundleError::NoTransactions { chain_id });
        }
        if let Some(position) = leg.transactions.iter().position(|bytes| bytes.is_empty()) {
            return Err(BundleError::EmptyTransaction { chain_id, position });
        }
    }
    match legs.windows(2).find(|pair| pair[0].chain_id == pair[1].chain_id) {
        Some(pair) => Err(BundleError::ChainTwice { chain_id: pair[0].chain_id }),
        None => Ok(()),
    }
}

const fn list(payload_length: usize) -> Header {
    Header { list: true, payload_length }
}

fn transactions_length(leg: &Leg) -> usize {
    leg.transactions.iter().map(|transaction| transaction[..].length()).sum()
}

fn leg_payload_length(leg: &Leg) -> usize {
    leg.chain_id.length() + list(transactions_length(leg)).length_with_payload()
}

fn leg_length(leg: &Leg) -> usize {
    list(leg_payload_length(leg)).length_with_payload()
}

fn read_bundle(shared: &Bytes) -> Option<(Policy, Vec<Leg>)> {
    let mut rest: &[u8] = shared;
    let mut items = Header::decode_bytes(&mut rest, true).ok()?;
    let policy = match u64::decode(&mut items).ok()? {
        0 => Policy::Include,
        1 => Policy::Execute,
        _ => return None,
    };
    let mut encoded_legs = Header::decode_bytes(&mut items, true).ok()?;
    if !rest.is_empty() || !items.is_empty() {
        return None;
    }
    let mut legs = Vec::new();
    while !encoded_legs.is_empty() {
        legs.push(read_leg(shared, &mut encoded_legs)?);
    }
    Some((policy, legs))
}

fn read_leg(shared: &Bytes, rest: &mut &[u8]) -> Option<Leg> {
    let mut items = Header::decode_bytes(rest, true).ok()?;
    let chain_id = u64::decode(&mut items).ok()?;
    let mut encoded = Header::decode_bytes(&mut items, true).ok()?;
    if !items.is_empty() {
        return None;
    }
    let mut transactions = Vec::new();
    while !encoded.is_empty() {
        let transaction = Header::decode_bytes(&mut encoded, false).ok()?;
        transactions.push(shared.slice_ref(transaction));
    }
    Some(Leg { chain_id, transactions })
}

#[cfg(test)]
mod tests;
