//! What carriers and relays keep for others: envelopes by handle, and a bounded index of them.
//!
//! * **Blind**: it never sees a key. It knows class, place, size and age, and who asked to keep it.
//! * **Garbage occupies no place**: items are keyed by (handle, [`MsgId`]). Several variants at one
//!   place are all kept and all served; only a reader can tell which is genuine.
//! * **Nothing without a burst** that names the item. A log item or chunk needs the signature of the
//!   handle key as well; an inbox item has limits of its own.
//! * **No silent drop**: what is not taken is a [`Refusal`] with the reason, and what was taken goes by
//!   release, expiry or a newer head, never to make room. So the quota has a reserve for classes 0-1.
//! * A released item leaves its id behind until it would expire, so that no other carrier brings it
//!   back.
//!
//! Rows go into the caller's batch; what a verdict allows to tell waits until that is durable. It
//! does not check signatures of bursts (`proof.rs`) or routing certificates, and ends no alert.

mod held;
pub mod proof;
mod quota;

use crate::blobs::Blobs;
use crate::codec::Malformed;
use crate::envelope::{Class, Envelope, Place};
use crate::id::{Handle, Key8, MsgId, Org, Seq, Slot};
use crate::limits;
use crate::ranges::{Log, Ranges};
use crate::store::{Batch, Read, ReadError, table};
use crate::time::{Clock, Holding, Instant, Now};
use bytes::Bytes;
use proof::{Ack, AckVector, Burst, UNKNOWN_TOTAL};
use quota::Quota;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

pub use held::{Held, envelope_of_row};

/// Name of the store row with the clock of holding.
const CLOCK_ROW: &str = "mailbox clock";

/// Who keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A relay: keeps until released, or [`limits::RELAY_KEEP_MS`] after arrival.
    Relay,
    /// Any other device: keeps until released, or until the item's age reaches its ttl.
    Carrier,
}

/// How to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who keeps.
    pub role: Role,
    /// Bytes for all items with [`limits::CARRIED_ROW_BYTES`] each.
    pub quota_bytes: u64,
}

/// One item that somebody asks to keep.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Routing key of the burst's origin, which may be another than the neighbour that brought it.
    pub from: Key8,
    /// Organisation that certified that key.
    pub org: Org,
    /// No other organisation keeps items here.
    pub org_alone: bool,
    /// The burst, already verified with that routing key.
    pub burst: &'a Burst,
    /// The envelope's bytes.
    pub item: &'a Bytes,
    /// The same, decoded.
    pub envelope: &'a Envelope,
    /// Age in seconds, as its former holder said.
    pub age_s: u32,
}

/// What became of an [`Offer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Kept as soon as the batch is durable.
    Stored,
    /// Nothing to do: kept already ([`Mailbox::holds`]), or released.
    Known,
    /// Not kept.
    Refused(Refusal),
}

/// Why an item is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The burst does not name it.
    #[error("the burst does not name the item")]
    NotInBurst,
    /// A log item or chunk in a burst that the handle key did not sign.
    #[error("the handle key did not sign the burst")]
    HandleProofMissing,
    /// No room for this class.
    #[error("no room for class {}", *class as u8)]
    Full {
        /// The item's class.
        class: Class,
    },
    /// The origin fills its share of the quota ([`limits::CARRIED_SHARE_PERCENT`]).
    #[error("the origin fills its share")]
    ShareFull,
    /// The origin's organisation fills its share ([`limits::CARRIED_ORG_SHARE_PERCENT`]).
    #[error("the organisation fills its share")]
    OrgShareFull,
    /// The origin is over its rate.
    #[error("over the rate, try again in {retry_ms} ms")]
    RateLimited {
        /// When it will be taken.
        retry_ms: u64,
    },
    /// Larger than an item of its class may be.
    #[error("too big for its class")]
    TooBigForClass,
    /// Too much of this origin waits unread in this inbox ([`limits::INBOX_UNREAD_BYTES`]).
    #[error("too much waits unread in this inbox")]
    InboxLimit,
    /// Older than its ttl.
    #[error("older than its storage time")]
    Expired,
    /// A head while newer heads of its slot are held.
    #[error("newer heads of this slot are held")]
    Overtaken,
    /// The bytes are not that envelope.
    #[error("the bytes are not the envelope")]
    Malformed,
}

