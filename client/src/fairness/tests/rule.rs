//! The thresholds against the rule itself: orders that `fairveil_ordering` makes of random logs,
//! judged by what the members signed about those logs.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BundleId, Digest, Epoch, Height, SequencerIndex};
use fairveil_ordering::{Appended, Committee, FairOrder, Mode as OrderMode, Phase, Step};
use fairveil_release::tree::Position;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::super::*;

/// Random cases of each property.
const CASES: u32 = 4_000;

/// One run: whose logs are what, and how the blocks carry them.
#[derive(Clone, Debug)]
struct Run {
    n: u16,
    f: u16,
    g: u16,
    /// Of each member, its log: ids by their numbers.
    logs: Vec<Vec<u8>>,
    /// Of each block, how much of each log it commits, of 8 parts.
    blocks: Vec<Vec<u8>>,
    seed: u8,
}

fn id(number: u8) -> BundleId {
    BundleId::from_bytes([number; 32])
}

/// Honest logs are the true order with some neighbours swapped; those of the last f members
/// anything.
fn run() -> impl Strategy<Value = Run> {
    let committees = [(4, 0, 0), (5, 1, 0), (5, 1, 0), (5, 1, 0), (7, 1, 1), (9, 2, 0)];
    (prop::sample::select(committees.to_vec()), 2..9_u8).prop_flat_map(|((n, f, g), ids)| {
        let base: Vec<u8> = (1..=ids).collect();
        let swaps = prop::collection::vec(0..usize::from(ids - 1), 0..12);
        let honest = swaps.prop_map({
            let base = base.clone();
            move |swaps| {
                let mut log = base.clone();
                swaps.into_iter().for_each(|at| log.swap(at, at + 1));
                log
            }
        });
        let liar = Just(base).prop_shuffle();
        let honest = prop::collection::vec(honest, usize::from(n - f));
        let liars = prop::collection::vec(liar, usize::from(f));
        let blocks = prop::collection::vec(prop::collection::vec(0..=8_u8, usize::from(n)), 0..5);
        (honest, liars, blocks, any::<u8>()).prop_map(move |(honest, liars, blocks, seed)| Run {
            n,
            f,
            g,
            logs: honest.into_iter().chain(liars).collect(),
            blocks,
            seed,
        })
    })
}

impl Run {
    /// What the rule makes of it; at the end all logs are committed.
    fn order(&self) -> Vec<Ordered> {
        let committee = Committee::new(self.n, self.f, self.g).unwrap();
        let mut order = FairOrder::unbounded(committee, OrderMode::Strict);
        let mut committed = vec![0; self.logs.len()];
        let mut ids = Vec::new();
        let last = vec![8; self.logs.len()];
        let blocks = self.blocks.iter().chain([&last, &last, &last]);
        for (height, block) in (1..).zip(blocks) {
            let mut pieces: Vec<Vec<BundleId>> = Vec::new();
            for ((log, parts), from) in self.logs.iter().zip(block).zip(&mut committed) {
                let to = (log.len() * usize::from(*parts) / 8).max(*from);
                pieces.push(log[*from..to].iter().map(|number| id(*number)).collect());
                *from = to;
            }
            let appended: Vec<Appended<'_>> = SequencerIndex::all(self.n)
                .zip(&pieces)
                .map(|(sequencer, ids)| Appended::new(sequencer, ids))
                .collect();
            let reached = order.would_reach_edge(&appended, &[]);
            let expiries: BTreeMap<_, _> =
                reached.into_iter().map(|id| (id, Height::new(u64::MAX))).collect();
            let step = Step {
                height: Height::new(height),
                seed: Digest::from_bytes([self.seed.wrapping_add(height as u8); 32]),
                phase: Phase::Ordering,
                appended: &appended,
                list: &[],
                expiries: &expiries,
            };
            let cohorts = order.apply(&step).unwrap().emission.cohorts;
            let emitted = (0..)
                .zip(&cohorts)
                .flat_map(|(cohort, ids)| ids.iter().map(move |one| (cohort, one.id)));
            for (index, (cohort, id)) in (0..).zip(emitted) {
                let position = Position { height: Height::new(height), index };
                let is_next = !ids.is_empty();
                ids.push(Ordered { id, position, cohort, epoch: Epoch::new(1), is_next });
            }
        }
        ids
    }

    fn rule(&self) -> Rule {
        let (n, f, g) = (self.n.into(), self.f.into(), self.g.into());
        Rule { epoch: Epoch::new(1), n, f, g, convicted: 0, mode: Mode::Strict }
    }

