//! Certificates, root cards and revocations: what they say, and their bytes.
//!
//! Layouts (DETAILS section 2), each version 1 with a tag byte; `sig` is Ed25519 over everything
//! before it, in the domain of certificates or of revocations:
//!
//! ```text
//! device      1 | D1 | org 8 | serial 4 | DK 32 | SK 32 | IK 32 | person 8 | roles 2 | nb 4 | na 4
//!             | issuer 8 | name len 1, utf8 | sig 64
//! routing     1 | D2 | org 8 | serial 4 | RK 32 | quota 1 | nb 4 | na 4 | issuer 8 | sig 64     127 B
//! admin       1 | D3 | org 8 | serial 4 | AK 32 | powers 1 | nb 4 | na 4 | sig 64 by the root  119 B
//! revocation  1 | D4 | org 8 | key8 8 | what 1 | serial floor 4 | issuer 8 | seq 4 | sig 64     99 B
//! root card   1 | D5 | root key 32 | name len 1, utf8 | sig 64 by the root key itself
//! ```
//!
//! Each has one encoding. Decoded is well formed; whether it is *true* says [`Directory`](super::Directory).

use super::roles::Roles;
use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::{self, Domain, KeyPair, SIG_BYTES};
use crate::id::{Dev, Key8, Org, Person};
use crate::limits;
use bytes::Bytes;

const VERSION: u8 = 1;
/// Tag byte of a device certificate.
pub const TAG_DEVICE: u8 = 0xD1;
/// Tag byte of a routing certificate.
pub const TAG_ROUTING: u8 = 0xD2;
/// Tag byte of an administrator's certificate.
pub const TAG_ADMIN: u8 = 0xD3;
/// Tag byte of a revocation.
pub const TAG_REVOCATION: u8 = 0xD4;
/// Tag byte of a root card.
pub const TAG_ROOT: u8 = 0xD5;

/// A name to show: 1 to 40 bytes of UTF-8 without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// `None` if it is empty, longer than [`limits::NAME_BYTES`] or has control characters.
    pub fn new(name: &str) -> Option<Name> {
        let fits = !name.is_empty() && name.len() <= limits::NAME_BYTES;
        (fits && !name.chars().any(char::is_control)).then(|| Name(name.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn write(&self, w: &mut Writer) {
        w.u8(self.0.len() as u8).put(self.0.as_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Name, Malformed> {
        let len = r.u8()?;
        let text = std::str::from_utf8(r.take(len.into())?).map_err(|_| Malformed("name is not UTF-8"))?;
        Name::new(text).ok_or(Malformed("name not allowed"))
    }
}

impl std::fmt::Debug for Name {
    /// Names of people do not appear in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Name({} B)", self.0.len())
    }
}

/// What an administrator may do; bits of its certificate. Unknown bits grant nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Power {
    /// Certify devices and routing keys.
    Enrol = 1,
    /// Revoke keys of the organisation.
    Revoke = 2,
    /// Order the wipe of a device.
    Wipe = 4,
    /// Change policies of the organisation.
    Policy = 8,
    /// Order the erasure of a patient's data.
    Erase = 16,
}

/// The window in which a certificate is meant to be used, in minutes since the Unix epoch,
/// both ends included; `not_before_min <= not_after_min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// First minute.
    pub not_before_min: u32,
    /// Last minute.
    pub not_after_min: u32,
}

impl Window {
    /// Whether the minute lies inside.
    pub fn contains(self, minute: u32) -> bool {
        (self.not_before_min..=self.not_after_min).contains(&minute)
    }

    fn write(self, w: &mut Writer) {
        w.u32(self.not_before_min).u32(self.not_after_min);
    }

    fn read(r: &mut Reader<'_>) -> Result<Window, Malformed> {
        let (not_before_min, not_after_min) = (r.u32()?, r.u32()?);
        if not_before_min > not_after_min {
            return Err(Malformed("window ends before it begins"));
        }
        Ok(Window {
            not_before_min,
            not_after_min,
        })
    }
}

/// A device, its three keys, its holder and the roles it may act in. Shown only inside threads and
/// to its own organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCert {
    /// Organisation.
    pub org: Org,
    /// Number given by the issuer; a renewal has a higher one.
    pub serial: u32,
    /// Ed25519: MLS leaf, control objects, acts.
    pub device_key: [u8; 32],
    /// X25519: direct seal on thin links.
    pub seal_key: [u8; 32],
    /// Ed25519: own inbox.
    pub inbox_key: [u8; 32],
    /// Who holds it.
    pub person: Person,
    /// Roles it may act in.
    pub roles: Roles,
    /// Lease.
    pub window: Window,
    /// Administrator who signed.
    pub issuer: Key8,
    /// Name to show.
    pub name: Name,
    /// Signature of the issuer.
    pub sig: [u8; SIG_BYTES],
}

