//! What goes to one member alone, by a direct seal to its inbox ([`group::direct`](crate::group::direct)):
//! entries that it is owed and others in the newest node's roster may not read, and own alarms for which
//! this device holds no clean node.
//!
//! An alarm waits for nothing. While the gate is shut for want of keys it goes to each member that it
//! asks, and is sealed in its log on the next clean node. Who gets it shows it at once and signs for it.
//! It counts as authentic, since its author signed the item, and as not sealed yet: it gives way to what
//! the author seals at its place.
//!
//! An item holds rewraps of one class, proofs and all. The recipient stores the entries like those of
//! rewraps, unproven until the chain reaches a signed head of their author. It holds no envelope of
//! them that another could open, so they are in its `open` and not in its `have`. What it was told
//! besides is nobody's word but the maker's: the node decides only to whom the recipient hands the entry
//! on, and a maker that lies there could tell everybody himself.

use super::content::{meta_of, read_entry_row};
use super::proof::Proof;
use super::rewrap::Owed;
use super::{EntryMeta, Thread};
use crate::clinical::Body;
use crate::codec::Writer;
use crate::entry::{Entry, Kind};
use crate::envelope::{Class, Envelope, Place};
use crate::group::direct::{self, Claim, Content, HandedEntry, Recipient, Unsealed};
use crate::id::{Dev, NodeId, Seq, Slot};
use crate::limits;
use crate::machine::command::{CommandError, EntryRef};
use crate::machine::ctx::Ctx;
use crate::machine::event::Stopped;
use crate::store::table;
use bytes::Bytes;

impl Thread {
    /// An own item for the inbox of the author behind this slot lies here untaken.
    pub(super) fn is_unread(&self, ctx: &Ctx<'_>, slot: Slot) -> bool {
        let inbox = self.slots.get(&slot).map(|a| Recipient::of(&a.cert).inbox);
        inbox.is_some_and(|inbox| ctx.tx.unread.contains(&inbox))
    }

    /// Seals for the member what fits into one item of one class. Returns whether something is left.
    pub(super) fn hand_to_one(
        &mut self,
        ctx: &mut Ctx<'_>,
        slot: Slot,
        owed: Vec<Owed>,
    ) -> Result<bool, CommandError> {
        let Some(dev) = self.slots.get(&slot).map(|author| author.dev) else {
            return Ok(false);
        };
        // no carrier takes an alarm that long
        let class_of = |owed: &Owed| owed.0.max(Class::Clinical);
        let Some(class) = owed.first().map(class_of) else {
            return Ok(false);
        };
        let (mut entries, mut room, mut left) = (Vec::new(), direct::HANDED_ON_BYTES, false);
        for owed in owed {
            if class_of(&owed) != class || entries.len() == limits::ENTRIES_PER_DIRECT {
                left = true;
                break;
            }
            // what cannot be proven has its turn again like what was lost on its way
            if let Some(entry) = self.handed_entry(ctx, dev, owed.1)? {
                if let Some(rest) = room.checked_sub(entry.room()) {
                    room = rest;
                    entries.push(entry);
                } else if !entries.is_empty() {
                    left = true;
                    break;
                }
            }
            self.mark_handed(ctx, owed);
        }
        if entries.is_empty() {
            return Ok(left);
        }
        entries.sort_by_key(|e| (e.slot, e.seq));
        self.seal_for_one(ctx, slot, class, &Content::HandedOn(entries));
        Ok(left)
    }

    /// Seals content for the device of a slot, into its inbox.
    pub(super) fn seal_for_one(&self, ctx: &mut Ctx<'_>, slot: Slot, class: Class, content: &Content) {
        let to = self.slots.get(&slot).map(|author| Recipient::of(&author.cert));
        let (Some(to), Some((mine, _))) = (to, self.me(ctx.dev())) else {
            return;
        };
        match direct::seal(ctx.crypto, content, (self.id, mine), &ctx.member.device, &to) {
            Ok(payload) => ctx.tx.inbox.push(Envelope {
                class,
                ttl: class.ttl(),
                handle: to.inbox,
                place: Place::Inbox,
                payload,
            }),
            Err(error) => tracing::debug!(%error, "direct seal"),
        }
    }

