//! Deletion: epoch nodes lose their secrets as soon as nobody can need them (PROTOCOL, *Deletion*).
//!
//! * A *demoted* node opens messages; no commit follows from it any more, here or for whoever gets the
//!   store. A node is demoted when everybody who could commit on it, and every member, signed for its
//!   child on the path or below, and the child has been there for [`limits::DEMOTE_CALM_MS`]: while a
//!   fork is being decided all may stand on one branch for a moment and go to the other one. Nobody
//!   honest commits on it then. Somebody removed counts as long as it did not sign so: its removal may
//!   turn out void, and its own commits good. Nobody is waited for longer than
//!   [`limits::DEMOTE_AFTER_MS`] after that child appeared; another path begins anew.
//! * A *dropped* node is gone. That is so when no message for it is known to be under way, at the earliest
//!   [`limits::DROP_AFTER_MS`] after it was demoted, and in any case after [`limits::DROP_LATEST_MS`]. It
//!   cannot be made again: its parent is gone or demoted, and the Welcome that led to it is taken no more.
//!
//! A node beside the path goes by the clock of the child on the path at its fork. All this concerns nodes
//! above the one that this device signs for; that one and what follows stay. Time is that of the
//! [clock of holding](Clock), so no wall clock deletes anything early.
//!
//! Not here: what deletes entries. Nodes to which no commit leads are kept; `commit` bounds their number.

use super::{Thread, fork::Grounds};
use crate::codec::{Malformed, Reader, Writer};
use crate::group::control::{Act, Op};
use crate::group::mls::NodeState;
use crate::id::{Dev, NodeId, OpId, Seq, Slot};
use crate::limits;
use crate::machine::ctx::Ctx;
use crate::ranges::{Log, Ranges, SeqSet};
use crate::store::{Read, ReadError, table};
use crate::time::Clock;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

const ROW: &str = "forget";
const ROW_VERSION: u8 = 1;

/// What deletion goes by. One row has all of it.
#[derive(Default)]
pub(crate) struct Forgetting {
    clock: Clock,
    /// By node of the path: its child there, and when that was first seen as such.
    children: BTreeMap<NodeId, (NodeId, u64)>,
    /// When a held node was demoted.
    demoted: BTreeMap<NodeId, u64>,
    /// Dropped nodes to which a Welcome led.
    gone: BTreeSet<NodeId>,
    /// Entries whose seal was seen and is of no use here: it is on a node that is not held.
    unreadable: Ranges,
    /// What was looked at last.
    looked: Option<Grounds>,
    /// The row is behind.
    changed: bool,
}

/// The part of the path that is behind this device.
struct Stem {
    /// From the node on which head and vote part, or end, up to the genesis.
    nodes: Vec<NodeId>,
    places: BTreeMap<NodeId, usize>,
    /// The place at or below which the newest heads of a device stand; of somebody removed the best.
    stands: BTreeMap<Dev, usize>,
}

impl Thread {
    /// Deletes what is due, and says when to look again.
    pub(super) fn forget(&mut self, ctx: &mut Ctx<'_>) {
        let is_due = self.forget_due.is_some_and(|at| at <= ctx.now.mono);
        let holds_vote = self.nodes.get(&self.vote).is_some_and(NodeState::can_commit);
        if !is_due && self.forgetting.looked == self.walked || !holds_vote || ctx.flaws.nodes_never_deleted {
            self.forget_due = self.forget_due.filter(|_| !is_due);
            return;
        }
        self.forgetting.looked = self.walked.clone();
        let now_us = self.forgetting.clock.advance(ctx.now).held_us;
        let stem = self.stem();
        let forks: BTreeMap<NodeId, usize> = self
            .nodes
            .keys()
            .filter_map(|node| Some((*node, self.fork_of(&stem, *node)?)))
            .collect();
        self.follow_children(&stem, &forks, now_us);
        for (node, fork) in &forks {
            let calm = || self.is_child_since(&stem, *fork, now_us, limits::DEMOTE_CALM_MS);
            let acked = || self.is_acked(ctx, &stem, *fork) && (calm() || ctx.flaws.node_deleted_too_early);
            let old = || self.is_child_since(&stem, *fork, now_us, limits::DEMOTE_AFTER_MS);
            let is_due = || acked() || old();
            if self.nodes[node].can_commit() && is_due() {
                self.demote(ctx, *node, now_us);
            }
        }
        while let Some(node) = self.next_to_drop(ctx, &stem, &forks, now_us) {
            self.drop_node(ctx, node);
        }
        self.plan(ctx, now_us);
    }

