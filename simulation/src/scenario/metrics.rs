//! Metrics M1 to M8 of an order, computed offline from a [`Record`] and nothing else.
//!
//! h(a,b) = honest sequencers whose log has a before b, absent = at the end. *Inverted*: b is out before
//! a. All figures are integers: shares are parts per million (`_ppm`), means thousandths (`_milli`),
//! rounded down; p99 is the least value that at least 99 % do not exceed. A share of nothing is 0.
//!
//! | | of which ids | |
//! |---|---|---|
//! | M1, M2 | all that came out | premise(a before b): h(b,a) <= g |
//! | M3, M4, M6 | those of traders of good faith | sent times, in microseconds, are the traders' own |
//! | M5 | pairs of an attacker's bundle and its victim | the one was made when the other arrived |
//! | M7 | cohorts with an attacker's id | ids that no trader of good faith sent |
//! | logs | liars: in logs that blocks have | adversaries; in the honest counterpart, those in their places |
//!
//! [`FIGURES`] has every figure with its formula. Bundles of honest clients that stand in for an
//! adversary (M5's control) count as nobody's in M3, M4 and M6.

mod liars;
mod pairs;
mod races;
mod waiting;

use std::collections::BTreeMap;

use super::order::{Order, Place};
use super::record::Record;
use pairs::Positions;

/// Figures by name.
pub type Figures = BTreeMap<&'static str, i64>;

/// A figure.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Its name in scenario files.
    pub name: &'static str,
    /// The metric that it belongs to.
    pub metric: &'static str,
    /// What it is.
    pub about: &'static str,
}

const fn figure(metric: &'static str, name: &'static str, about: &'static str) -> Figure {
    Figure { name, metric, about }
}

