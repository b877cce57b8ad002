//! The card of an organisation: what another one needs to trust it, from hand to hand.
//!
//! ```text
//! org card  1 | len, root card | n, n x (len, administrator's certificate)           n is 1 to 4
//! ```
//!
//! Read is verified in itself: the root key signed its card and each certificate. That it is the
//! right organisation only a person can say, who compares the id or got it from a known hand.

use super::{VERSION, canonical, read_admins, read_cert, version, write_admins, write_cert};
use crate::codec::{Malformed, Reader, Writer};
use crate::directory::{AdminCert, RootCard, Signed};
use crate::id::Org;
use crate::limits;
use bytes::Bytes;

/// An organisation with its administrators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgCard {
    /// Root key and name.
    pub root: RootCard,
    /// 1 to [`limits::ADMINS_PER_CARD`] certificates.
    pub admins: Vec<AdminCert>,
}

impl OrgCard {
    /// The organisation.
    pub fn org(&self) -> Org {
        self.root.org()
    }

    /// All bytes, or the rule that the card breaks.
    pub fn encode(&self) -> Result<Bytes, Malformed> {
        let mut w = Writer::new();
        w.u8(VERSION);
        write_cert(&mut w, &self.root);
        write_admins(&mut w, &self.admins);
        canonical(w.finish(), self, OrgCard::decode)
    }

    /// Reads [`OrgCard::encode`] and verifies it.
    pub fn decode(bytes: &[u8]) -> Result<OrgCard, Malformed> {
        if bytes.len() > limits::ORG_CARD_BYTES {
            return Err(Malformed("card over the limit"));
        }
        let mut r = Reader::new(bytes);
        version(&mut r)?;
        let card = OrgCard {
            root: read_cert(&mut r)?,
            admins: read_admins(&mut r)?,
        };
        r.end()?;
        if !card.root.verified_by(&card.root.root_key) {
            return Err(Malformed("root key did not sign its card"));
        }
        let certified = |cert: &AdminCert| cert.org == card.org() && cert.verified_by(&card.root.root_key);
        match card.admins.iter().all(certified) {
            true => Ok(card),
            false => Err(Malformed("root key did not certify the administrator")),
        }
    }
}
