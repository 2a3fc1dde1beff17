//! PROPOSE and UPDATE: which ids are ordered together, and what is decided about their pairs.
//!
//! 1. Vertices are ids in at least T logs that reach a solid one (in at least S logs) over strict
//!    edges. The vertex set and the solid ones are frozen when the proposal is born.
//! 2. A pair is decided once a side has T votes; a decided pair never changes.
//! 3. UPDATE decides an undecided pair when one end is in at least S logs, by the votes and the
//!    key of that block.
//! 4. The evidence is the whole of all logs while that makes at most 4,096 candidates. Else it is
//!    the longest equal prefix of the unproposed entries with so few, but never so short that
//!    fewer than min(256, all) ids are solid in it: a hard bound can leave nothing solid for ever.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use fairveil_crypto::{
    BundleId, Digest,
    domain::{Tag, hash},
};
use serde::{Deserialize, Serialize};

use crate::{
    bits::Bits,
    committee::Thresholds,
    graph::{Decider, Graph},
    record::{ABSENT, Live},
    rules::{Cap, Rules, Shaded},
    tree::Tree,
};

/// An unproposed, eligible id with its record. A list of them stands in the order of ids.
pub(crate) type Entry<'a> = (BundleId, &'a Live);

/// Ids that are ordered together.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    pub(crate) number: u64,
    frozen: Arc<Frozen>,
    /// Vertices that have left.
    emitted: Bits,
}

/// What a proposal holds, in the order of (median, id).
#[derive(Clone, Debug)]
struct Frozen {
    ids: Vec<BundleId>,
    medians: Vec<u64>,
    solid: Bits,
    graph: Graph,
    digest: OnceLock<Digest>,
    /// The seed of the block in which the proposal is born, with the keys of `ids` under it: that block
    /// often emits them, too. None of one that was restored.
    born: Option<(Digest, Vec<Digest>)>,
}

/// The bytes of a pending proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProposalRecord {
    number: u64,
    ids: Vec<BundleId>,
    medians: Vec<u64>,
    solid: Vec<u64>,
    emitted: Vec<u64>,
    pairs: Vec<u8>,
}

/// key(x) = hash(OrderKey, seed, x): breaks ties, and no more than ties.
pub(crate) fn keys(seed: &Digest, ids: &[BundleId]) -> Vec<Digest> {
    ids.iter().map(|id| hash(Tag::OrderKey, &[seed.as_bytes(), id.as_bytes()])).collect()
}

impl Proposal {
    /// PROPOSE over all unproposed eligible ids; None if none of them is solid.
    pub(crate) fn new(
        number: u64,
        entries: &[Entry<'_>],
        thresholds: Thresholds,
        rules: &Rules,
        seed: &Digest,
    ) -> Option<Self> {
        if !entries.iter().any(|(_, live)| live.count >= thresholds.solid) {
            return None;
        }
        let prefix = Prefix::new(entries, thresholds, rules.cap);
        let vertices = Vertices::new(entries, &prefix, thresholds, rules);
        let frozen = vertices.cut(thresholds, rules, seed)?;
        let emitted = Bits::empty(frozen.ids.len());
        Some(Self { number, frozen: Arc::new(frozen), emitted })
    }

    pub(crate) fn ids(&self) -> &[BundleId] {
        &self.frozen.ids
    }

    pub(crate) fn medians(&self) -> &[u64] {
        &self.frozen.medians
    }

    /// Solid when proposed.
    pub(crate) fn solid(&self) -> &Bits {
        &self.frozen.solid
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.frozen.graph
    }

    /// The keys of all ids under a seed.
    pub(crate) fn keys(&self, seed: &Digest) -> Cow<'_, [Digest]> {
        match &self.frozen.born {
            Some((born, keys)) if born == seed => Cow::Borrowed(keys),
            _ => Cow::Owned(keys(seed, &self.frozen.ids)),
        }
    }

    /// Ids that have not left, in the order of (median, id).
    pub(crate) fn remaining(&self) -> impl Iterator<Item = BundleId> {
        let ids = self.frozen.ids.iter().enumerate();
        ids.filter(|(at, _)| !self.emitted.contains(*at)).map(|(_, id)| *id)
    }

