//! Bytes around MLS: the payload of a content envelope and the body of a commit.
//!
//! **Payload** `node tag 4 | pf 1 | sender data 28 | ciphertext`: a PrivateMessage (RFC 9420
//! section 6.3) without what both ends know. Version, wire format, group id, epoch, content type,
//! authenticated data and lengths are rebuilt byte for byte. The authenticated data are
//! `"am1" | 1 | class 1 | slot 4 | seq u32 | node 16 | pf 1`: place and `pf` cannot be changed in
//! transit although they are not inside the ciphertext.
//!
//! **Commit body**: a commit with each known key package replaced by its BLAKE3 hash, as segments
//! to the end of the body. A segment is `len varint | len bytes` (`len` > 0, copied as they are) or
//! `0 | hash 32`. A length of zero never stands for bytes and two literal segments never follow one
//! another, so there is one body for one choice of key packages. The restored commit is at most
//! [`limits::MLS_COMMIT_BYTES`] long, counted before anything is copied.

use crate::codec::{Malformed, Reader, Writer};
use crate::envelope::Class;
use crate::id::{NodeId, Seq, Slot};
use crate::limits;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Where a content item belongs: what its MLS message is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealPlace {
    /// Class of its envelope.
    pub class: Class,
    /// Slot of the entry's author (in a rewrap not the slot of the MLS sender).
    pub slot: Slot,
    /// Number in the author's content log.
    pub seq: Seq,
    /// Node on which it is sealed.
    pub node: NodeId,
}

/// Encrypted sender data of both suites: leaf 4, generation 4, reuse guard 4, tag 16.
const SENDER_DATA: usize = 28;
/// `node tag | pf`.
const PREFIX: usize = 4 + 1;
/// Bytes of a key package that tell it from any other: they reach into its init key.
const KEY_PACKAGE_PREFIX: usize = 64;

/// Authenticated data of a content item.
pub(super) fn authenticated_data(place: &SealPlace, pf: u8) -> Vec<u8> {
    let mut w = Writer::new();
    w.put(b"am1").u8(1).u8(place.class as u8);
    w.put(&place.slot.0).u32(place.seq).put(&place.node.0).u8(pf);
    w.0
}

/// `private_message` as a payload; `None` if it is not laid out as its header says.
pub(super) fn elide(
    place: &SealPlace,
    pf: u8,
    group_id: &[u8],
    epoch: u64,
    private_message: &[u8],
) -> Option<Bytes> {
    let mut r = Reader::new(private_message);
    let head = header(group_id, epoch, &authenticated_data(place, pf));
    if r.take(head.len()).ok()? != head {
        return None;
    }
    let sender_data = r.take(SENDER_DATA).ok()?;
    let length = read_length(&mut r)?;
    let ciphertext = r.rest();
    if ciphertext.len() != length {
        return None;
    }
    let mut w = Writer(Vec::with_capacity(PREFIX + SENDER_DATA + length));
    w.put(&place.node.0[..4]).u8(pf).put(sender_data).put(ciphertext);
    Some(w.finish())
}

/// First bytes of the id of the node on which a payload was sealed; every held node with these
/// bytes has to be tried (PROTOCOL N5).
pub fn node_tag(payload: &[u8]) -> Option<[u8; 4]> {
    Reader::new(payload).array().ok()
}

/// The PrivateMessage of a payload, and its `pf`; `None` if it cannot be one of this node.
pub(super) fn rebuild(
    place: &SealPlace,
    group_id: &[u8],
    epoch: u64,
    payload: &[u8],
) -> Option<(Vec<u8>, u8)> {
    let mut r = Reader::new(payload);
    if payload.len() > limits::ENVELOPE_BYTES || r.take(4).ok()? != &place.node.0[..4] {
        return None;
    }
    let pf = r.u8().ok()?;
    let sender_data = r.take(SENDER_DATA).ok()?;
    let ciphertext = r.rest();
    let mut w = Writer(header(group_id, epoch, &authenticated_data(place, pf)));
    w.put(sender_data);
    write_length(&mut w, ciphertext.len());
    w.put(ciphertext);
    Some((w.0, pf))
}

