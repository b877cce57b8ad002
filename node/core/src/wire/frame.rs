//! The frames and their bodies (DETAILS section 2): the table stands at [`Frame`].
//!
//! Numbers are never used again. 0x10 was added because REVOKED only names revocations: a peer
//! WANTs the ones it lacks and gets each as REVOCATION. Age and copies in DATA are there towards
//! strangers only; between members they would say nothing. 0x11 tells a sender what a carrier did not
//! take, so that it is shown and not lost in silence.

use super::{VERSION, open_message};
use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::{Domain, SIG_BYTES, verify};
use crate::id::{Handle, MsgId};
use crate::limits;
use bytes::Bytes;

/// One frame.
///
/// ```text
/// 01 HELLO    ver 1 | caps 1 | nonce 8 | ms 6 | set 2 | root 16                  34 B
/// 02 THREADS  n varint | n x (tag 8 | digest 8)
/// 03 HAVE     see `sync::have`, at most 8 KiB
/// 04 DATA     df 1 | key 8 | off varint | first: [age u32 s | copies 1 if carried] total varint | bytes
/// 05 CERT     06 RECEIPT     07 BURST     08 SEQ     09 ACK      the signed bytes
/// 0A REVOKED  n varint | n x BLAKE3(key)[..8]        what the sender knows as revoked
/// 0B WANT     n varint | n x hash 16                 asks for revocations, key packages, certificates
/// 0C RIBLT    opaque
/// 0D RESET    handle 8                               "I hold less of it than I signed"
/// 0E OPEN     handle 8 | key 32 | what 1 | sig 64
/// 0F BYE      code 1
/// 10 REVOCATION  the signed revocation itself
/// 11 REFUSED  handle 8 | MsgId 16 | why 1            "I do not keep this item of yours"
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Opens a session.
    Hello(Hello),
    /// HELLO of a version that this build does not speak: answer BYE.
    OtherVersion(u8),
    /// Which threads the sender has, for those who know their keys.
    Threads(Vec<ThreadMark>),
    /// What the sender holds of one thread or handle: `sync::have`.
    Have(Bytes),
    /// An envelope or a part of one: `sync::parts`.
    Data(Data),
    /// A certificate.
    Cert(Bytes),
    /// A relay's or carrier's receipt.
    Receipt(Bytes),
    /// Items handed to a carrier or relay, signed.
    Burst(Bytes),
    /// A sequencer's word.
    Seq(Bytes),
    /// An ack vector.
    Ack(Bytes),
    /// `BLAKE3(key)[..8]` of revoked keys that the sender knows.
    Revoked(Vec<[u8; 8]>),
    /// Signed objects that the sender asks for: the start of their hash, or
    /// [`want_revocation`](super::want_revocation).
    Want(Vec<[u8; 16]>),
    /// Cells of a rateless set summary.
    Riblt(Bytes),
    /// The sender holds less of this handle than it has signed for.
    Reset(Handle),
    /// Asks a relay for a mailbox.
    Open(Open),
    /// Ends the session, with a reason (`BYE_*`).
    Bye(u8),
    /// A signed revocation.
    Revocation(Bytes),
    /// The sender does not keep an item that it was handed. A hint: it is not signed.
    Refused(Refused),
    /// A frame of a newer peer, skipped.
    Unknown(u8),
}

/// Opens a session; 34 B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// `CAP_*` bits; unknown ones are kept.
    pub caps: u8,
    /// Fresh in each session; makes tags and root of this session unlike those of any other.
    pub nonce: [u8; 8],
    /// The sender's wall clock, milliseconds since the Unix epoch, 48 bit. A hint.
    pub ms: u64,
    /// How many threads the root covers; 0 = none remembered with this peer.
    pub set: u16,
    /// `sync::threads::root` over the threads shared in the last session.
    pub root: [u8; 16],
}

/// A thread as named in THREADS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadMark {
    /// `sync::threads::tag`.
    pub tag: [u8; 8],
    /// `sync::threads::digest`.
    pub digest: [u8; 8],
}

/// An envelope or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// First bytes of the envelope's id.
    pub key: [u8; 8],
    /// Where `bytes` begin in the envelope.
    pub off: u32,
    /// What the first part says about the whole.
    pub first: Option<First>,
    /// The envelope ends with these bytes.
    pub last: bool,
    /// At least one byte.
    pub bytes: Bytes,
}

/// What the first part says about the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// Bytes of the envelope.
    pub total: u32,
    /// Present when a stranger carries it.
    pub carry: Option<Carry>,
}

/// What carriers keep beside an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carry {
    /// Seconds since its author made it, summed over its holders' monotonic clocks.
    pub age_s: u32,
    /// Copies that the receiver may spread (binary spray-and-wait).
    pub copies: u8,
}

