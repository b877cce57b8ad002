//! One link: who is there, what it is believed to hold, what waits for it.
//!
//! Greeting: HELLO and the routing certificate, again until answered. Then, with a member, THREADS
//! and HAVE for each thread that both know; with a carrier or relay, OPEN of each own handle, HAVE
//! for it, and bursts with what it has not signed for. Each side also opens its inbox at the other.

use super::input::LinkInfo;
use super::queue::{ItemRef, Queue};
use crate::envelope::Class;
use crate::envelope::Place;
use crate::id::{Handle, Key8, MsgId, Org, ThreadId};
use crate::limits;
use crate::mailbox::proof::Burst;
use crate::sync::{Assembler, Have, PeerView, ThreadList};
use crate::thread::RelayHeld;
use crate::time::Instant;
use crate::wire::{CAP_CARRY, CAP_RELAY, Hello, ThreadMark};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// Sent again if the peer does not show it after this long.
pub(crate) const GRACE_MS: u64 = 4_000;
/// A greeting is repeated after this long without an answer.
pub(crate) const GREET_MS: u64 = 2_000;
/// An item without a receipt is offered again after this long.
pub(crate) const RECEIPT_AFTER_MS: u64 = 10_000;
/// The same on a link of streams whose peer says nothing at all.
pub(crate) const SILENCE_MS: u64 = 100_000;
/// What is held is told this long after the last news, to tell of a whole burst at once.
pub(crate) const HAVE_AFTER_MS: u64 = 300;
/// After a relay's first answer: by then it has shown all that it holds.
pub(crate) const COMPARE_AFTER_MS: u64 = 2_500;
/// Before a carrier that takes no more of a class for now is offered it again; doubles with each refusal.
const SLOW_MS: u64 = 5_000;
const SLOW_DOUBLINGS: u32 = 3;
/// And again this often while the link is up.
pub(crate) const HAVE_EVERY_MS: u64 = 15_000;

/// A thread that both sides know.
#[derive(Debug)]
pub(crate) struct SharedThread {
    /// Its number in the peer's THREADS.
    pub(crate) theirs: u32,
    pub(crate) view: PeerView,
    /// The last HAVE told, on which the next one builds.
    pub(crate) told: Option<Have>,
    /// The peer could not follow the short form and asked for all.
    pub(crate) explicit: bool,
    /// It told something of it in this session.
    pub(crate) heard: bool,
    /// We could not follow the peer's.
    pub(crate) ask: bool,
}

impl SharedThread {
    pub(crate) fn new(theirs: u32, view: PeerView) -> SharedThread {
        SharedThread {
            theirs,
            view,
            told: None,
            explicit: false,
            heard: false,
            ask: false,
        }
    }
}

/// A handle that this device opened at a carrier or relay.
#[derive(Debug, Default)]
pub(crate) struct OpenedBox {
    pub(crate) view: PeerView,
    pub(crate) answered: bool,
}

/// An item handed to a carrier or relay that has not signed for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handed {
    pub(crate) id: MsgId,
    pub(crate) place: Place,
    pub(crate) item: ItemRef,
    pub(crate) handle: Handle,
    pub(crate) class: Class,
    pub(crate) at: Instant,
    /// The next time it goes out whole: its burst went alone, or the peer threw it away.
    pub(crate) named: bool,
}

