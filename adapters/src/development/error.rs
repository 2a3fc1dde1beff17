//! What can go wrong on development chains, with the place, what was found and what was expected.

use std::collections::BTreeMap;
use std::fmt;

use alloy_primitives::B256;
use thiserror::Error;

use crate::json_rpc::{Refusal, RpcError};
use crate::released::ReleasedError;

/// Which released blocks a mined block is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The number of the first one, as the release counts.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
    /// The timestamp of the mined block, in seconds since 1970.
    pub timestamp_s: u64,
}

/// How a mined block differs from the released one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Difference {
    /// Its timestamp.
    #[error("its timestamp is {found_s} s, expected {expected_s} s")]
    Timestamp {
        /// The mined block's.
        found_s: u64,
        /// The released one's.
        expected_s: u64,
    },
    /// Its transactions, from this one on.
    #[error("transaction {index} is {}, expected {}", shown(.found), shown(.expected))]
    Transaction {
        /// The first place with a difference, counted from zero.
        index: usize,
        /// The hash of what stands there, if anything does.
        found: Option<B256>,
        /// The hash of what was released there, if anything was.
        expected: Option<B256>,
    },
    /// The block that it stands on.
    #[error(
        "it is block {found} on {found_parent}, expected block {expected} on {expected_parent}"
    )]
    Parent {
        /// Its number.
        found: u64,
        /// Its parent.
        found_parent: B256,
        /// The number that follows.
        expected: u64,
        /// The chain's head before.
        expected_parent: B256,
    },
}

/// Why development chains can't be used.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Too many.
    #[error("{actual} development chains, the limit is {limit}")]
    Chains {
        /// How many there are.
        actual: usize,
        /// [`super::MAX_CHAINS`].
        limit: usize,
    },
    /// The endpoint does not answer as it should.
    #[error("rollup {chain_id}: {source}")]
    Rpc {
        /// The rollup.
        chain_id: u64,
        /// The fault.
        source: RpcError,
    },
    /// Another chain.
    #[error("rollup {chain_id}: the endpoint is of chain {found}")]
    ChainId {
        /// The rollup.
        chain_id: u64,
        /// The endpoint's chain id.
        found: u64,
    },
    /// It mines by itself.
    #[error("rollup {chain_id}: the chain mines by itself, start it with --no-mining")]
    Mining {
        /// The rollup.
        chain_id: u64,
    },
    /// It sorts what arrives.
    #[error("rollup {chain_id}: the chain orders by {found:?}, start it with --order fifo")]
    Order {
        /// The rollup.
        chain_id: u64,
        /// How it orders.
        found: String,
    },
}

/// Why nothing of a slot was sent to any rollup.
#[derive(Debug, Error)]
pub enum RefusedSlot {
    /// A rollup without a chain.
    #[error("the slot has blocks of rollup {chain_id}, which has no development chain")]
    UnknownRollup {
        /// The rollup.
        chain_id: u64,
    },
    /// Blocks that are no slot.
    #[error("rollup {chain_id}: {why}")]
    Slot {
        /// The rollup.
        chain_id: u64,
        /// What is wrong.
        why: ReleasedError,
    },
    /// A chain can't be read.
    #[error("rollup {chain_id}: {source}")]
    Rpc {
        /// The rollup.
        chain_id: u64,
        /// The fault.
        source: RpcError,
    },
    /// A chain that is beyond the slot, without having mined it.
    #[error(
        "rollup {chain_id}: timestamps must rise, but block {head} is of {head_s} s and the slot \
         begins with {place}"
    )]
    NotRising {
        /// The rollup.
        chain_id: u64,
        /// The number of the chain's newest block.
        head: u64,
        /// Its timestamp in seconds since 1970.
        head_s: u64,
        /// The slot's first block.
        place: Place,
    },
    /// A chain with another block at the slot's time.
    #[error("rollup {chain_id}: block {number} stands where the slot has {place}: {difference}")]
    Occupied {
        /// The rollup.
        chain_id: u64,
        /// The number of the block on the chain.
        number: u64,
        /// The released block.
        place: Place,
        /// How they differ.
        difference: Difference,
    },
    /// A chain that went on, while another one does not have all of the slot.
    #[error(
        "rollup {chain_id} has mined {later} blocks after the slot, which other rollups do not have"
    )]
    Buried {
        /// The rollup.
        chain_id: u64,
        /// How many blocks stand after the slot.
        later: u64,
    },
}

