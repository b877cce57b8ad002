//! Rows of a thread that are not derived from its logs, and the rebuilding of everything else.
//!
//! Row of keys: `v 1 | n varint, n x (maker 16, ck 32) | n varint, n x node 16`. Loading opens
//! and checks every control object again, so that a damaged row cannot put a lie into memory.

use super::content::{Absorbed, read_entry_row};
use super::{Item, RelayHeld, Thread};
use crate::blobs::Chunks;
use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::Secret;
use crate::entry::Kind;
use crate::envelope::{Class, Envelope, Place};
use crate::group::keys::{ControlKey, KeyRing};
use crate::group::mls::NodeState;
use crate::id::{Key8, MsgId, NodeId, Object8, OpId, Seq, Slot, ThreadId};
use crate::limits;
use crate::machine::command::EntryRef;
use crate::machine::ctx::Ctx;
use crate::ranges::Log;
use crate::store::{Read, ReadError, rows, table};
use crate::time::Wall;
use bytes::Bytes;
use std::collections::BTreeSet;

const ROW_VERSION: u8 = 1;
/// Second byte in the row of an unsealed entry, after its class: members were told it directly.
pub(super) const TOLD: u8 = 1;

/// The row of keys, decoded.
struct Keys {
    made: Vec<(OpId, Secret)>,
    nodes: Vec<NodeId>,
}

impl Thread {
    /// Stores which keys and nodes are held.
    pub(crate) fn save_keys(&self, ctx: &mut Ctx<'_>) {
        let mut w = Writer::new();
        let made = self.made_keys();
        w.u8(ROW_VERSION).put(&self.genesis_hash).count(made.len());
        for (op, key) in made {
            w.put(&op.0).put(&key.secret().0);
        }
        w.count(self.nodes.len());
        for node in self.nodes.keys() {
            w.put(&node.0);
        }
        let row = w.finish();
        ctx.batch().put(table::thread(self.id), row);
    }

    /// Control keys with the commit or genesis that made each, in the order in which they came.
    pub(super) fn made_keys(&self) -> Vec<(OpId, &ControlKey)> {
        let by_age = self.ring.iter().flat_map(|key| {
            let makers = self.makers.iter().filter(|(_, handle)| **handle == key.handle());
            makers.map(move |(op, _)| (*op, key))
        });
        by_age.collect()
    }

    fn read_keys(row: &[u8]) -> Result<([u8; 32], Keys), Malformed> {
        let mut r = Reader::new(row);
        if r.u8()? != ROW_VERSION {
            return Err(Malformed("unknown version of a thread row"));
        }
        let genesis_hash = r.array()?;
        let mut made = Vec::new();
        for _ in 0..r.count(limits::CONTROL_KEYS)? {
            made.push((OpId(r.array()?), Secret(r.array()?)));
        }
        let mut nodes = Vec::new();
        for _ in 0..r.count(limits::NODES_PER_THREAD)? {
            nodes.push(NodeId(r.array()?));
        }
        r.end()?;
        Ok((genesis_hash, Keys { made, nodes }))
    }

    /// Rebuilds a thread from its rows. Events that this causes were told in an earlier life.
    pub(crate) fn load(ctx: &mut Ctx<'_>, id: ThreadId, row: &[u8]) -> Result<Thread, ReadError> {
        let bad = |e: Malformed| ReadError(format!("thread {id}: {e}"));
        let (genesis_hash, keys) = Thread::read_keys(row).map_err(bad)?;
        let mut thread = Thread::new(id, KeyRing::new());
        thread.loading = true;
        thread.genesis_hash = genesis_hash;
        for (op, ck) in keys.made {
            let handle = ControlKey::new(ck.clone()).handle();
            thread.ring.insert(ck);
            thread.makers.insert(op, handle);
        }
        for node in keys.nodes {
            if let Some(state) = NodeState::load(ctx.store, id, node)? {
                thread.nodes.insert(node, state);
            }
        }
        thread.load_forgetting(ctx.store)?;
        // before any evidence: in a forgotten life it counts for nothing
        let stale = ctx.store.get(&table::own_of_thread("stale", id))?;
        thread.stale = stale
            .and_then(|row| row[..].try_into().ok())
            .map(u32::from_le_bytes);
        let control = thread
            .load_items(ctx.store)
            .map_err(|e| ReadError(format!("thread {id}: {e}")))?;
        thread.load_control(ctx, control);
        thread.load_entries(ctx)?;
        thread.load_chunks(ctx.store)?;
        thread
            .load_evidence(ctx)
            .map_err(|e| ReadError(format!("thread {id}: {e}")))?;
        thread
            .load_unsealed(ctx)
            .map_err(|e| ReadError(format!("thread {id}: {e}")))?;
        thread.loading = false;
        for (key, signed) in rows(ctx.store, &table::reached_all(id))? {
            let slot = key.get(17..).and_then(Slot::from_prefix);
            if let Some((slot, cover)) = slot.and_then(|slot| Some((slot, thread.cover_of(slot, &signed)?))) {
                thread.reached.insert(slot, (cover.seq, signed));
            }
        }
        for (_, bytes) in rows(ctx.store, &table::second_all(id))? {
            if let Ok(Place::Log { slot, .. }) = Envelope::decode(&bytes).map(|e| e.place) {
                thread.disputed.insert(slot);
            }
        }
        thread.reckon_all(ctx);
        thread.due_head(ctx);
        thread.rewrap_due = Some(ctx.now.mono.plus_ms(10_000));
        Ok(thread)
    }

