//! An organisation on one device: its founding, its desk, and the way of a new device into it. Works on
//! files alone; no node needs to run.
//!
//! ```text
//!  desk (administrator)                                    new device
//!   create ── the 24 words of the root key, shown once
//!   invite ── AM1:... by QR, text or file ───────────────▶ request   keys made, kept as "pending"
//!   look   ◀────────────── AMR1:... by file or online ────  six words on both screens
//!   approve ─ AMG1:... ──────────────────────────────────▶ accept    an IdentityFile
//! ```
//!
//! * **Saved before told**: what uses an invite up, gives a serial or ends a key is in the vault before the
//!   caller gets it. A save that fails leaves everything as it was.
//! * The root key is in no file: [`desk::create`] returns it as words and forgets it.
//! * Time is an argument, in minutes since 1970 ([`now_min`]); chance is the operating system's.
//!
//! Not here: prompts and printing, and the node that uses the identity.

pub mod desk;
pub mod identity;
pub mod join;
pub mod online;
pub mod register;
pub mod text;

use aidmesh_core::crypto::{KeyPair, Secret};
use aidmesh_host::vault::{Vault, VaultError};
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// Where secrets are kept: a [`Vault`]. A port, so that a test can let it fail.
pub trait Safe: Send {
    /// The secret with this name.
    fn get(&self, name: &str) -> Option<Zeroizing<Vec<u8>>>;
    /// Sets a secret; on the disk after [`Safe::save`].
    fn put(&mut self, name: &str, bytes: Zeroizing<Vec<u8>>);
    /// Forgets a secret, with the next save.
    fn remove(&mut self, name: &str);
    /// On the disk when it returns.
    fn save(&mut self) -> Result<(), VaultError>;
}

impl Safe for Vault {
    fn get(&self, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        Vault::get(self, name)
    }

    fn put(&mut self, name: &str, bytes: Zeroizing<Vec<u8>>) {
        Vault::put(self, name, bytes);
    }

    fn remove(&mut self, name: &str) {
        Vault::remove(self, name);
    }

    fn save(&mut self) -> Result<(), VaultError> {
        Vault::save(self)
    }
}

/// Sets (`Some`) or forgets (`None`) several secrets in one save, or none of them.
fn keep_all(safe: &mut dyn Safe, changes: Vec<(&str, Option<Zeroizing<Vec<u8>>>)>) -> Result<(), VaultError> {
    let names = changes.iter().map(|(name, _)| *name);
    let before: Vec<_> = names.map(|name| (name, safe.get(name))).collect();
    set(safe, changes);
    let saved = safe.save();
    if saved.is_err() {
        set(safe, before);
    }
    saved
}

fn set(safe: &mut dyn Safe, values: Vec<(&str, Option<Zeroizing<Vec<u8>>>)>) {
    for (name, value) in values {
        match value {
            Some(bytes) => safe.put(name, bytes),
            None => safe.remove(name),
        }
    }
}

/// Minutes since 1970 by the clock of this computer.
pub fn now_min() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs() / 60).unwrap_or(u32::MAX)
}

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random numbers")]
pub struct NoEntropy;

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, NoEntropy> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut bytes[..]).map_err(|_| NoEntropy)?;
    Ok(bytes)
}

fn new_key() -> Result<KeyPair, NoEntropy> {
    Ok(KeyPair::from_seed(&*random()?))
}

fn new_secret() -> Result<Secret, NoEntropy> {
    Ok(Secret(*random()?))
}

#[cfg(test)]
mod tests;
