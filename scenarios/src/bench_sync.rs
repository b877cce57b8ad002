//! How many bytes it takes two devices to learn what each lacks: our HAVE against negentropy (a
//! range-based set reconciliation over 32-byte ids) and against the information bound, on the very
//! same sets.
//!
//! Two devices share one thread; of all messages each lacks some, either the last ones of some
//! authors (a partition) or random ones (priorities and carriers make holes). It is first contact:
//! no remembered frontier, no delta. Every result is checked: both methods must find exactly the
//! missing messages, or [`Comparison::exact`] is false. All is counted with frame headers.
//! Nothing here touches a socket or a clock; the same seed gives the same numbers.

mod flights;

use aidmesh_core::blobs::Blobs;
use aidmesh_core::crypto::{Secret, Stream, kdf};
use aidmesh_core::entry::entry_hash;
use aidmesh_core::id::{Seq, Slot};
use aidmesh_core::ranges::{Log, Ranges, SeqSet};
use aidmesh_core::sync::{Have, HaveHead, Logs, Subject, ThreadList, threads};
use aidmesh_core::wire::{Frame, Hello};
use flights::Flights;
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use serde::Serialize;
use std::collections::BTreeSet;

/// Which messages are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// A partition: each side lacks the last ones of the authors of the other side.
    Contiguous,
    /// Each message is missing on a random side.
    Random,
}

/// The sets to compare on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sets {
    /// Which messages are missing.
    pub pattern: Pattern,
    /// Devices that write, at least 2.
    pub authors: u32,
    /// Messages of all authors.
    pub messages: u32,
    /// Messages that one side lacks, both sides together.
    pub missing: u32,
    /// Of the random choices.
    pub seed: u8,
}

/// Result on one pair of sets. Bytes are of both directions together unless they are a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The sets.
    pub sets: Sets,
    /// HAVE frames about content logs, by direction.
    pub have_content_bytes: [usize; 2],
    /// HAVE frames about control logs and signed heads, which negentropy's sets do not hold.
    pub have_control_bytes: [usize; 2],
    /// HELLO frames.
    pub hello_bytes: usize,
    /// THREADS frames, for one shared thread.
    pub threads_bytes: usize,
    /// Round trips from the first HAVE to the last missing entry, counted on two machines.
    pub have_round_trips: u64,
    /// One-way flights from nothing to the last missing entry at first contact, counted there too.
    pub flights: u64,
    /// The same where two meet who remember each other.
    pub flights_known_peer: u64,
    /// All messages of negentropy, without any header of ours.
    pub negentropy_bytes: usize,
    /// Its messages, one after the other.
    pub negentropy_flights: usize,
    /// Its messages of the initiator: each waits for an answer.
    pub negentropy_round_trips: usize,
    /// `(log2 C(messages, missing) + missing) / 8`: what it takes to name the missing messages and
    /// their sides when both know all logs' lengths.
    pub bound_bytes: f64,
    /// Both methods found exactly what is missing.
    pub exact: bool,
}

impl Comparison {
    /// Our HAVEs about content, both directions.
    pub fn have_bytes(&self) -> usize {
        self.have_content_bytes.iter().sum()
    }
}

/// 10 000 messages of 12 devices, 100 missing. `None` if the machines on which flights are counted did
/// not exchange what they should.
pub fn run() -> Option<Vec<Comparison>> {
    let meetings = flights::count()?;
    let sets = [Pattern::Contiguous, Pattern::Random].map(|pattern| Sets {
        pattern,
        authors: 12,
        messages: 10_000,
        missing: 100,
        seed: 1,
    });
    Some(sets.map(|sets| compare(sets, &meetings)).to_vec())
}

fn compare(sets: Sets, [first, again]: &[Flights; 2]) -> Comparison {
    let slots: Vec<Slot> = (0..sets.authors).map(slot).collect();
    let lacking = lacking(&sets);
    let held = [0, 1].map(|side| content(&sets).minus(&lacking[side]));
    let content = speak(&slots, &held, Logs::CONTENT);
    let control = speak(&slots, &[(); 2].map(|()| control(&sets)), Logs::CONTROL);
    let negentropy = reconcile(&held);
    let lacks = [0, 1].map(|side| ids(&lacking[side]));
    Comparison {
        sets,
        have_content_bytes: content.0,
        have_control_bytes: control.0,
        hello_bytes: 2 * hello_bytes(),
        threads_bytes: threads_bytes(&held),
        have_round_trips: first.after_have.div_ceil(2),
        flights: first.in_all,
        flights_known_peer: again.in_all,
        negentropy_bytes: negentropy.bytes,
        negentropy_flights: negentropy.flights,
        negentropy_round_trips: negentropy.flights.div_ceil(2),
        bound_bytes: bound_bytes(sets.messages, sets.missing),
        exact: content.1 == lacking && negentropy.lacks == lacks,
    }
}

fn slot(author: u32) -> Slot {
    Slot(author.to_be_bytes())
}

fn author_messages(sets: &Sets, author: u32) -> u32 {
    sets.messages / sets.authors + u32::from(author < sets.messages % sets.authors)
}

fn content(sets: &Sets) -> Ranges {
    let logs = (0..sets.authors).map(|author| {
        let all = SeqSet::interval(1, author_messages(sets, author));
        ((slot(author), Log::Content), all)
    });
    Ranges(logs.collect())
}

/// A control log of 20 ops and commits and a head for every 16 messages, for each author.
fn control(sets: &Sets) -> Ranges {
    let mut out = Ranges::new();
    for author in 0..sets.authors {
        out.0
            .insert((slot(author), Log::Control), SeqSet::interval(1, 20));
        let heads = author_messages(sets, author).div_ceil(16);
        out.insert(slot(author), Log::Heads, heads);
    }
    out
}

