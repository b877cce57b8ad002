//! What a device holds of a set of logs, as intervals: dense sequence numbers and one writer per
//! log make the set a product of intervals, so intervals are its right summary (about 3 B a log,
//! where an id-based set summary pays 8 B a difference).
//!
//! [`SeqSet`] is one log, [`Ranges`] all logs of a thread or handle, with the RANGES layout of
//! DETAILS section 2. `low` is the lowest number held; what lies below it is missing. An erased
//! entry stays in the set, since its hash is kept. Of signed heads only the newest lives, so there
//! `low == max`.

use crate::codec::{Malformed, Reader, Writer};
use crate::id::{Seq, Slot};
use crate::limits;
use std::collections::BTreeMap;

/// One of the three logs of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Log {
    /// Entries.
    Content = 0,
    /// Ops, commits and keys.
    Control = 1,
    /// Signed heads; only the newest is live.
    Heads = 2,
}

impl Log {
    /// All logs, in wire order.
    pub const ALL: [Log; 3] = [Log::Content, Log::Control, Log::Heads];

    /// From its wire number.
    pub fn from_u8(n: u8) -> Result<Log, Malformed> {
        Log::ALL.get(n as usize).copied().ok_or(Malformed("unknown log"))
    }
}

/// A set of sequence numbers as disjoint, sorted, non-touching intervals (both ends included).
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
pub struct SeqSet {
    runs: Vec<(Seq, Seq)>,
}

impl SeqSet {
    /// The empty set.
    pub fn new() -> SeqSet {
        SeqSet::default()
    }

    /// All numbers from `low` to `high`; empty if `low > high` or `low == 0`.
    pub fn interval(low: Seq, high: Seq) -> SeqSet {
        SeqSet {
            runs: if low == 0 || low > high {
                vec![]
            } else {
                vec![(low, high)]
            },
        }
    }

    /// Adds a number; returns whether it was new. 0 is never a member.
    pub fn insert(&mut self, seq: Seq) -> bool {
        if seq == 0 {
            return false;
        }
        let at = self.runs.partition_point(|r| r.1 < seq);
        if self.runs.get(at).is_some_and(|r| r.0 <= seq) {
            return false;
        }
        let joins_left = at > 0 && self.runs[at - 1].1 + 1 == seq;
        let joins_right = self.runs.get(at).is_some_and(|r| r.0 - 1 == seq);
        match (joins_left, joins_right) {
            (true, true) => {
                self.runs[at - 1].1 = self.runs[at].1;
                self.runs.remove(at);
            }
            (true, false) => self.runs[at - 1].1 = seq,
            (false, true) => self.runs[at].0 = seq,
            (false, false) => self.runs.insert(at, (seq, seq)),
        }
        true
    }

    /// Whether it holds `seq`.
    pub fn contains(&self, seq: Seq) -> bool {
        let at = self.runs.partition_point(|r| r.1 < seq);
        self.runs.get(at).is_some_and(|r| r.0 <= seq)
    }

    /// Largest member, 0 if empty.
    pub fn max(&self) -> Seq {
        self.runs.last().map_or(0, |r| r.1)
    }

    /// Smallest member, 0 if empty.
    pub fn low(&self) -> Seq {
        self.runs.first().map_or(0, |r| r.0)
    }

    /// Nothing in it.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Number of members.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|r| u64::from(r.1 - r.0) + 1).sum()
    }

    /// The intervals, sorted.
    pub fn runs(&self) -> &[(Seq, Seq)] {
        &self.runs
    }

    /// Members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Seq> + '_ {
        self.runs.iter().flat_map(|r| r.0..=r.1)
    }

    /// Members of `self` that `other` lacks.
    pub fn minus(&self, other: &SeqSet) -> SeqSet {
        let mut out = Vec::new();
        let mut theirs = other.runs.iter().peekable();
        for &(mut low, high) in &self.runs {
            while theirs.next_if(|r| r.1 < low).is_some() {}
            let mut ahead = theirs.clone();
            let mut ended = false;
            while let Some(r) = ahead.next_if(|r| r.0 <= high) {
                if r.0 > low {
                    out.push((low, r.0 - 1));
                }
                if r.1 >= high {
                    ended = true;
                    break;
                }
                low = r.1 + 1;
            }
            if !ended {
                out.push((low, high));
            }
        }
        SeqSet { runs: out }
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: &SeqSet) {
        let mut all = [self.runs.as_slice(), other.runs.as_slice()].concat();
        all.sort_unstable();
        self.runs.clear();
        for r in all {
            match self.runs.last_mut() {
                Some(last) if last.1 >= r.0 - 1 => last.1 = last.1.max(r.1),
                _ => self.runs.push(r),
            }
        }
    }

    /// Holds all of `other`.
    pub fn covers(&self, other: &SeqSet) -> bool {
        other.minus(self).is_empty()
    }

    /// Gaps between intervals as (members since the last hole, length of the hole).
    pub fn holes(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.runs
            .windows(2)
            .map(|w| (w[0].1 - w[0].0 + 1, w[1].0 - w[0].1 - 1))
    }

    /// The set cut to what fits into RANGES: at most [`limits::HOLES_PER_LOG`] holes, lowest kept.
    pub fn for_wire(&self) -> SeqSet {
        SeqSet {
            runs: self
                .runs
                .iter()
                .take(limits::HOLES_PER_LOG + 1)
                .copied()
                .collect(),
        }
    }

    /// `low | max - low | holes`, as in RANGES. The set must not be empty.
    pub fn write(&self, w: &mut Writer) {
        let cut = self.for_wire();
        w.varint(cut.low())
            .varint(cut.max() - cut.low())
            .count(cut.runs.len() - 1);
        for (gap, run) in cut.holes() {
            w.varint(gap).varint(run);
        }
    }

    /// Reads [`SeqSet::write`].
    pub fn read(r: &mut Reader<'_>) -> Result<SeqSet, Malformed> {
        let low = r.varint()?;
        let max = low.checked_add(r.varint()?).ok_or(Malformed("range overflow"))?;
        let holes = r.count(limits::HOLES_PER_LOG)?;
        SeqSet::read_holes(r, low, max, holes)
    }

    /// Reads `holes` pairs between `low` and `max`.
    pub fn read_holes(r: &mut Reader<'_>, low: Seq, max: Seq, holes: usize) -> Result<SeqSet, Malformed> {
        if low == 0 || max < low {
            return Err(Malformed("range starts at 1"));
        }
        let mut runs = Vec::with_capacity(holes + 1);
        let mut at = low;
        for _ in 0..holes {
            let (gap, run) = (r.varint()?, r.varint()?);
            if gap == 0 || run == 0 {
                return Err(Malformed("empty hole or gap"));
            }
            let end = at.checked_add(gap - 1).ok_or(Malformed("range overflow"))?;
            runs.push((at, end));
            at = end
                .checked_add(run)
                .and_then(|x| x.checked_add(1))
                .ok_or(Malformed("range overflow"))?;
        }
        if at > max {
            return Err(Malformed("holes beyond the range"));
        }
        runs.push((at, max));
        Ok(SeqSet { runs })
    }
}

