//! What travels beside items so that strangers can be asked to keep them, and can be believed:
//! [`Burst`] (please keep these), [`RelayReceipt`] and [`CarryReceipt`] (I keep these),
//! [`SeqReceipt`] (this child came first) and [`AckVector`] (these need not be kept any more).
//!
//! * A signature covers the bytes as they were on the wire, never a re-encoding: each type keeps
//!   its bytes and is made only by signing or by decoding.
//! * Decoding is total and bounded, and says nothing about signatures: `verify` does.
//! * A receipt names *places* shortly and *items* by one digest. Who holds another envelope at the
//!   same place cannot make the digest, so a lying receipt covers nothing ([`Named::covers`]).
//!
//! It does not know what is held (`mailbox.rs`) nor which certificate a routing key has.

use crate::blobs::Blobs;
use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::{Domain, KeyPair, SIG_BYTES, verify};
use crate::envelope::Place;
use crate::id::{Handle, Key8, MsgId, NodeId};
use crate::limits;
use crate::ranges::Ranges;
use bytes::Bytes;
use std::collections::BTreeSet;

const VERSION: u8 = 1;
const BURST: u8 = 0xb1;
const RELAY: u8 = 0xe1;
const CARRY: u8 = 0xe2;
const SEQUENCE: u8 = 0xe3;
const ACK: u8 = 0xe4;

/// The number of chunks of a layer that a carrier says in BLOBS. It cannot know the true one, and
/// the largest never makes a carrier's bitmap look like a complete layer.
pub const UNKNOWN_TOTAL: u32 = limits::CHUNKS_PER_LAYER;

/// A request to keep items, signed by their origin.
///
/// `1 | 0xB1 | routing certificate hash 8 | n varint, n x MsgId 16 | hk 1 | HK 32 and sig 64 by HK
/// if hk = 1 | sig 64 by RK`. Both signatures have [`Domain::Burst`] and cover all bytes before
/// them. Without the handle key it is good for inbox items only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burst {
    /// `BLAKE3(routing certificate)[..8]` of the origin.
    pub routing: Key8,
    /// The items, at least one, at most [`limits::ITEMS_PER_BURST`].
    pub items: Vec<MsgId>,
    /// Handle key and its signature.
    pub handle_proof: Option<([u8; 32], [u8; SIG_BYTES])>,
    wire: Bytes,
    /// Bytes that the handle key signed, from the start.
    handle_signed: usize,
}

impl Burst {
    /// Signs a burst. `items` holds 1 to [`limits::ITEMS_PER_BURST`] ids: the caller splits.
    pub fn make(routing: Key8, items: Vec<MsgId>, handle: Option<&KeyPair>, rk: &KeyPair) -> Burst {
        assert!((1..=limits::ITEMS_PER_BURST).contains(&items.len()));
        let mut w = Writer::new();
        w.u8(VERSION).u8(BURST).put(&routing.0).count(items.len());
        items.iter().for_each(|id| {
            w.put(&id.0);
        });
        w.u8(u8::from(handle.is_some()));
        let mut handle_signed = 0;
        let handle_proof = handle.map(|hk| {
            w.put(&hk.public());
            handle_signed = w.0.len();
            let sig = hk.sign(Domain::Burst, &w.0);
            w.put(&sig);
            (hk.public(), sig)
        });
        Burst {
            routing,
            items,
            handle_proof,
            wire: sign(w, Domain::Burst, rk),
            handle_signed,
        }
    }

    /// Reads exactly one burst.
    pub fn decode(bytes: &Bytes) -> Result<Burst, Malformed> {
        let mut r = open(bytes, BURST)?;
        let routing = Key8(r.array()?);
        let n = r.count(limits::ITEMS_PER_BURST)?;
        if n == 0 {
            return Err(Malformed("empty burst"));
        }
        let items = ids(&mut r, n)?;
        let mut handle_signed = 0;
        let handle_proof = match r.u8()? {
            0 => None,
            1 => {
                let key = r.array()?;
                handle_signed = r.position();
                Some((key, r.array()?))
            }
            _ => return Err(Malformed("unknown burst proof")),
        };
        close(&mut r)?;
        Ok(Burst {
            routing,
            items,
            handle_proof,
            wire: bytes.clone(),
            handle_signed,
        })
    }

