//! Everything at an epoch's end: what the next epoch begins with here, and what members that join or
//! missed it begin with.
//!
//! When an epoch has ended and everything up to its end is released here, one transaction writes
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `chain` | the state of the next epoch's first block |
//! | `meta` | `genesis` | that block |
//! | `meta` | `unproposed` | the ids that the next logs begin with |
//! | `meta` | `ledger` | the accounts of the next committee, where bundles are charged |
//! | `boundary` | `manifest` | [`Manifest`] |
//! | `boundary` | number (4) | a chunk of the snapshot |
//!
//! ```text
//! snapshot = for each entry: length(4) ‖ (table, key, value), in the order of tables and keys, cut into
//!            chunks of CHUNK_BYTES
//! root     = H(BOUNDARY, manifest)            manifest = epoch, start, bytes, H(BOUNDARY, chunk) of each
//! ```
//!
//! # Invariants
//!
//! 1. The snapshot is a function of what final blocks and their releases made: every member that
//!    reached the end has the same root.
//! 2. A crash before the transaction finds the epoch as it was, one after it the next epoch.
//! 3. Chunks are installed only together, if each of them is the manifest's, in one transaction.

use std::collections::BTreeMap;

use bytes::Bytes;
use fairveil_consensus::{
    Block,
    state::{ChainState, NextEpochError},
};
use fairveil_crypto::{
    BundleId, Digest, Epoch, Height,
    domain::{Tag, hash},
    encoding,
};
use fairveil_release::{
    boundary::{BoundaryRoot, CHUNK_BYTES},
    carry_over::Waiting,
    ledger::Ledger,
    release::MAX_RELEASE_BYTES,
};
use serde::{Deserialize, Serialize};

use crate::{
    actor::NEWEST,
    handle::decoded,
    ledger_store::ACCOUNTS,
    record::height_key,
    recovery::{CHAIN, REMEMBERED_HEIGHTS, entries},
    release_store::SUMMARY,
    store::{Store, StoreError, Stored, Table, Write},
    views::place_of,
};

/// Chunks of the largest snapshot: 1.5 GiB.
pub const MAX_CHUNKS: usize = 1 << 15;
/// The longest encoding of a manifest.
pub const MAX_MANIFEST_BYTES: usize = MAX_CHUNKS * 32 + 64;

const GENESIS: &[u8] = b"genesis";
const UNPROPOSED: &[u8] = b"unproposed";
const MANIFEST: &[u8] = b"manifest";
const MAX_UNPROPOSED_BYTES: usize = 64 << 20;

/// Tables of which the snapshot has everything; whoever installs it loses what was in them.
const WHOLE: [Table; 6] =
    [Table::Waiting, Table::States, Table::Fees, Table::Changes, Table::Anchors, Table::Unseen];

/// What a snapshot consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The epoch that begins.
    pub epoch: Epoch,
    /// The height with which it begins.
    pub start: Height,
    /// Bytes of the snapshot.
    pub bytes: u64,
    /// Digests of its chunks.
    pub chunks: Vec<Digest>,
}

/// Why the end of an epoch can't be written, or a snapshot not be installed.
#[derive(Debug, thiserror::Error)]
pub enum BoundaryError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The next epoch can't begin.
    #[error(transparent)]
    NextEpoch(#[from] NextEpochError),
    /// The snapshot is too large.
    #[error("the snapshot is {actual} bytes, the limit is {limit}")]
    Size {
        /// Its bytes.
        actual: usize,
        /// The most.
        limit: usize,
    },
    /// A chunk is not the manifest's.
    #[error("chunk {number} is {actual}, the manifest has {expected}")]
    Chunk {
        /// Which one, from 0.
        number: usize,
        /// Its digest.
        actual: Digest,
        /// The manifest's.
        expected: Digest,
    },
    /// The chunks are whole and still no snapshot.
    #[error("the snapshot has no form: {0}")]
    Form(String),
}

impl Manifest {
    /// What members name when they are asked for the end of an epoch.
    #[must_use]
    pub fn root(&self) -> Digest {
        hash(Tag::Boundary, &[&self.encode()])
    }

    /// The same with the epoch.
    #[must_use]
    pub fn name(&self) -> BoundaryRoot {
        BoundaryRoot { epoch: self.epoch, start: self.start, root: self.root() }
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }
}

/// The digest of a chunk.
#[must_use]
pub fn chunk_digest(chunk: &[u8]) -> Digest {
    hash(Tag::Boundary, &[chunk])
}

/// The epoch that the database stands in, and the height with which it began; none in the first.
///
/// # Errors
///
/// If the database failed or is damaged.
pub fn position(store: &Store) -> Result<Option<(Epoch, Height)>, StoreError> {
    let position = |block: Block| (block.header().epoch, block.header().height);
    Ok(genesis(store)?.map(position))
}

