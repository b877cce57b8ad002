//! What ties an entry to its author where another member handed it on.
//!
//! A rewrap carries the chain before its entry and the hashes of later entries that some of its readers
//! may not read. A receiver computes the chain from there over its own entries, and over those hashes where
//! it has none, up to a head that the author signed. The value reached binds every hash on the way,
//! so all rewraps in the computation are proven at once; another value proves that one of them lies.
//!
//! That head is the author's newest. Where entries that it counts were lost with their author's store,
//! nobody can reach it: then the rewrap carries the newest head that its maker reaches.

use super::content::{entry_row, read_entry_row};
use super::{EntryMeta, Thread};
use crate::codec::{Malformed, Reader, Writer};
use crate::entry::chain_next;
use crate::envelope::Envelope;
use crate::group::control::{Object, Verified};
use crate::id::{NodeId, Seq, Slot};
use crate::limits;
use crate::machine::command::EntryRef;
use crate::machine::ctx::Ctx;
use crate::ranges::Log;
use crate::store::table;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;

/// What a signed head says of its author's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    /// Number of the last entry that it counts.
    pub(crate) seq: Seq,
    chain: [u8; 32],
}

/// The chain before an entry, and hashes of the entries that follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    before: [u8; 32],
    following: Vec<[u8; 32]>,
    /// Signed by the author; `None`: its newest head.
    cover: Option<Cover>,
}

impl Proof {
    /// Row: `chain_{n-1} 32 | k varint, k x hash 32 | seq varint, 0 for none | chain 32 if not 0`.
    pub(super) fn write(&self, w: &mut Writer) {
        self.write_chain(w);
        w.varint(self.cover.map_or(0, |c| c.seq));
        if let Some(cover) = &self.cover {
            w.put(&cover.chain);
        }
    }

    /// Reads [`Proof::write`].
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Proof, Malformed> {
        let (before, following) = read_chain(r)?;
        let cover = match r.varint()? {
            0 => None,
            seq => Some(Cover {
                seq,
                chain: r.array()?,
            }),
        };
        Ok(Proof {
            before,
            following,
            cover,
        })
    }

    /// Start of a rewrap: `chain_{n-1} 32 | k varint, k x hash 32 | len varint, signed head`, then the
    /// entry. No signed head: the author's newest.
    pub(super) fn write_rewrap(&self, w: &mut Writer, signed: &[u8]) {
        self.write_chain(w);
        w.bytes(signed);
    }

    /// Splits the plaintext of a rewrap: the proof, then the entry. `cover_of` reads a signed head.
    pub(super) fn of_rewrap(
        plaintext: &Bytes,
        cover_of: impl Fn(&Bytes) -> Option<Cover>,
    ) -> Result<(Proof, Bytes), Malformed> {
        let mut r = Reader::new(plaintext);
        let (before, following) = read_chain(&mut r)?;
        let len = r.count(limits::CONTROL_BYTES)?;
        let from = r.position();
        r.take(len)?;
        let cover = match len {
            0 => None,
            _ => {
                let signed = plaintext.slice(from..from + len);
                Some(cover_of(&signed).ok_or(Malformed("no signed head of the author"))?)
            }
        };
        let proof = Proof {
            before,
            following,
            cover,
        };
        Ok((proof, plaintext.slice(r.position()..)))
    }

    fn write_chain(&self, w: &mut Writer) {
        w.put(&self.before).count(self.following.len());
        for hash in &self.following {
            w.put(hash);
        }
    }

    /// The head inside, if there is one, counts this entry.
    pub(super) fn covers(&self, seq: Seq) -> bool {
        self.cover.is_none_or(|cover| cover.seq >= seq)
    }

    /// Bytes that the later hashes add.
    pub(super) fn hashes_len(&self) -> usize {
        32 * self.following.len()
    }

