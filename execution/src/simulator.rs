//! A slot: bundles, one after the other, over the states of several rollups.
//!
//! A bundle is judged in this order, and the first thing found is its outcome:
//!
//! 1. the sum of its gas limits is above the limit: dropped, and nothing is executed;
//! 2. a rollup that it names has no view of its state: unavailable, the first such rollup named;
//! 3. its legs, in the order of their chain ids, and their transactions, in order, are executed,
//!    each leg over a journal of its own. The first transaction that is invalid, or under
//!    [`Policy::Execute`](crate::bundle::Policy::Execute) fails, drops the bundle; the first read
//!    that the view can't answer makes it unavailable;
//! 4. all journals are kept.
//!
//! # Invariants
//!
//! 1. Atomicity: after a bundle that was not kept, every rollup's state and digest are what they
//!    were, to the byte.
//! 2. Order: a bundle sees everything that was kept of the bundles before it in the slot, and
//!    nothing else.
//! 3. A bundle's effect is that of its transactions, executed one by one in a block on top of that
//!    state.
//! 4. No state is written to: [`Simulator::finish`] gives the changes, and who holds the state
//!    applies them. A slot that is simulated again from the same states gives the same bytes, and
//!    so does one that goes on from a [`Snapshot`].
//! 5. A bundle ends by gas, which is counted, never by time, which is not.
//! 6. A rollup whose view failed to answer is unavailable for the rest of the slot, so that no
//!    later bundle is simulated as if an earlier one had not been there.
//!
//! A view that fails on one sequencer alone gives another outcome there than elsewhere. Whoever
//! releases may not commit to `unavailable` before the committee agreed on which views are there
//! (`view: None`); a failure in the middle of a slot is a reason to simulate it again.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use fairveil_execution::block::{Block, Hardfork, L1Fees};
//! use fairveil_execution::genesis::parse_genesis;
//! use fairveil_execution::simulator::{Limits, Rollup, Simulator};
//!
//! let genesis = br#"{"alloc": {"0x1000000000000000000000000000000000000001": {"balance": "5"}}}"#;
//! let state = parse_genesis(genesis)?;
//! let block = Block {
//!     number: 1,
//!     timestamp_s: 1_800_000_000,
//!     base_fee: 7,
//!     gas_limit: 30_000_000,
//!     beneficiary: Default::default(),
//!     prevrandao: Default::default(),
//!     hardfork: Hardfork::Isthmus,
//!     l1_fees: L1Fees::Nothing,
//! };
//! let digest = state.digest();
//! let rollup = Rollup { chain_id: 901, view: Some(Arc::new(state)), digest, block };
//! let simulator = Simulator::new(vec![rollup], Limits::default())?;
//! let slot = simulator.finish()?;
//! assert_eq!(slot[0].digest, digest, "nothing happened");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use fairveil_crypto::Digest;
use thiserror::Error;

use crate::block::Block;
use crate::bundle::Bundle;
use crate::changes::Changes;
use crate::evm::{Rules, Stop};
use crate::layer::{Base, Journal, Layer};
use crate::outcome::{Dropped, LegReceipts, Outcome};
use crate::state::StateView;

/// The most gas that the transactions of a bundle may ask for together, unless configured.
pub const BUNDLE_GAS: u64 = 60_000_000;

/// Bounds of a simulation. Committed data: the same on every sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most gas that the transactions of a bundle may ask for together.
    pub bundle_gas: u64,
}

/// A rollup at the beginning of a slot.
pub struct Rollup {
    /// Its chain id.
    pub chain_id: u64,
    /// Its state, if the committee agreed that there is a view of it.
    pub view: Option<Arc<dyn StateView>>,
    /// The digest of that state.
    pub digest: Digest,
    /// The block that it makes of the slot.
    pub block: Block,
}

/// Why there is no simulator of these rollups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SimulatorError {
    /// A chain stands twice.
    #[error("chain {chain_id} stands twice")]
    ChainTwice {
        /// The chain.
        chain_id: u64,
    },
}

/// The state below a rollup's changes can't be read, so it is not known what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the state of chain {chain_id} can't be read")]
pub struct Unavailable {
    /// The rollup.
    pub chain_id: u64,
}

/// A slot that is being simulated.
pub struct Simulator {
    lanes: BTreeMap<u64, Lane>,
    limits: Limits,
}

/// Where a slot stands between two bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    lanes: BTreeMap<u64, Progress>,
}

/// What a slot did to a rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The rollup.
    pub chain_id: u64,
    /// What changed of its state.
    pub changes: Changes,
    /// The digest of its state after the slot.
    pub digest: Digest,
    /// The gas that was used.
    pub gas_used: u64,
}

/// One rollup in the slot.
struct Lane {
    base: Option<Base>,
    digest: Digest,
    rules: Rules,
    progress: Progress,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Progress {
    kept: Layer,
    gas_used: u64,
    is_unreadable: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bundle_gas: BUNDLE_GAS }
    }
}

