//! Every value sealed and bound to its place, over any engine; values that are too long in parts.
//!
//! ```text
//! row:        key                          -> version 1 | key id 8 | nonce 24 | XChaCha20-Poly1305
//! plaintext:  0 | value                       or   1 | parts u32 | length u64
//! part row:   0xFF | BLAKE3(key)[..16] | index u32 big-endian  -> the same envelope of a piece of the value
//! AAD:        table byte | schema u32 | key of the row, and for a part the nonce of its row
//! ```
//!
//! * A row that was moved, exchanged or changed does not open: that is a [`ReadError`] naming the table,
//!   never a panic and never an absent row. A part opens beside the row it was written with only, so an old
//!   part cannot be put under a new row.
//! * Keys stay in clear, so that scans walk a log in order: ids in them are hashes, the rest are counters.
//!   Who has the disk learns how many threads, entries and chunks there are and how long they are.
//! * A thread has its own key: erasing it erases the rows, wherever an engine still holds old bytes. A new
//!   key is on the disk before the first row sealed with it ([`RecordKeys::ensure`]).
//! * Parts are written, and those of an older longer value deleted, in the batch of their row. They live in
//!   a table of their own, which no scan shows.
//! * A whole row that was deleted or put back to an older value by someone who writes the disk is not
//!   noticed here; a whole store put back is ([`crate::openings`]).

use super::keys::{KeyId, RecordKeys, Scope};
use super::{Disk, Stats, StoreError, merged};
use aidmesh_core::crypto::{Secret, open, seal};
use aidmesh_core::store::table::SCHEMA;
use aidmesh_core::store::{Batch, Read, ReadError, Visit};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Largest row, key and value together, for engines without a narrower bound.
pub(super) const ROW_BYTES: usize = 32 << 10;
/// Longest key. The longest of the core are those of key pairs of OpenMLS, about 2.5 kB.
pub const MAX_KEY_BYTES: usize = 4096;
/// Longest value.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

const VERSION: u8 = 1;
const NONCE: usize = 24;
const HEAD: usize = 1 + 8 + NONCE;
const TAG: usize = 16;
const WHOLE: u8 = 0;
const SPLIT: u8 = 1;
/// First byte of the keys of parts; no table of the core has it.
const PARTS: u8 = 0xff;
const PART_KEY: usize = 1 + 16 + 4;
/// Tables whose rows belong to the thread that the key names after the table's byte.
const THREAD_TABLES: &[u8] = b"tepuncvrq";
/// Attempts to read a row whose parts are being replaced, before calling it damaged.
const ATTEMPTS: u32 = 1000;

/// Sealed rows over an engine.
pub struct Sealed {
    engine: Arc<dyn Disk>,
    keys: Arc<dyn RecordKeys>,
    row_bytes: usize,
    /// What a write deletes depends on what is there: one at a time.
    writing: Mutex<()>,
}

impl Sealed {
    /// Over `engine`, with rows of at most `row_bytes` (at least 5000), key and value together.
    pub fn new(engine: Arc<dyn Disk>, keys: Arc<dyn RecordKeys>, row_bytes: usize) -> Sealed {
        assert!(
            row_bytes > MAX_KEY_BYTES + 512,
            "a row must have room for its key"
        );
        Sealed {
            engine,
            keys,
            row_bytes,
            writing: Mutex::new(()),
        }
    }

    fn seal_row(&self, key: &[u8], value: &[u8], batch: &mut Batch) -> Result<u32, StoreError> {
        let (id, secret) = self
            .keys
            .of(scope(key))
            .ok_or(StoreError::Row("its key is not there"))?;
        let nonce = fresh_nonce();
        if key.len() + HEAD + 1 + value.len() + TAG <= self.row_bytes {
            let plaintext = Zeroizing::new([&[WHOLE], value].concat());
            batch.put(
                key.to_vec(),
                sealed(id, &secret, &nonce, &aad(key, &[]), &plaintext),
            );
            return Ok(0);
        }
        let piece = self.row_bytes - PART_KEY - HEAD - TAG;
        let mut parts = 0;
        for bytes in value.chunks(piece) {
            let at = part_key(key, parts);
            let envelope = sealed(id, &secret, &fresh_nonce(), &aad(&at, &nonce), bytes);
            batch.put(at, envelope);
            parts += 1;
        }
        let length = (value.len() as u64).to_le_bytes();
        let plaintext = [&[SPLIT][..], &parts.to_le_bytes(), &length].concat();
        batch.put(
            key.to_vec(),
            sealed(id, &secret, &nonce, &aad(key, &[]), &plaintext),
        );
        Ok(parts)
    }

