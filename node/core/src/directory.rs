//! Whom this device trusts: root cards of organisations, their administrators, known devices and
//! routing keys, and what was revoked. Nothing here needs a network (PROTOCOL section 1).
//!
//! An organisation's root key certifies administrators, they certify devices and routing keys.
//! A root card is trusted by a person's act; everything else is believed by signature alone.
//!
//! * **No clock decides trust.** A certificate must begin inside the window of the administrator
//!   that signed it, which compares two signed numbers. The lease of a device is *reported*
//!   ([`Lease`]): the device itself and relays enforce it, receivers of entries never do.
//! * **A revocation is by key and final**, and stays so when its author is revoked later:
//!   the set of revoked keys is the same in whatever order revocations arrive.
//! * Membership, which must be the same everywhere, uses [`Directory::chain`]: signatures only.
//!   [`Directory::verify_device`] also looks at revocations, which spread by rumour.
//!
//! Not here: removal from threads (`group`), enrolment, replacement of a root key.

mod certificate;
mod roles;

pub use certificate::{
    AdminCert, DeviceCert, Name, Power, Revocation, RootCard, RoutingCert, Signed, TAG_ADMIN, TAG_DEVICE,
    TAG_REVOCATION, TAG_ROOT, TAG_ROUTING, What, Window,
};
pub use roles::{Grounds, Party, Recall, Role, Roles, ThreadKind, may_add, may_recall, may_remove, tier};

use crate::codec::Malformed;
use crate::id::{Dev, Key8, Org};
use crate::limits;
use crate::store::{self, Batch, Read, ReadError, table};
use crate::time::Wall;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Why a certificate or revocation is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// The bytes do not follow the layout.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No trusted root card of this organisation.
    #[error("organisation {0} is not trusted here")]
    UnknownOrg(Org),
    /// The administrator's certificate is not here.
    #[error("issuer {0} is not known here")]
    UnknownIssuer(Key8),
    /// The signature does not fit the key.
    #[error("signature is wrong")]
    BadSignature,
    /// The administrator lacks the power to sign this.
    #[error("issuer {0} lacks the power")]
    NoPower(Key8),
    /// The certificate begins outside the window of each known certificate of its issuer.
    #[error("issuer {0} was not administrator at that time")]
    OutsideIssuerWindow(Key8),
    /// The issuer's key is revoked.
    #[error("issuer {0} is revoked")]
    RevokedIssuer(Key8),
    /// The key itself is revoked.
    #[error("key {0} is revoked")]
    Revoked(Key8),
    /// A root key ends by a new card, not by a revocation.
    #[error("a root key cannot be revoked")]
    RootIsFinal,
    /// No room for more of this kind under this organisation, or for more organisations.
    #[error("directory is full")]
    Full,
}

/// Where a certificate's window lies against a wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Inside.
    Valid,
    /// It begins later.
    NotYet,
    /// It ended; whole days since, 0 on the first.
    ExpiredDays(u32),
}

/// What is known about a certificate that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its window against the wall clock that was given.
    pub lease: Lease,
    /// It belongs to another organisation that this one trusts.
    pub foreign: bool,
}

/// What learning something did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// It was new and is in the batch.
    New,
    /// It, or something that replaces it, was known.
    Known,
    /// It is not believed; nothing changed.
    Refused(CertError),
}

/// The directory could not be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A row that this directory wrote is no longer believed: the store is damaged.
    #[error("directory row of kind {kind:#x}: {error}")]
    Row {
        /// Tag byte.
        kind: u8,
        /// Why.
        error: CertError,
    },
}

/// Trusted roots and what was learned under them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    own: Option<Org>,
    roots: BTreeMap<Org, RootCard>,
    admins: BTreeMap<(Org, Key8, u32), AdminCert>,
    devices: BTreeMap<Dev, DeviceCert>,
    routing: BTreeMap<Key8, RoutingCert>,
    revoked: BTreeMap<(Org, What, Key8), Revocation>,
}

