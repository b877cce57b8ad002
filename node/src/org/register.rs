//! What the desk of an administrator remembers, as one secret in the vault of the organisation.
//!
//! ```text
//! register  1 | admin seed 32 | len, org card | serial u32 | seq u32 | k, k x relay place
//!           | p, p x (len, org card) | n, n x (len, device cert | len, routing cert | ended 1)
//!           | r, r x (len, revocation)
//! ```
//!
//! `serial` is the last one given to a certificate, `seq` the last of this administrator's revocations;
//! both only grow. The own device is the first of the enrolled.

use super::identity::{read_key, read_org_cards, write_org_cards};
use aidmesh_core::codec::{Malformed, Reader, Writer};
use aidmesh_core::crypto::KeyPair;
use aidmesh_core::directory::{DeviceCert, Revocation, RoutingCert, Signed};
use aidmesh_core::enrolment::{OrgCard, Place};
use aidmesh_core::limits;
use zeroize::Zeroizing;

/// Devices that one desk enrols: all of them fit into a vault.
pub const DEVICES: usize = 1024;
/// Two for each device, and some for relays.
const REVOCATIONS: usize = 2 * DEVICES + 64;
const VERSION: u8 = 1;

/// A device that this desk enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its newest certificate.
    pub device: DeviceCert,
    /// Its newest routing certificate.
    pub routing: RoutingCert,
    /// Its keys are revoked.
    pub ended: bool,
}

/// The register.
#[derive(Clone, Debug)]
pub(super) struct Register {
    pub(super) admin: KeyPair,
    pub(super) card: OrgCard,
    pub(super) serial: u32,
    pub(super) seq: u32,
    pub(super) relays: Vec<Place>,
    pub(super) partners: Vec<OrgCard>,
    pub(super) enrolled: Vec<Enrolled>,
    pub(super) revoked: Vec<Revocation>,
}

impl Register {
    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        let device_bytes = 2 * (limits::CERT_BYTES + 2) + 1;
        let fixed = (limits::PARTNERS_PER_GRANT + 1) * (limits::ORG_CARD_BYTES + 2) + 2048;
        let size = fixed + self.enrolled.len() * device_bytes + self.revoked.len() * 128;
        // its final size from the start: a buffer that grows leaves copies of secrets behind
        let mut w = Writer(Vec::with_capacity(size));
        w.u8(VERSION).put(&*self.admin.seed());
        w.bytes(&self.card.encode()?).u32(self.serial).u32(self.seq);
        Place::write_all(&self.relays, &mut w);
        write_org_cards(&self.partners, &mut w)?;
        w.count(self.enrolled.len());
        for one in &self.enrolled {
            w.bytes(&one.device.encode()).bytes(&one.routing.encode());
            w.u8(u8::from(one.ended));
        }
        w.count(self.revoked.len());
        for revocation in &self.revoked {
            w.bytes(&revocation.encode());
        }
        Ok(Zeroizing::new(w.0))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Register, Malformed> {
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(Malformed("of a newer version"));
        }
        let register = Register {
            admin: read_key(&mut r)?,
            card: OrgCard::decode(r.bytes(limits::ORG_CARD_BYTES)?)?,
            serial: r.u32()?,
            seq: r.u32()?,
            relays: Place::read_all(&mut r)?,
            partners: read_org_cards(&mut r)?,
            enrolled: {
                let n = r.count(DEVICES)?;
                (0..n).map(|_| read_enrolled(&mut r)).collect::<Result<_, _>>()?
            },
            revoked: {
                let n = r.count(REVOCATIONS)?;
                let one = |_| Revocation::decode(r.bytes(limits::CERT_BYTES)?);
                (0..n).map(one).collect::<Result<_, _>>()?
            },
        };
        r.end()?;
        let key = register.admin.public();
        match register.card.admins.iter().any(|cert| cert.admin_key == key) {
            true => Ok(register),
            false => Err(Malformed("key of another administrator")),
        }
    }
}

fn read_enrolled(r: &mut Reader<'_>) -> Result<Enrolled, Malformed> {
    Ok(Enrolled {
        device: DeviceCert::decode(r.bytes(limits::CERT_BYTES)?)?,
        routing: RoutingCert::decode(r.bytes(limits::CERT_BYTES)?)?,
        ended: match r.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed("a flag is 0 or 1")),
        },
    })
}
