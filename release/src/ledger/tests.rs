#![allow(clippy::unwrap_used)]

use fairveil_crypto::Digest;
use fairveil_mempool::Policy;
use proptest::prelude::*;

use super::*;
use crate::failed::Failed;
use crate::slot::BlockTime;
use crate::tree::{LegDigest, Position, ReleasedLeg};

fn id(number: u64) -> BundleId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    BundleId::from_bytes(bytes)
}

fn leaf(number: u64, outcome: Outcome) -> Leaf {
    Leaf { id: id(number), position: Position { height: Height::new(1), index: 0 }, outcome }
}

fn released(chains: &[u64]) -> Outcome {
    let leg = |chain_id: &u64| ReleasedLeg {
        chain_id: *chain_id,
        block: BlockTime { number: 1, time_ms: 1 },
        digest: Digest::from_bytes([1; 32]),
    };
    Outcome::Released { policy: Policy::Include, legs: chains.iter().map(leg).collect() }
}

fn carried(chains: &[u64]) -> Outcome {
    let leg =
        |chain_id: &u64| LegDigest { chain_id: *chain_id, digest: Digest::from_bytes([1; 32]) };
    Outcome::Carried { policy: Policy::Include, legs: chains.iter().map(leg).collect() }
}

/// A ledger of `n` sequencers that was charged these fees at height 1, from deposits of 10,000.
fn charged(n: u16, percent: u8, fees: &[u64]) -> Ledger {
    let mut ledger = Ledger::new(n, percent, 10_000);
    let charges: Vec<_> = (1..).map(id).zip(fees.iter().copied()).collect();
    let balances = 10_000 - u128::from(fees.iter().sum::<u64>());
    ledger.ordered(Height::new(1), &charges, balances).unwrap();
    ledger
}

#[test]
fn invariant_2_rollups_of_a_released_bundle_share_equally_and_the_rest_is_the_sequencers() {
    let mut ledger = charged(4, 50, &[1_001]);
    let leaves = [leaf(1, released(&[901, 902, 903]))];
    assert_eq!(ledger.released(Height::new(1), &leaves).unwrap(), [id(1)]);
    let accounts = ledger.accounts();
    // floor(1,001 / 2) = 500, floor(500 / 3) = 166; 1,001 - 498 = 503 = 4 * 125 + 3.
    assert_eq!(accounts.rollups, BTreeMap::from([(901, 166), (902, 166), (903, 166)]));
    // Height 1: the rest begins at index 2.
    assert_eq!(accounts.sequencers, [125, 126, 126, 126]);
    assert_eq!((accounts.in_flight, accounts.revenue()), (0, 1_001));
}

#[test]
fn invariant_2_what_is_not_released_is_the_sequencers_alone() {
    let mut ledger = charged(4, 100, &[7, 9]);
    let leaves = [leaf(1, Outcome::Failed(Failed::Aead)), leaf(2, Outcome::Expired)];
    ledger.released(Height::new(1), &leaves).unwrap();
    assert_eq!(ledger.accounts().sequencers, [4, 4, 4, 4]);
    assert!(ledger.accounts().rollups.is_empty());
}

#[test]
fn invariant_2_a_carried_bundle_pays_when_it_ends() {
    let mut ledger = charged(4, 100, &[10]);
    assert_eq!(ledger.released(Height::new(1), &[leaf(1, carried(&[901]))]).unwrap(), []);
    assert_eq!((ledger.accounts().in_flight, ledger.accounts().revenue()), (10, 0));
    ledger.ordered(Height::new(2), &[], 9_990).unwrap();
    let ends = [leaf(1, released(&[901]))];
    assert_eq!(ledger.released(Height::new(2), &ends).unwrap(), [id(1)]);
    assert_eq!(ledger.accounts().rollups, BTreeMap::from([(901, 10)]));
    ledger.ordered(Height::new(3), &[], 9_990).unwrap();
    assert_eq!(ledger.released(Height::new(3), &ends).unwrap(), [], "once");
    assert_eq!(ledger.accounts().revenue(), 10);
}

