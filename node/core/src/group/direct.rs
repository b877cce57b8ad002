//! The direct seal: content for one device alone, whatever epoch nodes it holds.
//!
//! Some things no node can carry: control keys that are passed on, entries owed to a device that
//! others may not read, an alarm of an author who holds no clean node. They go to the device's inbox
//! handle, in an envelope with this payload:
//!
//! `type 1 (2) | v 1 (1) | enc 32 | ciphertext | sig 64`
//!
//! * Sealed by HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305)
//!   to the seal key in the device certificate, by the provider of MLS and with its seeded
//!   randomness. info = `"am1 direct" padded to 16 | inbox handle 8 | device 16`, aad = `type | v`,
//!   plaintext = `thread 16 | author's slot 4 | content`. Nothing is padded.
//! * Signed by the author's device key over `domain 16 | inbox handle 8 | device 16 | thread 16 |
//!   slot 4 | all bytes before the signature`. Thread and slot stand inside the seal only: a carrier
//!   does not learn them, and who does not know them cannot test whose signature it is. Nobody can
//!   sign a foreign item as his own, since the slot in it names its author.
//! * Neither forward secret (the seal key lives as long as its certificate) nor post-quantum.
//! * Not here: who may be told what, whose the slot is, how often. An item that comes twice says the
//!   same twice; its [`MsgId`](crate::id::MsgId) tells.

mod content;

pub use content::{Content, HandedEntry, Question, Unsealed};
pub(crate) use content::{HANDED_ON_BYTES, object_room};

use super::mls::Crypto;
use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::{self, Domain, KeyPair, SIG_BYTES, Secret, TAG_BYTES};
use crate::directory::DeviceCert;
use crate::id::{Dev, Handle, Slot, ThreadId};
use crate::limits;
use bytes::Bytes;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::types::{HpkeAeadType, HpkeCiphertext, HpkeConfig, HpkeKdfType, HpkeKemType};
use zeroize::Zeroizing;

/// First byte of an inbox payload of this form; that of a Welcome is 1.
pub const TYPE: u8 = 2;

const VERSION: u8 = 1;
/// In the clear, and the authenticated data of the seal.
const HEADER: [u8; 2] = [TYPE, VERSION];
const SUITE: HpkeConfig = HpkeConfig(
    HpkeKemType::DhKem25519,
    HpkeKdfType::HkdfSha256,
    HpkeAeadType::ChaCha20Poly1305,
);
const INFO: &[u8; 16] = b"am1 direct\0\0\0\0\0\0";
/// Encapsulated key: an X25519 public key.
const ENC_BYTES: usize = 32;
/// `thread | slot` before the content.
const PLACE_BYTES: usize = 16 + 4;
/// What the payload adds to its content.
const SEAL_BYTES: usize = HEADER.len() + ENC_BYTES + PLACE_BYTES + TAG_BYTES + SIG_BYTES;

const _: () =
    assert!(limits::ENVELOPE_HEADER_BYTES + SEAL_BYTES + limits::DIRECT_BYTES <= limits::ENVELOPE_BYTES);
// an alarm that may be sealed on a node may be sealed directly
const _: () =
    assert!(limits::ENVELOPE_HEADER_BYTES + SEAL_BYTES + content::UNSEALED_BYTES <= limits::ALARM_SEAL_BYTES);

/// The device that an item is sealed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The device.
    pub dev: Dev,
    /// Handle of its inbox.
    pub inbox: Handle,
    /// Its X25519 public key.
    pub seal_key: [u8; 32],
}

impl Recipient {
    /// The device of a certificate.
    pub fn of(cert: &DeviceCert) -> Recipient {
        Recipient {
            dev: cert.dev(),
            inbox: Handle::of_key(&cert.inbox_key),
            seal_key: cert.seal_key,
        }
    }

    /// HPKE info: whoever opens this item is this device with this inbox.
    fn info(&self) -> Vec<u8> {
        [&INFO[..], &self.inbox.0, &self.dev.0].concat()
    }

    fn signature_input(&self, thread: ThreadId, slot: Slot, unsigned: &[u8]) -> Vec<u8> {
        [&self.inbox.0[..], &self.dev.0, &thread.0, &slot.0, unsigned].concat()
    }
}

/// Nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The content breaks a rule of its layout or a limit: others would refuse it.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The seal key of the recipient is not a usable X25519 key (RFC 9180 section 7.1.4).
    #[error("seal key of the recipient is of no use")]
    SealKey,
}

