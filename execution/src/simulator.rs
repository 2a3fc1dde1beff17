//! A slot: bundles, one after the other, over the states of several rollups. A rollup may make
//! several blocks in it; [`Simulator::enter`] goes on to the next.
//!
//! A bundle is judged in this order, and the first thing found is its outcome:
//!
//! 1. the sum of its gas limits is above the limit: dropped, and nothing is executed;
//! 2. a rollup that it names has no view of its state: unavailable, the first such rollup named;
//! 3. its legs, in the order of their chain ids, and their transactions, in order, are executed,
//!    each leg over its rollup's journal. The first transaction that is invalid, or under
//!    [`Policy::Execute`](crate::bundle::Policy::Execute) fails, drops the bundle; the first read
//!    that the view can't answer makes it unavailable;
//! 4. what all journals hold of it is kept.
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
use std::collections::btree_map::Entry;
use std::sync::Arc;

use fairveil_crypto::Digest;
use thiserror::Error;

use crate::block::Block;
use crate::bundle::Bundle;
use crate::changes::Changes;
use crate::evm::{Machine, Rules, Stop};
use crate::layer::{Journal, Layer};
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
    /// The first block that it makes in the slot.
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
    digest: Digest,
    rules: Rules,
    /// None without a view, and while a run has it.
    journal: Option<Journal>,
    gas_used: u64,
    is_unreadable: bool,
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
            let (rules, journal) = (Rules::new(chain_id, block), view.map(Journal::new));
            let lane = Lane { digest, rules, journal, gas_used: 0, is_unreadable: false };
            if lanes.insert(chain_id, lane).is_some() {
                return Err(SimulatorError::ChainTwice { chain_id });
            }
        }
        Ok(Self { lanes, limits })
    }

    /// Goes on to a later block of a rollup: the bundles that come are executed in it. What was
    /// kept is the state that it finds.
    pub fn enter(&mut self, chain_id: u64, block: Block) {
        if let Some(lane) = self.lanes.get_mut(&chain_id) {
            lane.rules.enter(block);
        }
    }

    /// Simulates the next bundle of the slot, and keeps all that it does or nothing.
    pub fn simulate(&mut self, bundle: &Bundle) -> Outcome {
        self.run(|run| run.simulate(bundle))
    }

    /// The same for the next bundles of the slot, one after the other. Faster than one at a time:
    /// the EVMs are built once.
    pub fn simulate_all<'a>(
        &mut self,
        bundles: impl IntoIterator<Item = &'a Bundle>,
    ) -> Vec<Outcome> {
        self.run(|run| bundles.into_iter().map(|bundle| run.simulate(bundle)).collect())
    }

    /// Where the slot stands.
    pub fn snapshot(&self) -> Snapshot {
        let progress = |lane: &Lane| Progress {
            kept: lane.journal.as_ref().map_or_else(Layer::default, |j| j.kept().clone()),
            gas_used: lane.gas_used,
            is_unreadable: lane.is_unreadable,
        };
        Snapshot { lanes: self.lanes.iter().map(|(id, lane)| (*id, progress(lane))).collect() }
    }

    /// Goes back, or on, to where the slot stood in a simulator of the same rollups. Rollups that
    /// the snapshot does not have begin anew.
    pub fn restore(&mut self, mut snapshot: Snapshot) {
        for (chain_id, lane) in &mut self.lanes {
            let progress = snapshot.lanes.remove(chain_id).unwrap_or_default();
            if let Some(journal) = &mut lane.journal {
                journal.restore(progress.kept);
            }
            lane.gas_used = progress.gas_used;
            lane.is_unreadable = progress.is_unreadable;
        }
    }

    /// Leaves a rollup out of what the slot did: nobody keeps its changes, and nothing more is read
    /// of its state. Bundles that name it are unavailable from here on.
    pub fn leave(&mut self, chain_id: u64) {
        self.lanes.remove(&chain_id);
    }

    /// What the slot did, per rollup, sorted by chain id.
    pub fn finish(self) -> Result<Vec<Finished>, Unavailable> {
        let finished = self.lanes.into_iter().map(|(chain_id, lane)| {
            let Lane { digest, journal, gas_used, .. } = lane;
            let changes = journal.map_or_else(|| Ok(Changes::default()), Journal::into_changes);
            let changes = changes.map_err(|_| Unavailable { chain_id })?;
            let digest = changes.digest_after(digest);
            Ok(Finished { chain_id, changes, digest, gas_used })
        });
        finished.collect()
    }

    fn run<T>(&mut self, simulate: impl FnOnce(&mut Run<'_>) -> T) -> T {
        let (lanes, machines, limits) = (&mut self.lanes, BTreeMap::new(), self.limits);
        let mut run = Run { lanes, machines, limits };
        let result = simulate(&mut run);
        run.put_back_all();
        result
    }
}

