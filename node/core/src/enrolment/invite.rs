//! The invite: what a new device needs to ask for its certificates and to know whom to believe.
//!
//! ```text
//! invite  1 | root key 32 | administrator's certificate 119 | secret 16 | na u32 | roles u16
//!         | opt desk place | k, k x relay place | BLAKE3(all before)[..4]               <= 600 B
//! place   address len 1, utf8 | routing key 32
//! ```
//!
//! The last four bytes find slips of the hand; nobody is kept out by them. The certificate is
//! checked against the root key when it is read, so an invite cannot name a wrong administrator.

use super::{VERSION, canonical, version};
use crate::codec::{Malformed, Reader, Writer};
use crate::directory::{AdminCert, Power, Roles, Signed};
use crate::id::Org;
use crate::limits;
use bytes::Bytes;

const ADMIN_BYTES: usize = 119;
const CHECK_BYTES: usize = 4;

/// The one-time secret of an invite. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct InviteSecret(pub [u8; 16]);

impl std::fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InviteSecret")
    }
}

/// Where a relay or desk answers, and the routing key that it must show there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    address: String,
    /// Ed25519 routing key.
    pub key: [u8; 32],
}

impl Place {
    /// `address` is `host:port` in printable ASCII, at most [`limits::PLACE_BYTES`].
    pub fn new(address: &str, key: [u8; 32]) -> Result<Place, Malformed> {
        if address.len() > limits::PLACE_BYTES {
            return Err(Malformed("address over 64 bytes"));
        }
        let (host, port) = address
            .rsplit_once(':')
            .ok_or(Malformed("an address is host:port"))?;
        let port_fits = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p != 0);
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic()) || !port_fits {
            return Err(Malformed("an address is host:port"));
        }
        Ok(Place {
            address: address.to_owned(),
            key,
        })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Appends it; also used by what stores places.
    pub fn write(&self, w: &mut Writer) {
        w.u8(self.address.len() as u8).put(self.address.as_bytes());
        w.put(&self.key);
    }

    /// Reads [`Place::write`].
    pub fn read(r: &mut Reader<'_>) -> Result<Place, Malformed> {
        let len = r.u8()?;
        let address = std::str::from_utf8(r.take(len.into())?).map_err(|_| Malformed("address"))?;
        Place::new(address, r.array()?)
    }

    /// n, n x place.
    pub fn write_all(places: &[Place], w: &mut Writer) {
        w.count(places.len());
        places.iter().for_each(|place| place.write(w));
    }

    /// Reads [`Place::write_all`], at most [`limits::PLACES`].
    pub fn read_all(r: &mut Reader<'_>) -> Result<Vec<Place>, Malformed> {
        let n = r.count(limits::PLACES)?;
        (0..n).map(|_| Place::read(r)).collect()
    }
}

/// An invite for one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The organisation's root key.
    pub root_key: [u8; 32],
    /// Who invites; certified by that key, with the power to enrol.
    pub admin: AdminCert,
    /// One-time.
    pub secret: InviteSecret,
    /// Last minute since the Unix epoch.
    pub not_after_min: u32,
    /// Roles that may be asked for; at least one.
    pub roles: Roles,
    /// A device of the administrator that answers online, if one does.
    pub desk: Option<Place>,
    /// Relays of the organisation.
    pub relays: Vec<Place>,
}

impl Invite {
    /// The organisation.
    pub fn org(&self) -> Org {
        Org::of_root(&self.root_key)
    }

    /// All bytes, or the rule that the invite breaks.
    pub fn encode(&self) -> Result<Bytes, Malformed> {
        let mut w = Writer::new();
        w.u8(VERSION).put(&self.root_key).put(&self.admin.encode());
        w.put(&self.secret.0).u32(self.not_after_min).u16(self.roles.0);
        w.u8(u8::from(self.desk.is_some()));
        if let Some(desk) = &self.desk {
            desk.write(&mut w);
        }
        Place::write_all(&self.relays, &mut w);
        let check = check(&w.0);
        w.put(&check);
        canonical(w.finish(), self, Invite::decode)
    }

    /// Reads [`Invite::encode`]; the administrator's certificate is verified.
    pub fn decode(bytes: &[u8]) -> Result<Invite, Malformed> {
        if bytes.len() > limits::INVITE_BYTES {
            return Err(Malformed("invite over 600 bytes"));
        }
        let at = bytes.len().checked_sub(CHECK_BYTES);
        let (body, found) = at.map(|at| bytes.split_at(at)).ok_or(Malformed("too short"))?;
        if check(body) != found {
            return Err(Malformed("incomplete or mistyped"));
        }
        let mut r = Reader::new(body);
        version(&mut r)?;
        let invite = Invite {
            root_key: r.array()?,
            admin: AdminCert::decode(r.take(ADMIN_BYTES)?)?,
            secret: InviteSecret(r.array()?),
            not_after_min: r.u32()?,
            roles: Roles(r.u16()?),
            desk: match r.u8()? {
                0 => None,
                1 => Some(Place::read(&mut r)?),
                _ => return Err(Malformed("an option is 0 or 1")),
            },
            relays: Place::read_all(&mut r)?,
        };
        r.end()?;
        if invite.roles.0 == 0 {
            return Err(Malformed("invite for no role"));
        }
        let certified = invite.admin.org == invite.org() && invite.admin.verified_by(&invite.root_key);
        match certified && invite.admin.may(Power::Enrol) {
            true => Ok(invite),
            false => Err(Malformed("administrator is not certified to enrol")),
        }
    }
}

fn check(body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&blake3::hash(body).as_bytes()[..CHECK_BYTES]);
    check
}
