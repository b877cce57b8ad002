//! All that a blind carrier sees of an item: version and flags, class and storage time, handle,
//! place, length, payload. No kind, no time, no author's name, no chain.
//!
//! Layout (DETAILS section 2): `vf 1 | ct 1 | handle 8 | slot 4 | seq varint | len varint | payload`;
//! a chunk of a blob has `object8 | layer 1 | index varint` in place of slot and seq. Flag 8 marks a
//! control item of the log of signed heads: without it a carrier could not tell that log from the
//! log of ops, whose numbers start at 1 as well, and would keep every head instead of the newest.

use crate::codec::{Malformed, Reader, Writer};
use crate::id::{Handle, MsgId, Object8, Seq, Slot};
use crate::limits;
use crate::ranges::Log;
use bytes::Bytes;

/// What goes first over a link. Lower goes before higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// An alert: digest and beats, recall; at most [`limits::ALARM_BYTES`] sealed.
    Alarm = 0,
    /// ECG preview and what a clinician waits for.
    Clinical = 1,
    /// Text, commits, ops, acknowledgements.
    Text = 2,
    /// Voice notes.
    Voice = 3,
    /// Photos, originals, audit.
    Bulk = 4,
}

impl Class {
    /// All classes, most urgent first.
    pub const ALL: [Class; 5] = [
        Class::Alarm,
        Class::Clinical,
        Class::Text,
        Class::Voice,
        Class::Bulk,
    ];

    /// From its wire number.
    pub fn from_u8(n: u8) -> Result<Class, Malformed> {
        Class::ALL
            .get(n as usize)
            .copied()
            .ok_or(Malformed("unknown class"))
    }

    /// How long strangers carry it in a care thread, as a code (PROTOCOL section 2: 2 h, 12 h, 7 d,
    /// 2 d, 30 d, each rounded up to 15 min x 2^n).
    pub fn ttl(self) -> Ttl {
        Ttl(match self {
            Class::Alarm => 3,
            Class::Clinical => 6,
            Class::Text => 10,
            Class::Voice => 8,
            Class::Bulk => 12,
        })
    }
}

/// Storage time at strangers as a code: 15 min x 2^n, n < 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(pub u8);

impl Ttl {
    /// In milliseconds.
    pub fn ms(self) -> u64 {
        (15 * 60_000) << (self.0 & 15)
    }
}

/// Where an item belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A place in a log of a thread.
    Log {
        /// The author's slot.
        slot: Slot,
        /// Which log; `Control` and `Heads` are control items.
        log: Log,
        /// Number in that log.
        seq: Seq,
    },
    /// A chunk of a blob.
    Chunk {
        /// The blob.
        object: Object8,
        /// Its layer.
        layer: u8,
        /// Chunk number from 0.
        index: u32,
    },
    /// An item for a device's inbox; it has no place.
    Inbox,
}

/// One item as it travels and is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Urgency.
    pub class: Class,
    /// Time at strangers.
    pub ttl: Ttl,
    /// Mailbox it is addressed to.
    pub handle: Handle,
    /// Place.
    pub place: Place,
    /// Sealed bytes.
    pub payload: Bytes,
}

const VERSION: u8 = 1;
const CONTROL: u8 = 1;
const CHUNK: u8 = 2;
const INBOX: u8 = 4;
const HEAD: u8 = 8;

impl Envelope {
    /// The bytes on the wire; their hash is the [`MsgId`].
    pub fn encode(&self) -> Bytes {
        let mut w = Writer(Vec::with_capacity(self.payload.len() + 32));
        let flags = match self.place {
            Place::Log {
                log: Log::Content, ..
            } => 0,
            Place::Log {
                log: Log::Control, ..
            } => CONTROL,
            Place::Log { log: Log::Heads, .. } => CONTROL | HEAD,
            Place::Chunk { .. } => CHUNK,
            Place::Inbox => INBOX,
        };
        w.u8(VERSION << 4 | flags)
            .u8((self.class as u8) << 5 | (self.ttl.0 & 15) << 1)
            .put(&self.handle.0);
        match self.place {
            Place::Log { slot, seq, .. } => w.put(&slot.0).varint(seq),
            Place::Chunk { object, layer, index } => w.put(&object.0).u8(layer).varint(index),
            Place::Inbox => w.put(&[0; 4]).varint(0),
        };
        w.bytes(&self.payload);
        w.finish()
    }

