//! Chains whose rollups are paused, go on, leave and join.

use super::*;
use crate::change::Action;
use crate::states::StatesError;

fn change(chain: &ReleaseChain, at: u64, action: Action) -> RegistryChange {
    let number = chain.schedule().next_number();
    RegistryChange { network_id: network(), number, at: Height::new(at), action }
}

fn announce(chain: &mut ReleaseChain, at: u64, action: Action) {
    let change = change(chain, at, action);
    chain.announce(&change).unwrap();
}

fn everything() -> BTreeMap<u64, MemoryState> {
    INTERVALS_MS.map(|(chain_id, _)| (chain_id, genesis())).into()
}

fn states(chain: &ReleaseChain) -> BTreeMap<u64, MemoryState> {
    let ids = chain.states().digests().into_keys();
    ids.map(|id| (id, chain.states().state(id).unwrap().clone())).collect()
}

/// The chain as a sequencer that was restarted has it.
fn restored(chain: &ReleaseChain) -> ReleaseChain {
    let summary = Summary::decode(&chain.summary().encode()).unwrap();
    let waiting: Vec<_> = chain.waiting().waiting().cloned().collect();
    let mut restored = ReleaseChain::restore(summary, waiting, states(chain), &[]).unwrap();
    restored.provide(everything());
    restored
}

/// Two chains that release the same: one cuts, one takes over.
struct Pair {
    first: Registry,
    cutting: ReleaseChain,
    adopting: ReleaseChain,
    nonces: BTreeMap<(u64, u8), u64>,
}

impl Pair {
    fn new() -> Self {
        let first = registry(1_000_000);
        let mut cutting = chain(&first);
        cutting.provide(everything());
        Self { first, adopting: cutting.clone(), cutting, nonces: BTreeMap::new() }
    }

    fn rollup(&self, chain_id: u64) -> Rollup {
        self.first.rollup(chain_id).unwrap().clone()
    }

    fn announce(&mut self, at: u64, action: Action) {
        announce(&mut self.cutting, at, action.clone());
        announce(&mut self.adopting, at, action);
    }

    fn extend(&mut self, time_ms: u64, randoms: &[Random]) -> Released {
        let height = self.cutting.next();
        let mut ahead = self.cutting.schedule().clone();
        ahead.advance(height);
        let bundles: Vec<_> = randoms.iter().map(|one| signed(one, &mut self.nonces)).collect();
        let order = order(ahead.registry(), height.get(), GENESIS_MS + time_ms, &bundles);
        let released = self.cutting.extend(order).unwrap();
        released.release.check(self.cutting.registry()).unwrap();
        let root = released.release.header.root();
        let adopted = self.adopting.adopt(released.release.clone(), &root).unwrap();
        assert_eq!((&adopted.finished, &adopted.moved), (&released.finished, &released.moved));
        assert_eq!(self.adopting, self.cutting);
        assert_eq!(restored(&self.cutting), self.cutting);
        released
    }
}

fn include(legs: [Option<(u8, Deed)>; 3]) -> Random {
    bundle(Policy::Include, legs)
}

#[test]
fn a_paused_rollup_fails_what_names_it_and_nothing_else() {
    let mut pair = Pair::new();
    pair.announce(2, Action::Pause { chain_id: 902 });
    pair.announce(4, Action::Resume { chain_id: 902 });
    let waits = [include([pay(0, 1), pay(0, 1), None]), include([pay(1, 1), None, pay(1, 1)])];
    assert_eq!(codes(&pair.extend(1, &waits)), ["carried"; 2]);
    // What waited fails at the next cut; what comes in while it is paused, at once.
    let meanwhile = [include([None, pay(2, 1), None]), include([None, None, pay(2, 1)])];
    let second = pair.extend(2_001, &meanwhile);
    assert_eq!(codes(&second), ["rollup_paused", "released", "rollup_paused", "carried"]);
    assert!(second.release.batch(902).is_some_and(Batch::is_empty));
    assert_eq!(codes(&pair.extend(4_001, &[])), ["released"]);
    pair.nonces.clear();
    let later = [include([None, pay(3, 1), None])];
    assert_eq!(codes(&pair.extend(6_001, &later)), ["carried"]);
    assert_eq!(codes(&pair.extend(8_001, &[])), ["released"]);
}