/// Some bundles in a row: the EVMs that they needed so far, with the journals of their lanes.
struct Run<'a> {
    lanes: &'a mut BTreeMap<u64, Lane>,
    machines: BTreeMap<u64, Machine>,
    limits: Limits,
}

impl Run<'_> {
    fn simulate(&mut self, bundle: &Bundle) -> Outcome {
        let (actual, limit) = (bundle.gas_limit(), self.limits.bundle_gas);
        if actual > limit {
            return Outcome::Dropped(Dropped::Gas { actual, limit });
        }
        let mut chains = bundle.legs().iter().map(|leg| leg.chain_id);
        if let Some(chain_id) = chains.find(|chain_id| !self.is_available(*chain_id)) {
            return Outcome::Unavailable { chain_id };
        }
        match self.execute(bundle) {
            Ok(legs) => self.keep(legs),
            Err(outcome) => {
                self.machines.values_mut().for_each(|machine| machine.journal().discard());
                outcome
            }
        }
    }

    fn is_available(&self, chain_id: u64) -> bool {
        self.lanes.get(&chain_id).is_some_and(|lane| {
            let has_view = lane.journal.is_some() || self.machines.contains_key(&chain_id);
            has_view && !lane.is_unreadable
        })
    }

    /// All legs in order; or the outcome, and whatever they wrote has to be discarded.
    fn execute(&mut self, bundle: &Bundle) -> Result<Vec<LegReceipts>, Outcome> {
        let mut legs = Vec::with_capacity(bundle.legs().len());
        for (leg, index) in bundle.legs().iter().zip(0u16..) {
            let chain_id = leg.chain_id;
            let unavailable = Outcome::Unavailable { chain_id };
            let Some(machine) = self.machine(chain_id) else { return Err(unavailable) };
            match machine.execute(leg, bundle.policy()) {
                Ok(receipts) => legs.push(LegReceipts { chain_id, receipts }),
                Err(Stop::Failed { tx, why }) => {
                    return Err(Outcome::Dropped(Dropped::Failed { leg: index, tx, why }));
                }
                Err(Stop::Invalid { tx, why }) => {
                    self.put_back(chain_id);
                    return Err(Outcome::Dropped(Dropped::Invalid { leg: index, tx, why }));
                }
                Err(Stop::Unavailable) => {
                    self.put_back(chain_id);
                    if let Some(lane) = self.lanes.get_mut(&chain_id) {
                        lane.is_unreadable = true;
                    }
                    return Err(unavailable);
                }
            }
        }
        Ok(legs)
    }

    fn keep(&mut self, legs: Vec<LegReceipts>) -> Outcome {
        for LegReceipts { chain_id, receipts } in &legs {
            if let Some(machine) = self.machines.get_mut(chain_id) {
                machine.journal().keep();
            }
            if let Some(lane) = self.lanes.get_mut(chain_id) {
                let gas: u64 = receipts.iter().map(|receipt| receipt.gas_used).sum();
                lane.gas_used = lane.gas_used.saturating_add(gas);
            }
        }
        Outcome::Kept { legs }
    }

    /// The lane's EVM, built if it is not there yet.
    fn machine(&mut self, chain_id: u64) -> Option<&mut Machine> {
        match self.machines.entry(chain_id) {
            Entry::Occupied(machine) => Some(machine.into_mut()),
            Entry::Vacant(place) => {
                let lane = self.lanes.get_mut(&chain_id)?;
                let journal = lane.journal.take()?;
                Some(place.insert(lane.rules.machine(journal)))
            }
        }
    }

    /// Gives the lane its journal back, without what was not kept.
    fn put_back(&mut self, chain_id: u64) {
        let machine = self.machines.remove(&chain_id);
        if let (Some(machine), Some(lane)) = (machine, self.lanes.get_mut(&chain_id)) {
            let mut journal = machine.into_journal();
            journal.discard();
            lane.journal = Some(journal);
        }
    }

    fn put_back_all(&mut self) {
        while let Some(chain_id) = self.machines.keys().next().copied() {
            self.put_back(chain_id);
        }
    }
}
