//! What this device writes: entries, ops, heads, and the founding of a thread.
//!
//! An entry gets its number and chain when it is stored. It is MLS-sealed later, in the batch
//! before its first transmission and in transmission order, on the node that the rules allow then:
//! so a device whose removal is known at that moment is never among its readers.

use super::content::entry_row;
use super::{Item, Thread};
use crate::blobs::{Blobs, Chunks};
use crate::clinical::Body;
use crate::directory::{DeviceCert, Signed};
use crate::entry::{Entry, FLAG_LEASE_EXPIRED, Kind, chain_next, entry_hash};
use crate::envelope::{Class, Envelope, Place};
use crate::group::control::{self, Act, Genesis, Head, Object, Op, Past, Verified};
use crate::group::keys::{ControlKey, KeyRing};
use crate::group::mls::{NodeState, SealPlace, Suite};
use crate::id::{Handle, MsgId, NodeId, OpId, Seq, Slot, ThreadId};
use crate::limits;
use crate::machine::command::{CommandError, EntryRef};
use crate::machine::ctx::{Counters, Ctx};
use crate::machine::event::{Event, Stopped};
use crate::ranges::{Log, Ranges};
use crate::store::table;
use crate::time::Wall;
use bytes::Bytes;

/// `BLAKE3("thread" || genesis plaintext)`; its start is the thread's id.
pub(crate) fn genesis_hash(plaintext: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"thread").update(plaintext);
    *hasher.finalize().as_bytes()
}

/// After this long without news a signed head is due; a thin link waits longer.
const HEAD_AFTER_MS: u64 = 400;

impl Thread {
    /// A new thread with this device as its only member.
    pub(crate) fn found(ctx: &mut Ctx<'_>, genesis: Genesis) -> Result<Thread, CommandError> {
        let suite = Suite::from_u16(genesis.suite).ok_or(CommandError::Invalid("unknown suite"))?;
        let role = genesis
            .founder
            .roles
            .iter()
            .next()
            .ok_or(CommandError::Forbidden)?;
        let object = Object::Genesis(Box::new(genesis));
        let none = (ThreadId::default(), Slot::default());
        let plaintext = control::sign(&object, none.0, none.1, &ctx.member.device)
            .map_err(|e| CommandError::Invalid(e.0))?;
        let id = ThreadId::of_genesis(&plaintext);
        let mut group_id = [0u8; 8];
        group_id.copy_from_slice(&id.0[..8]);
        let state = NodeState::create(ctx.crypto, suite, &group_id, &ctx.member.device, &ctx.member.cert)
            .map_err(|e| CommandError::Group(e.to_string()))?;
        let ck = ctx.rng.secret();
        let handle = ControlKey::new(ck.clone()).handle();
        let mut ring = KeyRing::new();
        ring.insert(ck);
        let mut thread = Thread::new(id, ring);
        thread.genesis_hash = genesis_hash(&plaintext);
        let dev = ctx.dev();
        let slot = Slot::of(id, &ctx.member.device.public(), 1);
        let op = thread.put_control(ctx, slot, handle, Class::Text, object)?;
        thread.makers.insert(op, handle);
        thread.nodes.insert(thread.root, state);
        let act = Act::Add {
            dev,
            inc: 1,
            role,
            kp: None,
            break_glass: false,
        };
        let add = Object::Op(Op {
            counter: 1,
            act,
            past: Past::Ops(vec![]),
        });
        thread.put_control(ctx, slot, handle, Class::Text, add)?;
        let root = thread.root;
        let node = thread.nodes.get_mut(&root).expect("inserted above");
        node.save(id, root, &mut ctx.tx.batch);
        thread.save_keys(ctx);
        thread.settle(ctx);
        Ok(thread)
    }

