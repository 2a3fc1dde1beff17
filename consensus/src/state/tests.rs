#![allow(clippy::unwrap_used)]

use fairveil_crypto::certificate::Placement;
use fairveil_crypto::envelope::SizeClass;
use fairveil_crypto::{ConsensusSecret, Epoch, KeyId, NetworkId, View};
use fairveil_ordering::{
    Committee, Equivocation, Evidence, FRESH_HEIGHTS, Fragment, LogHead, LogName, Mode, OrderLog,
};
use fairveil_registry::registry::{Registry, Rollup};

use super::*;
use crate::committee::CommitteeError;
use crate::header::ChainId;

mod anchors;
mod ending;
mod rollups;

const EPOCH: Epoch = Epoch::new(1);

/// n sequencers with their logs, and the state of their chain.
struct Bench {
    secrets: Vec<ConsensusSecret>,
    logs: Vec<OrderLog>,
    facts: BTreeMap<BundleId, BundleFacts>,
    state: ChainState,
    now_ms: u64,
    view: View,
}

fn parameters(n: u16, f: u16) -> (Vec<ConsensusSecret>, Parameters) {
    let mut secrets: Vec<_> =
        (0..n).map(|seed| ConsensusSecret::from_seed([seed as u8 + 1; 32])).collect();
    secrets.sort_by_key(ConsensusSecret::public_key);
    let parameters = Parameters {
        id: ChainId {
            network_id: NetworkId::from_bytes([7; 32]),
            epoch: EPOCH,
            start: Height::ZERO,
        },
        keys: secrets.iter().map(ConsensusSecret::public_key).collect(),
        committee: Committee::new(n, f, 0).unwrap(),
        mode: Mode::Strict,
        active_keys: vec![KeyId::from_bytes([9; 32])],
        transcript: Digest::from_bytes([5; 32]),
        accounting: None,
        registry: Registry::new(vec![Rollup::recorder(901, "alpha")]).unwrap(),
    };
    (secrets, parameters)
}

fn id(number: u64) -> BundleId {
    BundleId::from_bytes(hash(Tag::Batch, &[&number.to_be_bytes()]).to_bytes())
}

fn facts(nonce: u64) -> BundleFacts {
    BundleFacts {
        key_id: KeyId::from_bytes([9; 32]),
        valid_from: Height::ZERO,
        expires_at: Height::new(1_000),
        payer: Payer::from_bytes([1; 20]),
        payer_nonce: nonce,
        class: SizeClass::MIN,
    }
}

impl Bench {
    fn new() -> Self {
        let (secrets, parameters) = parameters(5, 1);
        let network_id = parameters.id.network_id;
        let logs = SequencerIndex::all(5)
            .map(|sequencer| OrderLog::new(LogName { network_id, epoch: EPOCH, sequencer }))
            .collect();
        let (_, state) = ChainState::genesis(parameters).unwrap();
        let (facts, now_ms) = (BTreeMap::new(), 1_000_000);
        Self { secrets, logs, facts, state, now_ms, view: View::ZERO }
    }

    fn log(&mut self, number: u64, facts: BundleFacts, members: &[usize]) {
        self.facts.insert(id(number), facts);
        for member in members {
            self.logs[*member].append(id(number)).unwrap();
        }
    }

    fn fragment(&self, member: usize) -> Fragment {
        let log = &self.logs[member];
        let committed = self.state.ordering().committed(log.name().sequencer).unwrap();
        let seen = self.state.tip().height;
        Fragment {
            head: log.sign(seen, self.now_ms + member as u64, &self.secrets[member]),
            ids: log.entries_from(committed.length).unwrap(),
            times_ms: Vec::new(),
        }
    }

    fn body(&self) -> Draft {
        let fragments = (0..5).map(|member| self.fragment(member)).collect();
        Draft { evidence: Evidence { fragments, list: Vec::new() }, ..Draft::default() }
    }

    fn slot(&self) -> Slot {
        Slot {
            epoch: EPOCH,
            view: self.view.next(),
            parent_view: self.view,
            parent: self.state.tip().digest,
            leader: self.secrets[0].public_key(),
        }
    }

