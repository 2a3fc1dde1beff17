//! The fair order beside plain transcriptions of it, one thread each.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;

use criterion::{BenchmarkGroup, BenchmarkId, Throughput};
use fairveil_benches::plan::{Case, ORDERING, Ordering};
use fairveil_consensus::block::MAX_EVIDENCE_IDS;
use fairveil_crypto::certificate::Emitted;
use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};
use fairveil_ordering::naive::{self, Cap, NaiveOrder, bundle_id};
use fairveil_ordering::{
    Appended, CAP_CANDIDATES, CAP_SOLID, Committee, FairOrder, Mode, Output, Phase, Step,
};

use crate::support::{ProcessorTime, criterion};

/// Of the committee of a small block.
const F: u16 = 1;
const G: u16 = 0;
/// An id reaches the sequencers within so many later ids.
const JITTER: usize = 64;
const SEED: u64 = 22;
/// Entries of each log that make few ids solid.
const FEW: usize = 4;

/// Per sequencer, from 1: small numbers of ids, in the order of its log.
type Logs = BTreeMap<u16, Vec<u32>>;

fn main() {
    let mut criterion = criterion();
    for operation in ORDERING {
        let mut group = criterion.benchmark_group(operation.name);
        for case in operation.cases {
            group.throughput(Throughput::Elements(case.count as u64));
            let id = BenchmarkId::from_parameter(operation.parameters(case));
            match operation.kind {
                Ordering::PairWeights => pair_weights(&mut group, id, case),
                Ordering::NaivePairWeights => {
                    let orders = orders(&logs((case.n, 5, 0), case.count));
                    run(&mut group, id, || naive::pair_weights(case.count, &orders));
                }
                Ordering::MapPairWeights => {
                    let orders = orders(&logs((case.n, 5, 0), case.count));
                    run(&mut group, id, || naive::map_checksum(case.count, &orders));
                }
                Ordering::Block => block(&mut group, id, case),
                Ordering::NaiveBlock => {
                    let fragments =
                        logs((case.n, F, G), case.count).into_iter().collect::<Vec<_>>();
                    run(&mut group, id, || naive_order(case.n, &fragments));
                }
                Ordering::FullBlock => full_block(&mut group, id, case, usize::MAX),
                Ordering::FewSolid => full_block(&mut group, id, case, FEW),
            }
        }
        group.finish();
    }
    criterion.final_summary();
}

fn run<O>(group: &mut BenchmarkGroup<'_, ProcessorTime>, id: BenchmarkId, run: impl Fn() -> O) {
    group.bench_function(id, |bencher| bencher.iter(|| black_box(run())));
}

fn pair_weights(group: &mut BenchmarkGroup<'_, ProcessorTime>, id: BenchmarkId, case: &Case) {
    let orders = orders(&logs((case.n, 5, 0), case.count));
    let weights = naive::pair_weights(case.count, &orders);
    assert_eq!(naive::kernel_checksum(case.count, &orders), naive::checksum(&weights));
    drop(weights);
    run(group, id, || naive::kernel_checksum(case.count, &orders));
}

/// All new ids stand in all logs: one proposal, which is emitted whole.
fn block(group: &mut BenchmarkGroup<'_, ProcessorTime>, id: BenchmarkId, case: &Case) {
    let logs = logs((case.n, F, G), case.count);
    let empty = FairOrder::new(committee(case.n, F, G), Mode::Strict, Height::ZERO);
    let block = Block::new(&empty, &logs);
    let fragments: Vec<(u16, Vec<u32>)> = logs.into_iter().collect();
    let ours: BTreeSet<BTreeSet<BundleId>> =
        block.apply(&empty).emission.cohorts.iter().map(|cohort| ids_of(cohort)).collect();
    let cohort = |ids: &BTreeSet<u32>| ids.iter().map(|id| bundle_id(SEED, *id)).collect();
    let theirs: BTreeSet<BTreeSet<BundleId>> =
        naive_order(case.n, &fragments).iter().flatten().map(|(_, ids)| cohort(ids)).collect();
    assert_eq!(ours.iter().map(BTreeSet::len).sum::<usize>(), case.count);
    assert_eq!(ours, theirs);
    run(group, id, || block.apply(&empty));
}

fn naive_order(n: u16, fragments: &[(u16, Vec<u32>)]) -> Vec<Vec<(usize, BTreeSet<u32>)>> {
    let cap = Cap { solid: CAP_SOLID, candidates: CAP_CANDIDATES };
    let mut naive = NaiveOrder::new(n, F, G, cap, BTreeMap::new());
    naive.apply(fragments);
    naive.output
}

