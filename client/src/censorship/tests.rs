#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use fairveil_crypto::{BlockDigest, NetworkId};
use fairveil_mempool::Place;
use fairveil_mempool::receipt::ReceiptError;

use super::*;
use crate::file::File;
use crate::test_support::{RENEWED, SCENE, STRANGERS, WORLD, World, bundle, index, leg};
use crate::verify::{Judgement, Refusal, judge as judge_bytes};

const ROOT: BlockDigest = BlockDigest::from_bytes([6; 32]);
/// The receipts' height: from there 256 heights.
const ADMITTED: u64 = 3;
const LAST: u64 = ADMITTED + OMITTED_HEIGHTS;

/// A bundle of window 1 to 500, receipts of members 1 and 2 at height 3, and heights 1 to 259, each
/// of which emits another bundle.
pub(crate) static PROOF: LazyLock<CensorshipFile> = LazyLock::new(|| CensorshipFile {
    sealed: SealedFile::new(&SCENE.sealed[0]),
    receipts: receipts(&[1, 2]),
    orders: WORLD.chain((0, 1), ROOT, &others(1..=LAST)),
});

fn receipts(sequencers: &[u16]) -> Vec<Receipt> {
    sequencers.iter().map(|one| WORLD.receipt(*one, SCENE.id(0), Place::Position(4))).collect()
}

fn other(height: u64) -> BundleId {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&height.to_be_bytes());
    BundleId::from_bytes(bytes)
}

fn others(heights: impl Iterator<Item = u64>) -> Vec<Vec<Vec<BundleId>>> {
    // Every third height emits nothing.
    let emitted = |height: u64| match height % 3 {
        0 => Vec::new(),
        _ => vec![vec![other(height)]],
    };
    heights.map(emitted).collect()
}

fn changed(change: impl FnOnce(&mut CensorshipFile)) -> Result<Omission, CensorshipRefusal> {
    let mut file = PROOF.clone();
    change(&mut file);
    judge(&WORLD.network, &file)
}

/// The heights of the proof, one of which emits the bundle behind another one.
fn emitted_at(height: u64) -> Vec<OrderCertificate> {
    let mut heights = others(1..=LAST);
    heights[height as usize - 1] = vec![vec![other(height)], vec![SCENE.id(0)]];
    WORLD.chain((0, 1), ROOT, &heights)
}

#[test]
fn an_omission_is_proven_and_told() {
    let omission = judge(&WORLD.network, &PROOF).unwrap();
    assert_eq!(omission.sequencers, [index(1), index(2)]);
    let heights = (omission.first.get(), omission.start.get(), omission.last.get());
    assert_eq!(heights, (1, ADMITTED, LAST));
    assert_eq!((omission.needed, omission.expires_at), (2, Height::new(500)));
    let text = omission.to_string();
    let expected = format!(
        "bundle {} was omitted: sequencers 1, 2 of epoch 1 admitted it (2 needed), no height from 1 \
         to 259 emitted it, 256 heights after height 3, and its window is open to height 500; it \
         names no culprit: more than f members kept it back, or messages between honest ones did not arrive",
        SCENE.id(0)
    );
    assert_eq!(text, expected);
}

#[test]
fn the_file_is_judged_as_any_other() {
    let file = File::Censorship(Box::new(PROOF.clone()));
    let bytes = file.to_json().into_bytes();
    let Ok(Judgement::Omission(omission)) = judge_bytes(&WORLD.network, &bytes) else {
        panic!("not proven");
    };
    assert_eq!(omission.id, SCENE.id(0));
    assert_eq!(File::read(&bytes).unwrap().to_json(), file.to_json());
    let mut early = PROOF.clone();
    early.orders.pop();
    let early = File::Censorship(Box::new(early)).to_json();
    let refusal = judge_bytes(&WORLD.network, early.as_bytes()).unwrap_err();
    assert!(matches!(refusal, Refusal::Censorship(CensorshipRefusal::Last { .. })), "{refusal}");
}

