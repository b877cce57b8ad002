//! Signed heads: acknowledgement, vote and transferable evidence in one.
//!
//! Body: `counter 4 | slot 4 | seq 4 | chain 32 | node 16 | hlc 8 | form 1 | RANGES | BLOBS
//! | n varint, n x kid 4`. Form 0 says that `open` is in full; a delta form will have another number.
//! RANGES names content logs only. Kids are strictly ascending.
//!
//! `counter` is the number in the log of heads, so a newer head of the slot has a higher one.

use crate::blobs::Blobs;
use crate::codec::{Malformed, Reader, Writer};
use crate::id::{Kid, NodeId, Seq, Slot};
use crate::limits;
use crate::ranges::{Log, Ranges};
use crate::time::Hlc;
use std::collections::BTreeSet;

const FULL: u8 = 0;

/// One signed head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// From 1; a later head of this slot has a higher one.
    pub counter: u32,
    /// Author's slot: the one the object stands in.
    pub slot: Slot,
    /// Last own content entry; 0 before the first.
    pub seq: Seq,
    /// Chain at `seq`.
    pub chain: [u8; 32],
    /// Node the author votes for.
    pub node: NodeId,
    /// Author's clock.
    pub hlc: Hlc,
    /// Entries it can open, content logs only.
    pub open: Ranges,
    /// Chunks it holds of recent blobs, at most [`limits::OBJECTS_PER_HEAD`] objects.
    pub blobs: Blobs,
    /// Control keys it holds, strictly ascending.
    pub kids: Vec<Kid>,
}

impl Head {
    pub(super) fn write(&self, w: &mut Writer) {
        w.u32(self.counter)
            .put(&self.slot.0)
            .u32(self.seq)
            .put(&self.chain)
            .put(&self.node.0)
            .u64(self.hlc.0)
            .u8(FULL);
        self.open.write(w);
        self.blobs.write(w);
        w.count(self.kids.len());
        for kid in &self.kids {
            w.put(&kid.0);
        }
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Head, Malformed> {
        let counter = r.u32()?;
        if counter == 0 {
            return Err(Malformed("head counters start at 1"));
        }
        let (slot, seq, chain) = (Slot(r.array()?), r.u32()?, r.array()?);
        let (node, hlc) = (NodeId(r.array()?), Hlc(r.u64()?));
        if r.u8()? != FULL {
            return Err(Malformed("unknown form of a head"));
        }
        let open = Ranges::read(r)?;
        if open.0.keys().any(|(_, log)| *log != Log::Content) {
            return Err(Malformed("a head opens content only"));
        }
        let blobs = Blobs::read(r)?;
        let objects: BTreeSet<_> = blobs.0.keys().map(|(object, _)| object).collect();
        if objects.len() > limits::OBJECTS_PER_HEAD {
            return Err(Malformed("too many objects in a head"));
        }
        let mut kids = Vec::new();
        for _ in 0..r.count(limits::CONTROL_KEYS)? {
            let kid = Kid(r.array()?);
            if kids.last().is_some_and(|last| *last >= kid) {
                return Err(Malformed("kids not sorted"));
            }
            kids.push(kid);
        }
        Ok(Head {
            counter,
            slot,
            seq,
            chain,
            node,
            hlc,
            open,
            blobs,
            kids,
        })
    }
}
