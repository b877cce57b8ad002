//! The inbox item that brings a device into a thread.
//!
//! Layout: `v 1 (1) | node 16 | parent 16 | genesis hash 32 | slot 4 | len, Welcome | len, tree
//! | len, payload`. The payload is sealed on the child at slot `slot`, number 0, and holds
//! `CtlKeys` with every control key that the committer may pass on. The genesis hash is
//! `BLAKE3("thread" || genesis plaintext)`; its first 16 bytes are the thread.
//!
//! The tree is always inline here, so a group whose tree exceeds [`limits::TREE_INLINE_BYTES`]
//! cannot be joined this way.

use crate::codec::{Malformed, Reader, Writer};
use crate::id::{NodeId, Slot, ThreadId};
use crate::limits;
use bytes::Bytes;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The child that the joiner starts on.
    pub node: NodeId,
    /// Its parent.
    pub parent: NodeId,
    /// `BLAKE3("thread" || genesis plaintext)`.
    pub genesis_hash: [u8; 32],
    /// The committer's slot.
    pub slot: Slot,
    /// MLS Welcome.
    pub welcome: Bytes,
    /// Ratchet tree of the child.
    pub tree: Bytes,
    /// Sealed control keys.
    pub keys: Bytes,
}

const VERSION: u8 = 1;

impl Welcome {
    /// The thread that it leads into.
    pub fn thread(&self) -> ThreadId {
        ThreadId::from_prefix(&self.genesis_hash).expect("a hash is longer than an id")
    }

    /// The layout above.
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        w.u8(VERSION)
            .put(&self.node.0)
            .put(&self.parent.0)
            .put(&self.genesis_hash)
            .put(&self.slot.0);
        w.bytes(&self.welcome).bytes(&self.tree).bytes(&self.keys);
        w.finish()
    }

    /// Reads [`Welcome::encode`].
    pub fn decode(bytes: &Bytes) -> Result<Welcome, Malformed> {
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(Malformed("unknown version of a welcome"));
        }
        let (node, parent) = (NodeId(r.array()?), NodeId(r.array()?));
        let (genesis_hash, slot) = (r.array()?, Slot(r.array()?));
        let part = |r: &mut Reader<'_>, max| r.bytes(max).map(Bytes::copy_from_slice);
        let welcome = part(&mut r, limits::ENVELOPE_BYTES)?;
        let tree = part(&mut r, limits::TREE_INLINE_BYTES)?;
        let keys = part(&mut r, limits::ENVELOPE_BYTES)?;
        r.end()?;
        Ok(Welcome {
            node,
            parent,
            genesis_hash,
            slot,
            welcome,
            tree,
            keys,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn welcomes_round_trip_and_cut_ones_are_refused() {
        let part = Bytes::from_static(b"part");
        let welcome = Welcome {
            node: NodeId([1; 16]),
            parent: NodeId([2; 16]),
            genesis_hash: [3; 32],
            slot: Slot([4; 4]),
            welcome: part.clone(),
            tree: part.clone(),
            keys: part,
        };
        let bytes = welcome.encode();
        crate::golden::check("welcome", &[("welcome", &bytes)]);
        assert_eq!(Welcome::decode(&bytes), Ok(welcome));
        assert!((0..bytes.len()).all(|n| Welcome::decode(&bytes.slice(..n)).is_err()));
    }
}
