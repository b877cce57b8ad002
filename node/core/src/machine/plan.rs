//! What goes to whom: to members what they lack, to carriers and relays what they have not signed
//! for, in bursts; and filling a link's budget from its queue.

use super::queue::{ItemRef, Next, Rank};
use super::session::{GRACE_MS, HAVE_AFTER_MS, Handed, RECEIPT_AFTER_MS, SILENCE_MS, Session};
use super::tx::Effect;
use super::{LinkId, Machine, Output};
use crate::blobs::Chunks;
use crate::crypto::KeyPair;
use crate::envelope::{Class, Envelope, Place};
use crate::id::{Handle, Key8, MsgId, Org, ThreadId};
use crate::limits;
use crate::mailbox::proof::{Ack, AckVector, Burst};
use crate::ranges::Log;
use crate::store::{Read, ReadError, table};
use crate::thread::{ItemKey, REWRAP, Thread};
use crate::wire::Frame;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Chunks planned at once; the rest follows when these are gone.
const CHUNKS_AT_ONCE: usize = 128;
/// Items of one burst here: small enough that a lost burst costs little.
const BURST_ITEMS: usize = 24;

impl Machine {
    /// New items of a thread: all links that want them get them.
    pub(super) fn offer_thread(&mut self, store: &dyn Read, thread: ThreadId) -> Result<(), ReadError> {
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        for link in links {
            let now = self.now.mono;
            let Some(session) = self.sessions.get_mut(&link) else {
                continue;
            };
            if session.hello.is_some() && !session.keeps() && !session.listed.contains(&thread) {
                self.tell_threads(link);
            }
            let Some(session) = self.sessions.get_mut(&link) else {
                continue;
            };
            session.quiet.remove(&thread);
            if session.reaches(thread) || session.keeps() {
                session.due_have(now, HAVE_AFTER_MS);
            }
            self.plan(store, link)?;
        }
        Ok(())
    }

    /// Queues what the peer lacks, then fills the link.
    pub(super) fn plan(&mut self, store: &dyn Read, link: LinkId) -> Result<(), ReadError> {
        let Some(session) = self.sessions.get(&link) else {
            return Ok(());
        };
        if session.keeps() {
            self.plan_carrier(store, link)?;
        } else {
            self.plan_member(link);
        }
        self.fill(store, link)
    }

    fn plan_member(&mut self, link: LinkId) {
        let now = self.now.mono;
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        for (id, shared) in &session.shared {
            let Some(thread) = self.threads.get(id) else {
                continue;
            };
            if !shared.view.known() {
                continue;
            }
            for ((slot, log), set) in shared.view.owed(&thread.have, now, GRACE_MS).0 {
                for seq in set.iter() {
                    let columns = [REWRAP, log as u8];
                    let columns = if log == Log::Content {
                        &columns[..]
                    } else {
                        &columns[1..]
                    };
                    let Some(column) = columns
                        .iter()
                        .find(|c| thread.items.contains_key(&(**c, slot, seq)))
                    else {
                        continue;
                    };
                    let class = thread.items[&(*column, slot, seq)].class;
                    let item = ItemRef::Log {
                        thread: *id,
                        column: *column,
                        slot,
                        seq,
                    };
                    if session.may_send(&item, now) {
                        session.queue.item(class, rank_of(log), item);
                    }
                }
            }
            for (object, layer, index) in
                shared
                    .view
                    .owed_chunks(&thread.blobs, now, GRACE_MS, CHUNKS_AT_ONCE)
            {
                let item = ItemRef::Chunk {
                    thread: *id,
                    object,
                    layer,
                    index,
                };
                if session.may_send(&item, now) {
                    session
                        .queue
                        .item(thread.chunk_class(object, layer), Rank::Chunk, item);
                }
            }
        }
    }

