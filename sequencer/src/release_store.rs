//! The chain of releases as it stands in the database.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `releases` | [`Summary`]: height, root, last slot, schedule, how many wait, digests of the states, anchors |
//! | `releases` | height | the release: outcomes, batches, what began to wait |
//! | `waiting` | position (12) | a bundle that waits for a slot |
//! | `states` | see [`fairveil_release::states`] | the states of the embedded rollups |
//! | `anchors`, `unseen` | see [`crate::views`] | what followed rollups are simulated over |
//!
//! # Invariants
//!
//! 1. A height's writes go into one transaction, so the tables always belong together.
//! 2. What is written grows with what happened at the height, not with what waits or with the states.
//! 3. A start reads all of it and compares it with the summary; a sequencer that can't does not start.

use std::collections::BTreeMap;

use fairveil_crypto::Height;
use fairveil_release::{
    batch::Block,
    carry_over::Waiting,
    chain::{ReleaseChain, Released, Summary},
    release::{MAX_RELEASE_BYTES, Release},
    states::{Changes, MemoryState, Record, prefix, records, state_of},
    views::Place,
};

use crate::{
    handle::decoded,
    record::height_key,
    recovery::{RecoveryError, entries},
    store::{Store, StoreError, Table, Write},
    views::{anchor_key, place_of, seen_write, unseen_write},
};

pub(crate) const SUMMARY: &[u8] = b"releases";

/// The chain as it is stored, or the first one, whose states are stored then.
pub(crate) fn restored(
    store: &Store,
    first: impl FnOnce() -> Result<ReleaseChain, RecoveryError>,
) -> Result<ReleaseChain, RecoveryError> {
    let Some(bytes) = store.get(Table::Meta, SUMMARY)? else {
        let first = first()?;
        store.commit(&first_writes(&first))?;
        return Ok(first);
    };
    let damaged = |table, why: String| StoreError::Damaged { table, why };
    let summary =
        Summary::decode(&bytes).map_err(|error| damaged(Table::Meta, error.to_string()))?;
    let waiting = entries(store, Table::Waiting, &[])?;
    let waiting = waiting
        .iter()
        .map(|(_, value)| decoded::<Waiting>(Table::Waiting, value, MAX_RELEASE_BYTES));
    let waiting = waiting.collect::<Result<Vec<_>, _>>()?;
    let states = states(store, &summary)?;
    let unseen = unseen(store)?;
    let chain = ReleaseChain::restore(summary, waiting, states, &unseen);
    Ok(chain.map_err(|error| damaged(Table::States, error.to_string()))?)
}

/// The released blocks of followed rollups that are unseen.
fn unseen(store: &Store) -> Result<Vec<(Place, Block)>, StoreError> {
    let damaged = |why: String| StoreError::Damaged { table: Table::Unseen, why };
    let (mut unseen, mut last) = (Vec::new(), None::<(Height, Release)>);
    for (key, _) in entries(store, Table::Unseen, &[])? {
        let place = place_of(&key).ok_or_else(|| damaged("a key of another form".into()))?;
        let read = last.take().filter(|(height, _)| *height == place.height);
        let (height, release) = match read {
            Some(read) => read,
            None => (place.height, released(store, place.height)?),
        };
        let batch = release.batch(place.chain_id);
        let mut blocks = batch.into_iter().flat_map(|batch| &batch.blocks);
        let block = blocks.find(|block| block.number == place.number).cloned();
        unseen.push((place, block.ok_or_else(|| damaged(format!("{place:?} is not released")))?));
        last = Some((height, release));
    }
    Ok(unseen)
}

fn released(store: &Store, height: Height) -> Result<Release, StoreError> {
    let damaged = |why: String| StoreError::Damaged { table: Table::Releases, why };
    let bytes = store.get(Table::Releases, &height_key(height))?;
    let bytes = bytes.ok_or_else(|| damaged(format!("no release of height {height}")))?;
    Release::decode(&bytes).map_err(|error| damaged(error.to_string()))
}

/// What is written with a released height, where the chain stands at `summary` afterwards.
pub(crate) fn released_writes(released: &Released, summary: &Summary) -> Vec<Write> {
    let release = &released.release;
    let key = height_key(release.header.height);
    let mut writes = vec![Write::put(Table::Releases, key, release.encode())];
    for position in &released.ended {
        writes.push(Write::remove(Table::Waiting, position.to_bytes()));
    }
    for waiting in &release.waiting {
        let value = fairveil_crypto::encoding::encode(waiting);
        writes.push(Write::put(Table::Waiting, waiting.position.to_bytes(), value));
    }
    for (chain_id, state) in &released.moved.left {
        let last = state.to_changes();
        let gone = state_writes(*chain_id, &last);
        writes.extend(gone.map(|write| Write::remove(Table::States, write.key)));
    }
    for (chain_id, state) in &released.moved.joined {
        writes.extend(state_writes(*chain_id, &state.to_changes()));
    }
    for finished in &released.finished {
        writes.extend(state_writes(finished.chain_id, &finished.changes));
    }
    // Added before gone: a block may be both.
    writes.extend(released.unseen.added.iter().map(unseen_write));
    writes.extend(released.unseen.gone.iter().map(seen_write));
    let height = release.header.height;
    let taken = released.unseen.anchored.iter();
    writes.extend(taken.map(|id| Write::remove(Table::Anchors, anchor_key(height, *id))));
    writes.push(Write::put(Table::Meta, SUMMARY, summary.encode()));
    writes
}

fn first_writes(first: &ReleaseChain) -> Vec<Write> {
    let mut writes = Vec::new();
    for chain_id in first.states().digests().keys() {
        let state = first.states().state(*chain_id).map(MemoryState::to_changes);
        writes.extend(state_writes(*chain_id, &state.unwrap_or_default()));
    }
    writes.push(Write::put(Table::Meta, SUMMARY, first.summary().encode()));
    writes
}

fn state_writes(chain_id: u64, changes: &Changes) -> impl Iterator<Item = Write> {
    let write = |Record { key, value }| Write { table: Table::States, key, value };
    records(chain_id, changes).into_iter().map(write)
}

fn states(store: &Store, summary: &Summary) -> Result<BTreeMap<u64, MemoryState>, StoreError> {
    let mut states = BTreeMap::new();
    for (chain_id, digest) in summary.states() {
        let records = entries(store, Table::States, &prefix(*chain_id))?;
        let state = state_of(*chain_id, records, *digest);
        let damaged = |error: fairveil_release::states::RecordError| StoreError::Damaged {
            table: Table::States,
            why: error.to_string(),
        };
        states.insert(*chain_id, state.map_err(damaged)?);
    }
    Ok(states)
}
