#![allow(clippy::unwrap_used)]

mod rule;

use fairveil_crypto::{BlockDigest, BundleId, Height};
use fairveil_mempool::{Place, Receipt};

use super::*;
use crate::test_support::{RENEWED, WORLD, World, index};

const ROOT: BlockDigest = BlockDigest::from_bytes([6; 32]);

fn id(letter: char) -> BundleId {
    BundleId::from_bytes([letter as u8; 32])
}

/// What a member of the first epoch signed: positions in the order of the letters; a dot is left
/// out.
fn receipts_of(world: &World, sequencer: u16, log: &str) -> Vec<Receipt> {
    let signed = (0..).zip(log.chars()).filter(|(_, letter)| *letter != '.');
    signed
        .map(|(position, letter)| world.receipt(sequencer, id(letter), Place::Position(position)))
        .collect()
}

/// One height for each word; cohorts are parted by a stroke.
fn heights(order: &str) -> Vec<Vec<Vec<BundleId>>> {
    let cohort = |cohort: &str| cohort.chars().map(id).collect::<Vec<_>>();
    let cohorts =
        |height: &str| height.split('|').map(cohort).filter(|ids| !ids.is_empty()).collect();
    order.split(' ').map(cohorts).collect()
}

/// The trace of the first epoch's order and of what its members, from 1 on, signed.
fn trace(order: &str, logs: &[&str]) -> Trace {
    let mut trace = Trace::new(&WORLD.network);
    let orders = WORLD.chain((0, 1), ROOT, &heights(order));
    assert_eq!(trace.add_orders(&orders), Ok(Vec::new()));
    for (sequencer, log) in (1..).zip(logs) {
        let receipts = receipts_of(&WORLD, sequencer, log);
        assert_eq!(trace.add_receipts(&receipts), Ok(Vec::new()));
    }
    trace
}

fn found(trace: &Trace) -> Vec<Contradiction> {
    let mut pairs = Vec::new();
    let order = trace.order();
    let comparison = Comparison::new(trace, &order).unwrap();
    let findings = comparison.contradictions(&mut |pair| pairs.push(pair.clone()));
    assert_eq!(findings.pairs(), pairs.len() as u64);
    let count =
        |is: fn(&Finding) -> bool| pairs.iter().filter(|pair| is(&pair.finding)).count() as u64;
    assert_eq!(findings.differing, count(|one| *one == Finding::Differs));
    assert_eq!(findings.violations, count(|one| matches!(one, Finding::Violation(_))));
    pairs
}

/// The pairs as text: letters, how many are against, the finding.
fn told(order: &str, logs: &[&str]) -> Vec<(String, usize, Finding)> {
    let told = |pair: &Contradiction| {
        let letter = |one: &Ordered| char::from(one.id.as_bytes()[0]);
        let letters = [letter(&pair.earlier), letter(&pair.later)].iter().collect();
        (letters, pair.against.len(), pair.finding)
    };
    found(&trace(order, logs)).iter().map(told).collect()
}

fn pair(letters: &str, against: usize, finding: Finding) -> (String, usize, Finding) {
    (letters.to_owned(), against, finding)
}

#[test]
fn invariant_1_a_pair_is_listed_from_f_plus_1_members_on() {
    assert_eq!(told("a|b", &["ab", "ba", "ab"]), []);
    assert_eq!(told("a|b", &["ab", "ba", "ba"]), [pair("ab", 2, Finding::Differs)]);
    // Who did not sign positions for both says nothing.
    assert_eq!(told("a|b", &["ba", "b.", ".a", "ab"]), []);
    let all = found(&trace("a|b", &["ba", "ab", "b.", "ba"]));
    assert_eq!(all[0].against, [index(1), index(4)]);
    assert_eq!(all[0].with, [index(2)]);
    let expected = format!(
        "{} at 1:0 before {} at 1:1: 2 signed the opposite (1, 4), 1 the same (2); two cohorts, \
         neighbours",
        id('a'),
        id('b')
    );
    assert_eq!(all[0].to_string(), expected);
}

#[test]
fn invariant_1_held_back_is_no_position() {
    let mut trace = trace("a|b", &["ba"]);
    let held = WORLD.receipt(2, id('a'), Place::Held);
    let logged = WORLD.receipt(2, id('b'), Place::Position(0));
    assert_eq!(trace.add_receipts(&[held, logged]), Ok(Vec::new()));
    assert_eq!(found(&trace), []);
}