/// All figures, in the order of tables.
pub const FIGURES: &[Figure] = &[
    figure("run", "bundles", "bundles of traders of good faith"),
    figure("run", "ordered", "ids that came out"),
    figure("run", "unordered", "bundles of good faith with f+1 receipts that did not come out"),
    figure("run", "attacker_ids", "ids that came out and that no trader of good faith sent"),
    figure(
        "run",
        "adversary_moves",
        "what adversaries did that honest sequencers never do; `moves.` and a kind: those of the \
         adversary of the kind that did least",
    ),
    figure("run", "equivocations", "two heads of one log, by the honest sequencers that saw both"),
    figure("run", "convicted", "sequencers that final blocks convict of two logs"),
    figure(
        "run",
        "bad_shares",
        "wrong decryption shares, by the honest sequencers that blame them",
    ),
    figure(
        "run",
        "silent_parts",
        "decryption shares that did not come in time, by the honest sequencers that waited",
    ),
    figure("run", "heights", "final blocks"),
    figure("M1", "premise_pairs", "ordered pairs (a,b) that came out with h(b,a) <= g"),
    figure(
        "M1",
        "same_proposal_inversions",
        "premise pairs inverted across cohorts of one proposal: must be 0 in modes strict and themis",
    ),
    figure(
        "M1",
        "ripe_inversions",
        "premise pairs inverted across proposals though the earlier one stood in >= 2T-1 logs when \
         proposed: must be 0 in modes strict and themis",
    ),
    figure("M1", "other_inversions", "premise pairs inverted across proposals otherwise"),
    figure(
        "M1",
        "unsupported_neighbours",
        "neighbours a, b of the order with h(a,b) < g+1: must be 0 in modes strict and themis",
    ),
    figure("M1", "inverted_100_ppm", "of pairs with h(a,b) >= n-f: inverted across cohorts"),
    figure("M1", "inverted_90_ppm", "the same with h(a,b) >= ceil(0.9 (n-f))"),
    figure("M1", "inverted_80_ppm", "the same with h(a,b) >= ceil(0.8 (n-f))"),
    figure("M1", "inverted_70_ppm", "the same with h(a,b) >= ceil(0.7 (n-f))"),
    figure("M1", "inverted_60_ppm", "the same with h(a,b) >= ceil(0.6 (n-f))"),
    figure("M2", "cohorts", "cohorts"),
    figure("M2", "cohort_mean_milli", "ids per cohort, mean"),
    figure("M2", "cohort_p99", "ids per cohort, p99"),
    figure("M2", "cohort_max", "ids of the largest cohort"),
    figure("M2", "same_cohort_ppm", "of all pairs: unprotected because they share a cohort"),
    figure(
        "M3",
        "kendall_ppm",
        "Kendall's tau distance to the order of sending: of pairs sent at different times, inverted",
    ),
    figure("M3", "displacement_mean_milli", "|rank in the order - rank of sending|, mean"),
    figure("M3", "displacement_p99", "|rank in the order - rank of sending|, p99"),
    figure(
        "M4",
        "disagreement_ppm",
        "of all pairs: honest sequencers disagree, min(h(a,b), h(b,a)) > 0",
    ),
    figure("M4", "reversed_ppm", "of pairs with h(a,b) > h(b,a): b is out before a"),
    figure("M5", "races", "victims that came out and were raced by a bundle"),
    figure("M5", "first_ppm", "P[attacker's bundle before its victim]"),
    figure(
        "M5",
        "gain_ppm",
        "attacker's gain: first_ppm less that of an honest client that sends at the same instants \
         over the same link, where everybody is honest",
    ),
    figure("M5", "sandwich_ppm", "P[a bundle of the attacker before the victim and one after it]"),
    figure("M6", "latency_p50_ms", "first honest receipt to emitted, p50"),
    figure("M6", "latency_p99_ms", "first honest receipt to emitted, p99"),
    figure("M6", "latency_p50_heights", "the same in heights, p50"),
    figure("M6", "latency_p99_heights", "the same in heights, p99"),
    figure("M6", "blocks_deferred", "blocks after which a proposal was incomplete"),
    figure(
        "M6",
        "relay_heights",
        "d: heights from the first honest log that has an id to the last, max",
    ),
    figure(
        "M6",
        "known_heights_max",
        "heights from known to all honest sequencers to emitted, max",
    ),
    figure(
        "M6",
        "late_heights",
        "heights beyond h0 + 2W + d + 2 + floor(A/256), over all ids known to all honest sequencers \
         at h0: must be 0 while the intake is open",
    ),
    figure("M7", "trapped", "ids of good faith in the largest cohort that has an attacker's id"),
    figure("M7", "trapped_per_attacker_milli", "the same per attacker's id in it"),
    figure("M8", "evidence_bytes", "bytes of evidence in final blocks"),
    figure("M8", "bytes_per_id", "evidence_bytes per id that came out"),
    figure("logs", "liars_phantom_ids", "ids in liars' committed logs that no honest log has"),
    figure(
        "logs",
        "liars_reversed_ppm",
        "of pairs in liars' committed logs with h(a,b) > h(b,a): b before a",
    ),
    figure(
        "logs",
        "liars_delay_p50_ms",
        "from the first honest receipt of an id to the commitment of a liar's, p50",
    ),
    figure(
        "logs",
        "liars_left_out_milli",
        "entries of honest logs that a block of a liar leaves out though they were 80 ms old when its \
         parent was final, mean",
    ),
];

/// What an order measures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The figures.
    pub figures: Figures,
    /// By min(h(a,b), h(b,a)): pairs with a majority, and how many are reversed (M4).
    pub by_distance: BTreeMap<usize, (u64, u64)>,
    /// Cohorts by size (M2).
    pub cohort_sizes: BTreeMap<usize, u64>,
}

/// The figures of an order.
#[must_use]
pub fn measured(record: &Record, order: &Order) -> Measured {
    let mut measured = Measured::default();
    let positions = Positions::of(record, order);
    totals(record, order, &mut measured.figures);
    pairs::fairness(record, order, &positions, &mut measured.figures);
    cohorts(order, &mut measured);
    pairs::distance(record, order, &positions, &mut measured);
    races::races(record, order, &mut measured.figures);
    waiting::waiting(record, order, &mut measured.figures);
    trapped(record, order, &mut measured.figures);
    liars::liars(record, &mut measured.figures);
    measured
}

