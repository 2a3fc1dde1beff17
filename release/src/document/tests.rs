#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use fairveil_crypto::certificate::Emitted;
use fairveil_mempool::Policy;

use super::*;
use crate::batch::Block;
use crate::certificate::ListedRelease;
use crate::chain::{Judged, JudgedOrder, Released};
use crate::release::Release;
use crate::slot::{BlockTime, SlotNumber};
use crate::tree::{NamespaceSet, Tree};
use crate::validity::valid_bundles;
use crate::world::{POOL, SEVEN, bundle, leg};

/// Three heights: bundles on all rollups, then one that waits, then nothing new.
struct Scene {
    releases: Vec<(Release, Tree)>,
    orders: Vec<OrderCertificate>,
    certificate: ReleaseCertificate,
}

fn id(number: u8) -> BundleId {
    BundleId::from_bytes([number; 32])
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let legs = [
        vec![leg(901, &[0]), leg(902, &[0, 1])],
        vec![leg(902, &[2])],
        vec![leg(904, &[0])],
        vec![leg(901, &[1]), leg(902, &[3]), leg(903, &[0])],
    ];
    let bundles: Vec<_> = legs.into_iter().map(|legs| bundle(Policy::Include, legs)).collect();
    let verdicts = valid_bundles(&POOL, &SEVEN.registry, &bundles);
    let judged = |verdict: &Result<_, _>| match verdict {
        Ok(valid) => Judged::Valid(Clone::clone(valid)),
        Err(failed) => Judged::Failed(*failed),
    };
    let mut first: Vec<_> =
        (1u8..).zip(&verdicts).map(|(number, verdict)| (id(number), judged(verdict))).collect();
    first.push((id(5), Judged::Expired));
    first.push((id(6), Judged::Failed(Failed::NonceUsed)));
    let second = vec![(id(7), judged(&verdicts[1])), (id(8), judged(&verdicts[0]))];
    let placement = |judged: &Judged| match judged {
        Judged::Expired => Placement::Expired,
        Judged::Failed(Failed::NonceUsed) => Placement::NonceUsed,
        _ => Placement::Open,
    };
    let mut chain = SEVEN.chain();
    let mut scene = Scene {
        releases: Vec::new(),
        orders: Vec::new(),
        certificate: SEVEN.release_certificate(9, Vec::new()),
    };
    for (ids, height) in [first, second, Vec::new()].into_iter().zip(1u64..) {
        let emitted =
            |(id, judged): &(BundleId, _)| Emitted { id: *id, placement: placement(judged) };
        let order = SEVEN.order_certificate(height, vec![ids.iter().map(emitted).collect()]);
        let block = order.headers[0].digest();
        let (height, time_ms) = (Height::new(height), order.headers[0].time_ms);
        let released = chain.extend(JudgedOrder { height, block, time_ms, ids }).unwrap();
        let Released { release, tree, .. } = released;
        scene.orders.push(order);
        scene.releases.push((release, tree));
    }
    let listed = scene.releases.iter().map(|(release, _)| ListedRelease {
        height: release.header.height,
        root: release.header.root(),
    });
    scene.certificate = SEVEN.release_certificate(9, listed.collect());
    scene
});

fn bundle_document(height: usize, index: u32) -> BundleDocument {
    let (release, tree) = &SCENE.releases[height - 1];
    let proof = BundleProof::new(tree, index).unwrap();
    let legs = proof.leaf.outcome.legs().iter().map(|leg| {
        let batch = release.batch(leg.chain_id).unwrap();
        let transactions = batch.leg(&proof.leaf.id).unwrap().1.to_vec();
        DocumentLeg { chain_id: leg.chain_id, transactions }
    });
    BundleDocument {
        release: release.header,
        certificate: SCENE.certificate.clone(),
        legs: legs.collect(),
        proof,
        order: Some(SCENE.orders[height - 1].clone()),
    }
}

