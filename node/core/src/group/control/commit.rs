//! Commits: an MLS commit with a header that says, readable on every branch, which ops it carries out.
//!
//! Body: `parent 16 | author slot 4 | mk 1 (1 founder, 2 external, 3 refound, 4 member) | na varint, na x
//! op id 16 | nr varint, nr x op id 16 | check of the key 32, if mk is 3 or 4 and nr is not 0 |
//! SHA-256(body) 32
//! | body`. Both lists are strictly ascending. `body` is the MLS bytes with each key package replaced by its
//! hash; it is opaque here.
//!
//! Kinds 3 and 4 are bound: the id of its node covers the header ([`Commit::node`]), so that the same MLS
//! bytes under another header make another node, and the header names the control key that it makes, so
//! that nobody can pass another one for it. Kind 1 came before; a founder's is still followed. The body
//! of kind 3 is a commit of a group that its author founded anew, which adds all others; nobody processes
//! it, they get a Welcome.

use crate::codec::{Malformed, Reader, Writer};
use crate::group::mls::node_id;
use crate::id::{NodeId, OpId, Slot};
use crate::limits;
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// How a commit was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MadeBy {
    /// By the founder, before headers were bound.
    Founder = 1,
    /// From outside (external commit).
    External = 2,
    /// With a new group.
    Refound = 3,
    /// By a member of the parent, bound to its header.
    Member = 4,
}

impl MadeBy {
    fn is_bound(self) -> bool {
        matches!(self, MadeBy::Member | MadeBy::Refound)
    }
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Node it is built on.
    pub parent: NodeId,
    /// Author's slot: the one the object stands in.
    pub author: Slot,
    /// How it was made.
    pub made_by: MadeBy,
    /// Add, Rejoin and Refound ops it carries out, strictly ascending.
    pub adds: Vec<OpId>,
    /// Remove ops it names, strictly ascending.
    pub removes: Vec<OpId>,
    /// Check of the control key that it makes ([`ControlKey::check`](crate::group::keys::ControlKey::check)):
    /// there if it is bound and names a removal.
    pub key: Option<[u8; 32]>,
    /// MLS bytes, key packages replaced.
    pub body: Bytes,
}

impl Commit {
    pub(super) fn write(&self, w: &mut Writer) {
        w.put(&self.parent.0).put(&self.author.0).u8(self.made_by as u8);
        write_ids(w, &self.adds);
        write_ids(w, &self.removes);
        if let Some(key) = &self.key {
            w.put(key);
        }
        w.put(&Sha256::digest(&self.body)).put(&self.body);
    }

    /// Id of the node that it makes with these full MLS bytes (N1).
    pub fn node(&self, mls: &[u8]) -> NodeId {
        if !self.made_by.is_bound() {
            return node_id(&self.parent, mls);
        }
        let mut w = Writer::new();
        w.put(b"bound").put(&self.author.0);
        write_ids(&mut w, &self.adds);
        write_ids(&mut w, &self.removes);
        w.put(&self.key.unwrap_or_default()).put(&Sha256::digest(mls));
        node_id(&self.parent, &w.finish())
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Commit, Malformed> {
        let (parent, author) = (NodeId(r.array()?), Slot(r.array()?));
        let made_by = match r.u8()? {
            1 => MadeBy::Founder,
            2 => MadeBy::External,
            3 => MadeBy::Refound,
            4 => MadeBy::Member,
            _ => return Err(Malformed("unknown kind of commit")),
        };
        let (adds, removes) = (read_ids(r)?, read_ids(r)?);
        let has_key = made_by.is_bound() && !removes.is_empty();
        let key = if has_key { Some(r.array()?) } else { None };
        let hash: [u8; 32] = r.array()?;
        let body = r.rest();
        if Sha256::digest(body).as_slice() != hash {
            return Err(Malformed("commit body does not fit its hash"));
        }
        Ok(Commit {
            parent,
            author,
            made_by,
            adds,
            removes,
            key,
            body: Bytes::copy_from_slice(body),
        })
    }
}

fn write_ids(w: &mut Writer, ids: &[OpId]) {
    w.count(ids.len());
    for id in ids {
        w.put(&id.0);
    }
}

fn read_ids(r: &mut Reader<'_>) -> Result<Vec<OpId>, Malformed> {
    let mut ids = Vec::new();
    for _ in 0..r.count(limits::OPS_PER_COMMIT)? {
        let id = OpId(r.array()?);
        if ids.last().is_some_and(|last| *last >= id) {
            return Err(Malformed("op ids not sorted"));
        }
        ids.push(id);
    }
    Ok(ids)
}
