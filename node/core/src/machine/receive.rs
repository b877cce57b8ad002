//! Frames from a peer: dispatch, items, bursts, receipts, acknowledgements.

use super::queue::ItemRef;
use super::session::HAVE_AFTER_MS;
use super::tx::Effect;
use super::{Event, LinkId, Machine, Part, with_thread};
use crate::blobs::Blobs;
use crate::envelope::{Class, Envelope, Place};
use crate::group::welcome::Welcome;
use crate::id::{Handle, MsgId, ThreadId};
use crate::limits;
use crate::mailbox::proof::{AckVector, Burst, CarryReceipt, RelayReceipt};
use crate::mailbox::{Offer, Refusal, Verdict};
use crate::ranges::{Log, Ranges};
use crate::store::{Read, ReadError};
use crate::sync::Whole;
use crate::thread::{Absorbed, REWRAP, Thread};
use crate::time::Wall;
use crate::wire::{Frame, Refused, decode_all};
use bytes::Bytes;
use std::rc::Rc;

/// Receipts for what is not urgent are gathered for this long.
const RECEIPT_AFTER_MS: u64 = 40;

impl Machine {
    /// Everything in one transmission of a peer.
    pub(super) fn frames(&mut self, store: &dyn Read, link: LinkId, bytes: &Bytes) -> Result<(), ReadError> {
        for frame in decode_all(bytes) {
            if !self.sessions.contains_key(&link) {
                return Ok(());
            }
            match frame {
                Ok(frame) => self.frame(store, link, frame)?,
                Err(_) => self.misbehaved(link, "frame does not parse"),
            }
        }
        Ok(())
    }

    fn frame(&mut self, store: &dyn Read, link: LinkId, frame: Frame) -> Result<(), ReadError> {
        match frame {
            Frame::Hello(hello) => self.on_hello(link, hello),
            Frame::OtherVersion(_) => self.on_other_version(link),
            Frame::Threads(marks) => self.on_threads(link, marks),
            Frame::Have(body) => self.on_have(store, link, &body)?,
            Frame::Data(data) => {
                let Some(session) = self.sessions.get_mut(&link) else {
                    return Ok(());
                };
                match session.assembler.insert(data) {
                    Ok(Some(whole)) => self.item(store, link, whole)?,
                    Ok(None) => {}
                    Err(_) => self.misbehaved(link, "part of an item does not fit"),
                }
            }
            Frame::Cert(bytes) => self.on_cert(link, &bytes),
            Frame::Receipt(bytes) => self.on_receipt(store, link, &bytes),
            Frame::Burst(bytes) => self.on_burst(link, &bytes),
            Frame::Ack(bytes) => self.on_ack(link, &bytes),
            Frame::Reset(handle) => self.on_reset(store, link, handle),
            Frame::Open(open) => self.on_open(store, link, open)?,
            Frame::Revocation(bytes) => self.on_revocation(store, &bytes),
            Frame::Refused(refused) => self.on_refused(store, link, refused),
            Frame::Bye(_) => {
                self.sessions.remove(&link);
            }
            // asked for in ways that this version does not answer
            Frame::Seq(_) | Frame::Revoked(_) | Frame::Want(_) | Frame::Riblt(_) | Frame::Unknown(_) => {}
        }
        Ok(())
    }

    /// A whole item: of a thread here, of the own inbox, or to be carried.
    fn item(&mut self, store: &dyn Read, link: LinkId, whole: Whole) -> Result<(), ReadError> {
        let Ok(envelope) = Envelope::decode(&whole.bytes) else {
            self.misbehaved(link, "item does not parse");
            return Ok(());
        };
        if let Some(session) = self.sessions.get_mut(&link) {
            session.due_have(self.now.mono, HAVE_AFTER_MS);
        }
        let owner = self
            .threads
            .values()
            .find(|t| t.ring.by_handle(envelope.handle).is_some());
        if let Some(id) = owner.map(|t| t.id) {
            return self.item_of_thread(store, link, id, &envelope, &whole.bytes);
        }
        if self.inbox() == Some(envelope.handle) {
            return self.item_of_inbox(store, link, &envelope, whole.id);
        }
        if self.cfg.part == Part::Member {
            return Ok(());
        }
        self.item_to_carry(store, link, &envelope, &whole)
    }

