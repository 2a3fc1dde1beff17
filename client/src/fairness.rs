//! Whether the certified order is one that the fair rule gives, as far as admission receipts show.
//!
//! A receipt says at which position its signer's order log has a bundle. For a pair that was
//! ordered `a` before `b`, a member *contradicts* if it signed positions for both, `b`'s the lower.
//! Receipts that only hold a bundle back say nothing. Members are counted within one epoch: n, f
//! and g are its definition's, a log is one epoch's.
//!
//! Let c members contradict a pair, and l others be convicted by receipts of their own that exclude
//! each other. T = f + g + 1.
//!
//! | c is at least | then, with at most f liars |
//! |---|---|
//! | f + 1 | an honest member received b first: the pair is listed. Nothing is wrong with that |
//! | n - f - g | fewer than T logs have a before b, unless members logged another order than they signed |
//! | n - g - l | at most g honest members can have received a before b: *premise(b before a)* |
//!
//! What the rule then excludes (the theorems' numbers are those of the order's proofs):
//!
//! * **Neighbours** of the output, whether in one cohort or not, in one proposal or two: each pair
//!   has T logs with a before b when it is decided (F3, its lemmas 3, 5 and 7). At most n - c logs
//!   can have that if all receipts are true, so at least c + T - n contradicting members broke
//!   theirs.
//! * **Pairs in two cohorts**, however far apart: in one proposal F1 needs the same T logs; in two,
//!   b can only have missed a's proposal if some log has a before b (the proof of F2). So if all n
//!   members contradict, at least one broke its receipt.
//! * Pairs of one cohort that are not neighbours: a cohort is a circle of such steps, in which the
//!   rule promises nothing about them.
//!
//! If the members that must have lied, with the convicted ones, are at most f, the order is fair
//! all the same and [`Finding::BrokenReceipts`] says that somebody cheated; the members' logs,
//! which every sequencer has, say who. If they are more than f, it is a [`Finding::Violation`]:
//! either more than f members lie, or the certified order is not the one that the rule gives. For
//! neighbours that is exactly where *premise(b before a)* is proven, against F3.
//!
//! # Invariants
//!
//! 1. Every pair with f + 1 contradicting members of one epoch is shown, once for each such epoch.
//! 2. No finding but [`Finding::Differs`] is made of receipts of another epoch than the one that
//!    emitted `a`, of a network whose order promises nothing about pairs (modes `median` and
//!    `leader`), or, as neighbours, of ids between which a height is not certified.
//! 3. A member that is convicted contradicts nothing; it counts as one of the f.
//! 4. Pairs are shown one by one and not kept: memory grows with the ids, time with their square.

mod pairs;

use std::collections::BTreeMap;

use fairveil_crypto::{Epoch, SequencerIndex};
use fairveil_keygen::definition::Mode;

use crate::trace::{CertifiedOrder, Ordered, SignedLog, Trace};
use pairs::{MAX_IDS, Ranks};

/// What the numbers of one epoch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The epoch.
    pub epoch: Epoch,
    /// Members.
    pub n: usize,
    /// Liars that the fair order tolerates.
    pub f: usize,
    /// Honest disagreement that it tolerates.
    pub g: usize,
    /// Members that contradicted themselves.
    pub convicted: usize,
    /// How the order is made.
    pub mode: Mode,
}

/// How a pair stands in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Both are in one cohort.
    pub is_one_cohort: bool,
    /// No id stands between them.
    pub is_neighbours: bool,
}

/// What contradicting receipts show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// That members received in different orders.
    Differs,
    /// That at least so many of those that contradict put into their logs another order than they
    /// signed. No more than are tolerated: the order is fair all the same.
    BrokenReceipts(usize),
    /// The same, and that with the convicted ones they are more than f: either they are, or the
    /// order is not the rule's.
    Violation(usize),
}

/// A pair that f+1 or more members of one epoch have the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The epoch of the receipts.
    pub epoch: Epoch,
    /// What was ordered first.
    pub earlier: Ordered,
    /// What was ordered after it.
    pub later: Ordered,
    /// Who signed that the later one is first in its log.
    pub against: Vec<SequencerIndex>,
    /// Who signed that the earlier one is.
    pub with: Vec<SequencerIndex>,
    /// How the pair stands in the output.
    pub standing: Standing,
    /// What it shows.
    pub finding: Finding,
}

