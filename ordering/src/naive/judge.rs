//! Judges an output: against the naive order (what no tie-break can change), and against the
//! true receive orders alone, by brute force.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Mode,
    naive::{Case, NaiveOrder},
};

/// What came out, ids as small numbers.
#[derive(Clone, Debug, Default)]
pub struct Emitted {
    /// Per block, from height 1, its cohorts in order, ids in order.
    pub blocks: Vec<Vec<Vec<u32>>>,
    /// Ids that left as voids: they have a place and are never opened.
    pub expired: BTreeSet<u32>,
    /// Ids in proposals that have not left.
    pub pending: BTreeSet<u32>,
    /// Ids in logs and in no proposal.
    pub unproposed: BTreeSet<u32>,
}

/// What is wrong with an output. The last six are what the true receive orders forbid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Another partition into cohorts than the rule's, in this block.
    Cohorts(usize),
    /// Another set of pending ids.
    Pending,
    /// Another set of unproposed ids.
    Unproposed,
    /// An id of a younger proposal before one of an older.
    ProposalOrder(u32),
    /// A strict edge inverted across cohorts.
    StrictEdge(u32, u32),
    /// Neighbours in a cohort against the tournament.
    Tournament(u32, u32),
    /// A cohort with solid ids that ends on another.
    Ending(u32),
    /// A void although the window was open at its height, or opened although it had closed.
    Void(u32),
    /// An id emitted twice, or never received by anybody honest.
    Invented(u32),
    /// Neighbours of the output that at most g honest sequencers received in this order.
    Unsupported(u32, u32),
    /// A premise pair inverted across cohorts of one proposal.
    Inverted(u32, u32),
    /// A premise pair inverted across proposals though the earlier id was ripe.
    InvertedRipe(u32, u32),
    /// A premise pair inverted without a cycle in its interval.
    NoCycle(u32, u32),
    /// Ids that all honest sequencers know, and all logs are complete, did not leave.
    Stuck(usize),
}

impl Fault {
    /// Whether the true receive orders convict; of inverted pairs they say the order, and the
    /// transcription in which proposals the two ids stand and whether the earlier one was ripe.
    pub fn is_by_truth(&self) -> bool {
        *self >= Self::Invented(0)
    }

    /// Whether the true receive orders convict, and nothing else is asked.
    pub fn is_by_truth_alone(&self) -> bool {
        self.is_by_truth() && !matches!(self, Self::Inverted(..) | Self::InvertedRipe(..))
    }
}

/// How often the hard parts occurred.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Proposals incomplete at the end of a block.
    pub deferred: u64,
    /// Cohorts of three or more.
    pub cohorts: u64,
    /// Candidates that did not reach a solid id.
    pub cut: u64,
    /// Proposals of which a part left first.
    pub safe_prefixes: u64,
    /// Premise pairs inverted across proposals, each on a cycle.
    pub cycles: u64,
    /// Ids emitted.
    pub ids: u64,
    /// Of these voids.
    pub expired: u64,
    /// Proposals of which the soft cap cut the evidence.
    pub capped: u64,
}

/// All faults of an output, and the hard parts that occurred.
pub fn judge(case: &Case, naive: &NaiveOrder, output: &Emitted, tally: &mut Tally) -> Vec<Fault> {
    let mut faults = exact(naive, output);
    faults.extend(bounded(naive, output));
    faults.extend(voids(case, output));
    tally.expired += output.expired.len() as u64;
    faults.extend(Truth::new(case).judge(case, naive, output, tally));
    for proposal in &naive.proposals {
        tally.deferred += u64::from(proposal.deferred);
        tally.cut += proposal.cut as u64;
        tally.safe_prefixes += u64::from(proposal.left_in_parts);
        tally.capped += u64::from(proposal.capped);
    }
    let cohorts = naive.output.iter().flatten();
    tally.cohorts += cohorts.filter(|(_, cohort)| cohort.len() >= 3).count() as u64;
    faults
}

