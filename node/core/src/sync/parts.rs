//! An envelope in DATA frames of a unit each, and back.
//!
//! [`Cutter`] yields one frame at a time: the scheduler asks for the next one when the link is free,
//! so an alarm waits behind at most one unit of a picture. [`Assembler`] takes parts in any order,
//! doubled or overlapping, of several envelopes at once, and hands an envelope out when its hash
//! begins with its key. It is bounded per link: partials, bytes, pieces.
//!
//! It does not know what an envelope is: a wrong hash is the peer's fault (`PeerMisbehaved`), what
//! is inside is for others to judge.

use crate::id::MsgId;
use crate::limits;
use crate::ranges::SeqSet;
use crate::wire::{Carry, Data, First};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Cuts one envelope lazily.
#[derive(Clone, Debug)]
pub struct Cutter {
    envelope: Bytes,
    key: [u8; 8],
    carry: Option<Carry>,
    room: usize,
    at: usize,
}

impl Cutter {
    /// Frames of at most `unit` bytes, header included ([`limits::UNIT_BYTES`],
    /// [`limits::UNIT_BYTES_SLOW`]); a unit too small for a header and a few bytes is taken as one
    /// that fits. `carry` is present towards strangers.
    pub fn new(envelope: Bytes, carry: Option<Carry>, unit: usize) -> Cutter {
        let id = MsgId::of(&envelope);
        let [a, b, c, d, e, f, g, h, ..] = id.0;
        Cutter {
            envelope,
            key: [a, b, c, d, e, f, g, h],
            carry,
            room: unit.saturating_sub(Data::OVERHEAD_BYTES).max(16),
            at: 0,
        }
    }

    /// First bytes of the envelope's id.
    pub fn key(&self) -> [u8; 8] {
        self.key
    }

    /// Bytes not yielded yet.
    pub fn left(&self) -> usize {
        self.envelope.len() - self.at
    }
}

impl Iterator for Cutter {
    type Item = Data;

    fn next(&mut self) -> Option<Data> {
        let n = self.left().min(self.room);
        if n == 0 {
            return None;
        }
        let off = self.at;
        self.at += n;
        let first = First {
            total: self.envelope.len() as u32,
            carry: self.carry,
        };
        Some(Data {
            key: self.key,
            off: off as u32,
            first: (off == 0).then_some(first),
            last: self.left() == 0,
            bytes: self.envelope.slice(off..self.at),
        })
    }
}

/// How a peer broke the rules with a part. The text is the rule of `PeerMisbehaved`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// The envelope does not hash to its key.
    #[error("envelope does not match its key")]
    WrongKey,
    /// Two parts disagree about where the envelope ends.
    #[error("parts disagree about the length")]
    Contradiction,
    /// It came in more pieces than [`limits::PIECES_PER_ENVELOPE`] with gaps between.
    #[error("envelope in too many pieces")]
    TooManyPieces,
    /// Beyond [`limits::ENVELOPE_BYTES`].
    #[error("envelope over the limit")]
    TooLong,
}

/// A complete envelope, as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its id.
    pub id: MsgId,
    /// Its bytes.
    pub bytes: Bytes,
    /// What its carrier said, if it came from one.
    pub carry: Option<Carry>,
}

#[derive(Debug, Default)]
struct Partial {
    total: Option<usize>,
    carry: Option<Carry>,
    buffer: Vec<u8>,
    /// Offsets + 1 of the bytes that are there.
    there: SeqSet,
    touched: u64,
}

/// Puts the parts that come over one link together.
#[derive(Debug, Default)]
pub struct Assembler {
    partials: BTreeMap<[u8; 8], Partial>,
    clock: u64,
}

impl Assembler {
    /// Nothing received yet.
    pub fn new() -> Assembler {
        Assembler::default()
    }

    /// Envelopes partly received, at most [`limits::PARTS_PER_LINK`].
    pub fn len(&self) -> usize {
        self.partials.len()
    }

    /// None is partly received.
    pub fn is_empty(&self) -> bool {
        self.partials.is_empty()
    }

    /// Bytes held, at most [`limits::PARTS_PER_LINK`] x [`limits::ENVELOPE_BYTES`].
    pub fn held_bytes(&self) -> usize {
        self.partials.values().map(|p| p.buffer.len()).sum()
    }

    /// Takes one part. The envelope when it is complete; after an error its parts are dropped.
    /// When there are too many partials, the one that waits longest for a part goes.
    pub fn insert(&mut self, data: Data) -> Result<Option<Whole>, PartError> {
        if data.off == 0 && data.first.is_some_and(|f| f.total as usize == data.bytes.len()) {
            self.partials.remove(&data.key);
            let carry = data.first.and_then(|f| f.carry);
            return whole(data.key, data.bytes, carry).map(Some);
        }
        self.clock += 1;
        if !self.partials.contains_key(&data.key) && self.partials.len() >= limits::PARTS_PER_LINK {
            self.evict();
        }
        let partial = self.partials.entry(data.key).or_default();
        partial.touched = self.clock;
        let complete = partial.add(&data);
        if complete == Ok(false) {
            return Ok(None);
        }
        let partial = self.partials.remove(&data.key).unwrap_or_default();
        complete?;
        whole(data.key, partial.buffer.into(), partial.carry).map(Some)
    }

    fn evict(&mut self) {
        let oldest = self.partials.iter().min_by_key(|(_, p)| p.touched);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.partials.remove(&key);
        }
    }
}

impl Partial {
    fn add(&mut self, data: &Data) -> Result<bool, PartError> {
        let off = data.off as usize;
        let end = off.saturating_add(data.bytes.len());
        let stated = data.first.map(|f| f.total as usize).or(data.last.then_some(end));
        let total = stated.or(self.total);
        if end.max(total.unwrap_or(0)) > limits::ENVELOPE_BYTES {
            return Err(PartError::TooLong);
        }
        if self.total.is_some_and(|t| Some(t) != total)
            || total.is_some_and(|t| end.max(self.buffer.len()) > t)
        {
            return Err(PartError::Contradiction);
        }
        self.total = total;
        self.carry = data.first.and_then(|f| f.carry).or(self.carry);
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        self.buffer[off..end].copy_from_slice(&data.bytes);
        self.there.extend(&SeqSet::interval(off as u32 + 1, end as u32));
        if self.there.runs().len() > limits::PIECES_PER_ENVELOPE {
            return Err(PartError::TooManyPieces);
        }
        Ok(total.is_some_and(|t| self.there.len() == t as u64))
    }
}

fn whole(key: [u8; 8], bytes: Bytes, carry: Option<Carry>) -> Result<Whole, PartError> {
    let id = MsgId::of(&bytes);
    if !id.0.starts_with(&key) {
        return Err(PartError::WrongKey);
    }
    Ok(Whole { id, bytes, carry })
}
