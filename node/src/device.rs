//! A device: its folder, its vault, its identity; and, while it runs, its node and its links to relays.
//!
//! [`Device::open`] takes a folder into use (one process at a time) and proves the passphrase;
//! [`Device::start`] opens the machine, tells it what the identity knows (organisations, revocations, cards),
//! signs the holder on and calls the relays. Own cards, which others need to add this device to threads, are
//! made by the machine: one at the first start, a new one when the last is [`CARD_DAYS`] old.
//!
//! What an administrator did in the [`Office`] of the same folder (relays, trust, revocations) is taken up at
//! the start and by [`Running::reload`], and kept in the device's own vault.
//!
//! Not here: what people may ask for (`service`), the local API (`api`), enrolment (`org`).

use crate::office::{Office, OfficeError};
use crate::org::Safe;
use crate::org::identity::{IdentityError, IdentityFile};
use aidmesh_core::directory::{Revocation, Signed};
use aidmesh_core::enrolment::{OrgCard, Place};
use aidmesh_core::group::mls::Suite;
use aidmesh_core::id::Key8;
use aidmesh_core::machine::command::{Card, Command, CommandError};
use aidmesh_core::machine::event::Event;
use aidmesh_core::machine::open::Part;
use aidmesh_host::folder::{Folder, FolderError};
use aidmesh_host::node::{Handle, Hooks, Node, NodeError, Start, StartError};
use aidmesh_host::openings::{Openings, OpeningsError, Restored};
use aidmesh_host::store;
use aidmesh_host::uplink::{Client, ClientConfig, Hello, PathState, RelayAddress};
use aidmesh_host::vault::{Unlock, Vault, VaultError};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Days after which a device makes a new card (PROTOCOL section 3: published every 7 days).
const CARD_DAYS: u32 = 7;
/// When the newest own card was made, minutes since 1970, in the vault.
const CARD_MADE: &str = "card made";

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Its identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It asked for an identity and has none yet.
    #[error("this device is not enrolled")]
    NotEnrolled,
    /// The count of its openings.
    #[error(transparent)]
    Openings(#[from] OpeningsError),
    /// The machine does not open.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The office in its folder.
    #[error(transparent)]
    Office(#[from] OfficeError),
    /// The machine does not take what the identity says.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// A device that is not running.
pub struct Device {
    folder: Folder,
    vault: Vault,
    identity: IdentityFile,
    openings: Arc<Openings>,
    unlock: Unlock,
}

/// How a device is started.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// Relays in place of those of the identity.
    pub relays: Option<Vec<RelayAddress>>,
    /// Bytes kept for others at most.
    pub carry_bytes: u64,
    /// Planted faults; none in a product.
    pub hooks: Hooks,
}

impl Device {
    /// Takes the folder `data` into use; `state` is the folder of the counts (see
    /// `aidmesh_host::openings::state_dir`). Slow by intent: the passphrase is stretched.
    pub fn open(data: &Path, state: &Path, unlock: &Unlock) -> Result<Device, DeviceError> {
        let folder = Folder::open(data)?;
        let vault = Vault::open(&folder.vault_path(), unlock)?;
        let identity = IdentityFile::load(&vault)?.ok_or(DeviceError::NotEnrolled)?;
        let key8 = Key8::of_key(&identity.keys.device.public());
        let openings = Openings::load(state, key8.0, &folder.store_path())?;
        Ok(Device {
            folder,
            vault,
            identity,
            openings: Arc::new(openings),
            unlock: unlock.clone(),
        })
    }

    /// Who and what it is.
    pub fn identity(&self) -> &IdentityFile {
        &self.identity
    }

    /// Its folder, in use by this process.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Why its store is treated as restored, if so.
    pub fn restored(&self) -> Option<Restored> {
        self.openings.restored()
    }

    /// Opens the machine, tells it what the identity knows and calls the relays.
    pub async fn start(self, how: How) -> Result<Running, DeviceError> {
        let Device {
            folder,
            vault,
            identity,
            openings,
            unlock,
        } = self;
        let (engine, path, keys) = (folder.engine(), folder.store_path(), vault.record_keys());
        let node = Node::start(Start {
            part: Part::Member,
            carry_bytes: how.carry_bytes,
            identity: identity.identity(),
            disk: Box::new(move || store::open(engine, &path, keys.clone())),
            openings,
            hooks: how.hooks,
        })?;
        let handle = node.handle();
        let mut running = Running {
            client: None,
            node,
            kept: Mutex::new(Kept { vault, identity }),
            relays: how.relays,
            folder,
            unlock,
        };
        running.make_card(&handle).await?;
        if Office::is_in(running.folder.path()) {
            running.visit_office()?;
        }
        running.tell(&handle).await?;
        running.client = Some(running.call(&handle));
        Ok(running)
    }
}

/// A relay of an identity, as the uplink wants it. It is shown by its address.
pub fn address(place: &Place) -> RelayAddress {
    RelayAddress {
        name: place.address().to_owned(),
        address: place.address().to_owned(),
        key: place.key,
    }
}

/// What waits, for the uplink: it tries harder while something urgent does.
fn waiting(handle: &Handle) -> watch::Receiver<[u32; 5]> {
    let mut state = handle.state();
    let (told, waiting) = watch::channel(state.borrow_and_update().waiting);
    tokio::spawn(async move {
        while state.changed().await.is_ok() {
            let now = state.borrow_and_update().waiting;
            told.send_if_modified(|before| std::mem::replace(before, now) != now);
            if told.is_closed() {
                return;
            }
        }
    });
    waiting
}

struct Kept {
    vault: Vault,
    identity: IdentityFile,
}

/// A device whose node runs.
pub struct Running {
    client: Option<Client>,
    node: Node,
    kept: Mutex<Kept>,
    /// In place of those of the identity.
    relays: Option<Vec<RelayAddress>>,
    folder: Folder,
    unlock: Unlock,
}

/// What an administrator did elsewhere in this organisation.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Organisations to trust, or newer cards of known ones.
    pub org_cards: Vec<OrgCard>,
    /// Keys that ended.
    pub revocations: Vec<Revocation>,
    /// All relays of the organisation, if that changed.
    pub relays: Option<Vec<Place>>,
}

