//! The lemmas and theorems of docs/fairness.md, one test each, on random cases: over evidence and
//! proposals of the plain transcription, to which
//! `random_cases_agree_with_the_naive_order_and_the_truth` holds the product.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use fairveil_crypto::Height;

use crate::{
    CAP_CANDIDATES, CAP_SOLID, Committee, FairOrder, Mode,
    naive::{Cap, Case, NaiveOrder, NaiveProposal, run},
};

/// Of so many cases.
const CASES: u64 = 4_000;

/// One log: positions of ids.
type Log = BTreeMap<u32, usize>;

/// A case with everything that happened, block by block.
struct Story {
    case: Case,
    /// The order after each block.
    after: Vec<NaiveOrder>,
    /// By block, by log: what is committed.
    evidence: Vec<Vec<Log>>,
    /// What the product put out: ids in order.
    output: Vec<u32>,
}

impl Story {
    fn new(case: Case) -> Self {
        let cap = Cap { solid: CAP_SOLID, candidates: CAP_CANDIDATES };
        let mut order = NaiveOrder::new(case.n, case.f, case.g, cap, case.expiries.clone());
        let mut logs = vec![Log::new(); usize::from(case.n)];
        let (mut after, mut evidence) = (Vec::new(), Vec::new());
        for block in &case.blocks {
            for (sequencer, ids) in block {
                let log = &mut logs[usize::from(*sequencer) - 1];
                for id in ids {
                    log.insert(*id, log.len());
                }
            }
            order.apply(block);
            after.push(order.clone());
            evidence.push(logs.clone());
        }
        let committee = Committee::new(case.n, case.f, case.g).unwrap();
        let mut product = FairOrder::new(committee, Mode::Strict, Height::ZERO);
        let output = run(&case, &mut product).blocks.concat().concat();
        Self { case, after, evidence, output }
    }

    fn edge(&self) -> usize {
        usize::from(self.case.f + self.case.g + 1)
    }

    fn solid(&self) -> usize {
        usize::from(self.case.n - 2 * self.case.f)
    }

    /// h(a, b).
    fn honest(&self, a: u32, b: u32) -> usize {
        let place = |order: &Vec<u32>, id| {
            order.iter().position(|other| *other == id).unwrap_or(usize::MAX)
        };
        self.case.truth.values().filter(|order| place(order, a) < place(order, b)).count()
    }

    fn premise(&self, a: u32, b: u32) -> bool {
        self.honest(b, a) <= usize::from(self.case.g)
    }

    /// a ▷ b.
    fn supported(&self, a: u32, b: u32) -> bool {
        self.honest(a, b) > usize::from(self.case.g)
    }

    fn ids(&self, block: usize) -> Vec<u32> {
        let ids: BTreeSet<u32> =
            self.evidence[block].iter().flat_map(|log| log.keys()).copied().collect();
        ids.into_iter().collect()
    }

    fn final_proposals(&self) -> &[NaiveProposal] {
        self.after.last().map_or(&[], |order| &order.proposals)
    }
}

/// w(a, b), absent = infinity.
fn weight(evidence: &[Log], a: u32, b: u32) -> usize {
    let at = |log: &Log, id| log.get(&id).copied().unwrap_or(usize::MAX);
    evidence.iter().filter(|log| at(log, a) < at(log, b)).count()
}

fn count(evidence: &[Log], id: u32) -> usize {
    evidence.iter().filter(|log| log.contains_key(&id)).count()
}

/// Runs a check on all stories; it says how often its statement had something to say.
fn on_all(least: usize, check: impl Fn(u64, &Story) -> usize) {
    let mut spoken = 0;
    for seed in 0..CASES {
        let case = if seed % 4 == 0 { Case::random_with_windows(seed) } else { Case::random(seed) };
        spoken += check(seed, &Story::new(case));
    }
    assert!(spoken >= least, "the statement was tried {spoken} times, {least} are wanted");
}

fn pairs(ids: &[u32]) -> impl Iterator<Item = (u32, u32)> {
    ids.iter().flat_map(move |a| ids.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b)
}

