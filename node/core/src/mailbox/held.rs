//! One held item as the index knows it, and its row in the store.
//!
//! How long an item was held here, across restarts and under any wall clock, the [clock of
//! holding](crate::time::Clock) says; a row of an item has its values at the arrival. Only time that
//! certainly passed deletes; what the wall clock says beyond that makes an item *older* when handed on, so
//! that an alarm which lay in a dead phone is not taken for a fresh one.

use crate::codec::{Malformed, Reader, Writer};
use crate::envelope::{Class, Envelope, Place, Ttl};
use crate::id::{Key8, MsgId, Org};
use crate::limits;
use crate::time::Holding;
use bytes::Bytes;

/// Version of a row; 2 since it names the organisation.
const ROW_VERSION: u8 = 2;
const LIVE: u8 = 0;
const RELEASED: u8 = 1;
const HEADER_BYTES: usize = 2 + 8 + 8 + 4 + 3 * 8;

/// What the index knows of an item; its bytes stay in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: MsgId,
    /// Its class.
    pub class: Class,
    /// Its storage time at strangers.
    pub ttl: Ttl,
    /// Its place.
    pub place: Place,
    /// Routing key that asked to keep it.
    pub origin: Key8,
    /// Organisation that certified that key.
    pub org: Org,
    /// Bytes of the envelope.
    pub size_bytes: u32,
    /// Only the id is kept, so that the item is not taken again.
    pub(super) released: bool,
    /// Age in seconds when it arrived.
    pub(super) arrival_age_s: u32,
    /// The clock when it arrived.
    pub(super) arrival: Holding,
    /// Arrivals before it.
    pub(super) order: u64,
}

impl Held {
    /// Bytes that count against the quota.
    pub(super) fn cost_bytes(&self) -> u64 {
        u64::from(self.size_bytes) + limits::CARRIED_ROW_BYTES
    }

    /// Age in seconds at the given reading of the clock.
    pub(super) fn age_s(&self, clock: Holding) -> u32 {
        let held_s = clock.held_us.saturating_sub(self.arrival.held_us) / 1_000_000;
        let off_s = clock.off_ms.saturating_sub(self.arrival.off_ms) / 1000;
        let age_s = u64::from(self.arrival_age_s) + held_s + off_s;
        u32::try_from(age_s).unwrap_or(u32::MAX)
    }

    /// The row: `v 1 (2) | state 1 | origin 8 | org 8 | age s u32 | held us u64 | off ms u64 |
    /// order u64 | envelope`. A released item has `class 1 | ttl 1` in place of the envelope.
    pub(super) fn row(&self, envelope: &[u8]) -> Bytes {
        let mut w = Writer(Vec::with_capacity(HEADER_BYTES + envelope.len()));
        w.u8(ROW_VERSION).u8(if self.released { RELEASED } else { LIVE });
        w.put(&self.origin.0).put(&self.org.0).u32(self.arrival_age_s);
        w.u64(self.arrival.held_us)
            .u64(self.arrival.off_ms)
            .u64(self.order);
        if self.released {
            w.u8(self.class as u8).u8(self.ttl.0);
        } else {
            w.put(envelope);
        }
        w.finish()
    }

    /// Reads a row of the item `id`.
    pub(super) fn of_row(id: MsgId, row: &Bytes) -> Result<Held, Malformed> {
        let mut r = Reader::new(row);
        let (version, state) = (r.u8()?, r.u8()?);
        if version != ROW_VERSION || state > RELEASED {
            return Err(Malformed("unknown row of a carried item"));
        }
        let (origin, org) = (Key8(r.array()?), Org(r.array()?));
        let arrival_age_s = r.u32()?;
        let (held_us, off_ms, order) = (r.u64()?, r.u64()?, r.u64()?);
        let released = state == RELEASED;
        let (class, ttl, place, size_bytes) = if released {
            let (class, ttl) = (Class::from_u8(r.u8()?)?, Ttl(r.u8()?));
            r.end()?;
            (class, ttl, Place::Inbox, 0)
        } else {
            let bytes = row.slice(HEADER_BYTES..);
            let e = Envelope::decode(&bytes)?;
            if MsgId::of(&bytes) != id {
                return Err(Malformed("a carried item changed in the store"));
            }
            (e.class, e.ttl, e.place, bytes.len() as u32)
        };
        Ok(Held {
            id,
            class,
            ttl,
            place,
            origin,
            org,
            size_bytes,
            released,
            arrival_age_s,
            arrival: Holding { held_us, off_ms },
            order,
        })
    }
}

/// The envelope in a row of [`Held`]; `None` if only the id is kept.
pub fn envelope_of_row(row: &Bytes) -> Option<Bytes> {
    (row.get(1) == Some(&LIVE) && row.len() > HEADER_BYTES).then(|| row.slice(HEADER_BYTES..))
}
