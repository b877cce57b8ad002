//! Counts at the end of a run, for its report: what was said, what is lost, who read what it must not.
//!
//! The rules stop a run at the first thing that is wrong; these numbers are counted anew from disks and
//! views when it is over, so that a report shows what was looked at and not only that nothing was found.

use super::{Key, Said, Truth, end};
use crate::net::HostId;
use crate::world::World;
use aidmesh_core::store::table;
use serde::Serialize;
use std::collections::BTreeSet;

/// Counts over all threads of a run, with the names of their JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Members at the end.
    pub members: usize,
    /// Heads on which those members stand; as many as threads if all agree.
    pub heads: usize,
    /// Sets of members that those members know.
    pub rosters: usize,
    /// Entries that people wrote, on members' disks or on the wire.
    pub messages: usize,
    /// Of these, entries that a member is owed and has not open.
    pub lost: usize,
    /// Of these, entries that every member of the end has open.
    pub open_at_all: usize,
    /// Entries that a device opened whose removal their sender knew when it sealed them.
    pub read_after_removal: usize,
    /// Commits that began a new group.
    pub refounds: usize,
}

/// Counts what is there now.
pub fn tally(truth: &Truth, world: &World) -> Tally {
    let mut tally = Tally {
        refounds: truth.paths.refounds(),
        ..Tally::default()
    };
    for thread in truth.threads.keys() {
        let members = end::members(truth, world, *thread);
        let views = members
            .iter()
            .filter_map(|host| end::view_of(world, *host, *thread));
        let (mut heads, mut rosters) = (BTreeSet::new(), BTreeSet::new());
        for view in views {
            heads.insert(view.head);
            rosters.insert(view.members.iter().map(|m| m.slot).collect::<Vec<_>>());
        }
        tally.members += members.len();
        tally.heads += heads.len();
        tally.rosters += rosters.len();
        for (key, said) in truth.said.iter().filter(|(key, _)| key.0 == *thread) {
            tally.read_after_removal += forbidden_readers(truth, world, *key, said);
            if said.by_person {
                tally.messages += 1;
                let open = |host: &HostId| end::has_open(world, *host, *key);
                tally.open_at_all += usize::from(members.iter().all(open));
                tally.lost += usize::from(end::is_lost(truth, world, *key, said, &members));
            }
        }
    }
    tally
}

fn forbidden_readers(truth: &Truth, world: &World, key: Key, said: &Said) -> usize {
    let Some(sealed) = &said.sealed else { return 0 };
    let row = table::entry(key.0, key.1, key.2);
    let others = world
        .hosts
        .iter()
        .enumerate()
        .filter(|(id, _)| *id != said.author);
    let opened = others
        .filter(|(_, h)| h.disk.ever(&row))
        .filter_map(|(_, h)| h.dev());
    opened
        .filter(|dev| truth.may_read(world, key, sealed, *dev).is_err())
        .count()
}
