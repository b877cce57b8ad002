//! The first thing on a connection: who sends me. And the answer of a relay that does not serve him.
//!
//! The client sends `1 | len, routing certificate | len, administrator's certificate` on its first stream
//! and ends that stream. The server judges it ([`Admit`]), and only then sends its own in the same form:
//! for the client that is the word that it was admitted. A client that was not gets the connection closed
//! with the code and the words of a [`Refusal`].
//!
//! The relay's certificates are there for the record: the client has the relay's key from a person. [`Gate`]
//! is the usual judge.
//!
//! **No clock keeps an alarm out.** A lease of a device ends after 30 days and must not block alarms then, so
//! a certificate that is over, or not yet valid, is admitted, logged and counted; only one that ended longer
//! ago than the grace ([`GRACE_DAYS`]) is refused. Until then a key ends by revocation.

mod gate;

pub use gate::{GRACE_DAYS, Gate, GateCounts, judge};

use aidmesh_core::codec::{Malformed, Reader, Writer};
use aidmesh_core::limits;
use bytes::Bytes;
use quinn::VarInt;

const VERSION: u8 = 1;
/// Longest hello: version, and twice a length of two bytes and a certificate.
pub(crate) const HELLO_BYTES: usize = 1 + 2 * (2 + limits::CERT_BYTES);

/// The certificates of one end of a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// Encoded `RoutingCert` of the key that the handshake proves.
    pub routing: Bytes,
    /// Encoded `AdminCert` of its issuer.
    pub admin: Bytes,
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hello({} B, {} B)", self.routing.len(), self.admin.len())
    }
}

impl Hello {
    /// The bytes of the stream.
    pub(crate) fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        w.u8(VERSION).bytes(&self.routing).bytes(&self.admin);
        w.finish()
    }

    /// Reads a whole stream. Says nothing of the certificates in it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Hello, Refusal> {
        let mut r = Reader::new(bytes);
        if r.u8() != Ok(VERSION) {
            return Err(Refusal::OtherVersion);
        }
        let mut both = || -> Result<Hello, Malformed> {
            let routing = Bytes::copy_from_slice(r.bytes(limits::CERT_BYTES)?);
            let admin = Bytes::copy_from_slice(r.bytes(limits::CERT_BYTES)?);
            r.end()?;
            Ok(Hello { routing, admin })
        };
        both().map_err(|_| Refusal::NotACertificate)
    }
}

/// Decides whom a relay serves.
pub trait Admit: Send + Sync {
    /// `peer` is the key that the handshake proved, `hello` what it said of itself.
    fn admit(&self, peer: [u8; 32], hello: &Hello) -> Result<(), Refusal>;
}

/// Why a relay does not serve a device. The words travel with the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No card of this organisation was given to the relay.
    #[error("organisation not trusted")]
    Organisation,
    /// The lease ended longer ago than the relay's grace.
    #[error("certificate expired {days} d ago")]
    Expired {
        /// Whole days.
        days: u32,
    },
    /// The routing key or its issuer's key is revoked.
    #[error("key revoked")]
    Revoked,
    /// The certificate names another key than the handshake proved.
    #[error("certificate does not fit the key")]
    OtherKey,
    /// The bytes are none, or the signatures are wrong.
    #[error("not a certificate")]
    NotACertificate,
    /// No room for one more.
    #[error("too many devices")]
    TooMany,
    /// The hello is of another version.
    #[error("other protocol version")]
    OtherVersion,
}

const FIRST_CODE: u32 = 0x20;

impl Refusal {
    /// Application error code of the closed connection (RFC 9000 section 20.2).
    pub fn code(self) -> VarInt {
        let n = match self {
            Refusal::Organisation => 0,
            Refusal::Expired { .. } => 1,
            Refusal::Revoked => 2,
            Refusal::OtherKey => 3,
            Refusal::NotACertificate => 4,
            Refusal::TooMany => 5,
            Refusal::OtherVersion => 6,
        };
        VarInt::from_u32(FIRST_CODE + n)
    }

    /// Reads code and words of a connection that the peer closed. What is shown are the own words for the
    /// code, never the peer's bytes; of these only a number of days is taken.
    pub(crate) fn read(code: VarInt, words: &[u8]) -> Option<Refusal> {
        let all = [
            Refusal::Organisation,
            Refusal::Expired { days: days_in(words) },
            Refusal::Revoked,
            Refusal::OtherKey,
            Refusal::NotACertificate,
            Refusal::TooMany,
            Refusal::OtherVersion,
        ];
        all.into_iter().find(|refusal| refusal.code() == code)
    }
}

fn days_in(words: &[u8]) -> u32 {
    let text = std::str::from_utf8(words).ok();
    let days = text.and_then(|t| t.strip_prefix("certificate expired ")?.strip_suffix(" d ago"));
    days.and_then(|d| d.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests;
