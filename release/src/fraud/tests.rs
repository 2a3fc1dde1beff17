#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use alloy_primitives::Address;
use fairveil_crypto::{BlockDigest, BundleId, Digest};
use fairveil_mempool::Policy;

use super::*;
use crate::certificate::{ListedRelease, ReleaseCertificateError};
use crate::chain::{Judged, JudgedOrder, ReleaseChain, Released};
use crate::document::AcceptError;
use crate::op::batcher::{BatcherKey, BatcherTerms, batcher_transactions};
use crate::op::channel::Channel;
use crate::op::released::released_sub_blocks;
use crate::op::span_batch::SpanBatch;
use crate::op::sub_blocks::{SubBlock, enclosing_blocks};
use crate::op::{Chain, L1Origin, Parent};
use crate::proof::{Part, ProofError};
use crate::registry::{EmbeddedState, Rollup, StateSource};
use crate::release::Release;
use crate::slot::{BlockTimes, SlotNumber};
use crate::states::RollupStates;
use crate::transaction::RawTransaction;
use crate::tree::Tree;
use crate::validity::valid_bundles;
use crate::world::{POOL, SEVEN, bundle, leg, transaction};

const INTERVALS_MS: [(u64, u64); 3] = [(901, 250), (902, 1_000), (903, 2_000)];
const HEIGHTS: u64 = 8;
const ORIGIN: L1Origin = L1Origin { number: 70, hash: alloy_primitives::B256::ZERO };

/// Eight heights, a second each, over slots of two seconds.
static RELEASES: LazyLock<Vec<(Release, Tree)>> = LazyLock::new(|| {
    let registry = registry();
    let mut chain =
        ReleaseChain::new(SEVEN.network_id, registry.clone(), RollupStates::default()).unwrap();
    let height = |height: u64| {
        let legs = vec![leg(901, &[2 * height, 2 * height + 1]), leg(902, &[height])];
        let bundles =
            [bundle(Policy::Include, legs), bundle(Policy::Include, vec![leg(901, &[99])])];
        let valid = valid_bundles(&POOL, &registry, &bundles).into_iter().map(Result::unwrap);
        let ids = valid.zip(0u8..).map(|(valid, number)| {
            let id = [u8::try_from(height).unwrap() * 2 + number; 32];
            (BundleId::from_bytes(id), Judged::Valid(valid))
        });
        let block = BlockDigest::from_bytes([u8::try_from(height).unwrap(); 32]);
        let ids = ids.take(if height < 7 { 2 } else { 0 }).collect();
        let judged =
            JudgedOrder { height: Height::new(height), block, time_ms: 1_000 * height, ids };
        let Released { release, tree, .. } = chain.extend(judged).unwrap();
        (release, tree)
    };
    (1..=HEIGHTS).map(height).collect()
});

fn registry() -> Registry {
    let rollup = |(chain_id, interval_ms): (u64, u64)| Rollup {
        blocks: Some(BlockTimes { genesis_ms: 0, interval_ms }),
        ..Rollup::recorder(chain_id, "rollup")
    };
    Registry::new(INTERVALS_MS.map(rollup).to_vec()).unwrap()
}

/// All batch documents of a rollup.
fn documents(chain_id: u64) -> Vec<BatchDocument> {
    let listed = RELEASES.iter().map(|(release, _)| ListedRelease {
        height: release.header.height,
        root: release.header.root(),
    });
    let certificate = SEVEN.release_certificate(20, listed.collect());
    let (mut documents, mut skipped) = (Vec::new(), Vec::new());
    for (release, tree) in RELEASES.iter() {
        let Some(batch) = release.batch(chain_id).cloned() else {
            skipped.push(release.header);
            continue;
        };
        documents.push(BatchDocument {
            skipped: std::mem::take(&mut skipped),
            release: release.header,
            certificate: certificate.clone(),
            proof: BatchProof::new(tree, chain_id).unwrap(),
            batch,
        });
    }
    documents
}