#[test]
fn invariant_1_receipts_are_of_distinct_members_of_this_network_and_bundle() {
    let receipt = |number, error| {
        Err(CensorshipRefusal::Receipt { number, fault: ReceiptFault::Receipt(error) })
    };
    let too_few = |actual| Err(CensorshipRefusal::TooFewReceipts { actual, needed: 2 });
    assert_eq!(changed(|file| file.receipts.truncate(1)), too_few(1));
    assert_eq!(changed(|file| file.receipts.clear()), too_few(0));
    assert_eq!(changed(|file| file.receipts = receipts(&[2, 2, 2])), too_few(1));
    let mut forged = receipts(&[1])[0];
    forged.body.height = Height::new(1);
    let refused = changed(|file| file.receipts[0] = forged);
    assert_eq!(refused, receipt(1, forged.unsigned()));
    let mut body = receipts(&[2])[0].body;
    body.network_id = STRANGERS.network.network_id();
    let (actual, expected) = (body.network_id, WORLD.network.network_id());
    let refused = changed(|file| file.receipts[1] = WORLD.sign(2, body));
    assert_eq!(refused, receipt(2, ReceiptError::Network { actual, expected }));
    let (actual, expected) = (SCENE.id(1), SCENE.id(0));
    let other = WORLD.receipt(2, actual, Place::Position(4));
    let refused = changed(|file| file.receipts[1] = other);
    assert_eq!(refused, receipt(2, ReceiptError::Id { actual, expected }));
    let refused = changed(|file| file.receipts[1] = RENEWED.receipt(2, expected, Place::Held));
    assert!(matches!(
        refused,
        Err(CensorshipRefusal::Receipt { number: 2, fault: ReceiptFault::UnknownEpoch(_) })
    ));
    // Who knows both epochs does not count them together either.
    let mut mixed = PROOF.clone();
    mixed.receipts[1] = RENEWED.receipt(2, expected, Place::Held);
    let (actual, expected) = (RENEWED.network.epoch(), WORLD.network.epoch());
    let refused = judge(&RENEWED.network, &mixed);
    assert_eq!(refused, Err(CensorshipRefusal::Epochs { number: 2, actual, expected }));
    let many = MAX_RECEIPTS + 1;
    let refused = changed(|file| file.receipts = vec![file.receipts[0]; many]);
    assert_eq!(refused, Err(CensorshipRefusal::TooManyReceipts { actual: many }));
    // More than are needed, and one twice, is still one proof.
    assert!(changed(|file| file.receipts = receipts(&[1, 3, 4, 3])).is_ok());
}

#[test]
fn invariant_1_the_latest_receipt_counts_and_of_one_member_the_earliest() {
    let late = |height| WORLD.receipt_at(height, 2, SCENE.id(0), Place::Position(4));
    let refused = changed(|file| file.receipts[1] = late(4));
    let (actual, expected) = (Height::new(LAST), Height::new(LAST + 1));
    assert_eq!(refused, Err(CensorshipRefusal::Last { actual, expected }));
    assert!(changed(|file| file.receipts.push(late(4))).is_ok());
    let refused =
        changed(|file| file.receipts.push(WORLD.receipt_at(9, 3, SCENE.id(0), Place::Held)));
    let expected = Height::new(LAST + 6);
    assert_eq!(refused, Err(CensorshipRefusal::Last { actual, expected }));
}

#[test]
fn invariant_2_the_bundle_is_the_receipts_and_well_sealed() {
    let refused = changed(|file| file.sealed = SealedFile::new(&SCENE.sealed[1]));
    assert!(matches!(refused, Err(CensorshipRefusal::Receipt { number: 1, .. })));
    let refused = changed(|file| file.sealed.id = SCENE.id(1));
    assert!(matches!(refused, Err(CensorshipRefusal::SealedFile(SealedFileError::Id { .. }))));
    let mut strange = PROOF.clone();
    strange.sealed = SealedFile::new(&STRANGERS.seal(0, &bundle(vec![leg(901, &[0])])));
    let refused = judge(&WORLD.network, &strange);
    assert!(matches!(refused, Err(CensorshipRefusal::Sealed(_))), "{refused:?}");
}

#[test]
fn invariant_3_the_heights_are_certified_and_without_a_gap() {
    let height = Height::new;
    let none = CensorshipRefusal::NoOrder { first: height(1), last: height(LAST) };
    assert_eq!(changed(|file| file.orders.clear()), Err(none));
    let late = CensorshipRefusal::First { actual: height(2), expected: height(1) };
    assert_eq!(changed(|file| drop(file.orders.remove(0))), Err(late));
    let gap = LinkFault::Gap { before: height(99), expected: height(100), actual: height(101) };
    assert_eq!(changed(|file| drop(file.orders.remove(99))), Err(gap.into()));
    let twice = LinkFault::Gap { before: height(7), expected: height(8), actual: height(7) };
    let again = changed(|file| file.orders.insert(7, file.orders[6].clone()));
    assert_eq!(again, Err(twice.into()));
    // 255 heights after the receipts are not enough.
    let (actual, expected) = (height(LAST - 1), height(LAST));
    let short = changed(|file| drop(file.orders.pop()));
    assert_eq!(short, Err(CensorshipRefusal::Last { actual, expected }));
    let elsewhere = WORLD.chain((0, 51), ROOT, &others(51..=51));
    let refused = changed(|file| file.orders[50] = elsewhere[0].clone());
    assert!(matches!(refused, Err(CensorshipRefusal::Link(LinkFault::Parent { .. }))));
    let strange = STRANGERS.chain((0, 1), ROOT, &others(1..=1));
    let refused = changed(|file| file.orders[0] = strange[0].clone());
    assert!(matches!(refused, Err(CensorshipRefusal::Order { number: 1, .. })));
}