    /// Whether the routing key `rk` signed it and, if a handle key is named, that one as well.
    pub fn verify(&self, rk: &[u8; 32]) -> bool {
        let by_handle = self
            .handle_proof
            .is_none_or(|(key, sig)| verify(&key, Domain::Burst, &self.wire[..self.handle_signed], &sig));
        by_handle && signed(&self.wire, Domain::Burst, rk)
    }

    /// The handle whose key signed it.
    pub fn handle(&self) -> Option<Handle> {
        self.handle_proof.map(|(key, _)| Handle::of_key(&key))
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.wire
    }
}

/// Which items a receipt is for: places of log items and chunks, or no places for inbox items, and
/// `BLAKE3(the MsgIds of exactly these items, sorted)[..16]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Places in logs; of heads one for each slot.
    pub ranges: Ranges,
    /// Chunks; totals are [`UNKNOWN_TOTAL`].
    pub blobs: Blobs,
    /// Digest of the items.
    pub digest: [u8; 16],
}

impl Named {
    /// Names all of `items`, which share one handle. Usually one name; more if inbox items and
    /// others are mixed, if several heads of one slot are there, or if the holes exceed the limits
    /// of RANGES or BLOBS. Each holds at least one item, so there are never more names than items.
    pub fn all_of(items: &[(MsgId, Place)]) -> Vec<Named> {
        let (inbox, mut left): (Vec<_>, Vec<_>) = items.iter().partition(|i| i.1 == Place::Inbox);
        let mut out = Vec::new();
        while !left.is_empty() {
            let (mut ranges, mut blobs) = (Ranges::new(), Blobs::new());
            for (_, place) in &left {
                match *place {
                    Place::Log { slot, log, seq } => {
                        ranges.insert(slot, log, seq);
                    }
                    Place::Chunk { object, layer, index } => {
                        blobs.insert(object, layer, UNKNOWN_TOTAL, index);
                    }
                    Place::Inbox => {}
                }
            }
            let mut named = Named::cut(&ranges, &blobs);
            let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|i| named.has(i.1));
            assert!(!now.is_empty(), "the first run of a set fits every limit");
            named.digest = digest(now.iter().map(|i| i.0));
            out.push(named);
            left = later;
        }
        if !inbox.is_empty() {
            let digest = digest(inbox.iter().map(|i| i.0));
            let (ranges, blobs) = (Ranges::new(), Blobs::new());
            out.push(Named {
                ranges,
                blobs,
                digest,
            });
        }
        out
    }

    /// Which of the `sent` items of this handle it covers. `None` if it names a place that was not
    /// sent, or if the digest is of other envelopes. Inbox items are covered all together, or one
    /// alone: whoever takes only some of a burst gives a receipt for each.
    pub fn covers(&self, sent: &[(MsgId, Place)]) -> Option<Vec<MsgId>> {
        if self.ranges.is_empty() && self.blobs.is_empty() {
            let inbox = sent.iter().filter(|i| i.1 == Place::Inbox).map(|i| i.0);
            let all: Vec<MsgId> = inbox.collect();
            if !all.is_empty() && digest(all.iter().copied()) == self.digest {
                return Some(all);
            }
            let one = all.into_iter().find(|id| digest([*id]) == self.digest)?;
            return Some(vec![one]);
        }
        let found: Vec<_> = sent.iter().filter(|i| self.has(i.1)).collect();
        let places: BTreeSet<Place> = found.iter().map(|i| i.1).collect();
        let chunks: u64 = self.blobs.0.values().map(|c| u64::from(c.held())).sum();
        let ids: Vec<MsgId> = found.iter().map(|i| i.0).collect();
        let whole = places.len() as u64 == self.ranges.len() + chunks;
        (whole && digest(ids.iter().copied()) == self.digest).then_some(ids)
    }

    /// As it will be read on the other side: what exceeds the limits of the layouts is left out.
    fn cut(ranges: &Ranges, blobs: &Blobs) -> Named {
        let mut w = Writer::new();
        ranges.write(&mut w);
        blobs.write(&mut w);
        let mut r = Reader::new(&w.0);
        Named {
            ranges: Ranges::read(&mut r).expect("what RANGES writes it reads"),
            blobs: Blobs::read(&mut r).expect("what BLOBS writes it reads"),
            digest: [0; 16],
        }
    }

    fn has(&self, place: Place) -> bool {
        match place {
            Place::Log { slot, log, seq } => self.ranges.get(slot, log).is_some_and(|s| s.contains(seq)),
            Place::Chunk { object, layer, index } => {
                let chunks = self.blobs.0.get(&(object, layer));
                chunks.is_some_and(|c| c.contains(index))
            }
            Place::Inbox => false,
        }
    }

    fn write(&self, w: &mut Writer) {
        self.ranges.write(w);
        self.blobs.write(w);
        w.put(&self.digest);
    }

    fn read(r: &mut Reader<'_>) -> Result<Named, Malformed> {
        Ok(Named {
            ranges: Ranges::read(r)?,
            blobs: Blobs::read(r)?,
            digest: r.array()?,
        })
    }
}