    /// A member signed for, or we signed, what this store does not hold: it was rolled back.
    pub(super) fn forgot(&mut self, ctx: &mut Ctx<'_>) {
        if !self.is_stale(ctx.dev()) && !ctx.flaws.seq_reused_after_rebuild {
            self.set_stale(ctx);
        }
    }

    /// The slot is that of an own life of which this store does not remember all.
    pub(super) fn in_forgotten_life(&self, ctx: &Ctx<'_>, slot: Slot) -> bool {
        self.stale
            .is_some_and(|inc| Slot::of(self.id, &ctx.member.device.public(), inc) == slot)
    }

    /// Whether own entries up to this number were written by what is in this store.
    pub(super) fn remembers(&self, own: Slot, seq: Seq) -> bool {
        self.loading || self.entries.contains_key(&EntryRef { slot: own, seq })
    }

    /// This store was restored or rebuilt: this life of the device writes nothing more here.
    pub(crate) fn set_stale(&mut self, ctx: &mut Ctx<'_>) {
        // the life may have ended: it is forgotten as much
        let lives = self.membership.ever.keys().filter(|(dev, _)| *dev == ctx.dev());
        let inc = lives.map(|(_, inc)| *inc).max().unwrap_or(0);
        self.stale = Some(inc);
        ctx.batch()
            .put(table::own_of_thread("stale", self.id), inc.to_le_bytes().to_vec());
        self.tell_gate(ctx);
        self.reckon_all(ctx);
    }

    /// All envelopes into the index; returns those of the control logs.
    fn load_items(&mut self, store: &dyn Read) -> Result<Vec<(Envelope, Bytes)>, ReadError> {
        let mut control = Vec::new();
        for (key, bytes) in rows(store, &table::envelope_all(self.id))? {
            let (slot, column, seq) = item_key(&key).ok_or(ReadError("envelope key".into()))?;
            let envelope = Envelope::decode(&bytes).map_err(|e| ReadError(e.to_string()))?;
            let item = Item {
                id: MsgId::of(&bytes),
                handle: envelope.handle,
                class: envelope.class,
            };
            let log = match column {
                super::REWRAP => Log::Content,
                other => Log::from_u8(other).map_err(|e| ReadError(e.to_string()))?,
            };
            if log == Log::Content {
                self.items.insert((column, slot, seq), item);
                self.have.insert(slot, log, seq);
            } else {
                control.push((envelope, bytes));
            }
        }
        for (_, bytes) in rows(store, &table::second_all(self.id))? {
            let envelope = Envelope::decode(&bytes).map_err(|e| ReadError(e.to_string()))?;
            if !matches!(
                envelope.place,
                Place::Log {
                    log: Log::Content,
                    ..
                }
            ) {
                control.push((envelope, bytes));
            }
        }
        Ok(control)
    }

    /// Control objects in an order in which each finds its author; what stays unknown is left out. Rows come
    /// by slot, and an author may be added by one whose slot comes later: pass after pass, so that none of
    /// them has to be parked, which is bounded.
    fn load_control(&mut self, ctx: &mut Ctx<'_>, control: Vec<(Envelope, Bytes)>) {
        let mut scratch = std::mem::take(&mut ctx.tx.batch);
        let effects = std::mem::take(&mut ctx.tx.effects);
        let mut waiting = control;
        loop {
            let before = waiting.len();
            waiting.retain(|(envelope, bytes)| self.absorb_loaded(ctx, envelope, bytes) == Absorbed::Parked);
            self.parked.take_all();
            while self.follow_loaded(ctx) {}
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
        }
        for (envelope, bytes) in waiting {
            self.absorb_loaded(ctx, &envelope, &bytes);
        }
        // rows that were read are not written again
        ctx.tx.batch = std::mem::take(&mut scratch);
        ctx.tx.effects = effects;
    }

