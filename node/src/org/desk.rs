//! The desk: what an administrator does for the organisation, on its vault.
//!
//! Every act changes a copy of the register and of the book of invites, saves both in one write, and only
//! then is it true here and told. So a disk that is full makes an act fail, and never makes two grants for
//! one invite, two certificates with one serial, or a revocation that nobody remembers.
//!
//! The desk refuses by itself what paper can tell: a wrong, used or ended invite, a key that it certified
//! or revoked before. Whether the person is the right one it cannot know: whoever calls [`Desk::approve`]
//! had people compare the six words that [`Desk::look`] gave.
//!
//! Founding is in `found`, windows and serials of certificates in `issue`.

mod found;
mod issue;

pub use found::{Founded, Founding, create};
pub use issue::LEASE_MINUTES;

use super::identity::{IdentityError, trust_in};
use super::register::{DEVICES, Enrolled, Register};
use super::{NoEntropy, Safe, keep_all, random, text};
use aidmesh_core::codec::Malformed;
use aidmesh_core::crypto::KeyPair;
use aidmesh_core::directory::{Name, Revocation, Roles, Signed, What};
use aidmesh_core::enrolment::{
    Grant, Invite, InviteSecret, Invites, OrgCard, Place, Renewal, Request, RequestError,
};
use aidmesh_core::id::{Dev, Org};
use aidmesh_core::limits;
use aidmesh_core::machine::command::Card;
use aidmesh_host::vault::VaultError;
use bip39::{Language, Mnemonic};
use bytes::Bytes;
use issue::{Subject, admin_cert};
use zeroize::Zeroizing;

/// Names of the secrets in the vault of the organisation.
const REGISTER: &str = "org/register";
const BOOK: &str = "org/invites";

/// An invite is for somebody who is waited for.
pub const INVITE_MINUTES_MAX: u32 = 30 * 24 * 60;

/// Why an act of the desk failed. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// This vault has an organisation, or this device an identity.
    #[error("this folder has an organisation or identity already")]
    Exists,
    /// No organisation was founded in this folder.
    #[error("this folder has no organisation; only an administrator's folder has one")]
    NoOrganisation,
    /// No random numbers.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What is in the vault does not fit together.
    #[error("the organisation in the vault is damaged: {0}")]
    Damaged(&'static str),
    /// A device without a role can do nothing.
    #[error("at least one role is needed")]
    NoRole,
    /// The invite would be too long, or its places are none.
    #[error("the invite cannot be made: {0}")]
    Invite(&'static str),
    /// An invite ends at once or after more than 30 days.
    #[error("an invite is valid for 1 minute to 30 days")]
    Validity,
    /// The request is refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A key of the request belongs to an enrolled or revoked device.
    #[error("a key of this request was enrolled here before")]
    KnownKey,
    /// The desk's own device has no card for others yet.
    #[error("this device has no card yet: run its node once, then approve")]
    NoCard,
    /// The grant would be too long, or its cards are none.
    #[error("the grant cannot be made: {0}")]
    Grant(&'static str),
    /// [`DEVICES`] are enrolled, or all partners' places are taken.
    #[error("no room for more {0}")]
    Full(&'static str),
    /// The administrator's year is over, or its clock is wrong.
    #[error("the administrator's certificate is not valid now; renew it with the 24 words of the root key")]
    NotValidNow,
    /// An organisation need not trust itself.
    #[error("this is the card of your own organisation")]
    Own,
    /// Nobody is called so.
    #[error("no enrolled device is called so")]
    Nobody,
    /// Several are.
    #[error("several devices are called so: {}", .0.iter().map(hex8).collect::<Vec<_>>().join(", "))]
    Several(Vec<Dev>),
    /// The desk would lock itself out.
    #[error("this is the desk's own device")]
    OwnDevice,
    /// It is over already.
    #[error("this device is revoked already")]
    Ended,
    /// The 24 words are wrong.
    #[error("these are not the 24 words of this organisation's root key")]
    WrongWords,
}

impl From<IdentityError> for DeskError {
    fn from(error: IdentityError) -> DeskError {
        match error {
            IdentityError::Vault(error) => DeskError::Vault(error),
            IdentityError::Damaged(why) => DeskError::Damaged(why),
            IdentityError::Full => DeskError::Full("organisations"),
            IdentityError::Own => DeskError::Own,
            IdentityError::NotOurs(_) | IdentityError::Refused(_) => DeskError::Damaged("own certificates"),
        }
    }
}

/// First 8 hex digits of a device, as people name it.
pub fn hex8(dev: &Dev) -> String {
    format!("{dev}")
}

fn damaged(error: Malformed) -> DeskError {
    DeskError::Damaged(error.0)
}

/// An invite to be made.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Roles that may be asked for.
    pub roles: Roles,
    /// Where this desk answers online, if it will.
    pub desk: Option<Place>,
    /// For how long.
    pub valid_min: u32,
}

/// What a request says, for the administrator's eyes before approving.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The request.
    pub request: Request,
    /// To be compared with those on the new device's screen.
    pub words: [&'static str; 6],
    /// Devices enrolled under the same name: approving makes the new one that person's too.
    pub same_person: Vec<Dev>,
}

/// A request that was granted.
#[derive(Clone)]
pub struct Approved {
    /// To be carried to the new device.
    pub grant: Bytes,
    /// What was granted.
    pub asking: Asking,
}

impl std::fmt::Debug for Approved {
    /// The grant has names in clear.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Approved({:?})", self.asking)
    }
}

/// An open desk.
pub struct Desk<'a> {
    safe: &'a mut dyn Safe,
    register: Register,
    book: Invites,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Desk({:?})", self.org())
    }
}