/// A relay's word that items are durable there.
///
/// `1 | 0xE1 | relay 8 | handle 8 | RANGES | BLOBS | digest 16 | kept until u32 | ms 6 | sig 64`,
/// [`Domain::Receipt`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayReceipt {
    /// The relay's routing key.
    pub relay: Key8,
    /// The mailbox.
    pub handle: Handle,
    /// The items.
    pub named: Named,
    /// Minutes since the Unix epoch, by the relay's clock.
    pub kept_until_min: u32,
    /// Milliseconds since the Unix epoch, by the relay's clock.
    pub relay_ms: u64,
    wire: Bytes,
}

impl RelayReceipt {
    /// Receipts for all of `items`, usually one (see [`Named::all_of`]).
    pub fn make(
        items: &[(MsgId, Place)],
        handle: Handle,
        relay: &KeyPair,
        kept_until_min: u32,
        relay_ms: u64,
    ) -> Vec<RelayReceipt> {
        let name = Key8::of_key(&relay.public());
        let one = |named: Named| {
            let mut w = Writer::new();
            w.u8(VERSION).u8(RELAY).put(&name.0).put(&handle.0);
            named.write(&mut w);
            w.u32(kept_until_min).u48(relay_ms);
            RelayReceipt {
                relay: name,
                handle,
                named,
                kept_until_min,
                relay_ms,
                wire: sign(w, Domain::Receipt, relay),
            }
        };
        Named::all_of(items).into_iter().map(one).collect()
    }

    /// Reads exactly one receipt.
    pub fn decode(bytes: &Bytes) -> Result<RelayReceipt, Malformed> {
        let mut r = open(bytes, RELAY)?;
        let out = RelayReceipt {
            relay: Key8(r.array()?),
            handle: Handle(r.array()?),
            named: Named::read(&mut r)?,
            kept_until_min: r.u32()?,
            relay_ms: r.u48()?,
            wire: bytes.clone(),
        };
        close(&mut r)?;
        Ok(out)
    }

    /// Whether this relay key signed it.
    pub fn verify(&self, relay: &[u8; 32]) -> bool {
        Key8::of_key(relay) == self.relay && signed(&self.wire, Domain::Receipt, relay)
    }

    /// The sender's check: [`Named::covers`] of what it sent to this handle, if `relay` signed it.
    pub fn covers(&self, relay: &[u8; 32], sent: &[(MsgId, Place)]) -> Option<Vec<MsgId>> {
        self.verify(relay).then(|| self.named.covers(sent)).flatten()
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.wire
    }
}

/// A carrier's word that it has taken items along; a hint, since a carrier promises nothing.
///
/// `1 | 0xE2 | carrier 8 | handle 8 | RANGES | BLOBS | digest 16 | ms 6 | sig 64`, [`Domain::Carry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarryReceipt {
    /// The carrier's routing key.
    pub carrier: Key8,
    /// The mailbox.
    pub handle: Handle,
    /// The items.
    pub named: Named,
    /// Milliseconds since the Unix epoch, by the carrier's clock.
    pub carrier_ms: u64,
    wire: Bytes,
}

impl CarryReceipt {
    /// Receipts for all of `items`, usually one (see [`Named::all_of`]).
    pub fn make(
        items: &[(MsgId, Place)],
        handle: Handle,
        carrier: &KeyPair,
        carrier_ms: u64,
    ) -> Vec<CarryReceipt> {
        let name = Key8::of_key(&carrier.public());
        let one = |named: Named| {
            let mut w = Writer::new();
            w.u8(VERSION).u8(CARRY).put(&name.0).put(&handle.0);
            named.write(&mut w);
            w.u48(carrier_ms);
            CarryReceipt {
                carrier: name,
                handle,
                named,
                carrier_ms,
                wire: sign(w, Domain::Carry, carrier),
            }
        };
        Named::all_of(items).into_iter().map(one).collect()
    }

