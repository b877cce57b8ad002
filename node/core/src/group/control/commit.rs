//! Commits: an MLS commit with a header that says, readable on every branch, which ops it carries out.
//!
//! Body: `parent 16 | author slot 4 | mk 1 (1 member, 2 external, 3 refound) | na varint, na x op id 16
//! | nr varint, nr x op id 16 | SHA-256(body) 32 | body`. Both lists are strictly ascending. `body` is
//! the MLS bytes with each key package replaced by its hash; it is opaque here.

use crate::codec::{Malformed, Reader, Writer};
use crate::id::{NodeId, OpId, Slot};
use crate::limits;
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// How a commit was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MadeBy {
    /// By a member of the parent.
    Member = 1,
    /// From outside (external commit).
    External = 2,
    /// With a new group.
    Refound = 3,
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
    /// Add and Rejoin ops it carries out, strictly ascending.
    pub adds: Vec<OpId>,
    /// Remove ops it names, strictly ascending.
    pub removes: Vec<OpId>,
    /// MLS bytes, key packages replaced.
    pub body: Bytes,
}

impl Commit {
    pub(super) fn write(&self, w: &mut Writer) {
        w.put(&self.parent.0).put(&self.author.0).u8(self.made_by as u8);
        write_ids(w, &self.adds);
        write_ids(w, &self.removes);
        w.put(&Sha256::digest(&self.body)).put(&self.body);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Commit, Malformed> {
        let (parent, author) = (NodeId(r.array()?), Slot(r.array()?));
        let made_by = match r.u8()? {
            1 => MadeBy::Member,
            2 => MadeBy::External,
            3 => MadeBy::Refound,
            _ => return Err(Malformed("unknown kind of commit")),
        };
        let (adds, removes) = (read_ids(r)?, read_ids(r)?);
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