    /// An entry came under a seal of a node that is not held here. Whoever has a control key can make up such
    /// places: what is not noted waits for the later time.
    pub(super) fn note_unreadable(&mut self, slot: Slot, seq: Seq) {
        let noted = self.forgetting.unreadable.get(slot, Log::Content);
        let has_room = noted.is_none_or(|noted| noted.runs().len() <= limits::HOLES_PER_LOG);
        if has_room && !self.open.contains(slot, Log::Content, seq) {
            self.forgetting.unreadable.insert(slot, Log::Content, seq);
        }
    }

    /// Whether the node was here and was dropped.
    pub(super) fn is_forgotten(&self, node: NodeId) -> bool {
        self.forgetting.gone.contains(&node)
    }

    fn stem(&self) -> Stem {
        let path: BTreeSet<NodeId> = self.climb(self.head).collect();
        let nodes: Vec<NodeId> = self.climb(self.vote).filter(|node| path.contains(node)).collect();
        let places: BTreeMap<NodeId, usize> =
            nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect();
        let mut stands: BTreeMap<Dev, usize> = BTreeMap::new();
        let place = |vote: NodeId| self.climb(vote).find_map(|node| places.get(&node)).copied();
        for (slot, info) in &self.heads {
            let author = self.slots.get(slot).map(|author| author.dev);
            if let Some((dev, at)) = author.zip(place(info.head.node)) {
                let best = stands.entry(dev).or_insert(at);
                *best = at.min(*best);
            }
        }
        // of a member all count that are its newest
        let mut members: BTreeMap<Dev, Option<usize>> =
            self.membership.members.keys().map(|dev| (*dev, None)).collect();
        for (dev, vote) in self.votes() {
            let at = place(vote).unwrap_or(usize::MAX);
            members.insert(dev, members.get(&dev).copied().flatten().max(Some(at)));
        }
        stands.extend(
            members
                .into_iter()
                .map(|(dev, at)| (dev, at.unwrap_or(usize::MAX))),
        );
        Stem {
            nodes,
            places,
            stands,
        }
    }

    /// Place of the node of the stem from which a node branches off, or of itself; `None` if it is at the end
    /// of the stem or below.
    fn fork_of(&self, stem: &Stem, node: NodeId) -> Option<usize> {
        let fork = self.climb(node).find_map(|at| stem.places.get(&at)).copied();
        fork.filter(|place| *place > 0)
    }

    /// Notes when children on the path appeared; another child begins anew.
    fn follow_children(&mut self, stem: &Stem, forks: &BTreeMap<NodeId, usize>, now_us: u64) {
        let wanted: BTreeSet<usize> = forks.values().copied().collect();
        let before = std::mem::take(&mut self.forgetting.children);
        for at in wanted {
            let (node, child) = (stem.nodes[at], stem.nodes[at - 1]);
            let known = before.get(&node).filter(|(of, _)| *of == child);
            let since = known.map_or(now_us, |(_, since)| *since);
            self.forgetting.children.insert(node, (child, since));
        }
        self.forgetting.changed |= before != self.forgetting.children;
    }