/// What is wrong with the receipt of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReceiptFault {
    /// More or fewer receipts than transactions.
    #[error("{found} receipts, expected {expected}")]
    Count {
        /// Receipts.
        found: usize,
        /// Transactions.
        expected: usize,
    },
    /// A receipt of another transaction.
    #[error("receipt {index} is of transaction {found}, expected {expected}")]
    Transaction {
        /// Its place, counted from zero.
        index: usize,
        /// The transaction that it is of.
        found: B256,
        /// The transaction at this place.
        expected: B256,
    },
    /// A receipt that names another place.
    #[error("receipt {index} is of place {found}, expected {index}")]
    Index {
        /// Its place, counted from zero.
        index: usize,
        /// The place that it names.
        found: u64,
    },
    /// A receipt of another block.
    #[error("receipt {index} is of block {found}, expected {expected}")]
    Block {
        /// Its place, counted from zero.
        index: usize,
        /// The block that it names.
        found: B256,
        /// The mined block.
        expected: B256,
    },
    /// A status that is neither 0 nor 1.
    #[error("receipt {index} has status {found}, expected 0 or 1")]
    Status {
        /// Its place, counted from zero.
        index: usize,
        /// The status.
        found: u64,
    },
}

/// What went wrong on one chain.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChainFault {
    /// The endpoint failed.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// A transaction that the chain does not take.
    #[error("{place}, transaction {index} ({transaction}): {refusal}")]
    Refused {
        /// The released block.
        place: Place,
        /// The transaction's place in it, counted from zero.
        index: usize,
        /// Its hash.
        transaction: B256,
        /// What the chain says.
        refusal: Refusal,
    },
    /// The chain calls a transaction by another hash.
    #[error("{place}, transaction {index} was taken as {found}, expected {expected}")]
    Hash {
        /// The released block.
        place: Place,
        /// The transaction's place in it, counted from zero.
        index: usize,
        /// The chain's hash.
        found: B256,
        /// keccak256 of what was sent.
        expected: B256,
    },
    /// A mined block that is not the released one.
    #[error("{place} was mined as block {number} ({hash}), but {difference}")]
    Different {
        /// The released block.
        place: Place,
        /// The mined block's number.
        number: u64,
        /// Its hash.
        hash: B256,
        /// How they differ.
        difference: Difference,
    },
    /// A receipt that is none of the block.
    #[error("{place}, block {number}: {fault}")]
    Receipt {
        /// The released block.
        place: Place,
        /// The mined block's number.
        number: u64,
        /// What is wrong.
        fault: ReceiptFault,
    },
    /// The chain does not know its own snapshot any more.
    #[error("snapshot {snapshot} is gone")]
    Snapshot {
        /// Its id.
        snapshot: String,
    },
    /// After undoing, the chain is not where it was.
    #[error(
        "the head is block {found} ({found_hash}), expected block {expected} ({expected_hash})"
    )]
    Head {
        /// The head's number.
        found: u64,
        /// Its hash.
        found_hash: B256,
        /// The number of the head before the slot.
        expected: u64,
        /// Its hash.
        expected_hash: B256,
    },
}

/// What went wrong, by chain id: at least one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(BTreeMap<u64, ChainFault>);

/// Why a slot was not mined by all rollups.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// Nothing was sent to any rollup.
    #[error("nothing was sent: {0}")]
    Refused(#[from] RefusedSlot),
    /// The slot is mined on all rollups, but its receipts can't be read.
    #[error("the slot is mined on all rollups, but not readable: {faults}")]
    Receipts {
        /// What went wrong.
        faults: Faults,
    },
    /// A rollup could not be prepared, and nothing was sent to any.
    #[error("nothing was sent: {faults}")]
    NotBegun {
        /// What went wrong.
        faults: Faults,
    },
    /// A rollup failed, and no rollup has any of the slot.
    #[error("the slot was undone on all rollups: {faults}")]
    Undone {
        /// What went wrong.
        faults: Faults,
    },
    /// A rollup failed, and some could not be undone.
    #[error("{faults}; the slot was not undone everywhere: {undo}")]
    NotUndone {
        /// What went wrong.
        faults: Faults,
        /// The rollups that may still have some of the slot.
        undo: Faults,
    },
}

impl Faults {
    pub(super) fn new(faults: BTreeMap<u64, ChainFault>) -> Option<Self> {
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// What went wrong, by chain id.
    pub fn by_chain(&self) -> &BTreeMap<u64, ChainFault> {
        &self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (chain_id, fault)) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}rollup {chain_id}: {fault}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, timestamp_s } = self;
        if first == last {
            write!(f, "released block {first} of {timestamp_s} s")
        } else {
            write!(f, "released blocks {first} to {last} of {timestamp_s} s")
        }
    }
}

fn shown(hash: &Option<B256>) -> String {
    hash.map_or_else(|| "nothing".to_owned(), |hash| hash.to_string())
}
