//! One held item as the index knows it, its row in the store, and the clock of holding.
//!
//! The clock says how long an item was held here, across restarts and under any wall clock. It is
//! two sums, and a row of an item has their values at its arrival:
//!
//! * `held`: monotonic time that certainly passed. Only this deletes, so a wrong wall clock never
//!   deletes early; and it grows whenever the device is on, so none keeps an item for ever. After a
//!   restart it grows by the monotonic time since the last save if that went on, else (a reboot) by
//!   the time since boot.
//! * `off`: what this device's own wall clock says beyond that, if it went forward by at most
//!   [`limits::HOLD_OFF_MS`]. It makes an item *older* when handed on, so that an alarm which lay in
//!   a dead phone is not taken for a fresh one; it deletes nothing.

use crate::codec::{Malformed, Reader, Writer};
use crate::envelope::{Class, Envelope, Place, Ttl};
use crate::id::{Key8, MsgId, Org};
use crate::limits;
use crate::time::{Instant, Now, Wall};
use bytes::Bytes;

const VERSION: u8 = 1;
/// Rows of items; 2 since they name the organisation.
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

/// A reading of the clock of holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Holding {
    /// Time that certainly passed, in microseconds.
    pub(super) held_us: u64,
    /// Time that passed beyond that by the wall clock, in milliseconds.
    pub(super) off_ms: u64,
}

/// The clock of holding.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    sum: Holding,
    /// Moment of `sum`; `None` before the first moment of the first run.
    last: Option<Now>,
    /// `last` is of a former run.
    restarted: bool,
    saved_us: u64,
}

impl Clock {
    /// The reading at `now`.
    pub(super) fn at(&self, now: Now) -> Holding {
        let Some(last) = self.last else {
            return self.sum;
        };
        let went_us = now.mono.0.saturating_sub(last.mono.0);
        if !self.restarted {
            let held_us = self.sum.held_us.saturating_add(went_us);
            return Holding { held_us, ..self.sum };
        }
        let rebooted = now.mono < last.mono;
        let certain_us = if rebooted { now.mono.0 } else { went_us };
        let wall_ms = now.wall.0.saturating_sub(last.wall.0);
        let believed_ms = if wall_ms <= limits::HOLD_OFF_MS {
            wall_ms
        } else {
            0
        };
        let off_ms = believed_ms.saturating_sub(certain_us / 1000);
        Holding {
            held_us: self.sum.held_us.saturating_add(certain_us),
            off_ms: self.sum.off_ms.saturating_add(off_ms),
        }
    }

    /// Moves on to `now`.
    pub(super) fn advance(&mut self, now: Now) -> Holding {
        self.sum = self.at(now);
        self.last = Some(now);
        self.restarted = false;
        self.sum
    }

    /// The monotonic moment at which `held` will be `held_us`: at once if this run has no moment yet.
    pub(super) fn when(&self, held_us: u64) -> Instant {
        match self.last {
            Some(last) if !self.restarted => {
                let left_us = held_us.saturating_sub(self.sum.held_us);
                Instant(last.mono.0.saturating_add(left_us))
            }
            _ => Instant(0),
        }
    }

    /// The last save is [`limits::HOLD_SAVE_MS`] ago.
    pub(super) fn is_due(&self) -> bool {
        self.sum.held_us.saturating_sub(self.saved_us) >= limits::HOLD_SAVE_MS * 1000
    }

    /// The row of the clock, to be saved now: `v 1 | held us u64 | off ms u64 | monotonic us u64 |
    /// wall ms u64`.
    pub(super) fn save(&mut self) -> Bytes {
        self.saved_us = self.sum.held_us;
        let last = self.last.unwrap_or_default();
        let mut w = Writer::new();
        w.u8(VERSION).u64(self.sum.held_us).u64(self.sum.off_ms);
        w.u64(last.mono.0).u64(last.wall.0);
        w.finish()
    }

    /// Reads [`Clock::save`] after a restart.
    pub(super) fn of_row(row: &[u8]) -> Result<Clock, Malformed> {
        let mut r = Reader::new(row);
        if r.u8()? != VERSION {
            return Err(Malformed("unknown row of the clock of holding"));
        }
        let (held_us, off_ms) = (r.u64()?, r.u64()?);
        let (mono, wall) = (Instant(r.u64()?), Wall(r.u64()?));
        r.end()?;
        Ok(Clock {
            sum: Holding { held_us, off_ms },
            last: Some(Now { mono, wall }),
            restarted: true,
            saved_us: held_us,
        })
    }

    /// Is at least `held_us`: what is in the store arrived before now.
    pub(super) fn not_before(&mut self, arrival: Holding) {
        self.sum.held_us = self.sum.held_us.max(arrival.held_us);
        self.sum.off_ms = self.sum.off_ms.max(arrival.off_ms);
    }
}
