//! M1, M3 and M4: what an order does to pairs of ids.

use std::collections::BTreeMap;

use fairveil_crypto::BundleId;

use super::{Figures, Measured, PPM, count, quantile, share};
use crate::scenario::order::Order;
use crate::scenario::record::Record;

/// γ in percent, and the figure of each.
const GAMMAS: [(u64, &str); 5] = [
    (100, "inverted_100_ppm"),
    (90, "inverted_90_ppm"),
    (80, "inverted_80_ppm"),
    (70, "inverted_70_ppm"),
    (60, "inverted_60_ppm"),
];

/// Where the ids of an order, by their place in it, stand in honest logs.
pub(super) struct Positions {
    logs: Vec<Vec<usize>>,
}

impl Positions {
    pub(super) fn of(record: &Record, order: &Order) -> Self {
        let logs = record.honest.iter().map(|member| {
            let log = record.logs[*member].iter().enumerate();
            let at: BTreeMap<BundleId, usize> = log.map(|(at, entry)| (entry.id, at)).collect();
            let position = |id| at.get(id).copied().unwrap_or(usize::MAX);
            order.places.iter().map(|place| position(&place.id)).collect()
        });
        Self { logs: logs.collect() }
    }

    /// h(a, b).
    fn before(&self, a: usize, b: usize) -> usize {
        self.logs.iter().filter(|log| log[a] < log[b]).count()
    }
}

/// M1.
pub(super) fn fairness(record: &Record, order: &Order, at: &Positions, figures: &mut Figures) {
    let (places, g) = (&order.places, usize::from(record.g));
    let edge = record.g + record.f + 1;
    let ripe = 2 * edge - 1;
    let (mut premises, mut same, mut ripe_ones, mut others) = (0, 0, 0, 0);
    // Per γ: pairs that so many received in one order, and those that came out in the other.
    let mut shares = [(0_u64, 0_u64); GAMMAS.len()];
    let quorum = u64::from(record.n - record.f);
    for (i, first) in places.iter().enumerate() {
        for (j, second) in places.iter().enumerate().skip(i + 1) {
            let (forth, back) = (at.before(i, j), at.before(j, i));
            let apart = first.cohort != second.cohort;
            premises += usize::from(back <= g) + usize::from(forth <= g);
            if forth <= g && apart {
                match first.proposed == second.proposed {
                    true => same += 1,
                    false if first.logs >= ripe => ripe_ones += 1,
                    false => others += 1,
                }
            }
            for ((percent, _), (pairs, inverted)) in GAMMAS.iter().zip(&mut shares) {
                let enough = (quorum * percent).div_ceil(100);
                *pairs += u64::from(forth as u64 >= enough) + u64::from(back as u64 >= enough);
                *inverted += u64::from(back as u64 >= enough && apart);
            }
        }
    }
    let neighbours =
        (1..places.len()).filter(|at_second| at.before(at_second - 1, *at_second) <= g);
    figures.insert("premise_pairs", count(premises));
    figures.insert("same_proposal_inversions", same);
    figures.insert("ripe_inversions", ripe_ones);
    figures.insert("other_inversions", others);
    figures.insert("unsupported_neighbours", count(neighbours.count()));
    for ((_, name), (pairs, inverted)) in GAMMAS.iter().zip(shares) {
        figures.insert(name, share(inverted, pairs, PPM));
    }
}

/// M3 and M4.
pub(super) fn distance(record: &Record, order: &Order, at: &Positions, measured: &mut Measured) {
    let sent: BTreeMap<BundleId, u64> =
        record.traders().map(|(id, sent)| (id, sent.at_us)).collect();
    let places = order.places.iter().enumerate();
    // Of traders' bundles, in their order: the place, and when it was sent.
    let ranked: Vec<(usize, u64)> =
        places.filter_map(|(place, out)| Some((place, *sent.get(&out.id)?))).collect();
    let (mut pairs, mut inverted, mut split) = (0, 0, 0);
    let total = ranked.len() as u64;
    for (rank, (i, first)) in ranked.iter().enumerate() {
        for (j, second) in &ranked[rank + 1..] {
            pairs += u64::from(first != second);
            inverted += u64::from(first > second);
            let (forth, back) = (at.before(*i, *j), at.before(*j, *i));
            split += u64::from(forth.min(back) > 0);
            if forth != back {
                let found = measured.by_distance.entry(forth.min(back)).or_insert((0, 0));
                found.0 += 1;
                found.1 += u64::from(back > forth);
            }
        }
    }
    let mut by_sent: Vec<(u64, usize)> =
        ranked.iter().enumerate().map(|(rank, (_, sent))| (*sent, rank)).collect();
    by_sent.sort_unstable();
    let mut displaced: Vec<u64> =
        by_sent.iter().enumerate().map(|(sent, (_, out))| sent.abs_diff(*out) as u64).collect();
    let sum: u64 = displaced.iter().sum();
    let with_majority: u64 = measured.by_distance.values().map(|(pairs, _)| pairs).sum();
    let reversed: u64 = measured.by_distance.values().map(|(_, reversed)| reversed).sum();
    let figures = &mut measured.figures;
    figures.insert("kendall_ppm", share(inverted, pairs, PPM));
    figures.insert("displacement_mean_milli", share(sum, total, 1_000));
    figures.insert("displacement_p99", quantile(&mut displaced, 99));
    figures.insert("disagreement_ppm", share(split, total * total.saturating_sub(1) / 2, PPM));
    figures.insert("reversed_ppm", share(reversed, with_majority, PPM));
}