    /// Deletes the parts of what `key` held before, from the part `from` on.
    fn drop_parts(&self, key: &[u8], from: u32, batch: &mut Batch) -> Result<(), StoreError> {
        let first = part_key(key, from);
        self.engine.scan(&first[..PART_KEY - 4], &mut |part, _| {
            if part >= &first[..] {
                batch.delete(part.to_vec());
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    fn unseal(&self, at: &[u8], row: &[u8], of: &[u8]) -> Result<Vec<u8>, Broken> {
        let (&[VERSION], rest) = row.split_first_chunk().ok_or(Broken("is too short"))? else {
            return Err(Broken("has an unknown version"));
        };
        let (id, rest) = rest.split_first_chunk::<8>().ok_or(Broken("is too short"))?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(Broken("is too short"))?;
        let secret = self
            .keys
            .by_id(*id)
            .ok_or(Broken("is sealed with an unknown key"))?;
        open(&secret, nonce, &aad(at, of), rest).ok_or(Broken("does not open"))
    }

    fn value(&self, key: &[u8], row: &[u8]) -> Result<Bytes, Broken> {
        let plaintext = self.unseal(key, row, &[])?;
        match plaintext.split_first() {
            Some((&WHOLE, _)) => Ok(Bytes::from(plaintext).slice(1..)),
            Some((&SPLIT, rest)) => {
                let (parts, length) = rest.split_first_chunk::<4>().ok_or(Broken("has no count"))?;
                let length: [u8; 8] = length.try_into().map_err(|_| Broken("has no length"))?;
                let nonce = &row[HEAD - NONCE..HEAD];
                self.join(key, nonce, u32::from_le_bytes(*parts), u64::from_le_bytes(length))
            }
            _ => Err(Broken("has an unknown form")),
        }
    }

    fn join(&self, key: &[u8], nonce: &[u8], parts: u32, length: u64) -> Result<Bytes, Broken> {
        let length = usize::try_from(length).map_err(|_| Broken("is too long"))?;
        if length > MAX_VALUE_BYTES {
            return Err(Broken("is too long"));
        }
        let mut value = Vec::with_capacity(length);
        for index in 0..parts {
            let at = part_key(key, index);
            let row = self.engine.get(&at).map_err(|_| Broken("cannot be read"))?;
            let row = row.ok_or(Broken("lacks a part"))?;
            let piece = Zeroizing::new(self.unseal(&at, &row, nonce)?);
            value.extend_from_slice(&piece);
        }
        match value.len() == length {
            true => Ok(value.into()),
            false => Err(Broken("lacks bytes")),
        }
    }

    /// The value of a row, which may be replaced meanwhile; `None` if it is deleted meanwhile.
    fn settled(&self, key: &[u8], row: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let mut row = Bytes::copy_from_slice(row);
        for _ in 0..ATTEMPTS {
            let broken = match self.value(key, &row) {
                Ok(value) => return Ok(Some(value)),
                Err(broken) => broken,
            };
            match self.engine.get(key)? {
                None => return Ok(None),
                Some(now) if now == row => return Err(broken.at(key)),
                Some(now) => row = now,
            }
        }
        Err(Broken("changes too fast").at(key))
    }
}

impl Read for Sealed {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        if key.first() == Some(&PARTS) {
            return Ok(None);
        }
        match self.engine.get(key)? {
            Some(row) => self.settled(key, &row),
            None => Ok(None),
        }
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        if prefix.first() == Some(&PARTS) {
            return Ok(());
        }
        let mut failed = None;
        self.engine.scan(prefix, &mut |key, row| {
            if key.first() == Some(&PARTS) {
                // the last table
                return ControlFlow::Break(());
            }
            match self.settled(key, row) {
                Ok(Some(value)) => visit(key, &value),
                Ok(None) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }
}

impl Disk for Sealed {
    fn apply(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        let rows = merged(batches);
        check(&rows)?;
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let written = rows.iter().filter(|(_, value)| value.is_some());
        let scopes: BTreeSet<Scope> = written.map(|(key, _)| scope(key)).collect();
        if !scopes.is_empty() {
            self.keys.ensure(&scopes)?;
        }
        let mut batch = Batch::new();
        for (key, value) in rows {
            let parts = match value {
                Some(value) => self.seal_row(key, value, &mut batch)?,
                None => {
                    batch.delete(key.to_vec());
                    0
                }
            };
            self.drop_parts(key, parts, &mut batch)?;
        }
        self.engine.apply(&[&batch])
    }

    fn stats(&self) -> Stats {
        self.engine.stats()
    }
}

/// Why a row is none.
#[derive(Clone, Copy, Debug)]
struct Broken(&'static str);

impl Broken {
    /// With the table and a name of the row that does not show its key.
    fn at(self, key: &[u8]) -> ReadError {
        let table = key.first().copied().unwrap_or_default().escape_ascii();
        let name = blake3::hash(key).to_hex();
        ReadError(format!("row {} of table '{table}' {}", &name[..8], self.0))
    }
}

fn check(rows: &BTreeMap<&[u8], Option<&Bytes>>) -> Result<(), StoreError> {
    for (key, value) in rows {
        if key.is_empty() || key.len() > MAX_KEY_BYTES || key[0] == PARTS {
            return Err(StoreError::Row("its key is not one of the layout"));
        }
        if value.is_some_and(|value| value.len() > MAX_VALUE_BYTES) {
            return Err(StoreError::Row("its value is too long"));
        }
    }
    Ok(())
}

fn scope(key: &[u8]) -> Scope {
    let table = key.first().copied().unwrap_or_default();
    match key.get(1..17).and_then(|id| id.try_into().ok()) {
        Some(thread) if THREAD_TABLES.contains(&table) => Scope::Thread(thread),
        _ => Scope::General,
    }
}

fn part_key(key: &[u8], index: u32) -> Vec<u8> {
    let name = blake3::hash(key);
    [&[PARTS], &name.as_bytes()[..16], &index.to_be_bytes()].concat()
}

fn aad(key: &[u8], of: &[u8]) -> Vec<u8> {
    let table = key.first().copied().unwrap_or_default();
    [&[table][..], &SCHEMA.to_le_bytes(), key, of].concat()
}

fn sealed(id: KeyId, secret: &Secret, nonce: &[u8; NONCE], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    [&[VERSION], &id[..], nonce, &seal(secret, nonce, aad, plaintext)].concat()
}

fn fresh_nonce() -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).expect("the operating system gives randomness");
    nonce
}
