//! From an announced resharing to the first block of the next epoch.

use super::*;
use crate::entries::EntriesFault;
use crate::epoch::{HANDOVER_HEIGHTS, Handover, Resharing, Successor};
use crate::state::ending::{EndingFault, NextEpochError};

const ROUND: Digest = Digest::from_bytes([31; 32]);

fn resharing(ceremony: Digest, boundary: u64) -> Resharing {
    let boundary = Height::new(boundary);
    Resharing { ceremony, round: 0, boundary, definition: b"seven members".to_vec() }
}

/// Seven members, five of whom were members before.
fn successors() -> Vec<ConsensusSecret> {
    parameters(7, 1).0
}

fn successor() -> Successor {
    Successor {
        ceremony: ROUND,
        keys: successors().iter().map(ConsensusSecret::public_key).collect(),
        f: 1,
        g: 0,
        key_id: KeyId::from_bytes([9; 32]),
        transcript: Digest::from_bytes([6; 32]),
    }
}

fn entry(byte: u8) -> SystemEntry {
    SystemEntry::CeremonyEntry(vec![byte; 3])
}

impl Bench {
    fn with(&self, system: impl IntoIterator<Item = SystemEntry>) -> Draft {
        Draft { system: system.into_iter().collect(), ..self.body() }
    }

    fn ending_fault(&self, system: impl IntoIterator<Item = SystemEntry>) -> EndingFault {
        match self.fault(self.with(system)) {
            BlockFault::Ending(fault) => fault,
            fault => panic!("{fault}"),
        }
    }

    fn announce(&mut self) {
        let body = self.with([SystemEntry::Resharing(resharing(ROUND, 0))]);
        self.advance(body);
    }

    fn hand_over(&mut self) -> Height {
        let handover = self.state.handover_to(successor()).unwrap();
        let boundary = handover.boundary;
        let body = self.with([SystemEntry::Handover(handover)]);
        self.advance(body);
        boundary
    }

    /// Empty blocks, with releases, up to this height.
    fn idle_until(&mut self, height: Height) {
        while self.state.tip().height < height {
            let body = self.released(self.body());
            self.advance(body);
        }
    }
}

#[test]
fn invariant_1_one_resharing_is_open_and_no_round_comes_twice() {
    let mut bench = Bench::new();
    let announced = |ceremony| SystemEntry::Resharing(resharing(ceremony, 0));
    let output = bench.advance(bench.with([announced(ROUND)]));
    assert_eq!(output.ending.resharing, Some(resharing(ROUND, 0)));
    assert_eq!(bench.state.open_resharing().unwrap().since, Height::new(1));
    assert_eq!(bench.ending_fault([announced(ROUND)]), EndingFault::Announced(ROUND));
    assert!(!bench.state.may_announce(&resharing(ROUND, 0)));
    bench.advance(bench.with([entry(1)]));
    let second = Digest::from_bytes([32; 32]);
    let next = Resharing { round: 1, ..resharing(second, 0) };
    for round in [0, 2, u64::MAX] {
        let wrong = Resharing { round, ..next.clone() };
        let fault = EndingFault::Round { actual: round, expected: 1 };
        assert_eq!(bench.ending_fault([SystemEntry::Resharing(wrong)]), fault);
    }
    assert!(bench.state.may_announce(&next));
    bench.advance(bench.with([SystemEntry::Resharing(next)]));
    assert_eq!(bench.state.open_resharing().unwrap().agreed.count(), 0, "entries begin anew");
    assert_eq!(bench.ending_fault([announced(ROUND)]), EndingFault::Announced(ROUND));
    assert!(bench.state.handover_to(successor()).is_none(), "of the first round");
    let later = Digest::from_bytes([33; 32]);
    bench.state.ending = Default::default();
    bench.announce();
    bench.hand_over();
    assert_eq!(bench.ending_fault([announced(later)]), EndingFault::HandedOver);
}

