#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use fairveil_crypto::certificate::Placement;
use fairveil_mempool::receipt::ConflictingReceipts;
use fairveil_mempool::{Place, Receipt};
use proptest::prelude::*;

use super::*;
use crate::test_support::{CHAINS, SCENE, WORLD, bundle, emitted, leg};

fn value(file: &File) -> Value {
    serde_json::from_str(&file.to_json()).unwrap()
}

fn receipts_of(sequencers: &[u16]) -> File {
    let receipt = |sequencer: &u16| WORLD.receipt(*sequencer, SCENE.id(0), Place::Position(4));
    receipts_file(sequencers.iter().map(receipt).collect())
}

fn receipts_file(receipts: Vec<Receipt>) -> File {
    let (id, network_id) = (SCENE.id(0), WORLD.network.network_id());
    File::Receipts(ReceiptsFile { id, network_id, receipts })
}

fn order() -> File {
    File::Order(Box::new(SCENE.orders[0].clone()))
}

fn document() -> File {
    File::Bundle(Box::new(SCENE.document(0)))
}

fn batch() -> File {
    File::Batch(Box::new(SCENE.batch(1, 902)))
}

fn sealed() -> File {
    File::Sealed(SealedFile::new(&SCENE.sealed[0]))
}

fn transcript() -> File {
    File::Transcript(Box::new(WORLD.transcript.clone()))
}

fn evidence(second: Place) -> File {
    let first = WORLD.receipt(2, SCENE.id(0), Place::Position(4));
    let second = WORLD.receipt(2, SCENE.id(0), second);
    File::Evidence(Box::new(Evidence::ConflictingReceipts(ConflictingReceipts { first, second })))
}

fn judge_value(value: &Value) -> Result<Judgement, Refusal> {
    judge(&WORLD.network, &serde_json::to_vec(value).unwrap())
}

/// A changed file, and a part of the reason for which it must be refused.
struct Case {
    value: Value,
    expected: &'static str,
}

fn case(file: &File, change: impl FnOnce(&mut Value), expected: &'static str) -> Case {
    let mut value = value(file);
    change(&mut value);
    Case { value, expected }
}

/// Another hex digit at the end.
fn flip(value: &mut Value) {
    let mut text = value.as_str().unwrap().to_owned();
    let last = if text.pop() == Some('0') { '1' } else { '0' };
    text.push(last);
    *value = text.into();
}

fn add(value: &mut Value, number: u64) {
    *value = (value.as_u64().unwrap() + number).into();
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    value.as_array_mut().unwrap()
}

fn receipt_cases() -> Vec<Case> {
    let good = || receipts_of(&[1, 2, 3]);
    let conflicting =
        receipts_file([4, 5].map(|at| WORLD.receipt(1, SCENE.id(0), Place::Position(at))).to_vec());
    let other = receipts_file(vec![WORLD.receipt(1, SCENE.id(1), Place::Held)]);
    vec![
        case(&good(), |v| flip(&mut v["receipts"][0]["signature"]), "not sequencer 1's"),
        case(&good(), |v| add(&mut v["receipts"][1]["body"]["time_ms"], 1), "not sequencer 2's"),
        case(&good(), |v| flip(&mut v["receipts"][0]["body"]["network_id"]), "is of network"),
        case(&good(), |v| add(&mut v["receipts"][0]["body"]["epoch"], 1), "is of epoch 2"),
        case(&good(), |v| add(&mut v["receipts"][0]["sequencer"], 8), "is of sequencer 9"),
        case(&good(), |v| flip(&mut v["network_id"]), "the receipts are of network"),
        case(&good(), |v| list(&mut v["receipts"]).truncate(1), "1 receipts, 2 of distinct"),
        case(&receipts_of(&[3, 3]), |_| {}, "another one of sequencer 3"),
        case(&conflicting, |_| {}, "contradicts another one of sequencer 1"),
        case(&other, |_| {}, "receipt is for bundle"),
    ]
}

