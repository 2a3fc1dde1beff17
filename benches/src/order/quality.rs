//! What the modes make of one trace, judged by who truly received what when.
//!
//! Ids are sent one per unit of time to 21 sequencers, of which 5 may lie; each hears each within
//! `jitter` units. A block comes every 60 units with fragments of all. Liars turn what they report in
//! a block around; in mode `median` they give it times of their own in that block, in mode `leader`
//! they list it backwards when they lead. Leaders rotate, the liars first.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex};
use fairveil_ordering::naive::{Dice, bundle_id};
use fairveil_ordering::{Appended, Committee, FairOrder, Mode, Phase, Step};
use serde::{Deserialize, Serialize};

use super::OrderBenchError;
use crate::measure::rounded;

const N: u16 = 21;
const F: u16 = 5;
const IDS: u32 = 600;
/// Units of time between two blocks.
const BLOCK: u64 = 60;

/// What one mode made of one trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Units of time within which an id reaches everybody; ids come one per unit.
    pub jitter: u64,
    /// Sequencers that lie.
    pub liars: u16,
    /// The mode.
    pub mode: String,
    /// Mean size of a cohort.
    pub cohort_mean: f64,
    /// The largest cohort.
    pub cohort_max: usize,
    /// Pairs that all honest sequencers received in one order.
    pub premises: usize,
    /// Those of them that come out the other way round in one cohort.
    pub inverted_inside: usize,
    /// Those that do across cohorts.
    pub inverted_across: usize,
    /// Neighbours of the output that no honest sequencer received in this order.
    pub unsupported: usize,
    /// Mean distance of an id from its place by the time of sending.
    pub displacement: f64,
}

/// When whom hears what: by sequencer, (time, id) ascending.
struct Trace {
    heard: Vec<Vec<(u64, u32)>>,
    liars: u16,
    jitter: u64,
}

/// Jitter and liars of every trace.
pub(super) fn traces() -> impl Iterator<Item = (u64, u16)> {
    [1, 5, 20, 100].into_iter().flat_map(|jitter| [(jitter, 0), (jitter, 5)])
}

/// All modes on one trace.
pub(super) fn compare(jitter: u64, liars: u16) -> Result<Vec<Quality>, OrderBenchError> {
    let mut dice = Dice::new(jitter);
    let heard = (0..N).map(|_| {
        let mut heard: Vec<(u64, u32)> = (0..IDS)
            .map(|id| (u64::from(id) + dice.below(jitter as usize + 1) as u64, id))
            .collect();
        heard.sort_unstable();
        heard
    });
    let trace = Trace { heard: heard.collect(), liars: liars.min(F), jitter };
    Mode::ALL.into_iter().map(|mode| trace.quality(mode)).collect()
}

impl Trace {
    fn is_liar(&self, sequencer: usize) -> bool {
        sequencer >= usize::from(N - self.liars)
    }

    fn quality(&self, mode: Mode) -> Result<Quality, OrderBenchError> {
        let cohorts = self.ordered(mode)?;
        let order: Vec<(u32, usize)> = cohorts
            .iter()
            .enumerate()
            .flat_map(|(cohort, ids)| ids.iter().map(move |id| (*id, cohort)))
            .collect();
        let honest = self.honest();
        let all = |a: u32, b: u32| honest.iter().all(|at| at[a as usize] < at[b as usize]);
        let (mut premises, mut inside, mut across) = (0, 0, 0);
        for (place, (x, home)) in order.iter().enumerate() {
            for (y, other) in &order[place + 1..] {
                let inverted = all(*y, *x);
                premises += usize::from(inverted || all(*x, *y));
                inside += usize::from(inverted && home == other);
                across += usize::from(inverted && home != other);
            }
        }
        let nobody = |pair: &&[(u32, usize)]| {
            honest.iter().all(|at| at[pair[0].0 as usize] > at[pair[1].0 as usize])
        };
        let moved = order.iter().enumerate().map(|(at, (id, _))| at.abs_diff(*id as usize));
        Ok(Quality {
            jitter: self.jitter,
            liars: self.liars,
            mode: mode.name().to_owned(),
            cohort_mean: rounded(order.len() as f64 / cohorts.len().max(1) as f64),
            cohort_max: cohorts.iter().map(Vec::len).max().unwrap_or(0),
            premises,
            inverted_inside: inside,
            inverted_across: across,
            unsupported: order.windows(2).filter(nobody).count(),
            displacement: rounded(moved.sum::<usize>() as f64 / order.len().max(1) as f64),
        })
    }