/// Seals `content` for one device: the payload of an envelope to `to.inbox`. `slot` is that of the
/// author in this thread, `author` its device key. Equal inputs of one [`Crypto`] give equal bytes.
///
/// # Errors
/// [`SealError::Malformed`] for content that its own decoder refuses, [`SealError::SealKey`] for a
/// recipient that cannot be sealed for.
pub fn seal(
    crypto: &Crypto,
    content: &Content,
    (thread, slot): (ThreadId, Slot),
    author: &KeyPair,
    to: &Recipient,
) -> Result<Bytes, SealError> {
    let content = content.encode()?;
    let mut plaintext = Writer(Vec::with_capacity(PLACE_BYTES + content.len()));
    plaintext.put(&thread.0).put(&slot.0).put(&content);
    let plaintext = Zeroizing::new(plaintext.0);
    let sealed = crypto
        .hpke_seal(SUITE, &to.seal_key, &to.info(), &HEADER, &plaintext)
        .map_err(|_| SealError::SealKey)?;
    let mut w = Writer(Vec::with_capacity(SEAL_BYTES + content.len()));
    w.put(&HEADER)
        .put(sealed.kem_output.as_slice())
        .put(sealed.ciphertext.as_slice());
    let sig = author.sign(Domain::Direct, &to.signature_input(thread, slot, &w.0));
    w.put(&sig);
    Ok(w.finish())
}

/// A payload was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The bytes do not follow the layout.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Sealed for another device, inbox or seal key, or changed on its way.
    #[error("does not open for this device")]
    NotForMe,
}

/// The author's word does not stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The device key did not sign this item for this device, thread and slot.
    #[error("signature is wrong")]
    BadSignature,
    /// Signed by its author, and does not follow the layout: a newer version, or a fault.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// An opened item that nobody vouches for yet. Thread and slot tell whose key to ask; the content
/// comes out of [`Claim::verify`] only.
#[derive(Clone)]
pub struct Claim {
    thread: ThreadId,
    slot: Slot,
    to: Recipient,
    payload: Bytes,
    /// Thread, slot, content.
    plaintext: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Claim({:?}, {:?})", self.thread, self.slot)
    }
}

impl Claim {
    /// Opens a payload with the secret of `me.seal_key`. Changes nothing; costs one X25519.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] for another layout, [`OpenError::NotForMe`] if the seal does not open.
    pub fn open(
        crypto: &Crypto,
        payload: &Bytes,
        me: &Recipient,
        secret: &Secret,
    ) -> Result<Claim, OpenError> {
        if payload.len() > limits::ENVELOPE_BYTES {
            return Err(Malformed("direct seal over the limit").into());
        }
        let (unsigned, _) = split(payload)?;
        let mut r = Reader::new(unsigned);
        if r.array()? != HEADER {
            return Err(Malformed("unknown version of a direct seal").into());
        }
        let input = HpkeCiphertext {
            kem_output: r.take(ENC_BYTES)?.to_vec().into(),
            ciphertext: r.rest().to_vec().into(),
        };
        let opened = crypto.hpke_open(SUITE, &input, &secret.0, &me.info(), &HEADER);
        let plaintext = Zeroizing::new(opened.map_err(|_| OpenError::NotForMe)?);
        let mut r = Reader::new(&plaintext);
        Ok(Claim {
            thread: ThreadId(r.array()?),
            slot: Slot(r.array()?),
            to: *me,
            payload: payload.clone(),
            plaintext,
        })
    }

    /// The thread that it claims to belong to.
    pub fn thread(&self) -> ThreadId {
        self.thread
    }

    /// The slot that its author claims.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// What was sealed, once its author is certain. `author` is the device key of the slot in the
    /// thread, as membership there has it.
    ///
    /// # Errors
    /// [`VerifyError::BadSignature`] unless that device sealed it for this one,
    /// [`VerifyError::Malformed`] if it did and the content does not follow its layout.
    pub fn verify(&self, author: &[u8; 32]) -> Result<Content, VerifyError> {
        let (unsigned, sig) = split(&self.payload)?;
        let input = self.to.signature_input(self.thread, self.slot, unsigned);
        if !crypto::verify(author, Domain::Direct, &input, sig) {
            return Err(VerifyError::BadSignature);
        }
        let mut r = Reader::new(&self.plaintext);
        r.take(PLACE_BYTES)?;
        Ok(Content::decode(r.rest())?)
    }
}

fn split(payload: &[u8]) -> Result<(&[u8], &[u8; SIG_BYTES]), Malformed> {
    payload
        .split_last_chunk::<SIG_BYTES>()
        .ok_or(Malformed("too short"))
}

#[cfg(test)]
mod tests;