fn order_cases() -> Vec<Case> {
    let drop_signer = |v: &mut Value| {
        list(&mut v["finalization"]["signers"]).pop();
        list(&mut v["finalization"]["signatures"]).pop();
    };
    vec![
        case(&order(), |v| list(&mut v["headers"]).clear(), "0 headers"),
        case(&order(), |v| add(&mut v["headers"][0]["version"], 1), "has version 2"),
        case(&order(), |v| flip(&mut v["headers"][1]["network_id"]), "network_id is"),
        case(&order(), |v| add(&mut v["headers"][0]["epoch"], 1), "epoch is 2"),
        case(&order(), |v| flip(&mut v["finalization"]["block"]), "finalization is of block"),
        case(&order(), |v| add(&mut v["headers"][1]["time_ms"], 1), "is not the parent"),
        case(
            &order(),
            |v| drop(list(&mut v["finalization"]["signatures"]).pop()),
            "3 signatures of 4 signers",
        ),
        case(&order(), drop_signer, "3 signers, 4 decide"),
        case(&order(), |v| add(&mut v["finalization"]["signers"][3], 4), "signer 8 is no member"),
        case(&order(), |v| add(&mut v["finalization"]["signers"][0], 1), "signer 2 is no member"),
        case(
            &order(),
            |v| flip(&mut v["finalization"]["signatures"][2]),
            "signature of sequencer 3 does not verify",
        ),
        case(&order(), |v| add(&mut v["emission"]["height"], 1), "emission is of height 2"),
        case(&order(), |v| list(&mut v["emission"]["cohorts"][0]).swap(0, 1), "result root is"),
    ]
}

fn document_cases() -> Vec<Case> {
    let other_order = serde_json::to_value(&SCENE.orders[1]).unwrap();
    let ids = [0, 2, 1, 3].map(|at| emitted(SCENE.id(at + usize::from(at == 0)), Placement::Open));
    let reordered = WORLD.order(1, vec![ids.to_vec()]);
    let block = fairveil_crypto::BlockDigest::to_string(&reordered.headers[1].digest());
    let reordered = serde_json::to_value(&reordered).unwrap();
    assert!(!block.is_empty());
    vec![
        case(&document(), |v| flip(&mut v["legs"][0]["transactions"][0]), "leg on chain 901"),
        case(&document(), |v| drop(list(&mut v["legs"]).pop()), "1 legs, the release has 2"),
        case(&document(), |v| flip(&mut v["proof"]["path"][0]["digest"]), "the proof leads to"),
        case(&document(), |v| add(&mut v["proof"]["index"], 9), "leaf 9 of a tree of 4"),
        case(&document(), |v| drop(list(&mut v["proof"]["path"]).pop()), "a path of 1 nodes"),
        case(&document(), |v| add(&mut v["release"]["time_ms"], 1), "a release with root"),
        case(&document(), |v| add(&mut v["release"]["height"], 7), "does not list height 8"),
        case(&document(), |v| flip(&mut v["release"]["network_id"]), "a release of network"),
        case(
            &document(),
            |v| flip(&mut v["certificate"]["releases"][1]["root"]),
            "the releases lead to body digest",
        ),
        case(&document(), |v| drop(v.as_object_mut().unwrap().remove("order")), "has no order"),
        case(&document(), |v| v["order"] = other_order, "certificate is of height 2"),
        case(&document(), |v| v["order"] = reordered, "the order certificate is of block"),
    ]
}

