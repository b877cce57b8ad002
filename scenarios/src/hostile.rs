//! Peers that lie: garbage, damaged copies, forged bursts, receipts and ack vectors, junk at real places.
//!
//! A hostile frame comes over a real link, as if its peer had turned: a transport proves who speaks,
//! not that he is honest. The forger holds all traffic and knows every layout; he lacks keys. After each
//! frame the rows that it made the machine write are looked at: nothing that fails authentication may
//! change an entry, an envelope, a key, a mailbox, a directory or a piece of evidence, nor what a thread
//! holds and has open. Plain copies of real frames may have effects, so they are only replayed.
//!
//! [`offer_all`] is another matter: it hands a removed device every envelope there is.

use crate::chance::Chance;
use crate::net::HostId;
use crate::truth::Key;
use crate::world::{SECOND, World};
use aidmesh_core::codec::{Malformed, Reader};
use aidmesh_core::crypto::{KeyPair, Secret};
use aidmesh_core::envelope::{Class, Envelope, Place};
use aidmesh_core::group::keys::ControlKey;
use aidmesh_core::id::{Handle, Key8, MsgId, ThreadId};
use aidmesh_core::machine::command::{Command, Outgoing};
use aidmesh_core::machine::input::{Input, LinkId};
use aidmesh_core::mailbox::proof::{Ack, AckVector, Burst, RelayReceipt};
use aidmesh_core::ranges::{Log, Ranges};
use aidmesh_core::store::{Read, rows, table};
use aidmesh_core::wire::{self, Data, First, Frame};
use bytes::Bytes;

/// Captured frames kept for copies.
const CAPTURED: usize = 96;

/// Sends one hostile frame to a random device that has a link.
pub fn attack(world: &mut World, chance: &mut Chance) {
    let linked: Vec<(HostId, LinkId)> = links(world).collect();
    let Some(&(host, link)) = chance.pick(&linked) else {
        return;
    };
    world.counters.hostile_frames += 1;
    world.counters.hostile_acts += 1;
    let kind = chance.below(9);
    // a receipt is believed from a relay at most, so that is where a forged one comes from
    let relayed = linked.iter().find(|at| kind == 7 && from_relay(world, **at));
    let (host, link) = relayed.copied().unwrap_or((host, link));
    let bytes = match kind {
        0 => garbage(chance),
        1 => framed_garbage(chance),
        2 | 3 => damaged_copy(world, chance),
        4 => junk_at_a_real_place(world, chance),
        5 => forged_burst(world, chance, (host, link)),
        6 => forged_ack(world, chance),
        7 => forged_receipt(world, chance, host),
        _ => return replay(world, chance, host, link),
    };
    if let Some(bytes) = bytes {
        inject(world, host, link, bytes, kind);
    }
    if kind < 2 {
        // noise may look like the start of another session; a liar's connection does not last
        world.renew(host, link, chance.between(0, 20) * SECOND);
    }
}

/// Hands every envelope of a thread, from all disks, to one device.
pub fn offer_all(world: &mut World, victim: HostId, thread: ThreadId) {
    let Some(link) = links(world)
        .find(|(host, _)| *host == victim)
        .map(|(_, link)| link)
    else {
        return;
    };
    let mut all: Vec<Bytes> = Vec::new();
    for host in (0..world.hosts.len()).filter(|host| *host != victim) {
        all.extend(envelopes(world, host, thread));
    }
    all.sort();
    all.dedup();
    world.counters.leaks_tried += 1;
    world.counters.hostile_acts += 1;
    for bytes in all {
        if world.hosts[victim].machine.is_none() || world.violation.is_some() {
            return;
        }
        let bytes = data(&bytes);
        world.give(victim, Input::Frame { link, bytes });
    }
}