    fn extend(&self, draft: Draft) -> Result<(Block, ChainState, BlockOutput), ExtendError> {
        let body = self.state.pack(&draft)?;
        self.state.extend(self.slot(), body, &self.facts)
    }

    fn needed(&self) -> Vec<BundleId> {
        self.state.needed(&self.state.pack(&self.body()).unwrap()).unwrap()
    }

    fn fault(&self, body: Draft) -> BlockFault {
        match self.extend(body).unwrap_err() {
            ExtendError::Fault(fault) => fault,
            ExtendError::Block(error) => panic!("{error}"),
        }
    }

    /// Applies a block and goes on from it.
    fn advance(&mut self, body: Draft) -> BlockOutput {
        let (block, extended, output) = self.extend(body).unwrap();
        let (state, applied) = self.state.apply(&block, &self.facts).unwrap();
        assert_eq!(applied, output);
        assert_eq!(state.digest(), extended.digest());
        assert_eq!(state.tip(), Tip::of(block.header()));
        self.state = state;
        self.view = self.view.next();
        self.now_ms += 100;
        output
    }

    /// A block that certifies everything that can be.
    fn released(&self, body: Draft) -> Draft {
        let (from, to) = (self.state.released().next().get(), self.state.tip().height.get());
        let root = Digest::from_bytes([3; 32]);
        let releases = (from..=to).map(|height| (Height::new(height), root)).take(64).collect();
        Draft { releases, ..body }
    }

    fn resealed(
        &self,
        change: impl FnOnce(&mut fairveil_crypto::certificate::BlockHeader),
    ) -> Block {
        let (block, ..) = self.extend(self.body()).unwrap();
        let mut header = block.header().clone();
        change(&mut header);
        Block::new(header, block.body().clone()).unwrap()
    }
}

fn placements(output: &BlockOutput) -> Vec<(BundleId, Placement)> {
    output.emission.ids().map(|emitted| (emitted.id, emitted.placement)).collect()
}

#[test]
fn every_field_of_a_header_is_judged() {
    let mut bench = Bench::new();
    bench.log(1, facts(1), &[0, 1, 2, 3, 4]);
    let apply = |block: &Block| bench.state.apply(block, &bench.facts).unwrap_err();
    let header = |fault: BlockFault| match fault {
        BlockFault::Header(fault) => fault,
        other => panic!("{other}"),
    };
    let wrong = bench.resealed(|header| header.version = 9);
    assert!(matches!(header(apply(&wrong)), HeaderFault::Version { .. }));
    let wrong = bench.resealed(|header| header.network_id = NetworkId::from_bytes([8; 32]));
    assert!(matches!(header(apply(&wrong)), HeaderFault::Network { .. }));
    let wrong = bench.resealed(|header| header.epoch = EPOCH.next());
    assert!(matches!(header(apply(&wrong)), HeaderFault::Epoch { .. }));
    let wrong = bench.resealed(|header| header.epoch_start = header.epoch_start.next());
    assert!(matches!(header(apply(&wrong)), HeaderFault::Start { .. }));
    let wrong = bench.resealed(|header| header.height = header.height.next());
    assert!(matches!(header(apply(&wrong)), HeaderFault::Height { .. }));
    let wrong = bench.resealed(|header| {
        header.parent = fairveil_crypto::BlockDigest::from_bytes([0; 32]);
    });
    assert!(matches!(header(apply(&wrong)), HeaderFault::Parent { .. }));
    let stranger = ConsensusSecret::from_seed([99; 32]).public_key();
    let wrong = bench.resealed(|header| header.leader = stranger);
    assert_eq!(apply(&wrong), BlockFault::Leader(stranger));
    for change in [1, u64::MAX] {
        let wrong = bench.resealed(|header| header.time_ms = header.time_ms.wrapping_add(change));
        assert!(matches!(header(apply(&wrong)), HeaderFault::Time { .. }));
    }
    let wrong = bench.resealed(|header| header.result_root = Digest::from_bytes([1; 32]));
    assert!(matches!(header(apply(&wrong)), HeaderFault::ResultRoot { .. }));
    bench.state.apply(&bench.resealed(|_| ()), &bench.facts).unwrap();
}

