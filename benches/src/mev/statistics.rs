//! Means and shares over seeds, with 95 % intervals.
//!
//! A figure is a sum over a sum: the mean of a figure per run has 1 below, a share has what it is
//! a share of. Its interval is that of the percentile bootstrap: seeds are drawn with replacement
//! 2,000 times, numerator and denominator of a seed together, and the 2.5th and the 97.5th percentile
//! of the figure stand.
//!
//! # Invariants
//!
//! 1. The same samples give the same interval: the draws have a seed of their own.

use fairveil_ordering::naive::Dice;
use serde::{Deserialize, Serialize};

/// How often seeds are drawn anew.
const RESAMPLES: usize = 2_000;
const DRAWS: u64 = 0x626f_6f74_7374_7261;

/// A figure of one seed: what is added up, and over what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Above.
    pub sum: f64,
    /// Below.
    pub over: f64,
}

/// A figure with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Of all seeds.
    pub value: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

impl Sample {
    /// One seed's value of a mean.
    pub const fn of(value: f64) -> Self {
        Self { sum: value, over: 1.0 }
    }
}

impl Estimate {
    /// The figure of these seeds; zero if there is nothing below.
    pub fn of(samples: &[Sample]) -> Self {
        let value = ratio(samples.iter());
        let mut dice = Dice::new(DRAWS);
        let mut drawn: Vec<f64> = (0..RESAMPLES)
            .map(|_| ratio((0..samples.len()).map(|_| &samples[dice.below(samples.len())])))
            .collect();
        drawn.sort_by(f64::total_cmp);
        let percentile = |thousandths: usize| drawn[(RESAMPLES - 1) * thousandths / 1_000];
        Self { value, low: percentile(25), high: percentile(975) }.rounded()
    }

    /// To six digits after the point, so that a report reads back as it was.
    fn rounded(self) -> Self {
        let round = |value: f64| (value * 1e6).round() / 1e6;
        Self { value: round(self.value), low: round(self.low), high: round(self.high) }
    }

    /// Whether the interval is above another one.
    pub fn is_above(&self, other: &Self) -> bool {
        self.low > other.high
    }
}

fn ratio<'a>(samples: impl Iterator<Item = &'a Sample>) -> f64 {
    let (sum, over) =
        samples.fold((0.0, 0.0), |(sum, over), sample| (sum + sample.sum, over + sample.over));
    if over == 0.0 { 0.0 } else { sum / over }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_wide_either_way() {
        let mut dice = Dice::new(5);
        let samples: Vec<Sample> = (0..400).map(|_| Sample::of(dice.below(1_001) as f64)).collect();
        let found = Estimate::of(&samples);
        // Uniform from 0 to 1,000: a standard deviation of 288.7.
        let expected = 1.96 * 288.7 / 20.0;
        assert!((found.value - 500.0).abs() < 2.0 * expected, "{found:?}");
        let half = (found.high - found.low) / 2.0;
        assert!((half / expected - 1.0).abs() < 0.15, "{half} of {expected}");
        assert_eq!(found, Estimate::of(&samples), "invariant 1");
    }

    #[test]
    fn a_share_weighs_seeds_by_what_they_hold() {
        let samples = [Sample { sum: 1.0, over: 1.0 }, Sample { sum: 0.0, over: 3.0 }];
        assert_eq!(Estimate::of(&samples).value, 0.25);
        assert_eq!(Estimate::of(&[Sample { sum: 0.0, over: 0.0 }]), Estimate::default());
    }
}
