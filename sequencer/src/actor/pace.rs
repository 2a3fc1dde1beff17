//! How fast heights pass.

use std::collections::VecDeque;

use fairveil_consensus::timing::Load;

/// Block intervals that a mean is taken over.
const INTERVALS: usize = 64;
/// Multiples of the median that an interval counts at most: one standstill says nothing about the next
/// minute.
const MOST_MEDIANS: u64 = 8;
/// The same under load. Traders reckon their windows with it: rather too long than too short, so that
/// pauses between bundles hardly count.
const MOST_LOADED_MEDIANS: u64 = 2;

/// The last intervals between final blocks, by their committed times.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    recent: Intervals,
    /// Those between two blocks that had work, each by what it holds: the same at all sequencers. An idle
    /// chain makes few blocks, and the next bundle ends that.
    loaded: Intervals,
    had_work: bool,
}

impl Pace {
    /// A block is final, this long after the one before it.
    pub(crate) fn passed(&mut self, interval_ms: u64, load: Load) {
        self.recent.push(interval_ms);
        let has_work = load == Load::Busy;
        if has_work && self.had_work {
            self.loaded.push(interval_ms);
        }
        self.had_work = has_work;
    }

    /// The mean of all, in milliseconds; 0 of none.
    pub(crate) fn recent_ms(&self) -> u64 {
        self.recent.typical(MOST_MEDIANS)
    }

    /// The mean of those between blocks that had work, in milliseconds; 0 of none.
    pub(crate) fn loaded_ms(&self) -> u64 {
        self.loaded.typical(MOST_LOADED_MEDIANS)
    }
}

#[derive(Debug, Default)]
struct Intervals(VecDeque<u64>);

impl Intervals {
    fn push(&mut self, interval_ms: u64) {
        if self.0.len() == INTERVALS {
            self.0.pop_front();
        }
        self.0.push_back(interval_ms);
    }

    /// The mean, to which no interval counts for more than so many lower medians; 0 of none.
    fn typical(&self, most_medians: u64) -> u64 {
        let mut sorted: Vec<u64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let middle = sorted.len().saturating_sub(1) / 2;
        let Some(median) = sorted.get(middle) else { return 0 };
        let most = median.saturating_mul(most_medians).max(1);
        let sum = sorted.iter().fold(0, |sum: u64, each| sum.saturating_add(*each.min(&most)));
        sum / sorted.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_standstill_does_not_change_the_typical_interval_much() {
        let of = |intervals: &[u64]| Intervals(intervals.iter().copied().collect()).typical(8);
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[100, 200, 300]), 200);
        // Every fifth leader is away: it counts.
        assert_eq!(of(&[100, 100, 100, 100, 700]), 220);
        assert_eq!(of(&[100, 600_000]), 450);
        let mut stalled = vec![100; 63];
        stalled.push(60_000);
        assert_eq!(of(&stalled), (63 * 100 + 800) / 64);
        assert_eq!(of(&[0, 0, 9]), 0);
        assert!(of(&[u64::MAX, u64::MAX]) > 0);
    }

    #[test]
    fn an_idle_chain_s_blocks_say_nothing_about_one_with_work() {
        let mut pace = Pace::default();
        (0..INTERVALS).for_each(|_| pace.passed(1_000, Load::Idle));
        assert_eq!((pace.recent_ms(), pace.loaded_ms()), (1_000, 0));
        // The first block with work ends an idle time, and the last one is followed by one.
        pace.passed(600, Load::Busy);
        (0..4).for_each(|_| pace.passed(100, Load::Busy));
        (0..2 * INTERVALS).for_each(|_| pace.passed(1_000, Load::Idle));
        assert_eq!((pace.recent_ms(), pace.loaded_ms()), (1_000, 100));
        assert_eq!(pace.recent.0.len(), INTERVALS);
    }
}
