//! What a scenario expects of its figures.

use std::fmt;

use fairveil_sequencer::Behaviour;
use serde_json::Value;

use super::metrics::{FIGURES, moves};
use super::run::Outcome;

/// What a figure may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// At least this.
    pub at_least: Option<i64>,
    /// At most this.
    pub at_most: Option<i64>,
}

impl Bound {
    /// A number, or an object with `at_least`, `at_most` or both.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        if let Some(number) = value.as_i64() {
            return Some(Self { at_least: Some(number), at_most: Some(number) });
        }
        let object = value.as_object()?;
        let known = |key: &String| key == "at_least" || key == "at_most";
        if object.is_empty() || !object.keys().all(known) {
            return None;
        }
        let number = |key: &str| match object.get(key) {
            None => Some(None),
            Some(value) => value.as_i64().map(Some),
        };
        Some(Self { at_least: number("at_least")?, at_most: number("at_most")? })
    }

    /// Whether a figure keeps it.
    #[must_use]
    pub fn holds(&self, actual: i64) -> bool {
        self.at_least.is_none_or(|least| actual >= least)
            && self.at_most.is_none_or(|most| actual <= most)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) if least == most => write!(out, "{least}"),
            (Some(least), Some(most)) => write!(out, "{least} to {most}"),
            (Some(least), None) => write!(out, "at least {least}"),
            (None, Some(most)) => write!(out, "at most {most}"),
            (None, None) => write!(out, "anything"),
        }
    }
}

/// Of whose order a figure speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// The run's.
    Run,
    /// The same scenario's and seed's with everybody honest.
    Honest,
    /// The run's evidence, ordered by the strict rule, if the run was not.
    Strict,
    /// The run's evidence, ordered by the published rule.
    Themis,
    /// The run's evidence, ordered by median times.
    Median,
    /// The run's evidence, as its leaders would have liked it.
    Leader,
}

impl Whose {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Run, Self::Honest, Self::Strict, Self::Themis, Self::Median, Self::Leader];

    /// Its name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Honest => "honest",
            Self::Strict => "strict",
            Self::Themis => "themis",
            Self::Median => "median",
            Self::Leader => "leader",
        }
    }
}

/// What a bound is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A figure of an order.
    Figure(Whose, &'static str),
    /// What an attack adds to a figure: the run's less its honest counterpart's.
    Added(&'static str),
    /// The moves of the adversary of this kind that did least.
    Moves(&'static str),
}

impl Subject {
    /// `figure`, `order.figure`, `added.figure` or `moves.kind`, if there is such a one.
    fn named(key: &str) -> Option<Self> {
        let figure = |name| FIGURES.iter().map(|figure| figure.name).find(|known| *known == name);
        match key.split_once('.') {
            None => Some(Self::Figure(Whose::Run, figure(key)?)),
            Some((MOVES, kind)) => Some(Self::Moves(Behaviour::named(kind)?.name())),
            Some((ADDED, name)) => Some(Self::Added(figure(name)?)),
            Some((whose, name)) => {
                let whose = Whose::ALL.into_iter().find(|known| known.name() == whose)?;
                Some(Self::Figure(whose, figure(name)?))
            }
        }
    }

    /// Its value in a run; nothing if the run has none.
    pub(crate) fn of(self, outcome: &Outcome) -> Option<i64> {
        match self {
            Self::Figure(whose, name) => outcome.figure(whose, name),
            Self::Added(name) => outcome.added(name),
            Self::Moves(kind) => moves(outcome.record.as_ref()?).get(kind).copied(),
        }
    }

    /// The figure whose unit it has; a kind of adversary for its moves.
    pub(crate) const fn figure(self) -> &'static str {
        match self {
            Self::Figure(_, name) | Self::Added(name) | Self::Moves(name) => name,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Figure(Whose::Run, name) => out.write_str(name),
            Self::Figure(whose, name) => write!(out, "{}.{name}", whose.name()),
            Self::Added(name) => write!(out, "{ADDED}.{name}"),
            Self::Moves(kind) => write!(out, "{MOVES}.{kind}"),
        }
    }
}

/// A bound on a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The figure as the file names it.
    pub key: String,
    /// Which one it is.
    pub subject: Subject,
    /// What it may be.
    pub bound: Bound,
}

impl Expectation {
    /// If there is such a subject.
    pub(crate) fn new(key: &str, bound: Bound) -> Option<Self> {
        Some(Self { key: key.to_owned(), subject: Subject::named(key)?, bound })
    }

    /// What came of it.
    pub(crate) fn judged(&self, outcome: &Outcome) -> Verdict {
        let actual = self.subject.of(outcome);
        let met = actual.is_some_and(|actual| self.bound.holds(actual));
        Verdict { key: self.key.clone(), bound: self.bound, actual, met }
    }
}

/// Stands in front of a kind of adversary.
pub(crate) const MOVES: &str = "moves";
/// Stands in front of what an attack adds to a figure.
pub(crate) const ADDED: &str = "added";

/// Whether an expectation was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The figure as the file names it.
    pub key: String,
    /// What it may be.
    pub bound: Bound,
    /// What it is; nothing if there is none in this run.
    pub actual: Option<i64>,
    /// Whether it is what it may be.
    pub met: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, bound, actual, .. } = self;
        match actual {
            Some(actual) => write!(out, "{key} is {actual}, expected {bound}"),
            None => write!(out, "{key} is not measured in this run, expected {bound}"),
        }
    }
}

/// All names that a file may use.
pub(crate) fn known() -> String {
    let figures: Vec<&str> = FIGURES.iter().map(|figure| figure.name).collect();
    let orders: Vec<&str> = Whose::ALL.iter().skip(1).map(|whose| whose.name()).collect();
    let (figures, orders) = (figures.join(", "), orders.join("., "));
    format!(
        "{figures}, or one of these after {orders}. or {ADDED}., or {MOVES}. and a kind of adversary"
    )
}
