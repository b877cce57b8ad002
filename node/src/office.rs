//! The administrator's office: the organisation's vault, held alone, beside a node that runs or not.
//!
//! Commands of the administrator change this vault only. What the device of the office has to know of it
//! (relays, organisations that are trusted now, keys that ended) is [`Office::news`]; a node reads it when it
//! starts and when it is told to, so that both ways end alike. The other way round the node leaves its newest
//! card here, since grants carry it and a command cannot ask a machine that another process drives.

use crate::device::News;
use crate::org::Safe;
use crate::org::desk::{Desk, DeskError};
use aidmesh_core::codec::{Malformed, Reader, Writer};
use aidmesh_core::enrolment::Place;
use aidmesh_core::limits;
use aidmesh_core::machine::command::Card;
use aidmesh_host::vault::{Unlock, Vault, VaultError};
use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The newest card of the office's own device.
const OWN_CARD: &str = "office/own card";
/// Addresses by which the office's own device reaches relays, where they differ from those of others.
const HERE: &str = "office/here";

/// Why the office does not open or keep something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfficeError {
    /// Another command works in it.
    #[error("another command works on the organisation in this folder")]
    InUse,
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The desk.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// What the node left does not parse.
    #[error("the office is damaged: {0}")]
    Damaged(&'static str),
    /// The operating system refused.
    #[error("{}: {kind}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        kind: std::io::ErrorKind,
    },
}

/// The vault of the organisation, held alone.
pub struct Office {
    vault: Vault,
    _lock: File,
}

impl Office {
    /// Whether this folder is an administrator's.
    pub fn is_in(data: &Path) -> bool {
        data.join("org").exists()
    }

    /// Opens it. Waits for nobody: two commands at once are one too many.
    pub fn open(data: &Path, unlock: &Unlock) -> Result<Office, OfficeError> {
        if !Office::is_in(data) {
            return Err(DeskError::NoOrganisation.into());
        }
        let path = data.join("org.lock");
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(&path).map_err(|error| OfficeError::Io {
            path: path.clone(),
            kind: error.kind(),
        })?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| OfficeError::InUse)?;
        let vault = Vault::open(&data.join("org"), unlock)?;
        Ok(Office { vault, _lock: lock })
    }

    /// The desk in it.
    pub fn desk(&mut self) -> Result<Desk<'_>, OfficeError> {
        Ok(Desk::open(&mut self.vault)?)
    }

    /// The newest card of the office's own device, once a node has run.
    pub fn own_card(&self) -> Result<Option<Card>, OfficeError> {
        let Some(bytes) = Safe::get(&self.vault, OWN_CARD) else {
            return Ok(None);
        };
        let read = |bytes: &[u8]| -> Result<Card, Malformed> {
            let mut r = Reader::new(bytes);
            let device_cert = Bytes::copy_from_slice(r.bytes(limits::CERT_BYTES)?);
            let key_package = Bytes::copy_from_slice(r.bytes(limits::KEY_PACKAGE_BYTES)?);
            r.end()?;
            Ok(Card {
                device_cert,
                key_package,
            })
        };
        Ok(Some(read(&bytes).map_err(|e| OfficeError::Damaged(e.0))?))
    }

    /// Keeps the newest card of the office's own device.
    pub fn keep_own_card(&mut self, card: &Card) -> Result<(), OfficeError> {
        let mut w = Writer::new();
        w.bytes(&card.device_cert).bytes(&card.key_package);
        Safe::put(&mut self.vault, OWN_CARD, Zeroizing::new(w.0));
        Ok(self.vault.save()?)
    }

    /// The office's own device reaches this relay by another address than others do; `None`: by the same.
    pub fn set_here(&mut self, key: [u8; 32], address: Option<&str>) -> Result<(), OfficeError> {
        let mut here = self.here()?;
        here.retain(|place| place.key != key);
        if let Some(address) = address {
            here.push(Place::new(address, key).map_err(|e| OfficeError::Damaged(e.0))?);
        }
        let mut w = Writer::new();
        Place::write_all(&here, &mut w);
        Safe::put(&mut self.vault, HERE, Zeroizing::new(w.0));
        Ok(self.vault.save()?)
    }

    fn here(&self) -> Result<Vec<Place>, OfficeError> {
        let Some(bytes) = Safe::get(&self.vault, HERE) else {
            return Ok(vec![]);
        };
        let mut r = Reader::new(&bytes);
        Place::read_all(&mut r).map_err(|e| OfficeError::Damaged(e.0))
    }

    /// What the office's own device has to know.
    pub fn news(&mut self) -> Result<News, OfficeError> {
        let here = self.here()?;
        let desk = self.desk()?;
        let relay = |place: &Place| {
            let own = here.iter().find(|own| own.key == place.key);
            own.unwrap_or(place).clone()
        };
        Ok(News {
            org_cards: desk.partners().to_vec(),
            revocations: desk.revocations().to_vec(),
            relays: Some(desk.relays().iter().map(relay).collect()),
        })
    }
}