    /// Items that the carrier has not signed for, in bursts of one handle and class.
    fn plan_carrier(&mut self, store: &dyn Read, link: LinkId) -> Result<(), ReadError> {
        let now = self.now.mono;
        let held = self.own_held();
        let Some(session) = self.sessions.get_mut(&link) else {
            return Ok(());
        };
        let peer = session.peer();
        let again = !self.flaws.not_offered_again;
        session
            .handed
            .retain(|h| now.since_ms(h.at) < SILENCE_MS || !again);
        let session = &*session;
        let mut groups: BTreeMap<(Class, Handle), Vec<Owed>> = BTreeMap::new();
        let handed = |item: &ItemRef| {
            let mut of_item = session.handed.iter().filter(|h| h.item == *item);
            of_item.any(|h| session.awaits(h, now) || !again)
        };
        let waits = |item: &ItemRef| session.queue.holds(item) || handed(item);
        // a receipt names places: of two items of one place only one at a time waits for its receipt
        let mut taken: BTreeMap<ItemRef, ItemRef> = BTreeMap::new();
        taken.extend(session.handed.iter().map(|h| (h.item.place_of(), h.item)));
        let mut quiet = Vec::new();
        for (id, thread) in self.threads.iter().filter(|(id, _)| !session.quiet.contains(*id)) {
            let owed = owed_to_carrier(thread, peer, session);
            if owed.is_empty() {
                quiet.push(*id);
            }
            for (class, handle, owed) in owed {
                let item = owed.item;
                if !waits(&item) && *taken.entry(item.place_of()).or_insert(item) == item {
                    groups.entry((class, handle)).or_default().push(owed);
                }
            }
        }
        for (handle, id, class) in held {
            let item = ItemRef::Held { handle, id };
            if !waits(&item) && !session.signed_for.contains(&id) {
                let owed = Owed {
                    rank: Rank::Control,
                    item,
                    named: false,
                };
                groups.entry((class, handle)).or_default().push(owed);
            }
        }
        let session = self.sessions.get_mut(&link).expect("planned for above");
        session.quiet.extend(quiet);
        for class in Class::ALL {
            let room = session.allows(class, BURST_ITEMS, now);
            only_some(&mut groups, class, room, |item| session.times_tried(item));
        }
        for ((class, handle), mut items) in groups {
            items.sort();
            for part in items.chunks(BURST_ITEMS) {
                self.hand_over(store, link, class, handle, part)?;
            }
        }
        Ok(())
    }

    /// A burst, and its items behind it.
    fn hand_over(
        &mut self,
        store: &dyn Read,
        link: LinkId,
        class: Class,
        handle: Handle,
        items: &[Owed],
    ) -> Result<(), ReadError> {
        let mut ids = Vec::new();
        let mut handed = Vec::new();
        for Owed { item, named, .. } in items {
            let Some(bytes) = self.read_item(store, *item)? else {
                continue;
            };
            let Ok(envelope) = Envelope::decode(&bytes) else {
                continue;
            };
            let id = MsgId::of(&bytes);
            ids.push(id);
            handed.push(Handed {
                id,
                place: envelope.place,
                item: *item,
                handle,
                class,
                at: self.now.mono,
                named: *named,
            });
        }
        if ids.is_empty() {
            return Ok(());
        }
        let hk: Option<KeyPair> = self
            .threads
            .values()
            .find_map(|t| t.ring.by_handle(handle))
            .map(|k| k.handle_pair().clone());
        let cert = Key8::from_prefix(blake3::hash(&self.id.routing_cert).as_bytes()).unwrap_or_default();
        let burst = Burst::make(cert, ids, hk.as_ref(), &self.id.routing);
        let Some(session) = self.sessions.get_mut(&link) else {
            return Ok(());
        };
        session
            .queue
            .frame(class, Rank::Proof, Frame::Burst(burst.bytes().clone()).encode());
        for owed in items {
            match owed.named {
                true => session.tried(owed.item, self.now.mono),
                false => session.queue.item(class, owed.rank, owed.item),
            }
        }
        session
            .handed
            .retain(|old| !handed.iter().any(|new| new.id == old.id));
        session.handed.extend(handed);
        session.due_have(self.now.mono, RECEIPT_AFTER_MS);
        Ok(())
    }

    /// Own items for other devices' inboxes.
    pub(super) fn own_held(&self) -> Vec<(Handle, MsgId, Class)> {
        let own = Key8::of_key(&self.id.routing.public());
        let mine = self.inbox();
        let handles = self.mailbox.handles().filter(|h| Some(*h) != mine);
        let held = handles.flat_map(|h| self.mailbox.items(h).map(move |i| (h, i)));
        held.filter(|(_, i)| i.origin == own && i.place == Place::Inbox)
            .map(|(h, i)| (h, i.id, i.class))
            .collect()
    }

