//! Commit before effect: one batch per input, and what may only happen once it is durable.
//!
//! While an input is handled, rows gather in the current batch and effects beside it. At its end
//! the batch gets a ticket and leaves; its effects wait for the confirmation of that ticket, and so
//! do effects without rows of their own, behind the newest batch in flight, since they may tell of
//! it. With [`limits::COMMITS_IN_FLIGHT`] out, later changes gather in one batch until one returns.

use super::event::Event;
use super::input::LinkId;
use super::open::Flaws;
use crate::envelope::{Class, Envelope};
use crate::id::{Handle, ThreadId};
use crate::limits;
use crate::store::{Batch, Layered, Read, ReadError};
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};

/// Something that waits until the batch beside it is durable.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// Tell the people and programs here.
    Event(Event),
    /// Frames that tell of stored state.
    Transmit(LinkId, Bytes, Class),
    /// New items of this thread may be offered to all links.
    Offer(ThreadId),
    /// New items for this handle lie in the mailbox; not to be sent back to the link.
    Push(Handle, LinkId),
    /// A new object of the directory is to be told to all links.
    Rumour,
    /// New handles are to be opened at carriers and relays.
    OpenBoxes,
}

/// The batch being built, and those in flight.
#[derive(Default)]
pub(crate) struct Tx {
    pub(crate) batch: Batch,
    pub(crate) effects: Vec<Effect>,
    /// Own items for other devices' inboxes; the machine signs and keeps them.
    pub(crate) inbox: Vec<Envelope>,
    /// Inboxes for which an own item lies here that was not taken, as of the last waking.
    pub(crate) unread: BTreeSet<Handle>,
    in_flight: VecDeque<(u64, Batch)>,
    waiting: VecDeque<(u64, Vec<Effect>)>,
    last_ticket: u64,
}

impl Tx {
    /// Reads through all that is not confirmed yet.
    pub(crate) fn get(&self, base: &dyn Read, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Layered::new(base, &self.in_flight, &self.batch).get(key)
    }

    /// Scans through all that is not confirmed yet.
    pub(crate) fn view<'a>(&'a self, base: &'a dyn Read) -> Layered<'a> {
        Layered::new(base, &self.in_flight, &self.batch)
    }

    /// Forgets the batches in flight for reads, as a planted bug does.
    pub(crate) fn view_without_overlay<'a>(
        &'a self,
        base: &'a dyn Read,
        none: &'a VecDeque<(u64, Batch)>,
    ) -> Layered<'a> {
        Layered::new(base, none, &self.batch)
    }

    /// Closes the current batch. Returns the batch to write, if one leaves now, and the effects
    /// that may happen at once.
    ///
    /// Planted bugs let effects happen before their batch is durable, and any number of batches out.
    pub(crate) fn flush(&mut self, flaws: Flaws) -> (Option<(u64, Batch)>, Vec<Effect>) {
        if self.batch.is_empty() {
            let effects = std::mem::take(&mut self.effects);
            return match self.waiting.back_mut() {
                Some((_, waiting)) => {
                    waiting.extend(effects);
                    (None, vec![])
                }
                None => (None, effects),
            };
        }
        let is_full = self.in_flight.len() >= limits::COMMITS_IN_FLIGHT;
        if is_full && !flaws.batches_in_flight_unbounded {
            return (None, vec![]);
        }
        self.last_ticket += 1;
        let (ticket, batch) = (self.last_ticket, std::mem::take(&mut self.batch));
        self.in_flight.push_back((ticket, batch.clone()));
        let mut effects = std::mem::take(&mut self.effects);
        let at_once = if flaws.announce_before_commit {
            std::mem::take(&mut effects)
        } else {
            vec![]
        };
        self.waiting.push_back((ticket, effects));
        (Some((ticket, batch)), at_once)
    }

    /// Nothing is in the batch or in flight: all that is in memory is durable.
    pub(crate) fn is_durable(&self) -> bool {
        self.batch.is_empty() && self.in_flight.is_empty()
    }

    /// The oldest batch in flight is durable: its effects may happen. A ticket out of order is
    /// ignored: it belongs to an earlier life of this machine.
    pub(crate) fn committed(&mut self, ticket: u64) -> Vec<Effect> {
        if self.in_flight.front().is_none_or(|(t, _)| *t != ticket) {
            return vec![];
        }
        self.in_flight.pop_front();
        self.waiting
            .pop_front()
            .map(|(_, effects)| effects)
            .unwrap_or_default()
    }
}
