//! The two clocks of a simulated device.
//!
//! World time is microseconds from the start of a run. A device sees it through a [`Clock`]: the
//! monotonic clock runs a little fast or slow and starts anew at a reboot; the wall clock may be
//! seconds or a lifetime off and may jump. Sleep is no matter of the clock: the monotonic clock counts
//! it, the world just does not call a sleeping device.

use aidmesh_core::time::{Instant, Now, Wall};

/// Wall time at the start of every run: 22 November 2026, 00:00 UTC, milliseconds.
pub const START_MS: u64 = 1_795_305_600_000;
/// 1 January 2100, 00:00 UTC, milliseconds.
pub const YEAR_2100_MS: u64 = 4_102_444_800_000;

/// How a device reads time.
#[derive(Clone, Debug)]
pub struct Clock {
    booted_us: u64,
    drift_ppm: i64,
    /// Added to true wall time, milliseconds.
    pub offset_ms: i64,
}

impl Clock {
    /// A clock that runs `drift_ppm` fast, with the wall `offset_ms` ahead, on since long ago.
    pub fn new(drift_ppm: i64, offset_ms: i64) -> Clock {
        Clock {
            booted_us: 0,
            drift_ppm,
            offset_ms,
        }
    }

    /// Both clocks at world time `us`.
    pub fn now(&self, us: u64) -> Now {
        let wall = (START_MS + us / 1000).saturating_add_signed(self.offset_ms);
        let mono = self.mono(us);
        Now {
            mono: Instant(mono),
            wall: Wall(wall),
        }
    }

    /// World time at which the monotonic clock shows `at`, never before `us`.
    pub fn when(&self, at: Instant, us: u64) -> u64 {
        let passed = i128::from(at.0) * 1_000_000 / (1_000_000 + i128::from(self.drift_ppm));
        let mut when = u64::try_from(passed)
            .unwrap_or(u64::MAX)
            .saturating_add(self.booted_us)
            .max(us);
        while self.mono(when) < at.0 && when < u64::MAX / 2 {
            when += 1;
        }
        when
    }

    /// The device restarts at world time `us`: its monotonic clock begins anew.
    pub fn reboot(&mut self, us: u64) {
        self.booted_us = us;
    }

    /// Sets the wall clock so that it shows `ms` at world time `us`.
    pub fn set_wall(&mut self, us: u64, ms: u64) {
        self.offset_ms = ms as i64 - (START_MS + us / 1000) as i64;
    }

    fn mono(&self, us: u64) -> u64 {
        let passed = us.saturating_sub(self.booted_us);
        let drift = i128::from(passed) * i128::from(self.drift_ppm) / 1_000_000;
        passed.saturating_add_signed(drift as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early() {
        for drift in [-200, 0, 150] {
            let mut clock = Clock::new(drift, 0);
            clock.reboot(77);
            for at in [0u64, 1, 999_999, 3_600_000_001] {
                let when = clock.when(Instant(at), 100);
                assert!(clock.now(when).mono.0 >= at, "{drift} {at}");
            }
        }
    }

    #[test]
    fn a_wall_can_stand_in_1970_and_2100() {
        let mut clock = Clock::new(0, 0);
        clock.set_wall(5_000_000, 0);
        assert_eq!(clock.now(6_000_000).wall.0, 1000);
        clock.set_wall(0, YEAR_2100_MS);
        assert_eq!(clock.now(0).wall.0, YEAR_2100_MS);
    }
}