    /// What an order shows if the members signed these logs.
    fn found(&self, ids: &[Ordered], signed: &[Vec<u8>]) -> Vec<Contradiction> {
        let position = |log: &Vec<u8>, one: &Ordered| {
            let at = log.iter().position(|number| id(*number) == one.id);
            at.map(|at| at as u64)
        };
        let positions =
            signed.iter().map(|log| ids.iter().map(|one| position(log, one)).collect()).collect();
        let sequencers = SequencerIndex::all(self.n).collect();
        let signed = Signed { ids, places: (0..ids.len()).collect(), positions, sequencers };
        let mut pairs = Vec::new();
        signed.judged(&self.rule(), &mut |pair| pairs.push(pair.clone()));
        pairs
    }

    /// Members whose log has a pair the other way round than these say.
    fn broke(&self, signed: &[Vec<u8>], pair: &Contradiction) -> usize {
        let is_before = |log: &[u8]| {
            let at = |one: &Ordered| log.iter().position(|number| id(*number) == one.id);
            at(&pair.earlier) < at(&pair.later)
        };
        let against: BTreeSet<_> = pair.against.iter().collect();
        let members = SequencerIndex::all(self.n).zip(self.logs.iter().zip(signed));
        let broke = members.filter(|(member, (log, signed))| {
            against.contains(member) && is_before(log) && !is_before(signed)
        });
        broke.count()
    }
}

fn runner() -> TestRunner {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(Config::with_cases(CASES), rng)
}

/// Whatever honest members receive and liars log: while the receipts are those of the logs, nobody
/// is accused. Pairs that all members contradict do occur, in one cohort.
#[test]
fn true_receipts_accuse_nobody() {
    let mut listed = 0_usize;
    let mut far = 0_usize;
    runner()
        .run(&run(), |run| {
            let ids = run.order();
            prop_assert_eq!(ids.len(), run.logs[0].len(), "all of it is ordered in the end");
            Ok(())
        })
        .unwrap();
    let mut runner = runner();
    for _ in 0..CASES {
        let run = run().new_tree(&mut runner).unwrap().current();
        let ids = run.order();
        for pair in run.found(&ids, &run.logs) {
            assert_eq!(pair.finding, Finding::Differs, "{run:?}: {pair}");
            listed += 1;
            far += usize::from(!pair.standing.is_neighbours && !pair.standing.is_one_cohort);
        }
    }
    assert!(listed > 1_000 && far > 100, "{listed} pairs are listed, {far} far apart");
}

/// Liars may sign whatever they like: with at most f of them there is no violation, and never are
/// more broken receipts claimed than there are.
#[test]
fn at_most_f_false_receipts_violate_nothing() {
    let mut broken = 0_usize;
    let mut runner = runner();
    for _ in 0..4 * CASES {
        let run = run().new_tree(&mut runner).unwrap().current();
        let ids = run.order();
        let honest = usize::from(run.n - run.f);
        let mut signed = run.logs.clone();
        for log in &mut signed[honest..] {
            // What accuses the order most.
            *log = ids.iter().rev().map(|one| one.id.as_bytes()[0]).collect();
        }
        for pair in run.found(&ids, &signed) {
            match pair.finding {
                Finding::Differs => {}
                Finding::BrokenReceipts(liars) => {
                    assert!(liars <= run.broke(&signed, &pair), "{run:?}: {pair}");
                    broken += 1;
                }
                Finding::Violation(_) => panic!("{run:?}: {pair}"),
            }
        }
    }
    assert!(broken > 100, "{broken} pairs show broken receipts");
}

/// A quorum that certifies any other order is found out where all members signed the opposite.
#[test]
fn an_order_against_all_receipts_is_a_violation() {
    let mut runner = runner();
    for _ in 0..CASES / 10 {
        let run = run().new_tree(&mut runner).unwrap().current();
        let mut ids = run.order();
        let same = vec![run.logs[0].clone(); run.logs.len()];
        ids.sort_by_key(|one| same[0].iter().position(|number| id(*number) == one.id));
        ids.iter_mut().for_each(|one| one.is_next = true);
        assert_eq!(run.found(&ids, &same), [], "the order of all logs");
        let at = usize::from(run.seed) % (ids.len() - 1);
        ids.swap(at, at + 1);
        let pairs = run.found(&ids, &same);
        let liars = usize::from(run.f + run.g) + 1;
        assert_eq!(pairs.len(), 1, "{run:?}");
        assert_eq!(pairs[0].finding, Finding::Violation(liars));
    }
}
