//! After a start: what was under way when the process ended.

use std::collections::BTreeMap;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_crypto::{
    BundleId, Height,
    certificate::OrderCertificate,
    envelope::{SealedBundle, VerifiedBundle},
};
use fairveil_mempool::pool::{Input as PoolInput, Output as PoolOutput, StoredBundle};
use fairveil_release::opener::{MAX_SHARE_MESSAGE_BYTES, OwnShare};
use rand_core_10::CryptoRng;

use super::{Actor, StopReason};
use crate::{
    handle::{MAX_CERTIFICATE_BYTES, decoded},
    record::height_key,
    store::Table,
};

/// Longest stored bundle, in bytes.
const MAX_BUNDLE_BYTES: usize = 1 << 20;

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// Takes up what was under way when the process ended.
    pub(crate) fn resume(&mut self, outputs: Vec<PoolOutput>) -> Result<(), StopReason> {
        self.share_progress();
        self.show_own_log();
        self.keep_own_shares()?;
        let mut height = self.openings.next();
        while height <= self.chain.tip().height {
            if let Some(bytes) = self.store.get(Table::Orders, &height_key(height))? {
                let certificate: OrderCertificate =
                    decoded(Table::Orders, &bytes, MAX_CERTIFICATE_BYTES)?;
                let order = self.verified(&certificate)?;
                let held: BTreeMap<_, _> = order
                    .to_open()
                    .iter()
                    .filter_map(|id| Some((*id, self.stored_bundle(id).ok()??)))
                    .collect();
                let now = self.now_ms();
                let batch = self.openings.order(now, order, |id| held.get(id).cloned());
                if let Some(batch) = batch {
                    self.open_batch(batch)?;
                }
            }
            height = height.next();
        }
        self.carry_out(outputs)?;
        let ids = self.openings.missing();
        if !ids.is_empty() {
            self.admit(PoolInput::Needed { ids })?;
        }
        self.resume_feed()?;
        self.resume_renewal()?;
        self.end_if_released();
        self.update_overview();
        Ok(())
    }

    /// Own shares of recent heights answer the requests of members that are behind. Those of
    /// earlier epochs are no answer: what those ordered is certified.
    fn keep_own_shares(&mut self) -> Result<(), StopReason> {
        let from = self.chain.tip().height.saturating_sub(self.config.kept_share_heights);
        let from = from.max(self.chain.parameters().id.start.next());
        for (key, bytes) in self.store.range(Table::Shares, &height_key(from), usize::MAX)? {
            let share = decoded(Table::Shares, &bytes, MAX_SHARE_MESSAGE_BYTES)?;
            let height = key.try_into().map(u64::from_be_bytes).unwrap_or(0);
            let (committee, own) = (&self.config.committee, self.config.index);
            if let Some(share) = OwnShare::stored(Height::new(height), share, committee, own) {
                self.openings.opener.keep(share);
            }
        }
        Ok(())
    }

    fn stored_bundle(&self, id: &BundleId) -> Result<Option<VerifiedBundle>, StopReason> {
        let Some(bytes) = self.store.get(Table::Bundles, id.as_bytes())? else { return Ok(None) };
        let stored: StoredBundle = decoded(Table::Bundles, &bytes, MAX_BUNDLE_BYTES)?;
        let damaged = |error: &dyn std::fmt::Display| {
            StopReason::Inconsistent(format!("stored bundle {id}: {error}"))
        };
        let sealed = SealedBundle::decode(&stored.sealed).map_err(|error| damaged(&error))?;
        let verified = sealed
            .verify(&self.config.network_id, self.config.committee.key())
            .map_err(|error| damaged(&error))?;
        Ok(Some(verified))
    }
}