    fn handed_entry(
        &self,
        ctx: &Ctx<'_>,
        dev: Dev,
        at: EntryRef,
    ) -> Result<Option<HandedEntry>, CommandError> {
        let row = ctx.get(&table::entry(self.id, at.slot, at.seq))?;
        let Some((meta, encoded)) = row.and_then(|r| read_entry_row(&r).ok()) else {
            return Ok(None);
        };
        let Some((proof, signed)) = self.proof_of(ctx, at, |node| self.could_open(dev, node)) else {
            return Ok(None);
        };
        let mut w = Writer::new();
        proof.write_rewrap(&mut w, &signed);
        w.put(&encoded);
        Ok(Some(HandedEntry {
            class: meta.class,
            disputed: self.disputed.contains(&at.slot),
            slot: at.slot,
            seq: at.seq,
            node: meta.node,
            rewrap: w.finish(),
        }))
    }

    /// Takes an item of a direct seal. `false`: its maker, or an author or a node in it, is not known yet, so
    /// it is to come again.
    pub(crate) fn absorb_direct(&mut self, ctx: &mut Ctx<'_>, claim: &Claim) -> bool {
        let Some(maker) = self.slots.get(&claim.slot()) else {
            return false;
        };
        let content = match claim.verify(&maker.key) {
            Ok(content) => content,
            Err(error) => {
                tracing::debug!(%error, "direct seal");
                return true;
            }
        };
        let is_member = self.membership.members.values().any(|m| m.slot == claim.slot());
        if !is_member {
            return true;
        }
        let (dev, slot) = (maker.dev, claim.slot());
        match content {
            Content::HandedOn(entries) => return self.absorb_all_handed(ctx, &entries),
            Content::Keys(keys) => return self.keys_told(ctx, dev, keys),
            Content::Unsealed(own) => return self.absorb_alarm(ctx, slot, &own),
            Content::Question(question) if !self.is_revoked(ctx, dev) => self.answer(ctx, slot, &question),
            Content::Question(_) => {}
            Content::Objects(envelopes) => self.absorb_objects(ctx, &envelopes),
        }
        true
    }

    /// `false`: an author or a node is not known yet.
    fn absorb_all_handed(&mut self, ctx: &mut Ctx<'_>, entries: &[HandedEntry]) -> bool {
        let (mut known, mut new) = (true, false);
        for entry in entries {
            if self.slots.contains_key(&entry.slot) && self.rosters.contains_key(&entry.node) {
                new |= self.absorb_handed(ctx, entry);
            } else {
                known = false;
            }
        }
        if new {
            self.settle(ctx);
        }
        known
    }

    /// Alarms that no node can carry now, each once to the members that it asks.
    pub(super) fn tell_alarms(&mut self, ctx: &mut Ctx<'_>, stopped: Stopped) -> Result<(), CommandError> {
        let Some((mine, _)) = self.me(ctx.dev()) else {
            return Ok(());
        };
        if !matches!(stopped, Stopped::WaitingForKeys | Stopped::Incomplete) {
            return Ok(());
        }
        let alarms = self.unsealed.iter().filter(|(class, _)| *class == Class::Alarm);
        let new = alarms.filter(|(_, seq)| !self.told_alarms.contains(seq));
        let room = limits::DIRECT_ALARMS.saturating_sub(self.told_alarms.len());
        let new: Vec<Seq> = new.map(|(_, seq)| *seq).take(room).collect();
        for seq in new {
            let row = ctx.get(&table::entry(self.id, mine, seq))?;
            let Some((meta, entry)) = row.and_then(|r| read_entry_row(&r).ok()) else {
                continue;
            };
            let class = meta.class;
            if meta.kind != Kind::Alert {
                continue;
            }
            for slot in self.asked_by(ctx, &entry) {
                let entry = entry.clone();
                let content = Content::Unsealed(Unsealed { class, seq, entry });
                self.seal_for_one(ctx, slot, class, &content);
            }
            self.told_alarms.insert(seq);
            let row = vec![class as u8, super::load::TOLD];
            ctx.batch().put(table::unsealed(self.id, seq), row);
        }
        Ok(())
    }

