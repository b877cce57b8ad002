//! Fork choice: of several children of a node, the one that the thread goes on with (PROTOCOL,
//! *Fork choice*).
//!
//! A walk from the genesis, over commits that are candidates: all ops that they name count here, and
//! their author stood in the parent's roster with that life ([`Thread::rosters`]). At each node one
//! child is taken.
//!
//! A child of an author that a valid Remove names is left out, unless that Remove was said in sight of it
//! or a majority stands behind it. Of the others wins, in this order: more than half of those who could
//! read the parent and are members today have their newest head in its subtree; anybody but its author
//! has; one that goes on with the same group; the lower number that follows from parent and author, which
//! nobody can choose; the lower id.
//!
//! The walk depends on the control objects held, and on the nodes that this device can use: one that it
//! cannot use and on which nobody but its author stands is not gone on to. Devices with equal sets can use
//! the same nodes, save those of a commit made to be of use to some. No clock and no order of arrival
//! counts. A head that names a node which no commit here leads to waits; the former one counts meanwhile.

use super::Thread;
use crate::group::control::{Act, MadeBy};
use crate::id::{Dev, Incarnation, NodeId, OpId, Slot};
use crate::limits;
use crate::machine::ctx::Ctx;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// Rank of a child; the smallest is taken.
type Rank = (bool, bool, bool, [u8; 32], NodeId);

/// What the ends of the walk depend on. While it is the same they are, too: what is counted here only grows,
/// or shrinks together with something else here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grounds {
    votes: Vec<(Dev, NodeId)>,
    memberships: u64,
    counts: [usize; 5],
}

/// What a choice needs of the whole thread. Made for each walk, and its paths only at the first choice.
struct Sight {
    /// Planted bugs.
    lowest_id: bool,
    keeps_ended: bool,
    /// Where the newest heads of members stand: one of each, all of a member that signed several with one
    /// number.
    votes: Vec<(Dev, NodeId)>,
    /// Lives that valid Removes end, and the node that each was said on.
    ended: Vec<(Dev, Incarnation, NodeId)>,
    /// Members whose newest head stands on the node or below it.
    backers: OnceCell<BTreeMap<NodeId, BTreeSet<Dev>>>,
}

impl Sight {
    fn backs(&self, thread: &Thread, dev: Dev, node: NodeId) -> bool {
        let backers = self.backers.get_or_init(|| {
            let mut backers: BTreeMap<NodeId, BTreeSet<Dev>> = BTreeMap::new();
            for (dev, vote) in &self.votes {
                for at in thread.climb(*vote) {
                    backers.entry(at).or_default().insert(*dev);
                }
            }
            backers
        });
        backers.get(&node).is_some_and(|devs| devs.contains(&dev))
    }
}

impl Thread {
    /// What the next walk would go by.
    pub(super) fn grounds(&self) -> Grounds {
        Grounds {
            votes: self.votes(),
            memberships: self.memberships,
            counts: [
                self.commits.len(),
                self.rosters.len(),
                self.nodes.len(),
                self.refused.len(),
                self.makers.len(),
            ],
        }
    }

    /// The end of the walk over all candidates, and over those whose keys are held here.
    pub(super) fn walk_ends(&self, ctx: &Ctx<'_>) -> (NodeId, NodeId) {
        let sight = Sight {
            lowest_id: ctx.flaws.lowest_id_before_majority,
            keeps_ended: ctx.flaws.removed_author_followed,
            votes: self.votes(),
            ended: self.ended(),
            backers: OnceCell::new(),
        };
        let held = self.held();
        let head = self.walk(&sight, |node| {
            held.contains(&node) || self.is_backed(&sight, node)
        });
        let vote = self.walk(&sight, |node| held.contains(&node));
        match held.contains(&vote) {
            true => (head, vote),
            false => (head, self.last_held(head)),
        }
    }

