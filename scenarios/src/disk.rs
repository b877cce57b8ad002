//! The disk of a simulated device: committed rows, batches on their way, and what was ever there.
//!
//! A batch is durable when the disk confirms it, in order. A crash keeps any seeded prefix of the
//! unconfirmed batches: those were written, but the machine never learned it ("lost tail"). A restore
//! puts an older snapshot, or nothing, in the place of all rows, as a backup or a swapped flash would.
//!
//! [`Disk::ever`] is the ground truth for words of delivery: a word is honest if the rows it rests on
//! had been durable here by then, whatever became of the disk later.

use aidmesh_core::store::{Batch, Engine, Memory, Read, ReadError, Visit};
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};

/// Tables that words of delivery rest on: entries, own entries that wait, chunks, carried items.
const WITNESSED: &[u8] = b"pucm";

/// Rows of one device.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    rows: Memory,
    waiting: VecDeque<(u64, Batch)>,
    ever: BTreeSet<Vec<u8>>,
    snapshot: Option<Memory>,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Disk {
        Disk::default()
    }

    /// Takes a batch that is not durable yet.
    pub fn submit(&mut self, ticket: u64, batch: Batch) {
        self.waiting.push_back((ticket, batch));
    }

    /// Writes the oldest batch; returns its ticket and the batch.
    pub fn confirm(&mut self) -> Option<(u64, Batch)> {
        let (ticket, batch) = self.waiting.pop_front()?;
        self.write(&batch);
        Some((ticket, batch))
    }

    /// Fails the oldest batch and forgets all; returns its ticket.
    pub fn fail(&mut self) -> Option<u64> {
        let ticket = self.waiting.front().map(|(ticket, _)| *ticket);
        self.waiting.clear();
        ticket
    }

    /// Power is cut: `keep` of the unconfirmed batches had reached the disk. Returns those.
    pub fn cut(&mut self, keep: usize) -> Vec<Batch> {
        let left: Vec<Batch> = self
            .waiting
            .drain(..)
            .map(|(_, batch)| batch)
            .take(keep)
            .collect();
        for batch in &left {
            self.write(batch);
        }
        left
    }

    /// Batches not confirmed yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a backup of what is durable now. The program must not run: a backup of a running program
    /// cannot be told from a crash by any count of its openings.
    pub fn backup(&mut self) {
        self.snapshot = Some(self.rows.clone());
    }

    /// Puts the backup, or nothing at all if there is none or `empty`, in the place of the rows.
    pub fn restore(&mut self, empty: bool) {
        self.waiting.clear();
        self.rows = match self.snapshot.take() {
            Some(rows) if !empty => rows,
            _ => Memory::new(),
        };
    }

    /// What is durable now.
    pub fn rows(&self) -> &Memory {
        &self.rows
    }

    /// Whether a row with this key was ever durable here.
    pub fn ever(&self, key: &[u8]) -> bool {
        self.ever.contains(key)
    }

    /// Rows with this prefix that were ever durable here.
    pub fn ever_count(&self, prefix: &[u8]) -> usize {
        self.ever
            .range(prefix.to_vec()..)
            .take_while(|key| key.starts_with(prefix))
            .count()
    }

    fn write(&mut self, batch: &Batch) {
        self.rows.apply(batch).expect("memory takes every batch");
        let put = batch
            .rows()
            .filter(|(key, value)| value.is_some() && WITNESSED.contains(&key[0]));
        self.ever.extend(put.map(|(key, _)| key.to_vec()));
    }
}

impl Read for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.rows.get(key)
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        self.rows.scan(prefix, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(key: &[u8]) -> Batch {
        let mut batch = Batch::new();
        batch.put(key.to_vec(), &b"1"[..]);
        batch
    }

    #[test]
    fn a_cut_keeps_a_prefix_and_a_restore_keeps_nothing_newer() {
        let mut disk = Disk::new();
        disk.submit(1, batch(b"pa"));
        assert_eq!(disk.confirm().unwrap().0, 1);
        disk.backup();
        disk.submit(2, batch(b"pb"));
        disk.submit(3, batch(b"pc"));
        assert_eq!(disk.cut(1).len(), 1);
        assert_eq!((disk.rows().len(), disk.waiting()), (2, 0));
        assert!(disk.ever(b"pb") && !disk.ever(b"pc"));
        disk.restore(false);
        assert_eq!((disk.rows().len(), disk.ever_count(b"p")), (1, 2));
        disk.restore(true);
        assert!(disk.rows().is_empty() && disk.ever(b"pa"));
    }
}
