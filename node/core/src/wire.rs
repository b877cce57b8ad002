//! What travels on a link: frames, one after the other, `type 1 | length varint | body`.
//!
//! The same frames fill a QUIC stream, a datagram, a sealed radio capsule, a USB stick and a QR
//! code. A frame of an unknown type is skipped by its length, so that a newer peer can say more.
//! Untrusted bytes become a [`Frame`] here, once; what a body means is for the module that owns it
//! (`sync` for HAVE and DATA, `trust` for certificates), which gets a shared slice, not a copy.
//!
//! Decoding is total: a body over [`limits::FRAME_BYTES`] or a count over its limit is refused
//! before anything is allocated. A malformed body spoils its own frame, a malformed length the rest.

mod frame;

pub use frame::{Carry, Data, First, Frame, Hello, Open, Refused, ThreadMark, What};

use crate::codec::{Malformed, Reader};
use crate::id::Handle;
use crate::limits;
use bytes::Bytes;

/// The version that HELLO carries.
pub const VERSION: u8 = 1;

/// HELLO: carries items for strangers.
pub const CAP_CARRY: u8 = 1;
/// HELLO: is a relay.
pub const CAP_RELAY: u8 = 2;
/// HELLO: the link is thin (at most 9.6 kbit/s).
pub const CAP_THIN: u8 = 4;
/// HELLO: nothing comes back on this link.
pub const CAP_ONE_WAY: u8 = 8;

/// BYE: all is said.
pub const BYE_DONE: u8 = 0;
/// BYE: the peer speaks another version.
pub const BYE_VERSION: u8 = 1;
/// BYE: the peer may not be served (certificate, organisation, revocation).
pub const BYE_REFUSED: u8 = 2;
/// BYE: no room or time now; try again later.
pub const BYE_BUSY: u8 = 3;

/// What OPEN signs, after [`Domain::Open`](crate::crypto::Domain::Open): `exporter 32 | handle 8 |
/// what 1`, where the exporter is `TLS-Exporter("aidmesh relay open", 32)` of this very connection
/// (RFC 8446 section 7.5), so that no relay can replay it to another.
pub fn open_message(exporter: &[u8; 32], handle: Handle, what: What) -> Vec<u8> {
    [&exporter[..], &handle.0, &[what as u8]].concat()
}

/// How WANT asks for a revocation that REVOKED names: its 8 bytes, then 8 zero bytes. Everything
/// else is asked for by `BLAKE3(signed bytes)[..16]`.
pub fn want_revocation(named: [u8; 8]) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&named);
    out
}

/// Length in bytes of the frame at the start of `bytes`, header included: for hosts that cut a
/// stream. `None`: more bytes are needed to tell.
pub fn frame_len(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut r = Reader::new(bytes);
    let head = r.u8().and_then(|_| r.varint());
    match head {
        Ok(n) if n as usize <= limits::FRAME_BYTES => Ok(Some(r.position() + n as usize)),
        Ok(_) => Err(Malformed("frame over the limit")),
        Err(_) if bytes.len() < 6 && bytes.iter().skip(1).all(|b| b & 0x80 != 0) => Ok(None),
        Err(e) => Err(e),
    }
}

/// All frames of a datagram, a capsule or a block of a file.
pub fn decode_all(bytes: &Bytes) -> Frames {
    Frames {
        left: bytes.clone(),
        count: 0,
    }
}

/// Iterator of [`decode_all`]. Ends at the first malformed length, and after
/// [`limits::FRAMES_PER_DATAGRAM`] frames.
#[derive(Debug, Clone)]
pub struct Frames {
    left: Bytes,
    count: usize,
}

impl Frames {
    fn spoiled(&mut self, rule: Malformed) -> Option<Result<Frame, Malformed>> {
        self.left.clear();
        Some(Err(rule))
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, Malformed>;

    fn next(&mut self) -> Option<Result<Frame, Malformed>> {
        if self.left.is_empty() {
            return None;
        }
        if self.count == limits::FRAMES_PER_DATAGRAM {
            return self.spoiled(Malformed("too many frames"));
        }
        self.count += 1;
        match frame_len(&self.left) {
            Ok(Some(n)) if n <= self.left.len() => Some(Frame::decode(&self.left.split_to(n))),
            Ok(_) => self.spoiled(Malformed("too short")),
            Err(rule) => self.spoiled(rule),
        }
    }
}

#[cfg(test)]
mod tests;