    /// Of an entry that is proven: only the chain before it is of use.
    fn proven(before: [u8; 32]) -> Proof {
        Proof {
            before,
            following: Vec::new(),
            cover: None,
        }
    }
}

/// The plaintext of the shortest rewrap: proven by its author's newest head, no later hashes.
pub fn shortest_rewrap(before: [u8; 32], entry: &[u8]) -> Bytes {
    let mut w = Writer::new();
    Proof::proven(before).write_rewrap(&mut w, b"");
    w.put(entry);
    w.finish()
}

fn read_chain(r: &mut Reader<'_>) -> Result<([u8; 32], Vec<[u8; 32]>), Malformed> {
    let before = r.array()?;
    let k = r.count(limits::HASHES_PER_REWRAP)?;
    let following = (0..k).map(|_| r.array()).collect::<Result<_, _>>()?;
    Ok((before, following))
}

/// What a computation of the chain came to.
enum Outcome {
    /// The signed value; these rewraps were in it, each with the chain before it.
    Proven(Vec<(EntryRef, [u8; 32])>),
    /// Another value; so many rewraps were in it.
    Refuted(usize),
    /// An entry is missing.
    Unknown,
}

impl Thread {
    /// Proof for a rewrap of this entry, and the signed head that goes with it, empty for the newest;
    /// `None` if too little of its author's log is here. `reads`: what was sealed on the node may be read by
    /// all for whom the rewrap is.
    pub(super) fn proof_of(
        &self,
        ctx: &Ctx<'_>,
        at: EntryRef,
        reads: impl Fn(NodeId) -> bool,
    ) -> Option<(Proof, Bytes)> {
        let before = self.chain_before(at)?;
        let mut newest = match self.me(ctx.dev()).is_some_and(|(mine, _)| mine == at.slot) {
            true => self.open.get(at.slot, Log::Content)?.max(),
            false => self.heads.get(&at.slot)?.head.seq,
        };
        let mut signed = Bytes::new();
        if let Some((seq, head)) = self.reached.get(&at.slot)
            && (at.seq..=newest).contains(seq)
            && (*seq + 1..=newest).any(|seq| self.proven(EntryRef { slot: at.slot, seq }).is_none())
        {
            (newest, signed) = (*seq, head.clone());
        }
        // over what is held: an author may sign any number
        let to = EntryRef {
            slot: at.slot,
            seq: newest.max(at.seq),
        };
        let later = self.entries.range((Bound::Excluded(at), Bound::Included(to)));
        let known = later.filter(|(_, m)| m.verified && m.node != NodeId::default());
        let hole = known.rev().find(|(_, m)| !reads(m.node));
        let k = hole.map_or(0, |(last, _)| last.seq - at.seq);
        if k as usize > limits::HASHES_PER_REWRAP {
            return None;
        }
        let hash = |n| {
            let seq = at.seq + n;
            self.proven(EntryRef { slot: at.slot, seq }).map(|m| m.hash)
        };
        let following = (1..=k).map(hash);
        let proof = Proof {
            before,
            following: following.collect::<Option<_>>()?,
            cover: None,
        };
        Some((proof, signed))
    }

    /// Whether a member that lacks the entry can be shown that it is its author's: a signed head counts it,
    /// and everything up to that head is here.
    pub(crate) fn can_prove(&self, at: EntryRef) -> bool {
        let newest = self.heads.get(&at.slot).map(|h| h.head.seq);
        let reached = self.reached.get(&at.slot).map(|(seq, _)| *seq);
        let here = |seq| self.proven(EntryRef { slot: at.slot, seq }).is_some();
        let mut heads = newest.into_iter().chain(reached);
        heads.any(|to| to >= at.seq && (at.seq..=to).all(here))
    }

