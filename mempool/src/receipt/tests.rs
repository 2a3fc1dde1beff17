#![allow(clippy::unwrap_used)]

use fairveil_crypto::Digest;
use fairveil_crypto::domain::hash;
use fairveil_crypto::encoding::{decode, encode};
use proptest::prelude::*;

use super::evidence::{BrokenReceipt, ConflictingReceipts, EvidenceError, SignedLogHead};
use super::*;

fn secret(number: u16) -> ConsensusSecret {
    ConsensusSecret::from_seed([number as u8; 32])
}

fn index(number: u16) -> SequencerIndex {
    SequencerIndex::new(number).unwrap()
}

fn keys() -> Vec<ConsensusPublicKey> {
    (1..=5).map(|number| secret(number).public_key()).collect()
}

fn network() -> NetworkId {
    NetworkId::from_bytes([9; 32])
}

fn id(number: u8) -> BundleId {
    BundleId::from_bytes([number; 32])
}

fn body(id: BundleId, place: Place) -> ReceiptBody {
    let (epoch, height) = (Epoch::new(1), Height::new(7));
    ReceiptBody { network_id: network(), epoch, id, place, height, time_ms: 1_000 }
}

fn receipt(number: u16, bundle: u8, place: Place) -> Receipt {
    body(id(bundle), place).sign(index(number), &secret(number))
}

fn unsigned(receipt: &Receipt) -> ReceiptError {
    let ReceiptBody { place, height, time_ms, .. } = receipt.body;
    ReceiptError::Signature { sequencer: receipt.sequencer, place, height, time_ms }
}

fn set() -> ReceiptSet {
    ReceiptSet::new(network(), Epoch::new(1), id(1), keys(), 1)
}

#[test]
fn invariant_1_any_other_field_breaks_the_signature() {
    let receipt = receipt(2, 1, Place::Position(3));
    let key = secret(2).public_key();
    assert_eq!(receipt.verify(&key), Ok(()));
    let mutants: [fn(&mut Receipt); 8] = [
        |receipt| receipt.body.network_id = NetworkId::from_bytes([8; 32]),
        |receipt| receipt.body.epoch = Epoch::new(2),
        |receipt| receipt.body.id = id(2),
        |receipt| receipt.body.place = Place::Held,
        |receipt| receipt.body.place = Place::Position(4),
        |receipt| receipt.body.height = Height::new(8),
        |receipt| receipt.body.time_ms += 1,
        |receipt| receipt.signature = Signature::from_bytes([1; 64]),
    ];
    for mutate in mutants {
        let mut mutant = receipt;
        mutate(&mut mutant);
        assert!(mutant.verify(&key).is_err());
    }
    assert!(receipt.verify(&secret(3).public_key()).is_err());
    let mut other = receipt;
    other.sequencer = index(3);
    assert_eq!(other.verify_member(&network(), Epoch::new(1), &keys()), Err(unsigned(&other)));
    let text = "sequencer 3 did not sign this: at position 3, height 7, time 1000 ms";
    assert_eq!(unsigned(&other).to_string(), text);
}

#[test]
fn invariant_1_each_fault_of_a_members_receipt_is_named() {
    let good = receipt(2, 1, Place::Held);
    let verify = |receipt: &Receipt| receipt.verify_member(&network(), Epoch::new(1), &keys());
    assert_eq!(verify(&good), Ok(()));
    let other = NetworkId::from_bytes([8; 32]);
    let mut bad = good;
    bad.body.network_id = other;
    let expected = ReceiptError::Network { actual: other, expected: network() };
    assert_eq!(verify(&bad), Err(expected));
    bad = good;
    bad.body.epoch = Epoch::new(2);
    let expected = ReceiptError::Epoch { actual: Epoch::new(2), expected: Epoch::new(1) };
    assert_eq!(verify(&bad), Err(expected));
    bad = good;
    bad.sequencer = index(6);
    assert_eq!(verify(&bad), Err(ReceiptError::Member { actual: index(6), members: 5 }));
}