fn batch_document(height: usize, chain_id: u64) -> BatchDocument {
    let (release, tree) = &SCENE.releases[height - 1];
    BatchDocument {
        skipped: Vec::new(),
        release: release.header,
        certificate: SCENE.certificate.clone(),
        proof: BatchProof::new(tree, chain_id).unwrap(),
        batch: release.batch(chain_id).unwrap().clone(),
    }
}

fn committee() -> &'static fairveil_crypto::committee::Committee {
    &SEVEN.dealt.committee
}

#[test]
fn documents_show_what_became_of_every_bundle_invariant_1() {
    let codes = (0..6u32).map(|index| {
        let document = bundle_document(1, index);
        let expected = id(index as u8 + 1);
        let leaf = document.verify(&SEVEN.network_id, committee(), &expected).unwrap();
        match &leaf.outcome {
            Outcome::Released { legs, .. } => format!("released {}", legs.len()),
            Outcome::Failed(failed) => failed.code().to_owned(),
            other => format!("{other:?}"),
        }
    });
    let expected =
        ["released 2", "released 1", "unknown_rollup", "released 3", "Expired", "nonce_used"];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
}

#[test]
fn documents_are_json_without_loss() {
    for document in [
        ReleaseDocument::Bundle(Box::new(bundle_document(1, 3))),
        ReleaseDocument::Bundle(Box::new(BundleDocument { order: None, ..bundle_document(1, 2) })),
        ReleaseDocument::Batch(Box::new(batch_document(1, 902))),
    ] {
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<ReleaseDocument>(&text).unwrap(), document);
    }
}

#[test]
fn bundle_documents_are_refused_each_for_its_reason_invariant_4() {
    let refused = |change: &dyn Fn(&mut BundleDocument)| {
        let mut document = bundle_document(1, 3);
        change(&mut document);
        document.verify(&SEVEN.network_id, committee(), &id(4)).expect_err("refused")
    };
    use DocumentError as E;
    assert!(matches!(
        refused(&|d| d.release.network_id = NetworkId::from_bytes([1; 32])),
        E::Network { .. }
    ));
    let root = |error| matches!(error, E::Root { .. });
    assert!(root(refused(&|d| d.release.block = BlockDigest::from_bytes([1; 32]))));
    assert!(root(refused(&|d| d.release.time_ms += 1)));
    assert!(root(refused(&|d| d.release.previous = Digest::from_bytes([1; 32]))));
    assert!(root(refused(&|d| d.release.tree_root = Digest::from_bytes([1; 32]))));
    assert!(root(refused(&|d| d.release.state_digest = Digest::from_bytes([1; 32]))));
    assert!(root(refused(&|d| d.release.height = Height::new(2))));
    let height = Height::new(4);
    assert_eq!(refused(&|d| d.release.height = height), E::NotListed { height });
    assert!(matches!(
        refused(&|d| d.certificate.releases.truncate(2)),
        E::Certificate(ReleaseCertificateError::Body { .. })
    ));
    assert!(matches!(refused(&|d| d.proof.index = 2), E::Proof(ProofError::Root { .. })));
    assert!(matches!(
        refused(&|d| d.proof.path[0].namespaces = NamespaceSet::from_bits(63)),
        E::Proof(ProofError::Root { .. })
    ));
    let (actual, expected) = (2, 3);
    assert_eq!(refused(&|d| drop(d.legs.pop())), E::LegCount { actual, expected });
    assert!(matches!(
        refused(&|d| d.legs[1].transactions[0] = vec![1].into()),
        E::Leg { chain_id: 902, .. }
    ));
    assert!(matches!(refused(&|d| d.legs.swap(0, 1)), E::Leg { chain_id: 902, .. }));
    assert!(matches!(refused(&|d| d.legs[2].chain_id = 904), E::Leg { chain_id: 904, .. }));
    let order = |d: &mut BundleDocument| d.order.clone().unwrap();
    assert!(matches!(
        refused(&|d| d.order =
            Some(OrderCertificate { state_digest: Digest::from_bytes([1; 32]), ..order(d) })),
        E::Order(CertificateError::ResultRoot { .. })
    ));
    assert!(matches!(refused(&|d| d.order = Some(SCENE.orders[1].clone())), E::OrderHeight { .. }));
    let emit = |emitted: Vec<Emitted>| SEVEN.order_certificate(1, vec![emitted]);
    assert!(matches!(refused(&|d| d.order = Some(emit(Vec::new()))), E::OrderBlock { .. }));
    let document = bundle_document(1, 3);
    let other = document.verify(&SEVEN.network_id, committee(), &id(3)).expect_err("refused");
    assert_eq!(other, E::Bundle { actual: id(4), expected: id(3) });
}

