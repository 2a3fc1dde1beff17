//! What Byzantine logs and a long life may cost: log limits, forgetting, leaving, the soft cap,
//! and the control mode.

use std::collections::BTreeMap;

use fairveil_crypto::{BundleId, Digest, Height, SequencerIndex, certificate::Placement};

use super::counterexamples::{Letters, letter};
use crate::{
    Appended, Committee, FORGET_HEIGHTS, FairOrder, GRACE_HEIGHTS, MAX_BELOW_EDGE,
    MAX_WINDOW_HEIGHTS, Mode, OrderError, Output, Phase, Status, Step, Validity, naive::bundle_id,
    rules::Rules,
};

const IDLE: [&str; 5] = ["", "", "", "", ""];

fn sequencer(number: u16) -> SequencerIndex {
    SequencerIndex::new(number).unwrap()
}

/// A block of one order with ids by number, which never expire.
fn apply(
    order: &mut FairOrder,
    logs: &[(u16, Vec<BundleId>)],
    list: &[BundleId],
) -> Result<Output, OrderError> {
    let appended: Vec<Appended<'_>> =
        logs.iter().map(|(number, ids)| Appended::new(sequencer(*number), ids)).collect();
    let reaching = order.would_reach_edge(&appended, list);
    let expiries = reaching.into_iter().map(|id| (id, Height::MAX)).collect();
    order.apply(&Step {
        height: order.height().next(),
        seed: Digest::from_bytes([3; 32]),
        phase: Phase::Ordering,
        appended: &appended,
        list,
        expiries: &expiries,
    })
}

fn fresh(mode: Mode) -> FairOrder {
    FairOrder::new(Committee::new(5, 1, 0).unwrap(), mode, Height::ZERO)
}

fn ids(range: std::ops::Range<u32>) -> Vec<BundleId> {
    range.map(|id| bundle_id(1, id)).collect()
}

#[test]
fn an_id_below_the_edge_is_forgotten_and_never_proposed() {
    let mut letters = Letters::new(5, 1, 0, Rules::NORMATIVE);
    letters.block(&["x", "", "", "", ""]);
    for _ in 1..FORGET_HEIGHTS {
        assert_eq!(letters.order.status(&letter('x')), Status::Logged { logs: 1 });
        assert_eq!(letters.order.below_edge(sequencer(1)), 1);
        letters.block(&IDLE);
    }
    letters.block(&IDLE);
    assert_eq!(letters.order.status(&letter('x')), Status::Forgotten);
    assert_eq!(letters.order.below_edge(sequencer(1)), 0);
    assert_eq!(letters.block(&["", "x", "x", "x", "x"]), "", "it cannot come back");
    let again = apply(&mut letters.order, &[(1, vec![letter('x')])], &[]);
    assert!(matches!(again, Err(OrderError::RepeatedId { .. })), "and is remembered by log");
    assert_eq!(letters.order.settled_ids(), 1);
}

#[test]
fn an_id_that_rises_above_the_edge_is_not_forgotten() {
    let mut letters = Letters::new(5, 1, 0, Rules::NORMATIVE);
    letters.block(&["x", "", "", "", ""]);
    for _ in 1..FORGET_HEIGHTS {
        letters.block(&IDLE);
    }
    assert_eq!(letters.block(&["", "x", "", "", ""]), "");
    letters.block(&IDLE);
    assert_eq!(letters.order.status(&letter('x')), Status::Logged { logs: 2 });
    assert_eq!(letters.block(&["", "", "x", "", ""]), "x");
}

#[test]
fn a_log_with_too_many_ids_below_the_edge_is_not_extended() {
    let mut order = fresh(Mode::Strict);
    let many = ids(0..MAX_BELOW_EDGE + 1);
    apply(&mut order, &[(1, many.clone())], &[]).unwrap();
    assert_eq!(order.below_edge(sequencer(1)), MAX_BELOW_EDGE + 1);
    let more = [(1, ids(9_000..9_001)), (2, vec![])];
    let full = OrderError::LogFull {
        sequencer: sequencer(1),
        actual: MAX_BELOW_EDGE + 1,
        limit: MAX_BELOW_EDGE,
    };
    assert_eq!(apply(&mut order, &more, &[]), Err(full));
    apply(&mut order, &[(1, vec![]), (2, many[..1].to_vec())], &[]).unwrap();
    assert_eq!(order.below_edge(sequencer(1)), MAX_BELOW_EDGE);
    assert_eq!(order.below_edge(sequencer(2)), 0);
    apply(&mut order, &more, &[]).unwrap();
}

