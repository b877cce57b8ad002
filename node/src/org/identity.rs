//! All that makes this device one of its organisation, as one secret in its vault.
//!
//! ```text
//! identity  1 | device seed 32 | seal secret 32 | inbox seed 32 | routing seed 32
//!           | len, device cert | len, routing cert | len, org card (own) | k, k x relay place
//!           | p, p x (len, org card) | own cards | other cards | r, r x (len, revocation)
//! cards     0, or 1 and n, n x (len, device cert | len, key package)
//! ```
//!
//! Invariant: certificates fit the keys beside them; what does not is [`IdentityError::Damaged`]. The
//! directory inside the machine's store believes by itself: [`IdentityFile::commands`] only tells it
//! everything again at each start, so that a new or restored store knows whom to trust.

use super::{Safe, keep_all};
use aidmesh_core::codec::{Malformed, Reader, Writer};
use aidmesh_core::crypto::{KeyPair, Secret, x25519_public};
use aidmesh_core::directory::{AdminCert, CertError, DeviceCert, Name, Revocation, RoutingCert, Signed};
use aidmesh_core::enrolment::{OrgCard, Place, Renewal};
use aidmesh_core::id::{Dev, Org, Person};
use aidmesh_core::limits;
use aidmesh_core::machine::command::{Card, Command};
use aidmesh_core::machine::open::{Identity, MemberKeys};
use aidmesh_host::vault::VaultError;
use zeroize::Zeroizing;

/// Name of the secret in the vault.
pub const IDENTITY: &str = "identity";
/// Key packages of this device that it hands out: one for each suite, and as many that are older.
const OWN_CARDS: usize = 4;
/// Revocations that are told again at each start; the store keeps all.
const REVOCATIONS: usize = 256;
/// Larger than any: [`OWN_CARDS`] and [`limits::CARDS`] cards, partners and revocations.
const BYTES_MAX: usize = 256 * 1024;
const VERSION: u8 = 1;

