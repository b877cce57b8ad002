//! Who is let in: devices whose routing key an organisation certified that this relay serves.
//!
//! The transport has proved the key; here its certificate is judged, with that of the administrator who
//! made it, which the relay may see for the first time: the root keys on the cards decide. A revoked key or
//! administrator is refused. Then there must be room for its organisation, so that none of several shuts out
//! the others. Who is refused is told the reason.
//!
//! * **An ended lease does not shut out**: it never blocks an alarm, and nobody can see here what a device
//!   has to say. It is counted. A device that must not come back is revoked.
//! * **No clock decides**: certificates are compared with each other, not with the time here.
//! * What is counted has no names and no keys.
//!
//! Not here: how much may be stored, which the mailbox decides item by item.

use crate::settings::Limits;
use aidmesh_core::directory::{CertError, Directory, Learned, Lease, RoutingCert, Signed};
use aidmesh_core::id::{Key8, Org};
use aidmesh_core::store::Batch;
use aidmesh_core::time::Wall;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    /// As many devices of its organisation are here as there may be.
    #[error("too many devices of one organisation")]
    FullOrganisation,
    /// The relay takes nothing now: its store fails or it stops.
    #[error("the relay takes nothing now")]
    Closed,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Refusal; 10] = [
        Refusal::NoCertificate,
        Refusal::OtherKey,
        Refusal::NotServed,
        Refusal::UnknownAdministrator,
        Refusal::BadSignature,
        Refusal::NotAllowed,
        Refusal::Revoked,
        Refusal::RevokedAdministrator,
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

/// How long a device that was let in counts before the machine has heard it.
const COMING: Duration = Duration::from_secs(15);

/// Devices of one organisation that are remembered as here, at most. More than the transport has links.
const PRESENT: usize = 4096;

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
    present: BTreeMap<Key8, Present>,
    counts: Counts,
    closed: bool,
}

/// A device that was let in.
#[derive(Debug)]
struct Present {
    key: [u8; 32],
    cert: RoutingCert,
    since: Instant,
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

/// The word that a device is let in.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Organisation that certified it.
    pub org: Org,
    /// The administrator's certificate, if it was not known: the machine must learn it before it hears
    /// the device.
    pub new_admin: Option<Vec<u8>>,
}

impl Admission {
    /// Lets in devices of the organisations `served`, as far as `directory` believes them.
    pub fn new(served: BTreeSet<Org>, limits: Limits, directory: &Directory) -> Admission {
        let inner = Mutex::default();
        let door = Admission {
            limits,
            served,
            inner,
        };
        door.renew(directory, Wall::default());
        door
    }

    /// Takes over what the machine knows: revocations reach a relay by its peers. Returns the keys of
    /// devices that are here and are not believed any longer.
    pub fn renew(&self, directory: &Directory, wall: Wall) -> Vec<[u8; 32]> {
        let mut directory = directory.clone();
        let others: Vec<Org> = directory.roots().map(|(org, _)| *org).collect();
        for org in others.into_iter().filter(|org| !self.served.contains(org)) {
            directory.distrust(org, &mut Batch::new());
        }
        let mut inner = self.lock();
        inner.directory = directory;
        let Inner {
            directory, present, ..
        } = &mut *inner;
        let gone = present.extract_if(.., |_, device| {
            directory.verify_routing(&device.cert, wall).is_err()
        });
        gone.map(|(_, device)| device.key).collect()
    }

    /// Takes over who is here: devices with a link to the machine.
    pub fn refresh(&self, peers: &[Key8]) {
        let peers: BTreeSet<&Key8> = peers.iter().collect();
        let now = Instant::now();
        let coming = |device: &Present| now.saturating_duration_since(device.since) < COMING;
        self.lock()
            .present
            .retain(|key, device| peers.contains(key) || coming(device));
    }

    /// Decides on a peer that proved `key` and shows these certificates.
    pub fn judge(
        &self,
        key: [u8; 32],
        routing: &[u8],
        admin: &[u8],
        wall: Wall,
    ) -> Result<Admitted, Refusal> {
        let most = match self.served.len() {
            0 | 1 => PRESENT,
            _ => PRESENT.min(self.limits.devices_per_org as usize),
        };
        let mut inner = self.lock();
        let judged = inner.judge(most, key, routing, admin, wall);
        if let Err(why) = judged {
            *inner.counts.refused.entry(why).or_default() += 1;
        }
        judged
    }

    /// From now on nobody is let in.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// What was decided since the start.
    pub fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// A panic elsewhere leaves what is here whole: it is changed in single steps.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn judge(
        &mut self,
        most: usize,
        key: [u8; 32],
        routing: &[u8],
        admin: &[u8],
        wall: Wall,
    ) -> Result<Admitted, Refusal> {
        if self.closed {
            return Err(Refusal::Closed);
        }
        let cert = RoutingCert::decode(routing).map_err(|_| Refusal::NoCertificate)?;
        if cert.routing_key != key {
            return Err(Refusal::OtherKey);
        }
        let (lease, new_admin) = self.believe(&cert, admin, wall)?;
        let (device, org) = (Key8::of_key(&key), cert.org);
        let of_org = self.present.iter().filter(|(_, here)| here.cert.org == org);
        if !self.present.contains_key(&device) && of_org.count() >= most {
            return Err(Refusal::FullOrganisation);
        }
        let since = Instant::now();
        self.present.insert(device, Present { key, cert, since });
        self.counts.admitted += 1;
        self.counts.lease_ended += u64::from(matches!(lease, Lease::ExpiredDays(_)));
        Ok(Admitted { org, new_admin })
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

#[cfg(test)]
mod tests;