/// n = 5, f = 1, g = 0: T = 2.
#[test]
fn neighbours_need_two_logs_with_their_order() {
    let logs = |against: usize| {
        let all = ["ba", "ba", "ba", "ba", "ba", "ab", "ab", "ab", "ab", "ab"];
        all[5 - against..10 - against].to_vec()
    };
    assert_eq!(told("a|b", &logs(3)), [pair("ab", 3, Finding::Differs)]);
    assert_eq!(told("a|b", &logs(4)), [pair("ab", 4, Finding::BrokenReceipts(1))]);
    assert_eq!(told("a|b", &logs(5)), [pair("ab", 5, Finding::Violation(2))]);
    // In one cohort too, and from one height to the next, also over one that emits nothing.
    assert_eq!(told("ab", &logs(5)), [pair("ab", 5, Finding::Violation(2))]);
    assert_eq!(told("a b", &logs(5)), [pair("ab", 5, Finding::Violation(2))]);
    assert_eq!(told("a  b", &logs(4)), [pair("ab", 4, Finding::BrokenReceipts(1))]);
    let line = found(&trace("ab", &logs(5)))[0].to_string();
    assert!(line.ends_with(
        "nobody signed the same; one cohort, neighbours; VIOLATION: at least 2 of them lied, or \
         this is not the rule's order"
    ), "{line}");
}

#[test]
fn pairs_that_are_no_neighbours_need_one_log_unless_they_are_in_one_cohort() {
    let logs = ["b.a"; 5];
    assert_eq!(told("a|x|b", &logs), [pair("ab", 5, Finding::BrokenReceipts(1))]);
    assert_eq!(told("a|x|b", &logs[1..]), [pair("ab", 4, Finding::Differs)]);
    assert_eq!(told("axb", &logs), [pair("ab", 5, Finding::Differs)]);
    // A height that is not there may have emitted something.
    let mut cut = Trace::new(&WORLD.network);
    let orders = WORLD.chain((0, 1), ROOT, &heights("a  b"));
    assert_eq!(cut.add_orders(&[orders[0].clone(), orders[2].clone()]), Ok(Vec::new()));
    for sequencer in 1..=5 {
        assert_eq!(cut.add_receipts(&receipts_of(&WORLD, sequencer, "ba")), Ok(Vec::new()));
    }
    assert_eq!(found(&cut)[0].finding, Finding::BrokenReceipts(1));
    assert_eq!(cut.add_orders(&orders[1..2]), Ok(Vec::new()));
    assert_eq!(found(&cut)[0].finding, Finding::Violation(2));
}

#[test]
fn invariant_2_receipts_of_two_epochs_never_count_together() {
    let mut trace = Trace::new(&RENEWED.network);
    let orders = WORLD.chain((0, 1), ROOT, &heights("a|b"));
    assert_eq!(trace.add_orders(&orders), Ok(Vec::new()));
    let signed = |world: &World, sequencers: &[u16]| -> Vec<Receipt> {
        sequencers.iter().flat_map(|one| receipts_of(world, *one, "ba")).collect()
    };
    assert_eq!(trace.add_receipts(&signed(&WORLD, &[1])), Ok(Vec::new()));
    assert_eq!(trace.add_receipts(&signed(&RENEWED, &[2])), Ok(Vec::new()));
    assert_eq!(found(&trace), []);
    // All of the later epoch: listed, but another committee made this order.
    assert_eq!(trace.add_receipts(&signed(&RENEWED, &[1, 3, 4, 5])), Ok(Vec::new()));
    let later = found(&trace);
    assert_eq!((later.len(), later[0].epoch), (1, RENEWED.network.epoch()));
    assert_eq!((later[0].against.len(), later[0].finding), (5, Finding::Differs));
    // All of the epoch that made it.
    assert_eq!(trace.add_receipts(&signed(&WORLD, &[2, 3, 4, 5])), Ok(Vec::new()));
    assert_eq!(found(&trace)[0].finding, Finding::Violation(2));
}

#[test]
fn invariant_3_who_is_convicted_counts_as_a_liar_and_not_as_a_witness() {
    let logs = ["ba", "ba", "ba", "ba", "ba"];
    let mut trace = trace("a|b", &logs);
    let other = WORLD.receipt(5, id('a'), Place::Position(7));
    assert_eq!(trace.add_receipts(&[other]), Ok(Vec::new()));
    let order = trace.order();
    let comparison = Comparison::new(&trace, &order).unwrap();
    assert_eq!(comparison.rules().map(|rule| rule.convicted).collect::<Vec<_>>(), [1]);
    // One of the four broke its receipt; with the convicted one they are two, f is one.
    assert_eq!(told_of(&trace), [pair("ab", 4, Finding::Violation(1))]);
}

fn told_of(trace: &Trace) -> Vec<(String, usize, Finding)> {
    let letter = |one: &Ordered| char::from(one.id.as_bytes()[0]);
    let told = |one: &Contradiction| {
        let letters = [letter(&one.earlier), letter(&one.later)].iter().collect();
        (letters, one.against.len(), one.finding)
    };
    found(trace).iter().map(told).collect()
}