    /// A newer head is about to take the place of this slot's: if it is out of reach, the one that was
    /// reached stays, so that what was proven once can be proven to others.
    pub(super) fn keep_reached(&mut self, ctx: &mut Ctx<'_>, slot: Slot, newer: Seq) {
        let reach = self.chains.get(&slot).map_or(0, |(seq, _)| *seq);
        let Some(old) = self.heads.get(&slot).map(|h| &h.head) else {
            return;
        };
        if newer <= reach || old.seq == 0 || old.seq > reach {
            return;
        }
        let key = table::envelope(self.id, slot, Log::Heads as u8, old.counter);
        let (at, seq) = ((slot, Log::Heads, old.counter), old.seq);
        let row = ctx.get(&key).ok().flatten();
        let envelope = row.and_then(|row| Envelope::decode(&row).ok());
        let Some((signed, _)) = envelope.and_then(|e| self.ring.open(at, &e.payload)) else {
            return;
        };
        if signed.len() <= limits::COVER_BYTES {
            let signed = Bytes::from(signed);
            ctx.batch().put(table::reached(self.id, slot), signed.clone());
            self.reached.insert(slot, (seq, signed));
        }
    }

    /// What a head says that the author of this slot signed; `None` if it is none.
    pub(super) fn cover_of(&self, slot: Slot, signed: &Bytes) -> Option<Cover> {
        let author = self.slots.get(&slot)?;
        let verified = Verified::open(signed, self.id, slot, &author.key).ok()?;
        match verified.object() {
            Object::Head(head) if head.seq > 0 => Some(Cover {
                seq: head.seq,
                chain: head.chain,
            }),
            _ => None,
        }
    }

    /// An entry that was sealed, or that its author told alone: what waits here for an own seal may still
    /// change, in another life.
    fn sealed(&self, at: EntryRef) -> Option<&EntryMeta> {
        let entry = self.entries.get(&at);
        entry.filter(|m| !self.is_unsealed_own(at.slot, m.node))
    }

    /// A sealed entry that is known to be its author's.
    fn proven(&self, at: EntryRef) -> Option<&EntryMeta> {
        self.sealed(at).filter(|m| m.verified)
    }

    /// Chain over the author's entries before this one, from the nearest place where it is known.
    fn chain_before(&self, at: EntryRef) -> Option<[u8; 32]> {
        let mut between = Vec::new();
        let mut seq = at.seq;
        let start = loop {
            let meta = self.proven(EntryRef { slot: at.slot, seq });
            if let Some(proof) = meta.and_then(|m| m.proof.as_ref()) {
                break proof.before;
            }
            if seq == 1 {
                break [0; 32];
            }
            seq -= 1;
            between.push(self.proven(EntryRef { slot: at.slot, seq })?.hash);
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
        let earlier = seq == 0 || self.proven(EntryRef { slot, seq }).is_some();
        let Some(meta) = self.entries.get_mut(&at) else {
            return;
        };
        let waits = !meta.verified || meta.node == NodeId::default();
        if earlier || waits || meta.proof.is_some() {
            return;
        }
        meta.proof = Some(Proof::proven(before));
        let key = table::entry(self.id, slot, next);
        if let Ok(Some(row)) = ctx.tx.get(ctx.store, &key)
            && let Ok((_, encoded)) = read_entry_row(&row)
        {
            ctx.batch().put(key, entry_row(meta, &encoded));
        }
    }

    /// Rewraps of a slot that wait for their proof.
    pub(super) fn unproven_of(&self, slot: Slot) -> impl Iterator<Item = EntryRef> + '_ {
        let (from, to) = (EntryRef { slot, seq: 0 }, EntryRef { slot, seq: Seq::MAX });
        self.unproven.range(from..=to).copied()
    }