fn batch_cases() -> Vec<Case> {
    let gap = File::Batches(vec![SCENE.batch(2, 902)]);
    let batches = || File::Batches(vec![SCENE.batch(1, 902), SCENE.batch(2, 902)]);
    let extra = |v: &mut Value| list(&mut v["batch"]["transactions"]).push("0x02".into());
    vec![
        case(&batch(), |v| flip(&mut v["batch"]["transactions"][1]), "the leg of bundle 0"),
        case(&batch(), |v| list(&mut v["batch"]["bundles"]).clear(), "0 bundles, expected 1"),
        case(&batch(), extra, "3 transactions, 2 belong"),
        case(&batch(), |v| flip(&mut v["batch"]["bundles"][0]["id"]), "at its place in the fair"),
        case(&batch(), |v| add(&mut v["batch"]["bundles"][0]["first"], 1), "do not follow those"),
        case(&batch(), |v| add(&mut v["batch"]["height"], 1), "of height 2, expected 1"),
        case(&batch(), |v| add(&mut v["batch"]["time_ms"], 1), "of time 1001 ms"),
        case(&batch(), |v| add(&mut v["batch"]["chain_id"], 1), "chain 903"),
        case(&batch(), |v| add(&mut v["batch"]["chain_id"], 7), "which is no namespace"),
        case(&batch(), |v| drop(list(&mut v["proof"]["parts"]).pop()), "the proof ends at part"),
        case(&batches(), |v| drop(list(v).remove(0)), "accepted"),
        case(&batches(), |v| list(v).swap(0, 1), "a batch of height 1, next is 3"),
        case(&batches(), |v| list(v).clear(), "a list of no batches"),
        case(&gap, |v| flip(&mut v[0]["release"]["previous"]), "a release with root"),
    ]
}

fn other_cases() -> Vec<Case> {
    let confirmations = |v: &mut Value| list(&mut v["confirmations"]).truncate(3);
    let seal = |v: &mut Value, place: usize| {
        let text = v["sealed"].as_str().unwrap();
        let place = if place < text.len() { place } else { text.len() - 150 };
        let digit = if text.as_bytes()[place] == b'0' { "1" } else { "0" };
        let mut text = text.to_owned();
        text.replace_range(place..=place, digit);
        v["sealed"] = text.into();
    };
    let unsealed = File::Unsealed(crate::file::UnsealedFile::new(&SCENE.bundles[0]));
    vec![
        case(&sealed(), |v| seal(v, 2), "version is 17"),
        case(&sealed(), |v| seal(v, usize::MAX), "signature:"),
        case(&sealed(), |v| v["sealed"] = "zz".into(), "`sealed` is not 0x and hex"),
        case(&sealed(), |v| flip(&mut v["id"]), "`id` is"),
        case(&sealed(), |v| flip(&mut v["network_id"]), "`network_id` is"),
        case(&unsealed, |_| {}, "a bundle in the clear proves nothing"),
        case(&transcript(), |v| add(&mut v["result"]["threshold"], 1), "threshold is 5"),
        case(&transcript(), |v| flip(&mut v["digest"]), "that of the content is"),
        case(&transcript(), confirmations, "3 confirmations, 4 are needed"),
        case(&transcript(), |v| add(&mut v["definition"]["f"], 1), "take n >= 9"),
        case(&evidence(Place::Position(4)), |_| {}, "do not contradict each other"),
        case(&evidence(Place::Position(5)), |v| v["evidence"] = "0x00".into(), "nor evidence"),
        case(&order(), |v| v["kind"] = "poem".into(), "no such kind of file"),
        case(&order(), |v| *v = json!({ "kind": "order" }), "not a file of kind \"order\""),
        case(&order(), |v| *v = json!({ "x": 1 }), "no kind"),
    ]
}

#[test]
fn invariant_2_mutated_files_are_refused_each_with_its_own_reason() {
    let cases = [receipt_cases(), order_cases(), document_cases(), batch_cases(), other_cases()];
    let mut reasons = BTreeSet::new();
    for Case { value, expected } in cases.into_iter().flatten() {
        if expected == "accepted" {
            judge_value(&value).unwrap();
            continue;
        }
        let reason = judge_value(&value).expect_err(expected).to_string();
        assert!(reason.contains(expected), "{reason}\n  is not\n{expected}");
        assert!(reasons.insert(reason.clone()), "a second time: {reason}");
    }
    assert!(reasons.len() >= 60, "{} reasons", reasons.len());
}

