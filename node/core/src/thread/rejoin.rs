//! New leaves: for a member that cannot use the newest node, and for all when the thread goes on with a
//! stronger suite.
//!
//! A member that stands in the newest node's roster and stays without its keys, though others tell of it,
//! publishes a key package with a `Rejoin`. Whoever has the turn replaces its leaf; membership stays as
//! it is. What others wrote meanwhile it asks for ([`ask`](super::ask)). It takes the request back if the
//! keys come after all.
//!
//! A `Refound` asks all for key packages of a stronger suite. The thread goes on as it is until each
//! member of the newest node has published one; then its author, or another one by turn, founds a new
//! group, adds all and commits that as a child like any other. Nobody is left out: a member that does not
//! answer keeps the thread on its old group until people remove it or take the request back. A half that
//! is cut off cannot found for the rest. Who was added on a branch that knows nothing of it publishes a
//! package of the new suite, too.

use super::Thread;
use crate::envelope::Class;
use crate::group::control::{Act, Commit, MadeBy, Object, key_package_hash};
use crate::group::mls::{NodeState, Suite};
use crate::id::{Dev, Handle, Incarnation, NodeId, OpId};
use crate::limits;
use crate::machine::command::CommandError;
use crate::machine::ctx::Ctx;
use crate::time::Instant;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// A member waits this long for keys that may be on their way, if others are heard; doubles with each
/// request.
const STUCK_MS: u64 = 180_000;
/// The same where others are silent, or out of reach.
const SILENT_MS: u64 = 600_000;
const DOUBLINGS: u32 = 6;
/// So many signed heads of others mean that they are heard.
const CONTACTS: u32 = 3;
/// Before a request that could not be written is tried again.
const AGAIN_MS: u64 = 60_000;

/// Since when the newest node cannot be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stuck {
    since: Instant,
    /// Heads of others that came since.
    pub(super) heads: u32,
}

/// How often this device asked for a leaf since it was opened, and when it may again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LeavesAsked {
    times: u32,
    again: Option<Instant>,
}

/// Who asked for another suite, and for which.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) op: OpId,
    pub(super) dev: Dev,
    pub(super) suite: Suite,
}

impl Thread {
    /// Suite of the group on a node: that of the newest request carried out on its path, or the genesis's.
    pub(crate) fn suite_of(&self, node: NodeId) -> Option<Suite> {
        let commits = self.climb(node).filter_map(|at| self.commits.get(&at));
        let mut refounds = commits.filter(|commit| commit.header.made_by == MadeBy::Refound);
        match refounds.next() {
            Some(commit) => commit.header.adds.iter().find_map(|id| self.asks_suite(*id)),
            None => Suite::from_u16(self.genesis.as_ref()?.suite),
        }
    }

    /// The suite that an op asks for.
    fn asks_suite(&self, id: OpId) -> Option<Suite> {
        match self.ops.as_ref()?.get(id)?.1.act {
            Act::Refound { suite } => Suite::from_u16(suite),
            _ => None,
        }
    }

    /// Additions and requests that commits on the path to the node carry out.
    fn carried_out(&self, node: NodeId) -> BTreeSet<OpId> {
        let commits = self.climb(node).filter_map(|at| self.commits.get(&at));
        commits.flat_map(|c| c.header.adds.iter().copied()).collect()
    }

    /// Members of the newest node that wait for a new leaf there, with the op and the hash of the package.
    fn rejoins_due(&self) -> BTreeMap<Dev, (OpId, [u8; 32])> {
        let asking = self
            .membership
            .rejoins
            .iter()
            .filter_map(|(life, r)| Some((life, r.op, r.kp?)));
        let mut asking = asking.peekable();
        let (Some(_), Some(roster)) = (asking.peek(), self.rosters.get(&self.head)) else {
            return BTreeMap::new();
        };
        let done = self.carried_out(self.head);
        let is_due = |(dev, inc): &(Dev, Incarnation), op: &OpId| {
            let member = self.membership.members.get(dev).map(|m| m.inc);
            member == Some(*inc) && roster.get(dev) == Some(inc) && !done.contains(op)
        };
        asking
            .filter(|(life, op, _)| is_due(life, op))
            .map(|((dev, _), op, kp)| (*dev, (op, kp)))
            .collect()
    }

    /// A request for a stronger suite than the newest node's. No member leads the others to a weaker one.
    pub(super) fn refound_due(&self) -> Option<Asked> {
        if self.membership.refounds.is_empty() {
            return None;
        }
        let now = self.suite_of(self.head)?;
        let asked = self
            .membership
            .refounds
            .iter()
            .filter_map(|((dev, inc), (_, op, suite))| {
                let is_member = self.membership.members.get(dev).is_some_and(|m| m.inc == *inc);
                let suite =
                    Suite::from_u16(*suite).filter(|suite| is_member && suite.is_stronger_than(now))?;
                Some(Asked {
                    op: *op,
                    dev: *dev,
                    suite,
                })
            });
        asked.min_by_key(|asked| asked.op)
    }