#[test]
fn lemma_1_evidence_never_outvotes_a_premise() {
    on_all(100_000, |seed, story| {
        let mut spoken = 0;
        for (block, evidence) in story.evidence.iter().enumerate() {
            for (a, b) in pairs(&story.ids(block)) {
                if story.premise(a, b) {
                    assert!(weight(evidence, b, a) < story.edge(), "seed {seed}: {a} {b}");
                    spoken += 1;
                }
                let edge = weight(evidence, a, b) >= story.edge();
                assert!(!edge || story.supported(a, b), "seed {seed}: {a} {b}");
            }
        }
        spoken
    });
}

#[test]
fn lemma_2_a_solid_id_decides_all_its_pairs() {
    on_all(100_000, |seed, story| {
        let mut spoken = 0;
        for (block, evidence) in story.evidence.iter().enumerate() {
            for (a, b) in pairs(&story.ids(block)) {
                if count(evidence, a) >= story.solid() {
                    let votes = weight(evidence, a, b).max(weight(evidence, b, a));
                    assert!(votes >= story.edge(), "seed {seed}: {a} {b}");
                    spoken += 1;
                }
            }
        }
        spoken
    });
}

#[test]
fn lemma_3_what_no_strict_edge_forbids_is_supported() {
    on_all(50_000, |seed, story| {
        let mut spoken = 0;
        for proposal in story.final_proposals() {
            for (a, b) in proposal.decided.keys() {
                for (x, y) in [(*a, *b), (*b, *a)] {
                    let free = !proposal.strict.contains(&(y, x));
                    let won = proposal.wins.contains(&(x, y));
                    assert!(!(free || won) || story.supported(x, y), "seed {seed}: {x} {y}");
                    spoken += usize::from(free);
                }
            }
        }
        spoken
    });
}

/// F4 is this lemma.
#[test]
fn lemma_4_what_has_left_is_final() {
    on_all(200, |seed, story| {
        let mut spoken = 0;
        for (at, last) in story.final_proposals().iter().enumerate() {
            for order in &story.after {
                let Some(then) = order.proposals.get(at) else { continue };
                let gone = &then.emitted;
                for later in [then, last] {
                    let into = |(from, to): &&(u32, u32)| !gone.contains(from) && gone.contains(to);
                    assert_eq!(later.strict.iter().find(into), None, "seed {seed} (i)");
                }
                let open = |(a, b): &&(u32, u32)| gone.contains(a) || gone.contains(b);
                assert_eq!(then.undecided.iter().find(open), None, "seed {seed} (ii)");
                assert!(gone.is_subset(&last.emitted));
                let of = |proposal: &NaiveProposal| proposal.cohorts(gone);
                assert_eq!(of(then), of(last), "seed {seed} (iii)");
                spoken += usize::from(!gone.is_empty() && gone.len() < then.ids.len());
            }
        }
        spoken
    });
}

#[test]
fn lemma_5_a_cohort_is_a_path_of_supported_steps() {
    on_all(500, |seed, story| {
        let mut spoken = 0;
        for (_, cohort) in story.after.last().iter().flat_map(|order| order.output.concat()) {
            assert_ne!(cohort.len(), 2, "seed {seed}");
            let places = |id: &u32| story.output.iter().position(|other| other == id).unwrap();
            let mut places: Vec<usize> = cohort.iter().map(places).collect();
            places.sort_unstable();
            assert!(
                places.windows(2).all(|pair| pair[0] + 1 == pair[1]),
                "seed {seed}: torn apart"
            );
            for pair in places.windows(2) {
                let (a, b) = (story.output[pair[0]], story.output[pair[1]]);
                assert!(story.supported(a, b), "seed {seed}: {a} {b}");
                spoken += 1;
            }
        }
        spoken
    });
}

#[test]
fn lemma_6_a_proposal_ends_on_a_solid_id() {
    on_all(5_000, |seed, story| {
        let mut spoken = 0;
        for proposal in story.final_proposals() {
            if proposal.emitted.len() == proposal.ids.len() {
                let last = story.output.iter().rfind(|id| proposal.ids.contains(id)).unwrap();
                assert!(proposal.solid.contains(last), "seed {seed}: {last}");
                spoken += 1;
            }
        }
        spoken
    });
}