#[test]
fn what_was_never_charged_is_nobodys_revenue() {
    let mut ledger = charged(4, 50, &[]);
    let leaves = [
        leaf(1, Outcome::Failed(Failed::Unfunded)),
        leaf(2, Outcome::Failed(Failed::NonceUsed)),
        leaf(3, Outcome::Expired),
    ];
    assert_eq!(ledger.released(Height::new(1), &leaves).unwrap(), []);
    assert_eq!(ledger.accounts().revenue(), 0);
}

#[test]
fn the_rest_goes_round_and_favours_nobody() {
    let mut ledger = Ledger::new(4, 0, 10_000);
    for height in 1..=8 {
        let balances = 10_000 - u128::from(height);
        ledger.ordered(Height::new(height), &[(id(height), 1)], balances).unwrap();
        let ends = [leaf(height, Outcome::Failed(Failed::Rho))];
        ledger.released(Height::new(height), &ends).unwrap();
        let index = (height % 4) as usize;
        assert_eq!(ledger.accounts().sequencers[index], u128::from(height.div_ceil(4)));
    }
    assert_eq!(ledger.accounts().sequencers, [2; 4]);
}

#[test]
fn invariant_4_heights_come_in_order_and_charges_before_releases() {
    let mut ledger = charged(4, 50, &[5]);
    let before = ledger.clone();
    let height = |actual, expected| LedgerError::Height {
        actual: Height::new(actual),
        expected: Height::new(expected),
    };
    assert_eq!(ledger.ordered(Height::new(3), &[], 0).unwrap_err(), height(3, 2));
    assert_eq!(ledger.ordered(Height::new(1), &[], 0).unwrap_err(), height(1, 2));
    assert_eq!(ledger.released(Height::new(2), &[]).unwrap_err(), height(2, 1));
    let twice = ledger.ordered(Height::new(2), &[(id(1), 5)], 9_990).unwrap_err();
    assert_eq!(twice, LedgerError::Twice { id: id(1) });
    let lost = ledger.ordered(Height::new(2), &[(id(2), 5)], 9_991).unwrap_err();
    assert!(matches!(lost, LedgerError::Conservation { in_flight: 10, .. }), "{lost}");
    let doubled = ledger.ordered(Height::new(2), &[(id(2), 5), (id(2), 5)], 9_985).unwrap_err();
    assert!(matches!(doubled, LedgerError::Conservation { .. }));
    assert_eq!(ledger, before);
    ledger.released(Height::new(1), &[]).unwrap();
    let early = ledger.released(Height::new(2), &[]).unwrap_err();
    let (released, height) = (Height::new(2), Height::new(1));
    assert_eq!(early, LedgerError::Early { released, height });
}

#[test]
fn invariant_1_stored_accounts_that_are_not_conserved_are_refused() {
    let ledger = charged(4, 50, &[5, 6]);
    let (accounts, in_flight) = (ledger.accounts().clone(), ledger.in_flight().clone());
    let restore = |accounts: Accounts, in_flight| Ledger::restore(4, 50, accounts, in_flight);
    assert_eq!(restore(accounts.clone(), in_flight.clone()).unwrap(), ledger);
    assert!(restore(accounts.clone(), BTreeMap::new()).is_err());
    let more = Accounts { sequencers: vec![1, 0, 0, 0], ..accounts.clone() };
    assert!(matches!(restore(more, in_flight.clone()), Err(LedgerError::Conservation { .. })));
    let other = Ledger::restore(5, 50, accounts, in_flight).unwrap_err();
    assert_eq!(other, LedgerError::Sequencers { actual: 4, expected: 5 });
}

/// What a random bundle costs, and how it ends: so many heights later, and over how many rollups.
#[derive(Clone, Copy, Debug)]
struct Fate {
    fee: u64,
    waits: u64,
    legs: u64,
}