/// Row of the own organisation's id; no certificate has this tag.
const ROW_OWN: u8 = 0xD0;

impl Directory {
    /// An empty directory that trusts nobody.
    pub fn new() -> Directory {
        Directory::default()
    }

    /// The own organisation, once set.
    pub fn own(&self) -> Option<Org> {
        self.own
    }

    /// Trusts an organisation by a person's act. `own` makes it this device's own, which is set once.
    pub fn trust(&mut self, card: &[u8], own: bool, batch: &mut Batch) -> Learned {
        let card = match RootCard::decode(card) {
            Ok(card) => card,
            Err(e) => return Learned::Refused(e.into()),
        };
        if !card.verified_by(&card.root_key) {
            return Learned::Refused(CertError::BadSignature);
        }
        let org = card.org();
        if self.roots.len() >= limits::ROOTS && !self.roots.contains_key(&org) {
            return Learned::Refused(CertError::Full);
        }
        if own && self.own.is_none() {
            self.own = Some(org);
            batch.put(table::directory(ROW_OWN, &[]), org.0.to_vec());
        }
        if self.roots.get(&org) == Some(&card) {
            return Learned::Known;
        }
        batch.put(table::directory(TAG_ROOT, &org.0), card.encode());
        self.roots.insert(org, card);
        Learned::New
    }

    /// Ends the trust in another organisation and forgets what was learned under it, except
    /// revocations, which are final. Returns whether there was any.
    pub fn distrust(&mut self, org: Org, batch: &mut Batch) -> bool {
        if self.own == Some(org) || self.roots.remove(&org).is_none() {
            return false;
        }
        batch.delete(table::directory(TAG_ROOT, &org.0));
        self.admins.retain(|id, cert| {
            let keep = id.0 != org;
            if !keep {
                batch.delete(admin_row(cert));
            }
            keep
        });
        self.devices.retain(|dev, cert| {
            let keep = cert.org != org;
            if !keep {
                batch.delete(table::directory(TAG_DEVICE, &dev.0));
            }
            keep
        });
        self.routing.retain(|key, cert| {
            let keep = cert.org != org;
            if !keep {
                batch.delete(table::directory(TAG_ROUTING, &key.0));
            }
            keep
        });
        true
    }

    /// Trusted organisations.
    pub fn roots(&self) -> impl Iterator<Item = (&Org, &RootCard)> {
        self.roots.iter()
    }

    /// Learns an administrator's certificate.
    pub fn learn_admin(&mut self, bytes: &[u8], batch: &mut Batch) -> Learned {
        learned(self.try_admin(bytes, batch))
    }

    fn try_admin(&mut self, bytes: &[u8], batch: &mut Batch) -> Result<bool, CertError> {
        let cert = AdminCert::decode(bytes)?;
        self.admin_chain(&cert)?;
        let key = Key8::of_key(&cert.admin_key);
        self.not_revoked(cert.org, What::Admin, key)?;
        let id = (cert.org, key, cert.serial);
        if self
            .admins
            .get(&id)
            .is_some_and(|known| known.encode() <= cert.encode())
        {
            return Ok(false);
        }
        room(self.admins.keys().filter(|id| id.0 == cert.org).count())?;
        batch.put(admin_row(&cert), cert.encode());
        self.admins.insert(id, cert);
        Ok(true)
    }

    /// Learns a device certificate; of one device the one with the highest serial is kept.
    pub fn learn_device(&mut self, bytes: &[u8], batch: &mut Batch) -> Learned {
        learned(self.try_device(bytes, batch))
    }

    fn try_device(&mut self, bytes: &[u8], batch: &mut Batch) -> Result<bool, CertError> {
        let cert = DeviceCert::decode(bytes)?;
        self.believe_device(&cert)?;
        let newer = |known: &DeviceCert| (known.serial, known.encode()) < (cert.serial, cert.encode());
        match self.devices.get(&cert.dev()) {
            Some(known) if !newer(known) => return Ok(false),
            Some(_) => {}
            None => room(self.devices.values().filter(|held| held.org == cert.org).count())?,
        }
        batch.put(table::directory(TAG_DEVICE, &cert.dev().0), cert.encode());
        self.devices.insert(cert.dev(), cert);
        Ok(true)
    }

