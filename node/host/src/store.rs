//! Where the rows of a machine live: engines behind one port, every value sealed.
//!
//! [`open`] gives a [`Disk`]: synchronous reads of the core's port, and [`Disk::apply`], which returns
//! once all batches handed in are on the disk, as one. Who calls it gathers batches that wait (group
//! commit); a machine has one writer.
//!
//! * *Engines*: [`EngineKind::Sled`] with a gate, since its own flush loses data in a power cut
//!   ([`sled_gated`]); [`EngineKind::Redb`] ([`redb_table`]); [`InMemory`] for tests and the demo;
//!   [`Faulty`] around another one for tests of what comes after a bad disk.
//! * *Sealing* is one layer over any of them ([`Sealed`]).
//! * *Creation* happens beside the place and is renamed into it when it is complete and on the disk, so a
//!   power cut during it leaves no store, never half of one. Nothing that exists is ever built anew.
//! * After a failed write the state of a file is unknown (fsync cannot be retried): the disk refuses all
//!   further use, and the host opens it again.
//!
//! It does *not* hide how many rows there are, nor their keys: those are hashes, counters and names of
//! tables. It cannot tell that a whole row was taken away by someone who writes the disk.

mod faulty;
mod keys;
mod memory;
mod redb_table;
mod sealed;
mod sled_gated;

use aidmesh_core::store::{Batch, Read, ReadError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use faulty::{Faults, Faulty};
pub use keys::{KeyId, KeysError, RecordKeys, Scope};
pub use memory::InMemory;
pub use sealed::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Sealed};

/// A store that can be written while it is read.
pub trait Disk: Read + Send + Sync {
    /// Applies all batches in their order, atomically as one; they survive a power cut when it returns.
    fn apply(&self, batches: &[&Batch]) -> Result<(), StoreError>;
    /// Its size. Counts rows one by one with [`EngineKind::Sled`]: not for every second.
    fn stats(&self) -> Stats;
}

/// Size of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows of the engine; a value that was split counts once for each part and once more.
    pub rows: u64,
    /// Bytes that its files take; 0 in memory.
    pub bytes_on_disk: u64,
}

/// The engines that keep rows in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// A log of pages: fast small commits, for a device. Slow to open with a million rows.
    Sled,
    /// A tree of pages copied on write: opens at once and gives space back, for a relay.
    Redb,
}

impl EngineKind {
    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Sled => "sled",
            EngineKind::Redb => "redb",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<EngineKind> {
        [EngineKind::Sled, EngineKind::Redb]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// The file in a store's directory that holds the rows.
    fn main_file(self) -> &'static str {
        match self {
            EngineKind::Sled => sled_gated::MAIN_FILE,
            EngineKind::Redb => redb_table::MAIN_FILE,
        }
    }

    /// Largest row, key and value together, that the engine is given.
    fn row_bytes(self) -> usize {
        match self {
            EngineKind::Sled => sled_gated::ROW_BYTES,
            EngineKind::Redb => sealed::ROW_BYTES,
        }
    }
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A store cannot be opened or written. Shows no key and no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No space is left.
    #[error("the disk is full")]
    Full,
    /// Someone else has it open.
    #[error("the store is open already")]
    InUse,
    /// The directory holds something, but no store of this engine.
    #[error("the directory holds no store of engine {0}")]
    Foreign(EngineKind),
    /// It does not open.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// An earlier write failed.
    #[error("an earlier write failed: the store must be opened again")]
    Poisoned,
    /// The operating system refused.
    #[error("store: {0}")]
    Io(io::ErrorKind),
    /// A row that the write rests on could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The key of the rows is not there or could not be kept.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A row outside the bounds of the layout; nothing was written.
    #[error("row refused: {0}")]
    Row(&'static str),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
            kind => StoreError::Io(kind),
        }
    }
}

/// Opens the store in the directory `path`, or creates it there if the directory is missing or empty.
/// Every value is sealed with `keys`.
pub fn open(engine: EngineKind, path: &Path, keys: Arc<dyn RecordKeys>) -> Result<Arc<dyn Disk>, StoreError> {
    let raw = open_raw(engine, path)?;
    Ok(Arc::new(Sealed::new(raw, keys, engine.row_bytes())))
}

/// When the file with the rows came into being, in nanoseconds since 1970: a copy has another time.
/// `None` if there is no store, or its file system does not know.
pub fn born(path: &Path) -> Option<u64> {
    let file = [EngineKind::Sled, EngineKind::Redb]
        .into_iter()
        .map(|kind| path.join(kind.main_file()))
        .find(|file| file.exists())?;
    let created = file.metadata().ok()?.created().ok()?;
    let age = created.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(age.as_nanos()).ok()
}

fn open_raw(engine: EngineKind, path: &Path) -> Result<Arc<dyn Disk>, StoreError> {
    if is_absent(path)? {
        create(engine, path)?;
    } else if !path.join(engine.main_file()).is_file() {
        return Err(StoreError::Foreign(engine));
    }
    Ok(match engine {
        EngineKind::Sled => Arc::new(sled_gated::Gated::open(path)?),
        EngineKind::Redb => Arc::new(redb_table::Table::open(path)?),
    })
}

fn is_absent(path: &Path) -> Result<bool, StoreError> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Builds an empty store beside `path` and moves it there once it is on the disk.
fn create(engine: EngineKind, path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().ok_or(StoreError::Io(io::ErrorKind::InvalidInput))?;
    let new = being_built(path);
    match std::fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    std::fs::create_dir(&new)?;
    match engine {
        EngineKind::Sled => sled_gated::Gated::create(&new)?,
        EngineKind::Redb => redb_table::Table::create(&new)?,
    }
    sync_dir(&new)?;
    std::fs::rename(&new, path)?;
    sync_dir(parent)
}

fn being_built(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn sync_dir(path: &Path) -> Result<(), StoreError> {
    Ok(std::fs::File::open(path)?.sync_all()?)
}

/// The rows that are left when all batches are applied in order.
fn merged<'a>(batches: &[&'a Batch]) -> BTreeMap<&'a [u8], Option<&'a Bytes>> {
    batches.iter().flat_map(|batch| batch.rows()).collect()
}

/// Bytes of the files under `path`.
fn bytes_of_files(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_of_files(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod crash;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod powercut;
#[cfg(test)]
mod tests;
