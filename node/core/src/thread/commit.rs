//! Epoch nodes: following commits, and making them.
//!
//! A commit is processed on a clone of its parent once all ops that it names count here; the child
//! is kept only if its MLS roster equals the one computed from the headers. Who says a change of members
//! commits it in the same batch; what its author did not commit others do, by turn. A difference is committed
//! as one removal at a time, then all additions in one commit without a path. A commit that names a removal
//! makes a fresh control key ([`super::ctl_keys`]).

use super::{Roster, Thread};
use crate::clinical::Body;
use crate::crypto::Secret;
use crate::directory::{DeviceCert, Signed};
use crate::entry::Kind;
use crate::envelope::{Class, Envelope, Place};
use crate::group::control::{Act, Commit, MadeBy, Object, Why};
use crate::group::keys::ControlKey;
use crate::group::mls::{Committed, Leaf, NodeState, SealPlace, Suite, strip_key_packages};
use crate::group::welcome::Welcome;
use crate::id::{Dev, Handle, Incarnation, NodeId, OpId, Slot};
use crate::limits;
use crate::machine::command::CommandError;
use crate::machine::ctx::Ctx;
use crate::machine::event::Event;
use bytes::Bytes;
use std::collections::BTreeSet;

/// Before a device commits what another one said, and for each place in the order of turns.
const COMMIT_MS: u64 = 5_000;
const TURN_MS: u64 = 3_000;
/// After a commit that could not be made.
const COMMIT_AGAIN_MS: u64 = 60_000;

impl Thread {
    /// Processes every commit whose parent is held and whose ops count. Returns whether any was.
    pub(super) fn follow_commits(&mut self, ctx: &mut Ctx<'_>) -> bool {
        self.build_commits(ctx);
        let mut moved = self.renew_rosters(ctx) | self.move_head(ctx);
        while let Some(node) = self.next_commit() {
            moved = true;
            if !self.process_commit(ctx, node) {
                self.refused.insert(node);
            }
        }
        moved |= self.retry_keys(ctx);
        moved | self.move_head(ctx)
    }

    /// Follows the headers of commits that were processed in an earlier life; makes no node.
    pub(super) fn follow_loaded(&mut self, ctx: &mut Ctx<'_>) -> bool {
        self.build_commits(ctx);
        self.renew_rosters(ctx) | self.move_head(ctx)
    }

    /// A commit that can be processed now.
    fn next_commit(&self) -> Option<NodeId> {
        if self.nodes.len() >= limits::NODES_PER_THREAD {
            return None;
        }
        let mut ready = self.commits.iter().filter(|(node, commit)| {
            !self.nodes.contains_key(node)
                && !self.refused.contains(node)
                && commit.header.made_by != MadeBy::Refound
                && self.rosters.contains_key(node)
                && self.can_commit_on(commit.header.parent)
        });
        let first = ready.next()?;
        let path: BTreeSet<NodeId> = self.climb(self.head).collect();
        let aside = |author: Slot| {
            let held = self.nodes.keys().filter(|node| !path.contains(*node));
            let by = |node: &&NodeId| self.commits.get(*node).is_some_and(|c| c.header.author == author);
            held.filter(by).count()
        };
        let mut ready = std::iter::once(first).chain(ready);
        let next = ready
            .find(|(node, commit)| path.contains(*node) || aside(commit.header.author) < limits::SIDE_NODES);
        next.map(|(node, _)| *node)
    }

    /// Rosters of all commits whose path is here and whose ops count. A held node whose MLS roster
    /// is another one was a lie: it is dropped.
    fn renew_rosters(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let mut ready: Vec<NodeId> = self.unrooted.iter().copied().collect();
        let mut moved = false;
        while let Some(node) = ready.pop() {
            let header = self.commits.get(&node).map(|commit| &commit.header);
            let Some(roster) = header.and_then(|header| self.roster_by(header)) else {
                continue;
            };
            moved = true;
            self.unrooted.remove(&node);
            let told = |state: &&NodeState| self.is_as_told(node, state, &roster);
            let is_lie = self.nodes.get(&node).is_some_and(|state| !told(&state));
            if is_lie && let Some(state) = self.nodes.remove(&node) {
                state.erase(self.id, node, &mut ctx.tx.batch);
                self.refused.insert(node);
                self.save_keys(ctx);
            }
            self.rosters.insert(node, roster);
            let children = self.children.get(&node).into_iter().flatten();
            ready.extend(children.filter(|child| self.unrooted.contains(*child)));
        }
        moved
    }