    /// UPDATE: decides pairs of which one end is solid by now.
    pub(crate) fn update(&mut self, live: &Tree<Live>, thresholds: Thresholds, seed: &Digest) {
        let open = self.frozen.graph.open();
        let mut ripe = Bits::empty(self.frozen.ids.len());
        let mut positions = Vec::new();
        for vertex in open.iter() {
            let Some(record) = live.get(&self.frozen.ids[vertex]) else {
                continue;
            };
            positions.push((vertex as u32, &record.positions[..]));
            if record.count >= thresholds.solid {
                ripe.insert(vertex);
            }
        }
        let Some((_, first)) = positions.first() else {
            return;
        };
        if ripe.is_empty() {
            return;
        }
        let orders = orders(first.len(), positions.iter().copied(), |_, _| true);
        let decider = Decider::new(&orders, thresholds.edge, &self.keys(seed));
        let frozen = Arc::make_mut(&mut self.frozen);
        frozen.digest = OnceLock::new();
        frozen.graph.decide(&ripe, &decider);
    }

    /// What may leave now: all that is left of a complete proposal, else of its safe prefix,
    /// which is everything but undecided endpoints and what is behind them.
    pub(crate) fn leaving(&self) -> Leaving {
        let open = self.frozen.graph.open();
        let mut vertices = Bits::full(self.frozen.ids.len());
        vertices.subtract(self.emitted.words());
        if open.is_empty() {
            return Leaving { vertices, rest: Rest::Nothing };
        }
        vertices.subtract(self.frozen.graph.descendants(&open).words());
        Leaving { vertices, rest: Rest::Undecided }
    }

    pub(crate) fn mark_emitted(&mut self, vertices: &Bits) {
        self.emitted.union(vertices.words());
    }

    pub(crate) fn digest(&self) -> Digest {
        let frozen = self.frozen.digest.get_or_init(|| self.frozen.compute_digest());
        let emitted = words(self.emitted.words());
        hash(Tag::OrderProposal, &[&self.number.to_be_bytes(), frozen.as_bytes(), &emitted])
    }

    pub(crate) fn record(&self) -> ProposalRecord {
        ProposalRecord {
            number: self.number,
            ids: self.frozen.ids.clone(),
            medians: self.frozen.medians.clone(),
            solid: self.frozen.solid.words().to_vec(),
            emitted: self.emitted.words().to_vec(),
            pairs: self.frozen.graph.pairs(),
        }
    }

    /// None if the record is not one that [`Self::record`] can have made.
    pub(crate) fn restored(record: ProposalRecord) -> Option<Self> {
        let size = record.ids.len();
        if record.medians.len() != size {
            return None;
        }
        let places: Vec<_> = record.medians.iter().zip(&record.ids).collect();
        if !places.is_sorted_by(|a, b| a < b) {
            return None;
        }
        let frozen = Frozen {
            graph: Graph::from_pairs(size, &record.pairs)?,
            solid: Bits::from_words(record.solid, size)?,
            ids: record.ids,
            medians: record.medians,
            digest: OnceLock::new(),
            born: None,
        };
        let emitted = Bits::from_words(record.emitted, size)?;
        Some(Self { number: record.number, frozen: Arc::new(frozen), emitted })
    }
}

/// See [`Proposal::leaving`].
pub(crate) struct Leaving {
    pub(crate) vertices: Bits,
    pub(crate) rest: Rest,
}

/// What stays of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    Undecided,
}

