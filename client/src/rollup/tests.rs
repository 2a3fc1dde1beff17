#![allow(clippy::unwrap_used)]

use fairveil_release::fraud::FraudVerdict;
use fairveil_release::slot::SlotNumber;

use super::*;
use crate::file::File;
use crate::test_support::{SCENE, STRANGERS, WORLD};
use crate::verify::{Judgement, judge};

const CHAIN: u64 = 902;

fn follower(from: u64) -> RollupFollower {
    RollupFollower::new(WORLD.network.clone(), CHAIN, Height::new(from)).unwrap()
}

fn document(height: usize) -> BatchDocument {
    SCENE.batch(height, CHAIN)
}

fn refused(follower: &mut RollupFollower, document: &BatchDocument) -> Refused {
    let before = (follower.next(), follower.checkpoint());
    let refused = follower.accept(document).unwrap_err();
    assert_eq!((follower.next(), follower.checkpoint()), before, "invariant 3");
    refused
}

#[test]
fn invariant_1_batches_are_taken_one_after_the_other() {
    for from in [0, 1] {
        let mut follower = follower(from);
        let first = document(1);
        let accepted = follower.accept(&first).unwrap();
        assert_eq!(accepted.batch, &first.batch);
        assert_eq!(accepted.claim, Claim::Proven(Validation::Unvalidated));
        follower.accept(&document(2)).unwrap();
        assert_eq!(follower.next(), Height::new(3));
    }
    // From the middle: what came before is not judged.
    let mut late = follower(2);
    assert_eq!((late.next(), late.checkpoint()), (Height::new(2), None));
    late.accept(&document(2)).unwrap();
}

#[test]
fn invariant_1_gaps_replays_and_forks_are_refused_by_name() {
    let (one, two, three) = (Height::new(1), Height::new(2), Height::new(3));
    let mut follower = follower(1);
    let gap = refused(&mut follower, &document(2));
    assert_eq!(gap.reason, Rejection::Gap { actual: two, expected: one });
    assert_eq!(gap.fraud, None, "what is true elsewhere is no fraud");
    follower.accept(&document(1)).unwrap();
    let replay = refused(&mut follower, &document(1)).reason;
    assert_eq!(replay, Rejection::Replay { actual: one, expected: two });
    let mut overlap = document(2);
    overlap.skipped = vec![document(1).release];
    let overlap = refused(&mut follower, &overlap).reason;
    assert_eq!(overlap, Rejection::Overlap { actual: one, expected: two });
    let mut fork = document(2);
    fork.release.previous = Digest::from_bytes([1; 32]);
    let fork = refused(&mut follower, &fork).reason;
    assert!(matches!(fork, Rejection::Fork { .. }), "{fork}");
    follower.accept(&document(2)).unwrap();
    let again = refused(&mut follower, &document(2)).reason;
    assert_eq!(again, Rejection::Replay { actual: two, expected: three });
    // Another rollup's batch, as true as it is.
    let mut other = self::follower(1);
    let reason = refused(&mut other, &SCENE.batch(1, 901)).reason;
    assert!(matches!(reason, Rejection::False(BatchError::Chain { .. })), "{reason}");
    let codes = [gap.reason, replay, overlap, fork, again, reason].map(|reason| reason.code());
    assert_eq!(codes, ["gap", "replay", "overlap", "fork", "replay", "false"]);
}

