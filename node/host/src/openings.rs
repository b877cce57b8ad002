//! How often a store was opened, counted *outside* its folder, so that a copy cannot carry it along.
//!
//! A machine that writes twice in one place of its log, because a copy of its store woke up, equivocates
//! against itself (PROTOCOL N4). Its store holds the number of its last opening, this count the number of
//! the last one that was [confirmed](Openings::confirm). [`Openings::next`] is what a machine is opened
//! with: one more than the count. The machine finds its own number equal (it ended before the host counted)
//! or one less (the normal case); anything else is a store that was restored, cloned or rebuilt.
//!
//! Where the count itself cannot be trusted, `next` is a random number that no store holds, see
//! [`Restored`]: there is no count; or it belongs to another machine (a cloned disk brings both along); or
//! the file with the rows is not the one that was counted (a restore makes a new file, even within one
//! opening).
//!
//! * One file for each key of a device, and a lock: two copies never run side by side on one machine.
//! * What it does *not* find out: an image of the whole disk put back on the same machine within the
//!   opening in which it was taken, or a file overwritten in place.

mod record;

use crate::folder::{replace, sync_parent};
use crate::store;
use record::Record;
use rustix::fs::{FlockOperation, flock};
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The count cannot be read or kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum OpeningsError {
    /// A fresh identity has been here before.
    #[error("openings of this identity are counted in {} already", path.display())]
    Exists { path: PathBuf },
    /// Another process runs with this identity, from another folder.
    #[error("another process runs with this identity (held in {})", path.display())]
    InUse { path: PathBuf },
    /// No space is left.
    #[error("the disk of {} is full", path.display())]
    Full { path: PathBuf },
    /// The operating system refused.
    #[error("{}: {kind}", path.display())]
    Io { path: PathBuf, kind: io::ErrorKind },
}

/// Why a store is treated as restored before its machine looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// Nothing was counted here: the folder comes from elsewhere, or the count was lost.
    NoCount,
    /// The count does not parse.
    Damaged,
    /// It was counted on a machine with another id.
    OtherMachine,
    /// The file with the rows came into being at another time than the one that was counted.
    OtherStore,
}

/// The count of one identity.
#[derive(Debug)]
pub struct Openings {
    /// `None`: kept in memory only.
    file: Option<Counted>,
    restored: Option<Restored>,
    next: Mutex<u64>,
}

#[derive(Debug)]
struct Counted {
    path: PathBuf,
    store: PathBuf,
    machine: Option<[u8; 8]>,
    _lock: File,
}

impl Openings {
    /// Begins the count of a fresh identity, before anything is stored with it. May be repeated until the
    /// first opening is confirmed.
    pub fn begin(state_dir: &Path, key8: [u8; 8]) -> Result<(), OpeningsError> {
        begin_on(state_dir, key8, machine_id(key8))
    }

    /// The count for the store in the directory `store` (which may not exist yet). Holds a lock.
    pub fn load(state_dir: &Path, key8: [u8; 8], store: &Path) -> Result<Openings, OpeningsError> {
        load_on(state_dir, key8, store, machine_id(key8))
    }

    /// For a store that lives in memory: counts from 1 and keeps nothing.
    pub fn volatile() -> Openings {
        Openings {
            file: None,
            restored: None,
            next: Mutex::new(1),
        }
    }

    /// The generation to open the machine with. The same until it is confirmed, one more afterwards.
    pub fn next(&self) -> u64 {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether, and why, [`Openings::next`] began as a number that no store holds.
    pub fn restored(&self) -> Option<Restored> {
        self.restored
    }

    /// Counts the opening with `generation`: call it once its first batch is on the disk, before anything
    /// leaves the machine. On the disk when it returns.
    pub fn confirm(&self, generation: u64) -> Result<(), OpeningsError> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            let record = Record {
                count: generation,
                machine: file.machine,
                born: store::born(&file.store),
            };
            write(&file.path, &record)?;
        }
        *next = generation.saturating_add(1);
        Ok(())
    }
}