    /// Sends from the queue while the budget lasts.
    pub(super) fn fill(&mut self, store: &dyn Read, link: LinkId) -> Result<(), ReadError> {
        loop {
            let Some(session) = self.sessions.get_mut(&link) else {
                return Ok(());
            };
            let unit = match self.flaws.units_longer_than_the_link_takes {
                true => 2 * limits::UNIT_BYTES,
                false => session.info.mtu.min(limits::UNIT_BYTES),
            };
            match session.queue.next() {
                None => return Ok(()),
                Some(Next::Frame(frame, class)) => {
                    if (frame.len() as u64) > session.credit {
                        return Ok(());
                    }
                    session.credit -= frame.len() as u64;
                    let whole = session.queue.sent();
                    self.transmit(link, frame, class);
                    if let Some(item) = whole {
                        self.item_sent(link, item);
                    }
                }
                Some(Next::Read(item)) => {
                    let bytes = self.read_item(store, item)?;
                    if let Some(session) = self.sessions.get_mut(&link) {
                        session.queue.begin(bytes, unit);
                    }
                }
            }
        }
    }

    /// What is queued may be of a batch in flight, so it waits for the newest of them.
    fn transmit(&mut self, link: LinkId, bytes: Bytes, class: Class) {
        if self.tx.is_durable() || self.flaws.items_leave_in_flight {
            self.out.push_back(Output::Transmit { link, bytes, class });
        } else {
            self.tx.effects.push(Effect::Transmit(link, bytes, class));
        }
    }

    fn item_sent(&mut self, link: LinkId, item: ItemRef) {
        let now = self.now.mono;
        let Some(session) = self.sessions.get_mut(&link) else {
            return;
        };
        for handed in session.handed.iter_mut().filter(|h| h.item == item) {
            handed.at = now;
        }
        session.tried(item, now);
        match item {
            ItemRef::Log {
                thread,
                column,
                slot,
                seq,
            } => {
                let log = Log::from_u8(column).unwrap_or(Log::Content);
                if let Some(shared) = session.shared.get_mut(&thread) {
                    shared.view.sent(Place::Log { slot, log, seq }, now);
                }
            }
            ItemRef::Chunk {
                thread,
                object,
                layer,
                index,
            } => {
                if let Some(shared) = session.shared.get_mut(&thread) {
                    shared.view.sent(Place::Chunk { object, layer, index }, now);
                }
            }
            ItemRef::Held { .. } => {}
        }
    }

    /// The envelope of an item; `None` if it is gone, or not durable yet: then it is offered when its
    /// batch is. Whatever made the machine look at its queue, what is in flight must not leave.
    fn read_item(&self, store: &dyn Read, item: ItemRef) -> Result<Option<Bytes>, ReadError> {
        match item {
            ItemRef::Log {
                thread,
                column,
                slot,
                seq,
            } => {
                let key = table::envelope(thread, slot, column, seq);
                match self.flaws.items_leave_in_flight {
                    true => self.tx.get(store, &key),
                    false => store.get(&key),
                }
            }
            ItemRef::Chunk {
                thread,
                object,
                layer,
                index,
            } => {
                let Some(sealed) = store.get(&table::chunk(thread, object, layer, index))? else {
                    return Ok(None);
                };
                let Some(thread) = self.threads.get(&thread) else {
                    return Ok(None);
                };
                let Some(handle) = thread.handle_now() else {
                    return Ok(None);
                };
                let class = thread.chunk_class(object, layer);
                let place = Place::Chunk { object, layer, index };
                let envelope = Envelope {
                    class,
                    ttl: class.ttl(),
                    handle,
                    place,
                    payload: sealed,
                };
                Ok(Some(envelope.encode()))
            }
            ItemRef::Held { handle, id } => self.mailbox.bytes(store, handle, id),
        }
    }

