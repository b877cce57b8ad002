//! Rows in a sled log, behind a gate: written is what *we* synced.
//!
//! `flush()` of sled 0.34.7 hands pages to the kernel and does not make the drive write them: in simulated
//! power cuts acknowledged data was lost every time, and some stores did not open again. So:
//!
//! * `apply_batch`, then `flush()`, then `sync_data()` on our own handle of its `db` file, and only then
//!   the batch is acknowledged. `conf`, `db` and the directory are synced at creation.
//! * Between two syncs less than a segment is written. Recovery believes what a segment's header says of
//!   those before the last one, and a header may reach the drive before them: batches that wrote a whole
//!   segment and more left stores that did not open. So a batch of more rows than a step ([`SEGMENTS`]) is
//!   first written to a tree of its own, in steps with a sync each, then applied in steps; what a cut left
//!   complete there is applied at the next opening, the rest is thrown away.
//! * A page that outgrows a quarter of a segment goes to a blob file, which sled never syncs. A leaf holds
//!   at most [`ROWS_PER_LEAF`] rows, so rows of at most [`ROW_BYTES`] keep every page out of there.
//! * A snapshot that a power cut left unfinished is taken for a damaged one: it is removed before sled opens.
//! * sled panics on some damaged files: it is opened on a thread of its own, and every call is caught.
//!
//! What it does *not* do: give space back, or open fast with a million rows. See [`super::EngineKind`].

use super::{Disk, Stats, StoreError, bytes_of_files, merged};
use aidmesh_core::store::{Batch, Read, ReadError, Visit};
use bytes::Bytes;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};

/// sled's log.
pub(super) const MAIN_FILE: &str = "db";
const CONF_FILE: &str = "conf";
/// Ends the name of a snapshot while it is written (sled's `snapshot.rs`).
const UNFINISHED: &str = ".generating";
const CACHE_BYTES: u64 = 24 << 20;
/// Size of sled's segments, of which a quarter is the largest page that does not become a blob, and how many
/// rows are written between two syncs. Stores made by the first version have the second pair.
const SEGMENTS: [(usize, usize); 2] = [(4 << 20, 16), (512 << 10, 2)];
/// Batches that are larger than a step, while they are applied.
const INTENTS: &[u8] = b"intents";
/// Key of the row that says that a batch stands there whole; the others have numbers of four bytes.
const WHOLE: &[u8] = b"whole";
/// A leaf splits beyond 16 rows, and one of fewer than 4 joins its neighbour (sled's `node.rs`); one more
/// may be written before the split.
const ROWS_PER_LEAF: usize = 16 + 3 + 2;
/// Largest row, key and value together.
pub(super) const ROW_BYTES: usize = 6000;
const PAGE_BYTES: usize = ROWS_PER_LEAF * (ROW_BYTES + 32) + 1024;
// with each row sled may write its leaf anew and move one more page to free a segment
const _: () = {
    let [(large, more), (small, fewer)] = SEGMENTS;
    assert!(PAGE_BYTES < large / 4 && PAGE_BYTES < small / 4);
    assert!(more * (2 * PAGE_BYTES + ROW_BYTES) < large && fewer * (2 * PAGE_BYTES + ROW_BYTES) < small);
};
/// How long a store that was just dropped may hold its lock: threads of sled end late.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// A row to be put, or deleted if there is no value.
type Row<'a> = (&'a [u8], Option<&'a [u8]>);

/// `1 if the row is put, 0 if it is deleted | length of its key u16 | key | value`.
fn intent_of((key, value): &Row<'_>) -> Vec<u8> {
    let length = (key.len() as u16).to_le_bytes();
    [
        &[u8::from(value.is_some())],
        &length[..],
        key,
        value.unwrap_or_default(),
    ]
    .concat()
}

