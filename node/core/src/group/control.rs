//! Control objects: what members say on the control plane, signed, readable on every branch.
//!
//! Plaintext `kind 1 | body | sig 64`; the signature is over `domain of the kind 16 || thread 16
//! || slot 4 || kind 1 || body`. Thread and slot are signed because a member of two threads could else
//! seal an object of one again in the other, or in another slot, under its author's good signature.
//! A genesis makes the thread, so there both are zero: its hash is the thread, which with the
//! founder's key gives the slot.
//!
//! Kinds: 1 [`Op`], 2 [`Commit`], 3 [`Head`], 4 key package (body: the MLS bytes, at most
//! [`limits::KEY_PACKAGE_BYTES`], in the log of the device that adds), 5 [`Genesis`] (number 1 of the
//! founder's control log). Bodies are laid out in their modules.
//!
//! [`Verified`] can only be made by checking a signature; [`peek`] is for the two kinds that
//! introduce keys.

mod commit;
mod genesis;
mod head;
mod op;

pub use commit::{Commit, MadeBy};
pub use genesis::{Genesis, History};
pub use head::Head;
pub use op::{Act, Op, Past, Why};

use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::{self, Domain, KeyPair, SIG_BYTES};
use crate::id::{OpId, Slot, ThreadId};
use crate::limits;
use bytes::Bytes;

/// The five kinds by wire number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Kind {
    Op = 1,
    Commit = 2,
    Head = 3,
    KeyPackage = 4,
    Genesis = 5,
}

impl Kind {
    fn from_u8(n: u8) -> Result<Kind, Malformed> {
        Ok(match n {
            1 => Kind::Op,
            2 => Kind::Commit,
            3 => Kind::Head,
            4 => Kind::KeyPackage,
            5 => Kind::Genesis,
            _ => return Err(Malformed("unknown control kind")),
        })
    }

    fn domain(self) -> Domain {
        match self {
            Kind::Op => Domain::Op,
            Kind::Commit => Domain::Commit,
            Kind::Head => Domain::Head,
            Kind::KeyPackage => Domain::KeyPackage,
            Kind::Genesis => Domain::Genesis,
        }
    }
}

/// A control object by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A change of membership.
    Op(Op),
    /// A commit of MLS with the ops it carries out.
    Commit(Commit),
    /// A signed head.
    Head(Head),
    /// An MLS key package that an Add or Rejoin names by [`key_package_hash`].
    KeyPackage(Bytes),
    /// The beginning of a thread.
    Genesis(Box<Genesis>),
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Object::Op(_) => Kind::Op,
            Object::Commit(_) => Kind::Commit,
            Object::Head(_) => Kind::Head,
            Object::KeyPackage(_) => Kind::KeyPackage,
            Object::Genesis(_) => Kind::Genesis,
        }
    }

    /// The slot that the body itself names, which must be the author's.
    fn named_slot(&self) -> Option<Slot> {
        match self {
            Object::Commit(commit) => Some(commit.author),
            Object::Head(head) => Some(head.slot),
            Object::Op(_) | Object::KeyPackage(_) | Object::Genesis(_) => None,
        }
    }

    fn unsigned(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(self.kind() as u8);
        match self {
            Object::Op(op) => op.write(&mut w),
            Object::Commit(commit) => commit.write(&mut w),
            Object::Head(head) => head.write(&mut w),
            Object::KeyPackage(bytes) => {
                w.put(bytes);
            }
            Object::Genesis(genesis) => genesis.write(&mut w),
        }
        w.0
    }
}

/// `BLAKE3(key package)`, as an op names it.
pub fn key_package_hash(key_package: &[u8]) -> [u8; 32] {
    *blake3::hash(key_package).as_bytes()
}

/// Why a plaintext is not an authentic object of this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The bytes do not follow the layout.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The signature does not fit key, thread, slot and bytes.
    #[error("signature is wrong")]
    BadSignature,
    /// The object names another slot than the one it stands in.
    #[error("object names another slot")]
    WrongSlot,
    /// A genesis of another thread.
    #[error("genesis of another thread")]
    WrongThread,
}

/// Reads an object without checking its signature. Nothing may be believed of it but what it
/// introduces: the key in a genesis, the bytes of a key package, which have their own hash.
pub fn peek(plaintext: &[u8]) -> Result<Object, Malformed> {
    split(plaintext).map(|(object, ..)| object)
}