/// See the module.
pub(crate) struct Session {
    pub(crate) info: LinkInfo,
    pub(crate) nonce: [u8; 8],
    pub(crate) hello: Option<Hello>,
    /// The peer's routing certificate is good; hash of its bytes.
    pub(crate) cert: Option<Key8>,
    /// Organisation that the certificate names.
    pub(crate) org: Org,
    /// Times that the own certificate was told beside the greeting.
    pub(crate) certs_told: u8,
    pub(crate) credit: u64,
    /// When the peer said something last.
    pub(crate) heard: Instant,
    pub(crate) queue: Queue,
    pub(crate) assembler: Assembler,
    /// Own list as told, with the thread behind each index.
    pub(crate) list: ThreadList,
    pub(crate) listed: Vec<ThreadId>,
    pub(crate) their_marks: Vec<ThreadMark>,
    pub(crate) shared: BTreeMap<ThreadId, SharedThread>,
    pub(crate) boxes: BTreeMap<Handle, OpenedBox>,
    pub(crate) handed: VecDeque<Handed>,
    /// Classes over the rate or the room that the peer gives to this device.
    slowed: BTreeMap<Class, Slowed>,
    /// Threads of which the peer, a carrier or relay, is owed nothing until something changes.
    pub(crate) quiet: BTreeSet<ThreadId>,
    /// Items that the peer signed for in this session.
    pub(crate) signed_for: BTreeSet<MsgId>,
    /// Handles that the peer opened here, and what it is believed to hold of each.
    pub(crate) followed: BTreeMap<Handle, Followed>,
    /// Items that a verified burst announced.
    pub(crate) announced: BTreeMap<MsgId, Rc<Burst>>,
    /// How often an item went out without the peer showing it, and when last.
    pub(crate) tries: BTreeMap<ItemRef, (Instant, u32)>,
    /// When to compare what a relay shows with what it signed for.
    pub(crate) compare_due: Option<Instant>,
    /// What the relay had signed for before this session.
    pub(crate) signed_before: BTreeMap<ThreadId, RelayHeld>,
    /// Items kept for the peer and not signed for.
    pub(crate) unsigned: BTreeMap<Handle, Vec<(MsgId, Place)>>,
    pub(crate) receipt_due: Option<Instant>,
    pub(crate) greet_due: Option<Instant>,
    /// When the own greeting was sent last.
    pub(crate) greeted: Instant,
    /// The peer has heard it: it said more than its own.
    pub(crate) answered: bool,
    /// The peer told its threads.
    pub(crate) threads_heard: bool,
    pub(crate) have_due: Option<Instant>,
    /// Number of the last HAVE told here.
    pub(crate) have_number: u32,
}

/// A class of which the peer takes no more for now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slowed {
    until: Instant,
    times: u32,
}

/// A handle that the peer reads here.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    pub(crate) view: PeerView,
    /// By class, the number of arrivals here up to which the peer has everything: a HAVE only grows, so none
    /// of them is looked at again.
    pub(crate) done: BTreeMap<Class, u64>,
}

impl Session {
    /// A link that came up now. HAVEs are numbered from `have_number`, which must not be a number of an
    /// earlier session: a later one could be taken to build on it.
    pub(crate) fn new(info: LinkInfo, nonce: [u8; 8], have_number: u32, now: Instant) -> Session {
        Session {
            info,
            nonce,
            hello: None,
            cert: None,
            org: Org::default(),
            certs_told: 0,
            credit: 0,
            heard: now,
            queue: Queue::default(),
            assembler: Assembler::new(),
            list: ThreadList::default(),
            listed: vec![],
            their_marks: vec![],
            shared: BTreeMap::new(),
            boxes: BTreeMap::new(),
            handed: VecDeque::new(),
            slowed: BTreeMap::new(),
            quiet: BTreeSet::new(),
            signed_for: BTreeSet::new(),
            followed: BTreeMap::new(),
            announced: BTreeMap::new(),
            tries: BTreeMap::new(),
            compare_due: None,
            signed_before: BTreeMap::new(),
            unsigned: BTreeMap::new(),
            receipt_due: None,
            greet_due: Some(now),
            greeted: now,
            answered: false,
            threads_heard: false,
            have_due: None,
            have_number,
        }
    }

    /// Short name of the peer's routing key.
    pub(crate) fn peer(&self) -> Key8 {
        Key8::of_key(&self.info.peer)
    }

    /// The peer keeps sealed items for others and reads none: a relay, or a carrier.
    pub(crate) fn keeps(&self) -> bool {
        self.hello.is_some_and(|h| h.caps & (CAP_CARRY | CAP_RELAY) != 0)
    }

    /// There is somebody to send this thread to.
    pub(crate) fn reaches(&self, thread: ThreadId) -> bool {
        self.shared.contains_key(&thread) || self.keeps() && self.boxes.values().any(|b| b.answered)
    }

