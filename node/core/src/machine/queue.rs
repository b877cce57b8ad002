//! What waits for one link: by class, then by rank, then in order of arrival. A unit is at most
//! `unit` bytes, so an alarm waits behind at most one unit of anything else; an item that was
//! begun goes on when its class has its turn again.
//!
//! Items wait as references: their bytes are read when they are sent.

use crate::envelope::Class;
use crate::id::{Handle, MsgId, Object8, Seq, Slot, ThreadId};
use crate::sync::Cutter;
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

/// See the module.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<(Class, Rank, u64), Unit>,
    begun: BTreeMap<Class, (ItemRef, Cutter, Option<Bytes>)>,
    queued: BTreeSet<ItemRef>,
    arrivals: u64,
}

impl Queue {
    /// Adds an item unless it waits already.
    pub(crate) fn item(&mut self, class: Class, rank: Rank, item: ItemRef) {
        if self.queued.insert(item) {
            self.arrivals += 1;
            self.waiting
                .insert((class, rank, self.arrivals), Unit::Item(item));
        }
    }

    /// Adds a frame.
    pub(crate) fn frame(&mut self, class: Class, rank: Rank, frame: Bytes) {
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

    /// What goes next; `None` if nothing waits. A begun item of the most urgent class comes as the
    /// frame that [`Queue::take`] will give.
    pub(crate) fn next(&mut self) -> Option<Next> {
        let waiting = self.waiting.keys().next().map(|k| k.0);
        let begun = self.begun.keys().next().copied();
        match (begun, waiting) {
            (Some(class), other) if other.is_none_or(|w| class <= w) => {
                let (_, cutter, ready) = self.begun.get_mut(&class)?;
                if ready.is_none() {
                    *ready = cutter.next().map(|data| Frame::Data(data).encode());
                }
                ready.clone().map(|frame| Next::Frame(frame, class))
            }
            (_, Some(_)) => {
                let (key, unit) = self.waiting.first_key_value()?;
                Some(match unit {
                    Unit::Frame(frame) => Next::Frame(frame.clone(), key.0),
                    Unit::Item(item) => Next::Read(*item),
                })
            }
            (Some(_), None) | (None, None) => None,
        }
    }

    /// The item of the last [`Next::Read`] was read: it is cut into units. `None` bytes drop it.
    pub(crate) fn begin(&mut self, bytes: Option<Bytes>, unit: usize) {
        let Some((key, Unit::Item(item))) = self.waiting.pop_first() else {
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
    pub(crate) fn sent(&mut self, class: Class) -> Option<ItemRef> {
        if let Some((item, cutter, ready)) = self.begun.get_mut(&class)
            && ready.take().is_some()
        {
            let item = *item;
            if cutter.left() > 0 {
                return None;
            }
            self.begun.remove(&class);
            self.queued.remove(&item);
            return Some(item);
        }
        self.waiting.pop_first();
        None
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
                    queue.sent(class);
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
}