fn row_of(intent: &[u8]) -> Option<Row<'_>> {
    let (&[is_put, low, high], rest) = intent.split_first_chunk()?;
    let (key, value) = rest.split_at_checked(u16::from_le_bytes([low, high]).into())?;
    match is_put {
        0 if value.is_empty() => Some((key, None)),
        1 => Some((key, Some(value))),
        _ => None,
    }
}

/// An open sled log.
pub(super) struct Gated {
    db: sled::Db,
    intents: sled::Tree,
    /// Rows written between two syncs.
    step_rows: usize,
    /// Held for writing while a batch is applied in steps, so that no reader sees a part of it.
    steps: RwLock<()>,
    /// Our handle of its log; one writer at a time.
    gate: Mutex<File>,
    poisoned: AtomicBool,
    path: PathBuf,
}

impl Gated {
    /// An empty log in the directory `path`, on the disk when it returns.
    pub(super) fn create(path: &Path) -> Result<(), StoreError> {
        let (db, _) = open_on_a_thread(path)?;
        caught(|| db.open_tree(INTENTS))?;
        caught(|| db.flush())?;
        for file in [CONF_FILE, MAIN_FILE] {
            File::open(path.join(file))?.sync_all()?;
        }
        Ok(())
    }

    /// The log in the directory `path`.
    pub(super) fn open(path: &Path) -> Result<Gated, StoreError> {
        let (db, step_rows) = open_on_a_thread(path)?;
        let gate = File::open(path.join(MAIN_FILE))?;
        let intents = caught(|| db.open_tree(INTENTS))?;
        // recovery may have written to it
        gate.sync_all()?;
        let gated = Gated {
            db,
            intents,
            step_rows,
            steps: RwLock::new(()),
            gate: Mutex::new(gate),
            poisoned: AtomicBool::new(false),
            path: path.to_owned(),
        };
        gated.recover(&*gated.lock()?)?;
        Ok(gated)
    }

    fn lock(&self) -> Result<MutexGuard<'_, File>, StoreError> {
        self.gate.lock().map_err(|_| StoreError::Poisoned)
    }

    /// Applies a batch that a cut left whole among the intents, and throws away what is not whole.
    fn recover(&self, gate: &File) -> Result<(), StoreError> {
        if caught(|| self.intents.contains_key(WHOLE))? {
            let rows: Vec<(sled::IVec, sled::IVec)> = caught(|| self.intents.iter().collect())?;
            let rows = rows.iter().filter(|(key, _)| key != WHOLE);
            let rows: Vec<Row<'_>> = rows
                .map(|(_, intent)| row_of(intent).ok_or_else(|| StoreError::Damaged("an intent".into())))
                .collect::<Result<_, _>>()?;
            self.in_steps(gate, &self.db, &rows)?;
        }
        self.forget_intents(gate)
    }

    /// Writes `rows` to `tree`, with a sync after each step.
    fn in_steps(&self, gate: &File, tree: &sled::Tree, rows: &[Row<'_>]) -> Result<(), StoreError> {
        for step in rows.chunks(self.step_rows) {
            self.write(gate, tree, step)?;
        }
        Ok(())
    }

    fn forget_intents(&self, gate: &File) -> Result<(), StoreError> {
        let keys: Vec<sled::IVec> = caught(|| self.intents.iter().keys().collect())?;
        // from the back: the row that says *whole* goes with the first step
        let rows: Vec<Row<'_>> = keys.iter().rev().map(|key| (&key[..], None)).collect();
        self.in_steps(gate, &self.intents, &rows)
    }

    /// Writes a batch that is larger than a step: a cut leaves all of it or nothing.
    fn write_large(&self, gate: &File, rows: &[Row<'_>]) -> Result<(), StoreError> {
        let numbered = rows.iter().zip(0u32..);
        let intents: Vec<(Vec<u8>, Vec<u8>)> = numbered
            .map(|(row, number)| (number.to_be_bytes().to_vec(), intent_of(row)))
            .chain([(WHOLE.to_vec(), Vec::new())])
            .collect();
        let intents: Vec<Row<'_>> = intents
            .iter()
            .map(|(key, value)| (&key[..], Some(&value[..])))
            .collect();
        self.in_steps(gate, &self.intents, &intents)?;
        {
            let _alone = self.steps.write().map_err(|_| StoreError::Poisoned)?;
            self.in_steps(gate, &self.db, rows)?;
        }
        self.forget_intents(gate)
    }

    /// Reads while no batch is half applied.
    fn between_steps<T>(&self, read: impl FnOnce() -> sled::Result<T>) -> Result<T, ReadError> {
        let _shared = self.steps.read().map_err(|_| read_error(StoreError::Poisoned))?;
        caught(read).map_err(read_error)
    }

    fn usable(&self) -> Result<(), StoreError> {
        match self.poisoned.load(Ordering::Acquire) {
            true => Err(StoreError::Poisoned),
            false => Ok(()),
        }
    }

    fn write(&self, gate: &File, tree: &sled::Tree, rows: &[Row<'_>]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(*key, *value),
                None => batch.remove(*key),
            }
        }
        caught(|| tree.apply_batch(batch))?;
        caught(|| self.db.flush())?;
        Ok(gate.sync_data()?)
    }
}