#[test]
fn invariant_2_entries_are_agreed_once_between_announcement_and_handover() {
    let mut bench = Bench::new();
    assert_eq!(bench.ending_fault([entry(1)]), EndingFault::NotOpen);
    let both = [SystemEntry::Resharing(resharing(ROUND, 0)), entry(1)];
    assert_eq!(bench.ending_fault(both), EndingFault::NotOpen, "above it alone");
    bench.announce();
    let output = bench.advance(bench.with([entry(1), entry(2)]));
    assert_eq!(output.ending.entries, [vec![1; 3], vec![2; 3]]);
    let entries = EntriesFault::Repeated { entry: crate::entries::entry_digest(&[2; 3]) };
    assert_eq!(bench.ending_fault([entry(2)]), EndingFault::Entries(entries));
    let before = bench.state.digest();
    let (_, other, _) = bench.extend(bench.with([entry(3)])).unwrap();
    let (_, plain, _) = bench.extend(bench.body()).unwrap();
    assert!(before != other.digest() && other.digest() != plain.digest());
    bench.hand_over();
    assert_eq!(bench.ending_fault([entry(4)]), EndingFault::HandedOver);
}

#[test]
fn invariant_3_a_handover_is_of_the_open_ceremony_at_the_ruled_boundary() {
    let mut bench = Bench::new();
    assert!(bench.state.handover_to(successor()).is_none(), "nothing is open");
    bench.announce();
    let good = bench.state.handover_to(successor()).unwrap();
    assert_eq!(good.boundary, Height::new(2 + HANDOVER_HEIGHTS));
    let fault = |handover| bench.ending_fault([SystemEntry::Handover(handover)]);
    let other = Digest::from_bytes([1; 32]);
    let ceremony = Successor { ceremony: other, ..successor() };
    assert_eq!(
        fault(Handover { successor: ceremony, ..good.clone() }),
        EndingFault::Ceremony { actual: other, expected: ROUND }
    );
    let epoch = EPOCH.next().next();
    assert_eq!(
        fault(Handover { epoch, ..good.clone() }),
        EndingFault::Epoch { actual: epoch, expected: EPOCH.next() }
    );
    let boundary = good.boundary.next();
    assert_eq!(
        fault(Handover { boundary, ..good.clone() }),
        EndingFault::Boundary { actual: boundary, expected: good.boundary }
    );
    let greedy = Successor { f: 2, ..successor() };
    assert_eq!(fault(Handover { successor: greedy, ..good.clone() }), EndingFault::Successor);
    let mut unsorted = successor();
    unsorted.keys.swap(0, 1);
    assert_eq!(fault(Handover { successor: unsorted, ..good.clone() }), EndingFault::Successor);
    bench.advance(bench.with([SystemEntry::Handover(good.clone())]));
    assert_eq!(bench.ending_fault([SystemEntry::Handover(good)]), EndingFault::HandedOver);
    // A definition may want a later boundary.
    let mut bench = Bench::new();
    bench.advance(bench.with([SystemEntry::Resharing(resharing(ROUND, 500))]));
    assert_eq!(bench.state.handover_to(successor()).unwrap().boundary, Height::new(500));
}

#[test]
fn invariant_4_above_the_boundary_nothing_is_proposed_and_what_was_is_opened_first() {
    let mut bench = Bench::new();
    bench.announce();
    let boundary = bench.hand_over();
    bench.idle_until(boundary.previous().unwrap());
    // Two shaded ids behind a solid one: undecided, so pending beyond the boundary.
    for (number, facts) in [(1, facts(1)), (2, facts(2)), (3, facts(3))] {
        bench.facts.insert(id(number), facts);
    }
    for (member, ids) in [vec![1, 2, 3], vec![2, 1, 3], vec![3], vec![], vec![]].iter().enumerate()
    {
        ids.iter().for_each(|number| assert!(bench.logs[member].append(id(*number)).is_ok()));
    }
    bench.advance(bench.released(bench.body()));
    assert_eq!(bench.state.tip().height, boundary);
    assert!(!bench.state.has_ended(), "three are pending");
    assert_eq!(bench.state.next_epoch().unwrap_err(), NextEpochError::NotEnded);
    bench.log(4, facts(4), &[0, 1, 2, 3, 4]);
    for _ in 0..3 {
        assert_eq!(placements(&bench.advance(bench.released(bench.body()))), []);
    }
    for member in 2..5 {
        for number in [1, 2] {
            // Who has it already is asked again.
            let _ = bench.logs[member].append(id(number));
        }
    }
    let emitted = placements(&bench.advance(bench.released(bench.body())));
    assert_eq!(emitted.len(), 3, "and not the fourth, which is solid");
    assert!(!bench.state.has_ended(), "its release is not certified");
    bench.advance(bench.body());
    assert!(!bench.state.has_ended());
    bench.advance(bench.released(bench.body()));
    assert!(bench.state.has_ended());
    assert_eq!(bench.state.unproposed(), [id(4)]);
}

