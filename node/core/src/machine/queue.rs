//! What waits for one link: by class, then by rank, then in order of arrival. A unit is at most
//! `unit` bytes, so an alarm waits behind at most one unit of anything else; an item that was
//! begun goes on when its class has its turn again.
//!
//! Items wait as references: their bytes are read when they are sent.

use crate::envelope::Class;
use crate::id::{Handle, MsgId, Object8, Seq, Slot, ThreadId};
use crate::ranges::Log;
use crate::sync::Cutter;
use crate::thread::REWRAP;
use crate::wire::Frame;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// An item that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ItemRef {
    /// An envelope of a thread.
    Log {
        thread: ThreadId,
        column: u8,
        slot: Slot,
        seq: Seq,
    },
    /// A chunk of a thread's blob.
    Chunk {
        thread: ThreadId,
        object: Object8,
        layer: u8,
        index: u32,
    },
    /// An item of the mailbox.
    Held { handle: Handle, id: MsgId },
}

impl ItemRef {
    /// The same for an entry and its rewrap, which stand at one place.
    pub(crate) fn place_of(self) -> ItemRef {
        match self {
            ItemRef::Log {
                thread,
                column: REWRAP,
                slot,
                seq,
            } => ItemRef::Log {
                thread,
                column: Log::Content as u8,
                slot,
                seq,
            },
            other => other,
        }
    }
}

/// Within a class: proofs first, then control, heads, entries, chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Proof,
    Control,
    Head,
    Entry,
    Chunk,
}

#[derive(Debug)]
enum Unit {
    Frame(Bytes),
    Item(ItemRef),
}

/// The next thing to send.
#[derive(Debug)]
pub(crate) enum Next {
    /// A whole frame.
    Frame(Bytes, Class),
    /// Read this item, then call [`Queue::begin`].
    Read(ItemRef),
}

type Key = (Class, Rank, u64);

#[derive(Clone, Copy, Debug)]
enum Picked {
    Begun(Class),
    Waiting(Key),
}

/// One unit in so many is of bulk: it always gets a tenth (PROTOCOL section 2).
const BULK_EVERY: u32 = 10;

/// See the module.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<Key, Unit>,
    begun: BTreeMap<Class, (ItemRef, Cutter, Option<Bytes>)>,
    queued: BTreeSet<ItemRef>,
    arrivals: u64,
    turns: u32,
    /// A planted bug: everything waits in one line.
    flat: bool,
    /// What the last [`Queue::next`] gave.
    picked: Option<Picked>,
}

impl Queue {
    /// Switches a planted bug.
    pub(crate) fn ignores_classes(&mut self, flat: bool) {
        self.flat = flat;
    }

    /// Adds an item unless it waits already.
    pub(crate) fn item(&mut self, class: Class, rank: Rank, item: ItemRef) {
        let (class, rank) = match self.flat {
            true => (Class::Bulk, Rank::Entry),
            false => (class, rank),
        };
        if self.queued.insert(item) {
            self.arrivals += 1;
            self.waiting
                .insert((class, rank, self.arrivals), Unit::Item(item));
        }
    }

    /// Adds a frame.
    pub(crate) fn frame(&mut self, class: Class, rank: Rank, frame: Bytes) {
        let (class, rank) = match self.flat {
            true => (Class::Bulk, Rank::Entry),
            false => (class, rank),
        };
        self.arrivals += 1;
        self.waiting
            .insert((class, rank, self.arrivals), Unit::Frame(frame));
    }

    /// Whether the item waits or was begun.
    pub(crate) fn holds(&self, item: &ItemRef) -> bool {
        self.queued.contains(item)
    }

