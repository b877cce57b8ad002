//! Rows in memory, for tests and for a demo that leaves nothing behind.

use super::{Disk, Stats, StoreError};
use aidmesh_core::store::{Batch, Engine, Memory, Read, ReadError, Visit, rows};
use bytes::Bytes;
use std::sync::{PoisonError, RwLock};

/// An ordered map behind a lock. Durable as long as the process.
#[derive(Debug, Default)]
pub struct InMemory {
    rows: RwLock<Memory>,
}

impl InMemory {
    /// An empty one.
    pub fn new() -> InMemory {
        InMemory::default()
    }
}

impl Read for InMemory {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        // copied first: the visitor may read again, and a lock that is held twice can wait for ever
        let found = rows(&*self.rows.read().unwrap_or_else(PoisonError::into_inner), prefix)?;
        for (key, value) in found {
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Disk for InMemory {
    fn apply(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for batch in batches {
            rows.apply(batch).expect("a map takes every row");
        }
        Ok(())
    }

    fn stats(&self) -> Stats {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        Stats {
            rows: rows.len() as u64,
            bytes_on_disk: 0,
        }
    }
}
