//! Signed logs, evidence, heads, snapshots.

use std::collections::BTreeMap;

use fairveil_crypto::{
    BlockDigest, BundleId, ConsensusPublicKey, ConsensusSecret, Digest, Epoch, Height, NetworkId,
    SequencerIndex,
};
use proptest::prelude::*;

use super::counterexamples::letter;
use crate::{
    AlreadyLogged, Block, BlockError, Committee, Equivocation, EquivocationError, Evidence,
    EvidenceError, FRESH_HEIGHTS, Fragment, LogHead, LogName, MAX_IDS_PER_BLOCK, Mode, OrderError,
    OrderLog, Output, Phase, State, VerifiedEvidence, median_time_ms,
};

const NETWORK: NetworkId = NetworkId::from_bytes([7; 32]);
const EPOCH: Epoch = Epoch::new(3);

fn sequencer(number: u16) -> SequencerIndex {
    SequencerIndex::new(number).unwrap()
}

/// Five sequencers with their logs, and the state that all share.
#[derive(Clone)]
struct Network {
    logs: Vec<OrderLog>,
    state: State,
}

fn secret(number: u16) -> ConsensusSecret {
    ConsensusSecret::from_seed([number as u8; 32])
}

fn keys() -> Vec<ConsensusPublicKey> {
    (1..=5).map(|number| secret(number).public_key()).collect()
}

impl Network {
    fn new() -> Self {
        let committee = Committee::new(5, 1, 0).unwrap();
        let name = |sequencer| LogName { network_id: NETWORK, epoch: EPOCH, sequencer };
        Self {
            logs: SequencerIndex::all(5).map(|index| OrderLog::new(name(index))).collect(),
            state: State::new(NETWORK, EPOCH, committee, Mode::Strict, Height::new(100)),
        }
    }

    fn append(&mut self, number: u16, ids: &str) {
        for id in ids.chars() {
            self.logs[usize::from(number) - 1].append(letter(id)).unwrap();
        }
    }

    fn next(&self) -> Height {
        self.state.order().height().next()
    }

    fn fragment(&self, number: u16, height_seen: u64, time_ms: u64) -> Fragment {
        let log = &self.logs[usize::from(number) - 1];
        let committed = self.state.committed(sequencer(number)).unwrap();
        Fragment {
            head: log.sign(Height::new(height_seen), time_ms, &secret(number)),
            ids: log.entries_from(committed.length).unwrap(),
            times_ms: Vec::new(),
        }
    }

    /// Everything of these sequencers, fresh.
    fn evidence(&self, numbers: &[u16]) -> Evidence {
        let seen = self.state.order().height().get();
        let fragment = |number: &u16| self.fragment(*number, seen, 1_000 * u64::from(*number));
        Evidence { fragments: numbers.iter().map(fragment).collect(), list: vec![] }
    }

    fn apply(&mut self, evidence: Evidence) -> Result<Output, BlockError> {
        let evidence = verified(evidence);
        let reaching = self.state.would_reach_edge(&evidence);
        let expiries = reaching.into_iter().map(|id| (id, Height::new(500))).collect();
        let output = self.state.apply(&Block {
            height: self.next(),
            parent: BlockDigest::from_bytes([8; 32]),
            phase: Phase::Ordering,
            evidence: &evidence,
            expiries: &expiries,
        })?;
        for (log, sequencer) in self.logs.iter_mut().zip(SequencerIndex::all(5)) {
            log.drop_committed(self.state.committed(sequencer).unwrap().length);
        }
        Ok(output)
    }
}

fn verified(evidence: Evidence) -> VerifiedEvidence {
    evidence.verify(&NETWORK, EPOCH, &keys()).unwrap()
}

fn flat(output: &Output) -> String {
    let ids = output.emission.cohorts.concat();
    ids.iter().map(|emitted| emitted.id.as_bytes()[0] as char).collect()
}

