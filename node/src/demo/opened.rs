//! What the relay itself can read: the rows of its store, opened with its own key.
//!
//! Every row on its disk is sealed, so a search of its files alone would find nothing even if ambulances sent
//! plain text. The relay's operator has the key file; so has the demo. Only what is sealed *once more*, with
//! keys that the relay never had, may lie in these rows.

use std::ops::ControlFlow;
use std::path::Path;

use aidmesh_core::store::ReadError;
use aidmesh_host::folder::{Folder, FolderError};
use aidmesh_host::store::{self, StoreError};
use aidmesh_host::vault::{Unlock, Vault, VaultError};
use aidmesh_relay::key_file::KeySource;

use super::canary::{Found, Search};

/// Why the relay's rows cannot be read. The relay must have stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenedError {
    /// The key file.
    #[error("the key file of the relay cannot be read")]
    Key,
    /// Another process has it, or it is none.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Not the key of this vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Searches all rows, keys and values, and adds to `found`. Gives how many rows there were.
pub(super) fn search_rows(
    search: &Search,
    data: &Path,
    key_file: &Path,
    found: &mut Found,
) -> Result<u64, OpenedError> {
    let source = KeySource::File(key_file.to_owned());
    let key = source.read().map_err(|_| OpenedError::Key)?;
    let folder = Folder::open(data)?;
    let vault = Vault::open(&folder.vault_path(), &Unlock::KeyFile(key))?;
    let disk = store::open(folder.engine(), &folder.store_path(), vault.record_keys())?;
    let mut rows = 0;
    disk.scan(&[], &mut |key, value| {
        rows += 1;
        search.over(key, found);
        search.over(value, found);
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

#[cfg(test)]
mod tests;
