#![allow(clippy::unwrap_used)]

use super::*;
use crate::dealer::{Dealt, deal};

fn parts(dealt: &Dealt) -> (CommitteeKey, Vec<PublicKeyShare>, Vec<ConsensusPublicKey>) {
    let committee = &dealt.committee;
    (
        committee.key().clone(),
        committee.public_key_shares().to_vec(),
        committee.consensus_keys().to_vec(),
    )
}

fn index(number: u16) -> SequencerIndex {
    SequencerIndex::new(number).unwrap()
}

#[test]
fn invariant_1_members_are_sorted_and_bounded() {
    let dealt = deal(Epoch::new(1), 5, &[1; 32]);
    let (key, shares, keys) = parts(&dealt);
    let make =
        |shares: Vec<_>, keys: Vec<_>| Committee::new(Epoch::new(1), key.clone(), shares, keys);
    assert!(make(shares.clone(), keys.clone()).is_ok());
    let mut unsorted = keys.clone();
    unsorted.swap(2, 3);
    assert_eq!(make(shares.clone(), unsorted), Err(CommitteeError::Unsorted(index(4))));
    let mut twice = keys.clone();
    twice[1] = twice[0];
    assert_eq!(make(shares.clone(), twice), Err(CommitteeError::Unsorted(index(2))));
    assert!(matches!(make(shares[1..].to_vec(), keys.clone()), Err(CommitteeError::Count { .. })));
    assert!(matches!(make(vec![], vec![]), Err(CommitteeError::Size { actual: 0, .. })));
    let many = (vec![shares[0]; 129], vec![keys[0]; 129]);
    assert!(matches!(make(many.0, many.1), Err(CommitteeError::Size { actual: 129, .. })));
    let mut invalid = keys;
    let candidates = (0x72..=0xffu8).map(|byte| ConsensusPublicKey::from_bytes([byte; 32]));
    invalid[4] = candidates.into_iter().find(|key| !key.is_valid()).unwrap();
    let verdict = make(shares, invalid);
    assert_eq!(verdict, Err(CommitteeError::ConsensusKey(index(5))));
}

#[test]
fn invariant_2_shares_give_the_key() {
    for n in [1, 2, 4, 7, 17] {
        let dealt = deal(Epoch::new(1), n, &[1; 32]);
        let (key, shares, keys) = parts(&dealt);
        for position in 0..usize::from(n) {
            let mut changed = shares.clone();
            changed[position] = PublicKeyShare(Point::second_generator());
            let verdict = Committee::new(Epoch::new(1), key.clone(), changed, keys.clone());
            assert!(matches!(verdict, Err(CommitteeError::Inconsistent(_))), "{n} {position}");
        }
        let other = CommitteeKey::new(Point::generator());
        let verdict = Committee::new(Epoch::new(1), other, shares, keys);
        assert_eq!(verdict, Err(CommitteeError::Inconsistent(index(1))));
    }
}

#[test]
fn invariant_3_quorum_and_threshold_are_one_number() {
    let expected = [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (7, 5), (10, 7), (16, 11), (64, 43)];
    for (n, t) in expected {
        assert_eq!(threshold(n), t);
        let committee = deal(Epoch::new(1), n, &[1; 32]).committee;
        assert_eq!((committee.n(), committee.t(), committee.quorum()), (n, t, t));
    }
}

#[test]
fn invariant_4_resharing_keeps_the_key() {
    let old = deal(Epoch::new(1), 4, &[1; 32]);
    let polynomial = old.polynomial.reshared(threshold(7), &[2; 32]);
    let new = crate::dealer::deal_polynomial(Epoch::new(2), 7, polynomial, &[2; 32]);
    assert_eq!(old.committee.key_id(), new.committee.key_id());
    assert_ne!(old.committee.public_key_shares()[0], new.committee.public_key_shares()[0]);
}

#[test]
fn members_are_found_by_key_and_index() {
    let committee = deal(Epoch::new(1), 4, &[1; 32]).committee;
    for index in committee.indices() {
        let key = committee.consensus_key(index).unwrap();
        assert_eq!(committee.index_of(&key), Some(index));
        assert!(committee.public_key_share(index).is_some());
    }
    assert_eq!(committee.consensus_key(index(5)), None);
    assert_eq!(committee.index_of(&ConsensusPublicKey::from_bytes([0; 32])), None);
}

#[test]
fn key_shares_are_not_zero_and_not_printed() {
    assert_eq!(KeyShare::decode(index(1), &[0; 32]).unwrap_err(), KeyShareError::Zero);
    assert!(KeyShare::decode(index(1), &[0xff; 32]).is_err());
    let share = KeyShare::decode(index(1), &[1; 32]).unwrap();
    assert!(format!("{share:?}").contains("SecretScalar(<redacted>)"));
    assert_eq!(*share.expose_encoding(), [1; 32]);
}
