//! Who is let in: devices whose routing key an organisation certified that this relay serves.
//!
//! The transport has proved the key; here its certificate is judged, with that of the administrator who
//! made it, which the relay may see for the first time: the root keys on the cards decide. A revoked key or
//! administrator is refused. Then there must be room, for the device and for its organisation, so that
//! none of them shuts out the others. Who is refused is told the reason.
//!
//! * **An ended lease does not shut out**: it never blocks an alarm, and nobody can see here what a device
//!   has to say. It is counted. A device that must not come back is revoked.
//! * **No clock decides**: certificates are compared with each other, not with the time here.
//! * What is counted has no names and no keys.
//!
//! Not here: how much may be stored, which the mailbox decides item by item.

use crate::settings::Limits;
use aidmesh_core::crypto::Secret;
use aidmesh_core::directory::{CertError, Directory, Learned, Lease, RoutingCert, Signed};
use aidmesh_core::id::{Key8, Org};
use aidmesh_core::store::Batch;
use aidmesh_core::time::Wall;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a device is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It showed no certificate that can be read.
    #[error("no readable certificate")]
    NoCertificate,
    /// The certificate is for another key than the transport proved.
    #[error("the certificate is for another key")]
    OtherKey,
    /// Its organisation's card was not given to this relay.
    #[error("this relay does not serve that organisation")]
    NotServed,
    /// The administrator is unknown here, or its certificate does not hold.
    #[error("the administrator who certified the key is not known here")]
    UnknownAdministrator,
    /// The signature does not fit.
    #[error("a signature is wrong")]
    BadSignature,
    /// The administrator was not allowed to certify it, or not at that time.
    #[error("the administrator was not allowed to certify the key")]
    NotAllowed,
    /// The key is revoked.
    #[error("the key is revoked")]
    Revoked,
    /// The administrator is revoked.
    #[error("the administrator who certified the key is revoked")]
    RevokedAdministrator,
    /// It has as many connections as one device may have.
    #[error("too many connections of one device")]
    FullDevice,
    /// Its organisation has as many connections as one may have.
    #[error("too many connections of one organisation")]
    FullOrganisation,
    /// The relay takes nothing now: its store fails or it stops.
    #[error("the relay takes nothing now")]
    Closed,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Refusal; 11] = [
        Refusal::NoCertificate,
        Refusal::OtherKey,
        Refusal::NotServed,
        Refusal::UnknownAdministrator,
        Refusal::BadSignature,
        Refusal::NotAllowed,
        Refusal::Revoked,
        Refusal::RevokedAdministrator,
        Refusal::FullDevice,
        Refusal::FullOrganisation,
        Refusal::Closed,
    ];

    /// As a label of a metric.
    pub fn label(self) -> &'static str {
        match self {
            Refusal::NoCertificate => "no_certificate",
            Refusal::OtherKey => "other_key",
            Refusal::NotServed => "not_served",
            Refusal::UnknownAdministrator => "unknown_administrator",
            Refusal::BadSignature => "bad_signature",
            Refusal::NotAllowed => "not_allowed",
            Refusal::Revoked => "revoked",
            Refusal::RevokedAdministrator => "revoked_administrator",
            Refusal::FullDevice => "full_device",
            Refusal::FullOrganisation => "full_organisation",
            Refusal::Closed => "closed",
        }
    }
}

impl From<CertError> for Refusal {
    fn from(why: CertError) -> Refusal {
        match why {
            CertError::Malformed(_) => Refusal::NoCertificate,
            CertError::UnknownOrg(_) => Refusal::NotServed,
            CertError::UnknownIssuer(_) | CertError::Full => Refusal::UnknownAdministrator,
            CertError::BadSignature => Refusal::BadSignature,
            CertError::NoPower(_) | CertError::OutsideIssuerWindow(_) | CertError::RootIsFinal => {
                Refusal::NotAllowed
            }
            CertError::RevokedIssuer(_) => Refusal::RevokedAdministrator,
            CertError::Revoked(_) => Refusal::Revoked,
        }
    }
}

/// The door of a relay.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    served: BTreeSet<Org>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    directory: Directory,
    by_device: BTreeMap<Key8, u32>,
    by_org: BTreeMap<Org, u32>,
    counts: Counts,
    closed: bool,
}

/// What was decided since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections let in.
    pub admitted: u64,
    /// Of those, with a certificate whose lease had ended.
    pub lease_ended: u64,
    /// Connections refused, by reason.
    pub refused: BTreeMap<Refusal, u64>,
}

/// A device that is let in. Its place is free again when this is dropped.
#[derive(Debug)]
pub struct Admitted {
    door: Arc<Admission>,
    key: Key8,
    org: Org,
    /// The administrator's certificate, if it was not known: the machine must learn it before it hears
    /// the device.
    pub new_admin: Option<Vec<u8>>,
}