#[test]
fn signed_fragments_are_ordered_and_committed() {
    let mut network = Network::new();
    for number in 1..=4 {
        network.append(number, "abc");
    }
    let output = network.apply(network.evidence(&[1, 2, 3, 4])).unwrap();
    assert_eq!(flat(&output), "abc");
    assert_eq!(network.state.committed(sequencer(1)), Some(network.logs[0].tip()));
    network.append(1, "d");
    network.append(5, "abcd");
    network.append(2, "d");
    let output = network.apply(network.evidence(&[1, 2, 3, 5])).unwrap();
    assert_eq!(flat(&output), "d");
    assert_eq!(network.logs[4].tip().length, 4);
}

#[test]
fn a_fragment_must_continue_the_committed_chain() {
    let mut network = Network::new();
    network.append(1, "ab");
    let good = network.evidence(&[1, 2, 3, 4]);
    let mut short = good.clone();
    short.fragments[0].ids.pop();
    let mut swapped = good.clone();
    swapped.fragments[0].ids.swap(0, 1);
    let before = network.state.digest();
    let refused = network.apply(short);
    assert!(matches!(refused, Err(BlockError::Length { actual: 1, length: 2, .. })), "{refused:?}");
    let refused = network.apply(swapped);
    assert!(matches!(refused, Err(BlockError::Chain { .. })), "{refused:?}");
    assert_eq!(network.state.digest(), before, "a refused block changes nothing");
    network.apply(good.clone()).unwrap();
    let refused = network.apply(good);
    assert!(matches!(refused, Err(BlockError::Length { committed: 2, .. })), "{refused:?}");
    let heartbeat = network.evidence(&[1, 2, 3, 4]);
    assert!(heartbeat.fragments.iter().all(|fragment| fragment.ids.is_empty()));
    network.apply(heartbeat).unwrap();
}

#[test]
fn ce5_a_stale_head_is_admitted_but_does_not_count() {
    let mut network = Network::new();
    let height = network.next().get();
    let oldest = height - FRESH_HEIGHTS;
    let heads = |seen: [u64; 5]| {
        let fragment = |number: u16| network.fragment(number, seen[usize::from(number) - 1], 5);
        Evidence { fragments: (1..=5).map(fragment).collect(), list: vec![] }
    };
    let few = BlockError::TooFewFresh { actual: 3, needed: 4 };
    let future = heads([height, oldest - 1, oldest, oldest, oldest]);
    assert_eq!(network.clone().apply(future), Err(few));
    assert!(network.clone().apply(heads([height, oldest, oldest, oldest, oldest])).is_ok());

    network.append(5, "x");
    let seen = [oldest, oldest, oldest, height - 1, 0];
    let fragment = |number: u16| network.fragment(number, seen[usize::from(number) - 1], 5);
    let stale = Evidence { fragments: (1..=5).map(fragment).collect(), list: vec![] };
    network.apply(stale).unwrap();
    assert_eq!(network.state.committed(sequencer(5)).unwrap().length, 1, "its log is not frozen");
}

#[test]
fn block_time_is_the_lower_median_of_fresh_heads() {
    let network = Network::new();
    let evidence = verified(network.evidence(&[1, 2, 3, 4]));
    assert_eq!(median_time_ms(Height::new(101), &evidence), Some(2_000));
    assert_eq!(median_time_ms(Height::new(100), &evidence), None, "none is fresh there");
    let mut stale = network.evidence(&[1, 2, 3]).fragments;
    stale.push(network.fragment(4, 1, 0));
    stale.push(network.fragment(5, 99, 1));
    let evidence = verified(Evidence { fragments: stale, list: vec![] });
    assert_eq!(median_time_ms(Height::new(101), &evidence), Some(1_000));
}

