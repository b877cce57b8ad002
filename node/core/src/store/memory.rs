//! The engine of tests and of the simulator's disk: an ordered map.

use super::{ApplyError, Batch, Engine, Read, ReadError, Visit};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Rows in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    rows: BTreeMap<Vec<u8>, Bytes>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// All rows in key order.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], &Bytes)> {
        self.rows.iter().map(|(k, v)| (k.as_slice(), v))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Read for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        for (key, value) in self.rows.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) || visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Engine for Memory {
    fn apply(&mut self, batch: &Batch) -> Result<(), ApplyError> {
        for (key, value) in batch.rows() {
            match value {
                Some(value) => self.rows.insert(key.to_vec(), value.clone()),
                None => self.rows.remove(key),
            };
        }
        Ok(())
    }
}