    /// Reads exactly one receipt.
    pub fn decode(bytes: &Bytes) -> Result<CarryReceipt, Malformed> {
        let mut r = open(bytes, CARRY)?;
        let out = CarryReceipt {
            carrier: Key8(r.array()?),
            handle: Handle(r.array()?),
            named: Named::read(&mut r)?,
            carrier_ms: r.u48()?,
            wire: bytes.clone(),
        };
        close(&mut r)?;
        Ok(out)
    }

    /// Whether this routing key signed it.
    pub fn verify(&self, carrier: &[u8; 32]) -> bool {
        Key8::of_key(carrier) == self.carrier && signed(&self.wire, Domain::Carry, carrier)
    }

    /// As [`RelayReceipt::covers`].
    pub fn covers(&self, carrier: &[u8; 32], sent: &[(MsgId, Place)]) -> Option<Vec<MsgId>> {
        self.verify(carrier).then(|| self.named.covers(sent)).flatten()
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.wire
    }
}

/// A sequencer's word which child of an epoch node it saw first.
///
/// `1 | 0xE3 | sequencer 8 | handle 8 | parent 16 | child 16 | ms 6 | sig 64`, [`Domain::Sequence`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeqReceipt {
    /// The sequencer's routing key.
    pub sequencer: Key8,
    /// The mailbox of the thread.
    pub handle: Handle,
    /// Epoch node before the commit.
    pub parent: NodeId,
    /// Epoch node after it.
    pub child: NodeId,
    /// Milliseconds since the Unix epoch, by the sequencer's clock.
    pub sequencer_ms: u64,
    wire: Bytes,
}

impl SeqReceipt {
    /// Signs a receipt.
    pub fn make(handle: Handle, parent: NodeId, child: NodeId, sequencer: &KeyPair, ms: u64) -> SeqReceipt {
        let name = Key8::of_key(&sequencer.public());
        let mut w = Writer::new();
        w.u8(VERSION).u8(SEQUENCE).put(&name.0).put(&handle.0);
        w.put(&parent.0).put(&child.0).u48(ms);
        SeqReceipt {
            sequencer: name,
            handle,
            parent,
            child,
            sequencer_ms: ms,
            wire: sign(w, Domain::Sequence, sequencer),
        }
    }

    /// Reads exactly one receipt.
    pub fn decode(bytes: &Bytes) -> Result<SeqReceipt, Malformed> {
        let mut r = open(bytes, SEQUENCE)?;
        let out = SeqReceipt {
            sequencer: Key8(r.array()?),
            handle: Handle(r.array()?),
            parent: NodeId(r.array()?),
            child: NodeId(r.array()?),
            sequencer_ms: r.u48()?,
            wire: bytes.clone(),
        };
        close(&mut r)?;
        Ok(out)
    }

    /// Whether this sequencer key signed it.
    pub fn verify(&self, sequencer: &[u8; 32]) -> bool {
        Key8::of_key(sequencer) == self.sequencer && signed(&self.wire, Domain::Sequence, sequencer)
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.wire
    }
}

/// What an ack vector says about the items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    /// 1: open at all members but the origin: delete.
    Release(Ranges, Blobs),
    /// 2: delete before that. Good only with two tier-1 signatures, so one vector does nothing.
    Purge(Ranges, Blobs),
    /// 3: these inbox items were taken by the owner of the inbox: delete.
    Taken(Vec<MsgId>),
}

/// What need not be kept any more, signed by the key whose hash is the handle.
///
/// `1 | 0xE4 | handle 8 | why 1 | (RANGES | BLOBS, or n varint, n x MsgId 16 if why = 3) | HK 32
/// | sig 64 by HK`, [`Domain::Ack`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckVector {
    /// The mailbox.
    pub handle: Handle,
    /// What may go and why.
    pub ack: Ack,
    /// Handle key or inbox key.
    pub key: [u8; 32],
    wire: Bytes,
}