    /// Members whom an alarm asks: those with its role, all if nobody has it. Never one whose key is revoked.
    fn asked_by(&self, ctx: &Ctx<'_>, encoded: &Bytes) -> Vec<Slot> {
        let body = Entry::decode(encoded).map(|entry| Body::decode(entry.kind, &entry.body));
        let role = match body {
            Ok(Ok(Body::Alert(alert))) => alert.role,
            _ => 0,
        };
        let all = self.others(ctx);
        let has_role = |slot: &Slot| self.slots.get(slot).is_some_and(|a| a.cert.roles.0 & role != 0);
        let asked: Vec<Slot> = all.iter().copied().filter(has_role).collect();
        if asked.is_empty() { all } else { asked }
    }

    /// Stores an alarm that its author told this device before it could be sealed. `false`: too many wait to
    /// be sealed, it is to come again.
    fn absorb_alarm(&mut self, ctx: &mut Ctx<'_>, slot: Slot, told: &Unsealed) -> bool {
        let at = EntryRef { slot, seq: told.seq };
        let of_author = self
            .entries
            .range(EntryRef { slot, seq: 0 }..=EntryRef { slot, seq: Seq::MAX });
        let waiting = of_author
            .filter(|(_, meta)| meta.node == NodeId::default())
            .count();
        let meta = meta_of(&told.entry, told.class, NodeId::default(), ctx.now.wall.0);
        let is_known = self.entries.get(&at).is_some_and(|there| there.verified);
        if is_known || self.is_own(slot) || told.class != Class::Alarm || meta.kind != Kind::Alert {
            return true;
        }
        if waiting >= limits::DIRECT_ALARMS {
            return false;
        }
        if self.entries.contains_key(&at) {
            // what somebody handed on without proof gives way to the author's own word
            self.drop_rewrap(ctx, at);
        }
        self.keep_entry(ctx, at, meta, &told.entry);
        self.settle(ctx);
        true
    }

    /// An entry of somebody else that its author told this device and that is not here as it was sealed.
    pub(super) fn is_only_told(&self, slot: Slot, meta: &EntryMeta) -> bool {
        meta.node == NodeId::default() && !self.is_own(slot)
    }

    /// Stores an entry that was handed to this device alone. Returns whether it did.
    fn absorb_handed(&mut self, ctx: &mut Ctx<'_>, handed: &HandedEntry) -> bool {
        let at = EntryRef {
            slot: handed.slot,
            seq: handed.seq,
        };
        if self.me(ctx.dev()).is_some_and(|(mine, _)| mine == at.slot) {
            // nobody tells a device what it writes in its present life
            return false;
        }
        let cover = |signed: &_| self.cover_of(at.slot, signed);
        let Ok((proof, encoded)) = Proof::of_rewrap(&handed.rewrap, cover) else {
            return false;
        };
        if !proof.covers(at.seq) {
            return false;
        }
        let mut meta = meta_of(&encoded, handed.class, handed.node, ctx.now.wall.0);
        (meta.rewrapped, meta.verified, meta.proof) = (true, false, Some(proof));
        match self.entries.get(&at) {
            None if self.unproven_of(at.slot).count() >= limits::UNPROVEN_PER_SLOT => return false,
            None => {}
            Some(old) if self.is_only_told(at.slot, old) => {
                if old.hash == meta.hash && self.would_prove(at, &meta) {
                    self.sealed_since(ctx, at, meta, &encoded);
                }
                return false;
            }
            Some(old) if old.verified || self.is_unsealed_own(at.slot, old.node) => return false,
            Some(old) => {
                // one of two that hand it on may lie, or lack a hash: the one that is proven stays
                let same = old.hash == meta.hash;
                if !self.would_prove(at, &meta) {
                    return false;
                }
                if !same {
                    self.drop_rewrap(ctx, at);
                }
            }
        }
        self.keep_entry(ctx, at, meta, &encoded);
        true
    }
}
