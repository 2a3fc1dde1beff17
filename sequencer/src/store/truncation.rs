//! Whether a database file has lost its end.
//!
//! After a crash redb takes the file at its length and goes on with whatever is whole in it, which
//! may be the state before the last commits: a sequencer that signed since then would contradict
//! itself. The file's header says how long it is at least: redb makes the file longer before a
//! header says so, and shorter after it (`grow` and `try_shrink` of redb 4), so that no crash
//! leaves less than that. The layout of the header is part of redb's file format.

use redb::StorageBackend;

use super::StoreError;

const MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// Page size, header pages and data pages of a region, full regions, pages of the last region.
const FIELDS: [usize; 5] = [12, 16, 20, 24, 28];
const HEADER_BYTES: usize = 32;

/// Refuses a file that is shorter than its header says. Whatever else is wrong is redb's to say.
pub(super) fn refuse_truncated(backend: &impl StorageBackend) -> Result<(), StoreError> {
    let actual = backend.len().map_err(storage_error)?;
    let mut header = [0; HEADER_BYTES];
    if actual < HEADER_BYTES as u64 {
        return Ok(());
    }
    backend.read(0, &mut header).map_err(storage_error)?;
    match stated_bytes(&header) {
        Some(stated) if actual < stated => Err(StoreError::Truncated { actual, stated }),
        _ => Ok(()),
    }
}

/// The length that a header states; none if it is not redb's.
fn stated_bytes(header: &[u8; HEADER_BYTES]) -> Option<u64> {
    if !header.starts_with(MAGIC) {
        return None;
    }
    let field = |at: usize| {
        let bytes = header[at..at + 4].try_into().unwrap_or_default();
        u64::from(u32::from_le_bytes(bytes))
    };
    let [page, header_pages, region_pages, full, last] = FIELDS.map(field);
    let region = header_pages.checked_add(region_pages)?.checked_mul(full)?;
    let trailing = if last == 0 { 0 } else { header_pages.checked_add(last)? };
    region.checked_add(trailing)?.checked_add(1)?.checked_mul(page)
}

fn storage_error(error: impl Into<redb::StorageError>) -> StoreError {
    StoreError::Database(error.into().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use redb::backends::InMemoryBackend;
    use redb::{Database, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("table");

    /// A backend that several own.
    #[derive(Clone, Debug)]
    struct Shared(std::sync::Arc<InMemoryBackend>);

    impl StorageBackend for Shared {
        fn len(&self) -> std::io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> std::io::Result<()> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> std::io::Result<()> {
            self.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
            self.0.write(offset, data)
        }
    }

    #[test]
    fn the_stated_length_is_the_files_at_every_size_and_a_page_less_is_refused() {
        let backend = Shared(std::sync::Arc::new(InMemoryBackend::new()));
        refuse_truncated(&backend).unwrap();
        let mut lengths = std::collections::BTreeSet::new();
        for round in 0..12 {
            let database = Database::builder().create_with_backend(backend.clone()).unwrap();
            let transaction = database.begin_write().unwrap();
            let mut table = transaction.open_table(TABLE).unwrap();
            for key in 0..64 {
                table.insert(round * 64 + key, vec![7; 8_000].as_slice()).unwrap();
            }
            drop(table);
            transaction.commit().unwrap();
            let mut header = [0; HEADER_BYTES];
            backend.read(0, &mut header).unwrap();
            assert_eq!(stated_bytes(&header), Some(backend.len().unwrap()), "while it is open");
            drop(database);
            refuse_truncated(&backend).unwrap();
            let whole = backend.len().unwrap();
            lengths.insert(whole);
            let short = Shared(std::sync::Arc::new(InMemoryBackend::new()));
            let mut bytes = vec![0; usize::try_from(whole).unwrap() - 4_096];
            backend.read(0, &mut bytes).unwrap();
            short.set_len(whole - 4_096).unwrap();
            short.write(0, &bytes).unwrap();
            let error = refuse_truncated(&short).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("database is cut off: it has {} bytes of {whole}", whole - 4_096),
            );
        }
        assert!(lengths.len() > 2, "{lengths:?}");
    }

    #[test]
    fn what_is_no_database_is_not_judged() {
        assert_eq!(stated_bytes(&[0; HEADER_BYTES]), None);
        let mut header = [0xff; HEADER_BYTES];
        header[..9].copy_from_slice(MAGIC);
        assert_eq!(stated_bytes(&header), None);
    }
}
