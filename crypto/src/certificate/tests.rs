#![allow(clippy::unwrap_used)]

use super::*;
use crate::dealer::{Dealt, deal};
use crate::encoding::{decode, encode};

const NETWORK: NetworkId = NetworkId::from_bytes([0x11; 32]);

fn dealt() -> Dealt {
    deal(Epoch::new(1), 4, &[1; 32])
}

fn id(number: u8) -> BundleId {
    BundleId::from_bytes([number; 32])
}

fn emission() -> Emission {
    let emitted = |number, placement| Emitted { id: id(number), placement };
    Emission {
        height: Height::new(7),
        cohorts: vec![
            vec![
                emitted(1, Placement::Open),
                emitted(2, Placement::Expired),
                emitted(3, Placement::Open),
            ],
            vec![emitted(4, Placement::NonceUsed), emitted(5, Placement::Open)],
            vec![emitted(6, Placement::Unfunded)],
        ],
    }
}

const STATE: Digest = Digest::from_bytes([9; 32]);

/// The headers of heights 9, 8 and 7, the finalized one first.
fn headers(dealt: &Dealt) -> Vec<BlockHeader> {
    let mut headers: Vec<BlockHeader> = Vec::new();
    for height in 7..=9u64 {
        let parent = headers.first().map_or(BlockDigest::from_bytes([5; 32]), BlockHeader::digest);
        headers.insert(
            0,
            BlockHeader {
                version: BLOCK_VERSION,
                network_id: NETWORK,
                epoch: Epoch::new(1),
                epoch_start: Height::ZERO,
                height: Height::new(height),
                parent,
                leader: dealt.committee.consensus_keys()[2],
                view: View::new(2 * height),
                parent_view: View::new(2 * height - 2),
                time_ms: 1000 * height,
                result_root: result_root(&emission(), &STATE),
                body_digest: Digest::from_bytes([height as u8; 32]),
            },
        );
    }
    headers
}

fn certificate(dealt: &Dealt) -> OrderCertificate {
    dealt.certify(headers(dealt), emission(), STATE)
}

#[test]
fn a_right_certificate_gives_the_order() {
    let dealt = dealt();
    let certificate = certificate(&dealt);
    let order = certificate.verify(&NETWORK, &dealt.committee).unwrap();
    assert_eq!(order.height(), Height::new(7));
    assert_eq!(order.block(), certificate.headers[2].digest());
    assert_eq!(order.time_ms(), 7000);
    assert_eq!(order.to_open(), [id(1), id(3), id(5)]);
    let batch = batch_id(&NETWORK, order.height(), &order.block(), order.to_open());
    assert_eq!(order.batch(), batch);
    let bytes = encode(&certificate);
    assert_eq!(decode::<OrderCertificate>(&bytes, 1 << 20), Ok(certificate));
}

#[test]
fn invariant_2_a_quorum_of_distinct_members_signs() {
    let dealt = dealt();
    let good = certificate(&dealt);
    let refused = |certificate: &OrderCertificate| {
        certificate.verify(&NETWORK, &dealt.committee).unwrap_err()
    };
    let member = |number| SequencerIndex::new(number).unwrap();

    let mut few = good.clone();
    few.finalization.signers.pop();
    few.finalization.signatures.pop();
    let (actual, expected) = (2, 3);
    assert_eq!(refused(&few), CertificateError::Quorum { actual, expected });

    let mut unequal = good.clone();
    unequal.finalization.signatures.pop();
    assert!(matches!(refused(&unequal), CertificateError::Count { .. }));

    let mut twice = good.clone();
    twice.finalization.signers[2] = member(2);
    twice.finalization.signatures[2] = twice.finalization.signatures[1];
    let (previous, actual) = (member(2), member(2));
    assert_eq!(refused(&twice), CertificateError::SignerOrder { previous, actual });

    let mut stranger = good.clone();
    stranger.finalization.signers[2] = member(5);
    let stranger = refused(&stranger);
    assert_eq!(stranger, CertificateError::Member { actual: member(5), members: 4 });

    let mut other_key = good.clone();
    other_key.finalization.signers[2] = member(4);
    assert_eq!(refused(&other_key), CertificateError::Signature(member(4)));

    let mut other_view = good.clone();
    other_view.finalization.view = View::new(19);
    let block = other_view.finalization.block;
    let (signers, view, parent_view) = (3, View::new(19), other_view.finalization.parent_view);
    let unsigned = CertificateError::Unsigned { signers, block, view, parent_view };
    assert_eq!(refused(&other_view), unsigned);

    let mut other_epoch = good;
    other_epoch.finalization.epoch = Epoch::new(2);
    assert!(matches!(refused(&other_epoch), CertificateError::Epoch { .. }));
}