    fn load_entries(&mut self, ctx: &mut Ctx<'_>) -> Result<(), ReadError> {
        let all = rows(ctx.store, &table::entry_all(self.id))?;
        let mut bodies = Vec::new();
        for (key, row) in all {
            let at = entry_key(&key).ok_or(ReadError("entry key".into()))?;
            let (meta, encoded) = read_entry_row(&row).map_err(|e| ReadError(e.to_string()))?;
            if meta.verified {
                self.open.insert(at.slot, Log::Content, at.seq);
            } else {
                self.unproven.insert(at);
            }
            self.entries.insert(at, meta);
            bodies.push((at, encoded));
        }
        let effects = std::mem::take(&mut ctx.tx.effects);
        let slots: BTreeSet<Slot> = self.entries.keys().map(|at| at.slot).collect();
        for slot in slots {
            self.advance_chain(ctx, slot);
        }
        for (at, _) in bodies.iter().filter(|(at, _)| self.is_own(at.slot)) {
            // an author's clock does not go back over a restart
            *ctx.hlc = (*ctx.hlc).max(self.entries[at].hlc);
        }
        let own: Vec<EntryRef> = bodies
            .iter()
            .map(|(at, _)| *at)
            .filter(|at| self.is_own(at.slot))
            .collect();
        for at in own {
            self.track(ctx, at);
        }
        let keys = self
            .entries
            .iter()
            .filter(|(_, m)| m.verified && m.kind == Kind::CtlKeys);
        self.keys_waiting = keys.map(|(at, _)| *at).collect();
        for (at, encoded) in bodies {
            let Some(author) = self.slots.get(&at.slot).map(|a| a.dev) else {
                continue;
            };
            if self
                .entries
                .get(&at)
                .is_some_and(|m| m.verified && m.kind != Kind::CtlKeys)
            {
                self.apply_body(ctx, at, author, &encoded);
            }
        }
        let heads: Vec<Slot> = self.heads.keys().copied().collect();
        for slot in heads {
            self.head_evidence(ctx, slot);
        }
        ctx.tx.effects = effects;
        Ok(())
    }

    fn load_chunks(&mut self, store: &dyn Read) -> Result<(), ReadError> {
        let objects: Vec<Object8> = self.objects.keys().copied().collect();
        for object in objects {
            for (key, _) in rows(store, &table::chunk_all(self.id, object))? {
                let Some((layer, index)) = chunk_key(&key) else {
                    continue;
                };
                let chunks: Option<&mut Chunks> = self.blobs.0.get_mut(&(object, layer));
                if let Some(chunks) = chunks {
                    chunks.insert(index);
                }
            }
        }
        Ok(())
    }

    fn load_evidence(&mut self, ctx: &mut Ctx<'_>) -> Result<(), ReadError> {
        let effects = std::mem::take(&mut ctx.tx.effects);
        for (key, row) in rows(ctx.store, &table::evidence_all(self.id))? {
            let relay = key
                .get(17..)
                .and_then(Key8::from_prefix)
                .ok_or(ReadError("evidence key".into()))?;
            let held = RelayHeld::decode(&row).map_err(|e| ReadError(e.to_string()))?;
            self.relays.insert(relay, held);
            self.relay_evidence(ctx, relay, Wall(ctx.now.wall.0));
        }
        // heads may name layers: the blobs are known only now
        let heads: Vec<Slot> = self.heads.keys().copied().collect();
        for slot in heads {
            self.head_evidence(ctx, slot);
        }
        ctx.tx.effects = effects;
        Ok(())
    }

    fn load_unsealed(&mut self, ctx: &mut Ctx<'_>) -> Result<(), ReadError> {
        for (key, row) in rows(ctx.store, &table::unsealed_all(self.id))? {
            let seq = key
                .get(17..)
                .and_then(|k| <[u8; 4]>::try_from(k).ok())
                .map(u32::from_be_bytes);
            let class = row.first().and_then(|c| Class::from_u8(*c).ok());
            let (Some(seq), Some(class)) = (seq, class) else {
                return Err(ReadError("row of an unsealed entry".into()));
            };
            self.unsealed.insert((class, seq));
            if row.get(1) == Some(&TOLD) {
                self.told_alarms.insert(seq);
            }
        }
        Ok(())
    }

    /// Absorbs an envelope that was stored before: its place is free in memory.
    fn absorb_loaded(&mut self, ctx: &mut Ctx<'_>, envelope: &Envelope, bytes: &Bytes) -> Absorbed {
        debug_assert!(matches!(envelope.place, Place::Log { .. }));
        self.absorb_one(ctx, envelope, bytes)
    }
}

fn item_key(key: &[u8]) -> Option<(Slot, u8, Seq)> {
    let rest = key.get(17..)?;
    let seq = <[u8; 4]>::try_from(rest.get(5..)?).ok()?;
    Some((Slot::from_prefix(rest)?, *rest.get(4)?, Seq::from_be_bytes(seq)))
}

fn entry_key(key: &[u8]) -> Option<EntryRef> {
    let rest = key.get(17..)?;
    let seq = <[u8; 4]>::try_from(rest.get(4..)?).ok()?;
    Some(EntryRef {
        slot: Slot::from_prefix(rest)?,
        seq: Seq::from_be_bytes(seq),
    })
}

fn chunk_key(key: &[u8]) -> Option<(u8, u32)> {
    let rest = key.get(25..)?;
    let index = <[u8; 4]>::try_from(rest.get(1..)?).ok()?;
    Some((*rest.first()?, u32::from_be_bytes(index)))
}
