//! Items whose time has not come: sealed under a key, or signed by a device, that is not known here
//! yet. They change nothing, are not told to anybody as held, and are bounded per slot and thread;
//! the oldest gives way. What is lost here is asked for again, since it is not in `have`.

use super::ItemKey;
use crate::envelope::Envelope;
use crate::id::MsgId;
use crate::limits;
use bytes::Bytes;
use std::collections::BTreeMap;

/// A parked item.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) envelope: Envelope,
    pub(crate) bytes: Bytes,
}

/// The parked items of a thread.
#[derive(Default)]
pub(crate) struct Parked {
    by_id: BTreeMap<MsgId, (u64, ItemKey, Waiting)>,
    arrivals: u64,
}

impl Parked {
    /// Parks an item.
    pub(crate) fn park(&mut self, key: ItemKey, id: MsgId, waiting: Waiting) {
        if self.by_id.contains_key(&id) {
            return;
        }
        let of_slot = self.by_id.values().filter(|(_, k, _)| k.1 == key.1).count();
        if of_slot >= limits::PARKED_PER_SLOT {
            self.evict(|k| k.1 == key.1);
        } else if self.by_id.len() >= limits::PARKED_PER_THREAD {
            self.evict(|_| true);
        }
        self.arrivals += 1;
        self.by_id.insert(id, (self.arrivals, key, waiting));
    }

    fn evict(&mut self, of: impl Fn(&ItemKey) -> bool) {
        let oldest = self
            .by_id
            .iter()
            .filter(|(_, (_, k, _))| of(k))
            .min_by_key(|(_, (at, _, _))| *at);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.by_id.remove(&id);
        }
    }

    /// Takes all items, oldest first; those that must still wait are parked again.
    pub(crate) fn take_all(&mut self) -> Vec<(ItemKey, MsgId, Waiting)> {
        let mut all: Vec<_> = std::mem::take(&mut self.by_id).into_iter().collect();
        all.sort_by_key(|(_, (at, _, _))| *at);
        all.into_iter()
            .map(|(id, (_, key, waiting))| (key, id, waiting))
            .collect()
    }

    /// Places of parked items.
    pub(crate) fn places(&self) -> impl Iterator<Item = ItemKey> + '_ {
        self.by_id.values().map(|(_, key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Class, Place, Ttl};
    use crate::id::{Handle, Slot};
    use crate::ranges::Log;

    #[test]
    fn one_slot_cannot_crowd_out_the_others() {
        let mut parked = Parked::default();
        let mut put = |slot: u8, seq: u32| {
            let slot = Slot([slot; 4]);
            let place = Place::Log {
                slot,
                log: Log::Content,
                seq,
            };
            let handle = Handle::default();
            let envelope = Envelope {
                class: Class::Text,
                ttl: Ttl(0),
                handle,
                place,
                payload: Bytes::new(),
            };
            let bytes = envelope.encode();
            parked.park((0, slot, seq), MsgId::of(&bytes), Waiting { envelope, bytes });
        };
        put(1, 1);
        (1..=1000).for_each(|seq| put(2, seq));
        let all = parked.take_all();
        assert_eq!(all.len(), 1 + limits::PARKED_PER_SLOT);
        assert_eq!(all[0].0, (0, Slot([1; 4]), 1));
        assert_eq!(all[1].0.2, 1000 - limits::PARKED_PER_SLOT as u32 + 1);
    }
}
