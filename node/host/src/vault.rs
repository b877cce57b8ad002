//! The few secrets that everything else rests on, in one file: keys of the device by name, and the keys of
//! the rows of its store ([`RecordKeys`]).
//!
//! ```text
//!  0   8  "AIDVAULT"
//!  8   2  version, 1
//! 10   1  slots, 1 to 4
//! 11 101  each slot: kind 1 (1 passphrase, 2 key file) | Argon2id m KiB 4, t 4, p 4 (0 for a key file)
//!         | salt 16 | nonce 24 | VK sealed under the slot's key 48
//!      8  BLAKE3 of everything before, shortened: tells a wrong passphrase from a damaged header
//!     24  nonce
//!      *  body sealed under VK with everything before the nonce as AAD; see `body`
//! ```
//!
//! Integers are little-endian. Sealed is XChaCha20-Poly1305.
//!
//! * Every save draws a new VK and replaces the file atomically: who kept an old file and learns nothing
//!   else cannot open a newer one, and what was removed is in no file any more. On flash the old bytes may
//!   stay in the drive until it erases them; without keys in hardware that is as far as it goes.
//! * The slots' keys are kept in memory and in the body, so that a save needs no passphrase.
//! * A file is untrusted: its size and the cost of Argon2id it asks for are bounded.
//! * Secrets are wiped when dropped; nothing here shows one in `Debug`.

mod body;
mod slot;

use crate::folder::{replace, unfinished};
use crate::store::{KeyId, KeysError, RecordKeys, Scope};
use aidmesh_core::crypto::{self, Secret, kdf};
use body::Body;
use slot::{Cost, SLOT_BYTES, Slot};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// Largest file: 18 000 threads.
pub const VAULT_BYTES: usize = 1 << 20;
/// Longest name of a secret.
pub const NAME_BYTES: usize = 255;

const MAGIC: &[u8; 8] = b"AIDVAULT";
const VERSION: u16 = 1;
const SLOTS: usize = 4;
const CHECK: usize = 8;
const NONCE: usize = 24;

/// What opens a vault.
#[derive(Clone)]
pub enum Unlock {
    /// A passphrase or PIN, through Argon2id.
    Passphrase(Zeroizing<String>),
    /// 32 random bytes from a file or a credential of the service manager.
    KeyFile(Zeroizing<[u8; 32]>),
}

impl std::fmt::Debug for Unlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unlock::Passphrase(_) => "Passphrase",
            Unlock::KeyFile(_) => "KeyFile",
        })
    }
}

/// A vault cannot be opened or saved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// There is no file.
    #[error("there is no vault")]
    NotThere,
    /// There is one already.
    #[error("there is a vault already")]
    Exists,
    /// The file is something else.
    #[error("the file is not a vault")]
    NotAVault,
    /// Written by a newer program.
    #[error("the vault has version {0}, this program knows up to {VERSION}")]
    TooNew(u16),
    /// The passphrase or key file is not the one of this vault; the vault is whole.
    #[error("wrong passphrase or key file")]
    Wrong,
    /// This vault opens with a key file only.
    #[error("the vault opens with a key file, not with a passphrase")]
    NoPassphrase,
    /// This vault opens with a passphrase only.
    #[error("the vault opens with a passphrase, not with a key file")]
    NoKeyFile,
    /// The file was changed or is not complete.
    #[error("the vault is damaged: {0}")]
    Damaged(&'static str),
    /// What is to be kept does not fit, or a slot too many.
    #[error("the vault is full")]
    TooLarge,
    /// Argon2id needs more memory than there is.
    #[error("not enough memory to try a passphrase")]
    Memory,
    /// No space is left; the file is as it was.
    #[error("the disk is full")]
    Full,
    /// The operating system refused.
    #[error("vault: {0}")]
    Io(io::ErrorKind),
}

