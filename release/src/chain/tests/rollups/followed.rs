//! Rollup 903 is fed by others too: its legs are simulated over views.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use fairveil_execution::Bytecode;
use fairveil_execution::state::{Account, StateError, StateView};

use super::*;
use crate::anchor::Anchor;
use crate::batch::{Block, Validation};
use crate::change::Action;
use crate::registry::FollowedState;
use crate::views::{Place, Sight, View};

const MAX_AGE_MS: u64 = 8_000;
const GENESIS_S: u64 = GENESIS_MS / 1_000;

/// Rollups 901 and 902 are embedded, 903 is followed.
fn mixed(gas_limit: u64) -> Registry {
    let rule = FollowedState { max_age_ms: MAX_AGE_MS, elasticity: 2, denominator: 8 };
    let mut rollups = registry(gas_limit).rollups().to_vec();
    rollups[2].state = Some(StateSource::Followed(rule));
    Registry::new(rollups).unwrap()
}

/// A block of 903, so many seconds after the genesis, whose child has base fee [`BASE_FEE`].
fn anchor(seconds: u64) -> Anchor {
    Anchor {
        chain_id: 903,
        number: seconds / 2,
        hash: Digest::from_bytes([seconds as u8; 32]),
        state_root: Digest::from_bytes([1; 32]),
        timestamp_s: GENESIS_S + seconds,
        base_fee: BASE_FEE,
        gas_limit: 30_000_000,
        gas_used: 15_000_000,
    }
}