/// MLSMessage up to and including the length of the sender data (RFC 9420 sections 6 and 6.3).
fn header(group_id: &[u8], epoch: u64, authenticated_data: &[u8]) -> Vec<u8> {
    const MLS10_PRIVATE_MESSAGE: [u8; 4] = [0, 1, 0, 2];
    const APPLICATION: u8 = 1;
    let mut w = Writer::new();
    w.put(&MLS10_PRIVATE_MESSAGE);
    write_length(&mut w, group_id.len());
    w.put(group_id).put(&epoch.to_be_bytes()).u8(APPLICATION);
    write_length(&mut w, authenticated_data.len());
    w.put(authenticated_data);
    write_length(&mut w, SENDER_DATA);
    w.0
}

/// Variable-size length of RFC 9420 section 2.1.2 (that of QUIC, below 2^30).
fn write_length(w: &mut Writer, n: usize) {
    match n {
        0..0x40 => w.u8(n as u8),
        0x40..0x4000 => w.put(&(n as u16 | 0x4000).to_be_bytes()),
        _ => w.put(&(n as u32 | 0x8000_0000).to_be_bytes()),
    };
}

fn read_length(r: &mut Reader<'_>) -> Option<usize> {
    let first = r.u8().ok()?;
    let more = match first >> 6 {
        0 => 0,
        1 => 1,
        2 => 3,
        _ => return None,
    };
    let tail = r.take(more).ok()?.iter();
    Some(tail.fold(usize::from(first & 0x3f), |n, b| n << 8 | usize::from(*b)))
}

/// The hash by which a key package is named: BLAKE3 of its bytes.
pub fn key_package_hash(key_package: &[u8]) -> [u8; 32] {
    *blake3::hash(key_package).as_bytes()
}

/// Body of `commit`: each of `key_packages` that stands in it is replaced by its hash.
pub fn strip_key_packages(commit: &[u8], key_packages: &[Bytes]) -> Bytes {
    let known: BTreeMap<&[u8], &Bytes> = key_packages
        .iter()
        .filter_map(|kp| Some((kp.get(..KEY_PACKAGE_PREFIX)?, kp)))
        .collect();
    let mut w = Writer(Vec::with_capacity(commit.len()));
    let (mut literal, mut at) = (0, 0);
    while let Some(window) = commit.get(at..at + KEY_PACKAGE_PREFIX) {
        match known.get(window) {
            Some(kp) if commit[at..].starts_with(kp) => {
                put_literal(&mut w, &commit[literal..at]);
                w.varint(0).put(&key_package_hash(kp));
                at += kp.len();
                literal = at;
            }
            _ => at += 1,
        }
    }
    put_literal(&mut w, &commit[literal..]);
    w.finish()
}

fn put_literal(w: &mut Writer, bytes: &[u8]) {
    if !bytes.is_empty() {
        w.bytes(bytes);
    }
}

/// The commit of a body; `lookup` gives a key package by its hash. `None`: one is missing.
pub fn restore_key_packages(
    body: &[u8],
    lookup: &dyn Fn(&[u8; 32]) -> Option<Bytes>,
) -> Result<Option<Bytes>, Malformed> {
    let mut r = Reader::new(body);
    let (mut out, mut missing, mut after_literal) = (Vec::new(), false, false);
    let mut references = 0;
    while r.left() > 0 {
        let room = limits::MLS_COMMIT_BYTES - out.len();
        let len = r.count(room)?;
        if len > 0 {
            if after_literal {
                return Err(Malformed("two literal segments in a row"));
            }
            out.extend_from_slice(r.take(len)?);
        } else {
            references += 1;
            if references > limits::MEMBERS {
                return Err(Malformed("more key packages than members"));
            }
            match lookup(&r.array()?) {
                Some(kp) if kp.len() > room => return Err(Malformed("commit over the limit")),
                Some(kp) => out.extend_from_slice(&kp),
                None => missing = true,
            }
        }
        after_literal = len > 0;
    }
    Ok((!missing).then(|| Bytes::from(out)))
}