#[test]
fn evidence_that_no_state_accepts() {
    let network = Network::new();
    let verify = |evidence: Evidence| evidence.verify(&NETWORK, EPOCH, &keys()).err();
    let good = network.evidence(&[1, 2, 3, 4]);
    assert_eq!(verify(good.clone()), None);
    let unsorted = network.evidence(&[2, 1, 3, 4]);
    assert_eq!(verify(unsorted), Some(EvidenceError::Unsorted { sequencer: sequencer(1) }));
    let doubled = network.evidence(&[1, 2, 2, 4]);
    assert_eq!(verify(doubled), Some(EvidenceError::Unsorted { sequencer: sequencer(2) }));
    let mut changed = good.clone();
    changed.fragments[2].head.time_ms += 1;
    assert_eq!(verify(changed), Some(EvidenceError::Signature { sequencer: sequencer(3) }));
    let other = NetworkId::from_bytes([6; 32]);
    let refused = good.clone().verify(&other, EPOCH, &keys()).err();
    assert_eq!(refused, Some(EvidenceError::Signature { sequencer: sequencer(1) }));
    let refused = good.clone().verify(&NETWORK, EPOCH.next(), &keys()).err();
    assert!(matches!(refused, Some(EvidenceError::Epoch { .. })), "{refused:?}");
    let refused = good.clone().verify(&NETWORK, EPOCH, &keys()[..3]).err();
    let unknown = EvidenceError::UnknownSequencer { sequencer: sequencer(4), n: 3 };
    assert_eq!(refused, Some(unknown));
    let list = vec![letter('x'); MAX_IDS_PER_BLOCK + 1];
    let (actual, limit) = (MAX_IDS_PER_BLOCK + 1, MAX_IDS_PER_BLOCK);
    let too_many = EvidenceError::TooManyIds { actual, limit };
    assert_eq!(verify(Evidence { list, ..good }), Some(too_many));
}

#[test]
fn entries_that_the_order_refuses() {
    let mut network = Network::new();
    network.append(1, "a");
    network.apply(network.evidence(&[1, 2, 3, 4])).unwrap();
    // A writer that forgot what it wrote: the chain is right, the id is repeated.
    let name = *network.logs[0].name();
    network.logs[0] = OrderLog::resume(name, network.logs[0].tip(), [], [letter('a')]).unwrap();
    let refused = network.apply(network.evidence(&[1, 2, 3, 4]));
    let repeated = OrderError::RepeatedId { sequencer: sequencer(1), id: letter('a') };
    assert_eq!(refused, Err(BlockError::Order(repeated)));
}

#[test]
fn two_logs_of_one_length_convict() {
    let name = LogName { network_id: NETWORK, epoch: EPOCH, sequencer: sequencer(2) };
    let key = secret(2).public_key();
    let head = |ids: &[char], seen: u64| {
        let ids: Vec<BundleId> = ids.iter().map(|id| letter(*id)).collect();
        let tip = name.start().after_all(&ids);
        LogHead::sign(&name, tip, Height::new(seen), 77, &secret(2))
    };
    let evidence = Equivocation { one: head(&['a', 'b'], 5), other: head(&['b', 'a'], 9) };
    assert_eq!(evidence.verify(&NETWORK, &key), Ok(()));
    let bytes = fairveil_crypto::encoding::encode(&evidence);
    let decoded = fairveil_crypto::encoding::decode::<Equivocation>(&bytes, 1_000).unwrap();
    assert_eq!(decoded.verify(&NETWORK, &key), Ok(()), "self-contained");

    let verify = |one, other| Equivocation { one, other }.verify(&NETWORK, &key).unwrap_err();
    let (one, other) = (head(&['a'], 5), head(&['a'], 9));
    assert_eq!(verify(one, other), EquivocationError::SameChain { head: one.head });
    let lengths = EquivocationError::Lengths { one: 1, other: 2 };
    assert_eq!(verify(one, head(&['a', 'b'], 5)), lengths);
    let forged = LogHead { head: Digest::from_bytes([1; 32]), ..one };
    let unsigned = |head| EquivocationError::Signature { sequencer: sequencer(2), head };
    assert_eq!(verify(one, forged), unsigned(forged.head));
    let theirs = LogHead { sequencer: sequencer(3), ..one };
    assert!(matches!(verify(one, theirs), EquivocationError::Sequencers { .. }));
    let later = LogHead { epoch: EPOCH.next(), ..one };
    assert!(matches!(verify(one, later), EquivocationError::Epochs { .. }));
    let strange = secret(4).public_key();
    assert_eq!(evidence.verify(&NETWORK, &strange), Err(unsigned(evidence.one.head)));
}

