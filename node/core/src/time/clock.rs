//! The clock of holding: how long something lies here, across restarts and under any wall clock.
//!
//! Two sums; what waits for its time keeps their values at its beginning:
//!
//! * `held`: monotonic time that certainly passed. Only this deletes, so a wrong wall clock never
//!   deletes early; and it grows whenever the device is on, so nothing lies here for ever. After a
//!   restart it grows by the monotonic time since the last save if that went on, else (a reboot) by
//!   the time since boot.
//! * `off`: what this device's own wall clock says beyond that, if it went forward by at most
//!   [`limits::HOLD_OFF_MS`]. It deletes nothing.

use super::{Instant, Now, Wall};
use crate::codec::{Malformed, Reader, Writer};
use crate::limits;
use bytes::Bytes;

const VERSION: u8 = 1;

/// A reading of the clock of holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Holding {
    /// Time that certainly passed, in microseconds.
    pub(crate) held_us: u64,
    /// Time that passed beyond that by the wall clock, in milliseconds.
    pub(crate) off_ms: u64,
}

/// The clock of holding.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    sum: Holding,
    /// Moment of `sum`; `None` before the first moment of the first run.
    last: Option<Now>,
    /// `last` is of a former run.
    restarted: bool,
    saved_us: u64,
}

impl Clock {
    /// Bytes of its row.
    pub(crate) const ROW_BYTES: usize = 1 + 4 * 8;

    /// The reading at `now`.
    pub(crate) fn at(&self, now: Now) -> Holding {
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
    pub(crate) fn advance(&mut self, now: Now) -> Holding {
        self.sum = self.at(now);
        self.last = Some(now);
        self.restarted = false;
        self.sum
    }

    /// The monotonic moment at which `held` will be `held_us`: at once if this run has no moment yet.
    pub(crate) fn when(&self, held_us: u64) -> Instant {
        match self.last {
            Some(last) if !self.restarted => {
                let left_us = held_us.saturating_sub(self.sum.held_us);
                Instant(last.mono.0.saturating_add(left_us))
            }
            _ => Instant(0),
        }
    }

    /// The last save is [`limits::HOLD_SAVE_MS`] ago.
    pub(crate) fn is_due(&self) -> bool {
        self.sum.held_us.saturating_sub(self.saved_us) >= limits::HOLD_SAVE_MS * 1000
    }

    /// The row of the clock, to be saved now: `v 1 | held us u64 | off ms u64 | monotonic us u64 |
    /// wall ms u64`.
    pub(crate) fn save(&mut self) -> Bytes {
        self.saved_us = self.sum.held_us;
        let last = self.last.unwrap_or_default();
        let mut w = Writer::new();
        w.u8(VERSION).u64(self.sum.held_us).u64(self.sum.off_ms);
        w.u64(last.mono.0).u64(last.wall.0);
        w.finish()
    }

    /// Reads [`Clock::save`] after a restart.
    pub(crate) fn of_row(row: &[u8]) -> Result<Clock, Malformed> {
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
    pub(crate) fn not_before(&mut self, arrival: Holding) {
        self.sum.held_us = self.sum.held_us.max(arrival.held_us);
        self.sum.off_ms = self.sum.off_ms.max(arrival.off_ms);
    }
}
