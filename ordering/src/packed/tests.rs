#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use fairveil_crypto::{ConsensusSecret, Digest, Epoch, NetworkId};
use proptest::prelude::*;

use super::*;
use crate::{
    Appended, Committee, LogName, Phase, Step,
    naive::{Dice, bundle_id},
};

const NETWORK: NetworkId = NetworkId::from_bytes([7; 32]);
const EPOCH: Epoch = Epoch::new(3);

/// A state after some blocks, with what its logs hold.
struct World {
    state: State,
    contained: Vec<BTreeSet<u32>>,
    clock_ms: u64,
    dice: Dice,
}

impl World {
    fn new(n: u16, mode: Mode, seed: u64) -> Self {
        let committee = Committee::new(n, (n - 1) / 4, 0).unwrap();
        let state = State::new(NETWORK, EPOCH, committee, mode, Height::new(1_000));
        let contained = vec![BTreeSet::new(); n.into()];
        Self { state, contained, clock_ms: 1_800_000_000_000, dice: Dice::new(seed) }
    }

    fn secret(at: usize) -> ConsensusSecret {
        ConsensusSecret::from_seed([at as u8 + 1; 32])
    }

    fn keys(&self) -> Vec<ConsensusPublicKey> {
        (0..self.contained.len()).map(|at| Self::secret(at).public_key()).collect()
    }

    /// Per log these ids, in this order, as far as it lacks them.
    fn evidence(&mut self, columns: &[Vec<u32>], list: &[u32]) -> Evidence {
        let mut fragments = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            let new: Vec<u32> =
                column.iter().filter(|id| !self.contained[at].contains(id)).copied().collect();
            let ids: Vec<BundleId> = new.iter().map(|id| bundle_id(5, *id)).collect();
            let mut times_ms = Vec::new();
            if self.state.order.mode() == Mode::Median {
                for _ in &ids {
                    self.clock_ms += self.dice.below(300) as u64;
                    times_ms.push(self.clock_ms);
                }
            }
            let sequencer = SequencerIndex::from_position(at).unwrap();
            let name = LogName { network_id: NETWORK, epoch: EPOCH, sequencer };
            let tip = self.state.committed(sequencer).unwrap().after_entries(&ids, &times_ms);
            let seen = Height::new(self.state.order.height().get() - self.dice.below(3) as u64);
            let head = LogHead::sign(&name, tip, seen, self.clock_ms, &Self::secret(at));
            fragments.push(Fragment { head, ids, times_ms });
        }
        let list = list.iter().map(|id| bundle_id(5, *id)).collect();
        Evidence { fragments, list }
    }

    fn apply(&mut self, columns: &[Vec<u32>], evidence: &Evidence) {
        let appended: Vec<Appended<'_>> = evidence
            .fragments
            .iter()
            .map(|fragment| Appended {
                sequencer: fragment.head.sequencer,
                ids: &fragment.ids,
                times_ms: &fragment.times_ms,
                clock_ms: fragment.head.time_ms,
            })
            .collect();
        let reaching = self.state.order.would_reach_edge(&appended, &evidence.list).into_iter();
        let expiries = reaching.map(|id| (id, Height::MAX)).collect();
        let step = Step {
            height: self.state.order.height().next(),
            seed: Digest::from_bytes([1; 32]),
            phase: Phase::Ordering,
            appended: &appended,
            list: &evidence.list,
            expiries: &expiries,
        };
        self.state.order.apply(&step).unwrap();
        for fragment in &evidence.fragments {
            self.state.heads[fragment.head.sequencer.position()] = fragment.head.head;
        }
        for (contained, column) in self.contained.iter_mut().zip(columns) {
            contained.extend(column);
        }
    }

    /// Columns of a jittered stream: `ids` ids, each log hears each up to `jitter` places late.
    fn stream(&mut self, from: u32, ids: usize, jitter: usize) -> Vec<Vec<u32>> {
        let mut column = || {
            let mut when: Vec<(usize, u32)> =
                (0..ids).map(|at| (at + self.dice.below(jitter + 1), from + at as u32)).collect();
            when.sort_unstable();
            when.into_iter().map(|(_, id)| id).collect()
        };
        (0..self.contained.len()).map(|_| column()).collect()
    }
}

