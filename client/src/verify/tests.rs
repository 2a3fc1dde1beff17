#![allow(clippy::unwrap_used)]

mod mutations;

use std::collections::BTreeSet;

use fairveil_crypto::certificate::Placement;
use fairveil_mempool::receipt::ConflictingReceipts;
use fairveil_mempool::{Place, Policy, Receipt};
use proptest::prelude::*;
use serde_json::{Value, json};

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
    // From a later height on too: nobody has to keep what came before.
    let later = File::Batches(vec![SCENE.batch(2, 902)]);
    assert!(shown(&later).contains("heights 2 to 2"));
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
    assert_eq!(ending(0, &SCENE.bundles[0]), Ok(Ending::Released { policy: Policy::Include }));
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

    /// Whatever byte of a file is changed: it is refused, or it says the same.
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
            // Space, and nothing else, may stand there in another form.
            prop_assert_eq!(File::read(&bytes).unwrap().to_json(), good);
        }
    }
}