#[test]
fn who_leaves_loses_its_state_and_who_joins_begins_as_its_genesis() {
    let mut pair = Pair::new();
    let digest = |chain: &ReleaseChain| chain.states().digests().get(&903).copied();
    pair.extend(1, &[include([None, None, pay(0, 1)])]);
    assert_eq!(codes(&pair.extend(2_001, &[])), ["released"]);
    assert_ne!(digest(&pair.cutting), Some(genesis().digest()));
    pair.announce(3, Action::Leave { chain_id: 903 });
    let back = Action::Join(Rollup { gas_limit: 500_000, ..pair.rollup(903) });
    pair.announce(5, back);
    let left =
        pair.extend(2_002, &[include([None, None, pay(0, 1)]), include([pay(0, 1), None, None])]);
    assert_eq!(codes(&left), ["unknown_rollup", "carried"]);
    assert_eq!(left.moved.left.keys().collect::<Vec<_>>(), [&903]);
    assert_eq!(digest(&pair.cutting), None);
    let without = pair.extend(4_001, &[]);
    assert_eq!(codes(&without), ["released"]);
    assert!(without.release.batch(903).is_none());
    pair.nonces.clear();
    let joined = pair.extend(4_002, &[include([None, None, pay(1, 1)])]);
    assert_eq!(joined.moved.joined.keys().collect::<Vec<_>>(), [&903]);
    assert_eq!(digest(&pair.cutting), Some(genesis().digest()));
    assert_eq!(codes(&pair.extend(6_001, &[])), ["released"]);
}

#[test]
fn a_bundle_does_not_wait_for_another_rollup_of_the_same_chain_id() {
    let mut pair = Pair::new();
    pair.announce(2, Action::Leave { chain_id: 902 });
    let back = Action::Join(pair.rollup(902));
    pair.announce(2, back);
    let randoms = [include([pay(0, 1), pay(0, 1), None]), include([pay(1, 1), None, None])];
    assert_eq!(codes(&pair.extend(1, &randoms)), ["carried"; 2]);
    let both = pair.extend(2_001, &[]);
    assert_eq!(codes(&both), ["unknown_rollup", "released"]);
    assert!(both.moved.left.contains_key(&902) && both.moved.joined.contains_key(&902));
}