    /// Items and frames that wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.begun.len()
    }

    /// What goes next; `None` if nothing waits. Every tenth unit is one of bulk, if any waits.
    pub(crate) fn next(&mut self) -> Option<Next> {
        let share = self.turns % BULK_EVERY == BULK_EVERY - 1;
        self.picked = share
            .then(|| self.pick(Class::Bulk))
            .flatten()
            .or_else(|| self.pick(Class::Alarm));
        match self.picked? {
            Picked::Begun(class) => {
                let (_, cutter, ready) = self.begun.get_mut(&class)?;
                if ready.is_none() {
                    *ready = cutter.next().map(|data| Frame::Data(data).encode());
                }
                ready.clone().map(|frame| Next::Frame(frame, class))
            }
            Picked::Waiting(key) => Some(match self.waiting.get(&key)? {
                Unit::Frame(frame) => Next::Frame(frame.clone(), key.0),
                Unit::Item(item) => Next::Read(*item),
            }),
        }
    }

    /// The most urgent of what is not more urgent than `from`; what was begun goes on first.
    fn pick(&self, from: Class) -> Option<Picked> {
        let waiting = self
            .waiting
            .range((from, Rank::Proof, 0)..)
            .next()
            .map(|(key, _)| *key);
        let begun = self.begun.range(from..).next().map(|(class, _)| *class);
        match (begun, waiting) {
            (Some(class), other) if other.is_none_or(|key| class <= key.0) => Some(Picked::Begun(class)),
            (_, key) => key.map(Picked::Waiting),
        }
    }

    /// The item of the last [`Next::Read`] was read: it is cut into units. `None` bytes drop it.
    pub(crate) fn begin(&mut self, bytes: Option<Bytes>, unit: usize) {
        let Some(Picked::Waiting(key)) = self.picked.take() else {
            return;
        };
        let Some(Unit::Item(item)) = self.waiting.remove(&key) else {
            return;
        };
        match bytes {
            Some(bytes) => {
                self.begun
                    .insert(key.0, (item, Cutter::new(bytes, None, unit), None));
            }
            None => {
                self.queued.remove(&item);
            }
        }
    }

    /// The frame of the last [`Next::Frame`] was sent. Returns the item that is complete with it.
    pub(crate) fn sent(&mut self) -> Option<ItemRef> {
        self.turns = self.turns.wrapping_add(1);
        match self.picked.take()? {
            Picked::Waiting(key) => {
                self.waiting.remove(&key);
                None
            }
            Picked::Begun(class) => {
                let (item, cutter, ready) = self.begun.get_mut(&class)?;
                *ready = None;
                if cutter.left() > 0 {
                    return None;
                }
                let item = *item;
                self.begun.remove(&class);
                self.queued.remove(&item);
                Some(item)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(index: u32) -> ItemRef {
        ItemRef::Chunk {
            thread: ThreadId([1; 16]),
            object: Object8([2; 8]),
            layer: 4,
            index,
        }
    }

    fn send_one(queue: &mut Queue) -> (Class, usize) {
        loop {
            match queue.next().unwrap() {
                Next::Read(..) => queue.begin(Some(Bytes::from(vec![7u8; 3000])), 1024),
                Next::Frame(frame, class) => {
                    queue.sent();
                    return (class, frame.len());
                }
            }
        }
    }

    #[test]
    fn an_alarm_waits_behind_one_unit_at_most() {
        let mut queue = Queue::default();
        queue.item(Class::Bulk, Rank::Chunk, chunk(0));
        let (class, len) = send_one(&mut queue);
        assert_eq!(class, Class::Bulk);
        assert!(len <= 1024);
        queue.frame(Class::Alarm, Rank::Proof, Bytes::from_static(b"alarm"));
        assert_eq!(send_one(&mut queue).0, Class::Alarm);
        let mut rest = 0;
        while queue.len() > 0 {
            assert_eq!(send_one(&mut queue).0, Class::Bulk);
            rest += 1;
        }
        assert!(rest >= 2);
        assert!(!queue.holds(&chunk(0)));
    }

    #[test]
    fn an_item_waits_once() {
        let mut queue = Queue::default();
        queue.item(Class::Bulk, Rank::Chunk, chunk(0));
        queue.item(Class::Bulk, Rank::Chunk, chunk(0));
        assert_eq!(queue.len(), 1);
        assert!(matches!(queue.next(), Some(Next::Read(..))));
        queue.begin(None, 1024);
        assert!(!queue.holds(&chunk(0)) && queue.len() == 0);
    }

    #[test]
    fn bulk_gets_a_tenth_while_urgent_items_wait() {
        let mut queue = Queue::default();
        queue.item(Class::Bulk, Rank::Chunk, chunk(0));
        for n in 0..100u8 {
            queue.frame(Class::Text, Rank::Entry, Bytes::from(vec![n]));
        }
        let bulk = (0..30).filter(|_| send_one(&mut queue).0 == Class::Bulk).count();
        assert_eq!(bulk, 3);
    }
}