    /// Learns a routing certificate; of one key the one with the highest serial is kept.
    pub fn learn_routing(&mut self, bytes: &[u8], batch: &mut Batch) -> Learned {
        learned(self.try_routing(bytes, batch))
    }

    fn try_routing(&mut self, bytes: &[u8], batch: &mut Batch) -> Result<bool, CertError> {
        let cert = RoutingCert::decode(bytes)?;
        self.believe_routing(&cert)?;
        let key = Key8::of_key(&cert.routing_key);
        let newer = |known: &RoutingCert| (known.serial, known.encode()) < (cert.serial, cert.encode());
        match self.routing.get(&key) {
            Some(known) if !newer(known) => return Ok(false),
            Some(_) => {}
            None => room(self.routing.values().filter(|held| held.org == cert.org).count())?,
        }
        batch.put(table::directory(TAG_ROUTING, &key.0), cert.encode());
        self.routing.insert(key, cert);
        Ok(true)
    }

    /// Learns a revocation from whoever brought it.
    pub fn learn_revocation(&mut self, bytes: &[u8], batch: &mut Batch) -> Learned {
        learned(self.try_revocation(bytes, batch))
    }

    fn try_revocation(&mut self, bytes: &[u8], batch: &mut Batch) -> Result<bool, CertError> {
        let revocation = Revocation::decode(bytes)?;
        let id = (revocation.org, revocation.what, revocation.key);
        self.revocation_chain(&revocation)?;
        if self.revoked.contains_key(&id) {
            return Ok(false);
        }
        room(self.revoked.keys().filter(|held| held.0 == id.0).count())?;
        batch.put(revocation_row(&revocation), revocation.encode());
        self.revoked.insert(id, revocation);
        Ok(true)
    }

    /// All revocations known here, to be told at the head of every session.
    pub fn revocations(&self) -> impl Iterator<Item = &Revocation> {
        self.revoked.values()
    }

    /// The revocation of a key.
    pub fn revocation(&self, org: Org, what: What, key: Key8) -> Option<&Revocation> {
        self.revoked.get(&(org, what, key))
    }

    /// The newest known certificate of a device.
    pub fn device(&self, dev: Dev) -> Option<&DeviceCert> {
        self.devices.get(&dev)
    }

