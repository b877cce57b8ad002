//! What a removal must bring about: nobody removed gets a later control key, and what it commits after
//! is not gone on with.
//!
//! A removal makes a control key. Whoever is in the roster of the commit that makes it, or of a node
//! below, may have it; so may a device that another holder counts as a member, since of removals that
//! cross each other one turns out void.
//!
//! A commit whose author is removed counts only if it was in sight of the removal, or if most of those
//! who could read its parent stand behind it, or most of all members of today (PROTOCOL, *Fork choice*).

use super::Truth;
use crate::net::HostId;
use crate::world::World;
use aidmesh_core::id::{Dev, Handle, Incarnation, NodeId, ThreadId};
use aidmesh_core::machine::Standing;

const KEYS: &str = "no control key for a removed device";
const COMMITS: &str = "nobody removed leads the thread";

impl Truth {
    /// A person removes a device.
    pub(super) fn on_removal(&mut self, world: &World, host: HostId, thread: ThreadId, dev: Dev) {
        let machine = world.hosts[host].machine.as_ref();
        if let Some(standing) = machine.and_then(|m| m.standing(thread)) {
            self.paths.removed_on.push((thread, dev, standing.head));
        }
    }

    /// It became known which control key a commit makes.
    pub(super) fn check_fresh_key(&self, world: &mut World, thread: ThreadId, node: NodeId) {
        let Some(key) = self.paths.key_of(thread, node) else {
            return;
        };
        let mut held = self
            .paths
            .standings(thread)
            .filter(|(_, s)| s.keys.contains(&key));
        let stranger = held.find(|(host, _)| {
            let dev = world.hosts[*host].dev();
            !dev.is_some_and(|dev| self.paths.may_read_below(thread, node, dev))
        });
        if let Some((host, _)) = stranger {
            let name = &world.hosts[host].name;
            let what = format!("{name} had the control key of {node}, on which it was removed, before");
            world.accuse(KEYS, what);
        }
    }

    /// A device holds other control keys than before.
    pub(super) fn check_keys(
        &self,
        world: &mut World,
        (host, thread): (HostId, ThreadId),
        before: &[Handle],
    ) {
        let standing = self.paths.standing(host, thread);
        let Some((standing, dev)) = standing.zip(world.hosts[host].dev()) else {
            return;
        };
        for key in standing.keys.iter().filter(|key| !before.contains(key)) {
            let counted = self.paths.counted(thread, *key, dev);
            let makers = self.paths.made_with(thread, *key);
            let allowed = |node: &NodeId| self.paths.may_read_below(thread, *node, dev);
            let is_owed = makers.is_empty() || makers.iter().any(allowed);
            if !is_owed && !counted {
                let name = &world.hosts[host].name;
                let what = format!(
                    "{name} got the control key of {}, on which it was removed",
                    makers[0]
                );
                return world.accuse(KEYS, what);
            }
        }
    }

    /// Every commit on the way to a device's newest node may be gone on with.
    pub(super) fn check_authors(&self, world: &mut World, (host, thread): (HostId, ThreadId)) {
        let Some(standing) = self.paths.standing(host, thread) else {
            return;
        };
        let mut way = self.paths.climb(thread, standing.head);
        if let Some(node) = way.find(|node| !self.may_lead(thread, *node, standing)) {
            let name = &world.hosts[host].name;
            let what = format!("{name} goes on with {node}, whose author it knows to be removed");
            world.accuse(COMMITS, what);
        }
    }

    fn may_lead(&self, thread: ThreadId, node: NodeId, standing: &Standing) -> bool {
        let Some((author, parent)) = self.paths.author_of(thread, node) else {
            return true;
        };
        if standing.members.contains(&author) {
            return true;
        }
        let below = |at: NodeId| self.paths.is_below(thread, at, node);
        let removals = self.paths.removed_on.iter();
        let mut removals = removals.filter(|(of, dev, _)| *of == thread && *dev == author.0);
        if removals.any(|(.., as_of)| below(*as_of)) {
            return true;
        }
        let Some(readers) = self.paths.readers(thread, parent) else {
            return true;
        };
        let voters: Vec<&(Dev, Incarnation)> = standing
            .members
            .iter()
            .filter(|member| readers.contains(member))
            .collect();
        let backers = standing.heads.iter().filter(|(.., at)| below(*at));
        let backers: Vec<Dev> = backers.map(|(dev, ..)| *dev).collect();
        let of_voters = voters.iter().filter(|(dev, _)| backers.contains(dev)).count();
        2 * of_voters > voters.len() || 2 * backers.len() > standing.members.len()
    }
}
