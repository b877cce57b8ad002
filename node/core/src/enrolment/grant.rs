//! The grant: the administrator's answer to a request, with all that the device needs from then on.
//!
//! ```text
//! grant  1 | BLAKE3(request) 32 | len, device certificate | len, routing certificate | len, root card
//!        | n, n x (len, administrator's certificate) | k, k x relay place
//!        | p <= 16, p x (len, org card) | c, c x (len, device certificate | len, key package)
//!        | keyed BLAKE3(KDF(KDF(secret, "invite"), "grant"); above)[..16]
//! ```
//!
//! The first card (c is 1 to 8) is the administrator's own device. The MAC is checked before anything
//! is read; then everything must stand under the root key *of the invite*. Key packages are checked by
//! the machine that learns the card.

use super::renewal::verify_pair;
use super::{
    Invite, InviteKey, MAC_BYTES, Mac, OrgCard, Place, Request, VERSION, canonical, read_admins, read_cert,
    version, write_admins, write_cert,
};
use crate::codec::{Malformed, Reader, Writer};
use crate::directory::{AdminCert, CertError, DeviceCert, RootCard, RoutingCert, Signed};
use crate::limits;
use crate::machine::command::Card;
use bytes::Bytes;

/// What an administrator grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// `BLAKE3` of the request that it answers.
    pub request: [u8; 32],
    /// Certificate of the device key.
    pub device: DeviceCert,
    /// Certificate of the routing key.
    pub routing: RoutingCert,
    /// The organisation.
    pub root: RootCard,
    /// Its administrators, 1 to [`limits::ADMINS_PER_CARD`].
    pub admins: Vec<AdminCert>,
    /// Its relays.
    pub relays: Vec<Place>,
    /// Organisations that it trusts.
    pub partners: Vec<OrgCard>,
    /// Devices to know from the start, 1 to [`limits::CARDS`]; the administrator's comes first.
    pub cards: Vec<Card>,
}

/// Why a grant is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Changed on its way, or under another invite.
    #[error("the grant was changed, or it answers another invite")]
    WrongSeal,
    /// It does not follow the layout.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It answers another request.
    #[error("the grant answers another request")]
    OtherRequest,
    /// Its root key is not the one of the invite.
    #[error("the grant is of another organisation than the invite")]
    OtherOrganisation,
    /// Its certificates do not say what was asked.
    #[error("the grant differs from the request: {0}")]
    Differs(&'static str),
    /// A certificate is not believed.
    #[error("certificate in the grant: {0}")]
    Cert(#[from] CertError),
    /// Its device certificate ended already.
    #[error("the certificate in the grant ended before it was taken")]
    Ended,
}

impl Grant {
    /// All bytes under the invite's key, or the rule that the grant breaks.
    pub fn seal(&self, key: &InviteKey) -> Result<Bytes, Malformed> {
        let body = canonical(self.body()?, self, Grant::read)?;
        let sealed = [&body[..], &key.grant_mac(&body).0].concat();
        match sealed.len() <= limits::GRANT_BYTES {
            true => Ok(Bytes::from(sealed)),
            false => Err(Malformed("grant over the limit")),
        }
    }

    /// Takes a grant for `request`, which answered `invite`. Minutes are since the Unix epoch.
    pub fn open(bytes: &[u8], invite: &Invite, request: &Request, now_min: u32) -> Result<Grant, GrantError> {
        if bytes.len() > limits::GRANT_BYTES {
            return Err(Malformed("grant over the limit").into());
        }
        let at = bytes.len().checked_sub(MAC_BYTES).ok_or(GrantError::WrongSeal)?;
        let (body, mac) = bytes.split_at(at);
        let mut found = [0; MAC_BYTES];
        found.copy_from_slice(mac);
        if InviteKey::of(&invite.secret).grant_mac(body) != Mac(found) {
            return Err(GrantError::WrongSeal);
        }
        let grant = Grant::read(body)?;
        grant.check(invite, request, now_min)?;
        Ok(grant)
    }

    fn check(&self, invite: &Invite, request: &Request, now_min: u32) -> Result<(), GrantError> {
        if self.request != request.hash() {
            return Err(GrantError::OtherRequest);
        }
        if self.root.root_key != invite.root_key {
            return Err(GrantError::OtherOrganisation);
        }
        let dir = verify_pair(&self.root, &self.admins, &self.device, &self.routing)?;
        let (device, routing) = (&self.device, &self.routing);
        let keys = [
            (device.device_key, request.device_key),
            (device.seal_key, request.seal_key),
            (device.inbox_key, request.inbox_key),
            (routing.routing_key, request.routing_key),
        ];
        if keys.iter().any(|(granted, asked)| granted != asked) {
            return Err(GrantError::Differs("keys"));
        }
        if device.name != request.name {
            return Err(GrantError::Differs("name"));
        }
        if device.roles.0 & !request.roles.0 != 0 || device.roles.0 == 0 {
            return Err(GrantError::Differs("roles"));
        }
        if device.window.not_after_min < now_min {
            return Err(GrantError::Ended);
        }
        let first = self.cards.first().ok_or(Malformed("no card"))?;
        dir.chain(&DeviceCert::decode(&first.device_cert)?)?;
        Ok(())
    }

    fn body(&self) -> Result<Bytes, Malformed> {
        let mut w = Writer::new();
        w.u8(VERSION).put(&self.request);
        write_cert(&mut w, &self.device);
        write_cert(&mut w, &self.routing);
        write_cert(&mut w, &self.root);
        write_admins(&mut w, &self.admins);
        Place::write_all(&self.relays, &mut w);
        w.count(self.partners.len());
        for partner in &self.partners {
            w.bytes(&partner.encode()?);
        }
        Card::write_all(&self.cards, &mut w);
        Ok(w.finish())
    }

    fn read(body: &[u8]) -> Result<Grant, Malformed> {
        let mut r = Reader::new(body);
        version(&mut r)?;
        let grant = Grant {
            request: r.array()?,
            device: read_cert(&mut r)?,
            routing: read_cert(&mut r)?,
            root: read_cert(&mut r)?,
            admins: read_admins(&mut r)?,
            relays: Place::read_all(&mut r)?,
            partners: {
                let n = r.count(limits::PARTNERS_PER_GRANT)?;
                let one = |_| OrgCard::decode(r.bytes(limits::ORG_CARD_BYTES)?);
                (0..n).map(one).collect::<Result<_, _>>()?
            },
            cards: Card::read_all(&mut r)?,
        };
        r.end()?;
        Ok(grant)
    }
}