impl Refusal {
    /// Its number in a REFUSED frame.
    pub fn code(self) -> u8 {
        match self {
            Refusal::NotInBurst => 1,
            Refusal::HandleProofMissing => 2,
            Refusal::Full { .. } => 3,
            Refusal::ShareFull => 4,
            Refusal::RateLimited { .. } => 5,
            Refusal::TooBigForClass => 6,
            Refusal::InboxLimit => 7,
            Refusal::Expired => 8,
            Refusal::Overtaken => 9,
            Refusal::Malformed => 10,
            Refusal::OrgShareFull => 11,
        }
    }

    /// Whether the code says that for a while no other item of the class has a chance either.
    pub fn means_no_more(code: u8) -> bool {
        matches!(code, 3 | 4 | 5 | 11)
    }

    /// What a code means to a person.
    pub fn words(code: u8) -> &'static str {
        match code {
            1 => "the burst does not name the item",
            2 => "the handle key did not sign the burst",
            3 => "no room for this class",
            4 => "the origin fills its share",
            5 => "over the rate; delayed",
            6 => "too big for its class",
            7 => "too much waits unread in this inbox",
            8 => "older than its storage time",
            9 => "newer heads of this slot are held",
            10 => "the bytes are not the envelope",
            11 => "the organisation fills its share",
            _ => "for a reason of a newer version",
        }
    }
}

/// How full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes that count against the quota: items with [`limits::CARRIED_ROW_BYTES`] each, and ids.
    pub bytes: u64,
    /// Items kept.
    pub items: u64,
    /// Bytes by class.
    pub by_class: [u64; 5],
    /// Handles with an item or an id.
    pub handles: u64,
}

/// What was done since the mailbox was opened. Not saved: for people who watch a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// Items kept.
    pub stored: u64,
    /// Chunks of blobs that came whole though they were kept already: what a resume sent in vain.
    pub chunks_again: u64,
    /// Items refused, by [`Refusal::code`]; 0 stays empty.
    pub refused: [u64; 12],
    /// Receipts signed for what was kept.
    pub receipts: u64,
}

/// All of one handle. Heads are in `items` too.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Shelf {
    items: BTreeMap<MsgId, Held>,
    queue: BTreeSet<(Class, u64, MsgId)>,
    heads: BTreeMap<Slot, BTreeSet<MsgId>>,
    unread_bytes: BTreeMap<Key8, u64>,
}

/// What one routing key, or one organisation, fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Share {
    bytes: u64,
    items: usize,
}

impl Share {
    fn add(&mut self, cost_bytes: u64) {
        self.bytes += cost_bytes;
        self.items += 1;
    }
}

/// What is kept for others.
#[derive(Clone, Debug)]
pub struct Mailbox {
    config: Config,
    shelves: BTreeMap<Handle, Shelf>,
    /// By the value of `held` at which it goes.
    deadlines: BTreeSet<(u64, Handle, MsgId)>,
    shares: BTreeMap<Key8, Share>,
    org_shares: BTreeMap<Org, Share>,
    usage: Usage,
    tally: Tally,
    next_order: u64,
    clock: Clock,
    quota: Quota,
    /// Keys of rows that could not be read; deleted at the next expiry.
    unreadable: Vec<Vec<u8>>,
}

