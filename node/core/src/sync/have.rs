//! HAVE: what the sender holds of one thread or handle.
//!
//! Both sides of a thread know the same sorted slots, so implicit costs 3 B a log at first contact.
//! A digest or base that the receiver does not know is no error of the peer: it asks for an
//! explicit, full HAVE. A delta replaces the logs it lists; a full one all logs spoken of.

use crate::blobs::Blobs;
use crate::codec::{Malformed, Reader, Writer};
use crate::id::{Handle, Slot};
use crate::limits;
use crate::ranges::{Log, Ranges, SeqSet};
use bytes::Bytes;

/// What a HAVE is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Number in the receiver's THREADS, from 1.
    Thread(u32),
    /// A mailbox, or a thread outside a session.
    Handle(Handle),
}

/// A set of logs, as bits `1 << log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logs(u8);

impl Logs {
    /// Entries only.
    pub const CONTENT: Logs = Logs(1);
    /// Ops, commits and keys, and signed heads.
    pub const CONTROL: Logs = Logs(6);
    /// All three.
    pub const ALL: Logs = Logs(7);

    /// Whether `log` is one of them.
    pub fn contains(self, log: Log) -> bool {
        self.0 & 1 << log as u8 != 0
    }

    /// All of both.
    pub fn union(self, other: Logs) -> Logs {
        Logs(self.0 | other.0)
    }

    fn list(self) -> Vec<Log> {
        Log::ALL.into_iter().filter(|l| self.contains(*l)).collect()
    }
}

/// What one side holds, or can open, of one thread or handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// Of what.
    pub subject: Subject,
    /// Authenticated and readable rather than merely stored.
    pub open: bool,
    /// Which logs it speaks of; the others may hold anything.
    pub logs: Logs,
    /// Grows from HAVE to HAVE of one sender to one receiver about one subject; parts of one HAVE
    /// share it. A number that was sent is never given to other content, even after a restart:
    /// else a later delta would build on the wrong base.
    pub number: u32,
    /// What is held.
    pub ranges: Ranges,
    /// Chunks held; `None` says nothing of them.
    pub blobs: Option<Blobs>,
    /// The sender could not resolve the receiver's last HAVE and asks for an explicit, full one.
    pub ask_explicit: bool,
}

/// Why a HAVE cannot be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HaveError {
    /// It follows another list of slots: ask for an explicit one.
    #[error("unknown slot list")]
    UnknownSlots,
    /// It builds on a HAVE that is not known here: ask for an explicit one.
    #[error("unknown base")]
    UnknownBase,
    /// The peer broke the layout.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The start of a HAVE: enough to find what it builds on. The whole layout:
///
/// ```text
/// t varint (n >= 1: number n in the receiver's THREADS; 0: handle 8 follows)
/// hf 1: 1 open, 2 delta, 4 blobs, 8 implicit, 16 "say all explicitly next";
///       32, 64, 128: nothing is said of the content, control, heads log
/// no varint | delta: back varint (base = no - back) | implicit: slots digest 4 | form | [BLOBS]
///
/// form:  explicit, delta or not   RANGES (delta: the logs that changed)
///        implicit                 for each slot in order, for each log spoken of: log(max)
///        implicit delta           n varint | n x (logs skipped varint | log(growth of max))
/// log:   m varint; nothing more if m = 0 (implicit: nothing held) or for heads, of which one lives;
///        else f varint (holes x 2 + (low > 1)) | [low varint] | holes x (gap varint, run varint)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaveHead {
    /// Of what.
    pub subject: Subject,
    /// See [`Have::open`].
    pub open: bool,
    /// See [`Have::logs`].
    pub logs: Logs,
    /// See [`Have::number`].
    pub number: u32,
    /// Number of the HAVE that it builds on.
    pub base: Option<u32>,
    /// Digest of the slot list that it follows.
    pub slots: Option<[u8; 4]>,
    /// See [`Have::ask_explicit`].
    pub ask_explicit: bool,
    has_blobs: bool,
    rest: Bytes,
}