#[test]
fn invariant_2_an_order_by_another_rule_breaks_none() {
    let numbers = Rule { epoch: Epoch::new(1), n: 5, f: 1, g: 0, convicted: 0, mode: Mode::Strict };
    let standing = Standing { is_one_cohort: false, is_neighbours: true };
    assert_eq!(numbers.finding(5, standing), Finding::Violation(2));
    let by = |mode| Rule { mode, ..numbers }.finding(5, standing);
    assert_eq!(by(Mode::Themis), Finding::Violation(2), "the published rule promises it too");
    for mode in [Mode::Leader, Mode::Median] {
        assert_eq!(by(mode), Finding::Differs);
    }
    assert_eq!((numbers.listed(), numbers.broken(), numbers.violated()), (2, 4, 5));
}

#[test]
fn the_thresholds_are_those_of_the_table() {
    for (n, f, g) in [(4, 0, 0), (5, 1, 0), (7, 1, 1), (9, 2, 0), (13, 2, 2), (21, 5, 0)] {
        let mode = Mode::Strict;
        let rule = Rule { epoch: Epoch::new(1), n, f, g, convicted: 0, mode };
        let next = Standing { is_one_cohort: true, is_neighbours: true };
        for against in rule.listed()..=n {
            let expected = match against {
                against if against >= n - g => Finding::Violation(against + f + g + 1 - n),
                against if against >= n - f - g => Finding::BrokenReceipts(against + f + g + 1 - n),
                _ => Finding::Differs,
            };
            assert_eq!(rule.finding(against, next), expected, "{against} of {n}, {f}, {g}");
        }
    }
}

#[test]
fn invariant_4_too_many_ids_are_refused() {
    let ids: Vec<BundleId> = (0..=MAX_IDS as u64).map(numbered).collect();
    let orders = WORLD.chain((0, 1), ROOT, &[vec![ids.clone()]]);
    let mut trace = Trace::new(&WORLD.network);
    assert_eq!(trace.add_orders(&orders), Ok(Vec::new()));
    let order = trace.order();
    for sequencer in [1, 2] {
        let receipt = |(position, id): (u64, &BundleId)| {
            WORLD.receipt(sequencer, *id, Place::Position(position))
        };
        let receipts: Vec<_> = (0..).zip(&ids).map(receipt).collect();
        assert_eq!(trace.add_receipts(&receipts), Ok(Vec::new()));
    }
    let (epoch, actual) = (Epoch::new(1), MAX_IDS + 1);
    let refused = Comparison::new(&trace, &order).map(|_| ());
    assert_eq!(refused, Err(TooManyIds { epoch, actual }));
}

/// A run of 5,000 bundles, which two members received in reverse: every pair is listed, none is
/// kept.
#[test]
fn invariant_4_five_thousand_ids_are_judged_at_once() {
    let ids: Vec<BundleId> = (0..5_000).map(numbered).collect();
    let heights: Vec<_> =
        ids.chunks(250).map(|ids| ids.iter().map(|id| vec![*id]).collect()).collect();
    let mut trace = Trace::new(&WORLD.network);
    assert_eq!(trace.add_orders(&WORLD.chain((0, 1), ROOT, &heights)), Ok(Vec::new()));
    for sequencer in 1..=5 {
        let place = |at: u64| if sequencer <= 2 { 4_999 - at } else { at };
        let receipt =
            |(at, id): (u64, &BundleId)| WORLD.receipt(sequencer, *id, Place::Position(place(at)));
        let receipts: Vec<_> = (0..).zip(&ids).map(receipt).collect();
        assert_eq!(trace.add_receipts(&receipts), Ok(Vec::new()));
    }
    let (order, mut shown) = (trace.order(), 0);
    let comparison = Comparison::new(&trace, &order).unwrap();
    let findings = comparison.contradictions(&mut |pair| {
        shown += u64::from(pair.against == [index(1), index(2)]);
    });
    let pairs = 5_000 * 4_999 / 2;
    assert_eq!(findings, Findings { differing: pairs, broken: 0, violations: 0 });
    assert_eq!(shown, pairs);
}

fn numbered(number: u64) -> BundleId {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    BundleId::from_bytes(bytes)
}

#[test]
fn heights_are_as_the_certificates_say() {
    let all = trace("a| b|cd", &["abcd"]).order();
    let places: Vec<_> = all.ids.iter().map(|one| (one.position.height, one.cohort)).collect();
    let height = Height::new;
    assert_eq!(places, [(height(1), 0), (height(2), 0), (height(2), 1), (height(2), 1)]);
}
