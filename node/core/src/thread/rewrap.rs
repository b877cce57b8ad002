//! Nothing is lost: entries that a member is owed and cannot open are sealed for it again.
//!
//! An entry is owed to a member if it could open the node that the entry was sealed on, or if the
//! thread's history policy grants everything. What a member lacks is read from its own signed head.
//! A rewrap is sealed on the newest node, at the entry's own place, so it goes there only if every
//! member is entitled to it; that holds for all with the policy *all*, and for entries that were
//! sealed for everybody. Others go by [`direct`](super::direct) seal to the member alone, and so do control
//! keys to a member that stands on an older node. Each entry has its own order of members, so that mostly one
//! of them acts, and each has its share.
//!
//! What this very life of a member could open when it was sealed is not sealed again unasked: the member
//! has not got it yet, or asks for it ([`ask`](super::ask)).

use super::content::{PF_REWRAP, read_entry_row};
use super::{HeadInfo, Thread};
use crate::codec::Writer;
use crate::envelope::{Class, Envelope};
use crate::group::control::History;
use crate::id::{Dev, NodeId, Slot};
use crate::limits;
use crate::machine::command::{CommandError, EntryRef};
use crate::machine::ctx::Ctx;
use crate::ranges::Log;
use crate::store::table;
use crate::time::Instant;
use std::collections::BTreeMap;

/// A head interval: what is on its way must be given the time to arrive.
const PATIENCE_MS: u64 = 3_000;
/// For each member that comes before this device in the order of an entry.
const TURN_MS: u64 = 4_000;
/// Before the same entry is handed to the same member again; doubles each time.
const AGAIN_MS: u64 = 60_000;
/// Entries sealed again in one round.
const BATCH: usize = 64;

/// An entry that was handed to a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandedOn {
    last: Instant,
    times: u32,
    /// The member's head that asked for it.
    head: u32,
}

/// Class, entry, the member's slot, the counter of its head.
pub(super) type Owed = (Class, EntryRef, Slot, u32);

/// What is handed on in one round.
#[derive(Default)]
struct Round {
    /// By rewraps on the newest node.
    for_all: Vec<Owed>,
    /// By direct seals.
    for_one: BTreeMap<Slot, Vec<Owed>>,
    /// Others will be due.
    later: bool,
}

impl Thread {
    /// A member's head came: look soon whether it lacks something.
    pub(super) fn rewrap_needed(&mut self, ctx: &Ctx<'_>) {
        let at = ctx.now.mono.plus_ms(PATIENCE_MS);
        self.rewrap_due = Some(self.rewrap_due.map_or(at, |due| due.min(at)));
    }

