//! What an earlier life of this device wrote and never sealed is written again in its new life.
//!
//! A device that was removed, or whose store was restored, keeps in its store what its people wrote:
//! they were told that it is stored. Once the device is a member again it moves those entries to its
//! new slot, with their time and their text, in the batch that shows it the new membership. Numbers of
//! the earlier life are free again then for what that life really sealed and this store forgot.

use super::content::read_entry_row;
use super::{EntryMeta, Thread};
use crate::clinical::Body;
use crate::entry::{Entry, Kind};
use crate::envelope::Class;
use crate::id::{NodeId, Seq, Slot};
use crate::machine::command::{CommandError, EntryRef};
use crate::machine::ctx::Ctx;
use crate::machine::event::Event;
use crate::ranges::Log;
use crate::store::table;
use crate::time::Wall;
use std::collections::{BTreeMap, BTreeSet};

/// Hashes of entries that moved, old to new.
type Renamed = BTreeMap<[u8; 32], [u8; 32]>;

impl Thread {
    /// Moves unsealed entries of earlier lives into the present one.
    pub(super) fn carry_over(&mut self, ctx: &mut Ctx<'_>) {
        let Some((mine, _)) = self.me(ctx.dev()) else {
            return;
        };
        if self.unsealed.is_empty() || ctx.flaws.earlier_life_left_behind {
            return;
        }
        let earlier = self.own_slots.iter().filter(|slot| **slot != mine);
        let of_slot = |slot: Slot| {
            let (from, to) = (EntryRef { slot, seq: 0 }, EntryRef { slot, seq: Seq::MAX });
            self.entries.range(from..=to)
        };
        let waiting = earlier.flat_map(|slot| of_slot(*slot));
        let waiting = waiting.filter(|(_, m)| m.node == NodeId::default());
        let told = |m: &EntryMeta| (m.class, Wall(m.stored_ms));
        let waiting: Vec<_> = waiting.map(|(at, m)| (*at, told(m))).collect();
        // a store that cannot be read now is asked again; nothing was taken out of it yet
        if waiting.is_empty() || self.is_stale(ctx.dev()) || self.own_counters(ctx, mine).is_err() {
            return;
        }
        let read = waiting.into_iter().map(|(at, told)| {
            let row = ctx.get(&table::entry(self.id, at.slot, at.seq))?;
            Ok((at, told, row))
        });
        let Ok(rows) = read.collect::<Result<Vec<_>, CommandError>>() else {
            return;
        };
        // all leave before the first is written: old and new ones may share numbers
        let mut left = Vec::new();
        for (at, told, row) in rows {
            let row = row.and_then(|row| read_entry_row(&row).ok());
            // what cannot be read stays: nothing that was told as stored is thrown away
            if let Some((meta, encoded)) = row
                && let Ok(entry) = Entry::decode(&encoded)
            {
                self.take_unsealed(ctx, at);
                left.push((at, told, (meta.hash, entry)));
            }
        }
        let slots: BTreeSet<Slot> = left.iter().map(|(at, ..)| at.slot).collect();
        for slot in slots {
            self.chains.remove(&slot);
            self.advance_chain(ctx, slot);
        }
        let mut renamed = Renamed::new();
        for (from, (class, stored), (hash, entry)) in left {
            if entry.kind != Kind::CtlKeys {
                let place = (mine, class, stored);
                self.write_again(ctx, from, place, (hash, entry), &mut renamed);
            }
        }
    }

    /// An own entry that waits for its seal.
    pub(super) fn is_unsealed_own(&self, slot: Slot, node: NodeId) -> bool {
        node == NodeId::default() && self.is_own(slot)
    }

    /// Takes an unsealed entry out of the store and of memory.
    fn take_unsealed(&mut self, ctx: &mut Ctx<'_>, at: EntryRef) {
        ctx.batch().delete(table::entry(self.id, at.slot, at.seq));
        ctx.batch().delete(table::unsealed(self.id, at.seq));
        self.unsealed.retain(|(_, seq)| *seq != at.seq);
        self.told_alarms.remove(&at.seq);
        self.entries.remove(&at);
        self.trackers.remove(&at);
        self.waiting.forget(at);
        self.open.remove(at.slot, Log::Content, at.seq);
    }

    fn write_again(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: EntryRef,
        place: (Slot, Class, Wall),
        (hash, mut entry): ([u8; 32], Entry),
        renamed: &mut Renamed,
    ) {
        rename(&mut entry, renamed);
        let Ok(to) = self.write(ctx, place, entry) else {
            return;
        };
        renamed.insert(hash, self.entries[&to].hash);
        let objects = self.objects.values_mut().filter(|o| o.entry == from);
        objects.for_each(|o| o.entry = to);
        let thread = self.id;
        ctx.event(Event::Moved { thread, from, to });
        self.track(ctx, to);
    }
}

/// An act on an entry that moved names it by its new hash.
fn rename(entry: &mut Entry, renamed: &Renamed) {
    let new = |hash: &[u8; 32]| renamed.get(hash).copied();
    let body = match Body::decode(entry.kind, &entry.body) {
        Ok(Body::Acknowledgement(mut ack)) => {
            ack.entry = new(&ack.entry).unwrap_or(ack.entry);
            Body::Acknowledgement(ack)
        }
        Ok(Body::Recall(mut recall)) => {
            recall.entry = new(&recall.entry).unwrap_or(recall.entry);
            recall.replacement = recall.replacement.map(|old| new(&old).unwrap_or(old));
            Body::Recall(recall)
        }
        Ok(Body::Alert(mut alert)) => {
            alert.refers = alert.refers.map(|old| new(&old).unwrap_or(old));
            Body::Alert(alert)
        }
        _ => return,
    };
    if let Ok(bytes) = body.encode() {
        entry.body = bytes;
    }
}