fn split(plaintext: &[u8]) -> Result<(Object, &[u8], [u8; SIG_BYTES]), Malformed> {
    if plaintext.len() > limits::CONTROL_BYTES {
        return Err(Malformed("control object over the limit"));
    }
    let (unsigned, sig) = plaintext
        .split_last_chunk::<SIG_BYTES>()
        .ok_or(Malformed("too short"))?;
    let mut r = Reader::new(unsigned);
    let object = match Kind::from_u8(r.u8()?)? {
        Kind::Op => Object::Op(Op::read(&mut r)?),
        Kind::Commit => Object::Commit(Commit::read(&mut r)?),
        Kind::Head => Object::Head(Head::read(&mut r)?),
        Kind::KeyPackage => {
            let bytes = r.rest();
            if bytes.is_empty() || bytes.len() > limits::KEY_PACKAGE_BYTES {
                return Err(Malformed("key package over the limit"));
            }
            Object::KeyPackage(Bytes::copy_from_slice(bytes))
        }
        Kind::Genesis => Object::Genesis(Box::new(Genesis::read(&mut r)?)),
    };
    r.end()?;
    Ok((object, unsigned, *sig))
}

/// Signs an object for its place and returns its plaintext. A genesis ignores `thread` and `slot`.
/// `Err` if the object breaks a rule of its layout, so that nothing is ever signed which
/// others would refuse.
pub fn sign(object: &Object, thread: ThreadId, slot: Slot, author: &KeyPair) -> Result<Vec<u8>, Malformed> {
    let mut plaintext = object.unsigned();
    let kind = object.kind();
    let sig = author.sign(kind.domain(), &signature_input(kind, thread, slot, &plaintext));
    plaintext.extend_from_slice(&sig);
    if peek(&plaintext)? != *object {
        return Err(Malformed("object does not survive its layout"));
    }
    if object.named_slot().is_some_and(|named| named != slot) {
        return Err(Malformed("object names another slot"));
    }
    Ok(plaintext)
}

fn signature_input(kind: Kind, thread: ThreadId, slot: Slot, unsigned: &[u8]) -> Vec<u8> {
    let (thread, slot) = match kind {
        Kind::Genesis => (ThreadId::default(), Slot::default()),
        Kind::Op | Kind::Commit | Kind::Head | Kind::KeyPackage => (thread, slot),
    };
    [&thread.0[..], &slot.0, unsigned].concat()
}

/// An object whose signature was checked against its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    id: OpId,
    thread: ThreadId,
    slot: Slot,
    author: [u8; 32],
    object: Object,
}

impl Verified {
    /// Checks that the owner of `device_key` said this in this slot of this thread.
    pub fn open(
        plaintext: &[u8],
        thread: ThreadId,
        slot: Slot,
        device_key: &[u8; 32],
    ) -> Result<Verified, ControlError> {
        let (object, unsigned, sig) = split(plaintext)?;
        let kind = object.kind();
        if object.named_slot().is_some_and(|named| named != slot) {
            return Err(ControlError::WrongSlot);
        }
        if let Object::Genesis(genesis) = &object {
            if ThreadId::of_genesis(plaintext) != thread {
                return Err(ControlError::WrongThread);
            }
            if Slot::of(thread, &genesis.founder.device_key, 1) != slot {
                return Err(ControlError::WrongSlot);
            }
            if genesis.founder.device_key != *device_key {
                return Err(ControlError::BadSignature);
            }
        }
        let input = signature_input(kind, thread, slot, unsigned);
        if !crypto::verify(device_key, kind.domain(), &input, &sig) {
            return Err(ControlError::BadSignature);
        }
        Ok(Verified {
            id: OpId::of(plaintext),
            thread,
            slot,
            author: *device_key,
            object,
        })
    }

    /// Opens a genesis by the key that it introduces. Whether that founder's certificate is believed is
    /// for the directory.
    pub fn genesis(plaintext: &[u8]) -> Result<Verified, ControlError> {
        let Object::Genesis(genesis) = peek(plaintext)? else {
            return Err(Malformed("not a genesis").into());
        };
        let key = genesis.founder.device_key;
        let thread = ThreadId::of_genesis(plaintext);
        Verified::open(plaintext, thread, Slot::of(thread, &key, 1), &key)
    }

    /// `BLAKE3("op" || plaintext)[..16]`.
    pub fn id(&self) -> OpId {
        self.id
    }

    /// The thread it was said in.
    pub fn thread(&self) -> ThreadId {
        self.thread
    }

    /// The author's slot.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The author's device key.
    pub fn author(&self) -> &[u8; 32] {
        &self.author
    }

    /// What was said.
    pub fn object(&self) -> &Object {
        &self.object
    }
}

#[cfg(test)]
mod tests;
