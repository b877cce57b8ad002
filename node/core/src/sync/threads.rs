//! Which threads two peers share, without telling a stranger more than a count.
//!
//! * tag = `BLAKE3-keyed(tg, min(nonces) || max(nonces))[..8]`: who knows the thread's tag key
//!   finds it; in the next session it is another. A one-way file uses its own nonce twice.
//! * digest = `BLAKE3(RANGES | BLOBS)[..8]` of all that is stored for sync, uncut: equal digests
//!   need no HAVE.
//! * root = `BLAKE3(sender's nonce | sorted BLAKE3-keyed(tg, "root" | digest))[..16]` over the
//!   threads shared in the last session: the receiver computes the same over its own digests with
//!   the sender's nonce; equal roots end the session after HELLO.
//!
//! A THREADS list is sorted by tag, so that its order tells nothing.

use crate::blobs::Blobs;
use crate::codec::Writer;
use crate::crypto::Secret;
use crate::limits;
use crate::ranges::Ranges;
use crate::wire::ThreadMark;
use std::collections::BTreeMap;

/// Tag of a thread in one session; the order of the nonces does not matter.
pub fn tag(tg: &Secret, one: &[u8; 8], other: &[u8; 8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_keyed(&tg.0);
    hasher.update(one.min(other)).update(one.max(other));
    prefix(&hasher.finalize())
}

/// Digest of what is stored of a thread, every hole included.
pub fn digest(ranges: &Ranges, blobs: &Blobs) -> [u8; 8] {
    let mut w = Writer::new();
    let logs = ranges.0.iter().filter(|(_, set)| !set.is_empty());
    w.count(logs.clone().count());
    for ((slot, log), set) in logs {
        w.put(&slot.0).u8(*log as u8).varint(set.low());
        w.varint(set.max() - set.low()).count(set.runs().len() - 1);
        for (gap, run) in set.holes() {
            w.varint(gap).varint(run);
        }
    }
    w.count(blobs.0.len());
    for ((object, layer), chunks) in &blobs.0 {
        let runs = chunks.numbers().runs();
        w.put(&object.0)
            .u8(*layer)
            .varint(chunks.total)
            .count(runs.len() * 2);
        let mut at = 0;
        for (low, high) in runs {
            w.varint(low - 1 - at).varint(high - low + 1);
            at = *high;
        }
    }
    prefix(&blake3::hash(&w.0))
}

/// Root of HELLO over the threads shared last time; `nonce` is the nonce of the HELLO's sender.
pub fn root(nonce: &[u8; 8], shared: &[(Secret, [u8; 8])]) -> [u8; 16] {
    let mut leaves: Vec<_> = shared
        .iter()
        .map(|(tg, digest)| {
            let mut hasher = blake3::Hasher::new_keyed(&tg.0);
            hasher.update(b"root").update(digest);
            *hasher.finalize().as_bytes()
        })
        .collect();
    leaves.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(nonce);
    leaves.iter().for_each(|leaf| {
        hasher.update(leaf);
    });
    prefix(&hasher.finalize())
}

fn prefix<const N: usize>(hash: &blake3::Hash) -> [u8; N] {
    let mut out = [0u8; N];
    out.copy_from_slice(&hash.as_bytes()[..N]);
    out
}

/// Own threads as told in one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadList {
    marks: Vec<ThreadMark>,
    own: Vec<usize>,
}

/// A thread that both sides named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Index in the list that [`ThreadList::new`] got.
    pub own: usize,
    /// Number in the own THREADS, from 1: `t` of the HAVEs that come in.
    pub ours: u32,
    /// Number in the peer's THREADS, from 1: `t` of the HAVEs that go out.
    pub theirs: u32,
    /// Both hold the same: no HAVE is needed.
    pub same: bool,
}

impl ThreadList {
    /// Marks for (tag key, digest) of each own thread; a thread in the middle of a key change is
    /// listed once for each key. At most [`limits::THREADS_PER_FRAME`], the first ones.
    pub fn new(own: &[(Secret, [u8; 8])], one: &[u8; 8], other: &[u8; 8]) -> ThreadList {
        let mut list: Vec<_> = own
            .iter()
            .take(limits::THREADS_PER_FRAME)
            .enumerate()
            .map(|(at, (tg, digest))| {
                let mark = ThreadMark {
                    tag: tag(tg, one, other),
                    digest: *digest,
                };
                (mark, at)
            })
            .collect();
        list.sort_unstable();
        let (marks, own) = list.into_iter().unzip();
        ThreadList { marks, own }
    }

    /// Body of the THREADS frame.
    pub fn marks(&self) -> &[ThreadMark] {
        &self.marks
    }

    /// Index (in the list that [`ThreadList::new`] got) of the thread that a received HAVE calls `t`.
    pub fn own(&self, t: u32) -> Option<usize> {
        self.own.get((t as usize).checked_sub(1)?).copied()
    }

    /// The threads that the peer named too, in the order of the own list. A tag that the peer
    /// lists twice counts once.
    pub fn shared(&self, theirs: &[ThreadMark]) -> Vec<Shared> {
        let mut by_tag = BTreeMap::new();
        for (number, mark) in (1..).zip(theirs) {
            by_tag.entry(mark.tag).or_insert((number, mark.digest));
        }
        let named = self.marks.iter().zip(&self.own);
        let mut out: Vec<Shared> = (1..)
            .zip(named)
            .filter_map(|(ours, (mark, own))| {
                by_tag.get(&mark.tag).map(|&(theirs, digest)| Shared {
                    own: *own,
                    ours,
                    theirs,
                    same: digest == mark.digest,
                })
            })
            .collect();
        out.sort_unstable_by_key(|s| s.own);
        out
    }
}