/// A device asks every relay that it reaches to throw away all that it knows of a thread, under each
/// mailbox key on its disk. The signature is good; that one may ask so is not. `false`: it cannot ask.
pub fn purge(world: &mut World, by: HostId, thread: ThreadId) -> bool {
    let machine = world.hosts[by].machine.as_ref();
    let Some(view) = machine.and_then(|m| m.view(thread)) else {
        return false;
    };
    let relays: Vec<(HostId, LinkId)> = links(world)
        .filter(|(host, link)| {
            let peer = world.cable_of(*host, *link);
            let peer = peer.map(|(cable, side)| world.cables[cable].sides[1 - side].host);
            peer == Some(by) && !world.hosts[*host].is_member()
        })
        .collect();
    let keys = control_keys(world, by, thread);
    for key in &keys {
        let vector = AckVector::make(
            Ack::Purge(view.have.clone(), Default::default()),
            key.handle_pair(),
        );
        for (host, link) in relays.iter().copied() {
            world.counters.hostile_acts += 1;
            let bytes = Frame::Ack(vector.bytes().clone()).encode();
            world.give(host, Input::Frame { link, bytes });
        }
    }
    !keys.is_empty() && !relays.is_empty()
}

/// Control keys on a device's disk: `v 1 | hash 32 | n varint, n x (maker 16, ck 32)`.
fn control_keys(world: &World, host: HostId, thread: ThreadId) -> Vec<ControlKey> {
    let Ok(Some(row)) = world.hosts[host].disk.get(&table::thread(thread)) else {
        return vec![];
    };
    let mut r = Reader::new(&row);
    let mut read = || {
        r.take(1 + 32)?;
        let n = r.varint()?;
        let key = |_| {
            r.take(16)?;
            Ok(ControlKey::new(Secret(r.array()?)))
        };
        (0..n).map(key).collect::<Result<Vec<_>, Malformed>>()
    };
    read().unwrap_or_default()
}

/// A liar sits on the way to a relay: it takes what a member hands over, keeps nothing, and signs for each
/// item with a key of its own. The receipts name exactly what was sent, so only the signature is wrong.
pub fn swallow(world: &mut World, chance: &mut Chance) {
    let linked: Vec<(HostId, LinkId)> = links(world).filter(|at| from_relay(world, *at)).collect();
    let Some(&(victim, link)) = chance.pick(&linked) else {
        return;
    };
    let Some((cable, side)) = world.cable_of(victim, link) else {
        return;
    };
    world.cables[cable].sides[side].deaf = true;
    world.counters.hostile_acts += 1;
    let threads = world.hosts[victim].machine.as_ref().map(|m| m.threads());
    for thread in threads.unwrap_or_default() {
        let class = Class::Text;
        let what = Outgoing::Note(format!("swallowed {}", world.now_us));
        let sent = world.command(victim, Command::Send { thread, class, what });
        world.counters.messages += u64::from(matches!(sent, Some(Ok(_))));
    }
    world.run_for(chance.between(1, 5) * SECOND);
    let relay = world.cables[cable].sides[1 - side].host;
    for bytes in false_receipts(world, chance, victim, relay) {
        if world.violation.is_some() || world.cable_of(victim, link).is_none() {
            break;
        }
        world.counters.hostile_frames += 1;
        world.counters.hostile_acts += 1;
        // no look at rows: what the victim believes must show in its words
        world.give(victim, Input::Frame { link, bytes });
        world.run_for(2 * SECOND);
    }
    world.cables[cable].sides[side].deaf = false;
    world.renew(victim, link, SECOND);
}