    /// Reads exactly one envelope. `bytes` is shared, not copied.
    pub fn decode(bytes: &Bytes) -> Result<Envelope, Malformed> {
        if bytes.len() > limits::ENVELOPE_BYTES {
            return Err(Malformed("envelope over the limit"));
        }
        let mut r = Reader::new(bytes);
        let (vf, ct) = (r.u8()?, r.u8()?);
        if vf >> 4 != VERSION {
            return Err(Malformed("unknown envelope version"));
        }
        if ct & 1 != 0 {
            return Err(Malformed("reserved bit set"));
        }
        let handle = Handle(r.array()?);
        let place = match vf & 15 {
            flags @ (0 | CONTROL | 9) => {
                let log = [Log::Content, Log::Control][usize::from(flags & CONTROL)];
                let log = if flags & HEAD != 0 { Log::Heads } else { log };
                let (slot, seq) = (Slot(r.array()?), r.varint()?);
                if seq == 0 {
                    return Err(Malformed("sequence numbers start at 1"));
                }
                Place::Log { slot, log, seq }
            }
            CHUNK => {
                let (object, layer, index) = (Object8(r.array()?), r.u8()?, r.varint()?);
                if index >= limits::CHUNKS_PER_LAYER || usize::from(layer) >= limits::LAYERS_PER_OBJECT {
                    return Err(Malformed("chunk beyond the limit"));
                }
                Place::Chunk { object, layer, index }
            }
            INBOX => {
                if r.array()? != [0u8; 4] || r.varint()? != 0 {
                    return Err(Malformed("inbox items have no place"));
                }
                Place::Inbox
            }
            _ => return Err(Malformed("unknown envelope flags")),
        };
        let len = r.count(limits::ENVELOPE_BYTES)?;
        let at = r.position();
        r.take(len)?;
        r.end()?;
        Ok(Envelope {
            class: Class::from_u8(ct >> 5)?,
            ttl: Ttl(ct >> 1 & 15),
            handle,
            place,
            payload: bytes.slice(at..at + len),
        })
    }

    /// Its id.
    pub fn id(&self) -> MsgId {
        MsgId::of(&self.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(place: Place) -> Envelope {
        let payload = Bytes::from_static(b"sealed");
        Envelope {
            class: Class::Clinical,
            ttl: Ttl(6),
            handle: Handle([8; 8]),
            place,
            payload,
        }
    }

    #[test]
    fn every_place_round_trips() {
        let slot = Slot([4; 4]);
        let places = Log::ALL
            .map(|log| Place::Log { slot, log, seq: 300 })
            .into_iter()
            .chain([
                Place::Chunk {
                    object: Object8([5; 8]),
                    layer: 3,
                    index: 129,
                },
                Place::Inbox,
            ]);
        for place in places {
            let e = sample(place);
            assert_eq!(Envelope::decode(&e.encode()), Ok(e));
        }
    }

    #[test]
    fn every_place_keeps_its_bytes() {
        let (slot, object) = (Slot([4; 4]), Object8([5; 8]));
        let log = |log| Place::Log { slot, log, seq: 300 };
        let (layer, index) = (3, 129);
        let cases = [
            ("content", log(Log::Content)),
            ("control", log(Log::Control)),
            ("head", log(Log::Heads)),
            ("chunk", Place::Chunk { object, layer, index }),
            ("inbox", Place::Inbox),
        ];
        crate::golden::check(
            "envelope",
            &cases.map(|(name, place)| (name, sample(place).encode())),
        );
    }

    #[test]
    fn the_header_of_a_content_item_is_sixteen_bytes() {
        let e = sample(Place::Log {
            slot: Slot([4; 4]),
            log: Log::Content,
            seq: 5,
        });
        assert_eq!(e.encode().len() - e.payload.len(), 16);
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = sample(Place::Inbox).encode();
        for (at, value) in [(0, 0x24), (0, 0x18), (0, 0x1b), (1, 0x21), (1, 0xa0), (10, 1)] {
            let mut bad = good.to_vec();
            bad[at] = value;
            assert!(Envelope::decode(&bad.into()).is_err(), "byte {at} = {value:#x}");
        }
        assert!(Envelope::decode(&good.slice(..good.len() - 1)).is_err());
    }
}
