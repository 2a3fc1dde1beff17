//! What payers have left: deposits, and the fees that bundles cost at their final place.
//!
//! ```text
//! fee              = fee_per_byte * plaintext bytes of the bundle's size class
//! genesis digest   = H(CHAIN-DEPOSITS, fee_per_byte(8), payer 1 ‖ deposit(16), ...)  ascending
//! after a block    = H(CHAIN-DEBITS, digest before, payer ‖ balance(16), ...)        ascending
//! ```
//!
//! The second line is taken over the payers whom the block charged, with the balance that each has
//! after it; a block that charged nobody leaves the digest as it is. So a block costs what it
//! charged, not what is deposited. All numbers are big-endian.
//!
//! # Invariants
//!
//! 1. A payer is charged only what it has: `debit` takes the whole fee or nothing.
//! 2. Conservation: the sum of all balances is the sum of the deposits minus every fee that was
//!    debited ([`Balances::left`], [`Balances::charged`]).
//! 3. The digest is a function of deposits, fee and the debits of each block, whatever the order
//!    in which clones were made or restored.
//! 4. A clone is cheap: deposits are shared, and so are the balances that changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_crypto::envelope::{Payer, SizeClass};
use fairveil_crypto::{BundleId, Digest};
use serde::{Deserialize, Serialize};

use crate::layers::Layers;

/// The largest fee per byte: the fee of the largest class stays below 2^63.
pub const MAX_FEE_PER_BYTE: u64 = (i64::MAX as u64) / SizeClass::MAX.plaintext_bytes() as u64;

/// What bundles cost on a network, and who deposited how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounting {
    /// Charged per byte of a bundle's padded plaintext.
    pub fee_per_byte: u64,
    /// What each payer has before the first block.
    pub deposits: Arc<BTreeMap<Payer, u128>>,
}

/// Why a network can't charge by these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountingError {
    /// The fee is zero, or a fee would not be a number below 2^63.
    #[error("fee_per_byte is {actual}, it must be 1 to {}", MAX_FEE_PER_BYTE)]
    Fee {
        /// The fee.
        actual: u64,
    },
    /// All deposits together are no number below 2^128.
    #[error("all deposits together are 2^128 or more")]
    Sum,
}

/// What one bundle paid at its final place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The bundle.
    pub id: BundleId,
    /// Who paid.
    pub payer: Payer,
    /// What was paid.
    pub fee: u64,
    /// What the payer has left after it.
    pub balance: u128,
}

/// The balances of all payers.
#[derive(Clone, Debug)]
pub struct Balances {
    accounting: Accounting,
    /// The balances of the payers who were charged.
    changed: Layers<Payer, u128>,
    charged: u128,
    deposited: u128,
    digest: Digest,
}

/// What is stored of the balances besides the deposits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredBalances {
    changed: Vec<(Payer, u128)>,
    digest: Digest,
}

/// Stored balances that no debits of these deposits lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BalancesError {
    /// Payers out of order or twice.
    #[error("payers are not strictly ascending")]
    Order,
    /// A balance that is not below the deposit.
    #[error("payer {payer} has {balance} left of {deposit}")]
    Balance {
        /// The payer.
        payer: Payer,
        /// The stored balance.
        balance: u128,
        /// What was deposited.
        deposit: u128,
    },
}

impl Accounting {
    /// What a bundle of this class costs.
    #[must_use]
    pub const fn fee(&self, class: SizeClass) -> u64 {
        self.fee_per_byte.saturating_mul(class.plaintext_bytes() as u64)
    }
}

impl Balances {
    /// Everybody has what was deposited.
    ///
    /// # Errors
    ///
    /// If a number is beyond its limits.
    pub fn new(accounting: Accounting) -> Result<Self, AccountingError> {
        let actual = accounting.fee_per_byte;
        if actual == 0 || actual > MAX_FEE_PER_BYTE {
            return Err(AccountingError::Fee { actual });
        }
        let add = |sum: u128, deposit: &u128| sum.checked_add(*deposit);
        let deposited =
            accounting.deposits.values().try_fold(0, add).ok_or(AccountingError::Sum)?;
        let mut digest = Hasher::new(Tag::ChainDeposits);
        digest.item(&actual.to_be_bytes());
        for (payer, deposit) in accounting.deposits.iter() {
            digest.item(&entry(payer, *deposit));
        }
        let (changed, charged) = (Layers::new(), 0);
        Ok(Self { accounting, changed, charged, deposited, digest: digest.finish() })
    }

    /// What bundles cost, and who deposited how much.
    #[must_use]
    pub const fn accounting(&self) -> &Accounting {
        &self.accounting
    }