/// Why an identity cannot be read, kept or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What is in the vault does not fit together.
    #[error("the identity in the vault is damaged: {0}")]
    Damaged(&'static str),
    /// A renewal is not of this device, or is older than what it has.
    #[error("the renewal is not for this device: {0}")]
    NotOurs(&'static str),
    /// A certificate of the renewal is not believed.
    #[error("the renewal is refused: {0}")]
    Refused(#[from] CertError),
    /// [`limits::PARTNERS_PER_GRANT`] organisations are trusted.
    #[error("too many organisations are trusted already")]
    Full,
    /// An organisation need not trust itself.
    #[error("this is the card of your own organisation")]
    Own,
}

/// The four key pairs of a device.
#[derive(Clone, Debug)]
pub struct DeviceKeys {
    /// Ed25519 device key.
    pub device: KeyPair,
    /// X25519 seal key.
    pub seal: Secret,
    /// Ed25519 inbox key.
    pub inbox: KeyPair,
    /// Ed25519 routing key.
    pub routing: KeyPair,
}

impl DeviceKeys {
    /// New ones, from the operating system.
    pub fn random() -> Result<DeviceKeys, super::NoEntropy> {
        Ok(DeviceKeys {
            device: super::new_key()?,
            seal: super::new_secret()?,
            inbox: super::new_key()?,
            routing: super::new_key()?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.put(&*self.device.seed()).put(&self.seal.0);
        w.put(&*self.inbox.seed()).put(&*self.routing.seed());
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<DeviceKeys, Malformed> {
        Ok(DeviceKeys {
            device: read_key(r)?,
            seal: Secret(r.array()?),
            inbox: read_key(r)?,
            routing: read_key(r)?,
        })
    }
}

pub(super) fn read_key(r: &mut Reader<'_>) -> Result<KeyPair, Malformed> {
    let seed = Zeroizing::new(r.array()?);
    Ok(KeyPair::from_seed(&seed))
}

/// This device as a member of its organisation.
#[derive(Clone, Debug)]
pub struct IdentityFile {
    /// Its keys.
    pub keys: DeviceKeys,
    /// Certificate of device, seal and inbox key.
    pub device: DeviceCert,
    /// Certificate of the routing key.
    pub routing: RoutingCert,
    /// Its organisation.
    pub org: OrgCard,
    /// Relays of its organisation.
    pub relays: Vec<Place>,
    /// Organisations that it trusts.
    pub partners: Vec<OrgCard>,
    /// Cards that it hands out, newest last; made by its machine.
    pub own_cards: Vec<Card>,
    /// Devices to know from the start; the administrator's first, if it is another one.
    pub cards: Vec<Card>,
    /// Revocations to spread, newest last.
    pub revocations: Vec<Revocation>,
}

impl IdentityFile {
    /// From the vault of a device; `None` before it is enrolled.
    pub fn load(safe: &dyn Safe) -> Result<Option<IdentityFile>, IdentityError> {
        let Some(bytes) = safe.get(IDENTITY) else {
            return Ok(None);
        };
        let file = IdentityFile::decode(&bytes).map_err(|e| IdentityError::Damaged(e.0))?;
        Ok(Some(file))
    }

    /// Saves it in the vault of this device.
    pub fn keep(&self, safe: &mut dyn Safe) -> Result<(), IdentityError> {
        keep_all(safe, vec![(IDENTITY, Some(self.encode()?))])?;
        Ok(())
    }

    /// What a machine is opened with.
    pub fn identity(&self) -> Identity {
        let keys = &self.keys;
        Identity {
            routing: keys.routing.clone(),
            routing_cert: self.routing.encode(),
            member: Some(MemberKeys {
                device: keys.device.clone(),
                seal: keys.seal.clone(),
                inbox: keys.inbox.clone(),
                cert: self.device.encode(),
            }),
        }
    }

    /// What the machine is told at each start; repeated, they change nothing. One that is refused (a card
    /// of a device that was revoked since) is no fault of this device.
    pub fn commands(&self) -> Vec<Command> {
        let trust = |card: &OrgCard, own| {
            let root_card = card.root.encode();
            let learn = card
                .admins
                .iter()
                .map(|cert| Command::LearnAdmin { cert: cert.encode() });
            std::iter::once(Command::Trust { root_card, own })
                .chain(learn)
                .collect::<Vec<_>>()
        };
        let mut commands = trust(&self.org, true);
        commands.extend(self.partners.iter().flat_map(|card| trust(card, false)));
        commands.extend(self.revocations.iter().map(|revocation| Command::Revoke {
            revocation: revocation.encode(),
        }));
        let cards = self.cards.iter().cloned();
        commands.extend(cards.map(|card| Command::LearnCard { card }));
        commands
    }

    /// Name of the holder.
    pub fn name(&self) -> &Name {
        &self.device.name
    }

    /// The holder.
    pub fn person(&self) -> Person {
        self.device.person
    }

    /// This device.
    pub fn dev(&self) -> Dev {
        self.device.dev()
    }

    /// Its organisation.
    pub fn org_id(&self) -> Org {
        self.org.org()
    }

    /// The administrator who signed the routing certificate: what a relay needs to believe it.
    pub fn issuer(&self) -> Option<&AdminCert> {
        let issued = |cert: &&AdminCert| self.routing.verified_by(&cert.admin_key);
        self.org.admins.iter().find(issued)
    }

    /// Days until the lease ends; negative since it ended.
    pub fn lease_days(&self, now_min: u32) -> i64 {
        let left = i64::from(self.device.window.not_after_min) - i64::from(now_min);
        left.div_euclid(24 * 60)
    }

    /// Trusts another organisation from now on, or takes its newer card. Whether that changed anything;
    /// not saved yet.
    pub fn trust(&mut self, card: OrgCard) -> Result<bool, IdentityError> {
        if card.org() == self.org_id() {
            return Err(IdentityError::Own);
        }
        trust_in(&mut self.partners, card).ok_or(IdentityError::Full)
    }

    /// Spreads a revocation from the next start on. Not saved yet.
    pub fn spread(&mut self, revocation: Revocation) {
        if !self.revocations.contains(&revocation) {
            self.revocations.push(revocation);
            let over = self.revocations.len().saturating_sub(REVOCATIONS);
            self.revocations.drain(..over);
        }
    }

    /// Keeps a card that the machine of this device made, to be handed out. Not saved yet.
    pub fn keep_card(&mut self, card: Card) {
        if !self.own_cards.contains(&card) {
            self.own_cards.push(card);
            let over = self.own_cards.len().saturating_sub(OWN_CARDS);
            self.own_cards.drain(..over);
        }
    }

    /// Takes newer certificates for the same keys. Cards made before name the old certificate and are
    /// dropped: the machine makes new ones. Not saved yet.
    pub fn renew(&mut self, renewal: &Renewal) -> Result<(), IdentityError> {
        let (device, routing) = (&renewal.device, &renewal.routing);
        renewal.verify(&self.org.root)?;
        let same = device.device_key == self.device.device_key
            && device.seal_key == self.device.seal_key
            && device.inbox_key == self.device.inbox_key
            && routing.routing_key == self.routing.routing_key;
        if !same {
            return Err(IdentityError::NotOurs("other keys"));
        }
        if device.serial <= self.device.serial || routing.serial <= self.routing.serial {
            return Err(IdentityError::NotOurs("not newer than what this device has"));
        }
        self.device = device.clone();
        self.routing = routing.clone();
        self.org.admins = renewal.admins.clone();
        self.own_cards.clear();
        Ok(())
    }

    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        let damaged = |e: Malformed| IdentityError::Damaged(e.0);
        // its final size from the start: a buffer that grows leaves copies of secrets behind
        let mut w = Writer(Vec::with_capacity(BYTES_MAX));
        w.u8(VERSION);
        self.keys.write(&mut w);
        w.bytes(&self.device.encode()).bytes(&self.routing.encode());
        w.bytes(&self.org.encode().map_err(damaged)?);
        Place::write_all(&self.relays, &mut w);
        write_org_cards(&self.partners, &mut w).map_err(damaged)?;
        write_cards(&self.own_cards, &mut w);
        write_cards(&self.cards, &mut w);
        w.count(self.revocations.len());
        self.revocations.iter().for_each(|revocation| {
            w.bytes(&revocation.encode());
        });
        let bytes = Zeroizing::new(w.0);
        IdentityFile::decode(&bytes).map_err(damaged)?;
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<IdentityFile, Malformed> {
        if bytes.len() > BYTES_MAX {
            return Err(Malformed("identity over the limit"));
        }
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(Malformed("of a newer version"));
        }
        let file = IdentityFile {
            keys: DeviceKeys::read(&mut r)?,
            device: DeviceCert::decode(r.bytes(limits::CERT_BYTES)?)?,
            routing: RoutingCert::decode(r.bytes(limits::CERT_BYTES)?)?,
            org: OrgCard::decode(r.bytes(limits::ORG_CARD_BYTES)?)?,
            relays: Place::read_all(&mut r)?,
            partners: read_org_cards(&mut r)?,
            own_cards: read_cards(&mut r)?,
            cards: read_cards(&mut r)?,
            revocations: {
                let n = r.count(REVOCATIONS)?;
                let one = |_| Revocation::decode(r.bytes(limits::CERT_BYTES)?);
                (0..n).map(one).collect::<Result<_, _>>()?
            },
        };
        r.end()?;
        match file.fits() {
            true => Ok(file),
            false => Err(Malformed("certificates of other keys")),
        }
    }

    fn fits(&self) -> bool {
        self.device.device_key == self.keys.device.public()
            && self.device.seal_key == x25519_public(&self.keys.seal)
            && self.device.inbox_key == self.keys.inbox.public()
            && self.routing.routing_key == self.keys.routing.public()
            && self.device.org == self.org_id()
            && self.routing.org == self.org_id()
    }
}

/// Puts a card among the partners, instead of an older one of the same organisation. Whether it was new;
/// `None` if there is no room.
pub(super) fn trust_in(partners: &mut Vec<OrgCard>, card: OrgCard) -> Option<bool> {
    if let Some(known) = partners.iter_mut().find(|known| known.org() == card.org()) {
        let new = *known != card;
        *known = card;
        return Some(new);
    }
    if partners.len() >= limits::PARTNERS_PER_GRANT {
        return None;
    }
    partners.push(card);
    Some(true)
}

pub(super) fn write_org_cards(cards: &[OrgCard], w: &mut Writer) -> Result<(), Malformed> {
    w.count(cards.len());
    for card in cards {
        w.bytes(&card.encode()?);
    }
    Ok(())
}

pub(super) fn read_org_cards(r: &mut Reader<'_>) -> Result<Vec<OrgCard>, Malformed> {
    let n = r.count(limits::PARTNERS_PER_GRANT)?;
    let one = |_| OrgCard::decode(r.bytes(limits::ORG_CARD_BYTES)?);
    (0..n).map(one).collect()
}

fn write_cards(cards: &[Card], w: &mut Writer) {
    w.u8(u8::from(!cards.is_empty()));
    if !cards.is_empty() {
        Card::write_all(cards, w);
    }
}

fn read_cards(r: &mut Reader<'_>) -> Result<Vec<Card>, Malformed> {
    match r.u8()? {
        0 => Ok(vec![]),
        1 => Card::read_all(r),
        _ => Err(Malformed("an option is 0 or 1")),
    }
}
