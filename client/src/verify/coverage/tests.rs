#![allow(clippy::unwrap_used)]

use fairveil_crypto::BlockDigest;
use fairveil_crypto::certificate::OrderCertificate;
use fairveil_mempool::{Place, Receipt};
use serde_json::json;

use super::*;
use crate::file::File;
use crate::test_support::{RENEWED, WORLD};
use crate::trace::TraceFile;
use crate::verify::{Judgement, judge_file};

const ROOT: BlockDigest = BlockDigest::from_bytes([6; 32]);

fn id(letter: char) -> BundleId {
    BundleId::from_bytes([letter as u8; 32])
}

/// One height for each word, one cohort for each letter; a dash emits nothing.
fn orders(order: &str) -> Vec<OrderCertificate> {
    let cohorts = |word: &str| -> Vec<Vec<BundleId>> {
        word.chars().filter(|letter| *letter != '-').map(|letter| vec![id(letter)]).collect()
    };
    let heights: Vec<_> = order.split(' ').map(cohorts).collect();
    WORLD.chain((0, 1), ROOT, &heights)
}

/// What members, from 1 on, signed: positions in the order of the letters; a dot is left out.
fn receipts(logs: &[&str]) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for (sequencer, log) in (1..).zip(logs) {
        for (position, letter) in (0..).zip(log.chars()).filter(|(_, letter)| *letter != '.') {
            receipts.push(WORLD.receipt(sequencer, id(letter), Place::Position(position)));
        }
    }
    receipts
}

/// A trace without the certificates of some heights.
fn file(order: &str, absent: &[u64], receipts: Vec<Receipt>) -> File {
    let mut orders = orders(order);
    orders.retain(|certificate| !absent.contains(&certificate.emission.height.get()));
    File::Trace(Box::new(TraceFile { network_id: WORLD.network.network_id(), receipts, orders }))
}

fn judged(file: &File) -> Judgement {
    judge_file(&RENEWED.network, file).unwrap()
}

fn coverage(file: &File) -> Coverage {
    let Judgement::Trace { coverage, .. } = judged(file) else { panic!("a trace") };
    coverage
}

fn range(first: u64, last: u64) -> (Height, Height) {
    (Height::new(first), Height::new(last))
}

#[test]
fn invariant_1_a_height_that_is_cut_out_is_missing_and_an_empty_one_is_not() {
    let order = "a - b c - d - -";
    let missing = |absent: &[u64]| coverage(&file(order, absent, Vec::new())).missing;
    assert_eq!(missing(&[]), []);
    assert_eq!(missing(&[3]), [range(3, 3)]);
    // Also one that emitted nothing: nobody shows that.
    assert_eq!(missing(&[2, 4, 5, 7]), [range(2, 2), range(4, 5), range(7, 7)]);
    // Nobody says where a trace has to begin and to end.
    assert_eq!(missing(&[1, 2, 8]), []);
    assert_eq!(missing(&[1, 2, 3, 4, 5, 6, 7, 8]), []);
    assert_eq!(missing(&[1, 3, 4, 5, 6, 7]), [range(3, 7)]);
}

#[test]
fn invariant_1_headers_that_reach_over_a_height_do_not_say_what_it_emitted() {
    let all = orders("a - b");
    let headers = [2, 1, 0].map(|at: usize| all[at].headers[0].clone()).into();
    let (emission, state) = (all[0].emission.clone(), all[0].state_digest);
    let long = WORLD.dealt.certify(headers, emission, state);
    let network_id = WORLD.network.network_id();
    let orders = vec![long, all[2].clone()];
    let trace = TraceFile { network_id, receipts: Vec::new(), orders };
    assert_eq!(coverage(&File::Trace(Box::new(trace))).missing, [range(2, 2)]);
}

#[test]
fn invariant_1_a_new_epoch_begins_without_a_gap() {
    let mut trace = Trace::new(&RENEWED.network);
    assert_eq!(trace.add_orders(&orders("a - b")), Ok(Vec::new()));
    let later = |first| RENEWED.chain((3, first), ROOT, &[vec![vec![id('c')]]]);
    assert_eq!(trace.add_orders(&later(4)), Ok(Vec::new()));
    assert_eq!(missing(&trace), []);
    assert_eq!(trace.add_orders(&later(6)), Ok(Vec::new()));
    assert_eq!(missing(&trace), [range(5, 5)]);
}