#[test]
fn lemma_7_what_a_proposal_leaves_out_stands_behind_its_solid_ids() {
    on_all(20_000, |seed, story| {
        let mut spoken = 0;
        for (at, proposal) in story.final_proposals().iter().enumerate() {
            let evidence = &story.evidence[proposal.born];
            let order = &story.after[proposal.born];
            let height = proposal.born as u64 + 1;
            for y in story.ids(proposal.born) {
                let earlier = order.proposal_of.get(&y).is_some_and(|of| *of <= at);
                let closed = story.case.expiries.get(&y).is_some_and(|last| *last < height);
                if earlier || closed {
                    continue;
                }
                for s in &proposal.solid {
                    assert!(weight(evidence, *s, y) >= story.edge(), "seed {seed}: {s} {y}");
                    spoken += 1;
                }
            }
        }
        spoken
    });
}

#[test]
fn theorem_f1_no_premise_is_inverted_inside_a_proposal() {
    on_all(5_000, |seed, story| {
        let mut spoken = 0;
        let Some(last) = story.after.last() else { return 0 };
        for at in 0..last.proposals.len() {
            let cohorts = last.output.iter().flatten().filter(|(of, _)| *of == at);
            // In the order of the product: cohorts of one block may leave in another one than here.
            let mut cohorts: Vec<&BTreeSet<u32>> = cohorts.map(|(_, cohort)| cohort).collect();
            cohorts.sort_by_key(|cohort| story.output.iter().position(|id| cohort.contains(id)));
            for (earlier, cohort) in cohorts.iter().enumerate() {
                for (x, y) in cohort.iter().flat_map(|x| {
                    cohorts[earlier + 1..].iter().copied().flatten().map(move |y| (*x, *y))
                }) {
                    assert!(story.supported(x, y), "seed {seed}: {x} {y}");
                    spoken += usize::from(story.premise(x, y));
                }
            }
        }
        spoken
    });
}

#[test]
fn theorem_f2_only_unripe_ids_come_first_across_proposals() {
    on_all(100, |seed, story| {
        let mut spoken = 0;
        let (f, g) = (usize::from(story.case.f), usize::from(story.case.g));
        let last = story.after.last();
        for (at, proposal) in story.final_proposals().iter().enumerate() {
            let evidence = &story.evidence[proposal.born];
            let later = |y: &u32| last.and_then(|order| order.proposal_of.get(y)) > Some(&at);
            for y in story.case.truth.values().flatten().copied().filter(later) {
                for x in proposal.ids.iter().copied().filter(|x| story.premise(y, *x)) {
                    let count = count(evidence, x);
                    let honest = |log: &usize| story.case.truth.contains_key(&(*log as u16 + 1));
                    let lying = (0..evidence.len()).filter(|log| !honest(log));
                    let lying = lying.filter(|log| weight(&evidence[*log..=*log], x, y) == 1);
                    let bound = 2 * g + f + lying.count();
                    assert!((story.edge()..=2 * story.edge() - 2).contains(&count), "seed {seed}");
                    assert!(count <= bound, "seed {seed}: {x} {y}: {count} logs, {bound} at most");
                    let path = distance_to_solid(proposal, x);
                    if f + g > 0 {
                        let least = story.solid().div_ceil(f + g);
                        assert!(path + 2 >= least, "seed {seed}: a path of {path} steps");
                    }
                    spoken += 1;
                }
            }
        }
        spoken
    });
}

/// Strict edges from an id to the nearest solid one.
fn distance_to_solid(proposal: &NaiveProposal, from: u32) -> usize {
    let mut reached = BTreeSet::from([from]);
    let mut steps = 0;
    while reached.is_disjoint(&proposal.solid) {
        let edges = proposal.strict.iter().filter(|(a, _)| reached.contains(a));
        let next: Vec<u32> = edges.map(|(_, b)| *b).collect();
        reached.extend(next);
        steps += 1;
        assert!(steps <= proposal.ids.len(), "{from} reaches no solid id");
    }
    steps
}

