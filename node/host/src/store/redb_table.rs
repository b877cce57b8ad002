//! Rows in one table of a redb file.
//!
//! redb syncs at every commit ([`Durability::Immediate`], its default, set here in so many words); in a
//! simulated power cut it lost nothing. A read sees one committed state of all rows.

use super::{Disk, Stats, StoreError, bytes_of_files, merged};
use aidmesh_core::store::{Batch, Read, ReadError, Visit};
use bytes::Bytes;
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use std::path::{Path, PathBuf};

/// The file.
pub(super) const MAIN_FILE: &str = "rows.redb";
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const CACHE_BYTES: usize = 16 << 20;

/// An open redb file.
pub(super) struct Table {
    db: Database,
    path: PathBuf,
}

impl Table {
    /// An empty file in the directory `path`, on the disk when it returns.
    pub(super) fn create(path: &Path) -> Result<(), StoreError> {
        let db = Database::create(path.join(MAIN_FILE)).map_err(store_error)?;
        let write = db.begin_write().map_err(store_error)?;
        write.open_table(ROWS).map_err(store_error)?;
        write.commit().map_err(store_error)
    }

    /// The file in the directory `path`.
    pub(super) fn open(path: &Path) -> Result<Table, StoreError> {
        let file = path.join(MAIN_FILE);
        // on a thread of its own: whatever a damaged file makes the library do, it must not end this one
        let opening = std::thread::spawn(move || {
            Database::builder()
                .set_cache_size(CACHE_BYTES)
                .open(file)
                .map_err(store_error)
        });
        let db = opening
            .join()
            .map_err(|_| StoreError::Damaged("redb panicked while opening".into()))??;
        Ok(Table {
            db,
            path: path.to_owned(),
        })
    }

    fn rows(&self) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, ReadError> {
        let read = self.db.begin_read().map_err(read_error)?;
        read.open_table(ROWS).map_err(read_error)
    }
}

impl Read for Table {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let found = self.rows()?.get(key).map_err(read_error)?;
        Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        for row in self.rows()?.range(prefix..).map_err(read_error)? {
            let (key, value) = row.map_err(read_error)?;
            if !key.value().starts_with(prefix) || visit(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Disk for Table {
    fn apply(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        let mut write = self.db.begin_write().map_err(store_error)?;
        write.set_durability(Durability::Immediate).map_err(store_error)?;
        {
            let mut table = write.open_table(ROWS).map_err(store_error)?;
            for (key, value) in merged(batches) {
                match value {
                    Some(value) => table.insert(key, &value[..]).map_err(store_error)?,
                    None => table.remove(key).map_err(store_error)?,
                };
            }
        }
        write.commit().map_err(store_error)
    }

    fn stats(&self) -> Stats {
        let rows = self.rows().ok().and_then(|rows| rows.len().ok());
        Stats {
            rows: rows.unwrap_or(0),
            bytes_on_disk: bytes_of_files(&self.path),
        }
    }
}

fn store_error(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::Damaged(error.to_string())
        }
        redb::Error::Io(error) => error.into(),
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse,
        redb::Error::PreviousIo => StoreError::Poisoned,
        error => StoreError::Damaged(error.to_string()),
    }
}

fn read_error(error: impl Into<redb::Error>) -> ReadError {
    ReadError(error.into().to_string())
}