    fn item_of_thread(
        &mut self,
        store: &dyn Read,
        link: LinkId,
        id: ThreadId,
        envelope: &Envelope,
        bytes: &Bytes,
    ) -> Result<(), ReadError> {
        let verdict = with_thread!(self, store, id, |thread, ctx| thread.absorb(ctx, envelope, bytes));
        if let Some(Absorbed::Junk(rule)) = verdict {
            self.misbehaved(link, rule);
        }
        Ok(())
    }

    /// An item for this device: a Welcome.
    fn item_of_inbox(
        &mut self,
        store: &dyn Read,
        link: LinkId,
        envelope: &Envelope,
        id: MsgId,
    ) -> Result<(), ReadError> {
        if envelope.place != Place::Inbox {
            self.misbehaved(link, "thread item in an inbox");
            return Ok(());
        }
        match Welcome::decode(&envelope.payload) {
            Ok(welcome) => self.join(store, link, &welcome)?,
            Err(_) => self.misbehaved(link, "inbox item does not parse"),
        }
        self.tell_taken(link, vec![id]);
        Ok(())
    }

    /// Joins a thread by its Welcome, or takes a node in a thread that is here.
    fn join(&mut self, store: &dyn Read, link: LinkId, welcome: &Welcome) -> Result<(), ReadError> {
        let id = welcome.thread();
        let Ok(state) = self.packages.join(&self.crypto, &welcome.welcome, &welcome.tree) else {
            self.misbehaved(link, "welcome does not open");
            return Ok(());
        };
        if self.threads.len() >= limits::THREADS && !self.threads.contains_key(&id) {
            return Ok(());
        }
        let new = !self.threads.contains_key(&id);
        self.threads
            .entry(id)
            .or_insert_with(|| Thread::new(id, Default::default()));
        let taken = with_thread!(self, store, id, |thread, ctx| thread
            .welcomed(ctx, welcome, state));
        if taken != Some(true) {
            if new {
                self.threads.remove(&id);
            }
            self.misbehaved(link, "welcome of a thread that it does not fit");
            return Ok(());
        }
        if new {
            self.tx
                .effects
                .push(Effect::Event(Event::ThreadReady { thread: id }));
        }
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        for link in links {
            self.tell_threads(link);
            self.open_boxes(link);
        }
        Ok(())
    }

