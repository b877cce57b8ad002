//! The store port: synchronous reads, writes as values.
//!
//! The core reads through [`Read`] and never writes: every change leaves as one [`Batch`] that the
//! host applies atomically. Until it is confirmed, reads see it through [`Layered`], so that a
//! sequence number in a batch in flight is never given out twice.
//!
//! * One flat key space; a table is the first byte of the key ([`table`]).
//! * A batch is all or nothing, and batches are applied in the order in which they left.
//! * [`conformance`] is the one suite that every engine must pass.

pub mod conformance;
mod memory;
pub mod table;

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

pub use memory::Memory;

/// The store could not be read. It poisons the machine: the host opens a new one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("store read failed: {0}")]
pub struct ReadError(pub String);

/// The store could not apply a batch; nothing of it is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("store write failed: {0}")]
pub struct ApplyError(pub String);

/// Called for each row of a scan, in key order; `Break` ends it.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Synchronous reads.
pub trait Read {
    /// The value at `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError>;
    /// All rows whose key starts with `prefix`, in key order.
    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError>;
}

/// A store that applies batches. Implemented by hosts and the simulator's disk.
pub trait Engine: Read {
    /// Applies all of `batch` or nothing.
    fn apply(&mut self, batch: &Batch) -> Result<(), ApplyError>;
}

/// Rows to put (`Some`) or delete (`None`), applied atomically.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Batch {
    rows: BTreeMap<Vec<u8>, Option<Bytes>>,
}

/// Rows hold keys and plaintext: only their number is shown.
impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} rows)", self.rows.len())
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Sets a row.
    pub fn put(&mut self, key: Vec<u8>, value: impl Into<Bytes>) {
        self.rows.insert(key, Some(value.into()));
    }

    /// Deletes a row.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.rows.insert(key, None);
    }

    /// The rows in key order.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], Option<&Bytes>)> {
        self.rows.iter().map(|(k, v)| (k.as_slice(), v.as_ref()))
    }

    /// Nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows in it.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Puts all rows of `other` over these.
    pub fn merge(&mut self, other: Batch) {
        self.rows.extend(other.rows);
    }
}

/// The store as the core sees it: batches in flight, oldest first, over the engine.
pub struct Layered<'a> {
    base: &'a dyn Read,
    layers: Vec<&'a Batch>,
}

impl<'a> Layered<'a> {
    /// `in_flight` oldest first, then the batch that is being built.
    pub fn new(base: &'a dyn Read, in_flight: &'a VecDeque<(u64, Batch)>, current: &'a Batch) -> Layered<'a> {
        let layers = in_flight.iter().map(|(_, b)| b).chain([current]).collect();
        Layered { base, layers }
    }
}

impl Read for Layered<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        for layer in self.layers.iter().rev() {
            if let Some(row) = layer.rows.get(key) {
                return Ok(row.clone());
            }
        }
        self.base.get(key)
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        let mut over: BTreeMap<&[u8], Option<&Bytes>> = BTreeMap::new();
        for layer in &self.layers {
            let rows = layer
                .rows
                .range(prefix.to_vec()..)
                .take_while(|(k, _)| k.starts_with(prefix));
            over.extend(rows.map(|(k, v)| (k.as_slice(), v.as_ref())));
        }
        let mut over = over.into_iter().peekable();
        let mut broke = false;
        self.base.scan(prefix, &mut |key, value| {
            while let Some((k, v)) = over.next_if(|(k, _)| *k < key) {
                if let Some(v) = v
                    && visit(k, v).is_break()
                {
                    broke = true;
                    return ControlFlow::Break(());
                }
            }
            let flow = match over.next_if(|(k, _)| *k == key) {
                Some((_, Some(v))) => visit(key, v),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(key, value),
            };
            broke = flow.is_break();
            flow
        })?;
        for (k, v) in over {
            if broke {
                break;
            }
            if let Some(v) = v {
                broke = visit(k, v).is_break();
            }
        }
        Ok(())
    }
}

/// All rows under `prefix`, copied: for small tables only.
pub fn rows(store: &dyn Read, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Bytes)>, ReadError> {
    let mut out = Vec::new();
    store.scan(prefix, &mut |k, v| {
        out.push((k.to_vec(), Bytes::copy_from_slice(v)));
        ControlFlow::Continue(())
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests;
