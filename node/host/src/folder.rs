//! The data directory of one device, and the right to be the only process in it.
//!
//! ```text
//! format    version and engine, plain text; written last, so without it there is no folder
//! lock      held with flock as long as a process has the folder open; holds its number
//! vault     secrets (crate::vault)            store/    sealed rows (crate::store)
//! socket    of the local API                  org/      of the organisation: cards, certificates, invites
//! ```
//!
//! * Mode 0700, tightened when opened.
//! * A lock goes with its process, however it ends; the number in it is for people only.
//! * Each way in which a directory can be no good is an error of its own, with the path in it.
//!
//! It does *not* notice that the directory is a copy: that is [`crate::openings`]'s.

mod replace;

use crate::store::EngineKind;
use rustix::fs::{Access, FlockOperation, access, flock};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub(crate) use replace::{replace, sync_parent, unfinished};

const FORMAT: &str = "format";
const LOCK: &str = "lock";
const VERSION: u32 = 1;
/// Settings of a device, which may be there before anything else is.
const CONFIG: &str = "config.toml";
/// More than any format file holds.
const FORMAT_BYTES: u64 = 4096;

/// A data directory cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum FolderError {
    /// There is no such directory.
    #[error("{} does not exist", path.display())]
    NotThere { path: PathBuf },
    /// It is not a directory, or holds something else.
    #[error("{} is not a data directory of aidmesh", path.display())]
    NotOurs { path: PathBuf },
    /// A new one cannot be made in a directory that is one already.
    #[error("{} is a data directory already", path.display())]
    Exists { path: PathBuf },
    /// Another process has it open. The number is missing if that process was just starting.
    #[error("process {} has {} open", pid.map_or("unknown".into(), |p| p.to_string()), path.display())]
    InUse { path: PathBuf, pid: Option<u32> },
    /// It cannot be written: rights, or a file system that is read-only.
    #[error("{} cannot be written", path.display())]
    ReadOnly { path: PathBuf },
    /// No space is left.
    #[error("the disk of {} is full", path.display())]
    Full { path: PathBuf },
    /// Written by a newer program.
    #[error("{} has format {found}, this program knows up to {VERSION}", path.display())]
    TooNew { path: PathBuf, found: u32 },
    /// The operating system refused otherwise.
    #[error("{}: {kind}", path.display())]
    Io { path: PathBuf, kind: io::ErrorKind },
}

/// An open data directory. Dropping it lets others in.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    engine: EngineKind,
    _lock: File,
}

impl Folder {
    /// Makes a data directory at `path`, which is missing or empty, and opens it.
    pub fn create(path: &Path, engine: EngineKind) -> Result<Folder, FolderError> {
        let at = |error| FolderError::of(path, error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(at)?;
        if path.join(FORMAT).exists() {
            return Err(FolderError::Exists { path: path.into() });
        }
        for entry in path.read_dir().map_err(at)? {
            let name = entry.map_err(at)?.file_name();
            // settings that were written before, or left by a creation that was interrupted
            if name != CONFIG && name != LOCK && name != "format.new" {
                return Err(FolderError::NotOurs { path: path.into() });
            }
        }
        let lock = lock(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(at)?;
        let format = format!("aidmesh folder {VERSION}\nengine {engine}\n");
        replace(&path.join(FORMAT), format.as_bytes()).map_err(at)?;
        sync_parent(path).map_err(at)?;
        Ok(Folder {
            path: path.into(),
            engine,
            _lock: lock,
        })
    }

    /// Opens the data directory at `path`.
    pub fn open(path: &Path) -> Result<Folder, FolderError> {
        let at = |error| FolderError::of(path, error);
        let meta = path.metadata().map_err(at)?;
        if !meta.is_dir() {
            return Err(FolderError::NotOurs { path: path.into() });
        }
        let engine = read_format(path)?;
        access(path, Access::WRITE_OK).map_err(|error| at(error.into()))?;
        let lock = lock(path)?;
        if meta.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(at)?;
        }
        Ok(Folder {
            path: path.into(),
            engine,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The engine of its store.
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// The file of the vault.
    pub fn vault_path(&self) -> PathBuf {
        self.path.join("vault")
    }

    /// The directory of the store.
    pub fn store_path(&self) -> PathBuf {
        self.path.join("store")
    }

    /// The socket of the local API.
    pub fn socket_path(&self) -> PathBuf {
        self.path.join("socket")
    }

    /// The directory of the organisation's files.
    pub fn org_path(&self) -> PathBuf {
        self.path.join("org")
    }
}

impl FolderError {
    fn of(path: &Path, error: io::Error) -> FolderError {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => FolderError::NotThere { path },
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => FolderError::NotOurs { path },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                FolderError::ReadOnly { path }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FolderError::Full { path },
            kind => FolderError::Io { path, kind },
        }
    }
}

fn read_format(path: &Path) -> Result<EngineKind, FolderError> {
    let not_ours = || FolderError::NotOurs { path: path.into() };
    let file = match File::open(path.join(FORMAT)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_ours()),
        file => file.map_err(|error| FolderError::of(path, error))?,
    };
    let mut text = String::new();
    file.take(FORMAT_BYTES)
        .read_to_string(&mut text)
        .map_err(|_| not_ours())?;
    let mut lines = text.lines();
    let version = lines.next().and_then(|line| line.strip_prefix("aidmesh folder "));
    match version.and_then(|number| number.parse().ok()) {
        Some(VERSION) => {}
        Some(found) if found > VERSION => {
            return Err(FolderError::TooNew {
                path: path.into(),
                found,
            });
        }
        _ => return Err(not_ours()),
    }
    let engine = lines.next().and_then(|line| line.strip_prefix("engine "));
    engine.and_then(EngineKind::from_name).ok_or_else(not_ours)
}

fn lock(path: &Path) -> Result<File, FolderError> {
    let at = |error| FolderError::of(path, error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join(LOCK))
        .map_err(at)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // a name for people; without it the error is as true
            let _ = file.take(16).read_to_string(&mut text);
            let pid = text.trim().parse().ok();
            return Err(FolderError::InUse {
                path: path.into(),
                pid,
            });
        }
        Err(error) => return Err(at(error.into())),
    }
    file.set_len(0).map_err(at)?;
    file.rewind().map_err(at)?;
    writeln!(file, "{}", std::process::id()).map_err(at)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
