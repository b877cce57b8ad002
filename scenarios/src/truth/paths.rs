//! Paths of threads: on which node each device stands, when a node is settled, and that it stays.
//!
//! A device *flips* when its newest node becomes one that does not descend from the former. Before a
//! fork is decided that is lawful. A node is *settled* for a set of members if they have the same view of
//! the members, each of them holds the newest signed head of each of them, all those heads stand on the
//! node or below it, and on the whole way to the node they are more than half of those who could read
//! where it goes on and are members today. Whatever is still under way cannot outvote them then. It is
//! settled until the view of the members of one of them changes, or one of them loses its store. A member
//! that is down counts as what is durable there.
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
    refound: bool,
    author: Option<(Dev, Incarnation)>,
    key: Option<Handle>,
    roster: Option<Vec<(Dev, Incarnation)>>,
    known_by: BTreeSet<HostId>,
}

/// A node that may not leave the path of these hosts while these are the members.
#[derive(Clone, Debug)]
struct Settled {
    members: Vec<(Dev, Incarnation)>,
    hosts: BTreeSet<HostId>,
    node: NodeId,
}

/// A member that agrees with another about the members.
struct Voter {
    host: HostId,
    dev: Dev,
    newest: (Dev, u32, NodeId),
    head: NodeId,
}

/// Nodes from the newest one up that are looked at: older ones were settled before, or wait for the newer.
const LEVELS: usize = 4;

/// See the module.
#[derive(Default)]
pub(super) struct Paths {
    nodes: BTreeMap<(ThreadId, NodeId), Made>,
    now: BTreeMap<(HostId, ThreadId), Standing>,
    durable: BTreeMap<(HostId, ThreadId), Standing>,
    settled: BTreeMap<ThreadId, Vec<Settled>>,
    hosts: BTreeMap<Dev, HostId>,
    rewraps: BTreeSet<MsgId>,
    /// Members that somebody else counted while it held the control key: whom it may tell it. What was
    /// told is on its way, whatever happens meanwhile.
    counted: BTreeSet<(ThreadId, Handle, Dev)>,
    /// Where who stood that removed a device.
    pub(super) removed_on: Vec<(ThreadId, Dev, NodeId)>,
}

impl Paths {
    fn count(&mut self, thread: ThreadId, own: Option<Dev>, standing: &Standing) {
        for key in &standing.keys {
            let others = standing.members.iter().filter(|(dev, _)| Some(*dev) != own);
            self.counted.extend(others.map(|(dev, _)| (thread, *key, *dev)));
        }
    }

    /// Whether somebody else who held the key ever counted the device.
    pub(super) fn counted(&self, thread: ThreadId, key: Handle, dev: Dev) -> bool {
        self.counted.contains(&(thread, key, dev))
    }

    /// A device has lost keys: where it stood is no longer settled with it.
    pub(super) fn unsettle(&mut self, thread: ThreadId, host: HostId) {
        let settled = self.settled.entry(thread).or_default();
        settled.retain(|s| !s.hosts.contains(&host));
    }