/// Receipts in a relay's name, by a stranger's key, for the newest entries of a device that never came
/// to that relay.
fn false_receipts(world: &World, chance: &mut Chance, victim: HostId, relay: HostId) -> Vec<Bytes> {
    let said = world.truth.said.iter().filter(|(_, said)| said.author == victim);
    let mut missed: Vec<(u64, Handle, MsgId, Place)> = said
        .filter_map(|((_, slot, seq), said)| {
            let (handle, id) = said.sealed.as_ref()?.carried;
            let (slot, log, seq) = (*slot, Log::Content, *seq);
            let place = Place::Log { slot, log, seq };
            let there = world.hosts[relay].disk.ever(&table::carried(handle, id));
            (!there).then_some((said.at_us, handle, id, place))
        })
        .collect();
    missed.sort_by_key(|m| std::cmp::Reverse(m.0));
    let stranger = KeyPair::from_seed(&chance.seed());
    let name = Key8::of_key(&world.hosts[relay].identity.routing.public());
    let newest = missed.into_iter().take(3);
    let receipts = newest.flat_map(|(_, handle, id, place)| {
        RelayReceipt::make(&[(id, place)], handle, &stranger, u32::MAX / 2, 1)
    });
    receipts.map(|receipt| in_the_name_of(&receipt, name)).collect()
}

/// The receipt's frame with another relay's name in it.
fn in_the_name_of(receipt: &RelayReceipt, relay: Key8) -> Bytes {
    let mut bytes = receipt.bytes().to_vec();
    bytes[2..10].copy_from_slice(&relay.0);
    Frame::Receipt(bytes.into()).encode()
}

/// Keeps a copy of what was sent, for later.
pub fn capture(captured: &mut Vec<Bytes>, chance: &mut Chance, bytes: &Bytes) {
    if captured.len() < CAPTURED {
        captured.push(bytes.clone());
    } else if chance.percent(10) {
        let at = chance.below(CAPTURED as u64) as usize;
        captured[at] = bytes.clone();
    }
}

/// Delivers the frame and looks at what it changed.
fn inject(world: &mut World, host: HostId, link: LinkId, bytes: Bytes, kind: u64) {
    if !world.hosts[host].is_awake() {
        return;
    }
    // what is due anyway must not be blamed on the frame
    world.give(host, Input::Wake);
    if world.cable_of(host, link).is_none() {
        return;
    }
    let before = frontiers(world, host);
    world.watch_rows(host);
    world.give(host, Input::Frame { link, bytes });
    let touched = world.touched_rows();
    let guarded = |key: &&Vec<u8>| b"tepnkcvmhd".contains(&key[0]);
    if let Some(key) = touched.iter().find(guarded) {
        let name = &world.hosts[host].name;
        let table = char::from(key[0]);
        let what = format!("a frame of hostile kind {kind} made {name} write a row of table {table}");
        return world.accuse("nothing unauthenticated changes state", what);
    }
    if frontiers(world, host) != before && world.hosts[host].machine.is_some() {
        let name = &world.hosts[host].name;
        let what = format!("a frame of hostile kind {kind} moved a frontier of {name}");
        world.accuse("nothing unauthenticated changes state", what);
    }
}

type Frontier = (ThreadId, Ranges, Ranges, aidmesh_core::id::NodeId, usize);

fn frontiers(world: &World, host: HostId) -> Vec<Frontier> {
    let Some(machine) = &world.hosts[host].machine else {
        return Vec::new();
    };
    let view = |id: ThreadId| {
        machine
            .view(id)
            .map(|v| (id, v.have, v.open, v.head, v.members.len()))
    };
    machine.threads().into_iter().filter_map(view).collect()
}

fn links(world: &World) -> impl Iterator<Item = (HostId, LinkId)> + '_ {
    let up = world.cables.iter().filter(|cable| cable.is_up());
    up.flat_map(|cable| {
        cable
            .sides
            .iter()
            .filter_map(|side| Some((side.host, side.link?)))
    })
}

fn from_relay(world: &World, (host, link): (HostId, LinkId)) -> bool {
    let other = |(cable, side): (usize, usize)| world.cables[cable].sides[1 - side].host;
    let peer = world.cable_of(host, link).map(other);
    world.hosts[host].is_member() && peer.is_some_and(|peer| !world.hosts[peer].is_member())
}

fn garbage(chance: &mut Chance) -> Option<Bytes> {
    let n = chance.between(1, 600) as usize;
    Some(chance.bytes(n).into())
}

