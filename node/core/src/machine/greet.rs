//! Who is there and what do they hold: HELLO, certificates, THREADS, OPEN, HAVE.

use super::queue::ItemRef;
use super::session::{
    COMPARE_AFTER_MS, GREET_MS, HAVE_AFTER_MS, HAVE_EVERY_MS, OpenedBox, Session, SharedThread,
};
use super::tx::Effect;
use super::{Event, LinkId, LinkInfo, Machine, Output, Part};
use crate::crypto::{Domain, KeyPair};
use crate::directory::{Learned, RoutingCert, Signed};
use crate::envelope::Class;
use crate::id::{Handle, Key8, ThreadId};
use crate::limits;
use crate::ranges::Ranges;
use crate::store::{Read, ReadError};
use crate::sync::{Have, HaveError, HaveHead, PeerView, Subject, ThreadList, threads};
use crate::wire::{
    BYE_VERSION, CAP_CARRY, CAP_RELAY, CAP_THIN, Frame, Hello, Open, ThreadMark, What, open_message,
};
use bytes::Bytes;
use std::collections::BTreeSet;

/// Names of a thread in THREADS at most, one for each control key by which a member may know it.
const KEYS_TOLD: usize = 8;
/// How often the certificate is told beside the greeting.
const CERTS_TOLD: u8 = 3;

impl Machine {
    pub(super) fn link_up(&mut self, link: LinkId, info: LinkInfo) -> Result<(), ReadError> {
        if self.sessions.len() >= limits::LINKS && !self.sessions.contains_key(&link) {
            self.out.push_back(Output::Disconnect {
                link,
                why: "too many links",
            });
            return Ok(());
        }
        let nonce = self.rng.array();
        let number = self.rng.below(1 << 20) as u32;
        let mut session = Session::new(info, nonce, number, self.now.mono);
        session.queue.ignores_classes(self.flaws.classes_ignored);
        self.sessions.insert(link, session);
        self.greet(link);
        Ok(())
    }

    /// HELLO and the routing certificate; until the peer's HELLO is here they are repeated.
    fn greet(&mut self, link: LinkId) {
        let caps = match self.cfg.part {
            Part::Member => 0,
            Part::Carrier => CAP_CARRY,
            Part::Relay => CAP_CARRY | CAP_RELAY,
        };
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        session.greeted = self.now.mono;
        let again = session.hello.is_none() && !self.flaws.greeted_once;
        session.greet_due = again.then(|| self.now.mono.plus_ms(GREET_MS));
        let caps = if session.info.thin { caps | CAP_THIN } else { caps };
        let hello = Hello {
            caps,
            nonce: session.nonce,
            ms: self.now.wall.0,
            set: 0,
            root: [0; 16],
        };
        let cert = Frame::Cert(self.id.routing_cert.clone());
        let mut frames = vec![Frame::Hello(hello), cert];
        let revocations = self.dir.revocations().take(64);
        frames.extend(revocations.map(|r| Frame::Revocation(r.encode())));
        self.send_now(link, &frames);
    }

    /// Small frames that need no budget and tell of no state.
    pub(super) fn send_now(&mut self, link: LinkId, frames: &[Frame]) {
        for frame in frames {
            let bytes = frame.encode();
            self.out.push_back(Output::Transmit {
                link,
                bytes,
                class: Class::Alarm,
            });
        }
    }