/// `BLAKE3(slots concatenated)[..4]`; the slots sorted, each once.
pub fn slots_digest(slots: &[Slot]) -> [u8; 4] {
    let mut hasher = blake3::Hasher::new();
    slots.iter().for_each(|s| {
        hasher.update(&s.0);
    });
    let hash = hasher.finalize();
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

const OPEN: u8 = 1;
const DELTA: u8 = 2;
const BLOBS: u8 = 4;
const IMPLICIT: u8 = 8;
const ASK_EXPLICIT: u8 = 16;
const SILENT_SHIFT: u32 = 5;
/// Most bytes before the form, and the counts.
const HEAD_BYTES: usize = 5 + 8 + 1 + 5 + 5 + 4 + 10;

impl Have {
    /// A HAVE of stored items about all logs, without blobs.
    pub fn new(subject: Subject, number: u32, ranges: Ranges) -> Have {
        Have {
            subject,
            open: false,
            logs: Logs::ALL,
            number,
            ranges,
            blobs: None,
            ask_explicit: false,
        }
    }

    /// Bodies of HAVE frames that say this in the fewest bytes: one, or several with the same
    /// number about disjoint logs when one would exceed [`limits::HAVE_BYTES`].
    ///
    /// `slots`: the sorted list that the receiver is believed to know, `None` after it asked for
    /// an explicit HAVE. `base`: the last HAVE that the receiver is believed to know. Of a log with
    /// more than [`limits::HOLES_PER_LOG`] holes the upper part is left out.
    pub fn encode_all(&self, slots: Option<&[Slot]>, base: Option<&Have>) -> Vec<Bytes> {
        let full = Said {
            ranges: cut(&self.ranges, self.logs),
            blobs: self.blobs.clone(),
            base: None,
        };
        let delta = base
            .filter(|b| b.number < self.number && b.open == self.open && b.logs == self.logs)
            .and_then(|b| full.since(b));
        let known = slots.filter(|s| {
            s.len() <= limits::SLOTS
                && full
                    .ranges
                    .0
                    .keys()
                    .all(|(slot, _)| s.binary_search(slot).is_ok())
        });
        let forms = delta.iter().chain([&full]);
        let best = forms
            .flat_map(|said| [self.body(said, known), self.body(said, None)])
            .min_by_key(Bytes::len);
        let layers = self.blobs.as_ref().map_or(0, |b| b.0.len());
        match best {
            Some(body) if body.len() <= limits::HAVE_BYTES && layers <= limits::OBJECTS_PER_BLOBS => {
                vec![body]
            }
            _ => {
                let parts = delta.unwrap_or(full).split();
                parts.iter().map(|part| self.body(part, None)).collect()
            }
        }
    }

    fn body(&self, said: &Said, slots: Option<&[Slot]>) -> Bytes {
        let mut w = Writer::new();
        match self.subject {
            Subject::Thread(n) => w.varint(n),
            Subject::Handle(handle) => w.varint(0).put(&handle.0),
        };
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        let flags = bit(self.open, OPEN)
            | bit(said.base.is_some(), DELTA)
            | bit(said.blobs.is_some(), BLOBS)
            | bit(slots.is_some(), IMPLICIT)
            | bit(self.ask_explicit, ASK_EXPLICIT);
        w.u8(flags | (!self.logs.0 & 7) << SILENT_SHIFT)
            .varint(self.number);
        if let Some((number, _)) = &said.base {
            w.varint(self.number - number);
        }
        match slots {
            None => said.ranges.write(&mut w),
            Some(slots) => {
                w.put(&slots_digest(slots));
                said.write_implicit(&mut w, slots, self.logs);
            }
        }
        if let Some(blobs) = &said.blobs {
            blobs.write(&mut w);
        }
        w.finish()
    }

    /// Adds another part with the same number.
    pub fn merge(&mut self, part: &Have) {
        self.logs = self.logs.union(part.logs);
        self.ask_explicit |= part.ask_explicit;
        for ((slot, log), set) in &part.ranges.0 {
            let mine = self.ranges.0.entry((*slot, *log)).or_default();
            match log {
                Log::Heads => *mine = newest(mine.max().max(set.max())),
                Log::Content | Log::Control => mine.extend(set),
            }
        }
        for (key, chunks) in part.blobs.iter().flat_map(|b| &b.0) {
            let mine = &mut self.blobs.get_or_insert_default().0;
            mine.entry(*key)
                .and_modify(|m| m.extend(chunks))
                .or_insert_with(|| chunks.clone());
        }
    }
}

/// What one body says: all, or the changes since a base.
struct Said {
    ranges: Ranges,
    blobs: Option<Blobs>,
    base: Option<(u32, Ranges)>,
}

impl Said {
    /// The changes since `base`, if a delta can express them: sets that only grew.
    fn since(&self, base: &Have) -> Option<Said> {
        let former = cut(&base.ranges, base.logs);
        let grew = former
            .0
            .iter()
            .all(|(key, set)| self.ranges.0.get(key).is_some_and(|now| grew(key.1, set, now)));
        let none = Blobs::new();
        let (was, is) = match (&base.blobs, &self.blobs) {
            (Some(was), Some(is)) => (was, is),
            (None, None) => (&none, &none),
            _ => return None,
        };
        let blobs_grew = (was.0.iter()).all(|(key, set)| is.0.get(key).is_some_and(|now| now.covers(set)));
        if !grew || !blobs_grew {
            return None;
        }
        let mut ranges = self.ranges.clone();
        ranges.0.retain(|key, set| former.0.get(key) != Some(set));
        let mut blobs = is.clone();
        blobs.0.retain(|key, chunks| was.0.get(key) != Some(chunks));
        Some(Said {
            ranges,
            blobs: (!blobs.is_empty()).then_some(blobs),
            base: Some((base.number, former)),
        })
    }

    fn write_implicit(&self, w: &mut Writer, slots: &[Slot], logs: Logs) {
        let empty = SeqSet::new();
        let places = slots
            .iter()
            .flat_map(|s| logs.list().into_iter().map(|log| (*s, log)));
        let Some((_, former)) = &self.base else {
            for key in places {
                let set = self.ranges.0.get(&key).unwrap_or(&empty);
                write_log(w, key.1, set, set.max());
            }
            return;
        };
        w.count(self.ranges.0.len());
        let mut next = 0;
        for (at, key) in places.enumerate() {
            if let Some(set) = self.ranges.0.get(&key) {
                w.count(at - next);
                next = at + 1;
                write_log(
                    w,
                    key.1,
                    set,
                    set.max() - former.0.get(&key).unwrap_or(&empty).max(),
                );
            }
        }
    }

    /// Explicit parts that each fit. The first speaks of blobs if any does, so that it can
    /// replace what was known before and the others add to it.
    fn split(self) -> Vec<Said> {
        let room = limits::HAVE_BYTES - HEAD_BYTES;
        let part = |blobs| Said {
            ranges: Ranges::new(),
            blobs,
            base: self.base.clone(),
        };
        let mut parts = vec![part(self.blobs.as_ref().map(|_| Blobs::new()))];
        let (mut used, mut layers) = (0, 0);
        for (key, set) in self.ranges.0 {
            let mut w = Writer::new();
            set.write(&mut w);
            used += w.0.len() + 5;
            if used > room {
                used = w.0.len() + 5;
                parts.push(part(None));
            }
            let last = parts.last_mut().expect("there is a first part");
            last.ranges.0.insert(key, set);
        }
        for (key, chunks) in self.blobs.into_iter().flat_map(|b| b.0) {
            let mut w = Writer::new();
            let one = Blobs([(key, chunks.clone())].into());
            one.write(&mut w);
            used += w.0.len();
            layers += 1;
            if used > room || layers > limits::OBJECTS_PER_BLOBS {
                (used, layers) = (w.0.len(), 1);
                parts.push(part(None));
            }
            let last = parts.last_mut().expect("there is a first part");
            last.blobs.get_or_insert_default().0.insert(key, chunks);
        }
        parts
    }
}

fn newest(max: u32) -> SeqSet {
    SeqSet::interval(max, max)
}

fn grew(log: Log, was: &SeqSet, is: &SeqSet) -> bool {
    match log {
        Log::Heads => is.max() >= was.max(),
        Log::Content | Log::Control => is.covers(was),
    }
}

/// The logs spoken of, as they survive the wire.
fn cut(ranges: &Ranges, logs: Logs) -> Ranges {
    let kept = ranges
        .0
        .iter()
        .filter(|((_, log), set)| logs.contains(*log) && !set.is_empty());
    let wire = kept.map(|(key, set)| match key.1 {
        Log::Heads => (*key, newest(set.max())),
        Log::Content | Log::Control => (*key, set.for_wire()),
    });
    Ranges(wire.collect())
}

fn write_log(w: &mut Writer, log: Log, set: &SeqSet, max: u32) {
    w.varint(max);
    if set.is_empty() || log == Log::Heads {
        return;
    }
    let low = u32::from(set.low() > 1);
    w.varint((set.runs().len() as u32 - 1) << 1 | low);
    if low == 1 {
        w.varint(set.low());
    }
    for (gap, run) in set.holes() {
        w.varint(gap).varint(run);
    }
}

fn read_log(r: &mut Reader<'_>, log: Log, former: Option<u32>) -> Result<SeqSet, Malformed> {
    let max = (former.unwrap_or(0))
        .checked_add(r.varint()?)
        .ok_or(Malformed("range overflow"))?;
    if log == Log::Heads || (max == 0 && former.is_none()) {
        return Ok(newest(max));
    }
    let f = r.varint()?;
    let holes = f as usize >> 1;
    if holes > limits::HOLES_PER_LOG {
        return Err(Malformed("count over the limit"));
    }
    let low = if f & 1 == 1 { r.varint()? } else { 1 };
    if f & 1 == 1 && low < 2 {
        return Err(Malformed("low flagged without need"));
    }
    SeqSet::read_holes(r, low, max, holes)
}

impl HaveHead {
    /// Reads the start. `body` is shared, not copied.
    pub fn decode(body: &Bytes) -> Result<HaveHead, Malformed> {
        if body.len() > limits::HAVE_BYTES {
            return Err(Malformed("have over the limit"));
        }
        let mut r = Reader::new(body);
        let subject = match r.varint()? {
            0 => Subject::Handle(Handle(r.array()?)),
            n => Subject::Thread(n),
        };
        let flags = r.u8()?;
        let logs = Logs(!(flags >> SILENT_SHIFT) & 7);
        if logs.0 == 0 {
            return Err(Malformed("speaks of no log"));
        }
        let number = r.varint()?;
        let base = match flags & DELTA {
            0 => None,
            _ => {
                let back = r.varint()?;
                let base = number.checked_sub(back).filter(|_| back > 0);
                Some(base.ok_or(Malformed("base not before"))?)
            }
        };
        let slots = match flags & IMPLICIT {
            0 => None,
            _ => Some(r.array()?),
        };
        Ok(HaveHead {
            subject,
            open: flags & OPEN != 0,
            logs,
            number,
            base,
            slots,
            ask_explicit: flags & ASK_EXPLICIT != 0,
            has_blobs: flags & BLOBS != 0,
            rest: body.slice(r.position()..),
        })
    }

    /// What the sender holds. `slots`: the sorted list known here; `base`: the HAVE known here,
    /// its parts merged. Either may be missing, and is ignored where it is not needed.
    pub fn resolve(&self, slots: Option<&[Slot]>, base: Option<&Have>) -> Result<Have, HaveError> {
        let base = match self.base {
            None => None,
            Some(number) => {
                let known = base.filter(|b| b.number == number && b.open == self.open);
                Some(known.ok_or(HaveError::UnknownBase)?)
            }
        };
        let r = &mut Reader::new(&self.rest);
        let mut ranges = base.map_or_else(Ranges::new, |b| cut(&b.ranges, self.logs));
        match self.slots {
            None => self.read_explicit(r, &mut ranges)?,
            Some(digest) => {
                let slots = slots.filter(|s| s.len() <= limits::SLOTS && slots_digest(s) == digest);
                self.read_implicit(r, &mut ranges, slots.ok_or(HaveError::UnknownSlots)?)?;
            }
        }
        let mut blobs = base.and_then(|b| b.blobs.clone());
        if self.has_blobs {
            let listed = Blobs::read(r)?;
            blobs.get_or_insert_default().0.extend(listed.0);
        }
        r.end()?;
        Ok(Have {
            subject: self.subject,
            open: self.open,
            logs: self.logs,
            number: self.number,
            ranges,
            blobs,
            ask_explicit: self.ask_explicit,
        })
    }

    fn read_explicit(&self, r: &mut Reader<'_>, ranges: &mut Ranges) -> Result<(), Malformed> {
        let listed = Ranges::read(r)?;
        if !listed.0.keys().all(|(_, log)| self.logs.contains(*log)) {
            return Err(Malformed("log not spoken of"));
        }
        ranges.0.extend(cut(&listed, self.logs).0);
        Ok(())
    }

    fn read_implicit(
        &self,
        r: &mut Reader<'_>,
        ranges: &mut Ranges,
        slots: &[Slot],
    ) -> Result<(), HaveError> {
        let logs = self.logs.list();
        let place = |at: usize| (slots.get(at / logs.len())).map(|slot| (*slot, logs[at % logs.len()]));
        if self.base.is_none() {
            for key in (0..).map_while(place) {
                let set = read_log(r, key.1, None)?;
                if !set.is_empty() {
                    ranges.0.insert(key, set);
                }
            }
            return Ok(());
        }
        let places = slots.len() * logs.len();
        let n = r.count(places)?;
        let mut at = 0;
        for _ in 0..n {
            at += r.count(places)?;
            let key = place(at).ok_or(Malformed("slot beyond the list"))?;
            let former = ranges.get(key.0, key.1).map_or(0, SeqSet::max);
            // a part of the base was lost: not the peer's fault
            let set = read_log(r, key.1, Some(former)).map_err(|_| HaveError::UnknownBase)?;
            if !set.is_empty() {
                ranges.0.insert(key, set);
            }
            at += 1;
        }
        Ok(())
    }
}