#[test]
fn an_own_log_resumes_where_it_was() {
    let mut log = Network::new().logs.remove(0);
    for id in "abcd".chars() {
        log.append(letter(id)).unwrap();
    }
    assert_eq!(log.append(letter('b')), Err(AlreadyLogged { id: letter('b') }));
    log.drop_committed(2);
    assert_eq!(log.entries_from(1), None);
    assert_eq!(log.entries_from(2), Some(vec![letter('c'), letter('d')]));
    assert_eq!(log.entries_from(4), Some(vec![]));
    assert_eq!(log.entries_from(5), None);
    let committed = log.name().start().after(&letter('a')).after(&letter('b'));
    let earlier = [letter('a'), letter('b')];
    let entries = log.entries_from(2).unwrap();
    let resumed = OrderLog::resume(*log.name(), committed, earlier, entries).unwrap();
    assert_eq!(resumed.tip(), log.tip());
    let seen = Height::new(4);
    assert_eq!(resumed.sign(seen, 5, &secret(1)), log.sign(seen, 5, &secret(1)));
    assert!(resumed.contains(&letter('a')));
    let mut resumed = resumed;
    resumed.retain_remembered(|id| *id == letter('b'));
    let contained = "abcd".chars().filter(|id| resumed.contains(&letter(*id)));
    assert_eq!(contained.collect::<String>(), "bcd", "open entries are never forgotten");
}

#[test]
fn the_snapshot_of_a_signed_state_and_frozen_bytes() {
    let mut network = Network::new();
    for (number, ids) in [(1, "ayzs"), (2, "azys"), (3, "as")] {
        network.append(number, ids);
    }
    network.apply(network.evidence(&[1, 2, 3, 4])).unwrap();
    assert_eq!(network.state.order().pending().len(), 3);
    let bytes = network.state.snapshot();
    let restored = State::restore(&bytes).unwrap();
    assert_eq!(restored.snapshot(), bytes);
    assert_eq!(restored.digest(), network.state.digest());
    assert_eq!(restored.network_id(), NETWORK);
    // Chain, key, tree and state digests are fixed for ever by this value.
    let frozen = "0xca7eb3e7c6932b77bb2718ba9030845b3a5c456492bfeeab8b5f024643459feb";
    assert_eq!(network.state.digest().to_string(), frozen);
    network.state = restored;
    network.append(3, "yz");
    assert_eq!(flat(&network.apply(network.evidence(&[1, 2, 3, 4])).unwrap()), "yzs");
}

fn snapshot() -> Vec<u8> {
    let mut network = Network::new();
    for (number, ids) in [(1, "ayzs"), (2, "azys"), (3, "as")] {
        network.append(number, ids);
    }
    network.apply(network.evidence(&[1, 2, 3, 4])).unwrap();
    network.state.snapshot()
}

proptest! {
    #[test]
    fn mutated_snapshots_never_panic_and_stay_canonical(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = snapshot();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        if let Ok(mut state) = State::restore(&bytes) {
            prop_assert_eq!(state.snapshot(), bytes);
            let evidence = Evidence::default().verify(&NETWORK, state.epoch(), &[]).unwrap();
            let expiries = BTreeMap::new();
            let height = state.order().height().next();
            let phase = Phase::Ordering;
            let block = Block {
                height,
                parent: BlockDigest::from_bytes([0; 32]),
                phase,
                evidence: &evidence,
                expiries: &expiries,
            };
            let _ = state.apply(&block);
            let step = crate::Step {
                height,
                seed: Digest::from_bytes([0; 32]),
                phase,
                appended: &[],
                list: &[],
                expiries: &expiries,
            };
            let _ = state.order.apply(&step);
        }
    }
}
