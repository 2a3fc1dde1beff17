//! What a disk keeps through a power loss.

#![allow(clippy::unwrap_used)]

use fairveil_simulation::disk::Disk;
use redb::StorageBackend as _;

#[test]
fn invariant_1_synced_survives_and_unsynced_is_a_subset() {
    let mut kept = 0;
    for seed in 0..64 {
        let disk = Disk::default();
        let open = disk.open();
        open.write(0, b"synced").unwrap();
        open.sync_data().unwrap();
        open.write(6, b"later").unwrap();
        disk.crash(seed);
        let reopened = disk.open();
        let mut found = vec![0; usize::try_from(reopened.len().unwrap()).unwrap()];
        reopened.read(0, &mut found).unwrap();
        assert!(found == b"synced" || found == b"syncedlater");
        kept += usize::from(found.len() > 6);
    }
    assert!((16..48).contains(&kept), "{kept} of 64 kept");
}

#[test]
fn invariant_2_a_dead_process_changes_nothing() {
    let disk = Disk::default();
    let dead = disk.open();
    disk.crash(0);
    assert!(dead.write(0, b"x").is_err());
    assert!(dead.sync_data().is_err());
}

#[test]
fn power_fails_during_the_named_sync() {
    let disk = Disk::default();
    let open = disk.open();
    disk.fail_at_sync(2);
    open.write(0, b"one").unwrap();
    open.sync_data().unwrap();
    open.write(3, b"two").unwrap();
    assert!(open.sync_data().is_err());
    assert!(open.len().is_err());
    disk.crash(1);
    assert!(disk.open().len().unwrap() >= 3);
}