/// How many pairs show what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Pairs with a [`Finding::Differs`].
    pub differing: u64,
    /// Pairs with [`Finding::BrokenReceipts`].
    pub broken: u64,
    /// Pairs with a [`Finding::Violation`].
    pub violations: u64,
}

/// More ids have receipts than are judged at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{actual} ordered ids have receipts of epoch {epoch}, at most {MAX_IDS} are judged at once: \
     give fewer heights"
)]
pub struct TooManyIds {
    /// The epoch.
    pub epoch: Epoch,
    /// Its ids.
    pub actual: usize,
}

/// A certified order beside what members signed.
#[derive(Debug)]
pub struct Comparison<'a> {
    epochs: Vec<(Rule, Signed<'a>)>,
}

impl<'a> Comparison<'a> {
    /// The order of a trace beside its receipts, epoch by epoch.
    ///
    /// # Errors
    ///
    /// [`TooManyIds`].
    pub fn new(trace: &Trace, order: &'a CertifiedOrder) -> Result<Self, TooManyIds> {
        let mut epochs = Vec::new();
        for (epoch, logs) in trace.logs() {
            let Ok(proven) = trace.network().proven(*epoch) else { continue };
            let proposal = proven.definition().proposal();
            let rule = Rule {
                epoch: *epoch,
                n: proposal.n.into(),
                f: proposal.f.into(),
                g: proposal.g.into(),
                convicted: logs.values().filter(|log| log.is_convicted()).count(),
                mode: proposal.ordering.mode,
            };
            epochs.push((rule, Signed::new(&rule, &order.ids, logs)?));
        }
        Ok(Self { epochs })
    }

    /// The numbers of every epoch of which there are receipts.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.epochs.iter().map(|(rule, _)| rule)
    }

    /// Shows every pair of the order that f+1 or more members of one epoch contradict.
    pub fn contradictions(&self, show: &mut dyn FnMut(&Contradiction)) -> Findings {
        let mut findings = Findings::default();
        for (rule, signed) in &self.epochs {
            findings.add(signed.judged(rule, show));
        }
        findings
    }
}

/// What the members of one epoch signed of some ids of the order.
#[derive(Debug)]
struct Signed<'a> {
    /// The whole order.
    ids: &'a [Ordered],
    /// Which of its ids, ascending.
    places: Vec<usize>,
    /// Of each member: where its log has these ids.
    positions: Vec<Vec<Option<u64>>>,
    /// Who these members are.
    sequencers: Vec<SequencerIndex>,
}

impl<'a> Signed<'a> {
    /// The ids of which f+1 members signed positions: no other pair is listed.
    fn new(
        rule: &Rule,
        ids: &'a [Ordered],
        logs: &BTreeMap<SequencerIndex, SignedLog>,
    ) -> Result<Self, TooManyIds> {
        let logs: Vec<_> = logs.iter().filter(|(_, log)| !log.is_convicted()).collect();
        let is_known = |one: &Ordered| {
            let positions = logs.iter().filter(|(_, log)| log.position(&one.id).is_some());
            positions.count() >= rule.listed()
        };
        let places: Vec<usize> = (0..ids.len()).filter(|at| is_known(&ids[*at])).collect();
        let (epoch, actual) = (rule.epoch, places.len());
        if actual > MAX_IDS {
            return Err(TooManyIds { epoch, actual });
        }
        let of = |log: &SignedLog| places.iter().map(|at| log.position(&ids[*at].id)).collect();
        let positions = logs.iter().map(|(_, log)| of(log)).collect();
        let sequencers = logs.iter().map(|(sequencer, _)| **sequencer).collect();
        Ok(Self { ids, places, positions, sequencers })
    }

    fn judged(&self, rule: &Rule, show: &mut dyn FnMut(&Contradiction)) -> Findings {
        let mut findings = Findings::default();
        let least = u16::try_from(rule.listed()).unwrap_or(u16::MAX);
        Ranks::new(&self.positions).reversed(least, |earlier, later| {
            let pair = self.contradiction(rule, earlier, later);
            findings.count(pair.finding);
            show(&pair);
        });
        findings
    }

