//! What one peer is believed to hold of one thread or handle, and so what is owed to it.
//!
//! The belief is the peer's last HAVE and what was sent since. It outlives the session, so that the
//! next one can push before the peer says a word. Sent is not held: a mark fades after a grace time
//! that the caller takes from the link (a few round trips), and what the peer still lacks is owed
//! again. Marks only save bytes; to forget one costs a duplicate, never a loss.
//!
//! It is a belief about bytes, for scheduling. It is no evidence of delivery.
//! Bounded: [`limits::RUNS_PER_VIEW`], [`limits::LAYERS_PER_VIEW`], [`limits::SENT_MARKS`].

use super::have::{Have, HaveError, HaveHead, Logs};
use crate::blobs::Blobs;
use crate::envelope::Place;
use crate::id::{Object8, Slot};
use crate::limits;
use crate::ranges::{Ranges, SeqSet};
use crate::time::Instant;
use std::collections::{BTreeSet, VecDeque};

/// Belief about one peer and one subject.
#[derive(Clone, Debug, Default)]
pub struct PeerView {
    held: Option<Have>,
    /// `held` is exactly what the peer said, so a delta can build on it.
    exact: bool,
    /// The peer's numbers may have started again.
    renumbered: bool,
    sent: VecDeque<(Instant, Place)>,
}

impl PeerView {
    /// Nothing known.
    pub fn new() -> PeerView {
        PeerView::default()
    }

    /// From a HAVE kept since an earlier session.
    pub fn remembered(have: Have) -> PeerView {
        PeerView {
            held: Some(have),
            exact: true,
            renumbered: true,
            sent: VecDeque::new(),
        }
    }

    /// A new session began: its HAVEs may be numbered from the start.
    pub fn on_session(&mut self) {
        self.renumbered = true;
    }

    /// The peer holds less than it said (RESET, a rebuilt store): all is owed again.
    pub fn on_reset(&mut self) {
        *self = PeerView::default();
    }

    /// The peer's last HAVE, to be remembered and to resolve its next one; `None` if there is
    /// none or it was too large to keep whole.
    pub fn last(&self) -> Option<&Have> {
        self.held.as_ref().filter(|_| self.exact)
    }

    /// Anything is known of what the peer holds: there is a frontier to push from.
    pub fn known(&self) -> bool {
        self.held.is_some()
    }

    /// Resolves and takes a received HAVE. On `UnknownSlots` and `UnknownBase` the next own HAVE
    /// should have `ask_explicit` set. Returns whether it was news (not late).
    pub fn receive(
        &mut self,
        head: &HaveHead,
        slots: Option<&[Slot]>,
        now: Instant,
        grace_ms: u64,
    ) -> Result<bool, HaveError> {
        let have = head.resolve(slots, self.last())?;
        Ok(self.on_have(have, now, grace_ms))
    }

    /// Takes a resolved HAVE; a late one (smaller number, same session) is ignored. Marks older
    /// than `grace_ms` go: what they stood for is in the HAVE, or lost.
    pub fn on_have(&mut self, mut have: Have, now: Instant, grace_ms: u64) -> bool {
        let former = self.held.take();
        self.held = Some(match former {
            Some(former) if !self.renumbered && have.number < former.number => {
                self.held = Some(former);
                return false;
            }
            Some(mut former) if !self.renumbered && have.number == former.number => {
                former.merge(&have);
                former
            }
            Some(former) => {
                let unsaid = former.ranges.0.into_iter();
                let said = have.logs;
                have.ranges
                    .0
                    .extend(unsaid.filter(|((_, log), _)| !said.contains(*log)));
                have.logs = said.union(former.logs);
                have.blobs = have.blobs.or(former.blobs);
                self.exact = true;
                have
            }
            None => {
                self.exact = true;
                have
            }
        });
        self.renumbered = false;
        self.bound();
        self.sent.retain(|(at, _)| now.since_ms(*at) < grace_ms);
        true
    }

