//! Organisations made in memory, for tests: a root, an administrator, certificates of devices and relays.

use aidmesh_core::crypto::KeyPair;
use aidmesh_core::directory::{
    AdminCert, Name, Power, Revocation, RootCard, RoutingCert, Signed, What, Window,
};
use aidmesh_core::id::{Key8, Org};
use aidmesh_core::time::Wall;

/// A moment in 2026, in minutes since 1970.
pub(crate) const NOW_MIN: u32 = 29_700_000;
/// The same as a clock tells it.
pub(crate) const NOW: Wall = Wall(NOW_MIN as u64 * 60_000);
const DAY_MIN: u32 = 24 * 60;

/// An organisation with one administrator.
pub(crate) struct Organisation {
    pub(crate) root: KeyPair,
    pub(crate) admin: KeyPair,
    pub(crate) card: RootCard,
    pub(crate) admin_cert: AdminCert,
}

impl Organisation {
    pub(crate) fn new(name: &str, seed: u8) -> Organisation {
        let root = KeyPair::from_seed(&[seed; 32]);
        let admin = KeyPair::from_seed(&[seed ^ 0x80; 32]);
        let card = RootCard::new(&root, Name::new(name).unwrap());
        let cert = AdminCert {
            org: card.org(),
            serial: 1,
            admin_key: admin.public(),
            powers: Power::Enrol as u8 | Power::Revoke as u8,
            window: around(100),
            sig: [0; 64],
        };
        let admin_cert = cert.signed_by(&root);
        Organisation {
            root,
            admin,
            card,
            admin_cert,
        }
    }

    pub(crate) fn org(&self) -> Org {
        self.card.org()
    }

    pub(crate) fn routing(&self, key: &KeyPair, window: Window) -> Vec<u8> {
        let cert = RoutingCert {
            org: self.org(),
            serial: 2,
            routing_key: key.public(),
            quota: 1,
            window,
            issuer: Key8::default(),
            sig: [0; 64],
        };
        cert.signed_by(&self.admin).encode().to_vec()
    }

    pub(crate) fn revoke(&self, what: What, key: [u8; 32]) -> Vec<u8> {
        let revocation = Revocation {
            org: self.org(),
            key: Key8::of_key(&key),
            what,
            serial_floor: 9,
            issuer: Key8::default(),
            seq: 1,
            sig: [0; 64],
        };
        revocation.signed_by(&self.admin).encode().to_vec()
    }
}

/// That many days before and after now.
pub(crate) fn around(days: u32) -> Window {
    Window {
        not_before_min: NOW_MIN - days * DAY_MIN,
        not_after_min: NOW_MIN + days * DAY_MIN,
    }
}

/// The key of a device or relay.
pub(crate) fn key(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}