#[test]
fn the_order_shown_must_give_the_outcome() {
    // A release that contradicts its own block's order: only a faulty quorum certifies one.
    let document = |emitted: Vec<Emitted>| {
        let order = SEVEN.order_certificate(1, vec![emitted]);
        let mut document = bundle_document(1, 3);
        document.release.block = order.headers[0].digest();
        let root = document.release.root();
        let listed = vec![ListedRelease { height: Height::new(1), root }];
        document.certificate = SEVEN.release_certificate(9, listed);
        document.order = Some(order);
        document.verify(&SEVEN.network_id, committee(), &id(4)).map(|leaf| leaf.id)
    };
    let at_three = |id, placement| {
        let mut ids: Vec<_> = SCENE.orders[0].emission.ids().take(3).copied().collect();
        ids.push(Emitted { id, placement });
        ids
    };
    assert_eq!(document(at_three(id(4), Placement::Open)), Ok(id(4)));
    let missing = Err(DocumentError::OrderPosition { index: 3 });
    assert_eq!(document(at_three(id(9), Placement::Open)), missing);
    assert_eq!(document(Vec::new()), missing);
    let placement = Placement::Unfunded;
    let contradicted = Err(DocumentError::OrderPlacement { placement });
    assert_eq!(document(at_three(id(4), placement)), contradicted);
}

#[test]
fn batch_documents_are_refused_each_for_its_reason_invariants_2_and_4() {
    let document = batch_document(1, 902);
    assert_eq!(document.verify(&SEVEN.network_id, committee(), 902), Ok(&document.batch));
    assert_eq!(document.batch.bundles().count(), 3);
    let refused = |change: &dyn Fn(&mut BatchDocument)| {
        let mut document = batch_document(1, 902);
        change(&mut document);
        document.verify(&SEVEN.network_id, committee(), 902).expect_err("refused")
    };
    let block_with = |change: &dyn Fn(&mut Block)| refused(&|d| change(&mut d.batch.blocks[0]));
    use BatchError as B;
    use DocumentError::Batch as Of;
    assert!(matches!(
        refused(&|d| d.batch.network_id = NetworkId::from_bytes([1; 32])),
        Of(B::Network { .. })
    ));
    assert!(matches!(refused(&|d| d.batch.chain_id = 901), Of(B::Chain { .. })));
    assert!(matches!(refused(&|d| d.batch.height = Height::new(2)), Of(B::Height { .. })));
    assert!(matches!(refused(&|d| d.batch.slot = SlotNumber::new(2)), Of(B::Slot { .. })));
    assert!(matches!(block_with(&|b| b.time_ms += 1), Of(B::Place { index: 0, .. })));
    assert!(matches!(block_with(&|b| b.number += 1), Of(B::Place { index: 0, .. })));
    let empty = Block { number: 9, time_ms: 9_000, bundles: vec![], transactions: vec![] };
    assert!(matches!(
        refused(&|d| d.batch.blocks.push(empty.clone())),
        Of(B::Block { block: BlockTime { number: 9, .. } })
    ));
    assert!(matches!(
        refused(&|d| d.batch.blocks.insert(0, empty.clone())),
        Of(B::Block { block: BlockTime { number: 9, .. } })
    ));
    assert!(matches!(
        block_with(&|b| b.bundles.truncate(2)),
        Of(B::BundleCount { actual: 2, expected: 3 })
    ));
    assert!(matches!(block_with(&|b| b.bundles.swap(0, 1)), Of(B::Bundle { index: 0, .. })));
    assert!(matches!(
        block_with(&|b| b.bundles[1].position.index = 0),
        Of(B::Position { index: 1, .. })
    ));
    for change in [
        &(|b: &mut Block| b.bundles[1].first += 1) as &dyn Fn(&mut Block),
        &|b| b.bundles[1].first = 0,
        &|b| b.bundles[1].count = 0,
        &|b| b.bundles[1].count = u32::MAX,
    ] {
        assert!(matches!(block_with(change), Of(B::Range { index: 1, .. })));
    }
    assert!(matches!(block_with(&|b| b.transactions.swap(0, 1)), Of(B::Leg { index: 0, .. })));
    assert!(matches!(
        block_with(&|b| b.transactions.push(vec![1].into())),
        Of(B::Trailing { block: 1, actual: 5, used: 4 })
    ));
    assert!(matches!(
        refused(&|d| d.proof = batch_document(1, 901).proof),
        DocumentError::Proof(ProofError::LeftOut { .. })
    ));
    let other = document.verify(&SEVEN.network_id, committee(), 904).expect_err("refused");
    assert_eq!(other, Of(B::Chain { actual: 902, expected: 904 }));
    let mut foreign = document.clone();
    foreign.batch.chain_id = 904;
    let foreign = foreign.verify(&SEVEN.network_id, committee(), 904).expect_err("refused");
    assert_eq!(foreign, DocumentError::Proof(ProofError::Namespace { chain_id: 904 }));
}

