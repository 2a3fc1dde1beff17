#![allow(clippy::unwrap_used)]

use fairveil_crypto::certificate::CertificateError;
use fairveil_crypto::committee::UnknownEpoch;
use fairveil_mempool::receipt::ReceiptError;

use super::*;
use crate::file::{ReceiptsFile, SealedFile};
use crate::test_support::{RENEWED, SCENE, STRANGERS, WORLD, index};

const ROOT: BlockDigest = BlockDigest::from_bytes([6; 32]);

fn id(byte: u8) -> BundleId {
    BundleId::from_bytes([byte; 32])
}

fn at(sequencer: u16, byte: u8, position: u64) -> Receipt {
    WORLD.receipt(sequencer, id(byte), Place::Position(position))
}

fn chain() -> Vec<OrderCertificate> {
    WORLD.chain((0, 1), ROOT, &[vec![vec![id(1)], vec![id(2)]], vec![], vec![vec![id(3)]]])
}

fn file() -> TraceFile {
    let receipts = vec![at(1, 1, 0), at(1, 2, 1), at(2, 1, 0)];
    TraceFile { network_id: WORLD.network.network_id(), receipts, orders: chain() }
}

fn told(faults: Vec<TraceFault>) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn what_verifies_is_taken_from_files_of_three_kinds() {
    let mut trace = Trace::new(&WORLD.network);
    assert_eq!(trace.add(&File::Trace(Box::new(file()))), Ok(Vec::new()));
    let network_id = WORLD.network.network_id();
    let more = ReceiptsFile { id: id(3), network_id, receipts: vec![at(5, 3, 9)] };
    assert_eq!(trace.add(&File::Receipts(more)), Ok(Vec::new()));
    let next = WORLD.chain((0, 4), chain()[2].headers[0].digest(), &[vec![vec![id(4)]]]);
    assert_eq!(trace.add(&File::Order(Box::new(next[0].clone()))), Ok(Vec::new()));
    assert_eq!((trace.receipts(), trace.heights().len()), (4, 4));
    let order = trace.order();
    assert_eq!(order.faults, []);
    let ids: Vec<_> = order.ids.iter().map(|one| (one.id, one.is_next)).collect();
    assert_eq!(ids, [(id(1), false), (id(2), true), (id(3), true), (id(4), true)]);
    let other = File::Sealed(SealedFile::new(&SCENE.sealed[0]));
    assert_eq!(trace.add(&other), Err(TraceError::Kind { actual: "sealed" }));
}

#[test]
fn a_trace_reads_back_as_it_was_written() {
    let file = File::Trace(Box::new(file()));
    let read = File::read(file.to_json().as_bytes()).unwrap();
    assert_eq!((read.kind(), read.to_json()), ("trace", file.to_json()));
}

#[test]
fn invariant_1_every_false_receipt_is_told_with_its_reason_and_the_others_count() {
    let mut receipts = vec![at(1, 1, 0); 600];
    let mut forged = at(2, 1, 0);
    forged.body.place = Place::Position(1);
    receipts[7] = forged;
    let mut body = at(1, 1, 0).body;
    body.network_id = STRANGERS.network.network_id();
    receipts[300] = WORLD.sign(1, body);
    let mut nobody = at(1, 1, 0);
    nobody.sequencer = index(6);
    receipts[301] = nobody;
    let mut late = at(1, 1, 0).body;
    late.epoch = Epoch::new(3);
    receipts[599] = WORLD.sign(1, late);
    // A receipt of the next epoch, which this transcript does not prove.
    receipts[400] = RENEWED.receipt(1, id(1), Place::Position(0));
    let mut trace = Trace::new(&WORLD.network);
    let faults = trace.add_receipts(&receipts).unwrap();
    let number = |fault: &TraceFault| match fault {
        TraceFault::Receipt { number, .. } => *number,
        other => panic!("{other}"),
    };
    let mut numbers: Vec<_> = faults.iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [8, 301, 302, 401, 600]);
    let fault = |number| {
        let found = faults
            .iter()
            .find(|one| matches!(one, TraceFault::Receipt { number: at, .. } if *at == number));
        let Some(TraceFault::Receipt { fault, .. }) = found else { panic!("{number}") };
        fault.clone()
    };
    assert_eq!(fault(8), ReceiptFault::Receipt(forged.unsigned()));
    let (actual, expected) = (STRANGERS.network.network_id(), WORLD.network.network_id());
    assert_eq!(fault(301), ReceiptFault::Receipt(ReceiptError::Network { actual, expected }));
    let members = 5;
    let member = ReceiptError::Member { actual: index(6), members };
    assert_eq!(fault(302), ReceiptFault::Receipt(member));
    let unknown = |actual| UnknownEpoch {
        actual: Epoch::new(actual),
        first: Epoch::new(1),
        last: Epoch::new(1),
    };
    assert_eq!(fault(401), ReceiptFault::UnknownEpoch(unknown(2)));
    assert_eq!(fault(600), ReceiptFault::UnknownEpoch(unknown(3)));
    assert_eq!(trace.receipts(), 1, "595 times the same");
}

