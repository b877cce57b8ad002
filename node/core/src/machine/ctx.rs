//! What a thread may use while one input is handled: the time, the open batch, keys, randomness.

use super::event::Event;
use super::open::{Flaws, MemberKeys};
use super::tx::{Effect, Tx};
use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::Stream;
use crate::directory::Directory;
use crate::group::mls::Crypto;
use crate::id::{Dev, Seq, ThreadId};
use crate::store::{Batch, Read, ReadError, table};
use crate::time::{Hlc, Now};
use bytes::Bytes;
use std::collections::VecDeque;

/// See the module.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Now,
    pub(crate) store: &'a dyn Read,
    pub(crate) tx: &'a mut Tx,
    pub(crate) crypto: &'a Crypto,
    pub(crate) rng: &'a mut Stream,
    pub(crate) member: &'a MemberKeys,
    pub(crate) dir: &'a Directory,
    pub(crate) hlc: &'a mut Hlc,
    pub(crate) flaws: Flaws,
}

impl Ctx<'_> {
    /// This device.
    pub(crate) fn dev(&self) -> Dev {
        Dev::of_key(&self.member.device.public())
    }

    /// The batch of this input.
    pub(crate) fn batch(&mut self) -> &mut Batch {
        &mut self.tx.batch
    }

    /// Tells people and programs, once the batch is durable.
    pub(crate) fn event(&mut self, event: Event) {
        self.tx.effects.push(Effect::Event(event));
    }

    /// New items of the thread may be offered, once the batch is durable.
    pub(crate) fn offer(&mut self, thread: ThreadId) {
        if !self
            .tx
            .effects
            .iter()
            .any(|e| matches!(e, Effect::Offer(t) if *t == thread))
        {
            self.tx.effects.push(Effect::Offer(thread));
        }
    }

    /// Handles are new: they are opened wherever items are kept for this device.
    pub(crate) fn open_boxes(&mut self) {
        self.tx.effects.push(Effect::OpenBoxes);
    }

    /// A row, as if all batches in flight were durable.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        if self.flaws.no_overlay_of_batches_in_flight {
            return self
                .tx
                .view_without_overlay(self.store, &VecDeque::new())
                .get(key);
        }
        self.tx.get(self.store, key)
    }

    /// The numbers that this device gives out next in a thread.
    pub(crate) fn counters(&self, thread: ThreadId) -> Result<Counters, ReadError> {
        let row = self.get(&table::own_of_thread("next", thread))?;
        match row {
            Some(row) => Counters::decode(&row).map_err(|e| ReadError(format!("counters: {e}"))),
            None => Ok(Counters::default()),
        }
    }

    /// Stores them.
    pub(crate) fn set_counters(&mut self, thread: ThreadId, counters: &Counters) {
        let key = table::own_of_thread("next", thread);
        self.batch().put(key, counters.encode());
    }
}

/// Last numbers given out in a thread, and the chain of own entries. One row, read through the
/// batches in flight, so that no number is ever given out twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) content: Seq,
    pub(crate) control: Seq,
    pub(crate) head: Seq,
    pub(crate) op: Seq,
    pub(crate) chain: [u8; 32],
    /// Incarnation that these numbers belong to; another one starts anew.
    pub(crate) incarnation: u32,
}

impl Counters {
    fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        w.u8(1)
            .u32(self.content)
            .u32(self.control)
            .u32(self.head)
            .u32(self.op);
        w.put(&self.chain).u32(self.incarnation);
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Counters, Malformed> {
        let mut r = Reader::new(bytes);
        if r.u8()? != 1 {
            return Err(Malformed("unknown version"));
        }
        let counters = Counters {
            content: r.u32()?,
            control: r.u32()?,
            head: r.u32()?,
            op: r.u32()?,
            chain: r.array()?,
            incarnation: r.u32()?,
        };
        r.end()?;
        Ok(counters)
    }
}
