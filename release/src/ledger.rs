//! The ledger: where the fees are that payers were charged, until they are somebody's revenue.
//!
//! The chain's state debits a payer when its bundle gets its place, because the placement
//! (`unfunded` or not) depends on the balance. From there on it is a matter of releases: who gets a
//! fee depends on how the bundle ended and on the rollups of its legs, so the ledger stands beside
//! the chain of releases and not in the consensus. It sees charges, leaves of releases and nothing
//! else; where both are durable is the caller's business.
//!
//! ```text
//! charged at height h ──> in flight ──> ended in a release ──> revenue
//!
//! released    r = floor(fee * rollup_share_percent / 100), k rollups with a leg:
//!             each of these rollups gets floor(r / k); the rest of the fee is the sequencers'
//! else        the whole fee is the sequencers' (it failed; nobody's rollup had anything of it)
//! carried     it stays in flight until a later release ends it
//! sequencers  s = what they get of one release, n sequencers by index from 1:
//!             each gets floor(s / n); the s mod n units that are left go, one each, to the
//!             sequencers from index (height mod n) + 1 on, and on from 1 after n
//! ```
//!
//! A new epoch's committee takes the accounts over ([`Accounts::next_epoch`]).
//!
//! So no unit is ever divided away, and over the heights no sequencer is favoured by the rest.
//!
//! # Invariants
//!
//! 1. Conservation: what was charged is in flight or somebody's revenue, at every step:
//!    `charged = in flight + revenue`. With the balances of the chain's state, which are deposits
//!    minus charged, `deposits = balances + in flight + revenue` ([`Accounts::is_conserved`]).
//! 2. A fee is paid out once, by the release that ends its bundle, and rollups get something of
//!    it only if the bundle is released, in equal parts.
//! 3. The ledger after a release is a function of charges and releases: it is the same on all
//!    sequencers, whether the release was cut there or adopted.
//! 4. Releases are taken in the order of heights, each once; a height's charges come before its
//!    release.

use std::collections::BTreeMap;

use fairveil_crypto::encoding::{self, DecodeError};
use fairveil_crypto::{BundleId, ConsensusPublicKey, Height};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::tree::{Leaf, Outcome};

/// The longest encoding of [`Accounts`].
const MAX_ACCOUNTS_BYTES: usize = 64 << 10;

/// Where all fees stand after a height, and what of it has to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// The last height whose charges are in it.
    pub height: Height,
    /// The last height whose release is in it.
    pub released: Height,
    /// What all payers deposited.
    pub deposits: u128,
    /// What all payers have left.
    pub balances: u128,
    /// What was charged for bundles that have not ended yet.
    pub in_flight: u128,
    /// What each rollup got, by chain id.
    pub rollups: BTreeMap<u64, u128>,
    /// What each sequencer got, by position of its index.
    pub sequencers: Vec<u128>,
    /// What sequencers of earlier epochs got that are no members now, by consensus key.
    pub former: BTreeMap<ConsensusPublicKey, u128>,
}

/// The ledger of one epoch's committee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    rollup_share_percent: u8,
    accounts: Accounts,
    in_flight: BTreeMap<BundleId, u64>,
}

/// What a ledger can't begin with, or take.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// Another height is next.
    #[error("height {actual} is not next in the ledger, {expected} is")]
    Height {
        /// The height that came.
        actual: Height,
        /// The next one.
        expected: Height,
    },
    /// A release of a height whose charges are not known.
    #[error("a release of height {released}, charges are known up to {height}")]
    Early {
        /// The height of the release.
        released: Height,
        /// The last height whose charges are known.
        height: Height,
    },
    /// A bundle was charged twice.
    #[error("bundle {id} was charged already")]
    Twice {
        /// The bundle.
        id: BundleId,
    },
    /// Stored accounts of another committee.
    #[error("accounts of {actual} sequencers are stored, the committee has {expected}")]
    Sequencers {
        /// How many are stored.
        actual: usize,
        /// n.
        expected: usize,
    },
    /// Something was lost, or appeared.
    #[error(
        "deposits are {deposits}, but {balances} of balances, {in_flight} in flight and \
         {revenue} of revenue stand against them"
    )]
    Conservation {
        /// All deposits.
        deposits: u128,
        /// All balances.
        balances: u128,
        /// What is in flight.
        in_flight: u128,
        /// All revenue.
        revenue: u128,
    },
}

impl Accounts {
    /// All revenue together.
    #[must_use]
    pub fn revenue(&self) -> u128 {
        let all = self.rollups.values().chain(&self.sequencers).chain(self.former.values());
        all.fold(0, |sum: u128, amount| sum.saturating_add(*amount))
    }

    /// Whether nothing was lost and nothing appeared.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let against = self.balances.checked_add(self.in_flight);
        against.and_then(|sum| sum.checked_add(self.revenue())) == Some(self.deposits)
    }

    /// The accounts of the next epoch's committee: what a sequencer got stays its own, under its new
    /// index or, if it leaves, under its key.
    #[must_use]
    pub fn next_epoch(&self, old: &[ConsensusPublicKey], new: &[ConsensusPublicKey]) -> Self {
        let mut former = self.former.clone();
        for (key, revenue) in old.iter().zip(&self.sequencers) {
            *former.entry(*key).or_default() += revenue;
        }
        let sequencers = new.iter().map(|key| former.remove(key).unwrap_or(0)).collect();
        former.retain(|_, revenue| *revenue > 0);
        Self { sequencers, former, ..self.clone() }
    }

    /// The canonical encoding, for storage.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads the canonical encoding.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(bytes, MAX_ACCOUNTS_BYTES)
    }
}