    /// New items of a handle go to all who follow it, but the one that brought them.
    pub(super) fn push_handle(
        &mut self,
        store: &dyn Read,
        handle: Handle,
        from: LinkId,
    ) -> Result<(), ReadError> {
        let links: Vec<LinkId> = self
            .sessions
            .iter()
            .filter(|(l, s)| **l != from && s.followed.contains_key(&handle))
            .map(|(l, _)| *l)
            .collect();
        for link in links {
            self.push_to(store, link, handle)?;
        }
        Ok(())
    }

    pub(super) fn push_all(&mut self, store: &dyn Read, link: LinkId) -> Result<(), ReadError> {
        let Some(session) = self.sessions.get(&link) else {
            return Ok(());
        };
        let handles: Vec<Handle> = session.followed.keys().copied().collect();
        for handle in handles {
            self.push_to(store, link, handle)?;
        }
        Ok(())
    }

    /// Queues what the peer lacks of a handle that it follows here.
    pub(super) fn push_to(
        &mut self,
        store: &dyn Read,
        link: LinkId,
        handle: Handle,
    ) -> Result<(), ReadError> {
        let now = self.now.mono;
        let Some(session) = self.sessions.get_mut(&link) else {
            return Ok(());
        };
        let Some(followed) = session.followed.get(&handle) else {
            return Ok(());
        };
        let theirs = followed.view.last();
        let lacks = |place: &Place| match (*place, theirs) {
            (Place::Log { slot, log, seq }, Some(have)) => !have.ranges.contains(slot, log, seq),
            (Place::Chunk { object, layer, index }, Some(have)) => {
                let held = have.blobs.as_ref().and_then(|b| b.0.get(&(object, layer)));
                !held.is_some_and(|c: &Chunks| c.contains(index))
            }
            (Place::Log { .. } | Place::Chunk { .. }, None) => false,
            (Place::Inbox, _) => true,
        };
        let recent = |id: MsgId| !session.may_send(&ItemRef::Held { handle, id }, now);
        let mut done = followed.done.clone();
        let (mut chunks, mut owed) = (0, Vec::new());
        'all: for class in Class::ALL {
            let done = done.entry(class).or_default();
            let mut all_there = theirs.is_some();
            for (order, held) in self.mailbox.arrivals(handle, class, *done) {
                let is_lacking = lacks(&held.place);
                all_there &= !is_lacking;
                if all_there {
                    *done = order + 1;
                }
                if !is_lacking || recent(held.id) || session.signed_for.contains(&held.id) {
                    continue;
                }
                chunks += usize::from(matches!(held.place, Place::Chunk { .. }));
                if chunks > CHUNKS_AT_ONCE {
                    break 'all;
                }
                let rank = match held.place {
                    Place::Log { log, .. } => rank_of(log),
                    Place::Chunk { .. } => Rank::Chunk,
                    Place::Inbox => Rank::Control,
                };
                owed.push((class, rank, ItemRef::Held { handle, id: held.id }));
            }
        }
        if let Some(followed) = session.followed.get_mut(&handle) {
            followed.done = done;
        }
        for (class, rank, item) in owed {
            session.queue.item(class, rank, item);
        }
        self.fill(store, link)
    }

    /// Own items for other devices' inboxes are kept like any others, under an own burst.
    pub(super) fn own_inbox_items(&mut self) {
        let now = self.mailbox_now();
        for envelope in std::mem::take(&mut self.tx.inbox) {
            let bytes = envelope.encode();
            let cert = Key8::from_prefix(blake3::hash(&self.id.routing_cert).as_bytes()).unwrap_or_default();
            let burst = Burst::make(cert, vec![MsgId::of(&bytes)], None, &self.id.routing);
            let from = Key8::of_key(&self.id.routing.public());
            let offer = crate::mailbox::Offer {
                from,
                org: Org::default(),
                org_alone: true,
                burst: &burst,
                item: &bytes,
                envelope: &envelope,
                age_s: 0,
            };
            self.mailbox.keep_own(now, offer, &mut self.tx.batch);
            self.tx
                .effects
                .push(Effect::Push(envelope.handle, LinkId(u32::MAX)));
            let threads: Vec<ThreadId> = self.threads.keys().copied().take(1).collect();
            self.tx.effects.extend(threads.into_iter().map(Effect::Offer));
        }
    }

    /// Tells the peer that inbox items were taken, once that is durable.
    pub(super) fn tell_taken(&mut self, link: LinkId, ids: Vec<MsgId>) {
        let Some(member) = &self.id.member else { return };
        let vector = AckVector::make(Ack::Taken(ids), &member.inbox);
        let frame = Frame::Ack(vector.bytes().clone()).encode();
        self.tx.effects.push(Effect::Transmit(link, frame, Class::Text));
    }
}

