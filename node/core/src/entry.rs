//! A content entry in clear: what a person or device said, with what its author had seen.
//!
//! Layout (DETAILS section 2): `v 1 | kind 1 | flags 1 | hlc 8 | prev8 8 | salt 16 | n varint,
//! n x (slot 4, seq varint) | body`. The chain over a device's entries is
//! `chain_n = BLAKE3(chain_{n-1} || BLAKE3(entry_n))`, `chain_0` = 32 zero bytes; `prev8` is the
//! start of `chain_{n-1}`. An unknown kind is kept and shown as such, never dropped.

use crate::codec::{Malformed, Reader, Writer};
use crate::id::{Seq, Slot};
use crate::limits;
use crate::time::Hlc;
use bytes::Bytes;

/// Flag: part of a drill, not of care.
pub const FLAG_DRILL: u8 = 1;
/// Flag: written while the author's lease was expired.
pub const FLAG_LEASE_EXPIRED: u8 = 2;

/// Kind numbers follow the order of PROTOCOL section 2, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Note,
    EcgSnapshot,
    VoiceNote,
    PhotoNote,
    Vitals,
    Handover,
    Alert,
    Acknowledgement,
    Seen,
    Paged,
    Recall,
    Divert,
    Position,
    SignOn,
    Roster,
    TriageTag,
    Sighting,
    RollCall,
    ResourceRequest,
    RoleTransfer,
    Capacity,
    CtlKeys,
    /// A kind of a newer version.
    Unknown(u8),
}

const KINDS: [Kind; 22] = [
    Kind::Note,
    Kind::EcgSnapshot,
    Kind::VoiceNote,
    Kind::PhotoNote,
    Kind::Vitals,
    Kind::Handover,
    Kind::Alert,
    Kind::Acknowledgement,
    Kind::Seen,
    Kind::Paged,
    Kind::Recall,
    Kind::Divert,
    Kind::Position,
    Kind::SignOn,
    Kind::Roster,
    Kind::TriageTag,
    Kind::Sighting,
    Kind::RollCall,
    Kind::ResourceRequest,
    Kind::RoleTransfer,
    Kind::Capacity,
    Kind::CtlKeys,
];

impl Kind {
    /// From its wire number.
    pub fn from_u8(n: u8) -> Kind {
        usize::from(n)
            .checked_sub(1)
            .and_then(|i| KINDS.get(i))
            .copied()
            .unwrap_or(Kind::Unknown(n))
    }

    /// Its wire number.
    pub fn to_u8(self) -> u8 {
        match self {
            Kind::Unknown(n) => n,
            known => {
                1 + KINDS
                    .iter()
                    .position(|k| *k == known)
                    .expect("every known kind is in KINDS") as u8
            }
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the body is.
    pub kind: Kind,
    /// [`FLAG_DRILL`] and others.
    pub flags: u8,
    /// The author's clock.
    pub hlc: Hlc,
    /// First bytes of the chain before this entry.
    pub prev8: [u8; 8],
    /// Makes the hash of a short entry unguessable after erasure.
    pub salt: [u8; 16],
    /// Slots that advanced since the author's former entry, with the last number it had opened.
    pub cursors: Vec<(Slot, Seq)>,
    /// Body by kind (`clinical.rs`).
    pub body: Bytes,
}

const VERSION: u8 = 1;

impl Entry {
    /// Canonical bytes.
    pub fn encode(&self) -> Bytes {
        let mut w = Writer(Vec::with_capacity(self.body.len() + 64));
        w.u8(VERSION)
            .u8(self.kind.to_u8())
            .u8(self.flags)
            .u64(self.hlc.0)
            .put(&self.prev8)
            .put(&self.salt);
        w.count(self.cursors.len());
        for (slot, seq) in &self.cursors {
            w.put(&slot.0).varint(*seq);
        }
        w.put(&self.body);
        w.finish()
    }

    /// Reads [`Entry::encode`]; cursors must be strictly ascending by slot.
    pub fn decode(bytes: &Bytes) -> Result<Entry, Malformed> {
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(Malformed("unknown entry version"));
        }
        let (kind, flags, hlc) = (Kind::from_u8(r.u8()?), r.u8()?, Hlc(r.u64()?));
        let (prev8, salt) = (r.array()?, r.array()?);
        let n = r.count(limits::CURSORS)?;
        let mut cursors: Vec<(Slot, Seq)> = Vec::new();
        for _ in 0..n {
            let cursor = (Slot(r.array()?), r.varint()?);
            if cursors.last().is_some_and(|last| last.0 >= cursor.0) {
                return Err(Malformed("cursors not sorted"));
            }
            cursors.push(cursor);
        }
        if r.left() > limits::ENTRY_BODY_BYTES {
            return Err(Malformed("entry body over the limit"));
        }
        let body = bytes.slice(r.position()..);
        Ok(Entry {
            kind,
            flags,
            hlc,
            prev8,
            salt,
            cursors,
            body,
        })
    }
}

/// `BLAKE3(entry)`, the hash that survives erasure.
pub fn entry_hash(encoded: &[u8]) -> [u8; 32] {
    *blake3::hash(encoded).as_bytes()
}

/// `chain_n` from `chain_{n-1}` and the entry's hash.
pub fn chain_next(chain: &[u8; 32], entry_hash: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(chain).update(entry_hash);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_with_known_and_unknown_kinds() {
        for n in 1..=30u8 {
            let entry = Entry {
                kind: Kind::from_u8(n),
                flags: FLAG_DRILL,
                hlc: Hlc(9),
                prev8: [1; 8],
                salt: [2; 16],
                cursors: vec![(Slot([1; 4]), 4), (Slot([2; 4]), 900)],
                body: Bytes::from_static(b"body"),
            };
            assert_eq!(entry.kind.to_u8(), n);
            assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }
    }

    #[test]
    fn an_entry_and_its_chain_keep_their_bytes() {
        let entry = Entry {
            kind: Kind::Note,
            flags: FLAG_DRILL | FLAG_LEASE_EXPIRED,
            hlc: Hlc(0x0102_0304_0506_0708),
            prev8: [1; 8],
            salt: [2; 16],
            cursors: vec![(Slot([1; 4]), 4), (Slot([2; 4]), 900)],
            body: Bytes::from_static(b"body"),
        };
        let encoded = entry.encode();
        let hash = entry_hash(&encoded);
        let chain = chain_next(&[3; 32], &hash);
        crate::golden::check(
            "entry",
            &[
                ("entry", encoded),
                ("hash", Bytes::copy_from_slice(&hash)),
                ("chain", Bytes::copy_from_slice(&chain)),
            ],
        );
    }

    #[test]
    fn unsorted_cursors_are_refused() {
        let mut entry = Entry::decode(&Bytes::from(
            vec![1u8; 3].into_iter().chain([0; 33]).collect::<Vec<_>>(),
        ))
        .unwrap();
        entry.cursors = vec![(Slot([2; 4]), 4), (Slot([1; 4]), 4)];
        assert!(Entry::decode(&entry.encode()).is_err());
    }
}
