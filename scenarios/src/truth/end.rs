//! After the faults: everything that must have arrived has arrived, within a stated time.
//!
//! [`missing`] names the first thing that has not, so that a run can wait until nothing is missing or
//! its deadline passes. Nothing here weakens a rule because of what happened before, with four
//! exceptions that follow from the protocol: what a restored store had lost before anybody had it stays
//! lost; what a removed device never handed over stays with it; what it wrote after the last signed head
//! that reached a member can be proven neither to later joiners nor to who lost its store; and a joiner
//! without the right to the history is owed only what was sealed for it.

use super::{Change, Intent, Key, Said, Truth};
use crate::net::HostId;
use crate::world::World;
use aidmesh_core::blob::Layer;
use aidmesh_core::delivery::{State, Step};
use aidmesh_core::group::control::History;
use aidmesh_core::id::{Dev, ThreadId};
use aidmesh_core::machine::ThreadView;
use aidmesh_core::machine::command::EntryRef;
use std::collections::{BTreeMap, BTreeSet};

/// What is still missing; `None` when the run has converged.
pub fn missing(truth: &Truth, world: &World) -> Option<String> {
    missing_from(truth, world, &mut None)
}

/// The same for who asks again and again: begins at the entry that was missing last, and notes the one that
/// is missing now. Looking at all of thousands of entries at each step would cost more than the run.
pub fn missing_from(truth: &Truth, world: &World, from: &mut Option<Key>) -> Option<String> {
    let mut members = BTreeMap::new();
    for thread in truth.threads.keys() {
        match members_agree(truth, world, *thread) {
            Ok(agreed) => members.insert(*thread, agreed),
            Err(why) => return Some(why),
        };
    }
    let (start, all) = (from.unwrap_or_default(), &truth.said);
    all.range(start..)
        .chain(all.range(..start))
        .find_map(|(key, said)| {
            let members = members.get(&key.0)?;
            if is_left_behind(world, *key, said, members) {
                let author = &world.hosts[said.author].name;
                return Some(format!(
                    "{}/{} waits in an earlier life of {author}",
                    key.1, key.2
                ));
            }
            if !must_arrive(world, *key, said, members) {
                return None;
            }
            let why = entry_missing(truth, world, *key, said, members)?;
            *from = Some(*key);
            Some(why)
        })
}

/// The same where every member must have everything open that people wrote, whoever it was sealed for: what
/// a thread with all its history owes when no word stayed on a device that is gone.
pub fn unopened_from(truth: &Truth, world: &World, from: &mut Option<Key>) -> Option<String> {
    let (start, all) = (from.unwrap_or_default(), &truth.said);
    let mut all = all.range(start..).chain(all.range(..start));
    let found = all.find_map(|(key, said)| {
        let mut members = members(truth, world, key.0).into_iter();
        let lacks = |host: &HostId| said.by_person && !has_open(world, *host, *key);
        Some((*key, said, members.find(lacks)?))
    });
    let (key, said, host) = found?;
    *from = Some(key);
    let [name, author] = [host, said.author].map(|host| &world.hosts[host].name);
    Some(format!("{name} has not opened {}/{} of {author}", key.1, key.2))
}

/// Why the members of some thread do not agree yet about members and head, or one of them is stopped.
pub fn disagreement(truth: &Truth, world: &World) -> Option<String> {
    let mut threads = truth.threads.keys();
    threads.find_map(|thread| members_agree(truth, world, *thread).err())
}

/// Devices that are members of a thread as its speaker knows it.
pub(crate) fn members(truth: &Truth, world: &World, thread: ThreadId) -> Vec<HostId> {
    let view = speaker(truth, world, thread).and_then(|host| view_of(world, host, thread));
    let devs: BTreeSet<Dev> = view.into_iter().flat_map(|v| v.members).map(|m| m.dev).collect();
    let is_member = |host: &HostId| world.hosts[*host].dev().is_some_and(|dev| devs.contains(&dev));
    (0..world.hosts.len()).filter(is_member).collect()
}