    /// Every member, and everybody who could read the node, stands on its child or below.
    fn is_acked(&self, ctx: &Ctx<'_>, stem: &Stem, at: usize) -> bool {
        let stands = |dev: &Dev| stem.stands.get(dev).is_some_and(|place| *place < at);
        let readers = self.rosters.get(&stem.nodes[at]);
        ctx.flaws.node_deleted_too_early
            || self.membership.members.keys().all(stands)
                && readers.is_some_and(|readers| readers.keys().all(stands))
    }

    /// Its child on the path appeared so long ago.
    fn is_child_since(&self, stem: &Stem, at: usize, now_us: u64, ms: u64) -> bool {
        let child = self.forgetting.children.get(&stem.nodes[at]);
        child.is_some_and(|(_, since_us)| now_us.saturating_sub(*since_us) / 1000 >= ms)
    }

    fn demote(&mut self, ctx: &mut Ctx<'_>, node: NodeId, now_us: u64) {
        if let Some(state) = self.nodes.get_mut(&node) {
            state.demote(self.id, node, &mut ctx.tx.batch);
            self.forgetting.demoted.insert(node, now_us);
            self.forgetting.changed = true;
        }
    }

    /// A demoted node whose time has come, and which nothing that is held could make again.
    fn next_to_drop(
        &self,
        ctx: &Ctx<'_>,
        stem: &Stem,
        forks: &BTreeMap<NodeId, usize>,
        now_us: u64,
    ) -> Option<NodeId> {
        let may_be_made = |node: &NodeId| {
            let parent = self.commits.get(node).map(|commit| commit.header.parent);
            let parent = parent.and_then(|parent| self.nodes.get(&parent));
            parent.is_some_and(NodeState::can_commit)
        };
        let is_due = |node: NodeId, since_us: u64| {
            let age_ms = now_us.saturating_sub(since_us) / 1000;
            let acked = || forks.get(&node).is_some_and(|at| self.is_acked(ctx, stem, *at));
            age_ms >= limits::DROP_LATEST_MS
                || age_ms >= limits::DROP_AFTER_MS && acked() && self.awaits_nothing()
                || ctx.flaws.node_deleted_too_early
        };
        let mut demoted = self.forgetting.demoted.iter();
        let found = demoted.find(|(node, since_us)| {
            **node != self.head && **node != self.vote && !may_be_made(node) && is_due(**node, **since_us)
        });
        found.map(|(node, _)| *node)
    }

    /// Every entry that a member signed to have sealed is open here, or its seal was seen and is of no use.
    fn awaits_nothing(&self) -> bool {
        let mut members = self.membership.members.values();
        members.all(|member| {
            let sealed = self.heads.get(&member.slot).map_or(0, |info| info.head.seq);
            let without = |set: SeqSet, ranges: &Ranges| match ranges.get(member.slot, Log::Content) {
                Some(known) => set.minus(known),
                None => set,
            };
            let all = (sealed > 0).then(|| SeqSet::interval(1, sealed));
            let missing = all.map(|all| without(without(all, &self.open), &self.forgetting.unreadable));
            missing.is_none_or(|missing| missing.is_empty())
        })
    }

    fn drop_node(&mut self, ctx: &mut Ctx<'_>, node: NodeId) {
        self.forgetting.demoted.remove(&node);
        self.forgetting.changed = true;
        let Some(state) = self.nodes.remove(&node) else {
            return;
        };
        state.erase(self.id, node, &mut ctx.tx.batch);
        if self.was_welcomed(ctx, node) {
            self.forgetting.gone.insert(node);
        }
        self.save_keys(ctx);
    }

    /// Whether the commit of the node added this device or gave it a new leaf: a Welcome led to it.
    fn was_welcomed(&self, ctx: &Ctx<'_>, node: NodeId) -> bool {
        let adds = self.commits.get(&node).map(|commit| &commit.header.adds);
        let mut adds = adds.into_iter().flatten();
        let own = |id: &OpId| match self.ops.as_ref()?.get(*id)? {
            (
                _,
                Op {
                    act: Act::Add { dev, .. },
                    ..
                },
            ) => Some(*dev == ctx.dev()),
            (slot, _) => Some(self.is_own(slot)),
        };
        adds.any(|id| own(id) == Some(true))
    }

