//! Who may read: each sealed entry is bound to what its sender knew at that moment, and each opened one
//! is compared with it.
//!
//! A device may open an entry if the sender counted it as a member when sealing, or if it was added and
//! the sender did not know of a removal that nobody took back. Judged at sealing, never at reading: what
//! a device opened before its removal stays open.

use super::end::has_open;
use super::{Key, Said, Sealed, Truth, members, read_key};
use crate::net::HostId;
use crate::world::World;
use aidmesh_core::entry::Entry;
use aidmesh_core::envelope::Envelope;
use aidmesh_core::group::control::History;
use aidmesh_core::id::{Dev, MsgId};
use aidmesh_core::limits::HLC_AHEAD_MS;
use aidmesh_core::ranges::Log;
use aidmesh_core::time::Hlc;
use bytes::Bytes;

/// Column of the envelopes that hold rewraps.
const REWRAP: u8 = 3;

impl Truth {
    /// An opened entry is about to be stored.
    pub(super) fn on_entry_row(&mut self, world: &mut World, host: HostId, key: &[u8], row: &Bytes) {
        let Some(key) = read_key(key, 0) else { return };
        let Some(owner) = self.owner(key.1) else {
            let what = format!(
                "{} uses slot {}, which no device has",
                world.hosts[host].name, key.1
            );
            return world.accuse("slots follow the formula", what);
        };
        if owner == host {
            self.on_own_row(world, host, key, row);
            return;
        }
        let (Some(said), Some(dev)) = (self.said.get(&key), world.hosts[host].dev()) else {
            let what = format!("{} opened {}/{}", world.hosts[host].name, key.1, key.2);
            return world.accuse("nobody wrote what was opened", what);
        };
        if let Some(sealed) = &said.sealed
            && let Err(why) = self.may_read(world, key, sealed, dev)
        {
            let name = &world.hosts[host].name;
            let author = &world.hosts[said.author].name;
            let what = format!("{name} opened {}/{} of {author}: {why}", key.1, key.2);
            world.accuse("only the entitled read", what);
        }
    }

    /// A device stores an entry of its own: one that a person just wrote, one that moves to its author's
    /// next life, or keys for a new node, which a machine writes by itself.
    fn on_own_row(&mut self, world: &mut World, host: HostId, key: Key, row: &Bytes) {
        let Some(entry) = entry_of(row) else { return };
        let salt = entry.salt;
        self.check_clock(world, host, key, entry.hlc);
        if let Some(said) = self.twice.get_mut(&key).filter(|said| said.author == host)
            && said.moved.is_none()
            && (said.salt == [0; 16] || said.salt == salt)
        {
            said.salt = salt;
            return;
        }
        if let Some(said) = self.said.get_mut(&key) {
            if said.sealed.is_none() {
                said.salt = salt;
            }
            return;
        }
        let asked = members(world, host, key.0);
        let waiting = self.twice.iter_mut().chain(&mut self.said);
        let mut same = waiting.filter(|(from, s)| from.0 == key.0 && s.author == host && s.salt == salt);
        let said = match same.next() {
            Some((_, said)) => {
                said.moved = Some(key);
                Said {
                    at_us: world.now_us,
                    moved: None,
                    asked,
                    ..said.clone()
                }
            }
            None => Said {
                author: host,
                at_us: world.now_us,
                salt,
                ..Said::default()
            },
        };
        self.said.insert(key, said);
    }

    /// "A clock more than 10 min ahead does not move ours."
    fn check_clock(&self, world: &mut World, host: HostId, key: Key, hlc: Hlc) {
        let wall_ms = world.hosts[host].clock.now(world.now_us).wall.0;
        let latest_ms = self.latest_ms.get(&host).copied().unwrap_or(0).max(wall_ms);
        if hlc.ms() > latest_ms.saturating_add(HLC_AHEAD_MS) {
            let ahead_s = (hlc.ms() - latest_ms) / 1000;
            let name = &world.hosts[host].name;
            let what = format!(
                "{name} dates {}/{} {ahead_s} s after all its clocks",
                key.1, key.2
            );
            world.accuse("the own clock", what);
        }
    }