/// Some member to whom the entry is owed has not opened it.
pub(super) fn is_lost(truth: &Truth, world: &World, key: Key, said: &Said, members: &[HostId]) -> bool {
    let lacks = |host: &HostId| owed(truth, world, key, said, *host, members) && !has_open(world, *host, key);
    must_arrive(world, key, said, members) && members.iter().any(lacks)
}

/// An entry that an earlier life of its author stored and never sealed has no place in the present one.
fn is_left_behind(world: &World, key: Key, said: &Said, members: &[HostId]) -> bool {
    let author = &world.hosts[said.author];
    let view = author.machine.as_ref().and_then(|m| m.view(key.0));
    let same_life = view.is_some_and(|v| v.members.iter().any(|m| m.slot == key.1));
    let waits = said.by_person && said.stored && said.sealed.is_none() && said.moved.is_none();
    let remembers = author.rebuilt_us.is_none_or(|us| said.at_us > us);
    waits && remembers && !same_life && members.contains(&said.author)
}

pub(crate) fn view_of(world: &World, host: HostId, thread: ThreadId) -> Option<ThreadView> {
    world.hosts[host].machine.as_ref().and_then(|m| m.view(thread))
}

/// A device that most of those who have the thread take for a member: its founder, if it still is one.
pub fn speaker(truth: &Truth, world: &World, thread: ThreadId) -> Option<HostId> {
    let hosts = 0..world.hosts.len();
    let views: Vec<ThreadView> = hosts
        .clone()
        .filter_map(|host| view_of(world, host, thread))
        .collect();
    let is_member = |host: &HostId| {
        let dev = world.hosts[*host].dev();
        let by = views
            .iter()
            .filter(|view| view.members.iter().any(|m| Some(m.dev) == dev));
        view_of(world, *host, thread).is_some() && 2 * by.count() > views.len()
    };
    let founder = truth.threads[&thread].founder;
    std::iter::once(founder).chain(hosts).find(is_member)
}

/// Members of a thread, if all of them agree about members and head, and none is stopped.
fn members_agree(truth: &Truth, world: &World, thread: ThreadId) -> Result<Vec<HostId>, String> {
    let view = |host: HostId| view_of(world, host, thread);
    let speaker = speaker(truth, world, thread).ok_or(format!("no member of {thread} runs"))?;
    let ours = view(speaker).ok_or(format!("{} has no thread {thread}", world.hosts[speaker].name))?;
    let speaker = &world.hosts[speaker].name;
    let devs: BTreeSet<Dev> = ours.members.iter().map(|m| m.dev).collect();
    let member = |host: &HostId| world.hosts[*host].dev().is_some_and(|dev| devs.contains(&dev));
    let members: Vec<HostId> = (0..world.hosts.len()).filter(member).collect();
    for host in &members {
        let name = &world.hosts[*host].name;
        let theirs = view(*host).ok_or(format!("{name} has no thread {thread}"))?;
        let set: BTreeSet<Dev> = theirs.members.iter().map(|m| m.dev).collect();
        if set != devs {
            let (theirs, ours) = (names(world, &set), names(world, &devs));
            return Err(format!(
                "members of {thread}: {name} knows {theirs}, {speaker} {ours}"
            ));
        }
        if theirs.head != ours.head {
            return Err(format!(
                "{name} is on node {}, {speaker} on {}",
                theirs.head, ours.head
            ));
        }
        if let Some(why) = theirs.stopped {
            return Err(format!("{name} does not seal in {thread}: {why:?}"));
        }
        if theirs.unsealed > 0 {
            return Err(format!(
                "{name} has {} unsealed entries in {thread}",
                theirs.unsealed
            ));
        }
    }
    intended(truth, world, thread, &devs)?;
    Ok(members)
}