    /// What a payer has.
    #[must_use]
    pub fn balance(&self, payer: &Payer) -> u128 {
        let deposit = || self.accounting.deposits.get(payer).copied();
        self.changed.get(payer).copied().or_else(deposit).unwrap_or(0)
    }

    /// The balances of the payers who were ever charged, ascending.
    #[must_use]
    pub fn changed(&self) -> Vec<(Payer, u128)> {
        self.changed.entries()
    }

    /// All deposits together.
    #[must_use]
    pub const fn deposited(&self) -> u128 {
        self.deposited
    }

    /// Every fee that was debited, together.
    #[must_use]
    pub const fn charged(&self) -> u128 {
        self.charged
    }

    /// All balances together.
    #[must_use]
    pub const fn left(&self) -> u128 {
        self.deposited - self.charged
    }

    /// Commits to fee, deposits and all debits so far.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The debits of one block, to be filled in the order in which it emits.
    pub(crate) fn block(&self) -> Debits<'_> {
        Debits { balances: self, charges: Vec::new(), after: BTreeMap::new() }
    }

    /// The balances after the debits of one block.
    pub(crate) fn apply(&mut self, charges: &[Charge]) {
        if charges.is_empty() {
            return;
        }
        let after: BTreeMap<Payer, u128> =
            charges.iter().map(|charge| (charge.payer, charge.balance)).collect();
        let mut digest = Hasher::new(Tag::ChainDebits);
        digest.item(self.digest.as_bytes());
        for (payer, balance) in &after {
            digest.item(&entry(payer, *balance));
        }
        self.digest = digest.finish();
        self.charged += charges.iter().map(|charge| u128::from(charge.fee)).sum::<u128>();
        self.changed.extend(after);
    }

    pub(crate) fn store(&self) -> StoredBalances {
        StoredBalances { changed: self.changed(), digest: self.digest }
    }

    pub(crate) fn restore(&mut self, stored: StoredBalances) -> Result<(), BalancesError> {
        let StoredBalances { changed, digest } = stored;
        if !changed.is_sorted_by(|(one, _), (other, _)| one < other) {
            return Err(BalancesError::Order);
        }
        let mut charged = 0;
        for (payer, balance) in &changed {
            let (payer, balance) = (*payer, *balance);
            let deposit = self.accounting.deposits.get(&payer).copied().unwrap_or(0);
            if balance >= deposit {
                return Err(BalancesError::Balance { payer, balance, deposit });
            }
            charged += deposit - balance;
        }
        self.changed = Layers::new();
        self.changed.extend(changed);
        (self.charged, self.digest) = (charged, digest);
        Ok(())
    }
}

/// What one block debits, before it is applied.
pub(crate) struct Debits<'a> {
    balances: &'a Balances,
    charges: Vec<Charge>,
    after: BTreeMap<Payer, u128>,
}

impl Debits<'_> {
    /// Charges the payer for a bundle. None, and nothing is charged, if it does not have the fee.
    pub(crate) fn debit(&mut self, id: BundleId, payer: Payer, class: SizeClass) -> Option<Charge> {
        let fee = self.balances.accounting.fee(class);
        let known = self.after.get(&payer).copied();
        let before = known.unwrap_or_else(|| self.balances.balance(&payer));
        let balance = before.checked_sub(fee.into())?;
        self.after.insert(payer, balance);
        let charge = Charge { id, payer, fee, balance };
        self.charges.push(charge);
        Some(charge)
    }

    /// All charges, in the order in which they were made.
    pub(crate) fn charges(self) -> Vec<Charge> {
        self.charges
    }
}

fn entry(payer: &Payer, amount: u128) -> [u8; 36] {
    let mut entry = [0; 36];
    entry[..20].copy_from_slice(payer.as_bytes());
    entry[20..].copy_from_slice(&amount.to_be_bytes());
    entry
}