#[test]
fn a_rollup_accepts_every_height_once_in_order_invariant_3() {
    let accept = |cursor: &Cursor, document: &BatchDocument| {
        accept_batch(cursor, &SEVEN.network_id, committee(), 902, document)
            .map(|(batch, cursor)| (batch.bundles().count(), cursor))
    };
    let start = Cursor::new(&SEVEN.network_id);
    let documents = [1, 2, 3].map(|height| batch_document(height, 902));
    let (bundles, second) = accept(&start, &documents[0]).unwrap();
    assert_eq!(bundles, 3);
    let (bundles, third) = accept(&second, &documents[1]).unwrap();
    assert_eq!(bundles, 2);
    let (bundles, end) = accept(&third, &documents[2]).unwrap();
    assert_eq!((bundles, end.next, end.last), (0, Height::new(4), third.last));
    let height = |actual, expected| {
        Err(AcceptError::Height { actual: Height::new(actual), expected: Height::new(expected) })
    };
    assert_eq!(accept(&start, &documents[1]), height(2, 1));
    assert_eq!(accept(&third, &documents[1]), height(2, 3));
    let forked = Cursor { previous: Digest::from_bytes([1; 32]), ..second };
    assert!(matches!(accept(&forked, &documents[1]), Err(AcceptError::Previous { .. })));
    let ahead = Cursor { last: Some(Position { height: Height::new(2), index: 0 }), ..second };
    assert_eq!(accept(&ahead, &documents[1]), Err(AcceptError::Order { id: id(7) }));
    let late = Cursor { slot: Some(SlotNumber::new(2)), ..second };
    let again = AcceptError::Slot { actual: SlotNumber::new(2) };
    assert_eq!(accept(&late, &documents[1]), Err(again));
    let block = BlockTime { number: 2, time_ms: 1_999 };
    let high = Cursor { block: Some(block), ..second };
    assert!(matches!(accept(&high, &documents[1]), Err(AcceptError::Block { .. })));
    let mut broken = documents[1].clone();
    broken.batch.slot = SlotNumber::new(3);
    let expected = AcceptError::Document(DocumentError::Batch(BatchError::Slot {
        actual: SlotNumber::new(3),
        expected: Some(SlotNumber::new(2)),
    }));
    assert_eq!(accept(&second, &broken), Err(expected));
}
