//! How a device comes into an organisation: *invite*, *request*, *grant*, and the *card* by which
//! organisations get to know each other (DETAILS section 2).
//!
//! An administrator hands out an invite with a one-time secret. The device answers with its public
//! keys, under a MAC of that secret. Both people compare six words of the request; then the
//! administrator signs, and the grant travels back under the same secret. Each may go by hand, as
//! a file or over a network that nobody trusts.
//!
//! * **Total and bounded**: every object has one encoding and a largest size in `limits`.
//! * **One-time**: [`Invites`] refuses a second use and says so. It keeps a hash of the secret, from
//!   which the invite cannot be made again.
//! * A grant is believed only under the root key of the invite, for the very request that it answers.
//!
//! Not here: randomness, clocks, words and text forms (the node's `org`), and who may press *approve*.

mod book;
mod card;
mod grant;
mod invite;
mod renewal;
mod request;

pub use book::{Asked, Invites, RequestError};
pub use card::OrgCard;
pub use grant::{Grant, GrantError};
pub use invite::{Invite, InviteSecret, Place};
pub use renewal::Renewal;
pub use request::{Request, person_of, six_words};

use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::{Secret, kdf};
use crate::directory::{AdminCert, Signed};
use crate::limits;
use bytes::Bytes;

const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;

/// `KDF(secret of the invite, "invite")`: the key of the request's MAC. The grant's is
/// `KDF(this, "grant")`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteKey(Secret);

impl InviteKey {
    /// The key of a secret.
    pub fn of(secret: &InviteSecret) -> InviteKey {
        InviteKey(kdf(&secret.0, "invite"))
    }

    fn request_mac(&self, bytes: &[u8]) -> Mac {
        Mac::new(&self.0, bytes)
    }

    fn grant_mac(&self, bytes: &[u8]) -> Mac {
        Mac::new(&kdf(&self.0.0, "grant"), bytes)
    }
}

/// The first 16 bytes of a keyed BLAKE3, compared in constant time.
#[derive(Clone, Copy, Debug)]
struct Mac([u8; MAC_BYTES]);

impl Mac {
    fn new(key: &Secret, bytes: &[u8]) -> Mac {
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&blake3::keyed_hash(&key.0, bytes).as_bytes()[..MAC_BYTES]);
        Mac(mac)
    }

    /// `blake3::Hash` compares in constant time; the rest of both is zero.
    fn wide(&self) -> blake3::Hash {
        let mut wide = [0; 32];
        wide[..MAC_BYTES].copy_from_slice(&self.0);
        blake3::Hash::from_bytes(wide)
    }
}

impl PartialEq for Mac {
    fn eq(&self, other: &Mac) -> bool {
        self.wide() == other.wide()
    }
}

impl Eq for Mac {}

fn version(r: &mut Reader<'_>) -> Result<(), Malformed> {
    match r.u8()? {
        VERSION => Ok(()),
        _ => Err(Malformed("of a newer version")),
    }
}

fn write_cert(w: &mut Writer, cert: &impl Signed) {
    w.bytes(&cert.encode());
}

fn read_cert<T: Signed>(r: &mut Reader<'_>) -> Result<T, Malformed> {
    T::decode(r.bytes(limits::CERT_BYTES)?)
}

/// n, n x (len, certificate); n is 1 to 4.
fn write_admins(w: &mut Writer, admins: &[AdminCert]) {
    w.count(admins.len());
    admins.iter().for_each(|cert| write_cert(w, cert));
}

fn read_admins(r: &mut Reader<'_>) -> Result<Vec<AdminCert>, Malformed> {
    match r.count(limits::ADMINS_PER_CARD)? {
        0 => Err(Malformed("no administrator")),
        n => (0..n).map(|_| read_cert(r)).collect(),
    }
}

/// What was written reads back as the same value; else it breaks a rule of its layout.
fn canonical<T: PartialEq>(
    bytes: Bytes,
    value: &T,
    decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
) -> Result<Bytes, Malformed> {
    match decode(&bytes)? {
        same if same == *value => Ok(bytes),
        _ => Err(Malformed("no canonical form")),
    }
}

#[cfg(test)]
mod tests;
