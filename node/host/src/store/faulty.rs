//! A disk that goes wrong at a chosen moment, for tests of what the host does then.
//!
//! The faults are a plain value, handed in; a product never makes one. A failed apply leaves nothing of
//! its batches, as the port promises.

use super::{Disk, Stats, StoreError};
use aidmesh_core::store::{Batch, Read, ReadError, Visit};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What goes wrong. Calls are counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// This apply fails, and all after it: a disk that broke.
    pub broken_from_apply: Option<u64>,
    /// This apply fails for want of space; the next one works.
    pub full_at_apply: Option<u64>,
    /// This read fails, and all after it.
    pub broken_from_read: Option<u64>,
}

/// Another disk with faults.
pub struct Faulty {
    inner: Arc<dyn Disk>,
    faults: Faults,
    applies: AtomicU64,
    reads: AtomicU64,
}

impl Faulty {
    /// `inner` with `faults`.
    pub fn new(inner: Arc<dyn Disk>, faults: Faults) -> Faulty {
        Faulty {
            inner,
            faults,
            applies: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        }
    }

    fn read(&self) -> Result<(), ReadError> {
        let now = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
        match self.faults.broken_from_read {
            Some(from) if now >= from => Err(ReadError("the disk is broken".into())),
            _ => Ok(()),
        }
    }
}

impl Read for Faulty {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.read()?;
        self.inner.get(key)
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        self.read()?;
        self.inner.scan(prefix, visit)
    }
}

impl Disk for Faulty {
    fn apply(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        let now = self.applies.fetch_add(1, Ordering::Relaxed) + 1;
        if self.faults.full_at_apply == Some(now) {
            return Err(StoreError::Full);
        }
        match self.faults.broken_from_apply {
            Some(from) if now >= from => Err(StoreError::Io(io::ErrorKind::Other)),
            _ => self.inner.apply(batches),
        }
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}