pub(crate) fn epoch(store: &Store) -> Result<Option<Epoch>, StoreError> {
    Ok(position(store)?.map(|(epoch, _)| epoch))
}

/// The first block of the epoch, unless it is the first one.
pub(crate) fn genesis(store: &Store) -> Result<Option<Block>, StoreError> {
    let Some(bytes) = store.get(Table::Meta, GENESIS)? else { return Ok(None) };
    let block = Block::from_bytes(Bytes::from(bytes));
    Ok(Some(block.map_err(|error| damaged(Table::Meta, &error))?))
}

/// The ids that the epoch's logs begin with, at whoever holds them.
pub(crate) fn unproposed(store: &Store) -> Result<Vec<BundleId>, StoreError> {
    let Some(bytes) = store.get(Table::Meta, UNPROPOSED)? else { return Ok(Vec::new()) };
    decoded(Table::Meta, &bytes, MAX_UNPROPOSED_BYTES)
}

/// The manifest of the last epoch's end, if there was one.
///
/// # Errors
///
/// If the database failed or is damaged.
pub fn manifest(store: &Store) -> Result<Option<Manifest>, StoreError> {
    let Some(bytes) = store.get(Table::Boundary, MANIFEST)? else { return Ok(None) };
    decoded(Table::Boundary, &bytes, MAX_MANIFEST_BYTES).map(Some)
}

/// A chunk of the snapshot at the last epoch's end.
///
/// # Errors
///
/// If the database failed.
pub fn chunk(store: &Store, number: u32) -> Result<Option<Vec<u8>>, StoreError> {
    store.get(Table::Boundary, &number.to_be_bytes())
}

/// What the transaction at an epoch's end writes: `chain` stands after its last block, everything up
/// to it is released and durable.
pub(crate) fn writes(
    store: &Store,
    chain: &ChainState,
    ledger: Option<&Ledger>,
) -> Result<Vec<Write>, BoundaryError> {
    let (genesis, next) = chain.next_epoch()?;
    let end = chain.tip().height;
    let mut meta = BTreeMap::from([
        (CHAIN, next.snapshot()),
        (GENESIS, genesis.bytes().to_vec()),
        (UNPROPOSED, encoding::encode(&chain.unproposed())),
    ]);
    if let Some(ledger) = ledger {
        let (old, new) = (&chain.parameters().keys, &next.parameters().keys);
        meta.insert(ACCOUNTS, ledger.accounts().next_epoch(old, new).encode());
    }
    let mut writes: Vec<Write> = meta
        .iter()
        .map(|(key, value)| Write::put(Table::Meta, key.to_vec(), value.clone()))
        .collect();
    // The resharing's entries stay for members that missed it.
    for table in [Table::Blocks, Table::Boundary] {
        writes.extend(cleared(store, table)?);
    }
    let mut snapshot: Vec<(Table, Stored)> =
        meta.into_iter().map(|(key, value)| (Table::Meta, (key.to_vec(), value))).collect();
    snapshot.extend(collected(store, chain.released(), end)?);
    let bytes = encoded(&snapshot);
    let limit = MAX_CHUNKS * CHUNK_BYTES;
    if bytes.len() > limit {
        return Err(BoundaryError::Size { actual: bytes.len(), limit });
    }
    let chunks: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES).collect();
    let header = genesis.header();
    let manifest = Manifest {
        epoch: header.epoch,
        start: header.height,
        bytes: bytes.len() as u64,
        chunks: chunks.iter().map(|chunk| chunk_digest(chunk)).collect(),
    };
    writes.push(Write::put(Table::Boundary, MANIFEST, manifest.encode()));
    for (number, chunk) in (0u32..).zip(chunks) {
        writes.push(Write::put(Table::Boundary, number.to_be_bytes(), chunk.to_vec()));
    }
    Ok(writes)
}