impl<'a> Desk<'a> {
    /// The desk of the organisation in this vault.
    pub fn open(safe: &'a mut dyn Safe) -> Result<Desk<'a>, DeskError> {
        let register = safe.get(REGISTER).ok_or(DeskError::NoOrganisation)?;
        let register = Register::decode(&register).map_err(damaged)?;
        let book = safe.get(BOOK).ok_or(DeskError::Damaged("no book of invites"))?;
        let book = Invites::decode(&book).map_err(damaged)?;
        Ok(Desk { safe, register, book })
    }

    /// The organisation.
    pub fn org(&self) -> Org {
        self.register.card.org()
    }

    /// Its name.
    pub fn organisation(&self) -> &Name {
        &self.register.card.root.name
    }

    /// Devices that this desk enrolled, its own first.
    pub fn enrolled(&self) -> &[Enrolled] {
        &self.register.enrolled
    }

    /// Organisations that it trusts.
    pub fn partners(&self) -> &[OrgCard] {
        &self.register.partners
    }

    /// Relays that invites and grants name.
    pub fn relays(&self) -> &[Place] {
        &self.register.relays
    }

    /// Invites that can still be used.
    pub fn open_invites(&self, now_min: u32) -> usize {
        self.book.open(now_min)
    }

    /// The card for other organisations and for relays.
    pub fn card(&self) -> OrgCard {
        self.register.card.clone()
    }

    /// Sets the relays that invites and grants name from now on.
    pub fn set_relays(&mut self, relays: Vec<Place>) -> Result<(), DeskError> {
        if relays.len() > limits::PLACES {
            return Err(DeskError::Full("relays"));
        }
        let mut register = self.register.clone();
        register.relays = relays;
        self.commit(register, None)
    }

    /// Makes an invite for one device.
    pub fn invite(&mut self, offer: &Offer, now_min: u32) -> Result<Invite, DeskError> {
        if offer.roles.0 == 0 {
            return Err(DeskError::NoRole);
        }
        if offer.valid_min == 0 || offer.valid_min > INVITE_MINUTES_MAX {
            return Err(DeskError::Validity);
        }
        let invite = Invite {
            root_key: self.register.card.root.root_key,
            admin: self.register.valid_admin(now_min)?.clone(),
            secret: InviteSecret(*random()?),
            not_after_min: now_min.saturating_add(offer.valid_min),
            roles: offer.roles,
            desk: offer.desk.clone(),
            relays: self.register.relays.clone(),
        };
        invite.encode().map_err(|e| DeskError::Invite(e.0))?;
        let mut book = self.book.clone();
        book.issue(&invite, now_min)?;
        self.commit(self.register.clone(), Some(book))?;
        Ok(invite)
    }

    /// What a request says, or why it is refused. Changes nothing.
    pub fn look(&self, request: &[u8], now_min: u32) -> Result<Asking, DeskError> {
        let asked = self.book.judge(request, now_min)?;
        self.register.unknown_keys(&asked.request)?;
        Ok(self.asking(asked.request, asked.words))
    }

    /// Grants a request, after people compared the words. `cards`: those of the desk's own device, which
    /// its machine made, then others to know from the start.
    pub fn approve(&mut self, request: &[u8], cards: &[Card], now_min: u32) -> Result<Approved, DeskError> {
        let asked = self.book.judge(request, now_min)?;
        self.register.unknown_keys(&asked.request)?;
        if self.register.enrolled.len() >= DEVICES {
            return Err(DeskError::Full("devices"));
        }
        let own = self.register.enrolled.first().map(|own| own.device.encode());
        if cards.first().map(|card| &card.device_cert) != own.as_ref() {
            return Err(DeskError::NoCard);
        }
        let (mut register, mut book) = (self.register.clone(), self.book.clone());
        let key = book.use_up(&asked)?;
        let (device, routing) = register.certify(&Subject::of_request(&asked.request), now_min)?;
        let grant = Grant {
            request: asked.request.hash(),
            device: device.clone(),
            routing: routing.clone(),
            root: register.card.root.clone(),
            admins: register.card.admins.clone(),
            relays: register.relays.clone(),
            partners: register.partners.clone(),
            cards: cards.to_vec(),
        };
        let grant = grant.seal(&key).map_err(|e| DeskError::Grant(e.0))?;
        let asking = self.asking(asked.request, asked.words);
        register.enrolled.push(Enrolled {
            device,
            routing,
            ended: false,
        });
        self.commit(register, Some(book))?;
        Ok(Approved { grant, asking })
    }

    /// Trusts another organisation, or takes its newer card: grants name it from now on. Whether that
    /// changed anything.
    pub fn trust(&mut self, card: &OrgCard) -> Result<bool, DeskError> {
        if card.org() == self.org() {
            return Err(DeskError::Own);
        }
        let mut register = self.register.clone();
        let new = trust_in(&mut register.partners, card.clone()).ok_or(DeskError::Full("organisations"))?;
        if new {
            self.commit(register, None)?;
        }
        Ok(new)
    }

    /// Ends the keys of a device for ever: two revocations, of its device and of its routing key, for
    /// this device's node to spread. `who` is its number (8 hex digits or more) or its holder's name.
    pub fn revoke(&mut self, who: &str) -> Result<Vec<Revocation>, DeskError> {
        let at = self.find(who)?;
        let mut register = self.register.clone();
        let one = &register.enrolled[at];
        if at == 0 {
            return Err(DeskError::OwnDevice);
        }
        if one.ended {
            return Err(DeskError::Ended);
        }
        let keys = [
            (What::Device, one.device.device_key),
            (What::Routing, one.routing.routing_key),
        ];
        let revocations: Vec<_> = keys
            .iter()
            .map(|(what, key)| register.revocation(*what, key))
            .collect::<Result<_, _>>()?;
        register.enrolled[at].ended = true;
        self.commit(register, None)?;
        Ok(revocations)
    }

    /// All revocations of this desk, in order.
    pub fn revocations(&self) -> &[Revocation] {
        &self.register.revoked
    }

    /// New certificates for a device that this desk enrolled, with a new lease.
    pub fn renew(&mut self, who: &str, now_min: u32) -> Result<Renewal, DeskError> {
        let at = self.find(who)?;
        let mut register = self.register.clone();
        if register.enrolled[at].ended {
            return Err(DeskError::Ended);
        }
        let subject = Subject::of_certs(&register.enrolled[at]);
        let (device, routing) = register.certify(&subject, now_min)?;
        let one = &mut register.enrolled[at];
        (one.device, one.routing) = (device.clone(), routing.clone());
        let admins = register.card.admins.clone();
        self.commit(register, None)?;
        Ok(Renewal {
            device,
            routing,
            admins,
        })
    }

    /// A further year for the administrator, by the 24 words of the root key. Cards given out before
    /// stay good; new ones have both certificates.
    pub fn renew_admin(&mut self, root_words: &str, now_min: u32) -> Result<(), DeskError> {
        let wrong = |_| DeskError::WrongWords;
        let mnemonic = Mnemonic::parse_in(Language::English, root_words).map_err(wrong)?;
        let entropy = Zeroizing::new(mnemonic.to_entropy());
        let seed = Zeroizing::new(<[u8; 32]>::try_from(&entropy[..]).map_err(|_| DeskError::WrongWords)?);
        let root = KeyPair::from_seed(&seed);
        if root.public() != self.register.card.root.root_key {
            return Err(DeskError::WrongWords);
        }
        let mut register = self.register.clone();
        let admins = &mut register.card.admins;
        let serial = admins.iter().map(|cert| cert.serial).max().unwrap_or(0);
        let cert = admin_cert(&root, &register.admin, serial.saturating_add(1), now_min);
        admins.push(cert);
        // the newest are what counts: what an older one signed was long renewed
        let over = admins.len().saturating_sub(limits::ADMINS_PER_CARD);
        admins.drain(..over);
        self.commit(register, None)
    }

    fn asking(&self, request: Request, words: [u16; 6]) -> Asking {
        let same = |one: &&Enrolled| !one.ended && one.device.name == request.name;
        Asking {
            words: text::words(words),
            same_person: self
                .register
                .enrolled
                .iter()
                .filter(same)
                .map(|one| one.device.dev())
                .collect(),
            request,
        }
    }

    fn find(&self, who: &str) -> Result<usize, DeskError> {
        let hex = |dev: &Dev| data_encoding::HEXLOWER.encode(&dev.0);
        let wanted = who.to_ascii_lowercase();
        let called = |one: &Enrolled| {
            let by_number = wanted.len() >= 8 && hex(&one.device.dev()).starts_with(&wanted);
            by_number || one.device.name.as_str() == who
        };
        let all = self.register.enrolled.iter().enumerate();
        let found: Vec<usize> = all.filter(|(_, one)| called(one)).map(|(i, _)| i).collect();
        let devs = |list: &[usize]| {
            list.iter()
                .map(|i| self.register.enrolled[*i].device.dev())
                .collect()
        };
        // of several of one name those that ended are not meant
        let open: Vec<usize> = found
            .iter()
            .copied()
            .filter(|i| !self.register.enrolled[*i].ended)
            .collect();
        match (&open[..], &found[..]) {
            ([at], _) | ([], [at]) => Ok(*at),
            ([], []) => Err(DeskError::Nobody),
            ([], _) => Err(DeskError::Ended),
            (several, _) => Err(DeskError::Several(devs(several))),
        }
    }

    /// Saves the next state; it is the state only if that worked.
    fn commit(&mut self, register: Register, book: Option<Invites>) -> Result<(), DeskError> {
        let mut changes = vec![(REGISTER, Some(register.encode().map_err(damaged)?))];
        changes.extend(book.as_ref().map(|book| (BOOK, Some(book.encode()))));
        keep_all(self.safe, changes)?;
        self.register = register;
        if let Some(book) = book {
            self.book = book;
        }
        Ok(())
    }
}