    /// Signs, seals and stores a control object of this device; it counts here at once.
    pub(crate) fn put_control(
        &mut self,
        ctx: &mut Ctx<'_>,
        slot: Slot,
        handle: Handle,
        class: Class,
        object: Object,
    ) -> Result<OpId, CommandError> {
        if self.is_stale(ctx.dev()) {
            // this life may have used the next number already (N4)
            return Err(CommandError::Refused("this store was restored".into()));
        }
        let mut counters = self.own_counters(ctx, slot)?;
        let (log, seq) = match object {
            Object::Head(_) => (Log::Heads, counters.head),
            _ if counters.control >= limits::CONTROL_PER_SLOT => {
                return Err(CommandError::Full("control objects of this life"));
            }
            _ => {
                counters.control += 1;
                (Log::Control, counters.control)
            }
        };
        ctx.set_counters(self.id, &counters);
        let plaintext = control::sign(&object, self.id, slot, &ctx.member.device)
            .map_err(|e| CommandError::Invalid(e.0))?;
        let key = self
            .ring
            .by_handle(handle)
            .ok_or(CommandError::Group("control key not held".into()))?;
        let payload = key.seal((slot, log, seq), &plaintext);
        let place = Place::Log { slot, log, seq };
        let envelope = Envelope {
            class,
            ttl: class.ttl(),
            handle,
            place,
            payload,
        };
        let bytes = envelope.encode();
        let verified = Verified::open(&plaintext, self.id, slot, &ctx.member.device.public())
            .map_err(|e| CommandError::Group(e.to_string()))?;
        let id = verified.id();
        self.keep_control(ctx, &envelope, (slot, log, seq), (&verified, &bytes));
        self.apply_control(ctx, verified);
        Ok(id)
    }

    /// Stores the envelope of an authentic control object.
    pub(super) fn keep_control(
        &mut self,
        ctx: &mut Ctx<'_>,
        envelope: &Envelope,
        (slot, log, seq): (Slot, Log, Seq),
        (verified, bytes): (&Verified, &Bytes),
    ) {
        let row = table::envelope(self.id, slot, log as u8, seq);
        self.note_row(verified, row.clone());
        if log == Log::Heads
            && let Some(old) = self.have.get(slot, log).map(|s| s.max())
        {
            self.items.remove(&(log as u8, slot, old));
            ctx.batch().delete(table::envelope(self.id, slot, log as u8, old));
        }
        ctx.batch().put(row, bytes.clone());
        let item = Item {
            id: MsgId::of(bytes),
            handle: envelope.handle,
            class: envelope.class,
        };
        self.items.insert((log as u8, slot, seq), item);
        self.have.insert(slot, log, seq);
        ctx.offer(self.id);
    }

    /// Counters of this device in this thread; a new incarnation starts at zero.
    pub(super) fn own_counters(&self, ctx: &Ctx<'_>, slot: Slot) -> Result<Counters, CommandError> {
        let counters = ctx.counters(self.id)?;
        let inc = self
            .me(ctx.dev())
            .filter(|(s, _)| *s == slot)
            .map_or(1, |(_, inc)| inc);
        if counters.incarnation == inc {
            return Ok(counters);
        }
        Ok(Counters {
            incarnation: inc,
            ..Counters::default()
        })
    }

    /// Writes an op; it counts here at once.
    pub(crate) fn put_op(&mut self, ctx: &mut Ctx<'_>, act: Act) -> Result<OpId, CommandError> {
        let handle = self
            .path_key(self.vote)
            .ok_or(CommandError::Group("no control key".into()))?;
        self.put_op_under(ctx, handle, act)
    }

    /// The same under the control key of this handle.
    pub(super) fn put_op_under(
        &mut self,
        ctx: &mut Ctx<'_>,
        handle: Handle,
        act: Act,
    ) -> Result<OpId, CommandError> {
        let (slot, _) = self.me(ctx.dev()).ok_or(CommandError::Forbidden)?;
        let (counter, past) = self.membership.next_op(slot);
        let op = Op { counter, act, past };
        self.put_control(ctx, slot, handle, Class::Text, Object::Op(op))
    }