#[test]
fn time_is_the_lower_median_of_fresh_heads_and_always_rises() {
    let mut bench = Bench::new();
    bench.advance(bench.body());
    assert_eq!(bench.state.tip().time_ms, 1_000_002, "the third of five");
    let mut four = bench.body();
    four.evidence.fragments.remove(4);
    bench.advance(four);
    assert_eq!(bench.state.tip().time_ms, 1_000_101, "the second of four");
    bench.now_ms = 5;
    bench.advance(bench.body());
    assert_eq!(bench.state.tip().time_ms, 1_000_102, "clocks that go back don't take it along");
}

#[test]
fn evidence_must_be_complete_signed_and_fresh() {
    let mut bench = Bench::new();
    bench.log(1, facts(1), &[0, 1, 2, 3, 4]);
    let mut omitted = bench.body();
    omitted.evidence.fragments[2].ids.clear();
    assert!(matches!(
        bench.fault(omitted),
        BlockFault::Ordering(ordering::BlockError::Length { .. })
    ));
    let mut swapped = bench.body();
    swapped.evidence.fragments[2].ids[0] = id(2);
    assert!(matches!(
        bench.fault(swapped),
        BlockFault::Ordering(ordering::BlockError::Chain { .. })
    ));
    let mut forged = bench.body();
    forged.evidence.fragments[2].head.time_ms += 1;
    assert!(matches!(bench.fault(forged), BlockFault::Evidence(_)));
    let mut few = bench.body();
    few.evidence.fragments.truncate(3);
    assert!(matches!(
        bench.fault(few),
        BlockFault::Ordering(ordering::BlockError::TooFewFresh { actual: 3, needed: 4 })
    ));
    let stale: Vec<_> = (3..5).map(|member| bench.fragment(member)).collect();
    bench.advance(bench.body());
    for _ in 0..FRESH_HEIGHTS {
        bench.advance(bench.released(bench.body()));
    }
    let mut old = bench.body();
    for (fragment, stale) in old.evidence.fragments[3..].iter_mut().zip(stale) {
        fragment.head = stale.head;
    }
    assert!(matches!(
        bench.fault(old),
        BlockFault::Ordering(ordering::BlockError::TooFewFresh { actual: 3, needed: 4 })
    ));
}

#[test]
fn bundles_are_needed_at_the_edge_and_not_before() {
    let mut bench = Bench::new();
    bench.log(1, facts(1), &[0]);
    assert_eq!(bench.needed(), []);
    let known = std::mem::take(&mut bench.facts);
    bench.advance(bench.body());
    bench.logs[1].append(id(1)).unwrap();
    assert_eq!(bench.needed(), [id(1)]);
    assert_eq!(bench.fault(bench.body()), BlockFault::Missing(vec![id(1)]));
    bench.facts = known;
    assert_eq!(bench.advance(bench.body()).reached_edge, [id(1)]);
    assert!(bench.state.has_backlog());
    bench.logs[2].append(id(1)).unwrap();
    bench.facts.clear();
    let output = bench.advance(bench.body());
    assert_eq!(placements(&output), [(id(1), Placement::Open)], "its facts are in the state");
    assert!(!bench.state.has_backlog());
}

#[test]
fn windows_and_keys_are_judged_when_an_id_reaches_the_edge() {
    let window = |valid_from, expires_at| BundleFacts {
        valid_from: Height::new(valid_from),
        expires_at: Height::new(expires_at),
        ..facts(1)
    };
    for (facts, fine) in [
        (window(0, 1), true),
        (window(1, 1 + MAX_WINDOW_HEIGHTS), true),
        (window(2, 50), false),
        (window(0, 2 + MAX_WINDOW_HEIGHTS), false),
    ] {
        let mut bench = Bench::new();
        bench.log(1, facts, &[0, 1, 2, 3, 4]);
        if fine {
            bench.advance(bench.body());
        } else {
            assert!(matches!(bench.fault(bench.body()), BlockFault::Window { .. }));
        }
    }
    let mut bench = Bench::new();
    bench.log(1, BundleFacts { key_id: KeyId::from_bytes([8; 32]), ..facts(1) }, &[0, 1, 2]);
    assert!(matches!(bench.fault(bench.body()), BlockFault::Key { .. }));
}

