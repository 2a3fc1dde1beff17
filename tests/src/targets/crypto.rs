//! Decoders of `crypto`.

use fairveil_crypto::certificate::OrderCertificate;
use fairveil_crypto::committee::{CommitteeKey, KeyShare, PublicKeyShare};
use fairveil_crypto::encoding::{decode, encode};
use fairveil_crypto::envelope::{ParsedBundle, PayerSecret, SealedBundle};
use fairveil_crypto::point::{Point, UncheckedPoint};
use fairveil_crypto::scalar::Scalar;
use fairveil_crypto::seal::Ciphertext;
use fairveil_crypto::share::{ShareEvidence, SignedShare};
use fairveil_crypto::sole::SoleSecret;
use fairveil_release::certificate::ReleaseCertificate;

use super::scene::{SCENE, bad_share};
use super::world::{CULPRIT, WORLD, index};
use super::{LIMIT_BYTES, Verdict, kind, stored, tagged};

/// Points, scalars and keys: what decodes encodes to the same bytes.
pub(super) fn points_and_scalars(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 6) else { return Verdict::Refused };
    let encoded = match kind {
        0 => {
            let point = Point::decode(bytes);
            let unchecked = UncheckedPoint::decode(bytes).and_then(UncheckedPoint::check);
            assert_eq!(point, unchecked);
            point.ok().map(|point| point.encode().as_bytes().to_vec())
        }
        1 => Scalar::decode(bytes).ok().map(|scalar| scalar.encode().to_vec()),
        2 => CommitteeKey::decode(bytes).ok().map(|key| key.point().encode().as_bytes().to_vec()),
        3 => PublicKeyShare::decode(bytes).ok().map(|share| share.encode().as_bytes().to_vec()),
        4 => KeyShare::decode(index(1), bytes).ok().map(|share| share.expose_encoding().to_vec()),
        5 => SoleSecret::decode(bytes).ok().map(|secret| secret.expose_encoding().to_vec()),
        _ => return payer_secret(bytes),
    };
    let Some(encoded) = encoded else { return Verdict::Refused };
    assert_eq!(encoded, bytes);
    Verdict::Accepted
}

/// What a payer's key signs is its payer's.
fn payer_secret(bytes: &[u8]) -> Verdict {
    let Ok(bytes) = <[u8; 32]>::try_from(bytes) else { return Verdict::Refused };
    let Ok(secret) = PayerSecret::from_bytes(bytes) else { return Verdict::Refused };
    assert_eq!(secret.sign(&bytes).verify(&bytes, &secret.payer()), Ok(()));
    Verdict::Accepted
}

pub(super) fn point_and_scalar_seeds() -> Vec<Vec<u8>> {
    let scalar = [3; 32];
    let point = Point::second_generator().encode();
    let points = [0, 2, 3].map(|kind| tagged(kind, point.as_bytes()));
    let scalars = [1, 4, 5, 6].map(|kind| tagged(kind, &scalar));
    points.into_iter().chain(scalars).collect()
}

/// A ciphertext whose proof holds is one that was sealed: no other bytes pass.
pub(super) fn ciphertext(bytes: &[u8]) -> Verdict {
    let Ok(ciphertext) = Ciphertext::decode(bytes) else { return Verdict::Refused };
    assert_eq!(ciphertext.as_bytes(), bytes);
    let mut verdict = Verdict::Refused;
    for sealed in &SCENE.sealed[..2] {
        let (key, ad) = (WORLD.dealt.committee.key(), sealed.header().encode());
        if let Ok(verified) = ciphertext.verify(key, &ad) {
            assert_eq!(bytes, sealed.sealed().ciphertext().as_bytes());
            assert_eq!(verified.key_id(), key.key_id());
            verdict = Verdict::Accepted;
        }
    }
    verdict
}

pub(super) fn ciphertext_seeds() -> Vec<Vec<u8>> {
    let bytes = |sealed: &fairveil_crypto::envelope::VerifiedBundle| {
        sealed.sealed().ciphertext().as_bytes().to_vec()
    };
    SCENE.sealed[..2].iter().map(bytes).collect()
}