    /// Whether this device asks for another suite.
    pub(crate) fn asks_refound(&self, dev: Dev) -> bool {
        self.refound_due().is_some_and(|asked| asked.dev == dev)
    }

    fn suite_of_package(&self, hash: &[u8; 32]) -> Option<Suite> {
        self.packages.get(hash).map(|package| package.suite)
    }

    /// A member whose leaf this device can replace on the newest node: not itself. Who answers to a
    /// request for another suite has a package of that one.
    pub(super) fn leaf_to_replace(&self, me: Dev) -> Option<(OpId, Dev)> {
        let due = self.rejoins_due();
        let suite = (!due.is_empty()).then(|| self.suite_of(self.head))??;
        let mut due = due
            .into_iter()
            .filter(|(dev, (_, kp))| *dev != me && self.suite_of_package(kp) == Some(suite));
        due.next().map(|(dev, (op, _))| (op, dev))
    }

    /// A request for another suite that can be carried out: all others of the newest node have answered.
    pub(super) fn refound_ready(&self, me: Dev) -> Option<(Asked, Vec<(OpId, Dev)>)> {
        let asked = self.refound_due()?;
        let (due, roster) = (self.rejoins_due(), self.rosters.get(&self.head)?);
        let answer = |dev: &Dev| {
            let (op, kp) = due.get(dev)?;
            (self.suite_of_package(kp) == Some(asked.suite)).then_some((*op, *dev))
        };
        let others = roster.keys().filter(|dev| **dev != me);
        let answers = others.map(answer).collect::<Option<Vec<_>>>()?;
        self.in_step().then_some((asked, answers))
    }

    /// Whether a commit that founds anew names an answer of each other member, and one request.
    pub(super) fn founds_for_all(
        &self,
        header: &Commit,
        roster: &super::Roster,
        rejoined: &BTreeSet<Dev>,
    ) -> bool {
        let author = self.slots.get(&header.author).map(|author| author.dev);
        let mut others = roster.keys().filter(|dev| Some(**dev) != author);
        let suites: Vec<Suite> = header.adds.iter().filter_map(|id| self.asks_suite(*id)).collect();
        let before = self.suite_of(header.parent);
        let is_stronger = |suite: &Suite| before.is_some_and(|before| suite.is_stronger_than(before));
        let one = matches!(&suites[..], [suite] if is_stronger(suite));
        one && others.all(|dev| rejoined.contains(dev))
    }

    /// Whether none of these ops was carried out on the path to the node.
    pub(super) fn none_carried_out(&self, node: NodeId, ops: &[OpId]) -> bool {
        let done = self.carried_out(node);
        !ops.iter().any(|op| done.contains(op))
    }

