//! The sequencer's database: named tables of bytes in redb, changed by one durable transaction at
//! a time.
//!
//! # Invariants
//!
//! 1. [`Store::commit`] returns after its writes survive a loss of power, and applies all or none.
//! 2. A database belongs to one network and one sequencer: another is refused before anything is
//!    read from it.
//! 3. Keys sort as their numbers do (big-endian), so that ranges are heights in order.
//!
//! The storage backend is the caller's: a file in a node, memory that forgets unsynced writes in
//! the simulation.

mod truncation;

use std::{fmt, sync::Arc};

use fairveil_crypto::{NetworkId, signature::ConsensusPublicKey};
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
};

/// Version of the layout; a database of another version is refused.
const LAYOUT: &[u8] = b"fairveil-8";

/// Page cache of the database, in bytes.
const CACHE_BYTES: usize = 32 << 20;

/// The tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Single values by name: layout, network, chain state, where the releases stand.
    Meta,
    /// Sealed bundles by id, while the pool keeps them.
    Bundles,
    /// Sealed bundles by id that the pool let go: for members that catch up.
    Archive,
    /// The own order log: (epoch, position) to id.
    Log,
    /// Own admission receipts by id.
    Receipts,
    /// Final blocks of the key ceremony's chain, by height.
    Ceremony,
    /// Final blocks since the snapshot of the chain's state, by height.
    Blocks,
    /// Emitted bundles by height.
    Emitted,
    /// Order certificates by height.
    Orders,
    /// By height: the block that certifies its release.
    Certified,
    /// Releases by height: outcomes, batches and root.
    Releases,
    /// Opened bundles that wait for a slot, by position.
    Waiting,
    /// The states of the rollups that are simulated, record by record.
    States,
    /// What was charged for bundles that have not ended yet, by id.
    Fees,
    /// What became of an id: its final place.
    Places,
    /// Own signed decryption shares by height.
    Shares,
    /// Events for subscribers, by number.
    Events,
    /// Evidence of provable faults, by digest.
    Evidence,
    /// Changes of the rollups that final blocks announced, by number.
    Changes,
    /// Anchors of followed rollups in final blocks that are not released yet, by height and rollup.
    Anchors,
    /// Where released blocks stand that followed rollups need not hold yet.
    Unseen,
    /// Agreed entries of the open resharing, by height.
    Entries,
    /// Everything at the last epoch's end, in chunks, for members that join or missed it.
    Boundary,
}

impl Table {
    const ALL: [Self; 23] = [
        Self::Meta,
        Self::Bundles,
        Self::Archive,
        Self::Log,
        Self::Receipts,
        Self::Ceremony,
        Self::Blocks,
        Self::Emitted,
        Self::Orders,
        Self::Certified,
        Self::Releases,
        Self::Waiting,
        Self::States,
        Self::Fees,
        Self::Places,
        Self::Shares,
        Self::Events,
        Self::Evidence,
        Self::Changes,
        Self::Anchors,
        Self::Unseen,
        Self::Entries,
        Self::Boundary,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Bundles => "bundles",
            Self::Archive => "archive",
            Self::Log => "log",
            Self::Receipts => "receipts",
            Self::Ceremony => "ceremony",
            Self::Blocks => "blocks",
            Self::Emitted => "emitted",
            Self::Orders => "orders",
            Self::Certified => "certified",
            Self::Releases => "releases",
            Self::Waiting => "waiting",
            Self::States => "states",
            Self::Fees => "fees",
            Self::Places => "places",
            Self::Shares => "shares",
            Self::Events => "events",
            Self::Evidence => "evidence",
            Self::Changes => "changes",
            Self::Anchors => "anchors",
            Self::Unseen => "unseen",
            Self::Entries => "entries",
            Self::Boundary => "boundary",
        }
    }

    /// The table of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    const fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name())
    }
}

/// A key and its value, as they are stored.
pub type Stored = (Vec<u8>, Vec<u8>);

/// One change: a value put under a key, or a key removed.
#[derive(Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
    /// The value, or none to remove the key.
    pub value: Option<Vec<u8>>,
}

impl Write {
    /// Puts `value` under `key`.
    pub fn put(table: Table, key: impl Into<Vec<u8>>, value: Vec<u8>) -> Self {
        Self { table, key: key.into(), value: Some(value) }
    }

    /// Removes `key`.
    pub fn remove(table: Table, key: impl Into<Vec<u8>>) -> Self {
        Self { table, key: key.into(), value: None }
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.value.as_ref().map(Vec::len);
        f.debug_struct("Write").field("table", &self.table).field("bytes", &bytes).finish()
    }
}

/// Why the database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is damaged, locked by another process, or the disk failed.
    #[error("database: {0}")]
    Database(#[from] redb::Error),
    /// The file has lost its end, and with it what was signed last.
    #[error("database is cut off: it has {actual} bytes of {stated}")]
    Truncated {
        /// Its length.
        actual: u64,
        /// The length that its header states.
        stated: u64,
    },
    /// Written by another version.
    #[error("database has layout {found:?}, this binary writes {expected:?}")]
    Layout {
        /// What is there.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// Belongs to another network.
    #[error("database belongs to network {found}, the definition's is {expected}")]
    Network {
        /// What is there.
        found: String,
        /// What was expected.
        expected: NetworkId,
    },
    /// Belongs to another sequencer.
    #[error(
        "database belongs to the sequencer with consensus key {found}, the keystore's is {expected}"
    )]
    Sequencer {
        /// What is there.
        found: String,
        /// What was expected.
        expected: ConsensusPublicKey,
    },
    /// A stored value doesn't decode.
    #[error("database: value under {table:?} is damaged: {why}")]
    Damaged {
        /// The table.
        table: Table,
        /// The decoder's reason.
        why: String,
    },
}

