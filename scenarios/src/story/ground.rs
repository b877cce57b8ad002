//! An insider who grinds: what became of its commits at the others.

use super::Step;
use super::play::Play;
use crate::net::HostId;
use aidmesh_core::id::{NodeId, ThreadId};
use aidmesh_core::machine::insider::Lie;
use aidmesh_core::store::{Read, rows, table};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Commits that an insider made up, with the names of its JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Ground {
    pub tried: u64,
    pub published: u64,
    /// Most that one other device knows.
    pub known_max: usize,
    /// Most of which one other device keeps keys.
    pub kept_max: usize,
    /// On the path of some other device.
    pub followed: usize,
}

/// What was ground, and by whom.
pub(super) struct Grinder {
    host: HostId,
    nodes: BTreeSet<NodeId>,
    tried: u64,
}

impl Play<'_> {
    pub(super) fn grind(&mut self, step: &Step) {
        let Step::Grind {
            by,
            thread,
            device,
            tries,
            publish,
        } = step
        else {
            return;
        };
        let (Some(host), Some(whom), Some(thread)) = (self.host(by), self.host(device), self.thread(thread))
        else {
            return;
        };
        let whom = self.world.hosts[whom].dev().unwrap_or_default();
        self.tell(by, &format!("grinds {tries} commits and publishes {publish}"));
        let lie = Lie::Grind {
            thread,
            whom,
            tries: *tries,
            publish: *publish,
        };
        match self.world.lie(host, &lie) {
            Some(nodes) => {
                self.ground = Some(Grinder {
                    host,
                    nodes: nodes.into_iter().collect(),
                    tried: u64::from(*tries),
                });
            }
            None => self.fail(format!("{by} cannot grind")),
        }
    }

    pub(super) fn is_not_followed(&mut self, thread: &str) -> bool {
        let ground = self.thread(thread).and_then(|thread| self.ground_at(thread));
        // they must have got there, else nothing was tried
        ground.is_some_and(|g| g.known_max > 0 && g.followed == 0 && g.kept_max == 0)
    }

    /// What became of it, over all threads.
    pub(super) fn ground(&self) -> Option<Ground> {
        let threads: Vec<ThreadId> = self.world.truth.threads.keys().copied().collect();
        let all = threads.into_iter().filter_map(|thread| self.ground_at(thread));
        all.max_by_key(|ground| (ground.followed, ground.known_max))
    }

    fn ground_at(&self, thread: ThreadId) -> Option<Ground> {
        let grinder = self.ground.as_ref()?;
        let mut ground = Ground {
            tried: grinder.tried,
            published: grinder.nodes.len() as u64,
            ..Ground::default()
        };
        for (host, h) in self.world.hosts.iter().enumerate() {
            let Some(machine) = h.machine.as_ref().filter(|_| host != grinder.host) else {
                continue;
            };
            let Some(standing) = machine.standing(thread) else {
                continue;
            };
            let nodes = machine.nodes(thread);
            let parents: BTreeMap<NodeId, NodeId> = nodes.iter().map(|n| (n.node, n.parent)).collect();
            let known = parents.keys().filter(|node| grinder.nodes.contains(*node));
            let kept = |node: &&NodeId| {
                let kept = rows(&h.disk as &dyn Read, &table::node_all(thread, **node));
                kept.is_ok_and(|rows| !rows.is_empty())
            };
            ground.known_max = ground.known_max.max(known.clone().count());
            ground.kept_max = ground.kept_max.max(known.filter(kept).count());
            let path = std::iter::successors(Some(standing.head), |at| parents.get(at).copied());
            ground.followed += path.filter(|node| grinder.nodes.contains(node)).count();
        }
        Some(ground)
    }
}
