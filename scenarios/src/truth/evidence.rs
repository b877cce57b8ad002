//! Words against disks: what a machine told, compared with what was durable where.

use super::{Key, Meant, Press, Said, Truth};
use crate::net::HostId;
use crate::world::World;
use aidmesh_core::blob::Layer;
use aidmesh_core::delivery::{Q, State};
use aidmesh_core::id::{Dev, Key8, Person, ThreadId};
use aidmesh_core::store::{Read, table};
use bytes::Bytes;

const DURABLE: &str = "stored means durable";
const WORDS: &str = "a word never exceeds its evidence";

impl Truth {
    pub(super) fn check_stored(&mut self, world: &mut World, host: HostId, command: u64) {
        let h = &world.hosts[host];
        let Some((ticket, meant)) = self.pending.remove(&(host, h.life, command)) else {
            // the event came in the very step of the command: no batch of it can be durable by then
            if h.disk.waiting() == 0 && self.watched.is_none() {
                return; // the command changed nothing
            }
            let what = format!(
                "{} told command {command} before a batch could be durable",
                h.name
            );
            return world.accuse(DURABLE, what);
        };
        let row = match meant {
            Some(Meant::Entry(key)) => h.disk.get(&table::entry(key.0, key.1, key.2)),
            _ => Ok(Some(Bytes::new())),
        };
        if ticket > h.confirmed || !matches!(row, Ok(Some(_))) {
            let what = format!("{} told command {command}, batch {ticket} is not durable", h.name);
            return world.accuse(DURABLE, what);
        }
        match meant {
            Some(Meant::Entry(key)) => {
                if let Some(said) = self.twice.get_mut(&key).or(self.said.get_mut(&key)) {
                    said.stored = true;
                }
            }
            Some(Meant::Change(thread, at)) => {
                let intent = self.threads.get_mut(&thread);
                if let Some(change) = intent.and_then(|intent| intent.changes.get_mut(at)) {
                    change.stored = true;
                }
            }
            None => {}
        }
    }

    /// The author's own entry of this number is another one than the others have.
    fn is_twice(&self, host: HostId, key: Key) -> bool {
        self.twice
            .get(&key)
            .is_some_and(|said| said.author == host && said.moved.is_none())
    }

    pub(super) fn check_arrived(&mut self, world: &mut World, host: HostId, key: Key) {
        let row = world.hosts[host].disk.get(&table::entry(key.0, key.1, key.2));
        if !matches!(row, Ok(Some(_))) {
            let what = format!("{} told of {}/{} too early", world.hosts[host].name, key.1, key.2);
            world.accuse(DURABLE, what);
        }
    }

    pub(super) fn check_layer(&mut self, world: &mut World, host: HostId, key: Key, layer: u8) {
        let complete = self
            .said
            .get(&key)
            .is_some_and(|said| layer_complete(world, host, key.0, said, layer));
        if !complete {
            let name = &world.hosts[host].name;
            let what = format!("{name} told of layer {layer} of {}/{} too early", key.1, key.2);
            world.accuse(DURABLE, what);
        }
    }

    /// A word that a sender shows for one recipient.
    pub(super) fn check_word(&mut self, world: &mut World, host: HostId, key: Key, dev: Dev, state: &State) {
        let Some(said) = self.said.get(&key) else {
            let what = format!(
                "{} shows a word for an entry nobody wrote",
                world.hosts[host].name
            );
            return world.accuse(WORDS, what);
        };
        let told = match state {
            State::Stored => Ok(()),
            _ if self.is_twice(host, key) => Err("another entry has this number".to_owned()),
            State::HandedOver(n) => self.carried(world, said, *n),
            State::AtRelay { relay, q, .. } => self.at_relay(world, said, *relay, *q),
            State::Delivered(q) => delivered(world, key, said, dev, *q),
            State::Seen { person, .. } => self.pressed((key, dev, *person, Press::Seen)),
            State::Acknowledged { person, act, .. } => self.pressed((key, dev, *person, Press::Answer(*act))),
        };
        if let Err(why) = told {
            let name = &world.hosts[host].name;
            let what = format!("{name} shows {state:?} for {}/{}: {why}", key.1, key.2);
            world.accuse(WORDS, what);
        }
    }

    fn pressed(&self, act: (Key, Dev, Person, Press)) -> Result<(), String> {
        let found = self.presses.contains(&act);
        found.then_some(()).ok_or("nobody did that there".to_owned())
    }

    fn carried(&self, world: &World, said: &Said, n: u32) -> Result<(), String> {
        let sealed = said.sealed.as_ref().ok_or("it is not even sealed")?;
        let row = table::carried(sealed.carried.0, sealed.carried.1);
        let holders = world.hosts.iter().filter(|h| h.disk.ever(&row)).count();
        match holders >= n as usize {
            true => Ok(()),
            false => Err(format!("{holders} carriers ever held it")),
        }
    }

    fn at_relay(&self, world: &World, said: &Said, relay: Key8, q: Q) -> Result<(), String> {
        let key = |h: &&crate::world::Host| Key8::of_key(&h.identity.routing.public()) == relay;
        let relay = world.hosts.iter().find(key).ok_or("there is no such relay")?;
        let sealed = said.sealed.as_ref().ok_or("it is not even sealed")?;
        if !relay
            .disk
            .ever(&table::carried(sealed.carried.0, sealed.carried.1))
        {
            return Err(format!("{} never had it on its disk", relay.name));
        }
        let Some(upto) = q else { return Ok(()) };
        let object = said.object.ok_or("it has no blob")?;
        for (layer, chunks) in layers(said, upto) {
            for index in 0..*chunks {
                if !self.wire.chunk_at(&relay.disk, object, *layer, index) {
                    return Err(format!("{} never had chunk {index} of layer {layer}", relay.name));
                }
            }
        }
        Ok(())
    }
}

fn delivered(world: &World, key: Key, said: &Said, dev: Dev, q: Q) -> Result<(), String> {
    let host = world.hosts.iter().position(|h| h.dev() == Some(dev));
    let host = host.ok_or("there is no such device")?;
    let h = &world.hosts[host];
    if !h.disk.ever(&table::entry(key.0, key.1, key.2)) {
        return Err(format!("{} never had it open on its disk", h.name));
    }
    let Some(upto) = q else { return Ok(()) };
    for layer in layers(said, upto).map(|(layer, _)| *layer) {
        if !layer_complete(world, host, key.0, said, layer) {
            return Err(format!("{} never had all of layer {layer}", h.name));
        }
    }
    Ok(())
}

/// Layers that a word with this layer claims; *original* means every original file.
fn layers(said: &Said, upto: Layer) -> impl Iterator<Item = (&u8, &u32)> {
    let last = if upto == Layer::ORIGINAL {
        u8::MAX
    } else {
        upto.to_u8()
    };
    said.layers.range(..=last)
}

/// All chunks of a layer were durable on this device at some time. The digest lies in the entry.
fn layer_complete(world: &World, host: HostId, thread: ThreadId, said: &Said, layer: u8) -> bool {
    let (Some(object), Some(chunks)) = (said.object, said.layers.get(&layer)) else {
        return layer == 0;
    };
    let disk = &world.hosts[host].disk;
    (0..*chunks).all(|index| disk.ever(&table::chunk(thread, object, layer, index)))
}
