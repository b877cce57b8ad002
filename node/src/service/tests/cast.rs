//! An organisation and its devices, as tests of this crate need them: keys from small numbers.

use aidmesh_core::crypto::{KeyPair, Secret, kdf};
use aidmesh_core::directory::{
    AdminCert, DeviceCert, Name, Power, Role, Roles, RootCard, RoutingCert, Signed, Window,
};
use aidmesh_core::id::{Dev, Key8, Org, Person};
use aidmesh_core::machine::command::Command;
use aidmesh_core::machine::open::{Identity, MemberKeys};

/// A device of the cast. Two of one `person` belong to the same one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    pub(crate) n: u8,
    pub(crate) name: &'static str,
    pub(crate) person: u8,
    pub(crate) role: Option<Role>,
    /// It is an administrator's too.
    pub(crate) administrator: bool,
}

pub(crate) const MEDIC: Device = member(1, "Medic A", Role::Paramedic);
pub(crate) const DOCTOR: Device = member(2, "Dr K", Role::Cardiologist);
pub(crate) const NURSE: Device = member(4, "RN Becker", Role::Nurse);
pub(crate) const RELAY: Device = Device {
    n: 3,
    name: "North-1",
    person: 3,
    role: None,
    administrator: false,
};

pub(crate) const fn member(n: u8, name: &'static str, role: Role) -> Device {
    Device {
        n,
        name,
        person: n,
        role: Some(role),
        administrator: false,
    }
}

fn key(n: u8) -> KeyPair {
    KeyPair::from_seed(&[n; 32])
}

fn root() -> KeyPair {
    key(201)
}

fn admin() -> KeyPair {
    key(202)
}

fn window(wall_ms: u64) -> Window {
    let minute = u32::try_from(wall_ms / 60_000).unwrap();
    Window {
        not_before_min: minute - 10,
        not_after_min: minute + 10 * 24 * 60 + 30,
    }
}

impl Device {
    pub(crate) fn dev(self) -> Dev {
        let keys = self.identity(1 << 40).member.unwrap();
        Dev::of_key(&keys.device.public())
    }

    pub(crate) fn person(self) -> Person {
        Person([self.person; 8])
    }

    pub(crate) fn identity(self, wall_ms: u64) -> Identity {
        let own = |what: &str| KeyPair::from_seed(&kdf(&[self.n; 8], what).0);
        let org = Org::of_root(&root().public());
        let (window, sig, issuer) = (window(wall_ms), [0; 64], Key8::default());
        let serial = u32::from(self.n);
        let routing = own("routing");
        let cert = RoutingCert {
            org,
            serial,
            routing_key: routing.public(),
            quota: 1,
            window,
            issuer,
            sig,
        };
        let routing_cert = cert.signed_by(&admin()).encode();
        let member = self.role.map(|role| {
            let (device, inbox) = (own("device"), own("inbox"));
            let cert = DeviceCert {
                org,
                serial,
                device_key: device.public(),
                seal_key: [self.n; 32],
                inbox_key: inbox.public(),
                person: self.person(),
                roles: match self.administrator {
                    true => Roles::of(&[role, Role::ItAdmin]),
                    false => Roles::of(&[role]),
                },
                window,
                issuer,
                name: Name::new(self.name).unwrap(),
                sig,
            };
            MemberKeys {
                cert: cert.signed_by(&admin()).encode(),
                device,
                seal: Secret([self.n; 32]),
                inbox,
            }
        });
        Identity {
            routing,
            routing_cert,
            member,
        }
    }

    /// What it is told before anything else.
    pub(crate) fn told_first(self, wall_ms: u64) -> Vec<Command> {
        let card = RootCard::new(&root(), Name::new("Hospital North").unwrap());
        let cert = AdminCert {
            org: card.org(),
            serial: 1,
            admin_key: admin().public(),
            powers: Power::Enrol as u8,
            window: window(wall_ms),
            sig: [0; 64],
        };
        let root_card = card.encode();
        let cert = cert.signed_by(&root()).encode();
        let person = self.person();
        let member = self.role.map(|_| Command::SignOn { person });
        [
            Command::Trust { root_card, own: true },
            Command::LearnAdmin { cert },
        ]
        .into_iter()
        .chain(member)
        .collect()
    }
}