/// A frame of a known type whose body is noise.
fn framed_garbage(chance: &mut Chance) -> Option<Bytes> {
    let n = chance.between(0, 300) as usize;
    let body = chance.bytes(n);
    let mut w = aidmesh_core::codec::Writer::new();
    w.u8(chance.between(1, 0x12) as u8).bytes(&body);
    Some(w.finish())
}

/// A real frame with one byte changed where a signature, a seal or a hash covers it.
fn damaged_copy(world: &World, chance: &mut Chance) -> Option<Bytes> {
    let copy = chance.pick(&world.captured)?.clone();
    let frame = wire::decode_all(&copy).find_map(Result::ok)?;
    let damage = |bytes: &Bytes, from: usize, chance: &mut Chance| {
        let mut changed = bytes.to_vec();
        let at = from + chance.below((changed.len() - from) as u64) as usize;
        *changed.get_mut(at)? ^= 1 << chance.below(8);
        Some(Bytes::from(changed))
    };
    Some(match frame {
        Frame::Data(mut data) => {
            data.bytes = damage(&data.bytes, 0, chance)?;
            Frame::Data(data).encode()
        }
        Frame::Receipt(b) => Frame::Receipt(damage(&b, 0, chance)?).encode(),
        Frame::Burst(b) => Frame::Burst(damage(&b, 0, chance)?).encode(),
        Frame::Ack(b) => Frame::Ack(damage(&b, 0, chance)?).encode(),
        Frame::Cert(b) => Frame::Cert(damage(&b, 2, chance)?).encode(),
        Frame::Revocation(b) => Frame::Revocation(damage(&b, 2, chance)?).encode(),
        _ => return None,
    })
}

/// A well-formed envelope with the right id, at the place of a real one or just behind it; its payload
/// is noise behind the real start.
fn junk_at_a_real_place(world: &World, chance: &mut Chance) -> Option<Bytes> {
    let real = some_envelope(world, chance)?;
    let mut forged = Envelope::decode(&real).ok()?;
    let keep = forged.payload.len().min(chance.between(0, 40) as usize);
    let n = forged.payload.len() - keep;
    forged.payload = [&forged.payload[..keep], &chance.bytes(n.max(1))].concat().into();
    if let Place::Log { slot, log, seq } = forged.place {
        let seq = seq + chance.below(3) as u32;
        forged.place = Place::Log { slot, log, seq };
    }
    Some(data(&forged.encode()))
}

/// A burst in the name of the link's peer, under keys that are neither its own nor those of the handle,
/// with the item it names.
fn forged_burst(world: &World, chance: &mut Chance, (host, link): (HostId, LinkId)) -> Option<Bytes> {
    let real = some_envelope(world, chance)?;
    let mut forged = Envelope::decode(&real).ok()?;
    forged.payload = chance.bytes(forged.payload.len()).into();
    let bytes = forged.encode();
    let (cable, side) = world.cable_of(host, link)?;
    let peer = &world.hosts[world.cables[cable].sides[1 - side].host];
    let cert = Key8::from_prefix(blake3::hash(&peer.identity.routing_cert).as_bytes())?;
    let wrong = KeyPair::from_seed(&chance.seed());
    let burst = Burst::make(cert, vec![MsgId::of(&bytes)], Some(&wrong), &wrong);
    let mut burst = burst.bytes().to_vec();
    // HK 32 | sig 64 | sig 64: the key is no secret, it stands in every true burst
    let at = burst.len().checked_sub(32 + 2 * 64)?;
    burst[at..at + 32].copy_from_slice(&public_of(world, forged.handle)?);
    let frames = [Frame::Burst(burst.into()).encode(), data(&bytes)];
    Some(frames.concat().into())
}

