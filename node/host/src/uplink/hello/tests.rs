//! Hellos on paper: layout, and what the gate makes of each fault.

use super::*;
use aidmesh_core::crypto::KeyPair;
use aidmesh_core::directory::{
    AdminCert, Directory, Learned, Name, Power, Revocation, RootCard, RoutingCert, Signed, What, Window,
};
use aidmesh_core::id::{Key8, Org};
use aidmesh_core::store::Batch;
use aidmesh_core::time::Wall;

/// An organisation with one administrator.
pub(crate) struct Organisation {
    root: KeyPair,
    admin: KeyPair,
    serial: u32,
}

/// Minutes since 1970 at which the tests take place.
const NOW_MIN: u32 = 29_000_000;
const DAY_MIN: u32 = 24 * 60;

pub(crate) fn wall() -> Wall {
    Wall(u64::from(NOW_MIN) * 60_000)
}

impl Organisation {
    pub(crate) fn new(n: u8) -> Organisation {
        Organisation {
            root: KeyPair::from_seed(&[n; 32]),
            admin: KeyPair::from_seed(&[n + 100; 32]),
            serial: 1,
        }
    }

    fn org(&self) -> Org {
        Org::of_root(&self.root.public())
    }

    pub(crate) fn card(&self) -> Bytes {
        RootCard::new(&self.root, Name::new("Hospital North").unwrap()).encode()
    }

    pub(crate) fn gate(&self) -> Gate {
        let mut directory = Directory::new();
        assert_eq!(
            directory.trust(&self.card(), true, &mut Batch::default()),
            Learned::New
        );
        Gate::new(directory, wall)
    }

    fn admin_cert(&self) -> Bytes {
        let cert = AdminCert {
            org: self.org(),
            serial: 1,
            admin_key: self.admin.public(),
            powers: Power::Enrol as u8 | Power::Revoke as u8,
            window: Window {
                not_before_min: NOW_MIN - 365 * DAY_MIN,
                not_after_min: NOW_MIN,
            },
            sig: [0; 64],
        };
        cert.signed_by(&self.root).encode()
    }

    fn routing(&self, key: [u8; 32], window: Window) -> RoutingCert {
        let cert = RoutingCert {
            org: self.org(),
            serial: self.serial,
            routing_key: key,
            quota: 0,
            window,
            issuer: Key8([0; 8]),
            sig: [0; 64],
        };
        cert.signed_by(&self.admin)
    }

    /// A hello with a lease that ended `days` ago.
    fn expired(&self, key: [u8; 32], days: u32) -> Hello {
        let window = Window {
            not_before_min: NOW_MIN - (days + 2).min(365) * DAY_MIN,
            not_after_min: NOW_MIN - days * DAY_MIN,
        };
        Hello {
            routing: self.routing(key, window).encode(),
            admin: self.admin_cert(),
        }
    }

    pub(crate) fn hello(&self, key: [u8; 32]) -> Hello {
        let window = Window {
            not_before_min: NOW_MIN - DAY_MIN,
            not_after_min: NOW_MIN + 30 * DAY_MIN,
        };
        Hello {
            routing: self.routing(key, window).encode(),
            admin: self.admin_cert(),
        }
    }

    pub(crate) fn revocation(&self, key: [u8; 32], what: What) -> Bytes {
        let revocation = Revocation {
            org: self.org(),
            key: Key8::of_key(&key),
            what,
            serial_floor: 2,
            issuer: Key8([0; 8]),
            seq: 1,
            sig: [0; 64],
        };
        // by the root, so that it needs no administrator
        revocation.signed_by(&self.root).encode()
    }
}

fn device() -> [u8; 32] {
    KeyPair::from_seed(&[50; 32]).public()
}