impl Admission {
    /// Lets in devices of the organisations `served`, as far as `directory` believes them.
    pub fn new(served: BTreeSet<Org>, limits: Limits, directory: &Directory) -> Arc<Admission> {
        let door = Arc::new(Admission {
            limits,
            served,
            inner: Mutex::default(),
        });
        door.renew(directory);
        door
    }

    /// Takes over what the machine knows: revocations reach a relay by its peers.
    pub fn renew(&self, directory: &Directory) {
        let mut directory = directory.clone();
        let others: Vec<Org> = directory.roots().map(|(org, _)| *org).collect();
        for org in others.into_iter().filter(|org| !self.served.contains(org)) {
            directory.distrust(org, &mut Batch::new());
        }
        self.lock().directory = directory;
    }

    /// Decides on a peer that proved `key` and shows these certificates.
    pub fn judge(
        self: &Arc<Admission>,
        key: &[u8; 32],
        routing: &[u8],
        admin: &[u8],
        wall: Wall,
    ) -> Result<Admitted, Refusal> {
        let mut inner = self.lock();
        let judged = inner.judge(self.limits, key, routing, admin, wall);
        match judged {
            Ok((org, new_admin)) => Ok(Admitted {
                door: self.clone(),
                key: Key8::of_key(key),
                org,
                new_admin,
            }),
            Err(why) => {
                *inner.counts.refused.entry(why).or_default() += 1;
                Err(why)
            }
        }
    }

    /// From now on nobody is let in.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// What was decided since the start.
    pub fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// Whether the key of a connection is still believed, for instance after a revocation.
    pub fn still_believed(&self, routing: &[u8], wall: Wall) -> bool {
        let cert = RoutingCert::decode(routing);
        cert.is_ok_and(|cert| self.lock().directory.verify_routing(&cert, wall).is_ok())
    }

    /// A panic elsewhere leaves the counts whole: each is changed in one step.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn judge(
        &mut self,
        limits: Limits,
        key: &[u8; 32],
        routing: &[u8],
        admin: &[u8],
        wall: Wall,
    ) -> Result<(Org, Option<Vec<u8>>), Refusal> {
        if self.closed {
            return Err(Refusal::Closed);
        }
        let cert = RoutingCert::decode(routing).map_err(|_| Refusal::NoCertificate)?;
        // both are public; the comparison is constant in time all the same
        if Secret(cert.routing_key) != Secret(*key) {
            return Err(Refusal::OtherKey);
        }
        let (standing, new_admin) = self.believe(&cert, admin, wall)?;
        let (device, org) = (Key8::of_key(key), cert.org);
        if count(&self.by_device, &device) >= limits.connections_per_device {
            return Err(Refusal::FullDevice);
        }
        if count(&self.by_org, &org) >= limits.connections_per_org {
            return Err(Refusal::FullOrganisation);
        }
        *self.by_device.entry(device).or_default() += 1;
        *self.by_org.entry(org).or_default() += 1;
        self.counts.admitted += 1;
        self.counts.lease_ended += u64::from(matches!(standing, Lease::ExpiredDays(_)));
        Ok((org, new_admin))
    }

    /// Believes the certificate with what is known, else with the administrator's certificate, which is
    /// learned only if it helped.
    fn believe(
        &mut self,
        cert: &RoutingCert,
        admin: &[u8],
        wall: Wall,
    ) -> Result<(Lease, Option<Vec<u8>>), Refusal> {
        let why = match self.directory.verify_routing(cert, wall) {
            Ok(standing) => return Ok((standing.lease, None)),
            Err(why) => why,
        };
        let may_help = matches!(
            why,
            CertError::UnknownIssuer(_) | CertError::OutsideIssuerWindow(_) | CertError::NoPower(_)
        );
        if !may_help || admin.is_empty() {
            return Err(why.into());
        }
        let mut learned = self.directory.clone();
        match learned.learn_admin(admin, &mut Batch::new()) {
            Learned::New => {}
            Learned::Known => return Err(why.into()),
            Learned::Refused(CertError::Revoked(_)) => return Err(Refusal::RevokedAdministrator),
            Learned::Refused(_) => return Err(Refusal::UnknownAdministrator),
        }
        let standing = learned.verify_routing(cert, wall)?;
        self.directory = learned;
        Ok((standing.lease, Some(admin.to_vec())))
    }
}

fn count<K: Ord>(counts: &BTreeMap<K, u32>, key: &K) -> u32 {
    counts.get(key).copied().unwrap_or(0)
}

impl Admitted {
    /// Organisation that certified it.
    pub fn org(&self) -> Org {
        self.org
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut inner = self.door.lock();
        leave(&mut inner.by_device, &self.key);
        leave(&mut inner.by_org, &self.org);
    }
}

fn leave<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