    /// Stores an entry; it waits for its seal. `chunks` go into the same batch.
    pub(crate) fn say(
        &mut self,
        ctx: &mut Ctx<'_>,
        class: Class,
        body: &Body,
        kind: Kind,
    ) -> Result<EntryRef, CommandError> {
        // a control key is sealed at once: while it is missing nothing else could leave
        if self.unsealed.len() >= limits::OUTBOX_ENTRIES && kind != Kind::CtlKeys {
            return Err(CommandError::Full("unsealed entries"));
        }
        let (slot, _) = self.me(ctx.dev()).ok_or(CommandError::Forbidden)?;
        let body = body.encode().map_err(|e| CommandError::Invalid(e.0))?;
        *ctx.hlc = ctx.hlc.tick(ctx.now.wall);
        let entry = Entry {
            kind,
            flags: if self.lease_expired(ctx) {
                FLAG_LEASE_EXPIRED
            } else {
                0
            },
            hlc: *ctx.hlc,
            prev8: [0; 8],
            salt: ctx.rng.array(),
            cursors: self.cursors(slot),
            body,
        };
        let at = self.write(ctx, (slot, class, ctx.now.wall), entry)?;
        self.track(ctx, at);
        if ctx.flaws.sealed_too_early {
            self.seal_waiting(ctx)?;
        }
        Ok(at)
    }

    /// Gives an entry its number and its place in the chain, and stores it; it waits for its seal.
    pub(super) fn write(
        &mut self,
        ctx: &mut Ctx<'_>,
        (slot, class, stored): (Slot, Class, Wall),
        mut entry: Entry,
    ) -> Result<EntryRef, CommandError> {
        let mut counters = self.own_counters(ctx, slot)?;
        counters.content += 1;
        let at = EntryRef {
            slot,
            seq: counters.content,
        };
        entry.prev8.copy_from_slice(&counters.chain[..8]);
        let mut encoded = entry.encode();
        if class == Class::Alarm && encoded.len() + limits::ALARM_SEAL_BYTES > limits::ALARM_BYTES {
            // no carrier takes a longer one; what its author had seen is the less urgent part
            entry.cursors.clear();
            encoded = entry.encode();
            if encoded.len() + limits::ALARM_SEAL_BYTES > limits::ALARM_BYTES {
                return Err(CommandError::Invalid("too long for an alarm"));
            }
        }
        counters.chain = chain_next(&counters.chain, &entry_hash(&encoded));
        ctx.set_counters(self.id, &counters);
        let meta = super::content::meta_of(&encoded, class, NodeId::default(), stored.0);
        ctx.batch()
            .put(table::unsealed(self.id, at.seq), vec![class as u8]);
        self.unsealed.insert((class, at.seq));
        self.keep_entry(ctx, at, meta, &encoded);
        Ok(at)
    }

    /// Slots that are open here beyond what own entries told before: at most the newest of each.
    fn cursors(&self, own: Slot) -> Vec<(Slot, Seq)> {
        let content = self
            .open
            .0
            .iter()
            .filter(|((slot, log), _)| *log == Log::Content && *slot != own);
        content
            .map(|((slot, _), set)| (*slot, set.max()))
            .take(limits::CURSORS)
            .collect()
    }

    fn lease_expired(&self, ctx: &Ctx<'_>) -> bool {
        let own = DeviceCert::decode(&ctx.member.cert);
        own.is_ok_and(|c| ctx.now.wall.0 / 60_000 > u64::from(c.window.not_after_min))
    }

    /// Whether this device may seal now, and why not.
    pub(crate) fn gate(&self, ctx: &Ctx<'_>) -> Result<(), Stopped> {
        let dev = ctx.dev();
        if self.is_stale(dev) {
            return Err(Stopped::Restored);
        }
        if self.me(dev).is_none() {
            // before its own Add is here a joiner is not yet a member, and was not removed either
            let was = self.membership.ever.keys().any(|(ever, _)| *ever == dev);
            return Err(if was {
                Stopped::Removed
            } else {
                Stopped::Incomplete
            });
        }
        // the keys of a node are the first entry on it: the node may be here before them
        let is_behind = self.head != self.vote || !self.holds(self.head) || self.goes_on_unread(self.head);
        if self.genesis.is_none() || is_behind {
            return Err(Stopped::Incomplete);
        }
        if ctx.flaws.no_send_gate || self.in_step() && !self.has_revoked(ctx) {
            return Ok(());
        }
        Err(Stopped::WaitingForKeys)
    }

    /// A member's device key is revoked and nobody removed it yet.
    pub(crate) fn has_revoked(&self, ctx: &Ctx<'_>) -> bool {
        self.membership
            .members
            .keys()
            .any(|dev| self.is_revoked(ctx, *dev))
    }

