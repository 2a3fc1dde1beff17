//! What becomes of an id at the place where it is emitted, and what it pays there.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairveil_crypto::Height;
use fairveil_crypto::certificate::{Emission, Emitted, Placement};
use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_ordering::{Output, Status};

use super::{ChainState, NONCE_HEIGHTS, Pair};
use crate::balances::{Balances, Charge, Debits};

impl ChainState {
    /// The placement of each emitted id, and what the open ones paid.
    pub(super) fn place(&mut self, height: Height, output: &Output) -> (Emission, Vec<Charge>) {
        let mut history = Hasher::new(Tag::ChainHistory);
        history.item(self.history.as_bytes());
        let mut consumed: BTreeMap<Pair, Height> = BTreeMap::new();
        let mut cohorts = Vec::with_capacity(output.emission.cohorts.len());
        let bundles = Arc::make_mut(&mut self.bundles);
        let mut debits = self.balances.as_ref().map(Balances::block);
        for cohort in &output.emission.cohorts {
            let mut placed = Vec::with_capacity(cohort.len());
            for Emitted { id, placement } in cohort {
                let facts = bundles.remove(id).expect("an emitted id reached T before");
                let pair = (facts.payer, facts.payer_nonce);
                let used = consumed.contains_key(&pair) || self.nonces.contains(&pair, height);
                let placement = match placement {
                    Placement::Open if used => Placement::NonceUsed,
                    Placement::Open => debits.as_mut().map_or(Placement::Open, |debits| {
                        let charge = debits.debit(*id, facts.payer, facts.class);
                        charge.map_or(Placement::Unfunded, |_| Placement::Open)
                    }),
                    by_window => *by_window,
                };
                if !used {
                    consumed.insert(pair, height.saturating_add(NONCE_HEIGHTS));
                }
                let nonce = facts.payer_nonce.to_be_bytes();
                history.item(&[&id.as_bytes()[..], facts.payer.as_bytes(), &nonce].concat());
                placed.push(Emitted { id: *id, placement });
            }
            cohorts.push(placed);
        }
        let charges = debits.map(Debits::charges).unwrap_or_default();
        if let Some(balances) = &mut self.balances {
            balances.apply(&charges);
        }
        bundles.retain(|id, facts| facts.expires_at >= height || is_live(self.ordering.status(id)));
        self.history = history.finish();
        self.nonces.extend(consumed.into_iter().collect(), height);
        if !cohorts.is_empty() {
            Arc::make_mut(&mut self.emitting).insert(height);
        }
        (Emission { height, cohorts }, charges)
    }
}

/// Whether ordering may still emit the id.
fn is_live(status: Status) -> bool {
    matches!(status, Status::Logged { .. } | Status::Proposed { .. })
}
