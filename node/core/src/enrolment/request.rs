//! The request: the public keys of a new device, its holder's name and roles.
//!
//! ```text
//! request  1 | DK 32 | SK 32 | IK 32 | RK 32 | roles u16 | name len 1, utf8 <= 40
//!          | keyed BLAKE3(KDF(secret, "invite"); above)[..16] | sig 64 by DK over all before
//! ```
//!
//! The MAC says that the sender had the invite, the signature that it has the device key. Who made
//! it say people: both see the same [`six_words`] only if nobody changed it on its way.

use super::{InviteKey, MAC_BYTES, Mac, VERSION, version};
use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::{self, Domain, KeyPair, SIG_BYTES};
use crate::directory::{Name, Roles};
use crate::id::{Dev, Org, Person};
use crate::limits;
use bytes::Bytes;

/// What a new device asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Ed25519 device key.
    pub device_key: [u8; 32],
    /// X25519 seal key.
    pub seal_key: [u8; 32],
    /// Ed25519 inbox key.
    pub inbox_key: [u8; 32],
    /// Ed25519 routing key.
    pub routing_key: [u8; 32],
    /// Roles, at least one.
    pub roles: Roles,
    /// Holder.
    pub name: Name,
    mac: Mac,
    sig: [u8; SIG_BYTES],
}

impl Request {
    /// Answers an invite. The seal key's secret stays outside, as those of inbox and routing.
    pub fn new(
        device: &KeyPair,
        (seal_key, inbox_key, routing_key): ([u8; 32], [u8; 32], [u8; 32]),
        (roles, name): (Roles, Name),
        key: &InviteKey,
    ) -> Request {
        let mut request = Request {
            device_key: device.public(),
            seal_key,
            inbox_key,
            routing_key,
            roles,
            name,
            mac: Mac([0; MAC_BYTES]),
            sig: [0; SIG_BYTES],
        };
        request.mac = key.request_mac(&request.body());
        request.sig = device.sign(Domain::Request, &request.signed());
        request
    }

    /// Id of the device that asks.
    pub fn dev(&self) -> Dev {
        Dev::of_key(&self.device_key)
    }

    /// Whether it answers the invite of this key.
    pub fn answers(&self, key: &InviteKey) -> bool {
        key.request_mac(&self.body()) == self.mac
    }

    /// Whether the device key made it.
    pub fn is_authentic(&self) -> bool {
        crypto::verify(&self.device_key, Domain::Request, &self.signed(), &self.sig)
    }

    /// `BLAKE3(request)`.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.encode()).as_bytes()
    }

    /// All bytes.
    pub fn encode(&self) -> Bytes {
        let mut bytes = self.signed();
        bytes.extend_from_slice(&self.sig);
        Bytes::from(bytes)
    }

    /// Reads [`Request::encode`]. Checks neither MAC nor signature.
    pub fn decode(bytes: &[u8]) -> Result<Request, Malformed> {
        if bytes.len() > limits::REQUEST_BYTES {
            return Err(Malformed("request over the limit"));
        }
        let mut r = Reader::new(bytes);
        version(&mut r)?;
        let (device_key, seal_key) = (r.array()?, r.array()?);
        let (inbox_key, routing_key) = (r.array()?, r.array()?);
        let roles = Roles(r.u16()?);
        let len = r.u8()?;
        let name = std::str::from_utf8(r.take(len.into())?).map_err(|_| Malformed("name is not UTF-8"))?;
        let request = Request {
            device_key,
            seal_key,
            inbox_key,
            routing_key,
            roles,
            name: Name::new(name).ok_or(Malformed("name not allowed"))?,
            mac: Mac(r.array()?),
            sig: r.array()?,
        };
        r.end()?;
        if roles.0 == 0 {
            return Err(Malformed("request for no role"));
        }
        let keys = [device_key, seal_key, inbox_key, routing_key];
        let twice = (1..keys.len()).any(|i| keys[..i].contains(&keys[i]));
        if twice {
            return Err(Malformed("one key for two uses"));
        }
        Ok(request)
    }

    fn body(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION).put(&self.device_key).put(&self.seal_key);
        w.put(&self.inbox_key).put(&self.routing_key).u16(self.roles.0);
        let name = self.name.as_str().as_bytes();
        w.u8(name.len() as u8).put(name);
        w.0
    }

    fn signed(&self) -> Vec<u8> {
        [&self.body()[..], &self.mac.0].concat()
    }
}

/// Six indexes into the 2048 words of BIP-39: the first 66 bits of `BLAKE3(request)`, highest first.
pub fn six_words(request: &[u8]) -> [u16; 6] {
    let hash = blake3::hash(request);
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    let bits = u128::from_be_bytes(first);
    std::array::from_fn(|i| (bits >> (128 - 11 * (i + 1)) & 0x7ff) as u16)
}

/// A person is a name within an organisation: `BLAKE3("person" || org || name)[..8]`. Who enrols a
/// second device under a name makes it that person's.
pub fn person_of(org: Org, name: &Name) -> Person {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"person").update(&org.0);
    hasher.update(name.as_str().as_bytes());
    Person::from_prefix(hasher.finalize().as_bytes()).expect("a hash has more than eight bytes")
}
