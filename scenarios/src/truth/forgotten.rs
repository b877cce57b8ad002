//! Deleted keys are deleted: what a device dropped of an epoch node is on its disk no more, and what it
//! should have dropped is not there either.
//!
//! Seen from the rows of the disk, whatever the machine says. [`overdue`] asks after a long quiet in which
//! nothing arrived: no node above the newest is left, nor a branch from there.

use super::{Truth, end};
use crate::net::HostId;
use crate::world::World;
use aidmesh_core::id::{NodeId, ThreadId};
use aidmesh_core::limits;
use aidmesh_core::machine::NodeView;
use aidmesh_core::store::{Batch, rows, table};
use std::collections::{BTreeMap, BTreeSet};

/// A quiet after which all nodes are gone that may go, microseconds.
pub const QUIET_US: u64 = (limits::DEMOTE_AFTER_MS + limits::DROP_LATEST_MS + 3 * 3600 * 1000) * 1000;

const DROPPED: &str = "no state of a dropped node is on disk";
/// Kinds of rows of a node: its group context, which each has, and the private keys with which it commits.
const CONTEXT: u8 = 6;
const COMMIT_KEYS: u8 = 16;

/// Nodes whose rows a device deleted.
pub(super) type Dropped = BTreeSet<(HostId, ThreadId, NodeId)>;

impl Truth {
    /// A batch writes or deletes rows of epoch nodes.
    pub(super) fn on_node_rows(&mut self, world: &mut World, host: HostId, batch: &Batch) {
        let mut changed: BTreeMap<(ThreadId, NodeId), BTreeMap<u8, bool>> = BTreeMap::new();
        for (key, value) in batch.rows() {
            if let Some((thread, node, kind)) = read_key(key) {
                let kinds = changed.entry((thread, node)).or_default();
                *kinds.entry(kind).or_default() |= value.is_some();
            }
        }
        for ((thread, node), kinds) in changed {
            let place = (host, thread, node);
            match kinds.get(&CONTEXT) {
                Some(false) => {
                    world.counters.nodes_dropped += u64::from(self.dropped.insert(place));
                }
                None if kinds.get(&COMMIT_KEYS) == Some(&false) => world.counters.nodes_demoted += 1,
                _ => {}
            }
            // what was lost by no rule may be made again from what is left
            let lost = self.losses.contains_key(&(host, thread));
            if !lost && self.dropped.contains(&place) && kinds.values().any(|is_put| *is_put) {
                let name = &world.hosts[host].name;
                world.accuse(DROPPED, format!("{name} writes rows of {node}, which it dropped"));
            }
        }
    }

    /// The machine is gone, and what it deleted last may be there again.
    pub(super) fn dropped_cut(&mut self, world: &World, host: HostId) {
        let disk = &world.hosts[host].disk;
        let gone = |thread, node| rows(disk, &table::node_all(thread, node)).is_ok_and(|r| r.is_empty());
        self.dropped
            .retain(|(at, thread, node)| *at != host || gone(*thread, *node));
    }
}

/// A node that is on the disk of a member although it should be gone after [`QUIET_US`].
pub fn overdue(truth: &Truth, world: &World) -> Option<String> {
    let threads = truth.threads.keys();
    let mut places = threads.flat_map(|thread| {
        let members = end::members(truth, world, *thread).into_iter();
        let kept = members.filter(|host| !truth.losses.contains_key(&(*host, *thread)));
        kept.map(|host| (host, *thread)).collect::<Vec<_>>()
    });
    places.find_map(|(host, thread)| overdue_at(world, host, thread))
}

fn overdue_at(world: &World, host: HostId, thread: ThreadId) -> Option<String> {
    let at = &world.hosts[host];
    let machine = at.machine.as_ref()?;
    let standing = machine.standing(thread)?;
    let made: BTreeMap<NodeId, NodeView> = machine
        .nodes(thread)
        .into_iter()
        .map(|made| (made.node, made))
        .collect();
    let climb = |node| std::iter::successors(Some(node), |at| Some(made.get(at)?.parent));
    let path: Vec<NodeId> = climb(standing.head).collect();
    let stored = on_disk(world, host, thread);
    let is_overdue = |node: &NodeId| {
        let fork = climb(*node).find_map(|at| path.iter().position(|on_path| *on_path == at));
        fork.is_some_and(|place| place > 0)
    };
    let node = stored.iter().find(|node| is_overdue(node))?;
    Some(format!(
        "{} has keys of {node}, which is above its newest",
        at.name
    ))
}

/// Nodes of a thread of which a disk has rows.
pub fn on_disk(world: &World, host: HostId, thread: ThreadId) -> BTreeSet<NodeId> {
    let all = rows(&world.hosts[host].disk, &table::nodes_all(thread)).unwrap_or_default();
    all.iter()
        .filter_map(|(key, _)| read_key(key))
        .map(|(_, node, _)| node)
        .collect()
}

/// Thread, node and kind of a row of a node.
fn read_key(key: &[u8]) -> Option<(ThreadId, NodeId, u8)> {
    let of_node = key.first() == Some(&b'n');
    let (thread, node) = (key.get(1..17)?, key.get(17..33)?);
    let kind = *key.get(33)?;
    of_node.then_some((ThreadId::from_prefix(thread)?, NodeId::from_prefix(node)?, kind))
}
