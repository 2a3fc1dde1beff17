//! What a scenario gives over several seeds: the mean, the least and the most of each figure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::expect::{Subject, Whose};
use super::file::Scenario;
use super::metrics::FIGURES;
use super::run::Outcome;
use super::table::shown_value;

/// Width of the names of figures.
const NAMES: usize = 34;
/// Width of a column.
const COLUMN: usize = 12;

/// Figures of the seeds so far.
#[derive(Clone, Debug, Default)]
pub struct OverSeeds {
    /// Figures of other orders than the run's that are shown: those that the file speaks of.
    others: BTreeSet<(Whose, &'static str)>,
    first: Option<u64>,
    last: u64,
    figures: BTreeMap<(Whose, &'static str), Spread>,
    missed: Vec<u64>,
}

/// Sum, least and most of some values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spread {
    count: i128,
    sum: i128,
    least: i64,
    most: i64,
}

impl Spread {
    const fn of(value: i64) -> Self {
        Self { count: 1, sum: value as i128, least: value, most: value }
    }

    fn take(&mut self, value: i64) {
        self.count += 1;
        self.sum += i128::from(value);
        self.least = self.least.min(value);
        self.most = self.most.max(value);
    }

    /// Rounded down to the unit of the figure.
    fn mean(&self) -> i64 {
        i64::try_from(self.sum.div_euclid(self.count)).unwrap_or(self.most)
    }
}

impl OverSeeds {
    /// None yet.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let others = scenario.expect.iter().filter_map(|expected| match expected.subject {
            Subject::Figure(whose, name) => Some((whose, name)),
            Subject::Moves(_) => None,
        });
        Self { others: others.collect(), ..Self::default() }
    }

    /// Takes what a seed gave.
    pub fn take(&mut self, outcome: &Outcome) {
        self.first.get_or_insert(outcome.seed);
        self.last = outcome.seed;
        if !outcome.passed() {
            self.missed.push(outcome.seed);
        }
        for (whose, measured) in &outcome.orders {
            for (name, value) in &measured.figures {
                let spread = self.figures.entry((*whose, *name));
                spread.and_modify(|known| known.take(*value)).or_insert(Spread::of(*value));
            }
        }
    }

    /// As a table: the figures of the run, and what the file expects of other orders.
    #[must_use]
    pub fn table(&self) -> String {
        let mut page = String::new();
        let Some(first) = self.first else { return page };
        let _ = write!(page, "\n{:NAMES$}", format!("seeds {first} to {}", self.last));
        let _ = writeln!(page, "{:>COLUMN$}{:>COLUMN$}{:>COLUMN$}", "mean", "least", "most");
        for whose in Whose::ALL {
            for figure in FIGURES {
                if whose != Whose::Run && !self.others.contains(&(whose, figure.name)) {
                    continue;
                }
                let Some(spread) = self.figures.get(&(whose, figure.name)) else { continue };
                let name = match whose {
                    Whose::Run => figure.name.to_owned(),
                    _ => format!("{}.{}", whose.name(), figure.name),
                };
                let _ = write!(page, "{name:NAMES$}");
                for value in [spread.mean(), spread.least, spread.most] {
                    let _ = write!(page, "{:>COLUMN$}", shown_value(figure.name, value));
                }
                page.push('\n');
            }
        }
        match self.missed.as_slice() {
            [] => page.push_str("every seed met what is expected\n"),
            missed => {
                let _ = writeln!(page, "MISSED by seeds {missed:?}");
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_mean_rounded_down_and_both_ends() {
        let mut spread = Spread::of(-3);
        for value in [4, -2, i64::MAX] {
            spread.take(value);
        }
        assert_eq!((spread.least, spread.most), (-3, i64::MAX));
        assert_eq!(i128::from(spread.mean()), (i128::from(i64::MAX) - 1).div_euclid(4));
        assert_eq!(Spread { count: 2, sum: -3, least: -2, most: -1 }.mean(), -2);
    }

    #[test]
    fn no_seed_gives_no_table() {
        assert_eq!(OverSeeds::default().table(), "");
    }
}