impl Simulator {
    /// A slot over these rollups.
    pub fn new(rollups: Vec<Rollup>, limits: Limits) -> Result<Self, SimulatorError> {
        let mut lanes = BTreeMap::new();
        for Rollup { chain_id, view, digest, block } in rollups {
            let (base, rules) = (view.map(Base::new), Rules::new(chain_id, block));
            let lane = Lane { base, digest, rules, progress: Progress::default() };
            if lanes.insert(chain_id, lane).is_some() {
                return Err(SimulatorError::ChainTwice { chain_id });
            }
        }
        Ok(Self { lanes, limits })
    }

    /// Simulates the next bundle of the slot, and keeps all that it does or nothing.
    pub fn simulate(&mut self, bundle: &Bundle) -> Outcome {
        let (actual, limit) = (bundle.gas_limit(), self.limits.bundle_gas);
        if actual > limit {
            return Outcome::Dropped(Dropped::Gas { actual, limit });
        }
        let is_available = |chain_id: &u64| self.lanes.get(chain_id).is_some_and(Lane::is_readable);
        let mut chains = bundle.legs().iter().map(|leg| leg.chain_id);
        if let Some(chain_id) = chains.find(|chain_id| !is_available(chain_id)) {
            return Outcome::Unavailable { chain_id };
        }
        match self.execute(bundle) {
            Ok(executed) => self.keep(executed),
            Err(outcome) => outcome,
        }
    }

    /// Where the slot stands.
    pub fn snapshot(&self) -> Snapshot {
        let progress = |(chain_id, lane): (&u64, &Lane)| (*chain_id, lane.progress.clone());
        Snapshot { lanes: self.lanes.iter().map(progress).collect() }
    }

    /// Goes back, or on, to where the slot stood in a simulator of the same rollups. Rollups that
    /// the snapshot does not have begin anew.
    pub fn restore(&mut self, mut snapshot: Snapshot) {
        for (chain_id, lane) in &mut self.lanes {
            lane.progress = snapshot.lanes.remove(chain_id).unwrap_or_default();
        }
    }

    /// What the slot did, per rollup, sorted by chain id.
    pub fn finish(self) -> Result<Vec<Finished>, Unavailable> {
        let finished = self.lanes.into_iter().map(|(chain_id, lane)| {
            let Lane { base, digest, progress, .. } = lane;
            let changes = match base {
                Some(mut base) => progress.kept.net_changes(&mut base),
                None => Ok(Changes::default()),
            };
            let changes = changes.map_err(|_| Unavailable { chain_id })?;
            let (digest, gas_used) = (changes.digest_after(digest), progress.gas_used);
            Ok(Finished { chain_id, changes, digest, gas_used })
        });
        finished.collect()
    }

    /// All legs, each over its own journal; or the outcome, and no journal is left.
    fn execute(&mut self, bundle: &Bundle) -> Result<Vec<(Layer, LegReceipts)>, Outcome> {
        let mut executed = Vec::with_capacity(bundle.legs().len());
        for (leg, index) in bundle.legs().iter().zip(0u16..) {
            let chain_id = leg.chain_id;
            let unavailable = Outcome::Unavailable { chain_id };
            let Some(lane) = self.lanes.get_mut(&chain_id) else { return Err(unavailable) };
            let Some(base) = &mut lane.base else { return Err(unavailable) };
            let journal = Journal::new(base, &lane.progress.kept);
            match lane.rules.execute(journal, leg, bundle.policy()) {
                Ok((layer, receipts)) => executed.push((layer, LegReceipts { chain_id, receipts })),
                Err(Stop::Invalid { tx, why }) => {
                    return Err(Outcome::Dropped(Dropped::Invalid { leg: index, tx, why }));
                }
                Err(Stop::Failed { tx, why }) => {
                    return Err(Outcome::Dropped(Dropped::Failed { leg: index, tx, why }));
                }
                Err(Stop::Unavailable) => {
                    lane.progress.is_unreadable = true;
                    return Err(unavailable);
                }
            }
        }
        Ok(executed)
    }

    fn keep(&mut self, executed: Vec<(Layer, LegReceipts)>) -> Outcome {
        let mut legs = Vec::with_capacity(executed.len());
        for (layer, leg) in executed {
            if let Some(lane) = self.lanes.get_mut(&leg.chain_id) {
                lane.progress.kept.absorb(layer);
                let gas: u64 = leg.receipts.iter().map(|receipt| receipt.gas_used).sum();
                lane.progress.gas_used = lane.progress.gas_used.saturating_add(gas);
            }
            legs.push(leg);
        }
        Outcome::Kept { legs }
    }
}

impl Lane {
    fn is_readable(&self) -> bool {
        self.base.is_some() && !self.progress.is_unreadable
    }
}