fn totals(record: &Record, order: &Order, figures: &mut Figures) {
    let out: std::collections::BTreeSet<_> = order.places.iter().map(|place| place.id).collect();
    let traders: Vec<_> = record.traders().collect();
    let least = usize::from(record.f) + 1;
    let promised = traders.iter().filter(|(_, sent)| sent.receipts >= least);
    let evidence: u64 = record.blocks.iter().map(|block| block.evidence_bytes).sum();
    let attackers = out.iter().filter(|id| record.is_attacker(id));
    figures.insert("bundles", count(traders.len()));
    figures.insert("ordered", count(out.len()));
    figures.insert("unordered", count(promised.filter(|(id, _)| !out.contains(id)).count()));
    figures.insert("attacker_ids", count(attackers.count()));
    charges(record, figures);
    figures.insert("heights", count(record.blocks.len()));
    figures.insert("evidence_bytes", i64::try_from(evidence).unwrap_or(i64::MAX));
    figures.insert("bytes_per_id", share(evidence, out.len() as u64, 1));
}

/// What adversaries did, and what honest sequencers hold against them.
fn charges(record: &Record, figures: &mut Figures) {
    let charges = record.charges;
    for (name, number) in [
        ("adversary_moves", record.moves.iter().map(|(_, moves)| moves).sum()),
        ("equivocations", charges.equivocations),
        ("convicted", charges.convicted),
        ("bad_shares", charges.bad_shares),
        ("silent_parts", charges.silent_parts),
    ] {
        figures.insert(name, i64::try_from(number).unwrap_or(i64::MAX));
    }
}

/// By kind: the moves of the adversary that did least.
#[must_use]
pub fn moves(record: &Record) -> Figures {
    let mut least = Figures::new();
    for (kind, moves) in &record.moves {
        let moves = i64::try_from(*moves).unwrap_or(i64::MAX);
        least.entry(kind.name()).and_modify(|least| *least = moves.min(*least)).or_insert(moves);
    }
    least
}

/// M2 without its pairs.
fn cohorts(order: &Order, measured: &mut Measured) {
    let mut sizes: Vec<u64> = order.cohorts().map(|cohort| cohort.len() as u64).collect();
    for size in &sizes {
        *measured.cohort_sizes.entry(usize::try_from(*size).unwrap_or(usize::MAX)).or_insert(0) +=
            1;
    }
    let total = order.places.len() as u64;
    let same: u64 = sizes.iter().map(|size| size * (size - 1) / 2).sum();
    let figures = &mut measured.figures;
    figures.insert("cohorts", count(sizes.len()));
    figures.insert("cohort_mean_milli", share(total, sizes.len() as u64, 1_000));
    figures.insert("cohort_p99", quantile(&mut sizes, 99));
    figures.insert("cohort_max", quantile(&mut sizes, 100));
    figures.insert("same_cohort_ppm", share(same, total * total.saturating_sub(1) / 2, PPM));
}

/// M7.
fn trapped(record: &Record, order: &Order, figures: &mut Figures) {
    let attackers = |cohort: &[Place]| {
        cohort.iter().filter(|place| record.is_attacker(&place.id)).count() as u64
    };
    let attacked = order.cohorts().filter(|cohort| attackers(cohort) > 0);
    let largest = attacked
        .max_by_key(|cohort| (cohort.len() as u64, cohort.len() as u64 - attackers(cohort)));
    let (ids, own) = largest.map_or((0, 0), |cohort| (cohort.len() as u64, attackers(cohort)));
    figures.insert("trapped", i64::try_from(ids - own).unwrap_or(i64::MAX));
    figures.insert("trapped_per_attacker_milli", share(ids - own, own, 1_000));
}

/// Parts per million.
const PPM: u64 = 1_000_000;

/// `part / whole` in units of one `unit`-th, rounded down; of nothing 0.
fn share(part: u64, whole: u64, unit: u64) -> i64 {
    let share = (u128::from(part) * u128::from(unit)).checked_div(u128::from(whole)).unwrap_or(0);
    i64::try_from(share).unwrap_or(i64::MAX)
}

/// The least value that at least `percent` of all do not exceed; of nothing 0.
fn quantile(values: &mut [u64], percent: usize) -> i64 {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).max(1) - 1;
    values.get(rank).map_or(0, |value| i64::try_from(*value).unwrap_or(i64::MAX))
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