/// The sets that no tie-break can change.
fn exact(naive: &NaiveOrder, output: &Emitted) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, cohorts) in naive.output.iter().enumerate() {
        let expected: BTreeSet<Vec<u32>> =
            cohorts.iter().map(|(_, cohort)| cohort.iter().copied().collect()).collect();
        let empty = Vec::new();
        let actual = output.blocks.get(at).unwrap_or(&empty);
        let sorted = |cohort: &Vec<u32>| {
            let mut cohort = cohort.clone();
            cohort.sort_unstable();
            cohort
        };
        let set: BTreeSet<Vec<u32>> = actual.iter().map(sorted).collect();
        if set != expected || actual.len() != cohorts.len() {
            faults.push(Fault::Cohorts(at));
        }
    }
    if output.pending != naive.pending() {
        faults.push(Fault::Pending);
    }
    if output.unproposed != naive.unproposed() {
        faults.push(Fault::Unproposed);
    }
    faults
}

/// What is open is still bounded by the rule.
fn bounded(naive: &NaiveOrder, output: &Emitted) -> Vec<Fault> {
    let mut faults = Vec::new();
    let cohorts: Vec<&Vec<u32>> = output.blocks.iter().flatten().collect();
    let mut last = 0;
    for id in cohorts.iter().copied().flatten() {
        match naive.proposal_of.get(id) {
            Some(proposal) if *proposal >= last => last = *proposal,
            _ => faults.push(Fault::ProposalOrder(*id)),
        }
    }
    let mut earlier: BTreeSet<u32> = BTreeSet::new();
    for (place, cohort) in cohorts.iter().enumerate() {
        for id in *cohort {
            let Some(at) = naive.proposal_of.get(id) else {
                continue;
            };
            let edges = naive.proposals[*at].strict.range((*id, 0)..=(*id, u32::MAX));
            let inverted = edges.filter(|(_, after)| earlier.contains(after));
            faults.extend(inverted.map(|(id, after)| Fault::StrictEdge(*id, *after)));
        }
        earlier.extend(*cohort);
        let Some(at) = cohort.first().and_then(|id| naive.proposal_of.get(id)) else {
            continue;
        };
        let proposal = &naive.proposals[*at];
        for pair in cohort.windows(2) {
            if proposal.votes(pair[0], pair[1]).is_none_or(|(p, q)| p < q) {
                faults.push(Fault::Tournament(pair[0], pair[1]));
            }
        }
        let solid = |id: &u32| proposal.solid.contains(id);
        // Of the published rule only the last cohort of a proposal ends on a solid id.
        let same = |later: &&&Vec<u32>| naive.proposal_of.get(&later[0]) == Some(at);
        let last = proposal.undecided.is_empty() && !cohorts[place + 1..].iter().any(|c| same(&c));
        let ends = naive.mode() == Mode::Strict || last;
        if ends
            && cohort.len() >= 3
            && cohort.iter().any(solid)
            && !cohort.last().is_some_and(solid)
        {
            faults.push(Fault::Ending(cohort[cohort.len() - 1]));
        }
    }
    faults
}

/// Void is exactly what left after its window had closed.
pub(super) fn voids(case: &Case, output: &Emitted) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut open = output.expired.clone();
    for (height, cohorts) in (1..).zip(&output.blocks) {
        for id in cohorts.iter().flatten() {
            let closed = case.expiries.get(id).is_some_and(|last| *last < height);
            if open.remove(id) != closed {
                faults.push(Fault::Void(*id));
            }
        }
    }
    faults.extend(open.into_iter().map(Fault::Void));
    faults
}

/// The true receive orders of the honest sequencers.
struct Truth {
    positions: BTreeMap<u32, Vec<usize>>,
}

impl Truth {
    fn new(case: &Case) -> Self {
        let mut positions: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (sequencer, order) in case.truth.values().enumerate() {
            for (position, id) in order.iter().enumerate() {
                let absent = || vec![usize::MAX; case.truth.len()];
                positions.entry(*id).or_insert_with(absent)[sequencer] = position;
            }
        }
        Self { positions }
    }