/// The database.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens or creates the database of one sequencer of one network.
    ///
    /// # Errors
    ///
    /// If it is damaged, in use, of another layout, network or sequencer. Nothing is changed then.
    pub fn open(
        backend: impl StorageBackend,
        network: &NetworkId,
        sequencer: &ConsensusPublicKey,
    ) -> Result<Self, StoreError> {
        truncation::refuse_truncated(&backend)?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend)
            .map_err(redb::Error::from)?;
        let store = Self { database: Arc::new(database) };
        store.create_tables()?;
        store.claim(network, sequencer)?;
        Ok(store)
    }

    /// Applies `writes` in order, durably, all or none.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.write(writes).map_err(StoreError::from)
    }

    /// The value under `key`.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = transaction.open_table(table.definition())?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        };
        read().map_err(StoreError::from)
    }

    /// The values under these keys at one instant, in their order.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn get_all(
        &self,
        table: Table,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = transaction.open_table(table.definition())?;
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                values.push(table.get(key.as_slice())?.map(|value| value.value().to_vec()));
            }
            Ok(values)
        };
        read().map_err(StoreError::from)
    }

    /// At most `limit` entries with keys from `from` on, in order.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn range(
        &self,
        table: Table,
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = transaction.open_table(table.definition())?;
            let mut entries = Vec::new();
            for entry in table.range(from..)?.take(limit) {
                let (key, value) = entry?;
                entries.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(entries)
        };
        read().map_err(StoreError::from)
    }

    /// The entry with the largest key.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn last(&self, table: Table) -> Result<Option<Stored>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = transaction.open_table(table.definition())?;
            let last = table.last()?;
            Ok(last.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())))
        };
        read().map_err(StoreError::from)
    }

    fn create_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        for table in Table::ALL {
            transaction.open_table(table.definition())?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn claim(&self, network: &NetworkId, sequencer: &ConsensusPublicKey) -> Result<(), StoreError> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        match self.get(Table::Meta, b"layout")? {
            None => {
                return self.commit(&[
                    Write::put(Table::Meta, b"layout", LAYOUT.to_vec()),
                    Write::put(Table::Meta, b"network", network.to_string().into_bytes()),
                    Write::put(Table::Meta, b"sequencer", sequencer.to_string().into_bytes()),
                ]);
            }
            Some(found) if found != LAYOUT => {
                let expected = text(LAYOUT.to_vec());
                return Err(StoreError::Layout { found: text(found), expected });
            }
            Some(_) => {}
        }
        let found = text(self.get(Table::Meta, b"network")?.unwrap_or_default());
        if found != network.to_string() {
            return Err(StoreError::Network { found, expected: *network });
        }
        let found = text(self.get(Table::Meta, b"sequencer")?.unwrap_or_default());
        if found != sequencer.to_string() {
            return Err(StoreError::Sequencer { found, expected: *sequencer });
        }
        Ok(())
    }

    fn write(&self, writes: &[Write]) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        for write in writes {
            let mut table = transaction.open_table(write.table.definition())?;
            match &write.value {
                Some(value) => table.insert(write.key.as_slice(), value.as_slice())?,
                None => table.remove(write.key.as_slice())?,
            };
        }
        transaction.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    fn open() -> Store {
        let network = NetworkId::from_bytes([1; 32]);
        let key = ConsensusPublicKey::from_bytes([2; 32]);
        Store::open(InMemoryBackend::new(), &network, &key).unwrap()
    }

    #[test]
    fn invariant_1_writes_apply_in_order() {
        let store = open();
        let put = |value: &[u8]| Write::put(Table::Meta, b"k", value.to_vec());
        store.commit(&[put(b"a"), put(b"b"), Write::remove(Table::Meta, b"other")]).unwrap();
        assert_eq!(store.get(Table::Meta, b"k").unwrap(), Some(b"b".to_vec()));
        store.commit(&[Write::remove(Table::Meta, b"k")]).unwrap();
        assert_eq!(store.get(Table::Meta, b"k").unwrap(), None);
    }

    #[test]
    fn invariant_2_another_network_or_sequencer_is_refused() {
        let store = open();
        let network = NetworkId::from_bytes([1; 32]);
        let key = ConsensusPublicKey::from_bytes([2; 32]);
        assert!(store.claim(&network, &key).is_ok());
        let other = NetworkId::from_bytes([9; 32]);
        assert!(matches!(store.claim(&other, &key), Err(StoreError::Network { .. })));
        let other = ConsensusPublicKey::from_bytes([9; 32]);
        assert!(matches!(store.claim(&network, &other), Err(StoreError::Sequencer { .. })));
    }

    #[test]
    fn invariant_3_ranges_are_in_order_of_numbers() {
        let store = open();
        let writes: Vec<_> = [300u64, 2, 70_000]
            .into_iter()
            .map(|h| Write::put(Table::Orders, h.to_be_bytes(), h.to_string().into_bytes()))
            .collect();
        store.commit(&writes).unwrap();
        let found = store.range(Table::Orders, &3u64.to_be_bytes(), 10).unwrap();
        let values: Vec<_> = found.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [b"300".to_vec(), b"70000".to_vec()]);
        let last = store.last(Table::Orders).unwrap().unwrap();
        assert_eq!(last.1, b"70000");
    }
}
