#![allow(clippy::unwrap_used)]

use super::*;
use crate::test_support::{Members, consensus_secret};

/// The rebuilt transcript accepts exactly what commonware's player signs and dealer accepts.
#[test]
fn acknowledgements_are_judged_as_the_dkg_judges_them() {
    let context = Members::new(4).context(0);
    let (round, definition) = (context.dkg(), context.definition());
    let secret = |member| consensus_secret(member);
    let index = |member| definition.index_of(&secret(member).public_key()).unwrap();
    let (mut dealer, commitment, private) =
        Dealer::start(round, &secret(0), &[1; 32], None).unwrap();
    let (_, other, _) = Dealer::start(round, &secret(0), &[2; 32], None).unwrap();
    for member in 0..4 {
        let mut player = Player::new(round, &secret(member)).unwrap();
        let dealing = &private[index(member).position()];
        let signature = player.receive(index(0), &commitment, &dealing[..]).unwrap();
        let judged = |dealer, commitment, player| {
            round.is_acknowledged(dealer, commitment, player, &signature)
        };
        assert!(judged(index(0), &commitment, index(member)));
        assert!(!judged(index(1), &commitment, index(member)));
        assert!(!judged(index(0), &other, index(member)));
        assert!(!judged(index(0), &commitment, index((member + 1) % 4)));
        dealer.receive_acknowledgement(index(member), &signature);
    }
    let log = dealer.into_log();
    let usable = round.judge_log(index(0), &commitment, &log).unwrap().unwrap();
    assert!(usable.revealed.is_empty(), "the dealer took all acknowledgements");
}

#[test]
fn acknowledgements_belong_to_one_ceremony() {
    let members = Members::new(4);
    let (first, second) = (members.context(0), members.context(1));
    let index = first.definition().index_of(&consensus_secret(0).public_key()).unwrap();
    let sign = |context: &crate::CeremonyContext| {
        let (_, commitment, private) =
            Dealer::start(context.dkg(), &consensus_secret(0), &[1; 32], None).unwrap();
        let mut player = Player::new(context.dkg(), &consensus_secret(0)).unwrap();
        let own = &private[index.position()];
        (player.receive(index, &commitment, &own[..]).unwrap(), commitment)
    };
    let ((signature, commitment), (_, same)) = (sign(&first), sign(&second));
    assert_eq!(commitment.points(), same.points());
    assert!(first.dkg().is_acknowledged(index, &commitment, index, &signature));
    assert!(!second.dkg().is_acknowledged(index, &commitment, index, &signature));
}

#[test]
fn dealings_that_do_not_match_are_refused() {
    let context = Members::new(4).context(0);
    let round = context.dkg();
    let index = context.definition().index_of(&consensus_secret(0).public_key()).unwrap();
    let (_, commitment, private) =
        Dealer::start(round, &consensus_secret(0), &[1; 32], None).unwrap();
    let mut player = Player::new(round, &consensus_secret(0)).unwrap();
    let foreign = &private[(index.position() + 1) % 4];
    let refused = [
        (foreign.to_vec(), DealingError::Mismatch),
        (vec![0; 32], DealingError::Scalar),
        (vec![0xff; 32], DealingError::Scalar),
        (vec![1; 31], DealingError::Scalar),
    ];
    for (bytes, error) in refused {
        assert_eq!(player.receive(index, &commitment, &bytes), Err(error));
    }
    assert!(player.receive(index, &commitment, &private[index.position()][..]).is_ok());
}

#[test]
fn commitments_are_t_finite_points() {
    let context = Members::new(4).context(0);
    let round = context.dkg();
    let (_, commitment, _) = Dealer::start(round, &consensus_secret(0), &[1; 32], None).unwrap();
    let points = commitment.points();
    let first = SequencerIndex::new(1).unwrap();
    assert_eq!(points.len(), 3);
    assert_eq!(round.commitment(first, &points).ok().unwrap().bytes, commitment.bytes);
    for bad in [[0; 48], [0xff; 48], {
        let mut infinity = [0; 48];
        infinity[0] = 0xc0;
        infinity
    }] {
        let mut points = points.clone();
        points[1] = PointBytes::from_bytes(bad);
        assert_eq!(round.commitment(first, &points).err(), Some(CommitmentFault::Points));
    }
}

#[test]
fn invariant_1_participants_are_in_the_order_of_the_indices() {
    let context = Members::new(7).context(0);
    for index in SequencerIndex::all(7) {
        let key = context.dkg().player(index).unwrap();
        let expected = context.definition().member(index).unwrap().consensus;
        assert_eq!(key.as_ref(), expected.as_bytes());
        assert_eq!(context.dkg().player_index(key), Some(index));
    }
}
