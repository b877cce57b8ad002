//! What ties an entry to its author where another member handed it on.
//!
//! A rewrap carries the chain before its entry and the hashes of later entries that some member may
//! not read. A receiver computes the chain from there over its own entries, and over those hashes where
//! it has none, up to the author's newest signed head. The value reached binds every hash on the way,
//! so all rewraps in the computation are proven at once; another value proves that one of them lies.

use super::content::{entry_row, read_entry_row};
use super::{EntryMeta, Thread};
use crate::codec::{Malformed, Reader, Writer};
use crate::entry::chain_next;
use crate::id::{NodeId, Seq, Slot};
use crate::limits;
use crate::machine::command::EntryRef;
use crate::machine::ctx::Ctx;
use crate::store::table;
use bytes::Bytes;

/// The chain before an entry, and hashes of the entries that follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    before: [u8; 32],
    following: Vec<[u8; 32]>,
}

impl Proof {
    /// `chain_{n-1} 32 | k varint, k x hash 32`.
    pub(super) fn write(&self, w: &mut Writer) {
        w.put(&self.before).count(self.following.len());
        for hash in &self.following {
            w.put(hash);
        }
    }

    /// Reads [`Proof::write`].
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Proof, Malformed> {
        let before = r.array()?;
        let k = r.count(limits::HASHES_PER_REWRAP)?;
        let following = (0..k).map(|_| r.array()).collect::<Result<_, _>>()?;
        Ok(Proof { before, following })
    }

    /// Splits the plaintext of a rewrap: the proof, then the entry.
    pub(super) fn of_rewrap(plaintext: &Bytes) -> Result<(Proof, Bytes), Malformed> {
        let mut r = Reader::new(plaintext);
        let proof = Proof::read(&mut r)?;
        Ok((proof, plaintext.slice(r.position()..)))
    }

    /// Bytes that the later hashes add.
    pub(super) fn hashes_len(&self) -> usize {
        32 * self.following.len()
    }

    /// The entry is proven: the later hashes have served.
    pub(super) fn done(&mut self) {
        self.following = Vec::new();
    }
}

/// What a computation of the chain came to.
enum Outcome {
    /// The signed value; these rewraps were in it.
    Proven(Vec<EntryRef>),
    /// Another value; so many rewraps were in it.
    Refuted(usize),
    /// An entry is missing.
    Unknown,
}

impl Thread {
    /// Proof for a rewrap of this entry; `None` if too little of its author's log is here.
    pub(super) fn proof_of(&self, ctx: &Ctx<'_>, at: EntryRef) -> Option<Proof> {
        let before = self.chain_before(at)?;
        let newest = match self.me(ctx.dev()).is_some_and(|(mine, _)| mine == at.slot) {
            true => self.open.get(at.slot, crate::ranges::Log::Content)?.max(),
            false => self.heads.get(&at.slot)?.head.seq,
        };
        let later = |seq| self.entries.get(&EntryRef { slot: at.slot, seq });
        let hole =
            |seq: &Seq| later(*seq).is_some_and(|m| m.node != NodeId::default() && !self.is_for_all(m.node));
        let last = (at.seq + 1..=newest).rev().find(hole).unwrap_or(at.seq);
        if (last - at.seq) as usize > limits::HASHES_PER_REWRAP {
            return None;
        }
        let following = (at.seq + 1..=last).map(|seq| later(seq).map(|m| m.hash));
        Some(Proof {
            before,
            following: following.collect::<Option<_>>()?,
        })
    }

    /// An entry that was sealed: its author may still change what was not, in another life.
    fn sealed(&self, at: EntryRef) -> Option<&EntryMeta> {
        self.entries.get(&at).filter(|m| m.node != NodeId::default())
    }

    /// Chain over the author's entries before this one, from the nearest place where it is known.
    fn chain_before(&self, at: EntryRef) -> Option<[u8; 32]> {
        let mut between = Vec::new();
        let mut seq = at.seq;
        let start = loop {
            let meta = self.sealed(EntryRef { slot: at.slot, seq });
            if let Some(proof) = meta.filter(|m| m.verified).and_then(|m| m.proof.as_ref()) {
                break proof.before;
            }
            if seq == 1 {
                break [0; 32];
            }
            seq -= 1;
            between.push(self.sealed(EntryRef { slot: at.slot, seq })?.hash);
        };
        Some(
            between
                .iter()
                .rev()
                .fold(start, |chain, hash| chain_next(&chain, hash)),
        )
    }