    /// Roster of the node that a commit makes; `None` also while that of its parent is not known.
    pub(super) fn roster_by(&self, header: &Commit) -> Option<Roster> {
        self.roster_after(self.rosters.get(&header.parent)?, header)
    }

    /// Roster of a child by its header; `None` while an op that it names does not count here, and if its
    /// author did not stand in the parent's roster.
    fn roster_after(&self, parent: &Roster, header: &Commit) -> Option<Roster> {
        if !self.stands_in(parent, header.author) {
            return None;
        }
        let mut roster = parent.clone();
        for id in &header.removes {
            let (dev, inc) = self.removes(*id)?;
            if roster.get(&dev).is_some_and(|there| *there <= inc) {
                roster.remove(&dev);
            }
        }
        let mut rejoined = BTreeSet::new();
        for id in &header.adds {
            match self.counting(*id)? {
                Act::Add { dev, inc, .. } if roster.insert(*dev, *inc) != Some(*inc) => {}
                Act::Rejoin { kp: Some(_) } => {
                    let dev = self
                        .replaces(header, *id)
                        .filter(|dev| roster.contains_key(dev))?;
                    rejoined.insert(dev);
                }
                Act::Refound { .. } if header.made_by == MadeBy::Refound => {}
                _ => return None,
            }
        }
        let founds = header.made_by == MadeBy::Refound;
        if founds && !self.founds_for_all(header, &roster, &rejoined) {
            return None;
        }
        if !rejoined.is_empty() && !self.none_carried_out(header.parent, &header.adds) {
            return None;
        }
        // what changes nothing is no step
        let named = self.named_on(header.parent);
        let again = header.removes.iter().any(|id| named.contains(id));
        (!again).then_some(roster)
    }

    /// Whether the life that a slot belongs to stands in a roster.
    pub(super) fn stands_in(&self, roster: &Roster, slot: Slot) -> bool {
        let there = self.slots.get(&slot).and_then(|author| roster.get(&author.dev));
        there.is_some() && there.copied() == self.incarnation_of(slot)
    }

    fn counting(&self, id: OpId) -> Option<&Act> {
        let (_, op) = self.ops.as_ref()?.get(id)?;
        self.membership.counts.contains(&id).then_some(&op.act)
    }

    fn removes(&self, id: OpId) -> Option<(Dev, Incarnation)> {
        match self.counting(id)? {
            Act::Remove { dev, inc, .. } => Some((*dev, *inc)),
            _ => None,
        }
    }

    /// The device whose leaf a Rejoin lets a commit replace: one that stands in the parent's roster with the
    /// life that asked, and did not make the commit.
    fn replaces(&self, header: &Commit, id: OpId) -> Option<Dev> {
        let (slot, _) = self.ops.as_ref()?.get(id)?;
        let parent = self.rosters.get(&header.parent)?;
        let dev = self.slots.get(&slot)?.dev;
        (slot != header.author && self.stands_in(parent, slot)).then_some(dev)
    }

    /// The leaves of a node are those that the headers say, and its suite is the thread's there.
    fn is_as_told(&self, node: NodeId, state: &NodeState, roster: &Roster) -> bool {
        fits(state, roster)
            && self
                .suite_of(node)
                .is_none_or(|suite| state.suite() == Some(suite))
    }

    fn process_commit(&mut self, ctx: &mut Ctx<'_>, node: NodeId) -> bool {
        let commit = &self.commits[&node];
        let parent = &self.nodes[&commit.header.parent];
        let Ok(processed) = parent.process(ctx.crypto, &commit.bytes) else {
            return false;
        };
        let author = self.slots.get(&commit.header.author).map(|author| author.key);
        let is_authors = author == Some(processed.author);
        if processed.evicted || !is_authors || !fits(&processed.child, &self.rosters[&node]) {
            return false;
        }
        let mut state = processed.child;
        state.save(self.id, node, &mut ctx.tx.batch);
        self.nodes.insert(node, state);
        self.save_keys(ctx);
        true
    }