    fn contradiction(&self, rule: &Rule, earlier: usize, later: usize) -> Contradiction {
        let signers = |is_so: fn(u64, u64) -> bool| {
            let all = self.sequencers.iter().zip(&self.positions);
            let so = all.filter(|(_, positions)| match (positions[earlier], positions[later]) {
                (Some(one), Some(other)) => is_so(one, other),
                _ => false,
            });
            so.map(|(sequencer, _)| *sequencer).collect::<Vec<_>>()
        };
        let (against, with) =
            (signers(|one, other| other < one), signers(|one, other| one < other));
        let (at, to) = (self.places[earlier], self.places[later]);
        let (earlier, later) = (self.ids[at], self.ids[to]);
        let is_one_height = earlier.position.height == later.position.height;
        let standing = Standing {
            is_one_cohort: is_one_height && earlier.cohort == later.cohort,
            is_neighbours: to == at + 1 && later.is_next,
        };
        let finding = match earlier.epoch == rule.epoch {
            true => rule.finding(against.len(), standing),
            false => Finding::Differs,
        };
        Contradiction { epoch: rule.epoch, earlier, later, against, with, standing, finding }
    }
}

impl Rule {
    /// Contradicting members with which a pair is listed: one of them is honest.
    #[must_use]
    pub const fn listed(&self) -> usize {
        self.f + 1
    }

    /// Contradicting members of which, for neighbours, some must have broken their receipts.
    #[must_use]
    pub const fn broken(&self) -> usize {
        (self.n + 1).saturating_sub(self.edge())
    }

    /// Contradicting members, for neighbours, that no order of the rule can have against it.
    #[must_use]
    pub const fn violated(&self) -> usize {
        self.n.saturating_sub(self.g + self.convicted)
    }

    /// Whether neighbours have T logs that agree with them, and so have pairs of different cohorts
    /// one log: F1 and F3, in both modes in which networks run.
    #[must_use]
    pub const fn promises(&self) -> bool {
        matches!(self.mode, Mode::Strict | Mode::Themis)
    }

    /// What so many contradicting members show.
    #[must_use]
    pub fn finding(&self, against: usize, standing: Standing) -> Finding {
        if !self.promises() {
            return Finding::Differs;
        }
        let liars = if standing.is_neighbours {
            (against + self.edge()).saturating_sub(self.n)
        } else {
            usize::from(!standing.is_one_cohort && against == self.n)
        };
        match liars {
            0 => Finding::Differs,
            _ if liars + self.convicted > self.f => Finding::Violation(liars),
            _ => Finding::BrokenReceipts(liars),
        }
    }

    /// T: logs that have one id before another where the rule puts it there.
    const fn edge(&self) -> usize {
        self.f + self.g + 1
    }
}

impl Findings {
    /// All pairs.
    #[must_use]
    pub const fn pairs(&self) -> u64 {
        self.differing + self.broken + self.violations
    }

    fn add(&mut self, other: Self) {
        self.differing += other.differing;
        self.broken += other.broken;
        self.violations += other.violations;
    }

    fn count(&mut self, finding: Finding) {
        match finding {
            Finding::Differs => self.differing += 1,
            Finding::BrokenReceipts(_) => self.broken += 1,
            Finding::Violation(_) => self.violations += 1,
        }
    }
}

/// A line for people.
impl std::fmt::Display for Contradiction {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place =
            |one: &Ordered| format!("{} at {}:{}", one.id, one.position.height, one.position.index);
        write!(out, "{} before {}: ", place(&self.earlier), place(&self.later))?;
        write!(out, "{} signed the opposite ({})", self.against.len(), listed(&self.against))?;
        match self.with.as_slice() {
            [] => out.write_str(", nobody signed the same")?,
            with => write!(out, ", {} the same ({})", with.len(), listed(with))?,
        }
        out.write_str(match (self.standing.is_one_cohort, self.standing.is_neighbours) {
            (true, true) => "; one cohort, neighbours",
            (true, false) => "; one cohort",
            (false, true) => "; two cohorts, neighbours",
            (false, false) => "; two cohorts",
        })?;
        match self.finding {
            Finding::Differs => Ok(()),
            Finding::BrokenReceipts(liars) => {
                write!(out, "; BROKEN RECEIPTS of at least {liars} of them")
            }
            Finding::Violation(liars) => {
                write!(
                    out,
                    "; VIOLATION: at least {liars} of them lied, or this is not the rule's order"
                )
            }
        }
    }
}

fn listed(sequencers: &[SequencerIndex]) -> String {
    let numbers: Vec<_> = sequencers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}

#[cfg(test)]
mod tests;