    /// Rewraps of a slot become open once the chain reaches a signed head of their author. If one
    /// alone makes it reach another value, it was not what the author wrote, and is dropped.
    pub(super) fn verify_rewraps(&mut self, ctx: &mut Ctx<'_>, slot: Slot) {
        let waiting: Vec<EntryRef> = self.unproven_of(slot).collect();
        // cheap: everything after it is here, or its own hashes reach to where everything is
        let mut gaps = BTreeMap::new();
        let ready = |at: &EntryRef| {
            let Some(meta) = self.entries.get(at) else {
                return false;
            };
            let Some(cover) = self.cover(*at, meta) else {
                return false;
            };
            let held = |seq: &Seq| self.sealed(EntryRef { slot, seq: *seq }).is_some();
            let find = || (1..=cover.seq).rev().find(|seq| !held(seq)).unwrap_or(0);
            let gap = *gaps.entry(cover.seq).or_insert_with(find);
            let reach = meta.proof.as_ref().map_or(0, |p| p.following.len() as Seq);
            at.seq <= cover.seq && at.seq.saturating_add(reach) >= gap
        };
        let waiting: Vec<EntryRef> = waiting.into_iter().filter(ready).collect();
        for at in &waiting {
            match self.compute(*at) {
                Outcome::Proven(rewraps) => self.all_verified(ctx, rewraps),
                Outcome::Refuted(_) => break,
                Outcome::Unknown => {}
            }
        }
        for at in waiting.into_iter().rev() {
            match self.compute(at) {
                Outcome::Proven(rewraps) => self.all_verified(ctx, rewraps),
                Outcome::Refuted(1) => self.drop_rewrap(ctx, at),
                Outcome::Refuted(_) | Outcome::Unknown => {}
            }
        }
    }

    fn all_verified(&mut self, ctx: &mut Ctx<'_>, rewraps: Vec<(EntryRef, [u8; 32])>) {
        for (at, before) in rewraps {
            self.verified_now(ctx, at, Proof::proven(before));
        }
    }

    /// Whether the place would be proven with this in it.
    pub(super) fn would_prove(&mut self, at: EntryRef, meta: &EntryMeta) -> bool {
        let Some(old) = self.entries.insert(at, meta.clone()) else {
            return false;
        };
        let outcome = self.compute(at);
        self.entries.insert(at, old);
        matches!(outcome, Outcome::Proven(_))
    }

    /// The signed head that an unproven entry has to come to.
    fn cover(&self, at: EntryRef, meta: &EntryMeta) -> Option<Cover> {
        let inside = meta.proof.as_ref().and_then(|p| p.cover);
        inside.or_else(|| {
            let head = &self.heads.get(&at.slot)?.head;
            let (seq, chain) = (head.seq, head.chain);
            Some(Cover { seq, chain })
        })
    }

    /// The chain from before a rewrap up to the head that covers it.
    fn compute(&self, at: EntryRef) -> Outcome {
        let slot = at.slot;
        let Some(meta) = self.entries.get(&at).filter(|m| !m.verified) else {
            return Outcome::Unknown;
        };
        let (Some(proof), Some(cover)) = (&meta.proof, self.cover(at, meta)) else {
            return Outcome::Unknown;
        };
        if cover.seq < at.seq {
            return Outcome::Unknown;
        }
        let mut chain = proof.before;
        let mut rewraps = Vec::new();
        for seq in at.seq..=cover.seq {
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
                        rewraps.push((place, chain));
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
        match chain == cover.chain {
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
            cover: None,
        };
        let mut w = Writer::new();
        proof.write_rewrap(&mut w, b"");
        w.put(b"entry");
        let bytes = w.finish();
        crate::golden::check("rewrap", &[("rewrap", &bytes)]);
        let read = Proof::of_rewrap(&bytes, |_| None).unwrap();
        assert_eq!(read, (proof, Bytes::from_static(b"entry")));
        assert!((0..bytes.len() - 5).all(|n| Proof::of_rewrap(&bytes.slice(..n), |_| None).is_err()));
        let mut many = bytes.to_vec();
        many[32] = 0x7f; // 127 hashes, of which two are here
        assert!(Proof::of_rewrap(&many.into(), |_| None).is_err());
    }
}
