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
    /// What is shown beside the figures of the run: what the file speaks of.
    others: BTreeSet<Subject>,
    first: Option<u64>,
    last: u64,
    values: BTreeMap<Subject, Spread>,
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

    /// In units of one `unit`-th of the figure's, rounded down.
    fn mean(&self, unit: i128) -> i64 {
        i64::try_from((self.sum * unit).div_euclid(self.count)).unwrap_or(self.most)
    }

    /// The mean of a figure: of one that counts something in thousandths.
    fn shown_mean(&self, figure: &str) -> String {
        match figure.ends_with("_ppm") || figure.ends_with("_milli") {
            true => shown_value(figure, self.mean(1)),
            false => shown_value("_milli", self.mean(1_000)),
        }
    }
}

impl OverSeeds {
    /// None yet.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let spoken_of = scenario.expect.iter().map(|expected| expected.subject);
        let others = spoken_of.filter(|one| !matches!(one, Subject::Figure(Whose::Run, _)));
        Self { others: others.collect(), ..Self::default() }
    }

    fn subjects(&self) -> Vec<Subject> {
        let run = FIGURES.iter().map(|figure| Subject::Figure(Whose::Run, figure.name));
        run.chain(self.others.iter().copied()).collect()
    }

    /// Takes what a seed gave.
    pub fn take(&mut self, outcome: &Outcome) {
        self.first.get_or_insert(outcome.seed);
        self.last = outcome.seed;
        if !outcome.passed() {
            self.missed.push(outcome.seed);
        }
        for subject in self.subjects() {
            let Some(value) = subject.of(outcome) else { continue };
            let spread = self.values.entry(subject);
            spread.and_modify(|known| known.take(value)).or_insert(Spread::of(value));
        }
    }

    /// As a table: the figures of the run, and what else the file expects something of.
    #[must_use]
    pub fn table(&self) -> String {
        let mut page = String::new();
        let Some(first) = self.first else { return page };
        let _ = write!(page, "\n{:NAMES$}", format!("seeds {first} to {}", self.last));
        let _ = writeln!(page, "{:>COLUMN$}{:>COLUMN$}{:>COLUMN$}", "mean", "least", "most");
        for subject in self.subjects() {
            let Some(spread) = self.values.get(&subject) else { continue };
            let _ = write!(page, "{:NAMES$}", subject.to_string());
            let figure = subject.figure();
            let [least, most] = [spread.least, spread.most].map(|value| shown_value(figure, value));
            let mean = spread.shown_mean(figure);
            let _ = writeln!(page, "{mean:>COLUMN$}{least:>COLUMN$}{most:>COLUMN$}");
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