impl Mailbox {
    /// Rebuilds the index. Rows that do not read are left out and deleted at the next
    /// [`Mailbox::expire`]; they were others' copies.
    pub fn load(store: &dyn Read, config: Config) -> Result<Mailbox, ReadError> {
        let clock = store.get(&table::own(CLOCK_ROW))?;
        let mut mailbox = Mailbox {
            config,
            shelves: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            shares: BTreeMap::new(),
            org_shares: BTreeMap::new(),
            usage: Usage::default(),
            tally: Tally::default(),
            next_order: 0,
            clock: clock.and_then(|row| Clock::of_row(&row).ok()).unwrap_or_default(),
            quota: Quota::default(),
            unreadable: Vec::new(),
        };
        store.scan(&table::carried_all(), &mut |key, value| {
            let row = Bytes::copy_from_slice(value);
            match read_row(key, &row) {
                Ok((handle, held)) if mailbox.deadlines.len() < limits::CARRIED_ITEMS => {
                    mailbox.next_order = mailbox.next_order.max(held.order.saturating_add(1));
                    mailbox.clock.not_before(held.arrival);
                    mailbox.index(handle, held);
                }
                _ => mailbox.unreadable.push(key.to_vec()),
            }
            ControlFlow::Continue(())
        })?;
        Ok(mailbox)
    }

    /// Decides on one item, and puts its row into `batch` if it is kept.
    pub fn offer(&mut self, now: Now, offer: Offer<'_>, batch: &mut Batch) -> Verdict {
        let arrival = self.clock.advance(now);
        let id = MsgId::of(offer.item);
        let e = offer.envelope;
        if self.came_again(e, id) {
            return Verdict::Known;
        }
        let overtaken = match self.admit(now, id, &offer) {
            Ok(overtaken) => overtaken,
            Err(refusal) => {
                self.tally.refused[usize::from(refusal.code())] += 1;
                return Verdict::Refused(refusal);
            }
        };
        self.tally.stored += 1;
        for old in overtaken {
            self.forget(e.handle, old);
            batch.delete(table::carried(e.handle, old));
        }
        self.keep(arrival, id, &offer, batch);
        Verdict::Stored
    }

    /// Whether this very item is known here, and counts it if it is a part of a blob.
    pub fn came_again(&mut self, envelope: &Envelope, id: MsgId) -> bool {
        let known = self.knows(envelope.handle, id);
        self.tally.chunks_again += u64::from(known && matches!(envelope.place, Place::Chunk { .. }));
        known
    }

    /// Keeps an item that this device made: no quota stands between it and its own store.
    pub fn keep_own(&mut self, now: Now, offer: Offer<'_>, batch: &mut Batch) {
        let arrival = self.clock.advance(now);
        let id = MsgId::of(offer.item);
        if !self.knows(offer.envelope.handle, id) && self.deadlines.len() < limits::CARRIED_ITEMS {
            self.keep(arrival, id, &offer, batch);
        }
    }

    fn keep(&mut self, arrival: Holding, id: MsgId, offer: &Offer<'_>, batch: &mut Batch) {
        let e = offer.envelope;
        let held = Held {
            id,
            class: e.class,
            ttl: e.ttl,
            place: e.place,
            origin: offer.from,
            org: offer.org,
            size_bytes: offer.item.len() as u32,
            released: false,
            arrival_age_s: offer.age_s,
            arrival,
            order: self.next_order,
        };
        self.next_order += 1;
        batch.put(table::carried(e.handle, id), held.row(offer.item));
        self.index(e.handle, held);
        self.save_clock(batch);
    }

    /// What is held of a handle, by place; inbox items have none. A hint for sync: whether *an*
    /// envelope is there, not whether it is the genuine one. That is told by the digest of a receipt
    /// only, so a sender offers what no receipt covers. Totals of chunks are [`UNKNOWN_TOTAL`].
    pub fn have(&self, handle: Handle) -> (Ranges, Blobs) {
        let (mut ranges, mut blobs) = (Ranges::new(), Blobs::new());
        for held in self.items(handle) {
            match held.place {
                Place::Log { slot, log, seq } => {
                    ranges.insert(slot, log, seq);
                }
                Place::Chunk { object, layer, index } => {
                    blobs.insert(object, layer, UNKNOWN_TOTAL, index);
                }
                Place::Inbox => {}
            }
        }
        (ranges, blobs)
    }

    /// Items of a handle, by class, then by arrival.
    pub fn items(&self, handle: Handle) -> impl Iterator<Item = &Held> {
        let shelf = self.shelf(handle);
        shelf.into_iter().flat_map(|shelf| {
            let ids = shelf.queue.iter();
            ids.filter_map(|(_, _, id)| shelf.items.get(id))
        })
    }