    /// h(a, b).
    fn before(&self, a: u32, b: u32) -> usize {
        self.positions[&a].iter().zip(&self.positions[&b]).filter(|(a, b)| a < b).count()
    }

    fn judge(
        &self,
        case: &Case,
        naive: &NaiveOrder,
        output: &Emitted,
        tally: &mut Tally,
    ) -> Vec<Fault> {
        let mut faults = Vec::new();
        let cohorts = output.blocks.iter().flatten().enumerate();
        let flat: Vec<(u32, usize)> =
            cohorts.flat_map(|(at, cohort)| cohort.iter().map(move |id| (*id, at))).collect();
        let mut seen = BTreeSet::new();
        for (id, _) in &flat {
            if !self.positions.contains_key(id) || !seen.insert(*id) {
                return vec![Fault::Invented(*id)];
            }
        }
        tally.ids += flat.len() as u64;
        let g = usize::from(case.g);
        for pair in flat.windows(2) {
            if self.before(pair[0].0, pair[1].0) <= g {
                faults.push(Fault::Unsupported(pair[0].0, pair[1].0));
            }
        }
        for (i, (x, home_x)) in flat.iter().enumerate() {
            for (j, (y, home_y)) in flat.iter().enumerate().skip(i + 1) {
                if self.before(*x, *y) > g {
                    continue;
                }
                // Everybody but g honest received y before x, and x left first.
                if home_x != home_y {
                    match premise_fault(case, naive, *x, *y) {
                        Some(fault) => faults.push(fault),
                        None => tally.cycles += 1,
                    }
                }
                if !self.connected(&flat, i, j, g) {
                    faults.push(Fault::NoCycle(*x, *y));
                }
            }
        }
        faults.extend(self.stuck(case, output, &seen));
        faults
    }

    /// Whether a path of steps with more than g supporters leads from i to j inside [i, j].
    fn connected(&self, flat: &[(u32, usize)], i: usize, j: usize, g: usize) -> bool {
        let mut reached = BTreeSet::from([i]);
        let mut todo = vec![i];
        while let Some(at) = todo.pop() {
            for next in i..=j {
                if !reached.contains(&next) && self.before(flat[at].0, flat[next].0) > g {
                    reached.insert(next);
                    todo.push(next);
                }
            }
        }
        reached.contains(&j)
    }

    fn stuck(&self, case: &Case, output: &Emitted, emitted: &BTreeSet<u32>) -> Option<Fault> {
        let complete = |(sequencer, order): (&u16, &Vec<u32>)| {
            let own = case.blocks.iter().flatten().filter(|(whose, _)| whose == sequencer);
            own.map(|(_, ids)| ids.len()).sum::<usize>() == order.len()
        };
        let known = |id: &&u32| !self.positions[*id].contains(&usize::MAX);
        let all_known = self.positions.keys().filter(known).count() == self.positions.len();
        if !case.truth.iter().all(complete) || !all_known {
            return None;
        }
        let left = self.positions.keys().filter(|id| {
            !emitted.contains(id)
                && (output.pending.contains(id) || !case.expiries.contains_key(id))
        });
        let left = left.count();
        (left > 0).then_some(Fault::Stuck(left))
    }
}

/// x left before y in another cohort although premise(y before x).
fn premise_fault(case: &Case, naive: &NaiveOrder, x: u32, y: u32) -> Option<Fault> {
    let (Some(first), Some(second)) = (naive.proposal_of.get(&x), naive.proposal_of.get(&y)) else {
        return Some(Fault::Inverted(y, x));
    };
    if first == second {
        return Some(Fault::Inverted(y, x));
    }
    let ripe = usize::from(2 * (case.f + case.g) + 1);
    (naive.proposals[*first].counts[&x] >= ripe).then_some(Fault::InvertedRipe(y, x))
}
