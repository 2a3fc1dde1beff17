//! What adversaries did to the evidence: their committed logs, and the blocks that they led, against the
//! logs of honest sequencers. Beside a run with nobody cheating: of the honest ones in their places.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::BundleId;

use super::{Figures, PPM, count, quantile, share};
use crate::scenario::record::{Received, Record};

/// Entries of honest logs that are older than this when a block is final have reached whoever proposes
/// the next one. (A block's own time is the median of what its evidence says, which a liar chooses.)
const ARRIVED_MS: u64 = 80;

/// Where and when honest sequencers received ids.
struct Known {
    /// By honest log, by id.
    ranks: Vec<BTreeMap<BundleId, usize>>,
    /// When the first of them received it.
    first_ms: BTreeMap<BundleId, u64>,
}

impl Known {
    fn of(record: &Record) -> Self {
        let logs = || record.honest.iter().map(|member| &record.logs[*member]);
        let ranks = logs().map(|log| log.iter().map(|entry| entry.id).zip(0..).collect());
        let mut first_ms: BTreeMap<BundleId, u64> = BTreeMap::new();
        for entry in logs().flatten() {
            let first = first_ms.entry(entry.id).or_insert(entry.at_ms);
            *first = entry.at_ms.min(*first);
        }
        Self { ranks: ranks.collect(), first_ms }
    }

    /// Places of ids in an honest log, those that it lacks at the end.
    fn places(&self, ids: &[BundleId]) -> Vec<Vec<usize>> {
        let place =
            |log: &BTreeMap<BundleId, usize>, id| log.get(id).copied().unwrap_or(usize::MAX);
        self.ranks.iter().map(|log| ids.iter().map(|id| place(log, id)).collect()).collect()
    }
}

/// The figures of liars.
pub(super) fn liars(record: &Record, figures: &mut Figures) {
    let known = Known::of(record);
    let liars: Vec<usize> =
        (0..record.logs.len()).filter(|member| !record.honest.contains(member)).collect();
    let (mut phantoms, mut delays) = (BTreeSet::new(), Vec::new());
    let (mut pairs, mut reversed) = (0, 0);
    for liar in &liars {
        let mut real = Vec::new();
        for (id, committed_ms) in committed(record, *liar) {
            match known.first_ms.get(&id) {
                Some(first_ms) => {
                    delays.push(committed_ms.saturating_sub(*first_ms));
                    real.push(id);
                }
                None => drop(phantoms.insert(id)),
            }
        }
        let (of_log, against) = against_majority(&known.places(&real), real.len());
        (pairs, reversed) = (pairs + of_log, reversed + against);
    }
    let (blocks, left_out) = left_out(record, &liars);
    figures.insert("liars_phantom_ids", count(phantoms.len()));
    figures.insert("liars_reversed_ppm", share(reversed, pairs, PPM));
    figures.insert("liars_delay_p50_ms", quantile(&mut delays, 50));
    figures.insert("liars_left_out_milli", share(left_out, blocks, 1_000));
}

/// What blocks have of a log, and when the first honest sequencer had committed them.
fn committed(record: &Record, member: usize) -> impl Iterator<Item = (BundleId, u64)> {
    record.blocks.iter().flat_map(move |block| {
        let own = block.appended.iter().filter(move |one| one.sequencer.position() == member);
        own.flat_map(|one| one.ids.iter().map(|id| (*id, block.committed_ms)))
    })
}

/// Pairs of a log of which more honest logs have the one first than the other, and those of them that
/// the log has in the other order.
fn against_majority(places: &[Vec<usize>], length: usize) -> (u64, u64) {
    let (mut pairs, mut against) = (0, 0);
    for second in 0..length {
        for first in 0..second {
            let forth = places.iter().filter(|log| log[first] < log[second]).count();
            let back = places.iter().filter(|log| log[second] < log[first]).count();
            pairs += u64::from(forth != back);
            against += u64::from(back > forth);
        }
    }
    (pairs, against)
}

/// Blocks that liars led, and entries of honest logs that had arrived by then and stand in no block up to
/// theirs.
fn left_out(record: &Record, liars: &[usize]) -> (u64, u64) {
    let mut lengths = vec![0; record.logs.len()];
    let (mut blocks, mut missing, mut parent_ms) = (0, 0, 0);
    for block in &record.blocks {
        for fragment in &block.appended {
            lengths[fragment.sequencer.position()] += fragment.ids.len();
        }
        if liars.contains(&block.leader) {
            let honest = record.honest.iter();
            let of =
                honest.map(|member| arrived(&record.logs[*member], lengths[*member], parent_ms));
            (blocks, missing) = (blocks + 1, missing + of.sum::<usize>() as u64);
        }
        parent_ms = block.committed_ms;
    }
    (blocks, missing)
}

/// Entries of a log beyond a length that had arrived when the parent of a block was final.
fn arrived(log: &[Received], length: usize, parent_ms: u64) -> usize {
    let rest = log.iter().skip(length);
    rest.take_while(|entry| entry.at_ms + ARRIVED_MS < parent_ms).count()
}