impl Read for Gated {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.usable().map_err(read_error)?;
        let found = self.between_steps(|| self.db.get(key))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        self.usable().map_err(read_error)?;
        let mut rows = self.db.scan_prefix(prefix);
        while let Some((key, value)) = self.between_steps(|| rows.next().transpose())? {
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Disk for Gated {
    fn apply(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        let rows = merged(batches).into_iter();
        let rows: Vec<Row<'_>> = rows
            .map(|(key, value)| (key, value.map(|value| &value[..])))
            .collect();
        let gate = self.lock()?;
        self.usable()?;
        let written = match rows.len() <= self.step_rows {
            true => self.write(&gate, &self.db, &rows),
            false => self.write_large(&gate, &rows),
        };
        if written.is_err() {
            self.poisoned.store(true, Ordering::Release);
        }
        written
    }

    fn stats(&self) -> Stats {
        let rows = caught(|| Ok(self.db.len())).unwrap_or(0);
        Stats {
            rows: rows as u64,
            bytes_on_disk: bytes_of_files(&self.path),
        }
    }
}

/// Removes snapshots that were not finished, unless somebody has the log open and may be writing one.
fn remove_unfinished(path: &Path) -> Result<(), StoreError> {
    let Ok(log) = File::open(path.join(MAIN_FILE)) else {
        return Ok(());
    };
    if log.try_lock().is_err() {
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The log in the directory `path`, and the rows of its steps.
fn open_on_a_thread(path: &Path) -> Result<(sled::Db, usize), StoreError> {
    let since = Instant::now();
    let [mut segments, older] = SEGMENTS;
    loop {
        remove_unfinished(path)?;
        let config = sled::Config::new()
            .path(path)
            .segment_size(segments.0)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .use_compression(false);
        let opened = std::thread::spawn(move || config.open())
            .join()
            .unwrap_or_else(|_| Err(sled::Error::ReportableBug("panic".into())));
        match opened {
            // made with segments of another size
            Err(sled::Error::Unsupported(_)) if segments != older => segments = older,
            Err(error) => match store_error(error) {
                StoreError::InUse if since.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                error => return Err(error),
            },
            Ok(db) => return Ok((db, segments.1)),
        }
    }
}

/// Calls sled; a panic in it becomes an error.
fn caught<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(sled::Error::ReportableBug("panic".into())))
        .map_err(store_error)
}

fn store_error(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => StoreError::InUse,
        sled::Error::Io(error) => error.into(),
        // its own text may show bytes of a page
        sled::Error::Corruption { .. } => StoreError::Damaged("sled found a corrupt page".into()),
        _ => StoreError::Damaged("sled cannot go on with this file".into()),
    }
}

fn read_error(error: StoreError) -> ReadError {
    ReadError(error.to_string())
}