    /// Founds the group of another suite, for all members of the newest node.
    pub(super) fn refound(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CommandError> {
        let (asked, added) = self.refound_ready(ctx.dev()).ok_or(CommandError::NoChange)?;
        self.room_for_commit(false)?;
        let packages = added.iter().map(|(op, _)| self.package_of(*op, asked.suite));
        let packages = packages
            .collect::<Option<Vec<Bytes>>>()
            .ok_or(CommandError::UnknownDevice)?;
        let mut group_id = [0u8; 8];
        group_id.copy_from_slice(&self.id.0[..8]);
        let member = ctx.member;
        let made = NodeState::create(ctx.crypto, asked.suite, &group_id, &member.device, &member.cert)
            .and_then(|group| group.commit(ctx.crypto, &member.device, &packages, &[]))
            .map_err(|e| CommandError::Group(e.to_string()))?;
        let header = self.header(ctx, MadeBy::Refound, (&added, &[asked.op]), vec![], None)?;
        self.publish(ctx, header, (made, &packages), &added, None)
    }

    /// Looks whether this device has to ask for a leaf, or to take that back.
    pub(super) fn look_for_leaf(&mut self, ctx: &mut Ctx<'_>) {
        if !self.is_stuck(ctx) {
            self.stuck = None;
        } else if self.stuck.is_none() {
            self.stuck = Some(Stuck {
                since: ctx.now.mono,
                heads: 0,
            });
        }
        let wanted = self.leaf_wanted(ctx);
        let asks = self.me(ctx.dev()).is_some() && self.rejoins_due().contains_key(&ctx.dev());
        let idle = self.stuck.is_none() && self.refound_due().is_none();
        if asks && idle && wanted.is_none() {
            let _ = self.put_op(ctx, Act::Rejoin { kp: None });
        }
        self.rejoin_due = wanted.map(|(at, _)| at);
    }

    /// It stands in the newest node's roster and has not its keys.
    fn is_stuck(&self, ctx: &Ctx<'_>) -> bool {
        let lacks = self.head != self.vote || !self.holds(self.head);
        lacks && self.genesis.is_some() && !self.is_stale(ctx.dev()) && self.stands_on(ctx.dev(), self.head)
    }

    /// When a key package of which suite is due; `None` also where one is out already, and after too many.
    fn leaf_wanted(&self, ctx: &Ctx<'_>) -> Option<(Instant, Suite)> {
        let me = ctx.dev();
        if self.leaves_asked.times >= limits::LEAVES_ASKED {
            return None;
        }
        let is_out = |suite| {
            let due = self
                .rejoins_due()
                .get(&me)
                .map(|(_, kp)| self.suite_of_package(kp));
            due == Some(Some(suite))
        };
        if let Some(stuck) = self.stuck {
            let suite = self.suite_of(self.head)?;
            let wait = if stuck.heads >= CONTACTS {
                STUCK_MS
            } else {
                SILENT_MS
            };
            let at = stuck
                .since
                .plus_ms(wait << self.leaves_asked.times.min(DOUBLINGS));
            return (!is_out(suite)).then_some((at, suite));
        }
        if let Some(suite) = self.suite_of_new_keys(me) {
            let out = self
                .me(me)
                .and_then(|(_, inc)| self.membership.rejoins.get(&(me, inc))?.kp);
            let is_out = out.and_then(|kp| self.suite_of_package(&kp)) == Some(suite);
            return (!is_out).then(|| (self.leaves_asked.again.unwrap_or(ctx.now.mono), suite));
        }
        let asked = self.refound_due().filter(|asked| asked.dev != me)?;
        let may = !self.is_stale(me) && self.stands_on(me, self.head) && self.holds(self.head);
        (may && !is_out(asked.suite)).then(|| (self.leaves_asked.again.unwrap_or(ctx.now.mono), asked.suite))
    }

    /// The newest node's suite, if this device is to be added to it and its Add names a package of
    /// another one, or none: the founder's, whom a removal evicted that turned out void.
    fn suite_of_new_keys(&self, me: Dev) -> Option<Suite> {
        let member = self.membership.members.get(&me)?;
        let is_there = self.rosters.get(&self.head)?.get(&me) == Some(&member.inc);
        let own = member.kp_hash.and_then(|kp| self.suite_of_package(&kp));
        self.suite_of(self.head)
            .filter(|suite| !is_there && own != Some(*suite))
    }

    /// The suite of the key package that this device has to publish now. Whatever comes of it, it is
    /// asked again later only: each package has a secret that stays in the store.
    pub(crate) fn package_wanted(&mut self, ctx: &Ctx<'_>) -> Option<Suite> {
        if self.rejoin_due.is_none_or(|at| at > ctx.now.mono) {
            return None;
        }
        let due = self.leaf_wanted(ctx).filter(|(at, _)| *at <= ctx.now.mono);
        self.leaves_asked.again = Some(ctx.now.mono.plus_ms(AGAIN_MS));
        if let Some(stuck) = &mut self.stuck {
            stuck.since = ctx.now.mono;
        }
        self.rejoin_due = self.leaf_wanted(ctx).map(|(at, _)| at);
        due.filter(|_| self.clean_handle().is_some())
            .map(|(_, suite)| suite)
    }

    /// Handle of a control key that no removed device holds: that of the newest node, else of the
    /// farthest one that names all removals and whose key is here.
    fn clean_handle(&self) -> Option<Handle> {
        let key_of = |node: &NodeId| {
            let is_clean = self.unnamed_removes(*node).is_empty();
            self.path_key(*node).filter(|_| is_clean)
        };
        let farthest = || {
            let clean = self
                .commits
                .keys()
                .filter_map(|node| Some((*node, key_of(node)?)));
            let farthest = clean.max_by_key(|(node, _)| (self.climb(*node).count(), *node));
            farthest.map(|(_, handle)| handle)
        };
        key_of(&self.head).or_else(farthest)
    }

    /// Publishes a key package and asks for a leaf with it. A device that was removed since must not read it.
    pub(crate) fn ask_for_leaf(&mut self, ctx: &mut Ctx<'_>, package: Bytes) -> Result<(), CommandError> {
        let (slot, _) = self.me(ctx.dev()).ok_or(CommandError::Forbidden)?;
        let handle = self
            .clean_handle()
            .ok_or(CommandError::Group("no control key".into()))?;
        self.leaves_asked.times += 1;
        let kp = Some(key_package_hash(&package));
        self.put_control(ctx, slot, handle, Class::Text, Object::KeyPackage(package))?;
        self.put_op_under(ctx, handle, Act::Rejoin { kp })?;
        Ok(())
    }
}
