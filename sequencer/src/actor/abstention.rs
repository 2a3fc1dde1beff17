//! What a restored sequencer does with final blocks while it abstains ([`crate::abstention`]).

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_consensus::Block;
use fairveil_crypto::{BundleId, Height, certificate::OrderCertificate, encoding};
use fairveil_mempool::{Place, ReceiptBody, pool::LogEntry};
use fairveil_ordering::VerifiedEvidence;
use rand_core_10::CryptoRng;
use tracing::info;

use super::{Actor, StopReason, logs::log_key};
use crate::{
    abstention::{OtherInstance, Shown, Verdict},
    handle::decoded,
    outbox::Effect,
    store::{Table, Write},
};

const MAX_ENTRY_BYTES: usize = 4_096;

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// Whether nothing may be signed.
    pub(crate) fn abstains(&self) -> bool {
        self.abstention.is_some()
    }

    /// A block is final, and applied: what it says of an abstention, and of the own log from the
    /// length `before` on.
    pub(super) fn abstains_at(
        &mut self,
        block: &Block,
        evidence: &VerifiedEvidence,
        certificate: &OrderCertificate,
        before: u64,
    ) -> Result<(), StopReason> {
        let Some(mut abstention) = self.abstention else { return Ok(()) };
        let own = self.config.index;
        let fragments = evidence.fragments();
        let fragment = fragments.iter().find(|fragment| fragment.head.sequencer == own);
        let full = self.chain.ordering().order().is_full(own);
        let shown = Shown { certificate, own: fragment, intake: self.chain.intake(), full };
        let verdict = abstention.finalized(own, &shown)?;
        if let Some(fragment) = fragment {
            let applied = self.own_committed().saturating_sub(before);
            let applied = usize::try_from(applied).unwrap_or(usize::MAX).min(fragment.ids.len());
            self.take_over(block, before, &fragment.ids[..applied])?;
        }
        match verdict {
            Verdict::Goes => {}
            Verdict::Horizon => {
                info!(height = block.header().height.get(), "restored: the horizon is final");
                self.outbox.write(abstention.write());
            }
            Verdict::Later => self.outbox.write(abstention.write()),
            Verdict::Over => {
                self.outbox.write(abstention.write());
                self.outbox.then(Effect::AbstentionOver);
            }
        }
        self.abstention = Some(abstention);
        Ok(())
    }

    /// Takes entries of the own log, which the original signed, from a block.
    fn take_over(
        &mut self,
        block: &Block,
        before: u64,
        ids: &[BundleId],
    ) -> Result<(), StopReason> {
        let header = block.header();
        for (position, id) in (before..).zip(ids) {
            let key = log_key(self.log.name().epoch.get(), position);
            if let Some(bytes) = self.store.get(Table::Log, &key)? {
                let stored: LogEntry = decoded(Table::Log, &bytes, MAX_ENTRY_BYTES)?;
                if stored.id != *id {
                    return Err(OtherInstance::OtherLog { height: header.height, position }.into());
                }
                continue;
            }
            let entry = self.logged_by_the_original(header.height, header.time_ms, position, *id);
            self.outbox.write(Write::put(Table::Log, key, encoding::encode(&entry)));
        }
        Ok(())
    }

    fn logged_by_the_original(
        &self,
        height: Height,
        time_ms: u64,
        position: u64,
        id: BundleId,
    ) -> LogEntry {
        let receipt = ReceiptBody {
            network_id: self.config.network_id,
            epoch: self.config.committee.epoch(),
            id,
            place: Place::Position(position),
            height,
            time_ms,
        };
        LogEntry { position, id, receipt }
    }
}
