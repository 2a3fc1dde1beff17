//! How fast heights pass.

use std::collections::VecDeque;

/// Block intervals that a mean is taken over.
const INTERVALS: usize = 64;
/// Multiples of the median that an interval counts at most: traders reckon in heights with the mean, and
/// one standstill must not make their windows too short for a minute.
const MOST_MEDIANS: u64 = 8;

/// The last intervals between final blocks, by their committed times.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    recent: Intervals,
    /// Those at whose beginning a bundle was reported and not yet ordered here. An idle chain makes few
    /// blocks, and the next bundle ends that: its window must be reckoned with these.
    loaded: Intervals,
    waits: bool,
}

impl Pace {
    /// A block is final, this long after the one before it.
    pub(crate) fn passed(&mut self, interval_ms: u64) {
        self.recent.push(interval_ms);
        if self.waits {
            self.loaded.push(interval_ms);
        }
    }

    /// Whether bundles that are reported wait for the next blocks.
    pub(crate) const fn waits(&mut self, waits: bool) {
        self.waits = waits;
    }

    /// The mean of all, in milliseconds; 0 of none.
    pub(crate) fn recent_ms(&self) -> u64 {
        self.recent.typical()
    }

    /// The mean of those in which a bundle waited, in milliseconds; 0 of none.
    pub(crate) fn loaded_ms(&self) -> u64 {
        self.loaded.typical()
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

    /// The mean, to which no interval counts for more than a few medians; 0 of none.
    fn typical(&self) -> u64 {
        let mut sorted: Vec<u64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let Some(median) = sorted.get(sorted.len() / 2) else { return 0 };
        let most = median.saturating_mul(MOST_MEDIANS).max(1);
        let sum = sorted.iter().fold(0, |sum: u64, each| sum.saturating_add(*each.min(&most)));
        sum / sorted.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_standstill_does_not_change_the_typical_interval_much() {
        let of = |intervals: &[u64]| Intervals(intervals.iter().copied().collect()).typical();
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[100, 200, 300]), 200);
        // Every fifth leader is away: it counts.
        assert_eq!(of(&[100, 100, 100, 100, 700]), 220);
        let mut stalled = vec![100; 63];
        stalled.push(60_000);
        assert_eq!(of(&stalled), (63 * 100 + 800) / 64);
        assert_eq!(of(&[0, 0, 9]), 0);
        assert!(of(&[u64::MAX, u64::MAX]) > 0);
    }

    #[test]
    fn an_idle_chain_s_blocks_say_nothing_about_one_with_work() {
        let mut pace = Pace::default();
        (0..INTERVALS).for_each(|_| pace.passed(1_000));
        assert_eq!((pace.recent_ms(), pace.loaded_ms()), (1_000, 0));
        pace.waits(true);
        (0..4).for_each(|_| pace.passed(100));
        pace.waits(false);
        (0..2 * INTERVALS).for_each(|_| pace.passed(1_000));
        assert_eq!((pace.recent_ms(), pace.loaded_ms()), (1_000, 100));
        assert_eq!(pace.recent.0.len(), INTERVALS);
    }
}
