//! The states of the rollups that are simulated, and the simulation of one slot over them.
//!
//! # Bytes
//!
//! The state digest of a release is `H(RELEASE-STATE, rollup 1, rollup 2, ...)` over the rollups
//! with a state, ascending, each as chain_id (8) ‖ digest of its state (32), which
//! [`fairveil_execution::state`] defines; notation as in [`crate::tree`].
//!
//! # Invariants
//!
//! 1. There is a state for every embedded rollup, and for no other; each began as the genesis that the
//!    registry names, at the height at which its rollup joined.
//! 2. States change by whole slots: what a slot changed is applied at its end, or nothing is.
//! 3. A followed rollup is simulated over its view with what is unseen on top ([`crate::views`]), and
//!    nothing of that is kept: the next slot begins with its view again. A read that fails is no outcome.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::B256;
use fairveil_crypto::Digest;
use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_execution::block::{Block, Hardfork, L1Fees};
use fairveil_execution::bundle::{self, Bundle};
use fairveil_execution::outcome::{Dropped, Fault as Failure, Invalid as Refused, Outcome};
use fairveil_execution::sender::{RecoveredTransaction, SenderError, SetCode, SignedTransaction};
use fairveil_execution::simulator::{Finished, Limits, Rollup as Lane, Simulator};
use fairveil_execution::state::StateView;
use fairveil_mempool::Policy;
use thiserror::Error;

pub use alloy_primitives::{Address, U256};
pub use fairveil_execution::changes::Changes;
pub use fairveil_execution::genesis::{GenesisError, MAX_GENESIS_BYTES, parse_genesis};
pub use fairveil_execution::outcome::{LegReceipts, Receipt};
pub use fairveil_execution::records::{
    Record, RecordError, account_key, account_of, prefix, records, state_of, storage_key, value_of,
};
pub use fairveil_execution::state::{Account, MemoryState};

use crate::anchor::Anchor;
use crate::change::{Action, RegistryChange};
use crate::failed::{Failed, Fault, Invalid};
use crate::registry::{EmbeddedState, Registry, Rollup, StateSource};
use crate::slot::BlockTime;
use crate::validity::{ValidBundle, ValidLeg};
use crate::views::Unseen;

/// The states of the rollups that are simulated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollupStates(BTreeMap<u64, Arc<MemoryState>>);

/// Why states are not those that a registry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StatesError {
    /// No state of a rollup that has one.
    #[error("there is no genesis for rollup {chain_id}, whose genesis has digest {expected}")]
    Missing {
        /// The rollup.
        chain_id: u64,
        /// The digest of its genesis.
        expected: Digest,
    },
    /// Another genesis.
    #[error("the genesis for rollup {chain_id} has digest {actual}, expected {expected}")]
    Genesis {
        /// The rollup.
        chain_id: u64,
        /// The digest of the state at hand.
        actual: Digest,
        /// The digest that the registry names.
        expected: Digest,
    },
    /// A state of a rollup that has none, or is not registered.
    #[error("a genesis for rollup {chain_id}, which is not simulated")]
    Needless {
        /// The rollup.
        chain_id: u64,
    },
}

/// The states of the rollups that left and joined at a height.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// The last states of those that left, by chain id.
    pub left: BTreeMap<u64, Arc<MemoryState>>,
    /// The first states of those that joined, by chain id; a chain id may stand in both.
    pub joined: BTreeMap<u64, Arc<MemoryState>>,
}

/// A followed rollup's view, open.
pub(crate) struct OpenView {
    pub(crate) anchor: Anchor,
    pub(crate) state: Arc<dyn StateView>,
    pub(crate) unseen: Vec<Arc<Unseen>>,
}

/// A slot that is being simulated.
pub(crate) struct Simulation<'a> {
    registry: &'a Registry,
    simulator: Simulator,
    /// Over what the followed rollups are simulated that are, by chain id.
    views: BTreeMap<u64, Anchor>,
}

/// Why a bundle is not simulated to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is dropped.
    Failed(Failed),
    /// The state of this rollup could not be read.
    Unreadable(u64),
}

