//! Time comes from outside, as an argument. The core never reads a clock.
//!
//! * [`Instant`]: microseconds since the device booted, counting sleep. All deadlines use it.
//! * [`Wall`]: milliseconds since the Unix epoch as this device believes. It may jump; it never
//!   decides order, authority, addressing or expiry.
//! * [`Hlc`]: hybrid logical clock (Kulkarni et al., 2014), 48 bit milliseconds and 16 bit counter,
//!   carried inside entries. A remote clock more than [`limits::HLC_AHEAD_MS`] ahead does not move ours.

mod clock;

use crate::limits;

pub(crate) use clock::{Clock, Holding};

/// Microseconds since boot, monotonic, counting sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Instant(pub u64);

/// Milliseconds since the Unix epoch; may jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Wall(pub u64);

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic time.
    pub mono: Instant,
    /// Wall time.
    pub wall: Wall,
}

impl Instant {
    /// This moment plus `ms` milliseconds.
    pub fn plus_ms(self, ms: u64) -> Instant {
        Instant(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// Whole milliseconds from `earlier` to `self`, 0 if `earlier` is later.
    pub fn since_ms(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// Hybrid logical clock value: 48 bit milliseconds, 16 bit counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Hlc(pub u64);

impl Hlc {
    /// Milliseconds since the Unix epoch.
    pub fn ms(self) -> u64 {
        self.0 >> 16
    }

    fn from_ms(ms: u64) -> Hlc {
        Hlc((ms & 0xffff_ffff_ffff) << 16)
    }

    /// The next value of a device whose last value is `self`.
    pub fn tick(self, wall: Wall) -> Hlc {
        Hlc::from_ms(wall.0).max(Hlc(self.0.saturating_add(1)))
    }

    /// Our clock after seeing `remote`. Returns the new value and whether `remote` is suspect:
    /// ahead of this device's wall clock by more than [`limits::HLC_AHEAD_MS`], in which case it
    /// does not move ours, or behind ours by more than that.
    pub fn observe(self, remote: Hlc, wall: Wall) -> (Hlc, bool) {
        let ahead = remote.ms() > wall.0.saturating_add(limits::HLC_AHEAD_MS);
        let behind = wall.0 > remote.ms().saturating_add(limits::HLC_BEHIND_MS);
        (if ahead { self } else { self.max(remote) }, ahead || behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_far_ahead_is_suspect_and_does_not_move_ours() {
        let ours = Hlc::default().tick(Wall(1_000_000));
        let future = Hlc::from_ms(1_000_000 + limits::HLC_AHEAD_MS + 1);
        assert_eq!(ours.observe(future, Wall(1_000_000)), (ours, true));
        let near = Hlc::from_ms(1_000_500);
        assert_eq!(ours.observe(near, Wall(1_000_000)), (near, false));
    }

    #[test]
    fn ticks_grow_when_the_wall_goes_back() {
        let a = Hlc::default().tick(Wall(5_000));
        assert!(a.tick(Wall(1)) > a);
    }
}