    /// An item to keep for others, if a burst announced it.
    fn item_to_carry(
        &mut self,
        store: &dyn Read,
        link: LinkId,
        envelope: &Envelope,
        whole: &Whole,
    ) -> Result<(), ReadError> {
        let now = self.mailbox_now();
        let Some(session) = self.sessions.get_mut(&link) else {
            return Ok(());
        };
        let Some(burst) = session.announced.get(&whole.id).cloned() else {
            return Ok(());
        };
        let from = session.peer();
        let age_s = whole.carry.map_or(0, |c| c.age_s);
        let offer = Offer {
            from,
            burst: &burst,
            item: &whole.bytes,
            envelope,
            age_s,
        };
        let verdict = self.mailbox.offer(now, offer, &mut self.tx.batch);
        match verdict {
            Verdict::Stored | Verdict::Known => {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.announced.remove(&whole.id);
                }
                self.owe_receipt(link, envelope, whole.id);
                if verdict == Verdict::Stored {
                    self.tx.effects.push(Effect::Push(envelope.handle, link));
                }
            }
            Verdict::Refused(refusal) => {
                let (handle, id, why) = (envelope.handle, whole.id, refusal.code());
                self.send_now(link, &[Frame::Refused(Refused { handle, id, why })]);
            }
        }
        let _ = store;
        Ok(())
    }

    /// The item was kept: urgent ones are signed for at once, others together a little later.
    fn owe_receipt(&mut self, link: LinkId, envelope: &Envelope, id: MsgId) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        session
            .unsigned
            .entry(envelope.handle)
            .or_default()
            .push((id, envelope.place));
        let at = self.now.mono.plus_ms(RECEIPT_AFTER_MS);
        session.receipt_due = Some(session.receipt_due.map_or(at, |due| due.min(at)));
        if envelope.class <= Class::Clinical {
            self.sign_receipts(link);
        }
    }

    /// The signed word that the items are durable here; it leaves with the newest batch.
    pub(super) fn sign_receipts(&mut self, link: LinkId) {
        let now = self.mailbox_now();
        let wall = self.now.wall.0;
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        session.receipt_due = None;
        for (handle, items) in std::mem::take(&mut session.unsigned) {
            let receipts: Vec<Bytes> = if self.cfg.part == Part::Relay {
                let keeps = items
                    .iter()
                    .map(|(id, _)| self.mailbox.keeps_ms(now, handle, *id));
                let until = wall.saturating_add(keeps.min().unwrap_or(0)) / 60_000;
                let until = u32::try_from(until).unwrap_or(u32::MAX);
                let made = RelayReceipt::make(&items, handle, &self.id.routing, until, wall);
                made.iter().map(|r| r.bytes().clone()).collect()
            } else {
                let made = CarryReceipt::make(&items, handle, &self.id.routing, wall);
                made.iter().map(|r| r.bytes().clone()).collect()
            };
            for bytes in receipts {
                let frame = Frame::Receipt(bytes).encode();
                self.tx.effects.push(Effect::Transmit(link, frame, Class::Alarm));
            }
        }
    }

    fn on_burst(&mut self, link: LinkId, bytes: &Bytes) {
        if self.cfg.part == Part::Member {
            return;
        }
        let Ok(burst) = Burst::decode(bytes) else {
            return self.misbehaved(link, "burst does not parse");
        };
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        if session.cert != Some(burst.routing) {
            return self.misbehaved(link, "burst of an unknown routing certificate");
        }
        if !burst.verify(&session.info.peer) {
            return self.misbehaved(link, "burst with a wrong signature");
        }
        let burst = Rc::new(burst);
        while session.announced.len() + burst.items.len() > limits::ITEMS_PER_BURST * 4 {
            session.announced.pop_first();
        }
        for id in &burst.items {
            session.announced.insert(*id, burst.clone());
        }
    }

    /// A carrier or relay signed for items that this device handed to it.
    fn on_receipt(&mut self, store: &dyn Read, link: LinkId, bytes: &Bytes) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        let (peer, key) = (session.peer(), session.info.peer);
        let decoded = RelayReceipt::decode(bytes);
        let (handle, covered, kept) = match &decoded {
            Ok(receipt) => {
                let sent = sent_to(session, receipt.handle);
                let covered = if self.flaws.receipt_believed_unsigned {
                    receipt.named.covers(&sent)
                } else {
                    receipt.covers(&key, &sent)
                };
                (
                    receipt.handle,
                    covered,
                    Some((receipt.kept_until_min, receipt.relay_ms)),
                )
            }
            Err(_) => match CarryReceipt::decode(bytes) {
                Ok(receipt) => {
                    let sent = sent_to(session, receipt.handle);
                    (receipt.handle, receipt.covers(&key, &sent), None)
                }
                Err(_) => return self.misbehaved(link, "receipt does not parse"),
            },
        };
        let Some(ids) = covered else {
            return self.misbehaved(link, "receipt that covers nothing that was sent");
        };
        let done: Vec<_> = session
            .handed
            .iter()
            .filter(|h| ids.contains(&h.id))
            .copied()
            .collect();
        session.handed.retain(|h| !ids.contains(&h.id));
        session.signed_for.extend(ids.iter().copied());
        let _ = handle;
        let mut by_thread: std::collections::BTreeMap<ThreadId, Vec<Place>> = Default::default();
        for handed in done {
            match handed.item {
                ItemRef::Log { column: REWRAP, .. } | ItemRef::Held { .. } => {}
                ItemRef::Log { thread, .. } | ItemRef::Chunk { thread, .. } => {
                    by_thread.entry(thread).or_default().push(handed.place);
                }
            }
        }
        for (id, places) in by_thread {
            with_thread!(self, store, id, |thread, ctx| match kept {
                Some((until, ms)) => thread.relay_receipt(ctx, peer, until, &places, Wall(ms)),
                None => thread.carry_receipt(ctx, peer, &places),
            });
        }
    }

    /// A carrier or relay does not keep an own item: shown beside its state, and offered again later.
    fn on_refused(&mut self, store: &dyn Read, link: LinkId, refused: Refused) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        let by = session.peer();
        let Some(handed) = session.handed.iter().find(|h| h.id == refused.id).copied() else {
            return;
        };
        let why = Refusal::words(refused.why);
        self.tx.effects.push(Effect::Event(Event::Refused { by, why }));
        if let ItemRef::Log { thread, .. } = handed.item {
            with_thread!(self, store, thread, |thread, ctx| thread.refused(
                ctx,
                by,
                handed.place
            ));
        }
    }

    fn on_ack(&mut self, link: LinkId, bytes: &Bytes) {
        let Ok(vector) = AckVector::decode(bytes) else {
            return self.misbehaved(link, "acknowledgement does not parse");
        };
        let now = self.mailbox_now();
        self.mailbox.release(now, &vector, &mut self.tx.batch);
    }

    fn on_reset(&mut self, store: &dyn Read, link: LinkId, handle: Handle) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        let peer = session.peer();
        session.signed_for.clear();
        session.handed.clear();
        if let Some(opened) = session.boxes.get_mut(&handle) {
            opened.view.on_reset();
        }
        let owner = self
            .threads
            .values()
            .find(|t| t.ring.by_handle(handle).is_some())
            .map(|t| t.id);
        if let Some(id) = owner {
            with_thread!(self, store, id, |thread, ctx| thread.relay_lost(ctx, peer));
        }
    }

    /// The first HAVE of a relay in a session: if it shows less than it has signed for, what it
    /// signed stands no longer.
    pub(super) fn compare_with_receipts(
        &mut self,
        link: LinkId,
        handle: Handle,
        store: &dyn Read,
    ) -> Result<(), ReadError> {
        let Some(session) = self.sessions.get(&link) else {
            return Ok(());
        };
        let peer = session.peer();
        let Some(shown) = session.boxes.get(&handle).and_then(|b| b.view.last()) else {
            return Ok(());
        };
        let (ranges, blobs) = (&shown.ranges, shown.blobs.as_ref());
        let owner = self.threads.values().find(|t| t.ring.by_handle(handle).is_some());
        let Some(thread) = owner else { return Ok(()) };
        let Some(held) = thread.relays.get(&peer) else {
            return Ok(());
        };
        let lost = shows_less(thread, handle, &held.ranges, ranges)
            || thread.handle_now() == Some(handle) && lacks_chunks(&held.blobs, blobs);
        if lost {
            let id = thread.id;
            with_thread!(self, store, id, |thread, ctx| thread.relay_lost(ctx, peer));
        }
        Ok(())
    }

    /// All threads look again at what they know.
    pub(super) fn settle_all(&mut self, store: &dyn Read) {
        let ids: Vec<ThreadId> = self.threads.keys().copied().collect();
        for id in ids {
            with_thread!(self, store, id, |thread, ctx| thread.settle(ctx));
        }
    }
}

/// Items of a handle that wait for a receipt on this link.
fn sent_to(session: &super::session::Session, handle: Handle) -> Vec<(MsgId, Place)> {
    session
        .handed
        .iter()
        .filter(|h| h.handle == handle)
        .map(|h| (h.id, h.place))
        .collect()
}

/// A content or control item of this handle that was signed for is not shown.
fn shows_less(thread: &Thread, handle: Handle, signed: &Ranges, shown: &Ranges) -> bool {
    thread.items.iter().any(|((column, slot, seq), item)| {
        let Ok(log @ (Log::Content | Log::Control)) = Log::from_u8(*column) else {
            return false;
        };
        item.handle == handle && signed.contains(*slot, log, *seq) && !shown.contains(*slot, log, *seq)
    })
}

fn lacks_chunks(signed: &Blobs, shown: Option<&Blobs>) -> bool {
    signed.0.iter().any(|(key, chunks)| {
        let there = shown.and_then(|b| b.0.get(key));
        !there.map_or(chunks.held() == 0, |t| chunks.minus(Some(t)).is_empty())
    })
}