    /// MLS-seals what waits, most urgent first. Returns whether anything was sealed.
    pub(crate) fn seal_waiting(&mut self, ctx: &mut Ctx<'_>) -> Result<bool, CommandError> {
        if self.unsealed.is_empty() {
            return Ok(false);
        }
        if let Err(stopped) = self.gate(ctx) {
            return self.tell_alarms(ctx, stopped).map(|()| false);
        }
        let Some((slot, _)) = self.me(ctx.dev()) else {
            return Ok(false);
        };
        let mut sealed = Ok(());
        while sealed.is_ok()
            && let Some((class, seq)) = self.unsealed.pop_first()
        {
            sealed = self.seal_own(ctx, EntryRef { slot, seq }, class);
            if sealed.is_err() {
                // it waits on; what was sealed before it is kept
                self.unsealed.insert((class, seq));
            }
        }
        let head = self.head;
        let node = self.nodes.get_mut(&head).expect("the gate checked it");
        node.save(self.id, head, &mut ctx.tx.batch);
        self.advance_chain(ctx, slot);
        // in the same batch: an entry whose author signed no head for it can never be handed on
        self.sign_head(ctx)?;
        sealed.map(|()| true)
    }

    fn seal_own(&mut self, ctx: &mut Ctx<'_>, at: EntryRef, class: Class) -> Result<(), CommandError> {
        let row = ctx.get(&table::entry(self.id, at.slot, at.seq))?;
        if let Some((_, encoded)) = row.and_then(|r| super::content::read_entry_row(&r).ok()) {
            self.seal_entry(ctx, (self.head, None), (at, class, 0), &encoded)?;
            ctx.batch().delete(table::unsealed(self.id, at.seq));
            self.told_alarms.remove(&at.seq);
        }
        Ok(())
    }

    /// Seals one entry on a node and stores its envelope. `handle` overrides the one of the node's path. The
    /// caller saves the node.
    pub(super) fn seal_entry(
        &mut self,
        ctx: &mut Ctx<'_>,
        (node, handle): (NodeId, Option<Handle>),
        (at, class, pf): (EntryRef, Class, u8),
        plaintext: &[u8],
    ) -> Result<(), CommandError> {
        let handle = handle.or_else(|| self.path_key(node));
        let handle = handle.ok_or(CommandError::Group("no control key".into()))?;
        let place = SealPlace {
            class,
            slot: at.slot,
            seq: at.seq,
            node,
        };
        let state = self
            .nodes
            .get_mut(&node)
            .ok_or(CommandError::Group("no node".into()))?;
        let payload = state
            .seal(ctx.crypto, &ctx.member.device, &place, pf, plaintext)
            .map_err(|e| CommandError::Group(e.to_string()))?;
        let log_place = Place::Log {
            slot: at.slot,
            log: Log::Content,
            seq: at.seq,
        };
        let envelope = Envelope {
            class,
            ttl: class.ttl(),
            handle,
            place: log_place,
            payload,
        };
        let bytes = envelope.encode();
        let column = if pf & super::content::PF_REWRAP != 0 {
            super::REWRAP
        } else {
            Log::Content as u8
        };
        ctx.batch()
            .put(table::envelope(self.id, at.slot, column, at.seq), bytes.clone());
        self.items.insert(
            (column, at.slot, at.seq),
            Item {
                id: MsgId::of(&bytes),
                handle,
                class,
            },
        );
        self.have.insert(at.slot, Log::Content, at.seq);
        if pf == 0
            && let Some(meta) = self.entries.get_mut(&at)
        {
            meta.node = node;
            let row = entry_row(meta, plaintext);
            ctx.batch().put(table::entry(self.id, at.slot, at.seq), row);
        }
        ctx.offer(self.id);
        Ok(())
    }

    /// A signed head is due soon; at once after many entries.
    pub(crate) fn due_head(&mut self, ctx: &Ctx<'_>) {
        let open = self.open.len();
        let many = open.saturating_sub(self.told_open) >= u64::from(limits::ENTRIES_PER_HEAD);
        let at = if many {
            ctx.now.mono
        } else {
            ctx.now.mono.plus_ms(HEAD_AFTER_MS)
        };
        self.head_due = Some(self.head_due.map_or(at, |due| due.min(at)));
    }