    /// Saves what changed, and the clock now and then while something waits for its time.
    fn plan(&mut self, ctx: &mut Ctx<'_>, now_us: u64) {
        let f = &mut self.forgetting;
        f.demoted.retain(|node, _| self.nodes.contains_key(node));
        let waits = !f.children.is_empty() || !f.demoted.is_empty();
        let steps = |since_us: &u64| {
            [limits::DROP_AFTER_MS, limits::DROP_LATEST_MS].map(|ms| since_us.saturating_add(ms * 1000))
        };
        let old = |(_, since_us): &(NodeId, u64)| {
            [limits::DEMOTE_CALM_MS, limits::DEMOTE_AFTER_MS].map(|ms| since_us.saturating_add(ms * 1000))
        };
        let dues = f
            .demoted
            .values()
            .flat_map(steps)
            .chain(f.children.values().flat_map(old));
        let look_us = now_us.saturating_add(limits::FORGET_LOOK_MS * 1000);
        let due_us = dues.filter(|due| *due > now_us).min().unwrap_or(look_us);
        self.forget_due = waits.then(|| f.clock.when(due_us.min(look_us)));
        if f.changed || waits && f.clock.is_due() {
            f.changed = false;
            let row = f.row();
            ctx.batch().put(table::own_of_thread(ROW, self.id), row);
        }
    }

    /// Reads what an earlier life knew.
    pub(super) fn load_forgetting(&mut self, store: &dyn Read) -> Result<(), ReadError> {
        let row = store.get(&table::own_of_thread(ROW, self.id))?;
        if let Some(row) = row {
            let read = Forgetting::of_row(&row);
            self.forgetting = read.map_err(|e| ReadError(format!("thread {}: {e}", self.id)))?;
        }
        Ok(())
    }
}

impl Forgetting {
    /// `v 1 | clock 33 | n, n x (node 16, child 16, since us u64) | n, n x (demoted node 16, us u64) |
    /// n, n x gone node 16 | unreadable entries as in RANGES`.
    fn row(&mut self) -> Bytes {
        let mut w = Writer::new();
        w.u8(ROW_VERSION)
            .put(&self.clock.save())
            .count(self.children.len());
        for (node, (child, since_us)) in &self.children {
            w.put(&node.0).put(&child.0).u64(*since_us);
        }
        w.count(self.demoted.len());
        for (node, since_us) in &self.demoted {
            w.put(&node.0).u64(*since_us);
        }
        w.count(self.gone.len());
        for node in &self.gone {
            w.put(&node.0);
        }
        self.unreadable.write(&mut w);
        w.finish()
    }

    fn of_row(row: &[u8]) -> Result<Forgetting, Malformed> {
        let mut r = Reader::new(row);
        if r.u8()? != ROW_VERSION {
            return Err(Malformed("unknown version of the row of deletion"));
        }
        let clock = Clock::of_row(&r.array::<{ Clock::ROW_BYTES }>()?)?;
        let mut read = Forgetting {
            clock,
            ..Forgetting::default()
        };
        for _ in 0..r.count(limits::NODES_PER_THREAD)? {
            let node = NodeId(r.array()?);
            let child = NodeId(r.array()?);
            read.children.insert(node, (child, r.u64()?));
        }
        for _ in 0..r.count(limits::NODES_PER_THREAD)? {
            let node = NodeId(r.array()?);
            read.demoted.insert(node, r.u64()?);
        }
        for _ in 0..r.count(limits::NODES_PER_THREAD)? {
            read.gone.insert(NodeId(r.array()?));
        }
        read.unreadable = Ranges::read(&mut r)?;
        r.end()?;
        Ok(read)
    }
}
