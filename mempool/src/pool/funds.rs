//! Whether payers can pay for what is held of them here.
//!
//! The pool is told what was deposited once, and with each final block the balances that it
//! changed: never all of them. A payer is admitted while its balance after the last final block
//! covers the fees of all of its bundles that are held, the new one included. That is a local limit
//! like the others: the order decides again, at a bundle's place, whether its payer can pay.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairveil_crypto::envelope::{Payer, SizeClass};

use crate::rejection::{Rejection, RejectionCode, Value};

/// What bundles cost on a network, and who deposited how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Funds {
    /// Charged per byte of a bundle's padded plaintext.
    pub fee_per_byte: u64,
    /// What each payer has before the first block.
    pub deposits: Arc<BTreeMap<Payer, u128>>,
}

/// The balances after the last final block.
#[derive(Debug)]
pub(crate) struct Balances {
    funds: Funds,
    /// Of the payers who were charged.
    changed: BTreeMap<Payer, u128>,
}

impl Balances {
    pub(crate) const fn new(funds: Funds) -> Self {
        Self { funds, changed: BTreeMap::new() }
    }

    /// Takes over the balances that changed.
    pub(crate) fn change(&mut self, changed: &[(Payer, u128)]) {
        self.changed.extend(changed.iter().copied());
    }

    /// Whether the payer can pay for a bundle of this class beside `held_bytes` of plaintext.
    pub(crate) fn check(
        &self,
        payer: &Payer,
        class: SizeClass,
        held_bytes: u64,
    ) -> Result<(), Rejection> {
        let cost =
            |bytes: u64| u128::from(bytes).saturating_mul(u128::from(self.funds.fee_per_byte));
        let deposit = self.funds.deposits.get(payer);
        let balance = self.changed.get(payer).or(deposit).copied().unwrap_or(0);
        let (free, fee) =
            (balance.saturating_sub(cost(held_bytes)), cost(class.plaintext_bytes() as u64));
        if free >= fee {
            return Ok(());
        }
        Err(Rejection {
            code: RejectionCode::Unfunded,
            actual: Value::amount(free),
            limit: Value::amount(fee),
        })
    }
}