    /// Walks again. Returns whether head or vote are others than before.
    fn move_head(&mut self, ctx: &mut Ctx<'_>) -> bool {
        if self.genesis.is_none() {
            return false;
        }
        let grounds = self.grounds();
        if self.walked.as_ref() == Some(&grounds) {
            debug_assert_eq!((self.head, self.vote), self.walk_ends(ctx));
            return false;
        }
        self.walked = Some(grounds);
        let (head, vote) = self.walk_ends(ctx);
        if (head, vote) == (self.head, self.vote) {
            return false;
        }
        if head != self.head {
            self.commit_due = None;
            self.moved = Some(ctx.now.mono);
        }
        (self.head, self.vote) = (head, vote);
        self.due_head(ctx);
        self.rewrap_due = Some(ctx.now.mono);
        ctx.event(Event::MembersChanged { thread: self.id });
        true
    }

    /// Commits what is outstanding, if it is this device's turn: at once what it said itself, after a while
    /// what others said and did not commit.
    pub(super) fn commit_outstanding(&mut self, ctx: &mut Ctx<'_>) {
        let mut is_turn = self.commit_due.is_some_and(|at| at <= ctx.now.mono);
        if is_turn && self.may_commit(ctx) {
            self.remove_revoked(ctx);
        }
        // bounded: each round names at least one op more
        while self.may_commit(ctx) && self.is_outstanding(ctx) {
            let waits = self.commit_due.is_some() || !self.is_all_mine(ctx.dev());
            if !is_turn && waits && ctx.flaws.others_do_not_commit {
                return;
            }
            if !is_turn && waits {
                let wait = COMMIT_MS + TURN_MS * self.turn(ctx) as u64;
                self.commit_due.get_or_insert(ctx.now.mono.plus_ms(wait));
                return;
            }
            let before = self.head;
            if self.commit_difference(ctx).is_err() || self.head == before {
                self.commit_due = Some(ctx.now.mono.plus_ms(COMMIT_AGAIN_MS));
                return;
            }
            is_turn = true;
        }
        self.commit_due = None;
    }

    /// Whether something is to be committed.
    fn is_outstanding(&self, ctx: &Ctx<'_>) -> bool {
        let me = ctx.dev();
        let asked = || self.leaf_to_replace(me).is_some() || self.refound_ready(me).is_some();
        !self.in_step() || self.has_revoked(ctx) || asked()
    }

    /// Whether this device can make a child of the newest node: it holds it, stands in its roster, and has
    /// not made one yet.
    fn may_commit(&self, ctx: &Ctx<'_>) -> bool {
        let children = self.children.get(&self.head).into_iter().flatten();
        let mut authors = children.filter_map(|child| Some(self.commits.get(child)?.header.author));
        self.head == self.vote
            && self.holds(self.head)
            && self.can_commit_on(self.head)
            && !self.is_stale(ctx.dev())
            && self.stands_on(ctx.dev(), self.head)
            && !authors.any(|author| self.is_own(author))
    }

    fn can_commit_on(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(NodeState::can_commit)
    }

    /// Whether this life of the device said all that is outstanding.
    fn is_all_mine(&self, dev: Dev) -> bool {
        if self.in_step() {
            return self.refound_ready(dev).is_some_and(|(asked, _)| asked.dev == dev);
        }
        let roster = self.rosters.get(&self.head);
        let members = self.membership.members.iter();
        let missing = members.filter(|(d, m)| roster.is_none_or(|r| r.get(*d) != Some(&m.inc)));
        let adds = missing.map(|(_, member)| member.add);
        let mut ops = adds.chain(self.unnamed_removes(self.head)).peekable();
        let Some((mine, _)) = self.me(dev) else {
            return false;
        };
        let author = |id| {
            self.ops
                .as_ref()
                .and_then(|ops| ops.get(id))
                .map(|(slot, _)| slot)
        };
        ops.peek().is_some() && ops.all(|id| author(id) == Some(mine))
    }

    fn remove_revoked(&mut self, ctx: &mut Ctx<'_>) {
        let members = self.membership.members.keys();
        let revoked: Vec<Dev> = members.filter(|d| self.is_revoked(ctx, **d)).copied().collect();
        for dev in revoked {
            let _ = self.remove(ctx, dev, Why::Revoked);
        }
    }

    /// Whether this life of the device can read the node: what it commits on another one nobody follows.
    pub(super) fn stands_on(&self, dev: Dev, node: NodeId) -> bool {
        let roster = self.rosters.get(&node);
        let me = self.me(dev);
        me.zip(roster)
            .is_some_and(|((slot, _), roster)| self.stands_in(roster, slot))
    }

