//! New certificates for the keys of an enrolled device.
//!
//! ```text
//! renewal  1 | len, device certificate | len, routing certificate
//!          | n, n x (len, administrator's certificate)
//! ```
//!
//! It needs no secret: the device believes certificates of its own keys by their signatures, and
//! only newer ones than it has. So it may come from anybody.

use super::{VERSION, canonical, read_admins, read_cert, version, write_admins, write_cert};
use crate::codec::{Malformed, Reader, Writer};
use crate::directory::{AdminCert, CertError, DeviceCert, Directory, Learned, RootCard, RoutingCert, Signed};
use crate::limits;
use crate::store::Batch;
use bytes::Bytes;

/// A device's next certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Of its device key.
    pub device: DeviceCert,
    /// Of its routing key.
    pub routing: RoutingCert,
    /// Who may have signed them, and other administrators.
    pub admins: Vec<AdminCert>,
}

impl Renewal {
    /// All bytes, or the rule that it breaks.
    pub fn encode(&self) -> Result<Bytes, Malformed> {
        let mut w = Writer::new();
        w.u8(VERSION);
        write_cert(&mut w, &self.device);
        write_cert(&mut w, &self.routing);
        write_admins(&mut w, &self.admins);
        canonical(w.finish(), self, Renewal::decode)
    }

    /// Reads [`Renewal::encode`]. Checks no signature.
    pub fn decode(bytes: &[u8]) -> Result<Renewal, Malformed> {
        if bytes.len() > limits::ORG_CARD_BYTES {
            return Err(Malformed("renewal over the limit"));
        }
        let mut r = Reader::new(bytes);
        version(&mut r)?;
        let renewal = Renewal {
            device: read_cert(&mut r)?,
            routing: read_cert(&mut r)?,
            admins: read_admins(&mut r)?,
        };
        r.end()?;
        Ok(renewal)
    }

    /// Whether both certificates stand under this root by the administrators named here.
    pub fn verify(&self, root: &RootCard) -> Result<(), CertError> {
        verify_pair(root, &self.admins, &self.device, &self.routing).map(drop)
    }
}

/// A directory that trusts `root`, once both certificates are found true in it.
pub(super) fn verify_pair(
    root: &RootCard,
    admins: &[AdminCert],
    device: &DeviceCert,
    routing: &RoutingCert,
) -> Result<Directory, CertError> {
    let (mut dir, mut batch) = (Directory::new(), Batch::new());
    believed(dir.trust(&root.encode(), true, &mut batch))?;
    for cert in admins {
        believed(dir.learn_admin(&cert.encode(), &mut batch))?;
    }
    believed(dir.learn_device(&device.encode(), &mut batch))?;
    believed(dir.learn_routing(&routing.encode(), &mut batch))?;
    Ok(dir)
}

fn believed(learned: Learned) -> Result<(), CertError> {
    match learned {
        Learned::New | Learned::Known => Ok(()),
        Learned::Refused(why) => Err(why),
    }
}