/// A routing key without any name: what relays, carriers and neighbours see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingCert {
    /// Organisation.
    pub org: Org,
    /// Number given by the issuer.
    pub serial: u32,
    /// Ed25519: TLS, PeerId, burst, carry receipts.
    pub routing_key: [u8; 32],
    /// Quota class.
    pub quota: u8,
    /// Lease or shift.
    pub window: Window,
    /// Administrator who signed.
    pub issuer: Key8,
    /// Signature of the issuer.
    pub sig: [u8; SIG_BYTES],
}

/// An administrator, certified by the root key of the organisation for at most a year.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminCert {
    /// Organisation.
    pub org: Org,
    /// Number given by the root.
    pub serial: u32,
    /// Ed25519: certificates, revocations, wipe orders.
    pub admin_key: [u8; 32],
    /// Bits of [`Power`].
    pub powers: u8,
    /// Window, at most [`limits::ADMIN_MINUTES`].
    pub window: Window,
    /// Signature of the root.
    pub sig: [u8; SIG_BYTES],
}

/// Which kind of key a revocation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum What {
    /// A device key.
    Device = 1,
    /// A routing key.
    Routing = 2,
    /// An administrator's key.
    Admin = 3,
}

/// The end of a key, by key and final: it covers every certificate of that key, whatever its serial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Organisation of the key and of the issuer.
    pub org: Org,
    /// The key.
    pub key: Key8,
    /// Kind of key.
    pub what: What,
    /// The next serial that the issuer gives; a hint for the enrolment of a successor, without effect here.
    pub serial_floor: u32,
    /// Administrator, or the root itself.
    pub issuer: Key8,
    /// Number in the issuer's directory log, from 1.
    pub seq: u32,
    /// Signature of the issuer.
    pub sig: [u8; SIG_BYTES],
}

/// An organisation as another one gets to know it: by QR code or file, from hand to hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootCard {
    /// Ed25519, kept offline.
    pub root_key: [u8; 32],
    /// Name to show.
    pub name: Name,
    /// Signature of the root key over its own card: it exists, and no bit was damaged.
    pub sig: [u8; SIG_BYTES],
}

/// Bytes with a signature at the end. Implemented by everything of this module.
pub trait Signed: Sized {
    /// Tag byte.
    const TAG: u8;
    /// Domain of the signature.
    const DOMAIN: Domain;

    /// Everything between the tag and the signature.
    fn write_body(&self, w: &mut Writer);
    /// Reads [`Signed::write_body`], and the signature as it stands at the end.
    fn read_body(r: &mut Reader<'_>) -> Result<Self, Malformed>;
    /// The signature.
    fn sig(&self) -> &[u8; SIG_BYTES];
    /// Takes the signature and the name of its key.
    fn put_sig(&mut self, issuer: Key8, sig: [u8; SIG_BYTES]);

    /// The bytes that are signed.
    fn signed_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION).u8(Self::TAG);
        self.write_body(&mut w);
        w.0
    }

    /// All bytes.
    fn encode(&self) -> Bytes {
        let mut bytes = self.signed_bytes();
        bytes.extend_from_slice(self.sig());
        Bytes::from(bytes)
    }

    /// Reads exactly one, at most [`limits::CERT_BYTES`]. Checks no signature.
    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > limits::CERT_BYTES {
            return Err(Malformed("certificate over the limit"));
        }
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(Malformed("unknown certificate version"));
        }
        if r.u8()? != Self::TAG {
            return Err(Malformed("another kind of certificate"));
        }
        let out = Self::read_body(&mut r)?;
        r.end()?;
        Ok(out)
    }

    /// Sets issuer and signature.
    #[must_use]
    fn signed_by(mut self, issuer: &KeyPair) -> Self {
        let name = Key8::of_key(&issuer.public());
        self.put_sig(name, [0; SIG_BYTES]);
        let sig = issuer.sign(Self::DOMAIN, &self.signed_bytes());
        self.put_sig(name, sig);
        self
    }

    /// Whether `key` made the signature.
    fn verified_by(&self, key: &[u8; 32]) -> bool {
        crypto::verify(key, Self::DOMAIN, &self.signed_bytes(), self.sig())
    }
}

impl DeviceCert {
    /// Id of the device.
    pub fn dev(&self) -> Dev {
        Dev::of_key(&self.device_key)
    }
}

impl Signed for DeviceCert {
    const TAG: u8 = TAG_DEVICE;
    const DOMAIN: Domain = Domain::Certificate;

    fn write_body(&self, w: &mut Writer) {
        w.put(&self.org.0).u32(self.serial);
        w.put(&self.device_key).put(&self.seal_key).put(&self.inbox_key);
        w.put(&self.person.0).u16(self.roles.0);
        self.window.write(w);
        w.put(&self.issuer.0);
        self.name.write(w);
    }

    fn read_body(r: &mut Reader<'_>) -> Result<DeviceCert, Malformed> {
        Ok(DeviceCert {
            org: Org(r.array()?),
            serial: r.u32()?,
            device_key: r.array()?,
            seal_key: r.array()?,
            inbox_key: r.array()?,
            person: Person(r.array()?),
            roles: Roles(r.u16()?),
            window: Window::read(r)?,
            issuer: Key8(r.array()?),
            name: Name::read(r)?,
            sig: r.array()?,
        })
    }