#[test]
fn a_false_batch_gives_a_fraud_proof_that_anybody_judges() {
    let mut follower = follower(1);
    type Change = fn(&mut Batch);
    let changes: [(Change, &str); 5] = [
        (|b| b.blocks.clear(), "0 bundles, expected 1"),
        (|b| b.blocks[0].transactions.swap(0, 1), "the leg of bundle 0 has digest"),
        (|b| b.blocks[0].transactions.push(vec![2].into()), "2 belong to bundles"),
        (|b| b.slot = SlotNumber::new(7), "of slot 7, expected 1"),
        (|b| b.validation = Validation::Simulated, "said to be Simulated"),
    ];
    for (change, expected) in changes {
        let mut said = document(1);
        change(&mut said.batch);
        let Refused { reason, fraud } = refused(&mut follower, &said);
        assert!(matches!(reason, Rejection::False(_)), "{reason}");
        assert!(reason.to_string().contains(expected), "{reason}");
        let file = File::Fraud(fraud.unwrap());
        assert_eq!(File::read(file.to_json().as_bytes()).unwrap().kind(), "fraud");
        let judgement = judge(&WORLD.network, file.to_json().as_bytes()).unwrap();
        let Judgement::Fraud(FraudVerdict::Served { chain_id: CHAIN, height, .. }) = judgement
        else {
            panic!("{judgement}")
        };
        assert_eq!(height, Height::new(1));
        assert!(judgement.to_string().contains(expected), "{judgement}");
        assert_eq!(judgement.to_value()["against"], serde_json::Value::Null);
        // A stranger's network does not certify it.
        let elsewhere = judge(&STRANGERS.network, file.to_json().as_bytes()).unwrap_err();
        assert!(elsewhere.to_string().contains("a release of network"), "{elsewhere}");
    }
    follower.accept(&document(1)).unwrap();
}

#[test]
fn a_document_that_proves_nothing_is_compared_with_one_that_does() {
    let mut follower = follower(1);
    let mut said = document(1);
    said.certificate.finalization.signatures.pop();
    let nothing = refused(&mut follower, &said);
    assert!(matches!(nothing.reason, Rejection::Uncertified(_)), "{}", nothing.reason);
    assert_eq!((nothing.reason.code(), nothing.fraud), ("uncertified", None));
    // Its batch is the committee's: that is no fraud.
    let error = follower.fraud(&document(1), &said).unwrap_err();
    assert!(matches!(error, FraudError::True { chain_id: CHAIN, .. }), "{error}");
    said.batch.blocks.clear();
    let proof = follower.fraud(&document(1), &said).unwrap();
    assert!(judge(&WORLD.network, File::Fraud(proof).to_json().as_bytes()).is_ok());
    let other = follower.fraud(&document(2), &said).unwrap_err();
    assert!(matches!(other, FraudError::Height { .. }), "{other}");
}

#[test]
fn invariant_2_what_an_unknown_registry_says_is_unproven() {
    let document = document(1);
    let (mut known, unknown) = (follower(1), WORLD.registry());
    let mut rollups = unknown.rollups().to_vec();
    rollups[0].gas_limit += 1;
    let other = Registry::new(rollups).unwrap();
    let unproven = Claim::Unproven { registry: document.release.registry };
    assert_eq!(claimed(std::slice::from_ref(&other), &document), unproven);
    assert_eq!(unproven.word(), "unproven");
    known.registries = vec![other];
    assert_eq!(known.clone().accept(&document).unwrap().claim, unproven);
    known.know(unknown);
    let claim = known.accept(&document).unwrap().claim;
    assert_eq!((claim, claim.word()), (Claim::Proven(Validation::Unvalidated), "unvalidated"));
}

#[test]
fn invariant_5_a_checkpoint_is_resumed_where_it_is_of() {
    let mut first = follower(1);
    first.accept(&document(1)).unwrap();
    let text = serde_json::to_string(&first.checkpoint().unwrap()).unwrap();
    let checkpoint: Checkpoint = serde_json::from_str(&text).unwrap();
    let resume = |chain_id, checkpoint: &Checkpoint| {
        RollupFollower::resumed(WORLD.network.clone(), chain_id, checkpoint)
    };
    let mut resumed = resume(CHAIN, &checkpoint).unwrap();
    assert_eq!(resumed.checkpoint(), first.checkpoint());
    let replay = refused(&mut resumed, &document(1)).reason;
    assert!(matches!(replay, Rejection::Replay { .. }), "{replay}");
    resumed.accept(&document(2)).unwrap();
    let error = resume(901, &checkpoint).unwrap_err();
    assert_eq!(error, FollowerError::Rollup { actual: CHAIN, expected: 901 });
    let network_id = NetworkId::from_bytes([1; 32]);
    let error = resume(CHAIN, &Checkpoint { network_id, ..checkpoint }).unwrap_err();
    assert!(matches!(error, FollowerError::Network { .. }), "{error}");
}