    pub(super) fn on_hello(&mut self, link: LinkId, hello: Hello) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        let again = session.hello.is_some_and(|h| h.nonce == hello.nonce);
        let quiet = self.now.mono.since_ms(session.greeted) >= GREET_MS;
        if session.hello.is_some() && !again && !quiet {
            // a peer that starts anew all the time gets no answer each time
            return;
        }
        // the first one may have been lost: what was opened here since the link came up stands
        let anew = session.hello.is_some() && !again;
        session.hello = Some(hello);
        session.greet_due = None;
        if anew {
            session.shared.clear();
            session.boxes.clear();
            session.followed.clear();
        }
        if !again || quiet && !session.answered {
            // the peer may have missed ours
            self.greet(link);
        }
        self.tell_threads(link);
        self.open_boxes(link);
    }

    pub(super) fn on_other_version(&mut self, link: LinkId) {
        self.send_now(link, &[Frame::Bye(BYE_VERSION)]);
        self.out.push_back(Output::Disconnect {
            link,
            why: "other protocol version",
        });
        self.sessions.remove(&link);
    }

    pub(super) fn on_cert(&mut self, link: LinkId, bytes: &Bytes) {
        let Ok(cert) = RoutingCert::decode(bytes) else {
            return self.misbehaved(link, "certificate does not parse");
        };
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        if cert.routing_key != session.info.peer {
            return self.misbehaved(link, "certificate of another key");
        }
        let pinned = self.pinned.contains(&cert.routing_key);
        if !pinned && self.dir.verify_routing(&cert, self.now.wall).is_err() {
            return self.misbehaved(link, "certificate is not trusted");
        }
        let hash = Key8::from_prefix(blake3::hash(bytes).as_bytes());
        session.cert = hash;
        session.org = cert.org;
    }

    /// THREADS, for a peer that may be a member.
    pub(super) fn tell_threads(&mut self, link: LinkId) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        let Some(hello) = session.hello.filter(|_| self.cfg.part == Part::Member) else {
            return;
        };
        if session.keeps() {
            return;
        }
        let mut own = Vec::new();
        session.listed.clear();
        for (id, thread) in &self.threads {
            let digest = threads::digest(&thread.have, &thread.blobs);
            for key in thread.keys_to_meet_by(KEYS_TOLD) {
                own.push((key.tag().clone(), digest));
                session.listed.push(*id);
            }
        }
        session.list = ThreadList::new(&own, &session.nonce, &hello.nonce);
        let frame = Frame::Threads(session.list.marks().to_vec()).encode();
        self.tx.effects.push(Effect::Transmit(link, frame, Class::Text));
        self.match_threads(link);
    }

    pub(super) fn on_threads(&mut self, link: LinkId, marks: Vec<ThreadMark>) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        session.their_marks = marks;
        session.threads_heard = true;
        if session.hello.is_some() {
            self.match_threads(link);
        }
    }

    fn match_threads(&mut self, link: LinkId) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        let mut found = false;
        for shared in session.list.shared(&session.their_marks) {
            let Some(id) = session.listed.get(shared.own).copied() else {
                continue;
            };
            let entry = session.shared.entry(id);
            found = true;
            entry.and_modify(|s| s.theirs = shared.theirs).or_insert_with(|| {
                let mut view = self
                    .remembered
                    .remove(&(session.info.peer, id))
                    .unwrap_or_default();
                view.on_session();
                SharedThread::new(shared.theirs, view)
            });
        }
        if found {
            session.due_have(self.now.mono, 0);
            let ids: Vec<ThreadId> = session.shared.keys().copied().collect();
            self.tx.effects.extend(ids.into_iter().map(Effect::Offer));
        }
    }

    /// Opens the own inbox at the peer, and at a carrier or relay every handle of every thread.
    pub(super) fn open_boxes(&mut self, link: LinkId) {
        let Some(member) = &self.id.member else { return };
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        let mut keys: Vec<KeyPair> = vec![member.inbox.clone()];
        if session.keeps() {
            let rings = self.threads.values().flat_map(|t| t.ring.iter());
            keys.extend(rings.map(|k| k.handle_pair().clone()));
        }
        let mut frames = Vec::new();
        for key in keys {
            let handle = Handle::of_key(&key.public());
            let opened = session.boxes.entry(handle).or_insert_with(OpenedBox::default);
            if opened.answered {
                continue;
            }
            let what = What::Follow;
            let sig = key.sign(Domain::Open, &open_message(&session.info.exporter, handle, what));
            frames.push(Frame::Open(Open {
                handle,
                key: key.public(),
                what,
                sig,
            }));
        }
        session.due_have(self.now.mono, 0);
        self.send_now(link, &frames);
    }

    pub(super) fn on_open(&mut self, store: &dyn Read, link: LinkId, open: Open) -> Result<(), ReadError> {
        let Some(session) = self.sessions.get_mut(&link) else {
            return Ok(());
        };
        if !open.verify(&session.info.exporter) {
            self.misbehaved(link, "mailbox opened with a wrong signature");
            return Ok(());
        }
        if open.what == What::Close {
            session.followed.remove(&open.handle);
            return Ok(());
        }
        if session.followed.len() >= limits::THREADS * 4 {
            return Ok(());
        }
        session.followed.entry(open.handle).or_default();
        session.due_have(self.now.mono, HAVE_AFTER_MS);
        let peer = session.info.peer;
        let untold =
            |told: &mut BTreeSet<_>| told.len() < limits::RESETS_TOLD && told.insert((peer, open.handle));
        if self.reset.as_mut().is_some_and(untold) {
            self.send_now(link, &[Frame::Reset(open.handle)]);
        }
        // an answer even if nothing is here: the peer learns that it is heard
        self.tell_handle(link, open.handle);
        self.push_to(store, link, open.handle)
    }

    /// HAVE of a handle that the peer reads here.
    fn tell_handle(&mut self, link: LinkId, handle: Handle) {
        let (ranges, blobs) = self.mailbox.have(handle);
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        session.have_number += 1;
        let mut have = Have::new(Subject::Handle(handle), session.have_number, ranges);
        have.blobs = Some(blobs);
        for body in have.encode_all(None, None) {
            let frame = Frame::Have(body).encode();
            self.tx.effects.push(Effect::Transmit(link, frame, Class::Text));
        }
    }

    /// What this device holds of each thread that the peer knows, or of each handle opened there.
    pub(super) fn tell_have(&mut self, link: LinkId) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        session.have_due = Some(self.now.mono.plus_ms(HAVE_EVERY_MS));
        let mut bodies = Vec::new();
        for (id, shared) in &mut session.shared {
            let Some(thread) = self.threads.get(id) else {
                continue;
            };
            session.have_number = session.have_number.wrapping_add(1);
            let mut have = have_of(thread, Subject::Thread(shared.theirs), session.have_number);
            have.ask_explicit = shared.ask;
            let slots = thread.slot_list();
            let known = (!shared.explicit).then_some(&slots[..]);
            bodies.extend(have.encode_all(known, shared.told.as_ref().filter(|_| !shared.explicit)));
            shared.told = Some(have);
        }
        for handle in session.boxes.keys().filter(|_| session.hello.is_some()) {
            let owner = self
                .threads
                .values()
                .find(|t| t.ring.by_handle(*handle).is_some());
            let keeps = session
                .hello
                .is_some_and(|h| h.caps & (CAP_CARRY | CAP_RELAY) != 0);
            if let Some(thread) = owner.filter(|_| keeps) {
                session.have_number = session.have_number.wrapping_add(1);
                let have = have_of(thread, Subject::Handle(*handle), session.have_number);
                bodies.extend(have.encode_all(None, None));
            }
        }
        for body in bodies {
            let frame = Frame::Have(body).encode();
            self.tx.effects.push(Effect::Transmit(link, frame, Class::Text));
        }
    }

    pub(super) fn on_have(&mut self, store: &dyn Read, link: LinkId, body: &Bytes) -> Result<(), ReadError> {
        let Ok(head) = HaveHead::decode(body) else {
            self.misbehaved(link, "have does not parse");
            return Ok(());
        };
        match head.subject {
            Subject::Thread(t) => self.have_of_thread(store, link, t, &head),
            Subject::Handle(handle) => self.have_of_handle(store, link, handle, &head),
        }
    }

    fn have_of_thread(
        &mut self,
        store: &dyn Read,
        link: LinkId,
        t: u32,
        head: &HaveHead,
    ) -> Result<(), ReadError> {
        let now = self.now.mono;
        let Some(session) = self.sessions.get_mut(&link) else {
            return Ok(());
        };
        let id = session
            .list
            .own(t)
            .and_then(|own| session.listed.get(own).copied());
        let Some((id, shared)) = id.and_then(|id| Some((id, session.shared.get_mut(&id)?))) else {
            return Ok(());
        };
        let Some(thread) = self.threads.get(&id) else {
            return Ok(());
        };
        let slots = thread.slot_list();
        if head.ask_explicit {
            shared.explicit = true;
            session.have_due = Some(now);
        } else {
            shared.explicit = false;
        }
        let before = objects_of(&shared.view);
        match shared
            .view
            .receive(head, Some(&slots), now, super::session::GRACE_MS)
        {
            Ok(_) => {
                shared.ask = false;
                if objects_of(&shared.view) > before {
                    // chunks that came before their entry were thrown away there
                    session
                        .tries
                        .retain(|item, _| !matches!(item, ItemRef::Chunk { thread: t, .. } if *t == id));
                }
                shared.heard = true;
                self.plan(store, link)
            }
            Err(HaveError::UnknownSlots | HaveError::UnknownBase) => {
                shared.ask = true;
                session.due_have(now, HAVE_AFTER_MS);
                Ok(())
            }
            Err(HaveError::Malformed(_)) => {
                self.misbehaved(link, "have does not parse");
                Ok(())
            }
        }
    }

    fn have_of_handle(
        &mut self,
        store: &dyn Read,
        link: LinkId,
        handle: Handle,
        head: &HaveHead,
    ) -> Result<(), ReadError> {
        let now = self.now.mono;
        let grace = super::session::GRACE_MS;
        let Some(session) = self.sessions.get_mut(&link) else {
            return Ok(());
        };
        if let Some(followed) = session.followed.get_mut(&handle) {
            let before = objects_of(&followed.view);
            let held = followed.view.last().map(|have| have.ranges.clone());
            let _ = followed.view.receive(head, None, now, grace);
            if objects_of(&followed.view) > before {
                // chunks that came before their entry were thrown away there
                session
                    .tries
                    .retain(|item, _| !matches!(item, ItemRef::Held { handle: h, .. } if *h == handle));
            }
            let still = |held: &Ranges| {
                followed
                    .view
                    .last()
                    .is_some_and(|now| held.minus(&now.ranges).is_empty())
            };
            if !held.as_ref().is_some_and(still) {
                // a false rewrap was thrown away there: what lies behind it is looked at again
                followed.done.clear();
            }
            return self.push_to(store, link, handle);
        }
        let Some(opened) = session.boxes.get_mut(&handle) else {
            return Ok(());
        };
        let fresh = !opened.answered;
        opened.answered = true;
        let before = opened.view.last().cloned();
        if opened.view.receive(head, None, now, grace).is_err() {
            self.misbehaved(link, "have does not parse");
            return Ok(());
        }
        let still = |before: &Have| {
            let now = opened.view.last();
            now.is_some_and(|now| before.ranges.minus(&now.ranges).is_empty() && before.blobs == now.blobs)
        };
        if !before.as_ref().is_some_and(still) {
            session.quiet.clear();
        }
        if fresh {
            // a large HAVE comes in parts, and every handle has its own
            session.compare_due = Some(now.plus_ms(COMPARE_AFTER_MS));
            // what was told when it was opened may have come before the opening
            session.due_have(now, 0);
            let peer = session.peer();
            let signed = self
                .threads
                .iter()
                .filter_map(|(id, t)| Some((*id, t.relays.get(&peer)?.clone())));
            for (id, held) in signed {
                session.signed_before.entry(id).or_insert(held);
            }
        }
        self.plan(store, link)
    }

    /// What is due by time on a link.
    pub(super) fn wake_session(&mut self, store: &dyn Read, link: LinkId) -> Result<(), ReadError> {
        let mono = self.now.mono;
        let Some(session) = self.sessions.get(&link) else {
            return Ok(());
        };
        let greet = session.greet_due.is_some_and(|at| at <= mono);
        let have = session.have_due.is_some_and(|at| at <= mono);
        let receipt = session.receipt_due.is_some_and(|at| at <= mono);
        let compare = session.compare_due.is_some_and(|at| at <= mono);
        if greet {
            self.greet(link);
        }
        if receipt {
            self.sign_receipts(link);
        }
        if compare {
            self.compare_with_receipts(link, store);
        }
        if have {
            self.tell_cert_again(link);
            self.tell_threads_again(link);
            self.open_boxes_again(link);
            self.tell_have(link);
            self.push_all(store, link)?;
            self.plan(store, link)?;
            if self.flaws.no_periodic_repair
                && let Some(session) = self.sessions.get_mut(&link)
            {
                session.have_due = None;
            }
        }
        Ok(())
    }

    /// The certificate again, in case it was lost: without it bursts and receipts count for nothing.
    fn tell_cert_again(&mut self, link: LinkId) {
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        if session.certs_told < CERTS_TOLD {
            session.certs_told += 1;
            let cert = Frame::Cert(self.id.routing_cert.clone());
            self.send_now(link, &[cert]);
        }
    }

    /// THREADS again for a member that has not told its own, or nothing of a thread that both know.
    fn tell_threads_again(&mut self, link: LinkId) {
        let member = self.cfg.part == Part::Member;
        let Some(session) = self.sessions.get(&link).filter(|s| member && !s.keeps()) else {
            return;
        };
        let unheard = !session.threads_heard || session.shared.values().any(|s| !s.heard);
        if session.hello.is_some() && unheard && self.now.mono.since_ms(session.greeted) >= GREET_MS {
            let frame = Frame::Threads(session.list.marks().to_vec()).encode();
            self.tx.effects.push(Effect::Transmit(link, frame, Class::Text));
        }
    }

    /// Handles that are new, or whose opening was not answered.
    fn open_boxes_again(&mut self, link: LinkId) {
        let Some(session) = self.sessions.get(&link) else {
            return;
        };
        if session.hello.is_none() {
            return;
        }
        let known = session.boxes.iter().filter(|(_, b)| b.answered).count();
        let rings = self.threads.values().flat_map(|t| t.ring.iter());
        let wanted = 1 + rings.filter(|_| session.keeps()).count();
        if known < wanted {
            self.open_boxes(link);
        }
        if let Some(session) = self.sessions.get_mut(&link) {
            session.have_due = Some(self.now.mono.plus_ms(HAVE_EVERY_MS));
        }
    }

    pub(super) fn on_revocation(&mut self, store: &dyn Read, bytes: &Bytes) {
        if matches!(self.dir.learn_revocation(bytes, &mut self.tx.batch), Learned::New)
            && let Ok(revocation) = crate::directory::Revocation::decode(bytes)
        {
            self.tx
                .effects
                .push(Effect::Event(Event::Revoked { key: revocation.key }));
            self.tx.effects.push(Effect::Rumour);
            self.settle_all(store);
        }
    }

    /// A new revocation goes to everybody in reach.
    pub(super) fn tell_revocations(&mut self) {
        let revocations: Vec<Frame> = self
            .dir
            .revocations()
            .take(64)
            .map(|r| Frame::Revocation(r.encode()))
            .collect();
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        for link in links {
            self.send_now(link, &revocations);
        }
    }

    pub(super) fn misbehaved(&mut self, link: LinkId, rule: &'static str) {
        tracing::debug!(link = link.0, rule, "peer misbehaved");
        self.tx
            .effects
            .push(Effect::Event(Event::PeerMisbehaved { link, rule }));
    }
}

/// What this device stores of a thread.
fn have_of(thread: &crate::thread::Thread, subject: Subject, number: u32) -> Have {
    let mut have = Have::new(subject, number, thread.have.clone());
    have.blobs = Some(thread.blobs.clone());
    have
}

/// Layers of blobs that the peer knows of.
fn objects_of(view: &PeerView) -> usize {
    view.last()
        .and_then(|have| have.blobs.as_ref())
        .map_or(0, |blobs| blobs.0.len())
}