/// An item that a carrier or relay does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its mailbox.
    pub handle: Handle,
    /// Which.
    pub id: MsgId,
    /// Code of the reason (`mailbox::Refusal::code`).
    pub why: u8,
}

/// What an OPEN asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// All that is there, once.
    Read = 0,
    /// All that is there and all that comes.
    Follow = 1,
    /// No more.
    Close = 2,
}

/// Asks a relay for a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Which one.
    pub handle: Handle,
    /// The handle's or inbox's public key.
    pub key: [u8; 32],
    /// Read, follow or close.
    pub what: What,
    /// By `key` over [`open_message`].
    pub sig: [u8; SIG_BYTES],
}

impl Open {
    /// The key is the handle's, and it signed for this connection.
    pub fn verify(&self, exporter: &[u8; 32]) -> bool {
        Handle::of_key(&self.key) == self.handle
            && verify(
                &self.key,
                Domain::Open,
                &open_message(exporter, self.handle, self.what),
                &self.sig,
            )
    }
}

const FIRST: u8 = 1;
const LAST: u8 = 2;
const AGE: u8 = 4;

impl Frame {
    /// Wire number.
    pub fn number(&self) -> u8 {
        match self {
            Frame::Hello(_) | Frame::OtherVersion(_) => 0x01,
            Frame::Threads(_) => 0x02,
            Frame::Have(_) => 0x03,
            Frame::Data(_) => 0x04,
            Frame::Cert(_) => 0x05,
            Frame::Receipt(_) => 0x06,
            Frame::Burst(_) => 0x07,
            Frame::Seq(_) => 0x08,
            Frame::Ack(_) => 0x09,
            Frame::Revoked(_) => 0x0a,
            Frame::Want(_) => 0x0b,
            Frame::Riblt(_) => 0x0c,
            Frame::Reset(_) => 0x0d,
            Frame::Open(_) => 0x0e,
            Frame::Bye(_) => 0x0f,
            Frame::Revocation(_) => 0x10,
            Frame::Refused(_) => 0x11,
            Frame::Unknown(n) => *n,
        }
    }

    /// `type 1 | length varint | body`. The body of `Unknown` is empty.
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }

    /// Appends [`Frame::encode`].
    pub fn write(&self, w: &mut Writer) {
        let mut body = Writer::new();
        self.write_body(&mut body);
        w.u8(self.number()).bytes(&body.0);
    }

    fn write_body(&self, w: &mut Writer) {
        match self {
            Frame::Hello(hello) => hello.write(w),
            Frame::OtherVersion(n) | Frame::Bye(n) => {
                w.u8(*n);
            }
            Frame::Threads(marks) => {
                w.count(marks.len());
                marks.iter().for_each(|m| {
                    w.put(&m.tag).put(&m.digest);
                });
            }
            Frame::Data(data) => data.write(w),
            Frame::Have(b)
            | Frame::Cert(b)
            | Frame::Receipt(b)
            | Frame::Burst(b)
            | Frame::Seq(b)
            | Frame::Ack(b)
            | Frame::Riblt(b)
            | Frame::Revocation(b) => {
                w.put(b);
            }
            Frame::Revoked(keys) => write_list(w, keys),
            Frame::Want(hashes) => write_list(w, hashes),
            Frame::Reset(handle) => {
                w.put(&handle.0);
            }
            Frame::Open(open) => {
                w.put(&open.handle.0)
                    .put(&open.key)
                    .u8(open.what as u8)
                    .put(&open.sig);
            }
            Frame::Refused(refused) => {
                w.put(&refused.handle.0).put(&refused.id.0).u8(refused.why);
            }
            Frame::Unknown(_) => {}
        }
    }

    /// Reads exactly one frame. `bytes` is shared, not copied.
    pub fn decode(bytes: &Bytes) -> Result<Frame, Malformed> {
        let mut r = Reader::new(bytes);
        let number = r.u8()?;
        let len = r.count(limits::FRAME_BYTES)?;
        let at = r.position();
        r.take(len)?;
        r.end()?;
        Frame::decode_body(number, &bytes.slice(at..))
    }

    fn decode_body(number: u8, body: &Bytes) -> Result<Frame, Malformed> {
        let r = &mut Reader::new(body);
        let frame = match number {
            0x01 if body.first().is_some_and(|ver| *ver != VERSION) => {
                return Ok(Frame::OtherVersion(body[0]));
            }
            0x01 => Frame::Hello(Hello::read(r)?),
            0x02 => Frame::Threads(read_marks(r)?),
            0x03 => Frame::Have(whole(r, body, limits::HAVE_BYTES)?),
            0x04 => Frame::Data(Data::read(r, body)?),
            0x05 => Frame::Cert(whole(r, body, limits::CERT_BYTES)?),
            0x06 => Frame::Receipt(whole(r, body, limits::FRAME_BYTES)?),
            0x07 => Frame::Burst(whole(r, body, limits::FRAME_BYTES)?),
            0x08 => Frame::Seq(whole(r, body, limits::FRAME_BYTES)?),
            0x09 => Frame::Ack(whole(r, body, limits::FRAME_BYTES)?),
            0x0a => Frame::Revoked(read_list(r)?),
            0x0b => Frame::Want(read_list(r)?),
            0x0c => Frame::Riblt(whole(r, body, limits::FRAME_BYTES)?),
            0x0d => Frame::Reset(Handle(r.array()?)),
            0x0e => Frame::Open(Open {
                handle: Handle(r.array()?),
                key: r.array()?,
                what: What::from_u8(r.u8()?)?,
                sig: r.array()?,
            }),
            0x0f => Frame::Bye(r.u8()?),
            0x10 => Frame::Revocation(whole(r, body, limits::CERT_BYTES)?),
            0x11 => Frame::Refused(Refused {
                handle: Handle(r.array()?),
                id: MsgId(r.array()?),
                why: r.u8()?,
            }),
            unknown => return Ok(Frame::Unknown(unknown)),
        };
        r.end()?;
        Ok(frame)
    }
}