fn fates() -> impl Strategy<Value = Vec<Vec<Fate>>> {
    let fee = prop_oneof![1..2_000u64, Just(i64::MAX as u64)];
    let fate = (fee, 0..3u64, 0..5u64).prop_map(|(fee, waits, legs)| Fate { fee, waits, legs });
    prop::collection::vec(prop::collection::vec(fate, 0..6), 1..30)
}

proptest! {
    #[test]
    fn invariants_1_and_3_hold_over_random_bundles_and_outcomes(
        heights in fates(), percent in 0..=100u8, n in 1..12u16, cut in 0..30usize
    ) {
        let deposits = u128::MAX / 2;
        let mut ledger = Ledger::new(n, percent, deposits);
        let mut balances = deposits;
        let mut due: BTreeMap<u64, Vec<Leaf>> = BTreeMap::new();
        let (mut number, mut restored) = (0, None::<Ledger>);
        // Releases lag a height behind, and what still waits at the end is ended by later ones.
        for at in 1..=heights.len() as u64 + 4 {
            let height = Height::new(at);
            let mut charges = Vec::new();
            for Fate { fee, waits, legs } in heights.get(at as usize - 1).into_iter().flatten() {
                number += 1;
                charges.push((id(number), *fee));
                balances -= u128::from(*fee);
                let chains: Vec<u64> = (901..901 + legs).collect();
                let outcome = match legs {
                    0 => Outcome::Failed(Failed::Encoding),
                    _ => released(&chains),
                };
                for earlier in at..at + waits {
                    due.entry(earlier).or_default().push(leaf(number, carried(&chains)));
                }
                due.entry(at + waits).or_default().push(leaf(number, outcome));
            }
            for ledger in [Some(&mut ledger), restored.as_mut()].into_iter().flatten() {
                ledger.ordered(height, &charges, balances).unwrap();
                prop_assert!(ledger.accounts().is_conserved());
                if let Some(previous) = height.previous().filter(|previous| previous.get() > 0) {
                    let leaves = due.get(&previous.get()).cloned().unwrap_or_default();
                    ledger.released(previous, &leaves).unwrap();
                    prop_assert!(ledger.accounts().is_conserved());
                }
                let flying = ledger.in_flight().values().copied().map(u128::from).sum::<u128>();
                prop_assert_eq!(ledger.accounts().in_flight, flying);
            }
            if at as usize == cut {
                let accounts = Accounts::decode(&ledger.accounts().encode()).unwrap();
                let in_flight = ledger.in_flight().clone();
                restored = Some(Ledger::restore(n, percent, accounts, in_flight).unwrap());
            }
        }
        prop_assert!(ledger.in_flight().is_empty());
        prop_assert_eq!(ledger.accounts().revenue(), deposits - balances);
        if let Some(restored) = restored {
            prop_assert_eq!(restored, ledger);
        }
    }
}

#[test]
fn invariant_1_the_next_committee_takes_all_revenue_over() {
    let key = |seed: u8| fairveil_crypto::ConsensusSecret::from_seed([seed; 32]).public_key();
    let old = [key(1), key(2), key(3)];
    let sequencers = vec![5, 7, 0];
    let accounts = Accounts { sequencers, deposits: 100, balances: 88, ..Accounts::default() };
    assert!(accounts.is_conserved());
    // The first leaves, the second has another index, the third has earned nothing, one joins.
    let next = accounts.next_epoch(&old, &[key(4), key(2)]);
    assert_eq!((&next.sequencers[..], &next.former), (&[0, 7][..], &BTreeMap::from([(key(1), 5)])));
    assert!(next.is_conserved());
    let earned = Accounts { sequencers: vec![1, 7], balances: 87, ..next };
    // Who comes back has what it had.
    let back = earned.next_epoch(&[key(4), key(2)], &[key(1), key(2), key(3)]);
    assert_eq!(
        (&back.sequencers[..], &back.former),
        (&[5, 7, 0][..], &BTreeMap::from([(key(4), 1)]))
    );
    assert!(back.is_conserved());
    assert_eq!(Accounts::decode(&back.encode()).unwrap(), back);
}