    /// By honest sequencer: the place of every id in its log.
    fn honest(&self) -> Vec<Vec<usize>> {
        let honest = (0..usize::from(N)).filter(|sequencer| !self.is_liar(*sequencer));
        honest
            .map(|sequencer| {
                let mut places = vec![0; IDS as usize];
                for (place, (_, id)) in self.heard[sequencer].iter().enumerate() {
                    places[*id as usize] = place;
                }
                places
            })
            .collect()
    }

    /// What a sequencer reports between two instants: ids with times.
    fn reported(&self, sequencer: usize, from: u64, to: u64) -> Vec<(u64, u32)> {
        let heard = self.heard[sequencer].iter().copied();
        let mut said: Vec<(u64, u32)> =
            heard.filter(|(time, _)| (from..to).contains(time)).collect();
        if self.is_liar(sequencer) {
            let times: Vec<u64> = said.iter().map(|(time, _)| *time).collect();
            said.reverse();
            said = times.into_iter().zip(said).map(|(time, (_, id))| (time, id)).collect();
        }
        said
    }

    fn ordered(&self, mode: Mode) -> Result<Vec<Vec<u32>>, OrderBenchError> {
        let committee = Committee::new(N, F, 0)?;
        let mut order = FairOrder::new(committee, mode, Height::ZERO);
        let names: BTreeMap<BundleId, u32> =
            (0..IDS).map(|id| (bundle_id(self.jitter, id), id)).collect();
        let expiries = names.keys().map(|id| (*id, Height::MAX)).collect();
        let mut logs: Vec<Vec<BundleId>> = vec![Vec::new(); N.into()];
        let mut listed: BTreeSet<BundleId> = BTreeSet::new();
        let mut cohorts = Vec::new();
        let last = (u64::from(IDS) + self.jitter) / BLOCK + 2;
        for block in 0..last {
            let (from, to) = (block * BLOCK, (block + 1) * BLOCK);
            let mut said = Vec::new();
            for (sequencer, log) in logs.iter_mut().enumerate() {
                let (times, ids): (Vec<u64>, Vec<u32>) =
                    self.reported(sequencer, from, to).into_iter().unzip();
                let ids: Vec<BundleId> = ids.iter().map(|id| bundle_id(self.jitter, *id)).collect();
                log.extend(&ids);
                said.push((ids, if mode == Mode::Median { times } else { Vec::new() }));
            }
            let leader = usize::from(N - 1) - (block % u64::from(N)) as usize;
            let mut list: Vec<BundleId> = Vec::new();
            if mode == Mode::Leader {
                list = logs[leader].iter().filter(|id| !listed.contains(*id)).copied().collect();
                listed.extend(&list);
            }
            let appended: Vec<Appended<'_>> = SequencerIndex::all(N)
                .zip(&said)
                .map(|(sequencer, (ids, times_ms))| Appended {
                    sequencer,
                    ids,
                    times_ms,
                    clock_ms: to - 1,
                })
                .collect();
            let output = order.apply(&Step {
                height: order.height().next(),
                seed: Digest::from_bytes([block as u8; 32]),
                phase: Phase::Ordering,
                appended: &appended,
                list: &list,
                expiries: &expiries,
            })?;
            let emitted = output.emission.cohorts.into_iter();
            cohorts.extend(emitted.map(|ids| {
                ids.iter().filter_map(|one| names.get(&one.id).copied()).collect::<Vec<u32>>()
            }));
        }
        Ok(cohorts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn strict_keeps_what_it_promises_where_the_published_rules_do_not() {
        let of = |found: &[Quality], mode: Mode| {
            found.iter().find(|quality| quality.mode == mode.name()).unwrap().clone()
        };
        let calm = compare(20, 0).unwrap();
        assert_eq!(of(&calm, Mode::Strict).cohort_max, 1);
        assert!(calm.iter().all(|quality| quality.premises > 100_000));
        let attacked = compare(20, 5).unwrap();
        let strict = of(&attacked, Mode::Strict);
        assert_eq!((strict.inverted_across, strict.unsupported), (0, 0));
        let themis = of(&attacked, Mode::Themis);
        assert_eq!(themis.unsupported, 0);
        assert!(themis.cohort_max > 10 * strict.cohort_max, "{themis:?}");
        let leader = of(&attacked, Mode::Leader);
        assert!(leader.inverted_across > 1_000, "{leader:?}");
    }
}