impl From<io::Error> for VaultError {
    fn from(error: io::Error) -> VaultError {
        match error.kind() {
            io::ErrorKind::NotFound => VaultError::NotThere,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => VaultError::Full,
            kind => VaultError::Io(kind),
        }
    }
}

/// An open vault.
pub struct Vault {
    shared: Arc<Shared>,
}

struct Shared(Mutex<Open>);

struct Open {
    path: PathBuf,
    slots: Vec<Slot>,
    body: Body,
    /// A key of rows that is in no file yet.
    unsaved: bool,
}

impl Vault {
    /// Makes an empty vault at `path`.
    pub fn create(path: &Path, unlock: &Unlock) -> Result<Vault, VaultError> {
        Vault::create_at(path, unlock, Cost::DEVICE)
    }

    fn create_at(path: &Path, unlock: &Unlock, cost: Cost) -> Result<Vault, VaultError> {
        if path.exists() {
            return Err(VaultError::Exists);
        }
        let slots = vec![Slot::new(unlock, cost)?];
        let mut vault = Vault::of(path, slots, Body::default());
        vault.save()?;
        Ok(vault)
    }

    /// Opens the vault at `path`.
    pub fn open(path: &Path, unlock: &Unlock) -> Result<Vault, VaultError> {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(VAULT_BYTES as u64 + 1)
            .read_to_end(&mut bytes)?;
        let (slots, body) = read(&bytes, unlock)?;
        match std::fs::remove_file(unfinished(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(Vault::of(path, slots, body)),
        }
    }

    fn of(path: &Path, slots: Vec<Slot>, body: Body) -> Vault {
        let open = Open {
            path: path.to_owned(),
            slots,
            body,
            unsaved: false,
        };
        Vault {
            shared: Arc::new(Shared(Mutex::new(open))),
        }
    }

    /// The secret with this name.
    pub fn get(&self, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        self.shared.open().body.named.get(name).cloned()
    }

    /// Sets a secret; kept with the next save (one that a new thread's key causes counts too). Names are
    /// words of the program, at most [`NAME_BYTES`] long.
    pub fn put(&mut self, name: &str, bytes: Zeroizing<Vec<u8>>) {
        assert!(name.len() <= NAME_BYTES, "names of secrets are short");
        self.shared.open().body.named.insert(name.to_owned(), bytes);
    }

    /// Forgets a secret, with the next save.
    pub fn remove(&mut self, name: &str) {
        self.shared.open().body.named.remove(name);
    }

    /// Forgets the key of a thread's rows, with the next save: whatever is left of them opens no more.
    pub fn forget_thread(&mut self, thread: [u8; 16]) {
        self.shared.open().body.forget(Scope::Thread(thread));
    }

    /// Opens with `unlock` from now on, and with nothing else. Saves.
    pub fn change(&mut self, unlock: &Unlock) -> Result<(), VaultError> {
        let slot = Slot::new(unlock, Cost::DEVICE)?;
        let mut open = self.shared.open();
        let before = std::mem::replace(&mut open.slots, vec![slot]);
        let saved = open.save();
        if saved.is_err() {
            open.slots = before;
        }
        saved
    }

    /// Opens with `unlock` too from now on. Saves.
    pub fn also(&mut self, unlock: &Unlock) -> Result<(), VaultError> {
        let slot = Slot::new(unlock, Cost::DEVICE)?;
        let mut open = self.shared.open();
        if open.slots.len() == SLOTS {
            return Err(VaultError::TooLarge);
        }
        open.slots.push(slot);
        let saved = open.save();
        if saved.is_err() {
            open.slots.pop();
        }
        saved
    }

    /// Writes the file anew, under a new key. On the disk when it returns.
    pub fn save(&mut self) -> Result<(), VaultError> {
        self.shared.open().save()
    }

    /// The keys of the rows of the store. They save the vault when a new one is made.
    pub fn record_keys(&self) -> Arc<dyn RecordKeys> {
        self.shared.clone()
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecordKeys for Shared {
    fn ensure(&self, scopes: &BTreeSet<Scope>) -> Result<(), KeysError> {
        let mut open = self.open();
        for scope in scopes {
            if open.body.key_of(*scope).is_none() {
                open.body.add_key(*scope, Secret(random()));
                open.unsaved = true;
            }
        }
        if !open.unsaved {
            return Ok(());
        }
        open.save().map_err(|error| match error {
            VaultError::Full => KeysError::Full,
            VaultError::TooLarge => KeysError::TooMany,
            error => KeysError::Save(error.to_string()),
        })
    }

    fn of(&self, scope: Scope) -> Option<(KeyId, Secret)> {
        self.open().body.key_of(scope)
    }

    fn by_id(&self, id: KeyId) -> Option<Secret> {
        self.open().body.key_by_id(id)
    }
}

impl Open {
    fn save(&mut self) -> Result<(), VaultError> {
        let vk = Secret(random());
        let mut file = [MAGIC, &VERSION.to_le_bytes()[..], &[self.slots.len() as u8]].concat();
        for slot in &self.slots {
            slot.write(&vk, &mut file);
        }
        file.extend_from_slice(&check(&file));
        let plaintext = self.body.to_bytes(&self.slots);
        let nonce = random::<NONCE>();
        let sealed = crypto::seal(&vk, &nonce, &file, &plaintext);
        file.extend_from_slice(&nonce);
        file.extend_from_slice(&sealed);
        if file.len() > VAULT_BYTES {
            return Err(VaultError::TooLarge);
        }
        replace(&self.path, &file)?;
        self.unsaved = false;
        Ok(())
    }
}

fn read(bytes: &[u8], unlock: &Unlock) -> Result<(Vec<Slot>, Body), VaultError> {
    let damaged = VaultError::Damaged;
    let rest = bytes.strip_prefix(MAGIC).ok_or(VaultError::NotAVault)?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or(damaged("cut short"))?;
    match u16::from_le_bytes(*version) {
        VERSION => {}
        version if version > VERSION => return Err(VaultError::TooNew(version)),
        _ => return Err(VaultError::NotAVault),
    }
    if bytes.len() > VAULT_BYTES {
        return Err(damaged("too long"));
    }
    let (&[count], rest) = rest.split_first_chunk().ok_or(damaged("cut short"))?;
    let count = usize::from(count);
    if count == 0 || count > SLOTS || rest.len() < count * SLOT_BYTES + CHECK + NONCE {
        return Err(damaged("slots"));
    }
    let header = bytes.len() - rest.len() + count * SLOT_BYTES;
    if bytes[header..header + CHECK] != check(&bytes[..header]) {
        return Err(damaged("header"));
    }
    let slots = &rest[..count * SLOT_BYTES];
    let vk = slot::unlock(slots, unlock)?;
    let (aad, rest) = bytes.split_at(header + CHECK);
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(damaged("cut short"))?;
    let plaintext = crypto::open(&vk, nonce, aad, sealed).ok_or(damaged("body"))?;
    let (body, keks) = Body::parse(&Zeroizing::new(plaintext), count).ok_or(damaged("body"))?;
    let slots = slots.chunks_exact(SLOT_BYTES).zip(keks);
    let slots = slots.map(|(bytes, kek)| Slot::parse(bytes, kek)).collect();
    Ok((slots, body))
}

fn check(header: &[u8]) -> [u8; CHECK] {
    let hash = blake3::hash(header);
    *hash.as_bytes().first_chunk().expect("a hash is longer")
}

/// Names a key of rows.
fn key_id(key: &Secret) -> KeyId {
    let name = kdf(key.as_bytes(), "record key id");
    *name.as_bytes().first_chunk().expect("a hash is longer")
}

fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    getrandom::fill(&mut out).expect("the operating system gives randomness");
    out
}

#[cfg(test)]
mod tests;