    /// Position of this device among the members, by an order that nobody chooses.
    pub(super) fn turn(&self, ctx: &Ctx<'_>) -> usize {
        let order = |key: &[u8; 32]| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&self.head.0).update(key);
            *hasher.finalize().as_bytes()
        };
        let mine = order(&ctx.member.device.public());
        self.membership
            .members
            .values()
            .filter(|m| order(&m.device_key) < mine)
            .count()
    }

    /// Seals again what members lack. The caller saves nothing; the batch has it all.
    pub(crate) fn rewrap(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CommandError> {
        let again = [self.hand_keys(ctx), self.ask(ctx)];
        let kept = self.rewrap_due.filter(|_| ctx.flaws.rewrap_timer_kept);
        self.rewrap_due = again.into_iter().chain([kept]).flatten().min();
        if ctx.flaws.late_joiner_not_rewrapped {
            return Ok(());
        }
        if self.gate(ctx).is_err() {
            self.rewrap_missed = true;
            return Ok(());
        }
        let Round {
            for_all,
            for_one,
            mut later,
        } = self.owed(ctx);
        later |= for_all.len() > BATCH;
        let places = self.places_for_all(ctx, for_all);
        for at in &places {
            self.rewrap_one(ctx, *at)?;
        }
        for (slot, owed) in for_one {
            later |= self.hand_to_one(ctx, slot, owed)?;
        }
        if later {
            let at = ctx.now.mono.plus_ms(PATIENCE_MS);
            self.rewrap_due = Some(self.rewrap_due.map_or(at, |due| due.min(at)));
        }
        let head = self.head;
        if !places.is_empty()
            && let Some(node) = self.nodes.get_mut(&head)
        {
            node.save(self.id, head, &mut ctx.tx.batch);
        }
        Ok(())
    }

    /// Marks a batch of entries as handed on. Returns those to seal: not those that somebody sealed on
    /// the newest node already, unless a member could do nothing with that.
    fn places_for_all(&mut self, ctx: &Ctx<'_>, for_all: Vec<Owed>) -> Vec<EntryRef> {
        let mut places: BTreeMap<EntryRef, bool> = BTreeMap::new();
        for owed in for_all.into_iter().take(BATCH) {
            self.mark_handed(ctx, owed);
            let again = self.handed.get(&(owed.2, owed.1)).is_some_and(|h| h.times > 1);
            *places.entry(owed.1).or_default() |= again;
        }
        let is_sealed = |at: &EntryRef| {
            let row = ctx.get(&table::rewrap(self.id, at.slot, at.seq)).ok().flatten();
            let there = row.and_then(|bytes| Envelope::decode(&bytes).ok());
            there.is_some_and(|there| there.payload.starts_with(&self.head.0[..4]))
        };
        let due = places.into_iter().filter(|(at, again)| *again || !is_sealed(at));
        due.map(|(at, _)| at).collect()
    }

    /// Entries that some member lacks, in the order of transmission.
    fn owed(&self, ctx: &Ctx<'_>) -> Round {
        let me = ctx.dev();
        let members = self.membership.members.iter().filter(|(d, _)| **d != me);
        let mut round = Round::default();
        let share = (self.turn(ctx) as u64, self.membership.members.len().max(1) as u64);
        for (dev, slot) in members.map(|(d, m)| (*d, m.slot)) {
            let Some(HeadInfo { head, heard, .. }) = self.heads.get(&slot) else {
                // it has not signed a head in this life: it has just joined, or is away
                continue;
            };
            let since = self.moved.map_or(*heard, |moved| moved.max(*heard));
            if head.node != self.head {
                continue;
            }
            let lacking = self.open.minus(&head.open);
            let lacking = lacking
                .0
                .iter()
                .filter(|((of, log), _)| *log == Log::Content && *of != slot);
            let lacking = lacking.flat_map(|((slot, _), set)| {
                let slot = *slot;
                set.iter().map(move |seq| EntryRef { slot, seq })
            });
            let lacking = lacking.filter_map(|at| Some((at, self.entries.get(&at)?)));
            let lacking = lacking.filter(|(_, m)| m.verified && m.node != NodeId::default());
            for (at, meta) in lacking {
                let owed = (meta.class, at, slot, head.counter);
                let first = since.plus_ms(PATIENCE_MS + TURN_MS * place_in(share, &meta.hash));
                match self.handed_when(ctx, (dev, slot), (head.counter, first), at) {
                    Some(due) if due > ctx.now.mono => round.later = true,
                    Some(_) if self.is_for_all(meta.node) => round.for_all.push(owed),
                    Some(_) => round.for_one.entry(slot).or_default().push(owed),
                    None => {}
                }
            }
        }
        round.for_all.sort();
        round.for_one.values_mut().for_each(|owed| owed.sort());
        round
    }

    pub(super) fn mark_handed(&mut self, ctx: &Ctx<'_>, (_, at, slot, head): Owed) {
        let times = self.handed.get(&(slot, at)).map_or(0, |h| h.times) + 1;
        let last = ctx.now.mono;
        self.handed.insert((slot, at), HandedOn { last, times, head });
    }

    /// When this device should hand the entry to the member, with `first` its first turn; `None` if it is
    /// not entitled, if it can get it by itself, or what was handed to it alone has not been taken.
    fn handed_when(
        &self,
        ctx: &Ctx<'_>,
        (dev, slot): (Dev, Slot),
        (head, first): (u32, Instant),
        at: EntryRef,
    ) -> Option<Instant> {
        let meta = self.entries.get(&at)?;
        let roster = self.rosters.get(&meta.node);
        // entitled is the device, whatever its life; this life may still hold the message key
        let could = self.could_open(dev, meta.node);
        let may_still = roster.is_some_and(|r| r.get(&dev).copied() == self.incarnation_of(slot));
        let all = self.genesis.as_ref().is_some_and(|g| g.history == History::All);
        if !(all || could || ctx.flaws.history_handed_to_joiners) {
            return None;
        }
        if could && may_still {
            return None;
        }
        Some(match self.handed.get(&(slot, at)) {
            Some(before)
                if before.head >= head && !self.is_for_all(meta.node) && self.is_unread(ctx, slot) =>
            {
                return None;
            }
            Some(before) => {
                // no later head: it may be on its way, or the member cannot open this seal either
                let patience = if before.head >= head { 2 } else { 0 };
                before
                    .last
                    .plus_ms(AGAIN_MS << (before.times - 1 + patience).min(6))
            }
            None => first,
        })
    }

    fn rewrap_one(&mut self, ctx: &mut Ctx<'_>, at: EntryRef) -> Result<(), CommandError> {
        let row = ctx.get(&table::entry(self.id, at.slot, at.seq))?;
        let Some((meta, encoded)) = row.and_then(|r| read_entry_row(&r).ok()) else {
            return Ok(());
        };
        let Some((proof, signed)) = self.proof_of(ctx, at, |node| self.is_for_all(node)) else {
            return Ok(());
        };
        let mut w = Writer::new();
        proof.write_rewrap(&mut w, &signed);
        w.put(&encoded);
        // no carrier takes a longer alarm
        let long = encoded.len() + proof.hashes_len() + signed.len() + limits::ALARM_SEAL_BYTES
            > limits::ALARM_BYTES;
        let class = match long {
            true => meta.class.max(Class::Clinical),
            false => meta.class,
        };
        self.made_rewraps.insert((super::REWRAP, at.slot, at.seq));
        self.seal_entry(ctx, (self.head, None), (at, class, PF_REWRAP), &w.finish())
    }

    /// Whether the device, in any of its lives, was of those for whom an entry on `node` was sealed.
    pub(super) fn could_open(&self, dev: Dev, node: NodeId) -> bool {
        self.rosters.get(&node).is_some_and(|r| r.contains_key(&dev))
    }

    /// Whether an entry that was sealed on `node` may be handed to all members of today.
    pub(super) fn is_for_all(&self, node: NodeId) -> bool {
        let all = self.genesis.as_ref().is_some_and(|g| g.history == History::All);
        let could = |r: &super::Roster| {
            self.head_roster()
                .is_some_and(|head| head.keys().all(|d| r.contains_key(d)))
        };
        all || self.rosters.get(&node).is_some_and(could)
    }
}

/// Members that come before this one in the order of an entry. `share`: its place in the order of the
/// node, and how many there are; each entry begins somewhere else.
fn place_in((place, members): (u64, u64), hash: &[u8; 32]) -> u64 {
    let from = u64::from_le_bytes(hash[..8].try_into().expect("eight of 32 bytes")) % members;
    (place + members - from) % members
}