    /// Items of a handle and class that arrived as the `from`-th of all or later, each with that number.
    pub fn arrivals(&self, handle: Handle, class: Class, from: u64) -> impl Iterator<Item = (u64, &Held)> {
        let (first, last) = (
            (class, from, MsgId::default()),
            (class, u64::MAX, MsgId([0xff; 16])),
        );
        let shelf = self.shelf(handle).into_iter();
        shelf.flat_map(move |shelf| {
            let ids = shelf.queue.range(first..=last);
            ids.filter_map(|(_, order, id)| Some((*order, shelf.items.get(id)?)))
        })
    }

    /// Handles of which an item or an id is held.
    pub fn handles(&self) -> impl Iterator<Item = Handle> {
        self.shelves.keys().copied()
    }

    /// Whether this very item is held.
    pub fn holds(&self, handle: Handle, id: MsgId) -> bool {
        self.held(handle, id).is_some()
    }

    /// Whether this item is held or was released, so that it need not be sent.
    pub fn knows(&self, handle: Handle, id: MsgId) -> bool {
        self.shelf(handle).is_some_and(|s| s.items.contains_key(&id))
    }

    /// The envelope's bytes; `None` if it is not held.
    pub fn bytes(&self, store: &dyn Read, handle: Handle, id: MsgId) -> Result<Option<Bytes>, ReadError> {
        if !self.holds(handle, id) {
            return Ok(None);
        }
        let row = store.get(&table::carried(handle, id))?;
        Ok(row.as_ref().and_then(held::envelope_of_row))
    }

    /// Deletes what the vector releases, if the key of the handle signed it; returns how many items.
    /// A released head releases the older ones of its slot. One purge does nothing: it needs two
    /// tier-1 signatures, and who is tier 1 is not visible here.
    pub fn release(&mut self, now: Now, vector: &AckVector, batch: &mut Batch) -> usize {
        self.clock.advance(now);
        if matches!(vector.ack, Ack::Purge(..)) || !vector.verify() {
            return 0;
        }
        self.release_named(vector, batch)
    }

    /// Deletes what the vector names, whoever signed it.
    pub(crate) fn release_named(&mut self, vector: &AckVector, batch: &mut Batch) -> usize {
        let handle = vector.handle;
        let gone: Vec<Held> = match &vector.ack {
            Ack::Purge(ranges, blobs) | Ack::Release(ranges, blobs) => {
                let released = |h: &&Held| is_in(h.place, ranges, blobs);
                self.items(handle).filter(released).cloned().collect()
            }
            Ack::Taken(ids) => {
                let ids: BTreeSet<&MsgId> = ids.iter().collect();
                let taken = |h: &&Held| h.place == Place::Inbox && ids.contains(&h.id);
                self.items(handle).filter(taken).cloned().collect()
            }
        };
        for held in &gone {
            self.forget(handle, held.id);
            let id_only = Held {
                released: true,
                place: Place::Inbox,
                size_bytes: 0,
                ..held.clone()
            };
            batch.put(table::carried(handle, held.id), id_only.row(&[]));
            self.index(handle, id_only);
        }
        if !gone.is_empty() {
            self.save_clock(batch);
        }
        gone.len()
    }

    /// Deletes what has been held long enough, and says how many items that were. To be called at
    /// [`Mailbox::next_expiry`], and once a minute for the clock of holding to be saved. One call
    /// deletes at most [`limits::EXPIRIES_PER_BATCH`] rows; if more are due, that stays in the past.
    pub fn expire(&mut self, now: Now, batch: &mut Batch) -> usize {
        let clock = self.clock.advance(now);
        let rows_before = self.deadlines.len();
        let unreadable = self.unreadable.len().min(limits::EXPIRIES_PER_BATCH);
        for key in self.unreadable.drain(..unreadable) {
            batch.delete(key);
        }
        let mut expired = 0;
        while let Some(&(due_us, handle, id)) = self.deadlines.first()
            && due_us <= clock.held_us
            && rows_before - self.deadlines.len() < limits::EXPIRIES_PER_BATCH
        {
            expired += usize::from(self.holds(handle, id));
            self.forget(handle, id);
            batch.delete(table::carried(handle, id));
        }
        if self.deadlines.len() < rows_before || (rows_before > 0 && self.clock.is_due()) {
            self.save_clock(batch);
        }
        expired
    }