fn names(world: &World, devs: &BTreeSet<Dev>) -> String {
    let named = world
        .hosts
        .iter()
        .filter(|h| h.dev().is_some_and(|dev| devs.contains(&dev)));
    named.map(|h| h.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The last change of each device that its author was told to be stored holds.
fn intended(truth: &Truth, world: &World, thread: ThreadId, devs: &BTreeSet<Dev>) -> Result<(), String> {
    let intent = &truth.threads[&thread];
    let last: BTreeMap<Dev, &Change> = intent.changes.iter().map(|c| (c.dev, c)).collect();
    for (dev, change) in last {
        let author = &world.hosts[change.by];
        let author_stays = author.dev().is_some_and(|dev| devs.contains(&dev));
        // of removals that cross each other one is void
        let was_removed = intent
            .changes
            .iter()
            .any(|c| !c.added && Some(c.dev) == author.dev());
        let calm = author.rebuilt_us.is_none() && author_stays && !was_removed && change.stored;
        if calm && !change.added && devs.contains(&dev) {
            return Err(format!("{dev} was removed by {} and is a member", author.name));
        }
    }
    crossed(world, intent, devs)
}

/// Of two members that remove each other one stays, unless somebody changes that too.
fn crossed(world: &World, intent: &Intent, devs: &BTreeSet<Dev>) -> Result<(), String> {
    let calm = |c: &Change| !c.added && c.stored && world.hosts[c.by].rebuilt_us.is_none();
    let removals: Vec<&Change> = intent.changes.iter().filter(|c| calm(c)).collect();
    let by = |c: &Change, dev: Dev| world.hosts[c.by].dev() == Some(dev);
    for (n, one) in removals.iter().enumerate() {
        for other in removals[n + 1..]
            .iter()
            .filter(|other| by(one, other.dev) && by(other, one.dev))
        {
            let pair = [one.dev, other.dev];
            let touches = |c: &&Change| pair.contains(&c.dev) && c.at_us >= one.at_us;
            let alone = intent.changes.iter().filter(touches).count() == 2;
            if alone && !pair.iter().any(|dev| devs.contains(dev)) {
                let [a, b] = pair;
                return Err(format!("{a} and {b} removed each other, and both are gone"));
            }
        }
    }
    Ok(())
}

/// Whether every entitled member must get it.
fn must_arrive(world: &World, key: Key, said: &Said, members: &[HostId]) -> bool {
    if !said.by_person {
        // keys for a node are owed to nobody but the members of that node
        return false;
    }
    let kept = said.stored || said.sealed.is_some();
    author_stays(world, key, said, members) && kept || members.iter().any(|host| has_open(world, *host, key))
}

/// Its author is a member in the same life, and its store remembers it.
fn author_stays(world: &World, key: Key, said: &Said, members: &[HostId]) -> bool {
    let author = &world.hosts[said.author];
    let view = author.machine.as_ref().and_then(|m| m.view(key.0));
    let same_life = view.is_some_and(|v| v.members.iter().any(|m| m.slot == key.1));
    let remembers = author.rebuilt_us.is_none_or(|us| said.at_us > us);
    members.contains(&said.author) && same_life && remembers
}

fn has_layer(world: &World, host: HostId, key: Key, layer: u8) -> bool {
    let h = &world.hosts[host];
    let Some(machine) = &h.machine else {
        return false;
    };
    matches!(machine.layer(&h.disk, key.0, entry_ref(key), layer), Ok(Some(_)))
}

fn entry_missing(truth: &Truth, world: &World, key: Key, said: &Said, members: &[HostId]) -> Option<String> {
    let author = &world.hosts[said.author].name;
    let entry = format!("{}/{} of {author}", key.1, key.2);
    for host in members
        .iter()
        .filter(|host| owed(truth, world, key, said, **host, members))
    {
        let name = &world.hosts[*host].name;
        if !has_open(world, *host, key) {
            return Some(format!("{name} has not opened {entry}"));
        }
        let held = |host: &HostId, layer: u8| has_layer(world, *host, key, layer);
        for layer in said.layers.keys() {
            let somebody = author_stays(world, key, said, members) || members.iter().any(|h| held(h, *layer));
            if somebody && !held(host, *layer) {
                return Some(format!("{name} lacks layer {layer} of {entry}"));
            }
        }
        if let Some(why) = undelivered(world, key, said, *host, members) {
            return Some(format!("{author} {why} {entry} at {name}"));
        }
    }
    None
}

fn owed(truth: &Truth, world: &World, key: Key, said: &Said, host: HostId, members: &[HostId]) -> bool {
    let history = truth.threads[&key.0].history;
    let dev = world.hosts[host].dev();
    let for_it = || Some(said.sealed.as_ref()?.surely.contains(&dev?));
    let all = history == History::All && author_stays(world, key, said, members);
    let shown = || remembers(truth, world, key, said, host) || can_prove(world, key, said, members);
    host != said.author && (all || for_it() == Some(true) && shown())
}

/// Its author signs for it, or some member holds a signed head that counts it and all entries up to there.
fn can_prove(world: &World, key: Key, said: &Said, members: &[HostId]) -> bool {
    let prove = |host: &HostId| {
        let machine = world.hosts[*host].machine.as_ref();
        machine.is_some_and(|m| m.can_prove(key.0, entry_ref(key)))
    };
    author_stays(world, key, said, members) || members.iter().any(prove)
}

/// The device never lost its store, or the entry was said to the life that it has since; nor did it lose
/// keys since then.
fn remembers(truth: &Truth, world: &World, key: Key, said: &Said, host: HostId) -> bool {
    let (dev, rebuilt_us) = (world.hosts[host].dev(), world.hosts[host].rebuilt_us);
    let changes = truth.threads[&key.0].changes.iter();
    let added = changes.filter(|c| Some(c.dev) == dev && c.added).map(|c| c.at_us);
    let lost = truth
        .losses
        .get(&(host, key.0))
        .is_some_and(|at_us| said.at_us <= *at_us);
    !lost && (rebuilt_us.is_none() || added.max().is_none_or(|at_us| said.at_us > at_us))
}

/// The author's word about a member for which it was sealed.
fn undelivered(world: &World, key: Key, said: &Said, host: HostId, members: &[HostId]) -> Option<String> {
    let author = &world.hosts[said.author];
    let (machine, dev) = (author.machine.as_ref()?, world.hosts[host].dev()?);
    let sealed_for =
        said.sealed.as_ref().is_some_and(|s| s.surely.contains(&dev)) && said.asked.contains(&dev);
    let calm = members.contains(&said.author) && author.rebuilt_us.is_none();
    if !said.followed || !sealed_for || !calm || world.hosts[host].rebuilt_us.is_some() {
        return None;
    }
    let words = machine.delivery(key.0, entry_ref(key));
    let word = words
        .iter()
        .find(|(at, ..)| *at == dev)
        .map(|(_, state, _)| *state);
    // several original files are one quality: the word names the first of their layers
    let highest = said
        .layers
        .keys()
        .max()
        .map(|layer| (*layer).min(Layer::ORIGINAL.to_u8()));
    let enough = word.is_some_and(|state| match state {
        State::Delivered(q) => q.map(|q| q.to_u8()) >= highest,
        other => other.step() > Step::Delivered,
    });
    (!enough).then(|| format!("still says {word:?} for"))
}

pub(super) fn has_open(world: &World, host: HostId, key: Key) -> bool {
    let h = &world.hosts[host];
    let Some(machine) = &h.machine else { return false };
    matches!(machine.entry(&h.disk, key.0, entry_ref(key)), Ok(Some(_)))
}

fn entry_ref(key: Key) -> EntryRef {
    EntryRef {
        slot: key.1,
        seq: key.2,
    }
}