#[test]
fn invariant_1_certificates_of_others_and_changed_ones_are_told() {
    let mut trace = Trace::new(&WORLD.network);
    let strange = STRANGERS.chain((0, 1), ROOT, &[vec![vec![id(1)]]]);
    let later = RENEWED.chain((3, 4), ROOT, &[vec![]]);
    let mut swapped = chain();
    swapped[0].emission.cohorts.swap(0, 1);
    let mut merged = chain();
    let second = merged[0].emission.cohorts.remove(1);
    merged[0].emission.cohorts[0].extend(second);
    let mut unsigned = chain();
    unsigned[2].finalization.signatures.pop();
    unsigned[2].finalization.signers.pop();
    let orders = [&strange[0], &later[0], &swapped[0], &merged[0], &unsigned[2], &chain()[1]];
    let faults = trace.add_orders(&orders.map(Clone::clone)).unwrap();
    let kinds: Vec<_> = faults
        .iter()
        .map(|fault| match fault {
            TraceFault::Order { number, fault: OrderFault::Certificate(error), .. } => {
                let name = match error {
                    CertificateError::Network { .. } => "network",
                    CertificateError::ResultRoot { .. } => "root",
                    CertificateError::Quorum { .. } => "quorum",
                    _ => "other",
                };
                (*number, name)
            }
            TraceFault::Order { number, fault: OrderFault::UnknownEpoch(_), .. } => {
                (*number, "epoch")
            }
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(kinds, [(1, "network"), (2, "epoch"), (3, "root"), (4, "root"), (5, "quorum")]);
    assert_eq!(trace.heights().keys().copied().collect::<Vec<_>>(), [Height::new(2)]);
    assert!(told(faults)[4].starts_with("order certificate 5, of height 3: 3 signers, 4 decide"));
}

#[test]
fn invariant_2_what_stands_there_twice_counts_once() {
    let mut trace = Trace::new(&WORLD.network);
    for _ in 0..2 {
        assert_eq!(trace.add(&File::Trace(Box::new(file()))), Ok(Vec::new()));
    }
    assert_eq!((trace.receipts(), trace.heights().len()), (3, 3));
    assert_eq!(trace.order().faults, []);
}

#[test]
fn invariant_3_two_positions_and_two_bundles_at_one_convict() {
    for (second, is_convicted) in [
        (at(1, 1, 5), true),
        (at(1, 2, 0), true),
        (at(1, 2, 1), false),
        (WORLD.receipt(1, id(1), Place::Held), false),
        (at(2, 1, 5), false),
    ] {
        let mut trace = Trace::new(&WORLD.network);
        assert_eq!(trace.add_receipts(&[at(1, 1, 0), second]), Ok(Vec::new()));
        let log = &trace.logs()[&Epoch::new(1)][&index(1)];
        assert_eq!(log.is_convicted(), is_convicted, "{second:?}");
        assert_eq!(log.position(&id(1)), (!is_convicted).then_some(0));
        let conflict = trace.conflicts().next();
        assert_eq!(conflict.is_some(), is_convicted);
        if let Some(conflict) = conflict {
            let keys = WORLD.network.committee().consensus_keys();
            assert_eq!(conflict.verify(&WORLD.network.network_id(), keys), Ok(index(1)));
        }
    }
    // A position takes the place of what was only held back.
    let mut trace = Trace::new(&WORLD.network);
    let held = WORLD.receipt(1, id(1), Place::Held);
    assert_eq!(trace.add_receipts(&[held, at(1, 1, 7)]), Ok(Vec::new()));
    assert_eq!(trace.logs()[&Epoch::new(1)][&index(1)].position(&id(1)), Some(7));
}

#[test]
fn invariant_4_forks_gaps_and_second_places_are_found() {
    let told_of = |orders: &[OrderCertificate]| {
        let mut trace = Trace::new(&RENEWED.network);
        let mut faults = trace.add_orders(orders).unwrap();
        let order = trace.order();
        faults.extend(order.faults);
        let next: Vec<_> = order.ids.iter().map(|one| one.is_next).collect();
        (told(faults), next)
    };
    let good = chain();
    let fork = WORLD.chain((0, 2), good[0].headers[0].digest(), &[vec![vec![id(9)]]]);
    let (faults, _) = told_of(&[good[1].clone(), fork[0].clone()]);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("height 2 is certified twice, as block "), "{faults:?}");
    // A height that is missing is no fault, and nothing is known of what is next.
    let (faults, next) = told_of(&[good[0].clone(), good[2].clone()]);
    assert_eq!((faults.len(), next), (0, vec![false, true, false]));
    let elsewhere = WORLD.chain((0, 2), ROOT, &[vec![vec![id(5)]]]);
    let (faults, next) = told_of(&[good[0].clone(), elsewhere[0].clone()]);
    assert!(faults[0].starts_with("the block of height 2 stands on block "), "{faults:?}");
    assert_eq!(next, [false, true, false]);
    let again = WORLD.chain((0, 4), good[2].headers[0].digest(), &[vec![vec![id(1)], vec![id(7)]]]);
    let all: Vec<_> = good.iter().chain(&again).cloned().collect();
    let (faults, next) = told_of(&all);
    let expected =
        format!("bundle {} is ordered at height 1 index 0 and again at height 4 index 0", id(1));
    assert_eq!((faults, next), (vec![expected], vec![false, true, true, false]));
}

#[test]
fn heights_of_two_epochs_are_one_chain_only_where_the_later_one_begins() {
    let good = chain();
    let at = |start, first| RENEWED.chain((start, first), ROOT, &[vec![vec![id(8)]]]).remove(0);
    let follows = |later: &OrderCertificate| {
        let certified = |order| CertifiedHeight::new(&RENEWED.network, order).unwrap();
        certified(later).follows(&certified(&good[2]))
    };
    assert_eq!(follows(&at(3, 4)), Ok(()));
    let (epoch, actual, expected) = (Epoch::new(2), Height::new(2), Height::new(3));
    assert_eq!(follows(&at(2, 4)), Err(LinkFault::Start { epoch, actual, expected }));
    let gap =
        LinkFault::Gap { before: Height::new(3), expected: Height::new(4), actual: Height::new(5) };
    assert_eq!(follows(&at(3, 5)), Err(gap));
    let certified = |order| CertifiedHeight::new(&RENEWED.network, order).unwrap();
    let back = WORLD.chain((4, 5), ROOT, &[vec![]]).remove(0);
    let (height, before, actual) = (Height::new(5), Epoch::new(2), Epoch::new(1));
    assert_eq!(
        certified(&back).follows(&certified(&at(3, 4))),
        Err(LinkFault::Epoch { height, before, actual })
    );
}

#[test]
fn blocks_after_the_end_of_an_epoch_give_way_to_the_next_epochs() {
    let good = chain();
    let tail = WORLD.tail(&good[2], 2);
    let next = RENEWED.chain((3, 4), ROOT, &[vec![vec![id(8)]], vec![]]);
    for orders in [[&good[..], &tail, &next].concat(), [&next[..], &good, &tail].concat()] {
        let mut trace = Trace::new(&RENEWED.network);
        assert_eq!(trace.add_orders(&orders), Ok(Vec::new()));
        let order = trace.order();
        assert_eq!(order.faults, []);
        assert_eq!(order.ids.last().map(|one| (one.id, one.is_next)), Some((id(8), true)));
    }
    let mut trace = Trace::new(&RENEWED.network);
    let alone: Vec<_> = good.iter().chain(&tail).cloned().collect();
    assert_eq!(trace.add_orders(&alone), Ok(Vec::new()));
    let (height, epoch) = (Height::new(4), Epoch::new(1));
    let ended = |height| TraceFault::Link(LinkFault::Ended { height, epoch });
    assert_eq!(trace.order().faults, [ended(height), ended(height.next())]);
    // Something ordered there is no such block: two blocks claim the height.
    let forked = WORLD.chain((0, 4), good[2].headers[0].digest(), &[vec![vec![id(9)]]]);
    let faults = trace.add_orders(&forked).unwrap();
    assert!(matches!(faults[..], [TraceFault::TwoBlocks { .. }]), "{faults:?}");
}

#[test]
fn invariant_5_receipts_are_counted_over_all_files() {
    let mut trace = Trace::new(&WORLD.network);
    trace.receipts = MAX_RECEIPTS - 1;
    assert_eq!(trace.add_receipts(&[at(1, 1, 0)]), Ok(Vec::new()));
    let error = TraceError::TooMany { what: "receipts", limit: MAX_RECEIPTS };
    assert_eq!(trace.add_receipts(&[at(1, 1, 0)]), Err(error));
    let mut strange = file();
    strange.network_id = STRANGERS.network.network_id();
    let (actual, expected) = (strange.network_id, WORLD.network.network_id());
    let refused = Trace::new(&WORLD.network).add(&File::Trace(Box::new(strange)));
    assert_eq!(refused, Err(TraceError::Network { actual, expected }));
}
