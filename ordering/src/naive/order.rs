//! The rule of docs/fairness.md 1, word by word, on small numbers, for modes `strict` and `themis`.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::Digest;

use crate::{
    Mode,
    naive::{bundle_id, seed},
    proposal::keys,
};

const ABSENT: u64 = u64::MAX;

/// The soft cap's q and K.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    /// The least prefix makes so many ids solid.
    pub solid: usize,
    /// It grows while so many are candidates.
    pub candidates: usize,
}

/// A proposal with everything that no tie-break can change.
#[derive(Clone, Debug)]
pub struct NaiveProposal {
    /// Kept vertices.
    pub ids: BTreeSet<u32>,
    /// Those in S logs when proposed.
    pub solid: BTreeSet<u32>,
    /// Logs that held each when proposed.
    pub counts: BTreeMap<u32, usize>,
    /// (a, b) with a < b -> (w(a,b), w(b,a)) when the pair was decided.
    pub decided: BTreeMap<(u32, u32), (usize, usize)>,
    /// Pairs (a, b) with a < b.
    pub undecided: BTreeSet<(u32, u32)>,
    /// a -> b.
    pub strict: BTreeSet<(u32, u32)>,
    /// (winner, loser) of every decided pair.
    pub wins: BTreeSet<(u32, u32)>,
    /// Those that left.
    pub emitted: BTreeSet<u32>,
    /// Index of its block.
    pub born: usize,
    /// Candidates that did not reach a solid one.
    pub cut: usize,
    /// Whether its evidence was cut by the soft cap.
    pub capped: bool,
    /// Whether a part left before the rest.
    pub left_in_parts: bool,
    /// Whether it was incomplete at the end of a block.
    pub deferred: bool,
}

/// Positions of ids in all logs.
#[derive(Clone, Debug)]
struct Logs {
    positions: BTreeMap<u32, Vec<u64>>,
}

/// The order of one epoch.
#[derive(Clone, Debug)]
pub struct NaiveOrder {
    mode: Mode,
    /// Names the ids, which decides ties.
    salt: u64,
    n: usize,
    edge: usize,
    solid: usize,
    cap: Cap,
    expiries: BTreeMap<u32, u64>,
    lengths: Vec<u64>,
    logs: Logs,
    /// All proposals, in order.
    pub proposals: Vec<NaiveProposal>,
    /// Id -> index of its proposal.
    pub proposal_of: BTreeMap<u32, usize>,
    /// Per block: its cohorts as sets, each with the index of its proposal.
    pub output: Vec<Vec<(usize, BTreeSet<u32>)>>,
}

/// [`super::checksum`] over the weights that this order goes by, of vertices `0..size`; `orders[i]`
/// are those of log i in its order. For benches.
pub fn map_checksum(size: usize, orders: &[Vec<u32>]) -> u128 {
    let absent = |id: usize| (id as u32, vec![ABSENT; orders.len()]);
    let mut logs = Logs { positions: (0..size).map(absent).collect() };
    for (log, order) in orders.iter().enumerate() {
        for (position, id) in order.iter().enumerate() {
            if let Some(positions) = logs.positions.get_mut(id) {
                positions[log] = position as u64;
            }
        }
    }
    let ids: Vec<u32> = (0..size as u32).collect();
    let row = |a: &u32| -> u128 {
        ids.iter().map(|b| (logs.weight(*a, *b) as u128) << (b % 64)).fold(0, u128::wrapping_add)
    };
    ids.iter().map(row).fold(0, u128::wrapping_add)
}

impl NaiveOrder {
    /// `expiries`: the last height of an id; no entry, no end.
    pub fn new(n: u16, f: u16, g: u16, cap: Cap, expiries: BTreeMap<u32, u64>) -> Self {
        Self {
            mode: Mode::Strict,
            salt: 0,
            n: usize::from(n),
            edge: usize::from(g + f + 1),
            solid: usize::from(n - 2 * f),
            cap,
            expiries,
            lengths: vec![0; usize::from(n)],
            logs: Logs { positions: BTreeMap::new() },
            proposals: Vec::new(),
            proposal_of: BTreeMap::new(),
            output: Vec::new(),
        }
    }

    /// The same by the published rule of Themis. `salt` names the ids: ties go by their keys.
    #[must_use]
    pub fn themis(self, salt: u64) -> Self {
        Self { mode: Mode::Themis, salt, ..self }
    }

    /// `strict` or `themis`.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// One block: what logs (from 1) grew by. Heights count from 1.
    pub fn apply(&mut self, fragments: &[(u16, Vec<u32>)]) {
        for (sequencer, ids) in fragments {
            let log = usize::from(*sequencer) - 1;
            for id in ids {
                let absent = || vec![ABSENT; self.n];
                self.logs.positions.entry(*id).or_insert_with(absent)[log] = self.lengths[log];
                self.lengths[log] += 1;
            }
        }
        let first_open = self.proposals.iter().position(|p| !p.undecided.is_empty());
        for at in first_open.unwrap_or(self.proposals.len())..self.proposals.len() {
            self.update(at);
        }
        if let Some(proposal) = self.propose() {
            for id in &proposal.ids {
                self.proposal_of.insert(*id, self.proposals.len());
            }
            self.proposals.push(proposal);
        }
        self.drain();
    }