fn judge(proof: FraudProof) -> Result<FraudVerdict, FraudError> {
    let text = serde_json::to_string(&proof).unwrap();
    assert_eq!(serde_json::from_str::<FraudProof>(&text).unwrap(), proof, "JSON without loss");
    proof.judge(&SEVEN.network_id, &SEVEN.dealt.committee, &registry())
}

/// A document whose batch has bundles.
fn full() -> BatchDocument {
    documents(901).into_iter().find(|document| !document.batch.is_empty()).unwrap()
}

fn served(change: impl FnOnce(&mut Batch)) -> ServedBatch {
    let document = full();
    let mut batch = document.batch.clone();
    change(&mut batch);
    ServedBatch::new(&document, batch)
}

fn judge_served(served: ServedBatch) -> Result<FraudVerdict, FraudError> {
    judge(FraudProof::Served(Box::new(served)))
}

#[test]
fn every_false_batch_is_shown_with_its_difference() {
    let difference = |change: &dyn Fn(&mut Batch)| match judge_served(served(change)).unwrap() {
        FraudVerdict::Served { chain_id: 901, difference, .. } => difference,
        other => panic!("{other:?}"),
    };
    use BatchError as E;
    let raw = |nonce| RawTransaction::from(transaction(901, nonce));
    assert!(matches!(difference(&|b| b.blocks[0].transactions[0] = raw(77)), E::Leg { .. }));
    assert!(matches!(difference(&|b| b.blocks[0].transactions.swap(0, 1)), E::Leg { .. }));
    assert!(matches!(difference(&|b| b.blocks[0].transactions.push(raw(77))), E::Trailing { .. }));
    assert!(matches!(difference(&|b| b.blocks.clear()), E::BundleCount { actual: 0, .. }));
    assert!(matches!(difference(&|b| b.blocks[0].number += 1), E::Place { .. }));
    assert!(matches!(
        difference(&|b| b.blocks[0].bundles[0].position.index += 1),
        E::Position { .. }
    ));
    assert!(matches!(difference(&|b| b.slot = SlotNumber::new(77)), E::Slot { .. }));
    let claimed = difference(&|b| b.validation = Validation::Simulated);
    assert!(matches!(claimed, E::Validation { .. }));
    let verdict = judge_served(served(|b| b.blocks.clear())).unwrap();
    assert_eq!((verdict.signer(), verdict.chain_id()), (None, 901));
    assert!(verdict.to_string().ends_with("it is not signed and blames nobody"), "{verdict}");
}

#[test]
fn invariant_2_what_is_certified_is_not_convicted() {
    let (chain_id, height) = (901, full().batch.height);
    assert_eq!(judge_served(served(|_| {})), Err(FraudError::True { chain_id, height }));
    // A true batch beside the release of another height.
    let all = documents(901);
    let other = ServedBatch::new(&all[1], all[2].batch.clone());
    let (actual, expected) = (all[2].batch.height, all[1].batch.height);
    assert_eq!(judge_served(other), Err(FraudError::Height { actual, expected }));
    // A true batch beside the leaves of another rollup.
    let foreign = ServedBatch::new(&full(), documents(902)[1].batch.clone());
    let error = judge_served(ServedBatch { release: documents(902)[1].release, ..foreign });
    assert!(matches!(error, Err(FraudError::Certified(DocumentError::Proof(_)))), "{error:?}");
    let elsewhere = served(|b| b.network_id = NetworkId::from_bytes([1; 32]));
    assert!(matches!(judge_served(elsewhere), Err(FraudError::Network { .. })));
    // What was checked is not judged by a registry that the release was not cut by.
    let claim = served(|b| b.validation = Validation::Simulated);
    let state = EmbeddedState { genesis: Digest::from_bytes([1; 32]), base_fee: 1 };
    let mut rollups = registry().rollups().to_vec();
    rollups[0].state = Some(StateSource::Embedded(state));
    let other = Registry::new(rollups).unwrap();
    let error = claim.judge(&SEVEN.network_id, &SEVEN.dealt.committee, &other);
    assert_eq!(error, Err(FraudError::True { chain_id, height }));
}