/// What installs a snapshot whose chunks came from others, with the manifest and the chunks
/// themselves: from then on this member can serve them too.
pub(crate) fn installed(
    store: &Store,
    manifest: &Manifest,
    chunks: &[Vec<u8>],
) -> Result<Vec<Write>, BoundaryError> {
    let form = |why: &str| BoundaryError::Form(why.into());
    if chunks.len() != manifest.chunks.len() {
        return Err(form("another number of chunks"));
    }
    for (number, (chunk, expected)) in chunks.iter().zip(&manifest.chunks).enumerate() {
        let (actual, expected) = (chunk_digest(chunk), *expected);
        if actual != expected {
            return Err(BoundaryError::Chunk { number, actual, expected });
        }
    }
    let bytes = chunks.concat();
    if bytes.len() as u64 != manifest.bytes {
        return Err(form("another length"));
    }
    let mut writes = Vec::new();
    for table in WHOLE.into_iter().chain([Table::Blocks, Table::Entries, Table::Boundary]) {
        writes.extend(cleared(store, table)?);
    }
    writes.push(Write::remove(Table::Meta, NEWEST));
    for (table, (key, value)) in read(&bytes)? {
        writes.push(Write::put(table, key, value));
    }
    let genesis = writes.iter().find(|write| write.table == Table::Meta && write.key == GENESIS);
    let genesis =
        genesis.and_then(|write| write.value.clone()).ok_or_else(|| form("no genesis"))?;
    let genesis = Block::from_bytes(Bytes::from(genesis)).map_err(|_| form("no block"))?;
    let (epoch, start) = (genesis.header().epoch, genesis.header().height);
    if (epoch, start) != (manifest.epoch, manifest.start) {
        return Err(form("the first block is of another epoch"));
    }
    writes.push(Write::put(Table::Boundary, MANIFEST, manifest.encode()));
    for (number, chunk) in (0u32..).zip(chunks) {
        writes.push(Write::put(Table::Boundary, number.to_be_bytes(), chunk.clone()));
    }
    Ok(writes)
}

/// What stands in the tables at an epoch's end and is the same everywhere.
fn collected(
    store: &Store,
    certified: Height,
    end: Height,
) -> Result<Vec<(Table, Stored)>, BoundaryError> {
    let summary = store.get(Table::Meta, SUMMARY)?.unwrap_or_default();
    let mut all = vec![(Table::Meta, (SUMMARY.to_vec(), summary))];
    let mut places = Vec::new();
    let mut releases = BTreeMap::new();
    for table in WHOLE {
        for (key, value) in entries(store, table, &[])? {
            match table {
                Table::Waiting => {
                    let waiting: Waiting = decoded(table, &value, MAX_RELEASE_BYTES)?;
                    places.push(waiting.id.as_bytes().to_vec());
                }
                Table::Unseen => {
                    let place = place_of(&key).ok_or_else(|| damaged(table, &"a key"))?;
                    releases.insert(place.height, ());
                }
                _ => {}
            }
            all.push((table, (key, value)));
        }
    }
    let mut height = certified.next();
    while height <= end {
        releases.insert(height, ());
        height = height.next();
    }
    for height in releases.into_keys() {
        if let Some(value) = store.get(Table::Releases, &height_key(height))? {
            all.push((Table::Releases, (height_key(height).to_vec(), value)));
        }
    }
    places.sort_unstable();
    for key in places {
        let value = store.get(Table::Places, &key)?;
        let value = value.ok_or_else(|| damaged(Table::Places, &"a waiting bundle has none"))?;
        all.push((Table::Places, (key, value)));
    }
    let from = height_key(end.saturating_sub(REMEMBERED_HEIGHTS));
    for stored in store.range(Table::Emitted, &from, usize::MAX)? {
        all.push((Table::Emitted, stored));
    }
    Ok(all)
}

fn encoded(entries: &[(Table, Stored)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (table, (key, value)) in entries {
        let entry = encoding::encode(&(table.name().to_owned(), key, value));
        // Entries are far below 4 GiB: a value is at most a snapshot of the chain.
        bytes.extend_from_slice(&(entry.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&entry);
    }
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<(Table, Stored)>, BoundaryError> {
    let form = |why: &str| BoundaryError::Form(why.into());
    let mut rest = bytes;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(|| form("cut off"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (entry, after) = after.split_at_checked(length).ok_or_else(|| form("cut off"))?;
        let (name, key, value): (String, Vec<u8>, Vec<u8>) =
            encoding::decode(entry, length).map_err(|error| form(&error.to_string()))?;
        let table = Table::named(&name).ok_or_else(|| form("an unknown table"))?;
        let meta = [CHAIN, GENESIS, UNPROPOSED, ACCOUNTS, SUMMARY];
        let expected = match table {
            Table::Meta => meta.contains(&key.as_slice()),
            Table::Releases | Table::Places | Table::Emitted => true,
            table => WHOLE.contains(&table),
        };
        if !expected {
            return Err(form("an entry that no snapshot has"));
        }
        entries.push((table, (key, value)));
        rest = after;
    }
    Ok(entries)
}

fn cleared(store: &Store, table: Table) -> Result<Vec<Write>, StoreError> {
    let entries = entries(store, table, &[])?;
    Ok(entries.into_iter().map(|(key, _)| Write::remove(table, key)).collect())
}

fn damaged(table: Table, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { table, why: why.to_string() }
}

#[cfg(test)]
mod tests;
