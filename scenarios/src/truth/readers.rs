//! Who may read: each sealed entry is bound to what its sender knew at that moment, and each opened one
//! is compared with it.
//!
//! A device may open an entry if the sender counted it as a member when sealing, or if it was added and
//! the sender did not know of a removal that nobody took back. Judged at sealing, never at reading: what
//! a device opened before its removal stays open.

use super::{Key, Said, Sealed, Truth, read_key};
use crate::net::HostId;
use crate::world::World;
use aidmesh_core::envelope::Envelope;
use aidmesh_core::id::{Dev, MsgId};
use aidmesh_core::ranges::Log;
use bytes::Bytes;

impl Truth {
    /// An opened entry is about to be stored.
    pub(super) fn on_entry_row(&mut self, world: &mut World, host: HostId, key: &[u8]) {
        let Some(key) = read_key(key, 0) else { return };
        let Some(owner) = self.owner(key.1) else {
            let what = format!(
                "{} uses slot {}, which no device has",
                world.hosts[host].name, key.1
            );
            return world.accuse("slots follow the formula", what);
        };
        if owner == host {
            // entries that a machine writes by itself: keys for a new node
            let at_us = world.now_us;
            self.said.entry(key).or_insert_with(|| Said {
                author: host,
                at_us,
                ..Said::default()
            });
            return;
        }
        let (Some(said), Some(dev)) = (self.said.get(&key), world.hosts[host].dev()) else {
            let what = format!("{} opened {}/{}", world.hosts[host].name, key.1, key.2);
            return world.accuse("nobody wrote what was opened", what);
        };
        if let Some(sealed) = &said.sealed
            && let Err(why) = self.may_read(key, sealed, dev)
        {
            let name = &world.hosts[host].name;
            let author = &world.hosts[said.author].name;
            let what = format!("{name} opened {}/{} of {author}: {why}", key.1, key.2);
            world.accuse("only the entitled read", what);
        }
    }

    /// An envelope is about to be stored; an own one in the content log was just sealed.
    pub(super) fn on_envelope_row(&mut self, world: &mut World, host: HostId, key: &[u8], value: &Bytes) {
        let column = key[21];
        let Some(key) = read_key(key, 1) else { return };
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

    fn may_read(&self, key: Key, sealed: &Sealed, dev: Dev) -> Result<(), String> {
        if sealed.readers.contains(&dev) {
            return Ok(());
        }
        let Some(intent) = self.threads.get(&key.0) else {
            return Ok(());
        };
        let of_dev = || intent.changes.iter().filter(|(_, d, ..)| *d == dev);
        if !of_dev().any(|(_, _, added, _)| *added) {
            return Err("it was never a member".to_owned());
        }
        let known_removal = of_dev().rfind(|(at, _, added, _)| !added && *at <= sealed.at_us);
        let added_again =
            of_dev().any(|(at, _, added, _)| *added && known_removal.is_none_or(|r| *at >= r.0));
        match sealed.removed.contains(&dev) && !added_again {
            true => Err("its removal was known when that was sealed".to_owned()),
            false => Ok(()),
        }
    }
}