#[test]
fn invariant_2_f_plus_one_distinct_sequencers_make_a_set_complete() {
    let mut set = set();
    assert_eq!(set.needed(), 2);
    assert_eq!(set.add(receipt(3, 1, Place::Held)), Ok(None));
    assert_eq!(set.add(receipt(3, 1, Place::Held)), Ok(None));
    assert!(!set.is_complete());
    let foreign = receipt(4, 2, Place::Held);
    assert_eq!(set.add(foreign), Err(ReceiptError::Id { actual: id(2), expected: id(1) }));
    let mut forged = receipt(4, 1, Place::Held);
    forged.signature = receipt(3, 1, Place::Held).signature;
    assert_eq!(set.add(forged), Err(unsigned(&forged)));
    assert_eq!(set.count(), 1);
    assert_eq!(set.add(receipt(4, 1, Place::Position(0))), Ok(None));
    assert!(set.is_complete());
    let signers: Vec<_> = set.receipts().map(|receipt| receipt.sequencer).collect();
    assert_eq!(signers, [index(3), index(4)]);
}

#[test]
fn invariant_3_contradicting_receipts_convict() {
    let verdict = |first, second| ConflictingReceipts { first, second }.verify(&network(), &keys());
    let at = |bundle, position| receipt(2, bundle, Place::Position(position));
    assert_eq!(verdict(at(1, 5), at(2, 5)), Ok(index(2)));
    assert_eq!(verdict(at(1, 5), at(1, 6)), Ok(index(2)));
    let consistent = |first: Receipt, second: Receipt| EvidenceError::Consistent {
        first_id: first.body.id,
        first_place: first.body.place,
        second_id: second.body.id,
        second_place: second.body.place,
    };
    let held = receipt(2, 1, Place::Held);
    for (first, second) in [(at(1, 5), at(1, 5)), (at(1, 5), at(2, 6)), (held, at(1, 5))] {
        assert_eq!(verdict(first, second), Err(consistent(first, second)));
    }
    let other = receipt(3, 2, Place::Position(5));
    let (first, second) = (index(2), index(3));
    assert_eq!(verdict(at(1, 5), other), Err(EvidenceError::Sequencers { first, second }));
    let mut forged = at(2, 5);
    forged.signature = at(1, 5).signature;
    assert_eq!(verdict(at(1, 5), forged), Err(EvidenceError::Receipt(unsigned(&forged))));
    let mut next_epoch = at(2, 5).body;
    next_epoch.epoch = Epoch::new(2);
    let next_epoch = next_epoch.sign(index(2), &secret(2));
    let (first, second) = (Epoch::new(1), Epoch::new(2));
    assert_eq!(verdict(at(1, 5), next_epoch), Err(EvidenceError::Epochs { first, second }));
    let mut set = set();
    assert_eq!(set.add(at(1, 5)), Ok(None));
    let conflict = set.add(at(1, 6)).unwrap().unwrap();
    assert_eq!(conflict.verify(&network(), &keys()), Ok(index(2)));
}

fn head(number: u16, length: u64, head: Digest) -> SignedLogHead {
    let (epoch, sequencer) = (Epoch::new(1), index(number));
    let (height_seen, time_ms) = (Height::new(3), 77u64);
    let signature = secret(number).sign(
        Tag::OrderLogHead,
        &[
            network().as_bytes(),
            &epoch.get().to_be_bytes(),
            &sequencer.to_be_bytes(),
            &length.to_be_bytes(),
            head.as_bytes(),
            &height_seen.get().to_be_bytes(),
            &time_ms.to_be_bytes(),
        ],
    );
    SignedLogHead { epoch, sequencer, length, head, height_seen, time_ms, signature }
}

fn chain(start: Digest, ids: &[BundleId]) -> Digest {
    ids.iter()
        .fold(start, |before, id| hash(Tag::OrderLogLink, &[before.as_bytes(), id.as_bytes()]))
}

