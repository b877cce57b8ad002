//! Paths of threads: on which node each device stands, when a node is settled, and that it stays.
//!
//! A device *flips* when its newest node becomes one that does not descend from the former. Before a
//! fork is decided that is lawful. A node is *settled* once all members agree about the members, each
//! holds the newest signed head of each, and all those heads stand on the node or below it: then no
//! head that is still under way can speak against it. It is settled until a member's view of the
//! members changes, or a member loses its store. A member that is down counts as what is durable there.
//!
//! The prototype of the rules asked a majority for this. All members are asked here, which is rarer and
//! leaves no doubt about who may be in that majority.
//!
//! The tree is the union of what all devices know. A commit that its author lost in a crash before
//! anybody had it was never made.

use super::Truth;
use crate::net::HostId;
use crate::world::World;
use aidmesh_core::id::{Dev, Handle, Incarnation, MsgId, NodeId, OpId, ThreadId};
use aidmesh_core::machine::Standing;
use aidmesh_core::store::{rows, table};
use std::collections::{BTreeMap, BTreeSet};

const SETTLED: &str = "a settled node stays on the path";

/// A node that a commit made.
#[derive(Debug)]
pub(super) struct Made {
    parent: NodeId,
    adds: Vec<OpId>,
    author: Option<(Dev, Incarnation)>,
    key: Option<Handle>,
    roster: Option<Vec<(Dev, Incarnation)>>,
    known_by: BTreeSet<HostId>,
}

/// A node that may not leave the path while these are the members.
#[derive(Clone, Debug)]
struct Settled {
    members: Vec<(Dev, Incarnation)>,
    node: NodeId,
}

/// See the module.
#[derive(Default)]
pub(super) struct Paths {
    nodes: BTreeMap<(ThreadId, NodeId), Made>,
    now: BTreeMap<(HostId, ThreadId), Standing>,
    durable: BTreeMap<(HostId, ThreadId), Standing>,
    settled: BTreeMap<ThreadId, Settled>,
    hosts: BTreeMap<Dev, HostId>,
    rewraps: BTreeSet<MsgId>,
    /// Where who stood that removed a device.
    pub(super) removed_on: Vec<(ThreadId, Dev, NodeId)>,
}

impl Truth {
    /// A machine has done what an input asked of it.
    pub fn on_step(&mut self, world: &mut World, host: HostId) {
        let h = &world.hosts[host];
        let wall_ms = h.clock.now(world.now_us).wall.0;
        let latest_ms = self.latest_ms.entry(host).or_default();
        *latest_ms = wall_ms.max(*latest_ms);
        let Some(machine) = h.machine.as_ref().filter(|_| h.is_member()) else {
            return;
        };
        let is_durable = h.disk.waiting() == 0;
        let stands = |thread| Some((thread, machine.standing(thread)?));
        let stands: Vec<_> = machine.threads().into_iter().filter_map(stands).collect();
        for (thread, standing) in stands {
            let place = (host, thread);
            let moved = self.paths.now.get(&place) != Some(&standing);
            if moved {
                self.moved(world, place, standing.clone());
            }
            let saved = is_durable && self.paths.durable.get(&place) != Some(&standing);
            if saved {
                self.paths.durable.insert(place, standing);
            }
            if moved || saved {
                self.settle(world, place);
            }
        }
    }

    /// A device stands elsewhere, or its view of members or heads changed.
    fn moved(&mut self, world: &mut World, place: (HostId, ThreadId), standing: Standing) {
        let (host, thread) = place;
        let before = self.paths.now.insert(place, standing.clone()).unwrap_or_default();
        let is_known = |node: &NodeId| self.paths.nodes.contains_key(&(thread, *node));
        let all_known = standing.heads.iter().all(|(.., node)| is_known(node));
        if !all_known || before.keys != standing.keys || before.head != standing.head {
            self.learn_nodes(world, host, thread);
        }
        self.check_keys(world, place, &before.keys);
        self.check_authors(world, place);
        let settled = self.paths.settled.get(&thread).cloned();
        let settled = settled.filter(|s| s.has(world.hosts[host].dev()));
        if settled.as_ref().is_some_and(|s| s.members != standing.members) {
            self.paths.settled.remove(&thread);
        }
        let (from, to) = (before.head, standing.head);
        if from == NodeId::default() || self.paths.is_below(thread, to, from) {
            return;
        }
        let left = settled.filter(|s| s.members == standing.members);
        match left.filter(|s| !self.paths.is_below(thread, to, s.node)) {
            Some(settled) => {
                world.counters.flips_after_settling += 1;
                let name = &world.hosts[host].name;
                let what = format!("{name} went from {from} to {to}, {} was settled", settled.node);
                world.accuse(SETTLED, what);
            }
            None => world.counters.flips_before_settling += 1,
        }
    }

