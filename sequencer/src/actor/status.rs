//! What the task tells about itself.

use std::sync::PoisonError;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;
use commonware_runtime::{Clock, Metrics, Spawner};
use fairveil_crypto::BundleId;
use rand_core_10::CryptoRng;

use super::Actor;
use crate::{abstention::Abstention, handle::Overview, record::BundleState};

impl<E, S> Actor<E, S>
where
    E: Clock + CryptoRng + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
{
    /// Where a bundle stands that has no final place in the database.
    pub(super) fn pending_state(&self, id: &BundleId) -> BundleState {
        if let Some(place) = self.places.get(id) {
            return BundleState::of(place.clone());
        }
        if self.log.contains(id) {
            return BundleState::Logged;
        }
        match self.pool.bundle(id) {
            Some(_) => BundleState::Held,
            None => BundleState::Unknown,
        }
    }

    /// Shows the rest of the process where this sequencer stands.
    pub(crate) fn update_overview(&mut self) {
        let tip = self.chain.tip();
        let pool = self.pool.stats();
        let dropped = self.openings.opener.dropped();
        let mut counters: Vec<_> =
            self.counters.iter().map(|(name, value)| (*name, *value)).collect();
        counters.extend([
            ("shares_foreign", dropped.foreign),
            ("shares_early", dropped.early),
            ("shares_late", dropped.late),
            ("shares_repeated", dropped.repeated),
            ("share_requests_refused", dropped.unanswered),
            ("false_hints", dropped.false_hints),
            ("silent_parts", dropped.silent_parts),
            ("relays_refused", pool.refused_from_peers),
            ("fetches_refused", pool.unserved),
        ]);
        let overview = Overview {
            epoch: self.config.committee.epoch().get(),
            height: tip.height.get(),
            final_height: self.progress.finalized().get().max(tip.height.get()),
            final_view: self.progress.final_view().get(),
            time_ms: tip.time_ms,
            block_interval_ms: self.pace.recent_ms(),
            loaded_interval_ms: self.pace.loaded_ms(),
            released: self.openings.next().get().saturating_sub(1),
            certified: self.chain.released().get(),
            pool_bundles: pool.admitted,
            pool_bytes: pool.admitted_bytes,
            pool_held: pool.held as u64,
            pool_duty: pool.duty as u64,
            anchors: self.chain.anchors().values().copied().collect(),
            log_length: pool.log_length,
            convicted: self.chain.convicted().len() as u64,
            abstention: self.abstention.as_ref().map(Abstention::state),
            oldest: self.retention.oldest().get(),
            attack: self.adversary.report(),
            counters,
        };
        *self.overview.lock().unwrap_or_else(PoisonError::into_inner) = overview;
    }
}
