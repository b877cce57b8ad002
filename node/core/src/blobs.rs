//! Which chunks of which blobs a device holds: the bitmap that stands for HAVE, makes a transfer
//! resume, and proves a layer complete.
//!
//! BLOBS layout (DETAILS section 2): `m varint, m x (object8 | layer 1 | total varint | n varint,
//! n x run varint)`; runs alternate missing and present, starting with missing; only the first may
//! be 0; what follows the last run is missing.

use crate::codec::{Malformed, Reader, Writer};
use crate::id::Object8;
use crate::limits;
use crate::ranges::SeqSet;
use std::collections::BTreeMap;

/// Chunks held of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Chunks {
    /// Chunks that the layer has, at least 1.
    pub total: u32,
    held: SeqSet,
}

impl Chunks {
    /// None held of `total`.
    pub fn none_of(total: u32) -> Chunks {
        Chunks {
            total,
            held: SeqSet::new(),
        }
    }

    /// All held of `total`.
    pub fn all_of(total: u32) -> Chunks {
        Chunks {
            total,
            held: SeqSet::interval(1, total),
        }
    }

    /// Marks chunk `index` (from 0); returns whether it was new. Out of range is never new.
    pub fn insert(&mut self, index: u32) -> bool {
        index < self.total && self.held.insert(index + 1)
    }

    /// Whether chunk `index` is held.
    pub fn contains(&self, index: u32) -> bool {
        index < u32::MAX && self.held.contains(index + 1)
    }

    /// Number held.
    pub fn held(&self) -> u32 {
        self.held.len() as u32
    }

    /// All are held.
    pub fn complete(&self) -> bool {
        self.held() == self.total
    }

    /// The chunks held as intervals of index + 1.
    pub fn numbers(&self) -> &SeqSet {
        &self.held
    }

    /// Indices held here and not in `other`, ascending.
    pub fn minus(&self, other: Option<&Chunks>) -> Vec<u32> {
        match other {
            Some(other) => self.held.minus(&other.held).iter().map(|n| n - 1).collect(),
            None => self.held.iter().map(|n| n - 1).collect(),
        }
    }

    /// Holds all that `other` holds.
    pub fn covers(&self, other: &Chunks) -> bool {
        self.held.covers(&other.held)
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: &Chunks) {
        self.held.extend(&other.held);
    }

    /// What fits into a bitmap on the wire; the rest of a very ragged one is said when it is whole.
    pub fn for_wire(&self) -> Chunks {
        let runs = self.held.runs().iter().take(limits::RUNS_PER_BITMAP / 2);
        let mut held = SeqSet::new();
        runs.for_each(|(low, high)| held.extend(&SeqSet::interval(*low, *high)));
        Chunks {
            total: self.total,
            held,
        }
    }

    fn write(&self, w: &mut Writer) {
        let runs = self.held.runs();
        let runs = &runs[..runs.len().min(limits::RUNS_PER_BITMAP / 2)];
        w.varint(self.total).count(runs.len() * 2);
        let mut at = 0;
        for (low, high) in runs {
            w.varint(low - 1 - at).varint(high - low + 1);
            at = *high;
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Chunks, Malformed> {
        let total = r.varint()?;
        if total == 0 || total > limits::CHUNKS_PER_LAYER {
            return Err(Malformed("chunks over the limit"));
        }
        let n = r.count(limits::RUNS_PER_BITMAP)?;
        if n % 2 != 0 {
            return Err(Malformed("bitmap ends in a missing run"));
        }
        let mut held = SeqSet::new();
        let mut at = 0u32;
        for i in 0..n / 2 {
            let (missing, present) = (r.varint()?, r.varint()?);
            if present == 0 || (missing == 0 && i > 0) {
                return Err(Malformed("empty run"));
            }
            let low = at.checked_add(missing).ok_or(Malformed("bitmap overflow"))?;
            at = low.checked_add(present).ok_or(Malformed("bitmap overflow"))?;
            if at > total {
                return Err(Malformed("bitmap beyond the layer"));
            }
            held.extend(&SeqSet::interval(low + 1, at));
        }
        Ok(Chunks { total, held })
    }
}

/// Chunks held of many layers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Blobs(pub BTreeMap<(Object8, u8), Chunks>);

impl Blobs {
    /// Nothing.
    pub fn new() -> Blobs {
        Blobs::default()
    }

    /// Nothing listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Marks a chunk; a known layer keeps its first total. Returns whether it was new.
    pub fn insert(&mut self, object: Object8, layer: u8, total: u32, index: u32) -> bool {
        self.0
            .entry((object, layer))
            .or_insert_with(|| Chunks::none_of(total))
            .insert(index)
    }

    /// Whether the layer is complete.
    pub fn complete(&self, object: Object8, layer: u8) -> bool {
        self.0.get(&(object, layer)).is_some_and(Chunks::complete)
    }

    /// The layout above; at most [`limits::OBJECTS_PER_BLOBS`] layers.
    pub fn write(&self, w: &mut Writer) {
        w.count(self.0.len().min(limits::OBJECTS_PER_BLOBS));
        for ((object, layer), chunks) in self.0.iter().take(limits::OBJECTS_PER_BLOBS) {
            w.put(&object.0).u8(*layer);
            chunks.write(w);
        }
    }

    /// Reads [`Blobs::write`]; keys must be strictly ascending.
    pub fn read(r: &mut Reader<'_>) -> Result<Blobs, Malformed> {
        let n = r.count(limits::OBJECTS_PER_BLOBS)?;
        let mut out = Blobs::new();
        for _ in 0..n {
            let key = (Object8(r.array()?), r.u8()?);
            if usize::from(key.1) >= limits::LAYERS_PER_OBJECT {
                return Err(Malformed("layer beyond the limit"));
            }
            if out.0.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(Malformed("layers not sorted"));
            }
            out.0.insert(key, Chunks::read(r)?);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_round_trip() {
        let mut blobs = Blobs::new();
        for index in [0, 1, 2, 7, 9] {
            assert!(blobs.insert(Object8([1; 8]), 2, 10, index));
        }
        assert!(!blobs.insert(Object8([1; 8]), 2, 10, 10));
        blobs.0.insert((Object8([1; 8]), 3), Chunks::all_of(14));
        blobs.0.insert((Object8([2; 8]), 0), Chunks::none_of(4));
        let mut w = Writer::new();
        blobs.write(&mut w);
        assert_eq!(Blobs::read(&mut Reader::new(&w.0)), Ok(blobs.clone()));
        assert!(blobs.complete(Object8([1; 8]), 3) && !blobs.complete(Object8([1; 8]), 2));
        assert_eq!(
            Chunks::all_of(10).minus(blobs.0.get(&(Object8([1; 8]), 2))),
            [3, 4, 5, 6, 8]
        );
    }

    #[test]
    fn hostile_bitmaps_are_refused() {
        let head: Vec<u8> = [1].into_iter().chain([9; 8]).chain([0]).collect();
        for tail in [
            &[0u8, 0][..],
            &[4, 1, 1],
            &[4, 2, 0, 5],
            &[4, 2, 1, 0],
            &[4, 4, 0, 1, 0, 1],
        ] {
            let bytes = [&head[..], tail].concat();
            assert!(Blobs::read(&mut Reader::new(&bytes)).is_err(), "{tail:?}");
        }
    }
}