impl FromIterator<Seq> for SeqSet {
    fn from_iter<I: IntoIterator<Item = Seq>>(iter: I) -> SeqSet {
        let mut out = SeqSet::new();
        for seq in iter {
            out.insert(seq);
        }
        out
    }
}

/// What is held of each log. Empty logs are absent.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ranges(pub BTreeMap<(Slot, Log), SeqSet>);

impl Ranges {
    /// Nothing.
    pub fn new() -> Ranges {
        Ranges::default()
    }

    /// Adds one place; a newer head replaces the older.
    pub fn insert(&mut self, slot: Slot, log: Log, seq: Seq) -> bool {
        let set = self.0.entry((slot, log)).or_default();
        if log == Log::Heads {
            let newer = seq > set.max();
            if newer {
                *set = SeqSet::interval(seq, seq);
            }
            return newer;
        }
        set.insert(seq)
    }

    /// Takes a number out; a log without numbers is not listed.
    pub fn remove(&mut self, slot: Slot, log: Log, seq: Seq) {
        let Some(set) = self.0.get_mut(&(slot, log)) else {
            return;
        };
        *set = set.minus(&SeqSet::interval(seq, seq));
        if set.is_empty() {
            self.0.remove(&(slot, log));
        }
    }

    /// Whether the place is held. A superseded head counts as held.
    pub fn contains(&self, slot: Slot, log: Log, seq: Seq) -> bool {
        self.0.get(&(slot, log)).is_some_and(|s| match log {
            Log::Heads => s.max() >= seq,
            Log::Content | Log::Control => s.contains(seq),
        })
    }

    /// The set of one log.
    pub fn get(&self, slot: Slot, log: Log) -> Option<&SeqSet> {
        self.0.get(&(slot, log))
    }

    /// Places that `self` holds and `other` lacks; of heads only a newer one counts.
    pub fn minus(&self, other: &Ranges) -> Ranges {
        let mut out = Ranges::new();
        for (key, set) in &self.0 {
            let left = match other.0.get(key) {
                Some(theirs) if key.1 == Log::Heads && theirs.max() >= set.max() => SeqSet::new(),
                Some(theirs) => set.minus(theirs),
                None => set.clone(),
            };
            if !left.is_empty() {
                out.0.insert(*key, left);
            }
        }
        out
    }

    /// Places held in all.
    pub fn len(&self) -> u64 {
        self.0.values().map(SeqSet::len).sum()
    }

    /// Nothing held.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(SeqSet::is_empty)
    }

    /// `n | n x (slot, log, set)`.
    pub fn write(&self, w: &mut Writer) {
        let full = self
            .0
            .iter()
            .filter(|(_, s)| !s.is_empty())
            .take(limits::LOGS_PER_RANGES);
        w.count(full.clone().count());
        for ((slot, log), set) in full {
            w.put(&slot.0).u8(*log as u8);
            set.write(w);
        }
    }

    /// Reads [`Ranges::write`]; keys must be strictly ascending.
    pub fn read(r: &mut Reader<'_>) -> Result<Ranges, Malformed> {
        let n = r.count(limits::LOGS_PER_RANGES)?;
        let mut out = Ranges::new();
        for _ in 0..n {
            let key = (Slot(r.array()?), Log::from_u8(r.u8()?)?);
            if out.0.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(Malformed("logs not sorted"));
            }
            out.0.insert(key, SeqSet::read(r)?);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
