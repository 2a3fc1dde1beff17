#![allow(clippy::unwrap_used)]

use fairveil_crypto::{BundleId, Height};
use fairveil_mempool::Place;
use fairveil_release::document::{BatchDocument, BundleDocument};

use super::*;
use crate::document::{Ending, ending};
use crate::file::File;
use crate::receipts::{ReceiptFault, Receipts};
use crate::rollup::{Rejection, RollupFollower};
use crate::test_support::{RENEWED, SCENE, STRANGERS, WORLD};
use crate::verify::{Judgement, judge_file};

const CHAIN: u64 = 902;
const SECOND: Epoch = Epoch::new(2);

fn unknown(actual: u64, last: u64) -> UnknownEpoch {
    let [actual, first, last] = [actual, 1, last].map(Epoch::new);
    UnknownEpoch { actual, first, last }
}

/// The second height's batch, certified by the committee of the second epoch.
fn late_batch() -> BatchDocument {
    let certificate = RENEWED.release_certificate(SCENE.certificate.releases.clone());
    BatchDocument { certificate, ..SCENE.batch(2, CHAIN) }
}

#[test]
fn invariant_2_every_epoch_has_its_committee_and_an_unknown_one_is_named() {
    let (old, new) = (&WORLD.network, &RENEWED.network);
    assert_eq!(new.network_id(), old.network_id());
    assert_eq!(new.committee_of(Epoch::new(1)).unwrap(), old.committee());
    assert_eq!(new.committee_of(SECOND).unwrap(), new.committee());
    assert_ne!(new.committee().consensus_keys(), old.committee().consensus_keys());
    assert_eq!(new.committee().key_id(), old.committee().key_id());
    assert_eq!((old.epoch(), new.epoch()), (Epoch::new(1), SECOND));
    assert_eq!(old.committee_of(SECOND).unwrap_err(), unknown(2, 1));
    let error = new.committee_of(Epoch::new(3)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "certificate of epoch 3, the transcript proves 1 to 2: fetch a newer transcript"
    );
}

#[test]
fn invariant_2_orders_evidence_and_receipts_are_judged_by_their_own_epoch() {
    let (old, new) = (&WORLD.network, &RENEWED.network);
    let early = File::Order(Box::new(SCENE.orders[0].clone()));
    let late = File::Order(Box::new(RENEWED.order(7, Vec::new())));
    assert!(matches!(judge_file(new, &early), Ok(Judgement::Order { .. })));
    assert!(matches!(judge_file(new, &late), Ok(Judgement::Order { .. })));
    let refused = judge_file(old, &late).unwrap_err().to_string();
    assert_eq!(refused, unknown(2, 1).to_string());
    for evidence in SCENE.evidence(&WORLD) {
        let file = File::Evidence(Box::new(evidence));
        assert!(matches!(judge_file(new, &file), Ok(Judgement::Evidence { .. })));
    }

    let id = BundleId::from_bytes([9; 32]);
    let mut receipts = Receipts::new(new, id);
    receipts.add(WORLD.receipt(1, id, Place::Held)).unwrap();
    receipts.add(RENEWED.receipt(2, id, Place::Held)).unwrap();
    assert_eq!((receipts.count(), receipts.is_complete()), (1, false), "one of each epoch");
    receipts.add(WORLD.receipt(4, id, Place::Held)).unwrap();
    assert!(receipts.is_complete());
    let epochs: Vec<_> = receipts.counted().map(|receipt| receipt.body.epoch).collect();
    assert_eq!(epochs, [Epoch::new(1); 2]);
    let late = Receipts::new(old, id).add(RENEWED.receipt(2, id, Place::Held)).unwrap_err();
    assert_eq!(late, ReceiptFault::UnknownEpoch(unknown(2, 1)));
}

/// Ordered in the first epoch, released in the second: its slot came later.
#[test]
fn invariant_2_a_bundle_may_be_ordered_in_one_epoch_and_released_in_the_next() {
    let certificate = RENEWED.release_certificate(SCENE.certificate.releases.clone());
    let document = BundleDocument { certificate, ..SCENE.document(0) };
    let (_, end) = ending(&RENEWED.network, &document, &SCENE.id(0), None).unwrap();
    assert!(matches!(end, Ending::Released { .. }));
    let refused = ending(&WORLD.network, &document, &SCENE.id(0), None).unwrap_err();
    assert_eq!(refused.to_string(), unknown(2, 1).to_string());
}

#[test]
fn a_follower_crosses_the_end_of_an_epoch_with_the_newer_transcript() {
    let first = Height::new(1);
    let mut follower = RollupFollower::new(WORLD.network.clone(), CHAIN, first).unwrap();
    follower.accept(&SCENE.batch(1, CHAIN)).unwrap();
    let refused = follower.accept(&late_batch()).unwrap_err();
    assert_eq!(refused.reason, Rejection::UnknownEpoch(unknown(2, 1)));
    assert_eq!((refused.fraud, refused.reason.code()), (None, "unknown_epoch"));
    follower.renew(&RENEWED.transcript).unwrap();
    follower.accept(&late_batch()).unwrap();
    assert_eq!(follower.next(), Height::new(3));

    let checkpoint = follower.checkpoint().unwrap();
    let resumed = RollupFollower::resumed(RENEWED.network.clone(), CHAIN, &checkpoint).unwrap();
    assert_eq!(resumed.next(), Height::new(3));
    let mut fresh = RollupFollower::new(RENEWED.network.clone(), CHAIN, first).unwrap();
    fresh.accept(&SCENE.batch(1, CHAIN)).unwrap();
    fresh.accept(&late_batch()).unwrap();
}

#[test]
fn invariant_3_only_a_transcript_that_proves_more_takes_the_place() {
    let renewed = WORLD.network.renewed(&RENEWED.transcript).unwrap();
    assert_eq!(renewed.epoch(), SECOND);
    let (actual, known) = (Epoch::new(1), SECOND);
    let older = renewed.renewed(&WORLD.transcript).unwrap_err();
    assert!(
        matches!(older, RenewalError::NotNewer { actual: a, known: k } if (a, k) == (actual, known))
    );
    let foreign = WORLD.network.renewed(&STRANGERS.transcript).unwrap_err();
    assert!(matches!(foreign, RenewalError::Transcript(TranscriptError::WrongNetwork { .. })));
    let mut damaged = RENEWED.transcript.clone();
    damaged.confirmations.clear();
    let damaged = WORLD.network.renewed(&damaged).unwrap_err();
    assert!(matches!(damaged, RenewalError::Transcript(TranscriptError::Confirmations { .. })));
}

#[test]
fn a_pinned_digest_holds_for_every_later_epoch() {
    let digests = [WORLD.transcript.digest, RENEWED.transcript.digest];
    for digest in digests {
        assert!(RENEWED.network.clone().with_digest(&digest).is_ok());
    }
    let newer = WORLD.network.clone().with_digest(&digests[1]).unwrap_err();
    assert!(matches!(newer, TranscriptError::WrongDigest { .. }));
    let stranger = RENEWED.network.clone().with_digest(&STRANGERS.transcript.digest);
    assert!(matches!(stranger.unwrap_err(), TranscriptError::WrongDigest { .. }));
}
