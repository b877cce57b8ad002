//! Entries from elsewhere: opened with the keys of their node, checked against their author's
//! slot, chain and signed heads, stored with the changed keys in one batch.
//!
//! * An entry in its own seal is authentic by the MLS signature of its author's leaf.
//! * A rewrap is sealed by another member. It is stored, but counts as open only when the chain
//!   over all entries of its slot reaches a signed head of its author. One that came by a direct seal
//!   ([`direct`](super::direct)) has no envelope that others could open: it is in `open`, not in `have`.
//! * Two different authentic entries at one place are an equivocation: the first stays, the second
//!   is kept as evidence, both are told.

use super::parked::Waiting;
use super::proof::Proof;
use super::{EntryMeta, Item, ItemKey, REWRAP, Thread};
use crate::codec::{Malformed, Reader, Writer};
use crate::entry::{Entry, Kind, chain_next, entry_hash};
use crate::envelope::{Class, Envelope};
use crate::group::mls::{OpenError, Opened, SealPlace};
use crate::id::{Dev, MsgId, NodeId, Seq, Slot};
use crate::limits;
use crate::machine::command::EntryRef;
use crate::machine::ctx::Ctx;
use crate::machine::event::Event;
use crate::ranges::Log;
use crate::store::table;
use crate::time::Hlc;
use bytes::Bytes;

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absorbed {
    /// Stored.
    New,
    /// Was here already, or can never be opened here.
    Useless,
    /// Waits for a key or an author.
    Parked,
    /// Broke a rule; charged to the peer that brought it.
    Junk(&'static str),
}

const ROW_VERSION: u8 = 1;
const ROW_REWRAPPED: u8 = 1;
const ROW_UNVERIFIED: u8 = 2;
const ROW_PROOF: u8 = 4;

/// Flag of a payload: a rewrap.
pub(crate) const PF_REWRAP: u8 = 1;

/// Row of an opened entry: its meta and its bytes.
pub(crate) fn entry_row(meta: &EntryMeta, encoded: &[u8]) -> Bytes {
    let mut w = Writer::new();
    let flags = (u8::from(meta.rewrapped) * ROW_REWRAPPED)
        | (u8::from(!meta.verified) * ROW_UNVERIFIED)
        | (u8::from(meta.proof.is_some()) * ROW_PROOF);
    w.u8(ROW_VERSION)
        .u8(flags)
        .u8(meta.class as u8)
        .put(&meta.node.0)
        .u48(meta.stored_ms);
    if let Some(proof) = &meta.proof {
        proof.write(&mut w);
    }
    w.put(encoded);
    w.finish()
}

/// Reads [`entry_row`].
pub(crate) fn read_entry_row(row: &Bytes) -> Result<(EntryMeta, Bytes), Malformed> {
    let mut r = Reader::new(row);
    if r.u8()? != ROW_VERSION {
        return Err(Malformed("unknown version of an entry row"));
    }
    let (flags, class) = (r.u8()?, Class::from_u8(r.u8()?)?);
    let (node, stored_ms) = (NodeId(r.array()?), r.u48()?);
    let proof = match flags & ROW_PROOF != 0 {
        true => Some(Proof::read(&mut r)?),
        false => None,
    };
    let encoded = row.slice(r.position()..);
    let mut meta = meta_of(&encoded, class, node, stored_ms);
    meta.rewrapped = flags & ROW_REWRAPPED != 0;
    meta.verified = flags & ROW_UNVERIFIED == 0;
    meta.proof = proof;
    Ok((meta, encoded))
}

/// Meta of an entry's bytes. Bytes of an unknown layout are kept as an entry of kind 0.
pub(crate) fn meta_of(encoded: &Bytes, class: Class, node: NodeId, stored_ms: u64) -> EntryMeta {
    let entry = Entry::decode(encoded).ok();
    EntryMeta {
        kind: entry.as_ref().map_or(Kind::Unknown(0), |e| e.kind),
        class,
        node,
        hash: entry_hash(encoded),
        prev8: entry.as_ref().map_or([0; 8], |e| e.prev8),
        hlc: entry.as_ref().map_or(Hlc::default(), |e| e.hlc),
        rewrapped: false,
        verified: true,
        proof: None,
        stored_ms,
    }
}

impl Thread {
    /// Takes a content envelope.
    pub(super) fn absorb_content(
        &mut self,
        ctx: &mut Ctx<'_>,
        envelope: &Envelope,
        (slot, seq): (Slot, Seq),
        bytes: &Bytes,
    ) -> Absorbed {
        let id = MsgId::of(bytes);
        let known = |column| self.items.get(&(column, slot, seq)).is_some_and(|i| i.id == id);
        if known(Log::Content as u8) || known(REWRAP) {
            return Absorbed::Useless;
        }
        let key: ItemKey = (Log::Content as u8, slot, seq);
        let Some(tag) = envelope.payload.get(..4) else {
            return Absorbed::Junk("content payload too short");
        };
        if self.me(ctx.dev()).is_some_and(|(mine, _)| mine == slot) {
            // nobody tells a device what it writes in its present life
            return Absorbed::Useless;
        }
        if !self.slots.contains_key(&slot) {
            self.parked.park(
                key,
                id,
                Waiting {
                    envelope: envelope.clone(),
                    bytes: bytes.clone(),
                },
            );
            return Absorbed::Parked;
        }
        let candidates: Vec<NodeId> = self.nodes.keys().filter(|n| n.0[..4] == *tag).copied().collect();
        if candidates.is_empty() {
            if self.knows_node(tag) {
                return self.has_no_key(ctx, (slot, seq), tag);
            }
            self.parked.park(
                key,
                id,
                Waiting {
                    envelope: envelope.clone(),
                    bytes: bytes.clone(),
                },
            );
            return Absorbed::Parked;
        }
        let mut verdict = Absorbed::Junk("content does not open");
        for node in candidates {
            let place = SealPlace {
                class: envelope.class,
                slot,
                seq,
                node,
            };
            let state = self.nodes.get_mut(&node).expect("candidates are held");
            match state.open(ctx.crypto, &place, &envelope.payload) {
                Ok(opened) => {
                    state.save(self.id, node, &mut ctx.tx.batch);
                    return self.take_opened(ctx, envelope, &place, opened, bytes);
                }
                Err(OpenError::OwnMessage) => verdict = Absorbed::Useless,
                Err(OpenError::Gone | OpenError::Ahead) => {
                    self.lost_key(ctx, EntryRef { slot, seq });
                    verdict = Absorbed::Useless;
                }
                Err(_) => {}
            }
        }
        verdict
    }

    /// A commit with this node tag is known, though its keys are not here.
    fn knows_node(&self, tag: &[u8]) -> bool {
        self.commits.keys().chain([&self.root]).any(|n| n.0[..4] == *tag)
    }

    /// Sealed before this device joined, after it was removed, or on a node that was dropped since: a
    /// rewrap may come. What was meant for it is asked for.
    fn has_no_key(&mut self, ctx: &Ctx<'_>, (slot, seq): (Slot, Seq), tag: &[u8]) -> Absorbed {
        self.note_unreadable(slot, seq);
        if self.is_mine_to_read(ctx.dev(), tag) {
            self.lost_key(ctx, EntryRef { slot, seq });
        }
        Absorbed::Useless
    }

    /// What is sealed on the node with this tag is meant for this life of the device too.
    fn is_mine_to_read(&self, dev: Dev, tag: &[u8]) -> bool {
        let of_tag = self.rosters.iter().filter(|(node, _)| node.0[..4] == *tag);
        let mine = self.me(dev).map(|(_, inc)| inc);
        of_tag
            .into_iter()
            .any(|(_, roster)| roster.get(&dev).copied() == mine && mine.is_some())
    }

    fn take_opened(
        &mut self,
        ctx: &mut Ctx<'_>,
        envelope: &Envelope,
        place: &SealPlace,
        opened: Opened,
        bytes: &Bytes,
    ) -> Absorbed {
        let entry_ref = EntryRef {
            slot: place.slot,
            seq: place.seq,
        };
        let rewrap = opened.pf & PF_REWRAP != 0;
        let plaintext = Bytes::from(opened.plaintext);
        let (proof, encoded) = if rewrap {
            let cover = |signed: &Bytes| self.cover_of(place.slot, signed);
            match Proof::of_rewrap(&plaintext, cover) {
                Ok((proof, _)) if !proof.covers(place.seq) => {
                    return Absorbed::Junk("head before the entry that it should prove");
                }
                Ok((proof, encoded)) => (Some(proof), encoded),
                Err(_) => return Absorbed::Junk("rewrap does not parse"),
            }
        } else {
            if self
                .slots
                .get(&place.slot)
                .is_none_or(|a| a.key != opened.sender_key)
            {
                return Absorbed::Junk("entry in another device's slot");
            }
            (None, plaintext)
        };
        let mut meta = meta_of(&encoded, envelope.class, place.node, ctx.now.wall.0);
        meta.rewrapped = rewrap;
        meta.verified = !rewrap;
        meta.proof = proof;
        if let Some(old) = self.entries.get(&entry_ref) {
            return self.second_at(ctx, entry_ref, old.clone(), meta, encoded, (envelope, bytes));
        }
        if rewrap && self.unproven_of(entry_ref.slot).count() >= limits::UNPROVEN_PER_SLOT {
            return Absorbed::Useless;
        }
        self.keep_envelope(ctx, envelope, entry_ref, rewrap, bytes);
        self.keep_entry(ctx, entry_ref, meta, &encoded);
        Absorbed::New
    }

    /// An envelope of the entry at this place is stored, its author's or another member's.
    fn has_envelope(&self, at: EntryRef) -> bool {
        let stored = |column| self.items.contains_key(&(column, at.slot, at.seq));
        stored(Log::Content as u8) || stored(REWRAP)
    }

    fn keep_envelope(
        &mut self,
        ctx: &mut Ctx<'_>,
        envelope: &Envelope,
        at: EntryRef,
        rewrap: bool,
        bytes: &Bytes,
    ) {
        let column = if rewrap { REWRAP } else { Log::Content as u8 };
        ctx.batch()
            .put(table::envelope(self.id, at.slot, column, at.seq), bytes.clone());
        let item = Item {
            id: MsgId::of(bytes),
            handle: envelope.handle,
            class: envelope.class,
        };
        self.items.insert((column, at.slot, at.seq), item);
        self.have.insert(at.slot, Log::Content, at.seq);
        ctx.offer(self.id);
    }

    /// Stores an opened entry; a verified one counts as open.
    pub(super) fn keep_entry(&mut self, ctx: &mut Ctx<'_>, at: EntryRef, meta: EntryMeta, encoded: &Bytes) {
        ctx.batch()
            .put(table::entry(self.id, at.slot, at.seq), entry_row(&meta, encoded));
        let verified = meta.verified;
        self.entries.insert(at, meta);
        match verified {
            true => self.unproven.remove(&at),
            false => self.unproven.insert(at),
        };
        self.anchor(ctx, at.slot);
        if verified {
            self.now_open(ctx, at, encoded);
        }
        self.verify_rewraps(ctx, at.slot);
    }

    /// An entry became open: it is told, and what it says takes effect.
    fn now_open(&mut self, ctx: &mut Ctx<'_>, at: EntryRef, encoded: &Bytes) {
        self.open.insert(at.slot, Log::Content, at.seq);
        self.advance_chain(ctx, at.slot);
        self.due_head(ctx);
        let Some(author) = self.slots.get(&at.slot).map(|a| a.dev) else {
            return;
        };
        let meta = &self.entries[&at];
        let (clock, suspect) = ctx.hlc.observe(meta.hlc, ctx.now.wall);
        *ctx.hlc = match ctx.flaws.clock_of_others_followed {
            true => clock.max(meta.hlc),
            false => clock,
        };
        let (kind, rewrapped) = (meta.kind, meta.rewrapped);
        if author != ctx.dev() && kind != Kind::CtlKeys {
            let thread = self.id;
            let entry = at;
            ctx.event(Event::Arrived {
                thread,
                entry,
                kind,
                author,
                rewrapped,
                clock_suspect: suspect,
            });
        }
        self.apply_body(ctx, at, author, encoded);
    }

    /// A second authentic entry, or another seal of the same, at a place that is taken.
    fn second_at(
        &mut self,
        ctx: &mut Ctx<'_>,
        at: EntryRef,
        old: EntryMeta,
        new: EntryMeta,
        encoded: Bytes,
        (envelope, bytes): (&Envelope, &Bytes),
    ) -> Absorbed {
        if self.is_only_told(at.slot, &old) {
            return self.sealed_after_told(ctx, at, (old, new), &encoded, (envelope, bytes));
        }
        if old.hash == new.hash {
            if !self.has_envelope(at) && (old.verified || new.verified) {
                // it came by a direct seal: from here on this device can hand it on like others
                self.keep_envelope(ctx, envelope, at, new.rewrapped, bytes);
            }
            if old.verified {
                return Absorbed::Useless;
            }
            if new.verified {
                // the author's own seal arrived after a rewrap: it needs no head
                let meta = EntryMeta {
                    verified: true,
                    proof: None,
                    ..old
                };
                ctx.batch()
                    .put(table::entry(self.id, at.slot, at.seq), entry_row(&meta, &encoded));
                self.entries.insert(at, meta);
                self.unproven.remove(&at);
                self.now_open(ctx, at, &encoded);
                self.verify_rewraps(ctx, at.slot);
                return Absorbed::Useless;
            }
        }
        if self.is_unsealed_own(at.slot, old.node) {
            // a restored store gave the number again: what was sealed under it comes once that moved
            return Absorbed::Useless;
        }
        if !new.verified && old.verified {
            return Absorbed::Junk("rewrap differs from the entry");
        }
        if !new.verified {
            // one of two that hand it on may lie, or lack a hash: the one that is proven stays
            if !self.would_prove(at, &new) {
                return Absorbed::Useless;
            }
            self.keep_envelope(ctx, envelope, at, true, bytes);
            self.keep_entry(ctx, at, new, &encoded);
            return Absorbed::New;
        }
        if !old.verified {
            // what another member rewrapped was not what the author wrote
            self.drop_rewrap(ctx, at);
            self.keep_envelope(ctx, envelope, at, false, bytes);
            self.keep_entry(ctx, at, new, &encoded);
            return Absorbed::New;
        }
        self.equivocation(ctx, at.slot, at.seq, bytes);
        Absorbed::Useless
    }

    /// What stands in its author's log at the place of an alarm that the author told before.
    fn sealed_after_told(
        &mut self,
        ctx: &mut Ctx<'_>,
        at: EntryRef,
        (old, new): (EntryMeta, EntryMeta),
        encoded: &Bytes,
        (envelope, bytes): (&Envelope, &Bytes),
    ) -> Absorbed {
        let rewrap = new.rewrapped;
        if old.hash == new.hash {
            self.keep_envelope(ctx, envelope, at, rewrap, bytes);
            self.sealed_since(ctx, at, new, encoded);
            return Absorbed::New;
        }
        if !new.verified && !self.would_prove(at, &new) {
            return Absorbed::Useless;
        }
        self.equivocation(ctx, at.slot, at.seq, bytes);
        self.keep_envelope(ctx, envelope, at, rewrap, bytes);
        self.keep_entry(ctx, at, new, encoded);
        Absorbed::New
    }

    /// An alarm that its author told was sealed since: shown and signed for already, it is from here on an
    /// entry like others.
    pub(super) fn sealed_since(
        &mut self,
        ctx: &mut Ctx<'_>,
        at: EntryRef,
        sealed: EntryMeta,
        encoded: &Bytes,
    ) {
        let meta = EntryMeta {
            verified: true,
            proof: None,
            ..sealed
        };
        let key = table::entry(self.id, at.slot, at.seq);
        ctx.batch().put(key, entry_row(&meta, encoded));
        self.entries.insert(at, meta);
        self.anchor(ctx, at.slot);
        self.advance_chain(ctx, at.slot);
        self.verify_rewraps(ctx, at.slot);
    }

    /// Keeps the second object and tells of both. Once per slot: one is proof enough, and its author
    /// could make any number.
    pub(super) fn equivocation(&mut self, ctx: &mut Ctx<'_>, slot: Slot, seq: Seq, bytes: &Bytes) {
        if self.disputed.insert(slot) {
            let key = table::second(self.id, MsgId::of(bytes));
            ctx.batch().put(key, bytes.clone());
            ctx.event(Event::Equivocation {
                thread: self.id,
                slot,
                seq,
            });
        }
    }

    /// Moves the authenticated chain of a slot over all open and sealed entries that follow it.
    pub(super) fn advance_chain(&mut self, ctx: &mut Ctx<'_>, slot: Slot) {
        let (mut at, mut chain) = self.chains.get(&slot).copied().unwrap_or_default();
        while let Some(meta) = at
            .checked_add(1)
            .and_then(|seq| self.entries.get(&EntryRef { slot, seq }))
        {
            if !meta.verified || meta.node == NodeId::default() {
                break;
            }
            if meta.kind != Kind::Unknown(0) && meta.prev8 != chain[..8] && self.disputed.insert(slot) {
                ctx.event(Event::Equivocation {
                    thread: self.id,
                    slot,
                    seq: at + 1,
                });
            }
            chain = chain_next(&chain, &meta.hash);
            at += 1;
        }
        self.chains.insert(slot, (at, chain));
    }

    /// An entry that its author's signed head proves is open.
    pub(super) fn verified_now(&mut self, ctx: &mut Ctx<'_>, at: EntryRef, proof: Proof) {
        let key = table::entry(self.id, at.slot, at.seq);
        let Ok(Some(row)) = ctx.tx.get(ctx.store, &key) else {
            return;
        };
        let Ok((mut meta, encoded)) = read_entry_row(&row) else {
            return;
        };
        meta.verified = true;
        meta.proof = Some(proof);
        ctx.batch().put(key, entry_row(&meta, &encoded));
        self.entries.insert(at, meta);
        self.unproven.remove(&at);
        self.now_open(ctx, at, &encoded);
    }

    pub(super) fn drop_rewrap(&mut self, ctx: &mut Ctx<'_>, at: EntryRef) {
        self.entries.remove(&at);
        self.unproven.remove(&at);
        self.items.remove(&(REWRAP, at.slot, at.seq));
        ctx.batch().delete(table::entry(self.id, at.slot, at.seq));
        ctx.batch().delete(table::rewrap(self.id, at.slot, at.seq));
        self.have.remove(at.slot, Log::Content, at.seq);
    }
}