    /// Ids in proposals that have not left.
    pub fn pending(&self) -> BTreeSet<u32> {
        let left = |p: &NaiveProposal| p.ids.difference(&p.emitted).copied().collect::<Vec<_>>();
        self.proposals.iter().flat_map(left).collect()
    }

    /// Ids in logs and in no proposal; without those in T logs whose window has closed.
    pub fn unproposed(&self) -> BTreeSet<u32> {
        let height = self.output.len() as u64;
        let closed = |id: &u32| {
            self.expiries.get(id).is_some_and(|last| *last < height)
                && self.logs.count(*id) >= self.edge
        };
        let ids = self.logs.positions.keys().copied();
        ids.filter(|id| !self.proposal_of.contains_key(id) && !closed(id)).collect()
    }

    fn propose(&self) -> Option<NaiveProposal> {
        let height = self.output.len() as u64 + 1;
        let open = |id: &u32| self.expiries.get(id).is_none_or(|last| *last >= height);
        let eligible: Vec<u32> = self.unproposed().into_iter().filter(open).collect();
        let evidence = self.prefix(&eligible)?;
        let evidence = &evidence;
        let candidates: Vec<u32> =
            eligible.into_iter().filter(|id| evidence.count(*id) >= self.edge).collect();
        let mut proposal = NaiveProposal::new(self.output.len());
        for (at, a) in candidates.iter().enumerate() {
            for b in &candidates[at + 1..] {
                let votes = (evidence.weight(*a, *b), evidence.weight(*b, *a));
                proposal.decide(*a, *b, votes, self.edge, &self.tie());
            }
        }
        let is_solid = |id: &u32| evidence.count(*id) >= self.solid;
        let solid: BTreeSet<u32> = candidates.iter().copied().filter(is_solid).collect();
        if solid.is_empty() {
            return None;
        }
        let mut kept = solid.clone();
        loop {
            let reaches = |id: &&u32| {
                !kept.contains(id) && kept.iter().any(|k| proposal.strict.contains(&(**id, *k)))
            };
            let more: Vec<u32> = candidates.iter().filter(reaches).copied().collect();
            if more.is_empty() {
                break;
            }
            kept.extend(more);
        }
        proposal.cut = candidates.len() - kept.len();
        proposal.capped = evidence.positions != self.logs.positions;
        proposal.counts = kept.iter().map(|id| (*id, evidence.count(*id))).collect();
        proposal.solid = solid;
        proposal.decided.retain(|(a, b), _| kept.contains(a) && kept.contains(b));
        proposal.undecided.retain(|(a, b)| kept.contains(a) && kept.contains(b));
        proposal.strict.retain(|(a, b)| kept.contains(a) && kept.contains(b));
        proposal.wins.retain(|(a, b)| kept.contains(a) && kept.contains(b));
        proposal.ids = kept;
        Some(proposal)
    }

    /// The logs cut to the first m eligible entries, m by the soft cap; None if none is solid.
    fn prefix(&self, eligible: &[u32]) -> Option<Logs> {
        let in_logs = |logs: &Logs, enough: usize| {
            eligible.iter().filter(|id| logs.count(**id) >= enough).count()
        };
        let all_solid = in_logs(&self.logs, self.solid);
        if all_solid == 0 {
            return None;
        }
        if in_logs(&self.logs, self.edge) <= self.cap.candidates {
            return Some(self.logs.clone());
        }
        let wanted = self.cap.solid.min(all_solid);
        let cuts = (0..=eligible.len()).map(|m| self.logs.first(eligible, m));
        let enough: Vec<Logs> = cuts.filter(|cut| in_logs(cut, self.solid) >= wanted).collect();
        let within = |cut: &&Logs| in_logs(cut, self.edge) <= self.cap.candidates;
        enough.iter().rfind(within).or(enough.first()).cloned()
    }

    /// The key of an id in the block that is being applied.
    fn tie(&self) -> impl Fn(u32) -> Digest + use<> {
        let (salt, seed) = (self.salt, seed(self.output.len() as u64 + 1));
        move |id| keys(&seed, &[bundle_id(salt, id)])[0]
    }

    fn update(&mut self, at: usize) {
        for (a, b) in self.proposals[at].undecided.clone() {
            if self.logs.count(a) >= self.solid || self.logs.count(b) >= self.solid {
                let votes = (self.logs.weight(a, b), self.logs.weight(b, a));
                let (edge, tie) = (self.edge, self.tie());
                self.proposals[at].decide(a, b, votes, edge, &tie);
            }
        }
    }

