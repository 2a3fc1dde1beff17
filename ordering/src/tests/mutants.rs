//! The mistakes of docs/fairness.md 6. Each must be noticed by the truth alone: what was received
//! and what came out. Faults that also ask in which proposals two ids stand are counted beside.

use fairveil_crypto::Height;

use crate::{
    Committee, FairOrder, Mode,
    naive::{Case, Fault, Tally, judge, run, run_naive},
    rules::{Cap, Closed, Cut, Drain, Edge, Expired, Last, Members, Rules, Shaded},
};

/// Of so many cases.
const CASES: u64 = 3_000;

/// The faults by truth that a mutant shows in a case.
fn shown(case: &Case, rules: Rules) -> Vec<Fault> {
    let committee = Committee::new(case.n, case.f, case.g).unwrap();
    let mut order = FairOrder::with_rules(committee, Mode::Strict, Height::ZERO, rules);
    let emitted = run(case, &mut order);
    let naive = run_naive(case, Mode::Strict, None);
    let mut faults = judge(case, &naive, &emitted, &mut Tally::default());
    faults.retain(Fault::is_by_truth);
    faults
}

/// How many of the cases show a mutant.
struct Caught {
    /// By the truth alone.
    alone: u64,
    /// Or by a premise inverted inside a proposal, or across proposals although the id was ripe.
    at_all: u64,
}

fn caught(rules: Rules, case: impl Fn(u64) -> Case) -> Caught {
    let mut caught = Caught { alone: 0, at_all: 0 };
    for seed in 0..CASES {
        let faults = shown(&case(seed), rules);
        caught.alone += u64::from(faults.iter().any(Fault::is_by_truth_alone));
        caught.at_all += u64::from(!faults.is_empty());
    }
    println!("{} of {CASES} by the truth alone, {} at all", caught.alone, caught.at_all);
    caught
}

#[test]
fn mutant_drop_shaded_vertices() {
    assert!(caught(Rules { shaded: Shaded::Drop, ..Rules::NORMATIVE }, Case::random).alone > 100);
}

#[test]
fn mutant_members_sorted_by_id() {
    assert!(caught(Rules { members: Members::ById, ..Rules::NORMATIVE }, Case::random).alone > 100);
}

#[test]
fn mutant_edge_one_too_high() {
    assert!(caught(Rules { edge: Edge::OneMore, ..Rules::NORMATIVE }, Case::random).alone > 100);
}

#[test]
fn mutant_keep_the_tail_after_the_last_solid_vertex() {
    assert!(caught(Rules { cut: Cut::Nothing, ..Rules::NORMATIVE }, Case::random).alone > 50);
}

#[test]
fn mutant_refuse_ids_whose_window_closed() {
    let rules = Rules { closed: Closed::Refuse, ..Rules::NORMATIVE };
    assert!(caught(rules, Case::random_with_windows).alone > 5);
}

#[test]
fn mutant_solid_by_now() {
    assert!(caught(Rules { last: Last::SolidByNow, ..Rules::NORMATIVE }, Case::random).alone > 3);
}

#[test]
fn mutant_a_later_proposal_overtakes() {
    assert!(caught(Rules { drain: Drain::Overtake, ..Rules::NORMATIVE }, Case::random).alone > 5);
}

#[test]
fn mutant_cut_with_tournament_edges() {
    assert!(caught(Rules { cut: Cut::Tournament, ..Rules::NORMATIVE }, Case::random).alone > 20);
}

#[test]
fn mutant_a_hard_cap_of_four() {
    assert!(caught(Rules { cap: Cap::Hard(4), ..Rules::NORMATIVE }, Case::random).alone > 500);
}

#[test]
fn mutant_remove_expired_vertices() {
    let rules = Rules { expired: Expired::Remove, ..Rules::NORMATIVE };
    assert!(caught(rules, Case::random_with_windows).alone > 5);
}

#[test]
fn the_rule_itself_shows_nothing() {
    assert_eq!(caught(Rules::NORMATIVE, Case::random).at_all, 0);
    assert_eq!(caught(Rules::NORMATIVE, Case::random_with_windows).at_all, 0);
}