#[test]
fn a_hello_reads_back_and_nothing_else_does() {
    let hello = Organisation::new(1).hello(device());
    let bytes = hello.encode();
    assert!(bytes.len() <= HELLO_BYTES);
    assert_eq!(Hello::decode(&bytes), Ok(hello));
    for cut in 1..bytes.len() {
        assert_eq!(Hello::decode(&bytes[..cut]), Err(Refusal::NotACertificate));
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Hello::decode(&longer), Err(Refusal::NotACertificate));
    assert_eq!(Hello::decode(&[]), Err(Refusal::OtherVersion));
    assert_eq!(Hello::decode(&[2, 0, 0]), Err(Refusal::OtherVersion));
    assert_eq!(
        Hello::decode(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        Err(Refusal::NotACertificate)
    );
}

#[test]
fn a_device_of_a_trusted_organisation_is_admitted() {
    let org = Organisation::new(1);
    let gate = org.gate();
    assert_eq!(gate.admit(device(), &org.hello(device())), Ok(()));
    assert_eq!(
        gate.counts(),
        GateCounts {
            admitted: 1,
            ..GateCounts::default()
        }
    );
}

#[test]
fn another_organisation_is_refused_until_it_is_trusted() {
    let (own, other) = (Organisation::new(1), Organisation::new(2));
    let gate = own.gate();
    let hello = other.hello(device());
    assert_eq!(gate.admit(device(), &hello), Err(Refusal::Organisation));
    assert_eq!(gate.trust(&other.card()), Learned::New);
    assert_eq!(gate.admit(device(), &hello), Ok(()));
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let org = Organisation::new(1);
    let stolen = org.hello([9; 32]);
    assert_eq!(org.gate().admit(device(), &stolen), Err(Refusal::OtherKey));
}

#[test]
fn forged_certificates_are_refused() {
    let (org, forger) = (Organisation::new(1), Organisation::new(2));
    let good = org.hello(device());
    // an administrator of another organisation signs for this one
    let mut routing = forger.routing(
        device(),
        Window {
            not_before_min: NOW_MIN,
            not_after_min: NOW_MIN,
        },
    );
    routing.org = org.org();
    let routing = routing.signed_by(&forger.admin).encode();
    let foreign_admin = Hello {
        routing: routing.clone(),
        admin: forger.admin_cert(),
    };
    let own_admin = Hello {
        routing,
        admin: good.admin.clone(),
    };
    let mut flipped = good.routing.to_vec();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let flipped = Hello {
        routing: flipped.into(),
        ..good.clone()
    };
    let swapped = Hello {
        routing: good.admin.clone(),
        admin: good.routing.clone(),
    };
    let gate = org.gate();
    for hello in [foreign_admin, own_admin, flipped, swapped] {
        assert_eq!(gate.admit(device(), &hello), Err(Refusal::NotACertificate));
    }
    assert_eq!(gate.counts().refused, 4);
}

#[test]
fn revoked_keys_are_refused_whoever_of_both_is_revoked() {
    let org = Organisation::new(1);
    let gate = org.gate();
    let hello = org.hello(device());
    assert_eq!(gate.admit(device(), &hello), Ok(()));
    let device_revoked = org.revocation(device(), What::Routing);
    assert_eq!(gate.revoke(&device_revoked), Learned::New);
    assert_eq!(gate.admit(device(), &hello), Err(Refusal::Revoked));

    let gate = org.gate();
    let admin_revoked = org.revocation(org.admin.public(), What::Admin);
    assert_eq!(gate.revoke(&admin_revoked), Learned::New);
    assert_eq!(gate.admit(device(), &hello), Err(Refusal::Revoked));
}

#[test]
fn an_expired_lease_is_admitted_and_counted_up_to_the_grace() {
    let org = Organisation::new(1);
    let gate = org.gate().with_grace(30);
    assert_eq!(gate.admit(device(), &org.expired(device(), 30)), Ok(()));
    assert_eq!(gate.counts().outside_lease, 1);
    let over = org.expired(device(), 31);
    assert_eq!(gate.admit(device(), &over), Err(Refusal::Expired { days: 31 }));
}

#[test]
fn code_and_words_of_a_refusal_read_back() {
    let all = [
        Refusal::Organisation,
        Refusal::Expired { days: 40 },
        Refusal::Revoked,
        Refusal::OtherKey,
        Refusal::NotACertificate,
        Refusal::TooMany,
        Refusal::OtherVersion,
    ];
    for refusal in all {
        let words = refusal.to_string();
        assert_eq!(
            Refusal::read(refusal.code(), words.as_bytes()),
            Some(refusal),
            "{words}"
        );
    }
    assert_eq!(Refusal::read(VarInt::from_u32(0), b"key revoked"), None);
    let rude = Refusal::read(Refusal::Expired { days: 1 }.code(), b"\x1b[2J\xff");
    assert_eq!(rude, Some(Refusal::Expired { days: 0 }));
}