impl News {
    /// Puts it into the identity. Whether that changed anything.
    fn change(self, identity: &mut IdentityFile) -> Result<bool, IdentityError> {
        let mut changed = false;
        for card in self.org_cards {
            changed |= identity.trust(card)?;
        }
        for revocation in self.revocations {
            changed |= !identity.revocations.contains(&revocation);
            identity.spread(revocation);
        }
        if let Some(relays) = self.relays {
            changed |= relays != identity.relays;
            identity.relays = relays;
        }
        Ok(changed)
    }
}

impl Running {
    /// What programs on this device use it by.
    pub fn handle(&self) -> Handle {
        self.node.handle()
    }

    /// Its folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The ways to its relays, now and whenever they change.
    pub fn paths(&self) -> watch::Receiver<Vec<PathState>> {
        match &self.client {
            Some(client) => client.paths(),
            None => watch::channel(vec![]).1,
        }
    }

    /// Who and what it is, as of now.
    pub fn identity(&self) -> IdentityFile {
        self.kept().identity.clone()
    }

    /// Takes up what was done in the office meanwhile. Whether anything was; never in a folder without one.
    pub async fn reload(&self) -> Result<bool, DeviceError> {
        let changed = Office::is_in(self.folder.path()) && self.visit_office()?;
        if changed {
            self.tell(&self.handle()).await?;
            if let Some(client) = &self.client {
                client.set_relays(self.relays());
            }
        }
        Ok(changed)
    }

    /// Keeps the office's news in the own vault, and the own card in the office.
    fn visit_office(&self) -> Result<bool, DeviceError> {
        let mut office = Office::open(self.folder.path(), &self.unlock)?;
        let mut kept = self.kept();
        let Kept { vault, identity } = &mut *kept;
        let own = identity.own_cards.last();
        if let Some(card) = own.filter(|card| office.own_card().ok().flatten().as_ref() != Some(*card)) {
            office.keep_own_card(card)?;
        }
        let changed = office.news()?.change(identity)?;
        if changed {
            identity.keep(vault)?;
        }
        Ok(changed)
    }

    /// Says goodbye to the relays, waits until all is written.
    pub async fn stop(self) {
        if let Some(client) = self.client {
            client.stop().await;
        }
        self.node.stop().await;
    }

    /// Its relays: those it was started with, else those of the identity.
    fn relays(&self) -> Vec<RelayAddress> {
        let own = || self.kept().identity.relays.iter().map(address).collect();
        self.relays.clone().unwrap_or_else(own)
    }

    fn call(&self, handle: &Handle) -> Client {
        let relays = self.relays();
        let kept = self.kept();
        let (routing, admin) = (kept.identity.routing.encode(), kept.identity.issuer());
        let hello = Hello {
            routing,
            admin: admin.map(Signed::encode).unwrap_or_default(),
        };
        Client::start(ClientConfig {
            relays,
            routing: kept.identity.keys.routing.clone(),
            hello,
            links: handle.links(),
            waiting: waiting(handle),
        })
    }

    /// The vault is changed in one step, so a panic elsewhere leaves it whole.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the identity knows, and that its holder works here. What is known already changes nothing, and
    /// what is refused (a card of a device that was revoked since) is no fault of this device.
    async fn tell(&self, handle: &Handle) -> Result<(), DeviceError> {
        let (mut commands, person) = {
            let kept = self.kept();
            (kept.identity.commands(), kept.identity.person())
        };
        let keys = self.relays().iter().map(|relay| relay.key).collect();
        commands.push(Command::PinRelays { keys });
        commands.push(Command::SignOn { person });
        for command in commands {
            match handle.command(command).await {
                Ok(_) | Err(NodeError::Refused(CommandError::NoChange | CommandError::Refused(_))) => {}
                Err(why) => return Err(why.into()),
            }
        }
        Ok(())
    }

    /// A card for others, if there is none or the last one is old.
    pub(crate) async fn make_card(&self, handle: &Handle) -> Result<(), DeviceError> {
        let now = crate::org::now_min();
        let made = {
            let kept = self.kept();
            let made = kept.vault.get(CARD_MADE);
            let made = made.and_then(|bytes| Some(u32::from_le_bytes(bytes[..].try_into().ok()?)));
            made.filter(|_| !kept.identity.own_cards.is_empty())
        };
        // a clock that was set back makes one card too many, no harm
        if made.is_some_and(|made| now >= made && now - made < CARD_DAYS * 24 * 60) {
            return Ok(());
        }
        let mut feed = handle.follow(handle.newest());
        let suite = Suite::XWing;
        handle.command(Command::MakeCard { suite }).await?;
        let card: Card = loop {
            match feed.next().await.map(|told| told.event) {
                Some(Event::CardMade { card }) => break card,
                Some(_) => {}
                None => return Err(NodeError::Stopped.into()),
            }
        };
        let mut kept = self.kept();
        let Kept { vault, identity } = &mut *kept;
        identity.keep_card(card);
        Safe::put(vault, CARD_MADE, Zeroizing::new(now.to_le_bytes().to_vec()));
        identity.keep(vault)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