    /// Whether an item that the peer does not show may go out again: a peer that cannot open it will
    /// never show it, so each time waits twice as long.
    pub(crate) fn may_send(&self, item: &ItemRef, now: Instant) -> bool {
        self.tries
            .get(item)
            .is_none_or(|(last, times)| now >= last.plus_ms(GRACE_MS << times.saturating_sub(1).min(8)))
    }

    /// Whether a receipt for what was handed over may still come. On a link of streams a peer that said
    /// nothing since has not got it yet, and it is still under way; a peer that stays silent while the link
    /// lives dropped it.
    pub(crate) fn awaits(&self, handed: &Handed, now: Instant) -> bool {
        let silent = self.info.streams && !handed.named && self.heard <= handed.at;
        let patience = if silent { SILENCE_MS } else { RECEIPT_AFTER_MS };
        now.since_ms(handed.at) < patience
    }

    /// Whether the peer is asked for its word by a burst alone before the item goes out whole. `shown`: it
    /// shows something at the item's place. If no receipt comes that is not this very item, and it goes out
    /// whole next. On a link of streams what went out whole has arrived, and only its receipt may be missing.
    pub(crate) fn asks_first(&self, item: &ItemRef, shown: bool) -> bool {
        match self.handed.iter().find(|h| h.item == *item) {
            Some(handed) => self.info.streams && !handed.named,
            None => shown && !self.tries.contains_key(item),
        }
    }

    /// The peer refused an item of the class, and would refuse others.
    pub(crate) fn takes_no_more(&mut self, class: Class, now: Instant) {
        let slowed = self
            .slowed
            .entry(class)
            .or_insert(Slowed { until: now, times: 0 });
        if slowed.until <= now {
            slowed.until = now.plus_ms(SLOW_MS << slowed.times.min(SLOW_DOUBLINGS));
            slowed.times += 1;
        }
    }

    /// The peer signed for an item of the class.
    pub(crate) fn takes_more(&mut self, class: Class) {
        if let Some(slowed) = self.slowed.get_mut(&class) {
            slowed.times -= 1;
            if slowed.times == 0 {
                self.slowed.remove(&class);
            }
        }
    }

    /// How many items of the class the peer may be offered now: after a refusal by rate none for a while,
    /// then a burst at a time.
    pub(crate) fn allows(&self, class: Class, burst: usize, now: Instant) -> usize {
        let Some(slowed) = self.slowed.get(&class) else {
            return usize::MAX;
        };
        if slowed.until > now {
            return 0;
        }
        let waiting = self
            .handed
            .iter()
            .filter(|h| h.class == class && self.awaits(h, now));
        burst.saturating_sub(waiting.count())
    }

    /// How often the item went out without the peer showing it.
    pub(crate) fn times_tried(&self, item: &ItemRef) -> u32 {
        self.tries.get(item).map_or(0, |(_, times)| *times)
    }

    /// The item went out.
    pub(crate) fn tried(&mut self, item: ItemRef, now: Instant) {
        if self.tries.len() >= limits::SENT_MARKS && !self.tries.contains_key(&item) {
            self.tries.pop_first();
        }
        let tries = self.tries.entry(item).or_insert((now, 0));
        *tries = (now, tries.1.saturating_add(1));
    }

    /// HAVE is due soon.
    pub(crate) fn due_have(&mut self, now: Instant, after_ms: u64) {
        let at = now.plus_ms(after_ms);
        self.have_due = Some(self.have_due.map_or(at, |due| due.min(at)));
    }

    /// The next deadline of this link.
    pub(crate) fn deadline(&self) -> Option<(Instant, super::output::Why)> {
        use super::output::Why;
        let greet = self.greet_due.map(|at| (at, Why::Greet));
        let have = self.have_due.map(|at| (at, Why::Have));
        let receipt = self.receipt_due.map(|at| (at, Why::Receipt));
        let compare = self.compare_due.map(|at| (at, Why::Have));
        greet.into_iter().chain(have).chain(receipt).chain(compare).min()
    }
}
