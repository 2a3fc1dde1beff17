//! What bundles pay when they get their place, and to whom it goes when they end.

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_consensus::state::BlockOutput;
use fairveil_crypto::{Height, envelope::Payer};
use fairveil_release::{ledger::LedgerError, tree::Leaf};
use rand_core_10::CryptoRng;

use super::{Actor, StopReason};
use crate::{
    handle::Balance,
    ledger_store::{charged_writes, paid_writes},
};

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// A block is final, and the chain's state stands after it.
    pub(super) fn charge(
        &mut self,
        height: Height,
        output: &BlockOutput,
    ) -> Result<(), StopReason> {
        let (Some(ledger), Some(balances)) = (&mut self.ledger, self.chain.balances()) else {
            return Ok(());
        };
        let charges: Vec<_> = output.charges.iter().map(|charge| (charge.id, charge.fee)).collect();
        ledger.ordered(height, &charges, balances.left()).map_err(inconsistent)?;
        for write in charged_writes(ledger, &charges) {
            self.outbox.write(write);
        }
        Ok(())
    }

    /// A height is released.
    pub(super) fn pay_out(&mut self, height: Height, leaves: &[Leaf]) -> Result<(), StopReason> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        let ended = ledger.released(height, leaves).map_err(inconsistent)?;
        for write in paid_writes(ledger, &ended) {
            self.outbox.write(write);
        }
        Ok(())
    }

    /// What a payer has after the last final block, where bundles are charged.
    pub(super) fn balance(&self, payer: &Payer) -> Option<Balance> {
        let balances = self.chain.balances()?;
        let (balance, height) = (balances.balance(payer), self.chain.tip().height);
        Some(Balance { balance, fee_per_byte: balances.accounting().fee_per_byte, height })
    }
}

fn inconsistent(error: LedgerError) -> StopReason {
    StopReason::Inconsistent(error.to_string())
}