pub(super) fn rank_of(log: Log) -> Rank {
    match log {
        Log::Control => Rank::Control,
        Log::Heads => Rank::Head,
        Log::Content => Rank::Entry,
    }
}

/// What a carrier or relay has not signed for: own items in any case, those of others only where it
/// shows none at their place.
fn owed_to_carrier(thread: &Thread, peer: Key8, session: &Session) -> Vec<(Class, Handle, Owed)> {
    let signed = thread.relays.get(&peer);
    let mut out = Vec::new();
    for (key, item) in &thread.items {
        let (column, slot, seq) = *key;
        let log = Log::from_u8(column).unwrap_or(Log::Content);
        let opened = session.boxes.get(&item.handle).filter(|b| b.answered);
        let Some(opened) = opened else { continue };
        if session.signed_for.contains(&item.id) {
            continue;
        }
        let shown = opened
            .view
            .last()
            .is_some_and(|h| h.ranges.contains(slot, log, seq));
        let owed = if column == REWRAP {
            thread.made_rewraps.contains(key)
        } else if thread.is_own(slot) {
            !signed.is_some_and(|s| s.ranges.contains(slot, log, seq))
        } else {
            !shown
        };
        if owed {
            let owed = Owed::new(rank_of(log), item_of(thread, key), shown, session);
            out.push((item.class, item.handle, owed));
        }
    }
    let Some(handle) = thread.handle_now() else {
        return out;
    };
    let Some(opened) = session.boxes.get(&handle).filter(|b| b.answered) else {
        return out;
    };
    let shown = opened.view.last().and_then(|h| h.blobs.as_ref());
    let mut chunks = 0;
    for (&(object, layer), held) in &thread.blobs.0 {
        let covered = signed.and_then(|s| s.blobs.0.get(&(object, layer)));
        let there = shown.and_then(|b| b.0.get(&(object, layer)));
        let own = thread.is_own_object(object);
        for index in held.minus(covered) {
            let shown = there.is_some_and(|c| c.contains(index));
            if !own && shown || chunks >= CHUNKS_AT_ONCE {
                continue;
            }
            chunks += 1;
            let item = ItemRef::Chunk {
                thread: thread.id,
                object,
                layer,
                index,
            };
            let owed = Owed::new(Rank::Chunk, item, shown, session);
            out.push((thread.chunk_class(object, layer), handle, owed));
        }
    }
    out
}

/// Leaves so many items of a class, those that went out least often.
fn only_some(
    groups: &mut BTreeMap<(Class, Handle), Vec<Owed>>,
    class: Class,
    room: usize,
    times: impl Fn(&ItemRef) -> u32,
) {
    let of_class = || groups.iter().filter(|((of, _), _)| *of == class);
    if of_class().map(|(_, items)| items.len()).sum::<usize>() <= room {
        return;
    }
    let items = of_class().flat_map(|(_, items)| items);
    let mut order: Vec<(u32, Owed)> = items.map(|owed| (times(&owed.item), *owed)).collect();
    order.sort_unstable();
    let chosen: BTreeSet<ItemRef> = order.iter().take(room).map(|(_, owed)| owed.item).collect();
    for ((of, _), items) in groups.iter_mut() {
        items.retain(|owed| *of != class || chosen.contains(&owed.item));
    }
}

/// An item that a carrier has not signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owed {
    rank: Rank,
    item: ItemRef,
    /// The burst goes out alone: see [`Session::asks_first`].
    named: bool,
}

impl Owed {
    fn new(rank: Rank, item: ItemRef, shown: bool, session: &Session) -> Owed {
        let named = session.asks_first(&item, shown);
        Owed { rank, item, named }
    }
}

fn item_of(thread: &Thread, key: &ItemKey) -> ItemRef {
    ItemRef::Log {
        thread: thread.id,
        column: key.0,
        slot: key.1,
        seq: key.2,
    }
}