    fn drain(&mut self) {
        let mode = self.mode;
        let mut out = Vec::new();
        for (at, proposal) in self.proposals.iter_mut().enumerate() {
            let mut held: BTreeSet<u32> =
                proposal.undecided.iter().flat_map(|(a, b)| [*a, *b]).collect();
            loop {
                let behind: Vec<u32> = proposal
                    .strict
                    .iter()
                    .filter(|(a, b)| held.contains(a) && !held.contains(b))
                    .map(|(_, b)| *b)
                    .collect();
                if behind.is_empty() {
                    break;
                }
                held.extend(behind);
            }
            let now: BTreeSet<u32> = proposal
                .ids
                .iter()
                .filter(|id| !held.contains(id) && !proposal.emitted.contains(id))
                .copied()
                .collect();
            out.extend(proposal.components(&now, mode).into_iter().map(|cohort| (at, cohort)));
            proposal.left_in_parts |= !now.is_empty() && !held.is_empty();
            proposal.emitted.extend(&now);
            if !proposal.undecided.is_empty() {
                proposal.deferred = true;
                break;
            }
        }
        self.output.push(out);
    }
}

impl Logs {
    fn count(&self, id: u32) -> usize {
        self.positions[&id].iter().filter(|position| **position != ABSENT).count()
    }

    fn weight(&self, a: u32, b: u32) -> usize {
        let pairs = self.positions[&a].iter().zip(&self.positions[&b]);
        pairs.filter(|(a, b)| a < b).count()
    }

    /// Each log cut after its first m of these ids.
    fn first(&self, eligible: &[u32], m: usize) -> Self {
        let mut cut = self.clone();
        let logs = self.positions.values().next().map_or(0, Vec::len);
        for log in 0..logs {
            let mut entries: Vec<(u64, u32)> =
                eligible.iter().map(|id| (self.positions[id][log], *id)).collect();
            entries.retain(|(position, _)| *position != ABSENT);
            entries.sort_unstable();
            for (_, id) in entries.into_iter().skip(m) {
                if let Some(positions) = cut.positions.get_mut(&id) {
                    positions[log] = ABSENT;
                }
            }
        }
        cut
    }
}

impl NaiveProposal {
    fn new(born: usize) -> Self {
        Self {
            ids: BTreeSet::new(),
            solid: BTreeSet::new(),
            counts: BTreeMap::new(),
            decided: BTreeMap::new(),
            undecided: BTreeSet::new(),
            strict: BTreeSet::new(),
            wins: BTreeSet::new(),
            emitted: BTreeSet::new(),
            born,
            cut: 0,
            capped: false,
            left_in_parts: false,
            deferred: false,
        }
    }

    /// Votes (of the first, of the second) when the pair was decided, in either orientation.
    pub fn votes(&self, first: u32, second: u32) -> Option<(usize, usize)> {
        if first < second {
            return self.decided.get(&(first, second)).copied();
        }
        self.decided.get(&(second, first)).map(|(p, q)| (*q, *p))
    }

    fn decide(
        &mut self,
        a: u32,
        b: u32,
        votes: (usize, usize),
        edge: usize,
        key: &impl Fn(u32) -> Digest,
    ) {
        let (p, q) = votes;
        if p.max(q) < edge {
            self.undecided.insert((a, b));
            return;
        }
        self.undecided.remove(&(a, b));
        self.decided.insert((a, b), votes);
        let a_wins = p > q || (p == q && key(a) < key(b));
        self.wins.insert(if a_wins { (a, b) } else { (b, a) });
        if q < edge {
            self.strict.insert((a, b));
        }
        if p < edge {
            self.strict.insert((b, a));
        }
    }

    /// Components of the strict graph on these ids.
    pub fn cohorts(&self, among: &BTreeSet<u32>) -> Vec<BTreeSet<u32>> {
        self.components(among, Mode::Strict)
    }

    /// Strongly connected components by reachability, smallest id first.
    fn components(&self, among: &BTreeSet<u32>, mode: Mode) -> Vec<BTreeSet<u32>> {
        let edges = if mode == Mode::Themis { &self.wins } else { &self.strict };
        let reach: BTreeMap<u32, BTreeSet<u32>> =
            among.iter().map(|id| (*id, reachable(edges, *id, among))).collect();
        let mut out: Vec<BTreeSet<u32>> = Vec::new();
        for id in among {
            if out.iter().any(|cohort| cohort.contains(id)) {
                continue;
            }
            let both = |other: &&u32| reach[id].contains(other) && reach[*other].contains(id);
            out.push(among.iter().filter(both).copied().collect());
        }
        out
    }
}

fn reachable(edges: &BTreeSet<(u32, u32)>, from: u32, among: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut seen = BTreeSet::from([from]);
    let mut todo = vec![from];
    while let Some(at) = todo.pop() {
        for (_, next) in edges.range((at, 0)..=(at, u32::MAX)) {
            if among.contains(next) && seen.insert(*next) {
                todo.push(*next);
            }
        }
    }
    seen
}
