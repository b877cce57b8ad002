//! What still waits on this device: own entries that no relay, carrier or member has taken.
//!
//! Kept up to date with each piece of evidence, so that asking costs nothing: a host asks after every
//! input, to try harder for a link while something waits. It falls back with the words: an entry whose
//! relay lost its disk waits again. Acts of people (*seen*, *acknowledged*) have no words of their own and
//! are reckoned from the same receipts and heads. Keys for members are no entries of people and never wait;
//! nor does what an earlier life of this device wrote, of which this store does not know all.

use super::Thread;
use crate::entry::Kind;
use crate::envelope::Class;
use crate::machine::command::EntryRef;
use crate::machine::ctx::Ctx;
use crate::ranges::Log;
use std::collections::BTreeMap;

/// The entries, and how many of each class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    entries: BTreeMap<EntryRef, Class>,
    counts: [u32; 5],
}

impl Waiting {
    fn set(&mut self, at: EntryRef, class: Class) {
        if self.entries.insert(at, class).is_none() {
            self.counts[class as usize] += 1;
        }
    }

    /// The entry waits no longer.
    pub(super) fn forget(&mut self, at: EntryRef) {
        if let Some(class) = self.entries.remove(&at) {
            self.counts[class as usize] -= 1;
        }
    }
}

impl Thread {
    /// Own entries that nobody took yet, by class.
    pub(crate) fn waiting_counts(&self) -> [u32; 5] {
        self.waiting.counts
    }

    /// Looks at one entry anew.
    pub(super) fn reckon(&mut self, ctx: &Ctx<'_>, at: EntryRef) {
        let known = self.entries.get(&at).filter(|_| self.is_own(at.slot));
        let waits = known.filter(|meta| meta.kind != Kind::CtlKeys && !self.in_forgotten_life(ctx, at.slot));
        let taken = || match self.trackers.get(&at) {
            Some(tracker) => tracker.has_left(),
            None => self.act_has_left(at),
        };
        match waits.map(|meta| meta.class).filter(|_| !taken()) {
            Some(class) => self.waiting.set(at, class),
            None => self.waiting.forget(at),
        }
    }

    /// Looks at what waits and has no words of its own.
    pub(super) fn reckon_acts(&mut self, ctx: &Ctx<'_>) {
        let waiting = self.waiting.entries.keys();
        let acts: Vec<EntryRef> = waiting
            .filter(|at| !self.trackers.contains_key(at))
            .copied()
            .collect();
        for at in acts {
            self.reckon(ctx, at);
        }
    }

    /// Looks at every own entry anew.
    pub(super) fn reckon_all(&mut self, ctx: &Ctx<'_>) {
        let own = self.entries.keys().filter(|at| self.is_own(at.slot));
        let own: Vec<EntryRef> = own.copied().collect();
        for at in own {
            self.reckon(ctx, at);
        }
    }

    fn act_has_left(&self, at: EntryRef) -> bool {
        let named = |ranges: &crate::ranges::Ranges| ranges.contains(at.slot, Log::Content, at.seq);
        let others = self.membership.members.values().any(|m| !self.is_own(m.slot));
        let mut heads = self.heads.iter().filter(|(slot, _)| !self.is_own(**slot));
        !others
            || self.relays.values().any(|relay| named(&relay.ranges))
            || heads.any(|(_, head)| named(&head.head.open))
    }
}