/// f is 1: two members.
#[test]
fn invariant_2_ids_are_compared_that_the_same_two_members_signed() {
    let compared = |order, logs: &[&str]| coverage(&file(order, &[], receipts(logs))).compared;
    assert_eq!(compared("abc", &["abc", "abc"]), 3);
    assert_eq!(compared("abc", &["abc", "abc", ".b."]), 3);
    assert_eq!(compared("abc", &["abc", "ab.", "..c"]), 2, "c with neither by two");
    assert_eq!(compared("abc", &["abc", "ab."]), 2);
    assert_eq!(compared("abc", &["abc"]), 0, "one member is not f+1");
    assert_eq!(compared("ab", &["a", "a", ".b", ".b"]), 0, "none signed both");
    assert_eq!(compared("ab", &["ab", "a", ".b"]), 0, "one signed both");
    assert_eq!(compared("a", &["a", "a", "a", "a", "a"]), 0, "one id is no pair");
    assert_eq!(compared("ax", &["ab", "ab"]), 0, "b is not ordered");
    // Held back is no position, and who contradicted itself is no witness.
    let mut signed = receipts(&["ab", "a."]);
    signed.push(WORLD.receipt(2, id('b'), Place::Held));
    assert_eq!(coverage(&file("ab", &[], signed)).compared, 0);
    let mut signed = receipts(&["ab", "ab"]);
    signed.push(WORLD.receipt(2, id('b'), Place::Position(9)));
    assert_eq!(coverage(&file("ab", &[], signed)).compared, 0);
    // Receipts of two epochs never count together.
    let mut signed = receipts(&["ab"]);
    let later = |(position, letter)| RENEWED.receipt(2, id(letter), Place::Position(position));
    signed.extend([(0, 'a'), (1, 'b')].map(later));
    assert_eq!(coverage(&file("ab", &[], signed)).compared, 0);
    // All of an epoch that did not order them: no fault of theirs would be found.
    let ab = [(0, 'a'), (1, 'b')];
    let of = |sequencer| {
        ab.map(|(position, letter)| {
            RENEWED.receipt(sequencer, id(letter), Place::Position(position))
        })
    };
    let signed: Vec<Receipt> = (1..=5).flat_map(of).collect();
    let later = file("ab", &[], signed);
    assert_eq!(coverage(&later).compared, 0);
    assert_eq!(judged(&later).trace_verdict(), Some(TraceVerdict::NotEnough));
}

#[test]
fn invariant_2_the_last_member_of_the_largest_committee_has_a_bit() {
    let last = u32::from(MAX_MEMBERS) - 1;
    assert_eq!(Members::from(1_u8).checked_shl(last).map(Members::count_ones), Some(1));
}

#[test]
fn invariant_3_only_what_is_complete_and_compared_is_found_good() {
    let verdict = |order, absent: &[u64], logs: &[&str]| {
        judged(&file(order, absent, receipts(logs))).trace_verdict().unwrap()
    };
    let honest = ["abc"; 5];
    assert_eq!(verdict("a - b c", &[], &honest), TraceVerdict::NoFault);
    assert_eq!(verdict("a - b c", &[], &["ba", "ba", "ab"]), TraceVerdict::NoFault, "listed");
    assert_eq!(verdict("a - b c", &[2], &honest), TraceVerdict::NotEnough);
    assert_eq!(verdict("a - b c", &[3], &honest), TraceVerdict::NotEnough);
    assert_eq!(verdict("a - b c", &[], &[]), TraceVerdict::NotEnough);
    assert_eq!(verdict("a", &[1], &honest), TraceVerdict::NotEnough, "receipts alone");
    assert_eq!(verdict("-", &[1], &[]), TraceVerdict::NotEnough, "nothing");
    // Four of five contradict neighbours: one broke its receipt. Five: two did, and f is one.
    assert_eq!(verdict("ab", &[], &["ba", "ba", "ba", "ba"]), TraceVerdict::Fault);
    assert_eq!(verdict("ab", &[], &["ba"; 5]), TraceVerdict::Fault);
    assert_eq!(verdict("ab - c", &[2], &["ba"; 5]), TraceVerdict::Fault, "whatever is missing");
    let mut signed = receipts(&["ab", "ab", "ab"]);
    signed.push(WORLD.receipt(3, id('b'), Place::Position(9)));
    let convicted = judged(&file("ab", &[], signed)).trace_verdict();
    assert_eq!(convicted, Some(TraceVerdict::Fault));
}

#[test]
fn a_judgement_says_what_is_missing() {
    let cut = judged(&file("a - b - - c", &[2, 4, 5], receipts(&["abc"; 5])));
    let expected = "; heights 2, 4 to 5 are missing: pairs with ids of theirs can't be judged";
    assert!(cut.to_string().ends_with(expected), "{cut}");
    let value = cut.to_value();
    assert_eq!(value["missing_heights"], json!([[2, 2], [4, 5]]));
    assert_eq!((&value["verdict"], &value["compared"]), (&json!("not_enough"), &json!(3)));
    let bare = judged(&file("ab", &[], Vec::new()));
    let line = bare.to_string();
    assert!(line.contains("; nothing was compared: of 2 ordered bundles no two have "), "{line}");
    assert!(line.contains("`fairveil bundle trace --from HEIGHT --ask` records "), "{line}");
    let whole = judged(&file("ab", &[], receipts(&["ab"; 5])));
    assert!(whole.to_string().ends_with("0 violate the rule"), "{whole}");
    let value = whole.to_value();
    assert_eq!((&value["verdict"], &value["missing_heights"]), (&json!("no_fault"), &json!([])));
}

#[test]
fn a_line_names_some_ranges_and_counts_the_others() {
    assert_eq!(
        named(&[range(17, 17)]),
        "height 17 is missing: pairs with ids of it can't be judged"
    );
    assert_eq!(
        named(&[range(5, 9)]),
        "heights 5 to 9 are missing: pairs with ids of theirs can't be judged"
    );
    let many: Vec<_> = (1..=20).map(|number| range(3 * number, 3 * number)).collect();
    let line = named(&many);
    assert!(line.starts_with("heights 3, 6, 9, 12, "), "{line}");
    assert!(line.contains(" 45, 48 and 4 more ranges are missing: "), "{line}");
}