impl AckVector {
    /// Signs a vector. Sets are cut to the limits of their layouts, ids to
    /// [`limits::ITEMS_PER_BURST`]: what is left over goes into the next.
    pub fn make(ack: Ack, key: &KeyPair) -> AckVector {
        let handle = Handle::of_key(&key.public());
        let mut w = Writer::new();
        w.u8(VERSION).u8(ACK).put(&handle.0);
        let cut = |ranges: &Ranges, blobs: &Blobs| {
            let named = Named::cut(ranges, blobs);
            (named.ranges, named.blobs)
        };
        let ack = match ack {
            Ack::Release(ranges, blobs) => {
                let (ranges, blobs) = cut(&ranges, &blobs);
                write_sets(w.u8(1), &ranges, &blobs);
                Ack::Release(ranges, blobs)
            }
            Ack::Purge(ranges, blobs) => {
                let (ranges, blobs) = cut(&ranges, &blobs);
                write_sets(w.u8(2), &ranges, &blobs);
                Ack::Purge(ranges, blobs)
            }
            Ack::Taken(mut ids) => {
                ids.truncate(limits::ITEMS_PER_BURST);
                w.u8(3).count(ids.len());
                ids.iter().for_each(|id| {
                    w.put(&id.0);
                });
                Ack::Taken(ids)
            }
        };
        w.put(&key.public());
        AckVector {
            handle,
            ack,
            key: key.public(),
            wire: sign(w, Domain::Ack, key),
        }
    }

    /// Reads exactly one vector.
    pub fn decode(bytes: &Bytes) -> Result<AckVector, Malformed> {
        let mut r = open(bytes, ACK)?;
        let handle = Handle(r.array()?);
        let ack = match r.u8()? {
            1 => Ack::Release(Ranges::read(&mut r)?, Blobs::read(&mut r)?),
            2 => Ack::Purge(Ranges::read(&mut r)?, Blobs::read(&mut r)?),
            3 => {
                let n = r.count(limits::ITEMS_PER_BURST)?;
                Ack::Taken(ids(&mut r, n)?)
            }
            _ => return Err(Malformed("unknown ack")),
        };
        let key = r.array()?;
        if Handle::of_key(&key) != handle {
            return Err(Malformed("the key is not of the handle"));
        }
        close(&mut r)?;
        let wire = bytes.clone();
        Ok(AckVector {
            handle,
            ack,
            key,
            wire,
        })
    }

    /// Whether the key of the handle signed it.
    pub fn verify(&self) -> bool {
        Handle::of_key(&self.key) == self.handle && signed(&self.wire, Domain::Ack, &self.key)
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.wire
    }
}

fn write_sets(w: &mut Writer, ranges: &Ranges, blobs: &Blobs) {
    ranges.write(w);
    blobs.write(w);
}

fn ids(r: &mut Reader<'_>, n: usize) -> Result<Vec<MsgId>, Malformed> {
    let bytes = r.take(n * 16)?;
    Ok(bytes.chunks_exact(16).filter_map(MsgId::from_prefix).collect())
}

fn digest(ids: impl IntoIterator<Item = MsgId>) -> [u8; 16] {
    let mut sorted: Vec<MsgId> = ids.into_iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let all: Vec<u8> = sorted.iter().flat_map(|id| id.0).collect();
    let mut out = [0; 16];
    out.copy_from_slice(&blake3::hash(&all).as_bytes()[..16]);
    out
}

/// Checks version and type and gives the rest to read.
fn open(bytes: &Bytes, kind: u8) -> Result<Reader<'_>, Malformed> {
    if bytes.len() > limits::FRAME_BYTES {
        return Err(Malformed("proof over the limit"));
    }
    let mut r = Reader::new(bytes);
    if (r.u8()?, r.u8()?) != (VERSION, kind) {
        return Err(Malformed("another version or type"));
    }
    Ok(r)
}

/// The signature and nothing after it.
fn close(r: &mut Reader<'_>) -> Result<(), Malformed> {
    r.take(SIG_BYTES)?;
    r.end()
}

fn sign(mut w: Writer, domain: Domain, key: &KeyPair) -> Bytes {
    let sig = key.sign(domain, &w.0);
    w.put(&sig);
    w.finish()
}

fn signed(wire: &Bytes, domain: Domain, key: &[u8; 32]) -> bool {
    wire.split_last_chunk::<SIG_BYTES>()
        .is_some_and(|(message, sig)| verify(key, domain, message, sig))
}

#[cfg(test)]
mod tests;