#[test]
fn invariant_1_random_evidence_comes_back() {
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        let mode = dice.pick(&Mode::ALL);
        let n = dice.pick(&[1, 5, 9, 31]);
        let mut world = World::new(n, mode, seed);
        let mut first = 0;
        for _ in 0..4 {
            let ids = dice.below(40);
            let jitter = dice.pick(&[0, 3, 1_000]);
            let mut columns = world.stream(first, ids, jitter);
            for column in &mut columns {
                column.truncate(dice.below(ids + 1));
            }
            let mut list = Vec::new();
            if mode == Mode::Leader {
                let new = ids as u32 / 2;
                list = (first..first + new).filter(|_| dice.chance(30)).collect();
                dice.shuffle(&mut list);
            }
            let evidence = world.evidence(&columns, &list);
            let packed = world.state.pack(&evidence).unwrap();
            assert_eq!(world.state.unpack(&packed), Ok(evidence.clone()), "seed {seed}");
            let verified = world.state.verify(&packed, &world.keys()).unwrap();
            assert_eq!(*verified.evidence(), evidence);
            let entries: usize = columns_of(&evidence);
            assert_eq!(packed.ids(), entries);
            world.apply(&columns, &evidence);
            first += ids as u32 / 2;
        }
    }
}

fn columns_of(evidence: &Evidence) -> usize {
    columns(evidence).map(Vec::len).sum()
}

proptest! {
    #[test]
    fn invariants_1_and_4_any_bytes(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        shorter in any::<bool>(),
        ids in prop::option::of(any::<u32>()),
        seed in 0u64..8,
    ) {
        let mut world = World::new(5, Mode::ALL[seed as usize % 4], seed);
        let columns = world.stream(0, 12, 4);
        let evidence = world.evidence(&columns, &[]);
        world.apply(&columns, &evidence);
        let columns = world.stream(6, 20, 9);
        let list = if world.state.order.mode() == Mode::Leader { vec![1, 19] } else { vec![] };
        let evidence = world.evidence(&columns, &list);
        let mut packed = world.state.pack(&evidence).unwrap();
        for (at, byte) in changes {
            let at = at.index(packed.bytes.len());
            packed.bytes[at] = byte;
        }
        if shorter {
            packed.bytes.truncate(cut.index(packed.bytes.len()));
        }
        packed.ids = ids.unwrap_or(packed.ids);
        if let Ok(evidence) = world.state.unpack(&packed) {
            prop_assert_eq!(world.state.pack(&evidence), Ok(packed));
        }
    }
}

#[test]
fn invariant_3_known_ids_stand_short_unless_another_begins_alike() {
    let mut world = World::new(5, Mode::Strict, 1);
    let columns = vec![vec![1, 2, 3], vec![], vec![], vec![], vec![]];
    let evidence = world.evidence(&columns, &[]);
    world.apply(&columns, &evidence);
    let later = vec![vec![], vec![1, 2, 3], vec![], vec![], vec![]];
    let mut evidence = world.evidence(&later, &[]);
    evidence.fragments.truncate(2);
    let short = world.state.pack(&evidence).unwrap();
    // A second id that begins like the first one.
    let mut twin = bundle_id(5, 1).to_bytes();
    twin[SHORT_BYTES] ^= 1;
    let twin = BundleId::from_bytes(twin);
    let twin = [twin];
    let step = Step {
        height: world.state.order.height().next(),
        seed: Digest::from_bytes([1; 32]),
        phase: Phase::Ordering,
        appended: &[Appended::new(SequencerIndex::new(5).unwrap(), &twin)],
        list: &[],
        expiries: &BTreeMap::new(),
    };
    world.state.order.apply(&step).unwrap();
    let whole = world.state.pack(&evidence).unwrap();
    assert_eq!(whole.len() - short.len(), 32 - SHORT_BYTES);
    assert_eq!(world.state.unpack(&whole), Ok(evidence));
    assert_eq!(world.state.unpack(&short), Err(PackError::Unknown { entry: 0 }));
    let fresh = World::new(5, Mode::Strict, 1).state;
    assert_eq!(fresh.unpack(&short), Err(PackError::Unknown { entry: 0 }));
}