#[test]
fn invariant_4_an_idle_epoch_ends_at_its_boundary() {
    let mut bench = Bench::new();
    bench.announce();
    let boundary = bench.hand_over();
    while !bench.state.has_ended() {
        bench.advance(bench.body());
    }
    assert_eq!(bench.state.tip().height, boundary, "heights that emitted nothing wait for nobody");
}

#[test]
fn invariant_5_after_the_end_blocks_are_empty_and_change_nothing() {
    let mut bench = Bench::new();
    bench.announce();
    let boundary = bench.hand_over();
    bench.idle_until(boundary);
    assert_eq!(bench.needed(), []);
    assert_eq!(bench.ending_fault([]), EndingFault::Ended, "heads are too much");
    assert!(matches!(
        bench.fault(bench.released(Draft::default())),
        BlockFault::Ending(EndingFault::Ended)
    ));
    let last = bench.state.clone();
    let (first, end) = last.next_epoch().unwrap();
    for step in 1..4 {
        let output = bench.advance(Draft::default());
        assert_eq!(placements(&output), []);
        assert_eq!(bench.state.digest(), last.digest());
        assert_eq!(bench.state.tip().time_ms, last.tip().time_ms + step);
        assert_eq!(bench.state.load(&Body::default()), Load::Idle);
    }
    let again = last.next_epoch().unwrap();
    assert_eq!((again.0, again.1.snapshot()), (first, end.snapshot()));
}

#[test]
fn invariant_6_the_next_epoch_goes_on_with_what_is_settled() {
    let mut bench = Bench::new();
    bench.announce();
    bench.log(1, facts(7), &[0, 1, 2, 3, 4]);
    bench.log(2, facts(8), &[0]);
    bench.advance(bench.body());
    let boundary = bench.hand_over();
    bench.idle_until(boundary);
    let (genesis, state) = bench.state.next_epoch().unwrap();
    let header = genesis.header();
    assert_eq!(
        (header.epoch, header.epoch_start, header.height),
        (EPOCH.next(), boundary, boundary)
    );
    assert_eq!(state.tip(), Tip::of(header));
    assert_eq!((state.members().keys().len(), state.has_ended()), (7, false));
    assert_eq!(state.released(), bench.state.released());
    assert!(state.is_consumed(&Payer::from_bytes([1; 20]), 7));
    assert!(state.open_resharing().is_none() && state.handover().is_none());
    assert!(!state.has_backlog());
    let bytes = state.snapshot();
    let restored = ChainState::restore(state.parameters().clone(), &bytes).unwrap();
    assert_eq!((restored.digest(), restored.snapshot()), (state.digest(), bytes));
    // Another transcript, or another last block, is another beginning.
    assert_ne!(genesis.block_digest(), bench.state.tip().digest);

    let secrets = successors();
    let network_id = state.parameters().id.network_id;
    let logs = SequencerIndex::all(7)
        .map(|sequencer| OrderLog::new(LogName { network_id, epoch: EPOCH.next(), sequencer }))
        .collect();
    let (facts, now_ms, view) = (bench.facts.clone(), bench.now_ms, View::ZERO);
    let mut next = Bench { secrets, logs, facts, state, now_ms, view };
    for number in [2, 1] {
        (0..7).for_each(|member| assert!(next.logs[member].append(id(number)).is_ok()));
    }
    let fragments = (0..7).map(|member| next.fragment(member)).collect();
    let body = Draft { evidence: Evidence { fragments, list: Vec::new() }, ..Draft::default() };
    let slot = Slot { epoch: EPOCH.next(), ..next.slot() };
    let body = next.state.pack(&body).unwrap();
    let (block, after, output) = next.state.extend(slot, body, &next.facts).unwrap();
    assert_eq!(block.header().height, boundary.next());
    assert_eq!(placements(&output), [(id(2), Placement::Open)], "the first was emitted before");
    next.state = after;
}