#[test]
fn invariant_3_headers_are_a_chain_of_the_network() {
    let dealt = dealt();
    let refused = |headers: Vec<BlockHeader>| {
        let mut certificate = certificate(&dealt);
        certificate.headers = headers;
        certificate.verify(&NETWORK, &dealt.committee).unwrap_err()
    };
    let good = headers(&dealt);
    assert!(matches!(refused(vec![]), CertificateError::Headers { actual: 0, .. }));
    let many = vec![good[0].clone(); MAX_HEADERS + 1];
    assert!(matches!(refused(many), CertificateError::Headers { actual: 257, .. }));
    assert!(matches!(refused(good[1..].to_vec()), CertificateError::Block { .. }));
    let parent = |header: &BlockHeader, before: &BlockHeader| CertificateError::Parent {
        height: header.height,
        actual: header.digest(),
        expected: before.parent,
    };
    let gap = vec![good[0].clone(), good[2].clone()];
    assert_eq!(refused(gap), parent(&good[2], &good[0]));
    let changed = |change: &dyn Fn(&mut BlockHeader)| {
        let mut headers = good.clone();
        change(&mut headers[2]);
        refused(headers)
    };
    let other = |change: &dyn Fn(&mut BlockHeader)| {
        let mut header = good[2].clone();
        change(&mut header);
        parent(&header, &good[1])
    };
    let later = |header: &mut BlockHeader| header.time_ms += 1;
    assert_eq!(changed(&later), other(&later));
    let root = |header: &mut BlockHeader| header.result_root = STATE;
    assert_eq!(changed(&root), other(&root));
    assert!(matches!(
        changed(&|header| header.network_id = NetworkId::from_bytes([0; 32])),
        CertificateError::Network { .. }
    ));
    assert!(matches!(
        changed(&|header| header.epoch = Epoch::new(2)),
        CertificateError::Epoch { .. }
    ));
    assert!(matches!(
        changed(&|header| header.version += 1),
        CertificateError::Version { actual: 3, .. }
    ));
    let other_network = NetworkId::from_bytes([0; 32]);
    assert!(matches!(
        certificate(&dealt).verify(&other_network, &dealt.committee),
        Err(CertificateError::Network { .. })
    ));
}

#[test]
fn invariant_4_the_emission_is_the_committed_one() {
    let dealt = dealt();
    let refused = |change: &dyn Fn(&mut OrderCertificate)| {
        let mut certificate = certificate(&dealt);
        change(&mut certificate);
        certificate.verify(&NETWORK, &dealt.committee).unwrap_err()
    };
    let root = |error| matches!(error, CertificateError::ResultRoot { .. });
    assert!(root(refused(&|c| c.emission.cohorts[0].swap(0, 2))));
    assert!(root(refused(&|c| c.emission.cohorts.swap(0, 2))));
    assert!(root(refused(&|c| c.emission.cohorts[2][0].placement = Placement::Open)));
    assert!(root(refused(&|c| {
        let moved = c.emission.cohorts[0].pop().unwrap();
        c.emission.cohorts[1].insert(0, moved);
    })));
    assert!(root(refused(&|c| c.state_digest = Digest::from_bytes([0; 32]))));
    let height = refused(&|c| c.emission.height = Height::new(8));
    assert!(matches!(height, CertificateError::Height { .. }));
}

#[test]
fn the_digest_covers_every_field() {
    let good = headers(&dealt()).remove(0);
    let changes: [&dyn Fn(&mut BlockHeader); 12] = [
        &|header| header.version += 1,
        &|header| header.epoch_start = header.epoch_start.next(),
        &|header| header.network_id = NetworkId::from_bytes([0; 32]),
        &|header| header.epoch = header.epoch.next(),
        &|header| header.height = header.height.next(),
        &|header| header.parent = BlockDigest::from_bytes([0; 32]),
        &|header| header.leader = ConsensusPublicKey::from_bytes([0; 32]),
        &|header| header.view = header.view.next(),
        &|header| header.parent_view = header.parent_view.next(),
        &|header| header.time_ms += 1,
        &|header| header.result_root = Digest::from_bytes([0; 32]),
        &|header| header.body_digest = Digest::from_bytes([0; 32]),
    ];
    for change in changes {
        let mut header = good.clone();
        change(&mut header);
        assert_ne!(header.digest(), good.digest());
    }
}
