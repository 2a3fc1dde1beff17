#![allow(clippy::unwrap_used)]

use fairveil_consensus::{ChainId, state::Parameters};
use fairveil_crypto::{ConsensusSecret, KeyId, NetworkId};
use fairveil_ordering::{Committee, Mode};
use fairveil_release::registry::{Registry, Rollup};
use redb::backends::InMemoryBackend;

use super::*;

const EPOCH: Epoch = Epoch::new(2);
const START: Height = Height::new(90);

fn store() -> Store {
    let key = ConsensusSecret::from_seed([1; 32]).public_key();
    Store::open(InMemoryBackend::new(), &NetworkId::from_bytes([1; 32]), &key).unwrap()
}

/// The beginning of an epoch with some rows, as members would serve it.
fn snapshot() -> (Manifest, Vec<Vec<u8>>) {
    let id = ChainId { network_id: NetworkId::from_bytes([1; 32]), epoch: EPOCH, start: START };
    let parameters = Parameters {
        id,
        keys: vec![ConsensusSecret::from_seed([1; 32]).public_key()],
        committee: Committee::new(1, 0, 0).unwrap(),
        mode: Mode::Strict,
        active_keys: vec![KeyId::from_bytes([9; 32])],
        transcript: Digest::from_bytes([5; 32]),
        accounting: None,
        registry: Registry::new(vec![Rollup::recorder(901, "alpha")]).unwrap(),
    };
    let (genesis, state) = ChainState::genesis(parameters).unwrap();
    let ids = vec![BundleId::from_bytes([3; 32])];
    of_rows(&[
        (Table::Meta, (CHAIN.to_vec(), state.snapshot())),
        (Table::Meta, (GENESIS.to_vec(), genesis.bytes().to_vec())),
        (Table::Meta, (UNPROPOSED.to_vec(), encoding::encode(&ids))),
        (Table::States, (b"account".to_vec(), vec![7; 2 * CHUNK_BYTES])),
        (Table::Emitted, (START.get().to_be_bytes().to_vec(), vec![1, 2])),
    ])
}

fn of_rows(rows: &[(Table, Stored)]) -> (Manifest, Vec<Vec<u8>>) {
    let bytes = encoded(rows);
    let chunks: Vec<Vec<u8>> = bytes.chunks(CHUNK_BYTES).map(<[u8]>::to_vec).collect();
    let digests = chunks.iter().map(|chunk| chunk_digest(chunk)).collect();
    let bytes = bytes.len() as u64;
    (Manifest { epoch: EPOCH, start: START, bytes, chunks: digests }, chunks)
}

#[test]
fn what_is_installed_takes_the_place_of_what_was_and_is_served_again() {
    let store = store();
    assert_eq!(position(&store).unwrap(), None);
    let old = [
        Write::put(Table::States, b"gone", vec![1]),
        Write::put(Table::Blocks, b"12345678", vec![1]),
        Write::put(Table::Log, b"own", vec![1]),
    ];
    store.commit(&old).unwrap();
    let (manifest, chunks) = snapshot();
    assert!(chunks.len() > 2);
    store.commit(&installed(&store, &manifest, &chunks).unwrap()).unwrap();
    assert_eq!(position(&store).unwrap(), Some((EPOCH, START)));
    assert_eq!(unproposed(&store).unwrap(), [BundleId::from_bytes([3; 32])]);
    assert_eq!(store.get(Table::States, b"gone").unwrap(), None);
    assert_eq!(store.get(Table::Blocks, b"12345678").unwrap(), None);
    assert_eq!(store.get(Table::States, b"account").unwrap().unwrap().len(), 2 * CHUNK_BYTES);
    assert!(store.get(Table::Log, b"own").unwrap().is_some(), "the own log stays");
    assert_eq!(super::manifest(&store).unwrap(), Some(manifest));
    for (number, bytes) in (0..).zip(chunks) {
        assert_eq!(chunk(&store, number).unwrap(), Some(bytes));
    }
}

#[test]
fn invariant_3_chunks_that_are_not_the_manifests_install_nothing() {
    let store = store();
    let (manifest, chunks) = snapshot();
    let refused =
        |manifest: &Manifest, chunks: &[Vec<u8>]| installed(&store, manifest, chunks).err();
    for number in 0..chunks.len() {
        let mut wrong = chunks.clone();
        wrong[number][0] ^= 1;
        let found = refused(&manifest, &wrong);
        assert!(matches!(found, Some(BoundaryError::Chunk { number: at, .. }) if at == number));
    }
    let form = |found| matches!(found, Some(BoundaryError::Form(_)));
    assert!(form(refused(&manifest, &chunks[1..])), "one is missing");
    assert!(form(refused(&Manifest { bytes: manifest.bytes + 1, ..manifest.clone() }, &chunks)));
    let later = Manifest { epoch: EPOCH.next(), ..manifest.clone() };
    assert!(form(refused(&later, &chunks)), "the first block is of another epoch");
}

#[test]
fn a_snapshot_names_only_what_snapshots_have() {
    let store = store();
    let installed = |rows: &[(Table, Stored)]| {
        let (manifest, chunks) = of_rows(rows);
        matches!(installed(&store, &manifest, &chunks), Err(BoundaryError::Form(_)))
    };
    let row = |table, key: &[u8]| (table, (key.to_vec(), vec![1]));
    assert!(installed(&[row(Table::Log, b"a log")]));
    assert!(installed(&[row(Table::Shares, b"a share")]));
    assert!(installed(&[row(Table::Meta, b"network")]));
    assert!(installed(&[row(Table::States, b"no first block")]));
    let mut cut = encoded(&[row(Table::States, b"cut off")]);
    cut.pop();
    assert!(matches!(read(&cut), Err(BoundaryError::Form(_))));
    assert!(matches!(read(&cut[..2]), Err(BoundaryError::Form(_))));
}
