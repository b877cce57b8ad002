//! The two clocks of a host.
//!
//! `mono` counts microseconds since boot and goes on while the machine sleeps (`CLOCK_BOOTTIME`): every
//! deadline of the core is in it. `wall` is what people read; it may jump and decides nothing.

use aidmesh_core::time::{Instant, Now, Wall};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Both clocks, now.
pub fn now() -> Now {
    Now {
        mono: mono(),
        wall: wall(),
    }
}

/// Milliseconds since 1970; 0 for a clock that stands before.
pub fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Microseconds since boot, sleep included.
pub fn mono() -> Instant {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = rustix::time::ClockId::Monotonic;
    let at = rustix::time::clock_gettime(clock);
    let (s, ns) = (at.tv_sec.unsigned_abs(), at.tv_nsec.unsigned_abs());
    Instant(s.saturating_mul(1_000_000).saturating_add(ns / 1000))
}

/// How long until a deadline of the core; zero once it has passed.
pub fn until(deadline: Instant) -> Duration {
    Duration::from_micros(deadline.0.saturating_sub(mono().0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_goes_on_and_deadlines_pass() {
        let first = mono();
        assert!(until(first.plus_ms(60_000)) > Duration::from_secs(50));
        std::thread::sleep(Duration::from_millis(2));
        assert!(mono() > first);
        assert_eq!(until(first), Duration::ZERO);
    }
}
