//! What the engine finalizes is verified by `crypto`, which does not link the engine.

use std::time::Duration;

use commonware_codec::Copying;
use commonware_codec::DecodeExt as _;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Finalize, Proposal};
use commonware_consensus::types::{Epoch as EngineEpoch, Round, View as EngineView};
use commonware_cryptography::ed25519::PrivateKey;
use commonware_cryptography::sha256::Digest as EngineDigest;
use commonware_runtime::{Runner, Supervisor as _, deterministic};
use fairveil_consensus::{Members, namespace};
use fairveil_crypto::certificate::{Finalization, OrderCertificate};
use fairveil_crypto::encoding::{decode, encode};
use fairveil_crypto::{BlockDigest, Epoch, NetworkId, SequencerIndex, Signature, View};

use crate::harness::{Committee, LINK, crypto_committee, facts, id, keys, network_id, secrets};

/// A finalization signed by commonware itself.
fn finalization(epoch: u64, view: u64, parent: u64, block: [u8; 32]) -> Finalization {
    let members = Members::new(&keys(5)).unwrap();
    let round = Round::new(EngineEpoch::new(epoch), EngineView::new(view));
    let proposal = Proposal::new(round, EngineView::new(parent), EngineDigest(block));
    let (signers, signatures) = secrets(5)
        .iter()
        .enumerate()
        .take(4)
        .map(|(position, secret)| {
            let key = PrivateKey::decode(Copying(&secret.expose_seed()[..])).unwrap();
            let namespace = namespace(&network_id());
            let scheme = Scheme::signer(&namespace, members.keys().clone(), key).unwrap();
            let vote = Finalize::sign(&scheme, proposal.clone()).unwrap();
            let mut bytes = [0; 64];
            bytes.copy_from_slice(vote.attestation.signature.get().unwrap().as_ref());
            (SequencerIndex::from_position(position).unwrap(), Signature::from_bytes(bytes))
        })
        .unzip();
    Finalization {
        epoch: Epoch::new(epoch),
        view: View::new(view),
        parent_view: View::new(parent),
        block: BlockDigest::from_bytes(block),
        signers,
        signatures,
    }
}

#[test]
fn the_signed_bytes_are_the_engines_for_every_width_of_numbers() {
    let committee = crypto_committee(5);
    for view in [1, 127, 128, 300, 1 << 14, 1 << 21, u64::from(u32::MAX), 1 << 60, u64::MAX] {
        let parent = view - 1;
        let good = finalization(1, view, parent, [3; 32]);
        assert_eq!(good.verify(&network_id(), &committee), Ok(()), "view {view}");
        let other_network = NetworkId::from_bytes([8; 32]);
        assert!(good.verify(&other_network, &committee).is_err());
        let wrong = Finalization { view: View::new(view ^ 1), ..good.clone() };
        assert!(wrong.verify(&network_id(), &committee).is_err());
        let wrong = Finalization { parent_view: View::new(parent ^ 1), ..good.clone() };
        assert!(wrong.verify(&network_id(), &committee).is_err());
        let wrong = Finalization { block: BlockDigest::from_bytes([4; 32]), ..good.clone() };
        assert!(wrong.verify(&network_id(), &committee).is_err());
        let mut wrong = good.clone();
        wrong.signatures.swap(0, 1);
        assert!(wrong.verify(&network_id(), &committee).is_err());
        let mut few = good;
        few.signers.pop();
        few.signatures.pop();
        assert!(few.verify(&network_id(), &committee).is_err());
    }
}

#[test]
fn no_bit_of_a_certificate_can_be_changed() {
    let certificates = deterministic::Runner::seeded(40).start(|context| async move {
        let mut committee = Committee::new(context.child("committee"), 5, 1, LINK).await;
        committee.start_all().await;
        for number in 0..5 {
            committee.world.submit(id(number), facts(1, number), &[0, 1, 2, 3, 4]);
        }
        let ids: Vec<_> = (0..5).map(id).collect();
        let limit = Duration::from_secs(20);
        committee.emit(&[0, 1, 2, 3, 4], &ids, limit).await;
        committee.committed(1).certificates
    });
    let emitting = certificates.iter().filter(|one| !one.emission.cohorts.is_empty());
    let certificate = emitting.max_by_key(|one| one.headers.len()).unwrap();
    let committee = crypto_committee(5);
    let order = certificate.verify(&network_id(), &committee).unwrap();
    assert!(!order.to_open().is_empty());

    let bytes = encode(certificate);
    let mut decodable = 0;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = decode::<OrderCertificate>(&flipped, flipped.len()) {
            decodable += 1;
            assert!(other.verify(&network_id(), &committee).is_err(), "bit {bit}");
        }
    }
    assert!(decodable > bytes.len() * 6, "most flips decode: {decodable}");
}
