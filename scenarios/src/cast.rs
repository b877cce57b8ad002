//! The people and devices of a run: one organisation with its root and administrator, members with
//! certificates, relays, and the exchange of cards.
//!
//! Keys come from the seed. Certificates are valid for the whole run whatever the clocks of devices say;
//! they are handed over at the start, as enrolment would do. Cards (a certificate and a key package) go
//! from device to device outside the simulated links, as a QR code would.

use crate::chance::Chance;
use crate::clock::{Clock, START_MS};
use crate::net::HostId;
use crate::world::{Start, World};
use aidmesh_core::crypto::{KeyPair, Secret, x25519_public};
use aidmesh_core::directory::{
    AdminCert, DeviceCert, Name, Power, Revocation, Role, Roles, RootCard, RoutingCert, Signed, What, Window,
};
use aidmesh_core::group::mls::Suite;
use aidmesh_core::id::{Key8, Org, Person};
use aidmesh_core::machine::command::{Card, Command};
use aidmesh_core::machine::event::Event;
use aidmesh_core::machine::open::{Flaws, Identity, MemberKeys, Part};
use bytes::Bytes;

/// Minutes in the window of every certificate before and after the start of a run.
const MINUTES: u32 = 180 * 24 * 60;

/// The organisation of a run.
pub struct Organisation {
    admin: KeyPair,
    org: Org,
    root_card: Bytes,
    admin_cert: Bytes,
    chance: Chance,
    serial: u32,
    revoked: u32,
}

impl Organisation {
    /// Root, administrator and their certificates.
    pub fn new(seed: u64) -> Organisation {
        let mut chance = Chance::new(seed).fork("organisation");
        let root = KeyPair::from_seed(&chance.seed());
        let admin = KeyPair::from_seed(&chance.seed());
        let card = RootCard::new(&root, name("Hospital North"));
        let org = card.org();
        let cert = AdminCert {
            org,
            serial: 1,
            admin_key: admin.public(),
            powers: Power::Enrol as u8 | Power::Revoke as u8,
            window: window(),
            sig: [0; 64],
        };
        let admin_cert = cert.signed_by(&root).encode();
        Organisation {
            admin,
            org,
            root_card: card.encode(),
            admin_cert,
            chance,
            serial: 1,
            revoked: 0,
        }
    }

    /// Enrols a device and adds it to the world; it trusts the organisation from its first moment.
    pub fn enrol(&mut self, world: &mut World, title: &str, what: Enrol) -> HostId {
        let identity = self.identity(title, &what);
        let host = world.add_host(Start {
            name: title.to_owned(),
            part: what.part,
            identity,
            clock: what.clock,
            flaws: what.flaws,
        });
        self.introduce(world, host);
        host
    }

    /// Hands root card and administrator's certificate to a device, as at its enrolment.
    pub fn introduce(&self, world: &mut World, host: HostId) {
        let root_card = self.root_card.clone();
        let own = true;
        expect(world, host, Command::Trust { root_card, own });
        let cert = self.admin_cert.clone();
        expect(world, host, Command::LearnAdmin { cert });
        if let Some(person) = person_of(world, host) {
            expect(world, host, Command::SignOn { person });
        }
    }

    /// The administrator's revocation of a device's key.
    pub fn revocation(&mut self, world: &World, host: HostId) -> Option<Bytes> {
        let key = world.hosts[host].identity.member.as_ref()?.device.public();
        self.revoked += 1;
        let revocation = Revocation {
            org: self.org,
            key: Key8::of_key(&key),
            what: What::Device,
            serial_floor: 0,
            issuer: Key8::of_key(&self.admin.public()),
            seq: self.revoked,
            sig: [0; 64],
        };
        Some(revocation.signed_by(&self.admin).encode())
    }

    fn identity(&mut self, title: &str, what: &Enrol) -> Identity {
        self.serial += 1;
        let routing = KeyPair::from_seed(&self.chance.seed());
        let cert = RoutingCert {
            org: self.org,
            serial: self.serial,
            routing_key: routing.public(),
            quota: 1,
            window: window(),
            issuer: Key8::default(),
            sig: [0; 64],
        };
        let routing_cert = cert.signed_by(&self.admin).encode();
        let member = (what.part == Part::Member).then(|| self.member(title, what.role));
        Identity {
            routing,
            routing_cert,
            member,
        }
    }

    fn member(&mut self, title: &str, role: Role) -> MemberKeys {
        let device = KeyPair::from_seed(&self.chance.seed());
        let inbox = KeyPair::from_seed(&self.chance.seed());
        let seal = Secret(self.chance.seed());
        let cert = DeviceCert {
            org: self.org,
            serial: self.serial,
            device_key: device.public(),
            seal_key: x25519_public(&seal),
            inbox_key: inbox.public(),
            person: Person::from_prefix(blake3::hash(title.as_bytes()).as_bytes()).unwrap_or_default(),
            roles: Roles::of(&[role]),
            window: window(),
            issuer: Key8::default(),
            name: name(title),
            sig: [0; 64],
        };
        MemberKeys {
            cert: cert.signed_by(&self.admin).encode(),
            device,
            seal,
            inbox,
        }
    }
}

/// What kind of device to enrol.
#[derive(Clone, Debug)]
pub struct Enrol {
    /// Member, relay or carrier.
    pub part: Part,
    /// Role of its holder.
    pub role: Role,
    /// Clocks.
    pub clock: Clock,
    /// Planted bugs.
    pub flaws: Flaws,
}

/// The person who holds a device.
pub fn person_of(world: &World, host: HostId) -> Option<Person> {
    let member = world.hosts[host].identity.member.as_ref()?;
    DeviceCert::decode(&member.cert).ok().map(|cert| cert.person)
}

/// A fresh card of a device, once it is durable there. Runs the world for at most a minute.
pub fn card_of(world: &mut World, host: HostId, suite: Suite) -> Option<Card> {
    world.command(host, Command::MakeCard { suite })?.ok()?;
    for _ in 0..600 {
        let made = world.events.iter().rev().find_map(|(_, at, event)| match event {
            Event::CardMade { card } if *at == host => Some(card.clone()),
            _ => None,
        });
        if made.is_some() || world.violation.is_some() {
            return made;
        }
        world.run_for(100_000);
    }
    None
}

/// Gives a command that must be taken.
pub fn expect(world: &mut World, host: HostId, command: Command) {
    let text = format!("{command:.40?}");
    if let Some(Err(why)) = world.command(host, command) {
        let what = format!("{} refused {text:.60}: {why}", world.hosts[host].name);
        world.accuse("a lawful command is taken", what);
    }
}

fn window() -> Window {
    let start = (START_MS / 60_000) as u32;
    Window {
        not_before_min: start - MINUTES,
        not_after_min: start + MINUTES,
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("names of the cast are short")
}
