//! Taking over another sequencer's certified release.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairveil_crypto::{BundleId, Digest};
use fairveil_execution::outcome::LegReceipts;
use fairveil_execution::simulator::Finished;

use super::{ChainError, ReleaseChain, Released, ended};
use crate::registry::Registry;
use crate::release::Release;
use crate::states::{RollupStates, Stop};
use crate::tree::Outcome;
use crate::validity::ValidBundle;

type Simulated = (Vec<Finished>, BTreeMap<BundleId, Vec<LegReceipts>>);

impl ReleaseChain {
    /// Takes over another sequencer's release of the next height, if it is the certified one. If it
    /// is refused, nothing is changed.
    pub fn adopt(&mut self, release: Release, certified: &Digest) -> Result<Released, ChainError> {
        self.check_header(&release, certified)?;
        let turn = self.turn()?;
        let registry = Arc::clone(turn.schedule.registry());
        let tree = release.check(&registry)?;
        let ended = ended(&release);
        for leaf in release.leaves.iter().take(ended.len()) {
            let waits = self.waiting.get(&leaf.position).is_some_and(|one| one.id == leaf.id);
            if !waits {
                return Err(ChainError::NotWaiting { id: leaf.id });
            }
        }
        let forged = release.waiting.iter().find(|one| !one.bundle.is_genuine(&registry));
        if let Some(forged) = forged {
            return Err(ChainError::Forged { id: forged.id });
        }
        let views = turn.views(release.header.time_ms);
        for (view, expected) in release.views.iter().zip(views) {
            // Both are of the followed rollups, ascending: the release was checked.
            if view.anchor.is_some() && *view != expected {
                return Err(ChainError::View { chain_id: view.chain_id });
            }
        }
        let (finished, receipts) = simulate_again(&registry, &turn.states, &release)?;
        let (actual, expected) = (turn.states.digest_after(&finished), release.header.state_digest);
        if actual != expected {
            return Err(ChainError::States { actual, expected });
        }
        let released = turn.released(release, tree, finished, receipts, BTreeSet::new());
        self.keep(&released)?;
        Ok(released)
    }

    fn check_header(&self, release: &Release, certified: &Digest) -> Result<(), ChainError> {
        let header = &release.header;
        self.check_next(header.height)?;
        let (actual, expected) = (header.network_id, self.network_id);
        if actual != expected {
            return Err(ChainError::Network { actual, expected });
        }
        let (actual, expected) = (header.previous, self.previous);
        if actual != expected {
            return Err(ChainError::Previous { actual, expected });
        }
        let (actual, expected) = (header.root(), *certified);
        if actual != expected {
            return Err(ChainError::Root { actual, expected });
        }
        match (header.slot, self.last_slot) {
            (Some(actual), Some(last)) if actual <= last => Err(ChainError::Slot { actual, last }),
            _ => Ok(()),
        }
    }
}

/// What the released bundles do to these states; views are not read again.
fn simulate_again(
    registry: &Registry,
    states: &RollupStates,
    release: &Release,
) -> Result<Simulated, ChainError> {
    let unreadable = |chain_id| ChainError::Unreadable { chain_id };
    let simulation = states.simulation(registry, BTreeMap::new()).map_err(unreadable)?;
    let Some(mut simulation) = simulation.filter(|_| release.header.slot.is_some()) else {
        return Ok(Simulated::default());
    };
    // The leaves of a rollup are in the order of its batch: the release was checked.
    let batches = release.batches.iter();
    let mut batches: BTreeMap<u64, _> =
        batches.map(|batch| (batch.chain_id, batch.bundles())).collect();
    let mut receipts = BTreeMap::new();
    for leaf in &release.leaves {
        let Outcome::Released { policy, legs: released } = &leaf.outcome else { continue };
        let id = leaf.id;
        let (mut legs, mut blocks) = (Vec::new(), Vec::new());
        for leg in released {
            let next = batches.get_mut(&leg.chain_id).and_then(Iterator::next);
            let transactions = next.and_then(|(block, range)| block.leg(range));
            legs.push((leg.chain_id, transactions.unwrap_or_default().to_vec()));
            blocks.push(leg.block);
        }
        let bundle = ValidBundle::judge(registry, *policy, legs).map_err(Stop::Failed);
        let simulated = bundle.and_then(|bundle| simulation.simulate(&bundle, &blocks));
        let simulated = simulated.map_err(|stop| match stop {
            Stop::Failed(failed) => ChainError::Dropped { id, failed },
            Stop::Unreadable(chain_id) => unreadable(chain_id),
        })?;
        if !simulated.is_empty() {
            receipts.insert(id, simulated);
        }
    }
    let finished = simulation.finish();
    let finished = finished.map_err(unreadable)?;
    Ok((finished, receipts))
}