#[test]
fn the_first_id_consumes_a_pair_for_so_many_heights() {
    let mut bench = Bench::new();
    bench.log(1, facts(7), &[0, 1, 2, 3, 4]);
    bench.log(2, facts(7), &[0, 1, 2, 3, 4]);
    bench.log(3, facts(8), &[0, 1, 2, 3, 4]);
    let output = bench.advance(bench.body());
    let expected =
        [(id(1), Placement::Open), (id(2), Placement::NonceUsed), (id(3), Placement::Open)];
    assert_eq!(placements(&output), expected);
    bench.log(4, facts(8), &[0, 1, 2, 3, 4]);
    let output = bench.advance(bench.body());
    assert_eq!(placements(&output), [(id(4), Placement::NonceUsed)]);
    assert!(bench.state.is_consumed(&Payer::from_bytes([1; 20]), 7));
    assert!(!bench.state.is_consumed(&Payer::from_bytes([1; 20]), 9));
    let pair = (Payer::from_bytes([1; 20]), 7);
    let last = Height::new(1).saturating_add(NONCE_HEIGHTS);
    assert!(bench.state.nonces.contains(&pair, last));
    assert!(!bench.state.nonces.contains(&pair, last.next()));
}

#[test]
fn an_id_that_expires_while_it_is_pending_keeps_its_place_and_its_nonce() {
    let mut bench = Bench::new();
    // Both are shaded (two of five logs) behind a solid third one, so their order is undecided.
    let short = BundleFacts { expires_at: Height::new(2), ..facts(7) };
    bench.facts.insert(id(1), short);
    bench.facts.insert(id(2), facts(8));
    bench.facts.insert(id(3), facts(9));
    for (member, ids) in [vec![1, 2, 3], vec![2, 1, 3], vec![3], vec![], vec![]].iter().enumerate()
    {
        for number in ids {
            bench.logs[member].append(id(*number)).unwrap();
        }
    }
    for _ in 0..4 {
        assert_eq!(placements(&bench.advance(bench.body())), [], "undecided");
    }
    for member in 2..5 {
        for number in [1, 2, 3] {
            let _ = bench.logs[member].append(id(number));
        }
    }
    let outputs = placements(&bench.advance(bench.body()));
    assert_eq!(outputs.len(), 3);
    assert!(outputs.contains(&(id(1), Placement::Expired)));
    assert!(outputs.contains(&(id(2), Placement::Open)));
    assert!(!bench.state.has_backlog());
    bench.log(4, facts(7), &[0, 1, 2, 3, 4]);
    let output = bench.advance(bench.body());
    assert_eq!(placements(&output), [(id(4), Placement::NonceUsed)], "expired, and consumed");
}

#[test]
fn releases_come_in_order_from_the_oldest_unreleased_height() {
    let mut bench = Bench::new();
    let root = Digest::from_bytes([3; 32]);
    for _ in 0..3 {
        bench.advance(bench.body());
    }
    for releases in [vec![2], vec![0], vec![1, 3], vec![1, 1], vec![1, 2, 3, 4]] {
        let releases = releases.into_iter().map(|height| (Height::new(height), root)).collect();
        let body = Body { releases, ..bench.body() };
        assert!(matches!(bench.fault(body), BlockFault::ReleaseOrder { .. }));
    }
    let releases = vec![(Height::new(1), root), (Height::new(2), root)];
    let output = bench.advance(Body { releases: releases.clone(), ..bench.body() });
    assert_eq!(output.released, releases);
    assert_eq!(bench.state.released(), Height::new(2));
    assert_eq!(bench.state.unreleased(), 2);
}

#[test]
fn too_many_unreleased_heights_stop_ids_and_not_blocks() {
    let mut bench = Bench::new();
    while bench.state.unreleased() <= MAX_UNRELEASED {
        assert_eq!(bench.state.intake(), Intake::Open);
        bench.advance(bench.body());
    }
    assert_eq!(bench.state.intake(), Intake::Stopped);
    let empty = bench.body();
    bench.log(1, facts(1), &[0, 1, 2, 3, 4]);
    let fault = bench.fault(bench.body());
    assert_eq!(fault, BlockFault::IntakeStopped { ids: 5, unreleased: MAX_UNRELEASED + 1 });
    bench.advance(bench.released(empty));
    assert_eq!(bench.state.intake(), Intake::Open);
    assert_eq!(placements(&bench.advance(bench.body())).len(), 1);
}