/// The receipt says that bundle 1 is at position 2; the log 4,5,6,7 has 6 there.
fn broken() -> BrokenReceipt {
    let ids: Vec<BundleId> = [4, 5, 6, 7].map(id).to_vec();
    let start = Digest::from_bytes([0; 32]);
    BrokenReceipt {
        receipt: receipt(2, 1, Place::Position(2)),
        head: head(2, 4, chain(start, &ids)),
        before: chain(start, &ids[..2]),
        ids: ids[2..].to_vec(),
    }
}

#[test]
fn invariant_3_a_log_that_disagrees_with_a_receipt_convicts() {
    let evidence = broken();
    assert_eq!(evidence.verify(&network(), &keys()), Ok(index(2)));
    assert_eq!(decode::<BrokenReceipt>(&encode(&evidence), 4_096), Ok(evidence));
}

#[test]
fn invariant_3_evidence_that_proves_nothing_says_why() {
    let verdict = |mutate: fn(&mut BrokenReceipt)| {
        let mut evidence = broken();
        mutate(&mut evidence);
        evidence.verify(&network(), &keys()).unwrap_err()
    };
    assert_eq!(
        verdict(|evidence| evidence.receipt = receipt(2, 6, Place::Position(2))),
        EvidenceError::Kept { id: id(6), position: 2 }
    );
    assert_eq!(
        verdict(|evidence| evidence.receipt = receipt(2, 1, Place::Held)),
        EvidenceError::Held
    );
    assert_eq!(
        verdict(|evidence| evidence.receipt = receipt(3, 1, Place::Position(2))),
        EvidenceError::OtherLog {
            head: index(2),
            head_epoch: Epoch::new(1),
            receipt: index(3),
            receipt_epoch: Epoch::new(1),
        }
    );
    assert!(matches!(
        verdict(|evidence| evidence.receipt.body.time_ms += 1),
        EvidenceError::Receipt(ReceiptError::Signature { .. })
    ));
    assert_eq!(
        verdict(|evidence| evidence.head.time_ms += 1),
        EvidenceError::HeadSignature { sequencer: index(2) }
    );
    assert_eq!(
        verdict(|evidence| evidence.ids.truncate(1)),
        EvidenceError::Length { actual: 1, position: 2, length: 4 }
    );
    // A position that the head does not cover is not judged yet.
    assert_eq!(
        verdict(|evidence| evidence.receipt = receipt(2, 1, Place::Position(5))),
        EvidenceError::Length { actual: 2, position: 5, length: 4 }
    );
    assert!(matches!(verdict(|evidence| evidence.ids[1] = id(9)), EvidenceError::Chain { .. }));
    assert!(matches!(
        verdict(|evidence| evidence.before = Digest::from_bytes([1; 32])),
        EvidenceError::Chain { .. }
    ));
    assert!(matches!(
        verdict(|evidence| evidence.head = head(2, 4, Digest::from_bytes([1; 32]))),
        EvidenceError::Chain { .. }
    ));
}

#[test]
fn receipts_are_written_as_people_and_machines_read_them() {
    for place in [Place::Held, Place::Position(12)] {
        let receipt = receipt(2, 1, place);
        assert_eq!(decode::<Receipt>(&encode(&receipt), 1_024), Ok(receipt));
        let json = serde_json::to_string(&receipt).unwrap();
        assert_eq!(serde_json::from_str::<Receipt>(&json).unwrap(), receipt);
    }
}

proptest! {
    #[test]
    fn invariant_1_mutated_bytes_never_verify(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = encode(&receipt(2, 1, Place::Position(3)));
        let position = at.index(bytes.len());
        bytes[position] ^= flip;
        if let Ok(mutant) = decode::<Receipt>(&bytes, 1_024) {
            prop_assert!(mutant.verify_member(&network(), Epoch::new(1), &keys()).is_err());
        }
    }

    #[test]
    fn invariant_3_mutated_evidence_convicts_nobody_else(
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut bytes = encode(&broken());
        let position = at.index(bytes.len());
        bytes[position] ^= flip;
        if let Ok(mutant) = decode::<BrokenReceipt>(&bytes, 4_096) {
            prop_assert!(mutant.verify(&network(), &keys()).is_err());
        }
    }
}