    /// When something will expire; in the past if it is not yet known in this run.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.deadlines
            .first()
            .map(|(due_us, ..)| self.clock.when(*due_us))
    }

    /// How full it is.
    pub fn usage(&self) -> Usage {
        Usage {
            handles: self.shelves.len() as u64,
            ..self.usage
        }
    }

    /// Bytes that each organisation's devices fill, as [`Usage::bytes`].
    pub fn by_org(&self) -> impl Iterator<Item = (Org, u64)> {
        self.org_shares.iter().map(|(org, share)| (*org, share.bytes))
    }

    /// What was done since it was opened.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// So many receipts were signed for what is kept.
    pub(crate) fn signed(&mut self, receipts: usize) {
        self.tally.receipts += receipts as u64;
    }

    /// Age of an item in seconds, as it is told to the next holder; 0 if it is not held.
    pub fn age_s(&self, now: Now, handle: Handle, id: MsgId) -> u32 {
        let held = self.held(handle, id);
        held.map_or(0, |h| h.age_s(self.clock.at(now)))
    }

    /// For how many milliseconds from now the item stays if nobody releases it; 0 if it is not held.
    /// The least over the items of a receipt is its *kept until*.
    pub fn keeps_ms(&self, now: Now, handle: Handle, id: MsgId) -> u64 {
        let held = self.held(handle, id);
        held.map_or(0, |h| {
            self.due_us(h).saturating_sub(self.clock.at(now).held_us) / 1000
        })
    }

    /// Whether to keep it: the older heads that it replaces, or why not. Charges the rates.
    fn admit(&mut self, now: Now, id: MsgId, offer: &Offer<'_>) -> Result<Vec<MsgId>, Refusal> {
        let e = offer.envelope;
        if Envelope::decode(offer.item).as_ref() != Ok(e) {
            return Err(Refusal::Malformed);
        }
        if !offer.burst.items.contains(&id) {
            return Err(Refusal::NotInBurst);
        }
        if e.place != Place::Inbox && offer.burst.handle() != Some(e.handle) {
            return Err(Refusal::HandleProofMissing);
        }
        if e.class == Class::Alarm && offer.item.len() > limits::ALARM_BYTES + limits::ENVELOPE_HEADER_BYTES {
            return Err(Refusal::TooBigForClass);
        }
        if self.config.role == Role::Carrier && u64::from(offer.age_s) * 1000 >= e.ttl.ms() {
            return Err(Refusal::Expired);
        }
        let overtaken = match e.place {
            Place::Log {
                slot,
                log: Log::Heads,
                seq,
            } => self
                .overtaken_heads(e.handle, slot, seq, offer.from)
                .ok_or(Refusal::Overtaken)?,
            _ => vec![],
        };
        let bytes = offer.item.len() as u64;
        self.has_room(offer, bytes + limits::CARRIED_ROW_BYTES)?;
        let inbox = (e.place == Place::Inbox).then_some(e.handle);
        self.quota
            .charge(now.mono, offer.from, inbox, e.class, bytes)
            .map_err(|retry_ms| Refusal::RateLimited { retry_ms })?;
        Ok(overtaken)
    }

    fn has_room(&self, offer: &Offer<'_>, cost_bytes: u64) -> Result<(), Refusal> {
        let (e, quota_bytes) = (offer.envelope, self.config.quota_bytes);
        let percent = match e.class {
            Class::Alarm | Class::Clinical => 100,
            Class::Text => limits::REFUSE_TEXT_PERCENT,
            Class::Voice => limits::REFUSE_VOICE_PERCENT,
            Class::Bulk => limits::REFUSE_BULK_PERCENT,
        };
        let shelf = self.shelf(e.handle);
        if self.usage.bytes + cost_bytes > share_of(quota_bytes, percent)
            || self.deadlines.len() as u64 >= share_of(limits::CARRIED_ITEMS as u64, percent)
            || shelf.is_some_and(|s| s.items.len() >= limits::CARRIED_ITEMS_PER_HANDLE)
        {
            return Err(Refusal::Full { class: e.class });
        }
        let share = self.shares.get(&offer.from).copied().unwrap_or_default();
        let most_items = share_of(limits::CARRIED_ITEMS as u64, limits::CARRIED_SHARE_PERCENT);
        if share.bytes + cost_bytes > share_of(quota_bytes, limits::CARRIED_SHARE_PERCENT)
            || share.items as u64 >= most_items
        {
            return Err(Refusal::ShareFull);
        }
        let org = self.org_shares.get(&offer.org).copied().unwrap_or_default();
        let org_percent = match e.class {
            _ if offer.org_alone => 100,
            Class::Alarm | Class::Clinical => limits::CARRIED_ORG_URGENT_PERCENT,
            Class::Text | Class::Voice | Class::Bulk => limits::CARRIED_ORG_SHARE_PERCENT,
        };
        if org.bytes + cost_bytes > share_of(quota_bytes, org_percent)
            || org.items as u64 >= share_of(limits::CARRIED_ITEMS as u64, org_percent)
        {
            return Err(Refusal::OrgShareFull);
        }
        let unread = shelf.and_then(|s| s.unread_bytes.get(&offer.from));
        let unread_bytes = unread.copied().unwrap_or(0) + offer.item.len() as u64;
        if e.place == Place::Inbox && unread_bytes > limits::INBOX_UNREAD_BYTES {
            return Err(Refusal::InboxLimit);
        }
        Ok(())
    }

    /// The heads that go when a head `seq` of `slot` comes from `from`; `None` if that one is too
    /// old itself. A newer head replaces the older ones of the same origin. Of several origins up to
    /// [`limits::CARRIED_HEADS_PER_SLOT`] stay, because a former member, who still has the handle
    /// key, can make garbage with any number: the one to go is of the origin with the most heads
    /// here, of those the one with the lowest number, of those the oldest.
    fn overtaken_heads(&self, handle: Handle, slot: Slot, seq: Seq, from: Key8) -> Option<Vec<MsgId>> {
        let shelf = self.shelf(handle);
        let ids = shelf.and_then(|s| s.heads.get(&slot));
        let held = ids.into_iter().flatten().filter_map(|id| self.held(handle, *id));
        let heads = held.map(|h| (head_seq(h.place), h.origin, h.order, Some(h.id)));
        let (mut gone, mut kept) = (Vec::new(), vec![(seq, from, self.next_order, None)]);
        for head in heads {
            if head.1 == from && head.0 > seq {
                return None;
            }
            if head.1 == from && head.0 < seq {
                gone.extend(head.3);
            } else {
                kept.push(head);
            }
        }
        if kept.len() > limits::CARRIED_HEADS_PER_SLOT {
            let of_origin = |origin| kept.iter().filter(|h| h.1 == origin).count();
            let first = kept
                .iter()
                .max_by_key(|h| (of_origin(h.1), Reverse(h.0), Reverse(h.2)))?;
            gone.push(first.3?);
        }
        Some(gone)
    }

    fn shelf(&self, handle: Handle) -> Option<&Shelf> {
        self.shelves.get(&handle)
    }

    /// This very item, if it is held.
    pub fn held(&self, handle: Handle, id: MsgId) -> Option<&Held> {
        let held = self.shelf(handle)?.items.get(&id)?;
        (!held.released).then_some(held)
    }

    /// The value of `held` at which it goes.
    fn due_us(&self, held: &Held) -> u64 {
        let keep_ms = match self.config.role {
            Role::Relay => limits::RELAY_KEEP_MS,
            Role::Carrier => {
                let age_ms = u64::from(held.arrival_age_s) * 1000;
                held.ttl.ms().saturating_sub(age_ms)
            }
        };
        held.arrival.held_us.saturating_add(keep_ms.saturating_mul(1000))
    }

    fn index(&mut self, handle: Handle, held: Held) {
        let cost_bytes = held.cost_bytes();
        self.deadlines.insert((self.due_us(&held), handle, held.id));
        self.usage.bytes += cost_bytes;
        self.shares.entry(held.origin).or_default().add(cost_bytes);
        self.org_shares.entry(held.org).or_default().add(cost_bytes);
        let shelf = self.shelves.entry(handle).or_default();
        if !held.released {
            self.usage.items += 1;
            self.usage.by_class[held.class as usize] += cost_bytes;
            shelf.queue.insert((held.class, held.order, held.id));
            match held.place {
                Place::Log {
                    slot,
                    log: Log::Heads,
                    ..
                } => {
                    shelf.heads.entry(slot).or_default().insert(held.id);
                }
                Place::Inbox => {
                    *shelf.unread_bytes.entry(held.origin).or_default() += u64::from(held.size_bytes);
                }
                Place::Log { .. } | Place::Chunk { .. } => {}
            }
        }
        shelf.items.insert(held.id, held);
    }

    fn forget(&mut self, handle: Handle, id: MsgId) {
        let Some(shelf) = self.shelves.get_mut(&handle) else {
            return;
        };
        let Some(held) = shelf.items.remove(&id) else {
            return;
        };
        let cost_bytes = held.cost_bytes();
        if !held.released {
            self.usage.items -= 1;
            self.usage.by_class[held.class as usize] -= cost_bytes;
            shelf.queue.remove(&(held.class, held.order, held.id));
            match held.place {
                Place::Log {
                    slot,
                    log: Log::Heads,
                    ..
                } => {
                    let ids = shelf.heads.entry(slot).or_default();
                    ids.remove(&id);
                    if ids.is_empty() {
                        shelf.heads.remove(&slot);
                    }
                }
                Place::Inbox => {
                    let unread = shelf.unread_bytes.entry(held.origin).or_default();
                    *unread -= u64::from(held.size_bytes);
                    shelf.unread_bytes.retain(|_, bytes| *bytes > 0);
                }
                Place::Log { .. } | Place::Chunk { .. } => {}
            }
        }
        if shelf.items.is_empty() {
            self.shelves.remove(&handle);
        }
        self.usage.bytes -= cost_bytes;
        take_share(&mut self.shares, &held.origin, cost_bytes);
        take_share(&mut self.org_shares, &held.org, cost_bytes);
        let due_us = self.due_us(&held);
        self.deadlines.remove(&(due_us, handle, id));
    }

    fn save_clock(&mut self, batch: &mut Batch) {
        batch.put(table::own(CLOCK_ROW), self.clock.save());
    }
}