    /// Nodes that begin a new group.
    pub(super) fn refounds(&self) -> usize {
        self.nodes.values().filter(|made| made.refound).count()
    }
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
        self.paths.count(thread, world.hosts[host].dev(), &standing);
        let is_known = |node: &NodeId| self.paths.nodes.contains_key(&(thread, *node));
        let all_known = standing.heads.iter().all(|(.., node)| is_known(node));
        if !all_known || before.keys != standing.keys || before.head != standing.head {
            self.learn_nodes(world, host, thread);
        }
        self.check_keys(world, place, &before.keys);
        self.check_authors(world, place);
        let known = self.paths.settled.entry(thread).or_default();
        known.retain(|s| !s.hosts.contains(&host) || s.members == standing.members);
        let settled = &self.paths.settled[&thread];
        let mut mine = settled.iter().filter(|s| s.hosts.contains(&host));
        let left = mine
            .find(|s| !self.paths.is_below(thread, standing.head, s.node))
            .cloned();
        let (from, to) = (before.head, standing.head);
        if from == NodeId::default() || self.paths.is_below(thread, to, from) {
            return;
        }
        match left {
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
            let at = (thread, made.node);
            let is_new = made.refound && !self.paths.nodes.contains_key(&at);
            world.counters.refounds += u64::from(is_new);
            let known = self.paths.nodes.entry(at).or_insert(Made {
                parent: made.parent,
                adds: made.adds,
                refound: made.refound,
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

    /// Looks whether members agree so far that a node is settled.
    fn settle(&mut self, world: &World, (host, thread): (HostId, ThreadId)) {
        if self.paths.hosts.len() < world.hosts.len() {
            let devs = world.hosts.iter().enumerate();
            let devs = devs.filter_map(|(id, h)| Some((h.dev()?, id)));
            self.paths.hosts = devs.collect();
        }
        let founder = self
            .threads
            .get(&thread)
            .and_then(|intent| world.hosts[intent.founder].dev());
        let (Some(own), Some(founder)) = (self.paths.durable.get(&(host, thread)), founder) else {
            return;
        };
        let voters = self.paths.voters(thread, own);
        let levels = self.paths.climb(thread, own.head).take(LEVELS);
        let found =
            levels.filter_map(|node| Some((node, self.paths.agreed(thread, node, &voters, own, founder)?)));
        let Some((node, hosts)) = found.into_iter().find(|(_, hosts)| hosts.contains(&host)) else {
            return;
        };
        let members = own.members.clone();
        let settled = Settled { members, hosts, node };
        let older = |s: &Settled| s.members == settled.members && s.hosts == settled.hosts;
        let all = self.paths.settled.get(&thread).into_iter().flatten();
        let mut all: Vec<Settled> = all.filter(|s| !older(s)).cloned().collect();
        all.push(settled);
        self.paths.settled.insert(thread, all);
    }

    /// What was not durable is gone, and commits that nobody else has with it.
    pub(super) fn paths_cut(&mut self, world: &World, host: HostId) {
        self.paths.now.retain(|(at, _), _| *at != host);
        let durable = self.paths.durable.iter().filter(|((at, _), _)| *at == host);
        self.paths
            .now
            .extend(durable.map(|(place, s)| (*place, s.clone())));
        let disk = &world.hosts[host].disk;
        let stored = |thread, node| rows(disk, &table::node_all(thread, node)).is_ok_and(|r| !r.is_empty());
        let stored = self
            .paths
            .nodes
            .keys()
            .filter(|(thread, node)| stored(*thread, *node));
        // the keys of older nodes may be deleted since
        let durable: BTreeSet<(ThreadId, NodeId)> = stored
            .flat_map(|(thread, node)| self.paths.climb(*thread, *node).map(|at| (*thread, at)))
            .collect();
        self.paths.nodes.retain(|place, made| {
            let alone = made.known_by.len() == 1 && made.known_by.contains(&host);
            !alone || durable.contains(place)
        });
    }

    /// The store is an older one: what it stood on is forgotten, and what others took it to stand on may be.
    pub(super) fn paths_forgotten(&mut self, host: HostId) {
        self.paths.now.retain(|(at, _), _| *at != host);
        self.paths.durable.retain(|(at, _), _| *at != host);
        for settled in self.paths.settled.values_mut() {
            settled.retain(|s| !s.hosts.contains(&host));
        }
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

impl Paths {
    pub(super) fn climb(&self, thread: ThreadId, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(Some(node), move |at| Some(self.nodes.get(&(thread, *at))?.parent))
    }

    pub(super) fn is_below(&self, thread: ThreadId, node: NodeId, top: NodeId) -> bool {
        self.climb(thread, node).any(|at| at == top)
    }

    /// Members that have the same view of the members as this one.
    fn voters(&self, thread: ThreadId, own: &Standing) -> Vec<Voter> {
        let voter = |(dev, _): &(Dev, Incarnation)| {
            let host = *self.hosts.get(dev)?;
            let theirs = self.durable.get(&(host, thread))?;
            let now = self.now.get(&(host, thread))?;
            let newest = *theirs.heads.iter().find(|(of, ..)| of == dev)?;
            let agrees = theirs.members == own.members && now.members == own.members;
            agrees.then_some(Voter {
                host,
                dev: *dev,
                newest,
                head: now.head,
            })
        };
        own.members.iter().filter_map(voter).collect()
    }

    /// The members for which a node is settled, if there are such.
    fn agreed(
        &self,
        thread: ThreadId,
        node: NodeId,
        voters: &[Voter],
        own: &Standing,
        founder: Dev,
    ) -> Option<BTreeSet<HostId>> {
        let below = |at: NodeId| self.is_below(thread, at, node);
        let on_it = voters.iter().filter(|v| below(v.newest.2) && below(v.head));
        let all: Vec<&Voter> = on_it.collect();
        let lacks = |v: &Voter, of: &Voter| {
            let theirs = self.durable.get(&(v.host, thread));
            !theirs.is_some_and(|s| s.heads.contains(&of.newest))
        };
        let is_open = |a: &Voter, b: &Voter| lacks(a, b) || lacks(b, a);
        let mut open: BTreeMap<usize, usize> = all
            .iter()
            .map(|v| all.iter().filter(|of| is_open(v, of)).count())
            .enumerate()
            .collect();
        loop {
            let (worst, at) = open.iter().map(|(at, n)| (*n, *at)).max()?;
            if worst == 0 {
                break;
            }
            open.remove(&at);
            for (other, n) in &mut open {
                *n -= usize::from(is_open(all[*other], all[at]));
            }
        }
        let on_it: Vec<&Voter> = open.keys().map(|at| all[*at]).collect();
        let devs: BTreeSet<Dev> = on_it.iter().map(|v| v.dev).collect();
        let mut ways = self
            .climb(thread, node)
            .filter_map(|at| self.nodes.get(&(thread, at)));
        let most = ways.all(|made| {
            let readers = self.readers(thread, made.parent);
            if readers.is_none() && self.nodes.contains_key(&(thread, made.parent)) {
                return false;
            }
            let reads = |member: &(Dev, Incarnation)| match readers {
                Some(readers) => readers.contains(member),
                // at the beginning there is its founder, and no commit that says so
                None => *member == (founder, 1),
            };
            let readers = own
                .members
                .iter()
                .filter(|member| reads(member))
                .map(|(dev, _)| dev);
            let (yes, no): (Vec<&Dev>, Vec<&Dev>) = readers.partition(|dev| devs.contains(dev));
            yes.len() > no.len() || yes.is_empty() && no.is_empty()
        });
        most.then(|| on_it.iter().map(|v| v.host).collect())
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