/// The genesis with this nonce of the first sender.
fn state(nonce: u64) -> MemoryState {
    let mut alloc = vec![format!(r#""{REVERTS}": {{"balance": "0", "code": "0x60006000fd"}}"#)];
    for sender in 0..SENDERS {
        let nonce = if sender == 0 { nonce } else { 0 };
        let account = address(sender);
        alloc.push(format!(r#""{account}": {{"balance": "{FUNDS}", "nonce": "{nonce}"}}"#));
    }
    parse_genesis(format!(r#"{{"alloc": {{{}}}}}"#, alloc.join(",")).as_bytes()).unwrap()
}

/// A state that answers so many reads.
struct Failing(MemoryState, AtomicU32);

impl Failing {
    fn read<T>(&self, answer: Result<T, StateError>) -> Result<T, StateError> {
        let left = self.1.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { answer } else { Err(StateError::Unreachable) }
    }
}

impl StateView for Failing {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.read(self.0.account(address))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.read(self.0.storage(address, slot))
    }

    fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        self.read(self.0.code(hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.read(self.0.block_hash(number))
    }
}

/// Two chains that get the same: one cuts, the other takes over.
struct Pair {
    cutting: ReleaseChain,
    adopting: ReleaseChain,
    nonces: BTreeMap<(u64, u8), u64>,
    /// What is stored of unseen blocks.
    unseen: BTreeMap<Place, Block>,
    /// The states that can be read, by the hash of their block.
    readable: BTreeMap<Digest, Arc<MemoryState>>,
}

impl Pair {
    fn new(gas_limit: u64) -> Self {
        let registry = mixed(gas_limit);
        let states = [901, 902].map(|chain_id| (chain_id, genesis())).into();
        let states = RollupStates::new(&registry, states).unwrap();
        let cutting = ReleaseChain::new(network(), registry, states).unwrap();
        let (nonces, unseen, readable) = Default::default();
        Self { adopting: cutting.clone(), cutting, nonces, unseen, readable }
    }

    fn announce(&mut self, change: &RegistryChange) {
        self.cutting.announce(change).unwrap();
        self.adopting.announce(change).unwrap();
    }

    /// The next height's block names this block of 903, whose state can be read.
    fn anchor(&mut self, anchor: Anchor, state: MemoryState) {
        let height = self.cutting.next();
        self.cutting.anchored(height, &[anchor]);
        self.adopting.anchored(height, &[anchor]);
        self.readable.insert(anchor.hash, Arc::new(state));
    }

    fn order(&mut self, time_ms: u64, randoms: &[Random]) -> JudgedOrder {
        let bundles: Vec<_> = randoms.iter().map(|one| signed(one, &mut self.nonces)).collect();
        let height = self.cutting.next();
        let mut ahead = self.cutting.schedule().clone();
        ahead.advance(height);
        order(ahead.registry(), height.get(), GENESIS_MS + time_ms, &bundles)
    }

    fn release(&mut self, order: JudgedOrder) -> Result<Released, ChainError> {
        let open = |anchor: &Anchor| {
            let state = self.readable.get(&anchor.hash).cloned();
            state.map(|state| state as Arc<dyn StateView>)
        };
        let before = self.cutting.clone();
        let released = self.cutting.release(order, Sight::Open(&open));
        assert_eq!(self.cutting, before, "nothing is changed");
        released
    }

    /// Keeps a release; the other chain takes it over, and what is stored gives the chain again.
    fn keep(&mut self, released: &Released) {
        self.cutting.keep(released).unwrap();
        released.release.check(self.cutting.registry()).unwrap();
        let root = released.release.header.root();
        let adopted = self.adopting.adopt(released.release.clone(), &root).unwrap();
        assert_eq!(adopted.finished, released.finished);
        assert_eq!((&adopted.unseen, adopted.read.len()), (&released.unseen, 0));
        assert_eq!(self.adopting, self.cutting);
        for place in &released.unseen.added {
            let batch = released.release.batch(place.chain_id).unwrap();
            let block = batch.blocks.iter().find(|block| block.number == place.number);
            self.unseen.insert(*place, block.unwrap().clone());
        }
        released.unseen.gone.iter().for_each(|place| drop(self.unseen.remove(place)));
        let summary = Summary::decode(&self.cutting.summary().encode()).unwrap();
        let waiting = self.cutting.waiting().waiting().cloned().collect();
        let chain_ids = self.cutting.states().digests().into_keys();
        let states = chain_ids.map(|id| (id, self.cutting.states().state(id).unwrap().clone()));
        let states: BTreeMap<_, _> = states.collect();
        let unseen: Vec<_> = self.unseen.clone().into_iter().collect();
        let restored = ReleaseChain::restore(summary.clone(), waiting, states.clone(), &unseen);
        assert_eq!(restored, Ok(self.cutting.clone()));
        if let Some(fewer) = unseen.len().checked_sub(1) {
            let waiting = self.cutting.waiting().waiting().cloned().collect();
            let error = ReleaseChain::restore(summary, waiting, states, &unseen[..fewer]);
            let (actual, expected) = (fewer as u64, unseen.len() as u64);
            assert_eq!(error, Err(RestoreError::Unseen { actual, expected }));
        }
    }

    fn extend(&mut self, time_ms: u64, randoms: &[Random]) -> Released {
        let order = self.order(time_ms, randoms);
        let released = self.release(order).unwrap();
        self.keep(&released);
        released
    }
}

fn shared(policy: Policy, sender: u8) -> Random {
    bundle(policy, [None, None, pay(sender, 1)])
}

fn both(policy: Policy, sender: u8) -> Random {
    bundle(policy, [None, pay(sender, 1), pay(sender, 1)])
}

fn validation(released: &Released) -> Option<Validation> {
    released.release.batch(903).map(|batch| batch.validation)
}

#[test]
fn a_slot_is_simulated_over_the_last_anchor_that_is_not_too_old() {
    let mut pair = Pair::new(1_000_000);
    pair.anchor(anchor(0), state(0));
    let execute = || [both(Policy::Execute, 0), shared(Policy::Execute, 1)];
    pair.extend(1, &execute());
    let released = pair.extend(2_001, &[both(Policy::Execute, 0), both(Policy::Include, 2)]);
    assert_eq!(codes(&released), ["released", "released", "carried", "carried"]);
    assert_eq!(released.release.views, [View { chain_id: 903, anchor: Some(anchor(0)) }]);
    assert_eq!(released.read, BTreeSet::from([903]));
    assert_eq!(validation(&released), Some(Validation::Simulated));
    assert_eq!(released.finished.iter().map(|one| one.chain_id).collect::<Vec<_>>(), [901, 902]);
    assert_eq!(released.receipts.len(), 2);

    // At 8,001 ms the anchor is too old: only policy `include` has a leg there, and nothing waits.
    let stale = pair.extend(8_001, &[shared(Policy::Execute, 3)]);
    assert_eq!(codes(&stale), ["state_unavailable", "released", "carried"]);
    let Outcome::Failed(failed) = stale.release.leaves[0].outcome else { panic!("failed") };
    assert_eq!(failed, Failed::StateUnavailable { rollup: 903 });
    assert_eq!(stale.release.views, [View { chain_id: 903, anchor: None }]);
    assert_eq!((validation(&stale), stale.read.len()), (Some(Validation::Unvalidated), 0));
    // The leg on 902 was simulated, and only that.
    assert_eq!(stale.receipts.values().map(|legs| legs.len()).collect::<Vec<_>>(), [1]);
    let balance = pair.cutting.states().state(902).unwrap().balance(&address(3));
    assert_eq!(balance, U256::from(FUNDS + 1));
    assert!(pair.cutting.anchors().is_empty(), "it is not used any more");
    assert_eq!(codes(&pair.extend(10_001, &[])), ["state_unavailable"]);

    // A new anchor, and the next slot has a view again.
    pair.nonces.clear();
    pair.anchor(anchor(10), state(0));
    pair.extend(10_002, &[shared(Policy::Execute, 3)]);
    assert_eq!(codes(&pair.extend(12_001, &[])), ["released"]);
}

#[test]
fn what_is_unseen_is_simulated_again_until_a_later_anchor_has_its_time() {
    let mut pair = Pair::new(1_000_000);
    pair.anchor(anchor(0), state(0));
    pair.extend(1, &[shared(Policy::Execute, 0)]);
    // Block 2 of 903, 4 s after the genesis, is unseen from here on.
    let first = pair.extend(2_001, &[shared(Policy::Execute, 0)]);
    let place = |height, number| Place { chain_id: 903, height: Height::new(height), number };
    assert_eq!(first.unseen.added, [place(2, 2)]);
    // The second transaction has nonce 1, and the anchored state knows of none.
    let second = pair.extend(4_001, &[shared(Policy::Execute, 0)]);
    assert_eq!(codes(&second), ["released", "carried"]);

    // An anchor before both blocks changes nothing of that; the third has nonce 2.
    pair.anchor(anchor(3), state(0));
    let third = pair.extend(6_001, &[shared(Policy::Execute, 0), shared(Policy::Execute, 0)]);
    assert_eq!(codes(&third), ["released", "carried", "carried"]);
    assert_eq!((third.unseen.gone.len(), pair.unseen.len()), (0, 3));

    // One at 6 s: the rollup has the first two, or never will. Here it took only one of them, so that
    // nonces 3 and 4 are too high.
    pair.anchor(anchor(6), state(1));
    let fourth = pair.extend(8_001, &[]);
    assert_eq!(codes(&fourth), ["leg_invalid", "leg_invalid"]);
    assert_eq!(fourth.unseen.gone, [place(2, 2), place(3, 3)]);
    assert_eq!(pair.unseen.keys().collect::<Vec<_>>(), [&place(4, 4)]);
    pair.nonces.insert((903, 0), 1);
    pair.extend(8_002, &[shared(Policy::Execute, 0)]);
    // The unseen one with nonce 2 is left out, for the rollup would not take it now.
    assert_eq!(codes(&pair.extend(10_001, &[])), ["released"]);
}

#[test]
fn a_view_that_can_not_be_read_changes_nothing_and_is_no_outcome() {
    let mut pair = Pair::new(1_000_000);
    pair.anchor(anchor(0), state(0));
    pair.extend(1, &[both(Policy::Execute, 0), bundle(Policy::Include, [pay(1, 1), None, None])]);
    let state = pair.readable.remove(&anchor(0).hash).unwrap();
    let order = pair.order(2_001, &[shared(Policy::Include, 1)]);
    let unreadable = ChainError::Unreadable { chain_id: 903 };
    assert_eq!(pair.release(order.clone()).unwrap_err(), unreadable);
    assert_eq!(pair.cutting.extend(order.clone()).unwrap_err(), unreadable);

    // Nor does one that fails after some reads.
    let mut needed = None;
    for reads in 0..100 {
        let view = Arc::new(Failing(MemoryState::clone(&state), AtomicU32::new(reads)));
        let open = |_: &Anchor| Some(Arc::clone(&view) as Arc<dyn StateView>);
        let before = pair.cutting.clone();
        match pair.cutting.release(order.clone(), Sight::Open(&open)) {
            Ok(released) => {
                needed.get_or_insert((reads, released));
            }
            Err(error) => assert_eq!((error, needed.is_none()), (unreadable.clone(), true)),
        }
        assert_eq!(pair.cutting, before);
    }
    let (reads, over_failing) = needed.unwrap();
    assert!(reads > 1);
    pair.readable.insert(anchor(0).hash, state);
    let released = pair.release(order).unwrap();
    assert_eq!(released.release, over_failing.release);
    assert_eq!(codes(&released), ["released", "released", "carried"]);
    pair.keep(&released);
}

#[test]
fn what_nobody_can_read_is_released_blindly_and_its_view_is_gone() {
    let mut pair = Pair::new(1_000_000);
    pair.anchor(anchor(0), state(0));
    let bundles = [both(Policy::Execute, 0), both(Policy::Include, 1), both(Policy::Execute, 0)];
    pair.extend(1, &bundles);
    let order = pair.order(2_001, &[bundle(Policy::Execute, [pay(2, 1), None, None])]);
    let sighted = pair.release(order.clone()).unwrap();
    let blind = pair.cutting.release(order, Sight::Blind).unwrap();
    assert_eq!(codes(&sighted), ["released", "released", "released", "carried"]);
    let codes_of_blind = ["state_unavailable", "released", "state_unavailable", "carried"];
    assert_eq!((codes(&blind), blind.read.len()), (codes_of_blind.to_vec(), 0));
    assert_ne!(sighted.release.header.root(), blind.release.header.root());
    // Either can be kept, and taken over.
    let mut other = pair.cutting.clone();
    other.keep(&sighted).unwrap();
    pair.keep(&blind);
    assert!(pair.cutting.anchors().is_empty());
    assert_eq!(other.anchors().len(), 1);
    // The embedded rollups go on.
    assert_eq!(codes(&pair.extend(4_001, &[])), ["released"]);
    // Without something to read the view stays: everybody releases the same.
    pair.anchor(anchor(5), state(0));
    let order = pair.order(6_001, &[]);
    assert_eq!(pair.cutting.release(order.clone(), Sight::Blind).unwrap().release.views.len(), 1);
    let idle = pair.release(order).unwrap();
    assert_eq!(idle.release.views, [View { chain_id: 903, anchor: Some(anchor(5)) }]);
    assert!(idle.read.is_empty());
    let stale = pair.cutting.keep(&blind).unwrap_err();
    let expected = pair.cutting.next();
    assert_eq!(stale, ChainError::Height { actual: Height::new(2), expected });
}

#[test]
fn closing_early_over_a_view_that_can_not_be_read_restores_what_waits() {
    let mut pair = Pair::new(60_000);
    pair.anchor(anchor(0), state(0));
    pair.extend(1, &[]);
    let state = pair.readable.remove(&anchor(0).hash).unwrap();
    // Three payments are too much for the block of the slot, which is cut at once.
    let three = [0, 1, 2].map(|sender| shared(Policy::Execute, sender));
    let order = pair.order(100, &three);
    let unreadable = ChainError::Unreadable { chain_id: 903 };
    assert_eq!(pair.release(order.clone()).unwrap_err(), unreadable);
    assert!(pair.cutting.waiting().is_empty());
    pair.readable.insert(anchor(0).hash, state);
    let released = pair.release(order).unwrap();
    assert_eq!(codes(&released), ["released", "released", "carried"]);
    pair.keep(&released);
}

#[test]
fn a_release_with_a_view_that_its_slot_does_not_have_is_not_taken_over() {
    let mut pair = Pair::new(1_000_000);
    pair.anchor(anchor(0), state(0));
    pair.extend(1, &[shared(Policy::Execute, 0)]);
    let order = pair.order(2_001, &[]);
    let released = pair.release(order).unwrap();
    let mut other = Pair::new(1_000_000);
    other.anchor(anchor(1), state(0));
    other.extend(1, &[shared(Policy::Execute, 0)]);
    let mut forged = released.release.clone();
    forged.header.previous = other.cutting.previous();
    let root = forged.header.root();
    let before = other.adopting.clone();
    let error = other.adopting.adopt(forged.clone(), &root).unwrap_err();
    assert_eq!(error, ChainError::View { chain_id: 903 });
    assert_eq!(other.adopting, before);
    // Nor one whose views are not what its header commits to.
    forged.views[0].anchor = Some(anchor(1));
    let error = other.adopting.adopt(forged.clone(), &root).unwrap_err();
    assert!(error.to_string().starts_with("views with digest"), "{error}");
    forged.views.clear();
    let error = other.adopting.adopt(forged, &root).unwrap_err();
    assert_eq!(error.to_string(), "views of rollups [], expected [903]");
}

#[test]
fn a_rollup_that_leaves_takes_its_view_and_what_is_unseen_with_it() {
    let mut pair = Pair::new(1_000_000);
    let change = |number, at, action| {
        let (network_id, at) = (network(), Height::new(at));
        RegistryChange { network_id, number, at, action }
    };
    let rollup = pair.cutting.registry().rollup(903).unwrap().clone();
    pair.announce(&change(1, 3, Action::Leave { chain_id: 903 }));
    pair.announce(&change(2, 4, Action::Join(rollup)));
    pair.anchor(anchor(0), state(0));
    pair.extend(1, &[shared(Policy::Execute, 0)]);
    assert_eq!(codes(&pair.extend(2_001, &[])), ["released"]);
    assert_eq!(pair.unseen.len(), 1);
    let left = pair.extend(2_002, &[]);
    assert_eq!((left.unseen.gone.len(), pair.cutting.anchors().len()), (1, 0));
    // It is another rollup now, so an earlier block may be its first anchor.
    pair.nonces.clear();
    pair.extend(2_003, &[shared(Policy::Execute, 0)]);
    assert_eq!(codes(&pair.extend(4_001, &[])), ["state_unavailable"]);
}