    /// An envelope is about to be stored; an own one in the content log was just sealed.
    pub(super) fn on_envelope_row(&mut self, world: &mut World, host: HostId, key: &[u8], value: &Bytes) {
        let column = key[21];
        let Some(key) = read_key(key, 1) else { return };
        if column == REWRAP {
            self.on_rewrap(MsgId::of(value));
        }
        if self.owner(key.1) != Some(host) || column != Log::Content as u8 {
            return;
        }
        let Ok(envelope) = Envelope::decode(value) else {
            return;
        };
        if self.said.get(&key).is_some_and(|said| said.by_person) {
            self.check_sealed_late(world, host, key);
        }
        let before = self.knows.get(&(host, key.0)).cloned().unwrap_or_default();
        let after = self.learn(world, host, key.0);
        let sealed = Sealed {
            at_us: world.now_us,
            readers: before.now.union(&after).copied().collect(),
            surely: before.now.intersection(&after).copied().collect(),
            removed: before.ever.difference(&before.now).copied().collect(),
            carried: (envelope.handle, MsgId::of(value)),
        };
        let said = self.said.entry(key).or_default();
        said.author = host;
        said.sealed = Some(sealed);
    }

    /// "Sealed in the batch before its first transmission": nothing is sealed while no link is up.
    fn check_sealed_late(&self, world: &mut World, host: HostId, key: Key) {
        let side = |c: &crate::net::Cable| c.sides.iter().any(|s| s.host == host && s.link.is_some());
        if !world.cables.iter().any(side) {
            let what = format!(
                "{} sealed {}/{} with no link",
                world.hosts[host].name, key.1, key.2
            );
            world.accuse("sealed late", what);
        }
    }

    /// Somebody else who has the entry open counts the device as a member: the Remove that was known when
    /// it was sealed turned out void, because its author had been removed at the same time. Whoever has the
    /// entry open holds the node it was sealed on, and with it the Remove.
    fn is_counted(&self, world: &World, key: Key, dev: Dev) -> bool {
        let others = (0..world.hosts.len()).filter(|host| world.hosts[*host].dev() != Some(dev));
        let mut readers = others.filter(|host| has_open(world, *host, key));
        readers.any(|host| {
            let known = self.knows.get(&(host, key.0));
            known.is_some_and(|known| known.now.contains(&dev))
        })
    }

    pub(super) fn may_read(&self, world: &World, key: Key, sealed: &Sealed, dev: Dev) -> Result<(), String> {
        if sealed.readers.contains(&dev) {
            return Ok(());
        }
        let Some(intent) = self.threads.get(&key.0) else {
            return Ok(());
        };
        let said = self.said.get(&key);
        if intent.history == History::FromJoining && said.is_some_and(|said| said.by_person) {
            return Err("it was sealed for others, and joiners may not read it".to_owned());
        }
        let of_dev = || intent.changes.iter().filter(|c| c.dev == dev);
        let is_founder = world.hosts[intent.founder].dev() == Some(dev);
        if !is_founder && !of_dev().any(|c| c.added) {
            return Err("it was never a member".to_owned());
        }
        let known_removal = of_dev().rfind(|c| !c.added && c.at_us <= sealed.at_us);
        let added_again = of_dev().any(|c| c.added && known_removal.is_none_or(|r| c.at_us >= r.at_us));
        let is_removed = sealed.removed.contains(&dev) && !added_again;
        match is_removed && !self.is_counted(world, key, dev) {
            true => Err("its removal was known when that was sealed".to_owned()),
            false => Ok(()),
        }
    }
}

/// The entry in a row: `v 1 | flags 1 | class 1 | node 16 | stored 6 | entry`, where no proof is kept.
fn entry_of(row: &Bytes) -> Option<Entry> {
    const HEADER: usize = 25;
    (row.len() > HEADER).then(|| Entry::decode(&row.slice(HEADER..)).ok())?
}
