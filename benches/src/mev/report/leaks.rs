//! What sealing and a fair order leave to be seen, as far as it was measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DOLLAR, mean, ratio};
use crate::mev::arm::{Arm, Strategy};
use crate::mev::flow::Habit;
use crate::mev::run::SeedOutcome;
use crate::mev::statistics::{Estimate, Sample};

/// Measured in the arm that is sealed and strict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leaks {
    /// Share of sealed swaps whose pool and side their payer's past said, of four that there are.
    pub guessed: Vec<Guessed>,
    /// Blind sandwiches: how many were bet in a run.
    pub bets: Estimate,
    /// What they left after fees, in dollars a run.
    pub bets_value: Estimate,
    /// The same by the habit of who was bet on.
    pub bets_on: Vec<BetsOn>,
    /// Bits that say whether a bundle is a swap or an arbitrage.
    pub kind_bits: f64,
    /// Of these, bits that the size class says.
    pub class_bits: f64,
    /// Milliseconds from the searcher's hearing of a swap to its arrival at the median sequencer.
    pub lead_ms: Estimate,
    /// What back-runs that waited for nothing but a sealed bundle's arrival left, in dollars a run.
    pub timing_value: Estimate,
    /// What back-runs over opened states left, in dollars a run.
    pub after_release_value: Estimate,
}

/// Blind sandwiches around one kind of payer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BetsOn {
    /// Which.
    pub habit: String,
    /// How many were bet in a run.
    pub bets: Estimate,
    /// What they left after fees, in dollars a run.
    pub value: Estimate,
}

/// How often a kind of payer was guessed right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guessed {
    /// Which; none are all of them.
    pub habit: Option<String>,
    /// The share.
    pub share: Estimate,
}

impl Leaks {
    pub(super) fn of(outcomes: &[SeedOutcome]) -> Self {
        let place = Arm::ALL.len() - 1;
        let tally = |seed: &'_ SeedOutcome| seed.arms[place].attacked.tally.clone();
        let value = |strategy| {
            mean(outcomes, |seed| seed.arms[place].attacked.tally.value(strategy) as f64 / DOLLAR)
        };
        let mut classes: BTreeMap<u8, [u64; 2]> = BTreeMap::new();
        for seed in outcomes {
            for (class, [swaps, arbitrages]) in tally(seed).classes {
                let counts = classes.entry(class).or_default();
                counts[0] += swaps;
                counts[1] += arbitrages;
            }
        }
        let (kind_bits, class_bits) = information(&classes);
        Self {
            guessed: guessed(outcomes, place),
            bets: mean(outcomes, |seed| tally(seed).sandwiches[0] as f64),
            bets_value: value(Strategy::Sandwich),
            bets_on: bets_on(outcomes, place),
            kind_bits,
            class_bits,
            lead_ms: ratio(outcomes, |seed| {
                let leads = tally(seed).lead_us;
                let sum = leads.iter().sum::<i64>() as f64 / 1_000.0;
                Sample { sum, over: leads.len() as f64 }
            }),
            timing_value: value(Strategy::BackRun),
            after_release_value: value(Strategy::AfterRelease),
        }
    }
}

fn guessed(outcomes: &[SeedOutcome], place: usize) -> Vec<Guessed> {
    let share = |of: Option<Habit>| {
        ratio(outcomes, |seed| {
            let guesses = seed.arms[place].attacked.tally.guesses.iter();
            let counted = guesses.filter(|(habit, _)| of.is_none_or(|of| of == **habit));
            let sums =
                counted.fold([0, 0], |sums, (_, [all, right])| [sums[0] + all, sums[1] + right]);
            Sample { sum: sums[1] as f64, over: sums[0] as f64 }
        })
    };
    let named =
        |habit: Habit| Guessed { habit: Some(habit.name().to_owned()), share: share(Some(habit)) };
    let all = Guessed { habit: None, share: share(None) };
    std::iter::once(all).chain(Habit::ALL.map(named)).collect()
}

fn bets_on(outcomes: &[SeedOutcome], place: usize) -> Vec<BetsOn> {
    let of = |habit: Habit| {
        let sums = |seed: &SeedOutcome| -> [i64; 2] {
            let bets = &seed.arms[place].attacked.tally.by_victim;
            bets.get(&habit).copied().unwrap_or_default()
        };
        BetsOn {
            habit: habit.name().to_owned(),
            bets: mean(outcomes, |seed| sums(seed)[0] as f64),
            value: mean(outcomes, |seed| sums(seed)[1] as f64 / DOLLAR),
        }
    };
    Habit::ALL.map(of).into_iter().filter(|bets| bets.bets.value > 0.0).collect()
}

/// Entropy of the kind of a bundle, and what of it the class takes away, in bits.
fn information(classes: &BTreeMap<u8, [u64; 2]>) -> (f64, f64) {
    let entropy = |counts: [u64; 2]| -> f64 {
        let all = (counts[0] + counts[1]).max(1) as f64;
        let part = |count: u64| match count {
            0 => 0.0,
            count => -(count as f64 / all) * (count as f64 / all).log2(),
        };
        counts.map(part).iter().sum()
    };
    let sums =
        classes.values().fold([0, 0], |sums, counts| [sums[0] + counts[0], sums[1] + counts[1]]);
    let all = (sums[0] + sums[1]).max(1) as f64;
    let left: f64 = classes
        .values()
        .map(|counts| (counts[0] + counts[1]) as f64 / all * entropy(*counts))
        .sum();
    let round = |bits: f64| (bits * 1e6).round() / 1e6;
    (round(entropy(sums)), round(entropy(sums) - left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_says_all_or_nothing() {
        let told = BTreeMap::from([(0, [10, 0]), (1, [0, 10])]);
        assert_eq!(information(&told), (1.0, 1.0));
        let hidden = BTreeMap::from([(0, [5, 5]), (1, [5, 5])]);
        assert_eq!(information(&hidden), (1.0, 0.0));
    }
}
