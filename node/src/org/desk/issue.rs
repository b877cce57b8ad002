//! What the administrator's key signs, and for how long.
//!
//! Leases are 30 days, begun an hour back for devices whose clock is behind, but never before the
//! administrator's own certificate, under which they would not be believed. An administrator's certificate
//! lasts 365 days. Serials and numbers of revocations only grow; the caller saves them before anything
//! that has them is told.

use super::{DeskError, Founding};
use crate::org::identity::DeviceKeys;
use crate::org::register::{Enrolled, Register};
use aidmesh_core::crypto::{KeyPair, x25519_public};
use aidmesh_core::directory::{
    AdminCert, DeviceCert, Name, Power, Revocation, Roles, RoutingCert, Signed, What, Window,
};
use aidmesh_core::enrolment::{Request, person_of};
use aidmesh_core::id::{Key8, Org};

const HOUR: u32 = 60;
const DAY: u32 = 24 * HOUR;
/// Length of a lease (PROTOCOL section 1).
pub const LEASE_MINUTES: u32 = 30 * DAY;
/// How far back a certificate begins.
const BACK_MINUTES: u32 = HOUR;
const ADMIN_MINUTES: u32 = 365 * DAY;
/// What an administrator made here may do.
const POWERS: u8 = Power::Enrol as u8 | Power::Revoke as u8 | Power::Policy as u8;
const QUOTA_DEVICE: u8 = 1;

pub(super) fn admin_cert(root: &KeyPair, admin: &KeyPair, serial: u32, now_min: u32) -> AdminCert {
    let cert = AdminCert {
        org: Org::of_root(&root.public()),
        serial,
        admin_key: admin.public(),
        powers: POWERS,
        window: Window {
            not_before_min: now_min.saturating_sub(BACK_MINUTES),
            not_after_min: now_min.saturating_add(ADMIN_MINUTES),
        },
        sig: [0; 64],
    };
    cert.signed_by(root)
}

/// Whom to certify.
pub(super) struct Subject {
    device_key: [u8; 32],
    seal_key: [u8; 32],
    inbox_key: [u8; 32],
    routing_key: [u8; 32],
    roles: Roles,
    name: Name,
}

impl Subject {
    pub(super) fn of_keys(keys: &DeviceKeys, new: &Founding) -> Subject {
        Subject {
            device_key: keys.device.public(),
            seal_key: x25519_public(&keys.seal),
            inbox_key: keys.inbox.public(),
            routing_key: keys.routing.public(),
            roles: new.roles,
            name: new.holder.clone(),
        }
    }

    pub(super) fn of_request(request: &Request) -> Subject {
        Subject {
            device_key: request.device_key,
            seal_key: request.seal_key,
            inbox_key: request.inbox_key,
            routing_key: request.routing_key,
            roles: request.roles,
            name: request.name.clone(),
        }
    }

    pub(super) fn of_certs(one: &Enrolled) -> Subject {
        Subject {
            device_key: one.device.device_key,
            seal_key: one.device.seal_key,
            inbox_key: one.device.inbox_key,
            routing_key: one.routing.routing_key,
            roles: one.device.roles,
            name: one.device.name.clone(),
        }
    }
}

impl Register {
    /// The own certificate that is valid now.
    pub(super) fn valid_admin(&self, now_min: u32) -> Result<&AdminCert, DeskError> {
        let key = self.admin.public();
        let valid = |cert: &&AdminCert| cert.admin_key == key && cert.window.contains(now_min);
        self.card
            .admins
            .iter()
            .rev()
            .find(valid)
            .ok_or(DeskError::NotValidNow)
    }

    /// A lease that begins now, inside the administrator's own window.
    fn window(&self, now_min: u32) -> Result<Window, DeskError> {
        let own = self.valid_admin(now_min)?.window;
        Ok(Window {
            not_before_min: now_min.saturating_sub(BACK_MINUTES).max(own.not_before_min),
            not_after_min: now_min.saturating_add(LEASE_MINUTES),
        })
    }

    fn next_serial(&mut self) -> Result<u32, DeskError> {
        self.serial = self.serial.checked_add(1).ok_or(DeskError::Full("serials"))?;
        Ok(self.serial)
    }

    pub(super) fn certify(
        &mut self,
        subject: &Subject,
        now_min: u32,
    ) -> Result<(DeviceCert, RoutingCert), DeskError> {
        let window = self.window(now_min)?;
        let org = self.card.org();
        let device = DeviceCert {
            org,
            serial: self.next_serial()?,
            device_key: subject.device_key,
            seal_key: subject.seal_key,
            inbox_key: subject.inbox_key,
            person: person_of(org, &subject.name),
            roles: subject.roles,
            window,
            issuer: Key8([0; 8]),
            name: subject.name.clone(),
            sig: [0; 64],
        };
        let routing = self.routing_cert(subject.routing_key, QUOTA_DEVICE, window)?;
        Ok((device.signed_by(&self.admin), routing))
    }

    fn routing_cert(
        &mut self,
        routing_key: [u8; 32],
        quota: u8,
        window: Window,
    ) -> Result<RoutingCert, DeskError> {
        let cert = RoutingCert {
            org: self.card.org(),
            serial: self.next_serial()?,
            routing_key,
            quota,
            window,
            issuer: Key8([0; 8]),
            sig: [0; 64],
        };
        Ok(cert.signed_by(&self.admin))
    }

    pub(super) fn revocation(&mut self, what: What, key: &[u8; 32]) -> Result<Revocation, DeskError> {
        self.seq = self.seq.checked_add(1).ok_or(DeskError::Full("revocations"))?;
        let revocation = Revocation {
            org: self.card.org(),
            key: Key8::of_key(key),
            what,
            serial_floor: self.serial.saturating_add(1),
            issuer: Key8([0; 8]),
            seq: self.seq,
            sig: [0; 64],
        };
        let revocation = revocation.signed_by(&self.admin);
        self.revoked.push(revocation.clone());
        Ok(revocation)
    }

    pub(super) fn not_revoked(&self, key: &[u8; 32]) -> Result<(), DeskError> {
        let key8 = Key8::of_key(key);
        match self.revoked.iter().any(|revocation| revocation.key == key8) {
            true => Err(DeskError::KnownKey),
            false => Ok(()),
        }
    }

    /// A key has one owner: a device that asks with the key of another could have that one revoked with it.
    pub(super) fn unknown_keys(&self, request: &Request) -> Result<(), DeskError> {
        let asked = [
            request.device_key,
            request.seal_key,
            request.inbox_key,
            request.routing_key,
        ];
        let known = self.enrolled.iter().flat_map(|one| {
            let device = &one.device;
            [
                device.device_key,
                device.seal_key,
                device.inbox_key,
                one.routing.routing_key,
            ]
        });
        let relays = self.relays.iter().map(|place| place.key);
        let own = [self.admin.public(), self.card.root.root_key];
        if known.chain(relays).chain(own).any(|key| asked.contains(&key)) {
            return Err(DeskError::KnownKey);
        }
        asked.iter().try_for_each(|key| self.not_revoked(key))
    }
}
