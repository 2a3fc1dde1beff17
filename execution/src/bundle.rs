//! What is simulated at once: a bundle whose senders are known.
//!
//! # Invariants
//!
//! 1. A [`Bundle`] has at least one leg, its legs are sorted by chain id, no chain stands twice,
//!    every leg has at least one transaction, and each is signed for its leg's chain.
//! 2. Legs, and transactions of a leg, are counted by 16 bits.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::sender::RecoveredTransaction;

/// The most legs of a bundle, and the most transactions of a leg.
pub const MAX_COUNT: usize = u16::MAX as usize;

/// What happens to a bundle when one of its transactions fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// An invalid transaction drops the bundle, one that reverts or halts does not.
    Include,
    /// Both drop the bundle.
    Execute,
}

/// A bundle's transactions for one rollup, in order.
#[derive(Clone, Debug)]
pub struct Leg {
    /// The rollup.
    pub chain_id: u64,
    /// The transactions, in order.
    pub transactions: Vec<RecoveredTransaction>,
}

/// An all-or-nothing set of transactions.
#[derive(Clone, Debug)]
pub struct Bundle {
    policy: Policy,
    legs: Vec<Leg>,
}

/// Why legs do not make a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BundleError {
    /// No legs, or too many.
    #[error("a bundle of {actual} legs, 1 to {limit} are allowed")]
    Legs {
        /// How many there are.
        actual: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// Not sorted by chain id, or a chain twice.
    #[error("the leg for chain {next} stands after that for chain {previous}")]
    Order {
        /// The chain id before.
        previous: u64,
        /// The chain id after it.
        next: u64,
    },
    /// No transactions, or too many.
    #[error("a leg of {actual} transactions for chain {chain_id}, 1 to {limit} are allowed")]
    Transactions {
        /// The leg's rollup.
        chain_id: u64,
        /// How many there are.
        actual: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A transaction that is signed for another chain.
    #[error("a transaction for chain {actual} in the leg for chain {chain_id}")]
    Chain {
        /// The leg's rollup.
        chain_id: u64,
        /// The chain that the transaction is signed for.
        actual: u64,
    },
}

impl Bundle {
    /// A bundle of these legs, which are sorted by chain id.
    pub fn new(policy: Policy, legs: Vec<Leg>) -> Result<Self, BundleError> {
        if legs.is_empty() || legs.len() > MAX_COUNT {
            return Err(BundleError::Legs { actual: legs.len(), limit: MAX_COUNT });
        }
        for pair in legs.windows(2) {
            let (previous, next) = (pair[0].chain_id, pair[1].chain_id);
            if previous >= next {
                return Err(BundleError::Order { previous, next });
            }
        }
        for Leg { chain_id, transactions } in &legs {
            let (chain_id, actual) = (*chain_id, transactions.len());
            if actual == 0 || actual > MAX_COUNT {
                return Err(BundleError::Transactions { chain_id, actual, limit: MAX_COUNT });
            }
            let foreign = transactions.iter().find(|tx| tx.chain_id() != chain_id);
            if let Some(foreign) = foreign {
                return Err(BundleError::Chain { chain_id, actual: foreign.chain_id() });
            }
        }
        Ok(Self { policy, legs })
    }

    /// What happens when a transaction fails.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The legs, sorted by chain id.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// The sum of all gas limits; it saturates.
    pub fn gas_limit(&self) -> u64 {
        let transactions = self.legs.iter().flat_map(|leg| &leg.transactions);
        transactions.fold(0, |sum: u64, tx| sum.saturating_add(tx.gas_limit()))
    }
}