impl From<Failed> for Stop {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl RollupStates {
    /// The states of these rollups at their beginning.
    pub fn new(
        registry: &Registry,
        mut genesis: BTreeMap<u64, MemoryState>,
    ) -> Result<Self, StatesError> {
        let mut states = BTreeMap::new();
        for rollup in registry.rollups() {
            let Some(EmbeddedState { genesis: expected, .. }) = rollup.embedded().copied() else {
                continue;
            };
            let chain_id = rollup.chain_id;
            let missing = StatesError::Missing { chain_id, expected };
            let state = genesis.remove(&chain_id).ok_or(missing)?;
            let actual = state.digest();
            if actual != expected {
                return Err(StatesError::Genesis { chain_id, actual, expected });
            }
            states.insert(chain_id, Arc::new(state));
        }
        match genesis.keys().next() {
            Some(&chain_id) => Err(StatesError::Needless { chain_id }),
            None => Ok(Self(states)),
        }
    }

    /// States that were stored by their sequencer.
    pub fn restore(states: BTreeMap<u64, MemoryState>) -> Self {
        Self(states.into_iter().map(|(chain_id, state)| (chain_id, Arc::new(state))).collect())
    }

    /// The states once these changes are made, and what became of whose.
    pub(crate) fn after(
        &self,
        made: &[RegistryChange],
        genesis: &BTreeMap<u64, Arc<MemoryState>>,
    ) -> Result<(Self, Moved), StatesError> {
        let (mut states, mut moved) = (self.clone(), Moved::default());
        for change in made {
            match &change.action {
                Action::Join(Rollup {
                    chain_id,
                    state: Some(StateSource::Embedded(state)),
                    ..
                }) => {
                    let genesis = begun(*chain_id, state.genesis, genesis)?;
                    states.0.insert(*chain_id, Arc::clone(&genesis));
                    moved.joined.insert(*chain_id, genesis);
                }
                Action::Leave { chain_id } => {
                    let state = states.0.remove(chain_id);
                    if moved.joined.remove(chain_id).is_none()
                        && let Some(state) = state
                    {
                        moved.left.insert(*chain_id, state);
                    }
                }
                Action::Join(_) | Action::Pause { .. } | Action::Resume { .. } => {}
            }
        }
        Ok((states, moved))
    }

    /// The state of a rollup.
    pub fn state(&self, chain_id: u64) -> Option<&MemoryState> {
        self.0.get(&chain_id).map(Arc::as_ref)
    }

    /// The digest of every state, by chain id.
    pub fn digests(&self) -> BTreeMap<u64, Digest> {
        self.0.iter().map(|(chain_id, state)| (*chain_id, state.digest())).collect()
    }

    /// What a release root commits to.
    pub fn digest(&self) -> Digest {
        self.digest_after(&[])
    }

    /// The same once these changes are applied.
    pub(crate) fn digest_after(&self, finished: &[Finished]) -> Digest {
        let mut digests = self.digests();
        digests.extend(finished.iter().map(|finished| (finished.chain_id, finished.digest)));
        state_digest(&digests)
    }

    /// A slot over these states and views; none if no rollup is simulated. Or the rollup whose view
    /// could not be read.
    pub(crate) fn simulation<'a>(
        &self,
        registry: &'a Registry,
        views: BTreeMap<u64, OpenView>,
    ) -> Result<Option<Simulation<'a>>, u64> {
        if self.0.is_empty() && views.is_empty() {
            return Ok(None);
        }
        let lane = |(chain_id, state): (&u64, &Arc<MemoryState>)| {
            let rollup = registry.rollup(*chain_id)?;
            let view: Arc<dyn StateView> = Arc::clone(state) as _;
            let block = block_of(rollup, BlockTime { number: 0, time_ms: 0 });
            Some(Lane { chain_id: *chain_id, view: Some(view), digest: state.digest(), block })
        };
        let mut lanes: Vec<_> = self.0.iter().filter_map(lane).collect();
        for (chain_id, OpenView { anchor, state, .. }) in &views {
            let Some(rollup) = registry.rollup(*chain_id) else { continue };
            let block = block_over(rollup, anchor, BlockTime { number: 0, time_ms: 0 });
            let (view, digest) = (Some(Arc::clone(state)), anchor.digest());
            lanes.push(Lane { chain_id: *chain_id, view, digest, block });
        }
        let simulator = Simulator::new(lanes, Limits::default());
        let simulator = simulator.expect("a rollup is embedded or followed, each once");
        let anchors = views.iter().map(|(chain_id, view)| (*chain_id, view.anchor)).collect();
        let mut simulation = Simulation { registry, simulator, views: anchors };
        for (chain_id, OpenView { unseen, .. }) in &views {
            unseen.iter().try_for_each(|unseen| simulation.repeat(*chain_id, unseen))?;
        }
        Ok(Some(simulation))
    }

    /// Applies what a slot changed.
    pub(crate) fn apply(&mut self, finished: &[Finished]) {
        for Finished { chain_id, changes, .. } in finished {
            if let Some(state) = self.0.get_mut(chain_id) {
                Arc::make_mut(state).apply(changes);
            }
        }
    }
}