    fn learn_nodes(&mut self, world: &mut World, host: HostId, thread: ThreadId) {
        let Some(machine) = &world.hosts[host].machine else {
            return;
        };
        let mut fresh = Vec::new();
        for made in machine.nodes(thread) {
            let known = self.paths.nodes.entry((thread, made.node)).or_insert(Made {
                parent: made.parent,
                adds: made.adds,
                author: None,
                key: None,
                roster: None,
                known_by: BTreeSet::new(),
            });
            known.known_by.insert(host);
            known.author = known.author.or(made.author);
            known.roster = known.roster.take().or(made.roster);
            if known.key.is_none() && made.key.is_some() {
                known.key = made.key;
                fresh.push(made.node);
            }
        }
        for node in fresh {
            self.check_fresh_key(world, thread, node);
        }
    }

    /// Looks whether the members agree so far that a node is settled.
    fn settle(&mut self, world: &mut World, (host, thread): (HostId, ThreadId)) {
        let Some(own) = self.paths.durable.get(&(host, thread)) else {
            return;
        };
        if own.heads.len() != own.members.len() {
            return;
        }
        if self.paths.hosts.len() < world.hosts.len() {
            let devs = world.hosts.iter().enumerate();
            let devs = devs.filter_map(|(id, h)| Some((h.dev()?, id)));
            self.paths.hosts = devs.collect();
        }
        let agrees = |(dev, _): &(Dev, Incarnation)| {
            let place = (*self.paths.hosts.get(dev)?, thread);
            let theirs = self.paths.durable.get(&place)?;
            let now = self.paths.now.get(&place)?;
            let same = theirs.members == own.members && theirs.heads == own.heads;
            (same && now.members == own.members).then_some(now.head)
        };
        let Some(heads) = own.members.iter().map(agrees).collect::<Option<Vec<_>>>() else {
            return;
        };
        let Some(node) = self
            .paths
            .common(thread, own.heads.iter().map(|(.., node)| *node))
        else {
            return;
        };
        if heads.iter().any(|head| !self.paths.is_below(thread, *head, node)) {
            return;
        }
        let members = own.members.clone();
        let former = self.paths.settled.insert(thread, Settled { members, node });
        if let Some(former) = former
            && former.members == self.paths.settled[&thread].members
            && !self.paths.is_below(thread, node, former.node)
        {
            let what = format!("all went to {node}, {} was settled", former.node);
            world.accuse(SETTLED, what);
        }
    }

    /// What was not durable is gone, and commits that nobody else has with it.
    pub(super) fn paths_cut(&mut self, world: &World, host: HostId) {
        self.paths.now.retain(|(at, _), _| *at != host);
        let durable = self.paths.durable.iter().filter(|((at, _), _)| *at == host);
        self.paths
            .now
            .extend(durable.map(|(place, s)| (*place, s.clone())));
        let disk = &world.hosts[host].disk;
        self.paths.nodes.retain(|(thread, node), made| {
            let alone = made.known_by.len() == 1 && made.known_by.contains(&host);
            !alone || rows(disk, &table::node_all(*thread, *node)).is_ok_and(|rows| !rows.is_empty())
        });
    }

    /// The store is an older one: what it stood on is forgotten, and what others took it to stand on may be.
    pub(super) fn paths_forgotten(&mut self, world: &World, host: HostId) {
        self.paths.now.retain(|(at, _), _| *at != host);
        self.paths.durable.retain(|(at, _), _| *at != host);
        let dev = world.hosts[host].dev();
        self.paths.settled.retain(|_, settled| !settled.has(dev));
    }

    /// An envelope with a rewrap is about to be stored, made here or elsewhere.
    pub(super) fn on_rewrap(&mut self, id: MsgId) {
        self.paths.rewraps.insert(id);
    }