/// So many logs hold every id that one more makes it solid; a block then brings so many entries of each
/// of the others, or as many as it may.
fn full_block(
    group: &mut BenchmarkGroup<'_, ProcessorTime>,
    id: BenchmarkId,
    case: &Case,
    most: usize,
) {
    let (f, g) = (5, 0);
    let committee = committee(case.n, f, g);
    let logs = logs((case.n, f, g), case.count);
    let almost = committee.thresholds().solid - 1;
    let early: Logs = logs.clone().into_iter().take(almost.into()).collect();
    let mut late: Logs = logs.into_iter().skip(almost.into()).collect();
    let each = most.min(MAX_EVIDENCE_IDS / late.len());
    late.values_mut().for_each(|ids| ids.truncate(each));
    let mut order = FairOrder::new(committee, Mode::Strict, Height::ZERO);
    append(&mut order, &early);
    let block = Block::new(&order, &late);
    assert_full_block(&block.apply(&order), each.min(case.count));
    run(group, id, || block.apply(&order));
}

/// What every sequencer of (n, f, g) received of k ids, one after the other.
fn logs(committee: (u16, u16, u16), k: usize) -> Logs {
    naive::Case::stream(SEED, committee, k, JITTER, 1).truth
}

fn orders(logs: &Logs) -> Vec<Vec<u32>> {
    logs.values().cloned().collect()
}

fn committee(n: u16, f: u16, g: u16) -> Committee {
    Committee::new(n, f, g).expect("enough sequencers")
}

fn ids_of(cohort: &[Emitted]) -> BTreeSet<BundleId> {
    cohort.iter().map(|emitted| emitted.id).collect()
}

/// Whatever leaves, leaves once; what certainly stands in every late log leaves.
fn assert_full_block(output: &Output, late: usize) {
    let emitted: Vec<BundleId> = output.emission.ids().map(|emitted| emitted.id).collect();
    let once: BTreeSet<BundleId> = emitted.iter().copied().collect();
    assert_eq!(once.len(), emitted.len());
    assert!(!once.is_empty());
    let solid = 0..late.saturating_sub(2 * JITTER) as u32;
    assert!(solid.into_iter().all(|id| once.contains(&bundle_id(SEED, id))));
}

/// A block that appends to logs, as a step.
struct Block {
    height: Height,
    appended: Vec<(SequencerIndex, Vec<BundleId>)>,
    expiries: BTreeMap<BundleId, Height>,
}

impl Block {
    fn new(before: &FairOrder, logs: &Logs) -> Self {
        let fragment = |(sequencer, ids): (&u16, &Vec<u32>)| {
            let index = SequencerIndex::new(*sequencer).expect("sequencers count from 1");
            (index, ids.iter().map(|id| bundle_id(SEED, *id)).collect())
        };
        let appended: Vec<(SequencerIndex, Vec<BundleId>)> = logs.iter().map(fragment).collect();
        let ids = appended.iter().flat_map(|(_, ids)| ids);
        let expiries = ids.map(|id| (*id, Height::MAX)).collect();
        Self { height: before.height().next(), appended, expiries }
    }

    /// What a validator does: applies the block to a clone.
    fn apply(&self, before: &FairOrder) -> Output {
        self.apply_to(&mut before.clone())
    }

    fn apply_to(&self, order: &mut FairOrder) -> Output {
        let appended: Vec<Appended<'_>> =
            self.appended.iter().map(|(sequencer, ids)| Appended::new(*sequencer, ids)).collect();
        let step = Step {
            height: self.height,
            seed: Digest::from_bytes([23; 32]),
            phase: Phase::Ordering,
            appended: &appended,
            list: &[],
            expiries: &self.expiries,
        };
        order.apply(&step).expect("the block is valid")
    }
}

/// Appends in blocks as large as they may be.
fn append(order: &mut FairOrder, logs: &Logs) {
    let each = MAX_EVIDENCE_IDS / logs.len();
    let longest = logs.values().map(Vec::len).max().unwrap_or(0);
    for from in (0..longest).step_by(each) {
        let part = |ids: &Vec<u32>| ids.iter().copied().skip(from).take(each).collect();
        let part: Logs = logs.iter().map(|(sequencer, ids)| (*sequencer, part(ids))).collect();
        let output = Block::new(order, &part).apply_to(order);
        assert!(output.emission.cohorts.is_empty(), "nothing is solid yet");
    }
}
