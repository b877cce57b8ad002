//! Where the keys of sealed rows come from: a port, so that the store does not know the vault.

use aidmesh_core::crypto::Secret;
use std::collections::BTreeSet;

/// Names a key in a sealed row: derived from the key, tells nothing of it.
pub type KeyId = [u8; 8];

/// What a key is for. Erasing a thread is dropping its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Rows that belong to no thread.
    General,
    /// Rows of the thread with this id.
    Thread([u8; 16]),
}

/// A key cannot be kept. Nothing was sealed with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// No space is left for it.
    #[error("record keys: the disk is full")]
    Full,
    /// There are as many keys as fit.
    #[error("record keys: the vault is full")]
    TooMany,
    /// It could not be written for another reason.
    #[error("record keys: {0}")]
    Save(String),
}

/// Keys of rows.
pub trait RecordKeys: Send + Sync {
    /// Makes the keys that are missing. They are on the disk when it returns: a row must never be there
    /// before its key.
    fn ensure(&self, scopes: &BTreeSet<Scope>) -> Result<(), KeysError>;
    /// The key to seal rows of `scope` with; `None` before [`RecordKeys::ensure`].
    fn of(&self, scope: Scope) -> Option<(KeyId, Secret)>;
    /// The key with this name.
    fn by_id(&self, id: KeyId) -> Option<Secret>;
}