impl Frozen {
    fn compute_digest(&self) -> Digest {
        let ids: Vec<u8> = self.ids.iter().flat_map(|id| *id.as_bytes()).collect();
        let items = [&ids[..], &words(&self.medians), &words(self.solid.words())];
        hash(Tag::OrderProposal, &[items[0], items[1], items[2], &self.graph.frozen()])
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// By log the vertices that it contains and that are looked at, in its order. Each comes with its
/// position in every log.
fn orders<'a>(
    logs: usize,
    vertices: impl Iterator<Item = (u32, &'a [u64])>,
    within: impl Fn(usize, u32) -> bool,
) -> Vec<Vec<u32>> {
    let mut columns: Vec<Vec<(u64, u32)>> = vec![Vec::with_capacity(vertices.size_hint().0); logs];
    for (vertex, positions) in vertices {
        for (log, (column, position)) in columns.iter_mut().zip(positions).enumerate() {
            if *position != ABSENT && within(log, vertex) {
                column.push((*position, vertex));
            }
        }
    }
    columns.into_iter().map(in_order).collect()
}

/// Vertices by their positions in a log, which are distinct.
fn in_order(mut present: Vec<(u64, u32)>) -> Vec<u32> {
    let first = present.iter().map(|(position, _)| *position).min().unwrap_or(0);
    let last = present.iter().map(|(position, _)| *position).max().unwrap_or(0);
    let count = present.len();
    // What is in flight stands close together in a log as a rule: then each gets the slot of its place.
    let order: Vec<u32> = match usize::try_from(last - first) {
        Ok(span) if span / 4 < present.len() => {
            let mut slots = vec![u32::MAX; span + 1];
            for (position, vertex) in &present {
                slots[(position - first) as usize] = *vertex;
            }
            slots.retain(|vertex| *vertex != u32::MAX);
            slots
        }
        _ => {
            present.sort_unstable_by_key(|(position, _)| *position);
            debug_assert!(present.windows(2).all(|pair| pair[0].0 < pair[1].0));
            present.into_iter().map(|(_, vertex)| vertex).collect()
        }
    };
    debug_assert_eq!(order.len(), count, "two at one position");
    order
}

/// Which entries of which log the proposal looks at.
enum Prefix {
    Whole,
    /// By log, by entry: its rank among the log's entries; the first `limit` belong to it.
    First {
        ranks: Vec<Vec<u32>>,
        limit: u32,
    },
}

impl Prefix {
    fn new(entries: &[Entry<'_>], thresholds: Thresholds, cap: Cap) -> Self {
        let at_least = |count| entries.iter().filter(|(_, live)| live.count >= count).count();
        let bound = match cap {
            Cap::Soft { candidates, .. } => candidates,
            #[cfg(test)]
            Cap::Hard(candidates) => candidates,
        };
        if at_least(thresholds.edge) <= bound {
            return Self::Whole;
        }
        let ranks = ranks(entries);
        let candidates = depths(&ranks, entries, thresholds.edge);
        // With this limit the candidate of this depth is the first that is left out.
        let largest = candidates[bound];
        let least = match cap {
            Cap::Soft { solid, .. } => {
                let solid_depths = depths(&ranks, entries, thresholds.solid);
                // A depth is the rank of an entry that is there, so less than their number.
                solid_depths.get(solid.min(solid_depths.len()) - 1).map_or(0, |depth| depth + 1)
            }
            #[cfg(test)]
            Cap::Hard(_) => 0,
        };
        Self::First { ranks, limit: largest.max(least) }
    }

    fn contains(&self, log: usize, entry: usize) -> bool {
        match self {
            Self::Whole => true,
            Self::First { ranks, limit } => ranks[log][entry] < *limit,
        }
    }
}

/// By log, by entry: its rank among the entries of the log; `u32::MAX` if it is absent.
fn ranks(entries: &[Entry<'_>]) -> Vec<Vec<u32>> {
    let logs = entries.first().map_or(0, |(_, live)| live.positions.len());
    let positions = (0..).zip(entries).map(|(at, (_, live))| (at, &live.positions[..]));
    let ranked = |order: Vec<u32>| {
        let mut ranks = vec![u32::MAX; entries.len()];
        for (rank, entry) in order.into_iter().enumerate() {
            ranks[entry as usize] = rank as u32;
        }
        ranks
    };
    orders(logs, positions, |_, _| true).into_iter().map(ranked).collect()
}

/// Ascending: the rank by which `count` logs contain an entry, of all that stand in so many.
fn depths(ranks: &[Vec<u32>], entries: &[Entry<'_>], count: u16) -> Vec<u32> {
    let depth = |at: usize| {
        let mut own: Vec<u32> = ranks.iter().map(|column| column[at]).collect();
        *own.select_nth_unstable(usize::from(count) - 1).1
    };
    let enough = (0..entries.len()).filter(|at| entries[*at].1.count >= count);
    let mut depths: Vec<u32> = enough.map(depth).collect();
    depths.sort_unstable();
    depths
}

/// The candidates, before the cut.
struct Vertices {
    ids: Vec<BundleId>,
    medians: Vec<u64>,
    solid: Bits,
    orders: Vec<Vec<u32>>,
}

impl Vertices {
    fn new(entries: &[Entry<'_>], prefix: &Prefix, thresholds: Thresholds, rules: &Rules) -> Self {
        let logs = entries.first().map_or(0, |(_, live)| live.positions.len());
        let entry = |at: usize| &entries[at].1.positions[..];
        let count = |at: usize| {
            let within = |log: &usize| entry(at)[*log] != ABSENT && prefix.contains(*log, at);
            (0..logs).filter(within).count() as u16
        };
        let enough = match rules.shaded {
            Shaded::Keep => thresholds.edge,
            #[cfg(test)]
            Shaded::Drop => thresholds.solid,
        };
        // Entries stand in the order of ids: so this is the order of (median, id).
        let mut chosen: Vec<(u64, usize, u16)> = (0..entries.len())
            .filter(|at| entries[*at].1.count >= enough)
            .map(|at| (entries[at].1.median(), at, count(at)))
            .filter(|(_, _, count)| *count >= enough)
            .collect();
        chosen.sort_unstable();
        let mut solid = Bits::empty(chosen.len());
        for (vertex, (_, _, count)) in chosen.iter().enumerate() {
            if *count >= thresholds.solid {
                solid.insert(vertex);
            }
        }
        let positions = (0..).zip(&chosen).map(|(vertex, (_, at, _))| (vertex, entry(*at)));
        let within = |log: usize, vertex: u32| prefix.contains(log, chosen[vertex as usize].1);
        Self {
            orders: orders(logs, positions, within),
            ids: chosen.iter().map(|(_, at, _)| entries[*at].0).collect(),
            medians: chosen.iter().map(|(median, _, _)| *median).collect(),
            solid,
        }
    }

    /// Keeps exactly the vertices that reach a solid one; None if none is solid.
    fn cut(self, thresholds: Thresholds, rules: &Rules, seed: &Digest) -> Option<Frozen> {
        if self.solid.is_empty() {
            return None;
        }
        let size = self.ids.len();
        let keys = keys(seed, &self.ids);
        let decider = Decider::new(&self.orders, thresholds.edge, &keys);
        let (graph, kept) = Graph::reaching(size, &self.solid, &decider, rules.cut);
        if kept.count() == size {
            return Some(self.frozen(graph, (*seed, keys)));
        }
        let kept: Vec<usize> = kept.iter().collect();
        let keys: Vec<Digest> = kept.iter().map(|vertex| keys[*vertex]).collect();
        let only = self.only(&kept);
        let decider = Decider::new(&only.orders, thresholds.edge, &keys);
        Some(only.frozen(Graph::new(kept.len(), &decider), (*seed, keys)))
    }

    fn only(self, kept: &[usize]) -> Self {
        let mut renamed = vec![u32::MAX; self.ids.len()];
        let mut solid = Bits::empty(kept.len());
        for (vertex, old) in kept.iter().enumerate() {
            renamed[*old] = vertex as u32;
            if self.solid.contains(*old) {
                solid.insert(vertex);
            }
        }
        let rename = |order: Vec<u32>| {
            let renamed = order.into_iter().map(|old| renamed[old as usize]);
            renamed.filter(|vertex| *vertex != u32::MAX).collect()
        };
        Self {
            ids: kept.iter().map(|old| self.ids[*old]).collect(),
            medians: kept.iter().map(|old| self.medians[*old]).collect(),
            solid,
            orders: self.orders.into_iter().map(rename).collect(),
        }
    }

    fn frozen(self, graph: Graph, born: (Digest, Vec<Digest>)) -> Frozen {
        Frozen {
            ids: self.ids,
            medians: self.medians,
            solid: self.solid,
            graph,
            digest: OnceLock::new(),
            born: Some(born),
        }
    }
}