impl Ledger {
    /// The ledger of a committee of `n` before the first block.
    #[must_use]
    pub fn new(n: u16, rollup_share_percent: u8, deposits: u128) -> Self {
        let sequencers = vec![0; n.into()];
        let accounts = Accounts { deposits, balances: deposits, sequencers, ..Accounts::default() };
        Self { rollup_share_percent, accounts, in_flight: BTreeMap::new() }
    }

    /// The ledger as it was stored: its accounts, and the fees in flight by bundle.
    ///
    /// # Errors
    ///
    /// If it is of another committee, or not conserved.
    pub fn restore(
        n: u16,
        rollup_share_percent: u8,
        accounts: Accounts,
        in_flight: BTreeMap<BundleId, u64>,
    ) -> Result<Self, LedgerError> {
        let (actual, expected) = (accounts.sequencers.len(), usize::from(n));
        if actual != expected {
            return Err(LedgerError::Sequencers { actual, expected });
        }
        let flying = in_flight.values().copied().map(u128::from).sum();
        if accounts.in_flight != flying || !accounts.is_conserved() {
            return Err(LedgerError::Conservation {
                deposits: accounts.deposits,
                balances: accounts.balances,
                in_flight: flying,
                revenue: accounts.revenue(),
            });
        }
        Ok(Self { rollup_share_percent, accounts, in_flight })
    }

    /// Where all fees stand.
    #[must_use]
    pub const fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The fees of the bundles that have not ended yet.
    #[must_use]
    pub const fn in_flight(&self) -> &BTreeMap<BundleId, u64> {
        &self.in_flight
    }

    /// A height is final: what its bundles paid, and what all payers have left after it.
    ///
    /// # Errors
    ///
    /// If another height is next, a bundle was charged before, or payers have not paid exactly the
    /// charges. Nothing changes then.
    pub fn ordered(
        &mut self,
        height: Height,
        charges: &[(BundleId, u64)],
        balances: u128,
    ) -> Result<(), LedgerError> {
        let expected = self.accounts.height.next();
        if height != expected {
            return Err(LedgerError::Height { actual: height, expected });
        }
        let new: BTreeMap<BundleId, u64> = charges.iter().copied().collect();
        let twice = |id: &BundleId| self.in_flight.contains_key(id);
        if let Some(id) = new.keys().copied().find(twice) {
            return Err(LedgerError::Twice { id });
        }
        // A bundle that stands twice among the charges was paid for twice: the sum does not fit.
        let sum = new.values().copied().map(u128::from).sum::<u128>();
        let in_flight = self.accounts.in_flight.saturating_add(sum);
        let next = Accounts { height, balances, in_flight, ..self.accounts.clone() };
        if !next.is_conserved() {
            let (deposits, revenue) = (next.deposits, next.revenue());
            return Err(LedgerError::Conservation { deposits, balances, in_flight, revenue });
        }
        self.accounts = next;
        self.in_flight.extend(new);
        Ok(())
    }

    /// A height is released: pays out the fees of the bundles that ended, and returns their ids.
    ///
    /// # Errors
    ///
    /// If another height is next, or its charges are not known. Nothing changes then.
    pub fn released(
        &mut self,
        height: Height,
        leaves: &[Leaf],
    ) -> Result<Vec<BundleId>, LedgerError> {
        let expected = self.accounts.released.next();
        if height != expected {
            return Err(LedgerError::Height { actual: height, expected });
        }
        if height > self.accounts.height {
            let (released, height) = (height, self.accounts.height);
            return Err(LedgerError::Early { released, height });
        }
        let (mut ended, mut sequencers) = (Vec::new(), 0);
        for Leaf { id, outcome, .. } in leaves {
            if matches!(outcome, Outcome::Carried { .. }) {
                continue;
            }
            let Some(fee) = self.in_flight.remove(id) else { continue };
            let fee = u128::from(fee);
            self.accounts.in_flight -= fee;
            sequencers += fee - self.pay_rollups(fee, outcome);
            ended.push(*id);
        }
        self.pay_sequencers(height, sequencers);
        self.accounts.released = height;
        Ok(ended)
    }

    /// Pays the rollups' part of a fee, and says how much that was.
    fn pay_rollups(&mut self, fee: u128, outcome: &Outcome) -> u128 {
        let Outcome::Released { legs, .. } = outcome else { return 0 };
        let share = fee * u128::from(self.rollup_share_percent) / 100;
        let each = share.checked_div(legs.len() as u128).unwrap_or(0);
        if each == 0 {
            return 0;
        }
        for leg in legs {
            *self.accounts.rollups.entry(leg.chain_id).or_default() += each;
        }
        each * legs.len() as u128
    }

    fn pay_sequencers(&mut self, height: Height, amount: u128) {
        let n = self.accounts.sequencers.len();
        if n == 0 {
            return;
        }
        let (each, left) = (amount / n as u128, amount % n as u128);
        let first = height.get() % n as u64;
        for (position, revenue) in (0u64..).zip(&mut self.accounts.sequencers) {
            let turn = (position + n as u64 - first) % n as u64;
            *revenue += each + u128::from(u128::from(turn) < left);
        }
    }
}

#[cfg(test)]
mod tests;