#[test]
fn invariant_1_a_changed_certified_side_proves_nothing() {
    let refused = |change: &dyn Fn(&mut ServedBatch)| {
        let mut proof = served(|b| b.blocks.clear());
        change(&mut proof);
        match judge_served(proof).unwrap_err() {
            FraudError::Certified(error) => error,
            other => panic!("{other:?}"),
        }
    };
    use DocumentError as E;
    let other = NetworkId::from_bytes([1; 32]);
    assert!(matches!(refused(&|p| p.release.network_id = other), E::Network { .. }));
    assert!(matches!(refused(&|p| p.release.time_ms += 1), E::Root { .. }));
    assert!(matches!(
        refused(&|p| p.certificate.releases.truncate(2)),
        E::Certificate(ReleaseCertificateError::Body { .. })
    ));
    assert!(matches!(
        refused(&|p| p.certificate.headers[0].time_ms += 1),
        E::Certificate(ReleaseCertificateError::Block(_))
    ));
    assert!(matches!(refused(&|p| p.proof.count += 1), E::Proof(_)));
    let leaf = |proof: &mut ServedBatch| {
        let leaves = proof.proof.parts.iter_mut().filter_map(|part| match part {
            Part::Leaf(leaf) => Some(leaf),
            _ => None,
        });
        leaves.last().unwrap().id = BundleId::from_bytes([77; 32]);
    };
    assert!(matches!(refused(&leaf), E::Proof(ProofError::Root { .. })));
    let late = |proof: &mut ServedBatch| {
        let height = Height::new(30);
        (proof.release.height, proof.batch.height) = (height, height);
    };
    assert!(matches!(refused(&late), E::NotListed { .. }));
}

fn key() -> BatcherKey {
    BatcherKey::from_bytes([1; 32]).unwrap()
}

/// The batcher's transactions for all certified batches, changed.
fn batcher(chain_id: u64, change: impl FnOnce(&mut Vec<SubBlock>)) -> Vec<RawTransaction> {
    batcher_of(chain_id, &documents(chain_id), change)
}

fn batcher_of(
    chain_id: u64,
    documents: &[BatchDocument],
    change: impl FnOnce(&mut Vec<SubBlock>),
) -> Vec<RawTransaction> {
    let registry = registry();
    let clock = registry.slots().unwrap().unwrap();
    let times = registry.rollup(chain_id).unwrap().blocks.unwrap();
    let batches: Vec<_> = documents.iter().map(|one| one.batch.clone()).collect();
    let from = batches[0].slot;
    let mut sub_blocks = released_sub_blocks(&clock, times, from, &batches, |_| ORIGIN);
    change(&mut sub_blocks);
    let block_time_s = times.interval_ms.div_ceil(1_000);
    let chain = Chain { chain_id, genesis_time_s: 0, block_time_s };
    let timestamp_s = clock.start_ms(from) / 1_000;
    let parent = Parent {
        number: timestamp_s / block_time_s,
        hash: alloy_primitives::B256::ZERO,
        timestamp_s,
        l1_origin: ORIGIN,
    };
    let blocks = enclosing_blocks(&chain, &parent, &sub_blocks).unwrap();
    let span = SpanBatch::new(&chain, &parent, &blocks).unwrap();
    let channel = Channel::new(&chain, &[span], 400).unwrap();
    let terms = BatcherTerms {
        l1_chain_id: 900,
        inbox: Address::repeat_byte(0xff),
        max_fee_per_gas: 20,
        max_priority_fee_per_gas: 2,
    };
    batcher_transactions(&terms, &key(), 0, &channel).unwrap()
}

fn signed(batches: Vec<BatchDocument>, transactions: Vec<RawTransaction>) -> FraudProof {
    FraudProof::Signed(Box::new(SignedFrames { batches, transactions }))
}