    /// All known devices.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceCert> {
        self.devices.values()
    }

    /// The newest known certificate of a routing key.
    pub fn routing(&self, key: Key8) -> Option<&RoutingCert> {
        self.routing.get(&key)
    }

    /// Known certificates of administrators, to be handed to who lacks an issuer.
    pub fn admins(&self) -> impl Iterator<Item = &AdminCert> {
        self.admins.values()
    }

    /// Verifies a device certificate for what happens now: signatures, revocations, lease.
    /// An expired lease or a foreign organisation is reported, not refused.
    pub fn verify_device(&self, cert: &DeviceCert, wall: Wall) -> Result<Standing, CertError> {
        self.believe_device(cert)?;
        Ok(self.standing(cert.org, cert.window, wall))
    }

    /// Verifies a routing certificate, as [`Directory::verify_device`].
    pub fn verify_routing(&self, cert: &RoutingCert, wall: Wall) -> Result<Standing, CertError> {
        self.believe_routing(cert)?;
        Ok(self.standing(cert.org, cert.window, wall))
    }

    /// Whether an administrator's key holds `power` now: certified, not revoked, inside its window.
    /// Used for acts, which an expired window blocks.
    pub fn admin_may(&self, org: Org, key: Key8, power: Power, wall: Wall) -> bool {
        self.not_revoked(org, What::Admin, key).is_ok()
            && self
                .certs_of(org, key)
                .any(|cert| cert.may(power) && self.standing(org, cert.window, wall).lease == Lease::Valid)
    }

    /// Signatures from the trusted root to this certificate, and nothing else: no clock, no revocation.
    /// What it once accepted it accepts for as long as the root is trusted.
    pub fn chain(&self, cert: &DeviceCert) -> Result<(), CertError> {
        let begin = cert.window.not_before_min;
        self.issued(cert, cert.org, cert.issuer, begin)
    }

    fn believe_device(&self, cert: &DeviceCert) -> Result<(), CertError> {
        self.chain(cert)?;
        self.not_revoked(cert.org, What::Device, Key8::of_key(&cert.device_key))?;
        self.issuer_not_revoked(cert.org, cert.issuer)
    }

    fn believe_routing(&self, cert: &RoutingCert) -> Result<(), CertError> {
        self.issued(cert, cert.org, cert.issuer, cert.window.not_before_min)?;
        self.not_revoked(cert.org, What::Routing, Key8::of_key(&cert.routing_key))?;
        self.issuer_not_revoked(cert.org, cert.issuer)
    }

    fn issued(&self, cert: &impl Signed, org: Org, issuer: Key8, begin: u32) -> Result<(), CertError> {
        self.root(org)?;
        let mut why = CertError::UnknownIssuer(issuer);
        for admin in self.certs_of(org, issuer) {
            if !cert.verified_by(&admin.admin_key) {
                return Err(CertError::BadSignature);
            }
            if !admin.may(Power::Enrol) {
                why = CertError::NoPower(issuer);
            } else if admin.window.contains(begin) {
                return Ok(());
            } else {
                why = CertError::OutsideIssuerWindow(issuer);
            }
        }
        Err(why)
    }

    fn admin_chain(&self, cert: &AdminCert) -> Result<(), CertError> {
        let root = self.root(cert.org)?;
        cert.verified_by(&root.root_key)
            .then_some(())
            .ok_or(CertError::BadSignature)
    }

    fn revocation_chain(&self, revocation: &Revocation) -> Result<(), CertError> {
        let root = self.root(revocation.org)?;
        let root_name = Key8(revocation.org.0);
        if revocation.key == root_name {
            return Err(CertError::RootIsFinal);
        }
        if revocation.issuer == root_name {
            let ok = revocation.verified_by(&root.root_key);
            return ok.then_some(()).ok_or(CertError::BadSignature);
        }
        let mut why = CertError::UnknownIssuer(revocation.issuer);
        for admin in self.certs_of(revocation.org, revocation.issuer) {
            if !revocation.verified_by(&admin.admin_key) {
                return Err(CertError::BadSignature);
            }
            if admin.may(Power::Revoke) {
                return Ok(());
            }
            why = CertError::NoPower(revocation.issuer);
        }
        Err(why)
    }

    fn certs_of(&self, org: Org, key: Key8) -> impl Iterator<Item = &AdminCert> {
        let all = (org, key, 0)..=(org, key, u32::MAX);
        self.admins.range(all).map(|(_, cert)| cert)
    }

    fn root(&self, org: Org) -> Result<&RootCard, CertError> {
        self.roots.get(&org).ok_or(CertError::UnknownOrg(org))
    }

    fn not_revoked(&self, org: Org, what: What, key: Key8) -> Result<(), CertError> {
        match self.revoked.contains_key(&(org, what, key)) {
            true => Err(CertError::Revoked(key)),
            false => Ok(()),
        }
    }

    fn issuer_not_revoked(&self, org: Org, issuer: Key8) -> Result<(), CertError> {
        let found = self.not_revoked(org, What::Admin, issuer);
        found.map_err(|_| CertError::RevokedIssuer(issuer))
    }

    fn standing(&self, org: Org, window: Window, wall: Wall) -> Standing {
        let minute = u32::try_from(wall.0 / 60_000).unwrap_or(u32::MAX);
        let lease = if minute < window.not_before_min {
            Lease::NotYet
        } else if minute > window.not_after_min {
            Lease::ExpiredDays((minute - window.not_after_min) / (24 * 60))
        } else {
            Lease::Valid
        };
        Standing {
            lease,
            foreign: self.own != Some(org),
        }
    }

    /// Reads the rows back and verifies each signature again. Certificates of keys that were revoked
    /// after they were learned stay, for the record.
    pub fn load(store: &dyn Read) -> Result<Directory, LoadError> {
        let mut out = Directory::new();
        let rows = |kind: u8| store::rows(store, &table::directory(kind, &[]));
        for (_, row) in rows(ROW_OWN)? {
            out.own = Org::from_prefix(&row);
        }
        for (_, row) in rows(TAG_ROOT)? {
            let card: RootCard = decode_row(&row)?;
            let ok = card.verified_by(&card.root_key);
            held(TAG_ROOT, ok.then_some(()).ok_or(CertError::BadSignature))?;
            out.roots.insert(card.org(), card);
        }
        for (_, row) in rows(TAG_ADMIN)? {
            let cert: AdminCert = decode_row(&row)?;
            held(TAG_ADMIN, out.admin_chain(&cert))?;
            out.admins
                .insert((cert.org, Key8::of_key(&cert.admin_key), cert.serial), cert);
        }
        for (_, row) in rows(TAG_REVOCATION)? {
            let revocation: Revocation = decode_row(&row)?;
            // what is final outlives the trust in the organisation under which it was learned
            if out.roots.contains_key(&revocation.org) {
                held(TAG_REVOCATION, known_issuer(out.revocation_chain(&revocation)))?;
            }
            let id = (revocation.org, revocation.what, revocation.key);
            out.revoked.insert(id, revocation);
        }
        for (_, row) in rows(TAG_DEVICE)? {
            let cert: DeviceCert = decode_row(&row)?;
            held(TAG_DEVICE, out.chain(&cert))?;
            out.devices.insert(cert.dev(), cert);
        }
        for (_, row) in rows(TAG_ROUTING)? {
            let cert: RoutingCert = decode_row(&row)?;
            let begin = cert.window.not_before_min;
            held(TAG_ROUTING, out.issued(&cert, cert.org, cert.issuer, begin))?;
            out.routing.insert(Key8::of_key(&cert.routing_key), cert);
        }
        Ok(out)
    }
}