#[test]
fn without_its_genesis_a_join_is_not_released_and_nothing_changes_invariant_4() {
    let first = Registry::new(registry(1_000_000).rollups()[1..].to_vec()).unwrap();
    let genesis_of = |ids: &[u64]| ids.iter().map(|id| (*id, genesis())).collect();
    let states = RollupStates::new(&first, genesis_of(&[902, 903])).unwrap();
    let mut chain = ReleaseChain::new(network(), first.clone(), states).unwrap();
    let joins = registry(1_000_000).rollup(901).unwrap().clone();
    announce(&mut chain, 2, Action::Join(joins));
    chain.extend(order(&first, 1, GENESIS_MS + 1, &[])).unwrap();
    let before = chain.clone();
    let next = || order(&first, 2, GENESIS_MS + 2_001, &[]);
    let missing = |expected: Digest| ChainError::Genesis {
        height: Height::new(2),
        why: StatesError::Missing { chain_id: 901, expected },
    };
    assert_eq!(chain.extend(next()).err(), Some(missing(genesis().digest())));
    assert_eq!(chain, before);
    chain.provide(BTreeMap::from([(901, parse_genesis(br#"{"alloc": {}}"#).unwrap())]));
    let wrong = chain.extend(next()).unwrap_err();
    let ChainError::Genesis { why: StatesError::Genesis { chain_id: 901, .. }, .. } = wrong else {
        panic!("{wrong}")
    };
    // A sequencer that is started again with the document goes on.
    let mut again = restored(&before);
    let released = again.extend(next()).unwrap();
    assert_eq!(again.registry().chain_ids(), [901, 902, 903]);
    let mut late = before.clone();
    let root = released.release.header.root();
    assert_eq!(
        late.adopt(released.release.clone(), &root).err(),
        Some(missing(genesis().digest()))
    );
    assert_eq!(late, before);
    late.provide(everything());
    late.adopt(released.release, &root).unwrap();
}

#[test]
fn changes_are_announced_in_sequence_and_before_they_hold() {
    let mut pair = Pair::new();
    pair.extend(1, &[]);
    let pause = |number, at| RegistryChange {
        network_id: network(),
        number,
        at: Height::new(at),
        action: Action::Pause { chain_id: 901 },
    };
    let chain = &mut pair.cutting;
    let late = ScheduleError::TooSoon {
        at: Height::new(1),
        height: Height::new(1),
        least: Height::new(2),
    };
    assert_eq!(chain.announce(&pause(1, 1)), Err(late));
    let number = ScheduleError::Number { actual: 2, expected: 1 };
    assert_eq!(chain.announce(&pause(2, 5)), Err(number));
    assert_eq!(chain.announce(&pause(1, 2)), Ok(()));
}

fn random_changes() -> impl Strategy<Value = Vec<(u64, u64, u8, usize)>> {
    prop::collection::vec((1..12u64, 1..6u64, 0..4u8, 0..3usize), 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Invariants 1 to 4 of the chain and 1 to 4 of cutting, while rollups come and go.
    #[test]
    fn random_bundles_stay_atomic_and_ordered_while_rollups_change(
        heights in prop::collection::vec((1..1_500u64, prop::collection::vec(random(), 0..6)), 4..14),
        changes in random_changes(),
    ) {
        let mut pair = Pair::new();
        let mut time_ms = 0;
        let mut last: BTreeMap<u64, Position> = BTreeMap::new();
        let (mut waits, mut announced) = (BTreeSet::new(), Vec::new());
        let rest = std::iter::repeat_n((2_000, Vec::new()), 70);
        for (later_ms, randoms) in heights.into_iter().chain(rest) {
            time_ms += later_ms;
            let height = pair.cutting.next();
            for (_, notice, kind, place) in changes.iter().filter(|one| one.0 == height.get()) {
                let chain_id = INTERVALS_MS[*place].0;
                let action = match kind {
                    0 => Action::Join(pair.rollup(chain_id)),
                    1 => Action::Pause { chain_id },
                    2 => Action::Resume { chain_id },
                    _ => Action::Leave { chain_id },
                };
                let change = change(&pair.cutting, height.get() + notice - 1, action);
                let taken = pair.cutting.announce(&change);
                prop_assert_eq!(&pair.adopting.announce(&change), &taken);
                announced.extend(taken.is_ok().then_some(change));
            }
            let released = pair.extend(time_ms, &randoms);
            // The registry of a height is the first with all changes up to it, made in order.
            let mut expected = pair.first.clone();
            let mut due: Vec<_> = announced.iter().filter(|one| one.at <= height).collect();
            due.sort_by_key(|change| (change.at, change.number));
            for change in due {
                let slots = pair.first.slots().unwrap();
                expected = change.action.applied(&expected, slots.as_ref()).unwrap();
            }
            let registry = pair.cutting.registry();
            prop_assert_eq!(registry, &expected);
            prop_assert_eq!(released.release.header.registry, expected.digest());
            let simulated: Vec<_> = pair.cutting.states().digests().into_keys().collect();
            prop_assert_eq!(simulated, registry.chain_ids());
            for leaf in &released.release.leaves {
                match &leaf.outcome {
                    Outcome::Carried { .. } => {
                        waits.insert(leaf.id);
                        continue;
                    }
                    Outcome::Released { legs, .. } => for leg in legs {
                        let rollup = registry.rollup(leg.chain_id);
                        prop_assert!(rollup.is_some_and(|rollup| !rollup.paused));
                        let batch = released.release.batch(leg.chain_id).unwrap();
                        prop_assert!(batch.leg(&leaf.id).is_some());
                    }
                    Outcome::Failed(Failed::RollupPaused { rollup }) => {
                        prop_assert!(registry.rollup(*rollup).is_some_and(|one| one.paused));
                    }
                    Outcome::Failed(Failed::UnknownRollup { rollup }) => {
                        let joined = pair.cutting.schedule().joined().get(rollup);
                        let later = joined.is_some_and(|at| *at > leaf.position.height);
                        prop_assert!(later || registry.rollup(*rollup).is_none());
                    }
                    _ => {}
                }
                waits.remove(&leaf.id);
            }
            for batch in &released.release.batches {
                for (_, range) in batch.bundles() {
                    let before = last.insert(batch.chain_id, range.position);
                    prop_assert!(before.is_none_or(|before| before < range.position));
                    let leaf = released.release.leaves.iter().find(|leaf| leaf.id == range.id);
                    let legs = leaf.map(|leaf| leaf.outcome.legs()).unwrap_or_default();
                    prop_assert!(legs.iter().any(|leg| leg.chain_id == batch.chain_id));
                }
            }
        }
        prop_assert!(waits.is_empty() && pair.cutting.waiting().is_empty());
    }
}
