//! How much of the order a trace covers, and so what its findings are worth.
//!
//! A header commits to what its block emitted only together with the state after it
//! ([`result_root`](fairveil_crypto::certificate::result_root)), which the block's own order
//! certificate alone shows. So a height that emits nothing has a certificate like every other one,
//! and headers that reach over a height say nothing of what it emitted.
//!
//! # Invariants
//!
//! 1. Every height between the first and the last certified one that is not certified is missing.
//! 2. An ordered id is compared if f+1 members of the epoch that ordered it, none of them convicted,
//!    signed positions of it and of another id of that epoch, whose order promises something about
//!    pairs: a fault of that pair would be found.
//! 3. Whatever is missing, a fault is a fault. Without one nothing is found good of which heights
//!    are missing, or of which nothing is compared.

use std::collections::{BTreeMap, BTreeSet};

use fairveil_crypto::{BundleId, Height};
use fairveil_keygen::definition::MAX_MEMBERS;

use crate::fairness::{Comparison, Findings, Rule};
use crate::trace::{CertifiedOrder, Trace};

/// Ranges of missing heights that a line names.
const MAX_NAMED: usize = 16;

/// Members of one epoch, a bit each.
type Members = u128;

const _: () = assert!(MAX_MEMBERS as u32 <= Members::BITS);

/// How much of the order a trace covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Heights without a certificate between others that have one: the first and the last of each
    /// gap.
    pub missing: Vec<(Height, Height)>,
    /// Ordered ids.
    pub ordered: usize,
    /// Those of them that are compared with another one.
    pub compared: usize,
}

/// What a trace shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceVerdict {
    /// Something does not verify, or somebody must have lied.
    Fault,
    /// No fault, but heights are missing or nothing was compared.
    NotEnough,
    /// No fault.
    NoFault,
}

impl Coverage {
    /// That of a trace, of its order, and of what was compared in them.
    #[must_use]
    pub fn new(trace: &Trace, order: &CertifiedOrder, comparison: &Comparison<'_>) -> Self {
        let mut compared = BTreeSet::new();
        for rule in comparison.rules().filter(|rule| rule.promises()) {
            let own = order.ids.iter().filter(|one| one.epoch == rule.epoch);
            let ids: BTreeSet<BundleId> = own.map(|one| one.id).collect();
            compared.extend(compared_ids(rule, &signers(trace, rule, &ids)));
        }
        Self { missing: missing(trace), ordered: order.ids.len(), compared: compared.len() }
    }

    /// What the findings are worth. `faults` counts what does not verify and the members that
    /// contradicted themselves.
    #[must_use]
    pub fn verdict(&self, findings: &Findings, faults: usize) -> TraceVerdict {
        if faults > 0 || findings.broken > 0 || findings.violations > 0 {
            TraceVerdict::Fault
        } else if self.missing.is_empty() && self.compared > 0 {
            TraceVerdict::NoFault
        } else {
            TraceVerdict::NotEnough
        }
    }

    /// Why it is not enough, a line each.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if !self.missing.is_empty() {
            doubts.push(named(&self.missing));
        }
        if self.compared == 0 {
            let ordered = self.ordered;
            doubts.push(format!(
                "nothing was compared: of {ordered} ordered bundles no two have positions that the \
                 same f+1 members signed; `fairveil bundle trace --from HEIGHT --ask` records \
                 heights with every sequencer's receipts"
            ));
        }
        doubts
    }
}

impl TraceVerdict {
    /// The word for it, for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::NotEnough => "not_enough",
            Self::NoFault => "no_fault",
        }
    }
}

fn missing(trace: &Trace) -> Vec<(Height, Height)> {
    let heights: Vec<Height> = trace.heights().keys().copied().collect();
    let neighbours = heights.iter().zip(heights.iter().skip(1));
    let gaps = neighbours.map(|(below, above)| (below.saturating_add(1), above.saturating_sub(1)));
    gaps.filter(|(first, last)| first <= last).collect()
}

/// By ordered id: who signed a position of it in the epoch and is not convicted. Only ids that f+1
/// members signed.
fn signers(trace: &Trace, rule: &Rule, ids: &BTreeSet<BundleId>) -> BTreeMap<BundleId, Members> {
    let mut signers: BTreeMap<BundleId, Members> = BTreeMap::new();
    for (sequencer, log) in trace.logs().get(&rule.epoch).into_iter().flatten() {
        let member = Members::from(1_u8).checked_shl(u32::from(sequencer.get()) - 1).unwrap_or(0);
        let signed = log.receipts().map(|receipt| receipt.body.id);
        for id in signed.filter(|id| ids.contains(id) && log.position(id).is_some()) {
            *signers.entry(id).or_default() |= member;
        }
    }
    signers.retain(|_, members| is_enough(rule, *members));
    signers
}

/// The ids that have a partner with which enough members signed them.
fn compared_ids(rule: &Rule, signers: &BTreeMap<BundleId, Members>) -> Vec<BundleId> {
    let mut groups: BTreeMap<Members, usize> = BTreeMap::new();
    for members in signers.values() {
        *groups.entry(*members).or_default() += 1;
    }
    let has_partner = |members: Members| {
        let mut others = groups.iter();
        others.any(|(other, count)| match *other == members {
            true => *count > 1,
            false => is_enough(rule, *other & members),
        })
    };
    let compared = signers.iter().filter(|(_, members)| has_partner(**members));
    compared.map(|(id, _)| *id).collect()
}

fn is_enough(rule: &Rule, members: Members) -> bool {
    members.count_ones() as usize >= rule.listed()
}

/// The missing heights, in a line.
fn named(missing: &[(Height, Height)]) -> String {
    let range = |(first, last): &(Height, Height)| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    };
    let named: Vec<String> = missing.iter().take(MAX_NAMED).map(range).collect();
    let named = named.join(", ");
    match (missing, missing.len().saturating_sub(MAX_NAMED)) {
        ([(first, last)], _) if first == last => {
            format!("height {named} is missing: pairs with ids of it can't be judged")
        }
        (_, 0) => format!("heights {named} are missing: pairs with ids of theirs can't be judged"),
        (_, more) => format!(
            "heights {named} and {more} more ranges are missing: pairs with ids of theirs can't be \
             judged"
        ),
    }
}

#[cfg(test)]
mod tests;