/// After a distrusted organisation is trusted again its administrators may not be known yet.
fn known_issuer(chain: Result<(), CertError>) -> Result<(), CertError> {
    match chain {
        Err(CertError::UnknownIssuer(_)) => Ok(()),
        other => other,
    }
}

fn admin_row(cert: &AdminCert) -> Vec<u8> {
    let key = Key8::of_key(&cert.admin_key);
    let id = [&cert.org.0[..], &key.0, &cert.serial.to_be_bytes()].concat();
    table::directory(TAG_ADMIN, &id)
}

fn revocation_row(revocation: &Revocation) -> Vec<u8> {
    let id = [&revocation.org.0[..], &[revocation.what as u8], &revocation.key.0];
    table::directory(TAG_REVOCATION, &id.concat())
}

/// The bound is per organisation: a foreign one cannot fill the place of the own revocations.
fn room(held: usize) -> Result<(), CertError> {
    if held >= limits::DIRECTORY_ROWS {
        return Err(CertError::Full);
    }
    Ok(())
}

fn learned(done: Result<bool, CertError>) -> Learned {
    match done {
        Ok(true) => Learned::New,
        Ok(false) => Learned::Known,
        Err(why) => Learned::Refused(why),
    }
}

fn decode_row<T: Signed>(row: &Bytes) -> Result<T, LoadError> {
    T::decode(row).map_err(|error| LoadError::Row {
        kind: T::TAG,
        error: error.into(),
    })
}

fn held(kind: u8, checked: Result<(), CertError>) -> Result<(), LoadError> {
    checked.map_err(|error| LoadError::Row { kind, error })
}

#[cfg(test)]
mod tests;
