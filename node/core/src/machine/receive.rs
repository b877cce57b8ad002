//! Frames from a peer: dispatch, items, bursts, receipts, acknowledgements.

use super::queue::ItemRef;
use super::session::HAVE_AFTER_MS;
use super::tx::Effect;
use super::{Event, LinkId, Machine, Part, with_thread};
use crate::directory::{DeviceCert, Signed};
use crate::envelope::{Class, Envelope, Place};
use crate::group::direct::{self, Claim, Recipient};
use crate::group::welcome::Welcome;
use crate::id::{Handle, MsgId, ThreadId};
use crate::limits;
use crate::mailbox::proof::{Ack, AckVector, Burst, CarryReceipt, RelayReceipt};
use crate::mailbox::{Offer, Refusal, Verdict};
use crate::ranges::Log;
use crate::store::{Read, ReadError};
use crate::sync::{Have, Whole};
use crate::thread::{Absorbed, REWRAP, RelayHeld, Thread};
use crate::time::Wall;
use crate::wire::{Frame, Refused, decode_all};
use bytes::Bytes;
use std::collections::BTreeSet;
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
        if let Some(session) = self.sessions.get_mut(&link) {
            session.heard = self.now.mono;
            // only who heard the own greeting sends these
            session.answered |= matches!(frame, Frame::Threads(_) | Frame::Open(_) | Frame::Burst(_));
        }
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
            if let Some(opened) = session.boxes.get_mut(&envelope.handle) {
                opened.view.brought(envelope.place);
            }
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

    /// An item for this device: a Welcome, or a direct seal.
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
        if envelope.payload.first() == Some(&direct::TYPE) {
            if self.take_direct(store, &envelope.payload) {
                self.tell_taken(link, vec![id]);
            }
            return Ok(());
        }
        match Welcome::decode(&envelope.payload) {
            Ok(welcome) => self.join(store, link, &welcome)?,
            Err(_) => self.misbehaved(link, "inbox item does not parse"),
        }
        self.tell_taken(link, vec![id]);
        Ok(())
    }

    /// Takes a direct seal. `false`: its thread or author is not known here yet; it is not stored, and lies
    /// on where it lay until its lifetime ends. Faults are not charged to who brought it: a carrier can see
    /// none of them.
    fn take_direct(&mut self, store: &dyn Read, payload: &Bytes) -> bool {
        let Some(member) = &self.id.member else {
            return true;
        };
        let Ok(cert) = DeviceCert::decode(&member.cert) else {
            return true;
        };
        let me = Recipient::of(&cert);
        let claim = match Claim::open(&self.crypto, payload, &me, &member.seal) {
            Ok(claim) => claim,
            Err(error) => {
                tracing::debug!(%error, "direct seal");
                return true;
            }
        };
        with_thread!(self, store, claim.thread(), |thread, ctx| thread
            .absorb_direct(ctx, &claim))
        .unwrap_or(false)
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
            // signed for when its burst named it
            self.mailbox.came_again(envelope, whole.id);
            return Ok(());
        };
        let (from, org) = (session.peer(), session.org);
        let age_s = whole.carry.map_or(0, |c| c.age_s);
        let offer = Offer {
            from,
            org,
            org_alone: self.dir.roots().count() < 2,
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
                self.owe_receipt(link, envelope.handle, (envelope.class, envelope.place), whole.id);
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
    fn owe_receipt(&mut self, link: LinkId, handle: Handle, (class, place): (Class, Place), id: MsgId) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        session.unsigned.entry(handle).or_default().push((id, place));
        let at = self.now.mono.plus_ms(RECEIPT_AFTER_MS);
        session.receipt_due = Some(session.receipt_due.map_or(at, |due| due.min(at)));
        if class <= Class::Clinical {
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
            self.mailbox.signed(receipts.len());
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
        if !burst.verify(&session.info.peer) && !self.flaws.burst_unsigned {
            return self.misbehaved(link, "burst with a wrong signature");
        }
        let burst = Rc::new(burst);
        while session.announced.len() + burst.items.len() > limits::ITEMS_PER_BURST * 4 {
            session.announced.pop_first();
        }
        let held = |id: &MsgId| self.mailbox.held(burst.handle()?, *id).cloned();
        let (held, new): (Vec<_>, Vec<_>) = burst
            .items
            .iter()
            .map(|id| (*id, held(id)))
            .partition(|(_, h)| h.is_some());
        for (id, _) in new {
            session.announced.insert(id, burst.clone());
        }
        // its sender need not send it again to get a receipt that was lost on the way
        for held in held.into_iter().filter_map(|(_, held)| held) {
            let handle = burst.handle().unwrap_or_default();
            self.owe_receipt(link, handle, (held.class, held.place), held.id);
        }
    }

    /// A carrier or relay signed for items that this device handed to it.
    fn on_receipt(&mut self, store: &dyn Read, link: LinkId, bytes: &Bytes) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        if session.cert.is_none() {
            return self.misbehaved(link, "receipt of a key that is not certified");
        }
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
        let classes: BTreeSet<Class> = done.iter().map(|h| h.class).collect();
        classes.into_iter().for_each(|class| session.takes_more(class));
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
        let Some(handed) = session.handed.iter_mut().find(|h| h.id == refused.id) else {
            return;
        };
        handed.named = true;
        let handed = *handed;
        if Refusal::means_no_more(refused.why) {
            session.takes_no_more(handed.class, self.now.mono);
        }
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
        let unsigned = self.flaws.ack_unsigned && !matches!(vector.ack, Ack::Purge(..));
        let one_purges = self.flaws.purge_by_one && matches!(vector.ack, Ack::Purge(..)) && vector.verify();
        if unsigned || one_purges {
            self.mailbox.release_named(&vector, &mut self.tx.batch);
        } else {
            self.mailbox.release(now, &vector, &mut self.tx.batch);
        }
    }

    fn on_reset(&mut self, store: &dyn Read, link: LinkId, handle: Handle) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        let peer = session.peer();
        session.signed_for.clear();
        session.handed.clear();
        session.signed_before.clear();
        session.tries.clear();
        session.quiet.clear();
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

    /// If a relay shows less than it has signed for, what it signed stands no longer. Judged over all
    /// handles of a thread together, once each was answered: an item lies under one of them.
    pub(super) fn compare_with_receipts(&mut self, link: LinkId, store: &dyn Read) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        session.compare_due = None;
        let peer = session.peer();
        let mut lost = Vec::new();
        for (id, thread) in &self.threads {
            let Some(signed) = session.signed_before.get(id) else {
                continue;
            };
            let boxes = thread
                .ring
                .iter()
                .map(|k| session.boxes.get(&k.handle()).filter(|b| b.answered));
            let Some(boxes) = boxes.collect::<Option<Vec<_>>>() else {
                continue;
            };
            let shown: Vec<&Have> = boxes.iter().filter_map(|b| b.view.last()).collect();
            if shown.len() == boxes.len() && shows_less(signed, &shown) {
                lost.push(*id);
            }
        }
        session.signed_before.clear();
        session.quiet.clear();
        for id in lost {
            with_thread!(self, store, id, |thread, ctx| thread.relay_lost(ctx, peer));
        }
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

/// An entry, control object or chunk that was signed for is in none of the HAVEs. Heads are replaced by
/// newer ones, so they say nothing.
fn shows_less(signed: &RelayHeld, shown: &[&Have]) -> bool {
    let places = signed.ranges.0.iter().filter(|((_, log), _)| *log != Log::Heads);
    let lacks_place = places.clone().any(|((slot, log), set)| {
        let mut left = set.clone();
        for have in shown {
            if let Some(there) = have.ranges.get(*slot, *log) {
                left = left.minus(there);
            }
        }
        !left.is_empty()
    });
    let lacks_chunk = signed.blobs.0.iter().any(|(key, chunks)| {
        let mut left = chunks.numbers().clone();
        for there in shown.iter().filter_map(|h| h.blobs.as_ref()?.0.get(key)) {
            left = left.minus(there.numbers());
        }
        !left.is_empty()
    });
    lacks_place || lacks_chunk
}
