//! The counterexamples of docs/fairness.md 5, and the regression of one-sided votes.

use std::collections::BTreeMap;

use fairveil_crypto::{
    BundleId, Digest, Height, SequencerIndex,
    certificate::{Emitted, Placement},
};

use crate::{
    Appended, Committee, FairOrder, Mode, Phase, Step,
    rules::{Cap, Closed, Rules},
};

/// An order over ids that are letters.
pub(super) struct Letters {
    pub(super) order: FairOrder,
    pub(super) phase: Phase,
    expiries: BTreeMap<char, u64>,
}

pub(super) fn letter(letter: char) -> BundleId {
    BundleId::from_bytes([letter as u8; 32])
}

impl Letters {
    pub(super) fn new(n: u16, f: u16, g: u16, rules: Rules) -> Self {
        let committee = Committee::new(n, f, g).unwrap();
        let order = FairOrder::with_rules(committee, Mode::Strict, Height::ZERO, rules);
        Self { order, phase: Phase::Ordering, expiries: BTreeMap::new() }
    }

    pub(super) fn expiring(mut self, ids: &str, last: u64) -> Self {
        self.expiries.extend(ids.chars().map(|id| (id, last)));
        self
    }

    /// What every log grows by, from sequencer 1; the cohorts as text, `!` after an expired id.
    pub(super) fn block(&mut self, logs: &[&str]) -> String {
        let cohorts = self.cohorts(logs);
        let text = cohorts.iter().map(|cohort| cohort.iter().map(name).collect::<String>());
        text.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn cohorts(&mut self, logs: &[&str]) -> Vec<Vec<Emitted>> {
        let ids: Vec<Vec<BundleId>> =
            logs.iter().map(|log| log.chars().map(letter).collect()).collect();
        let appended: Vec<Appended<'_>> = SequencerIndex::all(logs.len() as u16)
            .zip(&ids)
            .map(|(sequencer, ids)| Appended::new(sequencer, ids))
            .collect();
        let known = self.expiries.clone();
        let expiry = |id: &BundleId| known.get(&(id.as_bytes()[0] as char)).copied();
        let expiries = self.order.would_reach_edge(&appended, &[]);
        let expiries = expiries.into_iter();
        let expiries =
            expiries.map(|id| (id, Height::new(expiry(&id).unwrap_or(u64::MAX)))).collect();
        let step = Step {
            height: self.order.height().next(),
            seed: Digest::from_bytes([9; 32]),
            phase: self.phase,
            appended: &appended,
            list: &[],
            expiries: &expiries,
        };
        self.order.apply(&step).unwrap().emission.cohorts
    }

    pub(super) fn pending(&self) -> String {
        let mut ids: Vec<char> =
            self.order.pending().iter().map(|id| id.as_bytes()[0] as char).collect();
        ids.sort_unstable();
        ids.into_iter().collect()
    }
}

fn name(emitted: &Emitted) -> String {
    let expired = if emitted.placement == Placement::Expired { "!" } else { "" };
    format!("{}{expired}", emitted.id.as_bytes()[0] as char)
}

fn sorted(text: &str) -> Vec<String> {
    let sort = |cohort: &str| {
        let mut letters: Vec<char> = cohort.chars().collect();
        letters.sort_unstable();
        letters.into_iter().collect()
    };
    text.split(' ').map(sort).collect()
}

#[test]
fn one_sided_votes_make_a_tournament_edge_but_not_a_strict_one() {
    let mut letters = Letters::new(5, 1, 0, Rules::NORMATIVE);
    let out = letters.block(&["ab", "ba", "a", "b"]);
    assert_eq!(out.split(' ').count(), 2, "two cohorts: {out}");
    assert_eq!(letters.pending(), "");
}

#[test]
fn ce1_a_premise_pair_is_inverted_across_proposals() {
    let mut letters = Letters::new(5, 1, 0, Rules::NORMATIVE);
    assert_eq!(letters.block(&["", "", "a", "bca", "ca"]), "c a");
    assert_eq!(letters.block(&["abc", "abc", "bc"]), "b");
}

#[test]
fn ce2_a_cycle_from_logs_that_hold_its_ids_already() {
    let mut letters = Letters::new(5, 1, 0, Rules::NORMATIVE);
    assert_eq!(sorted(&letters.block(&["abc", "bca", "cab", "", ""])), ["abc"]);
}

#[test]
fn ce2b_a_cohort_of_three_without_a_solid_id() {
    let mut logs = vec![""; 31];
    logs[0..5].fill("xyzus");
    logs[5..10].fill("yzxus");
    logs[10..15].fill("zxyus");
    logs[15..20].fill("us");
    logs[20] = "s";
    let mut letters = Letters::new(31, 5, 0, Rules::NORMATIVE);
    assert_eq!(sorted(&letters.block(&logs)), ["xyz", "u", "s"]);
}

#[test]
fn ce3_ids_that_expire_while_undecided_are_still_reported() {
    let first = ["yzs", "zys", "s", "", ""];
    let rest = ["", "", "yz", "yz", "syz"];
    let mut letters = Letters::new(5, 1, 0, Rules::NORMATIVE).expiring("yz", 1);
    assert_eq!(letters.block(&first), "");
    assert_eq!(letters.pending(), "syz");
    assert_eq!(letters.block(&rest), "y! z! s", "they keep their places, and are not opened");

    let refusing = Rules { closed: Closed::Refuse, ..Rules::NORMATIVE };
    let mut letters = Letters::new(5, 1, 0, refusing).expiring("yz", 1);
    assert_eq!(letters.block(&first), "");
    assert_eq!(letters.block(&rest), "");
    for _ in 0..100 {
        assert_eq!(letters.block(&["", "", "", "", ""]), "", "the chain has halted");
    }
}

#[test]
fn ce4_a_hard_cap_leaves_nothing_solid_for_ever() {
    let logs = ["abcdef", "abcdef", "defabc", "defabc", ""];
    let hard = Rules { cap: Cap::Hard(4), ..Rules::NORMATIVE };
    let mut letters = Letters::new(5, 1, 0, hard);
    assert_eq!(letters.block(&logs), "");
    for _ in 0..100 {
        assert_eq!(letters.block(&["", "", "", "", ""]), "", "the chain has halted");
    }

    let soft = Rules { cap: Cap::Soft { solid: 2, candidates: 4 }, ..Rules::NORMATIVE };
    let mut letters = Letters::new(5, 1, 0, soft);
    let mut out = letters.block(&logs);
    for _ in 0..3 {
        out += &letters.block(&["", "", "", "", ""]);
    }
    let mut ids: Vec<char> = out.chars().filter(|letter| *letter != ' ').collect();
    ids.sort_unstable();
    assert_eq!(ids, ['a', 'b', 'c', 'd', 'e', 'f']);
}

#[test]
fn safe_prefixes_leave_before_the_undecided_rest() {
    let mut letters = Letters::new(5, 1, 0, Rules::NORMATIVE);
    assert_eq!(letters.block(&["ayzs", "azys", "as", "", ""]), "a");
    assert_eq!(letters.pending(), "syz");
    assert_eq!(letters.block(&["q", "q", "q", "", ""]), "", "a later proposal waits");
    assert_eq!(letters.block(&["", "", "yz", "", ""]), "y z s q");
}