#[test]
fn good_files_prove_what_they_say() {
    let shown = |file: &File| judge_value(&value(file)).unwrap().to_string();
    assert!(shown(&receipts_of(&[1, 2])).contains("2 receipts, 2 needed, of 1, 2"));
    assert!(shown(&order()).starts_with("the order of height 1 is final: 4 ids"));
    assert!(shown(&document()).contains("released with all its legs, on 901, 902"));
    let outcome = |number| shown(&File::Bundle(Box::new(SCENE.document(number))));
    assert!(outcome(1).contains("failed on every rollup: leg_invalid: leg 0, transaction 0"));
    assert!(outcome(2).contains("expired and was never opened"));
    assert!(outcome(4).contains("ordered at height 2 position 0"));
    assert!(shown(&batch()).contains("rollup 902, heights 1 to 1: complete, 1 bundles"));
    for chain_id in CHAINS {
        let both = vec![SCENE.batch(1, chain_id), SCENE.batch(2, chain_id)];
        assert!(shown(&File::Batches(both)).contains("heights 1 to 2"));
    }
    assert!(shown(&sealed()).contains("well sealed"));
    assert!(shown(&transcript()).contains("confirmed by 5 members"));
    assert!(shown(&evidence(Place::Position(5))).starts_with("sequencer 2 signed two receipts"));
}

#[test]
fn what_sequencers_serve_is_recognised_without_a_kind() {
    for file in [order(), document(), batch(), transcript()] {
        let mut value = value(&file);
        value.as_object_mut().unwrap().remove("kind");
        let read = File::read(&serde_json::to_vec(&value).unwrap()).unwrap();
        assert_eq!((read.kind(), read.to_json()), (file.kind(), file.to_json()));
    }
    let File::Evidence(evidence) = evidence(Place::Position(5)) else { panic!("evidence") };
    assert_eq!(File::read(&evidence.encode()).unwrap().kind(), "evidence");
    assert!(matches!(File::read(b" \n"), Err(FileError::Empty)));
    assert!(matches!(File::read(b"{"), Err(FileError::Json(_))));
    assert!(matches!(File::read(b"garbage"), Err(FileError::Evidence(_))));
}

#[test]
fn released_legs_are_compared_with_what_was_sealed() {
    let ending = |number: usize, sealed| {
        let (document, id) = (SCENE.document(number), SCENE.id(number));
        crate::document::ending(&WORLD.network, &document, &id, Some(sealed)).map(|(_, end)| end)
    };
    assert_eq!(ending(0, &SCENE.bundles[0]), Ok(Ending::Released));
    let fewer = DisbeliefReason::LegCount { actual: 2, expected: 1 };
    assert_eq!(ending(0, &SCENE.bundles[3]), Err(fewer));
    let other = bundle(vec![leg(901, &[0]), leg(902, &[1, 0])]);
    assert_eq!(ending(0, &other), Err(DisbeliefReason::OtherLeg { chain_id: 902 }));
    // Whatever was sealed: what failed released nothing.
    assert!(matches!(ending(1, &SCENE.bundles[0]), Ok(Ending::Failed(_))));
}

#[test]
fn only_the_pinned_network_is_believed() {
    let bytes = WORLD.transcript.to_json();
    let other = NetworkId::from_bytes([9; 32]);
    let error = PinnedNetwork::from_transcript(&bytes, &other).unwrap_err();
    assert!(matches!(error, TranscriptError::WrongNetwork { .. }), "{error}");
    assert_eq!((WORLD.network.faults(), WORLD.network.needed()), (1, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever byte of a file is changed: it is refused, or it is the same file in other letters.
    #[test]
    fn no_changed_file_proves_anything_else(
        which in 0_usize..6,
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let files = [receipts_of(&[1, 2]), order(), document(), batch(), sealed(), transcript()];
        let good = files[which].to_json();
        let mut bytes = good.clone().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if judge(&WORLD.network, &bytes).is_ok() {
            let read = File::read(&bytes).unwrap().to_json();
            prop_assert_eq!(read.to_lowercase(), good.to_lowercase());
        }
    }
}