/// The directory of the counts: `AIDMESH_STATE_DIR`, or `aidmesh` under `XDG_STATE_HOME` or
/// `~/.local/state`, or `/var/lib/aidmesh-state` for a service without a home.
pub fn state_dir() -> PathBuf {
    state_dir_from(|name| std::env::var_os(name))
}

fn state_dir_from(env: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let set = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("AIDMESH_STATE_DIR") {
        return dir;
    }
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    match state.filter(|dir| dir.is_absolute()) {
        Some(dir) => dir.join("aidmesh"),
        None => PathBuf::from("/var/lib/aidmesh-state"),
    }
}

fn begin_on(state_dir: &Path, key8: [u8; 8], machine: Option<[u8; 8]>) -> Result<(), OpeningsError> {
    let path = place(state_dir, key8)?;
    let _lock = lock(&path)?;
    match read(&path)? {
        Some(Some(record)) if record.count == 0 => {}
        None => {}
        Some(_) => return Err(OpeningsError::Exists { path }),
    }
    let record = Record {
        count: 0,
        machine,
        born: None,
    };
    write(&path, &record)
}

fn load_on(
    state_dir: &Path,
    key8: [u8; 8],
    store: &Path,
    machine: Option<[u8; 8]>,
) -> Result<Openings, OpeningsError> {
    let path = place(state_dir, key8)?;
    let lock = lock(&path)?;
    let differ = |a: Option<u64>, b: Option<u64>| a.is_some() && b.is_some() && a != b;
    let number = |id: Option<[u8; 8]>| id.map(u64::from_le_bytes);
    let found = match read(&path)? {
        None => Err(Restored::NoCount),
        Some(None) => Err(Restored::Damaged),
        Some(Some(record)) if differ(number(record.machine), number(machine)) => Err(Restored::OtherMachine),
        Some(Some(record)) if differ(record.born, store::born(store)) => Err(Restored::OtherStore),
        Some(Some(record)) => Ok(record.count),
    };
    Ok(Openings {
        file: Some(Counted {
            path,
            store: store.to_owned(),
            machine,
            _lock: lock,
        }),
        restored: found.err(),
        next: Mutex::new(found.map_or_else(|_| unheard_of(), |count| count.saturating_add(1))),
    })
}

/// A number that no store holds, and that leaves room to count on from. Random, so that two copies that
/// begin without a count never take each other's for their own.
fn unheard_of() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    (1 << 62) | (u64::from_le_bytes(bytes) >> 2)
}

/// A name of this machine that cannot be traced back to its id, as machine-id(5) asks for.
fn machine_id(key8: [u8; 8]) -> Option<[u8; 8]> {
    let id = std::fs::read_to_string("/etc/machine-id").ok()?;
    let id = id.trim();
    if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let name = aidmesh_core::crypto::kdf(&[id.as_bytes(), &key8].concat(), "openings machine");
    name.as_bytes().first_chunk().copied()
}

/// The file of the count, in a directory that exists.
fn place(state_dir: &Path, key8: [u8; 8]) -> Result<PathBuf, OpeningsError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(state_dir);
    made.and_then(|()| sync_parent(state_dir))
        .map_err(|error| OpeningsError::of(state_dir, error))?;
    Ok(state_dir.join(record::hex(&key8)))
}

fn lock(path: &Path) -> Result<File, OpeningsError> {
    let path = path.with_extension("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| OpeningsError::of(&path, error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpeningsError::InUse { path }),
        Err(error) => Err(OpeningsError::of(&path, error.into())),
    }
}

/// Nothing; something that does not parse; a record.
fn read(path: &Path) -> Result<Option<Option<Record>>, OpeningsError> {
    match record::read_bounded(path) {
        Ok(text) => Ok(Some(text.and_then(|text| Record::parse(&text)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpeningsError::of(path, error)),
    }
}

fn write(path: &Path, record: &Record) -> Result<(), OpeningsError> {
    replace(path, record.to_text().as_bytes()).map_err(|error| OpeningsError::of(path, error))
}

impl OpeningsError {
    fn of(path: &Path, error: io::Error) -> OpeningsError {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpeningsError::Full { path },
            kind => OpeningsError::Io { path, kind },
        }
    }
}

#[cfg(test)]
mod tests;