#[test]
fn settled_ids_leave_when_their_window_has_passed() {
    let mut letters = Letters::new(5, 1, 0, Rules::NORMATIVE).expiring("abc", 3);
    assert_eq!(letters.block(&["ab", "ab", "a", "", ""]), "a");
    let a = Status::Emitted { height: Height::new(1), index: 0, validity: Validity::Open };
    assert_eq!(letters.order.status(&letter('a')), a);
    for _ in 0..2 {
        letters.block(&IDLE);
    }
    assert_eq!(letters.order.status(&letter('b')), Status::Logged { logs: 2 });
    letters.block(&IDLE);
    assert_eq!(letters.order.status(&letter('b')), Status::Forgotten, "closed before proposed");
    assert_eq!(letters.block(&["", "", "b", "b", "b"]), "");
    while letters.order.height().get() < 3 + GRACE_HEIGHTS {
        letters.block(&IDLE);
    }
    assert_eq!(letters.order.status(&letter('a')), a);
    for _ in 0..=256 {
        letters.block(&IDLE);
    }
    assert_eq!(letters.order.status(&letter('a')), Status::Unknown);
    assert_eq!(letters.order.settled_ids(), 1);
    while letters.order.height().get() < 300 + GRACE_HEIGHTS + MAX_WINDOW_HEIGHTS {
        letters.block(&IDLE);
    }
    assert_eq!(letters.order.settled_ids(), 0);
    assert_eq!(letters.order.live_ids(), 0);
}

#[test]
fn what_must_be_held_is_said_before_and_must_be_told() {
    let mut order = fresh(Mode::Strict);
    let [x, y] = [letter('x'), letter('y')];
    let logs = [(1, vec![x, y]), (2, vec![x])];
    let appended = logs.each_ref().map(|(number, ids)| Appended::new(sequencer(*number), ids));
    assert_eq!(order.would_reach_edge(&appended, &[]), [x]);
    let step = Step {
        height: Height::new(1),
        seed: Digest::from_bytes([0; 32]),
        phase: Phase::Ordering,
        appended: &appended,
        list: &[],
        expiries: &BTreeMap::new(),
    };
    assert_eq!(order.apply(&step), Err(OrderError::MissingExpiry { id: x }));
    assert_eq!(
        order.apply(&Step { height: Height::new(2), ..step }),
        Err(OrderError::Height { expected: Height::new(1), actual: Height::new(2) })
    );
    let output = apply(&mut order, &logs, &[]).unwrap();
    assert_eq!(output.reached_edge, [x]);
    assert_eq!(order.to_report(sequencer(3)), [x]);
    assert_eq!(order.to_report(sequencer(2)), []);
    assert_eq!(order.would_reach_edge(&[], &[]), []);
    let next = apply(&mut order, &[(3, vec![x])], &[]).unwrap();
    assert_eq!((next.reached_edge, next.emission.cohorts.len()), (vec![], 1));
    assert_eq!(order.to_report(sequencer(4)), [x], "the duty goes on when it is emitted");
    assert_eq!(order.to_report(sequencer(1)), []);
}

#[test]
fn mode_leader_emits_exactly_its_list() {
    let mut order = fresh(Mode::Leader);
    let [x, y, z] = [letter('x'), letter('y'), letter('z')];
    let logs = [(1, vec![x, y]), (2, vec![x, y]), (3, vec![x, y])];
    let output = apply(&mut order, &logs, &[z, y]).unwrap();
    let out: Vec<_> = output.emission.cohorts.iter().map(|cohort| cohort[0].id).collect();
    assert_eq!(out, [z, y], "the front-runner's id is in nobody's log");
    assert!(output.emission.cohorts.concat().iter().all(|e| e.placement == Placement::Open));
    assert_eq!(order.status(&x), Status::Logged { logs: 3 });
    assert_eq!(order.unproposed(), [x]);
    let twice = Err(OrderError::ListedTwice { id: y });
    assert_eq!(apply(&mut order, &[], &[x, y]), twice);
    assert_eq!(apply(&mut order, &[], &[x, x]), Err(OrderError::ListedTwice { id: x }));
    assert_eq!(apply(&mut order, &[], &[x]).unwrap().emission.cohorts.len(), 1);
    let mut strict = fresh(Mode::Strict);
    let refused = Err(OrderError::UnexpectedList { mode: "strict", actual: 1 });
    assert_eq!(apply(&mut strict, &[], &[x]), refused);
}

#[test]
fn mode_leader_refuses_closed_windows_and_counts_logs_right() {
    let mut order = fresh(Mode::Leader);
    let x = letter('x');
    let ids = [x];
    let appended = [Appended::new(sequencer(1), &ids)];
    let step = Step {
        height: Height::new(1),
        seed: Digest::from_bytes([0; 32]),
        phase: Phase::Ordering,
        appended: &appended,
        list: &[x],
        expiries: &[(x, Height::ZERO)].into(),
    };
    let closed = Err(OrderError::ListedExpired { id: x, height: Height::new(1) });
    assert_eq!(order.apply(&step), closed);
    order.apply(&Step { expiries: &[(x, Height::new(1))].into(), ..step }).unwrap();
    assert_eq!(order.below_edge(sequencer(1)), 0, "emitted ids count nowhere");
}