impl Simulation<'_> {
    /// Simulates what was released before and is unseen; what is invalid there now is left out.
    fn repeat(&mut self, chain_id: u64, unseen: &Unseen) -> Result<(), u64> {
        let block = self.registry.rollup(chain_id).and_then(|one| self.block(one, unseen.time));
        let Some(block) = block else { return Ok(()) };
        self.simulator.enter(chain_id, block);
        for bundle in unseen.legs.iter().filter_map(|leg| leg.bundle(chain_id)) {
            if let Outcome::Unavailable { chain_id } = self.simulator.simulate(&bundle) {
                return Err(chain_id);
            }
        }
        Ok(())
    }

    /// The block that a rollup makes at this time, if it is simulated.
    fn block(&self, rollup: &Rollup, time: BlockTime) -> Option<Block> {
        if rollup.embedded().is_some() {
            return Some(block_of(rollup, time));
        }
        let anchor = self.views.get(&rollup.chain_id)?;
        Some(block_over(rollup, anchor, time))
    }

    /// Simulates the next bundle, each leg in its block: the receipts of the legs whose rollups are
    /// simulated, or why the bundle is dropped.
    pub(crate) fn simulate(
        &mut self,
        bundle: &ValidBundle,
        blocks: &[BlockTime],
    ) -> Result<Vec<LegReceipts>, Stop> {
        let (mut legs, mut places) = (Vec::new(), Vec::new());
        for ((leg, time), place) in bundle.legs().iter().zip(blocks).zip(0u16..) {
            let Some(rollup) = self.registry.rollup(leg.chain_id()) else { continue };
            let Some(block) = self.block(rollup, *time) else { continue };
            self.simulator.enter(rollup.chain_id, block);
            legs.push(recovered(leg, place, rollup)?);
            places.push(place);
        }
        if legs.is_empty() {
            return Ok(Vec::new());
        }
        let policy = match bundle.policy() {
            Policy::Include => bundle::Policy::Include,
            Policy::Execute => bundle::Policy::Execute,
        };
        // What is statically valid has sorted legs, each with transactions for its chain.
        let bundle = Bundle::new(policy, legs).map_err(|_| Failed::Legs)?;
        let first = bundle.legs().first().map_or(0, |leg| leg.chain_id);
        match self.simulator.simulate(&bundle) {
            Outcome::Kept { legs } => Ok(legs),
            Outcome::Unavailable { chain_id } => Err(Stop::Unreadable(chain_id)),
            Outcome::Dropped(dropped) => Err(failed(&dropped, &places, first).into()),
        }
    }

    /// What the slot changed of the embedded rollups; or the one whose state could not be read.
    pub(crate) fn finish(mut self) -> Result<Vec<Finished>, u64> {
        self.views.keys().for_each(|chain_id| self.simulator.leave(*chain_id));
        self.simulator.finish().map_err(|unavailable| unavailable.chain_id)
    }
}

/// The genesis of a rollup that joins.
pub(crate) fn begun(
    chain_id: u64,
    expected: Digest,
    genesis: &BTreeMap<u64, Arc<MemoryState>>,
) -> Result<Arc<MemoryState>, StatesError> {
    let state = genesis.get(&chain_id).ok_or(StatesError::Missing { chain_id, expected })?;
    let actual = state.digest();
    if actual != expected {
        return Err(StatesError::Genesis { chain_id, actual, expected });
    }
    Ok(Arc::clone(state))
}

/// What a release root commits to of these states, by chain id.
pub fn state_digest(states: &BTreeMap<u64, Digest>) -> Digest {
    let mut hasher = Hasher::new(Tag::ReleaseState);
    for (chain_id, digest) in states {
        let mut item = chain_id.to_be_bytes().to_vec();
        item.extend(digest.as_bytes());
        hasher.item(&item);
    }
    hasher.finish()
}