#[test]
fn invariant_3_a_changed_emission_is_not_the_certified_one() {
    let root = |number: usize, change: fn(&mut OrderCertificate)| {
        let refused = changed(|file| change(&mut file.orders[number - 1]));
        let Err(CensorshipRefusal::Order { number: at, fault, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(at, number);
        assert!(fault.to_string().starts_with("result root is "), "{fault}");
    };
    root(4, |order| order.emission.cohorts.clear());
    root(5, |order| order.emission.cohorts.push(Vec::new()));
    root(6, |order| order.emission.cohorts.push(order.emission.cohorts.concat()));
    // The bundle cut out of the height that emitted it; two cohorts exchanged.
    let honest = emitted_at(40);
    for change in [
        (|order: &mut OrderCertificate| drop(order.emission.cohorts.pop())) as fn(&mut _),
        |order| order.emission.cohorts.swap(0, 1),
    ] {
        let mut orders = honest.clone();
        change(&mut orders[39]);
        let refused = changed(|file| file.orders = orders);
        assert!(matches!(refused, Err(CensorshipRefusal::Order { number: 40, .. })));
    }
}

#[test]
fn invariant_4_what_was_ordered_was_not_omitted() {
    // Before the receipts, within, and at the last height.
    for height in [1, 2, 100, LAST] {
        let position = Position { height: Height::new(height), index: 1 };
        let placement = Placement::Open;
        let emitted = CensorshipRefusal::Emitted { id: SCENE.id(0), position, placement };
        assert_eq!(changed(|file| file.orders = emitted_at(height)), Err(emitted.clone()));
        let expected =
            format!("bundle {} was not omitted: emitted at height {height} index 1", SCENE.id(0));
        assert_eq!(emitted.to_string(), expected);
    }
}

#[test]
fn invariant_5_a_proof_has_no_height_too_many() {
    let next = PROOF.orders.last().unwrap().headers[0].digest();
    let more = WORLD.chain((0, LAST + 1), next, &others(LAST + 1..=LAST + 1));
    let (actual, expected) = (Height::new(LAST + 1), Height::new(LAST));
    let refused = changed(|file| file.orders.extend(more));
    assert_eq!(refused, Err(CensorshipRefusal::Beyond { actual, expected }));
}

/// A proof about a bundle with this window, with receipts at a height and all heights that it
/// needs.
fn with_window(window: (u64, u64), admitted: u64) -> Result<Omission, CensorshipRefusal> {
    let sealed = WORLD.seal_within(window, 77, &SCENE.bundles[0]);
    let signed = |one| WORLD.receipt_at(admitted, one, sealed.id(), Place::Held);
    let first = window.0.max(1);
    let last = first.max(admitted) + OMITTED_HEIGHTS;
    let file = CensorshipFile {
        sealed: SealedFile::new(&sealed),
        receipts: vec![signed(4), signed(5)],
        orders: WORLD.chain((0, first), ROOT, &others(first..=last)),
    };
    judge(&WORLD.network, &file)
}

#[test]
fn the_window_is_open_at_the_last_height_and_opened_before_the_first() {
    assert!(with_window((1, 266), 10).is_ok());
    let (start, last, expires_at) = (Height::new(10), Height::new(266), Height::new(265));
    let closed = CensorshipRefusal::Window { expires_at, start, last };
    assert_eq!(with_window((1, 265), 10), Err(closed));
    // A time lock: heights count from its end.
    let locked = with_window((30, 286), 10).unwrap();
    assert_eq!((locked.first.get(), locked.start.get(), locked.last.get()), (30, 30, 286));
    assert!(with_window((30, 285), 10).is_err());
    assert_eq!(with_window((0, 500), 0).unwrap().first, Height::new(1));
}

#[test]
fn receipts_long_after_valid_from_need_too_many_heights() {
    let sealed = WORLD.seal_within((1, 60_000), 78, &SCENE.bundles[0]);
    let signed = |one| WORLD.receipt_at(4_000, one, sealed.id(), Place::Held);
    let receipts = vec![signed(1), signed(2)];
    let file =
        CensorshipFile { sealed: SealedFile::new(&sealed), receipts, orders: PROOF.orders.clone() };
    let (first, last) = (Height::new(1), Height::new(4_256));
    let refused = judge(&WORLD.network, &file);
    assert_eq!(refused, Err(CensorshipRefusal::TooManyHeights { first, last }));
}

#[test]
fn heights_of_two_epochs_prove_it_as_one_chain() {
    let end = 100;
    let crossing = |start: u64| {
        let mut orders = WORLD.chain((0, 1), ROOT, &others(1..=end));
        orders.extend(RENEWED.chain((start, end + 1), ROOT, &others(end + 1..=LAST)));
        judge(&RENEWED.network, &CensorshipFile { orders, ..PROOF.clone() })
    };
    let omission = crossing(end).unwrap();
    let epochs = (omission.epoch, omission.last_epoch);
    assert_eq!(epochs, (WORLD.network.epoch(), RENEWED.network.epoch()));
    assert!(omission.to_string().contains("; the last height is of epoch 2"));
    let (epoch, actual, expected) =
        (RENEWED.network.epoch(), Height::new(end - 1), Height::new(end));
    let refused = crossing(end - 1);
    assert_eq!(refused, Err(LinkFault::Start { epoch, actual, expected }.into()));
}

/// Whoever still has the old committee's empty blocks after its end can't hide behind them what the
/// next committee ordered at these heights.
#[test]
fn blocks_after_the_end_of_an_epoch_are_no_heights_of_the_order() {
    let end = LAST - 1;
    let mut orders = WORLD.chain((0, 1), ROOT, &others(1..=end));
    orders.extend(WORLD.tail(&orders[end as usize - 1], 1));
    let refused = judge(&RENEWED.network, &CensorshipFile { orders, ..PROOF.clone() });
    let (height, epoch) = (Height::new(LAST), WORLD.network.epoch());
    assert_eq!(refused, Err(LinkFault::Ended { height, epoch }.into()));
}

fn file_of(network_id: NetworkId, receipts: Vec<Receipt>) -> ReceiptsFile {
    ReceiptsFile { id: SCENE.id(0), network_id, receipts }
}

fn made(
    world: &World,
    receipts: Vec<Receipt>,
    orders: &[OrderCertificate],
) -> Result<CensorshipFile, CensorshipRefusal> {
    let receipts = file_of(world.network.network_id(), receipts);
    prove(&world.network, &PROOF.sealed, &receipts, orders).map(|(file, _)| file)
}

#[test]
fn a_proof_is_made_of_what_there_is() {
    let mut orders = WORLD.chain((0, 1), ROOT, &others(1..=LAST + 50));
    orders.reverse();
    orders.push(orders[9].clone());
    let late = WORLD.receipt_at(40, 5, SCENE.id(0), Place::Held);
    let file = made(&WORLD, [vec![late], receipts(&[1, 2])].concat(), &orders).unwrap();
    assert_eq!(file, *PROOF, "the two receipts that are earliest, and the heights that they need");
    // Who was ordered learns where, although 256 heights are not over.
    let ordered = emitted_at(20);
    let refused = made(&WORLD, receipts(&[1, 2]), &ordered[..30]);
    assert!(matches!(refused, Err(CensorshipRefusal::Emitted { .. })), "{refused:?}");
    let refused = made(&WORLD, receipts(&[1, 2]), &orders[LAST as usize - 20..]);
    assert!(matches!(refused, Err(CensorshipRefusal::Last { .. })), "{refused:?}");
    let refused = made(&WORLD, receipts(&[3]), &orders);
    assert_eq!(refused, Err(CensorshipRefusal::TooFewReceipts { actual: 1, needed: 2 }));
    // One of each of two epochs is too few; two of the later one are not.
    let later = |one| RENEWED.receipt(one, SCENE.id(0), Place::Held);
    let mixed = vec![receipts(&[1])[0], later(1)];
    let refused = made(&RENEWED, mixed.clone(), &PROOF.orders);
    assert!(matches!(refused, Err(CensorshipRefusal::TooFewReceipts { .. })), "{refused:?}");
    let file = made(&RENEWED, [mixed, vec![later(3)]].concat(), &PROOF.orders).unwrap();
    assert_eq!(file.receipts, [later(1), later(3)]);
}