/// "Everything of this mailbox may go", signed by nobody who may say so.
fn forged_ack(world: &World, chance: &mut Chance) -> Option<Bytes> {
    let real = Envelope::decode(&some_envelope(world, chance)?).ok()?;
    let wrong = KeyPair::from_seed(&chance.seed());
    let mut ranges = Ranges::new();
    if let Place::Log { slot, log, seq } = real.place {
        ranges.insert(slot, log, seq);
    }
    let made = AckVector::make(Ack::Release(ranges, Default::default()), &wrong);
    let mut bytes = made.bytes().to_vec();
    bytes[2..10].copy_from_slice(&real.handle.0);
    // HK 32 | sig 64
    let at = bytes.len().checked_sub(32 + 64)?;
    bytes[at..at + 32].copy_from_slice(&public_of(world, real.handle)?);
    Some(Frame::Ack(bytes.into()).encode())
}

/// The public key of a mailbox: relays see it, and whoever listens on their lines.
fn public_of(world: &World, handle: Handle) -> Option<[u8; 32]> {
    let threads: Vec<ThreadId> = world.truth.threads.keys().copied().collect();
    let mut places =
        (0..world.hosts.len()).flat_map(|host| threads.iter().map(move |thread| (host, *thread)));
    places.find_map(|(host, thread)| {
        let keys = control_keys(world, host, thread);
        let key = keys.iter().find(|key| key.handle() == handle)?;
        Some(key.handle_pair().public())
    })
}

/// A relay's receipt for all that the victim has sealed, with the relay's name and a stranger's key.
fn forged_receipt(world: &World, chance: &mut Chance, victim: HostId) -> Option<Bytes> {
    let threads = world.hosts[victim].machine.as_ref()?.threads();
    let thread = *chance.pick(&threads)?;
    let relays = world.hosts.iter().filter(|h| !h.is_member());
    let relay = relays.min_by_key(|h| h.name.clone())?;
    let mut own: Vec<(MsgId, Envelope)> = envelopes(world, victim, thread)
        .iter()
        .filter_map(|bytes| Some((MsgId::of(bytes), Envelope::decode(bytes).ok()?)))
        .collect();
    let handle = own.last()?.1.handle;
    own.retain(|(_, e)| e.handle == handle);
    if chance.percent(50) {
        let content = |e: &Envelope| {
            matches!(
                e.place,
                Place::Log {
                    log: Log::Content,
                    ..
                }
            )
        };
        own.retain(|(_, e)| content(e));
    }
    let items: Vec<(MsgId, Place)> = own.into_iter().map(|(id, e)| (id, e.place)).collect();
    let stranger = KeyPair::from_seed(&chance.seed());
    let receipt = RelayReceipt::make(&items, handle, &stranger, u32::MAX / 2, 1)
        .into_iter()
        .next()?;
    let name = Key8::of_key(&relay.identity.routing.public());
    Some(in_the_name_of(&receipt, name))
}

/// A plain copy of a real frame, to anybody. It may have an effect; every other rule still holds.
fn replay(world: &mut World, chance: &mut Chance, host: HostId, link: LinkId) {
    if let Some(bytes) = chance.pick(&world.captured).cloned() {
        world.give(host, Input::Frame { link, bytes });
    }
}

fn some_envelope(world: &World, chance: &mut Chance) -> Option<Bytes> {
    let keys: Vec<Key> = world.truth.said.keys().copied().collect();
    let thread = chance.pick(&keys)?.0;
    let host = chance.below(world.hosts.len() as u64) as usize;
    let all = envelopes(world, host, thread);
    chance.pick(&all).cloned()
}

fn envelopes(world: &World, host: HostId, thread: ThreadId) -> Vec<Bytes> {
    let stored = rows(&world.hosts[host].disk, &table::envelope_all(thread));
    stored
        .unwrap_or_default()
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect()
}

fn data(envelope: &Bytes) -> Bytes {
    let mut key = [0u8; 8];
    key.copy_from_slice(&MsgId::of(envelope).0[..8]);
    let first = First {
        total: envelope.len() as u32,
        carry: None,
    };
    let data = Data {
        key,
        off: 0,
        first: Some(first),
        last: true,
        bytes: envelope.clone(),
    };
    Frame::Data(data).encode()
}
