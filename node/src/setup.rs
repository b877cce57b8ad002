//! First steps on folders: founding an organisation and joining one.
//!
//! ```text
//!  found ── folder, vault, organisation's vault, first card        one command
//!  ask   ── folder, vault with a request that waits ─┐
//!  take  ── ◀── grant ───────────────────────────────┘             two commands, or one online
//! ```
//!
//! A folder that was begun and holds no identity yet may be begun again. Both vaults open with the same
//! passphrase. Nothing here talks to people or to the network.

use crate::device::{Device, DeviceError, How};
use crate::org::desk::{DeskError, Founded, Founding, create};
use crate::org::identity::IdentityFile;
use crate::org::join::{Asked, JoinError, accept, pending, request};
use crate::org::now_min;
use aidmesh_core::directory::{Name, Roles};
use aidmesh_core::enrolment::Invite;
use aidmesh_core::id::Key8;
use aidmesh_host::folder::{Folder, FolderError};
use aidmesh_host::openings::{Openings, OpeningsError};
use aidmesh_host::store::EngineKind;
use aidmesh_host::vault::{Unlock, Vault, VaultError};
use std::path::PathBuf;

/// Where a device lives.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its data folder.
    pub data: PathBuf,
    /// Folder of the counts of openings, outside it.
    pub state: PathBuf,
    /// Engine of a folder that is made now.
    pub engine: EngineKind,
}

/// Why a first step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The desk.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// Asking or joining.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The count of openings.
    #[error(transparent)]
    Openings(#[from] OpeningsError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Founds an organisation on a fresh folder, with a first card of its administrator's device.
pub async fn found(place: &Place, unlock: &Unlock, new: &Founding) -> Result<Founded, SetupError> {
    let founded = {
        let (folder, mut own) = begun(place, unlock)?;
        let org = folder.org_path();
        let mut org = match org.exists() {
            true => Vault::open(&org, unlock)?,
            false => Vault::create(&org, unlock)?,
        };
        let founded = create(&mut org, &mut own, new, now_min())?;
        count(place, &own)?;
        founded
    };
    // the machine makes the card that grants carry
    let device = Device::open(&place.data, &place.state, unlock)?;
    device.start(How::default()).await?.stop().await;
    Ok(founded)
}

/// Makes the keys of a new device and what it asks for. The same again for the same invite and name.
pub fn ask(
    place: &Place,
    unlock: &Unlock,
    invite: &Invite,
    holder: Name,
    roles: Option<Roles>,
) -> Result<Asked, SetupError> {
    let (_folder, mut own) = begun(place, unlock)?;
    Ok(request(&mut own, invite, holder, roles, now_min())?)
}

/// What was asked and waits for its grant.
pub fn asked(place: &Place, unlock: &Unlock) -> Result<Asked, SetupError> {
    let folder = Folder::open(&place.data)?;
    let own = Vault::open(&folder.vault_path(), unlock)?;
    Ok(pending(&own)?.ok_or(JoinError::NothingAsked)?)
}

/// Takes the grant: the device is enrolled.
pub fn take(place: &Place, unlock: &Unlock, grant: &[u8]) -> Result<IdentityFile, SetupError> {
    let folder = Folder::open(&place.data)?;
    let mut own = Vault::open(&folder.vault_path(), unlock)?;
    let identity = accept(&mut own, grant, now_min())?;
    count(place, &own)?;
    Ok(identity)
}

/// A folder with a vault: made now, or begun before.
fn begun(place: &Place, unlock: &Unlock) -> Result<(Folder, Vault), SetupError> {
    let folder = match Folder::create(&place.data, place.engine) {
        Err(FolderError::Exists { .. }) => Folder::open(&place.data)?,
        folder => folder?,
    };
    let path = folder.vault_path();
    let own = match path.exists() {
        true => Vault::open(&path, unlock)?,
        false => Vault::create(&path, unlock)?,
    };
    Ok((folder, own))
}

fn count(place: &Place, own: &Vault) -> Result<(), SetupError> {
    let identity = IdentityFile::load(own).map_err(DeviceError::from)?;
    let identity = identity.ok_or(DeviceError::NotEnrolled)?;
    let key8 = Key8::of_key(&identity.keys.device.public());
    Ok(Openings::begin(&place.state, key8.0)?)
}

#[cfg(test)]
mod tests;