/// Whether a release of these sets releases the place. A newer head releases the older ones.
fn is_in(place: Place, ranges: &Ranges, blobs: &Blobs) -> bool {
    match place {
        Place::Log { slot, log, seq } => ranges.contains(slot, log, seq),
        Place::Chunk { object, layer, index } => {
            let chunks = blobs.0.get(&(object, layer));
            chunks.is_some_and(|c| c.contains(index))
        }
        Place::Inbox => false,
    }
}

fn take_share<K: Ord>(shares: &mut BTreeMap<K, Share>, key: &K, cost_bytes: u64) {
    if let Some(share) = shares.get_mut(key) {
        share.bytes -= cost_bytes;
        share.items -= 1;
        if share.items == 0 {
            shares.remove(key);
        }
    }
}

fn head_seq(place: Place) -> Seq {
    match place {
        Place::Log { seq, .. } => seq,
        Place::Chunk { .. } | Place::Inbox => 0,
    }
}

fn share_of(whole: u64, percent: u64) -> u64 {
    whole / 100 * percent + whole % 100 * percent / 100
}

fn read_row(key: &[u8], row: &Bytes) -> Result<(Handle, Held), Malformed> {
    let bad = Malformed("key of a carried item");
    let rest = key.strip_prefix(&table::carried_all()[..]).ok_or(bad)?;
    let handle = Handle::from_prefix(rest).ok_or(bad)?;
    let id = rest
        .get(8..)
        .filter(|id| id.len() == 16)
        .and_then(MsgId::from_prefix);
    Ok((handle, Held::of_row(id.ok_or(bad)?, row)?))
}

#[cfg(test)]
mod tests;
