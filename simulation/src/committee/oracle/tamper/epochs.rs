//! Rules 16 to 18 broken: what passes from one epoch to the next.

use super::*;

/// A member of all epochs.
fn veteran<'a>(given: &'a Evidence<'_>) -> &'a Store {
    let position = given.plan.succession.veterans()[0];
    given.stores[position].as_ref().unwrap()
}

pub(super) fn rule_16_another_beginning(given: &mut Evidence<'_>) {
    let store = veteran(given);
    let mut manifest = fairveil_sequencer::boundary::manifest(store).unwrap().unwrap();
    manifest.bytes += 1;
    store.commit(&[Write::put(Table::Boundary, b"manifest", manifest.encode())]).unwrap();
}

pub(super) fn rule_17_a_share_of_another_epoch(given: &mut Evidence<'_>) {
    let shares = given.trace.iter_mut().filter_map(|(_, sent)| match sent {
        Sent::Share { share, .. } => Some(share),
        _ => None,
    });
    let share = shares.into_iter().next().unwrap();
    let other = SequencerIndex::from_position((share.index.position() + 1) % 5);
    share.index = other.unwrap();
}

pub(super) fn rule_17_an_honest_member_that_is_blamed(given: &mut Evidence<'_>) {
    given.blamed.push(given.plan.honest()[0]);
}

pub(super) fn rule_18_a_log_that_begins_otherwise(given: &mut Evidence<'_>) {
    let store = veteran(given);
    let last = given.plan.succession.last_epoch().get();
    let entries = store.range(Table::Log, &[], usize::MAX).unwrap();
    let log = |epoch: u64| -> Vec<BundleId> {
        let of = |key: &[u8]| key[..8] == epoch.to_be_bytes();
        let entries = entries.iter().filter(|(key, _)| of(key));
        entries.map(|(_, value)| decode::<LogEntry>(value, MAX_VALUE_BYTES).unwrap().id).collect()
    };
    let (before, now) = (log(last - 1), log(last));
    let lost: Vec<_> = before.into_iter().filter(|id| !now.contains(id)).take(1).collect();
    assert_eq!(lost.len(), 1);
    let value = fairveil_crypto::encoding::encode(&lost);
    store.commit(&[Write::put(Table::Meta, b"unproposed", value)]).unwrap();
}
