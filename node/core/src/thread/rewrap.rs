//! Nothing is lost: entries that a member is owed and cannot open are sealed for it again.
//!
//! An entry is owed to a member if it could open the node that the entry was sealed on, or if the
//! thread's history policy grants everything. What a member lacks is read from its own signed head.
//! A rewrap is sealed on the newest node, at the entry's own place, so it goes there only if every
//! member is entitled to it; that holds for all with the policy *all*, and for entries that were
//! sealed for everybody. Control keys are owed to every member of today, on an older node to one that
//! stands there. Holders take turns, so that mostly one of them acts.

use super::Thread;
use super::content::{PF_REWRAP, read_entry_row};
use crate::codec::Writer;
use crate::entry::Kind;
use crate::envelope::Class;
use crate::group::control::History;
use crate::id::{Dev, NodeId, Slot};
use crate::limits;
use crate::machine::command::{CommandError, EntryRef};
use crate::machine::ctx::Ctx;
use crate::ranges::Log;
use crate::store::table;
use crate::time::Instant;
use std::collections::BTreeSet;

/// A head interval: what is on its way must be given the time to arrive.
const PATIENCE_MS: u64 = 3_000;
/// Before the same entry is handed to the same member again; doubles each time.
const AGAIN_MS: u64 = 60_000;
/// A member that could open the node and still lacks the entry has lost the message key.
const LOST_KEY_MS: u64 = 120_000;
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

impl Thread {
    /// A member's head came: look soon whether it lacks something.
    pub(super) fn rewrap_needed(&mut self, ctx: &Ctx<'_>) {
        let wait = PATIENCE_MS + 2_000 * self.turn(ctx) as u64;
        let at = ctx.now.mono.plus_ms(wait);
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
        self.rewrap_due = self.rewrap_due.filter(|_| ctx.flaws.rewrap_timer_kept);
        if ctx.flaws.late_joiner_not_rewrapped {
            return Ok(());
        }
        if self.gate(ctx).is_err() {
            self.rewrap_missed = true;
            return Ok(());
        }
        let (mut owed, later) = self.owed(ctx);
        if owed.len() > BATCH || later {
            self.rewrap_due = Some(ctx.now.mono.plus_ms(PATIENCE_MS));
        }
        owed.truncate(BATCH);
        if owed.is_empty() {
            return Ok(());
        }
        let nodes: BTreeSet<NodeId> = owed.iter().map(|(_, node)| *node).collect();
        for (at, node) in owed {
            self.rewrap_one(ctx, at, node)?;
        }
        for node in nodes {
            if let Some(state) = self.nodes.get_mut(&node) {
                state.save(self.id, node, &mut ctx.tx.batch);
            }
        }
        Ok(())
    }

    /// Entries that some member lacks, in the order of transmission, with the node to seal them on; and
    /// whether others will be due. A member that cannot follow to the newest node may lack a control key of
    /// another branch, and with it the ops that were said there: that is handed to it where it stands.
    fn owed(&mut self, ctx: &Ctx<'_>) -> (Vec<(EntryRef, NodeId)>, bool) {
        let me = ctx.dev();
        let members: Vec<(Dev, Slot)> = self
            .membership
            .members
            .iter()
            .filter(|(d, _)| **d != me)
            .map(|(d, m)| (*d, m.slot))
            .collect();
        let mut owed = Vec::new();
        let mut later = false;
        for (dev, slot) in members {
            let Some(head) = self.heads.get(&slot).map(|h| h.head.clone()) else {
                // it has not signed a head in this life: it has just joined, or is away
                continue;
            };
            let behind = head.node != self.head;
            if behind && !self.is_clean(head.node) {
                continue;
            }
            let lacking = self.entries.iter().filter(|(at, m)| {
                m.verified
                    && (m.kind == Kind::CtlKeys || !behind)
                    && m.node != NodeId::default()
                    && at.slot != slot
                    && !head.open.contains(at.slot, Log::Content, at.seq)
            });
            let lacking: Vec<EntryRef> = lacking.map(|(at, _)| *at).collect();
            for at in lacking {
                match self.handed_when(ctx, (dev, slot), head.counter, at) {
                    Some(due) if due <= ctx.now.mono => {
                        owed.push((self.entries[&at].class, at, head.node, slot, head.counter))
                    }
                    Some(_) => later = true,
                    None => {}
                }
            }
        }
        owed.sort();
        for (_, at, _, slot, head) in owed.iter().take(BATCH) {
            let times = self.handed.get(&(*slot, *at)).map_or(0, |h| h.times);
            let (last, head) = (ctx.now.mono, *head);
            self.handed.insert(
                (*slot, *at),
                HandedOn {
                    last,
                    times: times + 1,
                    head,
                },
            );
        }
        let mut places: Vec<_> = owed.into_iter().map(|(_, at, node, ..)| (at, node)).collect();
        places.dedup();
        (places, later)
    }

    /// When this device should hand the entry to the member; `None` if it is not entitled.
    fn handed_when(
        &self,
        ctx: &Ctx<'_>,
        (dev, slot): (Dev, Slot),
        head: u32,
        at: EntryRef,
    ) -> Option<Instant> {
        let meta = self.entries.get(&at)?;
        let roster = self.rosters.get(&meta.node);
        // entitled is the device, whatever its life; this life may still hold the message key
        let could = roster.is_some_and(|r| r.contains_key(&dev));
        let may_still = roster.is_some_and(|r| r.get(&dev).copied() == self.incarnation_of(slot));
        // a control key is nobody's history: each member of today may have all of them
        let all =
            meta.kind == Kind::CtlKeys || self.genesis.as_ref().is_some_and(|g| g.history == History::All);
        let entitled = all || could && self.is_for_all(meta.node);
        if !entitled && !ctx.flaws.history_handed_to_joiners {
            return None;
        }
        let age_ms = ctx.now.wall.0.saturating_sub(meta.stored_ms);
        let first_ms = if could && may_still {
            LOST_KEY_MS.saturating_sub(age_ms)
        } else {
            0
        };
        Some(match self.handed.get(&(slot, at)) {
            Some(before) => {
                // no later head: it may be on its way, or the member cannot open this seal either
                let patience = if before.head >= head { 2 } else { 0 };
                before
                    .last
                    .plus_ms(AGAIN_MS << (before.times - 1 + patience).min(6))
            }
            None => ctx.now.mono.plus_ms(first_ms),
        })
    }

    /// Everybody in the node's roster is a member today, and its keys are here.
    fn is_clean(&self, node: NodeId) -> bool {
        let members = &self.membership.members;
        let is_member = |(dev, inc): (&Dev, &u32)| members.get(dev).is_some_and(|m| m.inc == *inc);
        let clean = self.rosters.get(&node).is_some_and(|r| r.iter().all(is_member));
        clean && self.holds(node)
    }

    fn rewrap_one(&mut self, ctx: &mut Ctx<'_>, at: EntryRef, node: NodeId) -> Result<(), CommandError> {
        let row = ctx.get(&table::entry(self.id, at.slot, at.seq))?;
        let Some((meta, encoded)) = row.and_then(|r| read_entry_row(&r).ok()) else {
            return Ok(());
        };
        let Some((proof, signed)) = self.proof_of(ctx, at) else {
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
        self.seal_entry(ctx, (node, None), (at, class, PF_REWRAP), &w.finish())
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