#[test]
fn a_forked_log_convicts_once() {
    let mut bench = Bench::new();
    let name = *bench.logs[2].name();
    let sign = |numbers: &[u64]| {
        let ids: Vec<_> = numbers.iter().map(|number| id(*number)).collect();
        let tip = name.start().after_all(&ids);
        LogHead::sign(&name, tip, Height::ZERO, 1, &bench.secrets[2])
    };
    let proof = |one, other| SystemEntry::ForkedLog(Equivocation { one, other });
    let fork = proof(sign(&[1]), sign(&[2]));
    let nothing = proof(sign(&[1]), sign(&[1]));
    let lengths = proof(sign(&[1]), sign(&[1, 2]));
    for entry in [nothing, lengths] {
        let body = Body { system: vec![entry], ..bench.body() };
        assert!(matches!(bench.fault(body), BlockFault::Log(_)));
    }
    let twice = Body { system: vec![fork.clone(), fork.clone()], ..bench.body() };
    let culprit = name.sequencer;
    assert_eq!(bench.fault(twice), BlockFault::Convicted(culprit));
    let output = bench.advance(Body { system: vec![fork.clone()], ..bench.body() });
    assert_eq!(output.convicted, [culprit]);
    assert_eq!(bench.state.convicts(&fork), Err(BlockFault::Convicted(culprit)));
}

#[test]
fn a_restored_state_is_equal_and_continues_equally() {
    let mut bench = Bench::new();
    for number in 0..40 {
        let members: &[usize] = if number % 3 == 0 { &[0, 1] } else { &[0, 1, 2, 3, 4] };
        bench.log(number, facts(number / 2), members);
        let body = if number % 5 == 0 { bench.released(bench.body()) } else { bench.body() };
        bench.advance(body);
        let bytes = bench.state.snapshot();
        let restored = ChainState::restore(parameters(5, 1).1, &bytes).unwrap();
        assert_eq!(restored.digest(), bench.state.digest());
        assert_eq!(restored.snapshot(), bytes);
        assert_eq!(restored.tip(), bench.state.tip());
        bench.state = restored;
    }
    assert!(bench.state.has_backlog());
    let bytes = bench.state.snapshot();
    let other = parameters(4, 0).1;
    assert_eq!(ChainState::restore(other, &bytes).unwrap_err(), RestoreError::Foreign);
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        assert!(ChainState::restore(parameters(5, 1).1, &bytes[..cut]).is_err());
    }
}

#[test]
fn states_with_another_future_have_another_digest() {
    let mut bench = Bench::new();
    bench.advance(bench.body());
    let base = bench.state.digest();
    let (_, released, _) = bench.extend(bench.released(bench.body())).unwrap();
    let (_, plain, _) = bench.extend(bench.body()).unwrap();
    bench.log(1, facts(1), &[0, 1, 2, 3, 4]);
    let (_, emitted, _) = bench.extend(bench.body()).unwrap();
    bench.facts.insert(id(1), facts(2));
    let (_, other_nonce, _) = bench.extend(bench.body()).unwrap();
    let digests = [base, released.digest(), plain.digest(), emitted.digest(), other_nonce.digest()];
    for (position, digest) in digests.iter().enumerate() {
        assert!(!digests[..position].contains(digest), "state {position}");
    }
}

#[test]
fn parameters_that_contradict_each_other_are_refused() {
    let (_, given) = parameters(5, 1);
    let mut few = given.clone();
    few.keys.pop();
    let expected = ParametersError::Size { actual: 4, expected: 5 };
    assert_eq!(ChainState::genesis(few).unwrap_err(), expected);
    let mut unsorted = given;
    unsorted.keys.swap(0, 1);
    assert!(matches!(
        ChainState::genesis(unsorted).unwrap_err(),
        ParametersError::Committee(CommitteeError::Order)
    ));
}

mod accounting;