    /// Own slot and the handle for a head, if one may be signed now.
    fn place_of_head(&self, ctx: &Ctx<'_>) -> Option<(Slot, Handle)> {
        let (slot, _) = self.me(ctx.dev())?;
        let behind = !self.nodes.contains_key(&self.vote) || !self.unnamed_removes(self.vote).is_empty();
        if behind || self.is_stale(ctx.dev()) {
            return None;
        }
        Some((slot, self.path_key(self.vote)?))
    }

    /// What was due and could not be done is due as soon as it can.
    pub(super) fn due_again(&mut self, ctx: &Ctx<'_>) {
        if self.head_missed && self.place_of_head(ctx).is_some() {
            self.head_missed = false;
            self.due_head(ctx);
        }
        if self.rewrap_missed && self.gate(ctx).is_ok() {
            self.rewrap_missed = false;
            self.rewrap_due = Some(ctx.now.mono);
        }
    }

    /// Signs a head: what is open here, the own chain, the node voted for.
    pub(crate) fn sign_head(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CommandError> {
        self.head_due = None;
        let Some((slot, handle)) = self.place_of_head(ctx) else {
            self.head_missed = true;
            return Ok(());
        };
        let mut counters = self.own_counters(ctx, slot)?;
        counters.head += 1;
        ctx.set_counters(self.id, &counters);
        *ctx.hlc = ctx.hlc.tick(ctx.now.wall);
        let (seq, chain) = self.sealed_chain(slot);
        let head = Head {
            counter: counters.head,
            slot,
            seq,
            chain,
            node: self.vote,
            hlc: *ctx.hlc,
            open: self.told_ranges(ctx),
            blobs: self.told_blobs(ctx),
            kids: self.ring.kids(),
        };
        self.told_open = self.open.len();
        self.put_control(ctx, slot, handle, Class::Text, Object::Head(head))?;
        Ok(())
    }

    /// Number and chain of the newest own entry up to which all are sealed.
    fn sealed_chain(&self, slot: Slot) -> (Seq, [u8; 32]) {
        let (mut at, mut chain) = (0, [0u8; 32]);
        while let Some(meta) = self.entries.get(&EntryRef { slot, seq: at + 1 }) {
            if meta.node == NodeId::default() || !meta.verified {
                break;
            }
            chain = chain_next(&chain, &meta.hash);
            at += 1;
        }
        (at, chain)
    }

    fn told_ranges(&self, ctx: &Ctx<'_>) -> Ranges {
        let mut told = Ranges::new();
        for ((slot, log), set) in &self.open.0 {
            if *log == Log::Content {
                told.0.insert((*slot, *log), set.for_wire());
            }
        }
        if ctx.flaws.parked_counted_as_delivered {
            for (column, slot, seq) in self.parked.places() {
                if column == Log::Content as u8 {
                    told.insert(slot, Log::Content, seq);
                }
            }
        }
        told
    }

    /// Bitmaps of the newest objects.
    fn told_blobs(&self, ctx: &Ctx<'_>) -> Blobs {
        let mut newest: Vec<_> = self.objects.iter().map(|(id, o)| (o.entry, *id)).collect();
        newest.sort_by_key(|(entry, _)| std::cmp::Reverse(self.entries.get(entry).map(|m| m.stored_ms)));
        newest.truncate(limits::OBJECTS_PER_HEAD);
        let mut told = Blobs::new();
        for (_, id) in newest {
            let layers = self.blobs.0.range((id, 0)..=(id, u8::MAX));
            let shown = |chunks: &Chunks| match ctx.flaws.chunks_told_unheld {
                true => Chunks::all_of(chunks.total),
                false => chunks.for_wire(),
            };
            let layers: Vec<_> = layers.map(|(key, chunks)| (*key, shown(chunks))).collect();
            if told.0.len() + layers.len() > limits::OBJECTS_PER_BLOBS {
                break;
            }
            told.0.extend(layers);
        }
        told
    }

    /// Tells that the thread stopped or goes on, when that changed.
    pub(crate) fn tell_gate(&mut self, ctx: &mut Ctx<'_>) {
        let now = self.gate(ctx).err();
        if now == self.stopped {
            return;
        }
        self.stopped = now;
        let thread = self.id;
        ctx.event(match now {
            Some(why) => Event::SendingStopped { thread, why },
            None => Event::SendingResumed { thread },
        });
    }
}