#[test]
fn invariant_5_a_dictionary_names_an_id_once() {
    let mut world = World::new(5, Mode::Strict, 1);
    let columns = vec![vec![1], vec![], vec![], vec![], vec![]];
    let evidence = world.evidence(&columns, &[]);
    world.apply(&columns, &evidence);
    // Known or new, one of them twice.
    for ids in [[1, 1], [2, 2]] {
        let ids = ids.map(|id| bundle_id(5, id));
        let mut evidence = world.evidence(&vec![vec![]; 5], &[]);
        evidence.fragments.truncate(2);
        evidence.fragments[1].ids = ids.to_vec();
        let mut writer = Writer::default();
        world.state.write_heads(&mut writer, &evidence);
        writer.varint(0);
        let twice = Dictionary { ids: ids.to_vec(), places: BTreeMap::new() };
        world.state.write_dictionary(&mut writer, &twice);
        writer.bits(RANKS.into(), CODE_BITS);
        writer.bits(0, rank_bits(2));
        let packed = PackedEvidence { ids: 2, bytes: writer.finish() };
        assert_eq!(world.state.unpack(&packed), Err(PackError::Repeated { entry: 1 }));
    }
}

#[test]
fn what_does_not_continue_the_logs_is_not_packed() {
    let mut world = World::new(5, Mode::Strict, 1);
    let good = world.evidence(&[vec![1, 2], vec![1], vec![], vec![], vec![]], &[]);
    let mut short = good.clone();
    short.fragments[0].ids.pop();
    let refused = world.state.pack(&short);
    assert!(matches!(refused, Err(BlockError::Length { actual: 1, length: 2, .. })), "{refused:?}");
    let mut swapped = good.clone();
    swapped.fragments[0].ids.swap(0, 1);
    assert!(matches!(world.state.pack(&swapped), Err(BlockError::Chain { .. })));
    let mut listed = good.clone();
    listed.list = vec![bundle_id(5, 9); 2];
    let twice = OrderError::ListedTwice { id: bundle_id(5, 9) };
    assert_eq!(world.state.pack(&listed), Err(twice.into()));
    let mut forged = good;
    forged.fragments[1].head.time_ms += 1;
    let packed = world.state.pack(&forged).unwrap();
    let sequencer = SequencerIndex::new(2).unwrap();
    let refused = world.state.verify(&packed, &world.keys());
    assert_eq!(refused, Err(EvidenceError::Signature { sequencer }));
}

/// Bytes of evidence per id, all logs together, while `blocks` blocks bring `new` ids each, a part of
/// which reaches some logs a block later.
fn bytes_per_id(n: u16, new: usize, jitter: usize, blocks: usize) -> f64 {
    let mut world = World::new(n, Mode::Strict, 3);
    let total = new * blocks;
    let columns = world.stream(0, total, jitter);
    let mut bytes = 0;
    for block in 1..=blocks {
        let due: Vec<Vec<u32>> = columns
            .iter()
            .map(|column| {
                let until = if block == blocks { total } else { new * block };
                column.iter().take(until).copied().collect()
            })
            .collect();
        let evidence = world.evidence(&due, &[]);
        bytes += fairveil_crypto::encoding::encode(&world.state.pack(&evidence).unwrap()).len();
        world.apply(&due, &evidence);
    }
    bytes as f64 / total as f64
}

/// The budget of the evidence: 90 bytes an id with 31 logs from 200 new ids a block on, where ids
/// reach the logs within two blocks.
#[test]
fn evidence_of_31_logs_is_at_most_90_bytes_an_id() {
    for (new, jitter) in [(200, 0), (200, 20), (200, 200), (200, 400), (500, 50), (700, 700)] {
        let bytes = bytes_per_id(31, new, jitter, 4);
        println!("{new} new ids a block, jitter {jitter}: {bytes:.1} bytes an id");
        assert!(bytes <= 90.0, "{new} new ids a block, jitter {jitter}: {bytes:.1}");
    }
    for new in [1, 20] {
        let bytes = bytes_per_id(31, new, new, 8);
        println!("{new} new ids a block: {bytes:.1} bytes an id");
        let heads = 31.0 * 72.0 / new as f64;
        assert!(bytes <= heads + 90.0, "{new} new ids a block: {bytes:.1}");
    }
}