    /// Whether a member other than the author of a commit signed for its node or one below. What nobody
    /// else could use is not gone on with: its bytes may be junk, or its author may have kept its key to
    /// itself.
    fn is_backed(&self, sight: &Sight, node: NodeId) -> bool {
        let author = self.commits.get(&node).map(|c| c.header.author);
        let author = author
            .and_then(|slot| self.slots.get(&slot))
            .map(|author| author.dev);
        let mut others = self.membership.members.keys().filter(|dev| Some(**dev) != author);
        others.any(|dev| sight.backs(self, *dev, node))
    }

    /// Whether this device can read and write on a node: it has its keys and the control key of its path.
    pub(crate) fn holds(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node) && self.path_key(node).is_some()
    }

    /// All nodes of which that is true and to which commits lead.
    fn held(&self) -> BTreeSet<NodeId> {
        let mut held = BTreeSet::new();
        let mut ahead = vec![(self.root, self.makers.contains_key(&self.genesis_op))];
        while let Some((node, has_key)) = ahead.pop() {
            if has_key && self.nodes.contains_key(&node) {
                held.insert(node);
            }
            for child in self.children.get(&node).into_iter().flatten() {
                let Some(commit) = self.commits.get(child) else {
                    continue;
                };
                let rotates = !commit.header.removes.is_empty();
                let has_key = if rotates {
                    self.maker_of(commit).is_some()
                } else {
                    has_key
                };
                ahead.push((*child, has_key));
            }
        }
        held
    }

    /// Whether commits lead from the genesis to a node.
    pub(super) fn is_connected(&self, node: NodeId) -> bool {
        self.climb(node).last() == Some(self.root)
    }

    /// Whether a commit of the founder on the node is here that cannot be read yet: an op or a key package
    /// that it names is missing. What is sealed on the node meanwhile might reach somebody whom that commit
    /// removes. Nobody else is waited for: a member could stop a thread with a commit that names what does
    /// not exist.
    pub(super) fn goes_on_unread(&self, node: NodeId) -> bool {
        let is_waited_for = |author: Slot| {
            let by_founder = self.slots.get(&author).map(|author| author.dev) == self.founder();
            let roster = self.rosters.get(&node);
            by_founder && roster.is_none_or(|roster| self.stands_in(roster, author))
        };
        let unbuilt = self.unbuilt.values().filter(|commit| commit.parent == node);
        let children = self.children.get(&node).into_iter().flatten();
        let unread = children.filter(|child| !self.rosters.contains_key(*child));
        let unread = unread.filter_map(|child| self.commits.get(child).map(|c| &c.header));
        unbuilt.chain(unread).any(|commit| is_waited_for(commit.author))
    }

    /// A node and its ancestors, as far as their commits are here.
    pub(crate) fn climb(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(Some(node), |at| Some(self.commits.get(at)?.header.parent))
    }

    pub(super) fn votes(&self) -> Vec<(Dev, NodeId)> {
        let members = self.membership.members.iter();
        let votes = members.flat_map(|(dev, member)| {
            let newest = self.heads.get(&member.slot);
            let newest = newest.map(|info| (info.op, info.head.node));
            let seconds = self.second_heads.get(&member.slot).into_iter().flatten();
            let seconds = seconds.map(|(id, second)| (*id, second.node));
            let all: BTreeMap<OpId, NodeId> = newest.into_iter().chain(seconds).collect();
            let counted = all.into_values().take(limits::SECONDS_PER_SLOT);
            counted.map(|node| (*dev, node))
        });
        votes.collect()
    }

    fn ended(&self) -> Vec<(Dev, Incarnation, NodeId)> {
        let said = |id| match &self.ops.as_ref()?.get(id)?.1.act {
            Act::Remove { as_of, .. } => Some(*as_of),
            _ => None,
        };
        let removes = self.membership.valid_removes.iter();
        let ended = removes.filter_map(|(id, (dev, inc))| Some((*dev, *inc, said(*id)?)));
        ended.collect()
    }

    fn walk(&self, sight: &Sight, keep: impl Fn(NodeId) -> bool) -> NodeId {
        let mut on_way: BTreeSet<NodeId> = BTreeSet::new();
        for node in self.rosters.keys().filter(|node| keep(**node)) {
            let new: Vec<NodeId> = self.climb(*node).take_while(|at| !on_way.contains(at)).collect();
            on_way.extend(new);
        }
        let mut at = self.root;
        loop {
            let children = self.children.get(&at).into_iter().flatten();
            let candidates: Vec<NodeId> = children
                .filter(|child| self.rosters.contains_key(*child) && on_way.contains(*child))
                .copied()
                .collect();
            let next = match candidates[..] {
                [only] if !self.is_ended(sight, only) => Some(only),
                _ => {
                    let ranks = candidates.iter().filter_map(|child| self.rank(sight, at, *child));
                    ranks.min().map(|(.., best)| best)
                }
            };
            let Some(next) = next else { return at };
            at = next;
        }
    }

    /// Whether a valid Remove names the life that made the commit.
    fn is_ended(&self, sight: &Sight, child: NodeId) -> bool {
        !self.ended_at(sight, child).is_some_and(|at| at.is_empty())
    }

    /// The nodes on which the author of a commit was removed; `None` if it is not known.
    fn ended_at(&self, sight: &Sight, child: NodeId) -> Option<Vec<NodeId>> {
        if sight.keeps_ended {
            return Some(vec![]);
        }
        let slot = self.commits.get(&child)?.header.author;
        let (author, life) = (self.slots.get(&slot)?, self.incarnation_of(slot)?);
        let ended = sight
            .ended
            .iter()
            .filter(|(dev, inc, _)| *dev == author.dev && *inc >= life);
        Some(ended.map(|(.., as_of)| *as_of).collect())
    }

    /// `None` if the child is left out.
    fn rank(&self, sight: &Sight, parent: NodeId, child: NodeId) -> Option<Rank> {
        let author = self.slots.get(&self.commits.get(&child)?.header.author)?;
        let backs = |dev: &&Dev| sight.backs(self, **dev, child);
        let roster = self.rosters.get(&parent)?;
        let members = &self.membership.members;
        let voters: Vec<&Dev> = members
            .iter()
            .filter(|(dev, member)| roster.get(*dev) == Some(&member.inc))
            .map(|(dev, _)| dev)
            .collect();
        let backers: Vec<&Dev> = voters.iter().copied().filter(backs).collect();
        let majority = 2 * backers.len() > voters.len();
        let ended = self.ended_at(sight, child)?;
        if !ended.is_empty() && !majority {
            let in_sight = ended.iter().any(|as_of| self.climb(*as_of).any(|at| at == child));
            // where all who could read the parent are gone nobody there can be a majority
            let of_all = 2 * members.keys().filter(backs).count() > members.len();
            if !in_sight && !of_all {
                return None;
            }
        }
        if sight.lowest_id {
            return Some((false, false, false, [0; 32], child));
        }
        let foreign = backers.iter().any(|dev| **dev != author.dev);
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"prio").update(&parent.0).update(&author.key);
        let refound = self.commits.get(&child)?.header.made_by == MadeBy::Refound;
        Some((!majority, !foreign, refound, *hasher.finalize().as_bytes(), child))
    }

    /// The last held node on the way to the head; if there is none, the held one that is farthest.
    fn last_held(&self, head: NodeId) -> NodeId {
        let on_path = self.climb(head).find(|node| self.holds(*node));
        let farthest = || {
            let held = self.nodes.keys().copied().filter(|node| self.holds(*node));
            held.max_by_key(|node| (self.climb(*node).count(), *node))
        };
        on_path.or_else(farthest).unwrap_or(head)
    }
}

#[cfg(test)]
mod tests;
