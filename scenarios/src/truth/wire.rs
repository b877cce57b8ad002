//! What leaves devices: one place is used once, in whatever life of the device.
//!
//! Envelopes are recognised in DATA frames by their first part, whose bytes begin with the place in
//! clear. A device's own place must always carry the same envelope: a second one with another id means
//! that a number was given out twice, and with it a message key.

use super::Truth;
use crate::disk::Disk;
use crate::net::HostId;
use crate::world::World;
use aidmesh_core::codec::Reader;
use aidmesh_core::group::direct;
use aidmesh_core::id::{Handle, Object8, Seq, Slot};
use aidmesh_core::machine::input::LinkId;
use aidmesh_core::ranges::Log;
use aidmesh_core::store::{Read, table};
use aidmesh_core::wire::{self, Frame};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Object, layer and number of a chunk.
type ChunkPlace = (Object8, u8, u32);

/// Envelopes that were seen on wires.
#[derive(Default)]
pub(super) struct Seen {
    places: BTreeMap<(u8, Slot, Seq), [u8; 8]>,
    chunks: BTreeMap<ChunkPlace, BTreeSet<(Handle, [u8; 8])>>,
    direct_seals: BTreeSet<[u8; 8]>,
}

/// The start of an envelope.
enum Start {
    /// Flags of the log, slot, number; a rewrap is another sealing of the same place.
    Log {
        flags: u8,
        slot: Slot,
        seq: Seq,
        rewrap: bool,
    },
    Chunk {
        object: Object8,
        layer: u8,
        index: u32,
    },
    /// An inbox item with a direct seal.
    Direct,
}

impl Seen {
    /// Whether a chunk's envelope, in any form that was seen, was ever on this disk.
    pub(super) fn chunk_at(&self, disk: &Disk, object: Object8, layer: u8, index: u32) -> bool {
        let forms = self.chunks.get(&(object, layer, index));
        forms.into_iter().flatten().any(|(handle, key)| {
            let prefix = [&[b'm'][..], &handle.0, key].concat();
            disk.ever_count(&prefix) > 0
        })
    }
}

impl Truth {
    /// A machine sends bytes.
    pub fn on_transmit(&mut self, world: &mut World, host: HostId, link: LinkId, bytes: &Bytes) {
        if let Some((cable, _)) = world.cable_of(host, link) {
            let mtu = world.cables[cable].line.profile.mtu as usize;
            if bytes.len() > mtu {
                let name = &world.hosts[host].name;
                let what = format!("{name} sent {} bytes on a link that takes {mtu}", bytes.len());
                world.accuse("bounds", what);
            }
        }
        for frame in wire::decode_all(bytes) {
            let data = match frame {
                Ok(Frame::Data(data)) if data.first.is_some() => data,
                Ok(_) => continue,
                Err(why) => {
                    let what = format!("{} sent what it cannot read: {}", world.hosts[host].name, why.0);
                    return world.accuse("frames can be read", what);
                }
            };
            match read_start(&data.bytes) {
                Some((handle, Start::Chunk { object, layer, index })) => {
                    let forms = self.wire.chunks.entry((object, layer, index)).or_default();
                    forms.insert((handle, data.key));
                }
                Some((_, Start::Direct)) => {
                    let new = self.wire.direct_seals.insert(data.key);
                    world.counters.direct_seals += u64::from(new);
                }
                Some((
                    _,
                    Start::Log {
                        flags,
                        slot,
                        seq,
                        rewrap: false,
                    },
                )) if self.owner(slot) == Some(host) => {
                    self.check_durable(world, host, flags, slot, seq);
                    let first = *self.wire.places.entry((flags, slot, seq)).or_insert(data.key);
                    if first != data.key {
                        let name = &world.hosts[host].name;
                        let what = format!("{name} sent two envelopes at {slot}/{seq}, flags {flags}");
                        world.accuse("one place is used once", what);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Truth {
    /// An own item leaves only when its row is durable: a crash must not take back what was sent.
    fn check_durable(&self, world: &mut World, host: HostId, flags: u8, slot: Slot, seq: Seq) {
        let Some((thread, _)) = self.slots.get(&slot) else {
            return;
        };
        let log = match flags {
            0 => Log::Content,
            1 => Log::Control,
            _ => Log::Heads,
        };
        let row = table::envelope(*thread, slot, log as u8, seq);
        let h = &world.hosts[host];
        // of heads only the newest stays; an older one may still be on its way out
        if log != Log::Heads && !matches!(h.disk.get(&row), Ok(Some(_))) {
            let what = format!(
                "{} sent {slot}/{seq}, flags {flags}, before it was durable",
                h.name
            );
            world.accuse("commit before effect", what);
        }
    }
}

/// Reads as much of an envelope as its first part holds.
fn read_start(bytes: &[u8]) -> Option<(Handle, Start)> {
    const CHUNK: u8 = 2;
    const INBOX: u8 = 4;
    let mut r = Reader::new(bytes);
    let flags = r.u8().ok()? & 15;
    r.u8().ok()?;
    let handle = Handle(r.array().ok()?);
    if flags & CHUNK != 0 {
        let (object, layer, index) = (Object8(r.array().ok()?), r.u8().ok()?, r.varint().ok()?);
        return Some((handle, Start::Chunk { object, layer, index }));
    }
    if flags & INBOX != 0 {
        r.take(4).ok()?;
        let _ = (r.varint().ok()?, r.varint().ok()?);
        return (r.u8().ok()? == direct::TYPE).then_some((handle, Start::Direct));
    }
    let (slot, seq) = (Slot(r.array().ok()?), r.varint().ok()?);
    r.varint().ok()?;
    // node tag 4 | pf 1
    let rewrap = flags == 0 && r.take(5).is_ok_and(|start| start[4] & 1 != 0);
    Some((
        handle,
        Start::Log {
            flags,
            slot,
            seq,
            rewrap,
        },
    ))
}
