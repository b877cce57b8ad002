//! The usual judge of a relay: serves the devices of the organisations whose cards it was given.
//!
//! It keeps a directory of its own, so that it answers without asking the machine's thread: the cards, the
//! revocations it is told, and the administrators that devices show. Signatures are verified each time.

use super::{Admit, Hello, Refusal};
use aidmesh_core::directory::{
    AdminCert, CertError, Directory, Learned, Lease, RoutingCert, Signed, Standing,
};
use aidmesh_core::id::Key8;
use aidmesh_core::store::Batch;
use aidmesh_core::time::Wall;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A certificate is served this long after its end: as long as its administrator may be one.
pub const GRACE_DAYS: u32 = 366;

/// What a gate has decided since it was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateCounts {
    /// Admitted, all told.
    pub admitted: u64,
    /// Of these, outside the window of their certificate.
    pub outside_lease: u64,
    /// Refused.
    pub refused: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Gate {
    directory: Mutex<Directory>,
    wall: fn() -> Wall,
    grace_days: u32,
    admitted: AtomicU64,
    outside_lease: AtomicU64,
    refused: AtomicU64,
}

impl Gate {
    /// Trusts the roots of `directory`; `wall` is asked at each admission.
    pub fn new(directory: Directory, wall: fn() -> Wall) -> Gate {
        Gate {
            directory: Mutex::new(directory),
            wall,
            grace_days: GRACE_DAYS,
            admitted: AtomicU64::new(0),
            outside_lease: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Another grace than [`GRACE_DAYS`].
    #[must_use]
    pub fn with_grace(mut self, days: u32) -> Gate {
        self.grace_days = days;
        self
    }

    /// Trusts one more organisation, by its card.
    pub fn trust(&self, card: &[u8]) -> Learned {
        self.directory().trust(card, false, &mut Batch::default())
    }

    /// A revocation that was heard of. Connections that are there already stay: see
    /// [`Server::drop_peer`](crate::uplink::Server::drop_peer).
    pub fn revoke(&self, revocation: &[u8]) -> Learned {
        self.directory()
            .learn_revocation(revocation, &mut Batch::default())
    }

    /// An administrator, whose revocations count from then on.
    pub fn learn_admin(&self, certificate: &[u8]) -> Learned {
        self.directory().learn_admin(certificate, &mut Batch::default())
    }

    /// Decisions so far.
    pub fn counts(&self) -> GateCounts {
        GateCounts {
            admitted: self.admitted.load(Relaxed),
            outside_lease: self.outside_lease.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        // a directory changes by single insertions: what a panic leaves is whole
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, peer: [u8; 32], hello: &Hello) -> Result<(), Refusal> {
        let standing = judge(&mut self.directory(), peer, hello, (self.wall)())?;
        match standing.lease {
            Lease::Valid => return Ok(()),
            Lease::ExpiredDays(days) if days > self.grace_days => return Err(Refusal::Expired { days }),
            Lease::ExpiredDays(days) => {
                let peer = crate::uplink::short(&peer);
                tracing::info!(%peer, days, "certificate expired, admitted");
            }
            Lease::NotYet => {
                let peer = crate::uplink::short(&peer);
                tracing::info!(%peer, "certificate not valid yet, admitted");
            }
        }
        self.outside_lease.fetch_add(1, Relaxed);
        Ok(())
    }
}

impl Admit for Gate {
    fn admit(&self, peer: [u8; 32], hello: &Hello) -> Result<(), Refusal> {
        let decided = self.decide(peer, hello);
        let count = match decided {
            Ok(()) => &self.admitted,
            Err(_) => &self.refused,
        };
        count.fetch_add(1, Relaxed);
        decided
    }
}

/// Whether the hello is that of `peer` and its certificates are believed under the roots of `directory`,
/// which learns the administrator. The lease is reported, not judged.
pub fn judge(
    directory: &mut Directory,
    peer: [u8; 32],
    hello: &Hello,
    wall: Wall,
) -> Result<Standing, Refusal> {
    let routing = RoutingCert::decode(&hello.routing).map_err(|_| Refusal::NotACertificate)?;
    let admin = AdminCert::decode(&hello.admin).map_err(|_| Refusal::NotACertificate)?;
    if routing.routing_key != peer {
        return Err(Refusal::OtherKey);
    }
    if admin.org != routing.org || Key8::of_key(&admin.admin_key) != routing.issuer {
        return Err(Refusal::NotACertificate);
    }
    if let Learned::Refused(why) = directory.learn_admin(&hello.admin, &mut Batch::default()) {
        return Err(refusal(why));
    }
    directory.verify_routing(&routing, wall).map_err(refusal)
}

fn refusal(why: CertError) -> Refusal {
    match why {
        CertError::UnknownOrg(_) => Refusal::Organisation,
        CertError::Revoked(_) | CertError::RevokedIssuer(_) => Refusal::Revoked,
        CertError::Full => Refusal::TooMany,
        CertError::Malformed(_)
        | CertError::UnknownIssuer(_)
        | CertError::BadSignature
        | CertError::NoPower(_)
        | CertError::OutsideIssuerWindow(_)
        | CertError::RootIsFinal => Refusal::NotACertificate,
    }
}