/// The block that a rollup makes, as its transactions see it.
pub fn block_of(rollup: &Rollup, time: BlockTime) -> Block {
    Block {
        number: time.number,
        // Where seconds are counted, a block counts at the end of its second.
        timestamp_s: time.time_ms.div_ceil(1_000),
        base_fee: rollup.embedded().map_or(0, |state| state.base_fee),
        gas_limit: rollup.gas_limit,
        beneficiary: Address::ZERO,
        prevrandao: B256::ZERO,
        hardfork: Hardfork::Isthmus,
        l1_fees: L1Fees::Nothing,
    }
}

/// The block that a followed rollup makes, over this anchor. One that would stand at or before the
/// anchored block counts as the one after it.
fn block_over(rollup: &Rollup, anchor: &Anchor, time: BlockTime) -> Block {
    let block = block_of(rollup, time);
    let base_fee = rollup.followed().and_then(|rule| anchor.base_fee_of_next(rule).ok());
    Block {
        number: block.number.max(anchor.number.saturating_add(1)),
        timestamp_s: block.timestamp_s.max(anchor.timestamp_s.saturating_add(1)),
        // Where there is none the anchor is in no block: it breaks a rule.
        base_fee: base_fee.unwrap_or(anchor.base_fee),
        ..block
    }
}

/// A leg for the simulation; its senders were recovered when it was judged.
fn recovered(leg: &ValidLeg, place: u16, rollup: &Rollup) -> Result<bundle::Leg, Failed> {
    let set_code = if rollup.allows_set_code { SetCode::Taken } else { SetCode::Refused };
    let chain_id = rollup.chain_id;
    let sent =
        leg.transactions().iter().zip(leg.senders()).zip(0u16..).map(|((raw, sender), tx)| {
            let raw = raw.clone().into_bytes();
            let signed = SignedTransaction { raw, chain_id, set_code };
            signed.sent_by(*sender).map_err(|why| Failed::LegInvalid {
                leg: place,
                tx,
                why: form(why),
            })
        });
    let transactions = sent.collect::<Result<Vec<RecoveredTransaction>, _>>()?;
    Ok(bundle::Leg { chain_id, transactions })
}

fn failed(dropped: &Dropped, places: &[u16], first: u64) -> Failed {
    let place = |leg: u16| places.get(usize::from(leg)).copied().unwrap_or(leg);
    match dropped {
        Dropped::Gas { .. } => Failed::Capacity { rollup: first },
        Dropped::Invalid { leg, tx, why } => {
            Failed::LegInvalid { leg: place(*leg), tx: *tx, why: invalid(why) }
        }
        Dropped::Failed { leg, tx, why } => {
            let why = match why {
                Failure::Reverted { .. } => Fault::Reverted,
                Failure::Halted(_) => Fault::Halted,
            };
            Failed::LegFailed { leg: place(*leg), tx: *tx, why }
        }
    }
}

fn invalid(why: &Refused) -> Invalid {
    match why {
        Refused::NonceTooLow { .. } => Invalid::NonceTooLow,
        Refused::NonceTooHigh { .. } => Invalid::NonceTooHigh,
        Refused::NonceOverflow => Invalid::Nonce,
        Refused::Balance { .. } => Invalid::Balance,
        Refused::BaseFee { .. } => Invalid::BaseFee,
        Refused::PriorityFee => Invalid::Fee,
        Refused::GasLimit { .. } => Invalid::GasLimit,
        Refused::IntrinsicGas { .. } => Invalid::IntrinsicGas,
        Refused::InitCode => Invalid::InitCode,
        Refused::SenderIsContract => Invalid::SenderIsContract,
        Refused::Authorization => Invalid::Authorization,
        Refused::Unsupported => Invalid::Type,
        Refused::Refused => Invalid::Refused,
    }
}

fn form(why: SenderError) -> Invalid {
    match why {
        SenderError::Type { .. } => Invalid::Type,
        SenderError::Encoding => Invalid::Encoding,
        SenderError::Unprotected => Invalid::Unprotected,
        SenderError::Chain { .. } => Invalid::ChainId,
        SenderError::HighS => Invalid::HighS,
        SenderError::Signature => Invalid::Signature,
    }
}