fn signed_error(batches: Vec<BatchDocument>, transactions: Vec<RawTransaction>) -> SignedError {
    match judge(signed(batches, transactions)).unwrap_err() {
        FraudError::Signed(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_signed_false_block_convicts_its_signer() {
    for (chain_id, _) in INTERVALS_MS.into_iter().take(2) {
        let place = |blocks: &[SubBlock]| {
            blocks.iter().position(|block| !block.transactions.is_empty()).unwrap()
        };
        let verdict = |change: &dyn Fn(&mut Vec<SubBlock>)| {
            let proof = signed(documents(chain_id), batcher(chain_id, |blocks| change(blocks)));
            match judge(proof).unwrap() {
                FraudVerdict::Signed(verdict) => verdict,
                other => panic!("{other:?}"),
            }
        };
        let dropped = verdict(&|blocks| {
            let at = place(blocks);
            blocks[at].transactions.clear();
        });
        assert_eq!((dropped.signer, dropped.chain_id), (key().address(), chain_id));
        assert_eq!((dropped.l1_chain_id, dropped.block_time_s, dropped.index), (900, 1, 0));
        assert!(dropped.certified.is_some());
        let added = verdict(&|blocks| {
            blocks.last_mut().unwrap().transactions.push(transaction(chain_id, 500).into());
        });
        assert!(added.signed.is_some() && added.certified.is_none(), "{added}");
        let exchanged = verdict(&|blocks| {
            let at = place(blocks);
            blocks[at].transactions[0] = transaction(chain_id, 500).into();
        });
        assert!(exchanged.signed != exchanged.certified && exchanged.signed.is_some());
        let shown = FraudVerdict::Signed(exchanged.clone());
        assert_eq!(shown.signer(), Some(&key().address()));
        assert!(shown.to_string().starts_with(&key().address().to_string()), "{shown}");
    }
}

#[test]
fn invariant_2_an_honest_batcher_is_not_convicted() {
    for (chain_id, _) in INTERVALS_MS {
        let honest = batcher(chain_id, |_| {});
        let error = signed_error(documents(chain_id), honest.clone());
        assert!(matches!(error, SignedError::True { blocks } if blocks > 1), "{error}");
        // Shown with one of its slots alone, it is as true.
        let one = documents(chain_id).split_off(1);
        let error = signed_error(one[..1].to_vec(), honest);
        assert!(matches!(error, SignedError::True { .. }), "{error}");
    }
    // Where nothing is certified, nothing is false: only the first slot is shown, the last is false.
    let first = || documents(901)[..1].to_vec();
    let false_later = batcher(901, |blocks| {
        blocks.last_mut().unwrap().transactions.push(transaction(901, 500).into());
    });
    let error = signed_error(first(), false_later);
    assert!(matches!(error, SignedError::True { .. }), "{error}");
    let later = batcher_of(901, &documents(901)[2..], |_| {});
    let error = signed_error(first(), later);
    let (SignedError::Uncovered { first_s, to_ms, .. }, clock) =
        (&error, registry().slots().unwrap().unwrap())
    else {
        panic!("{error}")
    };
    assert_eq!(*to_ms, clock.start_ms(documents(901)[0].batch.slot.next()));
    assert!(first_s * 1_000 > *to_ms);
}

#[test]
fn signed_proofs_are_refused_each_for_its_reason() {
    let honest = || batcher(901, |_| {});
    let limit = MAX_BATCHES;
    assert_eq!(signed_error(Vec::new(), honest()), SignedError::Count { actual: 0, limit });
    let many = vec![full(); limit + 1];
    assert_eq!(signed_error(many, honest()), SignedError::Count { actual: limit + 1, limit });
    let mut gap = documents(901);
    gap.remove(1);
    let error = signed_error(gap, honest());
    assert!(
        matches!(error, SignedError::Batch { number: 2, error: AcceptError::Height { .. } }),
        "{error}"
    );
    let mut changed = documents(901);
    changed[0].release.time_ms += 1;
    assert!(matches!(signed_error(changed, honest()), SignedError::Batch { number: 1, .. }));
    assert!(matches!(signed_error(documents(901), Vec::new()), SignedError::Read(_)));
    let judged_by = |registry: &Registry| {
        let proof = signed(documents(901), honest());
        proof.judge(&SEVEN.network_id, &SEVEN.dealt.committee, registry).unwrap_err()
    };
    let error = judged_by(&SEVEN.registry);
    let FraudError::Signed(SignedError::Registry { number: 1, .. }) = error else {
        panic!("{error:?}")
    };
}