const _: () = assert!(MAX_FEE_PER_BYTE > 1 << 40);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn payer(number: u8) -> Payer {
        Payer::from_bytes([number; 20])
    }

    fn id(number: u64) -> BundleId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        BundleId::from_bytes(bytes)
    }

    fn balances(deposits: &[(u8, u128)]) -> Balances {
        let deposits = deposits.iter().map(|(number, amount)| (payer(*number), *amount)).collect();
        Balances::new(Accounting { fee_per_byte: 2, deposits: Arc::new(deposits) }).unwrap()
    }

    /// A small generator: the tests need many cases, not good randomness.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        *state >> 33
    }

    #[test]
    fn invariant_1_a_fee_is_paid_whole_or_not_at_all() {
        let mut state = balances(&[(1, 2_500)]);
        let mut debits = state.block();
        let first = debits.debit(id(1), payer(1), SizeClass::MIN).unwrap();
        assert_eq!((first.fee, first.balance), (1_024, 1_476));
        assert_eq!(debits.debit(id(2), payer(1), SizeClass::new(1).unwrap()), None);
        assert_eq!(debits.debit(id(3), payer(2), SizeClass::MIN), None);
        let last = debits.debit(id(4), payer(1), SizeClass::MIN).unwrap();
        assert_eq!(last.balance, 452);
        let charges = debits.charges();
        state.apply(&charges);
        assert_eq!((state.balance(&payer(1)), state.charged(), state.left()), (452, 2_048, 452));
    }

    #[test]
    fn invariants_2_to_4_hold_over_random_blocks() {
        for seed in 0..10 {
            let mut random = seed;
            let deposits: Vec<_> = (0..20).map(|k| (k, u128::from(next(&mut random)))).collect();
            let mut state = balances(&deposits);
            let (mut naive, mut restored) =
                (BTreeMap::from_iter(deposits.clone()), balances(&deposits));
            for block in 0..200u64 {
                let before = state.clone();
                let mut debits = state.block();
                for bundle in 0..next(&mut random) % 6 {
                    let number = (next(&mut random) % 25) as u8;
                    let class = SizeClass::new(next(&mut random) % 8).unwrap();
                    let fee = u128::from(before.accounting().fee(class));
                    let has = naive.get(&number).copied().unwrap_or(0);
                    let charge = debits.debit(id(block * 10 + bundle), payer(number), class);
                    assert_eq!(charge.is_some(), has >= fee);
                    if charge.is_some() {
                        naive.insert(number, has - fee);
                    }
                }
                let charges = debits.charges();
                state.apply(&charges);
                for (number, balance) in &naive {
                    assert_eq!(state.balance(&payer(*number)), *balance);
                }
                assert_eq!(state.left(), naive.values().sum::<u128>());
                assert_eq!(state.left() + state.charged(), state.deposited());
                assert_eq!(state.digest() == before.digest(), charges.is_empty());
                restored.restore(before.store()).unwrap();
                restored.apply(&charges);
                assert_eq!(restored.digest(), state.digest());
                assert_eq!(restored.store(), state.store());
                assert_eq!(restored.charged(), state.charged());
            }
        }
    }

    #[test]
    fn genesis_digests_differ_in_fee_and_deposits() {
        let mut digests = vec![balances(&[]), balances(&[(1, 5)]), balances(&[(1, 6)])];
        let deposits = Arc::clone(&digests[1].accounting.deposits);
        digests.push(Balances::new(Accounting { fee_per_byte: 3, deposits }).unwrap());
        for (position, one) in digests.iter().enumerate() {
            assert!(digests[..position].iter().all(|other| other.digest() != one.digest()));
        }
    }

    #[test]
    fn numbers_beyond_their_limits_are_refused() {
        let of = |fee_per_byte, deposits: &[(u8, u128)]| {
            let deposits = deposits.iter().map(|(number, amount)| (payer(*number), *amount));
            let deposits = Arc::new(deposits.collect());
            Balances::new(Accounting { fee_per_byte, deposits }).map(|balances| balances.left())
        };
        assert_eq!(of(0, &[]), Err(AccountingError::Fee { actual: 0 }));
        let actual = MAX_FEE_PER_BYTE + 1;
        assert_eq!(of(actual, &[]), Err(AccountingError::Fee { actual }));
        assert_eq!(of(1, &[(1, u128::MAX), (2, 1)]), Err(AccountingError::Sum));
        assert_eq!(of(MAX_FEE_PER_BYTE, &[(1, u128::MAX)]), Ok(u128::MAX));
    }

    #[test]
    fn stored_balances_are_below_their_deposits_and_in_order() {
        let mut state = balances(&[(1, 5), (2, 5)]);
        let stored = |changed: &[(u8, u128)]| StoredBalances {
            changed: changed.iter().map(|(number, amount)| (payer(*number), *amount)).collect(),
            digest: Digest::from_bytes([0; 32]),
        };
        assert_eq!(state.restore(stored(&[(2, 1), (1, 1)])), Err(BalancesError::Order));
        for (number, balance, deposit) in [(1, 5, 5), (3, 0, 0)] {
            let error = BalancesError::Balance { payer: payer(number), balance, deposit };
            assert_eq!(state.restore(stored(&[(number, balance)])), Err(error));
        }
        state.restore(stored(&[(1, 0), (2, 4)])).unwrap();
        assert_eq!((state.charged(), state.left()), (6, 4));
    }
}
