//! Rows in a sled log, behind a gate: written is what *we* synced.
//!
//! `flush()` of sled 0.34.7 hands pages to the kernel and does not make the drive write them: in simulated
//! power cuts acknowledged data was lost every time, and some stores did not open again. So:
//!
//! * `apply_batch`, then `flush()`, then `sync_data()` on our own handle of its `db` file, and only then
//!   the batch is acknowledged. `conf`, `db` and the directory are synced at creation.
//! * One tree: a batch is atomic within a tree only.
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
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// sled's log.
pub(super) const MAIN_FILE: &str = "db";
const CONF_FILE: &str = "conf";
/// Ends the name of a snapshot while it is written (sled's `snapshot.rs`).
const UNFINISHED: &str = ".generating";
const CACHE_BYTES: u64 = 24 << 20;
/// Size of sled's segments, its default: a page larger than a quarter of it becomes a blob.
const SEGMENT_BYTES: usize = 512 << 10;
/// A leaf splits beyond 16 rows, and one of fewer than 4 joins its neighbour (sled's `node.rs`); one more
/// may be written before the split.
const ROWS_PER_LEAF: usize = 16 + 3 + 2;
/// Largest row, key and value together.
pub(super) const ROW_BYTES: usize = 6000;
const _: () = assert!(ROWS_PER_LEAF * (ROW_BYTES + 32) + 1024 < SEGMENT_BYTES / 4);
/// How long a store that was just dropped may hold its lock: threads of sled end late.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// An open sled log.
pub(super) struct Gated {
    db: sled::Db,
    /// Our handle of its log; one writer at a time.
    gate: Mutex<File>,
    poisoned: AtomicBool,
    path: PathBuf,
}

impl Gated {
    /// An empty log in the directory `path`, on the disk when it returns.
    pub(super) fn create(path: &Path) -> Result<(), StoreError> {
        let db = open_on_a_thread(path)?;
        caught(|| db.flush())?;
        for file in [CONF_FILE, MAIN_FILE] {
            File::open(path.join(file))?.sync_all()?;
        }
        Ok(())
    }

    /// The log in the directory `path`.
    pub(super) fn open(path: &Path) -> Result<Gated, StoreError> {
        let db = open_on_a_thread(path)?;
        let gate = File::open(path.join(MAIN_FILE))?;
        // recovery may have written to it
        gate.sync_all()?;
        Ok(Gated {
            db,
            gate: Mutex::new(gate),
            poisoned: AtomicBool::new(false),
            path: path.to_owned(),
        })
    }

    fn usable(&self) -> Result<(), StoreError> {
        match self.poisoned.load(Ordering::Acquire) {
            true => Err(StoreError::Poisoned),
            false => Ok(()),
        }
    }

    fn write(&self, gate: &File, batch: sled::Batch) -> Result<(), StoreError> {
        caught(|| self.db.apply_batch(batch))?;
        caught(|| self.db.flush())?;
        Ok(gate.sync_data()?)
    }
}

impl Read for Gated {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.usable().map_err(read_error)?;
        let found = caught(|| self.db.get(key)).map_err(read_error)?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        self.usable().map_err(read_error)?;
        let mut rows = self.db.scan_prefix(prefix);
        while let Some((key, value)) = caught(|| rows.next().transpose()).map_err(read_error)? {
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Disk for Gated {
    fn apply(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in merged(batches) {
            match value {
                Some(value) => batch.insert(key, &value[..]),
                None => batch.remove(key),
            }
        }
        let gate = self.gate.lock().map_err(|_| StoreError::Poisoned)?;
        self.usable()?;
        let written = self.write(&gate, batch);
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

fn open_on_a_thread(path: &Path) -> Result<sled::Db, StoreError> {
    let since = Instant::now();
    loop {
        remove_unfinished(path)?;
        let config = sled::Config::new()
            .path(path)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .use_compression(false);
        let opened = std::thread::spawn(move || config.open().map_err(store_error))
            .join()
            .unwrap_or_else(|_| Err(panicked()));
        match opened {
            Err(StoreError::InUse) if since.elapsed() < LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return opened,
        }
    }
}

/// Calls sled; a panic in it becomes an error.
fn caught<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(sled::Error::ReportableBug("panic".into())))
        .map_err(store_error)
}

fn panicked() -> StoreError {
    StoreError::Damaged("sled panicked while opening".into())
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
