//! Mode `median` by plain transcription, the receive times of a case, and what the mode promises.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    naive::{Case, Dice, Emitted, bundle_id, judge::voids, seed},
    proposal::keys,
};

/// What a sequencer that has nothing more to report says, later than every entry.
const END_MS: u64 = 1 << 40;

/// When every entry of every log of a case was received, as far as the logs have grown.
#[derive(Clone, Debug)]
pub(crate) struct Clocks<'a> {
    case: &'a Case,
    /// By sequencer: the times of all its entries, ascending.
    times: BTreeMap<u16, Vec<u64>>,
    lengths: BTreeMap<u16, usize>,
}

impl<'a> Clocks<'a> {
    pub(crate) fn new(case: &'a Case) -> Self {
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        for (sequencer, ids) in case.blocks.iter().flatten() {
            *counts.entry(*sequencer).or_default() += ids.len();
        }
        let column = |(sequencer, count): (u16, usize)| {
            let mut dice = Dice::new(case.salt ^ u64::from(sequencer).wrapping_mul(0x9e37));
            let mut now = 0;
            let mut next = || {
                now += dice.below(4) as u64;
                now
            };
            (sequencer, (0..count).map(|_| next()).collect())
        };
        let times = counts.into_iter().map(column).collect();
        Self { case, times, lengths: BTreeMap::new() }
    }

    /// The times of the next so many entries, and the clock of the head behind them: as late as
    /// the entry that follows allows.
    pub(crate) fn append(&mut self, sequencer: u16, count: usize) -> (Vec<u64>, u64) {
        let length = self.lengths.entry(sequencer).or_default();
        let from = *length;
        *length += count;
        let times = &self.times[&sequencer];
        (times[from..*length].to_vec(), times.get(*length).copied().unwrap_or(END_MS))
    }

    /// When the honest sequencers received what they report.
    fn honest(&self) -> BTreeMap<u32, Vec<u64>> {
        let mut heard: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for sequencer in self.case.truth.keys() {
            let own = self.case.blocks.iter().flatten().filter(|(whose, _)| whose == sequencer);
            let ids = own.flat_map(|(_, ids)| ids);
            let times = self.times.get(sequencer).into_iter().flatten();
            ids.zip(times).for_each(|(id, time)| heard.entry(*id).or_default().push(*time));
        }
        heard
    }
}

/// The order of mode `median`, from nothing but maps.
#[derive(Clone, Debug)]
pub struct NaiveMedian {
    /// Id -> what it is ordered by, in the order of blocks.
    pub stamps: BTreeMap<u32, u64>,
    /// Per block the ids that leave.
    pub output: Vec<Vec<u32>>,
}

impl NaiveMedian {
    /// The whole case.
    pub fn run(case: &Case) -> Self {
        let mut clocks = Clocks::new(case);
        let (quorum, edge) = (usize::from(case.n - case.f), usize::from(case.g + case.f + 1));
        let mut heads: BTreeMap<u16, u64> = (1..=case.n).map(|log| (log, 0)).collect();
        let mut heard: BTreeMap<u32, BTreeMap<u16, u64>> = BTreeMap::new();
        let mut naive = Self { stamps: BTreeMap::new(), output: Vec::new() };
        let mut left: BTreeSet<u32> = BTreeSet::new();
        for (height, block) in (1u64..).zip(&case.blocks) {
            let open = |id: &u32| case.expiries.get(id).is_none_or(|last| *last >= height);
            for (sequencer, ids) in block {
                let (times, clock) = clocks.append(*sequencer, ids.len());
                for (id, time) in ids.iter().zip(times) {
                    heard.entry(*id).or_default().insert(*sequencer, time);
                }
                heads.insert(*sequencer, clock);
            }
            for (id, times) in heard.iter().filter(|(id, _)| open(id)) {
                if times.len() >= quorum {
                    let stamp = lower_median(times.values().copied().collect());
                    naive.stamps.entry(*id).or_insert(stamp);
                }
            }
            // The least stamp of anything that any n - f logs may still say.
            let mut bound = least(heads.values().copied().collect(), quorum);
            // Nobody needs to hold what stands in few logs, so nobody knows when its window closes.
            let unstamped =
                |id: &u32, logs: usize| (open(id) || logs < edge) && !naive.stamps.contains_key(id);
            for (_, times) in heard.iter().filter(|(id, times)| unstamped(id, times.len())) {
                let says = |log: &u16| times.get(log).unwrap_or(&heads[log]);
                bound = bound.min(least(heads.keys().map(says).copied().collect(), quorum));
            }
            let key = |id: u32| keys(&seed(height), &[bundle_id(case.salt, id)])[0];
            let due = naive.stamps.iter().filter(|(id, _)| !left.contains(id));
            let mut due: Vec<_> = due.map(|(id, stamp)| (*stamp, key(*id), *id)).collect();
            due.sort_unstable();
            due.retain(|(stamp, _, _)| *stamp < bound);
            let ids: Vec<u32> = due.into_iter().map(|(_, _, id)| id).collect();
            left.extend(&ids);
            naive.output.push(ids);
        }
        naive
    }
}

fn least(mut says: Vec<u64>, quorum: usize) -> u64 {
    says.sort_unstable();
    lower_median(says[..quorum].to_vec())
}

fn lower_median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times[(times.len() - 1) / 2]
}

/// What is wrong with an output of mode `median`, in words.
pub fn judge_median(case: &Case, output: &Emitted) -> Vec<String> {
    let naive = NaiveMedian::run(case);
    let voids = voids(case, output).into_iter();
    let mut faults: Vec<String> = voids.map(|fault| format!("{fault:?}")).collect();
    let flat: Vec<Vec<u32>> = output.blocks.iter().map(|cohorts| cohorts.concat()).collect();
    if flat != naive.output {
        faults.push(format!("{flat:?}, by transcription {:?}", naive.output));
    }
    let order = flat.concat();
    if order.windows(2).any(|pair| naive.stamps[&pair[0]] > naive.stamps[&pair[1]]) {
        faults.push("stamps descend".into());
    }
    let honest = Clocks::new(case).honest();
    let span = |id: &u32| honest.get(id).map(|times| (times.iter().min(), times.iter().max()));
    for id in &order {
        let stamp = Some(&naive.stamps[id]);
        if span(id).is_none_or(|(first, last)| first > stamp || stamp > last) {
            faults.push(format!("the stamp of {id} is outside of what honest sequencers say"));
        }
    }
    for (at, later) in order.iter().enumerate() {
        for earlier in &order[..at] {
            if span(later).zip(span(earlier)).is_some_and(|(late, early)| late.1 < early.0) {
                faults.push(format!("{later} came to all before {earlier} came to any"));
            }
        }
    }
    faults
}
