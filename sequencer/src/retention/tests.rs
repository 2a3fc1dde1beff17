#![allow(clippy::unwrap_used)]

use fairveil_consensus::host::BundleFacts;
use fairveil_crypto::{
    BundleId, Digest, KeyId, NetworkId,
    certificate::Placement,
    envelope::{Payer, SizeClass},
    signature::ConsensusPublicKey,
};
use fairveil_release::tree::Outcome;
use redb::backends::InMemoryBackend;

use super::*;
use crate::record::End;

const TABLES: [Table; 4] = [Table::Orders, Table::Certified, Table::Releases, Table::Shares];

fn store() -> Store {
    let network = NetworkId::from_bytes([1; 32]);
    let key = ConsensusPublicKey::from_bytes([2; 32]);
    Store::open(InMemoryBackend::new(), &network, &key).unwrap()
}

fn id(height: u64) -> BundleId {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&height.to_be_bytes());
    BundleId::from_bytes(bytes)
}

fn place(height: u64, ended: bool) -> Place {
    let height = Height::new(height);
    let end = End { height, outcome: Outcome::Expired, legs: Vec::new(), time_ms: 1 };
    let end = ended.then_some(end);
    Place { height, position: 0, cohort: 0, placement: Placement::Open, end }
}

fn facts() -> BundleFacts {
    BundleFacts {
        key_id: KeyId::from_bytes([0; 32]),
        valid_from: Height::new(1),
        expires_at: Height::new(2),
        payer: Payer::from_bytes([1; 20]),
        payer_nonce: 1,
        class: SizeClass::MIN,
    }
}

/// Puts something of every height into the store.
fn fill(store: &Store, heights: std::ops::Range<u64>) {
    let mut writes = Vec::new();
    for height in heights {
        let key = height.to_be_bytes();
        writes.extend(TABLES.map(|table| Write::put(table, key, vec![1])));
        let emitted: Vec<StoredEmission> = vec![(id(height), facts())];
        writes.push(Write::put(Table::Emitted, key, encoding::encode(&emitted)));
        writes.push(Write::put(
            Table::Places,
            *id(height).as_bytes(),
            encoding::encode(&place(height, true)),
        ));
        writes.push(Write::put(Table::Archive, *id(height).as_bytes(), vec![1]));
        let root = Digest::from_bytes([0; 32]);
        let event = Event::Released { height: Height::new(height), root, outcomes: Vec::new() };
        writes.push(Write::put(Table::Events, key, encoding::encode(&event)));
    }
    store.commit(&writes).unwrap();
}

fn heights(store: &Store, table: Table) -> (u64, usize) {
    let all = store.range(table, &[], usize::MAX).unwrap();
    let first = all.first().map_or(0, |(key, _)| u64::from_be_bytes(key[..8].try_into().unwrap()));
    (first, all.len())
}

fn done(tip: u64, unreleased: u64, uncertified: u64) -> Done {
    let [tip, unreleased, uncertified] = [tip, unreleased, uncertified].map(Height::new);
    Done { tip, unreleased, uncertified }
}

/// Steps at this tip until nothing is removed any more.
fn prune(store: &Store, retention: &mut Retention, done: Done) -> usize {
    let mut steps = 0;
    loop {
        let writes = retention.step(store, done).unwrap();
        if writes.is_empty() {
            return steps;
        }
        assert!(writes.len() < 3_000, "a step is bounded");
        store.commit(&writes).unwrap();
        steps += 1;
    }
}

#[test]
fn nothing_is_removed_unless_it_is_asked_for() {
    let store = store();
    fill(&store, 1..100);
    let mut retention = Retention::open(&store, 0).unwrap();
    assert_eq!(prune(&store, &mut retention, done(1 << 20, 1 << 20, 1 << 20)), 0);
}

#[test]
fn invariant_2_the_floor_is_below_all_that_is_not_done() {
    let store = store();
    fill(&store, 1..9_000);
    let tip = 8_992;
    let mut retention = Retention::open(&store, 1).unwrap();
    // Height 300 is not certified, then height 900 not released, then the fewest heights are kept.
    for (unreleased, uncertified, oldest) in
        [(9_000, 300, 300), (900, 9_000, 900), (9_000, 9_000, tip - MIN_HEIGHTS)]
    {
        prune(&store, &mut retention, done(tip, unreleased, uncertified));
        assert_eq!(retention.oldest(), Height::new(oldest));
        for table in TABLES.into_iter().chain([Table::Events]) {
            assert_eq!(heights(&store, table).0, oldest, "{table:?}");
        }
    }
    // Bundles are needed longer: by nonces, and by who applies old blocks.
    for table in [Table::Emitted, Table::Places, Table::Archive] {
        assert_eq!(heights(&store, table), (1, 8_999), "{table:?}");
    }
}

#[test]
fn bundles_go_with_their_nonces_and_one_that_has_not_ended_stays() {
    let store = store();
    fill(&store, 1..2_000);
    let open = Write::put(Table::Places, *id(700).as_bytes(), encoding::encode(&place(700, false)));
    store.commit(&[open]).unwrap();
    let tip = NONCE_HEIGHTS + 1_504;
    let mut retention = Retention::open(&store, 5_000).unwrap();
    prune(&store, &mut retention, done(tip, tip, tip));
    for table in [Table::Emitted, Table::Places, Table::Archive] {
        assert_eq!(heights(&store, table), (700, 1_300), "{table:?}");
    }
    // It ended: the rest goes, up to the remembered nonces.
    fill(&store, 700..701);
    prune(&store, &mut retention, done(tip, tip, tip));
    assert_eq!(heights(&store, Table::Emitted), (1_504, 496));
}

#[test]
fn invariant_4_it_goes_on_where_it_stood() {
    let store = store();
    fill(&store, 1..4_000);
    let mut retention = Retention::open(&store, 2_100).unwrap();
    let state = done(3_200, 4_000, 4_000);
    assert!(prune(&store, &mut retention, state) > 3);
    let again = Retention::open(&store, 2_100).unwrap();
    assert_eq!(again, retention);
    assert_eq!(again.oldest(), Height::new(1_100));
    // Between two steps nothing happens.
    assert!(retention.step(&store, done(3_999, 4_000, 4_000)).unwrap().is_empty());
}