impl Hello {
    fn write(&self, w: &mut Writer) {
        w.u8(VERSION)
            .u8(self.caps)
            .put(&self.nonce)
            .u48(self.ms)
            .u16(self.set)
            .put(&self.root);
    }

    fn read(r: &mut Reader<'_>) -> Result<Hello, Malformed> {
        r.u8()?;
        Ok(Hello {
            caps: r.u8()?,
            nonce: r.array()?,
            ms: r.u48()?,
            set: r.u16()?,
            root: r.array()?,
        })
    }
}

impl Data {
    /// Most bytes of a DATA frame that are not bytes of the envelope.
    pub const OVERHEAD_BYTES: usize = 1 + 3 + 1 + 8 + 3 + 4 + 1 + 3;

    fn write(&self, w: &mut Writer) {
        let carry = self.first.and_then(|f| f.carry);
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        w.u8(flag(self.first.is_some(), FIRST) | flag(self.last, LAST) | flag(carry.is_some(), AGE))
            .put(&self.key)
            .varint(self.off);
        if let Some(carry) = carry {
            w.u32(carry.age_s).u8(carry.copies);
        }
        if let Some(first) = self.first {
            w.varint(first.total);
        }
        w.put(&self.bytes);
    }

    fn read(r: &mut Reader<'_>, body: &Bytes) -> Result<Data, Malformed> {
        let df = r.u8()?;
        if df & !(FIRST | LAST | AGE) != 0 || df & (FIRST | AGE) == AGE {
            return Err(Malformed("unknown data flags"));
        }
        let (key, off) = (r.array()?, r.varint()?);
        let carry = match df & AGE {
            0 => None,
            _ => Some(Carry {
                age_s: r.u32()?,
                copies: r.u8()?,
            }),
        };
        let first = match df & FIRST {
            0 => None,
            _ => Some(First {
                total: r.varint()?,
                carry,
            }),
        };
        let bytes = body.slice(r.position()..);
        let end = (off as usize).saturating_add(r.rest().len());
        let total = first.map_or(limits::ENVELOPE_BYTES, |f| f.total as usize);
        if bytes.is_empty() || end > total || total > limits::ENVELOPE_BYTES {
            return Err(Malformed("part outside its envelope"));
        }
        if first.is_some() && (off != 0 || (df & LAST != 0) != (end == total)) {
            return Err(Malformed("first part elsewhere than at the start"));
        }
        Ok(Data {
            key,
            off,
            first,
            last: df & LAST != 0,
            bytes,
        })
    }
}

impl What {
    fn from_u8(n: u8) -> Result<What, Malformed> {
        [What::Read, What::Follow, What::Close]
            .get(usize::from(n))
            .copied()
            .ok_or(Malformed("unknown request"))
    }
}

fn whole(r: &mut Reader<'_>, body: &Bytes, max: usize) -> Result<Bytes, Malformed> {
    if r.rest().len() > max {
        return Err(Malformed("body over the limit"));
    }
    Ok(body.clone())
}

fn read_marks(r: &mut Reader<'_>) -> Result<Vec<ThreadMark>, Malformed> {
    let n = r.count(limits::THREADS_PER_FRAME)?;
    (0..n)
        .map(|_| {
            Ok(ThreadMark {
                tag: r.array()?,
                digest: r.array()?,
            })
        })
        .collect()
}

fn write_list<const N: usize>(w: &mut Writer, list: &[[u8; N]]) {
    w.count(list.len());
    list.iter().for_each(|item| {
        w.put(item);
    });
}

fn read_list<const N: usize>(r: &mut Reader<'_>) -> Result<Vec<[u8; N]>, Malformed> {
    let n = r.count(limits::HASHES_PER_FRAME)?;
    (0..n).map(|_| r.array()).collect()
}
