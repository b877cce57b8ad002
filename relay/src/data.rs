//! The data folder of a relay: made once, opened by its key at each start.
//!
//! ```text
//! format, lock, store/   of the folder and its store of sealed rows (aidmesh-host)
//! vault                  the secret routing key and the keys of the rows, opened by the key file
//! relay.json             settings, written last: without it there is no relay
//! ```
//!
//! The count of openings lies elsewhere on purpose ([`Settings::openings`]): a backup that brought it along
//! would hide that the store was restored, and the relay would stand by receipts for items it lost.

use crate::key_file::KeySource;
use crate::settings::Settings;
use crate::trouble::{self, Trouble};
use aidmesh_core::crypto::KeyPair;
use aidmesh_core::id::Key8;
use aidmesh_host::folder::{Folder, FolderError};
use aidmesh_host::openings::{self, Openings, OpeningsError, Restored};
use aidmesh_host::store::{EngineKind, RecordKeys};
use aidmesh_host::vault::{Unlock, Vault, VaultError};
use data_encoding::HEXLOWER;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Name of the secret in the vault.
const ROUTING: &str = "relay routing key";

/// The data folder that was said, else of systemd, else of this user.
pub fn folder(said: Option<&Path>) -> Result<PathBuf, Trouble> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = || {
        Some(
            set("XDG_DATA_HOME")
                .or_else(|| Some(set("HOME")?.join(".local/share")))?
                .join("aidmesh-relay"),
        )
    };
    let chosen = said
        .map(Path::to_owned)
        // of several that systemd gives the first is for the data
        .or_else(|| std::env::split_paths(&set("STATE_DIRECTORY")?).next())
        .or_else(home);
    let chosen =
        chosen.ok_or_else(|| Trouble::new(trouble::SAID, "say with --data where the data folder is"))?;
    std::path::absolute(&chosen)
        .map_err(|why| Trouble::new(trouble::FOLDER, format_args!("{}: {why}", chosen.display())))
}

/// Makes the folder of a new relay with a fresh key. `settings` gets the public key and is saved last.
pub fn make(data: &Path, source: &KeySource, mut settings: Settings) -> Result<Settings, Trouble> {
    if Settings::exists(data) {
        return Err(Trouble::new(trouble::EXISTS, data.display()));
    }
    let folder = Folder::create(data, EngineKind::Redb).map_err(|why| match why {
        FolderError::Exists { path } => Trouble::new(
            trouble::FOLDER,
            format_args!(
                "{} is left over from an interrupted init; remove it",
                path.display()
            ),
        ),
        why => Trouble::new(trouble::FOLDER, why),
    })?;
    let unlock = Unlock::KeyFile(source.read_or_make()?);
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|_| Trouble::new(trouble::SYSTEM, "no randomness"))?;
    let routing = KeyPair::from_seed(&seed);
    let mut vault = Vault::create(&folder.vault_path(), &unlock).map_err(of_vault)?;
    vault.put(ROUTING, Zeroizing::new(seed.to_vec()));
    vault.save().map_err(of_vault)?;
    Openings::begin(&openings_of(&settings), key8(&routing)).map_err(of_openings)?;
    settings.key = HEXLOWER.encode(&routing.public());
    settings.save(data)?;
    Ok(settings)
}

/// An open data folder: nobody else has it.
pub struct Opened {
    /// The folder, with its lock.
    pub folder: Folder,
    /// The routing key.
    pub routing: KeyPair,
    /// Keys of the rows.
    pub keys: Arc<dyn RecordKeys>,
    /// The count of openings.
    pub openings: Arc<Openings>,
}

/// Opens the folder of a relay.
pub fn open(data: &Path, settings: &Settings, source: &KeySource) -> Result<Opened, Trouble> {
    let folder = Folder::open(data).map_err(|why| Trouble::new(trouble::FOLDER, why))?;
    let unlock = Unlock::KeyFile(source.read()?);
    let vault = Vault::open(&folder.vault_path(), &unlock).map_err(of_vault)?;
    let seed = vault.get(ROUTING);
    let seed = seed.and_then(|seed| Some(Zeroizing::new(<[u8; 32]>::try_from(&seed[..]).ok()?)));
    let seed = seed.ok_or_else(|| Trouble::new(trouble::VAULT, "it holds no key of a relay"))?;
    let routing = KeyPair::from_seed(&seed);
    if HEXLOWER.encode(&routing.public()) != settings.key.to_ascii_lowercase() {
        return Err(Trouble::new(
            trouble::VAULT,
            "it is of another relay than relay.json",
        ));
    }
    let state_dir = openings_of(settings);
    let openings = Openings::load(&state_dir, key8(&routing), &folder.store_path());
    Ok(Opened {
        openings: Arc::new(openings.map_err(of_openings)?),
        keys: vault.record_keys(),
        folder,
        routing,
    })
}

impl Opened {
    /// Why peers will be told that this store was restored, if they will.
    pub fn restored(&self) -> Option<&'static str> {
        self.openings.restored().map(|why| match why {
            Restored::NoCount => "no count of its starts is on this machine",
            Restored::Damaged => "the count of its starts is damaged",
            Restored::OtherMachine => "it was counted on another machine",
            Restored::OtherStore => "its file is another one than was counted",
        })
    }
}

fn openings_of(settings: &Settings) -> PathBuf {
    settings.openings.clone().unwrap_or_else(openings::state_dir)
}

fn key8(routing: &KeyPair) -> [u8; 8] {
    Key8::of_key(&routing.public()).0
}

fn of_vault(why: VaultError) -> Trouble {
    Trouble::new(trouble::VAULT, why)
}

fn of_openings(why: OpeningsError) -> Trouble {
    let code = match why {
        OpeningsError::InUse { .. } => trouble::FOLDER,
        _ => trouble::SYSTEM,
    };
    Trouble::new(code, why)
}

#[cfg(test)]
mod tests;