    /// Keeps the first logs and layers up to the limits; the rest is believed lacking.
    fn bound(&mut self) {
        let Some(have) = &mut self.held else { return };
        let whole = have.ranges.0.len() + have.blobs.as_ref().map_or(0, |b| b.0.len());
        let mut runs = 0;
        let mut fits = |set: &SeqSet| {
            runs += set.runs().len();
            runs <= limits::RUNS_PER_VIEW
        };
        have.ranges.0.retain(|_, set| fits(set));
        let mut layers = 0;
        if let Some(blobs) = &mut have.blobs {
            blobs.0.retain(|_, chunks| {
                layers += 1;
                layers <= limits::LAYERS_PER_VIEW && fits(chunks.numbers())
            });
        }
        let kept = have.ranges.0.len() + have.blobs.as_ref().map_or(0, |b| b.0.len());
        self.exact &= kept == whole;
    }

    /// The peer sent this item itself: of a chunk, which is one thing only, it follows that it holds it,
    /// though its last HAVE is older. At a place of a log there may be two variants, so nothing follows.
    pub fn brought(&mut self, place: Place) {
        let Some(have) = &mut self.held else { return };
        if let Place::Chunk { object, layer, index } = place {
            let blobs = have.blobs.get_or_insert_default();
            blobs.insert(object, layer, limits::CHUNKS_PER_LAYER, index);
            self.bound();
        }
    }

    /// Notes that an item went out.
    pub fn sent(&mut self, place: Place, now: Instant) {
        if self.sent.len() == limits::SENT_MARKS {
            self.sent.pop_front();
        }
        self.sent.push_back((now, place));
    }

    /// Places of `mine` that the peer lacks and that were not sent in the last `grace_ms`. Of logs
    /// that its HAVEs never spoke of, all.
    pub fn owed(&self, mine: &Ranges, now: Instant, grace_ms: u64) -> Ranges {
        let mut on_the_way = Ranges::new();
        for place in self.recent(now, grace_ms) {
            if let Place::Log { slot, log, seq } = *place {
                on_the_way.insert(slot, log, seq);
            }
        }
        let owed = match &self.held {
            Some(held) => mine.minus(&held.ranges),
            None => mine.clone(),
        };
        owed.minus(&on_the_way)
    }

    /// Chunks of `mine` that the peer lacks and that were not sent in the last `grace_ms`, as
    /// (object, layer, index), at most `max`, in the order of `mine`.
    pub fn owed_chunks(
        &self,
        mine: &Blobs,
        now: Instant,
        grace_ms: u64,
        max: usize,
    ) -> Vec<(Object8, u8, u32)> {
        let on_the_way: BTreeSet<_> = self
            .recent(now, grace_ms)
            .filter_map(|place| match *place {
                Place::Chunk { object, layer, index } => Some((object, layer, index)),
                _ => None,
            })
            .collect();
        let theirs = self.held.as_ref().and_then(|h| h.blobs.as_ref());
        let nothing = SeqSet::new();
        let mut out = Vec::new();
        for (&(object, layer), chunks) in &mine.0 {
            let there = theirs.and_then(|b| b.0.get(&(object, layer)));
            let lacking = chunks.numbers().minus(there.map_or(&nothing, |c| c.numbers()));
            let keys = lacking.iter().map(|number| (object, layer, number - 1));
            out.extend(keys.filter(|key| !on_the_way.contains(key)).take(max - out.len()));
            if out.len() == max {
                break;
            }
        }
        out
    }

    fn recent(&self, now: Instant, grace_ms: u64) -> impl Iterator<Item = &Place> {
        let fresh = move |at: &Instant| now.since_ms(*at) < grace_ms;
        self.sent
            .iter()
            .filter(move |(at, _)| fresh(at))
            .map(|(_, place)| place)
    }

    /// Logs that the peer's HAVEs spoke of so far.
    pub fn logs(&self) -> Option<Logs> {
        self.held.as_ref().map(|h| h.logs)
    }
}