#[test]
fn theorem_f3_components_of_supported_steps_are_intervals() {
    let (inverted, large, beside) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let add = |count: &Cell<usize>, more: usize| count.set(count.get() + more);
    on_all(20_000, |seed, story| {
        let out = &story.output;
        for pair in out.windows(2) {
            assert!(story.supported(pair[0], pair[1]), "seed {seed}: {pair:?}");
        }
        let batches = story.components(0, out.len());
        for (i, j) in (0..out.len()).flat_map(|j| (0..j).map(move |i| (i, j))) {
            let (x, y) = (out[i], out[j]);
            // Intervals, in order: a batch is one piece, and no step leads back from one to another.
            let one_piece = batches[i] != batches[j] || (i..j).all(|k| batches[k] == batches[i]);
            assert!(one_piece, "seed {seed}: {batches:?}");
            let back = story.supported(y, x);
            assert!(!back || batches[i] == batches[j], "seed {seed}: {batches:?}, {i} {j}");
            // All but g received y before x: one batch, by a cycle that stays inside their interval.
            if story.premise(y, x) && story.knows_all(y) {
                let inside = story.components(i, j + 1);
                assert!(
                    inside.iter().all(|of| *of == inside[0]),
                    "seed {seed}: {i} {j} {inside:?}"
                );
                add(&inverted, 1);
            }
        }
        let mut sizes = BTreeMap::<usize, usize>::new();
        batches.iter().for_each(|of| *sizes.entry(*of).or_default() += 1);
        let at_least_three = sizes.values().filter(|size| **size >= 3).count();
        add(&large, at_least_three);
        add(&beside, if sizes.len() > 1 { at_least_three } else { 0 });
        out.len()
    });
    let counts = [inverted, large, beside].map(Cell::into_inner);
    println!("{counts:?} premises inverted, components of three and more, such beside others");
    assert!(counts.iter().all(|count| *count >= 500), "{counts:?}");
}

impl Story {
    /// Whether an id reached all honest logs, as every emitted one does in time.
    fn knows_all(&self, id: u32) -> bool {
        self.case.truth.values().all(|order| order.contains(&id))
    }

    /// By place of the output from `first` up to and without `end`: which component of ▷ on these ids
    /// it is in, named by the least place. Two places share one if each reaches the other.
    fn components(&self, first: usize, end: usize) -> Vec<usize> {
        let ids = &self.output[first..end];
        let mut reach: Vec<Vec<bool>> = ids
            .iter()
            .map(|a| ids.iter().map(|b| a == b || self.supported(*a, *b)).collect())
            .collect();
        for via in 0..ids.len() {
            let onward = reach[via].clone();
            for row in reach.iter_mut().filter(|row| row[via]) {
                row.iter_mut().zip(&onward).for_each(|(to, on)| *to |= on);
            }
        }
        let least = |a: usize| (0..=a).find(|b| reach[a][*b] && reach[*b][a]).unwrap_or(a);
        (0..ids.len()).map(least).collect()
    }
}

#[test]
fn theorem_f5_a_strict_cycle_is_as_long_as_the_logs_that_hold_it() {
    on_all(500, |seed, story| {
        let mut spoken = 0;
        for proposal in story.final_proposals() {
            let evidence = &story.evidence[proposal.born];
            for cohort in proposal.cohorts(&proposal.emitted).iter().filter(|c| c.len() > 2) {
                // Any cycle is at most as long as its cohort, and one of them may be all of it.
                let length = shortest_cycle(proposal, cohort);
                let holds = |log: &&Log| length.iter().any(|id| log.contains_key(id));
                let logs = evidence.iter().filter(holds).count();
                let tolerated = usize::from(story.case.f + story.case.g);
                assert!(length.len() * tolerated >= logs, "seed {seed}: {length:?} in {logs} logs");
                spoken += 1;
            }
        }
        spoken
    });
}

/// The ids of a shortest strict cycle inside a cohort.
fn shortest_cycle(proposal: &NaiveProposal, cohort: &BTreeSet<u32>) -> Vec<u32> {
    let cycles = cohort.iter().map(|start| {
        let mut paths = vec![vec![*start]];
        let mut seen = BTreeSet::new();
        loop {
            let mut longer = Vec::new();
            for path in &paths {
                let from = path[path.len() - 1];
                for (_, to) in proposal.strict.range((from, 0)..=(from, u32::MAX)) {
                    if to == start {
                        return path.clone();
                    }
                    if cohort.contains(to) && seen.insert(*to) {
                        longer.push([&path[..], &[*to]].concat());
                    }
                }
            }
            paths = longer;
            assert!(!paths.is_empty(), "a cohort has cycles through all its ids");
        }
    });
    cycles.min_by_key(Vec::len).unwrap_or_default()
}