    fn sig(&self) -> &[u8; SIG_BYTES] {
        &self.sig
    }

    fn put_sig(&mut self, issuer: Key8, sig: [u8; SIG_BYTES]) {
        self.issuer = issuer;
        self.sig = sig;
    }
}

impl Signed for RoutingCert {
    const TAG: u8 = TAG_ROUTING;
    const DOMAIN: Domain = Domain::Certificate;

    fn write_body(&self, w: &mut Writer) {
        w.put(&self.org.0).u32(self.serial);
        w.put(&self.routing_key).u8(self.quota);
        self.window.write(w);
        w.put(&self.issuer.0);
    }

    fn read_body(r: &mut Reader<'_>) -> Result<RoutingCert, Malformed> {
        Ok(RoutingCert {
            org: Org(r.array()?),
            serial: r.u32()?,
            routing_key: r.array()?,
            quota: r.u8()?,
            window: Window::read(r)?,
            issuer: Key8(r.array()?),
            sig: r.array()?,
        })
    }

    fn sig(&self) -> &[u8; SIG_BYTES] {
        &self.sig
    }

    fn put_sig(&mut self, issuer: Key8, sig: [u8; SIG_BYTES]) {
        self.issuer = issuer;
        self.sig = sig;
    }
}

impl AdminCert {
    /// Whether it grants `power`.
    pub fn may(&self, power: Power) -> bool {
        self.powers & power as u8 != 0
    }
}

impl Signed for AdminCert {
    const TAG: u8 = TAG_ADMIN;
    const DOMAIN: Domain = Domain::Certificate;

    fn write_body(&self, w: &mut Writer) {
        w.put(&self.org.0).u32(self.serial);
        w.put(&self.admin_key).u8(self.powers);
        self.window.write(w);
    }

    fn read_body(r: &mut Reader<'_>) -> Result<AdminCert, Malformed> {
        let cert = AdminCert {
            org: Org(r.array()?),
            serial: r.u32()?,
            admin_key: r.array()?,
            powers: r.u8()?,
            window: Window::read(r)?,
            sig: r.array()?,
        };
        if cert.window.not_after_min - cert.window.not_before_min > limits::ADMIN_MINUTES {
            return Err(Malformed("administrator for more than a year"));
        }
        Ok(cert)
    }

    fn sig(&self) -> &[u8; SIG_BYTES] {
        &self.sig
    }

    fn put_sig(&mut self, _root: Key8, sig: [u8; SIG_BYTES]) {
        self.sig = sig;
    }
}

impl Signed for Revocation {
    const TAG: u8 = TAG_REVOCATION;
    const DOMAIN: Domain = Domain::Revocation;

    fn write_body(&self, w: &mut Writer) {
        w.put(&self.org.0).put(&self.key.0).u8(self.what as u8);
        w.u32(self.serial_floor).put(&self.issuer.0).u32(self.seq);
    }

    fn read_body(r: &mut Reader<'_>) -> Result<Revocation, Malformed> {
        let (org, key) = (Org(r.array()?), Key8(r.array()?));
        let what = match r.u8()? {
            1 => What::Device,
            2 => What::Routing,
            3 => What::Admin,
            _ => return Err(Malformed("unknown kind of key")),
        };
        let (serial_floor, issuer, seq) = (r.u32()?, Key8(r.array()?), r.u32()?);
        if seq == 0 {
            return Err(Malformed("sequence numbers start at 1"));
        }
        Ok(Revocation {
            org,
            key,
            what,
            serial_floor,
            issuer,
            seq,
            sig: r.array()?,
        })
    }

    fn sig(&self) -> &[u8; SIG_BYTES] {
        &self.sig
    }

    fn put_sig(&mut self, issuer: Key8, sig: [u8; SIG_BYTES]) {
        self.issuer = issuer;
        self.sig = sig;
    }
}

impl RootCard {
    /// Id of the organisation.
    pub fn org(&self) -> Org {
        Org::of_root(&self.root_key)
    }

    /// The card of a root key.
    pub fn new(root: &KeyPair, name: Name) -> RootCard {
        let card = RootCard {
            root_key: root.public(),
            name,
            sig: [0; SIG_BYTES],
        };
        card.signed_by(root)
    }
}

impl Signed for RootCard {
    const TAG: u8 = TAG_ROOT;
    const DOMAIN: Domain = Domain::Certificate;

    fn write_body(&self, w: &mut Writer) {
        w.put(&self.root_key);
        self.name.write(w);
    }

    fn read_body(r: &mut Reader<'_>) -> Result<RootCard, Malformed> {
        Ok(RootCard {
            root_key: r.array()?,
            name: Name::read(r)?,
            sig: r.array()?,
        })
    }

    fn sig(&self) -> &[u8; SIG_BYTES] {
        &self.sig
    }

    fn put_sig(&mut self, _root: Key8, sig: [u8; SIG_BYTES]) {
        self.sig = sig;
    }
}