    fn commit_difference(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CommandError> {
        let roster = self.rosters.get(&self.head).cloned().unwrap_or_default();
        let unnamed = self.unnamed_removes(self.head);
        let leaf_of = |id: &OpId| {
            let (dev, inc) = self.removes(*id)?;
            roster.get(&dev).is_some_and(|there| *there <= inc).then_some(dev)
        };
        let first = unnamed.iter().find_map(|id| leaf_of(id).map(|dev| (*id, dev)));
        let mut removes: Vec<OpId> = unnamed
            .iter()
            .filter(|id| leaf_of(id).is_none())
            .copied()
            .collect();
        if let Some((_, dev)) = first {
            removes.extend(unnamed.iter().filter(|id| leaf_of(id) == Some(dev)));
            removes.sort_unstable();
            removes.dedup();
            let key = self.device_key(dev).ok_or(CommandError::UnknownDevice)?;
            return self.commit(ctx, vec![], removes, &[key]);
        }
        if !removes.is_empty() {
            removes.sort_unstable();
            return self.commit(ctx, vec![], removes, &[]);
        }
        let missing = self
            .membership
            .members
            .iter()
            .filter(|(d, m)| roster.get(*d) != Some(&m.inc));
        let missing = missing.map(|(d, m)| (m.add, *d));
        let suite = self.suite_of(self.head).ok_or(CommandError::UnknownThread)?;
        let is_here = |(op, _): &(OpId, Dev)| self.package_of(*op, suite).is_some();
        let adds: Vec<(OpId, Dev)> = missing.filter(is_here).collect();
        if !adds.is_empty() {
            return self.commit(ctx, adds, vec![], &[]);
        }
        if let Some((op, dev)) = self.leaf_to_replace(ctx.dev()) {
            let key = self.device_key(dev).ok_or(CommandError::UnknownDevice)?;
            return self.commit(ctx, vec![(op, dev)], vec![], &[key]);
        }
        self.refound(ctx)
    }

    fn device_key(&self, dev: Dev) -> Option<[u8; 32]> {
        self.slots.values().find(|a| a.dev == dev).map(|a| a.key)
    }

    fn commit(
        &mut self,
        ctx: &mut Ctx<'_>,
        added: Vec<(OpId, Dev)>,
        removes: Vec<OpId>,
        keys_out: &[[u8; 32]],
    ) -> Result<(), CommandError> {
        let fresh = (!removes.is_empty()).then(|| self.fresh_key(ctx));
        self.room_for_commit(fresh.is_some())?;
        let suite = self.suite_of(self.head).ok_or(CommandError::UnknownThread)?;
        let packages = added.iter().map(|(op, _)| self.package_of(*op, suite));
        let packages: Vec<Bytes> = packages
            .collect::<Option<_>>()
            .ok_or(CommandError::UnknownDevice)?;
        let made = self.nodes[&self.head].commit(ctx.crypto, &ctx.member.device, &packages, keys_out);
        let made = made.map_err(|e| CommandError::Group(e.to_string()))?;
        let header = self.header(ctx, MadeBy::Member, (&added, &[]), removes, fresh.as_ref())?;
        self.publish(ctx, header, (made, &packages), &added, fresh)
    }

    /// The header of a commit on the newest node, still without its body. `others`: ops beside the additions.
    pub(super) fn header(
        &self,
        ctx: &Ctx<'_>,
        made_by: MadeBy,
        (added, others): (&[(OpId, Dev)], &[OpId]),
        removes: Vec<OpId>,
        fresh: Option<&Secret>,
    ) -> Result<Commit, CommandError> {
        let (author, _) = self.me(ctx.dev()).ok_or(CommandError::Forbidden)?;
        let mut adds: Vec<OpId> = added
            .iter()
            .map(|(id, _)| *id)
            .chain(others.iter().copied())
            .collect();
        adds.sort_unstable();
        Ok(Commit {
            parent: self.head,
            author,
            made_by,
            adds,
            removes,
            key: fresh.map(|ck| ControlKey::new(ck.clone()).check()),
            body: Bytes::new(),
        })
    }

    /// Stores the child that a commit makes, and the commit; tells who joins.
    pub(super) fn publish(
        &mut self,
        ctx: &mut Ctx<'_>,
        header: Commit,
        (made, packages): (Committed, &[Bytes]),
        added: &[(OpId, Dev)],
        fresh: Option<Secret>,
    ) -> Result<(), CommandError> {
        let Committed {
            mut child,
            commit,
            welcome,
            tree,
        } = made;
        let (parent, slot) = (header.parent, header.author);
        let parent_key = self
            .path_key(parent)
            .ok_or(CommandError::Group("no control key".into()))?;
        let body = strip_key_packages(&commit, packages);
        let header = Commit { body, ..header };
        let node = header.node(&commit);
        child.save(self.id, node, &mut ctx.tx.batch);
        self.nodes.insert(node, child);
        // the child is durable in the batch that publishes its commit (N3)
        let class = self.commit_class();
        let op = self.put_control(ctx, slot, parent_key, class, Object::Commit(header))?;
        self.renew_rosters(ctx);
        self.save_keys(ctx);
        if let Some(ck) = fresh {
            self.rotate(ctx, (op, node), parent_key, ck)?;
        }
        if let Some(welcome) = welcome {
            self.welcome(ctx, parent, node, &welcome, &tree, added)?;
        }
        let saved = self.nodes.get_mut(&node).expect("inserted above");
        saved.save(self.id, node, &mut ctx.tx.batch);
        self.move_head(ctx);
        Ok(())
    }

    /// What a commit needs beside its parent. Asked before anything of it is written: a commit that names a
    /// removal without the key that it makes would leave a node on which nobody can write.
    pub(super) fn room_for_commit(&self, rotates: bool) -> Result<(), CommandError> {
        if self.nodes.len() >= limits::NODES_PER_THREAD {
            return Err(CommandError::Full("nodes"));
        }
        let keys = self.ring.iter().count().max(self.makers.len());
        if rotates && keys >= limits::CONTROL_KEYS {
            return Err(CommandError::Full("control keys"));
        }
        Ok(())
    }

    /// A commit inherits the highest class that waits behind it, but is too large for an alarm.
    fn commit_class(&self) -> Class {
        self.unsealed.first().map_or(Class::Text, |(class, _)| {
            (*class).max(Class::Clinical).min(Class::Text)
        })
    }

    /// One Welcome to the inbox of each device that joins, with every control key.
    fn welcome(
        &mut self,
        ctx: &mut Ctx<'_>,
        parent: NodeId,
        node: NodeId,
        welcome: &Bytes,
        tree: &Bytes,
        added: &[(OpId, Dev)],
    ) -> Result<(), CommandError> {
        let keys = self.all_keys();
        let plaintext = Body::CtlKeys(keys)
            .encode()
            .map_err(|e| CommandError::Invalid(e.0))?;
        let (slot, _) = self.me(ctx.dev()).ok_or(CommandError::Forbidden)?;
        let place = SealPlace {
            class: Class::Text,
            slot,
            seq: 0,
            node,
        };
        let state = self.nodes.get_mut(&node).expect("made by the caller");
        let sealed = state
            .seal(ctx.crypto, &ctx.member.device, &place, 0, &plaintext)
            .map_err(|e| CommandError::Group(e.to_string()))?;
        let message = Welcome {
            node,
            parent,
            genesis_hash: self.genesis_hash,
            slot,
            welcome: welcome.clone(),
            tree: tree.clone(),
            keys: sealed,
        };
        let payload = message.encode();
        for (_, dev) in added {
            let Some(author) = self.slots.values().find(|a| a.dev == *dev) else {
                continue;
            };
            let handle = Handle::of_key(&author.cert.inbox_key);
            let class = Class::Text;
            let place = Place::Inbox;
            let envelope = Envelope {
                class,
                ttl: class.ttl(),
                handle,
                place,
                payload: payload.clone(),
            };
            ctx.tx.inbox.push(envelope);
        }
        Ok(())
    }

    /// Takes the node and the control keys of a Welcome; `false` if it does not fit.
    pub(crate) fn welcomed(&mut self, ctx: &mut Ctx<'_>, welcome: &Welcome, mut state: NodeState) -> bool {
        if state.group_id() != &self.id.0[..8] || self.nodes.contains_key(&welcome.node) {
            return self.nodes.contains_key(&welcome.node);
        }
        if self.is_forgotten(welcome.node) {
            return true;
        }
        let trusted = state.members().iter().all(|leaf| {
            DeviceCert::decode(&leaf.cert)
                .is_ok_and(|c| c.device_key == leaf.key && ctx.dir.chain(&c).is_ok())
        });
        let place = SealPlace {
            class: Class::Text,
            slot: welcome.slot,
            seq: 0,
            node: welcome.node,
        };
        let Ok(opened) = state.open(ctx.crypto, &place, &welcome.keys) else {
            return false;
        };
        let is_life = |inc| Slot::of(self.id, &opened.sender_key, inc) == welcome.slot;
        if !trusted || !(1..=limits::LIVES).any(is_life) {
            return false;
        }
        let roster = self.rosters.get(&welcome.node);
        if roster.is_some_and(|roster| !self.is_as_told(welcome.node, &state, roster)) {
            return false;
        }
        // where no commit confirms it yet it counts for nothing until then
        let unconfirmed = self.nodes.keys().filter(|node| !self.is_connected(**node));
        if unconfirmed.count() >= limits::SIDE_NODES || self.nodes.len() >= limits::NODES_PER_THREAD {
            return false;
        }
        let plaintext = Bytes::from(opened.plaintext);
        let Ok(Body::CtlKeys(keys)) = Body::decode(Kind::CtlKeys, &plaintext) else {
            return false;
        };
        if self.genesis.is_none() {
            self.genesis_hash = welcome.genesis_hash;
        }
        state.save(self.id, welcome.node, &mut ctx.tx.batch);
        self.nodes.insert(welcome.node, state);
        self.refused.remove(&welcome.node);
        // this life of the device begins here: what a restored store forgot belongs to an earlier one
        self.learn_keys(ctx, &keys);
        self.save_keys(ctx);
        self.settle(ctx);
        true
    }

    /// Removes a member; the author signs a head in the same batch before.
    pub(crate) fn remove(&mut self, ctx: &mut Ctx<'_>, dev: Dev, why: Why) -> Result<(), CommandError> {
        let inc = self
            .membership
            .members
            .get(&dev)
            .map(|m| m.inc)
            .ok_or(CommandError::UnknownDevice)?;
        let as_of = self.vote;
        let act = Act::Remove { dev, inc, why, as_of };
        if !self.would_count(ctx.dev(), &act) {
            return Err(CommandError::Forbidden);
        }
        self.sign_head(ctx)?;
        self.put_op(ctx, act)?;
        Ok(())
    }

    /// The key package that an Add or a Rejoin names, if it is of the suite; for an Add of another
    /// suite, or of the founder, which names none, the one that the life which it began published since.
    pub(super) fn package_of(&self, op: OpId, suite: Suite) -> Option<Bytes> {
        let fitting = |kp: &[u8; 32]| {
            let package = self.packages.get(kp);
            package
                .filter(|package| package.suite == suite)
                .map(|package| package.bytes.clone())
        };
        let since = |dev: Dev, inc| {
            let rejoin = self.membership.rejoins.get(&(dev, inc))?;
            fitting(&rejoin.kp?)
        };
        match self.ops.as_ref()?.get(op)?.1.act {
            Act::Add { dev, inc, kp, .. } => kp.and_then(|kp| fitting(&kp)).or_else(|| since(dev, inc)),
            Act::Rejoin { kp } => fitting(&kp?),
            _ => None,
        }
    }
}

/// The leaves of a node are the devices that the headers say, each with its own key, and nobody else: a leaf
/// that no certificate explains could read on and never be removed.
fn fits(state: &NodeState, roster: &Roster) -> bool {
    let device = |leaf: &Leaf| {
        let cert = DeviceCert::decode(&leaf.cert).ok()?;
        (cert.device_key == leaf.key).then(|| cert.dev())
    };
    let found: Option<Vec<Dev>> = state.members().iter().map(device).collect();
    found.is_some_and(|mut found| {
        found.sort_unstable();
        roster.keys().copied().eq(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Role;
    use crate::group::fixture::{Device, OWNER};
    use crate::group::mls::{Crypto, Suite};

    #[test]
    fn a_leaf_that_no_certificate_explains_fits_nowhere() {
        let crypto = Crypto::new([7; 32]);
        let [own, other] = [8, 9].map(|n| Device::new(n, Role::Nurse, OWNER));
        let node =
            |cert: &[u8]| NodeState::create(&crypto, Suite::Classical, &[6; 8], &own.keys, cert).unwrap();
        let roster = |of: &Device| Roster::from([(of.dev(), 1)]);
        assert!(fits(&node(&own.cert.encode()), &roster(&own)));
        assert!(!fits(&node(&own.cert.encode()), &Roster::new()));
        // somebody else's certificate, and none at all
        assert!(!fits(&node(&other.cert.encode()), &roster(&other)));
        assert!(!fits(&node(b"junk"), &Roster::new()));
    }
}