    /// The newest head tells the chain before the entry after it: kept where nothing earlier tells it.
    pub(super) fn anchor(&mut self, ctx: &mut Ctx<'_>, slot: Slot) {
        let Some((seq, before)) = self.heads.get(&slot).map(|h| (h.head.seq, h.head.chain)) else {
            return;
        };
        let Some(next) = seq.checked_add(1) else { return };
        let at = EntryRef { slot, seq: next };
        let earlier = seq == 0 || self.entries.contains_key(&EntryRef { slot, seq });
        let Some(meta) = self.entries.get_mut(&at) else {
            return;
        };
        if earlier || !meta.verified || meta.proof.is_some() {
            return;
        }
        let following = Vec::new();
        meta.proof = Some(Proof { before, following });
        let key = table::entry(self.id, slot, next);
        if let Ok(Some(row)) = ctx.tx.get(ctx.store, &key)
            && let Ok((_, encoded)) = read_entry_row(&row)
        {
            ctx.batch().put(key, entry_row(meta, &encoded));
        }
    }

    /// Rewraps of a slot become open once the chain reaches their author's newest signed head. If one
    /// alone makes it reach another value, it was not what the author wrote, and is dropped.
    pub(super) fn verify_rewraps(&mut self, ctx: &mut Ctx<'_>, slot: Slot) {
        let Some(newest) = self.heads.get(&slot).map(|h| h.head.seq) else {
            return;
        };
        let (from, to) = (EntryRef { slot, seq: 0 }, EntryRef { slot, seq: newest });
        let held = |seq: &Seq| self.sealed(EntryRef { slot, seq: *seq }).is_some();
        let gap = (1..=newest).rev().find(|seq| !held(seq)).unwrap_or(0);
        // cheap: everything after it is here, or its own hashes reach to where everything is
        let ready = |at: &EntryRef, proof: Option<&Proof>| {
            let reach = proof.map_or(0, |p| p.following.len() as Seq);
            at.seq.saturating_add(reach) >= gap
        };
        let waiting = self.entries.range(from..=to);
        let waiting = waiting.filter(|(at, m)| !m.verified && ready(at, m.proof.as_ref()));
        let waiting: Vec<EntryRef> = waiting.map(|(at, _)| *at).collect();
        for at in &waiting {
            match self.compute(*at, newest) {
                Outcome::Unknown => {}
                Outcome::Proven(rewraps) => {
                    rewraps.into_iter().for_each(|at| self.verified_now(ctx, at));
                    return;
                }
                Outcome::Refuted(_) => break,
            }
        }
        for at in waiting.into_iter().rev() {
            match self.compute(at, newest) {
                Outcome::Proven(rewraps) => rewraps.into_iter().for_each(|at| self.verified_now(ctx, at)),
                Outcome::Refuted(1) => self.drop_rewrap(ctx, at),
                Outcome::Refuted(_) | Outcome::Unknown => {}
            }
        }
    }

    /// The chain from before a rewrap up to its author's newest head.
    fn compute(&self, at: EntryRef, newest: Seq) -> Outcome {
        let (slot, head) = (at.slot, &self.heads[&at.slot].head);
        let Some(proof) = self.entries.get(&at).and_then(|m| m.proof.as_ref()) else {
            return Outcome::Unknown;
        };
        let mut chain = proof.before;
        let mut rewraps = Vec::new();
        for seq in at.seq..=newest {
            let place = EntryRef { slot, seq };
            let following = || {
                proof
                    .following
                    .get((seq - at.seq).checked_sub(1)? as usize)
                    .copied()
            };
            let hash = match self.sealed(place) {
                Some(meta) => {
                    if !meta.verified {
                        rewraps.push(place);
                    }
                    meta.hash
                }
                None => match following() {
                    Some(hash) => hash,
                    None => return Outcome::Unknown,
                },
            };
            chain = chain_next(&chain, &hash);
        }
        match chain == head.chain {
            true => Outcome::Proven(rewraps),
            false => Outcome::Refuted(rewraps.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrap_keeps_its_bytes_and_damage_is_refused() {
        let proof = Proof {
            before: [1; 32],
            following: vec![[2; 32], [3; 32]],
        };
        let mut w = Writer::new();
        proof.write(&mut w);
        w.put(b"entry");
        let bytes = w.finish();
        crate::golden::check("rewrap", &[("rewrap", &bytes)]);
        let read = Proof::of_rewrap(&bytes).unwrap();
        assert_eq!(read, (proof, Bytes::from_static(b"entry")));
        assert!((0..bytes.len() - 5).all(|n| Proof::of_rewrap(&bytes.slice(..n)).is_err()));
        let mut many = bytes.to_vec();
        many[32] = 0x7f; // 127 hashes, of which two are here
        assert!(Proof::of_rewrap(&many.into()).is_err());
    }
}
