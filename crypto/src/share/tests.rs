#![allow(clippy::unwrap_used)]

use super::*;
use crate::certificate::FinalOrder;
use crate::dealer::{Dealt, deal};
use crate::encoding::{decode, encode};
use crate::envelope::{
    Header, PayerSecret, SealedBundle, SizeClass, UnsignedBundle, VerifiedBundle,
};
use crate::seal::{SealRandomness, seal};
use crate::{BundleId, Epoch, Height, KeyId, NetworkId};

const NETWORK: NetworkId = NetworkId::from_bytes([0x11; 32]);

fn dealt() -> Dealt {
    deal(Epoch::new(1), 4, &[1; 32])
}

fn bundle(dealt: &Dealt, number: u8) -> VerifiedBundle {
    let secret = PayerSecret::from_bytes([number; 32]).unwrap();
    let header = Header {
        network_id: NETWORK,
        key_id: dealt.committee.key_id(),
        class: SizeClass::MIN,
        valid_from: Height::new(1),
        expires_at: Height::new(100),
        payer: secret.payer(),
        payer_nonce: 0,
    };
    let randomness = SealRandomness::from_parts([number; 32], &[2; 32]).unwrap();
    let m = vec![0; header.class.plaintext_bytes()];
    let ciphertext = seal(dealt.committee.key(), &header.encode(), &m, randomness).unwrap();
    let sealed = UnsignedBundle::new(header, ciphertext).unwrap().sign(&secret).unwrap();
    sealed.verify(&NETWORK, dealt.committee.key()).unwrap()
}

fn order(dealt: &Dealt, bundles: &[VerifiedBundle]) -> FinalOrder {
    let ids: Vec<BundleId> = bundles.iter().map(VerifiedBundle::id).collect();
    let certificate = dealt.certify_ids(NETWORK, Height::new(5), &ids);
    certificate.verify(&NETWORK, &dealt.committee).unwrap()
}

fn prepared(dealt: &Dealt, member: usize, bundles: &[VerifiedBundle]) -> PreparedShares {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut prepared = PreparedShares::new(&dealt.key_shares[member]);
    prepared.prepare_many(&dealt.key_shares[member], bundles, &pool).unwrap();
    prepared
}

fn fresh(byte: u8) -> ShareFreshness {
    ShareFreshness::new([byte; 32])
}

#[test]
fn a_share_of_a_final_order_verifies() {
    let dealt = dealt();
    let bundles = [bundle(&dealt, 1), bundle(&dealt, 2), bundle(&dealt, 3)];
    let order = order(&dealt, &bundles[..2]);
    let prepared = prepared(&dealt, 1, &bundles);
    let (key_share, secret) = (&dealt.key_shares[1], &dealt.consensus_secrets[1]);
    let share = prepared.for_order(&order, key_share, secret, fresh(1)).unwrap();
    assert_eq!(share.points.len(), 2);
    assert_eq!(share.batch, order.batch());
    share.verify_signature(&dealt.committee, &order.batch()).unwrap();
    let sealed = [*bundles[0].ciphertext().u(), *bundles[1].ciphertext().u()];
    share.verify_proof(&key_share.public_key_share(), &sealed).unwrap();
    let bytes = encode(&share);
    assert_eq!(bytes.len(), 2 + 32 + 8 + 2 * 48 + 16 + 32 + 64);
    assert_eq!(decode::<SignedShare>(&bytes, 1000), Ok(share));
}

#[test]
fn invariant_1_nothing_leaves_but_for_the_ids_of_an_order() {
    let dealt = dealt();
    let bundles = [bundle(&dealt, 1), bundle(&dealt, 2)];
    let mut prepared = prepared(&dealt, 0, &bundles[..1]);
    let (key_share, secret) = (&dealt.key_shares[0], &dealt.consensus_secrets[0]);
    let share = |prepared: &PreparedShares, order: &FinalOrder| {
        prepared.for_order(order, key_share, secret, fresh(1))
    };
    let both = order(&dealt, &bundles);
    let missing = ShareError::NotPrepared(bundles[1].id());
    assert_eq!(share(&prepared, &both), Err(missing));
    assert_eq!(share(&prepared, &order(&dealt, &[])), Err(ShareError::NothingToOpen));
    prepared.prepare(key_share, &bundles[1]).unwrap();
    assert!(share(&prepared, &both).is_ok());
    assert_eq!(prepared.len(), 2);
    prepared.forget(&bundles[0].id());
    assert!(!prepared.contains(&bundles[0].id()));
    assert!(share(&prepared, &both).is_err());
    assert_eq!(format!("{prepared:?}"), "PreparedShares(1, <redacted>)");
    assert_eq!(format!("{:?}", fresh(1)), "ShareFreshness(<redacted>)");
}