/// The envelope: strict in every field, and no other bytes carry the payer's signature.
pub(super) fn sealed_bundle(bytes: &[u8]) -> Verdict {
    let parsed = ParsedBundle::decode(bytes);
    let decoded = SealedBundle::decode(bytes);
    assert!(parsed.is_ok() || decoded.is_err());
    let Ok(parsed) = parsed else { return Verdict::Refused };
    let (header, id) = (*parsed.header(), parsed.id());
    let Ok(sealed) = decoded else { return Verdict::Refused };
    assert_eq!(sealed.encode(), bytes);
    assert_eq!((*sealed.header(), sealed.id()), (header, id));
    let Ok(verified) = sealed.verify(&WORLD.network_id(), WORLD.dealt.committee.key()) else {
        return Verdict::Refused;
    };
    assert!(SCENE.sealed.contains(&verified));
    Verdict::Accepted
}

pub(super) fn sealed_bundle_seeds() -> Vec<Vec<u8>> {
    SCENE.sealed.iter().map(|sealed| sealed.sealed().encode()).collect()
}

/// Shares and the evidence of bad ones: nobody but the culprit signed a share that is wrong.
pub(super) fn signed_share(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 1) else { return Verdict::Refused };
    let committee = &WORLD.dealt.committee;
    if kind == 1 {
        let Ok(evidence) = decode::<ShareEvidence>(bytes, LIMIT_BYTES) else {
            return Verdict::Refused;
        };
        assert_eq!(encode(&evidence), bytes);
        let Ok((culprit, _)) = evidence.verify(committee) else { return Verdict::Refused };
        assert_eq!(culprit, CULPRIT);
        return Verdict::Accepted;
    }
    let Ok(share) = decode::<SignedShare>(bytes, LIMIT_BYTES) else { return Verdict::Refused };
    assert_eq!(encode(&share), bytes);
    if share.verify_signature(committee, &SCENE.orders[0].batch()).is_err() {
        return Verdict::Refused;
    }
    let points: Vec<_> = SCENE.opened_by(0).iter().map(|bundle| *bundle.ciphertext().u()).collect();
    let public = committee.public_key_share(share.index).expect("a member signed");
    let right = share.verify_proof(&public, &points).is_ok();
    let own = SCENE.own_share(0, share.index);
    assert_eq!(right, share == *own.share());
    assert!(right || share.index == CULPRIT);
    Verdict::Accepted
}

pub(super) fn signed_share_seeds() -> Vec<Vec<u8>> {
    let right = tagged(0, &encode(SCENE.own_share(0, index(1)).share()));
    let bad = tagged(0, &encode(&bad_share()));
    let evidence = ShareEvidence::new(bad_share(), &SCENE.orders[0], &SCENE.opened_by(0));
    vec![right, bad, tagged(1, &encode(&evidence.expect("the order's bundles")))]
}

/// Certificates: what a quorum did not sign proves nothing.
pub(super) fn certificates(bytes: &[u8]) -> Verdict {
    let Some((kind, bytes)) = kind(bytes, 1) else { return Verdict::Refused };
    let (network_id, committee) = (WORLD.network_id(), &WORLD.dealt.committee);
    if kind == 1 {
        let Some(certificate) = stored::<ReleaseCertificate>(bytes) else {
            return Verdict::Refused;
        };
        let Ok(certified) = certificate.verify(&network_id, committee) else {
            return Verdict::Refused;
        };
        for (release, _) in &SCENE.releases {
            assert_eq!(certified.root(release.header.height), Some(release.header.root()));
        }
        return Verdict::Accepted;
    }
    let Some(certificate) = stored::<OrderCertificate>(bytes) else { return Verdict::Refused };
    let Ok(order) = certificate.verify(&network_id, committee) else { return Verdict::Refused };
    assert!(SCENE.orders.contains(&order));
    Verdict::Accepted
}

pub(super) fn certificate_seeds() -> Vec<Vec<u8>> {
    let orders = SCENE.certificates.iter().map(|certificate| tagged(0, &encode(certificate)));
    orders.chain([tagged(1, &encode(&SCENE.release_certificate))]).collect()
}