    /// What can be counted at the end of a run only.
    pub fn count(&mut self, world: &mut World) {
        for (host, thread) in self.paths.now.keys().copied().collect::<Vec<_>>() {
            self.learn_nodes(world, host, thread);
        }
        let mut children: BTreeMap<(ThreadId, NodeId), u64> = BTreeMap::new();
        let mut named: BTreeMap<OpId, u64> = BTreeMap::new();
        for ((thread, _), made) in &self.paths.nodes {
            *children.entry((*thread, made.parent)).or_default() += 1;
            for add in &made.adds {
                *named.entry(*add).or_default() += 1;
            }
        }
        let counters = &mut world.counters;
        counters.commits = self.paths.nodes.len() as u64;
        counters.forked_nodes = children.values().filter(|n| **n > 1).count() as u64;
        counters.re_adds = named.values().map(|n| n - 1).sum();
        counters.rewraps = self.paths.rewraps.len() as u64;
    }
}

impl Settled {
    fn has(&self, dev: Option<Dev>) -> bool {
        self.members.iter().any(|(member, _)| Some(*member) == dev)
    }
}

impl Paths {
    pub(super) fn climb(&self, thread: ThreadId, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(Some(node), move |at| Some(self.nodes.get(&(thread, *at))?.parent))
    }

    pub(super) fn is_below(&self, thread: ThreadId, node: NodeId, top: NodeId) -> bool {
        self.climb(thread, node).any(|at| at == top)
    }

    /// The lowest node that is above all of these, or one of them.
    fn common(&self, thread: ThreadId, mut nodes: impl Iterator<Item = NodeId>) -> Option<NodeId> {
        let mut path: Vec<NodeId> = self.climb(thread, nodes.next()?).collect();
        for node in nodes {
            let above: BTreeSet<NodeId> = self.climb(thread, node).collect();
            path.retain(|at| above.contains(at));
        }
        path.first().copied()
    }

    pub(super) fn standing(&self, host: HostId, thread: ThreadId) -> Option<&Standing> {
        self.now.get(&(host, thread))
    }

    /// Where every device stands.
    pub(super) fn standings(&self, thread: ThreadId) -> impl Iterator<Item = (HostId, &Standing)> {
        let of_thread = self.now.iter().filter(move |((_, of), _)| *of == thread);
        of_thread.map(|((host, _), standing)| (*host, standing))
    }

    pub(super) fn key_of(&self, thread: ThreadId, node: NodeId) -> Option<Handle> {
        self.nodes.get(&(thread, node))?.key
    }

    /// Nodes whose commits make this control key.
    pub(super) fn made_with(&self, thread: ThreadId, key: Handle) -> Vec<NodeId> {
        let made = self.of_thread(thread).filter(|(_, made)| made.key == Some(key));
        made.map(|(node, _)| node).collect()
    }

    /// Who made a node, and on which.
    pub(super) fn author_of(&self, thread: ThreadId, node: NodeId) -> Option<((Dev, Incarnation), NodeId)> {
        let made = self.nodes.get(&(thread, node))?;
        Some((made.author?, made.parent))
    }

    /// Who can read on a node.
    pub(super) fn readers(&self, thread: ThreadId, node: NodeId) -> Option<&Vec<(Dev, Incarnation)>> {
        self.nodes.get(&(thread, node))?.roster.as_ref()
    }

    /// Whether a device can read on a node or on one below it, as far as that is known.
    pub(super) fn may_read_below(&self, thread: ThreadId, node: NodeId, dev: Dev) -> bool {
        let reads = |made: &Made| made.roster.iter().flatten().any(|(reader, _)| *reader == dev);
        let below = self
            .of_thread(thread)
            .filter(|(at, _)| self.is_below(thread, *at, node));
        below
            .into_iter()
            .any(|(_, made)| made.roster.is_none() || reads(made))
    }

    fn of_thread(&self, thread: ThreadId) -> impl Iterator<Item = (NodeId, &Made)> {
        let (from, to) = (NodeId([0; 16]), NodeId([0xff; 16]));
        let nodes = self.nodes.range((thread, from)..=(thread, to));
        nodes.map(|((_, node), made)| (*node, made))
    }
}