#[test]
fn keys_of_another_epoch_or_sequencer_give_no_share() {
    let (dealt, next) = (dealt(), deal(Epoch::new(1), 4, &[2; 32]));
    let bundles = [bundle(&dealt, 1)];
    let order = order(&dealt, &bundles);
    let mut prepared = prepared(&dealt, 0, &bundles);
    let one = SequencerIndex::new(1).unwrap();
    let (key_share, secret) = (&dealt.key_shares[0], &dealt.consensus_secrets[0]);
    assert_eq!(
        prepared.prepare(&next.key_shares[0], &bundles[0]),
        Err(PrepareError::OtherKeyShare { actual: one })
    );
    assert_eq!(
        prepared.for_order(&order, &next.key_shares[0], secret, fresh(1)),
        Err(ShareError::OtherCommittee(one))
    );
    assert_eq!(
        prepared.for_order(&order, key_share, &dealt.consensus_secrets[1], fresh(1)),
        Err(ShareError::OtherConsensusKey(one))
    );
    let mut foreign = PreparedShares::new(&next.key_shares[0]);
    foreign.prepare(&next.key_shares[0], &bundles[0]).unwrap();
    assert_eq!(
        foreign.for_order(&order, &next.key_shares[0], secret, fresh(1)),
        Err(ShareError::OtherCommittee(one))
    );
}

#[test]
fn invariant_2_fresh_bytes_and_batch_change_the_nonce() {
    let nonce = |secret: u8, batch: u8, fresh: u8| {
        *proof_nonce(&[secret; 32], &[batch; 32], &[fresh; 32]).expose_encoding()
    };
    let all = [nonce(1, 1, 1), nonce(2, 1, 1), nonce(1, 2, 1), nonce(1, 1, 2)];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn evidence_convicts_liars_and_nobody_else() {
    let dealt = dealt();
    let bundles = [bundle(&dealt, 1), bundle(&dealt, 2)];
    let order = order(&dealt, &bundles);
    let prepared = prepared(&dealt, 2, &bundles);
    let (key_share, secret) = (&dealt.key_shares[2], &dealt.consensus_secrets[2]);
    let good = prepared.for_order(&order, key_share, secret, fresh(1)).unwrap();
    let mut bad = good.clone();
    bad.points.swap(0, 1);
    bad.signature = secret.sign_digest(&bad.message());

    let evidence = ShareEvidence::new(bad.clone(), &order, &bundles).unwrap();
    let convicted = Ok((good.index, ShareFault::Proof));
    assert_eq!(evidence.verify(&dealt.committee), convicted);
    let bytes = encode(&evidence);
    let decoded: ShareEvidence = decode(&bytes, 1 << 20).unwrap();
    assert_eq!(decoded.verify(&dealt.committee), convicted);

    let innocent = ShareEvidence::new(good.clone(), &order, &bundles).unwrap();
    let verdict = innocent.verify(&dealt.committee);
    assert_eq!(verdict, Err(EvidenceError::Innocent(good.index)));

    let mut forged = bad.clone();
    forged.points[0] = Point::generator().encode();
    let forged = ShareEvidence::new(forged, &order, &bundles).unwrap();
    assert!(matches!(
        forged.verify(&dealt.committee),
        Err(EvidenceError::Share(UnusableShare::Signature(_)))
    ));

    // Other bundles than the order's would make the honest share look false.
    let mut swapped = ShareEvidence::new(good, &order, &bundles).unwrap();
    swapped.bundles.swap(0, 1);
    assert!(matches!(
        swapped.verify(&dealt.committee),
        Err(EvidenceError::Share(UnusableShare::Batch { .. }))
    ));
    let reversed = [bundles[1].clone(), bundles[0].clone()];
    assert!(matches!(
        ShareEvidence::new(bad.clone(), &order, &reversed),
        Err(EvidenceError::Id { position: 0, .. })
    ));
    assert!(matches!(
        ShareEvidence::new(bad, &order, &bundles[..1]),
        Err(EvidenceError::Count { .. })
    ));
    let mut garbage = evidence.clone();
    garbage.bundles[0].pop();
    assert!(matches!(
        garbage.verify(&dealt.committee),
        Err(EvidenceError::Bundle { position: 0, .. })
    ));
    let later = deal(Epoch::new(2), 4, &[1; 32]);
    assert!(matches!(evidence.verify(&later.committee), Err(EvidenceError::Epoch { .. })));
}

#[test]
fn bundles_under_another_key_are_not_in_the_batch() {
    let (dealt, next) = (dealt(), deal(Epoch::new(1), 4, &[2; 32]));
    let foreign: SealedBundle = bundle(&next, 1).sealed().clone();
    let foreign = foreign.verify(&NETWORK, next.committee.key()).unwrap();
    let order = order(&dealt, std::slice::from_ref(&foreign));
    let prepared = prepared(&dealt, 0, std::slice::from_ref(&foreign));
    let verdict =
        prepared.for_order(&order, &dealt.key_shares[0], &dealt.consensus_secrets[0], fresh(1));
    let (actual, expected): (KeyId, KeyId) = (next.committee.key_id(), dealt.committee.key_id());
    let id = foreign.id();
    assert_eq!(verdict, Err(ShareError::OtherKey { id, actual, expected }));
}
