//! Shares of several epochs: which of them open, and what.

use std::sync::LazyLock;

use fairveil_crypto::BatchId;
use fairveil_crypto::committee::Committee;
use fairveil_crypto::seal::VerifiedCiphertext;
use proptest::prelude::*;
use rayon::ThreadPool;

use super::*;
use crate::test_support::{Choices, Made, consensus_secret};

static POOL: LazyLock<ThreadPool> =
    LazyLock::new(|| rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap());

const ID: BatchId = BatchId::from_bytes([5; 32]);

fn sealed(committee: &Committee) -> VerifiedCiphertext {
    let randomness = SealRandomness::from_parts([3; 32], &[4; 32]).unwrap();
    let sealed = seal(committee.key(), b"header", b"a bundle", randomness).unwrap();
    sealed.verify(committee.key(), b"header").unwrap()
}

/// What these members of an epoch open, with shares that they sign.
fn opened(
    committee: &Committee,
    shares: &[(u16, KeyShare)],
    ciphertext: &VerifiedCiphertext,
) -> Opening {
    let batch = Batch::new(ID, vec![ciphertext.clone()]);
    let mut opening = Opening::new(committee.clone(), batch, Default::default());
    for (member, share) in shares {
        let secret = consensus_secret(*member);
        let signed = trace::share(ID, &[*ciphertext.u()], share, &[6; 32], &secret).unwrap().0;
        opening.add_share(signed, &POOL);
    }
    opening
}

fn is_opened(opening: &Opening) -> bool {
    matches!(&opening.outcomes()[0], Some(Outcome::Opened(opened)) if opened.m == b"a bundle")
}

fn chosen(made: &Made, count: usize, choices: &mut Choices) -> Vec<(u16, KeyShare)> {
    let mut members: Vec<u16> = made.shares.keys().copied().collect();
    while members.len() > count {
        members.swap_remove(choices.below(members.len()));
    }
    let share = |member: u16| {
        let (index, bytes) = &made.shares[&member];
        (member, KeyShare::decode(*index, bytes).unwrap())
    };
    members.into_iter().map(share).collect()
}

/// What shares of any epochs interpolate to, at the index that each was made for.
fn combined(shares: &[(u16, KeyShare)]) -> fairveil_crypto::point::PointBytes {
    let indices: Vec<_> = shares.iter().map(|(_, share)| share.index()).collect();
    let points: Vec<_> =
        shares.iter().map(|(_, share)| share.public_key_share().encode()).collect();
    trace::combine(&indices, &points)
}

/// One share for every index, from either epoch, of both at least one.
fn mixed(one: &Made, other: &Made, count: usize, choices: &mut Choices) -> Vec<(u16, KeyShare)> {
    let most = one.shares.len().min(other.shares.len()).max(count);
    let all = |made: &Made, choices: &mut Choices| chosen(made, made.shares.len(), choices);
    let (old, new) = (all(one, choices), all(other, choices));
    let at = |shares: &[(u16, KeyShare)], index: u16| {
        let found = shares.iter().find(|(_, share)| share.index().get() == index)?;
        let bytes = found.1.expose_encoding();
        Some((found.0, KeyShare::decode(found.1.index(), &*bytes).unwrap()))
    };
    let mut indices: Vec<u16> = (1..=most as u16).collect();
    while indices.len() > count {
        indices.swap_remove(choices.below(indices.len()));
    }
    let split = choices.below(count - 1) + 1;
    let pick = |(place, index): (usize, &u16)| {
        let (first, second) = if place < split { (&old, &new) } else { (&new, &old) };
        at(first, *index).or_else(|| at(second, *index)).unwrap()
    };
    indices.iter().enumerate().map(pick).collect()
}

/// Which epochs the shares are of: old, new.
fn of_both(shares: &[(u16, KeyShare)], one: &Made, other: &Made) -> bool {
    let is_of = |made: &Made, (_, share): &(u16, KeyShare)| {
        let expected = made.verified.committee().public_key_share(share.index());
        expected == Some(share.public_key_share())
    };
    shares.iter().any(|share| is_of(one, share)) && shares.iter().any(|share| is_of(other, share))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// From n members to n' members, some of whom stay: a refresh if all do.
    #[test]
    fn openings_agree_before_and_after_and_no_mix_of_shares_opens(
        n in 4u16..=9,
        next in 4u16..=9,
        joining in 0u16..=9,
        seed: u64,
    ) {
        let mut choices = Choices::new(seed);
        let run = Run::new(Members::new(n).context(0), seed, false).finish();
        let old = run.made();
        let ids: Vec<u16> = (joining.min(n)..joining.min(n) + next).collect();
        let new = Run::resharing(&old, &ids, 0, seed).finish().made();
        let (before, after) = (old.verified.committee(), new.verified.committee());
        let (t_old, t_new) = (usize::from(before.t()), usize::from(after.t()));
        let ciphertext = sealed(before);
        prop_assert_eq!(before.key_id(), after.key_id());

        // Any t shares of either epoch open what was sealed before; t - 1 are waited on.
        for (made, t) in [(&old, t_old), (&new, t_new)] {
            let committee = made.verified.committee();
            let shares = chosen(made, t, &mut choices);
            prop_assert!(is_opened(&opened(committee, &shares, &ciphertext)));
            prop_assert!(!opened(committee, &shares[1..], &ciphertext).is_complete());
            let key = before.key().point().encode();
            prop_assert_eq!(combined(&shares), key);
            prop_assert_ne!(combined(&shares[1..]), key);
        }

        // Shares of both epochs interpolate to nothing, however many of them there are.
        let key = before.key().point().encode();
        for count in [t_old.min(t_new) - 1, t_old, t_new] {
            for _ in 0..4 {
                let shares = mixed(&old, &new, count, &mut choices);
                prop_assert!(count < 2 || !of_both(&shares, &old, &new) || combined(&shares) != key);
            }
        }

        // And a committee that is given one old share among its own names it and opens nothing.
        let stays = |(member, share): &(u16, KeyShare)| {
            after.consensus_key(share.index()) == Some(consensus_secret(*member).public_key())
        };
        let staying = chosen(&old, old.shares.len(), &mut choices).into_iter().find(stays);
        if let Some((member, share)) = staying {
            let index = share.index();
            let mut shares = chosen(&new, new.shares.len(), &mut choices);
            shares.retain(|(other, _)| *other != member);
            shares.truncate(t_new - 1);
            shares.push((member, share));
            let opening = opened(after, &shares, &ciphertext);
            prop_assert!(!opening.is_complete());
            let named: Vec<_> = opening.culprits().iter().map(|one| one.share.index).collect();
            prop_assert_eq!(named, [index]);
        }
    }
}