fn lacking(sets: &Sets) -> [Ranges; 2] {
    let mut stream = Stream::new([sets.seed; 32]);
    let mut out: [Ranges; 2] = Default::default();
    let mut n = 0;
    while n < sets.missing {
        let (side, author, seq) = match sets.pattern {
            Pattern::Contiguous => {
                let author = n % sets.authors;
                let side = u32::from(author >= sets.authors / 2);
                (side, author, author_messages(sets, author) - n / sets.authors)
            }
            Pattern::Random => {
                let author = stream.below(u64::from(sets.authors)) as u32;
                let seq = 1 + stream.below(u64::from(author_messages(sets, author))) as u32;
                (stream.below(2) as u32, author, seq)
            }
        };
        let taken = out.iter().any(|r| r.contains(slot(author), Log::Content, seq));
        if !taken {
            out[side as usize].insert(slot(author), Log::Content, seq);
            n += 1;
        }
    }
    out
}

/// Both sides say what they hold; bytes by direction and what each side then knows to lack.
fn speak(slots: &[Slot], held: &[Ranges; 2], logs: Logs) -> ([usize; 2], [Ranges; 2]) {
    let mut bytes = [0; 2];
    let mut lacks: [Ranges; 2] = Default::default();
    for (side, ranges) in held.iter().enumerate() {
        let mut have = Have::new(Subject::Thread(1), 1, ranges.clone());
        have.logs = logs;
        let other = 1 - side;
        for body in have.encode_all(Some(slots), None) {
            let heard = HaveHead::decode(&body).map(|head| head.resolve(Some(slots), None));
            if let Ok(Ok(heard)) = heard {
                lacks[other].0.extend(heard.ranges.minus(&held[other]).0);
            }
            bytes[side] += Frame::Have(body).encode().len();
        }
    }
    (bytes, lacks)
}

fn hello_bytes() -> usize {
    let hello = Hello {
        caps: 0,
        nonce: [1; 8],
        ms: 0,
        set: 0,
        root: [0; 16],
    };
    Frame::Hello(hello).encode().len()
}

fn threads_bytes(held: &[Ranges; 2]) -> usize {
    let tag_key: Secret = kdf(b"bench", "tag");
    let frames = held.iter().map(|ranges| {
        let own = [(tag_key.clone(), threads::digest(ranges, &Blobs::new()))];
        let list = ThreadList::new(&own, &[1; 8], &[2; 8]);
        Frame::Threads(list.marks().to_vec()).encode().len()
    });
    frames.sum()
}

struct Reconciled {
    bytes: usize,
    flights: usize,
    /// Ids that side 0 and side 1 lack.
    lacks: [BTreeSet<[u8; 32]>; 2],
}

/// Negentropy without a limit on its messages, side 0 begins.
fn reconcile(held: &[Ranges; 2]) -> Reconciled {
    let stores = held.each_ref().map(storage);
    let sides = stores.each_ref().map(|store| Negentropy::borrowed(store, 0));
    let [Ok(mut client), Ok(mut server)] = sides else {
        unreachable!("no limit is a valid limit")
    };
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let mut query = client.initiate().expect("a sealed store can begin");
    let (mut bytes, mut flights) = (0, 0);
    while !query.is_empty() {
        let answer = server.reconcile(&query).expect("our own message is valid");
        bytes += query.len() + answer.len();
        flights += 2;
        let next = client.reconcile_with_ids(&answer, &mut have, &mut need);
        query = next.expect("our own message is valid").unwrap_or_default();
    }
    let set = |ids: Vec<Id>| ids.iter().map(|id| id.to_bytes()).collect();
    Reconciled {
        bytes,
        flights,
        lacks: [set(need), set(have)],
    }
}

fn storage(held: &Ranges) -> NegentropyStorageVector {
    let mut store = NegentropyStorageVector::new();
    for (slot, seq) in places(held) {
        // authors write in turn, so time orders by number, then author
        let second = u64::from(seq) << 32 | u64::from(u32::from_be_bytes(slot.0));
        let id = Id::from_byte_array(id(slot, seq));
        store.insert(second, id).expect("not sealed yet");
    }
    store.seal().expect("sealed once");
    store
}

fn places(ranges: &Ranges) -> impl Iterator<Item = (Slot, Seq)> {
    ranges
        .0
        .iter()
        .flat_map(|((slot, _), set)| set.iter().map(|seq| (*slot, seq)))
}

fn ids(ranges: &Ranges) -> BTreeSet<[u8; 32]> {
    places(ranges).map(|(slot, seq)| id(slot, seq)).collect()
}

/// `BLAKE3(slot | seq)`.
fn id(slot: Slot, seq: Seq) -> [u8; 32] {
    entry_hash(&[slot.0, seq.to_le_bytes()].concat())
}

fn bound_bytes(messages: u32, missing: u32) -> f64 {
    let (n, d) = (f64::from(messages), f64::from(missing));
    let choose: f64 = (1..=missing)
        .map(|i| ((n - d + f64::from(i)) / f64::from(i)).log2())
        .sum();
    (choose + d) / 8.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_methods_find_the_missing_and_ours_stays_within_its_budget() {
        let results = run().unwrap();
        for (result, budget) in results.iter().zip([120, 450]) {
            assert!(result.exact);
            assert_eq!(result.have_round_trips, 1);
            assert!(result.have_bytes() <= budget);
            assert!(result.have_bytes() * 10 < result.negentropy_bytes);
        }
    }
}
